//! Digests of test runs and builds.

use super::*;
use crate::config::Config;

fn digest(text: &str, query: &str) -> Option<Lossy> {
    let config = Config::default();
    let cx = Context { query, ..Context::of(&config) };
    lossy(text, &cx)
}

/// A test run in which one of 400 tests fails.
fn run() -> String {
    let mut text = String::from("============ test session starts ============\ncollected 400 items\n\n");
    for i in 0..400 {
        let result = if i == 123 { "FAILED" } else { "PASSED" };
        text += &format!("tests/test_shop.py::test_order_{i} {result}          [ {:2}%]\n", i / 4);
    }
    text +=
        "\n================= FAILURES =================\n_______________ test_order_123 _______________\n\n";
    text += "    def test_order_123():\n>       assert total(order) == 7\nE       assert 8 == 7\nE        +  where 8 = total(order)\n\n";
    text += "tests/test_shop.py:77: AssertionError\n";
    text += "========= 1 failed, 399 passed in 2.10s =========\n";
    text
}

#[test]
fn a_failure_is_shown_with_its_context_and_what_passed_is_counted() {
    let kept = digest(&run(), "").expect("a digest");
    for line in [
        "tests/test_shop.py::test_order_123 FAILED          [ 30%]",
        "_______________ test_order_123 _______________",
        ">       assert total(order) == 7",
        "E       assert 8 == 7",
        "tests/test_shop.py:77: AssertionError",
        "========= 1 failed, 399 passed in 2.10s =========",
    ] {
        assert!(kept.text.lines().any(|l| l == line), "{line} is missing in\n{}", kept.text);
    }
    assert!(kept.text.contains("passed or done"), "{}", kept.text);
    assert!(kept.text.len() * 10 < run().len(), "{}", kept.text);
}

/// A run of vitest with two failures among tests that are named after errors.
fn vitest() -> String {
    let mut text = String::new();
    for i in 0..60 {
        text += &format!(
            " ✓ src/m{i}/index.test.ts (3 tests) {i}ms\n   ✓ creates {i}ms\n   ✓ displays error messages 1ms\n"
        );
        if i % 25 == 20 {
            text += &format!(
                " ✗ src/user{i}.test.ts (2 tests) 456ms\n   ✓ logs in 3ms\n   ✗ updates role {i}ms\n     → Expected: {i}\n       \
                 Received: null\n\n     - Expected\n     + Received\n\n       {{\n     -   \"n\": {i},\n     +   \"n\": null,\n       }}\n\n       \
                 at Object.<anonymous> (src/user{i}.test.ts:{i}:18)\n       at run (node:internal/x:1:2)\n"
            );
        }
    }
    text + "\n Test Files  2 failed | 60 passed (62)\n Tests       2 failed | 182 passed (184)\n"
}

#[test]
fn what_belongs_to_a_failure_stays_with_it_up_to_its_stack() {
    let kept = digest(&vitest(), "").expect("a digest");
    for i in [20, 45] {
        let start = vitest().find(&format!("   ✗ updates role {i}ms")).unwrap();
        let whole = &vitest()[start..];
        let whole = &whole[..whole.find("internal/x:1:2)").unwrap()];
        assert!(kept.text.contains(whole), "{whole}\nis not in\n{}", kept.text);
    }
    assert!(!kept.text.contains("✓ displays error messages 1ms\n ✓ src/m30"), "{}", kept.text);
    assert!(!kept.left_out.contains("error"), "{}", kept.left_out);
    assert!(kept.text.len() * 3 < vitest().len(), "{}", kept.text);
}

#[test]
fn values_of_every_failure_stay_though_they_differ_in_numbers_alone() {
    let mut text = String::from("============ test session starts ============\ncollected 300 items\n\n");
    (0..300).for_each(|i| text += &format!("tests/test_a.py::test_{i} PASSED\n"));
    text += "================= FAILURES =================\n";
    for i in 0..9 {
        text += &format!(
            "_______________ test_b{i} _______________\n\n    def test_b{i}():\n>       assert f({i}) == {i}\nE       assert {} == {i}\n\n\
             tests/test_a.py:{i}: AssertionError\n---------- Captured stdout call ----------\nretry {i}\n",
            i * 7
        );
    }
    text += "========= 9 failed, 300 passed in 2.10s =========\n";
    let kept = digest(&text, "").expect("a digest");
    for i in 0..9 {
        for line in [
            format!("E       assert {} == {i}\n", i * 7),
            format!("tests/test_a.py:{i}: AssertionError\n"),
            format!("retry {i}\n"),
        ] {
            assert!(kept.text.contains(&line), "{line}is not in\n{}", kept.text);
        }
    }
}

#[test]
fn what_go_reports_before_the_verdict_stays() {
    let mut text = String::new();
    for i in 0..200 {
        let verdict = if i == 150 { "FAIL" } else { "PASS" };
        text += &format!("=== RUN   TestError{i}\n");
        if i == 150 {
            text += "    a_test.go:12: got 1\n    a_test.go:13: want 2\n";
        }
        text += &format!("--- {verdict}: TestError{i} (0.00s)\n");
    }
    text += "FAIL\nFAIL\texample.com/a\t0.020s\n";
    let kept = digest(&text, "").expect("a digest");
    assert!(
        kept.text.contains("    a_test.go:12: got 1\n    a_test.go:13: want 2\n--- FAIL: TestError150"),
        "{}",
        kept.text
    );
}

#[test]
fn a_test_that_was_asked_for_is_shown_though_it_passed() {
    let kept = digest(&run(), "did test_order_321 run?").expect("a digest");
    assert!(kept.text.contains("::test_order_321 PASSED"), "{}", kept.text);
}

#[test]
fn each_kind_of_error_and_of_warning_is_shown_once() {
    let mut text = String::new();
    for i in 0..100 {
        text += &format!(
            "   Compiling part{i} v0.1.{i}\nwarning: unused variable: `x{i}`\n  --> src/part{i}.rs:3:4\n\n"
        );
    }
    text += "error[E0425]: cannot find value `y` in this scope\n  --> src/main.rs:9:1\n   |\n 9 | y\n   | ^ not found\n\n";
    let kept = digest(&text, "").expect("a digest");
    assert_eq!(kept.text.matches("warning: unused").count(), 1, "{}", kept.text);
    assert!(kept.text.matches("--> src/part").count() > 20, "{}", kept.text);
    assert!(kept.text.contains("  --> src/main.rs:9:1"), "{}", kept.text);
    assert!(kept.left_out.contains("99 warnings like those shown"), "{}", kept.left_out);
}

#[test]
fn kept_lines_are_verbatim_and_in_order() {
    let text = run();
    let kept = digest(&text, "").expect("a digest");
    let mut rest = text.lines();
    for line in kept.text.lines().filter(|line| !line.starts_with("… ")) {
        assert!(rest.any(|original| original == line), "{line} is out of order or changed");
    }
}

#[test]
fn a_short_run_has_no_digest() {
    assert!(digest("running 1 test\ntest a ... ok\n", "").is_none());
}
