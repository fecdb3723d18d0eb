//! Search results grouped by file, and back.
//!
//! ```text
//! src/flask/cli.py:
//! 1:from __future__ import annotations
//! 3:import ast
//! src/flask/app.py:12:import os
//! ```
//!
//! A heading is a path and a colon. After it come only lines of that file: with their number, or after `:`
//! and `-` if the tool printed no numbers. A file with one line keeps it as it was. If there is context, the
//! `--` at every jump is left out.

use super::hit::{Hit, Paths, digits};
use crate::kinds::signal;
use crate::kinds::sink::{Comparison, Sink};
use crate::lines;

/// The line that grep prints between groups of lines that are not adjacent.
pub(super) const GAP: &str = "--";
/// The line that says how paths were spelled: the texts before and after the directory.
const SPELLED: (&str, &str) = ("[paths of lines with \":\" were printed relative to ", "]");

/// The lines of a text, each with its file and match.
pub(super) struct Results<'a> {
    pub(super) lines: Vec<(&'a str, Option<Hit<'a>>)>,
    /// For lines with a colon, Claude Code prints a path relative to this directory, which ends with a slash;
    /// for other lines it prints the full path.
    pub(super) directory: Option<&'a str>,
    pub(super) context: bool,
}

impl<'a> Results<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        crate::work::spend(text.len());
        let mut lines: Vec<_> = lines::split(text).map(|line| (line, Hit::matched(line))).collect();
        let paths: Paths<'a> = lines.iter().filter_map(|(_, hit)| hit.map(|hit| hit.path)).collect();
        let numbered = lines.iter().filter(|(_, hit)| hit.is_some_and(|hit| hit.number.is_some())).count();
        let numbered = numbered * 2 > lines.iter().filter(|(_, hit)| hit.is_some()).count();
        let directory = numbered.then(|| directory(&lines, &paths)).flatten();
        let known = |path: &str| {
            paths.contains(path)
                || directory.is_some_and(|dir| path.strip_prefix(dir).is_some_and(|p| paths.contains(p)))
        };
        let mut context = false;
        for (line, hit) in &mut lines {
            // The text of a context line may contain a colon.
            if hit.is_none_or(|hit| numbered && hit.number.is_none())
                && let Some(found) = Hit::context(line, numbered, known)
            {
                *hit = Some(found);
                context = true;
            }
            // A compiler's report stays as it was printed.
            if hit.is_some_and(|hit| numbered != hit.number.is_some()) || signal::is_diagnostic(line) {
                *hit = None;
            }
        }
        Self { lines, directory, context }
    }

    /// The shorter spelling of a path, as in headings.
    pub(super) fn short(&self, path: &'a str) -> &'a str {
        self.directory.and_then(|dir| path.strip_prefix(dir)).unwrap_or(path)
    }

    /// The grouped form; `None` if nothing is gained or the text could not be restored.
    pub(super) fn grouped(&self, text: &str) -> Option<String> {
        let implicit = self.write(self.context);
        if is_inverse(&implicit, text) {
            return Some(implicit);
        }
        if !self.context {
            return None;
        }
        let explicit = self.write(false);
        is_inverse(&explicit, text).then_some(explicit)
    }

    /// `gaps_left_out`: gaps are not written.
    fn write(&self, gaps_left_out: bool) -> String {
        let mut out = String::new();
        if let Some(directory) = self.directory {
            out.push_str(SPELLED.0);
            out.push_str(directory);
            out.push_str(SPELLED.1);
            out.push('\n');
        }
        let mut at = 0;
        while at < self.lines.len() {
            let end = self.group(at);
            let hits =
                self.lines.get(at..end).unwrap_or_default().iter().filter(|(_, hit)| hit.is_some()).count();
            if hits > 1 || hits == 1 && gaps_left_out {
                self.write_group(self.lines.get(at..end).unwrap_or_default(), gaps_left_out, &mut out);
                at = end;
                continue;
            }
            let Some(line) = self.lines.get(at).map(|(line, _)| *line) else { break };
            at += 1;
            if gaps_left_out && line == GAP {
                continue;
            }
            out.push_str(line);
            out.push('\n');
        }
        // Every line was written with a line end, but the last one of the text has none.
        out.pop();
        out
    }

    /// The end of the group of lines of one file that starts at line `at`.
    fn group(&self, at: usize) -> usize {
        let Some((_, Some(first))) = self.lines.get(at) else { return at + 1 };
        let mut end = at + 1;
        let mut next = at + 1;
        while let Some((line, hit)) = self.lines.get(next) {
            next += 1;
            match hit {
                Some(hit) if self.short(hit.path) == self.short(first.path) => end = next,
                None if *line == GAP && next - end == 1 => {}
                _ => break,
            }
        }
        end
    }

    fn write_group(&self, lines: &[(&'a str, Option<Hit<'a>>)], gaps_left_out: bool, out: &mut String) {
        let hits = lines.iter().filter_map(|(_, hit)| *hit);
        // The longer spelling: it says more, and the shorter one follows from it.
        if let Some(path) = hits.map(|hit| hit.path).max_by_key(|path| path.len()) {
            out.push_str(path);
            out.push_str(":\n");
        }
        for (line, hit) in lines {
            match hit {
                Some(hit) => self.write_hit(hit, out),
                None if gaps_left_out => continue,
                None => out.push_str(line),
            }
            out.push('\n');
        }
    }

    pub(super) fn write_hit(&self, hit: &Hit<'_>, out: &mut String) {
        let separator = if hit.matched { ':' } else { '-' };
        match hit.number {
            Some(number) => {
                out.push_str(number);
                out.push(separator);
            }
            None => out.push(separator),
        }
        out.push_str(hit.text);
    }
}

