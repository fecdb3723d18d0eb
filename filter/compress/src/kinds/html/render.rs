//! From tags to text, in one pass.

use memchr::memmem;

use super::entity;

/// Elements whose content is not for readers.
const SILENT: &[&str] = &["script", "style", "svg", "noscript", "template", "iframe", "canvas", "object"];

/// Elements that start on a line of their own.
const BLOCKS: &[&str] = &[
    "p",
    "div",
    "section",
    "article",
    "header",
    "footer",
    "main",
    "nav",
    "aside",
    "ul",
    "ol",
    "dl",
    "dt",
    "dd",
    "li",
    "table",
    "tr",
    "thead",
    "tbody",
    "pre",
    "blockquote",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "form",
    "fieldset",
    "figure",
    "figcaption",
    "details",
    "summary",
    "hr",
    "title",
    "body",
    "option",
];

/// A link's address is shown if it is not longer.
const LONGEST_ADDRESS: usize = 200;

/// The text of a page.
pub(super) fn text_of(html: &str) -> String {
    let mut page = Page::default();
    let mut ends = Ends { next: Some(0) };
    let mut rest = html;
    loop {
        let open = memchr::memchr(b'<', rest.as_bytes()).unwrap_or(rest.len());
        page.text(&rest[..open]);
        rest = &rest[open..];
        if rest.is_empty() {
            break;
        }
        let near = ends.near(html, html.len() - rest.len());
        rest = match near.then(|| Tag::read(rest)).flatten() {
            Some((tag, after)) => page.tag(tag, after),
            None => {
                page.text("<");
                &rest[1..]
            }
        };
    }
    page.out
}

/// Where the next `>` stands, found once for all the `<` before it.
struct Ends {
    next: Option<usize>,
}

impl Ends {
    /// Whether a `>` stands behind `at` and not too far from it.
    fn near(&mut self, html: &str, at: usize) -> bool {
        if self.next.is_some_and(|next| next < at) {
            self.next = memchr::memchr(b'>', &html.as_bytes()[at..]).map(|i| at + i);
        }
        self.next.is_some_and(|next| next - at <= LONGEST_TAG)
    }
}

/// `<name attributes>`, `</name>`; comments and declarations have no name.
struct Tag<'a> {
    name: &'a str,
    closing: bool,
    attributes: &'a str,
}

impl<'a> Tag<'a> {
    /// The tag that `rest` starts with, and what follows it. `None` if the `<` is text.
    fn read(rest: &'a str) -> Option<(Self, &'a str)> {
        let none = |after| Some((Self { name: "", closing: false, attributes: "" }, after));
        if let Some(comment) = rest.strip_prefix("<!--") {
            // a comment that is never closed hides the rest, as in a browser
            let after = memmem::find(comment.as_bytes(), b"-->").map_or("", |end| &comment[end + 3..]);
            return none(after);
        }
        let inner = &rest[1..];
        if inner.starts_with(['!', '?']) {
            let after = memchr::memchr(b'>', inner.as_bytes()).map_or("", |end| &inner[end + 1..]);
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
        let end = tag_end(&inner[name..])? + name;
        let tag = Self { name: &inner[..name], closing, attributes: &inner[name..end] };
        Some((tag, &inner[end + 1..]))
    }

    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    fn attribute(&self, name: &str) -> Option<&'a str> {
        let mut rest = self.attributes;
        while let Some(at) = rest.find(name) {
            let starts = rest[..at].ends_with(|c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\''));
            let value = rest[at + name.len()..].trim_start();
            rest = &rest[at + name.len()..];
            let Some(value) = value.strip_prefix('=').filter(|_| starts).map(str::trim_start) else {
                continue;
            };
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
            return match quote {
                Some(quote) => value[1..].split(quote).next(),
                None => value.split(|c: char| c.is_ascii_whitespace()).next(),
            };
        }
        None
    }
}

/// A tag is not longer; what seems to be one is text. Bounds the search for the end of each.
const LONGEST_TAG: usize = 16_000;

/// Where the tag ends: the next `>` outside quotes, or without regard to quotes if they do not close.
fn tag_end(rest: &str) -> Option<usize> {
    let bytes = &rest.as_bytes()[..rest.len().min(LONGEST_TAG)];
    let mut quote = None;
    for at in memchr::memchr3_iter(b'>', b'"', b'\'', bytes) {
        match (quote, bytes[at]) {
            (None, b'>') => return Some(at),
            (None, mark) => quote = Some(mark),
            (Some(open), mark) if mark == open => quote = None,
            _ => {}
        }
    }
    memchr::memchr(b'>', bytes)
}

#[derive(Default)]
struct Page {
    out: String,
    /// Depth of `pre`.
    verbatim: usize,
    /// White space stands before what comes next.
    blank: bool,
    /// Lists that are open: the number of the next item, where they are numbered.
    lists: Vec<Option<usize>>,
    /// Addresses of the links that are open, if they are shown.
    links: Vec<Option<String>>,
    /// A cell of the row at hand has been written.
    in_row: bool,
    shown: hashbrown::HashSet<String, foldhash::fast::FixedState>,
}

