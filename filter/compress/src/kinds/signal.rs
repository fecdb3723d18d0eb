//! What a line of tool output signals: an error, a warning, or nothing.
//!
//! A line is an error if it has a word for it (`failed`, `ValueError`, `connection refused`), an HTTP status
//! from 400 on, or an exit status other than zero. A statement that there was none (`0 failed`, `errors: 0`)
//! is not an error. Lines are judged one by one, so a line means the same everywhere.

mod level;

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use self::level::{Level, level};
use crate::work;

/// How much a line matters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Signal {
    None,
    /// Worth one example: a warning, a hint that something was wrong.
    Warning,
    /// Never left out without an example of its kind.
    Error,
}

/// How a search word has to occur in the line to count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rule {
    /// A separate word.
    Word,
    /// A separate word that a count may turn into its opposite: `0 failed`.
    Counted,
    /// As `Counted`, or the end of a longer word: `ValueError`.
    Suffix,
    /// Followed by an HTTP status of 400 or more.
    Status,
    /// `HTTP/1.1" 404`.
    Protocol,
    /// The closing quote of a request line, followed by status and size.
    Quoted,
    /// Followed by a number other than zero.
    Exit,
    /// A separate word, but only a warning.
    Warn,
    /// Anywhere, but only a warning.
    WarnPart,
    /// A separate word that reports a failure, but there may be too many of them for an example of each.
    Fails,
    /// The same, anywhere.
    FailsPart,
}

const NEEDLES: &[(&str, Rule)] = &[
    ("error", Rule::Suffix),
    ("exception", Rule::Suffix),
    ("errors", Rule::Counted),
    ("failed", Rule::Counted),
    ("failure", Rule::Counted),
    ("failures", Rule::Counted),
    ("fatal", Rule::Word),
    ("traceback", Rule::Word),
    ("panic", Rule::Word),
    ("panicked", Rule::Word),
    ("segfault", Rule::Word),
    ("segmentation fault", Rule::Word),
    ("aborted", Rule::Word),
    ("denied", Rule::Word),
    ("unauthorized", Rule::Word),
    ("forbidden", Rule::Word),
    ("timed out", Rule::Word),
    ("timeout", Rule::Word),
    ("unreachable", Rule::Word),
    ("refused", Rule::Word),
    ("not found", Rule::Word),
    ("no such file", Rule::Word),
    ("cannot", Rule::Word),
    ("critical", Rule::Word),
    ("emergency", Rule::Word),
    ("emerg", Rule::Word),
    ("oomkilled", Rule::Word),
    ("crashloopbackoff", Rule::Word),
    ("npm err!", Rule::Word),
    ("status", Rule::Status),
    ("status_code", Rule::Status),
    ("statuscode", Rule::Status),
    ("code", Rule::Status),
    ("http/", Rule::Protocol),
    ("\" 4", Rule::Quoted),
    ("\" 5", Rule::Quoted),
    ("exit code", Rule::Exit),
    ("exit status", Rule::Exit),
    ("exited with", Rule::Exit),
    ("exited with code", Rule::Exit),
    ("exited with status", Rule::Exit),
    ("exit", Rule::Exit),
    ("exit_code", Rule::Exit),
    ("exit_status", Rule::Exit),
    ("exitcode", Rule::Exit),
    ("returncode", Rule::Exit),
    ("rc", Rule::Exit),
    ("warn", Rule::Warn),
    ("warning", Rule::WarnPart),
    ("fail", Rule::Fails),
    ("fails", Rule::Fails),
    ("deprecated", Rule::Warn),
    ("invalid", Rule::Warn),
    ("unable to", Rule::Fails),
    ("could not", Rule::Fails),
    ("crash", Rule::Fails),
    ("crashed", Rule::Fails),
    ("killed", Rule::Fails),
    ("unhealthy", Rule::Fails),
    ("rejected", Rule::Fails),
    ("not ok", Rule::Fails),
    ("mismatch", Rule::Fails),
    ("deadlock", Rule::Fails),
    ("corrupt", Rule::Fails),
    ("corrupted", Rule::Fails),
    ("✗", Rule::FailsPart),
    ("✘", Rule::FailsPart),
    ("✕", Rule::FailsPart),
    ("✖", Rule::FailsPart),
];

