//! Lines with a time: of logs, of records, of commits.

use memchr::memmem;

use super::{DAYS_AND_MONTHS, LEVELS, Line};

/// Whether the separator at `at` is inside a date or a time: `job-2026-05-06.log`, `web-10:22:33`.
pub(super) fn is_in_time(line: &[u8], at: usize) -> bool {
    let group = |from: usize, digits: usize| -> Option<u32> {
        let found = line.get(from..from + digits)?;
        let ends = line.get(from + digits).is_none_or(|b| !b.is_ascii_digit());
        let starts = from.checked_sub(1).and_then(|at| line.get(at)).is_none_or(|b| !b.is_ascii_digit());
        (ends && starts && found.iter().all(u8::is_ascii_digit))
            .then(|| found.iter().fold(0, |n, b| n * 10 + u32::from(b - b'0')))
    };
    let within = |number: Option<u32>, most: u32| number.is_some_and(|number| number <= most);
    let is = |place: usize| line.get(place).is_some_and(|b| line.get(at) == Some(b));
    // No letter comes before the hours or the year, except ISO's `T`.
    let alone = |from: usize| {
        let before = from.checked_sub(1).and_then(|at| line.get(at));
        before.is_none_or(|b| !b.is_ascii_alphabetic() || *b == b'T')
    };
    let time = |hours: usize| {
        alone(hours)
            && is(hours + 2)
            && is(hours + 5)
            && within(group(hours, 2), 23)
            && within(group(hours + 3, 2), 59)
            && within(group(hours + 6, 2), 60)
    };
    let date = |year: usize| {
        is(year + 4)
            && is(year + 7)
            && group(year, 4).is_some_and(|year| (1970..2100).contains(&year))
            && within(group(year + 5, 2), 12)
            && within(group(year + 8, 2), 31)
    };
    // The separator before the year, or one of those inside.
    let back = |n: usize| at.checked_sub(n);
    back(2).is_some_and(time)
        || back(5).is_some_and(time)
        || date(at + 1)
        || time(at + 1)
        || back(4).is_some_and(date)
        || back(7).is_some_and(date)
}

/// Starts with a time stamp or a level, perhaps in brackets, or has an ISO time near its start.
pub(in crate::detect) fn is_log(line: &Line<'_>) -> bool {
    let line = line.bare;
    let bare = line.strip_prefix(b"[").or_else(|| line.strip_prefix(b"\"")).unwrap_or(line);
    if LEVELS.strip(bare).is_some_and(|rest| rest.first().is_none_or(|b| !b.is_ascii_alphanumeric())) {
        return true;
    }
    if DAYS_AND_MONTHS.strip(bare).is_some() && clock(bare, 24) {
        return true;
    }
    let head = bare.get(..bare.len().min(STAMP_WITHIN)).unwrap_or_default();
    (starts_with_date(bare) || iso_time(head) || request_time(head) || is_record(line))
        && !is_commit_in_a_line(head)
}

/// The time of a line begins within this many bytes.
const STAMP_WITHIN: usize = 80;

/// `[29/Nov/2026:10:00:09 +0000]`: the time of a request, as web servers write it.
fn request_time(line: &[u8]) -> bool {
    memchr::memchr_iter(b'[', line).any(|at| {
        let time = line.get(at + 1..).unwrap_or_default();
        let letters = time.get(3..6).is_some_and(|month| month.iter().all(u8::is_ascii_alphabetic));
        let is = |at: usize, byte: u8| time.get(at) == Some(&byte);
        letters && is(2, b'/') && is(6, b'/') && is(11, b':') && clock(time.get(12..).unwrap_or_default(), 5)
    })
}

/// `ee4610d Ann Example 2026-11-29 14:06:19 +0000 Fix it`: a commit as `git log --format` prints it, with the
/// id first or after the time. Its subject is not a log message of a program.
fn is_commit_in_a_line(line: &[u8]) -> bool {
    let mut words = line.split(|b| *b == b' ').filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default();
    let mut words = words.skip_while(|word| !is_zone(word));
    let zoned = words.next().is_some();
    is_abbreviated(first) && (zoned || first.len() != UUID_GROUP && iso_time(line))
        || zoned && starts_with_date(line) && words.next().is_some_and(is_abbreviated)
}

/// The first group of a UUID, which services use in names of requests, has this many digits.
const UUID_GROUP: usize = 8;

/// The id of a commit: 7 to 12 hexadecimal digits or all 40, with a letter and a digit.
fn is_abbreviated(word: &[u8]) -> bool {
    (matches!(word.len(), 7..=12 | 40))
        && word.iter().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
        && word.iter().any(u8::is_ascii_alphabetic)
        && word.iter().any(u8::is_ascii_digit)
}

