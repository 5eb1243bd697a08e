//! A record of the store, except its line.

use super::Origin;
use super::arena::BlockOffset;
use super::list::ListNode;
use super::retention::Second;
use super::space::Place;

/// A record, except its line. Kept small: there may be millions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) line: BlockOffset,
    pub(super) node: ListNode,
    pub(super) sequence: Sequence,
    pub(super) source: Source,
    /// The server time of the statement.
    pub(super) received: Second,
    /// Where it is in the index of locations.
    pub(super) place: Place,
}

/// The origin of a statement, and in the highest bit whether it is a GONE.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source(u32);

impl Source {
    pub(super) fn of(origin: Origin, is_gone: bool) -> Source {
        Source(origin.0 & !GONE_BIT | if is_gone { GONE_BIT } else { 0 })
    }

    pub(super) fn origin(self) -> Origin {
        Origin(self.0 & !GONE_BIT)
    }

    pub(super) fn is_gone(self) -> bool {
        self.0 & GONE_BIT != 0
    }
}

/// A sequence number in two halves. A `u64` would align records to eight bytes and make them larger.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequence(pub(super) [u32; 2]);

impl Sequence {
    pub(super) fn of(number: u64) -> Sequence {
        Sequence([(number >> 32) as u32, number as u32])
    }

    pub(super) fn number(self) -> u64 {
        u64::from(self.0[0]) << 32 | u64::from(self.0[1])
    }
}

/// The bit of a [`Source`] that marks a GONE. There are fewer incarnations of neighbours than bits below it can count.
const GONE_BIT: u32 = 1 << 31;
