//! A harness that runs one conversation without the event loop: it delivers input, takes output, and plays
//! Places.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use herd::clock::Moment;
use herd::config::{ClientsSection, Limits};
use herd::conversation::{Context, Conversation, Handle, Identity, NeighbourId, Server};
use herd::http::client::Response;
use herd::log::{Level, Log};
use herd::places::desk::{Outcome, QuestionId, Step};
use herd::places::dialect::Request;
use herd::protocol::{Close, ConnectionId, Lost, Protocol, Transport, WaterMarks};
use herd::text::peer_line::Epoch;

use super::pieces::{Chance, Pieces};

/// The herd, the server and the neighbour of every conversation.
pub const HERD: &str = "bruins";
pub const NAME: &str = "Riley";
pub const EPOCH: u64 = 0xee;
pub const NEIGHBOUR: &str = "Jaquez";
/// The time of receipt of the first line, in nanoseconds since 1970.
pub const START: u64 = 1_621_464_830_000_000_000;
/// The answer of Places to every question.
pub const PLACES: &str = r#"{"results":[1,2,3]}"#;

/// A server and one connection of it.
pub struct Harness {
    pub server: Server,
    transport: Transport,
    conversation: Conversation,
    water_marks: WaterMarks,
    input: Vec<u8>,
    eof: bool,
    /// Reading was resumed while the input was delivered.
    was_resumed: bool,
    now: Moment,
    wall: u64,
    /// The output that was sent.
    sent: Vec<u8>,
    /// The questions that the desk wants to ask.
    pending: VecDeque<QuestionId>,
    /// The number of connections to Places so far.
    connections: u32,
    /// All questions, in order.
    pub asked: Vec<Request>,
    chance: Chance,
    answer: Vec<u8>,
    /// Bytes of input that may be buffered besides those of a line.
    pub input_max: usize,
}

impl Harness {
    pub fn new(server: Server, conversation: Conversation, water_marks: WaterMarks, seed: u64) -> Harness {
        let answer = PLACES.into();
        let mut harness = Harness {
            server,
            transport: Transport::new(water_marks),
            conversation,
            water_marks,
            input: Vec::new(),
            eof: false,
            was_resumed: false,
            now: Moment::START,
            wall: START,
            sent: Vec::new(),
            pending: VecDeque::new(),
            connections: 0,
            asked: Vec::new(),
            chance: Chance::new(seed),
            answer,
            input_max: 0,
        };
        harness.call(|protocol, context| protocol.connection_made(context));
        harness
    }

    /// Delivers the stream in pieces. Between them it sends some output and answers some questions, in random
    /// order.
    pub fn receive(&mut self, stream: &[u8], pieces: Pieces) {
        for piece in pieces.of(stream) {
            self.input.extend_from_slice(piece);
            self.offer();
            self.turn_ending();
            match self.chance.below(8) {
                0..4 => self.send(usize::MAX),
                4 => {
                    let bytes = self.chance.below(100);
                    self.send(bytes);
                }
                5..7 => self.answer_one_question(),
                _ => {}
            }
        }
    }

    /// Delivers the end of the input.
    pub fn eof(&mut self) {
        self.eof = true;
        self.offer();
    }

    /// Sends output and answers questions until nothing changes any more.
    pub fn settle(&mut self) {
        loop {
            let before = (self.sent.len(), self.pending.len(), self.input.len());
            self.offer();
            self.carry_out_steps();
            self.send(usize::MAX);
            self.answer_one_question();
            let more = self.turn_ending();
            let after = (self.sent.len(), self.pending.len(), self.input.len());
            if before == after && self.transport.pending() == 0 && !more {
                return;
            }
        }
    }

    /// Lets the time pass after which a line without LF is carried out.
    pub fn silence(&mut self) {
        let time = self.server.limits.clients.end_line_after;
        self.now = self.now + time;
        self.wall += time.as_nanos() as u64;
        self.call(|protocol, context| protocol.timed_out(context));
        if self.transport.take_offer_again() {
            self.offer();
        }
    }