/// The directory that is at the start of some lines' paths and missing in others.
fn directory<'a>(lines: &[(&'a str, Option<Hit<'a>>)], paths: &Paths<'a>) -> Option<&'a str> {
    /// How many lines are tried. If two spellings occur, every other line has the second.
    const TRIED: usize = 64;
    let unread = lines.iter().filter(|(line, hit)| hit.is_none() && line.starts_with('/'));
    unread.take(TRIED).find_map(|(line, _)| {
        let ends_in_known = |path: &str| {
            memchr::memchr_iter(b'/', path.as_bytes())
                .find(|at| paths.contains(path.get(at + 1..).unwrap_or_default()))
                .map(|at| at + 1)
        };
        let hit = Hit::context(line, true, |path| ends_in_known(path).is_some())?;
        ends_in_known(hit.path).map(|len| line.get(..len).unwrap_or_default())
    })
}

fn is_inverse(grouped: &str, text: &str) -> bool {
    let mut again = Comparison::with(text);
    ungrouped(grouped, &mut again);
    again.is_equal()
}

/// The inverse of [`Results::grouped`].
pub(super) fn ungrouped(grouped: &str, out: &mut impl Sink) {
    let stated = grouped.strip_prefix(SPELLED.0).and_then(|rest| rest.split_once('\n'));
    let directory = stated.and_then(|(line, _)| line.strip_suffix(SPELLED.1));
    let rest = match (stated, directory) {
        (Some((_, rest)), Some(_)) => rest,
        _ => grouped,
    };
    let mut lines = lines::split(rest).peekable();
    let mut path: Option<&str> = None;
    let context = |line| body(line).is_some_and(|hit| hit.number.is_some() && !hit.matched);
    let gaps_left_out = lines::split(rest).any(context) && lines::split(rest).all(|line| line != GAP);
    let mut last: Option<(&str, u64)> = None;
    let mut after_last = false;
    // A line end is written before each line but the first.
    let mut end = "";
    while let Some(line) = lines.next() {
        if out.differs() {
            return;
        }
        if let Some(heading) = line.strip_suffix(':')
            && !heading.is_empty()
            && !heading.starts_with([' ', ':', '-'])
            && lines.peek().is_some_and(|next| body(next).is_some())
            && (path.is_none() || body(line).is_none())
        {
            path = Some(heading);
            continue;
        }
        let hit = path.and_then(|path| body(line).map(|hit| (path, hit)));
        let Some((heading, hit)) = hit else {
            if line != GAP {
                path = None;
            }
            after_last = false;
            out.push_str(end);
            out.push_str(line);
            end = "\n";
            continue;
        };
        if let Some(number) = hit.line() {
            let follows = last.is_some_and(|(path, before)| path == heading && before + 1 == number);
            if gaps_left_out && after_last && !follows {
                out.push_str(end);
                out.push_str(GAP);
                end = "\n";
            }
            last = Some((heading, number));
        }
        after_last = true;
        let relative = directory.and_then(|dir| heading.strip_prefix(dir));
        let colon = hit.matched || hit.text.contains(':') || relative.is_some_and(|path| path.contains(':'));
        out.push_str(end);
        hit.push_with(relative.filter(|_| colon).unwrap_or(heading), out);
        end = "\n";
    }
}

/// A line after a heading.
fn body(line: &str) -> Option<Hit<'_>> {
    let hit = |number, matched, text| Some(Hit { path: "", number, matched, text });
    if line == GAP {
        return None;
    }
    let digits = digits(line);
    if digits > 0 {
        let number = Some(line.get(..digits).unwrap_or_default());
        return match line.as_bytes().get(digits)? {
            b':' => hit(number, true, line.get(digits + 1..).unwrap_or_default()),
            b'-' => hit(number, false, line.get(digits + 1..).unwrap_or_default()),
            _ => None,
        };
    }
    match line.as_bytes().first()? {
        b' ' | b':' => hit(None, true, line.get(1..).unwrap_or_default()),
        b'-' => hit(None, false, line.get(1..).unwrap_or_default()),
        _ => None,
    }
}
