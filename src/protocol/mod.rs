//! The contract between the event loop and the program that runs on it. It knows nothing of IAMAT,
//! neighbours or HTTP, and could carry any other protocol.
//!
//! A [`Protocol`] is one side of one connection: a state machine without a socket. The event loop calls it
//! when something happens, and it answers by writing into its [`Transport`]. It sees no file descriptor,
//! reads no clock and never waits. This is the contract of asyncio's protocols:
//!
//! ```text
//! connection_made  data_received*  eof_received?  connection_lost    each at most once, except data_received
//!                  pause_writing and resume_writing, in pairs        in between, at any time
//!                  timed_out, turn_ending, shut_down                 in between, at any time
//! ```
//!
//! `connection_made` comes after the TLS handshake of the connection, if there is one, and [`Context::tls`] says
//! who the peer is. A connection that could not be made, or whose handshake failed, gets `connection_lost` alone.
//!
//! There is one exception: a listener whose connections may be TLS or plain text cannot tell them apart before
//! the first byte, and a silent connection has deadlines, too. There, `connection_made` comes when the
//! connection is accepted. If the first byte begins TLS, nothing is called while the handshake is under way,
//! except `connection_lost` if it fails; then comes `secured`, and [`Context::tls`] is set from there on. A
//! protocol writes nothing before its first input on such a listener.
//!
//! An [`Application`] is the program as a whole: it chooses the protocol of each accepted connection,
//! receives [`Notice`]s and returns [`Command`]s.

mod application;
mod tls;
mod transport;

use std::io;
use std::net::SocketAddr;

use crate::clock::{Clocks, Moment};

pub use application::{
    Admission, Application, Arrival, Command, Delivery, Done, Lane, ListenerTag, Notice, Quota, Task, Work,
};
pub use tls::{TlsDial, TlsKeys, TlsListener, TlsPeer, TlsSession, TlsSettings};
pub use transport::{Close, Transport, WaterMarks};

/// One side of a connection; the module documentation has the order of calls.
pub trait Protocol {
    /// The state that all connections of the application share.
    type Shared;

    /// The connection is open: TCP is connected and the TLS handshake, if any, is complete; the module
    /// documentation has the one exception.
    fn connection_made(&mut self, context: &mut Context<'_, Self::Shared>);

    /// The connection was made before its first byte began TLS, and the handshake is complete.
    fn secured(&mut self, _context: &mut Context<'_, Self::Shared>) {}

    /// Consumes bytes from the front of `data` and returns how many. The rest is offered again together
    /// with later input, or when reading is resumed.
    fn data_received(&mut self, context: &mut Context<'_, Self::Shared>, data: &[u8]) -> usize;

    /// The peer has closed its sending direction. `rest` is the input that `data_received` did not consume. It
    /// is empty if the end of an accepted TLS connection was not announced: the rest may be truncated.
    fn eof_received(&mut self, context: &mut Context<'_, Self::Shared>, rest: &[u8]);

    /// The output has risen above the high-water mark.
    fn pause_writing(&mut self, _context: &mut Context<'_, Self::Shared>) {}

    /// The output has fallen to the low-water mark.
    fn resume_writing(&mut self, _context: &mut Context<'_, Self::Shared>) {}

    /// The deadline set on the transport has passed, and was cleared.
    fn timed_out(&mut self, context: &mut Context<'_, Self::Shared>);

    /// The turn of the loop ends and output is about to be written. Called once per turn while the protocol
    /// has asked for it with [`Transport::call_at_turn_end`]. Returns whether it has more output at once; if
    /// so, the loop does not sleep.
    fn turn_ending(&mut self, _context: &mut Context<'_, Self::Shared>) -> bool {
        false
    }

    /// Completes the work that was received, then closes the transport: the program shuts down gracefully.
    fn shut_down(&mut self, context: &mut Context<'_, Self::Shared>);

    /// The connection is gone.
    fn connection_lost(&mut self, context: &mut Context<'_, Self::Shared>, why: Lost);
}

/// Everything that a protocol can reach during one callback.
pub struct Context<'a, S> {
    /// The connection.
    pub id: ConnectionId,
    /// The peer's address.
    pub address: SocketAddr,
    /// What the TLS handshake has proved about the peer; `None`: the connection is plain text.
    pub tls: Option<&'a TlsPeer>,
    /// Monotonic time of the turn.
    pub now: Moment,
    /// Wall time, read after the input of this callback was read, in ns since 1970.
    pub wall: u64,
    /// The output buffer and switches of this connection.
    pub transport: &'a mut Transport,
    /// The state that all connections share.
    pub shared: &'a mut S,
}

impl<S> Context<'_, S> {
    /// Both clocks of this callback.
    pub fn clocks(&self) -> Clocks {
        Clocks { now: self.now, wall: self.wall }
    }
}

/// The name of a connection. It is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    /// The index in the loop's slab.
    pub slot: u32,
    /// The number of the connection, counted from 1, modulo 2^32.
    pub generation: u32,
}

/// Why a connection ended.
#[derive(Debug)]
pub enum Lost {
    /// This side closed it and all output was sent.
    Closed,
    /// This side aborted it.
    Aborted,
    /// The peer did not read the last output, or did not close its side, in time.
    TimedOut,
    /// Reading or writing failed.
    Failed(io::Error),
    /// The TLS handshake failed, was too slow, or had to make room for another.
    NotSecured(io::Error),
    /// The connection could not be made.
    NotMade(io::Error),
}
