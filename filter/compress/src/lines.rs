//! The lines of a text as the model sees it, read once for everything that compares lines.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use xxhash_rust::xxh3::xxh3_64;

use crate::kinds::numbered::region::{Reader, Role};

/// A line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Line {
    /// Where it starts and ends in the text, without line end.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Where what it says starts: behind its number, if it carries one.
    pub(crate) content: usize,
    pub(crate) role: Role,
    /// The bytes of what it says without indentation.
    pub(crate) bare: usize,
    /// The hash of what it says.
    pub(crate) hash: u64,
    /// The last line before it with this hash.
    pub(crate) before: Option<u32>,
}

impl Line {
    /// A line that says `text[content..end]`.
    pub(crate) fn new(text: &str, start: usize, content: usize, end: usize, role: Role) -> Self {
        let said = &text[content..end];
        let (bare, hash) = (said.trim_ascii_start().len(), xxh3_64(said.as_bytes()));
        Self { start, end, content, role, bare, hash, before: None }
    }

    /// The whole line.
    pub(crate) fn text<'t>(&self, text: &'t str) -> &'t str {
        &text[self.start..self.end]
    }
}

/// The lines of a text, which has fewer than a `u32` counts.
pub(crate) fn of(text: &str) -> Vec<Line> {
    let count = memchr::memchr_iter(b'\n', text.as_bytes()).count() + 1;
    let mut lines: Vec<Line> = Vec::with_capacity(count);
    let mut newest: HashTable<u32> = HashTable::with_capacity(count);
    for (at, line) in (0..).zip(Reader::new(text)) {
        let mut line = Line::new(text, line.start, line.content, line.end, line.role);
        let hash_of = |at: &u32| lines[*at as usize].hash;
        match newest.entry(line.hash, |other| hash_of(other) == line.hash, hash_of) {
            Entry::Vacant(place) => drop(place.insert(at)),
            Entry::Occupied(mut place) => line.before = Some(std::mem::replace(place.get_mut(), at)),
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_line_is_what_a_reader_reads_and_knows_the_last_like_it(
            parts in prop::collection::vec("a|b|  a|\n|\n\n|\\[lines 3-5, every 2th numbered\\]\n     3\u{2192}a\n|4|\\[lines ", 0..30)
        ) {
            let text = parts.concat();
            let lines = of(&text);
            let read: Vec<_> = Reader::new(&text).collect();
            prop_assert_eq!(lines.len(), read.len());
            for (at, (line, read)) in lines.iter().zip(&read).enumerate() {
                prop_assert_eq!((line.start, line.content, line.end, line.role), (read.start, read.content, read.end, read.role));
                let says = |line: &Line| &text[line.content..line.end];
                let before = (0..at).rev().find(|before| says(&lines[*before]) == says(line));
                prop_assert_eq!(line.before.map(|before| before as usize), before);
                prop_assert_eq!(line.bare, says(line).trim_start().len());
            }
        }
    }
}
