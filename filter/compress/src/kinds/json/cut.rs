//! JSON that was cut: by `head -c`, a `sed` range, a tool's own limit.
//!
//! The complete elements of the array that makes up most of the text become a table; everything before and
//! after them stays as it is. The table says that it is a part:
//!
//! ```text
//! {"total": 500, "items": [37 rows, then cut off: id,title,state=open
//! 1,First
//! …
//! ,{"id": 38, "ti
//! ```

use headroom_providers::string;
use memchr::memmem;

use super::notation;
use super::parse::{Tree, spaces};
use crate::block::Context;

/// Fewer elements are not written as a table.
const MIN_ELEMENTS: usize = 4;
/// The smallest share of the complete elements in the text, in percent.
const MIN_SHARE: usize = 50;
/// The deepest nesting of open containers.
const MAX_DEPTH: usize = 100;
/// How many line starts are tried as the start of an element, in a text that begins inside of one.
const MAX_STARTS: usize = 64;

/// A text with complete elements.
#[derive(Debug)]
pub(super) struct Cut<'a> {
    /// The text before them, without the bracket of their array.
    head: &'a str,
    elements: &'a str,
    /// The text after them.
    tail: &'a str,
    /// Whether the text contains the start of their array.
    opened: bool,
    /// Whether their array ends after them.
    closed: bool,
}

/// The text with its complete elements as a table, if it is not a whole document but has enough of them.
pub(super) fn lossless(text: &str, cx: &Context<'_>) -> Option<String> {
    let cut = Cut::find(text)?;
    let form = cut.form(cx)?;
    super::gains(text, &form, cx).then_some(form)
}

/// Whether a text is cut JSON that consists mostly of complete elements.
pub(crate) fn is_cut(text: &str) -> bool {
    looks_cut(text) && Cut::find(text).is_some()
}

/// How many bytes are searched for the first member with a value.
const HEAD_BYTES: usize = 2000;

/// Whether a text begins like JSON, or has lines of its shape.
fn looks_cut(text: &str) -> bool {
    let head = text.as_bytes();
    if memmem::find(head.get(..head.len().min(HEAD_BYTES)).unwrap_or_default(), b"\":").is_none() {
        return false;
    }
    let bytes = text.as_bytes();
    match bytes.first() {
        Some(b'{') => bytes.get(1..).is_some_and(|rest| rest.get(spaces(rest)) == Some(&b'"')),
        Some(b'[') => bytes.get(1..).is_some_and(|rest| rest.get(spaces(rest)) == Some(&b'{')),
        _ => {
            // Pretty-printed members and brackets, one per line.
            let shaped = |line: &str| {
                let line = line.trim();
                line.starts_with('"') && (line.contains("\": ") || line.ends_with(['"', ',']))
                    || matches!(line, "{" | "}" | "}," | "[" | "]" | "],")
            };
            let mut lines = text.lines().take(200).filter(|line| !line.trim().is_empty());
            let (mut all, mut fits, mut opens) = (0usize, 0usize, 0usize);
            lines.by_ref().for_each(|line| {
                all += 1;
                fits += usize::from(shaped(line));
                opens += usize::from(line.trim() == "{");
            });
            all >= 8 && opens >= 2 && fits * 100 >= all * 90
        }
    }
}

impl<'a> Cut<'a> {
    /// The array, open or closed, whose complete elements make up most of the text.
    fn find(text: &'a str) -> Option<Self> {
        let start = spaces(text.as_bytes());
        let enough =
            |run: &Run| run.count >= MIN_ELEMENTS && (run.end - run.start) * 100 >= text.len() * MIN_SHARE;
        let begins = matches!(text.as_bytes().get(start), Some(b'{' | b'['));
        let run = if begins { Scanner::new(text, start, None).run().filter(enough) } else { None };
        // A range of lines may begin with a whole element.
        let run = run.or_else(|| inside(text).filter(enough))?;
        let head = text.get(..run.bracket.unwrap_or(run.start))?;
        Some(Self {
            head,
            elements: text.get(run.start..run.end)?,
            tail: text.get(run.end..)?,
            opened: run.bracket.is_some(),
            closed: run.closed,
        })
    }

