//! A hash table from client IDs to record indices. It stores hashes, not IDs: the caller compares the ID.
//!
//! The table uses open addressing with linear probing. A slot has an index and 32 bits of the hash, so that a
//! search reads nearly no record but the right one, and growing reads none. The home slot of a hash is
//! proportional to the hash, and probing does not wrap around: the last slots have some chunks after them.
//!
//! A full table grows in portions. The entries move from the old slots to the new ones from front to back,
//! some with each insertion. A larger table has the entries in the same order, so that each of them is in the
//! new slots if its hash is below a boundary, and otherwise in the old ones. A search reads only one of the
//! two. Slots stand in chunks; those that the move has passed are freed, and those that it has not reached
//! are not allocated yet.

use super::chunks::chunk_of;

/// Record indices by hash.
#[derive(Debug)]
pub(super) struct Table {
    slots: Slots,
    /// The slots before the table grew. Empty: no move is in progress.
    old: Slots,
    /// The number of old slots that the move has passed. The next one is empty, so that no entry after it has
    /// its home before it.
    passed: usize,
    /// Hashes below it are in `slots`, others in `old`. [`ALL_HASHES`]: no move is in progress.
    boundary: u64,
    /// The number of entries.
    used: usize,
    /// The most old slots that one insertion has passed.
    #[cfg(test)]
    passed_max: usize,
}

/// Slots with linear probing.
#[derive(Debug, Default)]
struct Slots {
    /// `None`: all slots of the chunk are empty.
    chunks: Vec<Option<Box<[Slot; CHUNK]>>>,
    /// The number of slots that are the home of a hash.
    homes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    /// The index of a record, or [`EMPTY`].
    index: u32,
}

impl Table {
    pub(super) fn new() -> Table {
        Table {
            slots: Slots::default(),
            old: Slots::default(),
            passed: 0,
            boundary: ALL_HASHES,
            used: 0,
            #[cfg(test)]
            passed_max: 0,
        }
    }

    /// Makes room for so many entries, so that it need not grow before. For an empty table.
    pub(super) fn reserve(&mut self, entries: usize) {
        debug_assert_eq!(self.used, 0);
        let homes = entries * LOAD_MAX.1 / LOAD_MAX.0 + CHUNK;
        if self.boundary == ALL_HASHES && entries > 0 && homes > self.slots.homes {
            self.slots = Slots { chunks: Vec::new(), homes };
        }
    }

    /// The index with this hash for which `is_match` is true.
    pub(super) fn find(&self, hash: u64, is_match: impl FnMut(u32) -> bool) -> Option<u32> {
        let hash = upper_half(hash);
        let slots = if u64::from(hash) < self.boundary { &self.slots } else { &self.old };
        Some(slots.find(hash, is_match)?.1)
    }

    /// Adds an index below 2^32 - 1.
    pub(super) fn add(&mut self, hash: u64, index: u32) {
        if self.boundary != ALL_HASHES {
            self.move_portion();
        } else if (self.used + 1) * LOAD_MAX.1 > self.slots.homes * LOAD_MAX.0 {
            self.grow();
        }
        self.used += 1;
        let hash = upper_half(hash);
        self.slots_of(hash).put(Slot { hash, index });
    }

    /// Removes an index.
    pub(super) fn remove(&mut self, hash: u64, index: u32) {
        let hash = upper_half(hash);
        if self.slots_of(hash).remove(hash, index) {
            self.used -= 1;
        }
    }

    fn slots_of(&mut self, hash: u32) -> &mut Slots {
        if u64::from(hash) < self.boundary { &mut self.slots } else { &mut self.old }
    }

    /// Begins the move to more slots.
    fn grow(&mut self) {
        let homes = (self.slots.homes + self.slots.homes / GROWTH).max(CHUNK);
        self.old = std::mem::replace(&mut self.slots, Slots { chunks: Vec::new(), homes });
        (self.passed, self.boundary) = (0, 0);
        self.move_portion();
    }

