//! Work is proportional to the bytes, whatever the bytes are, for every kind and profile.

use super::*;
use crate::block::Context;
use crate::call::Call;
use crate::config::{Config, Profile};
use crate::earlier::Earlier;
use crate::kinds::code::{self, Language};
use crate::outcome::{BlockOutcome, Skip};
use crate::pipeline::{self, Verdict};

/// Bytes of the smaller input, and how many times larger the other one is.
const SIZE: usize = 32 << 10;
const GROWTH: usize = 8;

fn compressed(text: &str, profile: Profile) -> (Verdict, u64) {
    let config = Config { profile, ..Config::default() };
    let cx = Context {
        call: Call { name: "Bash", arguments: "{\"command\":\"make check_4711 item_17\"}" },
        query: "why did check_4711 fail for item_17?",
        ..Context::of(&config)
    };
    start(text.len());
    let verdict = pipeline::compress_block(text, &cx, &Earlier::default());
    (verdict, spent(text.len()))
}

/// Lines that `line` makes from their numbers, until there are `bytes`.
fn lines(bytes: usize, line: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for at in 0.. {
        if text.len() >= bytes {
            break;
        }
        text += &line(at);
        text.push('\n');
    }
    text
}

type Make = Box<dyn Fn(usize) -> String>;

fn repeated(unit: &'static str) -> Make {
    Box::new(move |bytes| unit.repeat(bytes / unit.len() + 1))
}

fn by_line(line: impl Fn(usize) -> String + 'static) -> Make {
    Box::new(move |bytes| lines(bytes, &line))
}

