//! Records by their place in memory: for readers that note which record has changed and look at it later. Nothing
//! is stored here.

use super::{Change, Store};

/// The name of a record, as long as it exists. After it was removed, the record of another client may get the same
/// name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId(pub(super) u32);

impl RecordId {
    /// A small number: names are given from 0 on, and used again.
    pub fn index(self) -> u32 {
        self.0
    }
}

impl Store {
    /// The record of the newest change, right after a report that was [`Stored`](super::Outcome::Stored).
    pub fn newest_record(&self) -> Option<RecordId> {
        self.list.last().map(RecordId)
    }

    /// The record of a client.
    pub fn record_of(&self, id: &[u8]) -> Option<RecordId> {
        self.find(self.hasher.hash(id), id).map(RecordId)
    }

    /// The newest change of a record, with its present number. The record exists, or was removed after its name was
    /// noted: then the change is that of another client, or `None`.
    pub fn change_of(&self, record: RecordId) -> Option<Change<'_>> {
        let is_used = self.records[record.0].sequence.number() > 0;
        is_used.then(|| self.change(record.0))
    }

    pub(super) fn change(&self, index: u32) -> Change<'_> {
        let record = &self.records[index];
        Change {
            line: self.lines.get(record.line),
            origin: record.origin,
            record: RecordId(index),
            sequence: record.sequence.number(),
        }
    }
}
