//! The output of test runs, compilers and package managers.

use super::keep::{Keep, counted, counted_lines, grouped};
use super::query::Query;
use super::shorten::shorten;
use super::signal::{self, Signal};
use super::wording;
use crate::block::{Context, Lossy};
use crate::work;

mod line;

use line::{Role, is_detail, is_failure, is_place, names_place, role};

/// Fewer lines are read faster than what a digest says about them.
const FEWEST_LINES: usize = 20;

/// Lines kept at either end: what was run, and how it ended.
const FIRST: usize = 4;
const LAST: usize = 8;

/// Lines kept around an error: where it happened, and what the tool says about it.
const BEFORE: usize = 4;
const AFTER: usize = 24;

/// Lines that belong to one test that failed, at most: a difference and a stack. Blank lines do not end them.
const OF_FAILURE: usize = 120;

/// Bytes of the lines that belong to failures, all of them together. Who has more of it reads it failure by failure.
const OF_FAILURES: usize = 24_000;

/// Lines behind an error that belong to it even when they were seen before.
const ADJACENT: usize = 2;

/// Lines kept of a trace that ends in an error.
const TRACE: usize = 24;

/// Lines kept because they answer the question.
const ANSWERS: usize = 16;

/// Lines of a summary; more of them are a list of results.
const SUMMARIES: usize = 60;

/// A line of so few bytes (a brace, a marker) goes with its neighbours, seen before or not.
const TRIVIAL: usize = 6;

/// Whether a line says that something passed or is done.
pub(crate) fn is_routine(line: &str) -> bool {
    role(line) == Role::Routine
}

/// Bytes of the lines that name places of errors of a kind that was shown.
const OF_PLACES: usize = 16_000;

/// The output with repeated wording stated once; every byte can be restored.
pub(crate) fn lossless(text: &str, _cx: &Context<'_>) -> Option<String> {
    shorten(text, |line| is_failure(line, line.trim()) || signal::reports_failure(line))
}

/// Failures, the first line of each kind of error with what stands around it, summaries, one line of
/// each kind of warning, the ends, the lines asked for. What passed is counted.
pub(crate) fn lossy(text: &str, cx: &Context<'_>) -> Option<Lossy> {
    let lines: Vec<&str> = text.strip_suffix('\n').unwrap_or(text).split('\n').collect();
    if lines.len() < FEWEST_LINES {
        return None;
    }
    let roles: Vec<Role> = lines.iter().map(|line| role(line)).collect();
    let mut keep = Keep::generous(&lines, cx);
    let mut seen = Seen::default();
    let mut summaries = 0;
    let mut reports = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        match roles.get(number).copied().unwrap_or(Role::Other) {
            Role::Error if seen.first(line) => reports.push(number),
            Role::Failure => reports.push(number),
            Role::Summary if summaries < SUMMARIES => {
                summaries += 1;
                keep.must(number);
            }
            _ => {}
        }
    }
    for &report in &reports {
        keep.must(report);
    }
    for line in (0..FIRST).chain((lines.len() - LAST..lines.len()).rev()) {
        keep.may(line);
    }
    let mut room = OF_FAILURES;
    let mut without_details = 0;
    for &report in &reports {
        if work::is_over() {
            return None;
        }
        if roles.get(report) == Some(&Role::Failure) {
            let details = details(&lines, &roles, report);
            let size: usize =
                details.clone().map(|line| lines.get(line).map_or(0, |line| line.len() + 1)).sum();
            if size > room {
                without_details += 1;
                continue;
            }
            room -= size;
            details.for_each(|line| keep.must(line));
        } else {
            keep_around(&mut keep, &mut seen, &lines, &roles, report);
        }
    }
    for line in Query::new(cx).best(&lines).into_iter().take(ANSWERS) {
        keep.may(line);
    }
    keep_warnings(&mut keep, &lines, &roles);
    // the other places where the same went wrong: each has to be looked at
    let mut room = OF_PLACES;
    for (number, line) in lines.iter().enumerate() {
        if roles.get(number) == Some(&Role::Error) && names_place(line) && line.len() < room {
            room -= line.len() + 1;
            keep.must(number);
        } else if is_place(line) {
            keep.may(number);
        }
    }
    keep.close_small_gaps();
    let left_out: Vec<usize> = (0..lines.len()).filter(|&line| !keep.has(line)).collect();
    if left_out.is_empty() {
        return None;
    }
    let text = keep.render(|gap| format!("… {}{}", counted_lines(&gap, cx), Tally::of(gap, &roles).roles()));
    let tally = Tally::of(left_out.iter().copied(), &roles);
    let of = counted(lines.len(), "line");
    let mut what = format!("{} of {of} left out{}", grouped(left_out.len()), tally.roles());
    if without_details > 0 {
        what.push_str(&format!(", with the details of {}", counted(without_details, "failure")));
    }
    Some(Lossy { text, left_out: what })
}