/// Shapes that cost some kind the most.
fn shapes() -> Vec<(&'static str, Make)> {
    let mut shapes: Vec<(&'static str, Make)> = vec![
        // diffs
        (
            "a diff with long names",
            Box::new(|bytes| {
                let name = "d/".repeat(bytes / 16);
                format!("diff --git a/{name} b/{name}\n{}", lines(bytes / 2, |at| format!("similarity {at}")))
            }),
        ),
        (
            "a diff with one huge hunk that is asked for",
            Box::new(|bytes| {
                format!(
                    "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,9 +1,9 @@\n{}",
                    lines(bytes, |at| format!("+check_4711 item_17 {at}"))
                )
            }),
        ),
        (
            "a diff with lines that answer in one huge hunk",
            Box::new(|bytes| {
                format!(
                    "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,9 +1,9 @@\n{}",
                    lines(bytes, |at| match at % 9 {
                        0 => format!("+check_4711 {at}"),
                        _ => format!(" other {at}"),
                    })
                )
            }),
        ),
        (
            "a diff with many files",
            by_line(|at| format!("diff --git a/{at} b/{at}\n--- a/{at}\n+++ b/{at}\n@@ -1 +1 @@\n-a\n+b")),
        ),
        (
            "a diff with many files without hunks",
            by_line(|at| format!("diff --git a/{at} b/{at}\n--- a/{at}\n+++ b/{at}")),
        ),
        ("a diff of headers", repeated("--- a\n+++ b\n@@ -1 +1 @@\n")),
        (
            "a hunk with many marks",
            Box::new(|bytes| {
                format!(
                    "diff --git a/x b/x\n--- a/x\n+++ b/x\n{} -1 +1 @@\n{}",
                    "@".repeat(bytes / 2),
                    repeated("+a\n")(bytes / 2)
                )
            }),
        ),
        // test output
        (
            "one long line of an error",
            Box::new(|bytes| {
                format!("{}\nerror: {}\n", "test a ... ok\n".repeat(30), "x:1".repeat(bytes / 3))
            }),
        ),
        (
            "one long line of places",
            Box::new(|bytes| {
                format!("{}\nFAILED {}\n", "test a ... ok\n".repeat(30), "a.c:1(2 ".repeat(bytes / 8))
            }),
        ),
        (
            "headings of what tests printed",
            by_line(|at| if at < 3 { "FAIL [ 1s] a".to_owned() } else { format!("stderr {at} ───") }),
        ),
        ("nothing but failures", by_line(|at| format!("✗ t{at}\n   at x (a.js:{at}:1)"))),
        (
            "failures within failures",
            Box::new(|bytes| {
                (0..bytes)
                    .scan(0, |used, at| {
                        let line = format!("{}✗ t{at}\n", " ".repeat(at));
                        *used += line.len();
                        (*used < bytes).then_some(line)
                    })
                    .collect()
            }),
        ),
        (
            "a failure with blank lines",
            Box::new(|bytes| {
                format!("{}✗ t\n{}", "test a ... ok\n".repeat(30), "\n   x\n".repeat(bytes / 6))
            }),
        ),
        ("headings", repeated("_____ test_a _____\n")),
        ("errors of one kind", by_line(|at| format!("src/a.c:{at}:1: error: no such thing {at}"))),
        ("frames", by_line(|at| format!("    at com.example.A.b{at}(A.java:{at})"))),
        // markup
        ("rows that span", repeated("<tr><td rowspan=99 colspan=9>x")),
        ("cells that span", repeated("<td rowspan=9 colspan=64>ab")),
        ("raised text", repeated("<div><sup>")),
        ("deleted text", repeated("<p><del>a")),
        ("titles", repeated("<div><i title=ab></i>")),
        (
            "one tag of attributes",
            Box::new(|bytes| {
                format!(
                    "<html><body>{}",
                    format!("<input {}>", "a=1 ".repeat(3000)).repeat(bytes / 12_000 + 1)
                )
            }),
        ),
        ("drawings", repeated("<div><svg><title>a")),
        ("comments", repeated("<p><!--")),
        ("options", repeated("<html><option value=1 selected>a")),
        ("lists", repeated("<ol><li>")),
        // prose
        ("one paragraph", repeated("A word or two are said. ")),
        (
            "paragraphs",
            by_line(|at| {
                format!("# Part {at}\n\nThe {at} of them said it all. Nobody had asked them, e.g. before.\n")
            }),
        ),
        ("full stops", repeated(". ")),
        ("columns of words", repeated("a word  a word\n")),
        // tables
        ("CSV", by_line(|at| format!("{at},{},\"a, b\",paid", at * 7 % 91))),
        ("CSV of one column of errors", by_line(|at| format!("{at},failed,{at}"))),
        ("a wide table", Box::new(|bytes| lines(bytes, |_| "1,".repeat(190)))),
        ("quotes in CSV", by_line(|at| format!("\"a\"\"b{at},c\",\"d\ne\""))),
        ("an aligned table", by_line(|at| format!("pod-{at:<8}  1/1   Running  {at}"))),
        ("pipes", by_line(|at| format!("| {at} | b | c |"))),
        // search results, listings, logs
        ("search results", by_line(|at| format!("src/f{}.rs:{at}: check_4711 {at}", at / 9))),
        ("search results in as many files", by_line(|at| format!("src/f{at}.rs:1: item_17"))),
        ("a listing", by_line(|at| format!("./a/b{}/c{at}.rs", at % 7))),
        (
            "a log",
            by_line(|at| format!("2026-01-02 03:04:05,{:03} ERROR worker-{at} took {at} ms", at % 1000)),
        ),
        ("a log of traces", by_line(|at| format!("2026-01-02 03:04:05 ERROR e{at}\n\tat a.b(C.java:{at})"))),
        ("numbered lines", by_line(|at| format!("{at:>6}\t  let x = {at};"))),
        ("identical lines", repeated("the same line as before, every time\n")),
        (
            "two lines in turn",
            repeated("the same line as before, every time\nand one more of them, in turn with it\n"),
        ),
    ];
    // JSON
    shapes.push((
        "rows of JSON that failed",
        Box::new(|bytes| {
            let rows: Vec<String> = (0..bytes / 50)
                .map(|at| format!("{{\"id\":{at},\"status\":\"failed\",\"name\":\"n{at}\"}}"))
                .collect();
            format!("[{}]", rows.join(","))
        }),
    ));
    shapes.push((
        "rows of JSON that share no key",
        Box::new(|bytes| {
            let rows: Vec<String> = (0..bytes / 20).map(|at| format!("{{\"k{at}\":{at}}}")).collect();
            format!("[{}]", rows.join(","))
        }),
    ));
    shapes.push((
        "JSON in lists",
        Box::new(|bytes| format!("[{}1{}]", "[".repeat(100), "]".repeat(100)).repeat(bytes / 203 + 1)),
    ));
    shapes.push(("lines of JSON", by_line(|at| format!("{{\"id\":{at},\"ok\":true}}"))));
    shapes.push((
        "long strings in JSON",
        Box::new(|bytes| {
            let rows: Vec<String> = (0..bytes / 600)
                .map(|at| format!("{{\"id\":{at},\"text\":\"{}\"}}", "check_4711 and so on ".repeat(25)))
                .collect();
            format!("[{}]", rows.join(","))
        }),
    ));
    for unit in [
        "a",
        "word ",
        " ",
        "x\n",
        "\n",
        "50%\r",
        "\u{1b}[31m",
        "\u{1b}[",
        "[",
        "{\"a\":",
        "\"",
        "\\",
        "```\n",
        "<a><b>",
        "<a ",
        "\0",
        "\u{4e2d}",
        "e\u{301}",
        "| ",
        ",",
        "/",
        "a:1:\n",
        "a.b:1",
        "(1",
        "- a: b\n",
        "0 failed ",
        "error ",
        "1\n",
        "::",
        "=",
        "\t",
    ] {
        shapes.push((unit, repeated(unit)));
    }
    shapes
}

