//! A hash table from client IDs to record indices. It stores hashes, not IDs: the caller compares the ID.
//!
//! The table uses open addressing with linear probing. A slot has an index and 32 bits of the hash, so that a
//! search reads nearly no record but the right one, and growing reads none. The home slot of a hash is
//! proportional to the hash. A larger table therefore has the slots in the same order, and growing goes
//! through both tables once, from front to back. Nothing is ever removed, because no client is ever
//! forgotten.

/// Record indices by hash.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    /// The number of slots in use.
    used: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    /// The index of a record, or [`EMPTY`].
    index: u32,
}

impl Table {
    /// The index with this hash for which `is_match` is true.
    pub(super) fn find(&self, hash: u64, mut is_match: impl FnMut(u32) -> bool) -> Option<u32> {
        let hash = upper_half(hash);
        let mut at = self.home(hash);
        // Ends at an empty slot: the load factor leaves some. A table that never grew has no slots.
        while let Some(slot) = self.slots.get(at).filter(|slot| slot.index != EMPTY) {
            if slot.hash == hash && is_match(slot.index) {
                return Some(slot.index);
            }
            at = self.next(at);
        }
        None
    }

    /// Adds an index below 2^32 - 1.
    pub(super) fn add(&mut self, hash: u64, index: u32) {
        if (self.used + 1) * LOAD_MAX.1 > self.slots.len() * LOAD_MAX.0 {
            self.grow();
        }
        self.used += 1;
        self.put(Slot { hash: upper_half(hash), index });
    }

    fn put(&mut self, slot: Slot) {
        let mut at = self.home(slot.hash);
        while self.slots[at].index != EMPTY {
            at = self.next(at);
        }
        self.slots[at] = slot;
    }

    fn grow(&mut self) {
        let length = (self.slots.len() + self.slots.len() / 2).max(SLOTS_MIN);
        let old = std::mem::replace(&mut self.slots, vec![Slot { hash: 0, index: EMPTY }; length]);
        old.into_iter().filter(|slot| slot.index != EMPTY).for_each(|slot| self.put(slot));
    }

    /// The home slot of a hash, where probing starts.
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.slots.len() as u64) >> u32::BITS) as usize
    }

    /// The slot after this one, around the end of the table.
    fn next(&self, at: usize) -> usize {
        if at + 1 < self.slots.len() { at + 1 } else { 0 }
    }
}

/// The half of a hash that a slot has.
fn upper_half(hash: u64) -> u32 {
    (hash >> u32::BITS) as u32
}

/// `EMPTY`: no index. There are at most 2^30 records (`limits.max_clients`).
const EMPTY: u32 = u32::MAX;
/// The greatest load factor, as a fraction. Probe sequences grow fast above it.
const LOAD_MAX: (usize, usize) = (3, 4);
/// The number of slots of the smallest table.
const SLOTS_MIN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Few hashes, so that many collide, some of them at the ends of the table.
        #[test]
        fn added_indices_are_found(hashes in proptest::collection::vec(prop_oneof![0..4u64, 28..32u64, 0..32u64], 0..200)) {
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
    fn the_load_factor_stays_within_bounds() {
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