    fn form(&self, cx: &Context<'_>) -> Option<String> {
        let array = format!("[{}]", self.elements);
        let tree =
            Tree::read(&array).filter(|tree| tree.text.len() == array.len() && tree.roots.len() == 1)?;
        let notation = notation::documents(&tree, cx.encoding);
        // A legend is put at the very top, as for every document.
        let at = if notation.starts_with('[') { 0 } else { notation.find("\n[")? + 1 };
        let (legend, table) = notation.split_at(at);
        let digits = table.get(1..)?.bytes().take_while(u8::is_ascii_digit).count();
        let (count, rest) = table.split_at(1 + digits);
        let rest = rest.strip_prefix(" rows").filter(|_| digits > 0)?;
        let rows = rest.strip_suffix("\n]")?;
        let cut = match (self.opened, self.closed) {
            (true, true) => "",
            (true, false) => ", then cut off",
            (false, true) => ", cut off before",
            (false, false) => ", cut off before and after",
        };
        let (head, tail) = (self.head.trim_end(), self.tail.trim_start());
        let line_end = if self.opened || head.is_empty() { "" } else { "\n" };
        let count = if self.opened { count } else { count.get(1..)? };
        let separator = if tail.is_empty() { "" } else { "\n" };
        Some([legend, head, line_end, count, " rows", cut, rows, separator, tail].concat())
    }
}

/// The elements in a text that begins inside of one: from a line on that begins with another.
fn inside(text: &str) -> Option<Run> {
    let mut from = 0;
    for _ in 0..MAX_STARTS {
        let start = from + text.get(from..)?.find(['{', '['])?;
        let line = text.get(..start)?.rfind('\n').map_or(0, |end| end + 1);
        if !text.get(line..start)?.trim().is_empty() {
            from = text.get(start..)?.find('\n')? + start;
            continue;
        }
        let scanner = Scanner::new(text, start, Some(start));
        let stop = |run: &Run| (run.end - run.start) * 100 >= text.len() * MIN_SHARE;
        let (run, at) = scanner.run_to_its_end();
        if run.as_ref().is_some_and(stop) {
            return run.map(|run| run.opened_before(text));
        }
        from = at.max(start + 1);
    }
    None
}

/// Complete elements of one array.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Where the array begins, if the text contains that.
    bracket: Option<usize>,
    start: usize,
    end: usize,
    count: usize,
    closed: bool,
}

impl Run {
    /// Finds the beginning of the array if its bracket is at the end of an earlier line, after words that are
    /// not JSON.
    fn opened_before(self, text: &str) -> Self {
        let before = text.get(..self.start).unwrap_or_default().trim_end();
        let bracket = before.strip_suffix('[').map(str::len);
        Self { bracket: self.bracket.or(bracket), ..self }
    }
}

#[derive(Debug)]
struct Open {
    array: bool,
    run: Run,
}

/// Reads tokens while they are JSON.
struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    open: Vec<Open>,
    best: Option<Run>,
    /// Whether the outermost array begins before the text.
    inside: bool,
}

impl<'a> Scanner<'a> {
    /// `first`: the start of the first element of an array that begins before the text.
    fn new(text: &'a str, at: usize, first: Option<usize>) -> Self {
        let open = first.map(|start| Open {
            array: true,
            run: Run { bracket: None, start, end: start, count: 0, closed: false },
        });
        Self {
            bytes: text.as_bytes(),
            at,
            open: open.into_iter().collect(),
            best: None,
            inside: first.is_some(),
        }
    }

    fn run(self) -> Option<Run> {
        self.run_to_its_end().0
    }

