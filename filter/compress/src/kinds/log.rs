//! Logs: lines with a time, a source and repeated wording.

use crate::block::{Context, Lossy};

use super::clock;
use super::keep::{LineSelection, counted, counted_lines, grouped};
use super::query::Query;
use super::shorten::{self, Line, shorten};
use super::signal::{self, Signal};
use super::wording::{self, Groups};

mod time;
mod values;

use headroom_providers::sort;
use values::Columns;

/// A log with fewer lines is read faster than a digest of it.
const FEWEST_LINES: usize = 20;

/// Lines kept at either end: what the log looks like, and where it has got to.
const FIRST: usize = 3;
const LAST: usize = 4;

/// Lines kept of the trace after an error.
const TRACE: usize = 12;

/// Lines kept because they answer the question.
const ANSWERS: usize = 12;

/// The most wordings in the list of what was left out.
const WORDINGS: usize = 16;

/// The most bytes of a listed wording.
const WORDING_BYTES: usize = 160;

/// The log with repeated wording and dates stated once; every byte can be restored.
pub(crate) fn lossless(text: &str, cx: &Context<'_>) -> Option<String> {
    shorten(text, cx.around, signal::reports_failure)
}

/// Keeps the first line of each kind of error, traces, one line of each kind of warning, the ends of the log,
/// lines that stand out by a number or a time, lines that were asked for, and some rare ones. Summarizes the
/// rest as wordings with counts, times and ranges.
pub(crate) fn lossy(text: &str, cx: &Context<'_>) -> Option<Lossy> {
    let cut = shorten::cut(text.strip_suffix('\n').unwrap_or(text));
    if cut.len() < FEWEST_LINES {
        return None;
    }
    let lines: Vec<&str> = cut.iter().map(|line| line.text).collect();
    let marks: Vec<Mark> = lines.iter().map(|line| Mark::of(line)).collect();
    // A line that reports a failure does not share a wording with lines that do not.
    let class = |(line, mark): (&Line<'_>, &Mark)| u8::from(line.stamp.is_some()) | u8::from(mark.fails) << 1;
    let classed = cut.iter().zip(&marks).map(|both| (both.0.rest(), class(both)));
    let groups = wording::group(classed, 1);
    let columns = Columns::new(&cut, &groups);
    let mut keep = LineSelection::sparing(&lines, cx);
    let shown = keep_failures(&mut keep, &cut, &marks);
    for line in (0..FIRST).chain((lines.len() - LAST..lines.len()).rev()) {
        keep.may(line);
    }
    for line in columns.odd().into_iter().chain(time::around_gaps(&cut)) {
        keep.may(line);
    }
    for line in Query::new(cx).best(&lines).into_iter().take(ANSWERS) {
        keep.may(line);
    }
    for group in groups.all().iter().filter(|group| group.count > 0) {
        if marks.get(group.first).is_some_and(|mark| mark.signal == Signal::Warning) {
            keep.may(group.first);
        }
    }
    // Half of the remaining room is for the wordings of the rest.
    let reserve = keep.left() / 2;
    for group in groups.all() {
        if (1..=2).contains(&group.count) && keep.left() > reserve {
            keep.may(group.first);
            if marks.get(group.first).is_some_and(|mark| mark.fails) {
                keep.may(group.last);
            }
        }
    }
    keep.close_small_gaps();
    let left_out = lines.len() - keep.count();
    if left_out == 0 {
        return None;
    }
    let mark = shorten::free_mark(text).unwrap_or("*");
    let mut text = keep.render(|gap| format!("… {}", counted_lines(&gap, cx)));
    let left = LeftOut { keep: &keep, lines: &cut, marks: &marks, groups: &groups, columns: &columns, mark };
    let (mut table, listed) = left.wordings(reserve);
    let gone = || lines.iter().zip(&marks).enumerate().filter(|(line, _)| !keep.has(*line));
    let errors = gone().filter(|(_, (line, mark))| mark.error && shown.contains(&kind(line)));
    let codes = Codes::of(errors.map(|(_, (line, _))| *line));
    let mut what = format!("{} of {} left out", grouped(left_out), counted(lines.len(), "line"));
    if codes.lines > 0 {
        what.push_str(&format!(", {} of them errors like those shown{codes}", grouped(codes.lines)));
    }
    let all = Codes::of(gone().map(|(_, (line, _))| *line));
    if all.without() * 2 < all.lines && all.counts.len() > 1 {
        table.push_str(&format!("\n[left out, by status:{}]", all.listed()));
    }
    text.insert_str(log_end(&text), &table);
    if listed > 0 {
        what.push_str("; wordings and counts above");
    }
    Some(Lossy { text, left_out: what })
}

/// Tags behind a log at most: those that an agent puts around what a command printed.
const MOST_TAGS: usize = 4;

/// Where the last line of a log ends: before the tags that close what the log stands in.
fn log_end(text: &str) -> usize {
    if !text.starts_with('<') {
        return text.len();
    }
    let mut end = text.len();
    for _ in 0..MOST_TAGS {
        let before = text.get(..end).unwrap_or_default();
        let Some(start) = memchr::memrchr(b'\n', before.as_bytes()) else { break };
        let line = before.get(start + 1..).unwrap_or_default();
        if !(line.starts_with('<') && line.ends_with('>') && line.contains("</")) {
            break;
        }
        end = start;
    }
    end
}

/// What a line says of itself.
struct Mark {
    signal: Signal,
    /// Whether it reports any failure.
    fails: bool,
    /// Whether its level, its status or its outcome makes it an error.
    error: bool,
}

impl Mark {
    fn of(line: &str) -> Self {
        let (signal, fails) = signal::scan(line);
        Self { signal, fails, error: fails && signal::is_error(line) }
    }
}

/// The kind of a report: lines of one kind report the same. Requests and programs with different outcomes are
/// of different kinds, whatever else they share.
fn kind(line: &str) -> u64 {
    wording::report_key(line).wrapping_add(signal::outcome(line))
}

/// A set for lookups only, never iterated.
type HashSet = hashbrown::HashSet<u64, foldhash::fast::FixedState>;

/// The most status codes that are counted; a log has some ten.
const MOST_CODES: usize = 16;

/// How many lines have which HTTP status.
struct Codes {
    lines: usize,
    /// The codes, each with its number of lines, the most frequent first.
    counts: Vec<(u16, usize)>,
}

impl Codes {
    fn of<'t>(lines: impl Iterator<Item = &'t str>) -> Self {
        let mut counts: Vec<(u16, usize)> = Vec::new();
        let mut all = 0;
        for line in lines {
            all += 1;
            let Some(code) = signal::status(line) else { continue };
            match counts.iter_mut().find(|(known, _)| *known == code) {
                Some((_, count)) => *count += 1,
                None => counts.push((code, 1)),
            }
        }
        sort::by(&mut counts, |a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        counts.truncate(MOST_CODES);
        Self { lines: all, counts }
    }

    /// Lines without one of the codes.
    fn without(&self) -> usize {
        self.lines - self.counts.iter().map(|(_, count)| count).sum::<usize>()
    }

    /// ` 27× 404, 9× 500`, and how many lines have none of these.
    fn listed(&self) -> String {
        let mut parts: Vec<String> =
            self.counts.iter().map(|(code, count)| format!(" {}× {code}", grouped(*count))).collect();
        match self.without() {
            0 => {}
            without => parts.push(format!(" {} without one of these", grouped(without))),
        }
        parts.join(",")
    }
}

impl std::fmt::Display for Codes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.counts.is_empty() { Ok(()) } else { write!(f, " (status{})", self.listed()) }
    }
}

