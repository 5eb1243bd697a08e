//! A bench to test one conversation on: bytes in, bytes out, no loop and no socket.

use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::clock::Moment;
use crate::config::Limits;
use crate::log::{Level, Log};
use crate::places::answer::Answer;
use crate::places::desk::{QuestionId, Step};
use crate::protocol::{Close, ConnectionId, Delivery, TlsPeer, Transport, WaterMarks};
use crate::store::Origin;
use crate::text::peer_line::Epoch;
use crate::text::record::Statement;

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
}

impl Bench {
    pub(super) fn new(conversation: Conversation) -> Bench {
        let identity = Identity { herd: "bruins".into(), name: "Riley".into(), epoch: Epoch(0xee) };
        let log = Log::new("Riley", Level::Traffic);
        let timeout = Duration::from_secs(5);
        let mut server = Server::new(identity, Limits::default(), Duration::from_secs(3), timeout, log);
        server.neighbours.add("Jaquez");
        let mut bench = Bench {
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
        };
        bench.connect();
        bench
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

    /// Answers all questions to Places that are in flight.
    pub(super) fn answer_questions(&mut self, answer: impl Fn() -> Answer) {
        self.carry_out_steps();
        for question in std::mem::take(&mut self.questions) {
            self.connections += 1;
            let connection = Handle::new(ConnectionId { slot: self.connections, generation: 0 });
            self.server.desk.connecting(question, connection);
            self.server.desk.answered(connection, Ok(answer()), false);
            self.carry_out_steps();
        }
    }

    fn carry_out_steps(&mut self) {
        while let Some(step) = self.server.desk.next_step() {
            match step {
                Step::Connect(question) => self.questions.push(question),
                Step::Ask(..) | Step::WakeAt(..) | Step::Abort(_) => {}
                Step::Answer(waiter, answer) => {
                    assert_eq!(waiter.client.id(), self.id);
                    let answer = answer.unwrap();
                    self.deliver(Handle::call(move |client: &mut Client, context| {
                        client.answered(context, waiter.ticket, &answer);
                    }));
                }
            }
        }
    }

    pub(super) fn turn_ending(&mut self) {
        self.call(|protocol, context| protocol.turn_ending(context));
    }

    pub(super) fn shut_down(&mut self) {
        self.call(|protocol, context| protocol.shut_down(context));
    }

    pub(super) fn lose(&mut self) {
        self.call(|protocol, context| protocol.connection_lost(context, Lost::Aborted));
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
        self.server.store.report(&statement, line.as_bytes(), origin);
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
