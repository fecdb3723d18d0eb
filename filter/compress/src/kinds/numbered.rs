//! Line numbers that a tool puts before the lines of a file.
//!
//! The prefixes are a third of the tokens of a file read. A model needs them to name lines, but it can count:
//! the numbers of a few lines are enough, with a rule for the others. `region` describes the form; every
//! number and every byte of every prefix can be derived from it.
//!
//! The content of a region's lines is not changed, and lines without number are exactly as in the file, so
//! that a model can copy them.

mod origin;
pub(crate) mod prefix;
pub(crate) mod printer;
pub(crate) mod region;

use memchr::{memchr, memmem};

use crate::block::Context;
use origin::is_file;
use prefix::{Prefix, Separator, blank_belongs};
use region::{GAP, MARK, Region, Rule};

/// One in this many lines keeps its number. On the file reads of coding agents, every twentieth costs 0.9 %
/// of the tokens compared to dropping all, every fifth 3.5 %.
const EVERY: u32 = 20;
/// The same if the model changes files by line number: then it never counts more than two lines up or down to
/// name one.
const EVERY_FOR_EDITS: u32 = 5;
/// From this many lines without number on, a region is worth its header, which has as many tokens as five
/// prefixes.
const MIN_BARE: usize = 7;

/// The text with most numbers of its numbered lines removed. The inverse is exact.
pub(crate) fn lossless(text: &str, cx: &Context<'_>) -> Option<String> {
    let every = if cx.edits_by_line { EVERY_FOR_EDITS } else { EVERY };
    thinned(text, every, |lines| is_file(cx, text, lines))
}

/// `is_file` says whether the numbers of consecutive numbered lines are line numbers of a file.
fn thinned(text: &str, every: u32, is_file: impl Fn(&[NumberedLine]) -> bool) -> Option<String> {
    let mut out = String::new();
    let mut copied = 0;
    let mut stated = None;
    let mut lines = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let behind = gather(text, at, &mut lines);
        // The first line of a region keeps its number.
        if lines.len() > MIN_BARE && is_file(&lines) {
            let region = plan(text, &mut lines, every)?;
            if lines.iter().filter(|line| line.bare).count() >= MIN_BARE {
                if copied == 0 {
                    if has_header(text) {
                        return None;
                    }
                    out.reserve(text.len());
                }
                out.push_str(text.get(copied..at).unwrap_or_default());
                write(&region, text, &lines, stated == Some(region.rule), &mut out);
                stated = Some(region.rule);
                copied = lines.last().map_or(at, |line| line.end);
            }
        }
        at = behind;
    }
    if copied == 0 {
        return None;
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Some(out)
}

/// A line of a file in a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileLine {
    /// Its number in the file.
    pub(crate) number: u32,
    /// Where its content begins in the text, and where it ends, without the line end.
    pub(crate) content: usize,
    pub(crate) end: usize,
}

/// The first lines of a text that a tool numbered; `None` if there are none.
pub(crate) fn file_lines(text: &str, cx: &Context<'_>) -> Option<Vec<FileLine>> {
    let (mut at, mut lines) = (0, Vec::new());
    while at < text.len() {
        let behind = gather(text, at, &mut lines);
        if lines.len() > MIN_BARE && is_file(cx, text, &lines) {
            let region = plan(text, &mut lines, EVERY)?;
            let file_line = |line: &NumberedLine| {
                let blank = region.style.blank && text.as_bytes().get(line.content) == Some(&b' ');
                FileLine {
                    number: line.prefix.number,
                    content: line.content + usize::from(blank),
                    end: line.end,
                }
            };
            return (!region.rule.matches).then(|| lines.iter().map(file_line).collect());
        }
        at = behind;
    }
    None
}

/// Whether a text already has a line like a header, which could not be distinguished from ours.
fn has_header(text: &str) -> bool {
    text.starts_with(MARK) || memmem::find(text.as_bytes(), b"\n[lines ").is_some()
}

/// A numbered line of a text.
#[derive(Clone, Copy, Debug)]
struct NumberedLine {
    start: usize,
    /// Its end, without the line end.
    end: usize,
    prefix: Prefix,
    /// The start of its content.
    content: usize,
    /// Whether it can be written without its number.
    bare: bool,
    /// Whether a line without number is between it and the one before it: grep's `--`.
    gap: bool,
}

