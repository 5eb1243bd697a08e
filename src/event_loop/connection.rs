//! The connections of a loop: a slab with one entry for each.

use std::net::SocketAddr;
use std::time::Duration;

use slab::Slab;

use super::stream::Stream;
use crate::clock::Moment;
use crate::protocol::{ConnectionId, ListenerTag, Lost, Transport};

/// A connection: its stream, its protocol, and the state between the two.
pub(super) struct Connection<S, P> {
    pub(super) stream: Stream<S>,
    pub(super) address: SocketAddr,
    pub(super) protocol: P,
    pub(super) transport: Transport,
    /// Input that the protocol has not consumed.
    pub(super) input: Vec<u8>,
    pub(super) life: Life,
    pub(super) quota: Counted,
    /// The moment of the earliest timer in the heap; [`Moment::NEVER`]: none.
    pub(super) timer_at: Moment,
    /// When the loop first saw that the deadline had passed; [`Moment::NEVER`]: it has not.
    pub(super) overdue_since: Moment,
    /// A read may bring something: an edge was reported and no read has met `WouldBlock` since.
    pub(super) readable: bool,
    /// A write may succeed: the same for writing.
    pub(super) writable: bool,
    /// A short read proves nothing; see [`Event::ShortReadsLie`](super::system::Event::ShortReadsLie).
    pub(super) short_reads_lie: bool,
    /// The peer has half-closed. Its last input may be unread.
    pub(super) peer_ended: bool,
    /// Input that was not consumed must be offered again, though nothing new has arrived.
    pub(super) offer_again: bool,
    /// The connection is in the list of those to serve.
    pub(super) listed: bool,
    /// The connection is in the list of those to flush.
    pub(super) dirty: bool,
    /// The connection is in the list of those that are called at the end of each turn.
    pub(super) called_at_turn_end: bool,
    generation: u32,
}

/// The life of a connection.
#[derive(Debug)]
pub(super) enum Life {
    /// TCP is being connected.
    Connecting(Box<Attempts>),
    /// TCP is connected, the TLS handshake is not complete. `is_made`: the protocol was told that the connection
    /// is made before the first byte began TLS.
    Handshaking { until: Moment, is_made: bool },
    /// The protocol is in charge. `unread_until`: when a peer that has half-closed must have taken more output;
    /// [`Moment::NEVER`]: it has not, or no output is pending.
    Open { input: InputState, unread_until: Moment },
    /// The protocol has closed it, and the rest of the output is being sent. `notified`: TLS has queued its
    /// close_notify.
    Closing { input_ended: bool, notified: bool, until: Moment },
    /// All output and the half-close were sent; the peer's half-close is awaited.
    Lingering { until: Moment },
    /// It is removed at the end of this turn. Boxed, since the reason would make every connection larger.
    Dead(Box<Lost>),
}

impl Life {
    /// A connection that has just become complete.
    pub(super) fn open() -> Life {
        Life::Open { input: InputState::Flowing, unread_until: Moment::NEVER }
    }
}

/// The receiving direction of an open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InputState {
    /// No byte was read. The first one decides between TLS and plain text, as the listener has it.
    Undecided(ListenerTag),
    Flowing,
    /// The peer's half-close was read, but not delivered, since input before it may be unconsumed.
    Ended,
    /// The half-close was delivered.
    HalfClosed,
}

/// The progress of a connection attempt.
#[derive(Debug)]
pub(super) struct Attempts {
    /// Addresses not tried yet, the next one last.
    pub(super) left: Vec<SocketAddr>,
    /// The time limit for the last address.
    pub(super) patience: Duration,
    /// When the present attempt is given up.
    pub(super) until: Moment,
    /// The time limit of the TLS handshake that follows; `None`: plain text.
    pub(super) handshake_max: Option<Duration>,
}

/// How a connection counts against the quota of its listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// One of `connections_max`.
    Admitted(ListenerTag),
    /// One of `spare`.
    Spare(ListenerTag),
    /// Not counted: it was dialled, or has left the quota.
    No,
}

impl<S, P> Connection<S, P> {
    pub(super) fn new(stream: Stream<S>, address: SocketAddr, protocol: P, transport: Transport) -> Self {
        Connection {
            stream,
            address,
            protocol,
            transport,
            input: Vec::new(),
            life: Life::open(),
            quota: Counted::No,
            timer_at: Moment::NEVER,
            overdue_since: Moment::NEVER,
            readable: false,
            writable: false,
            short_reads_lie: false,
            peer_ended: false,
            offer_again: false,
            listed: false,
            dirty: false,
            called_at_turn_end: false,
            generation: 0,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.life, Life::Open { .. })
    }

