//! The lines between servers, as the network sees them: each statement crosses an edge no more often than
//! necessary, an idle server has sent each neighbour all changes that it can, and no link is kept for too
//! long.

use std::collections::{BTreeMap, BTreeSet};

use crate::connection::Side;
use crate::oracle::Oracle;
use crate::rules::Record;
use crate::world::{MILLISECOND, Time, World, show};

/// The links between servers.
#[derive(Default)]
pub struct Links {
    /// The statements that were sent, by sender and receiver.
    transfers: BTreeMap<(usize, usize), Transfer>,
    /// The newest link on which a server has sent WELCOME, by the server and its neighbour.
    welcomed: BTreeMap<(usize, usize), usize>,
    /// Servers and neighbours whose links were welcomed in this turn.
    welcomed_now: Vec<(usize, usize)>,
    /// The number of statements that were sent.
    pub statements: u64,
}

/// The statements that one incarnation of a server has sent to one incarnation of another.
#[derive(Default)]
struct Transfer {
    /// The incarnations of the sender and of the receiver.
    incarnations: (u32, u32),
    lines: BTreeSet<Vec<u8>>,
    /// The newest link.
    link: usize,
    /// The link on which the certificate of the receiver was checked.
    verified: Option<usize>,
    /// The number of the sender's newest change when all changes had been sent.
    complete_at: u64,
}

impl Links {
    /// The newest link on which a server has sent WELCOME to a neighbour.
    pub fn welcomed(&self, server: usize, neighbour: usize) -> Option<usize> {
        self.welcomed.get(&(server, neighbour)).copied()
    }
}

