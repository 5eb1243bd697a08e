//! The store: the newest statement of every client in memory, as a list of changes. It writes no file and
//! knows no neighbour.
//!
//! A record is its finished AT line. Each stored statement replaces the client's earlier one, gets the next
//! sequence number and moves to the end of the list. A reader of the changes has a *cursor*, a position in
//! the list. The changes after the cursor are those that the reader does not have yet, whether it is slow,
//! was disconnected or is new. Memory is therefore bounded by the number of clients, whatever the speed of a
//! reader.
//!
//! The list is linked through the records by their indices. Moving a record takes a few assignments, and the
//! list needs no compaction.

mod arena;
mod keyed_hasher;
mod list;
mod table;

use slab::Slab;

use crate::text::record::Statement;
use arena::{Arena, BlockOffset};
use keyed_hasher::KeyedHasher;
use list::{ChangeList, ListNode};
use table::Table;

/// The source of a statement: a client of this server, or one incarnation of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin(pub u32);

impl Origin {
    /// A client of this server.
    pub const CLIENT: Origin = Origin(0);
}

/// The outcome of [`Store::report`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The statement is the newest of its client and was stored.
    Stored,
    /// The stored statement wins, or is the same.
    Lost,
    /// The statement was dropped: its client is new and the store has `clients_max` clients, or the lines
    /// take 32 GiB.
    Full,
}

/// The position of a reader in the list of changes; see [`Store::follow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(usize);

/// A change, as [`Store::next_change`] returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// The AT line with its LF.
    pub line: &'a [u8],
    /// The source of the statement.
    pub origin: Origin,
}

/// The newest statement of every client.
#[derive(Debug)]
pub struct Store {
    records: Vec<Record>,
    lines: Arena,
    by_id: Table,
    hasher: KeyedHasher,
    list: ChangeList,
    /// The number of the newest change.
    sequence: u64,
    cursors: Slab<CursorState>,
    clients_max: usize,
}

/// A record, except its line. Kept small: there may be millions.
#[derive(Debug)]
struct Record {
    line: BlockOffset,
    node: ListNode,
    sequence: Sequence,
    origin: Origin,
}

/// A sequence number in two halves. A `u64` would align records to eight bytes and make them larger.
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

