//! The words of a query, as runs of tokens, found in a line in one pass.

use aho_corasick::AhoCorasick;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::kinds::signal::{self, Signal};
use crate::kinds::test_build;

/// The most tokens of a query: one bit each.
const MOST_TOKENS: usize = 64;

/// Longer runs of letters and digits are blobs, not words.
const LONGEST_TOKEN: usize = 64;

/// Words of questions and of markers that name nothing in a text. They count only if the query has no others.
const STOP: &[&str] = &[
    "a", "about", "all", "an", "and", "are", "by", "did", "does", "find", "for", "from", "full", "hash",
    "have", "how", "in", "is", "it", "left", "like", "line", "many", "me", "more", "of", "on", "or", "other",
    "out", "row", "show", "shown", "text", "that", "the", "their", "them", "there", "these", "they", "this",
    "those", "to", "was", "were", "what", "when", "where", "which", "who", "why", "with",
];

/// A word of the query: tokens in a row.
pub(super) struct Word {
    /// The word as it was asked for.
    text: String,
    pub(super) tokens: Vec<Vec<u8>>,
    /// In `name=value`, the number of tokens of the name.
    name: usize,
}

/// The words to find. Each token of each word has a bit; the last one's bit stands for the whole word.
pub(super) struct Words {
    pub(super) words: Vec<Word>,
    /// The bits of each token.
    masks: HashMap<Vec<u8>, u64, FixedState>,
    /// The same words, found anywhere, not only as tokens.
    parts: Option<AhoCorasick>,
    starts: u64,
    pub(super) ends: u64,
    /// Bits of words that name a class of lines.
    classes: Vec<(u64, Class)>,
    beyond_ascii: bool,
}

/// Classes of lines that markers count under a word. The word need not be in the lines.
#[derive(Clone, Copy)]
enum Class {
    Error,
    Warning,
    Passed,
    Skipped,
    Hunk,
}

impl Class {
    fn has(self, line: &str) -> bool {
        match self {
            Self::Error => signal::classify(line) == Signal::Error,
            Self::Warning => signal::classify(line) == Signal::Warning,
            Self::Passed => test_build::is_routine(line),
            Self::Skipped => test_build::is_skipped(line),
            Self::Hunk => line.starts_with("@@"),
        }
    }
}

/// What a piece of text has in common with a query.
#[derive(Clone, Copy, Default)]
pub(super) struct Scan {
    /// Words found, by their last bit.
    pub(super) found: u64,
    /// Tokens found.
    pub(super) seen: u64,
    /// The number of tokens in the text.
    pub(super) length: u64,
}

impl Words {
    pub(super) fn of(query: &str) -> Option<Self> {
        let (mut words, mut stops, mut tokens) = (Vec::new(), Vec::new(), 0);
        for text in query.split_ascii_whitespace().flat_map(|word| word.split("..")) {
            let word = Word::of(text);
            let known = |other: &Word| other.tokens == word.tokens;
            if word.tokens.is_empty() || words.iter().any(known) || tokens + word.tokens.len() > MOST_TOKENS {
                continue;
            }
            if word.is_stop() {
                stops.push(word);
            } else {
                tokens += word.tokens.len();
                words.push(word);
            }
        }
        if words.is_empty() {
            stops.truncate(MOST_TOKENS);
            words = stops;
        }
        Self::new(words)
    }

    fn new(words: Vec<Word>) -> Option<Self> {
        if words.is_empty() {
            return None;
        }
        let mut all = Self {
            masks: HashMap::with_hasher(FixedState::default()),
            parts: None,
            starts: 0,
            ends: 0,
            classes: Vec::new(),
            beyond_ascii: words.iter().any(|word| !word.text.is_ascii()),
            words,
        };
        let mut bit = 1u64;
        for word in &all.words {
            all.starts |= bit;
            let mut last = bit;
            for token in &word.tokens {
                *all.masks.entry(token.clone()).or_insert(0) |= bit;
                last = bit;
                bit <<= 1;
            }
            all.ends |= last;
            match word.tokens.as_slice() {
                [only] if only == b"error" || only == b"failure" || only == b"failed" => {
                    all.classes.push((last, Class::Error));
                }
                [only] if only == b"warning" => all.classes.push((last, Class::Warning)),
                [only] if only == b"passed" || only == b"done" => all.classes.push((last, Class::Passed)),
                [only] if only == b"skipped" => all.classes.push((last, Class::Skipped)),
                [only] if only == b"hunk" => all.classes.push((last, Class::Hunk)),
                _ => {}
            }
        }
        Some(all)
    }

