//! The role of a line of test or build output.

use memchr::memmem;

use super::{Signal, signal};
use crate::work;

/// The role of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    /// Names a failed test or target: each of them matters.
    Failure,
    /// Reports what went wrong.
    Error,
    Warning,
    /// Totals, and the headings of sections.
    Summary,
    /// Something passed, was compiled, was downloaded.
    Routine,
    /// A test was skipped.
    Skipped,
    /// A test failed as expected.
    Expected,
    /// A test begins or goes on.
    Started,
    Other,
}

/// The role of the line.
pub(super) fn role(line: &str) -> Role {
    work::spend(line.len());
    let bare = line.trim();
    if bare.is_empty() {
        return Role::Other;
    }
    // Before words are checked: a passing test may have an error in its name.
    if starts(bare, STARTED) {
        return Role::Started;
    }
    if let Some(role) = result(bare) {
        return role;
    }
    if is_failure(line, bare) {
        return Role::Failure;
    }
    // the heading of a group of tests
    if bare.starts_with("▶ ") {
        return Role::Other;
    }
    let signal = signal::classify(line);
    if signal == Signal::Error {
        return Role::Error;
    }
    if is_summary(line, bare) {
        return Role::Summary;
    }
    // Before warnings: a passing test may have one in its name.
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

/// The lines of runners when a test begins or goes on.
const STARTED: &[&str] = &["=== RUN", "=== PAUSE", "=== CONT", "=== NAME", "[ RUN      ] ", "SLOW ["];

/// The texts of runners before and after the name of a skipped test.
const SKIPPED_STARTS: &[&str] = &["↓ ", "﹣ ", "○ ", "--- SKIP", "SKIPPED ", "SKIP [", "[  SKIPPED ] "];
const SKIPPED_ENDS: &[&str] = &[" ... ignored", " ... skipped", " SKIPPED", " # SKIP"];
const SKIPPED_INSIDE: &[&str] =
    &[" ... ignored, ", " ... skipped '", " ... skipped \"", " # SKIP ", " # skip "];

/// The same for a test that was expected to fail.
const EXPECTED_ENDS: &[&str] = &[" ... expected failure", " # TODO"];
const EXPECTED_INSIDE: &[&str] = &[" # TODO "];

/// The texts of runners before the name of a passed test.
const PASSED_STARTS: &[&str] = &[
    "✓ ",
    "✔ ",
    "√ ",
    "✅ ",
    "--- PASS",
    "PASSED ",
    "PASS ",
    "[       OK ] ",
    "[  PASSED  ] ",
    "[PASS] ",
    "Passed ",
];

/// The texts after it.
const PASSED_ENDS: &[&str] = &[" ... ok", "... OK", " PASSED", " ... PASS"];

/// The result of a test that did not fail, if the line names one, whatever its name.
fn result(bare: &str) -> Option<Role> {
    let has = |starts_with: &[&str], ends: &[&str], inside: &[&str]| {
        starts(bare, starts_with)
            || ends.iter().any(|end| bare.ends_with(end))
            || inside.iter().any(|part| memmem::find(bare.as_bytes(), part.as_bytes()).is_some())
    };
    let said = pytest_result(bare);
    let role = if has(SKIPPED_STARTS, SKIPPED_ENDS, SKIPPED_INSIDE) || said == Some("SKIPPED") {
        Role::Skipped
    } else if has(&[], EXPECTED_ENDS, EXPECTED_INSIDE) || said == Some("XFAIL") {
        Role::Expected
    } else if has(PASSED_STARTS, PASSED_ENDS, &[]) || is_ok(bare) || said == Some("PASSED") {
        Role::Routine
    } else {
        return None;
    };
    (!["✗", "✘", "✕", "✖", "FAILED", "❌"].iter().any(|mark| bare.contains(mark))).then_some(role)
}

/// Whether the line names a test that passed.
fn is_passed(bare: &str) -> bool {
    result(bare) == Some(Role::Routine)
}

/// `ok 12 - name` as TAP has it, `ok  \tpackage\t0.1s` as Go prints it.
fn is_ok(bare: &str) -> bool {
    bare.strip_prefix("ok ").is_some_and(|rest| {
        rest.starts_with(" \t") || rest.bytes().take_while(u8::is_ascii_digit).count() > 0
    })
}

/// `tests/a.py::test_error PASSED   [ 10%]`
fn pytest_result(bare: &str) -> Option<&str> {
    let (name, rest) = bare.split_once("::")?;
    let is_result = |word: &&str| matches!(*word, "PASSED" | "SKIPPED" | "XFAIL" | "FAILED" | "ERROR");
    rest.split(' ').find(is_result).filter(|_| !name.contains(' '))
}

/// `test a::b ... FAILED`, `tests/a.py::test_b FAILED [ 10%]`: a failed test in a list of all. Its report is
/// elsewhere.
pub(super) fn is_failed_in_a_list(bare: &str) -> bool {
    const ENDS: &[&str] = &[" ... FAILED", " ... FAIL", " ... ERROR", " ... unexpected success", " FAILED"];
    ENDS.iter().any(|end| bare.ends_with(end)) || matches!(pytest_result(bare), Some("FAILED" | "ERROR"))
}

/// Whether a failure is the heading of a section that goes on to the next heading, whatever it contains.
pub(super) fn is_section(line: &str) -> bool {
    let bare = line.trim();
    is_heading(line, b'_')
        || is_numbered(line)
        || is_of_unittest(bare)
        || is_of_nextest(bare)
        || bare.starts_with("● ")
        || bare.starts_with("---- ") && bare.ends_with(" ----")
}

/// Whether a section ends before a line.
pub(super) fn ends_section(heading: &str, line: &str, role: Role) -> bool {
    let bare = line.trim();
    if is_of_nextest(heading.trim()) {
        // The whole output of a test, including its own summaries.
        return is_status_of_nextest(bare)
            || line.starts_with("──────")
            || is_output_of_nextest(bare) && is_output_of_nextest(heading.trim());
    }
    match role {
        Role::Failure => !is_failed_in_a_list(bare),
        Role::Started | Role::Skipped | Role::Expected => true,
        Role::Routine => is_passed(bare),
        Role::Summary => !line.starts_with("---"),
        _ => is_ruling(bare) || bare == "failures:" || bare.starts_with("test result:"),
    }
}

/// `======`: the line of unittest between failures.
fn is_ruling(bare: &str) -> bool {
    bare.len() >= 20 && bare.bytes().all(|b| b == b'=')
}

/// `ERROR: test_total (tests.test_shop.Orders.test_total)`
fn is_of_unittest(bare: &str) -> bool {
    ["ERROR: ", "FAIL: ", "UNEXPECTED SUCCESS: "].iter().any(|start| {
        bare.strip_prefix(start).is_some_and(|rest| {
            let name = rest.split(' ').next().unwrap_or_default();
            rest.get(name.len()..).is_some_and(|rest| rest.starts_with(" (")) && !name.ends_with(':')
        })
    })
}

/// `FAIL [   0.281s] crate test`, or the heading of a test's output.
fn is_of_nextest(bare: &str) -> bool {
    bare.starts_with("FAIL [") || is_output_of_nextest(bare)
}

/// `stderr ───`: the heading of what a test printed, up to the next one.
fn is_output_of_nextest(bare: &str) -> bool {
    bare.ends_with(" ───") && starts(bare, &["stdout ", "stderr ", "output "])
}

/// `PASS [   0.006s] crate test`, and the summary after the last of them.
fn is_status_of_nextest(bare: &str) -> bool {
    const WORDS: &[&str] = &[
        "PASS [",
        "FAIL [",
        "SLOW [",
        "SKIP [",
        "LEAK [",
        "FLAKY ",
        "TRY ",
        "TIMEOUT [",
        "SIGABRT [",
        "SIGKILL [",
        "SIGSEGV [",
        "Summary [",
    ];
    starts(bare, WORDS)
}

/// Whether a line continues a failure's report: a place, a frame, a difference, a value, or anything indented
/// more than the failure.
pub(super) fn is_detail(line: &str, indentation: usize) -> bool {
    let bare = line.trim_start();
    line.len() - bare.len() > indentation
        || starts(bare, DETAILS)
        || bare.starts_with(['+', '-', '>', '|', '@'])
        || is_place(line)
        || names_place(line)
        || is_code_frame(bare)
        || is_call_in_go(bare)
        || signal::classify(line) == Signal::Error
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
    "?  ",
    "goroutine ",
    "panic",
    "created by ",
    "First differing",
];

/// `main.Total(0xc0000f8340?)`: a frame of a stack in Go, above its place.
fn is_call_in_go(bare: &str) -> bool {
    bare.ends_with(')') && ["(0x", "({0x", "(...)"].iter().any(|part| bare.contains(part))
}

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
        || is_failed_in_a_list(bare)
        || is_of_unittest(bare)
        || is_of_nextest(bare)
        // What a Rust test printed before it failed.
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

/// `  --> src/a.rs:3:4`: a line that only gives a place.
pub(super) fn is_place(line: &str) -> bool {
    line.trim_start().strip_prefix("--> ").is_some_and(names_place)
}

/// Whether a line names a place in a file (`a.c:12`, `a.ts(12,3)`) or a test (`a.py::test_b`).
pub(super) fn names_place(line: &str) -> bool {
    let bytes = line.as_bytes();
    work::spend(bytes.len());
    // Searched once: a line may be long and have many colons.
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
    "--- PASS",
    "ok ",
    "?   \t",
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
const ROUTINE_ENDS: &[&str] = &[" ... ok", "... OK"];

fn is_routine(line: &str, bare: &str) -> bool {
    starts(bare, ROUTINE_STARTS)
        || ROUTINE_ENDS.iter().any(|end| bare.ends_with(end))
        || is_progress(bare)
        || memmem::find(line.as_bytes(), b"::").is_some()
            && memmem::find(line.as_bytes(), b" PASSED").is_some()
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
            ("test a::b ... FAILED", Role::Failure),
            ("test result: ok. 3 passed; 0 failed", Role::Summary),
            ("    Compiling serde v1.0", Role::Routine),
            ("warning: unused variable: `x`", Role::Warning),
            ("error[E0308]: mismatched types", Role::Error),
            ("tests/a.py::test_timeout_x PASSED   [ 10%]", Role::Routine),
            ("tests/a.py::test_b FAILED   [ 10%]", Role::Failure),
            ("tests/a.py::test_b SKIPPED (no db)   [ 10%]", Role::Skipped),
            ("tests/a.py::test_b XFAIL   [ 10%]", Role::Expected),
            ("test_c (tests.T.test_c) ... skipped 'no db'", Role::Skipped),
            ("test_c (tests.T.test_c) ... expected failure", Role::Expected),
            ("test_c (tests.T.test_c) ... ERROR", Role::Failure),
            ("ok 12 - reads # SKIP no network", Role::Skipped),
            ("    --- SKIP: TestX/a (0.00s)", Role::Skipped),
            ("=== RUN   TestFailsOnError", Role::Started),
            ("ERROR: test_c (tests.T.test_c)", Role::Failure),
            ("        FAIL [   0.281s] (12/16) crate test", Role::Failure),
            ("  stderr ───", Role::Failure),
            ("        PASS [   0.006s] (13/16) crate fails_on_error", Role::Routine),
            ("▶ suite 1 handles errors", Role::Other),
            ("?                      ^", Role::Other),
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
