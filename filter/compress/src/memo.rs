//! A content-addressed memo: a known block costs one hash.
//!
//! Everything in the memo could be worked out again from the request alone, with the same result: the memo's
//! state decides how long an answer takes, never which answer it is (I3).

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use xxhash_rust::xxh3::{Xxh3, xxh3_128_with_seed};

use crate::earlier::{Earlier, Fidelity, Values};
use crate::epochs::unit::Unit;
use crate::outcome::{BlockOutcome, Kind, Skip};

/// Remembers replacements over requests, up to a number of bytes.
#[derive(Debug)]
pub struct Memo {
    capacity: usize,
    seed: u64,
    blocks: Generations<Arc<Entry>>,
    counts: Generations<u32>,
    earlier: Generations<Earlier>,
}

/// The outcome of a block.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) tool: Arc<str>,
    pub(crate) kind: Kind,
    pub(crate) outcome: BlockOutcome,
    pub(crate) tokens_before: u32,
    pub(crate) tokens_after: u32,
    /// The replacement as a JSON string, ready to be spliced.
    pub(crate) replacement: Option<Box<str>>,
    /// How the replacement shows the lines of the output.
    pub(crate) coded: Fidelity,
    /// How it shows the texts in the output's values.
    pub(crate) values: Values,
    pub(crate) left_out: Option<LeftOut>,
    /// The calls whose outputs the replacement refers to.
    pub(crate) refers: Box<[usize]>,
    /// Whether the output reports a failure, if that was asked.
    pub(crate) fails: bool,
    /// What decides about it when it is old; `None` where it stays.
    pub(crate) unit: Option<Box<Unit>>,
}

impl Entry {
    /// An output that stays as it came.
    pub(crate) fn skipped(tool: &Arc<str>, kind: Kind, skip: Skip, tokens: u32) -> Self {
        Self {
            tool: Arc::clone(tool),
            kind,
            outcome: BlockOutcome::Skipped(skip),
            tokens_before: tokens,
            tokens_after: tokens,
            replacement: None,
            coded: Fidelity::No,
            values: Values::default(),
            left_out: None,
            refers: Box::default(),
            fails: false,
            unit: None,
        }
    }
}

/// What a lossy replacement left out.
#[derive(Debug)]
pub(crate) struct LeftOut {
    /// The text of its markers about it.
    pub(crate) description: Arc<str>,
    /// The addresses of the originals, one per marker.
    pub(crate) addresses: Box<[Arc<str>]>,
}

/// Bytes of an entry without its texts: the key, the entry and the slots of the map at its usual load.
const ENTRY_BYTES: usize = 160;

/// The same for a count.
const COUNT_BYTES: usize = 40;

impl Memo {
    /// A memo that holds about `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        // Texts need the most room: replacements get half, shown texts of conversations three eighths, and
        // the rest is enough for the counts of some thousand texts per MiB.
        Self {
            capacity,
            seed: 0,
            blocks: Generations::new(capacity / 2),
            counts: Generations::new(capacity / 8),
            earlier: Generations::new(capacity / 8 * 3),
        }
    }

    /// With secret keys, so that a client cannot prepare two texts with the same key.
    pub fn seeded(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// The key of a text.
    pub(crate) fn fingerprint(&self, text: &str) -> u128 {
        xxh3_128_with_seed(text.as_bytes(), self.seed)
    }

    /// A hash for a key of several texts.
    pub(crate) fn hasher(&self) -> Xxh3 {
        Xxh3::with_seed(self.seed)
    }

    /// The number of bytes that it may hold.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn block(&mut self, key: u128) -> Option<Arc<Entry>> {
        self.blocks.get(key).cloned()
    }

    pub(crate) fn remember_block(&mut self, key: u128, entry: Arc<Entry>) {
        let texts = entry.tool.len()
            + entry.replacement.as_ref().map_or(0, |text| text.len())
            + entry.left_out.as_ref().map_or(0, |left_out| {
                left_out.description.len() + left_out.addresses.iter().map(|it| it.len()).sum::<usize>()
            });
        let unit = entry.unit.as_ref().map_or(0, |unit| unit.bytes()) + size_of_val(&*entry.refers);
        self.blocks.insert(key, entry, ENTRY_BYTES + texts + unit);
    }

    /// The count under this key; if there is none, remembers the result of `count`.
    pub(crate) fn count(&mut self, key: u128, count: impl FnOnce() -> u32) -> u32 {
        if let Some(count) = self.counts.get(key) {
            return *count;
        }
        let count = count();
        self.counts.insert(key, count, COUNT_BYTES);
        count
    }

    /// Takes what a conversation had shown up to the block with this key.
    pub(crate) fn take_earlier(&mut self, key: u128) -> Option<Earlier> {
        self.earlier.remove(key)
    }

    pub(crate) fn remember_earlier(&mut self, key: u128, mut earlier: Earlier) {
        earlier.shrink();
        let bytes = ENTRY_BYTES + size_of::<Earlier>() + earlier.bytes();
        self.earlier.insert(key, earlier, bytes);
    }
}

