//! The time of acknowledgements (docs/protocol.md, section 2): the first MARK of a link is acknowledged at
//! once, each later one within 20 ms.

use crate::connection::Side;
use crate::world::{MILLISECOND, Time, World, show};

impl World {
    /// A server has ended a turn. `is_idle`: it has nothing left to do.
    pub fn check_acknowledged(&mut self, server: usize, neighbour: usize, is_idle: bool) {
        let Some(link) = self.links.welcomed(server, neighbour) else { return };
        let now = self.now;
        let connection = &mut self.connections[link];
        let own = &connection.endpoints[Side::Acceptor as usize];
        // Without room, or after the end of the link, no ACK is sent. A record whose length was altered does not end.
        let is_blocked = connection.was_altered || !own.open || own.reset || own.write_armed;
        let acks = connection.pipes[Side::Acceptor as usize].acks;
        let pipe = connection.pipe_from(Side::Dialler);
        let Some(mark_read_at) = &mut pipe.mark_read_at else { return };
        if is_blocked || pipe.ended {
            *mark_read_at = now;
            return;
        }
        let since = *mark_read_at;
        let delay_max = if acks == 0 { 0 } else { COALESCED_FOR };
        if is_idle && now > since + delay_max + MARGIN {
            let since = show(since);
            self.violate(|| {
                format!("server {server} has not acknowledged a MARK of server {neighbour} since {since}")
            });
        }
    }
}

/// How long a MARK may wait for later ones.
const COALESCED_FOR: Time = 20 * MILLISECOND;
/// The time of a few turns.
const MARGIN: Time = MILLISECOND;
