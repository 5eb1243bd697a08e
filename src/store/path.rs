//! Paths to records in the index of locations, and their bits. They know no record.

use crate::geo::Key;

/// The path to a record: the 64 bits of its key, then the 32 bits of its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) key: u64,
    pub(super) index: u32,
}

impl Path {
    pub(super) fn of(key: Key, index: u32) -> Path {
        Path { key: key.0, index }
    }

    /// A path as the highest bits of a word, and the inverse.
    fn word(self) -> u128 {
        u128::from(self.key) << 64 | u128::from(self.index) << 32
    }

    fn of_word(word: u128) -> Path {
        Path { key: (word >> 64) as u64, index: (word >> 32) as u32 }
    }

    #[inline]
    pub(super) fn bit(self, number: u32) -> usize {
        match number {
            0..KEY_BITS => (self.key >> (KEY_BITS - 1 - number)) as usize & 1,
            _ => (self.word() >> (127 - number)) as usize & 1,
        }
    }

    /// The number of first bits that two paths have in common.
    #[inline]
    pub(super) fn common(self, other: Path) -> u32 {
        match (self.key ^ other.key).leading_zeros() {
            KEY_BITS => KEY_BITS + (self.index ^ other.index).leading_zeros(),
            common => common,
        }
    }

    /// The bits after the first `bits` bits.
    #[inline]
    pub(super) fn fine(self, bits: u32) -> u16 {
        match bits {
            ..=48 => (self.key << bits >> (KEY_BITS - FINE_BITS)) as u16,
            _ => (self.word() << bits >> (128 - FINE_BITS)) as u16,
        }
    }

    /// The first `bits` bits; the others are 0.
    pub(super) fn beginning(self, bits: u32) -> Path {
        Path::of_word(self.word() & !(u128::MAX.checked_shr(bits).unwrap_or(0)))
    }

    /// The beginning of the paths that differ from this one in the bit `at` first.
    pub(super) fn beside(self, at: u32) -> Path {
        Path::of_word(self.word() ^ 1 << (127 - at)).beginning(at + 1)
    }

    /// The path with these bits after the first `bits` bits, which it has.
    pub(super) fn with_fine(self, bits: u32, fine: u16) -> Path {
        Path::of_word(self.word() | u128::from(fine) << (128 - FINE_BITS) >> bits)
    }

    pub(super) fn words(self) -> [u32; 3] {
        [(self.key >> 32) as u32, self.key as u32, self.index]
    }

    pub(super) fn of_words([first, second, index]: [u32; 3]) -> Path {
        Path { key: u64::from(first) << 32 | u64::from(second), index }
    }
}

/// Bits of a key.
pub(super) const KEY_BITS: u32 = 64;
/// Bits of a path after the beginning that all paths of a page have. Sixteen divide a cell into 256 parts each
/// way.
pub(super) const FINE_BITS: u32 = 16;
