//! The output of test runs, compilers and package managers.

use super::keep::{LineSelection, counted, counted_lines, grouped};
use super::query::Query;
use super::shorten::shorten;
use super::signal::{self, Signal};
use super::wording;
use crate::block::{Context, Lossy};
use crate::lines;
use crate::seeded::Seeded;
use crate::work;

pub(crate) mod events;
mod line;

use line::{
    Role, ends_section, is_detail, is_failed_in_a_list, is_failure, is_place, is_section, names_place, role,
};

/// An output with fewer lines is read faster than a digest of it.
const FEWEST_LINES: usize = 20;

/// Lines kept at either end: what was run, and how it ended.
const FIRST: usize = 4;
const LAST: usize = 8;

/// Lines kept around an error: its place, and what the tool says about it.
const BEFORE: usize = 4;
const AFTER: usize = 24;

/// The most lines that belong to one failed test: a difference and a stack. Blank lines do not end them.
const OF_FAILURE: usize = 120;

/// The most bytes of lines that belong to failures in total. A reader of more goes through it failure by
/// failure.
const OF_FAILURES: usize = 24_000;

/// Lines after an error that belong to it even if they were seen before.
const ADJACENT: usize = 2;

/// Lines kept of a trace that ends in an error.
const TRACE: usize = 24;

/// Lines kept because they answer the question.
const ANSWERS: usize = 16;

/// The most lines of a summary; more of them are a list of results.
const SUMMARIES: usize = 60;

/// A line of at most this many bytes (a brace, a marker) follows its neighbours, seen before or not.
const TRIVIAL: usize = 6;

/// Whether a line reports that something passed or is done.
pub(crate) fn is_routine(line: &str) -> bool {
    role(line) == Role::Routine
}

/// Whether a line names a test that was skipped.
pub(crate) fn is_skipped(line: &str) -> bool {
    role(line) == Role::Skipped
}

/// The most bytes of lines with further places of errors whose kind was shown.
const OF_PLACES: usize = 16_000;

/// The output with repeated wording stated once; every byte can be restored.
pub(crate) fn lossless(text: &str, cx: &Context<'_>) -> Option<String> {
    shorten(text, cx.around, |line| {
        is_failure(line, line.trim()) || signal::reports_failure(line) || is_captured(line)
    })
}

/// `----- Captured stdout call -----`: the output of a failed test.
fn is_captured(line: &str) -> bool {
    line.starts_with("---") && line.contains(" Captured ")
}

/// Keeps failures, the first line of each kind of error with the lines around it, summaries, one line of each
/// kind of warning and of skipped tests, the ends, and the lines that were asked for. Passed tests are
/// counted.
pub(crate) fn lossy(text: &str, cx: &Context<'_>) -> Option<Lossy> {
    let lines: Vec<&str> = lines::split(text.strip_suffix('\n').unwrap_or(text)).collect();
    if lines.len() < FEWEST_LINES {
        return None;
    }
    let roles: Vec<Role> = lines.iter().map(|line| role(line)).collect();
    let mut keep = LineSelection::generous(&lines, cx);
    let mut seen = ShownKinds::default();
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
            let new = details.clone().filter(|line| !keep.has(*line));
            let size: usize = new.map(|line| lines.get(line).map_or(0, |line| line.len() + 1)).sum();
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
    keep_messages(&mut keep, &lines, &roles, &mut room);
    for line in Query::new(cx).best(&lines).into_iter().take(ANSWERS) {
        keep.may(line);
    }
    for role in [Role::Warning, Role::Skipped, Role::Expected] {
        keep_one_of_each(&mut keep, &lines, &roles, role);
    }
    // The other places with the same error: each has to be looked at.
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
    let likes = likes(&keep, &lines, &roles);
    let text = keep.render(|gap| format!("… {}{}", counted_lines(&gap, cx), Tally::of(gap, &likes).roles()));
    let tally = Tally::of(left_out.iter().copied(), &likes);
    let of = counted(lines.len(), "line");
    let mut what = format!("{} of {of} left out{}", grouped(left_out.len()), tally.roles());
    if without_details > 0 {
        what.push_str(&format!(", with the details of {}", counted(without_details, "failure")));
    }
    Some(Lossy { text, left_out: what })
}

