//! What kind of content is this text?
//!
//! A text is read as lines, and each line votes for the shapes it has. Only a sample of the lines is
//! looked at, from the start and spread over the rest, so that the cost does not grow with the text;
//! which lines they are depends on the text alone (I3). The order of the rules matters: the more
//! specific shape wins.

mod shape;

use memchr::memmem;

use crate::outcome::Kind;
use shape::{
    SearchShape, gaps, is_code, is_column_header, is_dated, is_frame, is_log, is_numbered,
    is_numbered_by_a_reader, is_path, is_permissions, is_test, search_shape,
};

/// Lines looked at from the start. Headers and the first results stand there.
const HEAD_LINES: usize = 200;
/// Lines looked at behind the head, evenly spread.
const SPREAD_LINES: usize = 200;
/// Bytes of a line that are looked at: shapes show at the start of a line.
const LINE_BYTES: usize = 400;

/// The kind of a text, from the text alone.
pub(crate) fn kind(text: &str) -> Kind {
    let trimmed = text.trim_ascii();
    if looks_like_json(trimmed) {
        return if is_json_lines(trimmed) { Kind::JsonLines } else { Kind::Json };
    }
    let votes = Votes::count(text);
    if is_diff(trimmed, &votes) {
        return Kind::Diff;
    }
    if is_html(trimmed, &votes) {
        return Kind::Html;
    }
    votes.kind()
}

/// Starts and ends as a JSON document does. Whether it is one is found out by the compressor, which
/// parses it; a text that only looks like one then has no JSON form.
fn looks_like_json(text: &str) -> bool {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(b'{'), Some(b'}')) => {
            matches!(bytes[1..].trim_ascii_start().first(), Some(b'"' | b'}'))
        }
        (Some(b'['), Some(b']')) => bytes[1..].trim_ascii_start().first().is_some_and(|b| {
            matches!(b, b'{' | b'[' | b'"' | b']' | b'-' | b't' | b'f' | b'n' | b'0'..=b'9')
        }),
        _ => false,
    }
}

/// At least two lines, each of which starts and ends as a document of its own.
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

fn is_diff(text: &str, votes: &Votes) -> bool {
    text.starts_with("diff --git ") || (votes.hunk_header > 0 && votes.diff_file >= 2)
}

fn is_html(text: &str, votes: &Votes) -> bool {
    let mut head = text.len().min(LINE_BYTES);
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    let lower = text[..head].to_ascii_lowercase();
    lower.contains("<!doctype html")
        || memmem::find(lower.as_bytes(), b"<html").is_some()
        || votes.share(votes.markup) > 0.5
}

/// How many of the sampled lines have which shape.
#[derive(Default)]
struct Votes {
    lines: usize,
    numbered: usize,
    search: usize,
    grep: usize,
    log: usize,
    /// The first line is not a log line: perhaps it names columns.
    titled: bool,
    test: usize,
    frame: usize,
    path: usize,
    permissions: usize,
    piped: usize,
    markup: usize,
    code: usize,
    hunk_header: usize,
    diff_file: usize,
    columns: Columns,
    delimited: [Delimited; 2],
}

/// Whether the lines share columns that are set apart by runs of blanks.
#[derive(Default)]
struct Columns {
    header: bool,
    wide: usize,
}

/// Whether the lines have the same number of one delimiter.
#[derive(Default)]
struct Delimited {
    of_first: usize,
    same: usize,
    exact: usize,
}