/// A map that forgets: when the young generation is full it becomes the old one, and the old one is dropped.
/// A used entry moves from old to young. Each operation is constant, amortized.
#[derive(Debug)]
struct Generations<V> {
    /// The capacity of one generation.
    capacity: usize,
    young_bytes: usize,
    young: HashMap<u128, (V, usize), FixedState>,
    old: HashMap<u128, (V, usize), FixedState>,
}

impl<V> Generations<V> {
    fn new(capacity: usize) -> Self {
        Self { capacity: capacity / 2, young_bytes: 0, young: HashMap::default(), old: HashMap::default() }
    }

    fn get(&mut self, key: u128) -> Option<&V> {
        if !self.young.contains_key(&key) {
            let (value, bytes) = self.old.remove(&key)?;
            self.insert(key, value, bytes);
        }
        self.young.get(&key).map(|(value, _)| value)
    }

    fn remove(&mut self, key: u128) -> Option<V> {
        if let Some((value, bytes)) = self.young.remove(&key) {
            self.young_bytes = self.young_bytes.saturating_sub(bytes);
            return Some(value);
        }
        self.old.remove(&key).map(|(value, _)| value)
    }

    fn insert(&mut self, key: u128, value: V, bytes: usize) {
        if bytes > self.capacity {
            return;
        }
        if self.young_bytes.saturating_add(bytes) > self.capacity {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if let Some((_, replaced)) = self.young.insert(key, (value, bytes)) {
            self.young_bytes = self.young_bytes.saturating_sub(replaced);
        }
        self.young_bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::earlier::{ShownOutput, Source};

    #[test]
    fn what_is_used_in_time_survives_and_what_is_not_goes() {
        let mut map = Generations::new(200);
        map.insert(0, "kept", 10);
        for key in 1..100 {
            map.insert(key, "passing", 10);
            assert_eq!(map.get(0), Some(&"kept"));
        }
        assert_eq!(map.get(1), None);
        assert_eq!(map.get(99), Some(&"passing"));
    }

    #[test]
    fn the_bytes_held_stay_under_the_capacity() {
        let mut map = Generations::new(1000);
        for key in 0..10_000u128 {
            map.insert(key % 700, (), 1 + (key % 97) as usize);
            let held: usize = map.young.values().chain(map.old.values()).map(|(_, bytes)| bytes).sum();
            assert!(held <= 1000, "{held}");
        }
    }

    #[test]
    fn what_a_conversation_has_shown_counts_as_what_it_holds() {
        const TEXTS: usize = 20_000;
        let shown = || {
            let mut earlier = Earlier::default();
            for _ in 0..TEXTS {
                let source = Source { call: None, several: true };
                earlier.add(ShownOutput::text("x", "x", Fidelity::No), None, source);
            }
            earlier.shrink();
            earlier
        };
        let held = shown().bytes();
        assert!((80 * TEXTS..400 * TEXTS).contains(&held), "{held}");
        // A generation has three sixteenths.
        for (capacity, fits) in [(held * 5, false), (held * 6, true)] {
            let mut memo = Memo::new(capacity);
            memo.remember_earlier(1, shown());
            assert_eq!(memo.take_earlier(1).is_some(), fits, "{capacity}");
        }
    }

    #[test]
    fn what_is_larger_than_a_generation_is_not_kept() {
        let mut map = Generations::new(100);
        map.insert(1, (), 51);
        assert_eq!(map.get(1), None);
    }
}