    /// Lets the heartbeat interval pass.
    pub fn heartbeat(&mut self) {
        self.now = self.now + self.server.heartbeat();
        self.call(|protocol, context| protocol.timed_out(context));
    }

    /// The whole output, sent or not.
    pub fn written(&self) -> Vec<u8> {
        [&self.sent, self.transport.unsent()].concat()
    }

    pub fn closing(&self) -> Option<Close> {
        self.transport.close_requested()
    }

    /// Ends the connection and returns the server.
    pub fn into_server(mut self) -> Server {
        self.with_context(|protocol, context| protocol.connection_lost(context, Lost::Closed));
        self.server
    }

    fn may_deliver(&self) -> bool {
        self.closing().is_none() && !self.transport.reading_is_paused()
    }

    fn offer(&mut self) {
        while self.may_deliver() && !self.input.is_empty() {
            let mut input = std::mem::take(&mut self.input);
            let used = self.call(|protocol, context| protocol.data_received(context, &input)).unwrap_or(0);
            input.drain(..used);
            self.input = input;
            if used == 0 && !std::mem::take(&mut self.was_resumed) {
                break;
            }
        }
        if self.may_deliver() && std::mem::take(&mut self.eof) {
            let rest = std::mem::take(&mut self.input);
            self.call(|protocol, context| protocol.eof_received(context, &rest));
        }
        if self.closing().is_some() {
            self.input.clear();
        }
        self.check_bounds();
    }

