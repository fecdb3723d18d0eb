//! `ls -l` without padding, with octal modes; what all rows share is stated once.
//!
//! ```text
//! [headroom: ls -l as mode, links if not 1, size, date, name; owner root root where none is given; " is the date above]
//! total 48
//! d755 4 4096 Nov 22 11:13 src
//! 644 1343 " Cargo.toml
//! ```
//!
//! Everything except the width of the columns can be restored.

use headroom_providers::sort;

use crate::lines;

/// A header is not worth it for fewer rows.
const FEWEST_ROWS: usize = 5;

/// A row of `ls -l`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Row<'a> {
    mode: &'a str,
    links: &'a str,
    owner: &'a str,
    group: &'a str,
    size: &'a str,
    /// Including its padding.
    date: &'a str,
    name: &'a str,
}

/// The listing with its rows redrawn.
pub(super) fn redrawn(text: &str) -> Option<String> {
    let lines: Vec<&str> = lines::split(text).collect();
    let rows: Vec<Option<Row<'_>>> = lines.iter().map(|line| row(line)).collect();
    if rows.iter().flatten().count() < FEWEST_ROWS {
        return None;
    }
    let (owner, group) = common_owner(&rows)?;
    // `22 Nov 2024`: after a single number it would be unclear whether that is links or size.
    let numbers = rows.iter().flatten().any(|row| row.date.starts_with(|c: char| c.is_ascii_digit()));
    let links = if numbers { "links" } else { "links if not 1" };
    let mut out = format!(
        "[headroom: ls -l as mode, {links}, size, date, name; owner {owner} {group} where none is given"
    );
    let head = out.len();
    out.push_str("]\n");
    let (mut date, mut repeats) = ("", false);
    for (number, (line, row)) in lines.iter().zip(&rows).enumerate() {
        if number > 0 {
            out.push('\n');
        }
        let shared = row.filter(|row| (row.owner, row.group) == (owner, group));
        let Some(row) = shared else {
            if looks_redrawn(line) {
                return None;
            }
            out.push_str(line);
            // The line above the next row is then not the one with the last written date.
            date = "";
            continue;
        };
        push_mode(&mut out, row.mode);
        if numbers || row.links != "1" {
            out.push(' ');
            out.push_str(row.links);
        }
        out.push(' ');
        out.push_str(row.size);
        if row.date == date {
            out.push_str(" \" ");
            repeats = true;
        } else {
            for word in row.date.split_ascii_whitespace() {
                out.push(' ');
                out.push_str(word);
            }
            out.push(' ');
            date = row.date;
        }
        out.push_str(row.name);
    }
    if repeats {
        out.insert_str(head, "; \" is the date above");
    }
    Some(out)
}

/// Whether a line is a row of `ls -l`.
pub(super) fn is_row(line: &str) -> bool {
    row(line).is_some()
}

/// Whether a line is the row of a directory itself or of the one above it.
pub(super) fn is_self(line: &str) -> bool {
    row(line).is_some_and(|row| matches!(row.name, "." | ".."))
}

/// What rows of `ls -l` are compared by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure<'a> {
    pub(super) bytes: f64,
    pub(super) time: Time<'a>,
    pub(super) size: &'a str,
    pub(super) date: &'a str,
    pub(super) mode: &'a str,
    pub(super) owner: &'a str,
}

/// A time of `ls -l`, in its order: year and month, then day, and time of day.
type Time<'a> = (u32, u32, &'a str);

/// The measures of a row.
pub(super) fn measure(line: &str) -> Option<Measure<'_>> {
    let row = row(line)?;
    let unit = row.size.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let factor = match unit {
        "" => 1.0,
        "K" => 1024.0,
        "M" => 1024.0 * 1024.0,
        _ => 1024.0 * 1024.0 * 1024.0,
    };
    let bytes = row.size.strip_suffix(unit)?.parse::<f64>().ok()? * factor;
    Some(Measure {
        bytes,
        time: time(row.date)?,
        size: row.size,
        date: row.date,
        mode: row.mode,
        owner: row.owner,
    })
}

