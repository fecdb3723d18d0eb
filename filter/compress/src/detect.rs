//! Finds out which kind of content a text is.
//!
//! A text is read as lines, and its kind is the one whose shape enough of its lines have. Only a sample of
//! the lines is checked, from the start and spread over the rest, so the cost does not grow with the text.
//! The sample depends on the text alone (I3). The order of the rules matters: the more specific shape wins.

mod shape;

use crate::kinds::{history, json, snapshot};
use crate::outcome::Kind;
use shape::{
    Line, is_code, is_column_header, is_commit, is_dated, is_diff_file, is_frame, is_hunk_header, is_located,
    is_log, is_markup, is_named, is_numbered, is_numbered_by_a_reader, is_package, is_path, is_permissions,
    is_piped, is_ruling, is_test, is_wide,
};

/// Lines that are checked at the start, where headers and the first results are.
const HEAD_LINES: usize = 200;
/// Lines that are checked after the head, evenly spread.
const SPREAD_LINES: usize = 200;
/// Bytes of a line that are checked: its shape shows at its start.
const LINE_BYTES: usize = 400;

/// The kind of a text, from the text alone.
pub(crate) fn kind(text: &str) -> Kind {
    let trimmed = text.trim_ascii();
    if looks_like_json(trimmed) {
        return if is_json_lines(trimmed) { Kind::JsonLines } else { Kind::Json };
    }
    if json::cut::is_cut(trimmed) {
        return Kind::Json;
    }
    if history::is_history(trimmed) {
        return Kind::History;
    }
    if snapshot::is_snapshot(trimmed) {
        return Kind::Snapshot;
    }
    let sample = Sample::of(text.as_bytes());
    if is_diff(trimmed, &sample) {
        return Kind::Diff;
    }
    if is_html(trimmed.as_bytes(), &sample) {
        return Kind::Html;
    }
    // Even without diffs: such a text is from git, and not prose.
    if starts_with_commit(trimmed) || sample.more_than(50, is_commit) {
        return Kind::Diff;
    }
    sample.kind()
}

/// Whether a text starts and ends like a JSON document. The compressor parses it and finds out whether it is
/// one; if not, it has no JSON form.
fn looks_like_json(text: &str) -> bool {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(b'{'), Some(b'}')) => {
            // Python prints a quote of its own.
            matches!(bytes.get(1..).unwrap_or_default().trim_ascii_start().first(), Some(b'"' | b'}' | b'\''))
        }
        (Some(b'['), Some(b']')) => {
            bytes.get(1..).unwrap_or_default().trim_ascii_start().first().is_some_and(|b| {
                matches!(b, b'{' | b'[' | b'"' | b']' | b'-' | b't' | b'f' | b'n' | b'0'..=b'9')
            })
        }
        _ => false,
    }
}

