//! What a line of tool output signals: an error, a warning, or nothing.
//!
//! A line is an error when it says so in a word (`failed`, `ValueError`, `connection refused`), by an
//! HTTP status from 400 on, or by an exit status other than zero. Saying that there was none
//! (`0 failed`, `errors: 0`) is not an error. Lines are judged one by one, so that a line means the same
//! wherever it stands.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use crate::work;

/// How much a line matters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Signal {
    None,
    /// Worth one example: a warning, a hint that something was not right.
    Warning,
    /// Never left out without an example of its kind.
    Error,
}

/// How a needle has to stand in the line to count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rule {
    /// A word of its own.
    Word,
    /// A word of its own that a count may turn into its opposite: `0 failed`.
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
    /// A word of its own, but only a warning.
    Warn,
    /// Anywhere, but only a warning.
    WarnPart,
    /// A word of its own that reports a failure, but may be one of many that are not worth an example each.
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
    ("✗", Rule::FailsPart),
    ("✘", Rule::FailsPart),
    ("✕", Rule::FailsPart),
    ("✖", Rule::FailsPart),
];

/// `None` only if the automaton could not be built, which depends on nothing but the table above.
static AUTOMATON: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .build(NEEDLES.iter().map(|(needle, _)| needle))
        .ok()
});

/// Words that say of a thing, in a field for its state, that it failed.
const BAD_STATES: &[&str] = &[
    "fail",
    "failed",
    "failing",
    "failure",
    "error",
    "errored",
    "err",
    "fatal",
    "crashed",
    "down",
    "dead",
    "unhealthy",
    "rejected",
    "denied",
    "refused",
    "declined",
    "timeout",
    "timed",
    "aborted",
    "killed",
    "oomkilled",
    "evicted",
    "broken",
    "corrupt",
    "unreachable",
    "panicked",
    "nok",
    "critical",
];

/// Whether a state says that something failed: `FAILED`, `timed_out`, `build-error`. Longer texts are not states.
pub(crate) fn is_bad_state(state: &str) -> bool {
    state.len() <= LONGEST_STATE
        && state.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| {
            BAD_STATES.iter().any(|bad| word.len() == bad.len() && word.eq_ignore_ascii_case(bad))
                || word.len() > 7
                    && word.get(word.len() - 7..).is_some_and(|end| end.eq_ignore_ascii_case("backoff"))
        })
        && !state.contains("0 ")
}

/// A state has at most so many bytes.
const LONGEST_STATE: usize = 32;

/// How far a line is read for signals, in bytes. What a line is about stands near its start; the tail
/// of a very long one is payload.
const READ: usize = 2000;

/// How far back the start of a word is looked for. Names of exception classes are shorter.
const LONGEST_NAME: usize = 120;

/// What `line` signals.
pub(crate) fn of(line: &str) -> Signal {
    scan(line).0
}

/// Whether `line` reports that something failed. Such a line stays as the tool printed it.
pub(crate) fn reports_failure(line: &str) -> bool {
    scan(line).1 || is_assertion(line) || has_failed_mark(line)
}

/// `E   assert 1 == 2`: what pytest says of a failure.
fn is_assertion(line: &str) -> bool {
    line.starts_with("E   ")
}

/// `tests/test_a.py ..F.. [ 10%]`: a character per test, one of which failed.
fn has_failed_mark(line: &str) -> bool {
    let line = line.split(" [").next().unwrap_or(line).trim_end();
    let marks = line.rsplit(' ').next().unwrap_or(line);
    marks.len() >= 3
        && marks.bytes().all(|b| matches!(b, b'.' | b's' | b'x' | b'X' | b'F' | b'E'))
        && marks.bytes().any(|b| matches!(b, b'F' | b'E'))
        && marks.bytes().any(|b| b == b'.')
}

/// `src/a.c:3:7: error: …`, `src/a.ts(3,7): error TS1: …`: a compiler's or linter's message, not a line that was
/// searched for.
pub(crate) fn is_diagnostic(line: &str) -> bool {
    const SAYS: [&str; 5] = ["error", "fatal", "FAIL", "panic", "ERROR"];
    memchr::memchr_iter(b':', line.as_bytes()).take(MOST_COLONS).any(|at| {
        let message = line.get(at + 1..).unwrap_or_default().trim_start_matches(' ');
        let placed = line.get(..at).unwrap_or_default().bytes().any(|b| b.is_ascii_digit());
        placed && at + 1 + message.len() < line.len() && SAYS.iter().any(|word| message.starts_with(word))
    })
}

/// Colons behind which the message of a diagnostic is looked for: a drive's, those of line and column, one more.
const MOST_COLONS: usize = 5;

