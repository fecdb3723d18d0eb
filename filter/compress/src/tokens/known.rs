//! Counts of pieces that were counted before, and of the last texts.
//!
//! A text consists of few words that repeat. Their counts fit into a core's own cache; the vocabulary of a
//! few megabytes does not. Texts repeat too: a form that one compressor has weighed is weighed again by the
//! next one, or becomes the block's replacement.

use std::ops::Range;

use headroom_providers::simd::{low, padded};
use xxhash_rust::xxh3::xxh3_128;

use super::layout::{ROOT_2, hash, slot};
use super::{Encoding, merge};

/// How many words are remembered: pieces of up to [`LONGEST_WORD`] bytes, which six of seven are. A word
/// replaces another one with the same remainder. 256 KiB: little enough to stay in the cache until the next
/// request.
const WORDS: usize = 32_768;

/// A word with its length, its vocabulary and its tokens, in eight bytes.
const LONGEST_WORD: usize = 7;

/// The position of the length in a word's eight bytes, above the text; then those of the vocabulary and the
/// tokens.
const LENGTH: u32 = 56;
const VOCABULARY: u32 = 59;
const TOKENS: u32 = 60;

/// How many longer pieces are remembered in the same way.
const REMEMBERED: usize = 32_768;

/// The longest of these pieces: with its length it has [`BLOCK`] bytes.
const LONGEST: usize = BLOCK - 1;

/// Bytes that are loaded at once.
const BLOCK: usize = 16;

/// A piece of up to [`LONGEST`] bytes: its bytes, and in the last one its length and the vocabulary.
type Key = u128;

/// How many even longer pieces are remembered: indentation, rulers, and the marks under an error. There are
/// few of them, and each takes long to count.
const LONGER: usize = 1024;

/// The longest of them.
const LONGEST_LONGER: usize = 256;

/// How many texts keep their counts: a block and the forms that are compared with it.
const TEXTS: usize = 4;

/// Shorter texts are counted just as quickly.
const SHORT: usize = 64;

/// The remembered counts.
pub(super) struct KnownCounts {
    words: Vec<u64>,
    keys: Vec<Key>,
    tokens: Vec<u8>,
    longer: Vec<LongPiece>,
    /// Fingerprints of the last texts, with their counts.
    texts: [(u128, usize); TEXTS],
    /// The index of the oldest one.
    oldest: usize,
}

/// A piece of more than [`LONGEST`] bytes.
#[derive(Clone, Default)]
struct LongPiece {
    piece: Box<[u8]>,
    encoding: Encoding,
    tokens: usize,
}

impl KnownCounts {
    pub(super) fn new() -> Self {
        Self {
            words: vec![0; WORDS],
            keys: vec![0; REMEMBERED],
            tokens: vec![0; REMEMBERED],
            longer: vec![LongPiece::default(); LONGER],
            texts: [(0, 0); TEXTS],
            oldest: 0,
        }
    }

    /// The tokens of a text; calls `count` unless it is one of the last texts.
    pub(super) fn text(
        &mut self,
        text: &str,
        encoding: Encoding,
        count: impl FnOnce(&mut Self) -> usize,
    ) -> usize {
        if text.len() < SHORT {
            return count(self);
        }
        let fingerprint = xxh3_128(text.as_bytes()).wrapping_add(encoding as u128);
        if let Some((_, tokens)) = self.texts.iter().find(|(known, _)| *known == fingerprint) {
            return *tokens;
        }
        let tokens = count(self);
        self.texts[self.oldest] = (fingerprint, tokens);
        self.oldest = (self.oldest + 1) % TEXTS;
        tokens
    }

    /// The tokens of the piece at `range` of a text.
    #[inline]
    pub(super) fn count(&mut self, text: &[u8], range: Range<usize>, encoding: Encoding) -> usize {
        let len = range.len();
        if len < 2 {
            // Every byte is a token.
            return len;
        }
        if len <= LONGEST_WORD {
            let word = word(text, &range, encoding);
            let known =
                &mut self.words[(word.wrapping_mul(ROOT_2) >> (64 - WORDS.trailing_zeros())) as usize];
            if *known & low(TOKENS) != word {
                // At most one for each byte.
                *known = word | (look_up(&text[range], encoding) as u64) << TOKENS;
            }
            return (*known >> TOKENS) as usize;
        }
        if len > LONGEST {
            return self.count_longer(&text[range], encoding);
        }
        let key = key_of(text, &range, encoding);
        let at = place(key);
        if self.keys[at] != key {
            self.keys[at] = key;
            // At most one for each byte.
            self.tokens[at] = look_up(&text[range], encoding) as u8;
        }
        usize::from(self.tokens[at])
    }

