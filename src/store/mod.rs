//! What is known: the newest statement of every client, as a list of changes.
//!
//! A record *is* its AT line. Every statement that is stored gets the next sequence number and moves
//! to the end of the list; what the client had said before is gone. Whoever wants to follow the
//! changes holds a *cursor*: a place in the list. What lies behind it is what its reader does not
//! have yet, whether it fell a moment behind, was away for an hour or never had anything. So memory
//! is bounded by the number of clients, never by the speed of a reader.
//!
//! The list is linked through the records by their indices, so moving a record takes a few
//! assignments, nothing is ever compacted, and the newest change is always its end.

mod arena;
mod keyed_hasher;
mod list;
mod table;

use slab::Slab;

use crate::text::record::Statement;
use arena::{Arena, At};
use keyed_hasher::KeyedHasher;
use list::{List, Node};
use table::Table;

/// Who told a statement: a client of this server, or a neighbour in one life of its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin(pub u32);

impl Origin {
    /// A client of this server.
    pub const CLIENT: Origin = Origin(0);
}

/// What became of a statement that was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is the newest of its client and was stored.
    Stored,
    /// It loses against what is stored, or is the same.
    Lost,
    /// The client is new, and there is no room for further clients; or all lines together are as long as they may
    /// be, 32 GiB.
    Full,
}

/// A place in the list of changes; see [`Store::follow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(usize);

/// A change that lay behind a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// The AT line with its LF.
    pub line: &'a [u8],
    /// Who told it.
    pub origin: Origin,
}

/// The newest statement of every client.
#[derive(Debug)]
pub struct Store {
    records: Vec<Record>,
    lines: Arena,
    by_id: Table,
    hasher: KeyedHasher,
    list: List,
    sequence: u64,
    cursors: Slab<Position>,
    clients_max: usize,
}

/// All but the line of a record. There may be millions, so that each byte counts.
#[derive(Debug)]
struct Record {
    line: At,
    node: Node,
    sequence: Sequence,
    origin: Origin,
}

/// A sequence number in two halves, which need no more room than they have bytes.
#[derive(Clone, Copy, Debug)]
struct Sequence([u32; 2]);

impl Sequence {
    fn of(number: u64) -> Sequence {
        Sequence([(number >> 32) as u32, number as u32])
    }

    fn number(self) -> u64 {
        u64::from(self.0[0]) << 32 | u64::from(self.0[1])
    }
}

/// What a reader has seen.
#[derive(Debug)]
struct Position {
    /// The last record seen that is still where it was seen.
    after: Option<u32>,
    /// Every change up to this one was seen, or replaced by one that lies behind `after`.
    sequence: u64,
}

impl Store {
    /// An empty store for at most `clients_max` clients.
    pub fn new(clients_max: usize) -> Store {
        Store {
            records: Vec::new(),
            lines: Arena::default(),
            by_id: Table::default(),
            hasher: KeyedHasher::new(),
            list: List::default(),
            sequence: 0,
            cursors: Slab::new(),
            clients_max,
        }
    }

    /// Changes the bound of clients; those above a lower one stay.
    pub fn set_clients_max(&mut self, clients_max: usize) {
        self.clients_max = clients_max;
    }

    /// The number of clients that are known.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether no client is known.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The number of the newest change; 0 before the first.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How many cursors there are.
    pub fn cursors(&self) -> usize {
        self.cursors.len()
    }

    /// The AT line of a client, with its LF.
    pub fn get(&self, id: &[u8]) -> Option<&[u8]> {
        Some(self.line(self.find(self.hasher.hash(id), id)?))
    }

