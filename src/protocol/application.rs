//! The interface between the event loop and a program: the loop calls an [`Application`] with notices and
//! carries out the commands that it returns.

use std::any::Any;
use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::{ConnectionId, Context, Protocol, TlsDial, TlsListener};
use crate::clock::{Clocks, Moment};

/// A program that runs on the event loop. It owns no socket: each call returns at once, and everything
/// that takes time is a [`Command`] followed by a [`Notice`].
pub trait Application {
    /// The state that all connections share.
    type Shared;
    /// The protocols that the program speaks.
    type Protocol: Protocol<Shared = Self::Shared>;
    /// The name of a timer, a connection attempt or a piece of work, returned in its notice.
    type Tag: Copy + Ord;

    /// The state that all connections share.
    fn shared(&mut self) -> &mut Self::Shared;

    /// The protocol for a connection that was accepted; `None` closes it at once.
    fn accepted(&mut self, clocks: Clocks, arrival: &Arrival) -> Option<Self::Protocol>;

    /// Whether a connection from this address gets a place among the TLS handshakes of accepted connections
    /// before others do, when there are too many.
    fn is_preferred(&self, _address: SocketAddr) -> bool {
        false
    }

    /// Receives one notice.
    fn notice(&mut self, clocks: Clocks, notice: Notice<Self::Tag>);

    /// The next command to carry out; `None`: there is none until the next notice or callback.
    fn next_command(&mut self, clocks: Clocks) -> Option<Command<Self::Protocol, Self::Tag>>;

    /// Whether the turn should serve no further connection: what it has produced must be handed over first.
    fn must_end_turn(&self) -> bool {
        false
    }

    /// Bytes were read from a connection of this protocol: plain text, without what TLS adds.
    fn bytes_read(&mut self, _protocol: &Self::Protocol, _bytes: usize) {}

    /// Bytes were written to a connection of this protocol: plain text, without what TLS adds.
    fn bytes_written(&mut self, _protocol: &Self::Protocol, _bytes: usize) {}

    /// The turn before took this time, from the return of its poll to the end of [`Application::turn_ended`]. Called
    /// before the next poll, because a loop that is about to wait reads the clock there anyway.
    fn turn_lasted(&mut self, _nanoseconds: u64) {}

    /// The turn is over: the output of all connections was written. After the last turn (`is_last`) the loop only
    /// waits for the tasks that run. Returns whether there are commands to carry out.
    fn turn_ended(&mut self, _clocks: Clocks, _is_last: bool) -> bool {
        false
    }
}

/// A listener among the listeners of a loop: its index, in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListenerTag(pub u8);

/// How many accepted connections a listener allows at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Connections that count as admitted.
    pub connections_max: usize,
    /// Connections above `connections_max` that are still offered to the application, so that it can keep
    /// those that do not count (see [`Transport::leave_quota`](super::Transport::leave_quota)).
    pub spare: usize,
    /// Admitted connections of one remote address, loopback addresses excepted; 0: no limit. Further ones are
    /// treated as if `connections_max` were reached.
    pub per_address: usize,
}

/// The place of an accepted connection in the quota of its listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// One of `connections_max`.
    Admitted,
    /// One of `spare`.
    Spare,
    /// No place is left: the connection is closed, whatever the application returns.
    Full,
}

/// A connection that was accepted.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// The listener that accepted it.
    pub listener: ListenerTag,
    /// The peer's address.
    pub address: SocketAddr,
    /// Its place in the quota.
    pub admission: Admission,
}

/// An event that the application is notified of.
#[derive(Debug)]
pub enum Notice<T> {
    /// A connection of [`Command::Connect`] has got its name and is being made. Its protocol reports
    /// everything that follows.
    Connecting {
        /// The tag of the command.
        tag: T,
        /// The connection.
        connection: ConnectionId,
    },
    /// The work of [`Command::Run`] is done.
    Done {
        /// The tag of the command.
        tag: T,
        /// Its result.
        done: Done,
    },
    /// The time of [`Command::Timer`] has come.
    Timer(T),
    /// Accepting fails and is retried. The notice is not repeated until accepting has worked again.
    AcceptFailed(io::Error),
    /// The operator asks for the end: SIGTERM or SIGINT.
    Stop,
    /// After [`Command::Drain`]: all input that was received has been delivered.
    Drained,
}

/// A request to the event loop.
pub enum Command<P: Protocol, T> {
    /// Does this work off the loop's thread; [`Notice::Done`] follows.
    Run {
        /// The name in the notice.
        tag: T,
        /// The work.
        work: Work,
    },
    /// Connects to the first of these addresses that accepts; [`Notice::Connecting`] follows at once.
    Connect {
        /// The name in the notice.
        tag: T,
        /// Addresses in the order of preference.
        addresses: Vec<SocketAddr>,
        /// The time limit for the last address.
        patience: Duration,
        /// TLS on it; `None`: plain text.
        tls: Option<TlsDial>,
        /// The protocol of the connection.
        protocol: P,
    },
    /// Sends [`Notice::Timer`] at this moment.
    Timer {
        /// The moment.
        at: Moment,
        /// The name in the notice.
        tag: T,
    },
    /// Calls a protocol, if its connection is still open.
    Deliver {
        /// The connection.
        to: ConnectionId,
        /// The call.
        call: Delivery<P>,
    },
    /// Ends a connection without sending its output.
    Abort(ConnectionId),
    /// Changes the quota of a listener. Connections above a lower one stay.
    SetQuota(ListenerTag, Quota),
    /// Changes TLS on the later connections of a listener; `None`: plain text only.
    SetTls(ListenerTag, Option<TlsListener>),
    /// Accepts the backlog, then closes all listeners; [`Notice::Drained`] follows once all input that was
    /// received has been delivered.
    Drain,
    /// Aborts the connections that are being made and calls [`Protocol::shut_down`] of all others. The loop
    /// is over when the last connection is gone.
    ShutDown,
    /// Ends the loop now.
    Exit,
}

/// A call to the protocol of one connection.
pub type Delivery<P> = Box<dyn FnOnce(&mut P, &mut Context<'_, <P as Protocol>::Shared>)>;

/// Work that may block, done off the loop's thread.
#[derive(Debug)]
pub enum Work {
    /// Looks up the addresses of a host name.
    Resolve {
        /// The name.
        host: String,
        /// The port of the addresses.
        port: u16,
        /// The lane of the lookup: one of a name that does not answer delays those of its own lane only.
        lane: Lane,
    },
    /// Runs code of the application.
    Run(Box<dyn Task>),
}

/// Code of the application that may block. When it has run, the application gets it back, with its results and its
/// buffers.
pub trait Task: Any + Debug + Send {
    /// The lane that it runs in.
    fn lane(&self) -> Lane;

    /// Does the work. May block.
    fn run(&mut self);
}

/// The name of a thread that does work, one piece after another in the order of their commands. A slow one delays
/// those of its own lane only. At most 15 bytes, so that the operating system shows it whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane(pub &'static str);

/// The result of [`Work`].
#[derive(Debug)]
pub enum Done {
    /// The addresses that [`Work::Resolve`] has found.
    Resolved(io::Result<Vec<SocketAddr>>),
    /// The task of [`Work::Run`], which has run.
    Ran(Box<dyn Task>),
}
