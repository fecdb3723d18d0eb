//! `git log`, without options, with `--stat` or with `-p`.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::is_commit;

/// Fewer entries are not worth the statement.
const MIN_ENTRIES: usize = 3;
const COMMIT: &str = "commit ";
const AUTHOR: &str = "Author: ";
const DATE: &str = "Date:   ";
const INDENT: &str = "    ";
const HEAD: &str = "[git log: \"";
const DEFAULT: &str = "\" where no other is named, \"commit\" and \"Date:\" left out";
const ZONE: &str = ", all dates in ";
const MESSAGES: &str = ", messages indented by one, blank lines around them left out";

/// Whether a text is a log: it begins with an entry and has several.
pub(super) fn is_log(text: &str) -> bool {
    is_entry(text.lines().next().unwrap_or_default())
        && text.lines().filter(|line| is_entry(line)).take(MIN_ENTRIES).count() == MIN_ENTRIES
}

/// `commit 3b1f6c2…`, possibly with the names of branches.
fn is_entry(line: &str) -> bool {
    line.strip_prefix(COMMIT).is_some_and(starts_with_commit)
}

fn starts_with_commit(line: &str) -> bool {
    is_commit(line.split(' ').next().unwrap_or_default())
}

/// The short form.
pub(super) fn form(text: &str) -> Option<String> {
    let lines: Vec<&str> = text.strip_suffix('\n').unwrap_or(text).split('\n').collect();
    let author = usual_author(&lines)?;
    let plain = lines.iter().all(|line| line.is_empty() || line.starts_with(INDENT) || is_header(line));
    let mut out = String::with_capacity(text.len());
    out.push_str(HEAD);
    out.push_str(author);
    out.push_str(DEFAULT);
    let zone = common_zone(&lines);
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
            let mut header = Vec::new();
            let mut date = None;
            while let Some(&line) = lines.get(at) {
                if let Some(found) = line.strip_prefix(DATE) {
                    date = Some(found);
                    at += 1;
                    break;
                }
                if line.is_empty() || line.starts_with(INDENT) {
                    break;
                }
                at += 1;
                if line != author {
                    header.push(line);
                }
            }
            push_line(&mut out, line.strip_prefix(COMMIT)?);
            out.push(' ');
            let date = date?;
            out.push_str(zone.and_then(|zone| date.strip_suffix(zone)?.strip_suffix(' ')).unwrap_or(date));
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

/// The text of a form; `None` if it is not a form.
pub(super) fn text(form: &str) -> Option<String> {
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
    let author = head.strip_suffix(DEFAULT)?;
    let lines: Vec<&str> = rest.strip_suffix('\n').unwrap_or(rest).split('\n').collect();
    let mut out: Vec<String> = Vec::with_capacity(lines.len() * 3);
    let mut at = 0;
    while let Some(&line) = lines.get(at) {
        at += 1;
        if !starts_with_commit(line) {
            out.push(match line.strip_prefix(' ').filter(|_| plain) {
                Some(message) => format!("{INDENT}{message}"),
                None => line.to_owned(),
            });
            continue;
        }
        if plain && !out.is_empty() {
            out.push(String::new());
        }
        let (mut entry, mut date) = line.split_once(' ')?;
        if date.starts_with('(') {
            // The names of branches.
            let end = entry.len() + 1 + date.find(") ")? + 1;
            (entry, date) = (line.get(..end)?, line.get(end + 1..)?);
        }
        out.push(format!("{COMMIT}{entry}"));
        let mut own = false;
        let mut header = Vec::new();
        while let Some(&line) = lines.get(at) {
            if line.is_empty() || line.starts_with(' ') || starts_with_commit(line) {
                break;
            }
            own |= line.starts_with(AUTHOR);
            header.push(line.to_owned());
            at += 1;
        }
        out.extend(header);
        if !own {
            out.push(author.to_owned());
        }
        out.push(match zone {
            Some(zone) => format!("{DATE}{date} {zone}"),
            None => format!("{DATE}{date}"),
        });
        if plain {
            out.push(String::new());
        }
    }
    let mut text = out.join("\n");
    if form.ends_with('\n') {
        text.push('\n');
    }
    Some(text)
}

/// The time zone of all dates.
fn common_zone<'t>(lines: &[&'t str]) -> Option<&'t str> {
    let mut zones =
        lines.iter().filter_map(|line| line.strip_prefix(DATE)).map(|date| Some(date.rsplit_once(' ')?.1));
    let first = zones.next()??;
    (first.starts_with(['+', '-']) && zones.all(|zone| zone == Some(first))).then_some(first)
}

fn push_line(out: &mut String, line: &str) {
    out.push('\n');
    out.push_str(line);
}

/// Whether this is a line of an entry's head.
fn is_header(line: &str) -> bool {
    is_entry(line) || [AUTHOR, DATE, "Merge: "].iter().any(|label| line.starts_with(label))
}

/// The line that names the author of most entries; the first such line in case of a tie.
fn usual_author<'t>(lines: &[&'t str]) -> Option<&'t str> {
    let mut counts: HashMap<&str, (usize, usize), FixedState> = HashMap::default();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with(AUTHOR)) {
        counts.entry(line).or_insert((0, at)).0 += 1;
    }
    counts.into_iter().max_by_key(|(_, (count, first))| (*count, usize::MAX - first)).map(|(line, _)| line)
}
