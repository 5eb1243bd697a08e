//! Making connections: one address after the other.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::connection::{Attempts, Connection, Life};
use super::stream::Stream;
use super::system::System;
use super::tls::{Side, TlsLayer};
use super::{Application, ConnectionId, EventLoop, Lost, Notice, Protocol, Transport};
use crate::clock::{Clocks, Moment};
use crate::protocol::{Context, TlsDial};

impl<S: System, A: Application> EventLoop<S, A> {
    /// Starts a connection to the first of these addresses that accepts.
    pub(super) fn connect(
        &mut self,
        tag: A::Tag,
        mut left: Vec<SocketAddr>,
        patience: Duration,
        tls: Option<TlsDial>,
        mut protocol: A::Protocol,
    ) {
        left.truncate(ADDRESSES_MAX);
        left.reverse();
        let handshake_max = tls.as_ref().map(|tls| tls.handshake_max);
        let started = self.start_attempt(&mut left).and_then(|(socket, address)| {
            let mut stream = Stream::plain(socket);
            if let Some(tls) = tls {
                stream.start_tls(TlsLayer::new(tls.settings.session()?, Side::Dialled));
            }
            Ok((stream, address))
        });
        let mut transport = Transport::new(self.water_marks);
        match started {
            Ok((stream, address)) => {
                let mut connection = Connection::new(stream, address, protocol, transport);
                let until = attempt_until(self.clocks.now, &left, patience);
                connection.life =
                    Life::Connecting(Box::new(Attempts { left, patience, until, handshake_max }));
                let connection = self.connections.insert(connection);
                self.application.notice(self.clocks, Notice::Connecting { tag, connection });
                self.arm_timer(connection);
                self.register(connection);
            }
            Err(error) => {
                // No socket, so no connection: the protocol is called without one.
                let id = self.connections.take_id();
                self.application.notice(self.clocks, Notice::Connecting { tag, connection: id });
                let Clocks { now, wall } = self.clocks;
                let address = SocketAddr::from(([0, 0, 0, 0], 0));
                let (transport, shared) = (&mut transport, self.application.shared());
                let mut context = Context { id, address, tls: None, now, wall, transport, shared };
                protocol.connection_lost(&mut context, Lost::NotMade(error));
            }
        }
    }

    /// Continues after an edge of a connection that is being made.
    pub(super) fn check_attempt(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Life::Connecting(attempts) = &connection.life else {
            return;
        };
        match self.system.is_connected(connection.stream.socket()) {
            Ok(false) => {}
            Ok(true) => {
                connection.writable = true;
                if let Some(handshake_max) = attempts.handshake_max {
                    connection.life =
                        Life::Handshaking { until: self.clocks.now + handshake_max, is_made: false };
                    // Serving it sends the ClientHello; the first read finds nothing.
                    connection.readable = true;
                    self.arm_timer(id);
                    self.list(id);
                } else {
                    connection.life = Life::open();
                    self.call(id, |protocol, context| protocol.connection_made(context));
                    self.mark_dirty(id);
                }
            }
            Err(error) => self.attempt_failed(id, error),
        }
    }

    /// Tries the next address.
    pub(super) fn attempt_failed(&mut self, id: ConnectionId, error: io::Error) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Life::Connecting(attempts) = &mut connection.life else {
            return;
        };
        let mut left = std::mem::take(&mut attempts.left);
        let next = self.start_attempt(&mut left);
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let (Ok((stream, address)), Life::Connecting(attempts)) = (next, &mut connection.life) else {
            return self.kill(id, Lost::NotMade(error));
        };
        *connection.stream.socket() = stream;
        connection.address = address;
        (connection.readable, connection.writable, connection.short_reads_lie) = (false, false, false);
        attempts.until = attempt_until(self.clocks.now, &left, attempts.patience);
        attempts.left = left;
        self.arm_timer(id);
        self.register(id);
    }

    fn start_attempt(&mut self, left: &mut Vec<SocketAddr>) -> io::Result<(S::Stream, SocketAddr)> {
        let mut result = Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address"));
        while let Some(address) = left.pop() {
            result = self.system.connect(address).map(|stream| (stream, address));
            if result.is_ok() {
                break;
            }
        }
        result
    }
}

/// When an attempt that starts now is given up: early if other addresses are left.
fn attempt_until(now: Moment, left: &[SocketAddr], patience: Duration) -> Moment {
    now + if left.is_empty() { patience } else { ATTEMPT_MAX.min(patience / 4) }
}

/// The time limit of an address while others are left, or a quarter of the patience if that is less, so that a silent
/// first address does not hide the rest (docs/protocol.md, section 6).
pub(super) const ATTEMPT_MAX: Duration = Duration::from_secs(1);
/// Bounds the connection attempts for one host name, which in one turn may all fail at once.
const ADDRESSES_MAX: usize = 64;
