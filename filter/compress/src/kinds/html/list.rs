//! How the items of a list are numbered.

use super::tag::Tag;

/// An open list.
pub(super) enum Numbering {
    /// It has no numbers, or counts down from a number that is only known at its end.
    None,
    /// The number of the next item, the step to the one after it, and how numbers are written.
    Numbers { next: i64, step: i64, style: Style },
}

/// How a number is written.
#[derive(Clone, Copy)]
pub(super) enum Style {
    Arabic,
    Letters { capital: bool },
    Roman { capital: bool },
}

/// Larger numbers are ignored.
const LARGEST: i64 = 1 << 40;

impl Numbering {
    pub(super) fn of(tag: &Tag<'_>) -> Self {
        if !tag.is("ol") {
            return Self::None;
        }
        let start = integer(tag, "start");
        let is_reversed = tag.attribute("reversed").is_some();
        let (Some(next), step) = (start.or((!is_reversed).then_some(1)), if is_reversed { -1 } else { 1 })
        else {
            return Self::None;
        };
        let style = match tag.said("type") {
            Some("a") => Style::Letters { capital: false },
            Some("A") => Style::Letters { capital: true },
            Some("i") => Style::Roman { capital: false },
            Some("I") => Style::Roman { capital: true },
            _ => Style::Arabic,
        };
        Self::Numbers { next, step, style }
    }

    /// The number before the next item.
    pub(super) fn next(&mut self, item: &Tag<'_>) -> Option<String> {
        let given = integer(item, "value");
        let Self::Numbers { next, step, style } = self else { return given.map(|number| number.to_string()) };
        let number = given.unwrap_or(*next);
        *next = number + *step;
        Some(style.write(number))
    }
}

impl Style {
    fn write(self, number: i64) -> String {
        let small = u32::try_from(number).ok();
        let text = match (self, small) {
            (Self::Letters { .. }, Some(number @ 1..=26)) => {
                char::from_u32(u32::from('a') + number - 1).map(String::from)
            }
            (Self::Roman { .. }, Some(number @ 1..=3999)) => Some(roman(number)),
            _ => None,
        };
        match (self, text) {
            (Self::Letters { capital: true } | Self::Roman { capital: true }, Some(text)) => {
                text.to_uppercase()
            }
            (_, Some(text)) => text,
            (_, None) => number.to_string(),
        }
    }
}

fn roman(mut number: u32) -> String {
    const DIGITS: [(u32, &str); 13] = [
        (1000, "m"),
        (900, "cm"),
        (500, "d"),
        (400, "cd"),
        (100, "c"),
        (90, "xc"),
        (50, "l"),
        (40, "xl"),
        (10, "x"),
        (9, "ix"),
        (5, "v"),
        (4, "iv"),
        (1, "i"),
    ];
    let mut text = String::new();
    for (value, digits) in DIGITS {
        while number >= value {
            text.push_str(digits);
            number -= value;
        }
    }
    text
}

fn integer(tag: &Tag<'_>, name: &str) -> Option<i64> {
    tag.said(name)?.parse().ok().filter(|number: &i64| number.abs() < LARGEST)
}
