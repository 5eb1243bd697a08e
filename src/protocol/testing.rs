//! A bench to try one protocol on, alone: bytes in, bytes out, no loop and no socket.

use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::config::{Host, HostPort, Limits};
use crate::log::{Level, Log};
use crate::store::Origin;
use crate::text::record::Statement;

/// Riley of the herd bruins, a neighbour of Jaquez, and one connection.
pub(super) struct Bench {
    pub(super) id: ConnectionId,
    pub(super) address: SocketAddr,
    pub(super) now: Moment,
    pub(super) wall: u64,
    pub(super) server: Server,
    pub(super) conversation: Conversation,
    transport: Transport,
    input: Vec<u8>,
    eof: bool,
}

impl Bench {
    pub(super) fn new(conversation: Conversation) -> Bench {
        let identity = Identity { herd: "bruins".into(), name: "Riley".into(), epoch: Epoch(0xee) };
        let log = Log::new("Riley", Level::Traffic);
        let mut server = Server::new(identity, Limits::default(), Duration::from_secs(3), log);
        server.neighbours.set("Jaquez", &HostPort { host: Host::Name("localhost".into()), port: 1 });
        let mut bench = Bench {
            id: ConnectionId { slot: 3, generation: 5 },
            address: "127.0.0.1:40000".parse().unwrap(),
            now: Moment::START + Duration::from_secs(100),
            wall: 1_621_464_830_000_000_000,
            server,
            conversation,
            transport: Transport::new(WaterMarks::default()),
            input: Vec::new(),
            eof: false,
        };
        bench.call(|protocol, context| protocol.connection_made(context));
        bench
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

    /// What the loop does with bytes: offers them behind those left unused, unless reading is paused.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.offer();
    }

    /// The other side sends no more. As in the loop this waits until reading is resumed.
    pub(super) fn eof(&mut self) {
        self.eof = true;
        self.offer();
    }

    fn offer(&mut self) {
        let may_read =
            |bench: &Bench| !bench.transport.reading_is_paused() && bench.transport.ending() == Ending::Open;
        while may_read(self) && !self.input.is_empty() {
            let input = std::mem::take(&mut self.input);
            let mut used = 0;
            let succeeded = self.call(|protocol, context| used = protocol.data_received(context, &input));
            self.input = input[used..].to_vec();
            if used == 0 && !succeeded {
                break;
            }
        }
        if may_read(self) && std::mem::take(&mut self.eof) {
            let rest = std::mem::take(&mut self.input);
            self.call(|protocol, context| protocol.eof_received(context, &rest));
        }
    }

    pub(super) fn time_out(&mut self) {
        self.transport.set_deadline(Moment::NEVER);
        self.call(|protocol, context| protocol.timed_out(context));
    }

    pub(super) fn tell(&mut self, message: Message) {
        self.call(|protocol, context| protocol.told(context, message));
        self.offer();
    }

    pub(super) fn turn_ending(&mut self) {
        self.call(|protocol, context| {
            protocol.turn_ending(context);
        });
    }

    pub(super) fn lose(&mut self) {
        self.call(|protocol, context| protocol.connection_lost(context, Lost::Aborted));
    }

    /// All output, as if the network took it at once.
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

    pub(super) fn requests(&mut self) -> Vec<Request> {
        self.server.requests.drain(..).collect()
    }

    pub(super) fn report(&mut self, id: &str, time: u32, origin: Origin) {
        let line = format!("AT Riley +0.000000000 {id} +1-1 {time}\n");
        let statement = Statement::parse(line.trim_end().as_bytes()).unwrap();
        self.server.store.report(&statement, line.as_bytes(), origin);
    }

    pub(super) fn log(&self) -> String {
        String::from_utf8(self.server.log.lines().to_vec()).unwrap()
    }

    pub(super) fn waiting(&self) -> usize {
        self.transport.waiting()
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

    pub(super) fn ending(&self) -> Ending {
        self.transport.ending()
    }

    /// Whether another conversation has taken over.
    fn call(&mut self, act: impl FnOnce(&mut dyn Protocol, &mut Context<'_>)) -> bool {
        let mut successor = None;
        self.with_context(&mut successor, act);
        let succeeded = successor.is_some();
        if let Some(successor) = successor {
            self.conversation = successor;
            self.with_context(&mut None, |protocol, context| protocol.connection_made(context));
        }
        if self.transport.must_pause_writing() {
            self.with_context(&mut None, |protocol, context| protocol.pause_writing(context));
        }
        succeeded
    }

    fn with_context(
        &mut self,
        successor: &mut Option<Conversation>,
        act: impl FnOnce(&mut dyn Protocol, &mut Context<'_>),
    ) {
        let mut context = Context {
            id: self.id,
            address: self.address,
            now: self.now,
            wall: self.wall,
            transport: &mut self.transport,
            server: &mut self.server,
            successor,
        };
        act(self.conversation.protocol(), &mut context);
    }
}
