//! Reads tags: their ends, names and attributes.

use memchr::memmem;

/// The position of the next `>`, searched once for all the `<` before it.
pub(super) struct TagEnds {
    pub(super) next: Option<usize>,
}

impl TagEnds {
    /// Whether a `>` comes after `at`, and not too far from it.
    pub(super) fn near(&mut self, html: &str, at: usize) -> bool {
        if self.next.is_some_and(|next| next < at) {
            let rest = html.as_bytes().get(at..).unwrap_or_default();
            self.next = memchr::memchr(b'>', rest).map(|i| at + i);
        }
        self.next.is_some_and(|next| next - at <= LONGEST_TAG)
    }
}

/// `<name attributes>`, `</name>`; comments and declarations have no name.
pub(super) struct Tag<'a> {
    pub(super) name: &'a str,
    pub(super) closing: bool,
    pub(super) attributes: &'a str,
}

impl<'a> Tag<'a> {
    /// The tag at the start of `rest`, and the rest after it. `None` if the `<` is text.
    pub(super) fn read(rest: &'a str) -> Option<(Self, &'a str)> {
        let none = |after| Some((Self { name: "", closing: false, attributes: "" }, after));
        if let Some(comment) = rest.strip_prefix("<!--") {
            // A comment that is never closed hides the rest, as in a browser.
            let after = memmem::find(comment.as_bytes(), b"-->")
                .map_or("", |end| comment.get(end + 3..).unwrap_or_default());
            return none(after);
        }
        let inner = rest.get(1..).unwrap_or_default();
        if inner.starts_with(['!', '?']) {
            let after = memchr::memchr(b'>', inner.as_bytes())
                .map_or("", |end| inner.get(end + 1..).unwrap_or_default());
            return none(after);
        }
        let (closing, inner) = match inner.strip_prefix('/') {
            Some(inner) => (true, inner),
            None => (false, inner),
        };
        if !inner.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return None;
        }
        let name = inner.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'-').count();
        let end = tag_end(inner.get(name..).unwrap_or_default())? + name;
        let tag = Self {
            name: inner.get(..name).unwrap_or_default(),
            closing,
            attributes: inner.get(name..end).unwrap_or_default(),
        };
        Some((tag, inner.get(end + 1..).unwrap_or_default()))
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value of an attribute; empty if it has none.
    pub(super) fn attribute(&self, name: &str) -> Option<&'a str> {
        Attributes(self.attributes)
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// The value of an attribute, if it is not empty.
    pub(super) fn said(&self, name: &str) -> Option<&'a str> {
        self.attribute(name).map(str::trim).filter(|value| !value.is_empty())
    }

    /// The number in an attribute, at most `most`.
    pub(super) fn number(&self, name: &str, most: usize) -> Option<usize> {
        self.said(name)?.parse().ok().map(|number: usize| number.min(most))
    }
}

/// Names and values in the order of the tag.
struct Attributes<'a>(&'a str);

impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self
            .0
            .trim_start_matches(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '"' | '\'' | '='));
        let end = rest
            .find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '/' | '>'))
            .unwrap_or(rest.len());
        let (name, behind) = rest.split_at_checked(end)?;
        if name.is_empty() {
            return None;
        }
        let Some(value) = behind.trim_start().strip_prefix('=') else {
            self.0 = behind;
            return Some((name, ""));
        };
        let value = value.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (value, rest) = match quote {
            // A quote that is never closed: the value is everything that is left.
            Some(quote) => value.get(1..).map(|inner| inner.split_once(quote).unwrap_or((inner, "")))?,
            None => value
                .split_at_checked(value.find(|c: char| c.is_ascii_whitespace()).unwrap_or(value.len()))?,
        };
        self.0 = rest;
        Some((name, value))
    }
}

/// The longest tag; anything longer is text. Limits the search for the end of each.
const LONGEST_TAG: usize = 16_000;

/// The end of the tag: the next `>` outside quotes, or any `>` if the quotes are not closed.
fn tag_end(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes().get(..LONGEST_TAG).unwrap_or(rest.as_bytes());
    let mut quote = None;
    for at in memchr::memchr3_iter(b'>', b'"', b'\'', bytes) {
        let Some(&mark) = bytes.get(at) else { break };
        match (quote, mark) {
            (None, b'>') => return Some(at),
            (None, mark) => quote = Some(mark),
            (Some(open), mark) if mark == open => quote = None,
            _ => {}
        }
    }
    memchr::memchr(b'>', bytes)
}

/// The rest after the end of the element `name`, whose content starts `content`.
pub(super) fn behind<'a>(name: &str, content: &'a str) -> &'a str {
    let mut from = 0;
    while let Some(at) =
        content.as_bytes().get(from..).and_then(|rest| memmem::find(rest, b"</")).map(|at| from + at)
    {
        let tail = content.get(at + 2..).unwrap_or_default();
        if tail.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return memchr::memchr(b'>', tail.as_bytes())
                .map_or("", |end| tail.get(end + 1..).unwrap_or_default());
        }
        from = at + 2;
    }
    ""
}
