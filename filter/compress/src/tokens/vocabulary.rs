//! A vocabulary: which texts are tokens, and which of two merges comes first.

use super::layout::{self, EMPTY, GROUP, ID_BITS, hash};

/// A vocabulary in the data section.
#[derive(Clone, Copy)]
pub(super) struct Vocabulary {
    /// The texts of all tokens, one after the other.
    texts: &'static [u8],
    /// Where the texts of each [`GROUP`] begin.
    groups: &'static [[u8; 4]],
    /// Where each text begins in its group, and the last one ends.
    places: &'static [[u8; 2]],
    /// A hash table with linear probing.
    slots: &'static [[u8; 4]],
    /// The ranks of pairs of ASCII, with which most merges begin: 64 KiB, while the other tables take
    /// megabytes.
    pairs: &'static [[u8; 4]],
}

/// Bytes of the longest token of both vocabularies. A test checks it.
pub(super) const LONGEST: usize = 128;

macro_rules! vocabulary {
    ($name:literal) => {
        Vocabulary {
            texts: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".texts")),
            groups: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".groups")).as_chunks().0,
            places: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".places")).as_chunks().0,
            slots: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".slots")).as_chunks().0,
            pairs: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".pairs")).as_chunks().0,
        }
    };
}

pub(super) static O200K_BASE: Vocabulary = vocabulary!("o200k_base");
pub(super) static CL100K_BASE: Vocabulary = vocabulary!("cl100k_base");

impl Vocabulary {
    /// The rank of two neighbouring bytes as one token; [`EMPTY`] if they are not a token.
    #[inline]
    pub(super) fn pair(&self, a: u8, b: u8) -> u32 {
        if (a | b).is_ascii() {
            u32::from_le_bytes(self.pairs[layout::pair(a, b)])
        } else {
            self.rank(&[a, b]).unwrap_or(EMPTY)
        }
    }

    /// The token's rank, which is its id; `None` if the text is not a token.
    #[inline]
    pub(super) fn rank(&self, text: &[u8]) -> Option<u32> {
        const ID: u32 = (1 << ID_BITS) - 1;
        if text.len() > LONGEST {
            return None;
        }
        let hash = hash(text);
        let tag = layout::tag(hash);
        let mut at = layout::slot(hash, self.slots.len());
        loop {
            let slot = u32::from_le_bytes(self.slots[at]);
            if slot == EMPTY {
                return None;
            }
            if slot & !ID == tag && self.text(slot & ID) == text {
                return Some(slot & ID);
            }
            at = layout::next(at, self.slots.len());
        }
    }

    #[inline]
    fn text(&self, id: u32) -> &'static [u8] {
        let start = |id: usize| {
            u32::from_le_bytes(self.groups[id / GROUP]) as usize
                + usize::from(u16::from_le_bytes(self.places[id]))
        };
        let id = id as usize;
        &self.texts[start(id)..start(id + 1)]
    }

    /// The number of tokens.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.places.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_found_under_its_own_rank() {
        for vocabulary in [O200K_BASE, CL100K_BASE] {
            let mut longest = 0;
            for id in 0..u32::try_from(vocabulary.len()).unwrap() {
                let text = vocabulary.text(id);
                assert_eq!(vocabulary.rank(text), Some(id));
                longest = longest.max(text.len());
            }
            assert_eq!(longest, LONGEST);
        }
    }

    #[test]
    fn the_vocabularies_are_as_large_as_published() {
        assert_eq!(O200K_BASE.len(), 199_998);
        assert_eq!(CL100K_BASE.len(), 100_256);
    }

    #[test]
    fn a_pair_has_the_rank_of_its_text() {
        for vocabulary in [O200K_BASE, CL100K_BASE] {
            for pair in 0..=u16::MAX {
                let [a, b] = pair.to_be_bytes();
                assert_eq!(vocabulary.pair(a, b), vocabulary.rank(&[a, b]).unwrap_or(EMPTY));
            }
        }
    }

    #[test]
    fn what_is_no_token_has_no_rank() {
        for vocabulary in [O200K_BASE, CL100K_BASE] {
            for text in ["", "qzxv", "\u{10ffff}", &"a".repeat(200)] {
                assert_eq!(vocabulary.rank(text.as_bytes()), None, "{text:?}");
            }
        }
    }
}
