//! The sockets of the simulated systems (connect, accept, read, write, close), and the network between them.

use std::io::{self, Read};
use std::net::SocketAddr;

use herd::event_loop::system::Event;
use herd::protocol::ListenerTag;

use crate::connection::{Connection, End, Endpoint, Pipe, Progress, Side};
use crate::tap::Handshake;
use crate::world::{Happening, MILLISECOND, Port, SECOND, Time, World, would_block};

impl World {
    /// Starts a connection from a host to an address.
    pub fn connect(&mut self, from: usize, address: SocketAddr) -> io::Result<usize> {
        let to = self.host_at(address);
        let meant = self.host_of_port(address.port());
        let neighbour = meant.filter(|&meant| meant < self.servers && from < self.servers);
        let continues = neighbour.is_some_and(|neighbour| self.has_dialled_before(from, neighbour));
        if self.hosts[from].descriptors >= self.hosts[from].descriptors_max {
            if let Some(neighbour) = neighbour.filter(|_| !continues) {
                self.check_dial(from, neighbour, address.port(), None);
            }
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        self.hosts[from].descriptors += 1;
        let latency = self.chance.magnitude(20_000, self.conditions.latency_max);
        let mut window = || self.chance.magnitude(self.conditions.window_min as u64, WINDOW_MAX) as usize;
        let pipes = [Pipe::new(window()), Pipe::new(window())];
        let comes_in_pieces = self.chance.one_in(self.conditions.pieces_one_in);
        let piece_max = if comes_in_pieces { self.chance.magnitude(1, 64) as usize } else { usize::MAX };
        let endpoints = [
            Endpoint::new(from, Progress::Connecting),
            Endpoint::new(to.unwrap_or(from), Progress::Connected),
        ];
        self.connections.push(Connection {
            endpoints,
            pipes,
            port: address.port(),
            latency,
            piece_max,
            incarnation: 0,
            faulted: false,
            was_welcomed: false,
            others: 0,
            was_served: false,
            handshake: Handshake::default(),
            was_altered: false,
        });
        let connection = self.connections.len() - 1;
        // Until a request arrives, the other side has no endpoint.
        self.connections[connection].endpoint(Side::Acceptor).open = false;
        if let Some(neighbour) = neighbour {
            self.crossings.link_dialled(from, neighbour);
            if continues {
                self.dial_continues(connection);
            } else {
                self.check_dial(from, neighbour, address.port(), Some(connection));
            }
        }
        let refused = to.is_none() || self.chance.one_in(self.conditions.refused_one_in);
        if refused {
            self.schedule_in(latency, Happening::NotMade { connection, error: ECONNREFUSED });
        } else if self.places_hangs && to == Some(self.places()) {
        } else if !self.chance.one_in(self.conditions.hanging_one_in) {
            self.schedule_in(latency, Happening::Request { connection, attempt: 0 });
        }
        Ok(connection)
    }

    /// A connection request arrives at its host, or is lost.
    pub fn requested(&mut self, index: usize, attempt: u32) {
        let connection = &self.connections[index];
        let latency = connection.latency;
        let (from, to) = (connection.host(Side::Dialler), connection.host(Side::Acceptor));
        let is_closed = !connection.endpoints[0].open;
        let host = &self.hosts[to];
        let lost = self.is_cut(from, to)
            || host.has_no_power
            || host.backlogs[connection.port_kind() as usize].connections.len() >= BACKLOG_MAX;
        if is_closed && (lost || attempt > 0) {
            // A socket closed in SYN-SENT is deleted (RFC 9293, section 3.10.4): it retransmits nothing.
            return;
        }
        if lost {
            if attempt < ATTEMPTS_MAX {
                let again = Happening::Request { connection: index, attempt: attempt + 1 };
                self.schedule_in(SECOND << attempt, again);
            } else {
                self.schedule_in(0, Happening::NotMade { connection: index, error: ETIMEDOUT });
            }
            return;
        }
        if !host.is_up {
            self.schedule_in(latency, Happening::NotMade { connection: index, error: ECONNREFUSED });
            return;
        }
        let (incarnation, is_stopping) = (host.incarnation, host.is_stopping);
        let connection = &mut self.connections[index];
        connection.incarnation = incarnation;
        connection.faulted |= is_stopping;
        connection.endpoint(Side::Acceptor).open = true;
        let made = self.now + latency;
        self.connections[index].pipe_from(Side::Acceptor).last_arrival = made;
        let port = self.connections[index].port_kind();
        let backlog = &mut self.hosts[to].backlogs[port as usize];
        backlog.connections.push_back(index);
        if to < self.servers && std::mem::take(&mut backlog.is_armed) {
            self.notify(to, Event::Accept(ListenerTag(port as u8)));
        }
        self.schedule(made, Happening::Made { connection: index });
    }

    /// The dialler learns that its connection is made, or cannot be made.
    pub fn attempt_ended(&mut self, index: usize, progress: Progress) {
        let connection = &mut self.connections[index];
        let (from, to) = (connection.host(Side::Dialler), connection.host(Side::Acceptor));
        if progress == Progress::Connected
            && self.is_cut(to, from)
            && self.connections[index].endpoint(Side::Dialler).open
        {
            // The acceptor retransmits its SYN-ACK.
            self.schedule_in(SECOND, Happening::Made { connection: index });
            return;
        }
        let endpoint = self.connections[index].endpoint(Side::Dialler);
        if endpoint.silent && !endpoint.open {
            self.connections[index].pipe_from(Side::Acceptor).unanswered = true;
            if !self.hosts[from].has_no_power {
                self.answer_with_reset(index, Side::Dialler);
            }
            return;
        }
        if !endpoint.open || endpoint.progress != Progress::Connecting {
            return;
        }
        endpoint.progress = progress;
        endpoint.write_armed = true;
        if from < self.servers && progress != Progress::Connected {
            self.failed_attempts.push(index);
        }
        self.notify_edges(index, Side::Dialler, progress != Progress::Connected, true);
    }

    /// Reports an end. Where a short read empties the socket, an end is always an edge of its own, and
    /// reported as an end.
    fn notify_end(&mut self, index: usize, side: Side) {
        let empties = self.conditions.short_reads_empty;
        let endpoint = self.connections[index].endpoint(side);
        if let Some(token) = endpoint.token {
            endpoint.read_armed |= empties;
            let host = endpoint.host;
            self.notify(host, Event::PeerEnded(token));
        }
    }

    /// Reports the edges that are armed.
    fn notify_edges(&mut self, index: usize, side: Side, readable: bool, writable: bool) {
        let endpoint = self.connections[index].endpoint(side);
        let readable = readable && std::mem::take(&mut endpoint.read_armed);
        let writable = writable && std::mem::take(&mut endpoint.write_armed);
        let (host, token) = (endpoint.host, endpoint.token);
        if let Some(token) = token.filter(|_| readable || writable) {
            self.notify(host, Event::Ready { token, readable, writable });
        }
    }

    /// From now on, edges of this endpoint are reported with this token.
    pub fn register(&mut self, index: usize, side: Side, token: usize) {
        let connection = &mut self.connections[index];
        let readable = connection.pipe_from(side.other()).is_readable();
        let has_ended = connection.pipe_from(side.other()).ended;
        let pipe = connection.pipe_from(side);
        let has_room = pipe.used < pipe.window;
        let endpoint = connection.endpoint(side);
        endpoint.token = Some(token);
        endpoint.read_armed = true;
        endpoint.write_armed = true;
        let is_settled = endpoint.progress != Progress::Connecting;
        if has_ended {
            self.notify_end(index, side);
        }
        self.notify_edges(index, side, readable && is_settled, has_room && is_settled);
    }

    pub fn accept(&mut self, host: usize, port: Port) -> io::Result<(usize, SocketAddr)> {
        let state = &mut self.hosts[host];
        let backlog = &mut state.backlogs[port as usize];
        if backlog.connections.is_empty() {
            backlog.is_armed = true;
            return Err(would_block());
        }
        if state.descriptors >= state.descriptors_max {
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        let Some(index) = backlog.connections.pop_front() else {
            return Err(would_block());
        };
        state.descriptors += 1;
        let is_other = |other: &&Connection| {
            let acceptor = &other.endpoints[Side::Acceptor as usize];
            acceptor.host == host
                && acceptor.is_registered()
                && !other.was_welcomed
                && other.port_kind() == port
        };
        self.connections[index].others = self.connections.iter().filter(is_other).count();
        Ok((index, SocketAddr::from(([127, 0, 0, 1], EPHEMERAL_PORT + (index % 20_000) as u16))))
    }

    pub fn is_connected(&mut self, index: usize, side: Side) -> io::Result<bool> {
        let connection = &mut self.connections[index];
        let (own, other) = (connection.host(side), connection.host(side.other()));
        match connection.endpoint(side).progress {
            Progress::Connected => {
                if own < self.servers && other < self.servers && self.trusted[own].is_some() {
                    self.handshake_begins(own, index);
                }
                Ok(true)
            }
            Progress::Connecting => Ok(false),
            Progress::Failed(error) => Err(io::Error::from_raw_os_error(error)),
        }
    }

    pub fn read(&mut self, index: usize, side: Side, buffer: &mut [u8]) -> io::Result<usize> {
        let now = self.now;
        let connection = &mut self.connections[index];
        let (latency, piece_max) = (connection.latency, connection.piece_max);
        if connection.endpoint(side).reset {
            return Err(io::Error::from_raw_os_error(ECONNRESET));
        }
        let pipe = connection.pipe_from(side.other());
        if pipe.arrived == 0 {
            if pipe.ended {
                return Ok(0);
            }
            connection.endpoint(side).read_armed = true;
            return Err(would_block());
        }
        let empties = self.conditions.short_reads_empty;
        let length = pipe.arrived.min(buffer.len()).min(if empties { usize::MAX } else { piece_max });
        pipe.bytes.read_exact(&mut buffer[..length])?;
        pipe.arrived -= length;
        pipe.freed += length;
        pipe.note_read(length, now);
        let is_first = pipe.read == length as u64 && pipe.tap.is_tls();
        let must_acknowledge = !std::mem::replace(&mut pipe.acknowledging, true);
        connection.endpoint(side).read_armed |= empties && length < buffer.len();
        let host = connection.host(side);
        self.trace.add_bytes(&buffer[..length]);
        if is_first && side == Side::Acceptor && host < self.servers {
            self.handshake_begins(host, index);
        }
        if must_acknowledge {
            self.schedule_in(latency, Happening::Acknowledge { connection: index, to: side.other() });
        }
        Ok(length)
    }

    pub fn write(&mut self, index: usize, side: Side, bytes: &[u8]) -> io::Result<usize> {
        let short = self.chance.one_in(self.conditions.short_writes_one_in);
        let connection = &mut self.connections[index];
        let endpoint = connection.endpoint(side);
        if endpoint.reset || endpoint.shut {
            return Err(io::Error::from_raw_os_error(EPIPE));
        }
        if endpoint.progress != Progress::Connected {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let pipe = connection.pipe_from(side);
        let room = pipe.window - pipe.used;
        if room == 0 {
            connection.endpoint(side).write_armed = true;
            return Err(would_block());
        }
        let mut length = room.min(bytes.len());
        if short && length > 1 {
            length = self.chance.between(1, length as u64 - 1) as usize;
        }
        self.send(index, side, &bytes[..length]);
        Ok(length)
    }

    fn send(&mut self, index: usize, side: Side, bytes: &[u8]) {
        let connection = &mut self.connections[index];
        let (from, to) = (connection.host(side), connection.host(side.other()));
        let (latency, piece_max) = (connection.latency, connection.piece_max);
        if from < self.servers && to < self.servers {
            self.crossings.count_bytes(from, to, bytes.len());
        }
        if self.connections[index].host(Side::Acceptor) < self.servers {
            self.tap(index, side, bytes);
        }
        let pipe = self.connections[index].pipe_from(side);
        pipe.used += bytes.len();
        if pipe.end.is_some() {
            // The connection is broken, and this side does not know it yet.
            return;
        }
        pipe.bytes.extend(bytes);
        let mut rest = bytes.len();
        for number in 0.. {
            // Enough pieces to meet every state in between; the rest arrives in one.
            let length = if number < PIECES_MAX { rest.min(piece_max) } else { rest };
            let at = self.arrival(index, side, latency);
            let flight = &mut self.connections[index].pipe_from(side).flight;
            if let Some(last) = flight.back_mut().filter(|last| last.0 == at) {
                last.1 += length;
            } else {
                flight.push_back((at, length));
                self.schedule(at, Happening::Arrive { connection: index, to: side.other() });
            }
            rest -= length;
            if rest == 0 {
                break;
            }
        }
    }

    /// The arrival of bytes that are sent now: not before those that were sent earlier.
    fn arrival(&mut self, index: usize, side: Side, latency: Time) -> Time {
        let at = self.now + latency + self.chance.below(latency / 2 + 1);
        let last = &mut self.connections[index].pipe_from(side).last_arrival;
        *last = at.max(*last);
        *last
    }

    pub fn send_end(&mut self, index: usize, side: Side, end: End) {
        if self.connections[index].pipe_from(side).end.is_some_and(|(_, end)| end == End::Reset) {
            return;
        }
        let latency = self.connections[index].latency;
        let at = self.arrival(index, side, latency);
        self.connections[index].pipe_from(side).end = Some((at, end));
        self.schedule(at, Happening::Arrive { connection: index, to: side.other() });
    }

    /// Bytes and ends in flight arrive at this side, unless there is a cut.
    pub fn arrive(&mut self, index: usize, to: Side) {
        let now = self.now;
        let connection = &mut self.connections[index];
        let (source, target) = (connection.host(to.other()), connection.host(to));
        let endpoint = connection.endpoint(to);
        let (is_open, is_silent) = (endpoint.open, endpoint.silent);
        let is_connecting = endpoint.progress == Progress::Connecting;
        let latency = connection.latency;
        if !self.cuts.is_empty() && self.cuts.contains(&(source, target)) {
            self.connections[index].pipe_from(to.other()).stuck = true;
            return;
        }
        if is_connecting && is_open {
            // Bytes after the SYN-ACK wait for it.
            self.schedule_in(latency, Happening::Arrive { connection: index, to });
            return;
        }
        let pipe = self.connections[index].pipe_from(to.other());
        let mut arrived = 0;
        while let Some(&(at, length)) = pipe.flight.front()
            && at <= now
        {
            pipe.flight.pop_front();
            arrived += length;
        }
        pipe.arrived += arrived;
        let end = pipe.end.filter(|end| end.0 <= now && pipe.flight.is_empty()).map(|end| end.1);
        pipe.ended |= end.is_some();
        if !is_open {
            pipe.drop_arrived();
            pipe.unanswered |= arrived > 0 || end.is_some() && is_silent;
            if !self.hosts[target].has_no_power {
                self.answer_with_reset(index, to);
            }
            return;
        }
        if end == Some(End::Reset) {
            self.connections[index].endpoint(to).reset = true;
            self.connections[index].pipe_from(to).drop_contents();
        }
        if end.is_some() {
            self.notify_end(index, to);
        }
        self.notify_edges(index, to, arrived > 0 || end.is_some(), end == Some(End::Reset));
    }

    /// Answers bytes that arrived for a connection that this side does not have any more.
    pub fn answer_with_reset(&mut self, index: usize, from: Side) {
        if std::mem::take(&mut self.connections[index].pipe_from(from.other()).unanswered) {
            self.connections[index].faulted = true;
            self.send_end(index, from, End::Reset);
        }
    }

    /// An acknowledgement of the bytes that the other side has read arrives at this side.
    pub fn acknowledge(&mut self, index: usize, to: Side) {
        let now = self.now;
        let connection = &mut self.connections[index];
        connection.pipe_from(to.other()).read_at = now;
        let (reader, writer) = (connection.host(to.other()), connection.host(to));
        if !self.cuts.is_empty() && self.cuts.contains(&(reader, writer)) {
            self.connections[index].pipe_from(to).acknowledgement_stuck = true;
            return;
        }
        let pipe = self.connections[index].pipe_from(to);
        pipe.acknowledging = false;
        pipe.used -= std::mem::take(&mut pipe.freed).min(pipe.used);
        self.notify_edges(index, to, false, true);
    }

    pub fn shut_down_writing(&mut self, index: usize, side: Side) -> io::Result<()> {
        let endpoint = self.connections[index].endpoint(side);
        if endpoint.reset || endpoint.progress != Progress::Connected {
            return Err(io::ErrorKind::NotConnected.into());
        }
        if !std::mem::replace(&mut endpoint.shut, true) {
            self.send_end(index, side, End::Finished);
        }
        Ok(())
    }

    /// A process closes its endpoint.
    pub fn close(&mut self, index: usize, side: Side) {
        let connection = &mut self.connections[index];
        let host = connection.host(side);
        let endpoint = connection.endpoint(side);
        if !std::mem::take(&mut endpoint.open) {
            return;
        }
        if host < self.servers {
            match side {
                Side::Dialler => self.note_lost_dial(index),
                Side::Acceptor => {
                    let neighbour = self.connections[index].host(Side::Dialler);
                    self.dialling.hello_ended(host, neighbour, index, self.now);
                }
            }
        }
        let connection = &mut self.connections[index];
        let endpoint = connection.endpoint(side);
        let (was_reset, was_shut) = (endpoint.reset, endpoint.shut);
        let is_made = endpoint.progress == Progress::Connected;
        endpoint.token = None;
        let has_unread = connection.pipe_from(side.other()).arrived > 0;
        connection.pipe_from(side.other()).drop_arrived();
        self.hosts[host].descriptors -= 1;
        if self.hosts[host].has_no_power {
            self.connections[index].endpoint(side).silent = true;
            self.connections[index].faulted = true;
        } else if was_reset || !is_made && side == Side::Acceptor {
        } else if has_unread {
            // As on Linux: lost input must not look like an end in order.
            self.connections[index].pipe_from(side).drop_contents();
            self.send_end(index, side, End::Reset);
        } else if !was_shut {
            self.send_end(index, side, End::Finished);
        }
    }

    /// Breaks a connection; both sides receive a reset.
    pub fn reset(&mut self, index: usize) {
        self.connections[index].faulted = true;
        for side in [Side::Dialler, Side::Acceptor] {
            self.connections[index].pipe_from(side).drop_contents();
            self.send_end(index, side, End::Reset);
        }
    }
}

/// Error numbers of Linux.
pub const EMFILE: i32 = 24;
pub const ECONNRESET: i32 = 104;
const EPIPE: i32 = 32;
const ETIMEDOUT: i32 = 110;
pub const ECONNREFUSED: i32 = 111;

/// The largest window, in bytes.
const WINDOW_MAX: u64 = 64 * 1024;
/// Connections that a system makes for a process that does not accept them.
const BACKLOG_MAX: usize = 64;
/// Retransmissions of a connection request, after 1 s, 2 s, 4 s, …
const ATTEMPTS_MAX: u32 = 6;
/// Pieces of one write that arrive separately.
const PIECES_MAX: u32 = 12;
const EPHEMERAL_PORT: u16 = 40_000;
/// A usual latency.
pub const LATENCY_MAX: Time = 20 * MILLISECOND;
