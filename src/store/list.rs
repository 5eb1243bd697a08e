//! The order of changes: a list linked through the records by their indices.

use super::Record;

/// A record's neighbours in the list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    pub(super) previous: Option<u32>,
    pub(super) next: Option<u32>,
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
        records[index as usize].link = Link { previous: self.last, next: None };
        match self.last {
            Some(last) => records[last as usize].link.next = Some(index),
            None => self.first = Some(index),
        }
        self.last = Some(index);
    }

    /// Takes a record that is in the list out of it.
    pub(super) fn remove(&mut self, records: &mut [Record], index: u32) {
        let Link { previous, next } = records[index as usize].link;
        match previous {
            Some(previous) => records[previous as usize].link.next = next,
            None => self.first = next,
        }
        match next {
            Some(next) => records[next as usize].link.previous = previous,
            None => self.last = previous,
        }
    }
}
