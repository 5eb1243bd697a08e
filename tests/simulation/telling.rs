//! What servers tell each other, line by line: each statement crosses an edge no oftener than it must,
//! and a server that rests has told each neighbour everything that it can.

use std::collections::{BTreeMap, BTreeSet};

use crate::connection::Side;
use crate::oracle::Oracle;
use crate::world::{MILLISECOND, Time, World, show};

/// What was told, from which server to which.
#[derive(Default)]
pub struct Telling {
    pairs: BTreeMap<(usize, usize), Told>,
    /// The newest link that the one welcomed, of the other.
    welcomed: BTreeMap<(usize, usize), usize>,
    /// What was welcomed in this turn.
    greeted: Vec<(usize, usize)>,
}

/// What one server told another while neither forgot anything.
#[derive(Default)]
struct Told {
    /// Of the one and of the other.
    lives: (u32, u32),
    lines: BTreeSet<Vec<u8>>,
    /// The newest link.
    link: usize,
    /// Where the store was when nothing was lacking.
    complete_at: u64,
}

impl World {
    /// Looks at what one server sends to another.
    pub fn overhear(&mut self, index: usize, side: Side, bytes: &[u8]) {
        let connection = &mut self.connections[index];
        let (from, to) = (connection.host(side), connection.host(side.other()));
        let mut line = std::mem::take(&mut connection.pipe_from(side).line);
        self.crossings.count_bytes(from, to, bytes.len());
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            line.extend_from_slice(piece);
            if line.ends_with(b"\n") {
                self.line_told(index, (from, to), &line);
                line.clear();
            }
        }
        self.connections[index].pipe_from(side).line = line;
    }

    fn line_told(&mut self, link: usize, (from, to): (usize, usize), line: &[u8]) {
        if line.starts_with(b"WELCOME ") {
            self.telling.welcomed.insert((from, to), link);
            self.telling.greeted.push((from, to));
            return;
        }
        let is_statement = line.starts_with(b"AT ");
        if !is_statement && !line.starts_with(b"MARK ") {
            return;
        }
        // Only who dials tells anything.
        let lives = (self.hosts[from].life, self.connections[link].life);
        let told = self.telling.pairs.entry((from, to)).or_default();
        if told.lives != lives {
            *told = Told { lives, ..Told::default() };
        }
        told.link = link;
        if !is_statement {
            return;
        }
        told.lines.insert(line.to_vec());
        if self.crossings.count(from, to, line) {
            let line = line.escape_ascii().to_string();
            self.violate(|| format!("'{line}' crossed the edge between {from} and {to} too often"));
        }
    }

    /// A server ends its turn: whom it has welcomed, it must not go on telling in an earlier life.
    pub fn check_greeted(&mut self) {
        for (server, other) in std::mem::take(&mut self.telling.greeted) {
            let lives = (self.hosts[server].life, self.hosts[other].life);
            let is_welcome = |link: &usize| self.connections[*link].endpoints[Side::Dialler as usize].open;
            let is_current = self.telling.welcomed.get(&(server, other)).is_some_and(is_welcome);
            let Some(told) = self.telling.pairs.get(&(server, other)) else { continue };
            let is_earlier = told.lives.0 == lives.0 && told.lives.1 != lives.1;
            if is_current && is_earlier && self.connections[told.link].endpoints[Side::Dialler as usize].open
            {
                self.violate(|| format!("server {server} keeps a link to an earlier life of server {other}"));
            }
        }
    }

    /// A server rests: it must not keep a link on which it has heard nothing for too long.
    pub fn check_heard(&mut self, server: usize, neighbour: usize, silence: Time) {
        let life = self.hosts[server].life;
        let accepted = self.telling.welcomed.get(&(server, neighbour)).copied();
        let accepted = accepted.filter(|&link| self.connections[link].life == life);
        let told = self.telling.pairs.get(&(server, neighbour)).filter(|told| told.lives.0 == life);
        let dialled = told.map(|told| told.link);
        for (link, side) in [(accepted, Side::Acceptor), (dialled, Side::Dialler)] {
            let Some(connection) = link.map(|link| &self.connections[link]) else { continue };
            let own = &connection.endpoints[side as usize];
            // Who waits for room to answer does not read.
            let may_be_deaf = side == Side::Acceptor && own.write_armed;
            let heard_at = connection.pipes[side.other() as usize].heard_at;
            if own.open && !may_be_deaf && self.now > heard_at + silence + NOTICED_WITHIN {
                let since = show(heard_at);
                self.violate(|| {
                    format!("server {server} has heard nothing of server {neighbour} since {since}")
                });
            }
        }
    }

    /// A server rests, its store being at `sequence`: this neighbour must not lack what it can be told now.
    pub fn check_told(&mut self, oracle: &Oracle, server: usize, neighbour: usize, sequence: u64) {
        let lives = (self.hosts[server].life, self.hosts[neighbour].life);
        let told = |from, to, lives| self.telling.pairs.get(&(from, to)).filter(|told| told.lives == lives);
        let Some(told_it) = told(server, neighbour, lives).filter(|told| told.complete_at < sequence) else {
            return;
        };
        let connection = &self.connections[told_it.link];
        let dialler = &connection.endpoints[Side::Dialler as usize];
        // Of one that is broken, and not known to be, nobody can say what was written.
        let is_broken = connection.pipes[Side::Dialler as usize].end.is_some();
        let can_be_told = dialler.open
            && !is_broken
            && !dialler.reset
            && !dialler.write_armed
            && !connection.pipes[Side::Acceptor as usize].ended;
        if !can_be_told {
            return;
        }
        let told_by_it = told(neighbour, server, (lives.1, lives.0));
        let knows = |line: &Vec<u8>| {
            told_it.lines.contains(line) || told_by_it.is_some_and(|told| told.lines.contains(line))
        };
        if let Some(lacking) = oracle.holds(server).values().find(|record| !knows(&record.line)) {
            let line = lacking.line.escape_ascii().to_string();
            self.violate(|| format!("server {server} rests and has not told server {neighbour} '{line}'"));
        } else if let Some(told) = self.telling.pairs.get_mut(&(server, neighbour)) {
            told.complete_at = sequence;
        }
    }
}

/// How long after its time a silence is noticed at the latest: what has come is read before.
const NOTICED_WITHIN: Time = 100 * MILLISECOND;
