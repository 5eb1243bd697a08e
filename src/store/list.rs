//! The list of changes: a doubly linked list through the records, by their indices. It owns no record.

use super::Record;

/// A record's node in the list: the indices of the records before and after it, or [`NO_RECORD`]. (An
/// `Option<u32>` would take eight bytes.)
#[derive(Clone, Copy, Debug)]
pub(super) struct ListNode {
    previous: u32,
    next: u32,
}

/// `NO_RECORD`: an end of the list. There are at most 2^30 records (`limits.max_clients`), so none has this
/// index.
const NO_RECORD: u32 = u32::MAX;

impl ListNode {
    pub(super) fn previous(self) -> Option<u32> {
        (self.previous != NO_RECORD).then_some(self.previous)
    }

    pub(super) fn next(self) -> Option<u32> {
        (self.next != NO_RECORD).then_some(self.next)
    }
}

impl Default for ListNode {
    fn default() -> ListNode {
        ListNode { previous: NO_RECORD, next: NO_RECORD }
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
        records[index as usize].node = ListNode { previous: self.last.unwrap_or(NO_RECORD), next: NO_RECORD };
        match self.last {
            Some(last) => records[last as usize].node.next = index,
            None => self.first = Some(index),
        }
        self.last = Some(index);
    }

    /// Removes a record that is in the list.
    pub(super) fn remove(&mut self, records: &mut [Record], index: u32) {
        let node = records[index as usize].node;
        match node.previous() {
            Some(previous) => records[previous as usize].node.next = node.next,
            None => self.first = node.next(),
        }
        match node.next() {
            Some(next) => records[next as usize].node.previous = node.previous,
            None => self.last = node.previous(),
        }
    }
}
