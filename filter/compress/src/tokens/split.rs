//! Cuts a text into the pieces that are counted one by one.
//!
//! A tokenizer names its pieces by a regular expression. These are the two expressions by hand, as a
//! choice on the class of the first character: a tenth of the code of a regular expression engine with
//! its Unicode tables, which V8 would compile at every start, and several times faster. Pieces of ASCII,
//! which nearly all are, are read off a table ([`super::automaton`]) instead.

use std::ops::Range;

use super::Encoding;
use super::automaton::{self, End};
use super::layout::{BLANK, BLOCK, CASELESS, LINE_END, LOWER, MARK, NUMBER, SIGN, UPPER};

const LETTER: u8 = UPPER | LOWER | CASELESS;
const SPACE: u8 = BLANK | LINE_END;
/// May stand before the first letter of a word.
const BEFORE_A_WORD: u8 = MARK | BLANK | SIGN;

/// The classes of all characters: numbers of blocks, then the blocks.
static CLASSES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/classes"));
const BLOCKS: usize = (char::MAX as usize + 1) / BLOCK;

/// Where the pieces of a text are, in order; together they are the text.
pub(super) struct Pieces<'t> {
    text: &'t str,
    at: usize,
    encoding: Encoding,
}

impl<'t> Pieces<'t> {
    pub(super) fn new(text: &'t str, encoding: Encoding) -> Self {
        Self { text, at: 0, encoding }
    }

    /// The class of the character at a position, and its length in bytes; class 0 at the end.
    #[inline]
    fn class(&self, at: usize) -> (u8, usize) {
        match self.text.as_bytes().get(at) {
            None => (0, 0),
            Some(byte) if byte.is_ascii() => (automaton::CLASSES[usize::from(*byte)], 1),
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

    /// Where the run of characters of these classes ends that starts at a position.
    #[inline]
    fn run(&self, mut at: usize, classes: u8) -> usize {
        let bytes = self.text.as_bytes();
        loop {
            while let Some(byte) = bytes.get(at).filter(|byte| byte.is_ascii())
                && automaton::CLASSES[usize::from(*byte)] & classes != 0
            {
                at += 1;
            }
            match self.class(at) {
                (class, len @ 2..) if class & classes != 0 => at += len,
                _ => return at,
            }
        }
    }

    /// Where the piece ends that starts here.
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
            Some(end) => end + self.contraction(end),
            None => self.other(class, len, b"\r\n/", false),
        }
    }

    /// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+`
    fn lower_word(&self, start: usize) -> Option<usize> {
        const LOW: u8 = LOWER | CASELESS | MARK;
        if self.class(start).0 == LOWER {
            return Some(self.run(start, LOW));
        }
        // The first part takes all it can, and gives back as little as the second one needs.
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

    /// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*` where [`Self::lower_word`] finds nothing.
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
        let contraction = self.contraction(start);
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

    /// Numbers, signs and white space, of which the two expressions say nearly the same: what follows
    /// signs, and whether white space at the end of the text is one piece.
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
        // The last blank belongs to what follows.
        let last = self.text[start..end].char_indices().next_back().map_or(0, |(at, _)| at);
        if end == bytes.len() || last == 0 { end } else { start + last }
    }

    /// The length of `(?i:'s|'t|'re|'ve|'m|'ll|'d)` at a position, or 0.
    #[inline]
    fn contraction(&self, at: usize) -> usize {
        match self.text.as_bytes()[at..] {
            [b'\'', b's' | b'S' | b't' | b'T' | b'm' | b'M' | b'd' | b'D', ..] => 2,
            [b'\'', b'r' | b'R' | b'v' | b'V', b'e' | b'E', ..] | [b'\'', b'l' | b'L', b'l' | b'L', ..] => 3,
            // A long s is an s when case does not count.
            [b'\'', 0xc5, 0xbf, ..] => 3,
            _ => 0,
        }
    }
}

/// Where the last line end of some white space ends, or 0.
fn behind_line_end(space: &[u8]) -> usize {
    space.iter().rposition(|byte| matches!(byte, b'\r' | b'\n')).map_or(0, |at| at + 1)
}

impl Iterator for Pieces<'_> {
    type Item = Range<usize>;

    #[inline]
    fn next(&mut self) -> Option<Range<usize>> {
        let (start, bytes) = (self.at, self.text.as_bytes());
        if start >= bytes.len() {
            return None;
        }
        self.at = match automaton::end(&bytes[start..], self.encoding) {
            End::At(len) => start + len,
            End::Word(len) => start + len + self.contraction(start + len),
            End::Lines(len) => start + behind_line_end(&bytes[start..start + len]),
            End::Unknown => self.by_hand(),
        };
        Some(start..self.at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_table_finds_the_pieces_that_are_found_by_hand(
            text in prop_oneof!["[aAbZsTreVEl0-9 \t\r\n'/(.é\u{a0}\u{301}名]{0,40}", "[ -~\t\n\r\x00\x0b\x1f]{0,60}"]
        ) {
            for encoding in [Encoding::O200kBase, Encoding::Cl100kBase] {
                let mut by_hand = Vec::new();
                let mut pieces = Pieces::new(&text, encoding);
                while pieces.at < text.len() {
                    let start = pieces.at;
                    pieces.at = pieces.by_hand();
                    by_hand.push(start..pieces.at);
                }
                prop_assert_eq!(Pieces::new(&text, encoding).collect::<Vec<_>>(), by_hand);
            }
        }
    }
}
