//! Splitting of a stream into pieces, as a network may deliver them.

/// The way a stream is split.
#[derive(Clone, Copy, Debug)]
pub enum Pieces {
    Whole,
    Bytes,
    /// Random lengths, determined by this seed.
    Random(u64),
}

impl Pieces {
    /// The three ways in which every stream is tested.
    pub fn all(seed: u8) -> [Pieces; 3] {
        [Pieces::Whole, Pieces::Bytes, Pieces::Random(u64::from(seed))]
    }

    /// The pieces of `data`.
    pub fn of(self, data: &[u8]) -> impl Iterator<Item = &[u8]> {
        let (mut rest, mut chance) = (data, Chance::new(self.seed()));
        std::iter::from_fn(move || {
            let length = match self {
                Pieces::Whole => rest.len(),
                Pieces::Bytes => 1,
                // The logarithm of the greatest length is uniform, so that small and large pieces are common.
                Pieces::Random(_) => {
                    let most = 1 << chance.below(12);
                    1 + chance.below(most)
                }
            };
            let (piece, after) = rest.split_at(length.min(rest.len()));
            rest = after;
            (!piece.is_empty()).then_some(piece)
        })
    }

    pub fn seed(self) -> u64 {
        match self {
            Pieces::Whole => 1,
            Pieces::Bytes => 2,
            Pieces::Random(seed) => seed + 3,
        }
    }
}

/// The random number generator splitmix64, with its state.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    /// A number from 0 to `bound` - 1.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % bound as u64) as usize
    }
}