/// `None` only if the automaton could not be built, which depends only on the table above.
static AUTOMATON: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .build(NEEDLES.iter().map(|(needle, _)| needle))
        .ok()
});

/// How many bytes of a line are read for signals. A line shows what it is about near its start; the end of a
/// very long one is payload.
const READ: usize = 2000;

/// How far back the start of a word is searched. Names of exception classes are shorter.
const LONGEST_NAME: usize = 120;

/// The signal of `line`.
pub(crate) fn classify(line: &str) -> Signal {
    scan(line).0
}

/// Whether `line` reports that something failed. Such a line stays as the tool printed it.
pub(crate) fn reports_failure(line: &str) -> bool {
    scan(line).1 || is_assertion(line) || has_failed_mark(line)
}

/// `E   assert 1 == 2`, `>       assert a == b`: pytest's lines about a failure and its place.
fn is_assertion(line: &str) -> bool {
    line.starts_with("E   ") || line.starts_with(">   ")
}

/// `tests/test_a.py ..F.. [ 10%]`: a character per test, one of which failed.
fn has_failed_mark(line: &str) -> bool {
    // Nearly all lines end in something else.
    if memchr::memchr(b'[', line.as_bytes()).is_none()
        && !line.trim_end().ends_with(['.', 's', 'x', 'X', 'F', 'E'])
    {
        return false;
    }
    let line = line.split(" [").next().unwrap_or(line).trim_end();
    let marks = line.rsplit(' ').next().unwrap_or(line);
    marks.len() >= 3
        && marks.bytes().all(|b| matches!(b, b'.' | b's' | b'x' | b'X' | b'F' | b'E'))
        && marks.bytes().any(|b| matches!(b, b'F' | b'E'))
        && marks.bytes().any(|b| b == b'.')
}

/// `src/a.c:3:7: error: …`, `src/a.ts(3,7): error TS1: …`: a compiler's or linter's message, not a search
/// result.
pub(crate) fn is_diagnostic(line: &str) -> bool {
    const SAYS: [&str; 5] = ["error", "fatal", "FAIL", "panic", "ERROR"];
    memchr::memchr_iter(b':', line.as_bytes()).take(MOST_COLONS).any(|at| {
        let message = line.get(at + 1..).unwrap_or_default().trim_start_matches(' ');
        let placed = line.get(..at).unwrap_or_default().bytes().any(|b| b.is_ascii_digit());
        placed && at + 1 + message.len() < line.len() && SAYS.iter().any(|word| message.starts_with(word))
    })
}

/// How many colons may come before the message of a diagnostic: a drive's, those of line and column, one
/// more.
const MOST_COLONS: usize = 5;

/// The signal of a line, and whether it reports a failure.
pub(crate) fn scan(line: &str) -> (Signal, bool) {
    let line = line.get(..floor_char_boundary(line, READ)).unwrap_or_default();
    work::spend(line.len());
    let Some(automaton) = AUTOMATON.as_ref() else { return (Signal::None, false) };
    let (mut signal, mut failure) = match level(line) {
        Some(Level::Error) => return (Signal::Error, true),
        Some(Level::Warning) => (Signal::Warning, false),
        Some(Level::Other) | None => (Signal::None, false),
    };
    for found in automaton.find_iter(line) {
        let Some((_, rule)) = NEEDLES.get(found.pattern().as_usize()) else { continue };
        let (start, end) = (found.start(), found.end());
        if !holds(*rule, line, start, end) {
            continue;
        }
        let warns = matches!(rule, Rule::Warn | Rule::WarnPart);
        let fails = matches!(rule, Rule::Fails | Rule::FailsPart);
        if !warns && !fails {
            return (Signal::Error, true);
        }
        if !counts_none(line.get(..start).unwrap_or_default()) {
            signal = Signal::Warning;
            failure |= fails;
        }
    }
    (signal, failure)
}