    /// Sends at most this number of bytes of the output.
    fn send(&mut self, bytes: usize) {
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

    /// Answers a random pending question.
    fn answer_one_question(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let index = self.chance.below(self.pending.len());
        if let Some(id) = self.pending.remove(index) {
            self.connections += 1;
            let connection = Handle::new(ConnectionId { slot: self.connections, generation: 1 });
            self.server.desk.connecting(id, connection);
            let response = Response { status: 200, body: self.answer.clone(), ..Response::default() };
            self.server.desk.answered(self.now, connection, Outcome::Response(response), false);
            self.carry_out_steps();
            self.offer();
        }
    }

    /// Notes the questions that the desk wants to ask, and delivers its answers.
    fn carry_out_steps(&mut self) {
        // Each call is a turn for the searches.
        while self.server.searches.begin_turn() {
            for (waiter, reply) in self.server.searches.advance(&mut self.server.store) {
                self.call(Handle::call(move |conversation: &mut Conversation, context| {
                    conversation.found(context, waiter.ticket, reply);
                }));
            }
        }
        while self.server.followers.next_due().is_some() {
            let was_paused = self.transport.reading_is_paused();
            self.call(Handle::call(Conversation::follow_on));
            self.was_resumed |= was_paused && !self.transport.reading_is_paused();
        }
        self.server.followers.turn_ended(self.server.store.sequence());
        while self.server.web.next_due().is_some() {
            let was_paused = self.transport.reading_is_paused();
            self.call(Handle::call(Conversation::list_on));
            self.was_resumed |= was_paused && !self.transport.reading_is_paused();
        }
        self.server.web.turn_ended();
        while let Some(step) = self.server.desk.next_step(self.now) {
            match step {
                Step::Connect(id) => {
                    self.asked.extend(self.server.desk.request(id).cloned());
                    self.pending.push_back(id);
                }
                Step::Answer(waiter, answer) => {
                    self.call(Handle::call(move |conversation: &mut Conversation, context| {
                        conversation.answered(context, waiter.ticket, &answer);
                    }));
                }
                Step::Ask(..) | Step::WakeAt(..) | Step::Abort(_) => {}
            }
        }
    }

    fn turn_ending(&mut self) -> bool {
        let is_called = self.transport.is_called_at_turn_end();
        is_called && self.call(|protocol, context| protocol.turn_ending(context)) == Some(true)
    }

    /// Calls the conversation, if the connection is open, and carries out what follows.
    fn call<T>(&mut self, call: impl FnOnce(&mut Conversation, &mut Context<'_>) -> T) -> Option<T> {
        if self.closing().is_some() {
            return None;
        }
        let result = self.with_context(call);
        if self.transport.must_pause_writing() {
            self.with_context(|protocol, context| protocol.pause_writing(context));
        }
        self.carry_out_steps();
        Some(result)
    }

    fn with_context<T>(&mut self, call: impl FnOnce(&mut Conversation, &mut Context<'_>) -> T) -> T {
        let mut context = Context {
            id: ID,
            address: ADDRESS,
            tls: None,
            now: self.now,
            wall: self.wall,
            transport: &mut self.transport,
            shared: &mut self.server,
        };
        let result = call(&mut self.conversation, &mut context);
        // The clock goes on by lines, not by pieces.
        self.wall = context.wall;
        if !self.server.log.lines().is_empty() {
            let is_printable = |byte: &u8| (b' '..=b'~').contains(byte) || *byte == b'\n';
            assert!(self.server.log.lines().iter().all(is_printable), "the log has only printable ASCII");
            self.server.log.clear();
        }
        result
    }

    fn check_bounds(&self) {
        let line_max = (self.server.limits.max_line + PEER_LINE_EXTRA).max(ACCEPTOR_LINE_MAX);
        if self.may_deliver() {
            let input_max = line_max.max(self.input_max);
            assert!(self.input.len() <= input_max, "{} bytes of buffered input", self.input.len());
        }
        let near_max = self.server.store.len().min(1000) * (line_max + KILOMETRES_MAX);
        let reply_max = PENDING_REPLIES_MAX + 2 * line_max + PLACES_ANSWER_MAX + near_max;
        let waiting = self.transport.pending();
        assert!(waiting <= self.water_marks.high as usize + reply_max, "{waiting} bytes of unsent output");
        assert!(self.pending.len() <= WHATSATS_MAX, "{} pending questions", self.pending.len());
    }
}

/// A server with an empty store and one neighbour.
pub fn server(limits: Limits) -> Server {
    let identity = Identity { herd: HERD.into(), name: NAME.into(), epoch: Epoch(EPOCH) };
    let log = Log::new(NAME, Level::Traffic);
    let mut server = Server::new(identity, limits, SILENCE, log);
    server.neighbours.add(NEIGHBOUR);
    server
}

/// The ID of [`NEIGHBOUR`].
pub const NEIGHBOUR_ID: NeighbourId = NeighbourId(0);

/// Derives limits and water marks from one byte. Most of them are small enough to be reached.
pub fn settings(byte: u8) -> (Limits, WaterMarks) {
    let limits = Limits {
        max_line: [64, 100, 1024, 8192][usize::from(byte & 3)],
        max_clients: [1, 3, 1000, 10_000_000][usize::from(byte >> 2 & 3)],
        expire_s: [0, 0, 3600, 0][usize::from(byte >> 2 & 3)],
        max_future_s: [0, 86_400][usize::from(byte >> 4 & 1)],
        clients: ClientsSection {
            end_line_after: [Duration::ZERO, SILENCE_OF_CLIENTS][usize::from(byte >> 7)],
            ..ClientsSection::default()
        },
        ..Limits::default()
    };
    let water_marks = [
        WaterMarks { high: 0, low: 0 },
        WaterMarks { high: 100, low: 10 },
        WaterMarks { high: 3000, low: 3000 },
    ];
    (limits, water_marks.get(usize::from(byte >> 5 & 3)).copied().unwrap_or_default())
}

const SILENCE_OF_CLIENTS: Duration = Duration::from_millis(150);
const SILENCE: Duration = Duration::from_secs(3);
const ID: ConnectionId = ConnectionId { slot: 3, generation: 5 };
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000);

/// Bounds of docs/protocol.md, section 6.
const PEER_LINE_EXTRA: usize = 1024;
const ACCEPTOR_LINE_MAX: usize = 2048;
const PENDING_REPLIES_MAX: usize = 64 * 1024;
const WHATSATS_MAX: usize = 64;
/// Bytes of a distance in a reply to NEAR, with the space after it.
const KILOMETRES_MAX: usize = 10;
/// A page of twenty results of the embedded places.
const PLACES_ANSWER_MAX: usize = 32 * 1024;