/// The state of a cursor.
#[derive(Debug)]
struct CursorState {
    /// The record before the cursor in the list; `None`: the cursor is before the first record.
    predecessor: Option<u32>,
    /// Every change up to this number was read, or was replaced by a change after the cursor.
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
            list: ChangeList::default(),
            sequence: 0,
            cursors: Slab::new(),
            clients_max,
        }
    }

    /// Sets the greatest number of clients. Clients above a lower limit stay.
    pub fn set_clients_max(&mut self, clients_max: usize) {
        self.clients_max = clients_max;
    }

    /// The number of clients.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether the store has no client.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The sequence number of the newest change; 0: no change yet.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The number of cursors.
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

    /// Stores a statement if it wins over the stored statement of its client. `line` is its AT line with LF.
    /// For a known client this allocates nothing, unless the new line has another number of blocks than the
    /// old.
    pub fn report(&mut self, statement: &Statement<'_>, line: &[u8], origin: Origin) -> Outcome {
        debug_assert_eq!(Statement::parse(&line[..line.len() - 1]).as_ref(), Some(statement));
        let id_start = id_start(statement, line);
        let hash = self.hasher.hash(statement.id);
        let index = match self.find(hash, statement.id) {
            Some(index) => {
                if !wins(statement, self.line(index)) {
                    return Outcome::Lost;
                }
                let Some(offset) = self.lines.replace(self.records[index as usize].line, line, id_start)
                else {
                    return Outcome::Full;
                };
                self.records[index as usize].line = offset;
                self.unlink(index);
                index
            }
            None if self.records.len() >= self.clients_max => return Outcome::Full,
            None => match self.add(hash, line, id_start) {
                Some(index) => index,
                None => return Outcome::Full,
            },
        };
        self.sequence += 1;
        let record = &mut self.records[index as usize];
        record.sequence = Sequence::of(self.sequence);
        record.origin = origin;
        self.list.push(&mut self.records, index);
        if self.lines.should_compact() {
            self.compact_lines();
        }
        Outcome::Stored
    }

    /// Creates a cursor for a reader that has every change up to `since`; 0: it has none. A number above
    /// [`Store::sequence`] is wrong and counts as 0. Takes time in proportion to the changes after `since`.
    pub fn follow(&mut self, since: u64) -> Cursor {
        let since = if since > self.sequence { 0 } else { since };
        let mut predecessor = if since == 0 { None } else { self.list.last };
        while let Some(index) = predecessor
            && self.records[index as usize].sequence.number() > since
        {
            predecessor = self.records[index as usize].node.previous();
        }
        Cursor(self.cursors.insert(CursorState { predecessor, sequence: since }))
    }

    /// Removes a cursor.
    pub fn unfollow(&mut self, cursor: Cursor) {
        self.cursors.try_remove(cursor.0);
    }

    /// The number of the last change that the reader has: every change up to it was returned by
    /// [`Store::next_change`], or was replaced by a later one.
    pub fn seen(&self, cursor: Cursor) -> u64 {
        self.cursors.get(cursor.0).map_or(0, |state| state.sequence)
    }

    /// Returns the first change after the cursor and moves the cursor past it. `None`: the reader has every
    /// change.
    pub fn next_change(&mut self, cursor: Cursor) -> Option<Change<'_>> {
        let state = self.cursors.get_mut(cursor.0)?;
        let index = match state.predecessor {
            Some(predecessor) => self.records[predecessor as usize].node.next(),
            None => self.list.first,
        }?;
        let record = &self.records[index as usize];
        *state = CursorState { predecessor: Some(index), sequence: record.sequence.number() };
        Some(Change { line: self.lines.get(record.line), origin: record.origin })
    }

    /// Loads the records of these clients into the processor's cache, before they are reported: of at most
    /// [`PREFETCH_MAX`]. With many clients most records are in no cache, and waiting for memory, one record
    /// after the other, takes as long as the rest of a report. Here the accesses overlap. Has no effect on
    /// any result.
    pub fn prefetch<'a>(&self, ids: impl Iterator<Item = &'a [u8]>) {
        let mut found = [0; PREFETCH_MAX];
        let mut count = 0;
        for id in ids.take(PREFETCH_MAX) {
            // The first index with the same 32 bits of the hash is nearly always the right one.
            if let Some(index) = self.by_id.find(self.hasher.hash(id), |_| true) {
                found[count] = index;
                count += 1;
            }
        }
        let found = &found[..count];
        // Combines the values, so that the compiler keeps the reads.
        let mut sum = 0;
        for &index in found {
            sum ^= self.records[index as usize].sequence.0[1];
        }
        for &index in found {
            let record = &self.records[index as usize];
            sum ^= self.lines.touch(record.line);
            for linked in [record.node.previous(), record.node.next()].into_iter().flatten() {
                sum ^= self.records[linked as usize].sequence.0[1];
            }
        }
        std::hint::black_box(sum);
    }

    /// The line of a record, with its LF.
    fn line(&self, index: u32) -> &[u8] {
        self.lines.get(self.records[index as usize].line)
    }

    /// The index of the record of a client.
    fn find(&self, hash: u64, id: &[u8]) -> Option<u32> {
        self.by_id.find(hash, |index| {
            let line = self.lines.id_and_rest(self.records[index as usize].line);
            line.get(id.len()) == Some(&b' ') && line.starts_with(id)
        })
    }

    /// Adds a record that is in no list yet. `None`: the arena is full.
    fn add(&mut self, hash: u64, line: &[u8], id_start: usize) -> Option<u32> {
        // `limits.max_clients` is at most 2^30.
        let index = self.records.len() as u32;
        let line = self.lines.add(line, id_start)?;
        self.records.push(Record {
            line,
            node: ListNode::default(),
            sequence: Sequence::of(0),
            origin: Origin::CLIENT,
        });
        self.by_id.add(hash, index);
        Some(index)
    }

    /// Copies all lines into a new arena, without the free blocks.
    fn compact_lines(&mut self) {
        let old = std::mem::take(&mut self.lines);
        for record in &mut self.records {
            // Never `None`: the same lines fitted with free blocks between them.
            if let Some(offset) = self.lines.copy_from(&old, record.line) {
                record.line = offset;
            }
        }
    }

    /// Removes a record from the list, and moves the cursors after it back to the record before it.
    fn unlink(&mut self, index: u32) {
        let previous = self.records[index as usize].node.previous();
        for (_, state) in &mut self.cursors {
            if state.predecessor == Some(index) {
                state.predecessor = previous;
            }
        }
        self.list.remove(&mut self.records, index);
    }
}

