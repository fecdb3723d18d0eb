//! The limits of a list of values, as a marker may state them: from the first to the last where they go up or
//! down, otherwise the least and the greatest of numbers and of dates.

use std::cmp::Ordering;

/// Between which values the others lie.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Limits<'a> {
    /// The values go up or down from the one to the other.
    Sorted(&'a str, &'a str),
    /// The least and the greatest of values in no order.
    Within(&'a str, &'a str),
}

/// The limits of these values. Texts in no order have none, because few readers would see what the order of
/// the texts is.
pub(crate) fn limits<'a>(values: &[&'a str]) -> Option<Limits<'a>> {
    let (first, last) = (*values.first()?, *values.last()?);
    if values.iter().any(|value| is_ambiguous_date(value)) {
        return None;
    }
    let sorted = |order: fn(Ordering) -> bool| {
        values.iter().zip(values.iter().skip(1)).all(|(a, b)| order(compare(a, b)))
    };
    if sorted(Ordering::is_le) || sorted(Ordering::is_ge) {
        return Some(Limits::Sorted(first, last));
    }
    let sort =
        Sort::of(first).filter(|sort| values.iter().all(|value| Sort::of(value).as_ref() == Some(sort)));
    sort?;
    let least = values.iter().copied().min_by(|a, b| compare(a, b))?;
    let most = values.iter().copied().max_by(|a, b| compare(a, b))?;
    Some(Limits::Within(least, most))
}

/// What values have in common that can be compared.
#[derive(Debug, Eq, PartialEq)]
enum Sort {
    Number,
    /// A date that begins with the year; its length, because one form orders like its text.
    YearFirst(usize),
    /// `31.12.2025`, and what follows.
    DayFirst(usize),
}

impl Sort {
    fn of(text: &str) -> Option<Self> {
        match () {
            () if text.parse::<f64>().is_ok_and(f64::is_finite) => Some(Self::Number),
            () if has_form(text, "0000-00-00") => Some(Self::YearFirst(text.len())),
            () if has_form(text, "00.00.0000") => Some(Self::DayFirst(text.len())),
            () => None,
        }
    }
}

/// Whether values are dates, or dates with times.
pub(crate) fn are_dates<'a>(mut values: impl Iterator<Item = &'a str>) -> bool {
    values.all(|value| matches!(Sort::of(value), Some(Sort::YearFirst(_) | Sort::DayFirst(_))))
}

/// Whether a text begins with digits and signs in this form, and no digit follows.
fn has_form(text: &str, form: &str) -> bool {
    let same = |(b, form): (u8, u8)| if form == b'0' { b.is_ascii_digit() } else { b == form };
    text.len() >= form.len()
        && text.bytes().zip(form.bytes()).all(same)
        && !text.as_bytes().get(form.len()).is_some_and(u8::is_ascii_digit)
}

/// `3/4/2026`: the month comes first in one country and the day in another.
fn is_ambiguous_date(text: &str) -> bool {
    let mut parts = text.split(' ').next().unwrap_or_default().split('/');
    let mut next = |least: usize, most: usize| {
        parts.next().is_some_and(|part| {
            (least..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
        })
    };
    next(1, 2) && next(1, 2) && next(2, 4)
}

/// The order in which a reader expects two values: numbers by their size, also inside names, and dates by
/// time.
fn compare(a: &str, b: &str) -> Ordering {
    if let (Ok(a), Ok(b)) = (a.parse::<f64>(), b.parse::<f64>()) {
        return a.total_cmp(&b);
    }
    match (by_year(a), by_year(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => natural(a, b),
    }
}

/// A date that begins with the day, in the order in which dates compare.
fn by_year(text: &str) -> Option<[&str; 4]> {
    if !has_form(text, "00.00.0000") {
        return None;
    }
    Some([text.get(6..10)?, text.get(3..5)?, text.get(..2)?, text.get(10..)?])
}

/// Compares texts with the numbers in them by their size: `case-9` comes before `case-10`.
fn natural(mut a: &str, mut b: &str) -> Ordering {
    loop {
        let (x, y) = (run(a), run(b));
        if x.is_empty() || y.is_empty() {
            return a.len().cmp(&b.len());
        }
        let digits = |text: &str| text.bytes().next().is_some_and(|b| b.is_ascii_digit());
        let order = if digits(x) && digits(y) {
            let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            x.len().cmp(&y.len()).then(x.cmp(y))
        } else {
            x.cmp(y)
        };
        if order.is_ne() {
            return order;
        }
        a = a.get(x.len()..).unwrap_or_default();
        b = b.get(y.len()..).unwrap_or_default();
    }
}

/// The digits, or the other characters, with which a text begins.
fn run(text: &str) -> &str {
    let digit = |b: u8| b.is_ascii_digit();
    let first = text.bytes().next().is_some_and(digit);
    let length = text.bytes().position(|b| digit(b) != first).unwrap_or(text.len());
    text.get(..length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_order_have_a_first_and_a_last() {
        for values in [
            &["case-9", "case-10", "case-295"][..],
            &["9", "10", "200"],
            &["2.5", "2.25", "-1"],
            &["31.01.2026", "01.02.2026", "05.02.2026"],
            &["2026-01-31T10:00:00Z", "2026-02-01T09:00:00Z"],
            &["10.0.0.9", "10.0.0.10", "10.0.1.1"],
        ] {
            assert_eq!(
                limits(values),
                Some(Limits::Sorted(values[0], values[values.len() - 1])),
                "{values:?}"
            );
        }
    }

    #[test]
    fn values_in_no_order_have_limits_if_they_are_numbers_or_dates() {
        assert_eq!(limits(&["243", "5", "399", "206"]), Some(Limits::Within("5", "399")));
        let dates = ["02.03.2026", "31.01.2025", "01.04.2026", "01.01.2026"];
        assert_eq!(limits(&dates), Some(Limits::Within("31.01.2025", "01.04.2026")));
        let times = ["2026-03-01 10:00", "2026-01-01 10:00", "2026-02-01 10:00"];
        assert_eq!(limits(&times), Some(Limits::Within("2026-01-01 10:00", "2026-03-01 10:00")));
        for values in [
            &["k7266", "k2653", "k9097"][..],
            &["1", "x", "0"],
            &["3/4/2026", "4/5/2026"],
            &[],
            &["é", "a", "ü"],
        ] {
            assert_eq!(limits(values), None, "{values:?}");
        }
    }
}
