//! The level that a line of a log states about itself.

use headroom_providers::simd::blocks;

use super::{is_in_a_name, says_none};

/// How a log line ranks itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Level {
    Error,
    Warning,
    Other,
}

/// The level begins within this many bytes.
const LEVEL_WITHIN: usize = 120;

const LEVELS: &[(&str, Level)] = &[
    ("ERROR", Level::Error),
    ("ERR", Level::Error),
    ("FATAL", Level::Error),
    ("CRITICAL", Level::Error),
    ("CRIT", Level::Error),
    ("SEVERE", Level::Error),
    ("EMERG", Level::Error),
    ("EMERGENCY", Level::Error),
    ("ALERT", Level::Error),
    ("PANIC", Level::Error),
    ("WARN", Level::Warning),
    ("WARNING", Level::Warning),
    ("INFO", Level::Other),
    ("DEBUG", Level::Other),
    ("TRACE", Level::Other),
    ("NOTICE", Level::Other),
];

/// For each letter, the lengths of the levels that begin with it, a bit each: few words have to be compared.
#[allow(clippy::indexing_slicing, reason = "worked out at compile time")]
const LENGTHS: [u16; 26] = {
    let mut lengths = [0; 26];
    let mut at = 0;
    while at < LEVELS.len() {
        let name = LEVELS[at].0.as_bytes();
        lengths[(name[0] - b'A') as usize] |= 1 << name.len();
        at += 1;
    }
    lengths
};

/// Whether a word has the first letter and the length of a level.
#[inline]
fn may_be_level(word: &[u8]) -> bool {
    let letter = word.first().map_or(0, |first| first.to_ascii_uppercase().wrapping_sub(b'A'));
    word.len() < 16 && LENGTHS.get(usize::from(letter)).is_some_and(|lengths| lengths >> word.len() & 1 == 1)
}

/// The first level in a line: a separate word in capitals (`ERROR`, `[INFO]`), in brackets (`<emerg>`), or
/// the value of a field for it (`level=info`, `"severity":"error"`).
pub(super) fn level(line: &str) -> Option<Level> {
    let bytes = line.as_bytes();
    let head = bytes.get(..bytes.len().min(LEVEL_WITHIN)).unwrap_or_default();
    if !may_have_level(head) {
        return None;
    }
    let mut at = 0;
    while at < head.len() {
        let length =
            head.get(at..).unwrap_or_default().iter().take_while(|b| b.is_ascii_alphabetic()).count();
        if length == 0 {
            at += 1;
            continue;
        }
        let (start, end) = (at, at + length);
        at = end;
        let Some(word) = head.get(start..end).filter(|word| may_be_level(word)) else { continue };
        let before = start.checked_sub(1).and_then(|at| head.get(at));
        let behind = bytes.get(end);
        let known = |(name, _): &&(&str, Level)| name.as_bytes().eq_ignore_ascii_case(word);
        let Some((name, level)) = LEVELS.iter().find(known) else { continue };
        let alone =
            matches!(before, None | Some(b' ' | b'\t' | b'[' | b'(' | b'<' | b'|' | b'=' | b':' | b'"'))
                && matches!(
                    behind,
                    None | Some(b' ' | b'\t' | b']' | b')' | b'>' | b'|' | b':' | b'"' | b',')
                );
        let enclosed = matches!((before, behind), (Some(b'['), Some(b']')) | (Some(b'<'), Some(b'>')));
        let is_none =
            *level == Level::Error && (says_none(line, start, end) || is_in_a_name(line, start, end));
        if is_none {
            continue;
        }
        if alone && (word == name.as_bytes() || enclosed || is_value_of_level(head, start)) {
            return Some(*level);
        }
    }
    None
}

/// Whether a text has what each level has: two capitals side by side, a bracket before it, or the `v` of a field's name.
/// Most lines have none of them.
fn may_have_level(head: &[u8]) -> bool {
    let mut last = 0;
    blocks(head).any(|(_, bytes)| {
        let capitals = bytes.within(b'A', b'Z');
        let pairs = capitals & (capitals << 1 | last);
        last = capitals >> 63;
        pairs | bytes.equal(b'[') | bytes.equal(b'<') | bytes.equal(b'v') | bytes.equal(b'V') != 0
    })
}

/// Whether the text at `start` is the value of a field for levels.
fn is_value_of_level(line: &[u8], start: usize) -> bool {
    const NAMES: [&[u8]; 3] = [b"level", b"lvl", b"severity"];
    let name = line.get(..start).unwrap_or_default();
    let marks = name.iter().rev().take_while(|b| matches!(b, b'"' | b':' | b'=' | b' ')).count();
    let name = name.get(..name.len() - marks).unwrap_or_default();
    marks > 0
        && NAMES.iter().any(|known| {
            let tail = name.len().checked_sub(known.len()).and_then(|from| name.get(from..));
            tail.is_some_and(|tail| tail.eq_ignore_ascii_case(known))
        })
}
