//! The list of changes: a doubly linked ring through the records, the cursors and its own end. It owns the
//! cursors, and no record.
//!
//! A cursor is a member of the list itself, between the last record that its reader has and the next one.
//! Records can therefore be moved and removed without a look at any cursor.

use slab::Slab;

use super::chunks::Chunks;
use super::record::Record;

/// A member of the list: the index of a record, or [`OTHER`] and the number of a cursor, or [`Link::END`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link(u32);

impl Link {
    /// The end of the list, before its first member and after its last.
    pub(super) const END: Link = Link(u32::MAX);

    pub(super) fn record(index: u32) -> Link {
        Link(index)
    }

    fn cursor(number: usize) -> Link {
        Link(OTHER | number as u32)
    }

    /// The index of the record, if the member is one.
    pub(super) fn index(self) -> Option<u32> {
        (self.0 & OTHER == 0).then_some(self.0)
    }

    fn is_cursor(self) -> bool {
        self.0 & OTHER != 0 && self != Link::END
    }
}

/// The neighbours of a member of the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListNode {
    pub(super) previous: Link,
    pub(super) next: Link,
}

impl ListNode {
    /// The node of a member that is in no list.
    pub(super) const ALONE: ListNode = ListNode { previous: Link::END, next: Link::END };
}

/// The list with its cursors.
#[derive(Debug)]
pub(super) struct ChangeList {
    /// The node of the end of the list: its last and its first member.
    end: ListNode,
    cursors: Slab<CursorState>,
    /// The most members that one step has passed.
    #[cfg(test)]
    pub(super) passed_max: usize,
}

/// The state of a cursor.
#[derive(Debug)]
struct CursorState {
    node: ListNode,
    /// Every change up to this number was read, or was replaced by a change after the cursor.
    sequence: u64,
    /// The cursor is still on the way back to the change with this number: all changes after the cursor are
    /// later, and some before it may be.
    is_searching: bool,
}

impl ChangeList {
    pub(super) fn new() -> ChangeList {
        ChangeList {
            end: ListNode::ALONE,
            cursors: Slab::new(),
            #[cfg(test)]
            passed_max: 0,
        }
    }

    /// The number of cursors.
    pub(super) fn cursors(&self) -> usize {
        self.cursors.len()
    }

    /// Removes a record that is in the list.
    pub(super) fn remove(&mut self, records: &mut Chunks<Record>, index: u32) {
        let node = records[index].node;
        self.close_gap(records, node);
    }

