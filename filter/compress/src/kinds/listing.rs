//! File names: `ls -l`, `tree`, and one path per line.

use super::keep::{LineSelection, counted, grouped};
use super::query::Query;
use crate::block::{Context, Lossy};

mod long;
mod paths;
mod tree;

/// A listing with fewer lines is read faster than a digest of it.
const FEWEST_LINES: usize = 40;

/// At least this many entries of one directory are shown.
const SHOWN: usize = 4;

/// And one in this many of the rest.
const OF: usize = 5;

/// Entries kept because they answer the question.
const ANSWERS: usize = 40;

/// The most extensions in the description of a gap.
const EXTENSIONS: usize = 4;

/// The listing without padding, branches or repeated directories. They can be derived: exactly for paths and
/// trees, and up to the width of columns for `ls -l`.
pub(crate) fn lossless(text: &str, _cx: &Context<'_>) -> Option<String> {
    long::redrawn(text).or_else(|| tree::indented(text)).or_else(|| paths::grouped(text))
}

/// Whether each line of the listing still has its own line in this form.
pub(crate) fn is_by_line(form: &str) -> bool {
    !form.starts_with(paths::HEADER)
}

/// Keeps some entries of each directory and those asked for, and counts the rest by extension.
pub(crate) fn lossy(text: &str, cx: &Context<'_>) -> Option<Lossy> {
    let lines: Vec<&str> = text.strip_suffix('\n').unwrap_or(text).split('\n').collect();
    if lines.len() < FEWEST_LINES {
        return None;
    }
    let mut keep = LineSelection::generous(&lines, cx);
    for line in Query::new(cx).best(&lines).into_iter().take(ANSWERS) {
        keep.may(line);
    }
    let mut from = 0;
    while let Some(first) = lines.get(from) {
        let place = Place::of(first);
        let length =
            lines.get(from..).unwrap_or_default().iter().take_while(|line| Place::of(line) == place).count();
        let shown =
            if matches!(place, Place::Other) { length } else { SHOWN + length.saturating_sub(SHOWN) / OF };
        for line in from..from + length.min(shown) {
            keep.must(line);
        }
        from += length;
    }
    keep.close_small_gaps();
    let left_out = lines.len() - keep.count();
    if left_out == 0 {
        return None;
    }
    let text = keep.render(|gap| format!("… {}", describe(gap.filter_map(|line| lines.get(line).copied()))));
    let text = lossless(&text, cx).unwrap_or(text);
    let rest = lines.iter().enumerate().filter(|(line, _)| !keep.has(*line)).map(|(_, text)| *text);
    let what = format!("{} left out of {}", describe(rest), grouped(lines.len()));
    Some(Lossy { text, left_out: what })
}

/// What an entry shares with its neighbours.
#[derive(Debug, Eq, PartialEq)]
enum Place<'a> {
    /// The directory of a path.
    Directory(&'a str),
    /// The depth of a branch, in bytes.
    Branch(usize),
    /// A row of `ls -l`.
    Row,
    /// A directory's heading, a total, a blank line.
    Other,
}

impl<'a> Place<'a> {
    fn of(line: &'a str) -> Self {
        if line.is_empty() || line.ends_with(':') || line.starts_with("total ") {
            return Place::Other;
        }
        if long::is_row(line) {
            return Place::Row;
        }
        let depth = tree::depth(line);
        if depth > 0 {
            return Place::Branch(depth);
        }
        Place::Directory(directory(line))
    }
}

fn directory(path: &str) -> &str {
    let name = path.strip_suffix('/').unwrap_or(path);
    name.rfind('/').map_or("", |slash| path.get(..=slash).unwrap_or_default())
}

/// The extension of the last name on a line: the part after its last dot, if there is something before it.
fn extension(line: &str) -> Option<&str> {
    let name = line.rsplit([' ', '/', '\t', '\u{a0}']).next()?;
    let dot = name.rfind('.')?;
    let extension = name.get(dot..).unwrap_or_default();
    (dot > 0 && extension.len() <= 8 && extension.len() > 1).then_some(extension)
}

/// `41 entries: 30 .rs, 8 .md, 3 others`.
fn describe<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let mut extensions: Vec<(&str, usize)> = Vec::new();
    let mut places: hashbrown::HashMap<&str, usize, foldhash::fast::FixedState> =
        hashbrown::HashMap::default();
    let mut all = 0;
    for line in lines {
        all += 1;
        let Some(extension) = extension(line) else { continue };
        let next = extensions.len();
        let place = *places.entry(extension).or_insert(next);
        if place == next {
            extensions.push((extension, 0));
        }
        if let Some((_, count)) = extensions.get_mut(place) {
            *count += 1;
        }
    }
    extensions.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let mut out = counted(all, "entry");
    let mut mark = ": ";
    let mut named = 0;
    for (extension, n) in extensions.into_iter().take(EXTENSIONS) {
        out.push_str(&format!("{mark}{} {extension}", grouped(n)));
        mark = ", ";
        named += n;
    }
    if named > 0 && all > named {
        out.push_str(&format!(", {} others", grouped(all - named)));
    }
    out
}

#[cfg(test)]
mod tests;
