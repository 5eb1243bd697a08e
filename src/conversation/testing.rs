//! A bench to test one conversation on: bytes in, bytes out, no loop and no socket.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::clock::Moment;
use crate::config::Limits;
use crate::http::client::Response;
use crate::log::{Level, Log};
use crate::places::desk::{Outcome, QuestionId, Step};
use crate::protocol::{Close, ConnectionId, Delivery, TlsPeer, TlsSettings, Transport, WaterMarks};
use crate::store::Origin;
use crate::text::peer_line::Epoch;
use crate::text::record::Statement;

/// Keys that accept each certificate, except those that contain `bad`.
#[derive(Debug)]
struct Keys;

impl TlsKeys for Keys {
    fn accepting(&self) -> Rc<dyn TlsSettings> {
        unreachable!("the bench has no sockets")
    }

    fn dialling(&self, _name: &str) -> Rc<dyn TlsSettings> {
        unreachable!("the bench has no sockets")
    }

    fn verify(&self, peer: &TlsPeer) -> std::io::Result<()> {
        let is_bad = |der: &Vec<u8>| der.windows(3).any(|part| part == b"bad");
        if peer.certificates.iter().any(is_bad) {
            Err(std::io::Error::other("it has expired"))
        } else {
            Ok(())
        }
    }
}

/// A certificate of this name; `Jaquez, bad` is one of Jaquez that is not accepted any more.
fn certificate(name: Option<&str>) -> TlsPeer {
    let names = name.iter().map(|name| name.trim_end_matches(", bad").to_owned()).collect();
    TlsPeer { names, certificates: name.iter().map(|name| name.as_bytes().to_vec()).collect() }
}

/// Riley of the herd bruins, a neighbour of Jaquez, and one connection.
pub(super) struct Bench {
    pub(super) id: ConnectionId,
    pub(super) address: SocketAddr,
    pub(super) tls: Option<TlsPeer>,
    pub(super) now: Moment,
    pub(super) wall: u64,
    pub(super) server: Server,
    pub(super) conversation: Conversation,
    transport: Transport,
    input: Vec<u8>,
    eof: bool,
    /// Questions for which the desk wants a connection.
    questions: Vec<QuestionId>,
    connections: u32,
    /// Questions that a test has asked itself.
    pub(super) questions_asked: u32,
}

impl Bench {
    pub(super) fn new(conversation: Conversation) -> Bench {
        let mut bench = Bench::unconnected(conversation);
        bench.connect();
        bench
    }

    pub(super) fn unconnected(conversation: Conversation) -> Bench {
        let identity = Identity { herd: "bruins".into(), name: "Riley".into(), epoch: Epoch(0xee) };
        let log = Log::new("Riley", Level::Traffic);
        let mut server = Server::new(identity, Limits::default(), Duration::from_secs(3), log);
        server.neighbours.add("Jaquez");
        Bench {
            id: ConnectionId { slot: 3, generation: 5 },
            address: "127.0.0.1:40000".parse().unwrap(),
            tls: None,
            now: Moment::START + Duration::from_secs(100),
            wall: 1_621_464_830_000_000_000,
            server,
            conversation,
            transport: Transport::new(WaterMarks::default()),
            input: Vec::new(),
            eof: false,
            questions: Vec::new(),
            connections: 0,
            questions_asked: 0,
        }
    }

    pub(super) fn connect(&mut self) {
        self.call(|protocol, context| protocol.connection_made(context));
    }

    pub(super) fn with_marks(mut self, high: u32, low: u32) -> Bench {
        let output = self.transport.unsent().to_vec();
        let deadline = self.transport.deadline();
        self.transport = Transport::new(WaterMarks { high, low });
        self.transport.write(&output);
        self.transport.set_deadline(deadline);
        self
    }

    /// Links are TLS from now on; certificates with the name `bad` in their chain are not accepted.
    pub(super) fn with_keys(mut self) -> Bench {
        self.server.keys = Some(Rc::new(Keys));
        self
    }

    /// The connection is TLS, with a certificate of this name; `None`: with none.
    pub(super) fn over_tls(mut self, name: Option<&str>) -> Bench {
        self.tls = Some(certificate(name));
        self
    }

    /// The handshake is complete.
    pub(super) fn secure(&mut self, name: Option<&str>) {
        self.tls = Some(certificate(name));
        self.call(|protocol, context| protocol.secured(context));
    }

    pub(super) fn verify_peer(&mut self) {
        self.call(|protocol, context| protocol.verify_peer(context, &Keys));
    }

    pub(super) fn into_server(self) -> Server {
        self.server
    }

