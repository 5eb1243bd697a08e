//! The store: the newest statement of every client in memory, as a list of changes. It writes no file and
//! knows no neighbour.
//!
//! A record is its finished line: an AT, or the GONE of a client that was forgotten, which stays as a tombstone so
//! that no older AT comes back. Each stored statement replaces the client's earlier one, gets the next
//! sequence number and moves to the end of the list. A reader of the changes has a *cursor*, a position in
//! the list. The changes after the cursor are those that the reader does not have yet, whether it is slow,
//! was disconnected or is new. Memory is therefore bounded by the number of clients, whatever the speed of a
//! reader.
//!
//! The list is linked through the records by their indices. Moving a record takes a few assignments, and the
//! list needs no compaction.
//!
//! A statement is over when its server time is further in the past than its [`Retention`], by this server's clock. From
//! then on it counts as unknown: it is neither found nor returned as a change, and any other statement replaces it. Its
//! record stays until [`Store::sweep`] reaches it.
//!
//! No call works through all records, so that none delays the other connections of the server. Whatever grows
//! stands in chunks; the table grows, lines are compacted, a cursor finds its place, and records are swept in
//! portions.

mod arena;
mod chunks;
pub mod journal;
mod keyed_hasher;
mod list;
mod loading;
mod path;
mod record;
mod record_id;
mod retention;
mod search;
mod space;
mod sweep;
mod table;

use crate::geo::Key;
use crate::text::record::Statement;
use arena::Arena;
use chunks::Chunks;
use keyed_hasher::KeyedHasher;
use list::{ChangeList, Link, ListNode};
pub use loading::{Loaded, Loading, Places, Unsorted};
use record::{Record, Sequence, Source};
pub use record_id::RecordId;
pub use retention::Retention;
use retention::{Horizons, Second};
use search::Search;
pub use search::{BOUND_MAX, Nearby, SearchId};
use slab::Slab;
use space::{Owners, Place, Space};
use sweep::Groups;
pub use sweep::Removed;
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
    /// The statement was dropped: it is over already.
    Over,
    /// The statement was dropped: its client has no record and the store has `records_max` of them, or the lines
    /// take 32 GiB.
    Full,
}

/// The position of a reader in the list of changes; see [`Store::follow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(usize);

/// A change, as [`Store::next_change`] returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// The line of the statement with its LF.
    pub line: &'a [u8],
    /// The statement is a GONE.
    pub is_gone: bool,
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
    /// The number of records that are not vacant.
    used: usize,
    /// The number of GONEs among them.
    tombstones: usize,
    lines: Arena,
    by_id: Table,
    hasher: KeyedHasher,
    list: ChangeList,
    space: Space,
    searches: Slab<Search>,
    /// The buffers of the last search.
    idle_search: Option<Search>,
    /// The number of the newest change.
    sequence: u64,
    records_max: usize,
    horizons: Horizons,
    groups: Groups,
}

impl Store {
    /// An empty store for at most `records_max` records, whose statements count for ever.
    pub fn new(records_max: usize) -> Store {
        Store {
            records: Chunks::new(),
            vacant: None,
            used: 0,
            tombstones: 0,
            lines: Arena::new(),
            by_id: Table::new(),
            hasher: KeyedHasher::new(),
            list: ChangeList::new(),
            space: Space::new(),
            searches: Slab::new(),
            idle_search: None,
            sequence: 0,
            records_max,
            horizons: Horizons::NONE,
            groups: Groups::new(),
        }
    }

    /// Sets the greatest number of records, tombstones included. Records above a lower limit stay.
    pub fn set_records_max(&mut self, records_max: usize) {
        self.records_max = records_max;
    }

    /// Sets how long statements count.
    pub fn set_retention(&mut self, retention: Retention) {
        self.horizons.set_retention(retention);
    }

    /// Sets the time by this server's clock, in nanoseconds since 1970. It decides which statements are over.
    pub fn set_time(&mut self, nanoseconds: u64) {
        self.horizons.set_time(nanoseconds);
    }

    /// The number of known clients. Those whose statement is over count until their record is removed.
    pub fn len(&self) -> usize {
        self.used - self.tombstones
    }

    /// Whether the store has no known client.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of records: known clients and tombstones.
    pub fn records(&self) -> usize {
        self.used
    }

    /// Whether a statement of this client would find room: it has a record, or there may be one more.
    pub fn has_room_for(&self, id: &[u8]) -> bool {
        self.used < self.records_max || self.find(self.hasher.hash(id), id).is_some()
    }

