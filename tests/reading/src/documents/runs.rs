//! Test runs and builds.

use super::{Numbers, lines};
use crate::document::Document;
use crate::question::{Ask, Key, after, count, field, line_after, whether};

fn pytest() -> String {
    let mut n = Numbers::new(71);
    let passed = lines(60, |at| {
        let state = if at == 23 || at == 47 {
            "FAILED"
        } else if at % 19 == 5 {
            "SKIPPED"
        } else {
            "PASSED"
        };
        format!(
            "tests/test_{}.py::test_case_{at} {state:8} [{:>3}%]",
            n.pick(&["api", "store", "mail"]),
            (at + 1) * 100 / 60
        )
    });
    format!(
        "============================= test session starts ==============================\nplatform linux -- Python 3.12.4, pytest-8.3.2, pluggy-1.5.0\nrootdir: /srv/app\ncollected 60 items\n\n{passed}\n=================================== FAILURES ===================================\n_________________________________ test_case_23 _________________________________\n\n    def test_case_23():\n>       assert price(3) == 417\nE       assert 391 == 417\nE        +  where 391 = price(3)\n\ntests/test_store.py:88: AssertionError\n_________________________________ test_case_47 _________________________________\n\n    def test_case_47():\n>       send(\"a@example.com\")\nE       TimeoutError: no answer within 12.5 s\n\ntests/test_mail.py:131: TimeoutError\n=========================== short test summary info ============================\nFAILED tests/test_store.py::test_case_23 - assert 391 == 417\nFAILED tests/test_mail.py::test_case_47 - TimeoutError: no answer within 12.5 s\n============= 2 failed, 55 passed, 3 skipped in 14.82s =============\n"
    )
}

fn cargo_test() -> String {
    let mut n = Numbers::new(72);
    let tests = lines(50, |at| {
        format!(
            "test engine::part_{}::case_{at} ... {}",
            n.below(5),
            if at == 31 {
                "FAILED"
            } else if at % 17 == 3 {
                "ignored"
            } else {
                "ok"
            }
        )
    });
    format!(
        "   Compiling engine v0.4.1 (/srv/engine)\n    Finished `test` profile [unoptimized + debuginfo] target(s) in 8.31s\n     Running unittests src/lib.rs (target/debug/deps/engine-5f0c9d)\n\nrunning 50 tests\n{tests}\nfailures:\n\n---- engine::case_31 stdout ----\nthread 'engine::case_31' panicked at src/merge.rs:204:9:\nassertion `left == right` failed: rows differ\n  left: 61\n right: 64\nnote: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n\n\nfailures:\n    engine::case_31\n\ntest result: FAILED. 46 passed; 1 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.74s\n"
    )
}

fn go_test() -> String {
    let mut n = Numbers::new(73);
    let mut text = String::new();
    for at in 0..30 {
        text += &format!("=== RUN   TestPart{at}\n");
        if at == 12 {
            text += "    part_test.go:57: got 19 rows, want 23\n--- FAIL: TestPart12 (0.31s)\n";
        } else {
            text += &format!("--- PASS: TestPart{at} (0.{:02}s)\n", n.below(100));
        }
    }
    text + "FAIL\nFAIL\texample.com/shop/part\t4.117s\nok  \texample.com/shop/cart\t0.872s\n"
}

fn gcc() -> String {
    let mut n = Numbers::new(74);
    let steps = lines(40, |at| {
        match at {
        14 => "src/queue.c: In function 'push':\nsrc/queue.c:212:17: warning: comparison of integers of different signs [-Wsign-compare]\n  212 |     for (int i = 0; i < q->len; i++)\n      |                       ^".to_owned(),
        33 => "src/wire.c: In function 'decode':\nsrc/wire.c:98:5: error: 'frame' undeclared (first use in this function)\n   98 |     frame->len = n;\n      |     ^~~~~".to_owned(),
        _ => format!("[{:>3}%] Building C object CMakeFiles/app.dir/src/file_{at}_{}.c.o", at * 100 / 40, n.below(1000)),
    }
    });
    format!(
        "{steps}make[2]: *** [CMakeFiles/app.dir/build.make:331: CMakeFiles/app.dir/src/wire.c.o] Error 1\nmake[1]: *** [CMakeFiles/Makefile2:83: CMakeFiles/app.dir/all] Error 2\nmake: *** [Makefile:136: all] Error 2\n"
    )
}

fn eslint() -> String {
    let mut n = Numbers::new(75);
    let mut text = String::new();
    for file in 0..9 {
        text += &format!("/srv/web/src/page_{file}.ts\n");
        for _ in 0..4 {
            text += &format!(
                "  {:>3}:{:<3} {}  {}\n",
                1 + n.below(400),
                1 + n.below(80),
                n.pick(&["error  ", "warning"]),
                n.pick(&[
                    "'rows' is never used                 no-unused-vars",
                    "Unexpected console statement         no-console",
                    "Expected '===' and instead saw '=='  eqeqeq"
                ])
            );
        }
        text += "\n";
    }
    text + "✖ 36 problems\n"
}

fn pip() -> String {
    let mut n = Numbers::new(76);
    let rows = lines(40, |at| {
        format!(
            "{:20} {}.{}.{}",
            format!("{}-{at}", n.pick(&["flask", "numpy", "pytest", "attrs"])),
            n.below(9),
            n.below(40),
            n.below(20)
        )
    });
    format!("Package              Version\n-------------------- -------\n{rows}")
}

