//! The operating system as the event loop sees it. In production that is mio; any other implementation that
//! keeps this contract runs the same loop, a simulated network with its own clock included.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use crate::clock::{Clocks, Moment};
use crate::protocol::{Done, ListenerTag, Work};

/// Sockets, clocks, and work that may block.
///
/// Readiness is edge-triggered: an [`Event::Ready`] reports once that a direction became ready. The
/// operation must then be repeated until it fails with `WouldBlock`; before that no further event is
/// promised, with the one exception of [`System::short_reads_empty`]. An event may also be spurious.
pub trait System {
    /// A listening socket.
    type Listener;
    /// A connected socket, or one that is being connected. Never blocks.
    type Stream: Read + Write;

    /// Waits for events, at most for `timeout` (`None`: without limit), and appends them.
    fn poll(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()>;

    /// The next connection in the backlog of a listener.
    fn accept(&mut self, listener: &mut Self::Listener) -> io::Result<(Self::Stream, SocketAddr)>;

    /// Whether a read that fills only a part of its buffer has emptied the stream, so that later input
    /// comes with a new edge. No longer true of a stream after its [`Event::ShortReadsLie`] or
    /// [`Event::PeerEnded`].
    fn short_reads_empty(&self) -> bool {
        false
    }

    /// Starts a connection.
    fn connect(&mut self, address: SocketAddr) -> io::Result<Self::Stream>;

    /// Asks for [`Event::Ready`] with this token, for both directions, until the stream is dropped.
    fn register(&mut self, stream: &mut Self::Stream, token: usize) -> io::Result<()>;

    /// Whether a connection that was started is complete; the error says why it failed.
    fn is_connected(&mut self, stream: &mut Self::Stream) -> io::Result<bool>;

    /// Closes the sending direction.
    fn shut_down_writing(&mut self, stream: &mut Self::Stream) -> io::Result<()>;

    /// Starts work that may block; [`Event::Done`] with the same ticket brings the result. Tasks of one lane run in
    /// the order of these calls.
    fn run(&mut self, ticket: usize, work: Work);

    /// Monotonic time.
    fn now(&self) -> Moment;

    /// Wall time in ns since 1970.
    fn wall(&self) -> u64;

    /// A random number.
    fn random(&mut self) -> u64;

    /// Both clocks.
    fn clocks(&self) -> Clocks {
        Clocks { now: self.now(), wall: self.wall() }
    }
}

/// An event that the system reports.
#[derive(Debug)]
pub enum Event {
    /// A listener has connections to accept.
    Accept(ListenerTag),
    /// A stream became ready.
    Ready {
        /// The token that it was registered with.
        token: usize,
        /// There is input, an end of input or an error to read.
        readable: bool,
        /// There is room to write, or a connection attempt has succeeded or failed.
        writable: bool,
    },
    /// From now on a short read of the stream with this token may leave input without a further edge: after
    /// TCP urgent data.
    ShortReadsLie(usize),
    /// The peer of the stream with this token has closed its sending direction, or is gone. Input before that may
    /// be unread. Short reads lie from now on.
    PeerEnded(usize),
    /// Work is done.
    Done {
        /// The ticket of [`System::run`].
        ticket: usize,
        /// The result.
        done: Done,
    },
    /// SIGTERM, SIGINT, or SIGHUP from a terminal that has gone.
    Stop,
    /// Any other SIGHUP.
    Reload,
}
