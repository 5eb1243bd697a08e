//! The list of changes: a doubly linked list through the records, by their indices. It owns no record.

use super::Record;

/// The links of a record: the indices of the records before and after it, or [`NO_RECORD`]. (An `Option<u32>`
/// would take eight bytes.)
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    previous: u32,
    next: u32,
}

/// `NO_RECORD`: an end of the list. There are at most 2^30 records (`limits.max_clients`), so none has this
/// index.
const NO_RECORD: u32 = u32::MAX;

impl Links {
    pub(super) fn previous(self) -> Option<u32> {
        (self.previous != NO_RECORD).then_some(self.previous)
    }

    pub(super) fn next(self) -> Option<u32> {
        (self.next != NO_RECORD).then_some(self.next)
    }
}

impl Default for Links {
    fn default() -> Links {
        Links { previous: NO_RECORD, next: NO_RECORD }
    }
}

/// The ends of the list; `None`: it is empty.
#[derive(Debug, Default)]
pub(super) struct ChangeList {
    pub(super) first: Option<u32>,
    pub(super) last: Option<u32>,
}

impl ChangeList {
    /// Appends a record that is not in the list.
    pub(super) fn push(&mut self, records: &mut [Record], index: u32) {
        records[index as usize].links = Links { previous: self.last.unwrap_or(NO_RECORD), next: NO_RECORD };
        match self.last {
            Some(last) => records[last as usize].links.next = index,
            None => self.first = Some(index),
        }
        self.last = Some(index);
    }

    /// Removes a record that is in the list.
    pub(super) fn remove(&mut self, records: &mut [Record], index: u32) {
        let links = records[index as usize].links;
        match links.previous() {
            Some(previous) => records[previous as usize].links.next = links.next,
            None => self.first = links.next(),
        }
        match links.next() {
            Some(next) => records[next as usize].links.previous = links.previous,
            None => self.last = links.previous(),
        }
    }
}
