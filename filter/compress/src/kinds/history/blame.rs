//! `git blame`: each line of a file after its commit, author and date.

use super::is_commit;
use crate::kinds::sink::Sink;

/// Fewer lines are not worth the statement.
const MIN_LINES: usize = 4;
const HEAD: &str = "[git blame: commit, author and date once, above the lines that they hold for";
/// Says that numbers are padded to more than the longest one that is shown: the file goes on.
const WIDE: &str = "; numbers set to ";

/// A line: the part that it shares with others of its commit, its number, and the line of the file.
struct Line<'t> {
    commit: &'t str,
    number: &'t str,
    /// Blanks before the number, without the one that is always there.
    padding: usize,
    /// The text after the bracket: a blank and the line of the file, or nothing if the line was cut.
    text: &'t str,
}

/// Whether a text is a blame, in all its lines.
pub(super) fn is_blame(text: &str) -> bool {
    let mut lines = text.lines();
    lines.by_ref().take(MIN_LINES).filter(|line| read(line).is_some()).count() == MIN_LINES
        && lines.all(|line| read(line).is_some())
}

fn read(line: &str) -> Option<Line<'_>> {
    let (name, _) = line.split_once(' ')?;
    if !is_commit(name.strip_prefix('^').unwrap_or(name)) {
        return None;
    }
    // `2026-11-01 15:48:30 +0000  12) `: whatever the author's name contains, it comes before this.
    let mut from = line.find(" (")? + 2;
    loop {
        let close = from
            + line.get(from..)?.find(") ").or_else(|| line.get(from..)?.strip_suffix(')').map(str::len))?;
        let before = line.get(..close)?;
        let digits = before.len() - before.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let head = before.get(..before.len() - digits)?;
        let commit = head.trim_end_matches(' ');
        let zone = commit.get(commit.len().checked_sub(5)?..)?;
        if digits > 0
            && head.len() > commit.len()
            && zone.starts_with(['+', '-'])
            && zone.bytes().skip(1).all(|b| b.is_ascii_digit())
        {
            let number = before.get(head.len()..)?;
            let text = line.get(close + 1..).unwrap_or_default();
            return Some(Line { commit, number, padding: head.len() - commit.len() - 1, text });
        }
        from = close + 1;
    }
}

/// The short form.
pub(super) fn form(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    out.push_str(HEAD);
    let mut last = "";
    let set = |line: Line<'_>| line.padding + line.number.len();
    let width = set(read(text.lines().next()?)?);
    if text.lines().filter_map(read).all(|line| line.number.len() < width) {
        out.push_str(WIDE);
        out.push_str(&width.to_string());
    }
    out.push_str("]\n");
    for line in text.split_inclusive('\n') {
        let read = read(line.strip_suffix('\n').unwrap_or(line))?;
        if read.padding + read.number.len() != width {
            return None;
        }
        if read.commit != last {
            out.push_str(read.commit);
            out.push('\n');
            last = read.commit;
        }
        out.push_str(read.number);
        out.push(')');
        out.push_str(read.text);
        if line.ends_with('\n') {
            out.push('\n');
        }
    }
    Some(out)
}

/// Writes the text of a form; `None` if it is not a form.
pub(super) fn text(form: &str, out: &mut impl Sink) -> Option<()> {
    let (head, rest) = form.strip_prefix(HEAD)?.split_once("]\n")?;
    let numbered = |line: &str| {
        let digits = line.bytes().take_while(u8::is_ascii_digit).count();
        (digits > 0 && line.get(digits..)?.starts_with(')')).then_some(digits)
    };
    let width = match head.strip_prefix(WIDE) {
        Some(width) => width.parse().ok()?,
        None => rest.lines().filter_map(numbered).max()?,
    };
    let mut commit = "";
    for line in rest.split_inclusive('\n') {
        if out.differs() {
            return None;
        }
        match numbered(line) {
            None => commit = line.strip_suffix('\n')?,
            Some(digits) => {
                out.push_str(commit);
                out.push_blanks(1 + width.checked_sub(digits)?);
                out.push_str(line);
            }
        }
    }
    Some(())
}
