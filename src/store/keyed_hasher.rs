//! Hashes of client IDs under a secret key, so that nobody who chooses IDs can choose where they fall.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

use foldhash::SharedSeed;
use foldhash::quality::SeedableRandomState;

/// What all stores of the program have in common; see [`SeedableRandomState::with_seed`].
static SHARED: OnceLock<SharedSeed> = OnceLock::new();

/// A key, and the hashes under it.
#[derive(Clone, Debug)]
pub(super) struct KeyedHasher(SeedableRandomState);

impl KeyedHasher {
    /// A key of the system's randomness: foldhash's own comes from addresses and the clock.
    pub(super) fn new() -> KeyedHasher {
        let chance = || RandomState::new().build_hasher().finish();
        KeyedHasher(SeedableRandomState::with_seed(
            chance(),
            SHARED.get_or_init(|| SharedSeed::from_u64(chance())),
        ))
    }

    /// The hash of an ID.
    pub(super) fn hash(&self, id: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        // Without its length, which `Hash` would add: nothing else is hashed.
        hasher.write(id);
        hasher.finish()
    }
}
