//! `git log`, as it prints without options, with `--format=fuller`, with `--stat` or with `-p`.

use hashbrown::HashMap;

use super::is_commit;
use crate::kinds::sink::Sink;
use crate::lines;
use crate::seeded::Seeded;

/// Fewer entries are not worth the statement.
const MIN_ENTRIES: usize = 3;
const COMMIT: &str = "commit ";
const AUTHOR: &str = "Author: ";
const COMMITTER: &str = "Commit: ";
const MERGE: &str = "Merge: ";
const INDENT: &str = "    ";
const HEAD: &str = "[git log: ";
const SAME_COMMITTER: &str = ", \"Commit:\" the same as \"Author:\"";
const AND: &str = ", ";
const NAMED: &str = " where no other is named, \"commit\"";
const ZONE: &str = ", all dates in ";
const MESSAGES: &str = ", messages indented by one, one blank line above and below each left out";

/// The labels of an entry.
struct Layout {
    date: &'static str,
    /// The label of the committer's date, where there is a committer.
    committed: Option<&'static str>,
    /// What a form says of the dates.
    said: &'static str,
}

const USUAL: Layout = Layout { date: "Date:   ", committed: None, said: " and \"Date:\" left out" };

const FULLER: Layout = Layout {
    date: "AuthorDate: ",
    committed: Some("CommitDate: "),
    said: " left out; AuthorDate behind the hash, then \"; \" and CommitDate where it differs, its time alone where the day is the same",
};

impl Layout {
    fn of(lines: &[&str]) -> &'static Self {
        if lines.iter().any(|line| line.starts_with(FULLER.date)) { &FULLER } else { &USUAL }
    }

    /// A line of an entry's head.
    fn is_header(&self, line: &str) -> bool {
        let committer = self.committed.map(|_| COMMITTER);
        let mut labels = [AUTHOR, MERGE, self.date].into_iter().chain(self.committed).chain(committer);
        is_entry(line) || labels.any(|label| line.starts_with(label))
    }
}

/// Who wrote and committed most entries: lines, the committer's where it is not the author.
struct People<'t> {
    author: &'t str,
    committer: Option<&'t str>,
}