    pub(super) fn is_handshaking(&self) -> bool {
        matches!(self.life, Life::Handshaking { .. })
    }

    /// Whether serving the connection can make progress.
    pub(super) fn wants_service(&self) -> bool {
        match self.life {
            Life::Open { input, .. } => {
                let has_work = self.readable || self.offer_again || input == InputState::Ended;
                has_work && !self.transport.reading_is_paused()
            }
            Life::Handshaking { .. } | Life::Closing { .. } | Life::Lingering { .. } => self.readable,
            Life::Connecting(_) | Life::Dead(_) => false,
        }
    }

    /// The deadline: of the protocol while the connection is open, otherwise of the present state.
    pub(super) fn deadline(&self) -> Moment {
        match &self.life {
            Life::Connecting(attempts) => attempts.until,
            Life::Open { unread_until, .. } => self.transport.deadline().min(*unread_until),
            Life::Handshaking { until, .. } | Life::Closing { until, .. } | Life::Lingering { until } => {
                *until
            }
            Life::Dead(_) => Moment::NEVER,
        }
    }
}

/// All connections, by names that are never reused.
pub(super) struct Connections<S, P> {
    slab: Slab<Connection<S, P>>,
    generation: u32,
}

impl<S, P> Connections<S, P> {
    pub(super) fn new() -> Self {
        Connections { slab: Slab::new(), generation: 0 }
    }

    /// The name that the next connection will have.
    pub(super) fn next_id(&self) -> ConnectionId {
        // A slot gets the same name again after 2^32 connections; nothing remembers a name for so long.
        ConnectionId { slot: self.slab.vacant_key() as u32, generation: self.generation.wrapping_add(1) }
    }

    pub(super) fn insert(&mut self, mut connection: Connection<S, P>) -> ConnectionId {
        let id = self.take_id();
        connection.generation = id.generation;
        self.slab.insert(connection);
        id
    }

    /// Uses up a name without a connection.
    pub(super) fn take_id(&mut self) -> ConnectionId {
        let id = self.next_id();
        self.generation = id.generation;
        id
    }

    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection<S, P>> {
        self.slab.get_mut(id.slot as usize).filter(|connection| connection.generation == id.generation)
    }

    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<Connection<S, P>> {
        self.get_mut(id)?;
        self.slab.try_remove(id.slot as usize)
    }

    pub(super) fn ids(&self) -> Vec<ConnectionId> {
        let id = |(slot, connection): (usize, &Connection<S, P>)| ConnectionId {
            slot: slot as u32,
            generation: connection.generation,
        };
        self.slab.iter().map(id).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Connection<S, P>> {
        self.slab.iter().map(|(_, connection)| connection)
    }

    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }
}

/// The token under which a connection is registered with the system.
pub(super) fn token(id: ConnectionId) -> usize {
    (id.generation as usize) << 32 | id.slot as usize
}

/// The connection that is registered under a token.
pub(super) fn of_token(token: usize) -> ConnectionId {
    ConnectionId { slot: token as u32, generation: (token >> 32) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::WaterMarks;

    fn connection() -> Connection<(), ()> {
        let transport = Transport::new(WaterMarks::default());
        Connection::new(Stream::plain(()), "127.0.0.1:1".parse().unwrap(), (), transport)
    }

    #[test]
    fn a_name_is_never_reused() {
        let mut connections = Connections::new();
        let first = connections.insert(connection());
        assert!(connections.remove(first).is_some());
        let second = connections.insert(connection());
        assert_eq!(first.slot, second.slot, "the slot is reused");
        assert!(connections.get_mut(first).is_none() && connections.remove(first).is_none());
        assert!(connections.get_mut(second).is_some());
        assert_eq!(of_token(token(second)), second);
    }

    #[test]
    fn a_connection_is_small() {
        // A stream of mio has the size of a descriptor, except in builds with debug assertions.
        type Real = Connection<std::os::fd::OwnedFd, [u64; 11]>;
        assert!(size_of::<Real>() <= 256, "{} bytes, with a protocol of 88", size_of::<Real>());
        assert_eq!((size_of::<Transport>(), size_of::<Life>()), (48, 16));
    }
}
