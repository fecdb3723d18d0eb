//! The inverse of a text in blocks, and what it has to hold for.

use proptest::prelude::*;

use super::*;
use crate::kinds::signal;

fn shown(text: &str) -> Option<Form> {
    shown_beside(text, "", 0)
}

fn shown_beside(text: &str, around: &str, least: usize) -> Option<Form> {
    crate::work::unlimited();
    form(text, around, signal::reports_failure, least)
}

/// Gives back the text that a form was made from.
fn restore(form: &Form) -> String {
    let (stated, mut rest) = form.body.split_once(OUTPUT).expect("the output");
    rest = rest.strip_prefix('\n').unwrap_or(rest);
    let marks = MARKS.iter().find(|(open, close)| form.sentence.contains(&format!("{open}1{close}")));
    let mut blocks: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut lines = stated.split('\n');
    while let Some(head) = lines.next().filter(|head| !head.is_empty()) {
        let (tag, count) = head.strip_suffix(" lines:").unwrap().split_once(", ").unwrap();
        blocks.push((tag, lines.by_ref().take(count.parse().unwrap()).collect()));
    }
    let mut out: Vec<String> = Vec::new();
    for line in rest.split('\n') {
        let mut words = line.split(' ');
        let tag = words.next();
        let Some((_, block)) = blocks.iter().find(|(name, _)| Some(*name) == tag) else {
            out.push(line.to_owned());
            continue;
        };
        let values: Vec<&str> = words.collect();
        for line in block {
            let mut line = (*line).to_owned();
            for (at, value) in values.iter().enumerate().rev() {
                let (open, close) = marks.unwrap();
                line = line.replace(&format!("{open}{}{close}", at + 1), &format!("\0{value}\0"));
            }
            out.push(line.replace('\0', ""));
        }
    }
    out.join("\n")
}

fn resource(n: usize, size: &str) -> String {
    format!(
        "  # disk.web[{n}] will be created\n  + resource \"disk\" \"web\" {{\n      + name = \"web-{n}\"\n      + size = \"{size}\"\n      + slot = {n}\n    }}\n\n"
    )
}

#[test]
fn a_long_text_of_blocks_has_a_form_wherever_its_middle_begins() {
    for lines_before in 0..9 {
        let text: String = (0..90).map(|n| resource(n, "s1")).collect();
        let text = format!("{}{text}", "The plan:\n\n".repeat(lines_before));
        assert!(text.lines().count() > 2 * SAMPLE);
        let form = shown_beside(&text, "", 10).expect("a form");
        assert!(form.body.len() * 2 < text.len(), "{} of {}", form.body.len(), text.len());
        assert_eq!(restore(&form), text);
    }
}

#[test]
fn a_block_stands_once_with_numbers_for_its_values_and_one_that_is_different_as_printed() {
    let text: String = (0..20).map(|n| resource(n, if n == 13 { "xl2" } else { "s1" })).collect();
    let text = format!("The plan:\n\n{text}Plan: 20 to add.\n");
    let form = shown(&text).unwrap();
    assert_eq!(
        form.sentence,
        " A line \"A x y\" stands for the lines of block A, with x for <1> and y for <2>"
    );
    let start = "A, 7 lines:\n  # disk.web[<1>] will be created\n  + resource \"disk\" \"web\" {\n      + name = \"<2>\"\n      + size = \"s1\"\n      + slot = <1>\n    }\n\n[the output:]\nThe plan:\n\nA 0 web-0\nA 1 web-1\n";
    assert!(form.body.starts_with(start), "{}", form.body);
    assert!(
        form.body.contains(&format!("A 12 web-12\n{}A 14 web-14\n", resource(13, "xl2"))),
        "{}",
        form.body
    );
    assert!(form.body.ends_with("A 19 web-19\nPlan: 20 to add.\n"), "{}", form.body);
    assert_eq!(restore(&form), text);
}

#[test]
fn a_block_that_reports_a_failure_stays_as_printed() {
    let text: String = (0..20)
        .map(|n| {
            format!("unit web-{n}\n  state: {}\n  host: a{n}\n", if n == 7 { "failed" } else { "running" })
        })
        .collect();
    let form = shown(&text).unwrap();
    assert!(form.body.contains("\nunit web-7\n  state: failed\n  host: a7\n"), "{}", form.body);
    assert_eq!(restore(&form), text);
}

#[test]
fn blocks_of_several_kinds_have_names_that_no_line_begins_with() {
    let text: String = (0..12)
        .map(|n| match n % 2 {
            0 => format!("A: queue {n} of the fleet\n   depth is {} messages\n", n * 7 + 1000),
            _ => format!("worker {n} of the fleet\n   has the address 10.0.0.{n} in the network\n   and port 80{n}\n"),
        })
        .collect::<String>()
        + &(0..5).map(|n| format!("worker {n} of the fleet\n   has the address 10.0.0.{n} in the network\n   and port 80{n}\n")).collect::<String>();
    let form = shown(&text).unwrap();
    assert!(!form.body.contains("\nA, "), "{}", form.body);
    assert_eq!(restore(&form), text);
}

