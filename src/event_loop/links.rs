//! The links to neighbours, and how connections are made at all.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::connection::{Attempts, Connection, Counting, Stream};
use super::system::{Lookup, System};
use super::{ConnectionId, EventLoop, Lost, Timer};
use crate::config::{Host, HostPort};
use crate::protocol::{Conversation, Dialled, NeighbourId, OutboundPeer, Transport};
use crate::text::peer_line::Epoch;

impl<S: System> EventLoop<S> {
    /// Takes over who the neighbours are: drops those that are gone, dials those that are new.
    pub(super) fn set_neighbours(&mut self, wanted: &[(String, HostPort)]) {
        for id in self.server.neighbours.ids() {
            let known = self.server.neighbours.get_mut(id);
            let address = wanted.iter().find(|(name, _)| **name == *known.name).map(|(_, address)| address);
            known.present = address.is_some();
            let moved = address.is_some_and(|address| *address != known.address);
            let (dialled, accepted) = (known.dialled.connection(), known.accepted);
            if let Some(link) = dialled.filter(|_| moved || !known.present) {
                self.abort(link);
            }
            if let Some(link) = accepted.filter(|_| address.is_none()) {
                self.abort(link);
            }
        }
        for (name, address) in wanted {
            let id = self.server.neighbours.set(name, address);
            self.dial_if_down(id);
        }
    }

    /// The delay before the next attempt is over, or that of an attempt that was superseded.
    pub(super) fn dial_in_time(&mut self, id: NeighbourId) {
        if self.now >= self.server.neighbours.get(id).dial_at {
            self.dial_if_down(id);
        }
    }

    /// Begins a link to a neighbour that has none.
    pub(super) fn dial_if_down(&mut self, id: NeighbourId) {
        let known = self.server.neighbours.get_mut(id);
        if !known.present || known.dialled != Dialled::Down || self.stop.is_some() {
            return;
        }
        known.dialled = Dialled::Resolving;
        let HostPort { host, port } = known.address.clone();
        match known_addresses(&host, port) {
            Some(addresses) => self.neighbour_resolved(id, Ok(addresses)),
            None => {
                let lookup = Lookup::Neighbour { number: id.0, generation: self.generation };
                self.system.resolve(&host.to_string(), port, lookup);
            }
        }
    }

    /// A lookup ended. One that was begun before the settings changed is begun anew.
    pub(super) fn neighbour_looked_up(
        &mut self,
        id: NeighbourId,
        generation: u64,
        addresses: io::Result<Vec<SocketAddr>>,
    ) {
        if generation == self.generation {
            self.neighbour_resolved(id, addresses);
        } else if self.server.neighbours.get(id).dialled == Dialled::Resolving {
            self.server.neighbours.get_mut(id).dialled = Dialled::Down;
            self.dial_if_down(id);
        }
    }

    fn neighbour_resolved(&mut self, id: NeighbourId, addresses: io::Result<Vec<SocketAddr>>) {
        let known = self.server.neighbours.get_mut(id);
        if known.dialled != Dialled::Resolving {
            return;
        }
        known.dialled = Dialled::Down;
        if !known.present || self.stop.is_some() {
            return;
        }
        let conversation = Conversation::OutboundPeer(OutboundPeer::new(id, self.now));
        let patience = self.server.silence;
        let made =
            addresses.and_then(|addresses| self.connect(addresses, patience, conversation, Stream::Plain));
        let known = self.server.neighbours.get_mut(id);
        match made {
            Ok(connection) => known.dialled = Dialled::Connecting(connection),
            Err(error) => {
                if !std::mem::replace(&mut known.trouble_logged, true) {
                    let (name, address) = (&known.name, &known.address);
                    self.server.log.event(format_args!(
                        "Connection to server {name} at {address} could not be made: {error}"
                    ));
                }
                self.link_lost(id);
            }
        }
    }

    /// A neighbour has dialled this server, so it lives: its own link need not wait any longer.
    pub(super) fn neighbour_lives(&mut self, id: NeighbourId, epoch: Epoch) {
        match self.server.neighbours.get(id).dialled {
            // It leads to an earlier life, whose end nobody may ever announce. It is dialled again
            // soon after that.
            Dialled::Up(link, other) if other != epoch => self.abort(link),
            Dialled::Down => self.dial_if_down(id),
            Dialled::Up(..) | Dialled::Connecting(_) | Dialled::Resolving => {}
        }
    }

