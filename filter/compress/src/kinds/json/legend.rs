//! Output text, and the strings in it that get a name.
//!
//! Strings are set aside while the text is written. At the end, beginnings that many of them share (up to a
//! separator, or whole strings) are weighed by tokens. The best get a line `$1=…` at the top, and strings
//! that start with one are written as `$1…`. The work is linear in the text: hashes of the beginnings are
//! counted once, and only the best few dozen are checked again.

#![allow(
    clippy::indexing_slicing,
    reason = "marks and candidates are numbered by the lists that they stand in"
)]

use std::borrow::Cow;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use headroom_providers::sort;

use super::spell;
use crate::tokens::Encoding;

/// Shorter strings are written at once.
const MIN_BYTES: usize = 12;

/// Shorter beginnings get no name: they save little, and an agent copies paths of a project or host into its
/// next call. Whole strings may be shorter, because they are still shown once.
const MIN_BEGINNING: usize = 32;

/// The most beginnings per string that are counted: later separators are deep inside a path or in prose.
const MAX_CUTS: usize = 12;

/// Beginnings that are weighed exactly.
const MAX_CANDIDATES: usize = 64;

/// The most names per document: the reader has to remember each one.
const MAX_NAMES: usize = 12;

/// Tokens that a name has to save after the cost of its own line.
const MIN_GAIN: usize = 24;

/// Tokens of `$1` in place of the text, and of `$1=` and the line end at the top.
const NAME_TOKENS: usize = 2;
const LINE_TOKENS: usize = 4;

#[derive(Debug)]
struct Mark<'a> {
    /// The position of the string in the buffer.
    at: usize,
    text: Cow<'a, str>,
    /// A name may replace at most this many bytes at the start of the text; only the whole text if it is
    /// quoted.
    limit: usize,
    quoted: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Legend<'a> {
    buffer: String,
    marks: Vec<Mark<'a>>,
}

struct Candidate<'m> {
    text: &'m str,
    quoted: bool,
    tokens: usize,
    chosen: bool,
}

impl<'a> Legend<'a> {
    /// Reserves room for this many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { buffer: String::with_capacity(bytes), marks: Vec::new() }
    }

    pub(crate) fn push(&mut self, c: char) {
        self.buffer.push(c);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.buffer.push_str(text);
    }

    pub(crate) fn quoted(&mut self, text: &str) {
        spell::quote(&mut self.buffer, text);
    }

    /// Writes a string value.
    pub(crate) fn string(&mut self, text: Cow<'a, str>) {
        let quoted = !spell::bare(&text);
        if text.len() >= MIN_BYTES {
            let limit = text.len();
            self.marks.push(Mark { at: self.buffer.len(), text, limit, quoted });
        } else if quoted {
            self.quoted(&text);
        } else {
            self.text(&text);
        }
    }

    /// Writes bare text of which only `prefix` may get a name.
    pub(crate) fn prefixed(&mut self, prefix: &str, rest: &str) {
        let text = Cow::Owned(format!("{prefix}{rest}"));
        self.marks.push(Mark { at: self.buffer.len(), text, limit: prefix.len(), quoted: false });
    }

    /// The text with every string in full.
    pub(crate) fn without_legend(self) -> String {
        self.spelled(&[], |_| None)
    }

    /// The text, with names for strings where that saves tokens.
    pub(crate) fn finish(self, encoding: Encoding) -> String {
        let mut candidates = self.candidates(encoding);
        if candidates.is_empty() {
            return self.spelled(&[], |_| None);
        }
        let found: HashMap<(u64, usize), usize, FixedState> =
            candidates.iter().enumerate().map(|(at, c)| ((hash(c.text), c.text.len()), at)).collect();
        // For each string, the candidates that it starts with, and the one that it equals.
        let mut wholes: Vec<u64> = Vec::with_capacity(self.marks.len());
        let mut masks: Vec<u64> = Vec::with_capacity(self.marks.len());
        for mark in &self.marks {
            let (mut whole, mut mask) = (0, 0);
            mark.cuts(|length, hash| {
                if let Some(&at) = found.get(&(hash, length))
                    && candidates[at].quoted == mark.quoted
                    && mark.text.starts_with(candidates[at].text)
                {
                    mask |= 1 << at;
                    whole |= u64::from(length == mark.text.len()) << at;
                }
            });
            wholes.push(whole);
            masks.push(mask);
        }
        // Whole strings first: a string with its own name is still in the text in full.
        choose(&mut candidates, &wholes);
        choose(&mut candidates, &masks);
        let chosen: u64 =
            candidates.iter().enumerate().filter(|(_, c)| c.chosen).map(|(at, _)| 1 << at).sum();
        let longest = |mask: u64| {
            (0..candidates.len())
                .filter(|at| mask & chosen & (1 << at) != 0)
                .max_by_key(|&at| candidates[at].text.len())
        };
        // Numbered in the order in which the reader meets them.
        let mut names: Vec<usize> = Vec::new();
        let uses: Vec<Option<usize>> = masks
            .iter()
            .map(|&mask| {
                let at = longest(mask)?;
                Some(names.iter().position(|&n| n == at).unwrap_or_else(|| {
                    names.push(at);
                    names.len() - 1
                }))
            })
            .collect();
        let named: Vec<(&str, bool)> =
            names.iter().map(|&at| (candidates[at].text, candidates[at].quoted)).collect();
        self.spelled(&named, |mark| uses[mark])
    }

    fn spelled(&self, names: &[(&str, bool)], used: impl Fn(usize) -> Option<usize>) -> String {
        let strings: usize = self.marks.iter().map(|mark| mark.text.len() + 2).sum();
        let mut out = String::with_capacity(self.buffer.len() + strings);
        for (number, (text, quoted)) in names.iter().enumerate() {
            out.push('$');
            out.push_str(&(number + 1).to_string());
            out.push('=');
            if *quoted {
                spell::quote(&mut out, text)
            } else {
                out.push_str(text)
            }
            out.push('\n');
        }
        let mut from = 0;
        for (at, mark) in self.marks.iter().enumerate() {
            out.push_str(self.buffer.get(from..mark.at).unwrap_or_default());
            from = mark.at;
            match used(at) {
                Some(number) => {
                    out.push('$');
                    out.push_str(&(number + 1).to_string());
                    out.push_str(mark.text.get(names[number].0.len()..).unwrap_or_default());
                }
                None if mark.quoted => spell::quote(&mut out, &mark.text),
                None => out.push_str(&mark.text),
            }
        }
        out.push_str(self.buffer.get(from..).unwrap_or_default());
        out
    }

    fn candidates(&self, encoding: Encoding) -> Vec<Candidate<'_>> {
        let mut counts: HashMap<(u64, usize), (usize, usize), FixedState> =
            HashMap::with_hasher(FixedState::default());
        for (at, mark) in self.marks.iter().enumerate() {
            mark.cuts(|length, hash| counts.entry((hash, length)).or_insert((0, at)).0 += 1);
        }
        let mut worth: Vec<(usize, usize, usize)> = counts
            .iter()
            .filter(|(_, (count, _))| *count >= 2)
            .map(|(&(_, length), &(count, at))| ((count - 1) * length, at, length))
            .filter(|&(bytes, ..)| bytes >= MIN_GAIN * 2)
            .collect();
        sort::by(&mut worth, |a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)).then(b.2.cmp(&a.2)));
        worth.truncate(MAX_CANDIDATES);
        worth
            .iter()
            .map(|&(_, at, length)| {
                let mark = &self.marks[at];
                let text = mark.text.get(..length).unwrap_or_default();
                Candidate { text, quoted: mark.quoted, tokens: encoding.count(text), chosen: false }
            })
            .collect()
    }
}

