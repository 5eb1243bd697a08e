//! The dialling of neighbours (docs/protocol.md, section 2): a server retries neither earlier nor later than
//! its backoff allows, dials a neighbour that has dialled it at once, and dials only addresses that its
//! settings name.

use std::collections::{BTreeMap, BTreeSet};

use crate::connection::{End, Side};
use crate::world::{MILLISECOND, SECOND, Time, World};

/// The dialling of all neighbours by all servers.
pub struct Dialling {
    /// By the server that dials and its neighbour.
    pairs: BTreeMap<(usize, usize), Pair>,
    /// The HELLOs that were sent, by the server that receives them and its neighbour. Each lets the server
    /// dial at once.
    hellos: BTreeMap<(usize, usize), Hellos>,
    /// The HELLOs that were answered with WELCOME in this turn: server, neighbour, and when it was sent.
    welcomed_now: Vec<(usize, usize, Time)>,
    /// The ports that the settings of each server name.
    ports: Vec<BTreeSet<u16>>,
    /// Addresses are looked up, which takes time and may fail.
    has_lookups: bool,
}

#[derive(Default)]
struct Hellos {
    /// The connections on which a HELLO was sent and not answered, and when it was sent.
    pending: BTreeMap<usize, Time>,
    /// When a HELLO was last answered, or its connection closed.
    ended_at: Option<Time>,
}

/// One server that dials one neighbour.
#[derive(Default)]
struct Pair {
    /// The incarnation of the server.
    incarnation: u32,
    /// The newest connection; `None`: every attempt failed at once.
    connection: Option<usize>,
    /// The connections that were lost since the last ACK, or fewer.
    losses: u32,
    /// `losses` is exact.
    is_exact: bool,
    /// When the server dialled last.
    dialled_at: Time,
    /// When the newest connection was lost.
    lost_at: Time,
    /// The retry delay that began at `lost_at` has not ended.
    is_delayed: bool,
    /// The process was paused after `lost_at`.
    was_paused: bool,
}

impl Dialling {
    pub fn new(servers: usize, has_lookups: bool) -> Dialling {
        Dialling {
            pairs: BTreeMap::new(),
            hellos: BTreeMap::new(),
            welcomed_now: Vec::new(),
            ports: vec![BTreeSet::new(); servers],
            has_lookups,
        }
    }

    /// The settings of a server name these ports. Their neighbours may be dialled at once.
    pub fn settings_read(&mut self, server: usize, ports: BTreeSet<u16>) {
        self.ports[server] = ports;
        for (_, pair) in self.pairs.range_mut((server, 0)..(server + 1, 0)) {
            pair.is_delayed = false;
        }
    }

    /// The process of a server is paused: its retries may be late.
    pub fn paused(&mut self, server: usize) {
        for (_, pair) in self.pairs.range_mut((server, 0)..(server + 1, 0)) {
            pair.was_paused = true;
        }
    }

    pub fn hello_sent(&mut self, server: usize, neighbour: usize, connection: usize, now: Time) {
        self.hellos.entry((server, neighbour)).or_default().pending.insert(connection, now);
    }

    /// A HELLO was answered, or its connection was closed. Returns when it was sent.
    pub fn hello_ended(
        &mut self,
        server: usize,
        neighbour: usize,
        connection: usize,
        now: Time,
    ) -> Option<Time> {
        let hellos = self.hellos.get_mut(&(server, neighbour))?;
        let sent_at = hellos.pending.remove(&connection)?;
        hellos.ended_at = Some(now);
        Some(sent_at)
    }

    /// A HELLO was answered with WELCOME.
    pub fn hello_welcomed(&mut self, server: usize, neighbour: usize, connection: usize, now: Time) {
        if let Some(sent_at) = self.hello_ended(server, neighbour, connection, now) {
            self.welcomed_now.push((server, neighbour, sent_at));
        }
    }

    /// An ACK was sent on a connection.
    pub fn acknowledged(&mut self, server: usize, neighbour: usize, connection: usize) {
        if let Some(pair) = self.pairs.get_mut(&(server, neighbour))
            && pair.connection == Some(connection)
        {
            (pair.losses, pair.is_exact) = (0, false);
        }
    }
}

impl World {
    /// A server dials a neighbour. `connection`: `None`, if that fails at once.
    pub fn check_dial(&mut self, server: usize, neighbour: usize, port: u16, connection: Option<usize>) {
        let (now, incarnation) = (self.now, self.hosts[server].incarnation);
        let lookup_max = if self.dialling.has_lookups { LOOKUP_MAX } else { 0 };
        let has_hello = self.dialling.hellos.get(&(server, neighbour)).is_some_and(|hellos| {
            !hellos.pending.is_empty() || hellos.ended_at.is_some_and(|at| now <= at + lookup_max)
        });
        if !self.dialling.ports[server].contains(&port) {
            self.violate(|| format!("server {server} dials port {port}, which its settings do not name"));
        }
        let is_exact = !self.dialling.has_lookups;
        let pair = self.dialling.pairs.entry((server, neighbour)).or_default();
        if pair.incarnation != incarnation {
            *pair = Pair { incarnation, is_exact, ..Pair::default() };
        }
        let (losses, is_exact, was_paused) = (pair.losses, pair.is_exact, pair.was_paused);
        let (lost_at, is_delayed) = (pair.lost_at, std::mem::take(&mut pair.is_delayed));
        pair.dialled_at = now;
        match connection {
            Some(_) => pair.connection = connection,
            None => {
                pair.connection = None;
                pair.lost(now);
            }
        }
        if !is_delayed {
            return;
        }
        let (waited, delay_max) = (now - lost_at, delay_max(losses));
        let is_early = waited < delay_max / 2 && !has_hello;
        let is_late = waited > delay_max + LATE_MAX && is_exact;
        if (is_early || is_late) && !was_paused {
            self.violate(|| {
                format!(
                    "server {server} dials server {neighbour} again after {} ms, expected {} to {} ms",
                    waited / MILLISECOND,
                    delay_max / 2 / MILLISECOND,
                    delay_max / MILLISECOND
                )
            });
        }
    }