    /// The best run, and the position up to which the text could be read.
    fn run_to_its_end(mut self) -> (Option<Run>, usize) {
        while self.value().is_some() && !self.open.is_empty() {}
        for open in std::mem::take(&mut self.open) {
            self.offer(&open);
        }
        (self.best, self.at)
    }

    fn offer(&mut self, open: &Open) {
        let length = |run: Run| run.end - run.start;
        if open.array && open.run.count > 0 && self.best.is_none_or(|best| length(open.run) > length(best)) {
            self.best = Some(open.run);
        }
    }

    fn space(&mut self) {
        self.at += self.bytes.get(self.at..).map_or(0, spaces);
    }

    /// Reads one value, or the beginning of a container, and the ends after it.
    fn value(&mut self) -> Option<()> {
        self.space();
        let start = self.at;
        match *self.bytes.get(start)? {
            bracket @ (b'{' | b'[') => {
                if self.open.len() == MAX_DEPTH {
                    return None;
                }
                let array = bracket == b'[';
                self.at += 1;
                self.space();
                let run = Run { bracket: Some(start), start: self.at, end: self.at, count: 0, closed: false };
                let close = if array { b']' } else { b'}' };
                if *self.bytes.get(self.at)? == close {
                    self.at += 1;
                    return self.ended();
                }
                self.open.push(Open { array, run });
                return if array { Some(()) } else { self.key() };
            }
            b'"' => self.string()?,
            b't' | b'f' | b'n' | b'-' | b'0'..=b'9' => {
                let scalar = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
                self.at += self.bytes.get(start..)?.iter().take_while(|b| scalar(b)).count();
                // A scalar at the very end may continue.
                self.bytes.get(self.at)?;
            }
            _ => return None,
        }
        self.ended()
    }

    /// Reads the end of a value: commas, and containers that end with it.
    fn ended(&mut self) -> Option<()> {
        loop {
            let end = self.at;
            if let Some(open) = self.open.last_mut() {
                open.run.end = end;
                open.run.count += 1;
            }
            self.space();
            let array = self.open.last()?.array;
            match *self.bytes.get(self.at)? {
                b',' => {
                    self.at += 1;
                    return if array { Some(()) } else { self.key() };
                }
                b']' if array => {
                    // The array that began before the text has ended, so nothing more can be read.
                    if self.inside && self.open.len() == 1 {
                        self.open.last_mut()?.run.closed = true;
                        return None;
                    }
                    let mut open = self.open.pop()?;
                    open.run.closed = true;
                    self.offer(&open);
                    self.at += 1;
                }
                b'}' if !array => {
                    self.open.pop();
                    self.at += 1;
                }
                _ => return None,
            }
            if self.open.is_empty() {
                return None;
            }
        }
    }

    fn key(&mut self) -> Option<()> {
        self.space();
        if *self.bytes.get(self.at)? != b'"' {
            return None;
        }
        self.string()?;
        self.space();
        if *self.bytes.get(self.at)? != b':' {
            return None;
        }
        self.at += 1;
        Some(())
    }