/// A date without a year is one of the last months, so it is later than any with a year.
fn time(date: &str) -> Option<Time<'_>> {
    const LATER: u32 = 10_000;
    let mut words = date.split_ascii_whitespace();
    let (first, second) = (words.next()?, words.next()?);
    let Some(last) = words.next() else {
        let mut parts = first.split('-').map(str::parse::<u32>);
        let (year, month, day) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
        return Some((year.checked_mul(12)?.checked_add(month)?, day, second));
    };
    let (month, day) = match MONTHS.iter().position(|month| *month == first) {
        Some(month) => (month, second),
        None => (MONTHS.iter().position(|month| *month == second)?, first),
    };
    let (year, of_day) = if last.contains(':') { (LATER, last) } else { (last.parse().ok()?, "") };
    Some((year * 12 + u32::try_from(month).ok()?, day.parse().ok()?, of_day))
}

/// Rows in the order of their times, as the tool dates them: if rows without a year are of more than half a
/// year, the early months are those of the next year.
pub(super) fn in_time<'a>(rows: &mut [(usize, Measure<'a>)]) {
    const RECENT: u32 = 10_000 * 12;
    let month = |time: Time<'_>| time.0.checked_sub(RECENT);
    let months = || rows.iter().filter_map(|(_, measure)| month(measure.time));
    let turns = months().max().unwrap_or(0) - months().min().unwrap_or(0) > 6;
    let key = |time: Time<'a>| match month(time) {
        Some(early) if turns && early < 6 => (time.0 + 12, time.1, time.2),
        _ => time,
    };
    sort::by_key(rows, |(line, measure)| (key(measure.time), *line));
}

fn row(line: &str) -> Option<Row<'_>> {
    let mode = line.split(' ').next()?;
    if !is_mode(mode) {
        return None;
    }
    let mut at = mode.len();
    let links = field(line, &mut at)?;
    let owner = field(line, &mut at)?;
    let group = field(line, &mut at)?;
    let size = field(line, &mut at)?;
    if ![links, size]
        .iter()
        .all(|n| n.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'K' | b'M' | b'G')))
    {
        return None;
    }
    let date_start = at;
    let words = [field(line, &mut at)?, field(line, &mut at)?];
    if !is_iso_date(words) {
        let last = field(line, &mut at)?;
        if !is_date(words, last) {
            return None;
        }
    }
    let name = line.get(at..).unwrap_or_default().strip_prefix(' ')?;
    let date = line.get(date_start..at).unwrap_or_default().trim_start();
    (!name.is_empty()).then_some(Row { mode, links, owner, group, size, date, name })
}

/// The next word; only blanks may come before it.
fn field<'a>(line: &'a str, at: &mut usize) -> Option<&'a str> {
    let rest = line.get(*at..)?;
    let word = rest.trim_start_matches(' ');
    let length = word.find(' ').unwrap_or(word.len());
    if length == 0 || word.len() == rest.len() {
        return None;
    }
    *at += rest.len() - word.len() + length;
    Some(word.get(..length).unwrap_or_default())
}

fn is_mode(mode: &str) -> bool {
    let bytes = mode.as_bytes();
    matches!(bytes.len(), 10 | 11)
        && bytes.first().is_some_and(|b| b"-dlcbps".contains(b))
        && bytes.get(1..10).unwrap_or_default().iter().all(|b| b"rwx-sStT".contains(b))
        && bytes.get(10).is_none_or(|b| b"@+.".contains(b))
}

const MONTHS: &[&str] = &["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Nov 22 11:13`, `22 Nov 2024`.
fn is_date([first, second]: [&str; 2], last: &str) -> bool {
    let day = |word: &str| word.len() <= 2 && word.bytes().all(|b| b.is_ascii_digit());
    let time = last.bytes().all(|b| b.is_ascii_digit() || b == b':') && matches!(last.len(), 4 | 5);
    time && (MONTHS.contains(&first) && day(second) || day(first) && MONTHS.contains(&second))
}

/// `2024-11-22 11:13`.
fn is_iso_date([date, time]: [&str; 2]) -> bool {
    date.len() == 10
        && date.bytes().all(|b| b.is_ascii_digit() || b == b'-')
        && time.bytes().all(|b| b.is_ascii_digit() || matches!(b, b':' | b'.'))
        && time.contains(':')
}

/// The owner and group of most rows, by Boyer and Moore's vote.
fn common_owner<'a>(rows: &[Option<Row<'a>>]) -> Option<(&'a str, &'a str)> {
    let mut candidate = None;
    let mut lead = 0usize;
    for row in rows.iter().flatten() {
        let owner = (row.owner, row.group);
        if lead == 0 {
            candidate = Some(owner);
        }
        if candidate == Some(owner) {
            lead += 1;
        } else {
            lead -= 1;
        }
    }
    candidate
}

