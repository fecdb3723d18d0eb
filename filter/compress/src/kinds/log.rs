//! Logs: lines with a time, a source and a wording that repeats.

use crate::block::{Context, Lossy};

use super::keep::{Keep, counted, counted_lines, grouped};
use super::query::Query;
use super::shorten::{self, Line, shorten};
use super::signal::{self, Signal};
use super::wording::{self, Groups};

/// Fewer lines are read faster than what a digest says about them.
const FEWEST_LINES: usize = 20;

/// Lines kept at either end: how the log looks, and where it stands.
const FIRST: usize = 3;
const LAST: usize = 4;

/// Lines kept of the trace behind an error.
const TRACE: usize = 12;

/// Lines kept because they answer the question.
const ANSWERS: usize = 12;

/// Wordings listed of what was left out.
const WORDINGS: usize = 16;

/// A wording is listed with at most this many bytes.
const WORDING_BYTES: usize = 160;

/// The log with repeated wording and dates stated once; every byte can be restored.
pub(crate) fn lossless(text: &str, _cx: &Context<'_>) -> Option<String> {
    shorten(text, signal::reports_failure)
}

/// The first line of each kind of error, traces, one line of each kind of warning, the ends of the log,
/// the lines asked for, some rare ones; the rest as wordings with counts and times.
pub(crate) fn lossy(text: &str, cx: &Context<'_>) -> Option<Lossy> {
    let cut = shorten::cut(text.strip_suffix('\n').unwrap_or(text));
    if cut.len() < FEWEST_LINES {
        return None;
    }
    let lines: Vec<&str> = cut.iter().map(|line| line.text).collect();
    let groups = wording::group(cut.iter().map(|line| (line.rest(), u8::from(line.stamp.is_some()))), 1);
    let signals: Vec<Signal> = lines.iter().map(|line| signal::of(line)).collect();
    let mut keep = Keep::sparing(&lines, cx);
    keep_errors(&mut keep, &cut, &signals);
    for line in (0..FIRST).chain((lines.len() - LAST..lines.len()).rev()) {
        keep.may(line);
    }
    for line in Query::new(cx).best(&lines).into_iter().take(ANSWERS) {
        keep.may(line);
    }
    for group in groups.all().iter().filter(|group| group.count > 0) {
        if signals.get(group.first) == Some(&Signal::Warning) {
            keep.may(group.first);
        }
    }
    // half of what is left is for the wordings of the rest
    let reserve = keep.left() / 2;
    for group in groups.all() {
        if (1..=2).contains(&group.count) && keep.left() > reserve {
            keep.may(group.first);
        }
    }
    keep.close_small_gaps();
    let left_out = lines.len() - keep.count();
    if left_out == 0 {
        return None;
    }
    let mut text = keep.render(|gap| format!("… {}", counted_lines(&gap, cx)));
    let (table, listed) = wordings(&keep, &cut, &groups, reserve);
    text.push_str(&table);
    let gone = || lines.iter().zip(&signals).enumerate().filter(|(line, _)| !keep.has(*line));
    let errors = gone().filter(|(_, (_, signal))| **signal == Signal::Error).map(|(_, (line, _))| *line);
    let codes = Codes::of(errors);
    let mut what = format!("{} of {} left out", grouped(left_out), counted(lines.len(), "line"));
    if codes.lines > 0 {
        what.push_str(&format!(", {} of them errors like those shown{codes}", grouped(codes.lines)));
    }
    let all = Codes::of(gone().map(|(_, (line, _))| *line));
    if all.without() * 2 < all.lines && all.counts.len() > 1 {
        text.push_str(&format!("\n[left out, by status:{}]", all.listed()));
    }
    if listed > 0 {
        what.push_str("; wordings and counts above");
    }
    Some(Lossy { text, left_out: what })
}

/// Codes named at most; requests are answered with some ten.
const MOST_CODES: usize = 16;

/// How many of some lines have which status of HTTP.
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
        counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        counts.truncate(MOST_CODES);
        Self { lines: all, counts }
    }

    /// Lines without one of the codes.
    fn without(&self) -> usize {
        self.lines - self.counts.iter().map(|(_, count)| count).sum::<usize>()
    }

    /// ` 27× 404, 9× 500`, and how many lines have none of them.
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

