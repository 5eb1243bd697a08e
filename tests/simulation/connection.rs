//! One simulated TCP connection: two endpoints, and a pipe of bytes each way.

use std::collections::VecDeque;

use crate::world::Time;

/// Which endpoint of a connection, and which pipe: the one that it writes into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Dialler,
    Acceptor,
}

impl Side {
    pub fn other(self) -> Side {
        match self {
            Side::Dialler => Side::Acceptor,
            Side::Acceptor => Side::Dialler,
        }
    }
}

#[derive(Debug)]
pub struct Connection {
    pub endpoints: [Endpoint; 2],
    pub pipes: [Pipe; 2],
    /// How long a byte takes, at least.
    pub latency: Time,
    /// Bytes that arrive, or are read, together at most.
    pub piece_max: usize,
    /// The life of the acceptor's host that it belongs to.
    pub life: u32,
    /// Something was done to it, or to one of its hosts, after which it need not keep its promises.
    pub faulted: bool,
}

impl Connection {
    pub fn endpoint(&mut self, side: Side) -> &mut Endpoint {
        &mut self.endpoints[side as usize]
    }

    /// Whether its acceptor could read and does not: it was told that something came, has not met the
    /// end of it since, and no output that waits holds it up.
    pub fn is_overlooked(&self) -> bool {
        let acceptor = &self.endpoints[Side::Acceptor as usize];
        let is_at_work = acceptor.open && acceptor.token.is_some();
        let has_input = self.pipes[Side::Dialler as usize].arrived > 0;
        is_at_work && has_input && !acceptor.read_armed && !acceptor.write_armed
    }

    /// The pipe that this side writes into.
    pub fn pipe_from(&mut self, side: Side) -> &mut Pipe {
        &mut self.pipes[side as usize]
    }

    pub fn host(&self, side: Side) -> usize {
        self.endpoints[side as usize].host
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Connecting,
    /// The handshake failed with this error number.
    Failed(i32),
    Connected,
}

#[derive(Debug)]
pub struct Endpoint {
    pub host: usize,
    pub progress: Progress,
    /// Its owner holds it. Before it is accepted, an acceptor's endpoint is held by its system.
    pub open: bool,
    /// Its host lost power: it never says anything again, not even that it ended.
    pub silent: bool,
    pub token: Option<usize>,
    /// An edge is owed as soon as there is something to read.
    pub read_armed: bool,
    /// An edge is owed as soon as there is room to write.
    pub write_armed: bool,
    /// The end of its output was announced.
    pub shut: bool,
    /// A reset came.
    pub reset: bool,
}

impl Endpoint {
    pub fn new(host: usize, progress: Progress) -> Endpoint {
        Endpoint {
            host,
            progress,
            open: true,
            silent: false,
            token: None,
            read_armed: false,
            write_armed: false,
            shut: false,
            reset: false,
        }
    }
}

/// How a direction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Finished,
    Reset,
}

/// One direction.
#[derive(Debug)]
pub struct Pipe {
    /// What was sent and not read. Of these bytes the first have arrived.
    pub bytes: VecDeque<u8>,
    /// How many can be read.
    pub arrived: usize,
    /// Behind these is what is on the way: the length of each piece, and the time at which it arrives.
    pub flight: VecDeque<(Time, usize)>,
    /// The end, behind everything that is on the way.
    pub end: Option<(Time, End)>,
    /// Whether the end has arrived, behind what can be read.
    pub ended: bool,
    /// Bytes that fit.
    pub window: usize,
    /// Bytes that the writer knows to be in the window.
    pub used: usize,
    /// Bytes that were read, of which the writer does not know yet.
    pub freed: usize,
    /// What is on the way waits until a cut is healed.
    pub stuck: bool,
    /// The news of `freed` is on the way; it waits until a cut is healed.
    pub acknowledging: bool,
    pub acknowledgement_stuck: bool,
    /// Bytes came for somebody who had lost power: when he is back, he answers with a reset.
    pub unanswered: bool,
    /// Nothing arrives before what was sent earlier.
    pub last_arrival: Time,
    /// When the reader read something last, or could go on to write what held up its reading.
    pub heard_at: Time,
    /// The beginning of a line between servers that has not been counted yet.
    pub line: Vec<u8>,
}

impl Pipe {
    pub fn new(window: usize) -> Pipe {
        Pipe {
            bytes: VecDeque::new(),
            arrived: 0,
            flight: VecDeque::new(),
            end: None,
            ended: false,
            window,
            used: 0,
            freed: 0,
            stuck: false,
            acknowledging: false,
            acknowledgement_stuck: false,
            unanswered: false,
            last_arrival: 0,
            heard_at: 0,
            line: Vec::new(),
        }
    }

    /// What can be read or learned by reading: bytes or an end.
    pub fn is_readable(&self) -> bool {
        self.arrived > 0 || self.ended
    }

    /// Forgets what has arrived.
    pub fn drop_arrived(&mut self) {
        self.bytes.drain(..std::mem::take(&mut self.arrived));
    }

    /// Forgets everything that was sent and not read.
    pub fn drop_contents(&mut self) {
        self.bytes = VecDeque::new();
        self.arrived = 0;
        self.flight = VecDeque::new();
        self.line = Vec::new();
    }
}
