//! What the simulated systems do when their process ends or begins.

use crate::connection::{Connection, End, Side};
use crate::world::World;

impl World {
    /// The process on a host has ended: what its system still held for it ends, too.
    pub fn process_ended(&mut self, host: usize) {
        let state = &mut self.hosts[host];
        state.is_up = false;
        (state.is_paused, state.is_stopping) = (false, false);
        state.events.clear();
        let (backlog, has_no_power) = (std::mem::take(&mut state.backlog), state.has_no_power);
        self.forget_wake(host);
        for index in backlog {
            self.connections[index].faulted = true;
            let endpoint = self.connections[index].endpoint(Side::Acceptor);
            endpoint.open = false;
            endpoint.silent = has_no_power;
            if !has_no_power {
                self.send_end(index, Side::Acceptor, End::Reset);
            }
        }
    }

    /// A server ends its turn: it must have let go of what cannot be made.
    pub fn check_refused(&mut self, server: usize) {
        let World { refused, connections, .. } = self;
        refused.retain(|&index| connections[index].endpoint(Side::Dialler).open);
        if refused.iter().any(|&index| connections[index].host(Side::Dialler) == server) {
            self.violate(|| format!("server {server} keeps a connection that cannot be made"));
        }
    }

    /// Whether anybody is connected to a server who is neither a neighbour nor Places.
    pub fn has_clients(&self, server: usize) -> bool {
        let is_clients = |connection: &Connection| {
            let [client, acceptor] = &connection.endpoints;
            client.host > self.places() && acceptor.host == server && acceptor.open
        };
        // The newest first: most of the others have ended.
        self.connections.iter().rev().any(is_clients)
    }

    /// A host has power and a process again.
    pub fn process_began(&mut self, host: usize) {
        let state = &mut self.hosts[host];
        state.life += 1;
        state.is_up = true;
        state.accept_armed = true;
        let had_no_power = std::mem::take(&mut state.has_no_power);
        if !had_no_power {
            return;
        }
        for index in 0..self.connections.len() {
            for side in [Side::Dialler, Side::Acceptor] {
                let connection = &mut self.connections[index];
                if connection.host(side) != host || connection.endpoint(side).open {
                    continue;
                }
                // Whoever never heard a word asks, after a while, whether anybody is there.
                let is_silent = connection.endpoint(side).silent && side == Side::Dialler;
                let never_spoke = is_silent && connection.pipe_from(side).last_arrival == 0;
                connection.pipe_from(side.other()).unanswered |= never_spoke;
                self.answer_with_reset(index, side);
            }
        }
    }
}
