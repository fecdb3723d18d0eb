//! Counts of pieces that were counted before.
//!
//! A text is made of few words, again and again. What is known about them fits into a core's own cache,
//! where the vocabulary, a few megabytes, does not.

use super::merge;
use super::vocabulary::Vocabulary;

/// Pieces that are remembered; a piece takes the place of another with the same remainder. 280 KB.
const REMEMBERED: usize = 16_384;

/// Longest piece that is remembered: with its length it makes 16 bytes.
const LONGEST: usize = 15;

/// A piece of 2 to [`LONGEST`] bytes: its bytes, and in the last one its length and the vocabulary.
type Key = [u64; 2];

/// What is known.
pub(super) struct Known {
    keys: Vec<Key>,
    tokens: Vec<u8>,
}

impl Known {
    pub(super) fn new() -> Self {
        Self { keys: vec![[0; 2]; REMEMBERED], tokens: vec![0; REMEMBERED] }
    }

    /// The tokens of a piece.
    #[inline]
    pub(super) fn count(&mut self, piece: &[u8], vocabulary: &Vocabulary) -> usize {
        if piece.len() < 2 {
            // Every byte is a token.
            return piece.len();
        }
        let Some(key) = key(piece, vocabulary.number) else { return look_up(piece, vocabulary) };
        let at = place(key);
        if self.keys[at] != key {
            self.keys[at] = key;
            // At most one for each byte.
            self.tokens[at] = look_up(piece, vocabulary) as u8;
        }
        usize::from(self.tokens[at])
    }
}

#[inline(never)]
fn look_up(piece: &[u8], vocabulary: &Vocabulary) -> usize {
    if vocabulary.rank(piece).is_some() { 1 } else { merge::count(piece, vocabulary) }
}

#[inline]
fn key(piece: &[u8], vocabulary: u8) -> Option<Key> {
    let len = piece.len();
    // The tail is loaded with bytes of the head, which are then shifted out.
    let [low, high] = match len {
        8..=LONGEST => {
            let (head, tail) = (*piece.first_chunk()?, *piece.last_chunk()?);
            // With 8 bytes there is no tail.
            let tail = u64::from_le_bytes(tail).checked_shr(8 * (16 - len as u32)).unwrap_or(0);
            [u64::from_le_bytes(head), tail]
        }
        4..=7 => {
            let (head, tail) = (*piece.first_chunk()?, *piece.last_chunk()?);
            let tail = u32::from_le_bytes(tail).checked_shr(8 * (8 - len as u32)).unwrap_or(0);
            [u64::from(u32::from_le_bytes(head)) | u64::from(tail) << 32, 0]
        }
        2..=3 => {
            let last = if len == 3 { *piece.last()? } else { 0 };
            [u64::from(u16::from_le_bytes(*piece.first_chunk()?)) | u64::from(last) << 16, 0]
        }
        _ => return None,
    };
    Some([low, high | (len as u64 | u64::from(vocabulary) << 4) << 56])
}

#[inline]
fn place([low, high]: Key) -> usize {
    /// As in `layout`: fractional digits of the square root of 2.
    const ROOT_2: u64 = 0x6a09_e667_f3bc_c909;
    let mixed = (low ^ high.rotate_left(29)).wrapping_mul(ROOT_2);
    (mixed >> (64 - REMEMBERED.trailing_zeros())) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn different_pieces_have_different_keys(pieces in prop::collection::vec("[a\0é]{1,9}", 2..200)) {
            let mut seen = HashMap::new();
            for piece in &pieces {
                for vocabulary in 0..2 {
                    let Some(key) = key(piece.as_bytes(), vocabulary) else { continue };
                    let holder = seen.entry(key).or_insert((piece, vocabulary));
                    prop_assert_eq!(*holder, (piece, vocabulary));
                }
            }
        }
    }
}
