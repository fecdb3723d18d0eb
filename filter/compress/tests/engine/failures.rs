//! Failures stay with their place, their difference and their reason; counts have correct names; and only a
//! log is read as one. In the default profile.

use headroom_compress::{Api, Config, Kind, Memo, Profile, Request, RetrieveTool, compress};
use serde_json::{Value, json};

/// The form of one tool output.
struct Form {
    text: String,
    kind: Kind,
    lossy: bool,
    before: u32,
    after: u32,
}

fn form_in(profile: Profile, output: &str) -> Form {
    let body = json!({"model": "claude-opus-4-6", "max_tokens": 1,
    "tools": [{"name": "Bash", "input_schema": {"type": "object"}}],
    "messages": [
        {"role": "user", "content": "go on"},
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "t", "name": "Bash", "input": {"command": "make"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": output}]},
    ]})
    .to_string();
    let config = Config { profile, ..Config::default() };
    let request = Request {
        reversible: profile != Profile::Lossless,
        retrieve_tool: RetrieveTool::Add,
        ..Request::new(Api::AnthropicMessages)
    };
    let outcome = compress(body.as_bytes(), &request, &config, &mut Memo::new(0));
    let shown: Value = serde_json::from_slice(&outcome.body).unwrap();
    let block = &outcome.blocks[0];
    Form {
        text: shown["messages"][2]["content"][0]["content"].as_str().unwrap().to_owned(),
        kind: block.kind,
        lossy: !outcome.originals.is_empty(),
        before: block.tokens_before,
        after: block.tokens_after,
    }
}

/// In the default profile, with something left out.
fn digest(output: &str) -> String {
    let form = form_in(Profile::Balanced, output);
    assert!(form.lossy, "nothing is left out of\n{}", form.text);
    form.text
}

fn lines(range: std::ops::Range<usize>, line: impl Fn(usize) -> String) -> String {
    range.map(|i| line(i) + "\n").collect()
}

fn time(i: usize) -> String {
    format!("2026-11-29T10:{:02}:{:02}Z", i / 60, i % 60)
}

fn assert_shows(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

fn assert_says_nothing_of(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(!text.contains(part), "{part:?} is in\n{text}");
    }
}

// === test runs ===

#[test]
fn the_events_of_a_test_that_failed_stay_together() {
    let event = |action: &str, test: &str, output: &str| {
        let mut event =
            json!({"Time": "2026-11-29T14:10:00Z", "Action": action, "Package": "example.com/shop"});
        if !test.is_empty() {
            event["Test"] = test.into();
        }
        if !output.is_empty() {
            event["Output"] = output.into();
        }
        event.to_string() + "\n"
    };
    let mut text = String::new();
    for i in 0..60 {
        let name = format!("TestTotal{i}");
        let verdict = if i == 33 { "FAIL" } else { "PASS" };
        text += &event("run", &name, "");
        text += &event("output", &name, &format!("=== RUN   {name}\n"));
        if i == 33 {
            text += &event("output", &name, "    shop_test.go:39: total of order 4711: got 1, want 2\n");
        }
        text += &event("output", &name, &format!("--- {verdict}: {name} (0.00s)\n"));
        text += &event(&verdict.to_lowercase(), &name, "");
    }
    text += &event("output", "", "FAIL\texample.com/shop\t0.015s\n");
    text += &event("fail", "", "");
    let shown = digest(&text);
    assert_shows(
        &shown,
        &[
            "shop_test.go:39: total of order 4711: got 1, want 2",
            "--- FAIL: TestTotal33",
            "\"Action\":\"fail\",\"Package\":\"example.com/shop\",\"Test\":\"TestTotal33\"",
        ],
    );
    let whole = shown.lines().filter(|line| line.contains("\"Action\":\"pass\"")).count();
    assert_shows(&shown, &[&format!("left out: {} tests passed. Full", 59 - whole)]);
    assert!(shown.len() * 4 < text.len(), "{shown}");
}

#[test]
fn what_failing_tests_report_while_others_run_stays() {
    let mut text = String::from("=== RUN   TestTable\n");
    text += &lines(0..100, |i| format!("=== RUN   TestTable/case_{i}\n=== PAUSE TestTable/case_{i}"));
    for i in 0..100 {
        text += &format!("=== CONT  TestTable/case_{i}\n");
        match i {
            33 => text += "    a_test.go:4: input: 33\n    a_test.go:4: Parse(33): bad digit\n",
            40 => text += "    a_test.go:4: no network\n",
            _ => {}
        }
    }
    text += "--- FAIL: TestTable (0.00s)\n";
    text += &lines(0..100, |i| {
        let verdict = match i {
            33 => "FAIL",
            40 => "SKIP",
            _ => "PASS",
        };
        format!("    --- {verdict}: TestTable/case_{i} (0.00s)")
    });
    text += "FAIL\nFAIL\texample.com/shop\t0.008s\nFAIL\n";
    let shown = digest(&text);
    assert_shows(
        &shown,
        &[
            "=== CONT  TestTable/case_33\n    a_test.go:4: input: 33\n    a_test.go:4: Parse(33): bad digit\n",
            "    a_test.go:4: no network\n",
            "    --- FAIL: TestTable/case_33 (0.00s)\n",
        ],
    );
    // 98 tests passed; that a test starts or continues is not a result
    let passed = |line: &str| line.split(": ").nth(1)?.split(" passed").next()?.parse::<usize>().ok();
    let gaps: usize = shown.lines().filter(|line| line.starts_with("… ")).filter_map(passed).sum();
    let whole = shown.lines().filter(|line| line.contains("--- PASS")).count();
    assert_eq!(gaps + whole, 98, "{shown}");
}

#[test]
fn a_failure_of_unittest_keeps_its_difference_and_the_place_of_each_traceback() {
    let mut text = lines(0..260, |i| {
        let result = match i {
            44 => "FAIL",
            60 => "skipped 'no db'",
            70 => "expected failure",
            80 => "ERROR",
            _ => "ok",
        };
        format!("test_error_{i} (test_a.T.test_error_{i}) ... {result}")
    });
    let rule = |c: &str| c.repeat(70);
    let error = format!(
        "ERROR: test_error_80 (test_a.T.test_error_80)\n{}\nTraceback (most recent call last):\n  File \"/a/test_a.py\", line 89, in \
         test_error_80\n    try: 1/0\nZeroDivisionError: division by zero\n\nThe above exception was the direct cause of the following \
         exception:\n\nTraceback (most recent call last):\n  File \"/a/test_a.py\", line 90, in test_error_80\n    except Exception as e: raise \
         KeyError('total') from e\nKeyError: 'total'\n",
        rule("-")
    );
    let fail = format!(
        "FAIL: test_error_44 (test_a.T.test_error_44)\n{}\nTraceback (most recent call last):\n  File \"/a/test_a.py\", line 49, in \
         test_error_44\n    self.assertEqual(a, b)\nAssertionError: Lists differ: [1, 2] != [1, 3]\n\nFirst differing element 1:\n2\n3\n\n- [1, 2]\n\
         ?     ^\n\n+ [1, 3]\n?     ^\n",
        rule("-")
    );
    text += &format!("\n{0}\n{error}\n{0}\n{fail}\n\n{1}\nRan 90 tests in 0.003s\n\n", rule("="), rule("-"));
    text += "FAILED (failures=1, errors=1, skipped=1, expected failures=1)\n";
    let shown = digest(&text);
    assert_shows(
        &shown,
        &[&error, &fail, "... skipped 'no db'", "... expected failure", "... ERROR", "... FAIL\n"],
    );
    assert_says_nothing_of(&shown, &["like those shown"]);
    assert!(shown.len() * 2 < text.len(), "{shown}");
}

/// A run of nextest in which one test fails with this message.
fn nextest(said: &str) -> String {
    let pass = |i| format!("        PASS [   0.006s] ({i:4}/1612) shop kinds::tests::fails_on_error_{i}");
    lines(0..200, pass)
        + "        FAIL [   0.281s] (  81/1612) shop::orders a_total_is_right\n"
        + said
        + &lines(202..400, pass)
        + "     Summary [1092.257s] 160 tests run: 159 passed, 1 failed, 37 skipped\n"
}

#[test]
fn all_that_a_failing_test_printed_stays_with_it() {
    let result = "    test a_total_is_right ... FAILED\n\n    failures:\n\n    failures:\n        a_total_is_right\n\n    test result: \
                  FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 12 filtered out; finished in 0.27s\n\n";
    let snapshot = format!(
        "  stdout ───\n\n    running 1 test\n    ━━━━━━━━━━━━ Snapshot Summary ━━━━━━━━━━━━\n    Snapshot file: tests/snapshots/orders__total.snap\n    \
         Source: tests/orders.rs:77\n    ────────────────────\n    Expression: total.render()\n    ────────────────────\n    -old snapshot\n    +new \
         results\n    ────────────┬───────────\n      113   113 │ a: 1\n      114       │-value: 1\n            114 │+value: 2\n{result}"
    );
    let reason = format!(
        "  stdout ───\n\n    running 1 test\n{result}  stderr ───\n    Error: 5325 were sent\n\n    Caused by:\n        waited 60s for this to come \
         true: every request is counted\n\n    Stack backtrace:\n       0: anyhow::error::msg\n\n"
    );
    for said in [snapshot, reason] {
        let text = nextest(&said);
        let shown = digest(&text);
        assert_shows(&shown, &[said.trim_end(), "passed or done"]);
        assert_says_nothing_of(&shown, &["like those shown"]);
    }
    // also if only the end of the run is shown, after the line that names the test
    let text =
        nextest("  stderr ───\n    Error: 5325 were sent\n\n    Caused by:\n        no answer came\n\n")
            .replace("        FAIL [   0.281s] (  81/1612) shop::orders a_total_is_right\n", "");
    assert_shows(&digest(&text), &["    Caused by:\n        no answer came\n"]);
}

#[test]
fn skipped_and_expected_failures_are_not_counted_as_passed() {
    let mut text = String::from("============ test session starts ============\ncollected 200 items\n\n");
    text += &lines(0..200, |i| {
        let result = match i {
            30 | 31 => "SKIPPED (no db)",
            50 => "XFAIL",
            70 => "FAILED",
            _ => "PASSED",
        };
        format!("tests/test_api.py::test_error_{i} {result}   [ {i}%]")
    });
    text += "================= FAILURES =================\n_______________ test_error_70 _______________\n\n>       assert 1 == 2\nE       assert 1 == 2\n\n\
             tests/test_api.py:7: AssertionError\n";
    text += "============= 1 failed, 196 passed, 2 skipped, 1 xfailed in 3.21s =============\n";
    let shown = digest(&text);
    assert_shows(
        &shown,
        &["::test_error_30 SKIPPED (no db)", "::test_error_50 XFAIL", "::test_error_70 FAILED"],
    );
    let whole = shown.lines().filter(|line| line.contains(" PASSED")).count();
    let skipped = if shown.contains("::test_error_31 ") { "" } else { ", 1 skipped" };
    assert_shows(&shown, &[&format!("left out: {} passed or done{skipped}. Full", 196 - whole)]);
}

#[test]
fn headings_of_suites_that_passed_are_no_errors() {
    let suite = |i: usize| {
        let tests = lines(0..12, |test| format!("  ✔ error case {test} (0.{test}ms)"));
        if i == 3 {
            return format!(
                "▶ suite 3 handles errors\n{tests}  ✖ keeps the role (4.05ms)\n    AssertionError: 1 !== 2\n✖ suite 3 handles errors (7.8ms)"
            );
        }
        format!("▶ suite {i} handles errors\n{tests}▶ suite {i} handles errors (7.8ms)")
    };
    let shown = digest(&lines(0..40, suite));
    assert_shows(&shown, &["✖ keeps the role", "AssertionError: 1 !== 2", "passed or done"]);
    assert_says_nothing_of(&shown, &["like those shown"]);
}

#[test]
fn errors_of_a_kind_that_is_shown_are_counted_where_they_say_that_they_are() {
    let text = lines(0..200, |i| {
        format!(
            "gcc -c part{i}.c\nerror: no space left for object {i}\nfailures so far\nmake: entering part {i}"
        )
    });
    let shown = digest(&text);
    let whole = shown.lines().filter(|line| line.starts_with("error: ")).count();
    assert!(whole >= 1, "{shown}");
    assert_shows(&shown, &[&format!("{} errors like those shown", 200 - whole)]);
}

#[test]
fn the_line_where_a_test_of_pytest_failed_is_no_wording() {
    let failure = |i: usize| {
        format!(
            "____________________ test_x[{i}] ____________________\n\n    def test_x(i):\n        client = make_client()\n        r = \
             client.get('/v1/items/{i}')\n>       assert r.status_code == 200\nE       assert 50{} == 200\n\ntests/test_m.py:{i}: \
             AssertionError\n----------------- Captured log call -----------------\nthe request {i} has failed in the gateway",
            i % 10
        )
    };
    let mut text = String::from("============ test session starts ============\ncollected 60 items\n\n");
    text += &lines(0..40, |i| format!("tests/test_part_number_{i}.py ......... [ {i}%]"));
    text += "\n================= FAILURES =================\n";
    text += &lines(0..6, failure);
    let form = form_in(Profile::Lossless, &text);
    assert!(form.after < form.before);
    for i in 0..6 {
        assert_shows(&form.text, &[&failure(i)]);
    }
}

// === logs ===

#[test]
fn lines_that_only_speak_of_errors_are_not_counted_as_errors() {
    let logs: [fn(usize) -> String; 6] = [
        |i| format!("{} INFO batch {i} finished without error in {} ms", time(i), i * 7),
        |i| format!("{} INFO GET /static/errors/{i}.html 200 {}ms", time(i), i * 7),
        |i| format!("{} INFO retry succeeded after failure of node n{i} (attempt {})", time(i), i % 3),
        |i| format!("{} connection refused handler registered as number {i}", time(i)),
        |i| format!("{} job-{i}-error-reporter is up after {} ms", time(i), i * 7),
        |i| {
            format!(
                "[INFO] Tests run: {}, Failures: 0, Errors: 0, Skipped: 0, Time elapsed: 0.{i} s -- in com.x.T{i}Test",
                i % 5
            )
        },
    ];
    for log in logs {
        let shown = digest(&lines(0..400, log));
        assert_says_nothing_of(&shown, &["errors like those shown", "of them errors"]);
    }
}

#[test]
fn a_build_without_failures_has_no_lines_that_report_one() {
    let suite = |i: usize| {
        format!(
            "[INFO] Running com.x.T{i}Test\n[INFO] Tests run: 3, Failures: 0, Errors: 0, Skipped: 0, Time elapsed: 0.{i} s -- in com.x.T{i}Test"
        )
    };
    let text = lines(0..60, suite) + "[INFO] BUILD SUCCESS\n";
    let form = form_in(Profile::Lossless, &text);
    assert!(form.after * 10 < form.before * 8, "{} -> {}", form.before, form.after);
}

#[test]
fn errors_by_level_or_status_are_counted_with_those_shown() {
    let text = lines(0..400, |i| match i % 10 {
        7 => format!("{} ERROR db: no answer from node {i}", time(i)),
        _ => format!("{} INFO api: served the request {i}", time(i)),
    });
    let shown = digest(&text);
    let whole = shown.lines().filter(|line| line.contains("Z ERROR db: ")).count();
    assert!(whole > 0);
    assert_shows(
        &shown,
        &[&format!(" of 400 lines left out, {} of them errors like those shown", 40 - whole)],
    );
}

#[test]
fn a_step_that_failed_among_many_is_shown() {
    let step = |exit: &str, at: usize| {
        let exit = exit.to_owned();
        lines(0..400, move |i| {
            let code = if i == at { &exit } else { "0" };
            format!("{} step {i} exit={code} dur={}", time(i), i * 7 % 31)
        })
    };
    for (exit, at) in [("1", 120), ("137", 60), ("-9", 77)] {
        let shown = digest(&step(exit, at));
        assert_shows(&shown, &[&format!("step {at} exit={exit} dur="), "exit=0"]);
    }
}

#[test]
fn every_line_that_reports_a_failure_is_shown_or_named() {
    let failures: [(usize, &str); 4] = [
        (20, "task import-# exited with status 2"),
        (40, "checksum mismatch on part-#.parquet"),
        (60, "<emerg> node db-# down"),
        (80, "deadlock detected on orders-#"),
    ];
    let failure = |i: usize| {
        let of = failures.iter().find(|(at, _)| i == *at || i == *at + 30 || i == *at + 33);
        of.map(|(_, said)| said.replace('#', &i.to_string()))
    };
    let text = lines(0..400, |i| {
        let said =
            failure(i).unwrap_or_else(|| format!("INFO handled the request {} in {} ms", i * 37, i % 9));
        format!("{} {said}", time(i))
    });
    let shown = digest(&text);
    for (at, said) in failures {
        let whole =
            (0..150).filter_map(failure).filter(|line| shown.contains(&format!("Z {line}\n"))).count();
        assert!(whole >= 4, "{shown}");
        let (head, _) = said.split_once('#').unwrap();
        let head = head.trim_end_matches(|c: char| c != ' ').trim();
        let named = shown.lines().any(|line| line.contains("× ") && line.contains(head));
        let all = [at, at + 30, at + 33].iter().all(|i| shown.contains(&failure(*i).unwrap()));
        assert!(named || all, "{head} is neither shown nor named in\n{shown}");
    }
}

#[test]
fn numbers_of_lines_that_are_left_out_have_their_range_and_the_odd_ones_are_shown() {
    let backup = |i: usize| {
        let size = if i == 99 { 0 } else { 1000 + 3 * i };
        format!("{} INFO backup host=h{i} size={size} took={}s", time(i), i % 9)
    };
    let shown = digest(&lines(0..400, backup));
    assert_shows(&shown, &["INFO backup host=h99 size=0 took=0s\n", "took=0..8s"]);
    let depth = |i: usize| {
        let depth = if i > 100 { (i - 100) * 1000 } else { i % 4 };
        format!("{} DEBUG poll queue=orders depth={depth}", time(i))
    };
    let shown = digest(&lines(0..400, depth));
    assert_shows(&shown, &["depth=1000\n", "DEBUG poll queue=orders depth=0.."]);
}

#[test]
fn a_silence_in_a_log_is_seen() {
    let text = lines(0..400, |i| {
        format!("2026-11-29T{}:{:02}:{:02}Z INFO tick {i}", if i < 70 { 10 } else { 13 }, i / 60, i % 60)
    });
    let shown = digest(&text);
    assert_shows(&shown, &["2026-11-29T10:01:09Z INFO tick 69\n2026-11-29T13:01:10Z INFO tick 70\n"]);
}

#[test]
fn only_a_log_is_read_as_one() {
    let lists: [fn(usize) -> String; 4] = [
        |i| {
            format!(
                "10.{}.{}.0/24 via 192.168.0.{} dev eth{} proto bgp metric {}",
                i / 250,
                i % 250,
                i % 9,
                i % 2,
                i % 7
            )
        },
        |i| {
            format!(
                "/var/backups/db-2026-11-{:02}T03:15:{:02}.tar.gz uploaded {}MB",
                i % 28 + 1,
                i % 60,
                i * 37
            )
        },
        |i| {
            format!(
                "{:07x}a Ann Example 2026-11-{:02} 14:06:19 +0000 Fix what was reported as number {i}",
                i * 7919 + 15_000_000,
                i % 28 + 1
            )
        },
        |i| {
            format!(
                "2026-11-{:02} 14:06:19 +0000 {:07x}a Fix what was reported as number {i}",
                i % 28 + 1,
                i * 7919 + 15_000_000
            )
        },
    ];
    for list in lists {
        let text = lines(0..150, list);
        let form = form_in(Profile::Balanced, &text);
        assert_ne!(form.kind, Kind::Log, "{}", list(1));
        assert!(!form.lossy, "{}", form.text);
    }
}

#[test]
fn an_access_log_is_a_log_however_few_requests_fail() {
    let request = |i: usize| {
        let status = match i {
            117 => 500,
            _ if i % 50 == 9 => 404,
            _ => 200,
        };
        format!(
            "10.0.0.{} - - [29/Nov/2026:10:{:02}:{:02} +0000] \"GET /v1/items/{i} HTTP/1.1\" {status} {} \"-\" \"curl/8.0\"",
            i % 9,
            i / 60,
            i % 60,
            i * 37
        )
    };
    let text = lines(0..240, request);
    let lossless = form_in(Profile::Lossless, &text);
    assert_eq!(lossless.kind, Kind::Log);
    assert!(lossless.after * 100 < lossless.before * 85, "{} -> {}", lossless.before, lossless.after);
    let shown = digest(&text);
    assert_shows(&shown, &[&request(117), "\" 404 ", "left out, by status:"]);
}

// === prose ===

/// Paragraphs of four sentences, each of which takes more than one line.
fn prose(paragraphs: usize) -> String {
    const WORDS: [&str; 24] = [
        "house", "garden", "river", "morning", "letter", "window", "people", "winter", "answer", "market",
        "quiet", "friend", "journey", "bread", "music", "light", "evening", "stone", "bridge", "paper",
        "summer", "kitchen", "captain", "island",
    ];
    let mut state = 7usize;
    let mut word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        WORDS[(state >> 33) % WORDS.len()]
    };
    let mut text = String::new();
    for _ in 0..paragraphs {
        for sentence in 0..4 {
            let mut words: Vec<&str> = (0..18).map(|_| word()).collect();
            words[8] = "not\nof";
            text += &format!("{} {}.\n", if sentence == 0 { "First" } else { "Then" }, words.join(" "));
        }
        text += "\n";
    }
    text
}

#[test]
fn a_digest_of_prose_ends_no_sentence_in_the_middle_and_numbers_its_gaps() {
    let text = prose(60);
    let shown = digest(&text);
    let mut starts = 0;
    let printed: Vec<&str> = shown.lines().collect();
    for pair in printed.windows(2).filter(|pair| pair[0].starts_with("First ")) {
        starts += 1;
        assert!(pair[1].starts_with("of ") && pair[1].ends_with('.'), "{pair:?}\n{shown}");
    }
    assert!(starts > 10, "{shown}");
    for gap in printed.iter().filter_map(|line| line.strip_prefix("… ")) {
        let (count, range) = gap.split_once(" (").unwrap();
        let ends: Vec<usize> =
            range.trim_end_matches(')').split('-').map(|end| end.parse().unwrap()).collect();
        let size = ends.last().unwrap() + 1 - ends[0];
        assert!(count == format!("{size} lines") || size == 1 && count == "1 line", "{gap}");
    }
}
