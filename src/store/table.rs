//! Which record is whose: indices of records by the hashes of their clients' IDs.
//!
//! Open addressing with linear probing. A slot holds an index and 32 bits of the hash, so records are
//! looked at only where they are the right ones, nearly always, and never while the table grows. Where a hash
//! belongs is its share of the whole table; so a larger table has the slots in the same order, and growing
//! goes through both tables once from front to back. Nothing is ever taken out, since no client is forgotten.

/// Indices by hashes.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    used: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    /// [`EMPTY`]: there is none.
    index: u32,
}

impl Table {
    /// The index with this hash that `is_it`.
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let hash = shortened(hash);
        let mut place = self.place(hash);
        // There is always an empty slot behind a full one, but for a table that never had any.
        while let Some(slot) = self.slots.get(place).filter(|slot| slot.index != EMPTY) {
            if slot.hash == hash && is_it(slot.index) {
                return Some(slot.index);
            }
            place = self.behind(place);
        }
        None
    }

    /// Adds an index, which is less than 2^32 - 1.
    pub(super) fn add(&mut self, hash: u64, index: u32) {
        if (self.used + 1) * FULL.1 > self.slots.len() * FULL.0 {
            self.grow();
        }
        self.used += 1;
        self.put(Slot { hash: shortened(hash), index });
    }

    fn put(&mut self, slot: Slot) {
        let mut place = self.place(slot.hash);
        while self.slots[place].index != EMPTY {
            place = self.behind(place);
        }
        self.slots[place] = slot;
    }

    fn grow(&mut self) {
        let length = (self.slots.len() + self.slots.len() / 2).max(SLOTS_MIN);
        let old = std::mem::replace(&mut self.slots, vec![Slot { hash: 0, index: EMPTY }; length]);
        old.into_iter().filter(|slot| slot.index != EMPTY).for_each(|slot| self.put(slot));
    }

    /// Where a hash belongs.
    fn place(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.slots.len() as u64) >> u32::BITS) as usize
    }

    fn behind(&self, place: usize) -> usize {
        if place + 1 < self.slots.len() { place + 1 } else { 0 }
    }
}

/// The half of a hash that is kept.
fn shortened(hash: u64) -> u32 {
    (hash >> u32::BITS) as u32
}

/// No index: there are 2^30 records at most (`limits.max_clients`).
const EMPTY: u32 = u32::MAX;
/// Three quarters of the slots are used at most. With more, a search goes through ever more of them.
const FULL: (usize, usize) = (3, 4);
/// Slots of the smallest table.
const SLOTS_MIN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Few hashes, at the ends of the table too, so that many of them share a place.
        #[test]
        fn what_was_added_is_found(hashes in proptest::collection::vec(prop_oneof![0..4u64, 28..32u64, 0..32u64], 0..200)) {
            let hash = |which: u64| which << (u64::BITS - 5);
            let mut table = Table::default();
            for (index, &which) in hashes.iter().enumerate() {
                prop_assert_eq!(table.find(hash(which), |found| found == index as u32), None);
                table.add(hash(which), index as u32);
            }
            for (index, &which) in hashes.iter().enumerate() {
                prop_assert_eq!(table.find(hash(which), |found| found == index as u32), Some(index as u32));
                prop_assert_eq!(table.find(hash(which) | 1 << 40, |_| true), None, "another hash");
            }
        }
    }

    #[test]
    fn it_is_never_full_nor_much_too_large() {
        let mut table = Table::default();
        for index in 0..100_000 {
            table.add(u64::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15), index);
            let slots = table.slots.len();
            assert!(
                table.used * 4 <= slots * 3 && (slots <= SLOTS_MIN || table.used * 2 >= slots - slots / 8)
            );
        }
    }
}
