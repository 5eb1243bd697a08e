//! The removal of records whose statements are over. It decides for no statement when that is.
//!
//! A pass looks at the records in groups, in the order of their indices. For each group a server time is kept that
//! none of its records is older than, so that a pass reads only groups in which a record may be over.

use super::chunks::Chunks;
use super::record::Record;
use super::retention::{Horizons, Retention, Second};
use super::{RecordId, Store};

/// A record whose statement is over, as [`Store::sweep`] names it before it vanishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed<'a> {
    /// The record.
    pub record: RecordId,
    /// The client's ID.
    pub id: &'a [u8],
    /// The line of the statement with its LF.
    pub line: &'a [u8],
    /// The statement is a GONE: its client was unknown before.
    pub is_gone: bool,
}

impl Store {
    /// Whether a record may be over sooner or later, so that it is to be swept.
    pub fn must_sweep(&self) -> bool {
        let Retention { at_s, gone_s } = self.horizons.retention();
        at_s > 0 && self.used > self.tombstones || gone_s > 0 && self.tombstones > 0
    }

    /// Removes records whose statements are over: those of a portion of all records. Calls `removing` before each of
    /// them vanishes. Readers of changes are not told; one that has not read the record's change yet does not get it.
    /// Returns whether the pass goes on: further calls look at the other records.
    ///
    /// Takes bounded time: one call looks at 4096 records and removes 127 at most.
    pub fn sweep(&mut self, mut removing: impl FnMut(Removed<'_>)) -> bool {
        let (mut looked_at, mut removed, mut groups_left) = (0, 0, GROUPS_PASSED_MAX);
        while looked_at < LOOKED_AT_MAX && removed < REMOVED_MAX {
            let group = match self.groups.next(&self.horizons, &mut groups_left) {
                Next::Group(group) => group,
                Next::Later => return true,
                Next::PassIsOver => return false,
            };
            let mut oldest = Oldest::NONE;
            for index in group * GROUP..self.records.len().min((group + 1) * GROUP) {
                let Record { source, received, .. } = self.records[index];
                looked_at += 1;
                if received == Second::VACANT {
                    continue;
                }
                if self.is_over(index) {
                    let line = self.line(index);
                    let (record, id) = (RecordId(index), self.id(index));
                    removing(Removed { record, id, line, is_gone: source.is_gone() });
                    self.remove(index);
                    removed += 1;
                } else {
                    oldest.note(source.is_gone(), received);
                }
            }
            self.groups.set(group, oldest);
        }
        true
    }
}

/// The server times that the records of each group are not older than, and the progress of a pass.
#[derive(Debug)]
pub(super) struct Groups {
    oldest: Chunks<Oldest>,
    /// The next group that the pass looks at.
    hand: u32,
}

/// Server times that the ATs and the GONEs of a group are not older than.
#[derive(Clone, Copy, Debug)]
pub(super) struct Oldest {
    at: Second,
    gone: Second,
}

impl Oldest {
    /// The records of the group are vacant.
    const NONE: Oldest = Oldest { at: Second::VACANT, gone: Second::VACANT };

    #[inline]
    fn note(&mut self, is_gone: bool, received: Second) {
        let oldest = if is_gone { &mut self.gone } else { &mut self.at };
        *oldest = received.min(*oldest);
    }
}

impl Groups {
    pub(super) fn new() -> Groups {
        Groups { oldest: Chunks::new(), hand: 0 }
    }

    /// A record has a statement with this server time.
    #[inline]
    pub(super) fn note(&mut self, index: u32, is_gone: bool, received: Second) {
        let group = index / GROUP;
        if group == self.oldest.len() {
            self.oldest.push(Oldest::NONE);
        }
        self.oldest[group].note(is_gone, received);
    }

    /// The next group of the pass with a record that may be over. At most `groups_left` groups are passed on the way
    /// to it, and it becomes less by their number.
    fn next(&mut self, horizons: &Horizons, groups_left: &mut u32) -> Next {
        while *groups_left > 0 {
            *groups_left -= 1;
            if self.hand == self.oldest.len() {
                self.hand = 0;
                return Next::PassIsOver;
            }
            let group = self.hand;
            self.hand += 1;
            let Oldest { at, gone } = self.oldest[group];
            if horizons.may_have_passed(false, at) || horizons.may_have_passed(true, gone) {
                return Next::Group(group);
            }
        }
        Next::Later
    }

    /// The records of a group were looked at.
    fn set(&mut self, group: u32, oldest: Oldest) {
        self.oldest[group] = oldest;
    }
}

/// The next step of a pass.
enum Next {
    /// The records of this group are to be looked at.
    Group(u32),
    /// The pass goes on in the next call.
    Later,
    /// All groups were looked at. The next call begins another pass.
    PassIsOver,
}

/// Records of a group. Fewer would take more memory for the server times of groups; with more, a record that is over
/// would have more others looked at.
pub(super) const GROUP: u32 = if cfg!(test) { 4 } else { 64 };
/// Groups that one portion of a pass may pass: a step of it takes about 0.01 ms.
const GROUPS_PASSED_MAX: u32 = if cfg!(test) { 8 } else { 4096 };
/// Records that one portion of a pass may look at before it ends, and records that it may remove. A group is looked at
/// as a whole. Reading takes about 0.02 ms, removing 0.1 ms.
pub(super) const LOOKED_AT_MAX: usize = if cfg!(test) { 16 } else { 4096 };
pub(super) const REMOVED_MAX: usize = if cfg!(test) { 4 } else { 64 };
