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
//!
//! No call works through all records, so that none delays the other connections of the server. Whatever grows
//! stands in chunks; the table grows, lines are compacted, and a cursor finds its place in portions.

mod arena;
mod chunks;
mod keyed_hasher;
mod list;
mod record_id;
mod table;

use crate::text::record::Statement;
use arena::{Arena, BlockOffset};
use chunks::Chunks;
use keyed_hasher::KeyedHasher;
use list::{ChangeList, Link, ListNode};
pub use record_id::RecordId;
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
    /// Its record.
    pub record: RecordId,
    /// Its number.
    pub sequence: u64,
}

/// The newest statement of every client.
#[derive(Debug)]
pub struct Store {
    records: Chunks<Record>,
    /// The indices of removed records: the last one that was removed, then each through the node of the one
    /// before it.
    vacant: Option<u32>,
    /// The number of clients.
    clients: usize,
    lines: Arena,
    by_id: Table,
    hasher: KeyedHasher,
    list: ChangeList,
    /// The number of the newest change.
    sequence: u64,
    clients_max: usize,
}

/// A record, except its line. Kept small: there may be millions.
#[derive(Clone, Copy, Debug)]
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

impl Store {
    /// An empty store for at most `clients_max` clients.
    pub fn new(clients_max: usize) -> Store {
        Store {
            records: Chunks::new(),
            vacant: None,
            clients: 0,
            lines: Arena::new(),
            by_id: Table::new(),
            hasher: KeyedHasher::new(),
            list: ChangeList::new(),
            sequence: 0,
            clients_max,
        }
    }

    /// Sets the greatest number of clients. Clients above a lower limit stay.
    pub fn set_clients_max(&mut self, clients_max: usize) {
        self.clients_max = clients_max;
    }

    /// The number of clients.
    pub fn len(&self) -> usize {
        self.clients
    }

    /// Whether the store has no client.
    pub fn is_empty(&self) -> bool {
        self.clients == 0
    }

    /// The sequence number of the newest change; 0: no change yet.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The number of cursors.
    pub fn cursors(&self) -> usize {
        self.list.cursors()
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
    /// old, or lines are being compacted.
    ///
    /// Takes bounded time, whatever the number of clients: the table grows, and the lines are compacted, in
    /// portions.
    pub fn report(&mut self, statement: &Statement<'_>, line: &[u8], origin: Origin) -> Outcome {
        debug_assert_eq!(Statement::parse(&line[..line.len() - 1]).as_ref(), Some(statement));
        let id_start = id_start(statement, line);
        let hash = self.hasher.hash(statement.id);
        let index = match self.find(hash, statement.id) {
            Some(index) => {
                let offset = &mut self.records[index].line;
                match self.lines.replace_if(offset, line, id_start, |known| wins(statement, known)) {
                    Some(true) => {}
                    Some(false) => return Outcome::Lost,
                    None => return Outcome::Full,
                }
                self.list.remove(&mut self.records, index);
                index
            }
            None if self.clients >= self.clients_max => return Outcome::Full,
            None => match self.add(hash, line, id_start) {
                Some(index) => index,
                None => return Outcome::Full,
            },
        };
        self.sequence += 1;
        let record = self.list.push(&mut self.records, index);
        record.sequence = Sequence::of(self.sequence);
        record.origin = origin;
        self.compact_lines();
        Outcome::Stored
    }

    /// Removes a client. Readers are not told; one that has not read the client's last change yet does not
    /// get it. Returns whether the client was known. Takes bounded time, like [`Store::report`].
    pub fn remove(&mut self, id: &[u8]) -> bool {
        let hash = self.hasher.hash(id);
        let Some(index) = self.find(hash, id) else {
            return false;
        };
        self.by_id.remove(hash, index);
        self.list.remove(&mut self.records, index);
        let record = &mut self.records[index];
        self.lines.remove(record.line);
        record.sequence = Sequence::of(0);
        record.node.next = self.vacant.replace(index).map_or(Link::END, Link::record);
        self.clients -= 1;
        self.compact_lines();
        true
    }

    /// Creates a cursor for a reader that has every change up to `since`; 0: it has none. A number above
    /// [`Store::sequence`] is wrong and counts as 0.
    pub fn follow(&mut self, since: u64) -> Cursor {
        let since = if since > self.sequence { 0 } else { since };
        Cursor(self.list.add_cursor(&mut self.records, since))
    }

    /// Removes a cursor.
    pub fn unfollow(&mut self, cursor: Cursor) {
        self.list.remove_cursor(&mut self.records, cursor.0);
    }

    /// The number of the last change that the reader has: every change up to it was returned by
    /// [`Store::next_change`], was replaced by a later one, or was removed with its client.
    pub fn seen(&self, cursor: Cursor) -> u64 {
        self.list.sequence(cursor.0)
    }

    /// Whether a cursor has not found its place in the list yet.
    pub fn is_searching(&self, cursor: Cursor) -> bool {
        self.list.is_searching(cursor.0)
    }

    /// Returns the first change after the cursor and moves the cursor past it. `None`: the reader has every
    /// change, and [`Store::seen`] is [`Store::sequence`]; or the cursor is still searching for its place, a
    /// bounded number of changes in each call, and `seen` is the number that it follows from.
    pub fn next_change(&mut self, cursor: Cursor) -> Option<Change<'_>> {
        let index = self.list.advance(&mut self.records, cursor.0, self.sequence)?;
        Some(self.change(index))
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
            sum ^= self.records[index].sequence.0[1];
        }
        for &index in found {
            let record = &self.records[index];
            sum ^= self.lines.touch(record.line);
            for linked in [record.node.previous.index(), record.node.next.index()].into_iter().flatten() {
                sum ^= self.records[linked].sequence.0[1];
            }
        }
        std::hint::black_box(sum);
    }

    /// The line of a record, with its LF.
    fn line(&self, index: u32) -> &[u8] {
        self.lines.get(self.records[index].line)
    }

    /// The index of the record of a client.
    fn find(&self, hash: u64, id: &[u8]) -> Option<u32> {
        self.by_id.find(hash, |index| {
            let line = self.lines.id_and_rest(self.records[index].line);
            line.get(id.len()) == Some(&b' ') && line.starts_with(id)
        })
    }

    /// Adds a record that is in no list yet. `None`: the arena is full.
    fn add(&mut self, hash: u64, line: &[u8], id_start: usize) -> Option<u32> {
        let line = self.lines.add(line, id_start)?;
        let record =
            Record { line, node: ListNode::ALONE, sequence: Sequence::of(0), origin: Origin::CLIENT };
        let index = match self.vacant {
            Some(index) => {
                self.vacant = self.records[index].node.next.index();
                self.records[index] = record;
                index
            }
            // `limits.max_clients` is at most 2^30.
            None => self.records.push(record),
        };
        self.clients += 1;
        self.by_id.add(hash, index);
        Some(index)
    }

    /// Moves a portion of the lines, if too many blocks between them are free.
    fn compact_lines(&mut self) {
        if self.lines.should_compact() {
            let Store { records, lines, by_id, hasher, .. } = self;
            lines.compact(|id_and_rest, old, new| {
                let id = id_and_rest.split(|&byte| byte == b' ').next().unwrap_or_default();
                if let Some(index) = by_id.find(hasher.hash(id), |index| records[index].line == old) {
                    records[index].line = new;
                }
            });
        }
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
mod tests;