    /// Does with bytes what the loop does: offers them after the unconsumed ones, unless reading is paused.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.offer();
    }

    /// The peer half-closes. As in the loop, this waits until reading is resumed.
    pub(super) fn eof(&mut self) {
        self.eof = true;
        self.offer();
    }

    fn may_read(&self) -> bool {
        !self.transport.reading_is_paused() && self.closing().is_none()
    }

    fn offer(&mut self) {
        while self.may_read() && !self.input.is_empty() {
            let input = std::mem::take(&mut self.input);
            let used = self.call(|protocol, context| protocol.data_received(context, &input));
            self.input = input[used..].to_vec();
            if used == 0 {
                break;
            }
        }
        if self.may_read() && std::mem::take(&mut self.eof) {
            let rest = std::mem::take(&mut self.input);
            self.call(|protocol, context| protocol.eof_received(context, &rest));
        }
    }

    pub(super) fn time_out(&mut self) {
        self.transport.set_deadline(Moment::NEVER);
        self.call(|protocol, context| protocol.timed_out(context));
        if self.transport.take_offer_again() {
            self.offer();
        }
    }

    pub(super) fn deliver(&mut self, delivery: Delivery<Conversation>) {
        self.call(delivery);
        self.offer();
    }

    /// Answers all questions to Places that are in flight with this body.
    pub(super) fn answer_questions(&mut self, body: &str) {
        self.carry_out_steps();
        for question in std::mem::take(&mut self.questions) {
            self.connections += 1;
            let connection = Handle::new(ConnectionId { slot: self.connections, generation: 0 });
            let response = Response { status: 200, body: body.into(), ..Response::default() };
            self.server.desk.connecting(question, connection);
            self.server.desk.answered(self.now, connection, Outcome::Response(response), false);
            self.carry_out_steps();
        }
    }

    /// The disk has all changes now, or fails.
    pub(super) fn disk_reaches(&mut self, sequence: u64, fails: bool) {
        self.server.durability.reached(sequence);
        if fails {
            self.server.durability.failed();
        }
        while let Some(client) = self.server.durability.next_conversation() {
            assert_eq!(client.id(), self.id);
            self.deliver(Handle::call(Conversation::disk_reached));
            self.server.durability.turn_ended();
        }
    }

    fn carry_out_steps(&mut self) {
        while let Some(step) = self.server.desk.next_step(self.now) {
            match step {
                Step::Connect(question) => self.questions.push(question),
                Step::Ask(..) | Step::WakeAt(..) | Step::Abort(_) => {}
                Step::Answer(waiter, answer) => {
                    assert_eq!(waiter.conversation.id(), self.id);
                    self.deliver(Handle::call(move |conversation: &mut Conversation, context| {
                        conversation.answered(context, waiter.ticket, &answer);
                    }));
                }
            }
        }
    }

    /// Serves the followers, in as many turns as it takes.
    pub(super) fn follow_on(&mut self) {
        loop {
            while let Some(connection) = self.server.followers.next_due() {
                assert_eq!(connection, self.id);
                self.deliver(Handle::call(Conversation::follow_on));
            }
            if !self.server.followers.turn_ended(self.server.store.sequence()) {
                return;
            }
        }
    }

    /// Goes on with the lists of HTTP, in as many turns as it takes.
    pub(super) fn list_on(&mut self) -> usize {
        let mut turns = 0;
        loop {
            while let Some(connection) = self.server.web.next_due() {
                assert_eq!(connection, self.id);
                self.deliver(Handle::call(Conversation::list_on));
            }
            if !self.server.web.turn_ended() {
                return turns;
            }
            turns += 1;
        }
    }

    /// Begins the next turn of the searches, and goes on with those that are not over. Returns whether some are left.
    pub(super) fn search(&mut self) -> bool {
        for (waiter, reply) in self.server.searches.advance(&mut self.server.store) {
            self.deliver(crate::conversation::Handle::call(
                move |conversation: &mut Conversation, context| {
                    conversation.found(context, waiter.ticket, reply);
                },
            ));
        }
        self.server.searches.begin_turn()
    }

    pub(super) fn turn_ending(&mut self) {
        self.call(|protocol, context| protocol.turn_ending(context));
    }

    pub(super) fn shut_down(&mut self) {
        self.call(|protocol, context| protocol.shut_down(context));
    }

    pub(super) fn lose(&mut self) {
        self.lose_because(Lost::Aborted);
    }

    pub(super) fn lose_because(&mut self, why: Lost) {
        self.call(|protocol, context| protocol.connection_lost(context, why));
    }

    /// All output, as if the system took it at once.
    pub(super) fn sent_bytes(&mut self) -> Vec<u8> {
        let output = self.transport.unsent().to_vec();
        self.transport.note_sent(output.len());
        if self.transport.must_resume_writing() {
            self.call(|protocol, context| protocol.resume_writing(context));
        }
        self.offer();
        output
    }

    pub(super) fn sent(&mut self) -> String {
        String::from_utf8(self.sent_bytes()).unwrap()
    }

    pub(super) fn signals(&mut self) -> Vec<Signal> {
        self.server.signals.drain(..).collect()
    }

    pub(super) fn report(&mut self, id: &str, time: u32, origin: Origin) {
        let line = format!("AT Riley +0.000000000 {id} +1-1 {time}\n");
        let statement = Statement::parse(line.trim_end().as_bytes()).unwrap();
        self.server.followers.report(&mut self.server.store, &statement, line.as_bytes(), origin);
    }

    pub(super) fn log(&self) -> String {
        String::from_utf8(self.server.log.lines().to_vec()).unwrap()
    }

    pub(super) fn pending(&self) -> usize {
        self.transport.pending()
    }

    pub(super) fn input_left(&self) -> usize {
        self.input.len()
    }

    pub(super) fn reading_is_paused(&self) -> bool {
        self.transport.reading_is_paused()
    }

    pub(super) fn deadline(&self) -> Moment {
        self.transport.deadline()
    }

    pub(super) fn closing(&self) -> Option<Close> {
        self.transport.close_requested()
    }

    pub(super) fn leaves_quota(&self) -> bool {
        self.transport.leaves_quota()
    }

    fn call<R>(&mut self, call: impl FnOnce(&mut Conversation, &mut Context<'_>) -> R) -> R {
        let result = self.with_context(call);
        if self.transport.must_pause_writing() {
            self.with_context(|protocol, context| protocol.pause_writing(context));
        }
        result
    }

    fn with_context<R>(&mut self, call: impl FnOnce(&mut Conversation, &mut Context<'_>) -> R) -> R {
        let mut context = Context {
            id: self.id,
            address: self.address,
            tls: self.tls.as_ref(),
            now: self.now,
            wall: self.wall,
            transport: &mut self.transport,
            shared: &mut self.server,
        };
        call(&mut self.conversation, &mut context)
    }
}