/// The lines that belong to a failed test: indented lines before its verdict, as Go's tests report while they
/// run, and the lines up to the next test; in a section of its own, the whole section.
fn details(lines: &[&str], roles: &[Role], report: usize) -> std::ops::Range<usize> {
    let text = |line: usize| lines.get(line).copied().unwrap_or_default();
    let indentation = |line: usize| text(line).len() - text(line).trim_start().len();
    let is_blank = |line: usize| text(line).trim().is_empty();
    let of_others = |role: Role| {
        matches!(role, Role::Routine | Role::Failure | Role::Started | Role::Skipped | Role::Expected)
    };
    let own = indentation(report);
    let mut from = report;
    while from > 0
        && report - from < OF_FAILURE
        && indentation(from - 1) > own
        && !is_blank(from - 1)
        && !roles.get(from - 1).copied().is_some_and(of_others)
    {
        from -= 1;
    }
    let section = is_section(text(report));
    let listed = is_failed_in_a_list(text(report).trim());
    let mut to = report + 1;
    let mut at = to;
    while at < lines.len() && at - report < OF_FAILURE {
        work::spend(text(at).len());
        if is_blank(at) {
            at += 1;
            continue;
        }
        let role = roles.get(at).copied().unwrap_or(Role::Other);
        let goes_on = match role {
            _ if section => !ends_section(text(report), text(at), role),
            role if of_others(role) => false,
            // A heading inside: what was printed meanwhile.
            Role::Summary => text(at).starts_with("---"),
            _ if listed => indentation(at) > own,
            _ => at == to || is_detail(text(at), own),
        };
        if !goes_on {
            break;
        }
        at += 1;
        to = at;
    }
    from..to
}

/// Keeps the reports of Go's failed or skipped tests that ran at the same time as others: they come after
/// `=== CONT` and the test's name, far from the verdict.
fn keep_messages(keep: &mut LineSelection<'_, '_>, lines: &[&str], roles: &[Role], room: &mut usize) {
    let mut named: hashbrown::HashMap<&str, bool, Seeded> = hashbrown::HashMap::default();
    for line in lines {
        let verdict = line.trim_start().strip_prefix("--- ").and_then(|rest| rest.split_once(": "));
        if let Some((verdict @ ("FAIL" | "SKIP"), rest)) = verdict {
            named.insert(rest.split(' ').next().unwrap_or_default(), verdict == "FAIL");
        }
    }
    if named.is_empty() {
        return;
    }
    let mut running = None;
    for (number, line) in lines.iter().enumerate() {
        match roles.get(number) {
            Some(Role::Started) => {
                let name = line.split(' ').next_back().unwrap_or_default();
                running = named.get(name).map(|failed| (*failed, number));
            }
            Some(Role::Routine | Role::Failure | Role::Skipped | Role::Summary) => running = None,
            _ => {
                let Some((failed, heading)) = running.filter(|_| !line.trim().is_empty()) else { continue };
                let own = |at: usize| lines.get(at).map_or(0, |line| line.len() + 1);
                let size: usize = [heading, number].into_iter().filter(|at| !keep.has(*at)).map(own).sum();
                if failed && size <= *room {
                    *room -= size;
                    keep.must(heading);
                    keep.must(number);
                } else if !failed && keep.may(number) {
                    keep.may(heading);
                }
            }
        }
    }
}

/// The kinds of lines that were shown.
#[derive(Default)]
struct ShownKinds(hashbrown::HashSet<u64, Seeded>);

impl ShownKinds {
    /// Whether this is the first line of its kind; from now on it is seen.
    fn first(&mut self, line: &str) -> bool {
        self.0.insert(wording::report_key(line))
    }

    /// Whether a line of its kind was seen.
    fn has(&self, line: &str) -> bool {
        self.0.contains(&wording::report_key(line))
    }
}