    /// Dials a neighbour again after a while. Half of each delay is left to chance, so that
    /// neighbours that lost each other do not keep step.
    pub(super) fn link_lost(&mut self, id: NeighbourId) {
        let delay = self.server.neighbours.get_mut(id).next_delay();
        let chance = (self.system.random() >> 32) as u32;
        let delay = delay / 2 + (delay / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX));
        let dial_at = self.now + delay;
        self.server.neighbours.get_mut(id).dial_at = dial_at;
        self.timers.set(dial_at, Timer::Redial(id.0));
    }

    /// Begins a connection to the first of these addresses that can be reached. The last one may take as
    /// long as `patience`.
    pub(super) fn connect(
        &mut self,
        mut addresses: Vec<SocketAddr>,
        patience: Duration,
        conversation: Conversation,
        wrap: impl FnOnce(S::Stream) -> Stream<S::Stream>,
    ) -> io::Result<ConnectionId> {
        // They are taken from the end.
        addresses.truncate(ADDRESSES_MAX);
        addresses.reverse();
        let (stream, address) = self.try_addresses(&mut addresses)?;
        let mut connection = Connection::new(
            wrap(stream),
            address,
            conversation,
            Transport::new(self.water_marks),
            Counting::NotAtAll,
        );
        connection.attempts = Some(Box::new(Attempts { left: addresses, patience }));
        let id = self.connections.insert(connection);
        self.await_attempt(id);
        Ok(id)
    }

    /// Waits until an attempt succeeds or fails, or for long enough.
    fn await_attempt(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id)
            && let Some(attempts) = &connection.attempts
        {
            let Attempts { left, patience } = &**attempts;
            let patience = if left.is_empty() { *patience } else { ATTEMPT_MAX.min(*patience) };
            connection.transport.set_deadline(self.now + patience);
        }
        self.set_timer(id);
        self.register(id);
    }

    /// Sees how a connection that is being made gets on.
    pub(super) fn connection_progressed(&mut self, id: ConnectionId) {
        let Some(connection) =
            self.connections.get_mut(id).filter(|connection| connection.attempts.is_some())
        else {
            return;
        };
        let error = match self.system.is_connected(connection.stream.socket()) {
            Ok(false) => return,
            Ok(true) => {
                connection.attempts = None;
                connection.writable = true;
                self.call(id, |protocol, context| protocol.connection_made(context));
                self.mark_dirty(id);
                return;
            }
            Err(error) => error,
        };
        self.attempt_failed(id, error);
    }

    /// Goes on to the next address of a connection that is being made.
    pub(super) fn attempt_failed(&mut self, id: ConnectionId, error: io::Error) {
        let attempts = self.connections.get_mut(id).and_then(|connection| connection.attempts.take());
        let Some(mut attempts) = attempts else {
            return;
        };
        let next = self.try_addresses(&mut attempts.left);
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        // It stays one that is being made, also when no address is left.
        connection.attempts = Some(attempts);
        match next {
            Ok((stream, address)) => {
                *connection.stream.socket() = stream;
                connection.address = address;
                (connection.readable, connection.writable) = (false, false);
                connection.short_reads_lie = false;
                self.await_attempt(id);
            }
            Err(_) => self.doom(id, Lost::NotMade(error)),
        }
    }

    fn try_addresses(&mut self, addresses: &mut Vec<SocketAddr>) -> io::Result<(S::Stream, SocketAddr)> {
        let mut result = Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address"));
        while let Some(address) = addresses.pop() {
            result = self.system.connect(address).map(|stream| (stream, address));
            if result.is_ok() {
                break;
            }
        }
        result
    }
}

/// The addresses of a host that need not be looked up.
pub(super) fn known_addresses(host: &Host, port: u16) -> Option<Vec<SocketAddr>> {
    match host {
        Host::Address(address) => Some(vec![SocketAddr::new(*address, port)]),
        // RFC 6761, section 6.3: localhost is this machine, whatever a resolver says.
        Host::Name(_) if host.is_loopback() => {
            let both = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            Some(both.map(|address| SocketAddr::new(address, port)).to_vec())
        }
        Host::Name(_) => None,
    }
}

/// How long an address may take while there are others: a host whose first address leads nowhere must not be
/// lost for it. Longer than the second after which TCP asks again, if a packet was lost (RFC 6298, section 2).
pub(super) const ATTEMPT_MAX: Duration = Duration::from_millis(1500);
/// Addresses of a name that are tried: a name with a thousand of them is nobody's friend.
const ADDRESSES_MAX: usize = 8;
/// A name that was looked up is looked up again after so long.
pub(super) const LOOKUP_KEPT: Duration = Duration::from_secs(60);