#[test]
fn no_shape_of_any_kind_takes_more_work_than_its_bytes_allow() {
    let mut report = String::new();
    let mut bad = 0;
    for (name, make) in shapes() {
        let (small, large) = (make(SIZE), make(SIZE * GROWTH));
        for profile in [Profile::Lossless, Profile::Balanced] {
            let ((_, few), (verdict, many)) = (compressed(&small, profile), compressed(&large, profile));
            let per_byte = many / large.len() as u64;
            let growth = (many as f64 / large.len() as f64) / (few as f64 / small.len() as f64);
            let over =
                verdict.outcome == BlockOutcome::Skipped(Skip::TooCostly) || growth > 2.0 && per_byte > 40;
            bad += usize::from(over);
            report += &format!(
                "{per_byte:>5} per byte, {growth:.2} times the smaller input's: {name:?} {profile:?}{}\n",
                if over { " TOO MUCH" } else { "" }
            );
        }
    }
    eprintln!("{report}");
    assert_eq!(bad, 0, "{report}");
}

/// Outputs as tools print them every day.
fn ordinary() -> Vec<(&'static str, Make)> {
    vec![
        (
            "a log",
            by_line(|at| {
                let level = if at % 50 == 7 { "WARN" } else { "INFO" };
                format!(
                    "2026-01-02 03:04:05,{:03} {level} worker-{} took {at} ms for /items/{at}",
                    at % 1000,
                    at % 8
                )
            }),
        ),
        (
            "a page",
            by_line(|at| {
                format!(
                    "<p>Part <b>{at}</b> of the <a href=\"/p/{at}\">page</a> is about the {at}th thing.</p>"
                )
            }),
        ),
        ("a test run", by_line(|at| format!("test engine::part_{}::case_{at} ... ok", at / 40))),
        ("a table", by_line(|at| format!("pod-{at:<8}  1/1   Running  {at}"))),
        (
            "rows of JSON",
            Box::new(|bytes| {
                let row =
                    |at| format!("{{\"id\":{at},\"state\":\"open\",\"name\":\"task {at}\",\"done\":false}}");
                let rows: Vec<String> = (0..bytes / 55).map(row).collect();
                format!("[{}]", rows.join(","))
            }),
        ),
        (
            "a diff",
            by_line(|at| match at % 12 {
                0 => format!("diff --git a/f{at} b/f{at}\n--- a/f{at}\n+++ b/f{at}\n@@ -1,9 +1,9 @@"),
                3 => format!("-    let value = old({at});"),
                4 => format!("+    let value = new({at});"),
                _ => format!("     let x{at} = call({at});"),
            }),
        ),
    ]
}

/// Bytes of work for each byte of the text, in the most expensive profile.
fn work_per_byte(text: &str) -> f64 {
    let most = [Profile::Lossless, Profile::Balanced].map(|profile| compressed(text, profile).1);
    most.into_iter().max().unwrap_or(0) as f64 / text.len() as f64
}