pub(super) fn all() -> Vec<Document> {
    vec![
        Document::of_command("test-pytest", "test_output", "pytest -v", pytest())
            .ask("Which value did price(3) have?", after(&["where "], "where ", " "))
            .ask(
                "In which file and line did test_case_47 fail? Answer PATH:LINE.",
                Ask::by(|text| {
                    Ok(Key::Text(
                        text.lines()
                            .find(|line| line.ends_with(": TimeoutError"))
                            .map(|line| line.trim_end_matches(": TimeoutError").to_owned())
                            .unwrap_or_default(),
                    ))
                }),
            )
            .ask("How many tests passed?", after(&["failed,"], "failed, ", " "))
            .ask(
                "Which tests failed (names of the functions)?",
                Ask::by(|text| {
                    Ok(Key::Set(
                        text.lines()
                            .filter(|line| line.starts_with("FAILED "))
                            .filter_map(|line| line.split("::").nth(1)?.split(' ').next())
                            .map(str::to_owned)
                            .collect(),
                    ))
                }),
            )
            .ask(
                "After how many seconds did sending give up?",
                after(&["E       TimeoutError"], "within ", " "),
            )
            .ask("Which Python version ran the tests?", after(&["platform linux"], "Python ", ",")),
        Document::of_command("test-cargo", "test_output", "cargo test", cargo_test())
            .ask(
                "In which file, line and column did the test panic? Answer PATH:LINE:COLUMN.",
                Ask::by(|text| {
                    Ok(Key::Text(
                        text.split("panicked at ")
                            .nth(1)
                            .and_then(|rest| rest.lines().next())
                            .unwrap_or_default()
                            .trim_end_matches(':')
                            .to_owned(),
                    ))
                }),
            )
            .ask("What was the value on the right?", after(&[" right: "], "right: ", " "))
            .ask("How many tests were ignored?", after(&["test result"], "1 failed; ", " "))
            .ask(
                "How long did the tests take, as printed with unit?",
                after(&["test result"], "finished in ", " "),
            )
            .ask("Which version of engine was compiled?", after(&["Compiling engine"], "engine v", " ")),
        Document::of_command("test-go", "test_output", "go test -v ./...", go_test())
            .ask("How many rows did the failed test want?", after(&["part_test.go"], "want ", " "))
            .ask("Which test failed?", after(&["--- FAIL"], "FAIL: ", " "))
            .ask(
                "How long did the failed test take, as printed without brackets?",
                after(&["--- FAIL"], "(", ")"),
            )
            .ask("How long did the package cart take, as printed?", field(&["shop/cart"], 2))
            .ask(
                "On which line of part_test.go was the failure reported?",
                after(&["part_test.go"], "part_test.go:", ":"),
            )
            .ask("Did TestPart29 pass? (yes or no)", whether(&["--- PASS: TestPart29 "])),
        Document::of_command("build-cmake", "build", "make", gcc())
            .ask("Which name is undeclared?", after(&["undeclared"], "error: '", "'"))
            .ask("On which line of src/queue.c is the warning?", after(&["warning:"], "src/queue.c:", ":"))
            .ask("Which flag names the warning (without brackets and -W)?", after(&["warning:"], "[-W", "]"))
            .ask("In which function is the error?", after(&["src/wire.c: In function"], "function '", "'"))
            .ask(
                "What was the exit number behind \"Error\" for src/wire.c.o?",
                after(&["src/wire.c.o]"], "Error ", " "),
            ),
        Document::of_command("build-eslint", "build", "npx eslint src", eslint())
            .ask("How many problems are there?", after(&["problems"], "✖ ", " "))
            .ask("How many of them are errors?", count(&[" error "]))
            .ask(
                "What is the position (LINE:COLUMN) of the first problem in page_4.ts?",
                Ask::by(|text| {
                    let first = line_after(&["page_4.ts"], 1)
                        .key(&crate::document::Original::of_outputs([("Bash", "{}", text.to_owned())]))?;
                    Ok(match first {
                        Key::Text(line) => {
                            Key::Text(line.split_whitespace().next().unwrap_or_default().to_owned())
                        }
                        other => other,
                    })
                }),
            )
            .ask(
                "Which rule is broken by the first problem in page_7.ts (its name)?",
                Ask::by(|text| {
                    let first = line_after(&["page_7.ts"], 1)
                        .key(&crate::document::Original::of_outputs([("Bash", "{}", text.to_owned())]))?;
                    Ok(match first {
                        Key::Text(line) => {
                            Key::Text(line.split_whitespace().last().unwrap_or_default().to_owned())
                        }
                        other => other,
                    })
                }),
            )
            .ask("How often is eqeqeq broken?", count(&["eqeqeq"])),
        Document::of_command("packages-pip", "packages", "pip list", pip())
            .ask("Which version has the package whose name ends in -17?", field(&["-17 "], 1))
            .ask("What is the whole name of the package that ends in -33?", field(&["-33 "], 0))
            .ask("Which version has the package whose name ends in -8?", field(&["-8 "], 1))
            .ask("How many of the packages are called flask-…?", count(&["flask-"])),
    ]
}
