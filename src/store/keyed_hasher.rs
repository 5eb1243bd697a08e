//! The hash function of client IDs, keyed with a random secret. A client that chooses its ID cannot choose
//! its hash, so it cannot fill one part of the table with collisions.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;

/// The part of the key that all stores of the program share; see [`SeedableRandomState::with_seed`].
static SHARED: OnceLock<SharedSeed> = OnceLock::new();

/// A hash function with its key.
#[derive(Clone, Debug)]
pub(super) struct KeyedHasher(SeedableRandomState);

impl KeyedHasher {
    /// A hash function with a new key. The key comes from the system's randomness; foldhash itself would take
    /// it from addresses and the clock.
    pub(super) fn new() -> KeyedHasher {
        let random = || RandomState::new().build_hasher().finish();
        KeyedHasher(SeedableRandomState::with_seed(
            random(),
            SHARED.get_or_init(|| SharedSeed::from_u64(random())),
        ))
    }

    /// The hash of an ID.
    pub(super) fn hash(&self, id: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        // Not through `Hash`, which would add the length: nothing but the ID is hashed.
        hasher.write(id);
        hasher.finish()
    }
}
