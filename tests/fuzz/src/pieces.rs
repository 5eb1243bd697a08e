//! Bytes in pieces, as a network may deliver them.

/// How a stream is cut.
#[derive(Clone, Copy, Debug)]
pub enum Pieces {
    Whole,
    Bytes,
    /// By chance; the same seed cuts alike.
    Random(u64),
}

impl Pieces {
    /// The three ways in which every stream is tried.
    pub fn all(seed: u8) -> [Pieces; 3] {
        [Pieces::Whole, Pieces::Bytes, Pieces::Random(u64::from(seed))]
    }

    pub fn of(self, data: &[u8]) -> impl Iterator<Item = &[u8]> {
        let (mut rest, mut chance) = (data, Chance::new(self.seed()));
        std::iter::from_fn(move || {
            let length = match self {
                Pieces::Whole => rest.len(),
                Pieces::Bytes => 1,
                // Small pieces and large ones, each as often.
                Pieces::Random(_) => {
                    let most = 1 << chance.below(12);
                    1 + chance.below(most)
                }
            };
            let (piece, behind) = rest.split_at(length.min(rest.len()));
            rest = behind;
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

/// Numbers that look random (splitmix64).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % bound as u64) as usize
    }
}