/// Whether a needle stands in a line in the way that counts.
#[inline]
fn holds(rule: Rule, line: &str, start: usize, end: usize) -> bool {
    let word = || starts_word(line, start) && ends_word(line, end);
    match rule {
        Rule::Word | Rule::Warn | Rule::Fails => word() && !is_in_a_name(line, start, end),
        Rule::WarnPart | Rule::FailsPart => true,
        Rule::Counted => word() && !says_none(line, start, end) && !is_in_a_name(line, start, end),
        Rule::Suffix if starts_word(line, start) => {
            ends_word(line, end) && !says_none(line, start, end) && !is_in_a_name(line, start, end)
        }
        Rule::Suffix => ends_word(line, end) && ends_name(line, start) && !is_in_a_name(line, start, end),
        Rule::Status => {
            starts_word(line, start) && status_follows(after_marks(line.get(end..).unwrap_or_default()))
        }
        Rule::Protocol => {
            starts_word(line, start) && status_follows(after_version(line.get(end..).unwrap_or_default()))
        }
        Rule::Quoted => request_size_follows(line.get(end - 1..).unwrap_or_default()),
        Rule::Exit => starts_word(line, start) && nonzero_follows(line.get(end..).unwrap_or_default()),
    }
}

/// The first words of a line that say that something failed: `CrashLoopBackOff`, `ValueError`. `None` where no words
/// but a number or a mark says so.
pub(crate) fn failure_words(line: &str) -> Option<&str> {
    let line = line.get(..floor_char_boundary(line, READ)).unwrap_or_default();
    work::spend(line.len());
    AUTOMATON.as_ref()?.find_iter(line).find_map(|found| {
        let (_, rule) = NEEDLES.get(found.pattern().as_usize())?;
        let (start, end) = (found.start(), found.end());
        let says = matches!(rule, Rule::Word | Rule::Counted | Rule::Suffix | Rule::Fails);
        if !says || !holds(*rule, line, start, end) {
            return None;
        }
        let before = line.get(..start)?.bytes().rev();
        let name = before.take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        line.get(start - name.min(LONGEST_NAME)..end)
    })
}

/// Whether a line itself is a failure: by its level, by an HTTP status or by how a program ended. Its other
/// words may be about anything.
pub(crate) fn is_error(line: &str) -> bool {
    let line = line.get(..floor_char_boundary(line, READ)).unwrap_or_default();
    level(line) == Some(Level::Error) || outcome(line) != 0
}

/// The outcome of the request or the program in a line, as a number: 0 if nothing failed, or no outcome is
/// given.
pub(crate) fn outcome(line: &str) -> u64 {
    if let Some(status) = status(line).filter(|status| *status >= 400) {
        return u64::from(status);
    }
    let line = line.get(..floor_char_boundary(line, READ)).unwrap_or_default();
    work::spend(line.len());
    let exits = AUTOMATON.iter().flat_map(|automaton| automaton.find_iter(line)).filter(|found| {
        NEEDLES.get(found.pattern().as_usize()).is_some_and(|(_, rule)| *rule == Rule::Exit)
            && starts_word(line, found.start())
    });
    let mut numbers = exits.filter_map(|found| nonzero(line.get(found.end()..)?));
    numbers.next().map_or(0, |number| {
        let digits = number.bytes().filter(u8::is_ascii_digit);
        digits.fold(1000, |sum, b| (sum * 10_u64).wrapping_add(u64::from(b - b'0')))
    })
}

/// The HTTP status in a line: after the quoted request, after the version, or as `status=404`.
pub(crate) fn status(line: &str) -> Option<u16> {
    const NAMES: [&str; 3] = ["status=", "status\":", "status: "];
    let line = line.get(..floor_char_boundary(line, READ)).unwrap_or_default();
    work::spend(line.len());
    let code = |rest: &str| {
        let digits = rest.get(..3).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
        digits.parse().ok().filter(|code| (100..600).contains(code) && ends_word(rest, 3))
    };
    let quoted = line.find("\" ").and_then(|at| code(line.get(at + 2..)?));
    let versioned = || line.find("HTTP/").and_then(|at| code(after_version(line.get(at + 5..)?)));
    let named = || {
        let named =
            |name: &&str| code(line.get(line.find(*name)? + name.len()..)?.trim_start_matches([' ', '"']));
        NAMES.iter().find_map(named)
    };
    quoted.or_else(versioned).or_else(named)
}

