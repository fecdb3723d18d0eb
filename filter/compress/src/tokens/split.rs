//! Splits a text into the pieces that are counted one by one.
//!
//! A tokenizer defines its pieces by a regular expression. This module has the two expressions written by
//! hand, as a choice by the class of the first character. It needs a tenth of the code of a regular
//! expression engine with its Unicode tables, which V8 would compile at every start, and is several times
//! faster. Pieces of ASCII, which nearly all are, are found many at a time ([`super::block`]).

use std::ops::Range;

use headroom_providers::simd::{BYTES, padded};

use super::Encoding;
use super::block::{self, contraction};
use super::layout::{BLANK, BLOCK, CASELESS, LINE_END, LOWER, MARK, NUMBER, SIGN, UPPER};

const LETTER: u8 = UPPER | LOWER | CASELESS;
const SPACE: u8 = BLANK | LINE_END;
/// Classes that may come before the first letter of a word.
const BEFORE_A_WORD: u8 = MARK | BLANK | SIGN;

/// The classes of all characters: numbers of blocks, then the blocks.
static CLASSES: &[u8] = include_bytes!("../../tokens/classes");
const BLOCKS: usize = (char::MAX as usize + 1) / BLOCK;

/// The classes of ASCII.
static ASCII: [u8; 128] = {
    let mut classes = [SIGN; 128];
    let mut byte = 0;
    while byte < 128 {
        classes[byte as usize] = match byte {
            b'A'..=b'Z' => UPPER,
            b'a'..=b'z' => LOWER,
            b'0'..=b'9' => NUMBER,
            b'\r' | b'\n' => LINE_END,
            b' ' | b'\t' | 0x0b | 0x0c => BLANK,
            _ => SIGN,
        };
        byte += 1;
    }
    classes
};

/// The pieces of a text, in order. Pieces of one byte, each of which is a token, are only counted.
pub(super) struct Pieces<'t> {
    text: &'t str,
    /// The text is split up to here.
    at: usize,
    encoding: Encoding,
    /// The last block, and the remaining pieces in it: their starts and ends.
    block: usize,
    starts: u64,
    ends: u64,
    single: usize,
}

impl<'t> Pieces<'t> {
    pub(super) fn new(text: &'t str, encoding: Encoding) -> Self {
        Self { text, at: 0, encoding, block: 0, starts: 0, ends: 0, single: 0 }
    }

    /// The number of pieces of one byte so far.
    pub(super) fn single(&self) -> usize {
        self.single
    }

    /// Takes the pieces of the next block that end in it; otherwise splits off one by hand.
    #[inline]
    fn advance(&mut self) -> Option<Range<usize>> {
        let starts = block::starts(&self.bytes(), self.encoding);
        let last = u64::BITS - 1 - starts.leading_zeros();
        if last == 0 {
            let start = self.at;
            self.at = self.by_hand();
            return Some(start..self.at);
        }
        self.single += (starts & starts >> 1).count_ones() as usize;
        self.starts = starts & !(starts >> 1 | 1 << last);
        self.ends = starts & !(starts << 1 | 1);
        self.block = self.at;
        self.at += last as usize;
        None
    }

    /// The next bytes.
    #[inline]
    fn bytes(&self) -> [u8; BYTES] {
        padded(&self.text.as_bytes()[self.at..], block::UNKNOWN)
    }

    /// The class of the character at a position, and its length in bytes; class 0 at the end.
    #[inline]
    fn class(&self, at: usize) -> (u8, usize) {
        match self.text.as_bytes().get(at) {
            None => (0, 0),
            Some(byte) if byte.is_ascii() => (ASCII[usize::from(*byte)], 1),
            Some(_) => self.class_beyond_ascii(at),
        }
    }

    #[cold]
    fn class_beyond_ascii(&self, at: usize) -> (u8, usize) {
        let Some(character) = self.text[at..].chars().next() else { return (0, 0) };
        let code = character as usize;
        let block = usize::from(CLASSES[code / BLOCK]);
        (CLASSES[BLOCKS + block * BLOCK + code % BLOCK], character.len_utf8())
    }