impl World {
    /// Plain text is sent between two servers. In TLS it arrives with the end of its record, given in bytes sent.
    pub fn inspect(&mut self, index: usize, side: Side, bytes: &[u8], record_end: Option<u64>) {
        let connection = &mut self.connections[index];
        let (from, to) = (connection.host(side), connection.host(side.other()));
        let mut line = std::mem::take(&mut connection.pipe_from(side).line);
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            line.extend_from_slice(piece);
            let pipe = self.connections[index].pipe_from(side);
            pipe.sent = record_end.unwrap_or(pipe.sent + piece.len() as u64);
            if line.ends_with(b"\n") {
                match side {
                    Side::Dialler => self.dialler_line_sent(index, (from, to), &line),
                    Side::Acceptor => self.acceptor_line_sent(index, (from, to), &line),
                }
                line.clear();
            }
        }
        self.connections[index].pipe_from(side).line = line;
    }

    fn acceptor_line_sent(&mut self, link: usize, (from, to): (usize, usize), line: &[u8]) {
        if line.starts_with(b"ACK ") {
            let connection = &mut self.connections[link];
            connection.pipe_from(Side::Acceptor).acks += 1;
            connection.pipe_from(Side::Dialler).mark_read_at = None;
            self.dialling.acknowledged(to, from, link);
            return;
        }
        if line.starts_with(b"WELCOME ") {
            self.check_identity(link, from, Side::Dialler);
            self.dialling.hello_welcomed(from, to, link, self.now);
            self.connections[link].was_welcomed = true;
            self.links.welcomed.insert((from, to), link);
            self.links.welcomed_now.push((from, to));
        } else {
            self.dialling.hello_ended(from, to, link, self.now);
        }
    }

    fn dialler_line_sent(&mut self, link: usize, (from, to): (usize, usize), line: &[u8]) {
        if line.starts_with(b"HELLO ") {
            self.check_addressee(link, from);
            self.dialling.hello_sent(to, from, link, self.now);
            return;
        }
        let is_statement = line.starts_with(b"AT ") || line.starts_with(b"GONE ");
        if !is_statement && !line.starts_with(b"MARK ") {
            return;
        }
        let incarnations = (self.hosts[from].incarnation, self.connections[link].incarnation);
        let transfer = self.links.transfers.entry((from, to)).or_default();
        if transfer.incarnations != incarnations {
            *transfer = Transfer { incarnations, ..Transfer::default() };
        }
        transfer.link = link;
        let is_new = transfer.verified.replace(link) != Some(link);
        if !is_statement {
            if is_new {
                self.check_identity(link, from, Side::Acceptor);
            }
            let pipe = self.connections[link].pipe_from(Side::Dialler);
            pipe.marks.push_back(pipe.sent);
            return;
        }
        transfer.lines.insert(line.to_vec());
        self.links.statements += 1;
        if is_new {
            self.check_identity(link, from, Side::Acceptor);
        }
        if line.len() > self.statement_limits[from].1 {
            self.violate(|| format!("server {from} sends a statement that is too long for it"));
        }
        if self.crossings.count(from, to, line) {
            let line = line.escape_ascii().to_string();
            self.violate(|| format!("'{line}' crossed the edge between {from} and {to} too often"));
        }
    }

    /// The newest links of a server from and to a neighbour, and its own side of each.
    pub fn links_between(&self, server: usize, neighbour: usize) -> Vec<(usize, Side)> {
        let incarnation = self.hosts[server].incarnation;
        let accepted = self.links.welcomed(server, neighbour);
        let accepted = accepted.filter(|&link| self.connections[link].incarnation == incarnation);
        let transfer = self.links.transfers.get(&(server, neighbour));
        let dialled = transfer.filter(|transfer| transfer.incarnations.0 == incarnation);
        let dialled = dialled.map(|transfer| transfer.link);
        let all = [accepted.map(|link| (link, Side::Acceptor)), dialled.map(|link| (link, Side::Dialler))];
        all.into_iter().flatten().collect()
    }

    /// A server has ended a turn: a link to an earlier incarnation of a neighbour that it has welcomed must
    /// be closed.
    pub fn check_incarnations(&mut self) {
        for (server, other) in std::mem::take(&mut self.links.welcomed_now) {
            let incarnations = (self.hosts[server].incarnation, self.hosts[other].incarnation);
            let is_open = |link: usize| self.connections[link].endpoints[Side::Dialler as usize].open;
            let is_current = self.links.welcomed(server, other).is_some_and(is_open);
            let Some(transfer) = self.links.transfers.get(&(server, other)) else { continue };
            // One that has ended in order goes on in its epoch.
            let epochs = &self.hosts[other].epochs;
            let is_other = epochs.get(&transfer.incarnations.1) != epochs.get(&incarnations.1);
            let is_earlier = transfer.incarnations.0 == incarnations.0 && is_other;
            if is_current && is_earlier && is_open(transfer.link) {
                self.violate(|| {
                    format!("server {server} keeps a link to an earlier incarnation of server {other}")
                });
            }
        }
    }

    /// A server is idle: it must not keep a link on which nothing has arrived for longer than the silence.
    pub fn check_silence(&mut self, server: usize, neighbour: usize, silence: Time) {
        for (link, side) in self.links_between(server, neighbour) {
            let connection = &self.connections[link];
            let own = &connection.endpoints[side as usize];
            // An acceptor that has no room to answer does not read.
            let may_not_read = side == Side::Acceptor && own.write_armed;
            let read_at = connection.pipes[side.other() as usize].read_at;
            if own.open && !may_not_read && self.now > read_at + silence + MARGIN {
                let since = show(read_at);
                self.violate(|| {
                    format!("server {server} has read nothing from server {neighbour} since {since}")
                });
            }
        }
    }

    /// A server is idle, and its newest change has this number: it must have sent the neighbour all changes
    /// that it can.
    pub fn check_transfer(&mut self, oracle: &Oracle, server: usize, neighbour: usize, sequence: u64) {
        let incarnations = (self.hosts[server].incarnation, self.hosts[neighbour].incarnation);
        let transfer = |from, to, incarnations| {
            let transfer: Option<&Transfer> = self.links.transfers.get(&(from, to));
            transfer.filter(|transfer| transfer.incarnations == incarnations)
        };
        let Some(sent) = transfer(server, neighbour, incarnations) else { return };
        if sent.complete_at >= sequence {
            return;
        }
        let connection = &self.connections[sent.link];
        let dialler = &connection.endpoints[Side::Dialler as usize];
        // The lines that were written to a broken connection are unknown.
        let is_broken = connection.pipes[Side::Dialler as usize].end.is_some();
        let can_send = dialler.open
            && !is_broken
            && !dialler.reset
            && !dialler.write_armed
            && !connection.pipes[Side::Acceptor as usize].ended;
        if !can_send {
            return;
        }
        let received = transfer(neighbour, server, (incarnations.1, incarnations.0));
        // What it has from its disk crossed before.
        let has_store = self.hosts[neighbour].disk.is_some() || self.hosts[server].disk.is_some();
        let has_had = |line: &Vec<u8>| {
            let Some(record) = Record::parse(line) else { return false };
            // A statement may have lost against one that is over since and is not read again.
            if oracle.lifetimes.are_short() {
                return true;
            }
            let best = oracle.best(neighbour, incarnations.1, &record.id);
            line.len() > self.statement_limits[neighbour].0 || best.is_some_and(|best| !record.beats(best))
        };
        let is_known = |line: &Vec<u8>| {
            let may_be_passed_over = line.len() > self.statement_limits[server].0;
            may_be_passed_over
                || sent.lines.contains(line)
                || received.is_some_and(|received| received.lines.contains(line))
                || has_store && has_had(line)
        };
        if let Some(missing) = oracle.content(server).values().find(|record| !is_known(&record.line)) {
            let line = missing.line.escape_ascii().to_string();
            self.violate(|| {
                format!("server {server} is idle and has not sent '{line}' to server {neighbour}")
            });
        } else if let Some(sent) = self.links.transfers.get_mut(&(server, neighbour)) {
            sent.complete_at = sequence;
        }
    }
}

/// How late a silence may be noticed: input that has arrived is read first.
const MARGIN: Time = 100 * MILLISECOND;
