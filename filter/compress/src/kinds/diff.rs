//! Unified diffs.
//!
//! The lossless form drops `---` and `+++` lines that repeat the `diff --git` line. The lossy form keeps
//! every changed line of a kept hunk, and each hunk with its file.

#![allow(
    clippy::indexing_slicing,
    reason = "lines, hunks and files are numbered by the lists that they stand in"
)]

use headroom_providers::sort;

use super::keep::{LineSelection, counted, grouped};
use super::query::Query;
use crate::block::{Context, Lossy};
use crate::config::Profile;
use crate::lines;
use crate::work;

/// A diff with fewer lines is read faster than a digest of it.
const FEWEST_LINES: usize = 60;

/// Lines of context kept on either side of a change.
const CONTEXT: usize = 1;

/// Signs at the beginning of a hunk's header: one more than the number of merged commits. In practice git
/// merges no more at once than this.
const MOST_MARKS: usize = 32;

/// Changed lines are kept up to this many bytes: about what a reviewer reads in one go.
const MOST_BYTES: usize = 24_000;

/// Said before a diff whose `---` and `+++` lines are left out. Which of them says `/dev/null` follows from the line that
/// says that a file is new or deleted.
const HEADER: &str =
    "[headroom: left out are \"---\" and \"+++\" lines that repeat \"diff --git\" or say /dev/null]\n";

/// Names of generated files: their changes follow from another change.
const GENERATED_NAMES: &[&str] = &[
    "Cargo.lock",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "bun.lock",
    "poetry.lock",
    "uv.lock",
    "Pipfile.lock",
    "Gemfile.lock",
    "composer.lock",
    "go.sum",
    "flake.lock",
];
const GENERATED_ENDS: &[&str] = &[".min.js", ".min.css", ".map", ".snap", ".pb.go", "_pb2.py", ".svg"];

/// The diff without lines that repeat its `diff --git` lines. The inverse is exact.
pub(crate) fn lossless(text: &str, _cx: &Context<'_>) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    out.push_str(HEADER);
    let mut names: Option<Names<'_>> = None;
    let mut lines = lines::split(text).peekable();
    let mut first = true;
    let mut repeated = 0;
    while let Some(line) = lines.next() {
        if !first {
            out.push('\n');
        }
        first = false;
        work::spend(line.len());
        if let Some(both) = line.strip_prefix("diff --git ") {
            names = Names::of(both);
        } else if let Some(known) = &mut names {
            known.header(line);
            // The hunk after them shows the reader that they were there.
            if known.is_old(line) && lines.next_if(|next| known.is_new(next)).is_some() {
                names = None;
                if !lines.peek().is_some_and(|next| next.starts_with("@@ -")) {
                    return None;
                }
                repeated += 1;
                let end = out.len() - 1;
                out.truncate(end);
                continue;
            }
            if line.starts_with("--- ") {
                // These lines name other files, so later ones no longer follow from the first line.
                names = None;
            } else if line.starts_with("@@") {
                // A hunk without them would read as if they had been left out.
                return None;
            }
        }
        out.push_str(line);
    }
    (repeated > 1).then_some(out)
}

/// The names in a `diff --git` line.
struct Names<'a> {
    path: &'a str,
    created: bool,
    deleted: bool,
}

impl<'a> Names<'a> {
    /// From `a/x b/x`; `None` if the two differ.
    fn of(both: &'a str) -> Option<Self> {
        let half = both.len().checked_sub(1)? / 2;
        let (old, new) = (both.get(..half)?, both.get(half + 1..)?);
        let path = old.strip_prefix("a/")?;
        (both.as_bytes().get(half) == Some(&b' ') && new.strip_prefix("b/")? == path).then_some(Self {
            path,
            created: false,
            deleted: false,
        })
    }

    fn header(&mut self, line: &str) {
        self.created |= line.starts_with("new file mode ");
        self.deleted |= line.starts_with("deleted file mode ");
    }