/// Parses a line with its LF.
fn statement(line: &[u8]) -> Option<Statement<'_>> {
    Statement::parse(line.strip_suffix(b"\n")?)
}

/// Whether a statement wins over that of a line with its LF.
fn wins(new: &Statement<'_>, line: &[u8]) -> bool {
    // The times nearly always decide, and comparing them is faster than parsing the line.
    match new.is_later_than(line.strip_suffix(b"\n").unwrap_or(line)) {
        Some(is_later) => is_later,
        None => statement(line).is_none_or(|known| new.wins_over(&known)),
    }
}

/// The start of the client's ID in the line (with LF) of a statement.
fn id_start(statement: &Statement<'_>, line: &[u8]) -> usize {
    let from_id = [statement.id, statement.location.text, statement.time_text];
    line.len() - from_id.iter().map(|field| field.len() + 1).sum::<usize>()
}

/// The greatest number of clients that are prefetched together. It is more than the memory accesses that a
/// processor overlaps, and few enough for the records to stay in its nearest cache until they are used.
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
    fn only_a_newer_statement_is_stored() {
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
    fn a_full_store_rejects_new_clients_and_updates_known_ones() {
        let mut store = Store::new(1);
        report(&mut store, "a", 1, 0);
        assert_eq!(report(&mut store, "b", 1, 0), Outcome::Full);
        assert_eq!(report(&mut store, "a", 2, 0), Outcome::Stored);
        store.set_clients_max(2);
        assert_eq!(report(&mut store, "b", 1, 0), Outcome::Stored);
    }

    #[test]
    fn a_cursor_returns_each_client_once_in_the_order_of_changes() {
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
        let resumed = store.follow(3);
        assert_eq!(rest(&mut store, resumed), ["a 3"]);
        let impossible = store.follow(6);
        assert_eq!(rest(&mut store, impossible).len(), 3, "a number above the newest change counts as 0");
    }

    #[test]
    fn a_cursor_survives_moves_of_the_record_before_it() {
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
    fn a_record_has_24_bytes_beside_its_line() {
        assert_eq!(size_of::<Record>(), 24);
    }

    #[test]
    fn free_blocks_never_exceed_used_blocks_for_long() {
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
            assert!(!store.lines.should_compact());
        }
        assert_eq!(rest(&mut store, cursor).len(), 100);
        assert!(store.get(b"client-99").unwrap().ends_with(b"-1 199\n"));
    }

    #[test]
    fn a_removed_cursor_leaves_nothing() {
        let mut store = Store::new(10);
        let cursors: Vec<Cursor> = (0..3).map(|_| store.follow(0)).collect();
        cursors.into_iter().for_each(|cursor| store.unfollow(cursor));
        assert!(store.cursors.is_empty());
    }

    proptest! {
        /// Against a model: whatever the order of reports, reads and resumed cursors, a reader that takes all
        /// changes has exactly the lines of the store.
        #[test]
        fn a_reader_ends_with_the_content_of_the_store(steps in proptest::collection::vec((0..12u8, 0..6u8, 0..40u64), 1..120)) {
            let mut store = Store::new(5);
            let mut readers = Vec::new();
            for _ in 0..3 {
                readers.push((store.follow(0), std::collections::BTreeMap::new()));
            }
            let take = |store: &mut Store, (cursor, read): &mut (Cursor, std::collections::BTreeMap<String, String>), at_most: usize| {
                for _ in 0..at_most {
                    let Some(change) = store.next_change(*cursor) else { break };
                    let line = String::from_utf8(change.line.to_vec()).unwrap();
                    read.insert(line.split(' ').nth(3).unwrap().to_owned(), line);
                }
            };
            for (action, client, number) in steps {
                match action {
                    0..8 => { report(&mut store, &format!("c{client}"), number, 0); }
                    8..11 => take(&mut store, &mut readers[usize::from(action - 8)], number as usize % 4),
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
                let mut read: Vec<String> = reader.1.values().cloned().collect();
                let mut expected = lines.clone();
                read.sort();
                expected.sort();
                prop_assert_eq!(read, expected);
            }
        }
    }
}
