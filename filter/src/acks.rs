//! Which originals the sidecar has acknowledged, and for how long that is relied on.
//!
//! Forgetting costs one repetition of an original; remembering too long would let a marker leave that
//! points at nothing (I5). So everything here is forgotten early: long before the store's own time is
//! over, entirely when the store's epoch changes, and it does not count while the sidecar has not been
//! heard of for a while, because then nobody would have told us of a new epoch.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// The part of the store's time for which an acknowledgement counts. What is in use is stored again
/// after that, which also keeps it from expiring in the middle of a conversation.
const SHARE_OF_TTL: u64 = 4;
/// How old the sidecar's last word may be. With traffic there is a report every second.
const HEARD_WITHIN_NANOS: u64 = 10 * NANOS_PER_SECOND;
/// Hashes in each of the two generations; 32 bytes each, so about two megabytes in all.
const GENERATION: usize = 32_768;

/// A tenant's hash and a content address.
type Key = (u64, u128);

/// What one VM knows of one store.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged {
    epoch: String,
    /// When the store was last heard of; 0 before that.
    heard: u64,
    lifetime: u64,
    young: Generation,
    old: Generation,
    tenants: RandomState,
}

/// Hashes of which the oldest was acknowledged at `since`.
#[derive(Debug, Default)]
struct Generation {
    since: u64,
    hashes: HashSet<Key>,
}

impl Acknowledged {
    /// The sidecar has answered from the store of this epoch. Says whether that is another one than before.
    pub(crate) fn heard(&mut self, epoch: &str, now: u64) -> bool {
        let other = epoch != self.epoch;
        if other {
            epoch.clone_into(&mut self.epoch);
            self.young = Generation::default();
            self.old = Generation::default();
        }
        self.heard = now;
        other
    }

    /// The store has these, for `ttl_seconds`.
    pub(crate) fn stored<'h>(
        &mut self,
        tenant: &str,
        hashes: impl IntoIterator<Item = &'h str>,
        ttl_seconds: u64,
        now: u64,
    ) {
        self.lifetime = ttl_seconds.saturating_mul(NANOS_PER_SECOND) / SHARE_OF_TTL;
        for hash in hashes {
            let Some(key) = self.key(tenant, hash) else { continue };
            let half_over = now.saturating_sub(self.young.since) >= self.lifetime / 2;
            if half_over || self.young.hashes.len() >= GENERATION {
                let young = Generation { since: now, hashes: HashSet::new() };
                self.old = std::mem::replace(&mut self.young, young);
            }
            self.young.hashes.insert(key);
        }
    }

    /// Whether the sidecar was heard of so recently that what it said still counts.
    pub(crate) fn in_touch(&self, now: u64) -> bool {
        self.heard != 0 && now.saturating_sub(self.heard) < HEARD_WITHIN_NANOS
    }

    /// Whether the store has this original.
    pub(crate) fn holds(&self, tenant: &str, hash: &str, now: u64) -> bool {
        let Some(key) = self.key(tenant, hash) else { return false };
        [&self.young, &self.old].into_iter().any(|generation| {
            now.saturating_sub(generation.since) < self.lifetime && generation.hashes.contains(&key)
        })
    }

    fn key(&self, tenant: &str, hash: &str) -> Option<Key> {
        Some((self.tenants.hash_one(tenant), u128::from_str_radix(hash, 16).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = NANOS_PER_SECOND;

    fn hash(number: usize) -> String {
        format!("{number:024x}")
    }

    fn holding(ttl: u64, now: u64) -> Acknowledged {
        let mut acks = Acknowledged::default();
        acks.heard("e", now);
        acks.stored("t", [hash(1).as_str()], ttl, now);
        acks
    }

    #[test]
    fn an_acknowledgement_counts_for_its_tenant_only() {
        let acks = holding(400, 10 * S);
        assert!(acks.holds("t", &hash(1), 11 * S));
        assert!(!acks.holds("u", &hash(1), 11 * S));
        assert!(!acks.holds("t", &hash(2), 11 * S));
        assert!(!acks.holds("t", "no hash", 11 * S));
    }

    #[test]
    fn it_is_forgotten_long_before_the_store_forgets() {
        for later in 0..=100 {
            let mut acks = holding(400, 10 * S);
            acks.stored("t", [hash(2).as_str()], 400, (10 + later) * S);
            assert!(!acks.holds("t", &hash(1), 110 * S), "another one after {later} s");
            assert_eq!(acks.holds("t", &hash(1), 59 * S), later <= 100, "{later}");
        }
        assert!(!holding(0, S).holds("t", &hash(1), S));
    }

    #[test]
    fn another_epoch_forgets_everything() {
        let mut acks = holding(400, S);
        acks.heard("e", 2 * S);
        assert!(acks.holds("t", &hash(1), 2 * S));
        acks.heard("f", 2 * S);
        assert!(!acks.holds("t", &hash(1), 2 * S));
        acks.heard("e", 2 * S);
        assert!(!acks.holds("t", &hash(1), 2 * S));
    }

    #[test]
    fn silence_is_noticed() {
        assert!(!Acknowledged::default().in_touch(S));
        let acks = holding(400, 100 * S);
        assert!(acks.in_touch(100 * S) && acks.in_touch(109 * S));
        assert!(!acks.in_touch(110 * S));
    }

    #[test]
    fn memory_is_bounded_and_keeps_the_newest() {
        let mut acks = holding(4_000_000, S);
        let hashes: Vec<String> = (0..5 * GENERATION).map(hash).collect();
        for hash in &hashes {
            acks.stored("t", [hash.as_str()], 4_000_000, S);
        }
        assert!(acks.young.hashes.len() + acks.old.hashes.len() <= 2 * GENERATION);
        assert!(acks.holds("t", hashes.last().unwrap(), S));
        assert!(!acks.holds("t", &hashes[2], S));
    }
}
