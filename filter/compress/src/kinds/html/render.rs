//! From tags to text, in one pass.

use super::entity;
use super::grid::{Grid, Room};
use super::list::Numbering;
use super::tag::{Tag, TagEnds, behind};
use crate::kinds::signal;
use crate::seeded::Seeded;
use crate::work;

/// Elements whose content is not for readers.
const SILENT: &[&str] = &["script", "style", "svg", "noscript", "template", "iframe", "canvas", "object"];

/// Elements that start a new line.
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

/// Elements inside a line that separate values: a reader sees them as boxes.
const BOXES: &[&str] = &[
    "span", "a", "b", "i", "em", "strong", "small", "label", "button", "time", "data", "badge", "kbd",
    "output", "tt", "var", "samp", "mark", "q", "cite", "abbr", "dfn", "slot", "big", "u", "font",
];

/// Attributes in which pages of component libraries keep an element's value.
const WORTHS: &[&str] = &[
    "data-value",
    "data-status",
    "data-state",
    "data-result",
    "data-label",
    "data-title",
    "data-original-title",
    "data-tooltip",
    "data-tip",
    "data-content",
    "data-text",
    "data-count",
    "data-score",
    "data-price",
    "data-date",
    "data-time",
    "data-timestamp",
    "data-error",
    "aria-valuetext",
];

/// Attributes for the states of elements that are fields by their role.
const STATES: &[&str] =
    &["aria-checked", "aria-pressed", "aria-selected", "aria-expanded", "aria-current", "aria-sort"];

/// How many bytes of an attribute are shown.
const LONGEST_NOTE: usize = 300;

/// Deeper nesting of raised, lowered, deleted and inserted text is not marked.
const DEEPEST_MARK: usize = 16;

/// How many bytes after a tag are searched for the text of its element.
const PEEK: usize = 200;

/// Longer addresses of links are not shown.
const LONGEST_ADDRESS: usize = 200;

/// Other elements of HTML.
const OTHERS: &[&str] = &[
    "html", "head", "meta", "link", "base", "img", "br", "td", "th", "s", "sup", "sub", "del", "ins", "code",
    "input", "select", "textarea", "picture", "source", "video", "audio", "caption", "col", "colgroup",
    "tfoot", "legend", "progress", "meter", "center", "path", "g", "use", "wbr", "hgroup", "dialog", "menu",
    "area", "map", "optgroup", "datalist", "address", "math", "mrow", "mi", "mn", "mo",
];

/// Whether this is the name of an HTML element. Elements that pages define have a dash in their name.
pub(super) fn is_known(name: &str) -> bool {
    let is = |known: &&str| known.eq_ignore_ascii_case(name);
    [SILENT, BLOCKS, BOXES, OTHERS].iter().any(|names| names.iter().any(is)) || name.contains('-')
}

/// The text of a page.
pub(super) fn text_of(html: &str) -> String {
    let mut page = Page { room: Room::of(html.len()), ..Page::default() };
    let mut ends = TagEnds { next: Some(0) };
    let mut rest = html;
    loop {
        let open = memchr::memchr(b'<', rest.as_bytes()).unwrap_or(rest.len());
        if work::is_over() {
            break;
        }
        page.text(rest.get(..open).unwrap_or_default());
        rest = rest.get(open..).unwrap_or_default();
        if rest.is_empty() {
            break;
        }
        let near = ends.near(html, html.len() - rest.len());
        rest = match near.then(|| Tag::read(rest)).flatten() {
            Some((tag, after)) => {
                // The attributes are read a few times, once for each that may say something.
                work::spend(4 * tag.attributes.len() + open);
                page.tag(tag, after)
            }
            None => {
                page.text("<");
                rest.get(1..).unwrap_or_default()
            }
        };
    }
    page.out
}