/// `drwxr-xr-x` as `d755`; a plain file without a letter; special bits as they are.
fn push_mode(out: &mut String, mode: &str) {
    let bytes = mode.as_bytes();
    let digit = |bits: &[u8]| {
        bits.iter().zip(b"rwx").try_fold(0u8, |sum, (bit, letter)| {
            let bit = match bit {
                b'-' => 0,
                b if b == letter => 1,
                _ => return None,
            };
            Some(sum * 2 + bit)
        })
    };
    let digits: Option<Vec<u8>> = bytes.get(1..10).unwrap_or_default().chunks(3).map(digit).collect();
    let Some(digits) = digits else {
        out.push_str(mode);
        return;
    };
    if let Some(kind) = bytes.first().filter(|b| **b != b'-') {
        out.push(char::from(*kind));
    }
    out.extend(digits.into_iter().map(|digit| char::from(b'0' + digit)));
    out.push_str(mode.get(10..).unwrap_or_default());
}

/// Whether a line that stays looks like a redrawn row.
fn looks_redrawn(line: &str) -> bool {
    let word = line.split(' ').next().unwrap_or_default();
    let digits = word.trim_start_matches(['d', 'l', 'c', 'b', 'p', 's']).trim_end_matches(['@', '+', '.']);
    digits.len() == 3 && digits.bytes().all(|b| (b'0'..=b'7').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Restores the rows, with one blank between columns.
    fn restore(short: &str) -> String {
        let (head, rest) = short.split_once('\n').expect("a header");
        let owner =
            head.split_once("; owner ").expect("an owner").1.split_once(" where none").expect("an end").0;
        let mut date = String::new();
        let lines: Vec<String> = rest
            .split('\n')
            .map(|line| {
                if !looks_redrawn(line) && row(line).is_none() && !line.starts_with("-rws") {
                    return line.to_owned();
                }
                let mut words = line.split(' ');
                let mode = words.next().unwrap();
                let mode = if looks_redrawn(line) {
                    let kind = mode.chars().next().filter(char::is_ascii_alphabetic);
                    let digits: String = mode.chars().filter(char::is_ascii_digit).collect();
                    let mut long = String::from(kind.unwrap_or('-'));
                    for digit in digits.bytes() {
                        for (bit, letter) in [(4, 'r'), (2, 'w'), (1, 'x')] {
                            long.push(if (digit - b'0') & bit > 0 { letter } else { '-' });
                        }
                    }
                    long + mode.trim_start_matches(|c: char| c.is_ascii_alphanumeric())
                } else if row(line).is_some() {
                    return line.to_owned();
                } else {
                    mode.to_owned()
                };
                let rest: Vec<&str> = words.collect();
                let numbers = rest.iter().take_while(|w| w.bytes().all(|b| b.is_ascii_digit())).count();
                let (links, size) = if numbers == 2 { (rest[0], rest[1]) } else { ("1", rest[0]) };
                let mut name = numbers;
                if rest[numbers] == "\"" {
                    name += 1;
                } else {
                    date = rest[numbers..numbers + 3].join(" ");
                    name += 3;
                }
                format!("{mode} {links} {owner} {size} {date} {}", rest[name..].join(" "))
            })
            .collect();
        lines.join("\n")
    }

    fn unpadded(text: &str) -> String {
        let mut lines = Vec::new();
        for line in text.split('\n') {
            match row(line) {
                Some(r) => {
                    let date: Vec<&str> = r.date.split_ascii_whitespace().collect();
                    let columns = [r.mode, r.links, r.owner, r.group, r.size, &date.join(" "), r.name];
                    lines.push(columns.join(" "));
                }
                None => lines.push(line.to_owned()),
            }
        }
        lines.join("\n")
    }

    #[test]
    fn the_date_above_is_that_of_the_line_above() {
        let text = "total 8\n\
            -rw-r--r--  1 root root    110 Nov 22 11:13 a\n\
            -rw-r--r--  1 root root    110 Nov 22 11:13 b\n\
            -rw-r--r--  1 anna users   110 Jan 29 16:45 c\n\
            -rw-r--r--  1 root root    110 Nov 22 11:13 d\n\
            -rw-r--r--  1 root root    110 Nov 22 11:13 e\n\
            [5 lines: same as output lines 7-11 of Bash \"ls -l\" above, from \"x\"]\n\
            -rw-r--r--  1 root root    110 Nov 22 11:13 f\n";
        let short = redrawn(text).expect("a form");
        for row in [
            "\n644 110 \" b\n",
            "\n644 110 Nov 22 11:13 d\n",
            "\n644 110 \" e\n",
            "\n644 110 Nov 22 11:13 f\n",
        ] {
            assert!(short.contains(row), "{row} is not in {short}");
        }
        assert!(short.contains("; owner root root where none is given;"), "{short}");
    }

    #[test]
    fn a_day_is_not_taken_for_a_size() {
        let row = |i: usize| format!("-rw-r--r--  1 root root    11{i} 2{i} Nov 2024 file-{i}\n");
        let short = redrawn(&(0..6).map(row).collect::<String>()).expect("a form");
        assert!(
            short.contains("mode, links, size") && short.contains("\n644 1 112 22 Nov 2024 file-2\n"),
            "{short}"
        );
    }

    const LISTING: &str = "src:\ntotal 724\n\
        drwxr-xr-x 12 root root   4096 Nov 22 11:13 .\n\
        -rw-r--r--  1 root root    110 Nov 22 11:13 .gitignore\n\
        -rwsr-xr-x  1 root root   1343 Nov 22 11:13 a b  c.yml\n\
        lrwxrwxrwx  1 root root      9 Nov  2 2024 x -> ../x\n\
        -rw-r--r--@ 3 root root  11240 Jan 29 16:45 y\n\
        -rw-r--r--  1 anna users    24 Jan 29 16:45 z\n";

    #[test]
    fn rows_are_given_back_up_to_padding() {
        let short = redrawn(LISTING).expect("a form");
        assert_eq!(unpadded(&restore(&short)), unpadded(LISTING), "{short}");
        assert!(short.contains("\n644 110 \" .gitignore\n"), "{short}");
        assert!(short.contains("\nd755 12 4096 Nov 22 11:13 .\n"), "{short}");
    }

    #[test]
    fn rows_are_ordered_by_their_times() {
        let order = |dates: &[&str]| -> Vec<usize> {
            let lines: Vec<String> =
                dates.iter().map(|date| format!("-rw-r--r-- 1 root root 1.5K {date} a")).collect();
            let mut rows: Vec<(usize, Measure<'_>)> =
                lines.iter().enumerate().map(|(n, line)| (n, measure(line).expect("a row"))).collect();
            assert!(rows.iter().all(|(_, row)| row.bytes.total_cmp(&1536.0).is_eq()));
            in_time(&mut rows);
            rows.into_iter().map(|(n, _)| n).collect()
        };
        assert_eq!(order(&["Jan  2 10:00", "Nov 22 11:13", "Nov  3 2024", "Dec  1 09:00"]), [2, 1, 3, 0]);
        assert_eq!(order(&["Mar  2 10:00", "Mar  2 09:59", "Feb 28 23:00"]), [2, 1, 0]);
        assert_eq!(order(&["2024-11-22 11:13", "2023-12-30 08:00", "2024-02-01 00:00"]), [1, 2, 0]);
        assert!(measure("-rw-r--r-- 1 root root . Nov 22 11:13 a").is_none());
    }

    #[test]
    fn what_is_no_listing_stays() {
        assert_eq!(redrawn("total 4\n-rw-r--r-- 1 a b\n"), None);
        assert_eq!(redrawn(""), None);
        for line in
            ["-rw-r--r-- 1 a b 1 Nov 22 11:13", "drwx", "-rw-r--r-- x a b 1 Nov 22 11:13 n", "ärw-r--r--"]
        {
            assert!(!is_row(line), "{line}");
        }
    }
}