/// `+0200`
fn is_zone(word: &[u8]) -> bool {
    matches!(word, [b'+' | b'-', rest @ ..] if rest.len() == 4 && rest.iter().all(u8::is_ascii_digit))
}

/// Whether a line starts with a date or a time, perhaps in a bracket.
pub(in crate::detect) fn is_dated(line: &Line<'_>) -> bool {
    starts_with_date(line.bare.strip_prefix(b"[").unwrap_or(line.bare))
}

/// `{"level":30,"time":…,"msg":…}`: a log line as structured loggers write it.
fn is_record(line: &[u8]) -> bool {
    line.starts_with(b"{\"")
        && line.ends_with(b"}")
        && RECORD_KEYS.iter().filter(|key| memmem::find(line, key).is_some()).count() >= 2
}

const RECORD_KEYS: &[&[u8]] = &[
    b"\"level\":",
    b"\"time\":",
    b"\"ts\":",
    b"\"timestamp\":",
    b"\"msg\":",
    b"\"message\":",
    b"\"severity\":",
];

/// `12:34` within the first `within` bytes.
fn clock(line: &[u8], within: usize) -> bool {
    line.get(..line.len().min(within))
        .unwrap_or_default()
        .windows(5)
        .any(|w| matches!(w, [a, b, b':', c, d] if [a, b, c, d].iter().all(|b| b.is_ascii_digit())))
}

/// Digits and date separators that begin with a date, a time of day or an epoch.
fn starts_with_date(line: &[u8]) -> bool {
    let stamp =
        line.iter().take_while(|b| b.is_ascii_digit() || matches!(b, b'-' | b'/' | b':' | b'.')).count();
    if stamp == 0 || is_file_name(line) {
        return false;
    }
    let (stamp, rest) = line.split_at(stamp);
    if is_address(stamp) {
        return false;
    }
    let digits = stamp.iter().filter(|b| b.is_ascii_digit()).count();
    let separators = stamp.len() - digits;
    let spaced = matches!(rest.first(), Some(b' ' | b'T' | b'_' | b'\t' | b']' | b','));
    spaced
        && (separators >= 2 && digits >= 6
            || separators == 0 && (digits == 10 || digits == 13)
            || digits == 6 && separators == 0 && clock_digits(rest)
            || separators == 1 && digits == 4 && clock(rest, 10))
}

/// `10.0.0.7`, `10.0.0.0/24`, `10.0.0.7:80`.
fn is_address(stamp: &[u8]) -> bool {
    let address = stamp.split(|b| matches!(b, b'/' | b':')).next().unwrap_or_default();
    address.split(|b| *b == b'.').count() == 4 && !address.contains(&b'-')
}

/// Whether a line starts with the name of a file: `2026-11-05T03:15:04.tar.gz`.
fn is_file_name(line: &[u8]) -> bool {
    let word = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    ends_as_a_file(word)
}

/// `….tar.gz`, `….log`: an extension of letters after a point.
fn ends_as_a_file(word: &[u8]) -> bool {
    memchr::memrchr(b'.', word).is_some_and(|dot| {
        let extension = word.get(dot + 1..).unwrap_or_default();
        (1..=5).contains(&extension.len())
            && extension.first().is_some_and(u8::is_ascii_lowercase)
            && extension.iter().all(u8::is_ascii_alphanumeric)
    })
}

/// ` 203615`: the time of HDFS-like stamps.
fn clock_digits(rest: &[u8]) -> bool {
    rest.len() >= 7
        && rest.first() == Some(&b' ')
        && rest.get(1..7).unwrap_or_default().iter().all(u8::is_ascii_digit)
}

/// `2024-05-06T07:08`, or with a blank between, but not in the name of a file.
fn iso_time(line: &[u8]) -> bool {
    memchr::memchr_iter(b'-', line).any(|dash| {
        let Some(start) = dash.checked_sub(4) else { return false };
        let Some(w) = line.get(start..start + 16) else { return false };
        let before = start.checked_sub(1).and_then(|at| line.get(at));
        let in_a_word =
            before.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/'));
        let word = line.get(start..).unwrap_or_default().split(u8::is_ascii_whitespace).next();
        let is_name = |word: &[u8]| ends_as_a_file(word) || in_a_word && w.get(10) == Some(&b'T');
        if word.is_some_and(is_name) {
            return false;
        }
        w.get(7) == Some(&b'-')
            && matches!(w.get(10), Some(b'T' | b' '))
            && w.get(13) == Some(&b':')
            && [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15]
                .iter()
                .all(|&i| w.get(i).is_some_and(u8::is_ascii_digit))
    })
}