impl<'t> People<'t> {
    fn of(lines: &[&'t str], layout: &Layout) -> Option<Self> {
        let (author, _) = usual(lines.iter().filter(|line| line.starts_with(AUTHOR)).copied())?;
        let mut committer = None;
        if layout.committed.is_some() {
            let (usual, count) = usual(lines.iter().filter(|line| line.starts_with(COMMITTER)).copied())?;
            let mut name = None;
            let same = lines.iter().filter(|line| {
                name = line.strip_prefix(AUTHOR).or(name);
                name.is_some() && line.strip_prefix(COMMITTER) == name
            });
            committer = (count > same.count()).then_some(usual);
        }
        Some(Self { author, committer })
    }

    /// Whether a line names the committer of an entry with this author, where none is named.
    fn is_committer(&self, line: &str, author: &str) -> bool {
        author.strip_prefix(AUTHOR).is_some_and(|name| match self.committer {
            Some(committer) => line == committer,
            None => line.strip_prefix(COMMITTER) == Some(name),
        })
    }

    /// The committer of an entry with this author, where none is named.
    fn committer(&self, author: &str) -> Option<String> {
        let name = author.strip_prefix(AUTHOR)?;
        Some(self.committer.map_or_else(|| format!("{COMMITTER}{name}"), str::to_owned))
    }
}

/// Whether a text is a log: it begins with an entry, and has some.
pub(super) fn is_log(text: &str) -> bool {
    is_entry(text.lines().next().unwrap_or_default())
        && text.lines().filter(|line| is_entry(line)).take(MIN_ENTRIES).count() == MIN_ENTRIES
}

/// `commit 3b1f6c2…`, possibly with the names of branches.
fn is_entry(line: &str) -> bool {
    line.strip_prefix(COMMIT).is_some_and(starts_with_commit)
}

pub(in crate::kinds) fn starts_with_commit(line: &str) -> bool {
    is_commit(line.split(' ').next().unwrap_or_default())
}

/// The short form.
pub(super) fn form(text: &str) -> Option<String> {
    let lines: Vec<&str> = lines::split(text.strip_suffix('\n').unwrap_or(text)).collect();
    let layout = Layout::of(&lines);
    let people = People::of(&lines, layout)?;
    let plain =
        lines.iter().all(|line| line.is_empty() || line.starts_with(INDENT) || layout.is_header(line));
    let mut out = String::with_capacity(text.len());
    out.push_str(HEAD);
    out.push_str(&quoted(people.author));
    match people.committer {
        Some(committer) => {
            out.push_str(AND);
            out.push_str(&quoted(committer));
        }
        None if layout.committed.is_some() => out.push_str(SAME_COMMITTER),
        None => {}
    }
    out.push_str(NAMED);
    out.push_str(layout.said);
    let zone = common_zone(&lines, layout);
    if let Some(zone) = zone {
        out.push_str(ZONE);
        out.push_str(zone);
    }
    out.push_str(if plain { MESSAGES } else { "" });
    out.push(']');
    let mut at = 0;
    let mut last_blank = None;
    while let Some(&line) = lines.get(at) {
        at += 1;
        if is_entry(line) {
            // The blank line between two entries.
            if plain && let Some(end) = last_blank.take() {
                out.truncate(end);
            }
            let (mut header, mut author, mut date, mut committed) = (Vec::new(), "", None, None);
            while let Some(&line) = lines.get(at) {
                if line.is_empty() || line.starts_with(INDENT) {
                    break;
                }
                at += 1;
                if let Some(found) = line.strip_prefix(layout.date) {
                    date = Some(found);
                    if layout.committed.is_none() {
                        break;
                    }
                } else if let Some(found) = layout.committed.and_then(|label| line.strip_prefix(label)) {
                    committed = Some(found);
                    break;
                } else if line.starts_with(AUTHOR) {
                    author = line;
                    header.extend((line != people.author).then_some(line));
                } else if layout.committed.is_none() || !people.is_committer(line, author) {
                    header.push(line);
                }
            }
            push_line(&mut out, line.strip_prefix(COMMIT)?);
            out.push(' ');
            let date = without_zone(date?, zone);
            out.push_str(date);
            if layout.committed.is_some() {
                let committed = without_zone(committed?, zone);
                if committed != date {
                    out.push_str("; ");
                    out.push_str(time_of(committed, date).unwrap_or(committed));
                }
            }
            header.into_iter().for_each(|line| push_line(&mut out, line));
            if plain && lines.get(at) == Some(&"") {
                at += 1;
            }
            last_blank = None;
            continue;
        }
        last_blank = line.is_empty().then_some(out.len());
        match line.strip_prefix(INDENT).filter(|_| plain) {
            Some(message) => {
                push_line(&mut out, " ");
                out.push_str(message);
            }
            None => push_line(&mut out, line),
        }
    }
    if text.ends_with('\n') {
        out.push('\n');
    }
    Some(out)
}

/// Writes lines with ends between them.
struct Lines<'s, S> {
    out: &'s mut S,
    is_first: bool,
}

impl<S: Sink> Lines<'_, S> {
    /// Appends a line of these parts.
    fn push(&mut self, parts: &[&str]) {
        if !self.is_first {
            self.out.push_str("\n");
        }
        self.is_first = false;
        parts.iter().for_each(|part| self.out.push_str(part));
    }
}