    /// The end of the run of characters of these classes that starts at a position.
    #[inline]
    fn run(&self, mut at: usize, classes: u8) -> usize {
        let bytes = self.text.as_bytes();
        loop {
            while let Some(byte) = bytes.get(at).filter(|byte| byte.is_ascii())
                && ASCII[usize::from(*byte)] & classes != 0
            {
                at += 1;
            }
            match self.class(at) {
                (class, len @ 2..) if class & classes != 0 => at += len,
                _ => return at,
            }
        }
    }

    /// The end of the piece that starts here.
    #[inline(never)]
    fn by_hand(&self) -> usize {
        match self.encoding {
            Encoding::O200kBase => self.o200k_base(),
            Encoding::Cl100kBase => self.cl100k_base(),
        }
    }

    /// ```text
    /// [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
    /// [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
    /// \p{N}{1,3}
    ///  ?[^\s\p{L}\p{N}]+[\r\n/]*
    /// \s*[\r\n]+
    /// \s+(?!\S)
    /// \s+
    /// ```
    fn o200k_base(&self) -> usize {
        let start = self.at;
        let (class, len) = self.class(start);
        let word = if class & LETTER != 0 {
            self.lower_word(start).or_else(|| self.upper_word(start))
        } else if class & BEFORE_A_WORD != 0 {
            self.lower_word(start + len)
                .or_else(|| self.lower_word(start).filter(|_| class == MARK))
                .or_else(|| self.upper_word(start + len))
        } else {
            None
        };
        match word {
            Some(end) => end + contraction(&self.text.as_bytes()[end..]),
            None => self.other(class, len, b"\r\n/", false),
        }
    }

    /// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+`
    fn lower_word(&self, start: usize) -> Option<usize> {
        const LOW: u8 = LOWER | CASELESS | MARK;
        if self.class(start).0 == LOWER {
            return Some(self.run(start, LOW));
        }
        // The first part takes as much as it can, and gives back as little as the second one needs.
        let (mut at, mut given_back) = (start, None);
        loop {
            let (class, len) = self.class(at);
            match class {
                UPPER => at += len,
                CASELESS | MARK => {
                    at += len;
                    given_back = Some(at);
                }
                LOWER => return Some(self.run(at, LOW)),
                _ => return given_back,
            }
        }
    }

    /// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*` if [`Self::lower_word`] finds nothing.
    fn upper_word(&self, start: usize) -> Option<usize> {
        let end = self.run(start, UPPER);
        (end > start).then_some(end)
    }

    /// ```text
    /// '(?i:[sdmt]|ll|ve|re)
    /// [^\r\n\p{L}\p{N}]?\p{L}+
    /// \p{N}{1,3}
    ///  ?[^\s\p{L}\p{N}]+[\r\n]*
    /// \s+$
    /// \s*[\r\n]
    /// \s+(?!\S)
    /// \s
    /// ```
    fn cl100k_base(&self) -> usize {
        let start = self.at;
        let contraction = contraction(&self.text.as_bytes()[start..]);
        if contraction > 0 {
            return start + contraction;
        }
        let (class, len) = self.class(start);
        if class & LETTER != 0 {
            return self.run(start + len, LETTER);
        }
        if class & BEFORE_A_WORD != 0 {
            let end = self.run(start + len, LETTER);
            if end > start + len {
                return end;
            }
        }
        self.other(class, len, b"\r\n", true)
    }