    /// The statement of a client.
    pub fn statement(&self, id: &[u8]) -> Option<Statement<'_>> {
        statement(self.get(id)?)
    }

    /// Stores a statement, whose line (with LF) is `line`, if it wins over what is known of its client.
    /// For a client that is known this allocates nothing, unless its line takes more memory than before, or less.
    pub fn report(&mut self, statement: &Statement<'_>, line: &[u8], origin: Origin) -> Outcome {
        debug_assert_eq!(Statement::parse(&line[..line.len() - 1]).as_ref(), Some(statement));
        let id_at = id_at(statement, line);
        let hash = self.hasher.hash(statement.id);
        let index = match self.find(hash, statement.id) {
            Some(index) => {
                if !wins(statement, self.line(index)) {
                    return Outcome::Lost;
                }
                let Some(at) = self.lines.replace(self.records[index as usize].line, line, id_at) else {
                    return Outcome::Full;
                };
                self.records[index as usize].line = at;
                self.unlink(index);
                index
            }
            None if self.records.len() >= self.clients_max => return Outcome::Full,
            None => match self.add(hash, line, id_at) {
                Some(index) => index,
                None => return Outcome::Full,
            },
        };
        self.sequence += 1;
        let record = &mut self.records[index as usize];
        record.sequence = Sequence::of(self.sequence);
        record.origin = origin;
        self.list.push(&mut self.records, index);
        if self.lines.is_wasteful() {
            self.lay_out_anew();
        }
        Outcome::Stored
    }

    /// A cursor behind change `since`, for a reader that has everything up to there; 0 is before
    /// the first change. A number above [`Store::sequence`] cannot be true and counts as 0.
    /// Takes time for each change behind `since`.
    pub fn follow(&mut self, since: u64) -> Cursor {
        let since = if since > self.sequence { 0 } else { since };
        let mut after = if since == 0 { None } else { self.list.last };
        while let Some(index) = after
            && self.records[index as usize].sequence.number() > since
        {
            after = self.records[index as usize].node.previous();
        }
        Cursor(self.cursors.insert(Position { after, sequence: since }))
    }

    /// Forgets a cursor.
    pub fn unfollow(&mut self, cursor: Cursor) {
        self.cursors.try_remove(cursor.0);
    }

    /// Every change up to this one was given to the reader, or was replaced by a later one.
    pub fn seen(&self, cursor: Cursor) -> u64 {
        self.cursors.get(cursor.0).map_or(0, |place| place.sequence)
    }

    /// The change behind the cursor, which moves over it.
    pub fn next_change(&mut self, cursor: Cursor) -> Option<Change<'_>> {
        let place = self.cursors.get_mut(cursor.0)?;
        let index = match place.after {
            Some(after) => self.records[after as usize].node.next(),
            None => self.list.first,
        }?;
        let record = &self.records[index as usize];
        *place = Position { after: Some(index), sequence: record.sequence.number() };
        Some(Change { line: self.lines.get(record.line), origin: record.origin })
    }

    /// Has the processor fetch what is needed to look up these clients, who are about to be reported: at most
    /// [`PREFETCH_MAX`] of them. Where there are many clients, most of them lie in no cache, and waiting for the
    /// memory of one after the other takes as long as all the rest of a report. Asked for together they come
    /// together. Nothing is decided by what is found here.
    pub fn prefetch<'a>(&self, ids: impl Iterator<Item = &'a [u8]>) {
        let mut found = [0; PREFETCH_MAX];
        let mut count = 0;
        for id in ids.take(PREFETCH_MAX) {
            // The first one whose hash is alike is the right one, nearly always.
            if let Some(index) = self.by_id.find(self.hasher.hash(id), |_| true) {
                found[count] = index;
                count += 1;
            }
        }
        let found = &found[..count];
        let mut seen = 0;
        for &index in found {
            seen ^= self.records[index as usize].sequence.0[1];
        }
        for &index in found {
            let record = &self.records[index as usize];
            seen ^= self.lines.touch(record.line);
            for beside in [record.node.previous(), record.node.next()].into_iter().flatten() {
                seen ^= self.records[beside as usize].sequence.0[1];
            }
        }
        std::hint::black_box(seen);
    }

    fn line(&self, index: u32) -> &[u8] {
        self.lines.get(self.records[index as usize].line)
    }

    fn find(&self, hash: u64, id: &[u8]) -> Option<u32> {
        self.by_id.find(hash, |index| {
            let line = self.lines.id_and_rest(self.records[index as usize].line);
            line.get(id.len()) == Some(&b' ') && line.starts_with(id)
        })
    }

    fn add(&mut self, hash: u64, line: &[u8], id_at: usize) -> Option<u32> {
        // Bounded by the settings to less than 2^32.
        let index = self.records.len() as u32;
        let line = self.lines.add(line, id_at)?;
        self.records.push(Record {
            line,
            node: Node::default(),
            sequence: Sequence::of(0),
            origin: Origin::CLIENT,
        });
        self.by_id.add(hash, index);
        Some(index)
    }

    fn lay_out_anew(&mut self) {
        let old = std::mem::take(&mut self.lines);
        for record in &mut self.records {
            // What fitted with waste fits without.
            if let Some(at) = self.lines.take_over(&old, record.line) {
                record.line = at;
            }
        }
    }

    fn unlink(&mut self, index: u32) {
        let previous = self.records[index as usize].node.previous();
        for (_, place) in &mut self.cursors {
            if place.after == Some(index) {
                place.after = previous;
            }
        }
        self.list.remove(&mut self.records, index);
    }
}