/// The first line of each kind of error, and the trace behind it.
fn keep_errors(keep: &mut Keep<'_, '_>, lines: &[Line<'_>], signals: &[Signal]) {
    let mut seen: hashbrown::HashSet<u64, foldhash::fast::FixedState> = hashbrown::HashSet::default();
    let stamped = lines.iter().any(|line| line.stamp.is_some());
    let mut trace = 0;
    for (number, line) in lines.iter().enumerate() {
        let goes_on =
            if stamped { line.stamp.is_none() } else { line.text.starts_with([' ', '\t']) && number > 0 };
        if !goes_on {
            trace = 0;
        }
        if signals.get(number) == Some(&Signal::Error) {
            // requests that failed in another way are another kind of failure, whatever else they share
            let status = u64::from(signal::status(line.text).unwrap_or_default());
            if seen.insert(wording::report_key(line.text).wrapping_add(status)) {
                keep.must(number);
                trace = TRACE;
            }
        } else if goes_on && trace > 0 && seen.insert(wording::report_key(line.text)) {
            trace -= 1;
            keep.may(number);
        }
    }
}

/// What was left out, by wording: how often, what, from when to when.
fn wordings(keep: &Keep<'_, '_>, lines: &[Line<'_>], groups: &Groups, room: usize) -> (String, usize) {
    // first and last line and number of lines of each group that are not shown
    let mut missing: Vec<(usize, usize, usize)> = vec![(0, 0, 0); groups.all().len()];
    for number in (0..lines.len()).filter(|&number| !keep.has(number)) {
        let Some(group) = groups.of(number) else { continue };
        let Some((first, last, count)) = missing.get_mut(group) else { continue };
        if *count == 0 {
            *first = number;
        }
        *last = number;
        *count += 1;
    }
    let mut order: Vec<(usize, (usize, usize, usize))> =
        missing.into_iter().enumerate().filter(|(_, (_, _, count))| *count > 0).collect();
    order.sort_by(|(a, (_, _, of_a)), (b, (_, _, of_b))| of_b.cmp(of_a).then(a.cmp(b)));
    let mut out = String::new();
    let mut listed = 0;
    for &(group, (first, last, count)) in order.iter().take(WORDINGS) {
        let (Some(first), Some(last)) = (lines.get(first), lines.get(last)) else { continue };
        let mut wording = groups.wording(group, first.rest(), "*");
        if wording.len() > WORDING_BYTES {
            wording.truncate(signal::floor_char_boundary(&wording, WORDING_BYTES));
            wording.push('…');
        }
        let row = format!("\n{}× {}{}", grouped(count), wording.trim(), span(*first, *last));
        if out.len() + row.len() > room || count == 1 {
            break;
        }
        out.push_str(&row);
        listed += 1;
    }
    if listed > 0 {
        out.insert_str(0, "\n[left out, by wording:]");
        let others: usize =
            order.get(listed..).unwrap_or_default().iter().map(|(_, (_, _, count))| count).sum();
        if others > 0 {
            out.push_str(&format!("\nand {} of other wording", counted(others, "line")));
        }
    }
    (out, listed)
}

/// ` (10:00:01 to 10:07:12)`.
fn span(first: Line<'_>, last: Line<'_>) -> String {
    let (Some(from), Some(to)) = (first.stamp, last.stamp) else { return String::new() };
    let open = |line: Line<'_>, end: usize| {
        line.text.get(..end).unwrap_or_default().trim_start_matches(['[', '"', '(', '{']).to_owned()
    };
    let end = if first.lead() == last.lead() { last.time().to_owned() } else { open(last, to.end) };
    format!(" ({} to {end})", open(first, from.end))
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
            kept.text.contains("× INFO api: GET * took * ms (2026-03-01 10:00:03 to 10:06:35)"),
            "{}",
            kept.text
        );
        assert!(kept.text.contains("13× ERROR db: connection refused by *"), "{}", kept.text);
        assert!(kept.left_out.contains("13 of them errors like those shown"), "{}", kept.left_out);
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
