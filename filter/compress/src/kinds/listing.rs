//! File names: `ls -l`, `tree`, and one path per line.

use headroom_providers::sort;
use xxhash_rust::xxh3::xxh3_64;

use super::keep::{LineSelection, counted, grouped};
use super::query::Query;
use super::select::outlier;
use crate::block::{Context, Lossy};
use crate::lines;

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

/// So many of the largest, and of the newest rows of `ls -l` are kept.
const LARGEST: usize = 3;
const NEWEST: usize = 3;

/// The most entries kept because few have their extension, their mode or their owner.
const RARE: usize = 12;

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
    let lines: Vec<&str> = lines::split(text.strip_suffix('\n').unwrap_or(text)).collect();
    if lines.len() < FEWEST_LINES {
        return None;
    }
    let mut keep = LineSelection::generous(&lines, cx);
    let entries = entries(&lines);
    for (line, _) in entries.iter().enumerate().filter(|(_, is_entry)| !**is_entry) {
        keep.must(line);
    }
    for line in Query::new(cx).best(&lines).into_iter().take(ANSWERS).chain(remarkable(&lines, &entries)) {
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
    let text = keep.render(|gap| {
        let of_gap = || gap.clone().filter_map(|line| lines.get(line).copied());
        format!("… {}{}", describe(of_gap()), limits(of_gap()))
    });
    let text = lossless(&text, cx).unwrap_or(text);
    let rest = lines.iter().enumerate().filter(|(line, _)| !keep.has(*line)).map(|(_, text)| *text);
    let all = entries.iter().filter(|is_entry| **is_entry).count();
    let what = format!("{} left out of {}", describe(rest), grouped(all));
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

/// For each line, whether it is an entry: no heading, no total, no summary, and not the directory itself or
/// the root of a tree.
fn entries(lines: &[&str]) -> Vec<bool> {
    let is_summary = |line: &str| {
        let rest = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ',');
        rest.len() < line.len() && (rest.starts_with(" director") || rest.starts_with(" file"))
    };
    let places: Vec<Place<'_>> = lines.iter().map(|line| Place::of(line)).collect();
    let is_tree = places.iter().any(|place| matches!(place, Place::Branch(_)));
    let is_entry = |(line, place): (&&str, &Place<'_>)| match place {
        Place::Other => false,
        Place::Row => !long::is_self(line),
        Place::Branch(_) => true,
        Place::Directory(_) => !is_tree && !matches!(*line, "." | ".." | "./" | "../") && !is_summary(line),
    };
    lines.iter().zip(&places).map(is_entry).collect()
}

/// The largest and the newest rows of `ls -l`, and the first entries with a rare extension, mode or owner.
fn remarkable(lines: &[&str], entries: &[bool]) -> Vec<usize> {
    let entries: Vec<usize> =
        entries.iter().enumerate().filter(|(_, is_entry)| **is_entry).map(|(line, _)| line).collect();
    let text = |line: usize| lines.get(line).copied().unwrap_or_default();
    let mut rows: Vec<(usize, long::Measure<'_>)> =
        entries.iter().filter_map(|&line| Some((line, long::measure(text(line))?))).collect();
    sort::by(&mut rows, |(_, a), (_, b)| b.bytes.total_cmp(&a.bytes));
    let mut found: Vec<usize> = rows.iter().take(LARGEST).map(|(line, _)| *line).collect();
    long::in_time(&mut rows);
    found.extend(rows.iter().rev().take(NEWEST).map(|(line, _)| *line));
    let hash = |text: &str| xxh3_64(text.as_bytes()) | 1;
    let modes: Vec<u64> = rows.iter().map(|(_, row)| hash(row.mode)).collect();
    let owners: Vec<u64> = rows.iter().map(|(_, row)| hash(row.owner)).collect();
    let rare_rows = [modes, owners].into_iter().flat_map(|values| outlier::few(&values));
    let rare_rows = rare_rows.filter_map(|(count, row)| Some((count, rows.get(row)?.0)));
    let extensions: Vec<u64> =
        entries.iter().map(|&line| hash(extension(text(line)).unwrap_or_default())).collect();
    let rare_names = outlier::few(&extensions).into_iter();
    let rare_names = rare_names.filter_map(|(count, entry)| Some((count, *entries.get(entry)?)));
    found.extend(outlier::in_order(rare_rows.chain(rare_names).collect()).into_iter().take(RARE));
    found
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
    sort::by_key(&mut extensions, |(_, count)| std::cmp::Reverse(*count));
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

/// `; size 12 to 4096; date Oct 1 12:00 to Oct 28 12:59`, if all entries are rows of `ls -l`.
fn limits<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let rows: Option<Vec<(usize, long::Measure<'a>)>> =
        lines.enumerate().map(|(at, line)| Some((at, long::measure(line)?))).collect();
    let Some(mut rows) = rows else { return String::new() };
    let by_size = |(_, a): &&(usize, long::Measure<'_>), (_, b): &&(usize, long::Measure<'_>)| {
        a.bytes.total_cmp(&b.bytes)
    };
    let sizes = (rows.iter().min_by(by_size), rows.iter().max_by(by_size));
    let mut out = String::new();
    let mut push = |name: &str, from: String, to: String| {
        out.push_str(&if from == to {
            format!("; {name} {from}")
        } else {
            format!("; {name} {from} to {to}")
        });
    };
    if let (Some((_, least)), Some((_, most))) = sizes {
        push("size", least.size.to_owned(), most.size.to_owned());
    }
    long::in_time(&mut rows);
    if let (Some((_, first)), Some((_, last))) = (rows.first(), rows.last()) {
        let date = |row: &long::Measure<'_>| row.date.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        push("date", date(first), date(last));
    }
    out
}

#[cfg(test)]
mod tests;
