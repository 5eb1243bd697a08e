//! Statements that were stored before the server was started. It reads no file.
//!
//! At first they are loaded while no client is served, which is fast: the index of locations is built at the end, in the
//! order of places. A store that takes longer is loaded *beside* clients: what they report stands after a cursor, the
//! loader, and what is loaded before it, so that the list stays in the order of its numbers.

use super::record::Sequence;
use super::space::Owners;
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
                let index = index as usize;
                self.keys.resize(self.keys.len().max(index + 1), NOT_LOCATED);
                self.keys[index] = statement.location.as_ref().map_or(NOT_LOCATED, |at| Key::of(at).0);
            }
            return outcome;
        };
        let outcome = store.store::<true>(statement, line, Origin::CLIENT);
        if outcome == Outcome::Stored
            && let Some(index) = store.list.last()
        {
            beside.last = number.max(beside.last + 1).min(beside.newest);
            store.sequence = newest;
            store.list.remove(&mut store.records, index);
            store.list.insert_before(&mut store.records, beside.cursor.0, index);
            store.records[index].sequence = Sequence::of(beside.last);
        }
        outcome
    }

    /// From now on clients are served. `newest`: no change that is still to be loaded has a greater number. Takes time that
    /// grows with the number of records.
    pub fn serve_beside(&mut self, store: &mut Store, newest: u64) {
        self.locate(store);
        let last = store.sequence;
        let newest = newest.max(last);
        store.sequence = newest;
        self.beside = Some(Beside { cursor: store.follow(newest), newest, last });
    }

    /// All statements were loaded; the next change has a number above `sequence`. Unless clients are served already, it takes
    /// time that grows with the number of records.
    pub fn finish(mut self, store: &mut Store, sequence: u64) {
        self.locate(store);
        if let Some(Beside { cursor, .. }) = self.beside {
            store.unfollow(cursor);
        }
        store.sequence = store.sequence.max(sequence);
    }

    /// Puts the records into the index of locations in the order of their places, in which nearly every one goes to the page
    /// of the one before: that takes a third of the time.
    fn locate(&mut self, store: &mut Store) {
        let keys = std::mem::take(&mut self.keys);
        let located = keys.into_iter().zip(0..).filter(|&(key, _)| key != NOT_LOCATED);
        let mut places: Vec<(u64, u32)> = located.collect();
        places.sort_unstable();
        let Store { records, lines, space, .. } = store;
        for (key, index) in places {
            space.put_elsewhere(&mut Owners { records, lines }, Key(key), index);
        }
    }
}

/// No key: the lowest bit of a latitude in a key is 0.
const NOT_LOCATED: u64 = u64::MAX;
