//! The time of day at the start of a log line, and the date before it.
//!
//! Only dates and punctuation may come before the time. A line whose time comes after a name or an address is
//! not cut, because the part before the time would differ from line to line.

/// The place of the time of day in a line. The part before it is the line's lead.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stamp {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The longest lead, in bytes: `{"@timestamp":"2025-06-20T` has 26.
const LONGEST_LEAD: usize = 40;

/// Words that are allowed in a lead, in addition to digits and punctuation.
const LEAD_WORDS: &[&str] = &[
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "oct",
    "nov",
    "dec",
    "mon",
    "tue",
    "wed",
    "thu",
    "fri",
    "sat",
    "sun",
    "t",
    "ts",
    "time",
    "timestamp",
    "date",
    "datetime",
    "at",
];

/// The time of day of a log line, if its lead is a date or nothing.
pub(crate) fn stamp(line: &str) -> Option<Stamp> {
    let bytes = line.as_bytes();
    let mut at = 0;
    while at <= LONGEST_LEAD {
        let b = *bytes.get(at)?;
        if b.is_ascii_digit() {
            let run = digits(bytes.get(at..).unwrap_or_default());
            if let Some(end) = time_end(bytes, at, run) {
                return is_lead(bytes.get(..at).unwrap_or_default()).then_some(Stamp { start: at, end });
            }
            at += run;
        } else if b >= 0x80 {
            return None;
        } else {
            at += 1;
        }
    }
    None
}

/// The time at the very start of a line.
#[cfg(test)]
pub(crate) fn leading(line: &str) -> Option<Stamp> {
    stamp(line).filter(|stamp| stamp.start == 0)
}

fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| b.is_ascii_digit()).count()
}

/// The end of a time of day that starts with the run of digits at `at`.
fn time_end(bytes: &[u8], at: usize, run: usize) -> Option<usize> {
    let whole = |from: usize, n: usize| {
        let found = bytes.get(from..).map_or(0, digits);
        (found == n).then_some(from + n)
    };
    if run == 6 && bytes.get(at.wrapping_sub(1)) == Some(&b' ') && matches!(at, 7 | 9) {
        // `081111 071904`: date and time as bare digits
        let end = at + run;
        let date = bytes.get(..at - 1).unwrap_or_default().iter().all(u8::is_ascii_digit);
        return (date && bytes.get(end) == Some(&b' ')).then_some(end);
    }
    if run > 2 || bytes.get(at + run) != Some(&b':') {
        return None;
    }
    if let [before @ .., b':'] = bytes.get(..at).unwrap_or_default()
        && before.iter().rev().take_while(|b| b.is_ascii_digit()).count() < 4
    {
        // `10:11:12:13` is an address or a position; `2026:11:22:14` is a year and a time.
        return None;
    }
    let minutes = whole(at + run + 1, 2)?;
    if bytes.get(minutes) != Some(&b':') {
        return None;
    }
    let mut end = whole(minutes + 1, 2)?;
    if let Some(b'.' | b',') = bytes.get(end) {
        let fraction = digits(bytes.get(end + 1..).unwrap_or_default());
        if fraction > 0 {
            end += 1 + fraction;
        }
    }
    match bytes.get(end) {
        Some(b'Z') => end += 1,
        Some(b'+' | b'-') => {
            let hours = digits(bytes.get(end + 1..).unwrap_or_default());
            if hours == 4 {
                end += 5;
            } else if hours == 2 && bytes.get(end + 3) == Some(&b':') && whole(end + 4, 2).is_some() {
                end += 6;
            }
        }
        _ => {}
    }
    let ends = bytes.get(end).is_none_or(|b| !b.is_ascii_alphanumeric() && *b < 0x80 && !matches!(b, b':'));
    ends.then_some(end)
}

fn is_lead(lead: &[u8]) -> bool {
    let plain = lead.iter().all(|&b| b.is_ascii_alphanumeric() || b.is_ascii_punctuation() || b == b' ');
    plain
        && lead
            .split(|b| !b.is_ascii_alphabetic())
            .filter(|word| !word.is_empty())
            .all(|word| LEAD_WORDS.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(line: &str) -> Option<(&str, &str)> {
        stamp(line).map(|s| (&line[..s.start], &line[s.start..s.end]))
    }

    #[test]
    fn common_stamps_are_found() {
        for (lead, time, rest) in [
            ("", "12:00:01", " x"),
            ("[Mon Dec 05 ", "04:13:54", " 2005] [notice] x"),
            ("2015-07-29 ", "19:13:24,282", " - WARN x"),
            ("2025-06-20T", "10:38:18.916Z", " [INFO] x"),
            ("[2025-07-03T", "13:41:18.921307", "] x"),
            ("Jul  9 ", "12:59:44", " combo ftpd"),
            ("03-17 ", "16:15:18.834", "  1702 x"),
            ("081111 ", "071904", " 22560 INFO x"),
            ("17/06/09 ", "20:10:58", " INFO x"),
            ("ts=2025-05-22T", "06:30:34Z", " caller=main.go"),
            ("{\"time\":\"2025-05-22T", "06:30:34+02:00", "\"}"),
            ("[22/Nov/2026:", "11:22:14", " +0000] x"),
        ] {
            assert_eq!(cut(&format!("{lead}{time}{rest}")), Some((lead, time)), "{lead}{time}{rest}");
        }
    }

    #[test]
    fn a_time_behind_a_name_is_none() {
        assert_eq!(cut("host 10:11:12 x"), None);
        assert_eq!(cut("10:11:12:13"), None);
        assert_eq!(cut("é 10:11:12"), None);
    }

    #[test]
    fn a_leading_time_has_nothing_before_it() {
        assert!(leading("10:11:12 x").is_some());
        assert!(leading("Jul 3 10:11:12 x").is_none());
    }
}
