//! Hashes that nobody outside can foresee.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use foldhash::SharedSeed;
use foldhash::fast::{FoldHasher, SeedableRandomState};

/// Hashes the keys that a client chooses, so that it cannot prepare keys that crowd one place of a map. Only for maps
/// that are never iterated: nothing may depend on a hash.
#[derive(Clone, Debug)]
pub(crate) struct Seeded(SeedableRandomState);

impl Default for Seeded {
    #[inline]
    fn default() -> Self {
        static SEED: LazyLock<SharedSeed> =
            LazyLock::new(|| SharedSeed::from_u64(RandomState::new().hash_one(())));
        Self(SeedableRandomState::with_seed(0, &SEED))
    }
}

impl BuildHasher for Seeded {
    type Hasher = FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}

#[cfg(test)]
mod tests {
    use foldhash::fast::FixedState;

    use super::*;

    #[test]
    fn hashes_are_the_same_in_all_maps_and_not_those_that_everybody_knows() {
        assert_eq!(Seeded::default().hash_one("a"), Seeded::default().hash_one("a"));
        assert_ne!(Seeded::default().hash_one("a"), FixedState::default().hash_one("a"));
    }
}