#[derive(Default)]
struct Page {
    out: String,
    /// Depth of `pre`.
    verbatim: usize,
    /// Whether white space comes before the next text.
    blank: bool,
    /// The open lists, with the numbering of their items.
    lists: Vec<Numbering>,
    /// The addresses of the open links, if they are shown.
    links: Vec<Option<String>>,
    /// The open tables.
    grids: Vec<Grid>,
    /// For cells in several columns or rows.
    room: Room,
    /// The closing text of each raised, lowered, deleted or inserted text that is open.
    marks: Vec<(&'static str, &'static str)>,
    /// Whether one box ended and another began exactly here.
    joint: bool,
    /// Whether the last element was a box, and nothing came after it yet.
    boxed: bool,
    /// Whether a tag is between the last written text and the next one.
    parted: bool,
    /// The name of the hidden element, and how many of that name are open in it.
    hidden: Option<(String, usize)>,
    shown: hashbrown::HashSet<String, Seeded>,
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
        self.boxed = false;
        let meets = raw.starts_with(char::is_alphanumeric) && self.out.ends_with(char::is_alphanumeric);
        // Digits of two elements are two numbers.
        let are_numbers = raw.starts_with(char::is_numeric) || self.out.ends_with(char::is_numeric);
        let (joint, parted) = (std::mem::take(&mut self.joint), std::mem::take(&mut self.parted));
        if meets && (joint || parted && are_numbers) {
            self.blank = true;
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

    /// Writes the white space before a word, unless it would be at the start of a line.
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

    /// Handles a tag. Returns the rest from which reading goes on.
    fn tag<'a>(&mut self, tag: Tag<'a>, after: &'a str) -> &'a str {
        if let Some(name) = SILENT.iter().find(|name| tag.is(name)) {
            if tag.closing {
                return after;
            }
            self.parted = true;
            let rest = behind(name, after);
            if *name == "svg" {
                let inside = after.get(..after.len() - rest.len()).unwrap_or_default();
                self.picture(&tag, inside);
            }
            return rest;
        }
        if tag.is("math") && !tag.closing {
            return self.formula(&tag, after);
        }
        if tag.closing {
            self.end_hidden(&tag);
        }
        // Raised or lowered text belongs to the text around it, and a number may be broken where the page
        // says so.
        self.parted |=
            !tag.name.is_empty() && !tag.is("wbr") && !["sup", "sub"].iter().any(|name| tag.is(name));
        let is_box = BOXES.iter().any(|name| tag.is(name));
        if is_box && tag.closing {
            self.boxed = true;
        } else if is_box {
            self.joint = std::mem::take(&mut self.boxed);
        }
        let heading = matches!(tag.name.as_bytes(), [b'h' | b'H', b'1'..=b'6']);
        if tag.is("br") {
            match (self.verbatim > 0, self.in_row()) {
                (true, _) => self.out.push('\n'),
                // The row continues.
                (false, true) => self.blank = true,
                (false, false) => self.line(),
            }
        } else if tag.is("a") {
            self.link(&tag, after);
        } else if tag.is("pre") {
            self.line();
            self.out.push_str("```\n");
            self.verbatim = if tag.closing { self.verbatim.saturating_sub(1) } else { self.verbatim + 1 };
        } else if tag.is("code") && self.verbatim == 0 {
            self.push_blank();
            self.out.push('`');
        } else if tag.is("td") || tag.is("th") {
            self.cell(&tag);
        } else if tag.is("img") || tag.is("area") {
            match (tag.said("alt").or_else(|| tag.said("title")), tag.said("src")) {
                (Some(alt), _) => self.text(alt),
                // In a table a picture without a text is a value.
                (None, Some(source)) if self.in_row() => self.note(file_name(source), ""),
                _ => {}
            }
        } else if tag.is("sup")
            || tag.is("sub")
            || tag.is("del")
            || tag.is("ins")
            || tag.is("s")
            || tag.is("strike")
        {
            self.mark(&tag, after);
        } else if BLOCKS.iter().any(|name| tag.is(name)) {
            self.block(&tag, heading);
        }
        if !tag.closing {
            self.begin_hidden(&tag);
        }
        if !tag.closing && self.verbatim == 0 && !tag.is("img") && !tag.is("a") && !tag.is("area") {
            self.attributes(&tag, after);
        }
        after
    }

    fn block(&mut self, tag: &Tag<'_>, heading: bool) {
        if self.verbatim > 0 {
            return;
        }
        if tag.is("tr") || tag.is("table") {
            self.row(tag);
        } else if self.in_row() {
            self.blank = true;
        } else {
            self.line();
        }
        if tag.is("ul") || tag.is("ol") {
            if tag.closing {
                self.lists.pop();
            } else {
                self.lists.push(Numbering::of(tag));
            }
        } else if tag.is("li") && !tag.closing {
            let depth = self.lists.len().saturating_sub(1).min(DEEPEST_LIST);
            self.out.extend(std::iter::repeat_n(' ', 2 * depth));
            let item = self.lists.last_mut().and_then(|list| list.next(tag));
            match item {
                Some(item) => {
                    self.out.push_str(&item);
                    self.out.push_str(". ");
                }
                None => self.out.push_str("- "),
            }
        } else if heading && !tag.closing {
            let level = tag.name.as_bytes().get(1).map_or(1, |digit| usize::from(digit.saturating_sub(b'0')));
            self.out.extend(std::iter::repeat_n('#', level));
            self.out.push(' ');
        }
    }

    fn in_row(&self) -> bool {
        self.grids.last().is_some_and(Grid::in_row)
    }

    fn cell(&mut self, tag: &Tag<'_>) {
        if self.verbatim > 0 {
            return;
        }
        self.blank = false;
        if self.grids.is_empty() {
            self.grids.push(Grid::default());
        }
        let Some(grid) = self.grids.last_mut() else { return };
        if tag.closing {
            grid.close(&mut self.out, &mut self.room);
        } else {
            grid.open(tag, &mut self.out, &mut self.room);
        }
    }

    /// A row or a table begins or ends.
    fn row(&mut self, tag: &Tag<'_>) {
        if let Some(grid) = self.grids.last_mut()
            && (tag.is("tr") || tag.closing)
        {
            grid.end_row(&mut self.out, &mut self.room);
        }
        self.line();
        if tag.is("table") {
            if tag.closing {
                self.grids.pop();
            } else if self.grids.len() < DEEPEST_LIST {
                self.grids.push(Grid::default());
            }
        }
    }

    /// Writes raised and lowered text as `10^6` and `H_2`, and deleted or inserted text in brackets.
    fn mark(&mut self, tag: &Tag<'_>, after: &str) {
        if tag.closing {
            let name = MARKS.iter().find(|(name, ..)| tag.is(name)).map_or("", |(name, ..)| name);
            if let Some(at) = self.marks.iter().rposition(|(open, _)| *open == name)
                && let Some((_, end)) = self.marks.drain(at..).next()
            {
                self.out.push_str(end);
            }
            return;
        }
        let Some((name, start, end)) = MARKS.iter().find(|(name, ..)| tag.is(name)).copied() else { return };
        if self.marks.len() == DEEPEST_MARK {
            return;
        }
        let raised = start.len() == 1;
        let text = own_text(after);
        // A single word needs no brackets.
        let plain =
            raised && !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if raised {
            // It belongs to the text before it.
            self.blank = false;
        } else {
            self.push_blank();
        }
        self.out.push_str(start);
        if raised && !plain {
            self.out.push('(');
        }
        self.marks.push((name, if plain { "" } else { end }));
    }

    /// Writes content of attributes: titles, values, states.
    fn attributes(&mut self, tag: &Tag<'_>, after: &str) {
        if tag.is("input") {
            return self.field(tag);
        }
        if tag.is("option") {
            let text = own_text(after);
            if tag.attribute("selected").is_some() {
                self.note("selected", "");
            }
            if let Some(value) = tag.said("value").filter(|value| *value != text) {
                self.note(value, "");
            }
            return;
        }
        if tag.is("select") || tag.is("textarea") {
            if let Some(name) = tag.said("name") {
                self.note("field ", name);
            }
            return;
        }
        let text = own_text(after);
        let value = if tag.is("time") { tag.said("datetime") } else { None };
        let value = value.or_else(|| if tag.is("data") { tag.said("value") } else { None });
        if let Some(value) = value.filter(|value| *value != text) {
            self.note(value, "");
        }
        if let (true, Some(value)) = (tag.is("progress") || tag.is("meter"), tag.said("value")) {
            let most = tag.said("max").map(|most| format!(" of {most}")).unwrap_or_default();
            self.note(value, &most);
        }
        let silent = text.is_empty() && is_closed(after);
        let label = tag.said("title").or_else(|| tag.said("aria-label").filter(|_| silent));
        if let Some(label) = label.filter(|label| !says(text, label)) {
            self.note(label, "");
        }
        if tag.attribute("disabled").is_some() {
            self.note("disabled", "");
        }
        self.states(tag);
        for name in WORTHS {
            if let Some(value) = tag.said(name).filter(|value| *value != text && Some(*value) != label) {
                self.note(value, "");
            }
        }
        // Only the class of an empty drawn element says what it is.
        if silent
            && label.is_none()
            && ["i", "b", "em", "span"].iter().any(|name| tag.is(name))
            && after.starts_with("</")
            && let Some(class) = tag.said("class")
            && self.in_row()
        {
            self.note(class, "");
        }
    }

    /// Writes the state of an element: of a check box that is not HTML's own, or of a bar.
    fn states(&mut self, tag: &Tag<'_>) {
        for name in STATES {
            let Some(value) = tag.said(name) else { continue };
            let checked = *name == "aria-checked" || *name == "aria-pressed";
            match value {
                "true" if checked => self.note("x", ""),
                "false" if checked => self.note(" ", ""),
                // The usual state is not written.
                "false" | "none" => {}
                "true" => self.note(name.strip_prefix("aria-").unwrap_or(name), ""),
                value => self.note(&format!("{}=", name.strip_prefix("aria-").unwrap_or(name)), value),
            }
        }
        if let Some(value) = tag.said("aria-valuenow").filter(|_| tag.said("aria-valuetext").is_none()) {
            let most = tag.said("aria-valuemax").map(|most| format!(" of {most}")).unwrap_or_default();
            self.note(value, &most);
        }
    }

    /// Writes a formula as the TeX that it carries; otherwise as its markup, without which a fraction would
    /// look like a number.
    fn formula<'a>(&mut self, tag: &Tag<'a>, after: &'a str) -> &'a str {
        let rest = behind("math", after);
        let inside = after.get(..after.len() - rest.len()).unwrap_or_default();
        work::spend(inside.len());
        self.blank |= self.out.ends_with(char::is_alphanumeric);
        self.push_blank();
        match tag.said("alttext") {
            Some(tex) => {
                self.out.push('`');
                entity::decode(tex, &mut self.out);
                self.out.push('`');
            }
            None => {
                self.out.push_str("<math>");
                self.out.push_str(inside);
            }
        }
        self.parted = true;
        rest
    }

    /// Begins an element that the page does not show.
    fn begin_hidden(&mut self, tag: &Tag<'_>) {
        if let Some((name, depth)) = &mut self.hidden {
            *depth += usize::from(tag.is(name));
            return;
        }
        let style = tag.said("style").unwrap_or_default();
        let is_hidden = tag.attribute("hidden").is_some()
            || style.split(';').any(|rule| {
                let rule = rule.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
                matches!(rule, Some(("display", "none") | ("visibility", "hidden")))
            });
        if is_hidden && !VOID.iter().any(|name| tag.is(name)) && self.verbatim == 0 {
            self.push_blank();
            self.out.push_str("[hidden: ");
            self.hidden = Some((tag.name.to_owned(), 1));
        }
    }

    fn end_hidden(&mut self, tag: &Tag<'_>) {
        let Some((name, depth)) = &mut self.hidden else { return };
        if !tag.is(name) {
            return;
        }
        *depth -= 1;
        if *depth == 0 {
            self.hidden = None;
            let end = self.out.trim_end().len();
            self.out.truncate(end);
            self.out.push(']');
            self.blank = true;
        }
    }

    /// Writes a form field and its value: `[q=A-1009]`, `[x] size=L`.
    fn field(&mut self, tag: &Tag<'_>) {
        let kind = tag.said("type").unwrap_or("text");
        let is = |names: &[&str]| names.iter().any(|name| kind.eq_ignore_ascii_case(name));
        let name =
            tag.said("name").or_else(|| tag.said("id")).or_else(|| tag.said("aria-label")).unwrap_or("field");
        let value = tag.attribute("value").unwrap_or_default();
        if is(&["submit", "button", "reset", "image"]) {
            return self.note(tag.said("value").or_else(|| tag.said("alt")).unwrap_or(kind), "");
        }
        let checked = if tag.attribute("checked").is_some() { "x" } else { " " };
        if is(&["checkbox", "radio"]) {
            self.note(checked, "");
            self.text(&format!(" {name}={value} "));
        } else {
            self.note(&format!("{name}="), value);
        }
    }

    /// Writes what a drawing shows, if it says so.
    fn picture(&mut self, tag: &Tag<'_>, inside: &str) {
        let inside = inside.get(..signal::floor_char_boundary(inside, 2 * PEEK)).unwrap_or_default();
        let title = inside
            .split_once("<title")
            .and_then(|(_, rest)| rest.split_once('>'))
            .map(|(_, rest)| own_text(rest));
        if let Some(said) = title.filter(|title| !title.is_empty()).or_else(|| tag.said("aria-label")) {
            self.note(said, "");
        }
    }

    /// Writes something in brackets, as a separate word.
    fn note(&mut self, text: &str, more: &str) {
        self.blank |= !self.out.ends_with(['\n', ' ', '[']);
        self.push_blank();
        self.out.push('[');
        for part in [text, more] {
            let shown = part.get(..signal::floor_char_boundary(part, LONGEST_NOTE)).unwrap_or_default();
            let start = self.out.len();
            entity::decode(shown, &mut self.out);
            // A note is a single line.
            if self.out.get(start..).is_some_and(|note| note.contains(['\n', '\r'])) {
                let note = self.out.split_off(start).split_ascii_whitespace().collect::<Vec<_>>().join(" ");
                self.out.push_str(&note);
            }
            if shown.len() < part.len() {
                self.out.push('…');
            }
        }
        self.out.push(']');
        self.blank = true;
    }

    /// Writes a link's address after its text, the first time only.
    fn link(&mut self, tag: &Tag<'_>, after: &str) {
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
        let text = own_text(after);
        let silent = text.is_empty() && is_closed(after);
        let label = tag.said("title").or_else(|| tag.said("aria-label").filter(|_| silent));
        if let Some(label) = label.filter(|label| self.verbatim == 0 && !says(text, label)) {
            self.note(label, "");
        }
    }
}

/// Elements without content.
const VOID: &[&str] = &["input", "img", "br", "hr", "meta", "link", "area", "base", "col", "source", "wbr"];

/// The last part of an address.
fn file_name(address: &str) -> &str {
    let path = address.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').find(|part| !part.is_empty()).unwrap_or(path)
}

/// Elements that change the meaning of their text, and what is written before and after it.
const MARKS: &[(&str, &str, &str)] = &[
    ("sup", "^", ")"),
    ("sub", "_", ")"),
    ("del", "[deleted: ", "]"),
    ("s", "[deleted: ", "]"),
    ("strike", "[deleted: ", "]"),
    ("ins", "[inserted: ", "]"),
];

/// The text at the start of an element, up to the next tag.
fn own_text(after: &str) -> &str {
    let near = after.get(..signal::floor_char_boundary(after, PEEK)).unwrap_or_default();
    let own = near.split('<').next().unwrap_or_default();
    work::spend(own.len());
    own.trim()
}

/// Whether an element has nothing to read: it ends at once, or contains only an empty element.
fn is_closed(after: &str) -> bool {
    let after = after.trim_start();
    after.starts_with("</")
        || after.starts_with("<i ")
        || after.starts_with("<svg")
        || after.starts_with("<span ")
}

/// Whether a text already says what its label says.
fn says(text: &str, label: &str) -> bool {
    let (text, label) = (text.to_lowercase(), label.to_lowercase());
    text.contains(&label) || !text.is_empty() && label.contains(&text) && label.len() < text.len() + 24
}
