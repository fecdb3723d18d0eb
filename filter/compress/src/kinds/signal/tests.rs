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
        "step 7 exit=1 dur=3",
        "task exited with status 2",
        "<emerg> node down",
        "level=error msg=x",
        "{\"severity\":\"critical\"}",
    ] {
        assert_eq!(classify(line), Signal::Error, "{line}");
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
        "Tests run: 3, Failures: 0, Errors: 0, Skipped: 0",
        "batch 7 finished without error in 7 ms",
        "finished without any errors",
        "GET /static/errors/7.html 200",
        "wrote error.log",
        "job-3-error-reporter is up",
        "version 4.0-rc1",
        "exit=0",
    ] {
        assert_eq!(classify(line), Signal::None, "{line}");
    }
}

#[test]
fn a_second_statement_on_the_line_still_counts() {
    assert_eq!(classify("0 errors, 2 failed"), Signal::Error);
    assert_eq!(classify("error: null, fatal"), Signal::Error);
}

#[test]
fn warnings_are_told_from_errors() {
    for line in ["warning: unused variable", "DeprecationWarning: x", "W invalid value", "  ✗ renders"] {
        assert_eq!(classify(line), Signal::Warning, "{line}");
    }
}

#[test]
fn a_line_is_an_error_by_its_level_or_how_something_came_out() {
    for line in [
        "10:00:00 ERROR db: gone",
        "[ERROR] Tests run: 3, Failures: 1",
        "level=fatal msg=x",
        "\"GET / HTTP/1.1\" 404 209",
        "step 7 exit=1 dur=3",
    ] {
        assert!(is_error(line), "{line}");
    }
    for line in [
        "10:00:00 INFO retry succeeded after failure of node 7",
        "INFO the ERROR of before is gone",
        "connection refused",
        "failures:",
        "step 7 exit=0",
        "suite 1 handles errors",
    ] {
        assert!(!is_error(line), "{line}");
    }
    assert_ne!(outcome("exit=1"), outcome("exit=137"));
    assert_eq!(outcome("status=503"), 503);
}

#[test]
fn letters_next_to_other_scripts_and_cut_characters_do_no_harm() {
    assert_eq!(classify("éerrorsé"), Signal::None);
    assert_eq!(classify("…error…"), Signal::Error);
    let long = "é".repeat(READ);
    assert_eq!(classify(&long), Signal::None);
}
