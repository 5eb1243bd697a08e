//! One conversation between bytes and bytes: what the event loop does with it, without the loop.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use herd::clock::Moment;
use herd::config::{Host, HostPort, Limits};
use herd::log::{Level, Log};
use herd::places::answer::Answer;
use herd::places::question::Question;
use herd::protocol::{
    ConnectionId, Context, Conversation, Ending, Identity, Message, NeighbourId, Protocol, Request, Server,
    Transport, WaterMarks,
};
use herd::text::peer_line::Epoch;

use super::pieces::{Chance, Pieces};

/// The herd, the server and the neighbour of every conversation here.
pub const HERD: &str = "bruins";
pub const NAME: &str = "Riley";
pub const EPOCH: u64 = 0xee;
pub const NEIGHBOUR: &str = "Jaquez";
/// When the first line is received, in nanoseconds since 1970.
pub const START: u64 = 1_621_464_830_000_000_000;
/// What Places answers to everything.
pub const PLACES: &str = r#"{"results":[1,2,3]}"#;

/// A connection of a server of the herd, and the server.
pub struct Stand {
    pub server: Server,
    transport: Transport,
    conversation: Conversation,
    water_marks: WaterMarks,
    input: Vec<u8>,
    eof: bool,
    now: Moment,
    wall: u64,
    /// What the network took.
    sent: Vec<u8>,
    /// The questions that were not answered yet.
    open: VecDeque<u32>,
    /// All questions, in their order.
    pub asked: Vec<Question>,
    chance: Chance,
    answer: Answer,
}

impl Stand {
    pub fn new(server: Server, conversation: Conversation, water_marks: WaterMarks, seed: u64) -> Stand {
        let answer = Answer::parse(PLACES.into()).expect("an answer");
        let mut stand = Stand {
            server,
            transport: Transport::new(water_marks),
            conversation,
            water_marks,
            input: Vec::new(),
            eof: false,
            now: Moment::START,
            wall: START,
            sent: Vec::new(),
            open: VecDeque::new(),
            asked: Vec::new(),
            chance: Chance::new(seed),
            answer,
        };
        stand.call(|protocol, context| protocol.connection_made(context));
        stand
    }

    /// Delivers the stream in pieces. Between them the network takes some of the output, and Places
    /// answers some questions in any order.
    pub fn receive(&mut self, stream: &[u8], pieces: Pieces) {
        for piece in pieces.of(stream) {
            self.input.extend_from_slice(piece);
            self.offer();
            self.turn_ending();
            match self.chance.below(8) {
                0..4 => self.take(usize::MAX),
                4 => {
                    let bytes = self.chance.below(100);
                    self.take(bytes);
                }
                5..7 => self.places_answers(),
                _ => {}
            }
        }
    }

    /// The other side sends no more.
    pub fn eof(&mut self) {
        self.eof = true;
        self.offer();
    }

    /// Lets everything happen that can still happen.
    pub fn settle(&mut self) {
        loop {
            let before = (self.sent.len(), self.open.len(), self.input.len());
            self.take(usize::MAX);
            self.places_answers();
            let more = self.turn_ending();
            let after = (self.sent.len(), self.open.len(), self.input.len());
            if before == after && self.transport.waiting() == 0 && !more {
                return;
            }
        }
    }

    /// The time of a heartbeat passes.
    pub fn heartbeat(&mut self) {
        self.now = self.now + self.server.heartbeat();
        self.call(|protocol, context| protocol.timed_out(context));
    }

    /// All that was ever written.
    pub fn written(&self) -> Vec<u8> {
        [&self.sent, self.transport.unsent()].concat()
    }

    pub fn ending(&self) -> Ending {
        self.transport.ending()
    }

    /// Gives the server up for another connection of it.
    pub fn into_server(mut self) -> Server {
        self.conversation.protocol().connection_lost(
            &mut Context {
                id: ID,
                address: ADDRESS,
                now: self.now,
                wall: self.wall,
                transport: &mut self.transport,
                server: &mut self.server,
                successor: &mut None,
            },
            herd::protocol::Lost::Closed,
        );
        self.server
    }

    fn may_deliver(&self) -> bool {
        self.transport.ending() == Ending::Open && !self.transport.reading_is_paused()
    }

    fn offer(&mut self) {
        while self.may_deliver() && !self.input.is_empty() {
            let mut input = std::mem::take(&mut self.input);
            let mut used = 0;
            let succeeded = self.call(|protocol, context| used = protocol.data_received(context, &input));
            input.drain(..used);
            self.input = input;
            if used == 0 && !succeeded {
                break;
            }
        }
        if self.may_deliver() && std::mem::take(&mut self.eof) {
            let rest = std::mem::take(&mut self.input);
            self.call(|protocol, context| protocol.eof_received(context, &rest));
        }
        if self.transport.ending() != Ending::Open {
            self.input.clear();
        }
        self.check_bounds();
    }