    /// Appends a record that is not in the list, and returns it.
    pub(super) fn push<'a>(&mut self, records: &'a mut Chunks<Record>, index: u32) -> &'a mut Record {
        let last = std::mem::replace(&mut self.end.previous, Link::record(index));
        self.node(records, last).next = Link::record(index);
        let record = &mut records[index];
        record.node = ListNode { previous: last, next: Link::END };
        record
    }

    /// The index of the last record, if no cursor stands after it.
    pub(super) fn last(&self) -> Option<u32> {
        self.end.previous.index()
    }

    /// The indices of the records, the last first.
    pub(super) fn backwards<'a>(&'a self, records: &'a Chunks<Record>) -> impl Iterator<Item = u32> + 'a {
        let before = |member: Link| match member.index() {
            Some(index) => records[index].node.previous,
            None if member == Link::END => self.end.previous,
            None => self.cursors[(member.0 & !OTHER) as usize].node.previous,
        };
        std::iter::successors(Some(before(Link::END)), move |&member| Some(before(member)))
            .take_while(|&member| member != Link::END)
            .filter_map(Link::index)
    }

    /// Adds a cursor. 0: before the first record. Otherwise it begins at the end of the list, and
    /// [`ChangeList::advance`] takes it back to the change `since`.
    pub(super) fn add_cursor(&mut self, records: &mut Chunks<Record>, since: u64) -> usize {
        let state = CursorState { node: ListNode::ALONE, sequence: since, is_searching: since > 0 };
        let number = self.cursors.insert(state);
        let previous = if since == 0 { Link::END } else { self.end.previous };
        self.insert_after(records, previous, number);
        number
    }

    /// Removes a cursor.
    pub(super) fn remove_cursor(&mut self, records: &mut Chunks<Record>, number: usize) {
        if let Some(state) = self.cursors.try_remove(number) {
            self.close_gap(records, state.node);
        }
    }

    /// Every change up to this number was read at the cursor, or was replaced by a change after it.
    pub(super) fn sequence(&self, number: usize) -> u64 {
        self.cursors.get(number).map_or(0, |state| state.sequence)
    }

    /// Whether a cursor is still on the way back to its place.
    pub(super) fn is_searching(&self, number: usize) -> bool {
        self.cursors.get(number).is_some_and(|state| state.is_searching)
    }

    /// Moves a cursor past the next record, and returns the index of that. `newest` is the number of the newest
    /// change. `None`: there is no record after the cursor, or the cursor has not found its place yet.
    pub(super) fn advance(
        &mut self,
        records: &mut Chunks<Record>,
        number: usize,
        newest: u64,
    ) -> Option<u32> {
        if self.cursors.get(number)?.is_searching && !self.search(records, number) {
            return None;
        }
        let gap = self.cursors[number].node;
        let mut next = gap.next;
        // Other cursors: at most one for each neighbour.
        while next.is_cursor() {
            next = self.node(records, next).next;
        }
        let Some(index) = next.index() else {
            // The newest change may have been removed.
            self.cursors[number].sequence = newest;
            return None;
        };
        self.close_gap(records, gap);
        let record = &mut records[index];
        let sequence = record.sequence.number();
        let after = std::mem::replace(&mut record.node.next, Link::cursor(number));
        self.node(records, after).previous = Link::cursor(number);
        let node = ListNode { previous: next, next: after };
        self.cursors[number] = CursorState { node, sequence, is_searching: false };
        Some(index)
    }

    /// Takes a cursor back by at most [`SEARCH_STEP`] members. Returns whether it has found its place: the
    /// record before it is not later than the last change that its reader has.
    fn search(&mut self, records: &mut Chunks<Record>, number: usize) -> bool {
        let CursorState { node, sequence: since, .. } = self.cursors[number];
        let is_place = |previous: Link, records: &Chunks<Record>| match previous.index() {
            Some(index) => records[index].sequence.number() <= since,
            None => previous == Link::END,
        };
        let mut previous = node.previous;
        let mut passed = 0;
        while passed < SEARCH_STEP && !is_place(previous, records) {
            previous = self.node(records, previous).previous;
            passed += 1;
        }
        #[cfg(test)]
        {
            self.passed_max = self.passed_max.max(passed);
        }
        if passed > 0 {
            self.close_gap(records, node);
            self.insert_after(records, previous, number);
        }
        let found = is_place(previous, records);
        self.cursors[number].is_searching = !found;
        found
    }

    /// Puts a cursor that is not in the list after a member.
    fn insert_after(&mut self, records: &mut Chunks<Record>, previous: Link, number: usize) {
        let next = std::mem::replace(&mut self.node(records, previous).next, Link::cursor(number));
        self.node(records, next).previous = Link::cursor(number);
        self.cursors[number].node = ListNode { previous, next };
    }

    /// Links the neighbours of a member that leaves the list.
    #[inline(always)]
    fn close_gap(&mut self, records: &mut Chunks<Record>, gap: ListNode) {
        self.node(records, gap.previous).next = gap.next;
        self.node(records, gap.next).previous = gap.previous;
    }

    #[inline(always)]
    fn node<'a>(&'a mut self, records: &'a mut Chunks<Record>, member: Link) -> &'a mut ListNode {
        if let Some(index) = member.index() {
            &mut records[index].node
        } else if member == Link::END {
            &mut self.end
        } else {
            &mut self.cursors[(member.0 & !OTHER) as usize].node
        }
    }
}

/// The bit of a member that is no record. There are at most 2^30 records (`limits.max_clients`).
const OTHER: u32 = 1 << 31;
/// The greatest number of members that a cursor passes in one step on the way back to its place. Each of them
/// may take a memory access, so that a step takes up to 0.03 ms.
pub(super) const SEARCH_STEP: usize = if cfg!(test) { 3 } else { 256 };
