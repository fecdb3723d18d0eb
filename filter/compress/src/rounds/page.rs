//! What a call of our tool asks for, and the page that it is given.
//!
//! A page follows from the original and its range alone, so that a trace of a few characters is enough to write it
//! once more. That is why the line at its end says nothing of a query.

use crate::ccr;
use crate::excerpt::{Excerpt, PAGE_BYTES, Part, Unit, excerpt};

/// In the place of a text, what our MCP server answers where it does not have it: the filter puts the original
/// there when the answer goes up with the client's next request.
pub const PLACEHOLDER: &str = "[headroom: the text belongs here. The filter puts it in on the way to the model; \
    if this line can be read instead, it did not find the text: call the tool that gave the output again]";

/// The arguments of a call.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Asked {
    /// The address of the text.
    pub hash: String,
    /// Words to look for; may be empty.
    pub query: String,
    /// A range such as `40-80`, `rows 3-7` or `characters 1-900`; may be empty.
    pub lines: String,
}

/// A range of a text. Both ends belong to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Range {
    /// What is counted.
    pub unit: Unit,
    /// The first; of nothing at all 0, with `to` 0, in a unit that counts from 1.
    pub from: u32,
    /// The last.
    pub to: u32,
}

/// A part of a text as the model reads it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page {
    /// What the model reads.
    pub text: String,
    /// Where it stands; `None`: it is the whole text.
    pub range: Option<Range>,
}

/// Nothing of a text: no word of the query is in it, or the range lies behind its end.
const NOTHING: Range = Range { unit: Unit::Lines, from: 0, to: 0 };

impl Asked {
    /// Reads arguments, a JSON object. Unreadable ones become an empty hash, which no text has.
    pub fn read(arguments: &str) -> Self {
        let arguments: serde_json::Value = serde_json::from_str(arguments).unwrap_or_default();
        // Some clients send the object as a string.
        let arguments = match arguments.as_str() {
            Some(inner) => serde_json::from_str(inner).unwrap_or_default(),
            None => arguments,
        };
        let text = |key| match arguments.get(key) {
            Some(serde_json::Value::String(text)) => text.trim().to_owned(),
            Some(serde_json::Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        Self { hash: text("hash"), query: text("query"), lines: text("lines") }
    }

    fn part(&self) -> Part<'_> {
        if let Some(range) = Range::read(&self.lines) {
            return range.part();
        }
        if self.query.is_empty() { Part::Whole } else { Part::Query(&self.query) }
    }
}

impl Range {
    /// Reads `40-80`, `40`, `40-`, `-20`, `rows 3-7`, `characters 1-900`.
    pub fn read(text: &str) -> Option<Self> {
        let at = text.find(|c: char| c.is_ascii_digit())?;
        let (unit, numbers) = text.split_at(at);
        let (unit, from_start) = match unit.trim_end().strip_suffix('-') {
            Some(unit) => (unit, true),
            None => (unit, false),
        };
        let unit = match unit.trim() {
            "rows" | "row" => Unit::Rows,
            "characters" | "chars" => Unit::Characters,
            "" | "lines" | "line" => Unit::Lines,
            _ => return None,
        };
        let mut ends = numbers.splitn(2, ['-', ':', '–']);
        let from: u32 = ends.next()?.trim().parse().ok()?;
        if from_start {
            return ends.next().is_none().then_some(Self { unit, from: 0, to: from });
        }
        let to = match ends.next().map(str::trim) {
            None => from,
            Some("") => u32::MAX,
            Some(to) => to.parse().ok()?,
        };
        (from <= to).then_some(Self { unit, from, to })
    }

    /// The part of a text that it names.
    pub fn part(self) -> Part<'static> {
        let (from, to) = (self.from as usize, self.to as usize);
        match self.unit {
            Unit::Lines => Part::Lines(from, to),
            Unit::Rows => Part::Rows(from, to),
            Unit::Characters => Part::Characters(from, to),
        }
    }

    /// As a call asks for it.
    pub(crate) fn argument(self) -> String {
        match self.unit {
            Unit::Lines => format!("{}-{}", self.from, self.to),
            unit => format!("{} {}-{}", unit.name(), self.from, self.to),
        }
    }
}

/// The page of a text that answers a call.
pub fn answer(original: &str, asked: &Asked) -> Page {
    let part = asked.part();
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
    let found = excerpt(original, None, range.part(), PAGE_BYTES);
    let whole = found.unit == range.unit
        && found.from == range.from as usize
        && found.to == range.to as usize
        && !found.text.is_empty();
    whole.then(|| with_note(original, &found))
}

/// The page, and in a line of its own what it is and how to go on.
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

    fn asked(query: &str, lines: &str) -> Asked {
        Asked { hash: "h".to_owned(), query: query.to_owned(), lines: lines.to_owned() }
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
            let _ = Asked::read(&arguments);
            let _ = answer("a\nb\n", &asked("", &lines));
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
