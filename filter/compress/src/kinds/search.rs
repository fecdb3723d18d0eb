//! Search results: `path:line:text` as grep and ripgrep print it, with and without context and line numbers.
//!
//! A path is written once above its lines. Every text is checked to be restored exactly. A line of another
//! shape between the results stays as it is; if it could be taken for something else, the whole text stays.

mod best;
mod grouped;
mod hit;

use crate::block::{Context, Lossy};
use grouped::Results;

/// The results grouped by file. The inverse is exact.
pub(crate) fn lossless(text: &str, _cx: &Context<'_>) -> Option<String> {
    Results::of(text).grouped(text)
}

/// Keeps the results that answer best and some of every file, and writes how many of each file are not shown.
pub(crate) fn lossy(text: &str, cx: &Context<'_>) -> Option<Lossy> {
    best::best(text, &Results::of(text), cx)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::grouped::ungrouped;
    use super::*;
    use crate::kinds::sink::written;

    fn grouped(text: &str) -> Option<String> {
        Results::of(text).grouped(text)
    }

    #[test]
    fn a_path_stands_once_above_its_lines() {
        let text = "src/a.rs:1:use b;\nsrc/a.rs:22:fn a() {}\nsrc/b.rs:7:fn b() {}\n\
                    Makefile:3:all: a\nMakefile:9:b: c\n";
        assert_eq!(
            grouped(text).as_deref(),
            Some("src/a.rs:\n1:use b;\n22:fn a() {}\nsrc/b.rs:7:fn b() {}\nMakefile:\n3:all: a\n9:b: c\n")
        );
    }

    #[test]
    fn results_without_line_numbers_stand_behind_a_colon() {
        let text = "./a/x-1.py:import os\n./a/x-1.py:    import sys\n./b.py:pass";
        assert_eq!(grouped(text).as_deref(), Some("./a/x-1.py:\n:import os\n:    import sys\n./b.py:pass"));
        let text = "a.py-before\na.py:match\na.py-after\n--\nb.py:match\nb.py-after";
        assert_eq!(
            grouped(text).as_deref(),
            Some("a.py:\n-before\n:match\n-after\n--\nb.py:\n:match\n-after")
        );
    }

    #[test]
    fn context_goes_with_its_file_and_jumps_speak_for_themselves() {
        let text = "a-1-b.go-11-before: x\na-1-b.go:12:match\na-1-b.go-13-\n--\na-1-b.go:40:match\n\
                    --\nc.go-1-before\nc.go:2:match";
        assert_eq!(
            grouped(text).as_deref(),
            Some("a-1-b.go:\n11-before: x\n12:match\n13-\n40:match\nc.go:\n1-before\n2:match")
        );
        let cut = "a.go:12:match\na.go-13-after\n--\na.go:40:match\n--";
        assert_eq!(grouped(cut).as_deref(), Some("a.go:\n12:match\n13-after\n--\n40:match\n--"));
    }

    #[test]
    fn two_spellings_of_one_path_are_one_file() {
        let text = "src/x/long_name.go:1:match\n/home/me/work/src/x/long_name.go-2-after\n\
                    src/x/long_name.go-3-a: colon\n--\n/home/me/work/src/y.go-8-before\nsrc/y.go:9:match";
        assert_eq!(
            grouped(text).as_deref(),
            Some(
                "[paths of lines with \":\" were printed relative to /home/me/work/]\n\
                 /home/me/work/src/x/long_name.go:\n1:match\n2-after\n3-a: colon\n\
                 /home/me/work/src/y.go:\n8-before\n9:match"
            )
        );
    }

    #[test]
    fn other_lines_stay_where_they_are() {
        let text = "<output>\na.rs:1:x\na.rs:2:y\n\n(Results are truncated.)\n</output>";
        assert_eq!(
            grouped(text).as_deref(),
            Some("<output>\na.rs:\n1:x\n2:y\n\n(Results are truncated.)\n</output>")
        );
    }

    #[test]
    fn what_could_not_be_had_back_is_left_alone() {
        assert_eq!(grouped("a.rs:1:x\na.rs:2:y\n12:looks like a line of a.rs"), None);
        assert_eq!(grouped("notes.md:\n1:x\na.rs:1:x\na.rs:2:y"), None);
    }

    fn best_of(text: &str, query: &str) -> Option<Lossy> {
        let config = crate::config::Config::default();
        let cx = Context { query, ..Context::of(&config) };
        lossy(text, &cx)
    }

    #[test]
    fn what_linters_and_compilers_report_stays_whole() {
        let cases: [fn(usize) -> String; 5] = [
            |i| format!("app/models/m{}.rb:{i}:1: W: Metrics/LineLength: Line is too long. [{i}/80]", i % 7),
            |i| format!("src/a{}.py:{i}: error: Incompatible return value type [return-value]", i % 7),
            |i| format!("src/a{}.py:{i}:80: E501 line too long ({i} > 79 characters)", i % 7),
            |i| format!("src/a{}.py:{i}: W0611 unused import", i % 7),
            |i| format!("src/a{}.js:{i}:5: Unexpected console statement. [Error/no-console]", i % 7),
        ];
        for line in cases {
            let text: Vec<String> = (1..900).map(line).collect();
            assert_eq!(best_of(&text.join("\n"), "why"), None, "{}", text[0]);
        }
        let text: Vec<String> =
            (1..900).map(|i| format!("src/a{}.py:{i}:5:    console.log(x{i})", i % 7)).collect();
        assert!(best_of(&text.join("\n"), "why").is_some());
    }

    #[test]
    fn every_file_is_named_and_says_how_many_results_are_not_shown() {
        let text: Vec<String> = (0..900)
            .map(|i| {
                format!("src/part_{}/module.rs:{}:    let value = compute(number_{i});", i / 300, i % 300 + 1)
            })
            .collect();
        let kept = best_of(&text.join("\n"), "where is number_777 used").unwrap();
        for part in 0..3 {
            assert!(kept.text.contains(&format!("src/part_{part}/module.rs: (")), "{}", kept.text);
        }
        assert!(kept.text.contains("\n178:    let value = compute(number_777);"), "{}", kept.text);
        let shown = kept.text.lines().filter(|line| line.contains("compute")).count();
        assert_eq!(kept.left_out, format!("{} of 900 search results left out", 900 - shown));
        let counted: usize = kept
            .text
            .lines()
            .filter_map(|line| line.split_once(" (")?.1.strip_suffix(" more matches)")?.parse::<usize>().ok())
            .sum();
        assert_eq!(counted, 900 - shown);
    }

    #[test]
    fn a_match_keeps_its_context_or_goes_with_it() {
        let text: Vec<String> = (0..200)
            .map(|i| {
                let line = i * 10 + 2;
                let (before, after) = (line - 1, line + 1);
                format!("a.c-{before}-before {i}\na.c:{line}:the match number {i}\na.c-{after}-after {i}")
            })
            .collect();
        let kept = best_of(&text.join("\n--\n"), "").unwrap();
        let lines: Vec<&str> = kept.text.lines().skip(1).collect();
        assert!(lines.len() >= 30 && lines.len() < 600, "{}", lines.len());
        for chunk in lines.chunks(3) {
            let last = |line: &str| line.rsplit(' ').next().unwrap().to_owned();
            assert!(chunk[1].contains(":the match") && last(chunk[0]) == last(chunk[2]), "{chunk:?}");
        }
    }

    #[test]
    fn few_results_stay_whole() {
        assert_eq!(best_of("a.rs:1:x\na.rs:2:y", ""), None);
        assert_eq!(best_of("no results", ""), None);
    }

    fn results() -> impl Strategy<Value = String> {
        let path = prop::sample::select(vec![
            "a.rs",
            "src/b-2-c.rs",
            "./d/e.py",
            "/w/src/a.rs",
            "Makefile",
            "C:\\f.cs",
        ]);
        let line =
            (path, 0u8..6, 1u32..9, "[ a-z:0-9-]{0,8}").prop_map(|(path, shape, n, text)| match shape {
                0 | 1 => format!("{path}:{n}:{text}"),
                2 => format!("{path}-{n}-{text}"),
                3 => format!("{path}:{text}"),
                4 => "--".to_owned(),
                _ => text,
            });
        prop::collection::vec(line, 0..30).prop_map(|lines| lines.join("\n"))
    }

    proptest! {
        #[test]
        fn the_inverse_gives_the_bytes_back(text in results()) {
            if let Some(form) = grouped(&text) {
                prop_assert_eq!(written(|out| ungrouped(&form, out)), text);
            }
        }
    }
}
