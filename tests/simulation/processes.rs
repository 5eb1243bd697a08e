//! The simulated systems when a process starts or ends.

use crate::connection::{Connection, End, Endpoint, Progress, Side};
use crate::world::{Backlog, World};

impl World {
    /// The process on a host has ended, and with it the connections in its backlog.
    pub fn process_ended(&mut self, host: usize) {
        let state = &mut self.hosts[host];
        state.is_up = false;
        (state.is_paused, state.is_stopping) = (false, false);
        state.events.clear();
        state.store_busy_until = 0;
        let backlogs = std::mem::take(&mut state.backlogs);
        let has_no_power = state.has_no_power;
        self.cancel_wake(host);
        self.tasks_die(host);
        for index in backlogs.into_iter().flat_map(|backlog| backlog.connections) {
            self.connections[index].faulted = true;
            let endpoint = self.connections[index].endpoint(Side::Acceptor);
            endpoint.open = false;
            endpoint.silent = has_no_power;
            if !has_no_power {
                self.send_end(index, Side::Acceptor, End::Reset);
            }
        }
    }

    /// A server has ended a turn: it must have closed the connections that could not be made.
    pub fn check_failed_attempts(&mut self, server: usize) {
        let World { failed_attempts, connections, .. } = self;
        failed_attempts.retain(|&index| connections[index].endpoint(Side::Dialler).open);
        if failed_attempts.iter().any(|&index| connections[index].host(Side::Dialler) == server) {
            self.violate(|| format!("server {server} keeps a connection that could not be made"));
        }
    }

    /// A server has answered a command on this connection: it must not serve more clients than its quota
    /// allows.
    pub fn check_quota(&mut self, index: usize, connections_max: usize) {
        if std::mem::replace(&mut self.connections[index].was_served, true) {
            return;
        }
        let server = self.connections[index].host(Side::Acceptor);
        let port = self.connections[index].port_kind();
        let is_served = |connection: &&Connection| {
            let acceptor = &connection.endpoints[Side::Acceptor as usize];
            connection.was_served
                && acceptor.host == server
                && acceptor.open
                && connection.port_kind() == port
        };
        let served = self.connections.iter().filter(is_served).count();
        if served > connections_max {
            self.violate(|| {
                format!("server {server} serves {served} clients, expected at most {connections_max}")
            });
        }
    }

    /// Whether a client is connected to a server.
    pub fn has_clients(&self, server: usize) -> bool {
        let is_clients = |connection: &Connection| {
            let [client, acceptor] = &connection.endpoints;
            client.host > self.places() && acceptor.host == server && acceptor.open
        };
        // The newest first: most of the others have ended.
        self.connections.iter().rev().any(is_clients)
    }

    /// Whether a server has output that waits for room.
    pub fn has_blocked_output(&self, server: usize) -> bool {
        let is_blocked = |endpoint: &&Endpoint| {
            endpoint.host == server
                && endpoint.is_registered()
                && endpoint.write_armed
                && endpoint.progress == Progress::Connected
        };
        self.connections.iter().flat_map(|connection| &connection.endpoints).any(|own| is_blocked(&own))
    }

    /// Whether input has arrived that a server has not read, or a connection that it has not accepted.
    pub fn has_input(&self, server: usize) -> bool {
        let has_input = |connection: &Connection| {
            [Side::Dialler, Side::Acceptor].iter().any(|&side| {
                let own = &connection.endpoints[side as usize];
                own.host == server && own.open && connection.has_input(side)
            })
        };
        let has_backlog = |backlog: &Backlog| !backlog.connections.is_empty();
        self.hosts[server].backlogs.iter().any(has_backlog) || self.connections.iter().any(has_input)
    }

    /// A process that has started has this epoch.
    pub fn epoch_begins(&mut self, host: usize, epoch: u64) {
        let incarnation = self.hosts[host].incarnation;
        self.hosts[host].epochs.insert(incarnation, epoch);
    }

    /// A process starts on a host, whose power is on.
    pub fn process_started(&mut self, host: usize) {
        let state = &mut self.hosts[host];
        state.incarnation += 1;
        state.is_up = true;
        state.backlogs = Default::default();
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
                // A peer that has never received a byte probes the connection after a while.
                let is_silent = connection.endpoint(side).silent && side == Side::Dialler;
                let never_sent = is_silent && connection.pipe_from(side).last_arrival == 0;
                connection.pipe_from(side.other()).unanswered |= never_sent;
                self.answer_with_reset(index, side);
            }
        }
    }
}