impl Votes {
    fn count(text: &str) -> Self {
        let mut votes = Self::default();
        let mut rest = text;
        let mut seen = 0;
        while seen < HEAD_LINES && !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest.as_bytes()).map_or(rest.len(), |i| i + 1);
            votes.line(&rest[..end]);
            rest = &rest[end..];
            seen += 1;
        }
        // Positions, not line numbers: the lines between need not be found.
        let stride = rest.len() / SPREAD_LINES;
        let mut at = 0;
        for _ in 0..SPREAD_LINES {
            if stride == 0 || at >= rest.len() {
                break;
            }
            let bytes = rest.as_bytes();
            let window = &bytes[at..bytes.len().min(at + 4 * LINE_BYTES)];
            if let Some(start) = memchr::memchr(b'\n', window).map(|i| at + i + 1) {
                let window = &bytes[start..bytes.len().min(start + 4 * LINE_BYTES)];
                if let Some(length) = memchr::memchr(b'\n', window) {
                    votes.line(&rest[start..start + length]);
                }
            }
            at += stride.max(1);
        }
        votes
    }

    fn line(&mut self, line: &str) {
        let line = line.trim_ascii_end();
        let bytes = &line.as_bytes()[..line.len().min(LINE_BYTES)];
        let bare = bytes.trim_ascii_start();
        if bare.is_empty() || bare == b"--" {
            return;
        }
        let first = self.lines == 0;
        self.lines += 1;
        self.numbered += usize::from(is_numbered(bytes));
        if is_numbered_by_a_reader(bare) {
            // What follows is a line of a file, whose shapes are not the output's.
            return;
        }
        // `2025-06-20T10:38:18` reads like a path and a line number too
        if !is_dated(bare) {
            match search_shape(bytes) {
                SearchShape::Located => self.search += 1,
                SearchShape::Named => self.grep += 1,
                SearchShape::No => {}
            }
        }
        let log = is_log(bare);
        self.log += usize::from(log);
        self.titled |= first && !log;
        self.test += usize::from(is_test(bytes));
        self.frame += usize::from(is_frame(bytes));
        self.path += usize::from(is_path(bare));
        self.permissions += usize::from(is_permissions(bare));
        self.piped += usize::from(bare.len() > 2 && bare.starts_with(b"|") && bare.ends_with(b"|"));
        self.markup += usize::from(bare.starts_with(b"<") && bare.ends_with(b">"));
        self.code += usize::from(is_code(bytes));
        self.hunk_header += usize::from(bytes.starts_with(b"@@ -") || bytes.starts_with(b"@@@ -"));
        self.diff_file += usize::from(bytes.starts_with(b"+++ ") || bytes.starts_with(b"--- "));
        if self.lines <= 4 && is_column_header(bare) {
            self.columns.header = true;
        }
        self.columns.wide += usize::from(gaps(bare) >= 2);
        for (delimited, delimiter) in self.delimited.iter_mut().zip([b',', b'\t']) {
            let n = memchr::memchr_iter(delimiter, bytes).count();
            if first {
                delimited.of_first = n;
            }
            delimited.exact += usize::from(n > 0 && n == delimited.of_first);
            delimited.same +=
                usize::from(n >= 2 && n.abs_diff(delimited.of_first) <= (delimited.of_first / 4).max(1));
        }
    }

    fn share(&self, votes: usize) -> f64 {
        votes as f64 / self.lines.max(1) as f64
    }

    fn kind(&self) -> Kind {
        let share = |votes| self.share(votes);
        if self.search > 0 && share(self.search) > 0.5 || share(self.grep) > 0.7 {
            return Kind::Search;
        }
        if share(self.permissions) > 0.4 {
            return Kind::Listing;
        }
        if share(self.log) > 0.5 {
            // rows of a table may start with a date; then the first line names the columns
            let table =
                self.lines >= 5 && self.titled && self.delimited.iter().any(|d| d.exact == self.lines);
            return if table { Kind::Table } else { Kind::Log };
        }
        if share(self.numbered) > 0.6 {
            return Kind::Source;
        }
        if self.lines >= 3 && share(self.frame) > 0.35 || self.test >= 3 || share(self.test) > 0.2 {
            return Kind::TestBuild;
        }
        if share(self.path) > 0.6 {
            return Kind::Listing;
        }
        let delimited =
            self.lines >= 5 && self.delimited.iter().any(|d| d.of_first >= 2 && share(d.same) > 0.8);
        if share(self.piped) > 0.5
            || self.lines >= 3 && (self.columns.header || share(self.columns.wide) > 0.8)
        {
            return Kind::Table;
        }
        if share(self.code) > 0.4 {
            return Kind::Source;
        }
        if delimited { Kind::Table } else { Kind::Text }
    }
}

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
            (Kind::Source, lines(|i| format!("{i:>6}→\tlet x = 1;"))),
            (Kind::Source, lines(|i| format!("    let x{i} = call();"))),
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
            (Kind::Table, format!("time,count\n{}", lines(|i| format!("2015/01/01 01:{i:02}:00,7")))),
            (Kind::Table, lines(|i| format!("{i},Toronto,43.65,open"))),
            (Kind::Text, lines(|i| format!("This is sentence number {i} of a longer text about things"))),
        ];
        for (expected, text) in cases {
            assert_eq!(kind(&text), expected, "{}", text.lines().next().unwrap_or_default());
        }
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
            kind(text);
        }
    }
}