    /// The network takes so many bytes of the output.
    fn take(&mut self, bytes: usize) {
        let output = self.transport.unsent();
        let output = &output[..output.len().min(bytes)];
        self.sent.extend_from_slice(output);
        let length = output.len();
        self.transport.note_sent(length);
        if self.transport.must_resume_writing() {
            self.call(|protocol, context| protocol.resume_writing(context));
            self.offer();
        }
    }

    /// Places answers one question, whichever it likes.
    fn places_answers(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let which = self.chance.below(self.open.len());
        if let Some(ticket) = self.open.remove(which) {
            let answer = self.answer.clone();
            self.call(|protocol, context| protocol.told(context, Message::Answer { ticket, answer }));
            self.offer();
        }
    }

    fn turn_ending(&mut self) -> bool {
        let mut more = false;
        if matches!(self.conversation, Conversation::OutboundPeer(_)) {
            self.call(|protocol, context| more = protocol.turn_ending(context));
        }
        more
    }

    /// Whether another conversation has taken over.
    fn call(&mut self, act: impl FnOnce(&mut dyn Protocol, &mut Context<'_>)) -> bool {
        if self.transport.ending() != Ending::Open {
            return false;
        }
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
        for request in std::mem::take(&mut self.server.requests) {
            if let Request::Ask { ticket, question, .. } = request {
                self.open.push_back(ticket);
                self.asked.push(question);
            }
        }
        succeeded
    }

    fn with_context(
        &mut self,
        successor: &mut Option<Conversation>,
        act: impl FnOnce(&mut dyn Protocol, &mut Context<'_>),
    ) {
        let mut context = Context {
            id: ID,
            address: ADDRESS,
            now: self.now,
            wall: self.wall,
            transport: &mut self.transport,
            server: &mut self.server,
            successor,
        };
        act(self.conversation.protocol(), &mut context);
        // The next lines are received later, however they are cut.
        self.wall = context.wall;
        if !self.server.log.lines().is_empty() {
            let is_plain = |byte: &u8| (b' '..=b'~').contains(byte) || *byte == b'\n';
            assert!(self.server.log.lines().iter().all(is_plain), "the log holds printable ASCII only");
            self.server.log.clear();
        }
    }

    fn check_bounds(&self) {
        let line_max = (self.server.limits.max_line + PEER_LINE_EXTRA).max(ACCEPTOR_LINE_MAX);
        if self.may_deliver() {
            assert!(self.input.len() <= line_max, "{} bytes of input are kept", self.input.len());
        }
        let reply_max = REPLIES_BEHIND_MAX + 2 * line_max + PLACES_ANSWER_MAX;
        let waiting = self.transport.waiting();
        assert!(waiting <= self.water_marks.high as usize + reply_max, "{waiting} bytes of output wait");
        assert!(self.open.len() <= WHATSATS_MAX, "{} questions are open", self.open.len());
    }
}

/// A server that knows nobody, with one neighbour.
pub fn server(limits: Limits) -> Server {
    let identity = Identity { herd: HERD.into(), name: NAME.into(), epoch: Epoch(EPOCH) };
    let log = Log::new(NAME, Level::Traffic);
    let mut server = Server::new(identity, limits, Duration::from_secs(3), log);
    server.neighbours.set(NEIGHBOUR, &HostPort { host: Host::Name("localhost".into()), port: 1 });
    server
}

/// The id of [`NEIGHBOUR`].
pub const NEIGHBOUR_ID: NeighbourId = NeighbourId(0);

/// Limits and water_marks out of one byte, most of them small enough to be met.
pub fn settings(byte: u8) -> (Limits, WaterMarks) {
    let limits = Limits {
        max_line: [64, 100, 1024, 8192][usize::from(byte & 3)],
        max_clients: [1, 3, 1000, 10_000_000][usize::from(byte >> 2 & 3)],
        max_future_s: [0, 86_400][usize::from(byte >> 4 & 1)],
        ..Limits::default()
    };
    let water_marks = [
        WaterMarks { high: 0, low: 0 },
        WaterMarks { high: 100, low: 10 },
        WaterMarks { high: 3000, low: 3000 },
    ];
    (limits, water_marks.get(usize::from(byte >> 5 & 3)).copied().unwrap_or_default())
}

const ID: ConnectionId = ConnectionId { slot: 3, generation: 5 };
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000);

/// What docs/protocol.md, section 6, allows.
const PEER_LINE_EXTRA: usize = 1024;
const ACCEPTOR_LINE_MAX: usize = 2048;
const REPLIES_BEHIND_MAX: usize = 64 * 1024;
const WHATSATS_MAX: usize = 64;
/// A page of twenty results of the embedded places.
const PLACES_ANSWER_MAX: usize = 32 * 1024;