    /// Whether this is the `---` line that follows from the names. The comparison allocates nothing: names
    /// may be long, and the lines after them many.
    fn is_old(&self, line: &str) -> bool {
        line.strip_prefix("--- ").is_some_and(|old| is_name(old, "a/", self.path, self.created))
    }

    /// The same for the `+++` line.
    fn is_new(&self, line: &str) -> bool {
        line.strip_prefix("+++ ").is_some_and(|new| is_name(new, "b/", self.path, self.deleted))
    }
}

fn is_name(name: &str, side: &str, path: &str, is_null: bool) -> bool {
    if is_null { name == "/dev/null" } else { name.strip_prefix(side) == Some(path) }
}

/// A hunk: the line of its header, and the lines up to the next one.
#[derive(Clone, Debug)]
struct Hunk {
    file: usize,
    header: usize,
    end: usize,
    /// How many columns mark a change: one per parent.
    marks: usize,
}

/// The lines with names of files, and the hunks.
#[derive(Debug, Default)]
struct Parts {
    /// The line, and whether the file is generated.
    files: Vec<(usize, bool)>,
    hunks: Vec<Hunk>,
}

impl Parts {
    fn of(lines: &[&str]) -> Self {
        let mut parts = Parts::default();
        let mut in_hunk = false;
        for (number, line) in lines.iter().enumerate() {
            work::spend(line.len());
            let starts_file = line.starts_with("diff --") || !in_hunk && line.starts_with("--- ");
            if starts_file {
                let named = !line.starts_with("diff --")
                    && parts.files.last().is_some_and(|(start, _)| {
                        lines[*start].starts_with("diff --")
                            // Hunks are in order, so the last one shows whether the last file has any.
                            && parts.hunks.last().is_none_or(|hunk| hunk.file + 1 != parts.files.len())
                    });
                if !named {
                    parts.files.push((number, is_generated(line)));
                }
                in_hunk = false;
            } else if line.starts_with("@@") && !parts.files.is_empty() {
                let marks =
                    line.bytes().take(MOST_MARKS).take_while(|b| *b == b'@').count().saturating_sub(1).max(1);
                parts.hunks.push(Hunk {
                    file: parts.files.len() - 1,
                    header: number,
                    end: number + 1,
                    marks,
                });
                in_hunk = true;
            } else if in_hunk && let Some(hunk) = parts.hunks.last_mut() {
                hunk.end = number + 1;
            }
        }
        parts
    }
}

fn is_generated(line: &str) -> bool {
    let path = line.rsplit(' ').next().unwrap_or(line);
    let name = path.rsplit('/').next().unwrap_or(path);
    GENERATED_NAMES.contains(&name) || GENERATED_ENDS.iter().any(|end| name.ends_with(end))
}

