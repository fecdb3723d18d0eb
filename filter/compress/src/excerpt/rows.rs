//! The rows of a JSON text: the items of its main list, found without reading it into memory.
//!
//! Only the structure is followed: brackets, quotes and commas. That is enough to find rows in one pass with
//! a few numbers of state. A text that is not JSON is recognized by the bytes between its values.

use std::ops::Range;

use headroom_providers::string;

use super::lines;

/// How many line starts are tried as the start of a document.
const MAX_STARTS: usize = 4;

/// The documents have to be at least this percentage of the text: otherwise the text consists of its lines.
const LEAST_COVERED: usize = 60;

/// How many levels of objects and one-item lists are searched for a list: `{"data": {"items": […]}}`.
const MAX_LEVELS: usize = 6;

/// An object with this many members, nearly all of one type, is a list whose keys are data.
const FEWEST_KEYS: usize = 10;

/// The longest label before a document, in bytes.
const LONGEST_LABEL: usize = 40;

/// The main content of a JSON text.
#[derive(Debug)]
pub(super) enum MainContent {
    Rows(Rows),
    /// One string, with its quotes, that contains most of the text.
    Text(Range<usize>),
}

/// The place of the rows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Rows {
    /// The content between the brackets of their list, or all documents.
    inside: Range<usize>,
    list: List,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum List {
    Documents,
    Array,
    Object,
}

impl Rows {
    /// The rows as they are spelled; those of an object with their keys.
    pub(super) fn spans<'t>(&self, text: &'t str) -> impl Iterator<Item = Range<usize>> + use<'t> {
        Members::new(text.as_bytes(), self).map_while(|member| Some(member?.whole))
    }

    /// Whether each row fits into a page, and each line that does not fit has rows.
    pub(super) fn fit(&self, text: &str, page: usize) -> bool {
        let mut rows = self.spans(text);
        self.spans(text).all(|row| row.len() <= page)
            && lines(text)
                .filter(|line| line.len() > page)
                .all(|line| rows.find(|row| row.start >= line.start).is_some_and(|row| row.end <= line.end))
    }

    /// The numbers of the first and the last row in a range.
    pub(super) fn inside(&self, text: &str, range: &Range<usize>) -> Option<(usize, usize)> {
        let rows = self.spans(text).enumerate();
        let mut rows = rows.filter(|(_, row)| range.start <= row.start && row.end <= range.end);
        let (first, _) = rows.next()?;
        Some((first, rows.last().map_or(first, |(last, _)| last)))
    }
}

/// The main content of a text's documents; `None` if it is not JSON, or has no rows.
pub(super) fn find(text: &str) -> Option<MainContent> {
    let bytes = text.as_bytes();
    let mut at = label(text);
    for _ in 0..MAX_STARTS {
        at = next_start(bytes, at)?;
        if (bytes.len() - at) * 100 < bytes.len() * LEAST_COVERED {
            return None;
        }
        if let Some((count, span)) = documents(bytes, at)
            && span.len() * 100 >= bytes.len() * LEAST_COVERED
        {
            return match count {
                1 => about(bytes, span),
                _ => Some(MainContent::Rows(Rows { inside: span, list: List::Documents })),
            };
        }
        at = line_end(bytes, at);
    }
    None
}

/// The length of a label such as `Output: ` before a document.
fn label(text: &str) -> usize {
    let line = text.lines().next().unwrap_or_default();
    match line.split_once(": ") {
        Some((label, rest)) if rest.starts_with(['{', '[']) => {
            let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'_' | b'-');
            if label.len() <= LONGEST_LABEL && label.bytes().all(word) { label.len() + 2 } else { 0 }
        }
        _ => 0,
    }
}

/// The next possible start of a document: a bracket at the start of a line, followed by what JSON allows.
fn next_start(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = skip_spaces(bytes, at);
        let opened = matches!(bytes.get(at)?, b'{' | b'[');
        let next = bytes.get(skip_spaces(bytes, at + 1));
        let json = next
            .is_some_and(|b| matches!(b, b'{' | b'[' | b'"' | b']' | b'}' | b'-' | b't' | b'f' | b'n'))
            || next.is_some_and(u8::is_ascii_digit);
        if opened && json {
            return Some(at);
        }
        at = line_end(bytes, at);
        if at >= bytes.len() {
            return None;
        }
    }
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    memchr::memchr(b'\n', rest).map_or(bytes.len(), |place| at + place + 1)
}