/// What a line signals, and whether it reports a failure.
fn scan(line: &str) -> (Signal, bool) {
    let line = line.get(..floor_char_boundary(line, READ)).unwrap_or_default();
    work::spend(line.len());
    let Some(automaton) = AUTOMATON.as_ref() else { return (Signal::None, false) };
    let (mut signal, mut failure) = (Signal::None, false);
    for found in automaton.find_iter(line) {
        let Some((_, rule)) = NEEDLES.get(found.pattern().as_usize()) else { continue };
        let (start, end) = (found.start(), found.end());
        let word = || starts_word(line, start) && ends_word(line, end);
        let holds = match rule {
            Rule::Word | Rule::Warn | Rule::Fails => word(),
            Rule::WarnPart | Rule::FailsPart => true,
            Rule::Counted => word() && !says_none(line, start, end),
            Rule::Suffix if starts_word(line, start) => ends_word(line, end) && !says_none(line, start, end),
            Rule::Suffix => ends_word(line, end) && ends_name(line, start),
            Rule::Status => {
                starts_word(line, start) && status_follows(after_marks(line.get(end..).unwrap_or_default()))
            }
            Rule::Protocol => {
                starts_word(line, start) && status_follows(after_version(line.get(end..).unwrap_or_default()))
            }
            Rule::Quoted => request_size_follows(line.get(end - 1..).unwrap_or_default()),
            Rule::Exit => starts_word(line, start) && nonzero_follows(line.get(end..).unwrap_or_default()),
        };
        if !holds {
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

/// The status of HTTP that a line names: behind the request that it quotes, behind the version, or as `status=404`.
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

/// Whether what ends before `end` ends there; what does not end in a letter or digit always does.
fn ends_word(line: &str, end: usize) -> bool {
    let inside = line.get(..end).unwrap_or_default().chars().next_back().is_some_and(is_word);
    !inside || !line.get(end..).unwrap_or_default().chars().next().is_some_and(is_word)
}

/// Whether the word that goes on at `start` began with a letter.
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

/// `0 errors`, `no failures`, `errors: 0`, `error=null`.
fn says_none(line: &str, start: usize, end: usize) -> bool {
    if counts_none(line.get(..start).unwrap_or_default()) {
        return true;
    }
    let found = line.get(start..end).unwrap_or_default();
    let none: &[&str] = if found.eq_ignore_ascii_case("failed") {
        &["0"]
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

/// Whether a text ends in `0 ` or `no `.
fn counts_none(before: &str) -> bool {
    let Some(before) = before.strip_suffix(' ') else { return false };
    ["0", "no", "No", "NO"].iter().any(|none| {
        before.strip_suffix(none).is_some_and(|head| !head.chars().next_back().is_some_and(is_word))
    })
}

/// What follows the blanks, quotes, colons and equal signs between a name and its value.
fn after_marks(rest: &str) -> &str {
    rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ':' | '='))
}

/// What follows `1.1"` and a blank.
fn after_version(rest: &str) -> &str {
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let rest = rest.strip_prefix('"').unwrap_or(rest);
    if rest.starts_with(char::is_whitespace) { rest.trim_start() } else { "" }
}

/// `404` as a word of its own.
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

/// `1`, `: 2`, `=-9`: a number other than zero.
fn nonzero_follows(rest: &str) -> bool {
    let number =
        rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ':' | '=' | '>'));
    let digits = number.strip_prefix('-').unwrap_or(number);
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    let negative = digits.len() < number.len();
    length > 0 && ends_word(digits, length) && (negative || !digits.starts_with('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_report_an_error_are_errors() {
        for line in [
            "error: no field `x`",
            "[ERROR] out of memory",
            "ValueError: bad",
            "java.lang.NullPointerException: x",
            "3 failed, 2 passed",
            "ssh: connection refused",
            "Traceback (most recent call last):",
            "\"GET / HTTP/1.1\" 404 209",
            "status: 503",
            "\"status_code\": 404,",
            "[exit code: 101]",
            "<returncode>1</returncode>",
            "exited with code -9",
            "error[E0308]: mismatched types",
            "npm ERR! missing script",
        ] {
            assert_eq!(of(line), Signal::Error, "{line}");
        }
    }

    #[test]
    fn saying_that_there_was_none_is_no_error() {
        for line in [
            "5 passed, 0 failed",
            "no errors",
            "\"error\": null,",
            "errors=0",
            "test result: ok. 3 passed; 0 failed",
            "failed: 0",
            "exit code: 0",
            "status: 200",
            "terrorism",
            "errorsome",
            "xfailed_count",
            "0 warnings",
        ] {
            assert_eq!(of(line), Signal::None, "{line}");
        }
    }

    #[test]
    fn a_second_statement_on_the_line_still_counts() {
        assert_eq!(of("0 errors, 2 failed"), Signal::Error);
        assert_eq!(of("error: null, fatal"), Signal::Error);
    }

    #[test]
    fn warnings_are_told_from_errors() {
        for line in ["warning: unused variable", "DeprecationWarning: x", "W invalid value", "  ✗ renders"]
        {
            assert_eq!(of(line), Signal::Warning, "{line}");
        }
    }

    #[test]
    fn letters_next_to_other_scripts_and_cut_characters_do_no_harm() {
        assert_eq!(of("éerrorsé"), Signal::None);
        assert_eq!(of("…error…"), Signal::Error);
        let long = "é".repeat(READ);
        assert_eq!(of(&long), Signal::None);
    }
}