    /// Moves the entries of at least [`PORTION`] old slots, up to an empty one.
    fn move_portion(&mut self) {
        let start = self.passed;
        loop {
            let slot = self.old.get(self.passed);
            if slot.index != EMPTY {
                self.slots.put(slot);
            } else if self.passed >= self.old.homes {
                // All slots after this one are empty, too.
                self.old = Slots::default();
                self.boundary = ALL_HASHES;
                break;
            } else if self.passed - start >= PORTION {
                // The first hash whose home is the empty slot or one after it.
                self.boundary = ((self.passed as u64) << u32::BITS).div_ceil(self.old.homes as u64);
                break;
            }
            self.passed += 1;
            if self.passed.is_multiple_of(CHUNK)
                && let Some(chunk) = self.old.chunks.get_mut(self.passed / CHUNK - 1)
            {
                *chunk = None;
            }
        }
        #[cfg(test)]
        {
            self.passed_max = self.passed_max.max(self.passed - start);
        }
    }
}

impl Slots {
    /// The slot and the index with this hash for which `is_match` is true.
    fn find(&self, hash: u32, mut is_match: impl FnMut(u32) -> bool) -> Option<(usize, u32)> {
        let mut at = self.home(hash);
        // Ends at an empty slot: there is one in the last chunk or after it.
        while let Some(Some(chunk)) = self.chunks.get(at / CHUNK) {
            let slot = &chunk[at % CHUNK];
            if slot.hash == hash && slot.index != EMPTY && is_match(slot.index) {
                return Some((at, slot.index));
            }
            if slot.index == EMPTY {
                break;
            }
            at += 1;
        }
        None
    }

    fn put(&mut self, slot: Slot) {
        let mut at = self.home(slot.hash);
        while self.get(at).index != EMPTY {
            at += 1;
        }
        self.set(at, slot);
    }

    /// Removes an entry and closes the gap: entries after it move back, as far as their homes allow, so that
    /// no search ends too early. Returns whether there was such an entry.
    fn remove(&mut self, hash: u32, index: u32) -> bool {
        let Some((mut gap, _)) = self.find(hash, |found| found == index) else {
            return false;
        };
        let mut at = gap + 1;
        loop {
            let slot = self.get(at);
            if slot.index == EMPTY {
                break;
            }
            if self.home(slot.hash) <= gap {
                self.set(gap, slot);
                gap = at;
            }
            at += 1;
        }
        self.set(gap, EMPTY_SLOT);
        true
    }

    /// The home slot of a hash, where probing starts.
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.homes as u64) >> u32::BITS) as usize
    }

    fn get(&self, at: usize) -> Slot {
        match self.chunks.get(at / CHUNK) {
            Some(Some(chunk)) => chunk[at % CHUNK],
            _ => EMPTY_SLOT,
        }
    }

    fn set(&mut self, at: usize, slot: Slot) {
        if self.chunks.len() <= at / CHUNK {
            self.chunks.resize_with(at / CHUNK + 1, || None);
        }
        self.chunks[at / CHUNK].get_or_insert_with(|| chunk_of(EMPTY_SLOT))[at % CHUNK] = slot;
    }
}

/// The half of a hash that a slot has.
fn upper_half(hash: u64) -> u32 {
    (hash >> u32::BITS) as u32
}