/// Keeps the first line of each kind that reports a failure, with the trace after it. Returns the kinds.
fn keep_failures(keep: &mut LineSelection<'_, '_>, lines: &[Line<'_>], marks: &[Mark]) -> HashSet {
    let mut seen = HashSet::default();
    let stamped = lines.iter().any(|line| line.stamp.is_some());
    let mut trace = 0;
    for (number, line) in lines.iter().enumerate() {
        let goes_on =
            if stamped { line.stamp.is_none() } else { line.text.starts_with([' ', '\t']) && number > 0 };
        if !goes_on {
            trace = 0;
        }
        if marks.get(number).is_some_and(|mark| mark.fails) {
            if seen.insert(kind(line.text)) {
                keep.must(number);
                trace = TRACE;
            }
        } else if goes_on && trace > 0 && seen.insert(kind(line.text)) {
            trace -= 1;
            keep.may(number);
        }
    }
    seen
}

/// The lines that are not shown.
struct LeftOut<'k, 'a> {
    keep: &'k LineSelection<'k, 'a>,
    lines: &'k [Line<'a>],
    marks: &'k [Mark],
    groups: &'k Groups,
    columns: &'k Columns<'a>,
    /// What stands for words that differ.
    mark: &'static str,
}

/// What the rows of a table of wordings make use of.
#[derive(Default)]
struct RowNotation {
    mark: bool,
    ranges: bool,
}

