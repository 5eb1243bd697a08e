//! Records by their place in memory: for readers that note which record has changed and look at it later. Nothing
//! is stored here.

use super::retention::Second;
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

    /// The changes that are not over, the newest first.
    pub fn newest_changes(&self) -> impl Iterator<Item = Change<'_>> {
        self.list
            .backwards(&self.records)
            .filter(|&index| !self.is_over(index))
            .map(|index| self.change(index))
    }

    /// The record of a client, be its statement over or not.
    pub fn record_of(&self, id: &[u8]) -> Option<RecordId> {
        self.find(self.hasher.hash(id), id).map(RecordId)
    }

    /// The line of a record that exists, be its statement over or not.
    pub fn line_of(&self, record: RecordId) -> &[u8] {
        self.line(record.0)
    }

    /// The newest change of a record, with its present number. `None`: its statement is over, or the record was
    /// removed. If another record has got its name, the change is of that one.
    pub fn change_of(&self, record: RecordId) -> Option<Change<'_>> {
        let is_vacant = self.records[record.0].received == Second::VACANT;
        (!is_vacant && !self.is_over(record.0)).then(|| self.change(record.0))
    }

    pub(super) fn change(&self, index: u32) -> Change<'_> {
        let record = &self.records[index];
        Change {
            line: self.line(index),
            is_gone: record.source.is_gone(),
            origin: record.source.origin(),
            record: RecordId(index),
            sequence: record.sequence.number(),
        }
    }

    /// Removes the record of a client, as [`Store::sweep`] does.
    #[cfg(test)]
    pub(crate) fn remove_client(&mut self, id: &[u8]) {
        if let Some(RecordId(index)) = self.record_of(id) {
            self.remove(index);
        }
    }
}