/// Writes the text of a form; `None` if it is not a form.
pub(super) fn text(form: &str, out: &mut impl Sink) -> Option<()> {
    let (head, rest) = form.split_once("]\n")?;
    let head = head.strip_prefix(HEAD)?;
    let (head, plain) = match head.strip_suffix(MESSAGES) {
        Some(head) => (head, true),
        None => (head, false),
    };
    let (head, zone) = match head.rsplit_once(ZONE) {
        Some((head, zone)) => (head, Some(zone)),
        None => (head, None),
    };
    let layout = if head.ends_with(FULLER.said) { &FULLER } else { &USUAL };
    let named = head.strip_suffix(layout.said)?.strip_suffix(NAMED)?;
    let (author, committer) = match named.strip_suffix(SAME_COMMITTER) {
        _ if layout.committed.is_none() => (unquoted(named)?, None),
        Some(author) => (unquoted(author)?, None),
        None => {
            let (author, committer) = named.split_once(&format!("\"{AND}\""))?;
            (author.strip_prefix('"')?, Some(committer.strip_suffix('"')?))
        }
    };
    let people = People { author, committer };
    // Behind each date.
    let (blank, zone) = zone.map_or(("", ""), |zone| (" ", zone));
    let lines: Vec<&str> = lines::split(rest.strip_suffix('\n').unwrap_or(rest)).collect();
    let mut out = Lines { out, is_first: true };
    let mut at = 0;
    while let Some(&line) = lines.get(at) {
        if out.out.differs() {
            return None;
        }
        at += 1;
        if !starts_with_commit(line) {
            match line.strip_prefix(' ').filter(|_| plain) {
                Some(message) => out.push(&[INDENT, message]),
                None => out.push(&[line]),
            }
            continue;
        }
        if plain && !out.is_first {
            out.push(&[]);
        }
        let (mut entry, mut date) = line.split_once(' ')?;
        if date.starts_with('(') {
            // The names of branches.
            let end = entry.len() + 1 + date.find(") ")? + 1;
            (entry, date) = (line.get(..end)?, line.get(end + 1..)?);
        }
        out.push(&[COMMIT, entry]);
        let (mut author, mut own_committer) = (None, None);
        while let Some(&line) = lines.get(at) {
            if line.is_empty() || line.starts_with(' ') || starts_with_commit(line) {
                break;
            }
            at += 1;
            if layout.committed.is_some() && line.starts_with(COMMITTER) {
                own_committer = Some(line);
                continue;
            }
            if line.starts_with(AUTHOR) {
                author = Some(line);
            }
            out.push(&[line]);
        }
        if author.is_none() {
            out.push(&[people.author]);
        }
        let (date, committed) =
            date.split_once("; ").filter(|_| layout.committed.is_some()).unwrap_or((date, date));
        out.push(&[layout.date, date, blank, zone]);
        if let Some(label) = layout.committed {
            match own_committer {
                Some(own) => out.push(&[own]),
                None => out.push(&[&people.committer(author.unwrap_or(people.author))?]),
            }
            out.push(&[label, &with_time(date, committed)?, blank, zone]);
        }
        if plain {
            out.push(&[]);
        }
    }
    if form.ends_with('\n') {
        out.out.push_str("\n");
    }
    Some(())
}

/// A date without the zone that all dates are in.
fn without_zone<'t>(date: &'t str, zone: Option<&str>) -> &'t str {
    zone.and_then(|zone| date.strip_suffix(zone)?.strip_suffix(' ')).unwrap_or(date)
}

fn quoted(line: &str) -> String {
    format!("\"{line}\"")
}

fn unquoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

/// The zone that all dates are in.
fn common_zone<'t>(lines: &[&'t str], layout: &Layout) -> Option<&'t str> {
    let dates = lines.iter().filter_map(|line| {
        let committed = || layout.committed.and_then(|label| line.strip_prefix(label));
        line.strip_prefix(layout.date).or_else(committed)
    });
    let mut zones = dates.map(|date| Some(date.rsplit_once(' ')?.1));
    let first = zones.next()??;
    (first.starts_with(['+', '-']) && zones.all(|zone| zone == Some(first))).then_some(first)
}

/// The time of a date that has the day of another.
fn time_of<'t>(date: &'t str, other: &str) -> Option<&'t str> {
    let time = time(date)?;
    (with_time(other, time)? == date).then_some(time)
}

/// A date with another time; a value that is not a time is a date itself.
fn with_time(date: &str, other: &str) -> Option<String> {
    if other.contains([' ', 'T']) {
        return Some(other.to_owned());
    }
    let own = time(date)?;
    let (before, behind) = date.split_once(own)?;
    Some(format!("{before}{other}{behind}"))
}

/// The one word of a date with a colon in it.
fn time(date: &str) -> Option<&str> {
    let mut times = date.split(' ').filter(|word| word.contains(':'));
    times.next().filter(|_| times.next().is_none())
}

fn push_line(out: &mut String, line: &str) {
    out.push('\n');
    out.push_str(line);
}

/// The line that comes most often, the first of them where several do, and how often.
fn usual<'t>(lines: impl Iterator<Item = &'t str>) -> Option<(&'t str, usize)> {
    let mut counts: HashMap<&str, (usize, usize), Seeded> = HashMap::default();
    let mut most = None;
    for (at, line) in lines.enumerate() {
        let (count, first) = counts.entry(line).or_insert((0, usize::MAX - at));
        *count += 1;
        most = most.max(Some((*count, *first, line)));
    }
    most.map(|(count, _, line)| (line, count))
}
