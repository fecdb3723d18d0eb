//! The lines of a text as the model sees it, read once for everything that compares lines.

use crate::hash::hash;
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
}

impl Line {
    /// A line that says `text[content..end]`.
    pub(crate) fn new(text: &str, start: usize, content: usize, end: usize, role: Role) -> Self {
        let said = &text[content..end];
        Self { start, end, content, role, bare: said.trim_ascii_start().len(), hash: hash(said.as_bytes()) }
    }

    /// The whole line.
    pub(crate) fn text<'t>(&self, text: &'t str) -> &'t str {
        &text[self.start..self.end]
    }
}

/// The lines of a text.
pub(crate) fn of(text: &str) -> Vec<Line> {
    let mut lines = Vec::with_capacity(memchr::memchr_iter(b'\n', text.as_bytes()).count() + 1);
    let read = Reader::new(text);
    lines.extend(read.map(|line| Line::new(text, line.start, line.content, line.end, line.role)));
    lines
}