/// Work per byte does not grow with the text (see above), so this also holds for eight megabytes.
#[test]
fn the_worst_shape_takes_at_most_three_times_the_work_of_ordinary_text() {
    let bytes = SIZE * GROWTH;
    let usual = ordinary().into_iter().map(|(_, make)| work_per_byte(&make(bytes))).fold(0.0, f64::max);
    let mut shapes: Vec<(f64, &str)> =
        shapes().into_iter().map(|(name, make)| (work_per_byte(&make(bytes)), name)).collect();
    shapes.sort_by(|a, b| b.0.total_cmp(&a.0));
    let worst: Vec<_> = shapes.iter().take_while(|(work, _)| *work > 3.0 * usual).collect();
    assert!(worst.is_empty(), "ordinary text takes {usual:.1}: {worst:.1?}");
}

/// Sources that cost a scanner the most.
fn sources() -> Vec<(&'static str, Make)> {
    let mut sources: Vec<(&'static str, Make)> = vec![
        ("braces functions", by_line(|at| format!("fn f{at}(a: u8) {{\n{}}}", "    call(a);\n".repeat(12)))),
        ("script functions", by_line(|at| format!("function f{at}(a) {{\n{}}}", "  call(a);\n".repeat(12)))),
        ("python functions", by_line(|at| format!("def f{at}(a):\n{}", "    call(a)\n".repeat(12)))),
        (
            "throws in depth",
            Box::new(|bytes| {
                format!("function f() {{{}{}", "if (a) {".repeat(190), "throw a;\n".repeat(bytes / 9))
            }),
        ),
        ("blocks in depth", by_line(|_| format!("{}a();{}", "if (a) {".repeat(150), "}".repeat(150)))),
        (
            "python in depth",
            by_line(|at| {
                format!("{}if a:{}", " ".repeat(at % 90), if at % 90 == 89 { " raise a" } else { "" })
            }),
        ),
        (
            "one function",
            Box::new(|bytes| format!("void f() {{\n{}}}\n", "  call(a, b);\n".repeat(bytes / 14))),
        ),
        ("one statement", Box::new(|bytes| format!("f(\n{})\n", "a,\n".repeat(bytes / 3)))),
    ];
    for unit in [
        "=/[\\]",
        "=/a",
        "= /",
        "`${",
        "`${a}`",
        "<a ",
        "<a>",
        "</a>",
        "<a b={",
        "/*",
        "/**/",
        "//\n",
        "#if a\n",
        "\\\n",
        "'",
        "\"",
        "'''",
        "\"\"\"",
        "f'{a}'",
        "f\"{f'{a}'}\" ",
        "r#\"",
        "r##\"\"#",
        "'a",
        "R\"(",
        "@a\n",
        "(",
        "()",
        "[]",
        "{}",
        "};",
        "a.b.c",
        "=>",
        "async ",
        "class A{",
        "template<",
        "x::",
        "0x1",
        "return ",
        "case a:",
        "\u{4e2d}",
        "\n",
        " \n",
        "\t\n ",
    ] {
        sources.push((unit, repeated(unit)));
    }
    sources
}

const LANGUAGES: [Language; 9] = [
    Language::Python,
    Language::JavaScript,
    Language::TypeScript,
    Language::Tsx,
    Language::Go,
    Language::Rust,
    Language::Java,
    Language::C,
    Language::Cpp,
];

#[test]
fn no_source_of_any_language_takes_more_work_than_its_bytes_allow() {
    let config = Config::default();
    let cx = Context { query: "why does f4711 call a?", ..Context::of(&config) };
    let mut bad = Vec::new();
    let mut cut = 0;
    for (name, make) in sources() {
        let texts = [make(SIZE), make(SIZE * GROWTH)];
        for language in LANGUAGES {
            let [few, many] = texts.each_ref().map(|text| {
                start(text.len());
                cut += usize::from(code::lossy(text, language, &cx).is_some());
                (cap(text.len()) - LEFT.get()) as f64 / text.len() as f64
            });
            if many > 40.0 || many > 2.0 * few && many > 10.0 {
                bad.push(format!("{name:?} as {language:?}: {few:.1}, then {many:.1} per byte"));
            }
        }
    }
    assert!(cut > 10, "{cut}");
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn what_is_over_its_cap_is_said_to_be_and_a_small_block_has_room() {
    start(100);
    spend(1 << 19);
    assert!(!is_over());
    spend(usize::MAX);
    assert!(is_over());
    start(100);
    assert!(!is_over());
}