/// `EMPTY`: no index. There are at most 2^30 records (`limits.max_clients`).
const EMPTY: u32 = u32::MAX;
const EMPTY_SLOT: Slot = Slot { hash: 0, index: EMPTY };
/// The boundary above all hashes.
const ALL_HASHES: u64 = 1 << u32::BITS;
/// The greatest load factor, as a fraction. Probe sequences grow fast above it.
const LOAD_MAX: (usize, usize) = (3, 4);
/// A table grows by one slot for each eight. It would waste more memory if it grew by more, and move entries
/// more often if it grew by less.
const GROWTH: usize = 8;
/// The least number of old slots that an insertion passes during a move. The move ends before the new slots
/// are full: they have room for 3/32 of the old number of slots, and the move takes 1/32 of it.
const PORTION: usize = 32;
/// Slots of a chunk: 32 KiB, and the number of slots of the smallest table.
const CHUNK: usize = if cfg!(test) { 16 } else { 4096 };

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A hash that differs from those of other numbers, as a good hash function has it.
    fn spread(number: u32) -> u64 {
        u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    proptest! {
        /// Few hashes, so that many collide, some of them at the ends of the table; removals on both sides of
        /// a move in progress.
        #[test]
        fn added_indices_are_found_until_they_are_removed(
            steps in proptest::collection::vec((prop_oneof![0..4u64, 28..32u64, 0..32u64, 0..1024u64], 0..4u8), 0..400),
        ) {
            let hash = |which: u64| which << (u64::BITS - 10) | which << (u64::BITS - 5);
            let mut table = Table::new();
            let mut model: Vec<(u64, u32)> = Vec::new();
            for (index, &(which, action)) in (0_u32..).zip(&steps) {
                if action == 0 && !model.is_empty() {
                    let (which, index) = model.swap_remove(which as usize % model.len());
                    table.remove(hash(which), index);
                    prop_assert_eq!(table.find(hash(which), |found| found == index), None);
                } else {
                    prop_assert_eq!(table.find(hash(which), |found| found == index), None);
                    table.add(hash(which), index);
                    model.push((which, index));
                }
                prop_assert_eq!(table.used, model.len());
                for &(which, index) in &model {
                    prop_assert_eq!(table.find(hash(which), |found| found == index), Some(index));
                    prop_assert_eq!(table.find(hash(which) | 1 << 40, |_| true), None, "another hash");
                }
            }
        }
    }

    /// The greatest hash of a home is the last one below a boundary of the move.
    #[test]
    fn the_greatest_hash_of_each_home_is_found_throughout_a_move() {
        let mut homes = CHUNK;
        while homes < 130 {
            let mut table = Table::new();
            let greatest =
                |home: usize| (((home as u64 + 1) << u32::BITS).div_ceil(homes as u64) - 1) << u32::BITS;
            // In an order in which neither end of the table comes first.
            let order: Vec<usize> = (0..homes).map(|number| number * 101 % homes).collect();
            for (number, &home) in order.iter().enumerate() {
                table.add(greatest(home), number as u32);
                for (earlier, &home) in order[..=number].iter().enumerate() {
                    let found = table.find(greatest(home), |found| found == earlier as u32);
                    assert!(found.is_some(), "home {home} of {homes}, {number} entries later");
                }
            }
            homes += homes / GROWTH;
        }
    }

    #[test]
    fn the_load_factor_stays_within_bounds() {
        let mut table = Table::new();
        for index in 0..100_000 {
            table.add(spread(index), index);
            let homes = table.slots.homes;
            assert!(table.used * 4 <= homes * 3 && (index < 1000 || table.used * 8 >= homes * 5));
        }
    }

    #[test]
    fn a_table_with_room_does_not_grow() {
        let mut table = Table::new();
        table.reserve(10_000);
        let homes = table.slots.homes;
        (0..10_000).for_each(|index| table.add(spread(index), index));
        assert_eq!((table.slots.homes, table.boundary), (homes, ALL_HASHES));
        assert!((0..10_000).all(|index| table.find(spread(index), |found| found == index).is_some()));
        (10_000..20_000).for_each(|index| table.add(spread(index), index));
        assert!(table.slots.homes > homes);
        assert!((0..20_000).all(|index| table.find(spread(index), |found| found == index).is_some()));
    }

    #[test]
    fn an_insertion_moves_a_bounded_number_of_entries() {
        let mut table = Table::new();
        (0..300_000).for_each(|index| table.add(spread(index), index));
        // A portion, and the rest of a run of entries without a gap.
        assert!(table.passed_max <= 512, "{}", table.passed_max);
        assert!((0..300_000).all(|index| table.find(spread(index), |found| found == index).is_some()));
    }

    #[test]
    fn a_move_needs_hardly_more_memory_than_the_table() {
        let mut table = Table::new();
        let chunks = |slots: &Slots| slots.chunks.iter().flatten().count();
        for index in 0..100_000 {
            table.add(spread(index), index);
            let allocated = (chunks(&table.slots) + chunks(&table.old)) * CHUNK;
            assert!(index < 1000 || allocated * 4 <= (index as usize) * 7, "{allocated} slots for {index}");
        }
    }

    #[test]
    fn a_table_that_became_empty_is_used_again() {
        let mut table = Table::new();
        for _ in 0..3 {
            (0..1000).for_each(|index| table.add(spread(index), index));
            let homes = table.slots.homes;
            (0..1000).for_each(|index| table.remove(spread(index), index));
            assert_eq!((table.used, table.slots.homes), (0, homes));
            assert!((0..1000).all(|index| table.find(spread(index), |_| true).is_none()));
        }
    }
}