    fn string(&mut self) -> Option<()> {
        self.at = string::end(self.bytes, self.at + 1)?.0 + 1;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::inverse::{Value, documents};
    use super::*;

    fn form(text: &str) -> Option<String> {
        let config = crate::Config::default();
        let cx = Context { reversible: false, ..Context::of(&config) };
        Cut::find(text)?.form(&cx)
    }

    /// Asserts that the form contains the text before the elements, the elements, and the text after them.
    fn assert_exact(text: &str) {
        let cut = Cut::find(text).unwrap();
        let shown = form(text).unwrap();
        let array = format!("[{}]", cut.elements);
        let tree = Tree::read(&array).unwrap();
        let expected = Value::of(&tree, tree.roots[0]);
        let mark = [", then cut off", ", cut off before and after", ", cut off before", ""]
            .into_iter()
            .find(|mark| shown.contains(&format!(" rows{mark}")))
            .unwrap();
        let tail = cut.tail.trim_start();
        let table = shown.strip_suffix(tail).unwrap();
        let mut table = if tail.is_empty() { table } else { table.strip_suffix('\n').unwrap() }.to_owned();
        let head = cut.head.trim_end();
        let at = table.find(head).unwrap();
        table.replace_range(at..at + head.len(), "");
        if !cut.opened {
            let rows = table.find(" rows").unwrap();
            let start = table[..rows].trim_end_matches(|c: char| c.is_ascii_digit()).len();
            table.insert(start, '[');
            if !head.is_empty() {
                table.remove(start - 1);
            }
        }
        let table = table.replacen(&format!(" rows{mark}"), " rows", 1) + "\n]";
        assert_eq!(documents(&table), [expected], "{shown}");
    }

    fn rows(n: usize) -> String {
        let rows: Vec<_> =
            (0..n).map(|n| json!({"id": n, "title": format!("Task \"{n}\", [x"), "state": "open"})).collect();
        serde_json::to_string_pretty(&json!({"total": 500, "items": rows, "next": null})).unwrap()
    }

    #[test]
    fn a_range_of_lines_that_begins_with_a_whole_element_is_a_table() {
        let whole = rows(20);
        let lines: Vec<&str> = whole.lines().collect();
        let begins: Vec<usize> = (0..lines.len()).filter(|at| lines[*at] == "    {").collect();
        for end in [begins[15], begins[15] + 2, begins[16] - 1] {
            let text = lines[begins[3]..end].join("\n");
            let text = text.trim_start();
            assert!(is_cut(text), "{text}");
            let shown = form(text).unwrap();
            assert!(
                shown.starts_with("12 rows, cut off before and after: id,state=open,title\n3,"),
                "{shown}"
            );
            assert_exact(text);
        }
    }

    #[test]
    fn complete_elements_are_a_table_and_torn_ends_stay() {
        let whole = rows(20);
        let shown = form(&whole[..whole.len() * 9 / 10]).unwrap();
        assert!(
            shown.starts_with("{\n  \"items\":[18 rows, then cut off: id,state=open,title\n0,"),
            "{shown}"
        );
        assert!(shown.contains("\n,\n    {\n      \"id\": 18,"), "{shown}");
        for cut in [300, 900, 1100, whole.len() - 3] {
            if Cut::find(&whole[..cut]).is_some() {
                assert_exact(&whole[..cut]);
            }
        }
        let torn = &whole[whole.find("Task").unwrap()..];
        let shown = form(torn).unwrap();
        assert!(shown.contains("\n19 rows, cut off before: "), "{shown}");
        assert!(shown.ends_with("\n],\n  \"next\": null,\n  \"total\": 500\n}"), "{shown}");
        assert_exact(torn);
        assert_exact(&torn[..torn.len() - 200]);
        let line =
            serde_json::to_string(&serde_json::from_str::<serde_json::Value>(&whole).unwrap()).unwrap();
        assert_exact(&line[..line.len() * 4 / 5]);
    }

    #[test]
    fn what_is_no_cut_json_has_no_form() {
        for text in [
            "",
            "{",
            "[",
            "[1,2",
            "{\"a\":",
            "prose\n{\n",
            "[{\"a\":1},{\"a\":2}",
            &"[".repeat(100_000),
            &"{\n".repeat(50_000),
            &"[{\"a\":[".repeat(50_000),
        ] {
            assert_eq!(form(text), None, "{}", &text[..text.len().min(80)]);
        }
    }

    proptest! {
        #[test]
        fn the_form_of_any_cut_gives_back_the_elements(n in 6usize..30, from in 0usize..200, less in 0usize..400, line in any::<bool>()) {
            let whole = rows(n);
            let whole = if line { serde_json::from_str::<serde_json::Value>(&whole).unwrap().to_string() } else { whole };
            let from = if from < 100 { 0 } else { from };
            let text = &whole[from.min(whole.len())..whole.len().saturating_sub(less).max(from.min(whole.len()))];
            if Cut::find(text).is_some() {
                assert_exact(text);
            }
        }
    }
}