/// The left out lines of one wording.
struct Missing {
    group: usize,
    /// The first and the last line.
    first: usize,
    last: usize,
    count: usize,
    fails: bool,
    /// How many of them rank as errors.
    errors: usize,
}

impl LeftOut<'_, '_> {
    /// Per wording: how often, the text, and the times; those that report failures first. Also returns how
    /// many are listed.
    fn wordings(&self, room: usize) -> (String, usize) {
        let missing = self.missing();
        let mut out = String::new();
        let (mut listed, mut used) = (0, RowNotation::default());
        for wording in missing.iter().take(WORDINGS) {
            let (row, of_row) = self.row(wording);
            let fits = out.len() + row.len() <= room && wording.count > 1;
            if !fits && !wording.fails {
                break;
            }
            out.push_str(&row);
            used.mark |= of_row.mark;
            used.ranges |= of_row.ranges;
            listed += 1;
        }
        if listed > 0 {
            let legend = match (used.mark, used.ranges) {
                (true, true) => format!("; {} for what differs, a..b for numbers from a to b", self.mark),
                (true, false) => format!("; {} for what differs", self.mark),
                (false, true) => "; a..b for numbers from a to b".to_owned(),
                (false, false) => String::new(),
            };
            out.insert_str(0, &format!("\n[left out, by wording{legend}:]"));
            let others = missing.get(listed..).unwrap_or_default();
            let lines: usize = others.iter().map(|wording| wording.count).sum();
            let errors: usize = others.iter().map(|wording| wording.errors).sum();
            if lines > 0 {
                out.push_str(&format!("\nand {} of other wording", counted(lines, "line")));
            }
            if errors > 0 {
                out.push_str(&format!(", {} of them errors", grouped(errors)));
            }
        }
        (out, listed)
    }

    /// The wordings, in the order in which they are listed.
    fn missing(&self) -> Vec<Missing> {
        let none = |group| Missing { group, first: 0, last: 0, count: 0, fails: false, errors: 0 };
        let mut missing: Vec<Missing> = (0..self.groups.all().len()).map(none).collect();
        for (number, mark) in self.marks.iter().enumerate().filter(|(number, _)| !self.keep.has(*number)) {
            let Some(of) = self.groups.of(number).and_then(|group| missing.get_mut(group)) else { continue };
            if of.count == 0 {
                of.first = number;
            }
            of.last = number;
            of.count += 1;
            of.fails |= mark.fails;
            of.errors += usize::from(mark.error);
        }
        missing.retain(|wording| wording.count > 0);
        sort::by_key(&mut missing, |wording| {
            (!wording.fails, std::cmp::Reverse(wording.count), wording.group)
        });
        missing
    }

    fn row(&self, wording: &Missing) -> (String, RowNotation) {
        let mut used = RowNotation::default();
        let (Some(first), Some(last)) = (self.lines.get(wording.first), self.lines.get(wording.last)) else {
            return (String::new(), used);
        };
        let mut text = self.groups.wording_with(wording.group, first.rest(), |out, hole| {
            let range = self.columns.range(wording.group, hole, self.keep);
            used.ranges |= range.as_ref().is_some_and(|range| range.contains(".."));
            used.mark |= range.is_none();
            out.push_str(range.as_deref().unwrap_or(self.mark));
        });
        if text.len() > WORDING_BYTES {
            text.truncate(signal::floor_char_boundary(&text, WORDING_BYTES));
            text.push('…');
        }
        (format!("\n{}× {}{}", grouped(wording.count), text.trim(), span(*first, *last)), used)
    }
}