    /// The same words as parts of other words.
    pub(super) fn as_parts(&self) -> Option<Self> {
        let words = self
            .words
            .iter()
            .take(MOST_TOKENS)
            .map(|word| word.text.trim_matches(is_mark))
            .filter(|word| !word.is_empty());
        let words: Vec<Word> = words
            .map(|text| Word { text: text.to_owned(), tokens: vec![text.as_bytes().to_vec()], name: 0 })
            .collect();
        let parts = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(words.iter().map(|word| word.text.as_bytes()))
            .ok()?;
        Some(Self { parts: Some(parts), classes: Vec::new(), ..Self::new(words)? })
    }

    /// For each `name=value` that no line contains, searches for the value alone: in a table the name is
    /// elsewhere. Returns whether there was one.
    pub(super) fn drop_names(&mut self, found: u64) -> bool {
        let mut any = false;
        let mut words = std::mem::take(&mut self.words);
        let mut bit = 1u64;
        for word in &mut words {
            bit <<= word.tokens.len().saturating_sub(1);
            if word.name > 0 && word.name < word.tokens.len() && found & bit == 0 {
                word.tokens.drain(..word.name);
                word.text = word.text.split_once('=').map_or(String::new(), |(_, value)| value.to_owned());
                word.name = 0;
                any = true;
            }
            bit <<= 1;
        }
        if let Some(again) = Self::new(words) {
            *self = again;
        }
        any
    }

    pub(super) fn scan(&self, text: &str) -> Scan {
        let mut scan = Scan::default();
        if let Some(parts) = &self.parts {
            for found in parts.find_overlapping_iter(text) {
                scan.found |= 1 << (found.pattern().as_u64() % 64);
            }
            scan.seen = scan.found;
            scan.length = text.len() as u64 / 6;
            return scan;
        }
        let mut state = 0u64;
        let mut lower = [0u8; LONGEST_TOKEN];
        for token in tokens(text) {
            scan.length += 1;
            let mask = match lower.get_mut(..token.len()) {
                None => 0,
                Some(_) if !token.is_ascii() && !self.beyond_ascii => 0,
                Some(_) if !token.is_ascii() => self.masks.get(&normal(token)).copied().unwrap_or(0),
                Some(lower) => {
                    lower.copy_from_slice(token.as_bytes());
                    lower.make_ascii_lowercase();
                    self.masks.get(stem(lower)).copied().unwrap_or(0)
                }
            };
            state = (state << 1 | self.starts) & mask;
            scan.found |= state & self.ends;
            scan.seen |= mask;
        }
        for (bit, class) in &self.classes {
            if scan.found & bit == 0 && class.has(text) {
                scan.found |= bit;
                scan.seen |= bit;
            }
        }
        scan
    }
}

impl Word {
    fn of(text: &str) -> Self {
        let all = |text: &str| {
            tokens(text).filter(|token| token.len() <= LONGEST_TOKEN).map(normal).collect::<Vec<_>>()
        };
        let name = text.split_once('=').map_or(0, |(name, _)| all(name).len());
        Self { text: text.to_owned(), tokens: all(text), name }
    }

    fn is_stop(&self) -> bool {
        let [only] = self.tokens.as_slice() else { return false };
        only.starts_with(b"headroom") || STOP.iter().any(|stop| stem(stop.as_bytes()) == only.as_slice())
    }
}

fn is_mark(c: char) -> bool {
    !c.is_alphanumeric()
}

/// Runs of letters, digits and characters beyond ASCII.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && c != '_')
        .filter(|token| !token.is_empty())
}

/// A token in the form that is compared.
fn normal(token: &str) -> Vec<u8> {
    let mut lower = token.to_lowercase().into_bytes();
    let length = stem(&lower).len();
    lower.truncate(length);
    lower
}

/// `errors` as `error`.
fn stem(token: &[u8]) -> &[u8] {
    match token {
        [stem @ .., before, b's'] if stem.len() >= 2 && *before != b's' => {
            token.split_last().map_or(token, |(_, rest)| rest)
        }
        _ => token,
    }
}
