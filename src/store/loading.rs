//! Statements that were stored before the server was started. It reads no file.
//!
//! At first they are loaded while no client is served. A store that takes longer is loaded *beside* clients: what they
//! report stands after a cursor, the loader, and what is loaded before it, so that the list stays in the order of its numbers.
//!
//! The index of locations is built at the end, in the order of places, in which nearly every record goes to the page of the
//! one before: that takes a third of the time, and of many millions of records a tenth.

use std::collections::VecDeque;

use super::record::{Record, Sequence};
use super::retention::Second;
use super::space::{Owners, Place};
use super::{Cursor, Origin, Outcome, PREFETCH_MAX, Store};
use crate::geo::Key;
use crate::text::record::Statement;

/// The statements of an earlier process on their way into a store.
#[derive(Debug, Default)]
pub struct Loading {
    /// The keys of records that are not in the index of locations yet, by their indices; [`NOT_LOCATED`]: it has none.
    keys: Vec<u64>,
    /// `None`: no client is served.
    beside: Option<Beside>,
}

#[derive(Debug)]
struct Beside {
    /// The loader.
    cursor: Cursor,
    /// The greatest number of a change that is loaded.
    newest: u64,
    /// The number of the change that was loaded last.
    last: u64,
}

/// A change that is to be loaded.
#[derive(Clone, Copy, Debug)]
pub struct Loaded<'a> {
    /// The statement.
    pub statement: Statement<'a>,
    /// Its line with LF.
    pub line: &'a [u8],
    /// The number of the change.
    pub number: u64,
}

impl Loading {
    /// Makes room in an empty store for so many records.
    pub fn begin(store: &mut Store, records: usize) -> Loading {
        let records = records.min(store.records_max);
        store.by_id.reserve(records);
        Loading { keys: Vec::with_capacity(records), beside: None }
    }

    /// Loads statements, which are not over and win. They are to be loaded in the order of their numbers; one that is not
    /// gets a later number. Returns how many of them found no room.
    pub fn load<'a>(&mut self, store: &mut Store, changes: impl Iterator<Item = Loaded<'a>>) -> u64 {
        let mut changes = changes.fuse();
        let mut left_out = 0;
        let mut batch = Vec::with_capacity(PREFETCH_MAX);
        loop {
            batch.extend(changes.by_ref().take(PREFETCH_MAX));
            if batch.is_empty() {
                return left_out;
            }
            store.prefetch(batch.iter().map(|change: &Loaded<'_>| change.statement.id));
            for change in batch.drain(..) {
                left_out += u64::from(self.load_one(store, &change) == Outcome::Full);
            }
        }
    }

    fn load_one(&mut self, store: &mut Store, change: &Loaded<'_>) -> Outcome {
        let &Loaded { ref statement, line, number } = change;
        let newest = store.sequence;
        let Some(beside) = &mut self.beside else {
            store.sequence = newest.max(number.saturating_sub(1));
            let outcome = store.store::<false>(statement, line, Origin::CLIENT);
            if outcome != Outcome::Stored {
                // It stays in the files, and may be stored at a later start: when what it lost against is over.
                store.sequence = newest.max(number);
            } else if let Some(index) = store.list.last() {
                self.note_key(index, statement);
            }
            return outcome;
        };
        let outcome = store.store::<false>(statement, line, Origin::CLIENT);
        if outcome == Outcome::Stored
            && let Some(index) = store.list.last()
        {
            beside.last = number.max(beside.last + 1).min(beside.newest);
            store.sequence = newest;
            store.list.remove(&mut store.records, index);
            store.list.insert_before(&mut store.records, beside.cursor.0, index);
            store.records[index].sequence = Sequence::of(beside.last);
            match store.records[index].place {
                Place::NOWHERE => self.note_key(index, statement),
                place => store.locate(statement, index, place),
            }
        }
        outcome
    }

    /// Notes where a record is to be put in the index of locations.
    fn note_key(&mut self, index: u32, statement: &Statement<'_>) {
        let index = index as usize;
        self.keys.resize(self.keys.len().max(index + 1), NOT_LOCATED);
        self.keys[index] = statement.location.as_ref().map_or(NOT_LOCATED, |at| Key::of(at).0);
    }

    /// From now on clients are served. `newest`: no change that is still to be loaded has a greater number.
    pub fn serve_beside(&mut self, store: &mut Store, newest: u64) {
        let last = store.sequence;
        let newest = newest.max(last);
        store.sequence = newest;
        self.beside = Some(Beside { cursor: store.follow(newest), newest, last });
    }

    /// All statements were loaded. What is to be put into the index of locations, before [`Loading::finish`].
    pub fn unsorted(&mut self) -> Unsorted {
        Unsorted(std::mem::take(&mut self.keys))
    }

    /// All statements are in the index of locations; the next change has a number above `sequence`.
    pub fn finish(self, store: &mut Store, sequence: u64) {
        if let Some(Beside { cursor, .. }) = self.beside {
            store.unfollow(cursor);
        }
        store.sequence = store.sequence.max(sequence);
    }
}

/// The keys of records that are not in the index of locations, by their indices.
#[derive(Debug)]
pub struct Unsorted(Vec<u64>);

impl Unsorted {
    /// Sorts them. Takes about a second for ten million.
    pub fn sort(self) -> Places {
        let located = self.0.into_iter().zip(0..).filter(|&(key, _)| key != NOT_LOCATED);
        let mut places: Vec<(u64, u32)> = located.collect();
        places.sort_unstable();
        // In parts, which are freed one by one.
        Places(places.chunks(PART).map(<[_]>::to_vec).collect())
    }
}

/// Records in the order of their places, in parts.
#[derive(Debug)]
pub struct Places(VecDeque<Vec<(u64, u32)>>);

impl Places {
    /// Puts the next records into the index of locations, a bounded number of them. Returns whether there are more.
    pub fn locate(&mut self, store: &mut Store) -> bool {
        let Some(part) = self.0.pop_front() else { return false };
        let Store { records, lines, space, .. } = store;
        for (key, index) in part {
            let Record { received, source, place, .. } = records[index];
            // A client may have reported another location since, or have been forgotten.
            if received != Second::VACANT && !source.is_gone() && place == Place::NOWHERE {
                space.put_elsewhere(&mut Owners { records, lines }, Key(key), index);
            }
        }
        !self.0.is_empty()
    }
}

/// No key: the lowest bit of a latitude in a key is 0.
const NOT_LOCATED: u64 = u64::MAX;
/// Records that are put into the index of locations together, in less than a millisecond.
const PART: usize = if cfg!(test) { 50 } else { 4096 };