/// Lists are not indented further.
const DEEPEST_LIST: usize = 8;

impl Page {
    fn text(&mut self, raw: &str) {
        if raw.is_empty() {
            return;
        }
        if self.verbatim > 0 {
            entity::decode(raw, &mut self.out);
            return;
        }
        let mut words = raw.split_ascii_whitespace().peekable();
        self.blank |= raw.starts_with(|c: char| c.is_ascii_whitespace());
        while let Some(word) = words.next() {
            self.push_blank();
            entity::decode(word, &mut self.out);
            self.blank = words.peek().is_some();
        }
        self.blank |= raw.ends_with(|c: char| c.is_ascii_whitespace());
    }

    /// Writes the white space before a word, unless a line starts here.
    fn push_blank(&mut self) {
        if std::mem::take(&mut self.blank) && !self.out.is_empty() && !self.out.ends_with(['\n', ' ']) {
            self.out.push(' ');
        }
    }

    fn line(&mut self) {
        self.blank = false;
        let end = self.out.trim_end_matches(' ').len();
        self.out.truncate(end);
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
    }

    /// Takes in a tag; the answer is where reading goes on.
    fn tag<'a>(&mut self, tag: Tag<'a>, after: &'a str) -> &'a str {
        if let Some(name) = SILENT.iter().find(|name| tag.is(name)) {
            return if tag.closing { after } else { behind(name, after) };
        }
        let heading = matches!(tag.name.as_bytes(), [b'h' | b'H', b'1'..=b'6']);
        if tag.is("br") {
            if self.verbatim > 0 { self.out.push('\n') } else { self.line() }
        } else if tag.is("a") {
            self.link(&tag);
        } else if tag.is("pre") {
            self.line();
            self.out.push_str("```\n");
            self.verbatim = if tag.closing { self.verbatim.saturating_sub(1) } else { self.verbatim + 1 };
        } else if tag.is("code") && self.verbatim == 0 {
            self.push_blank();
            self.out.push('`');
        } else if tag.is("td") || tag.is("th") {
            self.cell(tag.closing);
        } else if tag.is("img") {
            if let Some(alt) = tag.attribute("alt").filter(|alt| !alt.is_empty()) {
                self.text(alt);
            }
        } else if BLOCKS.iter().any(|name| tag.is(name)) {
            self.block(&tag, heading);
        }
        after
    }

    fn block(&mut self, tag: &Tag<'_>, heading: bool) {
        if self.verbatim > 0 {
            return;
        }
        if !self.in_row || tag.is("tr") || tag.is("table") {
            self.line();
        } else {
            self.blank = true;
        }
        if tag.is("ul") || tag.is("ol") {
            if tag.closing {
                self.lists.pop();
            } else {
                self.lists.push(tag.is("ol").then_some(1));
            }
        } else if tag.is("tr") {
            self.in_row = false;
        } else if tag.is("li") && !tag.closing {
            let depth = self.lists.len().saturating_sub(1).min(DEEPEST_LIST);
            self.out.extend(std::iter::repeat_n(' ', 2 * depth));
            match self.lists.last_mut() {
                Some(Some(number)) => {
                    self.out.push_str(&format!("{number}. "));
                    *number += 1;
                }
                _ => self.out.push_str("- "),
            }
        } else if heading && !tag.closing {
            let level = usize::from(tag.name.as_bytes()[1] - b'0');
            self.out.extend(std::iter::repeat_n('#', level));
            self.out.push(' ');
        }
    }

    fn cell(&mut self, closing: bool) {
        if closing || self.verbatim > 0 {
            return;
        }
        if std::mem::replace(&mut self.in_row, true) {
            self.blank = false;
            self.out.push_str(" | ");
        }
    }

    /// A link's address is shown the first time, behind its text.
    fn link(&mut self, tag: &Tag<'_>) {
        if tag.closing {
            if let Some(Some(address)) = self.links.pop() {
                self.out.push_str("](");
                self.out.push_str(&address);
                self.out.push(')');
            }
            return;
        }
        let address = tag.attribute("href").filter(|href| {
            let shown =
                !href.starts_with('#') && !href.starts_with("javascript:") && !href.starts_with("data:");
            shown && self.verbatim == 0 && !href.is_empty() && href.len() <= LONGEST_ADDRESS
        });
        let mut decoded = String::new();
        entity::decode(address.unwrap_or_default(), &mut decoded);
        let first = !decoded.is_empty() && self.shown.insert(decoded.clone());
        if first {
            self.push_blank();
            self.out.push('[');
        }
        self.links.push(first.then_some(decoded));
    }
}

/// What follows the end of the element `name`, whose content starts `content`.
fn behind<'a>(name: &str, content: &'a str) -> &'a str {
    let mut from = 0;
    while let Some(at) = memmem::find(&content.as_bytes()[from..], b"</").map(|at| from + at) {
        let tail = &content[at + 2..];
        if tail.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return memchr::memchr(b'>', tail.as_bytes()).map_or("", |end| &tail[end + 1..]);
        }
        from = at + 2;
    }
    ""
}