/// Collects the consecutive numbered lines from the line at `at` on. Returns where to go on: after them, or
/// after this line if there are none.
fn gather(text: &str, at: usize, lines: &mut Vec<NumberedLine>) -> usize {
    lines.clear();
    let bytes = text.as_bytes();
    let mut start = at;
    let mut gap = false;
    while start < text.len() {
        let end = memchr(b'\n', bytes.get(start..).unwrap_or_default()).map_or(text.len(), |len| start + len);
        let line = bytes.get(start..end).unwrap_or_default();
        match Prefix::of(line) {
            Some(prefix)
                if lines
                    .first()
                    .zip(lines.last())
                    .is_none_or(|(first, last)| follows(&first.prefix, &last.prefix, &prefix)) =>
            {
                lines.push(NumberedLine {
                    start,
                    end,
                    prefix,
                    content: start + prefix.len,
                    bare: false,
                    gap,
                });
                gap = false;
            }
            _ if lines.is_empty() => return end + 1,
            // A gap belongs to the region only if a numbered line follows it.
            None if !gap && line == GAP.as_bytes() => gap = true,
            _ => break,
        }
        start = end + 1;
    }
    lines.last().map_or(text.len(), |last| last.end + 1)
}

fn follows(first: &Prefix, last: &Prefix, next: &Prefix) -> bool {
    let same = |a: Separator, b: Separator| {
        a == b || matches!((a, b), (Separator::Colon, Separator::Dash) | (Separator::Dash, Separator::Colon))
    };
    next.number > last.number
        && same(first.style.separator, next.style.separator)
        && next.continues(&first.style)
}

/// Decides how the lines are written, and notes which of them can be written without their number. `None` if
/// there are none.
fn plan(text: &str, lines: &mut [NumberedLine], every: u32) -> Option<Region> {
    let has = |separator| lines.iter().any(|line| line.prefix.style.separator == separator);
    let matches = has(Separator::Colon) && has(Separator::Dash);
    let first = lines.first()?.prefix;
    let mut style = first.style;
    if matches {
        style.separator = Separator::Dash;
    }
    let rests = lines.iter().map(|line| text.as_bytes().get(line.content..line.end).unwrap_or_default());
    style.blank = !matches && blank_belongs(style.separator, rests);
    let rule = Rule { every, matches, blank: style.blank.then_some(style.separator) };
    let last = lines.last().map_or(first.number, |line| line.prefix.number);
    let region = Region { rule, style, first: first.number, last };
    let mut before = first.number;
    for line in lines.iter_mut().skip(1) {
        let number = line.prefix.number;
        if number == before + 1 && line.prefix.style.separator == style.separator {
            let content = text.get(line.content..line.end).unwrap_or_default();
            let content = if style.blank { content.strip_prefix(' ') } else { Some(content) };
            line.bare = content.is_some_and(|content| !region.anchors(number, content));
        }
        before = number;
    }
    Some(region)
}

fn write(region: &Region, text: &str, lines: &[NumberedLine], stated: bool, out: &mut String) {
    region.rule.push_header(out, region.first, region.last, stated);
    for (i, line) in lines.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        if line.gap {
            out.push_str(GAP);
            out.push('\n');
        }
        if line.bare {
            out.push_str(
                text.get(line.content + usize::from(region.style.blank)..line.end).unwrap_or_default(),
            );
        } else if i == 0 {
            out.push_str(text.get(line.start..line.end).unwrap_or_default());
        } else {
            region.style.push_number(out, line.prefix.number);
            out.push_str(line.prefix.style.separator.text());
            out.push_str(text.get(line.content..line.end).unwrap_or_default());
        }
    }
}

/// How many bytes before the name of a line parameter are searched for the tool's purpose: a definition gives
/// the tool's name and description before its parameters.
const DEFINITION_BYTES: usize = 400;