/// What belongs to the test that failed in a line: what stands before it and further in, as where Go's tests report
/// while they run, and what follows up to the next test.
fn details(lines: &[&str], roles: &[Role], report: usize) -> std::ops::Range<usize> {
    let indentation = |line: usize| lines.get(line).map_or(0, |text| text.len() - text.trim_start().len());
    let is_blank = |line: usize| lines.get(line).is_none_or(|text| text.trim().is_empty());
    let own = indentation(report);
    let mut from = report;
    while from > 0
        && report - from < OF_FAILURE
        && indentation(from - 1) > own
        && !is_blank(from - 1)
        && !matches!(roles.get(from - 1), Some(Role::Routine | Role::Failure))
    {
        from -= 1;
    }
    let mut to = report + 1;
    let mut at = to;
    while at < lines.len() && at - report < OF_FAILURE {
        if is_blank(at) {
            at += 1;
            continue;
        }
        let goes_on = match roles.get(at) {
            Some(Role::Failure) => false,
            Some(Role::Routine) | None => false,
            // a heading inside: what was printed meanwhile
            Some(Role::Summary) => lines.get(at).is_some_and(|line| line.starts_with("---")),
            _ => at == to || lines.get(at).is_some_and(|line| is_detail(line, own)),
        };
        if !goes_on {
            break;
        }
        at += 1;
        to = at;
    }
    from..to
}

/// The kinds of lines that were shown.
#[derive(Default)]
struct Seen(hashbrown::HashSet<u64, foldhash::fast::FixedState>);

impl Seen {
    /// Whether no line that says the same was seen; from now on one was.
    fn first(&mut self, line: &str) -> bool {
        self.0.insert(wording::report_key(line))
    }
}

/// Keeps what stands around a report, as far as it has not been shown with an earlier one.
fn keep_around(keep: &mut Keep<'_, '_>, seen: &mut Seen, lines: &[&str], roles: &[Role], report: usize) {
    let indented = |line: &str| line.starts_with([' ', '\t']);
    let text = |line: usize| lines.get(line).copied().unwrap_or_default();
    let goes_on = |line: usize| !text(line).trim().is_empty() && roles.get(line) != Some(&Role::Routine);
    let new = |seen: &mut Seen, line: &str| line.trim().len() <= TRIVIAL || seen.first(line);
    // a trace ends in its error: indented frames, then the error at the margin
    let reach = match report.checked_sub(1).map(text) {
        Some(above) if indented(above) && !indented(text(report)) => TRACE,
        _ => BEFORE,
    };
    let above = (report.saturating_sub(reach)..report).rev().take_while(|line| goes_on(*line));
    for line in above {
        if !new(seen, text(line)) || !keep.may(line) {
            break;
        }
    }
    let below = (report + 1..lines.len().min(report + 1 + AFTER)).take_while(|line| goes_on(*line));
    for line in below {
        // what follows at once says where
        let adjacent = line <= report + ADJACENT;
        if (new(seen, text(line)) || adjacent) && !keep.may(line) {
            break;
        }
    }
}

/// Keeps one warning of each wording.
fn keep_warnings(keep: &mut Keep<'_, '_>, lines: &[&str], roles: &[Role]) {
    let warnings =
        lines.iter().zip(roles).map(|(line, role)| if *role == Role::Warning { *line } else { "" });
    let groups = wording::group(warnings.map(|line| (line, 0)), 1);
    for group in groups.all().iter().filter(|group| group.count > 0) {
        keep.may(group.first);
    }
}

/// Lines by what they are.
#[derive(Default)]
struct Tally {
    routine: usize,
    errors: usize,
    warnings: usize,
}

impl Tally {
    fn of(lines: impl Iterator<Item = usize>, roles: &[Role]) -> Self {
        let mut tally = Self::default();
        for line in lines {
            match roles.get(line).copied().unwrap_or(Role::Other) {
                Role::Routine => tally.routine += 1,
                Role::Error | Role::Failure => tally.errors += 1,
                Role::Warning => tally.warnings += 1,
                Role::Summary | Role::Other => {}
            }
        }
        tally
    }

    /// `: 300 passed or done, 2 warnings like those shown`.
    fn roles(&self) -> String {
        let mut out = String::new();
        let mut mark = ": ";
        let mut add = |what: String| {
            out.push_str(mark);
            out.push_str(&what);
            mark = ", ";
        };
        if self.routine > 0 {
            add(format!("{} passed or done", grouped(self.routine)));
        }
        if self.errors > 0 {
            add(format!("{} like those shown", counted(self.errors, "error")));
        }
        if self.warnings > 0 {
            add(format!("{} like those shown", counted(self.warnings, "warning")));
        }
        out
    }
}

#[cfg(test)]
mod tests;