/// Whether there are at least two lines, each of which starts and ends like a JSON document.
fn is_json_lines(text: &str) -> bool {
    let mut lines = text.lines().take(HEAD_LINES).filter(|line| !line.trim_ascii().is_empty());
    let first_is_whole = |line: &str| {
        let line = line.trim_ascii().as_bytes();
        matches!((line.first(), line.last()), (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')))
    };
    match (lines.next(), lines.next()) {
        (Some(first), Some(second)) => {
            first_is_whole(first) && first_is_whole(second) && lines.all(first_is_whole)
        }
        _ => false,
    }
}

/// `commit 4a70ab3…` and the lines of git after it.
fn starts_with_commit(text: &str) -> bool {
    let mut lines = text.lines().map(|line| Line { bytes: line.as_bytes(), bare: line.as_bytes() });
    lines.next().is_some_and(|line| line.bytes.starts_with(b"commit ") && is_commit(&line))
        && lines.take(4).any(|line| line.bytes.starts_with(b"Author: "))
}

fn is_diff(text: &str, sample: &Sample<'_>) -> bool {
    text.starts_with("diff --git ") || sample.at_least(1, is_hunk_header) && sample.at_least(2, is_diff_file)
}

fn is_html(text: &[u8], sample: &Sample<'_>) -> bool {
    let head = text.get(..text.len().min(LINE_BYTES)).unwrap_or_default();
    let starts = |at: usize, tag: &[u8]| {
        head.get(at..at + tag.len()).is_some_and(|found| found.eq_ignore_ascii_case(tag))
    };
    memchr::memchr_iter(b'<', head).any(|at| starts(at, b"<!doctype html") || starts(at, b"<html"))
        || sample.more_than(50, is_markup)
}

/// The lines that decide about a text: all except empty ones and grep's `--`.
struct Sample<'t> {
    /// Lines that the output itself has written.
    lines: Vec<Line<'t>>,
    /// Lines of a file, with a number that a file reader put before them. Their shapes are not the output's.
    read: usize,
    /// How many of the first lines, at most [`TITLE_LINES`], are in `lines`.
    titles: usize,
    /// The first line, if it is in `lines`.
    first: Option<Line<'t>>,
}

/// One of this many lines at the start may name the columns of a table.
const TITLE_LINES: usize = 4;

impl<'t> Sample<'t> {
    fn of(text: &'t [u8]) -> Self {
        let mut sample = Self { lines: Vec::with_capacity(HEAD_LINES), read: 0, titles: 0, first: None };
        let mut rest = text;
        let mut seen = 0;
        while seen < HEAD_LINES && !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |i| i + 1);
            sample.add(rest.get(..end).unwrap_or_default());
            rest = rest.get(end..).unwrap_or_default();
            seen += 1;
        }
        // Positions in bytes, not line numbers: so the lines between need not be searched.
        let stride = rest.len() / SPREAD_LINES;
        let mut at = 0;
        for _ in 0..SPREAD_LINES {
            if stride == 0 || at >= rest.len() {
                break;
            }
            let window = rest.get(at..rest.len().min(at + 4 * LINE_BYTES)).unwrap_or_default();
            if let Some(start) = memchr::memchr(b'\n', window).map(|i| at + i + 1) {
                let window = rest.get(start..rest.len().min(start + 4 * LINE_BYTES)).unwrap_or_default();
                if let Some(length) = memchr::memchr(b'\n', window) {
                    sample.add(rest.get(start..start + length).unwrap_or_default());
                }
            }
            at += stride.max(1);
        }
        sample
    }

    fn add(&mut self, line: &'t [u8]) {
        let line = line.trim_ascii_end();
        let bytes = line.get(..line.len().min(LINE_BYTES)).unwrap_or_default();
        let line = Line { bytes, bare: bytes.trim_ascii_start() };
        if line.bare.is_empty() || line.bare == b"--" {
            return;
        }
        if is_numbered_by_a_reader(&line) {
            self.read += 1;
            return;
        }
        if self.len() == 0 {
            self.first = Some(line);
        }
        if self.len() < TITLE_LINES {
            self.titles += 1;
        }
        self.lines.push(line);
    }

    fn len(&self) -> usize {
        self.lines.len() + self.read
    }

    /// The smallest number of lines that is more than this percentage of all.
    fn more(&self, percent: usize) -> usize {
        self.len() * percent / 100 + 1
    }

    /// Whether more than this percentage of the lines have a shape.
    fn more_than(&self, percent: usize, has: impl Fn(&Line<'_>) -> bool) -> bool {
        self.at_least(self.more(percent), has)
    }

    /// Whether this many lines have a shape. Stops as soon as that is known.
    fn at_least(&self, needed: usize, has: impl Fn(&Line<'_>) -> bool) -> bool {
        let mut missing = needed;
        let mut left = self.lines.len();
        for line in &self.lines {
            if missing == 0 || missing > left {
                break;
            }
            missing -= usize::from(has(line));
            left -= 1;
        }
        missing == 0
    }

    fn kind(&self) -> Kind {
        let headed = || self.lines.get(..self.titles).unwrap_or_default().iter().any(is_column_header);
        // `2025-06-20T10:38:18` also looks like a path and a line number, and so do cells
        if (self.more_than(50, |line| is_located(line) && !is_dated(line))
            || self.more_than(70, |line| is_named(line) && !is_dated(line)))
            && !(self.len() >= 3 && headed())
        {
            return Kind::Search;
        }
        if self.more_than(40, is_permissions) {
            return Kind::Listing;
        }
        if self.more_than(50, is_log) {
            // Rows of a table may start with a date; then the first line names the columns.
            let titled = self.first.is_some_and(|first| !is_log(&first));
            let table = titled && self.len() >= 5 && DELIMITERS.iter().any(|d| self.is_cut_evenly(*d));
            return if table { Kind::Table } else { Kind::Log };
        }
        // Ids in the first column are not line numbers.
        if self.read == 0 && self.lines.get(..self.titles).unwrap_or_default().iter().any(is_ruling) {
            return Kind::Table;
        }
        if self.at_least(self.more(60).saturating_sub(self.read), is_numbered) {
            return Kind::Source;
        }
        let few = self.len() < 3;
        if !few && self.more_than(35, is_frame) || self.at_least(self.more(20).min(3), is_test) {
            return Kind::TestBuild;
        }
        if self.more_than(60, is_path) {
            return Kind::Listing;
        }
        if self.more_than(50, is_piped) || !few && (headed() || self.more_than(80, is_wide)) {
            return Kind::Table;
        }
        if self.more_than(40, is_code) {
            return Kind::Source;
        }
        let delimited = self.len() >= 5 && DELIMITERS.iter().any(|d| self.is_cut_alike(*d));
        let packages = self.len() >= 5 && self.more_than(60, is_package);
        if delimited || packages { Kind::Table } else { Kind::Text }
    }

    /// Whether all lines have exactly as many delimiters as the first one.
    fn is_cut_evenly(&self, delimiter: u8) -> bool {
        let of_first = self.first.map_or(0, |first| first.count(delimiter));
        of_first > 0 && self.read == 0 && self.lines.iter().all(|line| line.count(delimiter) == of_first)
    }

    /// Whether most lines have about as many delimiters as the first one.
    fn is_cut_alike(&self, delimiter: u8) -> bool {
        let of_first = self.first.map_or(0, |first| first.count(delimiter));
        let alike = |line: &Line<'_>| {
            let n = line.count(delimiter);
            n >= 2 && n.abs_diff(of_first) <= (of_first / 4).max(1)
        };
        of_first >= 2 && self.more_than(80, alike)
    }
}

