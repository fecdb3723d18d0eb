//! What a line of test or build output is for.

use memchr::memmem;

use super::{Signal, signal};
use crate::work;

/// What a line is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    /// Names a test or target that failed: each of them counts.
    Failure,
    /// Says what went wrong.
    Error,
    Warning,
    /// Totals, and the headings of sections.
    Summary,
    /// Something passed, was compiled, was downloaded.
    Routine,
    Other,
}

/// What the line is for.
pub(super) fn role(line: &str) -> Role {
    work::spend(line.len());
    let bare = line.trim();
    if bare.is_empty() {
        return Role::Other;
    }
    // before anything looks at words: a test may be named after errors, and passes all the same
    if is_passed(bare) {
        return Role::Routine;
    }
    if is_failure(line, bare) {
        return Role::Failure;
    }
    let signal = signal::of(line);
    if signal == Signal::Error {
        return Role::Error;
    }
    if is_summary(line, bare) {
        return Role::Summary;
    }
    // before warnings: a passing test may be named after one
    if is_routine(line, bare) {
        return Role::Routine;
    }
    if signal == Signal::Warning { Role::Warning } else { Role::Other }
}

/// Whether the line starts with one of these. The first byte decides for nearly all of them.
fn starts(bare: &str, with: &[&str]) -> bool {
    let first = bare.as_bytes().first();
    with.iter().any(|start| start.as_bytes().first() == first && bare.starts_with(start))
}

const FAILURES: &[&str] = &[
    "--- FAIL",
    "FAIL\t",
    "FAIL ",
    "FAIL: ",
    "[  FAILED  ] ",
    "not ok ",
    "✗ ",
    "✘ ",
    "✕ ",
    "✖ ",
    "× ",
    "❌ ",
    "● ",
];

/// What runners put before the name of a test that passed or was skipped.
const PASSED_STARTS: &[&str] = &[
    "✓ ",
    "✔ ",
    "√ ",
    "✅ ",
    "↓ ",
    "--- PASS",
    "--- SKIP",
    "PASSED ",
    "PASS ",
    "[ RUN      ] ",
    "[       OK ] ",
    "[  PASSED  ] ",
    "[PASS] ",
    "Passed ",
];

/// What they put behind it.
const PASSED_ENDS: &[&str] =
    &[" ... ok", " ... ignored", " ... skipped", "... OK", " PASSED", " SKIPPED", " ... PASS"];

/// Whether the line names a test that passed, whatever the name is.
fn is_passed(bare: &str) -> bool {
    let passed = starts(bare, PASSED_STARTS)
        || PASSED_ENDS.iter().any(|end| bare.ends_with(end))
        || is_ok(bare)
        || is_pytest_passed(bare);
    passed && !["✗", "✘", "✕", "✖", "FAILED", "❌"].iter().any(|mark| bare.contains(mark))
}

/// `ok 12 - name` as TAP has it, `ok  \tpackage\t0.1s` as Go prints it.
fn is_ok(bare: &str) -> bool {
    bare.strip_prefix("ok ").is_some_and(|rest| {
        rest.starts_with(" \t") || rest.bytes().take_while(u8::is_ascii_digit).count() > 0
    })
}

/// `tests/a.py::test_error PASSED   [ 10%]`
fn is_pytest_passed(bare: &str) -> bool {
    let Some((name, rest)) = bare.split_once("::") else { return false };
    !name.contains(' ') && rest.split(' ').any(|word| matches!(word, "PASSED" | "SKIPPED" | "XFAIL"))
}

/// Whether a line goes on with what a failure says: a place, a frame, a difference, a value, or whatever stands
/// further in than the failure does.
pub(super) fn is_detail(line: &str, indentation: usize) -> bool {
    let bare = line.trim_start();
    line.len() - bare.len() > indentation
        || starts(bare, DETAILS)
        || bare.starts_with(['+', '-', '>', '|', '@'])
        || is_place(line)
        || names_place(line)
        || is_code_frame(bare)
        || signal::of(line) == Signal::Error
}

