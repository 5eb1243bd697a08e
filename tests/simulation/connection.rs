//! One simulated TCP connection: two endpoints, and one pipe of bytes in each direction.

use std::collections::VecDeque;

use crate::tap::{Handshake, Tap};
use crate::world::{Port, Time, port_kind};

/// An endpoint of a connection, and the pipe that it writes into.
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
    /// The port that was dialled.
    pub port: u16,
    /// The shortest time that a byte takes.
    pub latency: Time,
    /// The most bytes that arrive, or are read, together.
    pub piece_max: usize,
    /// The incarnation of the acceptor's host that it belongs to.
    pub incarnation: u32,
    /// A fault has affected it or one of its hosts: promises about it are not checked.
    pub faulted: bool,
    /// The acceptor has sent WELCOME: it is a link between servers.
    pub was_welcomed: bool,
    /// The number of other connections of the acceptor when it was accepted, links not counted.
    pub others: usize,
    /// The acceptor has answered a command of a client.
    pub was_served: bool,
    /// The TLS handshake.
    pub handshake: Handshake,
    /// Bytes of it were altered on their way.
    pub was_altered: bool,
}

impl Connection {
    pub fn endpoint(&mut self, side: Side) -> &mut Endpoint {
        &mut self.endpoints[side as usize]
    }

    /// The kind of port that was dialled.
    pub fn port_kind(&self) -> Port {
        port_kind(self.port)
    }

    /// Whether its acceptor could read and does not: it was notified of input, has not met the end of it
    /// since, and is not held up by pending output.
    pub fn is_overlooked(&self) -> bool {
        let acceptor = &self.endpoints[Side::Acceptor as usize];
        let has_input = self.has_input(Side::Acceptor);
        acceptor.is_registered() && has_input && !acceptor.read_armed && !acceptor.write_armed
    }

    /// Whether bytes have arrived at this side that it has not read.
    pub fn has_input(&self, side: Side) -> bool {
        self.pipes[side.other() as usize].arrived > 0
    }

    /// The pipe that this side writes into.
    pub fn pipe_from(&mut self, side: Side) -> &mut Pipe {
        &mut self.pipes[side as usize]
    }

    pub fn host(&self, side: Side) -> usize {
        self.endpoints[side as usize].host
    }
}

/// The progress of a connection attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Connecting,
    /// It failed with this error number.
    Failed(i32),
    Connected,
}

#[derive(Debug)]
pub struct Endpoint {
    pub host: usize,
    pub progress: Progress,
    /// Its process has not closed it. Until it is accepted, the acceptor's endpoint belongs to the system.
    pub open: bool,
    /// Its host lost power: it never sends anything again, not even its end.
    pub silent: bool,
    pub token: Option<usize>,
    /// An edge is reported as soon as there is something to read.
    pub read_armed: bool,
    /// An edge is reported as soon as there is room to write.
    pub write_armed: bool,
    /// It has sent the end of its output.
    pub shut: bool,
    /// A reset has arrived.
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

    /// Whether its process has it, and is notified of its edges.
    pub fn is_registered(&self) -> bool {
        self.open && self.token.is_some()
    }
}

/// The end of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Finished,
    Reset,
}

/// One direction.
#[derive(Debug)]
pub struct Pipe {
    /// Bytes that were sent and not read. The first `arrived` of them can be read.
    pub bytes: VecDeque<u8>,
    pub arrived: usize,
    /// The bytes after these are in flight: the time of arrival and the length of each piece.
    pub flight: VecDeque<(Time, usize)>,
    /// The end, after all bytes in flight, and the time of its arrival.
    pub end: Option<(Time, End)>,
    /// The end has arrived, after the bytes that can be read.
    pub ended: bool,
    /// Bytes that fit.
    pub window: usize,
    /// Bytes of the window that are in use, as far as the writer knows.
    pub used: usize,
    /// Bytes that were read and not acknowledged.
    pub freed: usize,
    /// Bytes in flight wait until a cut is healed.
    pub stuck: bool,
    /// An acknowledgement is in flight.
    pub acknowledging: bool,
    /// An acknowledgement waits until a cut is healed.
    pub acknowledgement_stuck: bool,
    /// Bytes arrived while the host had no power. When it is back, it answers with a reset.
    pub unanswered: bool,
    /// Nothing arrives before the bytes that were sent earlier.
    pub last_arrival: Time,
    /// When bytes were read last, or room to write had come for a reader that waited for it.
    pub read_at: Time,
    /// The records that were sent.
    pub tap: Tap,
    /// The incomplete last line between servers.
    pub line: Vec<u8>,
    /// Bytes that were sent to or by a server, and bytes that were read.
    pub sent: u64,
    pub read: u64,
    /// The ends of MARKs that were not read, in bytes sent.
    pub marks: VecDeque<u64>,
    /// When the first MARK was read that is not acknowledged.
    pub mark_read_at: Option<Time>,
    /// The number of ACKs that were sent.
    pub acks: u32,
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
            read_at: 0,
            tap: Tap::default(),
            line: Vec::new(),
            sent: 0,
            read: 0,
            marks: VecDeque::new(),
            mark_read_at: None,
            acks: 0,
        }
    }

    /// Whether a read returns bytes or an end.
    pub fn is_readable(&self) -> bool {
        self.arrived > 0 || self.ended
    }

    /// Notes that bytes were read.
    pub fn note_read(&mut self, length: usize, now: Time) {
        self.read_at = now;
        self.read += length as u64;
        while self.marks.front().is_some_and(|&end| end <= self.read) {
            self.marks.pop_front();
            self.mark_read_at.get_or_insert(now);
        }
    }

    /// Discards the bytes that have arrived.
    pub fn drop_arrived(&mut self) {
        self.bytes.drain(..std::mem::take(&mut self.arrived));
    }

    /// Discards all bytes that were sent and not read.
    pub fn drop_contents(&mut self) {
        self.bytes = VecDeque::new();
        self.arrived = 0;
        self.flight = VecDeque::new();
        self.line = Vec::new();
    }
}
