//! The hash function of client IDs, keyed with a random secret.
//!
//! A client chooses its ID, and with a known hash function it could choose many IDs with one hash. Each search
//! for one of them would pass all the others, and a growing table would move them in one step. Here the key is
//! drawn anew by each server, and no hash is ever sent, shown or logged, nor does any order depend on it.
//!
//! An attacker can therefore only measure times: IDs whose slots are close together take a few nanoseconds
//! more. Foldhash is no cryptographic hash function; with enough exact measurements its key might be found.
//! Over a network such differences drown in the microseconds of a turn. SipHash, which resists even that,
//! was measured: it takes 107 more instructions for each IAMAT, a fourth of all that the store does for it.

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
