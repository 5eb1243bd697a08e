//! The records on a connection to a server, as the network sees them: the plain text in them, and which
//! certificates were shown.

use std::collections::{BTreeMap, BTreeSet};

use crate::connection::Side;
use crate::tls::{Certificate, DATA, HANDSHAKE, Message, Records, Ticket};
use crate::world::{MILLISECOND, SECOND, Time, World, show};

/// One direction of a connection.
#[derive(Debug, Default)]
pub struct Tap {
    kind: Kind,
}

#[derive(Debug, Default)]
enum Kind {
    /// Nothing was sent.
    #[default]
    Undecided,
    Plain,
    Tls(Records),
    /// Not what a session sends.
    Broken,
}

/// The handshake of a connection, as far as it was sent.
#[derive(Debug, Default)]
pub struct Handshake {
    /// The certificates, by side.
    pub shown: [Option<Certificate>; 2],
    offered: Option<Ticket>,
    /// The end of the accepting side's flight, in bytes sent.
    answered_at: Option<u64>,
    /// The end of the dialling side's last flight, in bytes sent.
    finished_at: Option<u64>,
}

/// The keys of a server, as it has read them last.
#[derive(Clone, Debug)]
pub struct Trusted {
    pub authorities: Vec<u8>,
}

/// The handshakes that servers have begun and not completed.
#[derive(Default)]
pub struct Handshakes {
    /// By server: the connections, and when the server has read their first byte, or when one that it has dialled was
    /// made.
    begun: BTreeMap<usize, BTreeMap<usize, Time>>,
    /// The servers that have ever had almost too many.
    crowded: BTreeSet<usize>,
}

impl Handshakes {
    /// The process of a server is paused: it may end handshakes late.
    pub fn paused(&mut self, server: usize) {
        if let Some(begun) = self.begun.get_mut(&server) {
            begun.values_mut().for_each(|since| *since = Time::MAX);
        }
    }
}

impl Tap {
    pub fn is_tls(&self) -> bool {
        matches!(self.kind, Kind::Tls(_))
    }

    /// Takes bytes that are sent after `sent` others. Returns the records that they complete, or the plain text, and
    /// the end of each in bytes sent.
    fn push(&mut self, mut bytes: &[u8], mut sent: u64) -> Vec<(u8, Vec<u8>, u64)> {
        if let Kind::Undecided = self.kind {
            // A server may answer a handshake with an alert only.
            let is_tls = matches!(bytes.first(), Some(0x15 | 0x16));
            self.kind = if is_tls { Kind::Tls(Records::default()) } else { Kind::Plain };
        }
        let mut found = Vec::new();
        let Kind::Tls(records) = &mut self.kind else { return found };
        while !bytes.is_empty() {
            let (taken, rest) = bytes.split_at(records.missing().min(bytes.len()));
            (bytes, sent) = (rest, sent + taken.len() as u64);
            match records.push(taken) {
                Ok(None) => {}
                Ok(Some((kind, payload))) => found.push((kind, payload, sent)),
                Err(_) => {
                    self.kind = Kind::Broken;
                    break;
                }
            }
        }
        found
    }
}

impl World {
    /// Bytes are sent on a connection to a server.
    pub fn tap(&mut self, index: usize, side: Side, bytes: &[u8]) {
        let connection = &mut self.connections[index];
        let is_link = connection.host(side) < self.servers && connection.host(side.other()) < self.servers;
        let pipe = connection.pipe_from(side);
        let (before, mut tap) = (pipe.sent, std::mem::take(&mut pipe.tap));
        let records = tap.push(bytes, before);
        let is_plain = matches!(tap.kind, Kind::Plain);
        self.connections[index].pipe_from(side).tap = tap;
        if is_plain && is_link {
            self.inspect(index, side, bytes, None);
        }
        for (kind, payload, end) in records {
            if kind == HANDSHAKE {
                self.connections[index].handshake.record_sent(&payload, end);
            } else if kind == DATA && is_link {
                self.inspect(index, side, &payload, Some(end));
            }
        }
        self.connections[index].pipe_from(side).sent = before + bytes.len() as u64;
    }

    /// A server has read the first bytes of a connection that it has accepted, or knows that one is made that it has
    /// dialled.
    pub fn handshake_begins(&mut self, server: usize, index: usize) {
        let now = self.now;
        self.handshakes.begun.entry(server).or_default().entry(index).or_insert(now);
    }

