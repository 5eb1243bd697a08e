//! The records that an area was told, as bits by their names.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::store::RecordId;

/// A set of records: 64 of neighbouring names share an entry, so that an area with a million clients takes half a
/// megabyte.
#[derive(Debug, Default)]
pub(super) struct Told(HashMap<u32, u64, RandomState>);

impl Told {
    pub(super) fn has(&self, record: RecordId) -> bool {
        let (entry, bit) = place(record);
        self.0.get(&entry).is_some_and(|bits| bits & bit != 0)
    }

    pub(super) fn insert(&mut self, record: RecordId) {
        let (entry, bit) = place(record);
        *self.0.entry(entry).or_default() |= bit;
    }

    /// Removes a record. Returns whether it was in the set.
    pub(super) fn remove(&mut self, record: RecordId) -> bool {
        let (entry, bit) = place(record);
        let Some(bits) = self.0.get_mut(&entry) else { return false };
        let had = *bits & bit != 0;
        *bits &= !bit;
        if *bits == 0 {
            self.0.remove(&entry);
        }
        had
    }
}

fn place(record: RecordId) -> (u32, u64) {
    (record.index() / u64::BITS, 1 << (record.index() % u64::BITS))
}
