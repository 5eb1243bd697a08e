//! TLS handshakes of accepted connections: the first byte of a connection, the number of handshakes at the same
//! time.

use std::io;

use super::connection::{InputState, Life};
use super::system::System;
use super::tls::{Side, TlsLayer};
use super::{Application, ConnectionId, EventLoop, ListenerTag, Lost, Protocol, READ_MAX};

/// The handshakes under way on connections whose first byte began TLS, the oldest first. A session costs
/// kilobytes and its handshake a millisecond, and both come before the peer has proved anything.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    under_way: Vec<UnderWay>,
}

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    id: ConnectionId,
    is_preferred: bool,
}

/// The consequence of one handshake more.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Start,
    /// It starts, and this older one ends.
    Replace(ConnectionId),
    Refuse,
}

impl Handshakes {
    /// Adds a handshake, unless there are too many. The oldest one makes room: an honest one takes a moment, so
    /// the oldest most likely never ends. Preferred ones make no room for others.
    fn add(&mut self, id: ConnectionId, is_preferred: bool) -> Verdict {
        let mut verdict = Verdict::Start;
        if self.under_way.len() >= HANDSHAKES_MAX {
            let oldest = self.under_way.iter().position(|other| !other.is_preferred);
            let Some(oldest) = oldest.or(is_preferred.then_some(0)) else {
                return Verdict::Refuse;
            };
            verdict = Verdict::Replace(self.under_way.remove(oldest).id);
        }
        self.under_way.push(UnderWay { id, is_preferred });
        verdict
    }

    /// Removes a handshake, if it is there.
    pub(super) fn remove(&mut self, id: ConnectionId) {
        self.under_way.retain(|other| other.id != id);
    }
}

impl<S: System, A: Application> EventLoop<S, A> {
    /// Reads the first bytes of a connection. The very first one decides between TLS and plain text. Returns the
    /// number of bytes.
    pub(super) fn read_first(&mut self, id: ConnectionId, listener: ListenerTag, buffer: &mut [u8]) -> usize {
        let Some(connection) = self.connections.get_mut(id) else {
            return 0;
        };
        let result = connection.stream.read(buffer, &mut []);
        let length = result.as_ref().map_or(0, |input| input.length);
        if length > 0 {
            if let Life::Open { input, .. } = &mut connection.life {
                *input = InputState::Flowing;
            }
            if buffer[0] == HANDSHAKE_RECORD && self.listeners[usize::from(listener.0)].tls.is_some() {
                self.start_handshake(id, listener, &buffer[..length]);
                return length;
            }
        }
        self.input_read(id, buffer, result)
    }

    /// Starts TLS on a connection whose first bytes are the beginning of it.
    fn start_handshake(&mut self, id: ConnectionId, listener: ListenerTag, received: &[u8]) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let is_preferred = self.application.is_preferred(connection.address);
        match self.handshakes.add(id, is_preferred) {
            Verdict::Start => {}
            Verdict::Replace(older) => self.kill(older, Lost::NotSecured(io::Error::other(TOO_MANY))),
            Verdict::Refuse => return self.kill(id, Lost::NotSecured(io::Error::other(TOO_MANY))),
        }
        let (Some(tls), Some(connection)) =
            (&self.listeners[usize::from(listener.0)].tls, self.connections.get_mut(id))
        else {
            return;
        };
        let session = match tls.settings.session() {
            Ok(session) => session,
            Err(error) => {
                self.handshakes.remove(id);
                return self.kill(id, Lost::NotSecured(error));
            }
        };
        connection.stream.start_tls(TlsLayer::new(session, Side::Accepted));
        connection.life = Life::Handshaking { until: self.clocks.now + tls.handshake_max, is_made: true };
        self.arm_timer(id);
        self.continue_handshake(id, received);
    }

    /// Continues a handshake. `received`: bytes that were read already.
    pub(super) fn continue_handshake(&mut self, id: ConnectionId, received: &[u8]) {
        self.tls_buffer.resize(READ_MAX, 0);
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Life::Handshaking { is_made, .. } = connection.life else { return };
        match connection.stream.handshake(received, &mut self.tls_buffer) {
            Ok(()) => {
                connection.life = Life::open();
                self.handshakes.remove(id);
                if is_made {
                    // This arms the timer, too: the deadline of the protocol counts again.
                    self.call(id, |protocol, context| protocol.secured(context));
                } else {
                    self.call(id, |protocol, context| protocol.connection_made(context));
                }
                self.mark_dirty(id);
            }
            Err(error) => self.reading_failed(id, error),
        }
    }
}

/// The content type of the first record of TLS (RFC 8446, section 5.1). No line of text begins with it.
const HANDSHAKE_RECORD: u8 = 0x16;
/// Handshakes of accepted connections at the same time (docs/protocol.md, section 4).
pub(super) const HANDSHAKES_MAX: usize = 64;
const TOO_MANY: &str = "too many TLS handshakes at the same time";

#[cfg(test)]
mod tests {
    use super::*;

    fn id(slot: u32) -> ConnectionId {
        ConnectionId { slot, generation: 1 }
    }

    #[test]
    fn the_oldest_handshake_makes_room_and_preferred_ones_last() {
        let mut handshakes = Handshakes::default();
        let preferred = |slot| slot % 2 == 0;
        for slot in 0..HANDSHAKES_MAX as u32 {
            assert_eq!(handshakes.add(id(slot), preferred(slot)), Verdict::Start);
        }
        assert_eq!(handshakes.add(id(100), true), Verdict::Replace(id(1)));
        handshakes.remove(id(5));
        handshakes.remove(id(5));
        assert_eq!(handshakes.add(id(102), true), Verdict::Start);
        for slot in (3..HANDSHAKES_MAX as u32).filter(|slot| slot % 2 == 1 && *slot != 5) {
            assert_eq!(handshakes.add(id(104 + slot), true), Verdict::Replace(id(slot)));
        }
        assert_eq!(handshakes.add(id(301), false), Verdict::Refuse);
        assert_eq!(handshakes.add(id(302), true), Verdict::Replace(id(0)));
    }
}
