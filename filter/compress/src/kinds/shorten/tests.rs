//! The inverse of the shortened form, and the properties that it has to have.

use proptest::prelude::*;

use super::*;
use crate::kinds::signal;

/// Restores the text from which `short` was made.
fn restore(short: &str) -> String {
    let (head, mut rest) = short.split_once('\n').expect("an explanation");
    let count = head
        .strip_suffix(" wordings:]")
        .or_else(|| head.strip_suffix(" wording:]"))
        .map_or(0, |head| head.rsplit(' ').next().unwrap().parse::<usize>().unwrap());
    let mark = MARKS.iter().find(|mark| head.contains(&format!("its {mark}s"))).copied().unwrap_or("*");
    let mut wordings = Vec::new();
    for _ in 0..count {
        let (line, after) = rest.split_once('\n').expect("a wording");
        let (name, wording) = line.split_once(": ").expect("a tag");
        wordings.push((name, wording));
        rest = after;
    }
    let stamped = head.contains("time or date");
    let (mut lead, mut time) = (String::new(), String::new());
    let mut lines = Vec::new();
    for line in rest.split('\n') {
        let own = stamped.then(|| clock::leading(line)).flatten();
        let body = own.map_or(line, |s| line[s.end..].strip_prefix(' ').unwrap_or(&line[s.end..]));
        let wording = wordings.iter().find(|(name, _)| *name == first_word(body));
        let restored = match (own, wording) {
            (own, Some((name, wording))) => {
                if let Some(own) = own {
                    time = line[..own.end].to_owned();
                }
                let mut values = body[name.len()..].split(' ').skip(1);
                let (time_lead, wording) = match wording.strip_prefix(TIME) {
                    Some(wording) => (format!("{lead}{time}"), wording),
                    None => (String::new(), *wording),
                };
                let mut parts = wording.split(mark);
                let mut text = time_lead + parts.next().unwrap();
                for part in parts {
                    text.push_str(values.next().expect("a value"));
                    text.push_str(part);
                }
                assert_eq!(values.next(), None);
                text
            }
            (Some(_), None) => format!("{lead}{line}"),
            (None, None) => line.to_owned(),
        };
        if stamped && let Some(s) = clock::stamp(&restored) {
            lead = restored[..s.start].to_owned();
            time = restored[s.start..s.end].to_owned();
        }
        lines.push(restored);
    }
    lines.join("\n")
}

fn short_of(text: &str) -> Option<String> {
    work::unlimited();
    shorten(text, "", signal::reports_failure)
}

fn check(text: &str) -> String {
    let short = short_of(text).unwrap_or_else(|| panic!("no form for {text:?}"));
    assert_eq!(restore(&short), text, "{short}");
    short
}

#[test]
fn a_log_is_given_back_byte_for_byte() {
    let mut text = String::new();
    for i in 0..40 {
        text += &format!(
            "Dec 10 11:00:{:02} LabSZ sshd[{}]: Accepted password for root from 1.2.3.4 port {} ssh2\n",
            i / 2,
            2000 + i,
            30000 + 7 * i
        );
        if i % 9 == 0 {
            text += &format!(
                "Dec 1{} 11:01:00 LabSZ sshd[1]: session opened for user root by (uid=0)\n\tat x\n",
                i % 8
            );
        }
    }
    let short = check(&text);
    assert!(short.len() * 2 < text.len(), "{short}");
}

#[test]
fn every_line_that_reports_a_failure_stays_as_printed_with_what_belongs_to_it() {
    let mut text = String::new();
    for i in 0..30 {
        text += &format!("2024-01-01 10:00:{i:02} INFO worker {i}: has taken job number {}\n", i * 3);
        if i % 4 == 0 {
            text += &format!("2024-01-01 10:00:{i:02} ERROR worker {i}: connection refused by peer {i}\n");
            text += &format!("\tat Pool.get(Pool.java:{i}) of the connection pool of the worker\n");
        }
    }
    let short = check(&text);
    assert!(short.len() < text.len());
    for line in text.lines().filter(|line| line.contains("ERROR") || line.starts_with('\t')) {
        assert!(short.lines().any(|shown| shown == line), "{line} is not in\n{short}");
    }
}