/// The largest character boundary that is not beyond `at`.
pub(crate) fn floor_char_boundary(text: &str, at: usize) -> usize {
    if at >= text.len() {
        return text.len();
    }
    (0..=at).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn starts_word(line: &str, start: usize) -> bool {
    !line.get(..start).unwrap_or_default().chars().next_back().is_some_and(is_word)
}

/// Whether a word ends at `end`; text that does not end in a letter or digit always does.
fn ends_word(line: &str, end: usize) -> bool {
    let inside = line.get(..end).unwrap_or_default().chars().next_back().is_some_and(is_word);
    !inside || !line.get(end..).unwrap_or_default().chars().next().is_some_and(is_word)
}

/// Whether the word that continues at `start` began with a letter.
fn ends_name(line: &str, start: usize) -> bool {
    let first = line
        .get(..start)
        .unwrap_or_default()
        .chars()
        .rev()
        .take(LONGEST_NAME)
        .take_while(|&c| is_word(c))
        .last();
    first.is_some_and(|c| c.is_ascii_alphabetic())
}

/// Whether a word is a part of a name: of a path (`/errors/`), of a file (`error.log`), of a name with
/// hyphens (`error-reporter`).
fn is_in_a_name(line: &str, start: usize, end: usize) -> bool {
    let bytes = line.as_bytes();
    let before = start.checked_sub(1).and_then(|at| bytes.get(at));
    let (behind, next) = (bytes.get(end), bytes.get(end + 1));
    let is_letter = |b: Option<&u8>| b.is_some_and(u8::is_ascii_lowercase);
    matches!(before, Some(b'/' | b'\\'))
        || matches!(behind, Some(b'/' | b'\\'))
        || matches!(behind, Some(b'.' | b'-')) && is_letter(next)
}

/// `0 errors`, `no failures`, `errors: 0`, `error=null`, `without error`.
fn says_none(line: &str, start: usize, end: usize) -> bool {
    if counts_none(line.get(..start).unwrap_or_default()) {
        return true;
    }
    let found = line.get(start..end).unwrap_or_default();
    let none: &[&str] = if found.len() > 5 && found.get(..4).is_some_and(|f| f.eq_ignore_ascii_case("fail")) {
        &["0", "false", "none"]
    } else if found.eq_ignore_ascii_case("error") || found.eq_ignore_ascii_case("errors") {
        &["0", "null", "none", "false"]
    } else {
        return false;
    };
    let rest = after_marks(line.get(end..).unwrap_or_default());
    rest.len() < line.len() - end
        && none.iter().any(|word| {
            rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
                && ends_word(rest, word.len())
        })
}

/// Whether a text ends in `0 `, `no ` or `without `.
fn counts_none(before: &str) -> bool {
    let Some(before) = before.strip_suffix(' ') else { return false };
    let before = before.strip_suffix(" any").unwrap_or(before);
    ["0", "no", "zero", "without"].iter().any(|none| {
        let head = before.len().checked_sub(none.len());
        let tail = head.and_then(|head| before.get(head..));
        tail.is_some_and(|tail| tail.eq_ignore_ascii_case(none))
            && !head.and_then(|head| before.get(..head)).unwrap_or_default().ends_with(is_word)
    })
}

/// The text after the blanks, quotes, colons and equal signs between a name and its value.
fn after_marks(rest: &str) -> &str {
    rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ':' | '='))
}

/// The text after `1.1"` and a blank.
fn after_version(rest: &str) -> &str {
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let rest = rest.strip_prefix('"').unwrap_or(rest);
    if rest.starts_with(char::is_whitespace) { rest.trim_start() } else { "" }
}

/// `404` as a separate word.
fn status_follows(rest: &str) -> bool {
    matches!(rest.as_bytes(), [b'4' | b'5', b, c, ..] if b.is_ascii_digit() && c.is_ascii_digit())
        && ends_word(rest, 3)
}

/// `404 1234`.
fn request_size_follows(rest: &str) -> bool {
    status_follows(rest)
        && rest.as_bytes().get(3).is_some_and(u8::is_ascii_whitespace)
        && rest.as_bytes().get(4).is_some_and(u8::is_ascii_digit)
}

/// ` 1`, `: 2`, `=-9`: a number other than zero.
fn nonzero_follows(rest: &str) -> bool {
    nonzero(rest).is_some()
}

/// The separate number that follows, if it is not zero.
fn nonzero(rest: &str) -> Option<&str> {
    let number =
        rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ':' | '=' | '>'));
    let digits = number.strip_prefix('-').unwrap_or(number);
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    let negative = digits.len() < number.len();
    let is_number = length > 0 && ends_word(digits, length) && (negative || !digits.starts_with('0'));
    (number.len() < rest.len() && is_number).then(|| digits.get(..length).unwrap_or_default())
}

#[cfg(test)]
mod tests;
