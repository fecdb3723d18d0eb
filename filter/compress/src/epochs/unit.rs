//! What decides about an output when it is old, and what was said recently.

use std::sync::Arc;

use headroom_providers::tape::Span;
use xxhash_rust::xxh3::xxh3_64;

use crate::ccr;
use crate::kinds::signal::floor_char_boundary;

/// Of each text so many bytes are looked at.
const READ: usize = 16 << 10;
/// Words of an output that are compared with others: those with the smallest hashes, which are a fair sample.
const SAMPLE: usize = 64;
/// Bytes of what was said of late.
const SAID: usize = 64 << 10;

/// What decides about an output when it is old.
#[derive(Debug)]
pub(crate) struct Unit {
    /// Of the whole text.
    pub(crate) address: Arc<str>,
    pub(crate) lines: u32,
    /// It reports a failure.
    pub(super) fails: bool,
    /// The share of its words that are new when they come, in thousandths.
    pub(super) density: u32,
    words: Box<[u32]>,
}

impl Unit {
    pub(crate) fn new(text: &str, fails: bool) -> Self {
        let mut words: Vec<u32> = words(start(text)).collect();
        let all = words.len().max(1);
        words.sort_unstable();
        words.dedup();
        let density = u32::try_from(words.len() * 1_000 / all).unwrap_or(1_000);
        words.truncate(SAMPLE);
        let lines = text.lines().count().max(1);
        Self {
            address: ccr::address(text).into(),
            lines: u32::try_from(lines).unwrap_or(u32::MAX),
            fails,
            density,
            words: words.into_boxed_slice(),
        }
    }

    /// What it costs.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.address.len() + size_of_val(&*self.words)
    }
}

/// How many of an output's words are among these, which are sorted, in thousandths.
pub(super) fn semantic(unit: &Unit, recent: &[u32]) -> u64 {
    let found = unit.words.iter().filter(|word| recent.binary_search(word).is_ok()).count();
    (found * 1_000 / unit.words.len().max(1)) as u64
}

/// What user and model have said, and in which turn of the model.
#[derive(Debug, Default)]
pub(super) struct Utterances(Vec<(Span, u32)>);

impl Utterances {
    pub(super) fn add(&mut self, span: Span, turn: u32) {
        self.0.push((span, turn));
    }

    /// The words of the last turns, sorted.
    pub(super) fn words(&self, body: &str, turn: u32, turns: u32) -> Vec<u32> {
        let late = self.0.iter().rev().take_while(|(_, said)| said.saturating_add(turns) > turn);
        let mut found = Vec::new();
        let mut bytes = 0;
        for (span, _) in late {
            if bytes >= SAID {
                break;
            }
            let text = span.reading(body).unwrap_or_default();
            let text = start(&text);
            bytes += text.len();
            found.extend(words(text));
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn start(text: &str) -> &str {
    text.get(..floor_char_boundary(text, READ)).unwrap_or_default()
}

/// The words of a text as numbers, whatever their case.
fn words(text: &str) -> impl Iterator<Item = u32> {
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| word.len() >= 3);
    words.map(|word| {
        let lower = word.to_ascii_lowercase();
        u32::try_from(xxh3_64(lower.as_bytes()) >> 32).unwrap_or_default()
    })
}

/// The first and the last lines of a text; `None` where they are more than a third of it.
pub(super) fn ends(text: &str, lines: usize) -> Option<(&str, &str)> {
    // Blank lines at the end are lines too.
    let text = text.strip_suffix('\n').unwrap_or(text);
    let head = text.match_indices('\n').nth(lines.checked_sub(1)?)?.0;
    let tail = text.rmatch_indices('\n').nth(lines.checked_sub(1)?)?.0 + 1;
    let (first, last) = (text.get(..head)?, text.get(tail..)?);
    (head < tail && (first.len() + last.len()) * 3 < text.len()).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_text_are_its_first_and_last_lines() {
        let text: String = (1..=100).map(|line| format!("line {line}\n")).collect();
        assert_eq!(ends(&text, 2), Some(("line 1\nline 2", "line 99\nline 100")));
        assert_eq!(ends("a\nb\nc\nd", 2), None);
        assert_eq!(ends("", 8), None);
        assert_eq!(ends("one line", 1), None);
        let padded = format!("{text}\n\n\n");
        assert_eq!(ends(&padded, 2), Some(("line 1\nline 2", "\n")), "blank lines are lines");
        let returned = text.replace('\n', "\r\n");
        assert_eq!(ends(&returned, 2), Some(("line 1\r\nline 2\r", "line 99\r\nline 100\r")));
    }

    #[test]
    fn words_are_compared_whatever_their_case() {
        let unit = Unit::new("Alpha beta alpha GAMMA\nit", false);
        assert_eq!((unit.lines, unit.density), (2, 750));
        let mut recent: Vec<u32> = words("ALPHA gamma delta").collect();
        recent.sort_unstable();
        assert_eq!(semantic(&unit, &recent), 666);
        assert_eq!(semantic(&Unit::new("", true), &recent), 0);
    }
}