    /// A server has ended a turn: handshakes that are not complete must end in time, and be few.
    pub fn check_handshakes(&mut self, server: usize, is_idle: bool) {
        let World { handshakes, connections, now, .. } = self;
        let Some(begun) = handshakes.begun.get_mut(&server) else { return };
        let is_accepted = |index: usize| connections[index].host(Side::Acceptor) == server;
        begun.retain(|&index, _| {
            let connection = &connections[index];
            let (own, last) = match is_accepted(index) {
                true => (Side::Acceptor, connection.handshake.finished_at),
                false => (Side::Dialler, connection.handshake.answered_at),
            };
            let read = connection.pipes[own.other() as usize].read;
            let is_complete = last.is_some_and(|end| end <= read);
            // A server may take what was altered for something else.
            let is_open = connection.endpoints[own as usize].open;
            is_open && !is_complete && !connection.was_altered
        });
        let late =
            begun.values().find(|&&since| *now > since.saturating_add(HANDSHAKE_MAX + MARGIN)).copied();
        let count = begun.keys().filter(|&&index| is_accepted(index)).count();
        if count > HANDSHAKES_MAX / 2 {
            handshakes.crowded.insert(server);
        }
        if let Some(since) = late.filter(|_| is_idle) {
            self.violate(|| format!("server {server} has a handshake that began at {}", show(since)));
        }
        if count > HANDSHAKES_MAX {
            self.violate(|| {
                format!("server {server} has {count} handshakes, expected at most {HANDSHAKES_MAX}")
            });
        }
    }

    /// Whether a server has so many handshakes that one of them may have made room for another.
    pub fn has_many_handshakes(&self, server: usize) -> bool {
        self.handshakes.crowded.contains(&server)
    }

    /// A server has accepted a link, or has sent statements on one: the certificate of its peer must have the name
    /// of the peer, and its own keys must accept it.
    pub fn check_identity(&mut self, index: usize, server: usize, peer: Side) {
        let Some(trusted) = &self.trusted[server] else { return };
        if self.hosts[server].is_stopping {
            // It no longer takes other keys.
            return;
        }
        let connection = &self.connections[index];
        let shown = connection.handshake.shown[peer as usize].as_ref();
        let is_good = shown.is_some_and(|shown| {
            trusted.authorities.contains(&shown.authority)
                && self.is_named(shown, connection.host(peer))
                && self.now < shown.until.saturating_add(SENT_WITHIN)
        });
        if !is_good {
            let shown = format!("{shown:?}");
            self.violate(|| format!("server {server} has a link to a peer with the certificate {shown}"));
        }
    }

    /// A server says HELLO: it must know that the other side is the neighbour.
    pub fn check_addressee(&mut self, index: usize, server: usize) {
        if self.trusted[server].is_none() {
            return;
        }
        let connection = &self.connections[index];
        let shown = connection.handshake.shown[Side::Acceptor as usize].as_ref();
        if !shown.is_some_and(|shown| self.is_named(shown, connection.host(Side::Acceptor))) {
            let shown = format!("{shown:?}");
            self.violate(|| format!("server {server} says HELLO to a peer with the certificate {shown}"));
        }
    }

    fn is_named(&self, certificate: &Certificate, host: usize) -> bool {
        certificate.name == format!("Server{host}")
    }

    /// A server is idle: it must not keep a link to a neighbour whose authority it does not trust.
    pub fn check_authorities(&mut self, server: usize, neighbour: usize) {
        let Some(trusted) = self.trusted[server].clone() else { return };
        for (link, side) in self.links_between(server, neighbour) {
            let connection = &self.connections[link];
            let shown = connection.handshake.shown[side.other() as usize].as_ref();
            let is_good = shown.is_some_and(|shown| trusted.authorities.contains(&shown.authority));
            let own = &connection.endpoints[side as usize];
            // A link that closes is not looked at.
            let is_up = own.open && !own.shut && !connection.pipes[side.other() as usize].ended;
            if is_up && !is_good {
                self.violate(|| {
                    format!("server {server} keeps a link to server {neighbour}, whose authority was removed")
                });
            }
        }
    }

    /// Alters a byte on its way over TLS.
    pub fn tamper(&mut self, index: usize, side: Side, offset: usize, flipped: u8) {
        let connection = &mut self.connections[index];
        connection.faulted = true;
        connection.was_altered = true;
        let pipe = connection.pipe_from(side);
        let offset = offset % pipe.bytes.len().max(1);
        if let Some(byte) = pipe.bytes.get_mut(offset) {
            *byte ^= flipped;
        }
    }
}

impl Handshake {
    fn record_sent(&mut self, payload: &[u8], end: u64) {
        match Message::read(payload) {
            Some(Message::ClientHello(ticket)) => self.offered = ticket,
            Some(Message::ServerHello(certificate)) => {
                self.answered_at = Some(end);
                let offered = self.offered.take();
                match certificate {
                    None => self.shown = offered.map(|ticket| ticket.shown).unwrap_or_default(),
                    Some(_) => self.shown[Side::Acceptor as usize] = certificate,
                }
            }
            Some(Message::Finished(certificate)) => {
                if certificate.is_some() {
                    self.shown[Side::Dialler as usize] = certificate;
                }
                self.finished_at = Some(end);
            }
            Some(Message::NewTicket(_)) | None => {}
        }
    }
}

/// The time limit of a handshake, from its first byte or from the connection (docs/protocol.md, section 4), and how late
/// its end may be:
/// a deadline is noticed late where a process is.
const HANDSHAKE_MAX: Time = 2 * SECOND;
const MARGIN: Time = 200 * MILLISECOND;
/// Handshakes of a server at the same time.
const HANDSHAKES_MAX: usize = 64;
/// The longest time from a decision to the end of the line that shows it, through a small window.
const SENT_WITHIN: Time = SECOND;