/// Possible delimiters between the cells of a table.
const DELIMITERS: [u8; 2] = *b",\t";

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(line: impl Fn(usize) -> String) -> String {
        (1..=20).map(|i| line(i) + "\n").collect()
    }

    #[test]
    fn each_shape_has_its_kind() {
        let cases = [
            (Kind::Json, "{\"a\": 1}".to_owned()),
            (Kind::JsonLines, lines(|i| format!("{{\"a\": {i}}}"))),
            (Kind::Diff, "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n".to_owned()),
            (Kind::Html, "<!DOCTYPE html>\n<html><body>x</body></html>".to_owned()),
            (Kind::Search, lines(|i| format!("src/a/b.rs:{i}:    let x = {i};"))),
            (Kind::Search, lines(|i| format!("src/a-b.rs-{i}-    let x = {i};"))),
            (Kind::Search, lines(|i| format!("C:\\src\\a\\b.cs:{i}:    var x = {i};"))),
            (Kind::Source, lines(|i| format!("{i:>6}→\tlet x = 1;"))),
            (Kind::Source, lines(|i| format!("    let x{i} = call();"))),
            (
                Kind::Table,
                format!(
                    "NAME           READY   STATUS    RESTARTS     AGE\n{}",
                    lines(|i| format!("api-{i:<2}-x1       1/1     Running   {i} (2d ago)   12d"))
                ),
            ),
            (Kind::Log, lines(|i| format!("2024-05-06 07:08:{i:02},123 INFO [main] started"))),
            (Kind::Log, lines(|i| format!("2025-06-20T10:38:{i:02}.916Z [INFO] auth - login_success"))),
            (
                Kind::Log,
                lines(|i| {
                    format!("{{\"level\":30,\"msg\":\"in\"}}\n{{\"level\":40,\"msg\":\"{i}\"}}\nserving: {i}")
                }),
            ),
            (Kind::Log, lines(|i| format!("Jun 14 15:16:{i:02} combo sshd[19939]: check pass"))),
            (Kind::TestBuild, lines(|i| format!("test a::b{i} ... ok"))),
            (Kind::TestBuild, lines(|i| format!("tests/test_a.py::test_{i} PASSED"))),
            (
                Kind::TestBuild,
                lines(|i| format!("_________ ERROR at setup of test_{i} _________\nE   KeyError: 'a'")),
            ),
            (Kind::Listing, lines(|i| format!("./src/module/file{i}.py"))),
            (Kind::Listing, lines(|i| format!("-rw-r--r-- 1 root root {i} Jan  1 10:00 f{i}.txt"))),
            (
                Kind::Table,
                format!("NAME   READY   STATUS\n{}", lines(|i| format!("pod-{i}   1/1   Running"))),
            ),
            (Kind::Table, lines(|i| format!("| a{i} | b | c |"))),
            (
                Kind::Table,
                format!(" id   | name\n------+------\n{}", lines(|i| format!(" {:4} | n{i}", 8000 + i))),
            ),
            (Kind::Table, format!("time,count\n{}", lines(|i| format!("2015/01/01 01:{i:02}:00,7")))),
            (Kind::Table, lines(|i| format!("{i},Toronto,43.65,open"))),
            (Kind::Text, lines(|i| format!("This is sentence number {i} of a longer text about things"))),
        ];
        for (expected, text) in cases {
            assert_eq!(kind(&text), expected, "{}", text.lines().next().unwrap_or_default());
        }
    }

    #[test]
    fn a_time_or_a_date_in_a_name_is_no_place_in_a_file() {
        for line in [
            |i: usize| format!("web-10:22:{:02}: request {i} was served to the client", i + 10),
            |i| format!("worker-2026-05-06 job number {i} has been put into the queue"),
            |i| format!("app.log-2026-05-06T10:22:{:02} request {i} was served", i + 10),
            |i| format!("backup-2026-05-{:02}.tar.gz was written to the archive by {i}", i + 1),
            |i| format!("api_10:22:{:02}: GET /items/{i} took long", i + 10),
            |i| format!("host-2026-05-06-{i} is up and running since then"),
            |i| format!("api.example.com:{}: a connection was accepted", 8080 + i),
            |i| format!("10.0.0.7:{}: a connection was accepted", 8080 + i),
            |i| format!("localhost:{}: a connection was accepted", 8080 + i),
        ] {
            assert_ne!(kind(&lines(line)), Kind::Search, "{}", line(1));
        }
        for line in [
            |i: usize| format!("src/2026-05-06-init.sql:{i}:create table t{i};"),
            |i| format!("file2:{}:22: warning", i + 10),
            |i| format!("logs/app-2026-05-06.log:{i}:started"),
        ] {
            assert_eq!(kind(&lines(line)), Kind::Search, "{}", line(1));
        }
    }

    #[test]
    fn what_has_a_time_or_numbers_with_points_is_not_always_a_log() {
        for line in [
            |i: usize| format!("10.0.{i}.0/24 via 192.168.0.{i} dev eth0 proto bgp metric 20"),
            |i| format!("/var/backups/db-2026-11-05T03:15:{:02}.tar.gz uploaded {i}MB", i + 10),
            |i| format!("2026-11-05T03:15:{:02}.tar.gz uploaded {i}MB", i + 10),
            |i| format!("ee4610{:x} Ann Example 2026-11-29 14:06:{:02} +0000 Fix number {i}", i % 10, i + 10),
            |i| format!("ee4610d{:x} 2026-11-29T14:06:{:02}+00:00 Fix number {i}", i + 16, i + 10),
            |i| format!("2026-11-29 14:06:{:02} +0000 ee4610{:x} Fix number {i}", i + 10, i % 10),
        ] {
            assert_ne!(kind(&lines(line)), Kind::Log, "{}", line(1));
        }
        for line in [
            |i: usize| {
                format!("10.0.0.{i} - - [29/Nov/2026:10:00:{:02} +0000] \"GET / HTTP/1.1\" 200 {i}", i + 10)
            },
            |i| format!("web-1 2026-11-29 14:06:{:02} +0000 served {i}", i + 10),
            |i| format!("ee4610d{} 2026-11-29T14:06:{:02}Z served {i}", i % 10, i + 10),
            |i| format!("2026-11-29 14:06:{:02} +0000 [info]: worker {i} is up", i + 10),
            |i| format!("ts=2026-11-29T14:06:{:02}.123Z wrote a.log {i}", i + 10),
        ] {
            assert_eq!(kind(&lines(line)), Kind::Log, "{}", line(1));
        }
    }

    #[test]
    fn histories_and_lists_of_packages_are_no_prose() {
        let commit = |i: usize| {
            format!(
                "commit {:040x}\nAuthor: A B <a@b.c>\nDate:   Mon May 4 10:00:00 2026 +0200\n\n    Fix number {i}\n\n \
                 src/a.rs | {i} ++--\n b.md | 2 +\n 2 files changed, 3 insertions(+)\n",
                i * 7919
            )
        };
        let stat = |i: usize| format!(" src/dir/file{i}.rs | {i} +-");
        assert_eq!(kind(&lines(commit)), Kind::History);
        assert_eq!(kind(&lines(stat)), Kind::Diff);
        for line in [
            |i: usize| format!("package{i}==1.{i}.0"),
            |i| format!("package-{i}          1.{i}.0"),
            |i| format!("package{i}/stable,now 1.{i}.0-2 amd64 [installed,automatic]"),
            |i| format!("github.com/a/package{i} v1.{i}.0"),
            |i| format!("package{i} (1.{i}.0)"),
            |i| format!("@scope/package{i}@1.{i}.0"),
            |i| format!("package{i}   1.{i}.0   pypi_0    pypi"),
        ] {
            assert_ne!(kind(&lines(line)), Kind::Text, "{}", line(1));
        }
        let prose = |i: usize| format!("Version 1.{i} of the program came with {i} changes in it");
        assert_eq!(kind(&lines(prose)), Kind::Text);
    }

    #[test]
    fn any_text_has_a_kind() {
        for text in [
            "",
            "\n",
            "{",
            "[",
            "é\n→",
            "\u{0}",
            &"x".repeat(3000),
            &"é\n".repeat(3000),
            &"12→\n".repeat(900),
        ] {
            let found = kind(text);
            assert!(
                !matches!(found, Kind::Log | Kind::Diff | Kind::Html | Kind::History),
                "{text:.20}: {found:?}"
            );
        }
    }
}
