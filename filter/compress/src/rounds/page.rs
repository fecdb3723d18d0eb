//! What a call of our tool asks for, and the page that it gets.
//!
//! A page depends only on the original and its range, so a trace of a few characters is enough to write it
//! again. That is why the line at its end does not mention a query.

pub use headroom_providers::arguments::{Range, RetrieveArguments};

use crate::ccr;
use crate::excerpt::{Excerpt, PAGE_BYTES, Part, Unit, excerpt};

/// The answer of our MCP server if it does not have a text. The filter replaces it by the original when the
/// client sends it with its next request.
pub const PLACEHOLDER: &str = "[headroom: the text belongs here. The filter puts it in on the way to the model; \
    if this line can be read instead, it did not find the text: call the tool that gave the output again]";

/// A part of a text as the model reads it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page {
    /// What the model reads.
    pub text: String,
    /// Its range; `None`: it is the whole text.
    pub range: Option<Range>,
}

/// The empty range: no word of the query is in the text, or the range is beyond its end.
const NOTHING: Range = Range { unit: Unit::Lines, from: 0, to: 0 };

/// The part of a text that a call asks for.
fn part_asked(asked: &RetrieveArguments) -> Part<'_> {
    if let Some(range) = Range::read(&asked.lines) {
        return range.into();
    }
    if asked.query.is_empty() { Part::Whole } else { Part::Query(&asked.query) }
}

/// The page of a text that answers a call.
pub fn answer(original: &str, asked: &RetrieveArguments) -> Page {
    let part = part_asked(asked);
    if part == Part::Whole && original.len() <= PAGE_BYTES {
        return Page { text: original.to_owned(), range: None };
    }
    let found = excerpt(original, None, part, PAGE_BYTES);
    let number = |value: usize| u32::try_from(value).ok();
    let range = match (number(found.from), number(found.to)) {
        (Some(from), Some(to)) if !found.text.is_empty() => Range { unit: found.unit, from, to },
        _ => NOTHING,
    };
    match page(original, Some(range)) {
        Some(text) => Page { text, range: Some(range) },
        None => Page { text: nothing(original), range: Some(NOTHING) },
    }
}

/// The page that a range names; `None`: there is no such page.
pub fn page(original: &str, range: Option<Range>) -> Option<String> {
    let Some(range) = range else {
        return (original.len() <= PAGE_BYTES).then(|| original.to_owned());
    };
    if range == NOTHING {
        return Some(nothing(original));
    }
    let found = excerpt(original, None, range.into(), PAGE_BYTES);
    let whole = found.unit == range.unit
        && found.from == range.from as usize
        && found.to == range.to as usize
        && !found.text.is_empty();
    whole.then(|| with_note(original, &found))
}

/// The page, and a line that says what it is and how to go on.
fn with_note(original: &str, found: &Excerpt<'_>) -> String {
    let Excerpt { unit, from, to, total, text, .. } = found;
    let line_end = if text.ends_with('\n') { "" } else { "\n" };
    let (unit, first) = (unit.name(), unit.first());
    // Rows are numbered from 0, as the forms number them.
    let last = (total + first).saturating_sub(1);
    let next = if *to < last {
        let range = Range {
            unit: found.unit,
            from: u32::try_from(to + 1).unwrap_or(u32::MAX),
            to: u32::try_from((to + 1 + to - from).min(last)).unwrap_or(u32::MAX),
        };
        format!("; to go on: headroom_retrieve hash={} lines={}", ccr::address(original), range.argument())
    } else {
        String::new()
    };
    format!("{text}{line_end}[headroom: {unit} {from} to {to}; the text has {unit} {first} to {last}{next}]")
}

fn nothing(original: &str) -> String {
    let found = excerpt(original, None, Part::Whole, PAGE_BYTES);
    let (unit, total) = (found.unit.name(), found.total);
    format!(
        "[headroom: nothing of the text matches; it has {total} {unit}; a range of them can be asked for]"
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(query: &str, lines: &str) -> RetrieveArguments {
        RetrieveArguments { hash: "h".to_owned(), query: query.to_owned(), lines: lines.to_owned() }
    }

    proptest! {
        #[test]
        fn the_range_of_an_answer_gives_the_same_answer(
            line in "[a-z ]{0,60}",
            count in 1..3_000usize,
            query in "[a-z]{0,4}",
            lines in "(rows |characters |)[0-9]{0,4}(-[0-9]{0,5})?",
            json: bool,
        ) {
            let lines_of: Vec<String> = (0..count).map(|at| format!("{line} {at}")).collect();
            let text = if json { serde_json::to_string(&lines_of).unwrap() } else { lines_of.join("\n") };
            let Page { text: shown, range } = answer(&text, &asked(&query, &lines));
            prop_assert_eq!(page(&text, range), Some(shown));
        }

        #[test]
        fn arguments_of_any_kind_can_be_read(arguments: String, lines: String) {
            let read = RetrieveArguments::read(&arguments);
            prop_assert_eq!(read.hash.trim(), &read.hash);
            let spelled = serde_json::json!({"hash": &arguments}).to_string();
            prop_assert_eq!(RetrieveArguments::read(&spelled).hash, arguments.trim());
            let Page { text, range } = answer("a\nb\n", &asked("", &lines));
            prop_assert_eq!(page("a\nb\n", range), Some(text));
        }
    }

    #[test]
    fn a_short_text_is_given_as_it_is_and_a_range_says_what_it_is() {
        let text = "one\ntwo\nthree\n";
        assert_eq!(answer(text, &asked("", "")), Page { text: text.to_owned(), range: None });
        let page = answer(text, &asked("", "2-2"));
        let next = format!("; to go on: headroom_retrieve hash={} lines=3-3]", ccr::address(text));
        assert_eq!(page.text, format!("two\n[headroom: lines 2 to 2; the text has lines 1 to 3{next}"));
        let last = answer(text, &asked("", "3-9")).text;
        assert_eq!(last, "three\n[headroom: lines 3 to 3; the text has lines 1 to 3]");
        assert_eq!(page.range.unwrap().argument(), "2-2");
        let none = answer(text, &asked("", "9-12"));
        assert_eq!(none.text, nothing(text));
    }

    #[test]
    fn a_range_is_read_as_people_and_models_write_it() {
        let read = |text| Range::read(text).map(|it| (it.unit, it.from, it.to));
        for (text, unit, from, to) in [
            ("40-80", Unit::Lines, 40, 80),
            ("lines 40 - 80", Unit::Lines, 40, 80),
            ("7", Unit::Lines, 7, 7),
            ("7-", Unit::Lines, 7, u32::MAX),
            ("-20", Unit::Lines, 0, 20),
            ("rows -3", Unit::Rows, 0, 3),
            ("rows 3:7", Unit::Rows, 3, 7),
            ("chars 1-900", Unit::Characters, 1, 900),
        ] {
            assert_eq!(read(text), Some((unit, from, to)), "{text}");
        }
        for text in ["", "-", "80-40", "a-b", "1-2-3", "-1-2", "4,5", "pages 1-2", "99999999999-"] {
            assert_eq!(read(text), None, "{text}");
        }
        assert!(
            answer("one\ntwo\nthree\n", &asked("", "-2"))
                .text
                .starts_with("one\ntwo\n[headroom: lines 1 to 2;")
        );
    }
}