/// The statement of a line with its LF.
fn statement(line: &[u8]) -> Option<Statement<'_>> {
    Statement::parse(line.strip_suffix(b"\n")?)
}

/// Whether a statement replaces the one of a line with its LF.
fn wins(new: &Statement<'_>, line: &[u8]) -> bool {
    // Nearly always the times decide, and looking at them takes less than reading the whole line.
    match new.is_later_than(line.strip_suffix(b"\n").unwrap_or(line)) {
        Some(is_later) => is_later,
        None => statement(line).is_none_or(|known| new.wins_over(&known)),
    }
}

/// Where the client's ID begins in the line (with LF) of a statement.
fn id_at(statement: &Statement<'_>, line: &[u8]) -> usize {
    let behind = [statement.id, statement.location.text, statement.time_text];
    line.len() - behind.iter().map(|field| field.len() + 1).sum::<usize>()
}

/// Clients that are looked ahead for: more than a processor fetches at a time, and what they need stays in
/// its nearest cache until it is used.
pub const PREFETCH_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn report(store: &mut Store, id: &str, time: u64, origin: u32) -> Outcome {
        let line = format!("AT Riley +0.000000000 {id} +1-1 {time}\n");
        store.report(&Statement::parse(line.trim_end().as_bytes()).unwrap(), line.as_bytes(), Origin(origin))
    }

    fn rest(store: &mut Store, cursor: Cursor) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(change) = store.next_change(cursor) {
            let statement = Statement::parse(change.line.strip_suffix(b"\n").unwrap()).unwrap();
            lines.push(format!("{} {}", statement.id.escape_ascii(), statement.time_text.escape_ascii()));
        }
        lines
    }

    #[test]
    fn the_newest_statement_stays() {
        let mut store = Store::new(10);
        assert_eq!(store.get(b"kiwi"), None);
        assert_eq!(report(&mut store, "kiwi", 5, 0), Outcome::Stored);
        assert_eq!(report(&mut store, "kiwi", 4, 0), Outcome::Lost);
        assert_eq!(report(&mut store, "kiwi", 5, 0), Outcome::Lost);
        assert_eq!(store.get(b"kiwi").unwrap(), b"AT Riley +0.000000000 kiwi +1-1 5\n");
        assert_eq!(report(&mut store, "kiwi", 1_000_000, 0), Outcome::Stored);
        assert_eq!(store.get(b"kiwi").unwrap(), b"AT Riley +0.000000000 kiwi +1-1 1000000\n");
        assert_eq!((store.len(), store.sequence()), (1, 2));
    }

    #[test]
    fn a_client_beyond_the_bound_is_not_stored_but_known_ones_are() {
        let mut store = Store::new(1);
        report(&mut store, "a", 1, 0);
        assert_eq!(report(&mut store, "b", 1, 0), Outcome::Full);
        assert_eq!(report(&mut store, "a", 2, 0), Outcome::Stored);
        store.set_clients_max(2);
        assert_eq!(report(&mut store, "b", 1, 0), Outcome::Stored);
    }

    #[test]
    fn a_cursor_gives_each_client_once_in_the_order_of_changes() {
        let mut store = Store::new(10);
        for (id, time) in [("a", 1), ("b", 1), ("c", 1), ("a", 2)] {
            report(&mut store, id, time, 0);
        }
        let cursor = store.follow(0);
        assert_eq!(rest(&mut store, cursor), ["b 1", "c 1", "a 2"]);
        assert_eq!(store.seen(cursor), 4);
        report(&mut store, "a", 3, 7);
        assert_eq!(store.next_change(cursor).unwrap().origin, Origin(7));
        assert_eq!(store.next_change(cursor), None);
        let behind = store.follow(3);
        assert_eq!(rest(&mut store, behind), ["a 3"]);
        let never = store.follow(6);
        assert_eq!(rest(&mut store, never).len(), 3, "a number from the future counts as 0");
    }

    #[test]
    fn the_record_under_a_cursor_may_move() {
        let mut store = Store::new(10);
        for id in ["a", "b", "c"] {
            report(&mut store, id, 1, 0);
        }
        let cursor = store.follow(0);
        store.next_change(cursor);
        store.next_change(cursor);
        report(&mut store, "b", 2, 0);
        report(&mut store, "a", 2, 0);
        assert_eq!(store.seen(cursor), 2);
        assert_eq!(rest(&mut store, cursor), ["c 1", "b 2", "a 2"]);
    }

    #[test]
    fn a_record_takes_few_bytes_beside_its_line() {
        assert_eq!(size_of::<Record>(), 24);
    }

    #[test]
    fn lines_that_grow_and_shrink_waste_no_more_than_they_use() {
        let mut store = Store::new(1000);
        let cursor = store.follow(0);
        for round in 1..200u64 {
            for client in 0..100 {
                let id = format!("client-{client}");
                let zeros = "0".repeat((round * 37 % 1000) as usize);
                let line = format!("AT Riley +0.000000000 {id} +1.0{zeros}-1 {round}\n");
                let statement = Statement::parse(line.trim_end().as_bytes()).unwrap();
                assert_eq!(store.report(&statement, line.as_bytes(), Origin::CLIENT), Outcome::Stored);
            }
            assert!(!store.lines.is_wasteful());
        }
        assert_eq!(rest(&mut store, cursor).len(), 100);
        assert!(store.get(b"client-99").unwrap().ends_with(b"-1 199\n"));
    }

    #[test]
    fn forgotten_cursors_leave_nothing() {
        let mut store = Store::new(10);
        let cursors: Vec<Cursor> = (0..3).map(|_| store.follow(0)).collect();
        cursors.into_iter().for_each(|cursor| store.unfollow(cursor));
        assert!(store.cursors.is_empty());
    }

    proptest! {
        /// Against a model: whatever is reported, read and reopened in between, a reader that takes all that
        /// lies behind its cursor holds exactly what the store holds.
        #[test]
        fn a_reader_ends_with_what_the_store_holds(steps in proptest::collection::vec((0..12u8, 0..6u8, 0..40u64), 1..120)) {
            let mut store = Store::new(5);
            let mut readers = Vec::new();
            for _ in 0..3 {
                readers.push((store.follow(0), std::collections::BTreeMap::new()));
            }
            let take = |store: &mut Store, (cursor, held): &mut (Cursor, std::collections::BTreeMap<String, String>), most: usize| {
                for _ in 0..most {
                    let Some(change) = store.next_change(*cursor) else { break };
                    let line = String::from_utf8(change.line.to_vec()).unwrap();
                    held.insert(line.split(' ').nth(3).unwrap().to_owned(), line);
                }
            };
            for (what, client, number) in steps {
                match what {
                    0..8 => { report(&mut store, &format!("c{client}"), number, 0); }
                    8..11 => take(&mut store, &mut readers[usize::from(what - 8)], number as usize % 4),
                    _ => {
                        let reader = &mut readers[usize::from(client) % 3];
                        let seen = store.seen(reader.0);
                        store.unfollow(reader.0);
                        reader.0 = store.follow(seen);
                    }
                }
            }
            let lines: Vec<String> = (0..store.records.len()).map(|i| String::from_utf8(store.line(i as u32).to_vec()).unwrap()).collect();
            for reader in &mut readers {
                take(&mut store, reader, usize::MAX);
                prop_assert_eq!(store.seen(reader.0), store.sequence());
                let mut held: Vec<String> = reader.1.values().cloned().collect();
                let mut expected = lines.clone();
                held.sort();
                expected.sort();
                prop_assert_eq!(held, expected);
            }
        }
    }
}