/// Keeps the lines around a report, unless they were shown with an earlier one.
fn keep_around(
    keep: &mut LineSelection<'_, '_>,
    seen: &mut ShownKinds,
    lines: &[&str],
    roles: &[Role],
    report: usize,
) {
    let indented = |line: &str| line.starts_with([' ', '\t']);
    let text = |line: usize| lines.get(line).copied().unwrap_or_default();
    let of_others = |line: usize| {
        matches!(roles.get(line), Some(Role::Routine | Role::Started | Role::Skipped | Role::Expected))
    };
    let goes_on = |line: usize| !text(line).trim().is_empty() && !of_others(line);
    let new = |seen: &mut ShownKinds, line: &str| line.trim().len() <= TRIVIAL || seen.first(line);
    // A trace ends in its error: indented frames, then the error without indentation.
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
        // The lines that follow at once give the place.
        let adjacent = line <= report + ADJACENT;
        if (new(seen, text(line)) || adjacent) && !keep.may(line) {
            break;
        }
    }
}

/// Keeps one line of each wording of the lines with this role.
fn keep_one_of_each(keep: &mut LineSelection<'_, '_>, lines: &[&str], roles: &[Role], of: Role) {
    let those = lines.iter().zip(roles).map(|(line, role)| if *role == of { *line } else { "" });
    let groups = wording::group(those.map(|line| (line, 0)), 1);
    for group in groups.all().iter().filter(|group| group.count > 0) {
        keep.may(group.first);
    }
}

/// What is reported about a left out line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum LineReport {
    /// Passed, or done.
    Routine,
    Skipped,
    Expected,
    /// An error like one that is shown.
    Error,
    /// A warning like one that is shown.
    Warning,
    /// Nothing.
    Other,
}

/// The report about each line. An error counts if the line itself says so and one of the same wording is
/// shown.
fn likes(keep: &LineSelection<'_, '_>, lines: &[&str], roles: &[Role]) -> Vec<LineReport> {
    let mut shown = ShownKinds::default();
    for (number, line) in lines.iter().enumerate() {
        if keep.has(number) && matches!(roles.get(number), Some(Role::Error | Role::Failure | Role::Warning))
        {
            shown.first(line);
        }
    }
    let like = |(line, role): (&&str, &Role)| match role {
        Role::Routine => LineReport::Routine,
        Role::Skipped => LineReport::Skipped,
        Role::Expected => LineReport::Expected,
        Role::Error | Role::Failure if is_error(line) && shown.has(line) => LineReport::Error,
        Role::Warning if is_warning(line) && shown.has(line) => LineReport::Warning,
        _ => LineReport::Other,
    };
    lines.iter().zip(roles).map(like).collect()
}

/// `error: …`, `src/a.c:3:7: error: …`, `[ERROR] …`: whether the line itself says that it is an error.
fn is_error(line: &str) -> bool {
    let bare = line.trim_start();
    ["error:", "error[", "Error:", "fatal:", "fatal error:"].iter().any(|start| bare.starts_with(start))
        || signal::is_diagnostic(line)
        || signal::is_error(line)
}

/// `warning: …`, `src/a.c:3:7: warning: …`, `[WARNING] …`
fn is_warning(line: &str) -> bool {
    let bare = line.trim_start();
    ["warning", "Warning", "WARN", "[WARN", "npm WARN", "npm warn"]
        .iter()
        .any(|start| bare.starts_with(start))
        || line.contains(": warning")
        || line.contains("Warning: ")
}

/// The numbers of lines by report.
#[derive(Default)]
struct Tally {
    routine: usize,
    skipped: usize,
    expected: usize,
    errors: usize,
    warnings: usize,
}

impl Tally {
    fn of(lines: impl Iterator<Item = usize>, likes: &[LineReport]) -> Self {
        let mut tally = Self::default();
        for line in lines {
            match likes.get(line).copied().unwrap_or(LineReport::Other) {
                LineReport::Routine => tally.routine += 1,
                LineReport::Skipped => tally.skipped += 1,
                LineReport::Expected => tally.expected += 1,
                LineReport::Error => tally.errors += 1,
                LineReport::Warning => tally.warnings += 1,
                LineReport::Other => {}
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
        if self.skipped > 0 {
            add(format!("{} skipped", grouped(self.skipped)));
        }
        if self.expected > 0 {
            add(format!("{} expected to fail", grouped(self.expected)));
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