#[test]
fn no_time_is_taken_over_from_lines_that_stand_for_others() {
    let mut text = String::new();
    for i in 0..30 {
        text += &format!("2024-01-01 10:00:00 INFO worker {i}: has taken job number {}\n", i * 3);
        if i == 14 {
            text += "[previous line repeated 9 more times]\n";
        }
    }
    let short = check(&text);
    assert!(
        short.contains(
            "repeated 9 more times]\n2024-01-01 10:00:00 INFO worker 15: has taken job number 45\n"
        ),
        "{short}"
    );
}

#[test]
fn words_that_look_like_tags_are_not_used_as_tags() {
    let mut text = String::new();
    for i in 0..20 {
        text += &format!("A {i}\nB\n10:00:{i:02} C is the state of the unit with the number {i}\n");
    }
    check(&text);
}

#[test]
fn marks_in_the_text_are_no_holes() {
    let text: String =
        (0..20).map(|i| format!("* block * number {i} of the whole set {{}} was updated\n")).collect();
    check(&text);
}

#[test]
fn lines_with_and_without_a_date_are_told_apart() {
    let text: String = (0..20)
        .map(|i| {
            let date = if i % 3 == 0 { "" } else { "2024-01-01 " };
            format!("{date}10:00:{i:02} the worker with number {i} has finished its job\n")
        })
        .collect();
    check(&text);
}

#[test]
fn text_without_repetition_has_no_shorter_form() {
    assert_eq!(short_of(""), None);
    assert_eq!(short_of("a\nb\nc\nd\ne\nf\ng\nh\n"), None);
}

/// Lines like those of logs, so that all forms of a line occur.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-C]{1,2}( [0-9]{1,3}){0,2}",
        "(2024-01-0[1-3] |Jan  [1-3] |)10:0[0-2]:0[0-3]( [A-D]|) (the job with number|no error in step) [0-9]{1,2} (done|open)",
        "(2024-01-0[1-2] )10:00:0[0-1] (ERROR: failed|the value of the thing is) [0-9a-z]{1,3}",
        "  +at [a-z]{1,4}\\([0-9]\\)",
        "[ *<>{}a-c=0-9é\\[\\]:]{0,12}",
        Just(String::new()),
    ]
}

proptest! {
    #[test]
    fn any_lines_are_given_back(lines in prop::collection::vec(line(), 0..60)) {
        let text = lines.join("\n");
        if let Some(short) = short_of(&text) {
            prop_assert_eq!(restore(&short), text);
        }
    }

    #[test]
    fn any_text_is_given_back(text in "(\\PC|\n|[A-C] |[0-9]:){0,200}") {
        let text = format!("{text}\n{text}\n{text}\n{text}\n{text}\n{text}");
        if let Some(short) = short_of(&text) {
            prop_assert_eq!(restore(&short), text);
        }
    }
}

#[test]
fn what_stands_around_a_part_counts_where_it_is_read() {
    let around = "some line of the text\n".repeat(1000);
    let repeats: String =
        (0..40).map(|at| format!("fetched item {at} from the shelf of the library\n")).collect();
    let differs: String = (0..40).map(|at| format!("{}\n", "abcdefg ".repeat(at + 1))).collect();
    for (part, times) in [(repeats, 2), (differs, 0)] {
        work::start(around.len());
        assert_eq!(shorten_plain(&part, &around, |_| false, 8).is_some(), times > 0);
        let spent = usize::try_from(work::spent(around.len())).unwrap();
        assert_eq!(spent / around.len(), times, "{spent}");
    }
    work::unlimited();
}