/// How many documents follow each other from `at` on, and their range.
fn documents(bytes: &[u8], at: usize) -> Option<(usize, Range<usize>)> {
    let (mut count, mut end, mut next) = (0, at, at);
    while matches!(bytes.get(next), Some(b'{' | b'[')) {
        let Some(after) = skip_value(bytes, next) else { break };
        count += 1;
        end = after;
        next = skip_spaces(bytes, end);
    }
    (count > 0).then_some((count, at..end))
}

/// The main content of one document: follows its largest value down to a list or a string.
fn about(bytes: &[u8], document: Range<usize>) -> Option<MainContent> {
    let most = document.len() / 2;
    let mut value = document;
    for _ in 0..MAX_LEVELS {
        let list = match bytes.get(value.start)? {
            b'[' => List::Array,
            b'{' => List::Object,
            b'"' => return Some(MainContent::Text(value)),
            _ => return None,
        };
        let rows = Rows { inside: value.start + 1..value.end.checked_sub(1)?, list };
        let (mut count, mut largest) = (0usize, 0..0);
        let mut shapes = [0usize; SHAPES];
        for member in Members::new(bytes, &rows) {
            let member = member?;
            count += 1;
            let shape = bytes.get(member.value.start).map_or(0, |first| shape(*first));
            if let Some(seen) = shapes.get_mut(shape) {
                *seen += 1;
            }
            if member.value.len() > largest.len() {
                largest = member.value;
            }
        }
        let alike = shapes.iter().any(|seen| *seen * 10 >= count * 9);
        let is_list = match list {
            List::Object => count >= FEWEST_KEYS && alike,
            _ => count > 1,
        };
        if is_list {
            return Some(MainContent::Rows(rows));
        }
        // Something else makes up most of the document.
        if largest.len() < most {
            return None;
        }
        value = largest;
    }
    None
}

/// Types of values that are distinguished.
const SHAPES: usize = 6;

/// The type of a value by its first byte.
fn shape(first: u8) -> usize {
    match first {
        b'{' => 0,
        b'[' => 1,
        b'"' => 2,
        b't' | b'f' => 3,
        b'n' => 4,
        _ => 5,
    }
}

/// An item of a list.
struct Member {
    whole: Range<usize>,
    value: Range<usize>,
}

/// The items of a list; the last one is `None` if the list is not JSON.
struct Members<'t> {
    bytes: &'t [u8],
    at: usize,
    end: usize,
    list: List,
}

impl<'t> Members<'t> {
    fn new(bytes: &'t [u8], rows: &Rows) -> Self {
        Self { bytes, at: rows.inside.start, end: rows.inside.end, list: rows.list }
    }

    fn member(&mut self) -> Option<Member> {
        let start = skip_spaces(self.bytes, self.at);
        let mut at = start;
        if self.list == List::Object {
            at = skip_spaces(self.bytes, skip_string(self.bytes, at)?);
            at = skip_spaces(self.bytes, (self.bytes.get(at)? == &b':').then_some(at + 1)?);
        }
        let end = skip_value(self.bytes, at).filter(|end| *end <= self.end)?;
        let next = skip_spaces(self.bytes, end);
        self.at = match self.bytes.get(next) {
            _ if next >= self.end || self.list == List::Documents => next,
            Some(b',') => next + 1,
            _ => return None,
        };
        Some(Member { whole: start..end, value: at..end })
    }
}

impl Iterator for Members<'_> {
    type Item = Option<Member>;

    fn next(&mut self) -> Option<Self::Item> {
        if skip_spaces(self.bytes, self.at) >= self.end {
            return None;
        }
        let member = self.member();
        if member.is_none() {
            self.at = self.end;
        }
        Some(member)
    }
}

fn skip_spaces(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|b| matches!(b, b' ' | b'\n' | b'\r' | b'\t')).count()
}

fn skip_string(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at)? != &b'"' {
        return None;
    }
    string::end(bytes, at + 1).map(|(end, _)| end + 1)
}

/// The end of the value that starts at `at`.
fn skip_value(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => skip_string(bytes, at),
        b'{' | b'[' => {
            let mut depth = 0usize;
            let mut at = at;
            loop {
                let rest = bytes.get(at..)?;
                at += rest.iter().position(|b| matches!(b, b'"' | b'{' | b'[' | b'}' | b']'))?;
                match bytes.get(at)? {
                    b'"' => at = skip_string(bytes, at)?,
                    b'{' | b'[' => {
                        depth += 1;
                        at += 1;
                    }
                    _ => {
                        depth -= 1;
                        at += 1;
                        if depth == 0 {
                            return Some(at);
                        }
                    }
                }
            }
        }
        _ => {
            let scalar = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.');
            let length = bytes.get(at..)?.iter().take_while(scalar).count();
            (length > 0).then_some(at + length)
        }
    }
}