/// ` (10:00:01 to 10:07:12)`.
fn span(first: Line<'_>, last: Line<'_>) -> String {
    let (Some((day, from)), Some((last_day, to))) = (moment(first), moment(last)) else {
        return String::new();
    };
    let last_day = if day == last_day { "" } else { last_day };
    format!(" ({day}{from} to {last_day}{to})")
}

/// The date and the time of a line: at its start, or in the first brackets, as in logs of requests.
fn moment<'a>(line: Line<'a>) -> Option<(&'a str, &'a str)> {
    let text = line.text;
    let cut = |text: &'a str, stamp: clock::Stamp| {
        let day = text.get(..stamp.start)?.trim_start_matches(['[', '"', '(', '{']);
        Some((day, text.get(stamp.start..stamp.end)?))
    };
    match line.stamp {
        Some(stamp) => cut(text, stamp),
        None => {
            let inside = text.get(memchr::memchr(b'[', text.as_bytes())? + 1..)?;
            cut(inside, clock::stamp(inside)?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn digest(text: &str, query: &str) -> Lossy {
        let config = Config::default();
        let cx = Context { query, ..Context::of(&config) };
        lossy(text, &cx).expect("a digest")
    }

    /// A service that answers, warns once, and fails in two ways.
    fn service() -> String {
        let mut text = String::new();
        for i in 0..400 {
            let time = format!("2026-03-01 10:{:02}:{:02}", i / 60, i % 60);
            text += &match i {
                77 => format!(
                    "{time} ERROR db: connection refused by 10.0.0.7\n\tat Pool.get(Pool.java:7)\n\tat Main\n"
                ),
                78..=90 => format!("{time} ERROR db: connection refused by 10.0.0.{i}\n"),
                200 => format!("{time} WARN cache: invalid entry for order ord_991\n"),
                300 => format!("{time} ERROR disk full on volume data\n"),
                310 => format!("{time} INFO order ord_4711 handed over\n"),
                _ => format!("{time} INFO api: GET /items/{i} took {} ms\n", i % 7),
            };
        }
        text
    }

    #[test]
    fn every_kind_of_error_is_shown_with_its_trace() {
        let kept = digest(&service(), "");
        for line in [
            "2026-03-01 10:01:17 ERROR db: connection refused by 10.0.0.7",
            "\tat Pool.get(Pool.java:7)",
            "2026-03-01 10:05:00 ERROR disk full on volume data",
            "2026-03-01 10:03:20 WARN cache: invalid entry for order ord_991",
        ] {
            assert!(kept.text.lines().any(|l| l == line), "{line} is missing in\n{}", kept.text);
        }
        assert!(kept.text.len() < service().len() / 5, "{}", kept.text);
    }

    #[test]
    fn what_is_left_out_is_counted_by_wording_and_time() {
        let kept = digest(&service(), "");
        assert!(
            kept.text.contains("× INFO api: GET * took 0..6 ms (2026-03-01 10:00:03 to 10:06:35)"),
            "{}",
            kept.text
        );
        assert!(kept.text.contains("13× ERROR db: connection refused by *"), "{}", kept.text);
        assert!(kept.left_out.contains("13 of them errors like those shown"), "{}", kept.left_out);
    }

    #[test]
    fn what_stands_for_words_that_differ_is_said_and_stands_in_no_line() {
        let said = |text: &str| {
            let kept = digest(text, "");
            kept.text.lines().find(|line| line.starts_with("[left out, by wording")).unwrap().to_owned()
        };
        assert_eq!(
            said(&service()),
            "[left out, by wording; * for what differs, a..b for numbers from a to b:]"
        );
        let starred = service().replace("GET", "*GET");
        assert_eq!(
            said(&starred),
            "[left out, by wording; <> for what differs, a..b for numbers from a to b:]"
        );
    }

    #[test]
    fn what_is_said_of_a_log_stands_inside_of_the_tags_around_it() {
        let kept = digest(&format!("<output>\n{}</output>\n<returncode>0</returncode>\n", service()), "");
        assert!(kept.text.starts_with("<output>\n"), "{}", kept.text);
        let (log, tags) = kept.text.split_once("\n[left out, by wording").expect("a table");
        assert!(!log.contains("</output>"), "{}", kept.text);
        assert!(tags.ends_with("\n</output>\n<returncode>0</returncode>"), "{}", kept.text);
    }

    #[test]
    fn requests_that_are_left_out_have_their_first_and_last_time() {
        let text: String = (0..200)
            .map(|i| {
                format!(
                    "10.0.{}.{i} - - [{:02}/Oct/2026:12:{:02}:{:02} +0000] \"GET /items/{i} HTTP/1.1\" 200 {}\n",
                    i % 7,
                    1 + i / 100,
                    i % 100 / 60,
                    i % 60,
                    i * 7
                )
            })
            .collect();
        let kept = digest(&text, "");
        assert!(kept.text.contains(" (01/Oct/2026:12:00:03 to 02/Oct/2026:12:01:"), "{}", kept.text);
    }

    #[test]
    fn lines_that_were_asked_for_are_shown() {
        let kept = digest(&service(), "what happened to ord_4711?");
        assert!(kept.text.contains("10:05:10 INFO order ord_4711 handed over"), "{}", kept.text);
    }

    #[test]
    fn kept_lines_are_verbatim_and_in_order() {
        let text = service();
        let kept = digest(&text, "");
        let mut rest = text.lines();
        for line in kept.text.lines().take_while(|line| !line.starts_with("[left out")) {
            if let Some(gap) = line.strip_prefix("… ") {
                let (count, lines) = gap.split_once(" (").unwrap();
                let ends: Vec<usize> =
                    lines.trim_end_matches(')').split('-').map(|end| end.parse().unwrap()).collect();
                let (from, to) = (ends[0], *ends.last().unwrap());
                assert_eq!(count, counted(to + 1 - from, "line"));
                assert_eq!(rest.next(), text.lines().nth(from - 1), "{line} begins elsewhere");
                (from..to).for_each(|_| {
                    rest.next();
                });
            } else {
                assert!(rest.any(|original| original == line), "{line} is out of order or changed");
            }
        }
    }

    #[test]
    fn the_marker_of_an_access_log_names_the_codes_and_how_many_lines_have_them() {
        let code = |i: usize| match i {
            9 | 45 => 503,
            _ if i % 20 == 7 => 404,
            _ if i % 50 == 8 => 500,
            _ => 200,
        };
        let text: String = (0..400)
            .map(|i| {
                format!(
                    "10.0.0.{} - - [01/Oct/2026:12:{:02}:{:02} +0000] \"GET /items/{i} HTTP/1.1\" {} {}\n",
                    i % 9,
                    i / 60,
                    i % 60,
                    code(i),
                    i * 7
                )
            })
            .collect();
        let kept = digest(&text, "");
        let shown = |status: usize| {
            let part = format!("HTTP/1.1\" {status} ");
            kept.text.lines().filter(|line| line.contains(&part) && !line.contains('*')).count()
        };
        let gone = |status: usize| (0..400).filter(|i| code(*i) == status).count() - shown(status);
        let errors = gone(404) + gone(500) + gone(503);
        let codes: String = [404, 500, 503]
            .into_iter()
            .filter(|code| gone(*code) > 0)
            .map(|code| format!(", {}× {code}", gone(code)))
            .collect();
        let says =
            format!("{errors} of them errors like those shown (status{})", codes.trim_start_matches(','));
        assert!(kept.left_out.contains(&says), "{says}\n{}", kept.left_out);
        for status in [404, 500, 503] {
            assert!(shown(status) > 0, "{status} is not shown\n{}", kept.text);
        }
        let all = format!("\n[left out, by status: {}× 200{codes}]", gone(200));
        assert!(kept.text.contains(&all), "{all}\n{}", kept.text);
    }

    #[test]
    fn a_short_log_has_no_digest() {
        let config = Config::default();
        let cx = Context::of(&config);
        assert!(lossy("a\nb\n", &cx).is_none());
    }
}
