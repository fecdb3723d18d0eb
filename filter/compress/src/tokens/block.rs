//! The starts of pieces of ASCII and of common symbols, 64 bytes at a time: the expressions of `split.rs` as
//! arithmetic on masks with a bit for each byte.
//!
//! A word of source code has four bytes. To check each of them, and to guess wrongly where the word ends,
//! takes longer than to look it up in the vocabulary.

use headroom_providers::simd::{BYTES, Bytes, low, ones};

use super::Encoding;

/// Fills a block after the end of the text: it is never certain that a piece ends before it.
pub(super) const UNKNOWN: u8 = 0x80;

/// With fewer bytes before the first one that is not ASCII, a block is not worth it.
const FEW: u32 = 4;

/// The starts of pieces in a block, as far as they are certain without the bytes after the block. The first
/// piece begins with the block, and the last one may end after it.
#[inline]
pub(super) fn starts(block: &[u8; BYTES], encoding: Encoding) -> u64 {
    let bytes = Bytes::new(block);
    let foreign = bytes.foreign();
    let symbols = if foreign == 0 { 0 } else { symbols(bytes) };
    let foreign = foreign & !(symbols | symbols << 1 | symbols << 2);
    let known = foreign.trailing_zeros();
    if known < FEW {
        return 1;
    }
    let equal = |byte| bytes.equal(byte);
    let within = |first, last| bytes.within(first, last);
    let upper = within(b'A', b'Z');
    let lower = within(b'a', b'z');
    let letters = upper | lower;
    let digits = within(b'0', b'9');
    let spaces = equal(b' ');
    let lines = equal(b'\n') | equal(b'\r');
    let white = within(b'\t', b'\r') | spaces;
    let blanks = white & !lines;
    let signs = !(letters | digits | white | foreign);

    // Line ends directly after signs belong to them.
    let own = run(lines, lines & signs << 1);
    // One sign belongs to the word after it, unless it belongs to the space before it.
    let lone = signs & !(signs << 1 | signs >> 1 | spaces << 1)
        | (symbols & !(signs << 1 | signs >> SYMBOL | spaces << 1)) << (SYMBOL - 1);
    let free = white & !own;
    let mut starts = 1
        | letters & !(letters << 1 | blanks << 1 | lone << 1)
        | digits & !(digits << 1)
        | signs & !(signs << 1 | spaces << 1)
        | free & !(free << 1)
        // The piece after white space includes its last blank, or leaves it alone.
        | blanks & !(white >> 1)
        | blanks & lines << 1;
    // White space with line ends is one piece up to the last line end.
    for line_end in ones(lines & blanks << 1) {
        let blank = below(blanks, line_end);
        if blank > 0 && (free & lines) >> (blank - 1) & 1 == 1 {
            starts &= !(1 << blank);
        }
    }
    starts |= threes(digits);

    // Everything before this is certain: white space at the end may continue.
    let mut sure = (low(below(white, known)) << 1 | 1) & low(known);
    if encoding == Encoding::O200kBase {
        starts |= upper & lower << 1;
        // Slashes after the line ends of signs belong to them as well.
        let slashes = equal(b'/') & own << 1;
        sure &= low(slashes.trailing_zeros());
    }
    let apostrophes = equal(b'\'') & low(known);
    if apostrophes != 0 {
        contractions(block, encoding, apostrophes, letters, &mut starts, &mut sure);
    }
    starts & sure
}

/// Bytes of a symbol.
const SYMBOL: u32 = 3;

/// The starts of signs from U+2190 to U+23FF and from U+2500 to U+25FF: arrows, which agents print between
/// the number and the text of a line, mathematics, and the lines of tables.
#[inline(never)]
fn symbols(bytes: Bytes) -> u64 {
    let block = bytes.within(0x87, 0x8f) | bytes.within(0x94, 0x97);
    // The characters before the arrows are numbers.
    let arrows = bytes.equal(0x86) & bytes.within(0x90, 0xbf) >> 1;
    bytes.equal(0xe2) & (block | arrows) >> 1 & low(BYTES as u32 + 1 - SYMBOL)
}

/// Splits the ends of `don't` and the like from their words.
#[inline(never)]
fn contractions(
    block: &[u8; BYTES],
    encoding: Encoding,
    apostrophes: u64,
    letters: u64,
    starts: &mut u64,
    sure: &mut u64,
) {
    let mut last_end = 0;
    for at in ones(apostrophes) {
        // It belongs to the word before it, or is its own piece.
        let first = match encoding {
            Encoding::O200kBase if letters << 1 >> at & 1 == 1 && at != last_end => at,
            Encoding::Cl100kBase if *starts >> at & 1 == 1 => at + 1,
            _ => continue,
        };
        let rest = &block[at as usize..];
        if rest.len() < LONGEST_CONTRACTION || !rest[..LONGEST_CONTRACTION].is_ascii() {
            *sure &= low(first);
            return;
        }
        let len = contraction(rest);
        if len > 0 {
            last_end = at + len as u32;
            *starts = *starts & !(low(last_end) & !low(first)) | 1u64.checked_shl(last_end).unwrap_or(0);
        }
    }
}

/// Bytes of `'re`, or of an apostrophe and a long s, which has two bytes.
const LONGEST_CONTRACTION: usize = 3;

/// The length of `(?i:'s|'t|'re|'ve|'m|'ll|'d)` at the beginning of a text, or 0.
#[inline]
pub(super) fn contraction(text: &[u8]) -> usize {
    match text {
        [b'\'', b's' | b'S' | b't' | b'T' | b'm' | b'M' | b'd' | b'D', ..] => 2,
        [b'\'', b'r' | b'R' | b'v' | b'V', b'e' | b'E', ..] | [b'\'', b'l' | b'L', b'l' | b'L', ..] => 3,
        // A long s equals an s if case does not matter.
        [b'\'', 0xc5, 0xbf, ..] => 3,
        _ => 0,
    }
}

/// The starts of the second, third … group of three in runs.
#[inline]
fn threes(digits: u64) -> u64 {
    let third = digits & digits << 1 & digits << 2;
    let (mut starts, mut group) = (0, digits & !(digits << 1));
    while group != 0 {
        group = group << 3 & third;
        starts |= group;
    }
    starts
}

/// The runs in `mask` that begin at `starts`.
#[inline]
fn run(mask: u64, starts: u64) -> u64 {
    mask & !mask.wrapping_add(starts)
}

/// The start of the run in `mask` that ends before a position; that position if there is none.
#[inline]
fn below(mask: u64, at: u32) -> u32 {
    64 - (!mask & low(at)).leading_zeros()
}