const DETAILS: &[&str] = &[
    "at ",
    "in ",
    "File \"",
    "E  ",
    "❯ ",
    "→ ",
    "⎯",
    "Expected",
    "expected",
    "Received",
    "received",
    "Actual",
    "actual",
    "Caused by",
    "Traceback",
    "Diff",
    "diff",
    "assert",
    "Assert",
    "left:",
    "right:",
    "note:",
    "got",
    "want",
    "Error",
    "Stack Trace",
    "During handling",
    "The above exception",
    "Captured ",
    "---- ",
    "#",
    "^",
];

/// `  88|   expect(a).toBe(b)`
fn is_code_frame(bare: &str) -> bool {
    let rest = bare.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.len() < bare.len() && rest.trim_start().starts_with('|')
}

/// Whether the line names a test or target that failed.
pub(super) fn is_failure(line: &str, bare: &str) -> bool {
    starts(bare, FAILURES)
        || is_heading(line, b'_')
        || is_numbered(line)
        // what a test of Rust printed before it failed
        || bare.starts_with("---- ") && bare.ends_with(" ----")
}

/// `  3) answers in time`: a failure in a numbered list.
fn is_numbered(line: &str) -> bool {
    let bare = line.trim_start();
    let digits = bare.bytes().take_while(u8::is_ascii_digit).count();
    bare.len() < line.len()
        && (1..=4).contains(&digits)
        && bare.get(digits..).unwrap_or_default().starts_with(") ")
}

/// `  --> src/a.rs:3:4`: a line that says where something is, and nothing else.
pub(super) fn is_place(line: &str) -> bool {
    line.trim_start().strip_prefix("--> ").is_some_and(names_place)
}

/// Whether a line names a place in a file (`a.c:12`, `a.ts(12,3)`) or a test (`a.py::test_b`).
pub(super) fn names_place(line: &str) -> bool {
    let bytes = line.as_bytes();
    work::spend(bytes.len());
    // looked for once: a line may be long and have many colons
    let dot = memchr::memchr(b'.', bytes).unwrap_or(bytes.len());
    memchr::memchr2_iter(b':', b'(', bytes).any(|at| {
        at > dot
            && bytes.get(at - 1).is_some_and(u8::is_ascii_alphanumeric)
            && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
    }) || memmem::find(bytes, b"::").is_some()
}

/// `_____ test_name _____`: a title between runs of one character.
fn is_heading(line: &str, fill: u8) -> bool {
    let bytes = line.as_bytes();
    let run = bytes.iter().take_while(|&&b| b == fill).count();
    run >= 3 && run + 5 < bytes.len() && bytes.get(run) == Some(&b' ') && bytes.ends_with(&[fill, fill, fill])
}

const SUMMARY_STARTS: &[&str] = &[
    "test result:",
    "Ran ",
    "Tests:",
    "Test Suites:",
    "Snapshots:",
    "Time:",
    "Total time",
    "Finished ",
    "BUILD ",
    "OK (",
    "FAILED (",
    "PASS\t",
    "collected ",
    "rootdir:",
    "added ",
    "removed ",
    "found ",
    "up to date",
    "Successfully ",
    "coverage:",
    "TOTAL ",
    "Exit code ",
    "[exit code",
    "Results :",
    "Tests run:",
    "running ",
];
const SUMMARY_WORDS: &[&str] = &["passing", "failing", "pending", "passed", "skipped"];

fn is_summary(line: &str, bare: &str) -> bool {
    if is_heading(line, b'=') || is_heading(line, b'-') || is_heading(line, b'!') {
        return true;
    }
    if starts(bare, SUMMARY_STARTS) || bare == "OK" || bare == "PASS" {
        return true;
    }
    // `74 passing (363ms)`, `31 passed, 2 skipped in 1.2s`
    let Some((count, rest)) = bare.split_once(' ') else { return false };
    count.bytes().all(|b| b.is_ascii_digit()) && SUMMARY_WORDS.iter().any(|word| rest.starts_with(word))
}

