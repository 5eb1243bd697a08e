//! The order of changes: a list linked through the records by their indices.

use super::Record;

/// A record's neighbours in the list. An `Option<u32>` would take eight bytes; here [`NONE`] is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    previous: u32,
    next: u32,
}

/// No record: there are 2^30 at most (`limits.max_clients`), so none has this index.
const NONE: u32 = u32::MAX;

impl Node {
    pub(super) fn previous(self) -> Option<u32> {
        (self.previous != NONE).then_some(self.previous)
    }

    pub(super) fn next(self) -> Option<u32> {
        (self.next != NONE).then_some(self.next)
    }
}

impl Default for Node {
    fn default() -> Node {
        Node { previous: NONE, next: NONE }
    }
}

/// Both ends of the list.
#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) first: Option<u32>,
    pub(super) last: Option<u32>,
}

impl List {
    /// Puts a record that is not in the list at its end.
    pub(super) fn push(&mut self, records: &mut [Record], index: u32) {
        records[index as usize].node = Node { previous: self.last.unwrap_or(NONE), next: NONE };
        match self.last {
            Some(last) => records[last as usize].node.next = index,
            None => self.first = Some(index),
        }
        self.last = Some(index);
    }

    /// Takes a record that is in the list out of it.
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
