//! What the loop asks of the operating system. In production that is mio; the same loop can run on
//! anything else that keeps this contract, a simulated network with its own clock included.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use crate::clock::Moment;

/// Sockets, clocks and chance.
///
/// Readiness is told by *edges*: an [`Event::Ready`] says that a direction became ready, once. The
/// operation must then be repeated until it fails with `WouldBlock`; before that no further event is
/// promised, with the one exception of [`System::short_reads_empty`]. An event may also be spurious.
pub trait System {
    /// A listening socket.
    type Listener;
    /// A connected socket, or one that is being connected. Never blocks.
    type Stream: Read + Write;

    /// Waits until something happens, or for `timeout`; appends what happened.
    fn poll(&mut self, timeout: Option<Duration>, events: &mut Vec<Event>) -> io::Result<()>;

    /// The next connection in the queue of a listener.
    fn accept(&mut self, listener: &mut Self::Listener) -> io::Result<(Self::Stream, SocketAddr)>;

    /// Whether a read that fills only a part of its buffer has emptied the stream, so that whatever
    /// arrives behind it comes with a new edge. Only until an [`Event::ShortReadsLie`] has come.
    fn short_reads_empty(&self) -> bool {
        false
    }

    /// Begins a connection.
    fn connect(&mut self, address: SocketAddr) -> io::Result<Self::Stream>;

    /// Asks for [`Event::Ready`] with this token, for both directions, as long as the stream lives.
    fn register(&mut self, stream: &mut Self::Stream, token: usize) -> io::Result<()>;

    /// Whether a connection that was begun has been made, or why it cannot be.
    fn is_connected(&mut self, stream: &mut Self::Stream) -> io::Result<bool>;

    /// Says that nothing more will be written.
    fn shut_down_writing(&mut self, stream: &mut Self::Stream) -> io::Result<()>;

    /// Looks up the addresses of a host, without blocking; an [`Event::Resolved`] brings them.
    fn resolve(&mut self, host: &str, port: u16, lookup: Lookup);

    /// Monotonic time.
    fn now(&self) -> Moment;

    /// Wall time in ns since 1970.
    fn wall(&self) -> u64;

    /// A random number.
    fn random(&mut self) -> u64;

    /// Appends to the server's log.
    fn write_log(&mut self, lines: &[u8]);
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// There are connections to accept.
    Accept,
    /// A stream became ready.
    Ready {
        /// The token that it was registered with.
        token: usize,
        /// There is something to read, an end or an error included.
        readable: bool,
        /// There is room to write, or a connection was made, or failed.
        writable: bool,
    },
    /// From now on a short read of the stream with this token may have left something, for which there is
    /// no further edge: an end of the other side's output, or what follows its urgent data.
    ShortReadsLie(usize),
    /// A lookup ended.
    Resolved {
        /// Which.
        lookup: Lookup,
        /// What it found.
        addresses: io::Result<Vec<SocketAddr>>,
    },
    /// The server shall end; a second time: at once.
    Stop,
    /// The server shall read its settings again.
    Reload,
}

/// What a lookup is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// A link to a neighbour, by its number.
    Neighbour {
        /// Which.
        number: usize,
        /// Of which settings its address is.
        generation: u64,
    },
    /// A connection to Places.
    Places {
        /// Of which settings its address is.
        generation: u64,
    },
}