const ROUTINE_STARTS: &[&str] = &[
    "=== RUN",
    "=== PAUSE",
    "=== CONT",
    "=== NAME",
    "--- PASS",
    "--- SKIP",
    "ok ",
    "? ",
    "PASSED ",
    "PASS ",
    "✓ ",
    "✔ ",
    "√ ",
    "Compiling ",
    "Checking ",
    "Fresh ",
    "Documenting ",
    "Downloading ",
    "Downloaded ",
    "Updating ",
    "Locking ",
    "Adding ",
    "Installing ",
    "Collecting ",
    "Requirement already",
    "Using cached ",
    "Building wheel",
    "Preparing metadata",
    "Getting requirements",
    "Resolving ",
    "Get:",
    "Hit:",
    "Unpacking ",
    "Setting up ",
    "Selecting ",
    "copying ",
    "creating ",
    "adding ",
    "writing ",
    "reading ",
    "installing ",
    "gcc ",
    "g++ ",
    "cc ",
    "clang ",
    "ld ",
    "ar ",
    "> Task ",
    "[INFO] Download",
    "Progress ",
];
const ROUTINE_ENDS: &[&str] = &[" ... ok", " ... ignored", " ... skipped", "... OK"];

fn is_routine(line: &str, bare: &str) -> bool {
    starts(bare, ROUTINE_STARTS)
        || ROUTINE_ENDS.iter().any(|end| bare.ends_with(end))
        || is_progress(bare)
        || [" PASSED", " SKIPPED"].iter().any(|word| {
            memmem::find(line.as_bytes(), b"::").is_some()
                && memmem::find(line.as_bytes(), word.as_bytes()).is_some()
        })
}

/// `..........s....  [ 42%]`: one character per test, none of which failed.
fn is_progress(bare: &str) -> bool {
    let dots = bare.bytes().take_while(|b| matches!(b, b'.' | b's' | b'x' | b',')).count();
    dots >= 8
        && bare
            .get(dots..)
            .unwrap_or_default()
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b' ' | b'[' | b']' | b'%'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found() {
        for line in
            ["  --> src/a.rs:3:4", "a/b.c:12: error: x", "src/a.ts(12,3): error TS1", "t/a.py::test_b"]
        {
            assert!(names_place(line), "{line}");
        }
        assert!(!names_place("error: could not compile: 7 errors"));
        assert!(is_place("   --> src/a.rs:3:4") && !is_place("src/a.rs:3:4"));
    }

    #[test]
    fn lines_of_many_tools_have_their_role() {
        let cases = [
            ("test a::b ... ok", Role::Routine),
            ("test a::b ... FAILED", Role::Error),
            ("test result: ok. 3 passed; 0 failed", Role::Summary),
            ("    Compiling serde v1.0", Role::Routine),
            ("warning: unused variable: `x`", Role::Warning),
            ("error[E0308]: mismatched types", Role::Error),
            ("tests/a.py::test_timeout_x PASSED   [ 10%]", Role::Routine),
            ("tests/a.py::test_b FAILED   [ 10%]", Role::Error),
            ("__________________ test_b ____________________", Role::Failure),
            ("=========== 2 passed in 0.1s ===========", Role::Summary),
            ("........s.........   [ 50%]", Role::Routine),
            ("........F.........   [ 50%]", Role::Other),
            ("--- FAIL: TestX (0.00s)", Role::Failure),
            ("    --- PASS: TestY (0.00s)", Role::Routine),
            ("ok  \texample.com/a\t0.1s", Role::Routine),
            ("  ✔ renders an error", Role::Routine),
            ("   ✓ displays error messages 1ms", Role::Routine),
            ("test net::connection_refused ... ok", Role::Routine),
            ("ok 12 - rejects what is not found", Role::Routine),
            ("[       OK ] Parser.FailsOnError (0 ms)", Role::Routine),
            ("  Passed Api.Tests.ReturnsErrorWhenDenied [12 ms]", Role::Routine),
            ("ApiTest > returnsErrorWhenDenied() PASSED", Role::Routine),
            ("✓ 3 passed, ✗ 1 failed", Role::Error),
            ("FAIL: test_b (tests.T.test_b)", Role::Failure),
            ("[  FAILED  ] Parser.Reads (0 ms)", Role::Failure),
            ("  ✓ renders", Role::Routine),
            ("  ✕ fails", Role::Failure),
            ("  2) answers in time", Role::Failure),
            ("  74 passing (363ms)", Role::Summary),
            ("", Role::Other),
            ("    let x = 1;", Role::Other),
        ];
        for (line, expected) in cases {
            assert_eq!(role(line), expected, "{line}");
        }
    }
}