    /// Numbers, signs and white space, where the two expressions are nearly the same. They differ in what may
    /// follow signs, and in whether white space at the end of the text is one piece.
    fn other(&self, class: u8, len: usize, behind_signs: &[u8], end_is_one: bool) -> usize {
        const SIGNS: u8 = SIGN | MARK;
        let bytes = self.text.as_bytes();
        let start = self.at;
        if class == NUMBER {
            let mut end = start + len;
            for _ in 0..2 {
                let (class, len) = self.class(end);
                if class == NUMBER {
                    end += len;
                }
            }
            return end;
        }
        let signs = if bytes[start] == b' ' { start + 1 } else { start };
        let mut end = self.run(signs, SIGNS);
        if end > signs {
            while bytes.get(end).is_some_and(|byte| behind_signs.contains(byte)) {
                end += 1;
            }
            return end;
        }
        let end = self.run(start, SPACE);
        if end_is_one && end == bytes.len() {
            return end;
        }
        match behind_line_end(&bytes[start..end]) {
            0 => {}
            behind => return start + behind,
        }
        // The last blank belongs to the next piece.
        let last = self.text[start..end].char_indices().next_back().map_or(0, |(at, _)| at);
        if end == bytes.len() || last == 0 { end } else { start + last }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Range<usize>;

    #[inline]
    fn next(&mut self) -> Option<Range<usize>> {
        while self.starts == 0 {
            if self.at >= self.text.len() {
                return None;
            }
            if let Some(piece) = self.advance() {
                return Some(piece);
            }
        }
        let [start, end] = [self.starts, self.ends].map(|mask| self.block + mask.trailing_zeros() as usize);
        self.starts &= self.starts - 1;
        self.ends &= self.ends.wrapping_sub(1);
        Some(start..end)
    }
}

/// The position after the last line end in white space, or 0.
fn behind_line_end(space: &[u8]) -> usize {
    space.iter().rposition(|byte| matches!(byte, b'\r' | b'\n')).map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn by_hand(text: &str, encoding: Encoding) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut pieces = Pieces::new(text, encoding);
        while pieces.at < text.len() {
            let start = pieces.at;
            pieces.at = pieces.by_hand();
            found.push(start..pieces.at);
        }
        found
    }

    /// All pieces, including those that are only counted.
    fn by_blocks(text: &str, encoding: Encoding) -> Vec<Range<usize>> {
        let mut pieces = Pieces::new(text, encoding);
        let longer: Vec<_> = pieces.by_ref().filter(|piece| piece.len() > 1).collect();
        let mut at = 0;
        let mut all = Vec::new();
        for piece in longer {
            all.extend((at..piece.start).map(|single| single..single + 1));
            at = piece.end;
            all.push(piece);
        }
        all.extend((at..text.len()).map(|single| single..single + 1));
        assert!(pieces.single() <= all.iter().filter(|piece| piece.len() == 1).count());
        all
    }

    #[test]
    fn pieces_are_found_wherever_a_block_ends() {
        let text = "don't you'LLove I'veto x['status'] b'data' f'text don't's 'd\t(a \t  b\r\n \n  \n\tc;\n\n d;\n//e;\n   \n f  →g h→i →j ;→k→\n└── l─m\tↈn ";
        for encoding in [Encoding::O200kBase, Encoding::Cl100kBase] {
            for before in 0..BYTES {
                let text = format!(
                    "{}{text} 1234567 \u{e9}{text}",
                    "a ".repeat(before / 2) + &"1".repeat(before % 2)
                );
                assert_eq!(by_blocks(&text, encoding), by_hand(&text, encoding), "{before} {encoding:?}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn the_blocks_have_the_pieces_that_are_found_by_hand(
            text in prop_oneof![
                "[aAbZsTreVEl0-9 \t\r\n'/(.é\u{a0}\u{301}名]{0,200}",
                "[aAsT'/(;\n \t]{0,200}",
                "[aA1'/(;\n \t→─●≤∙ↈⅷ✓—\u{2028}]{0,100}",
                "([a-z ]{1,12}[ -~\t\n\r\x00\x0b\x1f]{0,3}){0,20}",
                "[ -~\t\n\r\x00\x0b\x1f]{0,200}",
            ]
        ) {
            for encoding in [Encoding::O200kBase, Encoding::Cl100kBase] {
                prop_assert_eq!(by_blocks(&text, encoding), by_hand(&text, encoding));
            }
        }
    }
}