#[test]
fn numbers_of_values_cannot_be_mistaken_for_text() {
    let text: String = (0..12)
        .map(|n| format!("template <1> of {n}\n  is used by nobody but {n}\n  at any time\n"))
        .collect();
    let form = shown(&text).unwrap();
    assert!(form.sentence.ends_with(" with x for ‹1›"), "{}", form.sentence);
    assert_eq!(restore(&form), text);
}

#[test]
fn a_block_does_not_end_with_the_start_of_the_next() {
    let disk = |name: &str| {
        format!(
            "  # disk.{name} will be created\n  + \"{name}\" \"{name}\" {{\n      + size = \"a size that all of them have\"\n      + zone = \"a zone that all of them have\"\n    }}\n\n"
        )
    };
    let text: String = ["web", "main", "front", "nat", "log"].map(disk).concat();
    let body = shown(&text).map_or(text, |form| form.body);
    assert!(body.contains("\n  # disk.main will be created\n  + \"main\" \"main\" {\n"), "{body}");
}

#[test]
fn few_or_short_blocks_are_left_alone() {
    assert!(shown(&(0..2).map(|n| resource(n, "s1")).collect::<String>()).is_none());
    assert!(shown("a\nb\n\n".repeat(3).as_str()).is_none());
    assert!(shown("").is_none());
}

proptest! {
    #[test]
    fn the_inverse_gives_back_every_byte(
        parts in prop::collection::vec((0usize..6, 0usize..30), 0..60),
        end in "\n?",
    ) {
        let parts: Vec<String> = parts
            .into_iter()
            .map(|(kind, n)| match kind {
                0 | 1 => resource(n, "s1"),
                2 => format!("name: web-{n}\n  memory: 25{n}Mi\n  the rest of it is the same as ever\n"),
                3 => "Error: it failed\n".to_owned(),
                _ => format!("A line of its own {}\n", "x".repeat(n)),
            })
            .collect();
        let text = parts.concat() + &end;
        if let Some(form) = shown(&text) {
            prop_assert_eq!(restore(&form), text);
        }
    }
}

fn records(records: std::ops::Range<usize>, record: impl Fn(usize) -> String) -> String {
    records.map(record).collect()
}

#[test]
fn tags_are_none_that_a_line_around_begins_with() {
    let text = records(0..6, |n| {
        format!("team {n} of the company\n  has quota {}5 in all\n  and pays for all of it\n", n)
    });
    let around = format!("{text}```\nmake grade\n```\nA 90 100\nB\t7\n");
    let form = shown_beside(&text, &around, 0).unwrap();
    assert!(form.body.starts_with("C, 3 lines:\n"), "{}", form.body);
    assert_eq!(restore(&form), text);
}

#[test]
fn no_block_shows_the_end_of_one_record_beside_the_beginning_of_the_next() {
    let failed_first = records(0..7, |n| {
        let result = if n == 0 { "FAILED" } else { "passed" };
        format!("Job: build-{n} of main\nResult: {result} in queue\nRunner: runner-{} of pool\n", n * 3)
    });
    let cut_off = "Installed-Size: 100\nSection: libs of the system\n\n".to_owned()
        + &records(1..7, |n| {
            format!(
                "Package: lib{n}foo\nVersion: 1.{n}-2\nInstalled-Size: 1{n}3\nSection: libs of the system\n\n"
            )
        });
    let replaced = records(0..6, |n| {
        format!(
            "  # aws_eip.e[{n}] must be replaced\n-/+ resource \"aws_eip\" \"e\" {{\n      ~ id   = \"eip-{n}\" -> (known after apply)\n      ~ arn  = \"arn:{n}\" -> (known after apply)\n        tags = \"same in all of them\"\n    }}\n\n"
        )
    });
    for (text, wrong) in
        [(failed_first, "runner-0 build-1"), (cut_off, "113 lib2foo"), (replaced, "eip-3 arn:3 4")]
    {
        let Some(form) = shown(&text) else { continue };
        assert!(!form.body.contains(wrong), "{}", form.body);
        assert_eq!(restore(&form), text);
    }
}

#[test]
fn records_between_blank_lines_begin_where_they_begin() {
    let text = "Section: libs of the system\n\n".to_owned()
        + &records(1..9, |n| {
            format!("Package: lib{n}foo\nVersion: 1.{n}-2\nSection: libs of the system\n\n")
        });
    let form = shown(&text).unwrap();
    assert!(form.body.starts_with("A, 4 lines:\nPackage: <1>\n"), "{}", form.body);
    assert_eq!(restore(&form), text);
}

#[test]
fn a_text_with_the_line_behind_the_blocks_has_none() {
    let text = records(0..9, |n| format!("[the output:]\nunit web-{n} is on\n  with the same text always\n"));
    assert!(shown(&text).is_none());
}