/// Chooses the beginnings that save most, one by one, each on what is left.
fn choose(candidates: &mut [Candidate<'_>], masks: &[u64]) {
    let mut groups: HashMap<u64, usize, FixedState> = HashMap::with_hasher(FixedState::default());
    for &mask in masks.iter().filter(|&&mask| mask != 0) {
        *groups.entry(mask).or_insert(0) += 1;
    }
    let mut groups: Vec<(u64, usize)> = groups.into_iter().collect();
    sort::ascending(&mut groups);
    // Tokens that the best chosen beginning saves in each string of the group.
    let mut saved: Vec<usize> = groups
        .iter()
        .map(|(mask, _)| {
            let chosen = candidates.iter().enumerate().filter(|(at, c)| c.chosen && mask & (1 << at) != 0);
            chosen.map(|(_, c)| c.tokens.saturating_sub(NAME_TOKENS)).max().unwrap_or(0)
        })
        .collect();
    for _ in candidates.iter().filter(|c| c.chosen).count()..MAX_NAMES {
        let mut best = (MIN_GAIN, None);
        for (at, candidate) in candidates.iter().enumerate().filter(|(_, c)| !c.chosen) {
            let each = candidate.tokens.saturating_sub(NAME_TOKENS);
            let gain: usize = groups
                .iter()
                .zip(&saved)
                .filter(|((mask, _), _)| mask & (1 << at) != 0)
                .map(|((_, count), saved)| count * each.saturating_sub(*saved))
                .sum();
            let gain = gain.saturating_sub(candidate.tokens + LINE_TOKENS);
            if gain > best.0 {
                best = (gain, Some(at));
            }
        }
        let Some(at) = best.1 else { break };
        candidates[at].chosen = true;
        let each = candidates[at].tokens.saturating_sub(NAME_TOKENS);
        for ((mask, _), saved) in groups.iter().zip(&mut saved) {
            if mask & (1 << at) != 0 {
                *saved = each.max(*saved);
            }
        }
    }
}

impl Mark<'_> {
    /// Calls `found` with the length and the hash of every beginning that may get a name.
    fn cuts(&self, mut found: impl FnMut(usize, u64)) {
        let mut hash = SEED;
        if !self.quoted {
            // Times and numbers: a part of one is harder to read than the whole, and hides a value.
            let mut cuts = if self.text.starts_with(|c: char| c.is_ascii_digit()) { MAX_CUTS } else { 0 };
            for (at, byte) in self.text.bytes().enumerate().take(self.limit) {
                if at >= MIN_BEGINNING
                    && cuts < MAX_CUTS
                    && matches!(byte, b'/' | b':' | b'=' | b'?' | b'#' | b'&' | b'@' | b' ' | b'{')
                {
                    // A name ends at a separator of the text, so no digit can follow it.
                    cuts += 1;
                    found(at, hash);
                }
                if matches!(byte, b'(' | b'[' | b'{') {
                    // Brackets stay together, in the named part or after it.
                    cuts = MAX_CUTS;
                }
                hash = step(hash, byte);
            }
            if self.limit == self.text.len() && self.limit >= MIN_BYTES {
                found(self.limit, hash);
            }
        } else {
            found(self.text.len(), self.text.bytes().fold(hash, step));
        }
    }
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;

fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
}

fn hash(text: &str) -> u64 {
    text.bytes().fold(SEED, step)
}
