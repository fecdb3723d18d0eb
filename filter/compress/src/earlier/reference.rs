//! The line that replaces lines which an earlier output shows.
//!
//! ```text
//! [lines 41-95: same as Read cli/root.go above]
//! [lines 45-99: same as lines 41-95 of Read cli/root.go above]
//! [55 lines: same as output lines 12-66 of 2nd Bash "cat x.go" above, from "func main() {"]
//! [12 lines: same as new_string lines 3-14 of Edit cli/root.go above, from "return nil"]
//! [same output as Bash "go vet ./..." above]
//! [lines 12-21: same as lines 2-11 above]
//! [9 lines: same as output lines 4-12 above, from "File "x.py", line 3, in f"]
//! ```
//!
//! `lines` are numbered by the output, as lines of a file. `output lines` are counted in an output as the
//! tool printed it, `output.stdout lines` in the text at that place of an output that is a value, `new_string
//! lines` in the argument of that name of a call, and `text 2 lines` in the second text of a result with
//! several texts. `above` without the name of an output means the same output. If several outputs have the
//! same name, the reference says which of them it means.

use super::label::one_line;
use crate::kinds::numbered::prefix;

/// Characters of a run's first line in a reference: enough to find the place that its numbers name.
const MAX_QUOTE: usize = 32;

/// The usual length of a reference in bytes: with this much room it needs one allocation.
const USUAL_LEN: usize = 128;

/// The name of a tool's output, where an argument has its own name.
pub(crate) const OUTPUT: &str = "output";

/// The place of the lines in the current output.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CurrentPlace {
    /// In a region of numbered lines: the first and the last number.
    Numbered(u32, u32),
    /// Anywhere else: how many.
    Plain(usize),
    /// The whole output.
    Whole,
}

/// The place of the lines in the earlier output, or earlier in the same one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum EarlierPlace<'a> {
    /// In a region of numbered lines whose numbers occur once in the output.
    Numbered(u32, u32),
    /// Anywhere else: [`OUTPUT`] or the name of the argument, the first and the last line, counted in it as
    /// it was printed, and the first line that is not empty.
    Counted(&'a str, usize, usize, &'a str),
    /// A whole output, or this text of it.
    Whole(Option<&'a str>),
}

/// The label of an earlier output or call, and its number if several have this label.
pub(super) type Name<'a> = (Option<u32>, &'a str);

/// The reference, without line end. `name`: the earlier output, if it is not the same one.
pub(super) fn reference(here: CurrentPlace, there: EarlierPlace<'_>, name: Option<Name<'_>>) -> String {
    let mut out = String::with_capacity(USUAL_LEN);
    match here {
        CurrentPlace::Numbered(first, last) => {
            out.push_str("[lines ");
            prefix::push_range(&mut out, first, last);
            out.push_str(": same as ");
        }
        CurrentPlace::Plain(count) => {
            out.push('[');
            push_number(&mut out, count);
            out.push_str(" lines: same as ");
        }
        CurrentPlace::Whole => out.push_str("[same output as "),
    }
    match there {
        EarlierPlace::Whole(None) => {}
        EarlierPlace::Whole(Some(text)) => {
            out.push_str(text);
            out.push_str(" of ");
        }
        EarlierPlace::Numbered(first, last)
            if here == CurrentPlace::Numbered(first, last) && name.is_some() => {}
        EarlierPlace::Numbered(first, last) => push_lines(&mut out, "", first, last, name.is_some()),
        EarlierPlace::Counted(what, first, last, _) => {
            push_lines(&mut out, what, first as u32, last as u32, name.is_some());
        }
    }
    if let Some((nth, label)) = name {
        if let Some(nth) = nth {
            push_number(&mut out, nth as usize);
            out.push_str(ordinal_ending(nth));
            out.push(' ');
        }
        out.push_str(label);
    }
    out.push_str(" above");
    if let EarlierPlace::Counted(.., text) = there {
        push_quote(&mut out, text.trim());
    }
    out.push(']');
    out
}

/// Appends `lines 12-66` or `output lines 12-66`; `named`: the output's name follows.
fn push_lines(out: &mut String, what: &str, first: u32, last: u32, named: bool) {
    if !what.is_empty() {
        out.push_str(what);
        out.push(' ');
    }
    out.push_str("lines ");
    prefix::push_range(out, first, last);
    if named {
        out.push_str(" of ");
    }
}

/// Appends a number of lines, which fits a `u32`.
fn push_number(out: &mut String, number: usize) {
    prefix::push_number(out, number as u32);
}

fn push_quote(out: &mut String, text: &str) {
    out.push_str(", from \"");
    out.push_str(one_line(text, MAX_QUOTE));
    out.push('"');
}

/// Whether a line outside regions looks like a reference. A text that has such a line from elsewhere gets no
/// references of ours, so that ours can always be recognized.
pub(crate) fn looks_like_one(line: &str) -> bool {
    let Some(inner) = line.strip_prefix('[') else { return false };
    inner.starts_with("same output as ")
        || inner.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(" lines: same as ")
        || inner.starts_with("lines ") && inner.contains(": same as ")
}

/// The ending of the ordinal for `n`.
fn ordinal_ending(n: u32) -> &'static str {
    match (n % 10, n % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    }
}