/// Whether one of the tools in `head` changes files by line number. `head`: the raw bytes of a request's
/// system prompt and tool definitions.
pub(crate) fn edits_by_line(head: &[u8]) -> bool {
    let parameters: [&[u8]; 4] = [b"insert_line", b"start_line", b"startLine", b"line_start"];
    let purposes: [&[u8]; 4] = [b"edit", b"replace", b"insert", b"Edit"];
    parameters.iter().any(|parameter| {
        memmem::find_iter(head, parameter).any(|at| {
            let definition =
                head.get(at.saturating_sub(DEFINITION_BYTES)..at + parameter.len()).unwrap_or_default();
            purposes.iter().any(|purpose| memmem::find(definition, purpose).is_some())
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::region::{Reader, Role};
    use super::*;

    fn thinned_by(text: &str, edits_by_line: bool) -> Option<String> {
        super::thinned(text, if edits_by_line { EVERY_FOR_EDITS } else { EVERY }, |_| true)
    }

    fn thinned(text: &str) -> Option<String> {
        thinned_by(text, false)
    }

    /// The inverse.
    fn numbered_again(shown: &str) -> String {
        let mut out = Vec::new();
        let mut reader = Reader::new(shown);
        let mut first = false;
        while let Some(line) = reader.next() {
            let whole = &shown[line.start..line.end];
            match line.role {
                Role::Plain | Role::Gap => out.push(whole.to_owned()),
                Role::Header => first = true,
                Role::Reference { .. } => unreachable!("nothing was shown before"),
                Role::Numbered { .. } if first => {
                    out.push(whole.to_owned());
                    first = false;
                }
                Role::Numbered { number, .. } => {
                    let style = reader.region().unwrap().style;
                    let mut text = String::new();
                    style.push_original_number(&mut text, number);
                    if line.start == line.content {
                        style.push_separator(&mut text);
                        text.push_str(whole);
                    } else {
                        text.push_str(
                            whole.trim_start_matches('L').trim_start_matches(|c: char| c.is_ascii_digit()),
                        );
                    }
                    out.push(text);
                }
            }
        }
        out.join("\n")
    }

    fn read(first: u32, prefix: impl Fn(u32) -> String, lines: &[&str]) -> String {
        (first..).zip(lines).map(|(n, line)| prefix(n) + line).collect::<Vec<_>>().join("\n")
    }

    const LINES: [&str; 14] = [
        "package cli",
        "",
        "import (",
        "\t\"fmt\"",
        ")",
        "",
        "// Run runs.",
        "func Run() error {",
        "\tif err := check(); err != nil {",
        "\t\treturn fmt.Errorf(\"check: %w\", err)",
        "\t}",
        "",
        "\treturn nil",
        "}",
    ];

    #[test]
    fn a_file_read_keeps_its_first_number_and_every_twentieth() {
        let text = read(11, |n| format!("{n:6}→"), &LINES);
        assert_eq!(
            thinned(&text).as_deref(),
            Some(
                "[lines 11-24, every 20th numbered]\n    11→package cli\n\nimport (\n\t\"fmt\"\n)\n\n\
                 // Run runs.\nfunc Run() error {\n\tif err := check(); err != nil {\n\
                 20→\t\treturn fmt.Errorf(\"check: %w\", err)\n\t}\n\n\treturn nil\n}"
            )
        );
    }

    #[test]
    fn numbers_are_denser_where_the_model_edits_by_them() {
        let text = read(1, |n| format!("{n}:"), &LINES);
        let shown = thinned_by(&text, true).unwrap();
        assert!(shown.contains("\n5:)\n") && shown.contains("\n10:\t\treturn"), "{shown}");
        assert_eq!(numbered_again(&shown), text);
    }

    #[test]
    fn every_way_to_write_numbers_has_its_exact_inverse() {
        let ways: [fn(u32) -> String; 12] = [
            |n| format!("{n:6}→"),
            |n| format!("{n}→"),
            |n| format!("{n:6}\t"),
            |n| format!("{n}\t"),
            |n| format!("{n}: "),
            |n| format!("{n}:"),
            |n| format!("{n}-"),
            |n| format!("{n}|"),
            |n| format!("{n:3} | "),
            |n| format!("{n:05}| "),
            |n| format!("L{n}: "),
            |n| format!("L{n}:"),
        ];
        for first in [1, 7, 95, 99_995] {
            for way in ways {
                let text = format!("Here it is:\n{}\n\nThat was it.\n", read(first, way, &LINES));
                let shown = thinned(&text).unwrap();
                assert_eq!(numbered_again(&shown), text);
            }
        }
    }

    #[test]
    fn matches_of_a_search_in_one_file_stay_matches_and_gaps_start_anew() {
        let text = "40-a\n41-b\n42-c\n43:match\n44-d\n45-e\n46-f\n--\n\
                    70-a\n71-b\n72-c\n73:match\n74-d\n75-e\n76-f";
        let shown = thinned(text).unwrap();
        assert_eq!(
            shown,
            "[lines 40-76, every 20th and matches numbered]\n40-a\nb\nc\n43:match\nd\ne\nf\n--\n\
             70-a\nb\nc\n73:match\nd\ne\nf"
        );
        assert_eq!(numbered_again(&shown), text);
    }

    #[test]
    fn a_line_that_could_be_taken_for_something_else_keeps_its_number() {
        let mut lines = LINES.to_vec();
        lines[3] = "12→not a number";
        lines[4] = "[lines 1-3, every 10th numbered]";
        lines[5] = "--";
        lines[6] = "    12→indented";
        let text = read(1, |n| format!("{n:6}→"), &lines);
        let shown = thinned(&text).unwrap();
        assert!(
            shown.contains("\n4→12→not") && shown.contains("\n5→[lines") && shown.contains("\n6→--\n"),
            "{shown}"
        );
        assert_eq!(numbered_again(&shown), text);
    }

    #[test]
    fn what_looks_like_our_own_header_is_left_alone() {
        let text = format!("[lines 1-3, every 10th numbered]\n{}", read(1, |n| format!("{n:6}→"), &LINES));
        assert_eq!(thinned(&text), None);
    }

    #[test]
    fn prose_and_short_runs_are_left_alone() {
        assert_eq!(thinned("Some text.\n1: one\n2: two\n3: three\nThe end.\n"), None);
        assert_eq!(thinned(""), None);
        assert_eq!(thinned("12:30 lunch\n13:30 work\n"), None);
    }

    fn source() -> impl Strategy<Value = String> {
        let line = prop_oneof![
            "[ \t]{0,4}[a-z(){};=]{0,12}[ \r]{0,2}",
            "[0-9]{1,2}[:→|-][a-z ]{0,3}",
            Just("--".to_owned()),
            Just(String::new()),
        ];
        let way = prop::sample::select(vec![":", "-", "→", "\t", "|", ": ", " | ", "| ", ":-"]);
        let run = (0u32..120, way, 0usize..7, prop::collection::vec((line, 0u32..12), 0..40)).prop_map(
            |(first, way, width, lines)| {
                let mut number = first;
                let mut out = Vec::new();
                for (i, (line, jump)) in lines.iter().enumerate() {
                    number += if *jump == 11 { 3 } else { 1 };
                    let separator = if way == ":-" { [":", "-"][i % 3 % 2] } else { way };
                    if *jump == 10 {
                        out.push("--".to_owned());
                    }
                    out.push(format!("{number:width$}{separator}{line}"));
                }
                out.join("\n")
            },
        );
        prop::collection::vec(run, 1..4).prop_map(|runs| runs.join("\nplain\n"))
    }

    proptest! {
        #[test]
        fn the_inverse_gives_the_bytes_back(text in source()) {
            for edits_by_line in [false, true] {
                if let Some(shown) = thinned_by(&text, edits_by_line) {
                    prop_assert_eq!(numbered_again(&shown), text.clone());
                }
            }
        }

        #[test]
        fn no_text_is_too_strange(text in "([0-9]{1,3}[:→|\\- \t]{1,2}|\\PC{0,3}|--|\\[lines |\n|\r|\0){0,60}") {
            if let Some(shown) = thinned(&text) {
                prop_assert_eq!(numbered_again(&shown), text);
            }
        }
    }

    #[test]
    fn tools_that_edit_by_line_number_are_told_from_those_that_read_by_it() {
        assert!(edits_by_line(b"edit:\n  signature: edit <start_line>:<end_line>\n"));
        assert!(edits_by_line(br#"{"name":"insert","parameters":{"insert_line":{"type":"integer"}}}"#));
        assert!(!edits_by_line(br#"{"name":"read_file","parameters":{"start_line":{"type":"integer"}}}"#));
        assert!(!edits_by_line(br#"{"name":"Edit","input_schema":{"old_string":{}}}"#));
    }
}