    #[inline(never)]
    fn count_longer(&mut self, piece: &[u8], encoding: Encoding) -> usize {
        if piece.len() > LONGEST_LONGER {
            return look_up(piece, encoding);
        }
        let known = &mut self.longer[slot(hash(piece), LONGER)];
        if *known.piece != *piece || known.encoding != encoding {
            *known = LongPiece { piece: piece.into(), encoding, tokens: look_up(piece, encoding) };
        }
        known.tokens
    }
}

#[inline(never)]
fn look_up(piece: &[u8], encoding: Encoding) -> usize {
    let vocabulary = encoding.vocabulary();
    if vocabulary.rank(piece).is_some() { 1 } else { merge::count(piece, vocabulary) }
}

/// A word without its tokens.
#[inline]
fn word(text: &[u8], range: &Range<usize>, encoding: Encoding) -> u64 {
    let bytes = padded(&text[range.start..], 0);
    let len = range.len() as u32;
    u64::from_le_bytes(bytes) & low(8 * len) | u64::from(len) << LENGTH | (encoding as u64) << VOCABULARY
}

/// The key of a piece of at most [`LONGEST`] bytes.
#[inline]
fn key_of(text: &[u8], range: &Range<usize>, encoding: Encoding) -> Key {
    let block: [u8; BLOCK] = padded(&text[range.start..], 0);
    let last = range.len() as u8 | (encoding as u8) << 4;
    Key::from_le_bytes(block) & MASKS[range.len()] | Key::from(last) << (8 * LONGEST)
}

/// The bits of the first bytes, by the number of bytes: a table, because WASM has no shift of 128 bits.
static MASKS: [Key; BLOCK] = {
    let mut masks = [0; BLOCK];
    let mut len = 1;
    while len < BLOCK {
        masks[len] = masks[len - 1] << 8 | 0xff;
        len += 1;
    }
    masks
};

#[inline]
fn place(key: Key) -> usize {
    let mixed = (key as u64 ^ ((key >> 64) as u64).rotate_left(29)).wrapping_mul(ROOT_2);
    (mixed >> (64 - REMEMBERED.trailing_zeros())) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_piece_is_counted_as_often_as_it_comes_and_for_each_vocabulary() {
        let mut known = KnownCounts::new();
        for length in (LONGEST + 1..=LONGEST_LONGER + 40).chain(LONGEST + 1..100) {
            for letter in ["=", "^", " ", "x"] {
                let piece = letter.repeat(length);
                for encoding in [Encoding::O200kBase, Encoding::Cl100kBase] {
                    let counted = known.count(piece.as_bytes(), 0..length, encoding);
                    assert_eq!(counted, look_up(piece.as_bytes(), encoding), "{length} of {letter:?}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_piece_has_one_key_wherever_it_stands_and_no_other_has_it(
            pieces in prop::collection::vec("[a\0é]{1,7}", 2..200)
        ) {
            let (mut seen, mut words) = (HashMap::new(), HashMap::new());
            for piece in &pieces {
                let range = 1..1 + piece.len();
                for text in [format!("({piece}"), format!("({piece}, and more than a block of bytes)")] {
                    let bytes = text.as_bytes();
                    let key = key_of(bytes, &range, Encoding::O200kBase);
                    prop_assert_eq!(*seen.entry(key).or_insert(piece), piece);
                    prop_assert_ne!(key, key_of(bytes, &range, Encoding::Cl100kBase));
                }
            }
            for piece in pieces.iter().filter(|piece| (2..=LONGEST_WORD).contains(&piece.len())) {
                let own = |text: &str| word(text.as_bytes(), &(1..1 + piece.len()), Encoding::O200kBase);
                let word = own(&format!("({piece}"));
                prop_assert_eq!(word, own(&format!("({piece}, and more than a block of bytes")));
                prop_assert_eq!(*words.entry(word).or_insert(piece), piece);
            }
            let different: HashSet<_> = pieces.iter().collect();
            prop_assert_eq!(seen.len(), different.len());
        }
    }
}
