//! The lines of a text as the model sees it, read once for everything that compares lines.

#![allow(clippy::indexing_slicing, reason = "lines are numbered by the list that they stand in")]

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use xxhash_rust::xxh64::xxh64;

use crate::kinds::numbered::region::{self, Reader};
use crate::work;

/// Whether a text has more than `most` line breaks.
pub(crate) fn has_more_than(text: &str, most: usize) -> bool {
    text.len() > most && memchr::memchr_iter(b'\n', text.as_bytes()).nth(most).is_some()
}

/// The lines of a text without their breaks, as `text.split('\n')` has them; that takes twice as long.
pub(crate) fn split(text: &str) -> Split<'_> {
    Split { text, next: Some(0), breaks: memchr::memchr_iter(b'\n', text.as_bytes()) }
}

/// See [`split`].
#[derive(Clone)]
pub(crate) struct Split<'t> {
    text: &'t str,
    next: Option<usize>,
    breaks: memchr::Memchr<'t>,
}

impl<'t> Iterator for Split<'t> {
    type Item = &'t str;

    #[inline]
    fn next(&mut self) -> Option<&'t str> {
        let start = self.next?;
        let end = self.breaks.next();
        self.next = end.map(|end| end + 1);
        self.text.get(start..end.unwrap_or(self.text.len()))
    }
}

/// A line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Line {
    /// Its position and role.
    pub(crate) read: region::Line,
    /// The bytes of its content without indentation: 0 for a blank line.
    pub(crate) bare: usize,
    /// The hash of its content.
    pub(crate) hash: u64,
    /// The last earlier line with this hash.
    pub(crate) before: Option<u32>,
}

impl Line {
    #[inline]
    pub(crate) fn new(text: &str, read: region::Line) -> Self {
        let said = text.get(read.content..read.end).unwrap_or_default();
        let bare = said.trim_ascii_start();
        // Other white space is rare.
        let is_plain = bare.as_bytes().first().is_none_or(|byte| byte.is_ascii() && *byte != b'\x0b');
        let bare = if is_plain { bare } else { bare.trim_start() };
        Self { read, bare: bare.len(), hash: hash(said), before: None }
    }

    /// The whole line.
    pub(crate) fn text<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.read.start..self.read.end).unwrap_or_default()
    }
}

/// One of the few hashes for short texts that need no products of 128 bits, which WASM does not have.
#[inline]
fn hash(said: &str) -> u64 {
    /// Random, so that a client cannot prepare lines that crowd one place of a table. Nothing else depends on it: lines
    /// are compared before they count as equal. One for all threads, since a memo goes from one to the next.
    static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(()));
    xxh64(said.as_bytes(), *SEED)
}

/// The lines of a text. Their number fits a `u32`.
pub(crate) fn read(text: &str) -> Vec<Line> {
    work::spend(text.len());
    let count = memchr::memchr_iter(b'\n', text.as_bytes()).count() + 1;
    let mut lines: Vec<Line> = Vec::with_capacity(count);
    let mut newest = NewestLines::with_capacity(count);
    for (at, read) in (0..).zip(Reader::new(text)) {
        lines.push(Line::new(text, read));
        let before = newest.replace(at, |line| lines[line as usize].hash);
        lines[at as usize].before = before;
    }
    lines
}

/// The newest line with each hash, by its number. The caller knows the hashes of the lines.
#[derive(Debug, Default)]
pub(crate) struct NewestLines(HashTable<u32>);

impl NewestLines {
    pub(crate) fn with_capacity(lines: usize) -> Self {
        Self(HashTable::with_capacity(lines))
    }

    pub(crate) fn reserve(&mut self, lines: usize, hash_of: impl Fn(u32) -> u64) {
        self.0.reserve(lines, |line| hash_of(*line));
    }

    pub(crate) fn shrink(&mut self, hash_of: impl Fn(u32) -> u64) {
        self.0.shrink_to_fit(|line| hash_of(*line));
    }

    /// The bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.0.allocation_size()
    }

    /// Replaces the last line with the same hash, and returns that.
    #[inline]
    pub(crate) fn replace(&mut self, line: u32, hash_of: impl Fn(u32) -> u64) -> Option<u32> {
        let hash = hash_of(line);
        match self.0.entry(hash, |other| hash_of(*other) == hash, |other| hash_of(*other)) {
            Entry::Occupied(mut place) => Some(std::mem::replace(place.get_mut(), line)),
            Entry::Vacant(place) => {
                place.insert(line);
                None
            }
        }
    }

    #[inline]
    pub(crate) fn get(&self, hash: u64, hash_of: impl Fn(u32) -> u64) -> Option<u32> {
        self.0.find(hash, |line| hash_of(*line) == hash).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_is_split_as_the_standard_library_splits_it(text in "[ab\nä\r]{0,20}") {
            prop_assert!(split(&text).eq(text.split('\n')), "{text:?}");
        }

        #[test]
        fn every_line_is_what_a_reader_reads_and_knows_the_last_like_it(
            parts in prop::collection::vec("a|b|  a|\n|\n\n|\\[lines 3-5, every 2th numbered\\]\n     3\u{2192}a\n|4|\\[lines ", 0..30)
        ) {
            let text = parts.concat();
            let lines = read(&text);
            let read: Vec<_> = Reader::new(&text).collect();
            prop_assert_eq!(lines.len(), read.len());
            for (at, (line, read)) in lines.iter().zip(&read).enumerate() {
                prop_assert_eq!(&line.read, read);
                let says = |line: &Line| &text[line.read.content..line.read.end];
                let before = (0..at).rev().find(|before| says(&lines[*before]) == says(line));
                prop_assert_eq!(line.before.map(|before| before as usize), before);
                prop_assert_eq!(line.bare, says(line).trim_start().len());
            }
        }
    }
}
