//! Long runs of one class of characters, which are slow to count.
//!
//! A tokenizer first splits a text into words, white space and groups of signs, and then merges the bytes of
//! each. Merging takes far longer per byte than splitting: a megabyte of blanks takes twenty times as long as
//! a megabyte of code. Texts with more than a small share of such runs are counted in parts, and the count
//! may be off by one for each cut. None of the examined real tool outputs is such a text.

use super::merge;

/// The shortest long run. Bytes. Rulers and indentation are shorter.
const LONG: usize = 512;
/// Long runs may be one part in this many of a text that is still counted exactly. At a twentieth of the
/// usual speed they then take no more than three times as long as the rest.
const SHARE: usize = 8;
/// Bytes in long runs that are always counted exactly.
const FEW: usize = 4096;
/// The length of a part in bytes: the longest that is merged without allocation.
const PART: usize = merge::SHORT;
/// The distance at which a text is probed. A long run contains at least one full stride.
const STRIDE: usize = LONG / 2;

/// Classes of bytes, a bit each.
const LETTER: u8 = 1;
const BLANK: u8 = 2;
const SIGN: u8 = 4;

/// The classes of a byte: none for digits, which are grouped by three, and for everything outside ASCII, where merging
/// is fast. Line ends may stand within a group of signs, and within white space.
fn classes(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' => LETTER,
        b' ' | b'\t' => BLANK,
        b'\n' | b'\r' => BLANK | SIGN,
        b'0'..=b'9' | 0x80.. => 0,
        _ => SIGN,
    }
}

/// The long runs of a text.
fn long_runs(text: &str) -> Vec<std::ops::Range<usize>> {
    let bytes = text.as_bytes();
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    let mut at = 0;
    while let Some(window) = bytes.get(at..at + STRIDE) {
        let [first, middle, last] = [window[0], window[STRIDE / 2], window[STRIDE - 1]].map(classes);
        let here = at;
        at += STRIDE;
        if first & middle & last == 0 {
            continue;
        }
        let common = window.iter().fold(u8::MAX, |common, &byte| common & classes(byte));
        // The highest: line ends alone are signs.
        let Some(class) = [SIGN, BLANK, LETTER].into_iter().find(|class| common & class != 0) else {
            continue;
        };
        let behind = runs.last().map_or(0, |run| run.end);
        let before = bytes.get(behind..here).unwrap_or_default();
        let start = here - before.iter().rev().take_while(|&&byte| classes(byte) & class != 0).count();
        let after = bytes.get(at..).unwrap_or_default();
        let end = at + after.iter().take_while(|&&byte| classes(byte) & class != 0).count();
        if end - start >= LONG {
            runs.push(start..end);
        }
        at = end;
    }
    runs
}

/// The parts in which a text is counted; `None` for nearly all texts, which are counted whole.
pub(super) fn parts(text: &str) -> Option<Vec<&str>> {
    let runs = long_runs(text);
    let held: usize = runs.iter().map(ExactSizeIterator::len).sum();
    if held <= FEW.max(text.len() / SHARE) {
        return None;
    }
    let mut parts = Vec::with_capacity(held / PART + 2 * runs.len());
    let mut from = 0;
    for run in runs {
        parts.push(text.get(from..run.start)?);
        from = run.end;
        // Runs are ASCII, so every position in one is the start of a character.
        let mut rest = text.get(run)?;
        while let Some(window) = rest.get(..PART) {
            // White space is split behind line ends.
            let cut = memchr::memrchr(b'\n', window.as_bytes()).map_or(PART, |at| at + 1);
            parts.push(rest.get(..cut)?);
            rest = rest.get(cut..)?;
        }
        parts.push(rest);
    }
    parts.push(text.get(from..)?);
    Some(parts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tokens::Encoding;

    #[test]
    fn only_texts_that_consist_of_long_runs_are_cut() {
        let prose = "a word and another, 12 of them\n".repeat(1000);
        assert!(parts(&prose).is_none());
        assert!(parts(&format!("{prose}{}{prose}", "-".repeat(3000))).is_none());
        assert!(parts(&" ".repeat(FEW)).is_none());
        assert!(parts(&"\u{4e2d}\u{6587}\u{ff0c}".repeat(10_000)).is_none());
        assert!(parts(&"AbC4eF/hI0+".repeat(10_000)).is_none());
        assert!(parts(&" ".repeat(FEW + 1)).is_some());
    }

    #[test]
    fn a_cut_is_off_by_one_token_at_most() {
        for unit in [" ", "a", "=", "\n", "acgt", "/\n", "\t ", "Ab", "   \n", "\r\n\t"] {
            let text = format!("before 1{}2 after", unit.repeat(20_000 / unit.len()));
            let cuts = parts(&text).unwrap().len();
            let exact = Encoding::O200kBase.count_exactly(&text);
            let counted = Encoding::O200kBase.count(&text);
            assert!(counted.abs_diff(exact) <= cuts, "{unit:?}: {counted} for {exact}, {cuts} cuts");
        }
    }

    proptest! {
        #[test]
        fn parts_make_up_the_text(pieces in prop::collection::vec(("[ =aZ\n1é]", 1..3000usize), 1..12)) {
            let text: String = pieces.iter().map(|(unit, times)| unit.repeat(*times)).collect();
            if let Some(parts) = parts(&text) {
                prop_assert_eq!(parts.concat(), text);
            }
        }
    }
}