    /// A server has ended a turn: it must have dialled the neighbours that it has welcomed, if its own links
    /// to them were down.
    pub fn check_dialled_back(&mut self) {
        for (server, neighbour, hello_sent_at) in std::mem::take(&mut self.dialling.welcomed_now) {
            let host = &self.hosts[server];
            let Some(pair) = self.dialling.pairs.get(&(server, neighbour)) else { continue };
            let is_open = pair
                .connection
                .is_some_and(|index| self.connections[index].endpoints[Side::Dialler as usize].open);
            let is_down = !is_open && pair.dialled_at.max(pair.lost_at) < hello_sent_at;
            let must_dial = pair.incarnation == host.incarnation && host.is_up && !host.is_stopping;
            if is_down && must_dial && !self.dialling.has_lookups {
                self.violate(|| {
                    format!("server {server} has welcomed server {neighbour} and does not dial it")
                });
            }
        }
    }

    /// Whether a server that dials a neighbour has another address of it before, in the same attempt.
    pub fn has_dialled_before(&self, server: usize, neighbour: usize) -> bool {
        let Some(pair) = self.dialling.pairs.get(&(server, neighbour)) else { return false };
        let is_open = |index: usize| self.connections[index].endpoints[Side::Dialler as usize].open;
        let has_failed_now = pair.dialled_at == self.now && pair.lost_at == self.now;
        let is_under_way = pair.connection.map_or(has_failed_now, is_open);
        is_under_way && pair.incarnation == self.hosts[server].incarnation
    }

    /// A server dials the second address of a neighbour, before it closes the connection to the first.
    pub fn dial_continues(&mut self, index: usize) {
        if let Some(key) = self.dialled_pair(index)
            && let Some(pair) = self.dialling.pairs.get_mut(&key)
        {
            pair.connection = Some(index);
        }
    }

    /// A server closes a connection that it has dialled.
    pub fn note_lost_dial(&mut self, index: usize) {
        let Some(key) = self.dialled_pair(index) else { return };
        let (now, incarnation) = (self.now, self.hosts[key.0].incarnation);
        let pipe = &self.connections[index].pipes[Side::Acceptor as usize];
        let has_read_all = pipe.bytes.is_empty() && pipe.end.is_none_or(|(_, end)| end != End::Reset);
        let was_acknowledged = pipe.acks > 0;
        let was_altered = self.connections[index].was_altered;
        let is_exact = !self.dialling.has_lookups;
        if let Some(pair) = self.dialling.pairs.get_mut(&key)
            && pair.connection == Some(index)
            && pair.incarnation == incarnation
        {
            pair.is_exact |= is_exact && was_acknowledged && has_read_all && !was_altered;
            pair.lost(now);
        }
    }

    /// The server that has dialled a connection, and the host that it has dialled.
    fn dialled_pair(&self, index: usize) -> Option<(usize, usize)> {
        let connection = &self.connections[index];
        Some((connection.host(Side::Dialler), self.host_of_port(connection.port)?))
    }

    /// A server is idle: it must not keep a link to an address that its settings no longer name.
    pub fn check_address(&mut self, server: usize, neighbour: usize) {
        let Some(pair) = self.dialling.pairs.get(&(server, neighbour)) else { return };
        let Some(connection) = pair.connection.map(|index| &self.connections[index]) else {
            return;
        };
        let port = connection.port;
        let is_open = connection.endpoints[Side::Dialler as usize].open;
        if is_open
            && pair.incarnation == self.hosts[server].incarnation
            && !self.dialling.ports[server].contains(&port)
        {
            self.violate(|| {
                format!("server {server} keeps a link to port {port}, which its settings do not name")
            });
        }
    }
}

impl Pair {
    fn lost(&mut self, now: Time) {
        self.losses += 1;
        (self.lost_at, self.is_delayed, self.was_paused) = (now, true, false);
    }
}

/// The longest retry delay after so many losses. Jitter takes off up to half of it.
fn delay_max(losses: u32) -> Time {
    (DELAY_MIN << losses.saturating_sub(1).min(10)).min(DELAY_MAX)
}

/// The longest lookup, and a few turns.
const LOOKUP_MAX: Time = 201 * MILLISECOND;
/// The first retry delay and the longest one, without jitter.
const DELAY_MIN: Time = 50 * MILLISECOND;
const DELAY_MAX: Time = SECOND;
/// How late a retry may be.
const LATE_MAX: Time = MILLISECOND;