    /// The sequence number of the newest change; 0: no change yet.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The number of cursors.
    pub fn cursors(&self) -> usize {
        self.list.cursors()
    }

    /// The AT line of a known client, with its LF. `None`: the client is unknown: nothing was reported about it, it was
    /// forgotten, or its statement is over.
    pub fn get(&self, id: &[u8]) -> Option<&[u8]> {
        let index = self.find(self.hasher.hash(id), id)?;
        (!self.records[index].source.is_gone() && !self.is_over(index)).then(|| self.line(index))
    }

    /// The statement of a known client.
    pub fn statement(&self, id: &[u8]) -> Option<Statement<'_>> {
        statement(self.get(id)?)
    }

    /// The stored line about a client, with its LF: an AT or a GONE that is not over.
    pub fn newest(&self, id: &[u8]) -> Option<&[u8]> {
        let index = self.find(self.hasher.hash(id), id)?;
        (!self.is_over(index)).then(|| self.line(index))
    }

    /// Stores a statement if it is not over, and wins over the stored statement of its client or that is over. `line` is
    /// its line with LF. For a known client this allocates nothing, unless the new line has another number of blocks
    /// than the old, or lines are being compacted.
    ///
    /// Takes bounded time, whatever the number of clients: the table grows, and the lines are compacted, in
    /// portions.
    pub fn report(&mut self, statement: &Statement<'_>, line: &[u8], origin: Origin) -> Outcome {
        self.store::<true>(statement, line, origin)
    }

    /// [`Store::report`]; with `LOCATES` the record is in the index of locations afterwards.
    #[inline(always)]
    fn store<const LOCATES: bool>(
        &mut self,
        statement: &Statement<'_>,
        line: &[u8],
        origin: Origin,
    ) -> Outcome {
        debug_assert_eq!(Statement::parse(&line[..line.len() - 1]).as_ref(), Some(statement));
        let (is_gone, received_ns) = (statement.is_gone(), statement.received_ns());
        if self.horizons.passed(is_gone, received_ns) {
            return Outcome::Over;
        }
        if !self.space.has_room() {
            return Outcome::Full;
        }
        let id_start = id_start(statement, line);
        let hash = self.hasher.hash(statement.id);
        let index = match self.find(hash, statement.id) {
            Some(index) => {
                if !self.searches.is_empty() {
                    self.keep_for_searches(index);
                }
                let record = &mut self.records[index];
                let Record { source, received, place, .. } = *record;
                let horizons = &self.horizons;
                let replaces = |known: &[u8]| {
                    horizons.passed_second(source.is_gone(), received, || line_received_ns(known))
                        || wins(statement, known)
                };
                match self.lines.replace_if(&mut record.line, line, id_start, replaces) {
                    Some(true) => {}
                    Some(false) => return Outcome::Lost,
                    None => return Outcome::Full,
                }
                if LOCATES {
                    self.locate(statement, index, place);
                }
                self.list.remove(&mut self.records, index);
                self.tombstones -= usize::from(source.is_gone());
                index
            }
            None if self.used >= self.records_max => return Outcome::Full,
            None => match self.add(hash, line, id_start) {
                Some(index) => {
                    if LOCATES {
                        self.locate(statement, index, Place::NOWHERE);
                    }
                    index
                }
                None => return Outcome::Full,
            },
        };
        self.tombstones += usize::from(is_gone);
        self.sequence += 1;
        let record = self.list.push(&mut self.records, index);
        record.sequence = Sequence::of(self.sequence);
        record.source = Source::of(origin, is_gone);
        record.received = Second::of(received_ns);
        self.groups.note(index, is_gone, record.received);
        self.compact_lines();
        Outcome::Stored
    }

    /// Creates a cursor for a reader that has every change up to `since`; 0: it has none. A number above
    /// [`Store::sequence`] is wrong and counts as 0.
    pub fn follow(&mut self, since: u64) -> Cursor {
        let since = if since > self.sequence { 0 } else { since };
        Cursor(self.list.add_cursor(&mut self.records, since, self.sequence))
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

    /// Returns the first change after the cursor that is not over, and moves the cursor past it. `None`: the reader has
    /// every change, and [`Store::seen`] is [`Store::sequence`]; or the cursor is still searching for its place, or
    /// passing changes that are over, a bounded number of them in each call.
    pub fn next_change(&mut self, cursor: Cursor) -> Option<Change<'_>> {
        for _ in 0..PASSED_MAX {
            let index = self.list.advance(&mut self.records, cursor.0, self.sequence)?;
            if !self.is_over(index) {
                return Some(self.change(index));
            }
        }
        None
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
            sum ^= self.lines.touch(record.line) ^ self.space.touch(record.place);
            for linked in [record.node.previous.index(), record.node.next.index()].into_iter().flatten() {
                sum ^= self.records[linked].sequence.0[1];
            }
        }
        std::hint::black_box(sum);
    }

    /// Puts a record, which is at a place of the index, where its new statement is, or nowhere.
    #[inline]
    fn locate(&mut self, statement: &Statement<'_>, index: u32, place: Place) {
        let key = statement.location.as_ref().map(Key::of);
        if key.is_some_and(|key| self.space.stays(place, key, index)) {
            return;
        }
        let Store { space, records, lines, .. } = self;
        match key {
            Some(key) => space.put_elsewhere(&mut Owners { records, lines }, key, index),
            None => space.remove(records, index),
        }
    }

    /// The line of a record, with its LF.
    fn line(&self, index: u32) -> &[u8] {
        self.lines.get(self.records[index].line)
    }

    /// The ID of the client of a record.
    fn id(&self, index: u32) -> &[u8] {
        id_at_front(self.lines.id_and_rest(self.records[index].line))
    }

    /// Whether the statement of a record is over.
    fn is_over(&self, index: u32) -> bool {
        let Record { source, received, .. } = self.records[index];
        self.horizons.passed_second(source.is_gone(), received, || line_received_ns(self.line(index)))
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
        let record = Record {
            line,
            node: ListNode::ALONE,
            sequence: Sequence::of(0),
            source: Source::of(Origin::CLIENT, false),
            received: Second::VACANT,
            place: Place::NOWHERE,
        };
        let index = match self.vacant {
            Some(index) => {
                self.vacant = self.records[index].node.next.index();
                self.records[index] = record;
                index
            }
            // `limits.max_clients` is at most 2^30.
            None => self.records.push(record),
        };
        self.used += 1;
        self.by_id.add(hash, index);
        Some(index)
    }

    /// Removes a record. Every removal goes through here.
    fn remove(&mut self, index: u32) {
        self.keep_for_searches(index);
        self.space.remove(&mut self.records, index);
        let hash = self.hasher.hash(self.id(index));
        self.by_id.remove(hash, index);
        self.list.remove(&mut self.records, index);
        let record = &mut self.records[index];
        self.lines.remove(record.line);
        self.used -= 1;
        self.tombstones -= usize::from(record.source.is_gone());
        record.received = Second::VACANT;
        record.node.next = self.vacant.replace(index).map_or(Link::END, Link::record);
        self.compact_lines();
    }

    /// Moves a portion of the lines, if too many blocks between them are free.
    fn compact_lines(&mut self) {
        if self.lines.should_compact() {
            let Store { records, lines, by_id, hasher, .. } = self;
            lines.compact(|id_and_rest, old, new| {
                if let Some(index) =
                    by_id.find(hasher.hash(id_at_front(id_and_rest)), |index| records[index].line == old)
                {
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

/// The server time of a line with its LF, in nanoseconds since 1970.
#[cold]
fn line_received_ns(line: &[u8]) -> i128 {
    statement(line).map_or(i128::MAX, |statement| statement.received_ns())
}

/// The start of the client's ID in the line (with LF) of a statement.
fn id_start(statement: &Statement<'_>, line: &[u8]) -> usize {
    let location = statement.location.map_or(0, |location| location.text.len() + 1);
    line.len() - (statement.id.len() + 1 + location + statement.time_text.len() + 1)
}

/// The ID with which the rest of a line begins.
fn id_at_front(id_and_rest: &[u8]) -> &[u8] {
    id_and_rest.split(|&byte| byte == b' ').next().unwrap_or_default()
}

/// Changes that are over and that a cursor may pass in one call. Each may take a memory access.
const PASSED_MAX: usize = if cfg!(test) { 3 } else { 256 };

/// The greatest number of clients that are prefetched together. It is more than the memory accesses that a
/// processor overlaps, and few enough for the records to stay in its nearest cache until they are used.
pub const PREFETCH_MAX: usize = 16;

#[cfg(test)]
mod tests;