/// Keeps all headers, and the changed lines of as many hunks as have room, first those that were asked for;
/// with one line of context. Generated files are summarized.
pub(crate) fn lossy(text: &str, cx: &Context<'_>) -> Option<Lossy> {
    let lines: Vec<&str> = lines::split(text.strip_suffix('\n').unwrap_or(text)).collect();
    let parts = Parts::of(&lines);
    if lines.len() < FEWEST_LINES || parts.hunks.is_empty() {
        return None;
    }
    let mut keep = LineSelection::sparing(&lines, cx);
    let mut of_line: Vec<Option<usize>> = vec![None; lines.len()];
    for (number, hunk) in parts.hunks.iter().enumerate() {
        of_line[hunk.header..hunk.end].fill(Some(number));
    }
    for line in (0..lines.len()).filter(|&line| of_line[line].is_none()) {
        keep.must(line);
    }
    // Hunks that were asked for, then the others in order: the first hunk of each file before the second of
    // any.
    let mut order: Vec<usize> = Vec::new();
    let asked = Query::new(cx).best(&lines);
    order.extend(asked.into_iter().filter_map(|line| of_line[line]));
    let mut rank = vec![0usize; parts.hunks.len()];
    for number in 1..parts.hunks.len() {
        if parts.hunks[number].file == parts.hunks[number - 1].file {
            rank[number] = rank[number - 1] + 1;
        }
    }
    let mut rest: Vec<usize> =
        (0..parts.hunks.len()).filter(|&n| !parts.files[parts.hunks[n].file].1).collect();
    sort::by_key(&mut rest, |&number| (rank[number], number));
    order.extend(rest);
    let mut room = match cx.config.profile {
        Profile::Lossless | Profile::Conservative => MOST_BYTES * 2,
        Profile::Balanced => MOST_BYTES,
        Profile::Aggressive => MOST_BYTES / 2,
    };
    let mut taken = vec![false; parts.hunks.len()];
    for number in order {
        if work::is_over() {
            return None;
        }
        if std::mem::replace(&mut taken[number], true) {
            continue;
        }
        let wanted = shown(&parts.hunks[number], &lines);
        let size: usize = wanted.iter().map(|&line| lines[line].len() + 1).sum();
        // The room only shrinks, so what does not fit now never will.
        if size > room {
            continue;
        }
        room -= size;
        for line in wanted {
            keep.must(line);
        }
    }
    keep.close_small_gaps();
    let mut dropped = Changes::default();
    let text = keep.render(|gap| {
        let changes = Changes::of(gap, &parts, &of_line, &lines);
        dropped.add(&changes);
        format!("… {}", changes.describe())
    });
    if dropped.lines == 0 {
        return None;
    }
    let all = counted(lines.len(), "line");
    let what = format!("{} of {all} left out: {}", grouped(dropped.lines), dropped.describe());
    Some(Lossy { text, left_out: what })
}

/// The lines of a hunk that are shown: its header, its changes, and the context next to them.
fn shown(hunk: &Hunk, lines: &[&str]) -> Vec<usize> {
    // Each line is checked for itself and for its neighbours.
    let marks = |line: usize| lines.get(line).map_or(0, |line| line.len().min(hunk.marks));
    work::spend(3 * (hunk.header..hunk.end).map(marks).sum::<usize>());
    let changed = |line: usize| is_changed(lines[line], hunk.marks);
    let mut wanted = vec![hunk.header];
    for line in hunk.header + 1..hunk.end {
        let near = (line.saturating_sub(CONTEXT).max(hunk.header + 1)..=line + CONTEXT)
            .any(|other| other < hunk.end && changed(other));
        if near {
            wanted.push(line);
        }
    }
    wanted
}

fn is_changed(line: &str, marks: usize) -> bool {
    line.bytes().take(marks).any(|b| matches!(b, b'+' | b'-'))
}

/// The content of a gap.
#[derive(Default)]
struct Changes {
    lines: usize,
    hunks: usize,
    added: usize,
    removed: usize,
}

impl Changes {
    fn of(gap: std::ops::Range<usize>, parts: &Parts, of_line: &[Option<usize>], lines: &[&str]) -> Self {
        let mut changes = Self::default();
        for line in gap {
            changes.lines += 1;
            let Some(hunk) = of_line[line].map(|hunk| &parts.hunks[hunk]) else { continue };
            if hunk.header == line {
                changes.hunks += 1;
            } else if is_changed(lines[line], hunk.marks) {
                let removed = lines[line].bytes().take(hunk.marks).any(|b| b == b'-');
                *(if removed { &mut changes.removed } else { &mut changes.added }) += 1;
            }
        }
        changes
    }

    fn add(&mut self, other: &Self) {
        self.lines += other.lines;
        self.hunks += other.hunks;
        self.added += other.added;
        self.removed += other.removed;
    }

    /// `3 hunks, +12 -4, 9 lines of context`, or `5 lines of context`.
    fn describe(&self) -> String {
        if self.added + self.removed == 0 {
            return format!("{} of context", counted(self.lines, "line"));
        }
        let changed =
            format!("{}, +{} -{}", counted(self.hunks, "hunk"), grouped(self.added), grouped(self.removed));
        match self.lines - self.hunks - self.added - self.removed {
            0 => changed,
            context => format!("{changed}, {} of context", counted(context, "line")),
        }
    }
}

#[cfg(test)]
mod tests;
