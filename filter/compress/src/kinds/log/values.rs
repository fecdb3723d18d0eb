//! The numbers in the holes of a log's wordings: their ranges, and the lines that stand out by them.

#![allow(clippy::indexing_slicing, reason = "columns are numbered by groups and their holes")]

use super::LineSelection;
use crate::kinds::shorten::Line;
use crate::kinds::wording::Groups;
use crate::work;

/// The most numbers that are examined. For a log with more of them there are no ranges.
const MOST_VALUES: usize = 1 << 17;

/// The fewest lines of a wording of which some can stand out.
const FEWEST: usize = 20;

/// The most lines of one hole that stand out; more of them are not exceptional.
const MOST_ODD: usize = 3;

/// The longest unit after a number (`ms`, `%`, `MiB`), in bytes.
const LONGEST_UNIT: usize = 3;

/// A number begins something new if it is this many times the previous range away from it.
const FAR: f64 = 4.0;

/// The values of one hole.
#[derive(Default)]
struct Column<'a> {
    /// Each number, and its line.
    numbers: Vec<(f64, usize)>,
    unit: &'a str,
    /// Whether something other than a number with this unit occurs.
    mixed: bool,
}

/// The values of the holes of all wordings.
pub(super) struct Columns<'a> {
    /// The first column of each group.
    first: Vec<usize>,
    columns: Vec<Column<'a>>,
}

impl<'a> Columns<'a> {
    pub(super) fn new(lines: &[Line<'a>], groups: &Groups) -> Self {
        let mut first = Vec::with_capacity(groups.all().len() + 1);
        let mut total = 0;
        for group in 0..groups.all().len() {
            first.push(total);
            total += groups.holes(group);
        }
        first.push(total);
        let mut columns: Vec<Column<'a>> = Vec::new();
        columns.resize_with(total, Column::default);
        let mut room = MOST_VALUES;
        for (number, line) in lines.iter().enumerate() {
            let Some(group) = groups.of(number) else { continue };
            let text = line.rest();
            for (hole, (start, end)) in groups.spans(group, text).enumerate() {
                let Some(column) = columns.get_mut(first[group] + hole) else { break };
                if room == 0 {
                    return Self { first: vec![0; groups.all().len() + 1], columns: Vec::new() };
                }
                room -= 1;
                column.add(text, (start, end), number);
            }
        }
        Self { first, columns }
    }

    fn of(&self, group: usize) -> &[Column<'a>] {
        let (from, to) = (self.first.get(group), self.first.get(group + 1));
        from.zip(to).and_then(|(from, to)| self.columns.get(*from..*to)).unwrap_or_default()
    }

    /// The range of the numbers in a hole on lines that are not shown, if they all are numbers: `3..47ms`.
    pub(super) fn range(&self, group: usize, hole: usize, keep: &LineSelection<'_, '_>) -> Option<String> {
        let column = self.of(group).get(hole).filter(|column| !column.mixed)?;
        let gone = || column.numbers.iter().filter(|(_, line)| !keep.has(*line)).map(|(number, _)| *number);
        let least = gone().min_by(f64::total_cmp)?;
        let greatest = gone().max_by(f64::total_cmp)?;
        let unit = column.unit;
        Some(if least == greatest { format!("{least}{unit}") } else { format!("{least}..{greatest}{unit}") })
    }

    /// The lines that stand out by a number, in order: far from the others of their wording, or the first one
    /// far from all before.
    pub(super) fn odd(&self) -> Vec<usize> {
        let mut lines = Vec::new();
        for column in self.columns.iter().filter(|column| !column.mixed && column.numbers.len() >= FEWEST) {
            work::spend(column.numbers.len() * 8);
            column.far(&mut lines);
            column.begins(&mut lines);
        }
        lines.sort_unstable();
        lines.dedup();
        lines
    }
}

impl<'a> Column<'a> {
    fn add(&mut self, text: &'a str, (start, end): (usize, usize), line: usize) {
        let byte = |at: Option<usize>| at.and_then(|at| text.as_bytes().get(at));
        // A part of `1,234`.
        let is_part = byte(Some(end)) == Some(&b',') && byte(Some(end + 1)).is_some_and(u8::is_ascii_digit)
            || byte(start.checked_sub(1)) == Some(&b',')
                && byte(start.checked_sub(2)).is_some_and(u8::is_ascii_digit);
        let found = number(text.get(start..end).unwrap_or_default()).filter(|_| !is_part);
        let Some((number, unit)) = found.filter(|(_, unit)| self.numbers.is_empty() || *unit == self.unit)
        else {
            self.mixed = true;
            self.numbers = Vec::new();
            return;
        };
        if !self.mixed {
            self.unit = unit;
            self.numbers.push((number, line));
        }
    }

    /// Finds the few numbers that are far outside of the middle half.
    fn far(&self, lines: &mut Vec<usize>) {
        let mut sorted: Vec<f64> = self.numbers.iter().map(|(number, _)| *number).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |part: usize| sorted.get(sorted.len() * part / 4).copied().unwrap_or_default();
        let (low, high) = (at(1), at(3));
        let reach = (high - low) * 1.5;
        let is_far = |number: f64| number < low - reach || number > high + reach;
        let far = || self.numbers.iter().filter(|(number, _)| is_far(*number)).map(|(_, line)| *line);
        if far().nth(MOST_ODD).is_none() {
            lines.extend(far());
        }
    }

    /// Finds the first number that is far from all before it.
    fn begins(&self, lines: &mut Vec<usize>) {
        let (mut least, mut greatest) = (f64::INFINITY, f64::NEG_INFINITY);
        for (seen, (number, line)) in self.numbers.iter().enumerate() {
            let reach = (greatest - least).max(1.0) * FAR;
            if seen >= FEWEST && (*number > greatest + reach || *number < least - reach) {
                lines.push(*line);
                return;
            }
            (least, greatest) = (least.min(*number), greatest.max(*number));
        }
    }
}

/// A number and its unit: `12`, `-3.5`, `7ms`.
fn number(word: &str) -> Option<(f64, &str)> {
    let digits = |b: u8| b.is_ascii_digit() || b == b'.';
    let sign = usize::from(word.starts_with('-'));
    let length = word.bytes().skip(sign).take_while(|b| digits(*b)).count();
    let (number, unit) = word.split_at_checked(sign + length)?;
    let is_unit = unit.len() <= LONGEST_UNIT && unit.bytes().all(|b| b.is_ascii_alphabetic() || b == b'%');
    // A number with more digits is an id, and does not fit a float; one with leading zeros is not a number
    // either.
    let digits = number.get(sign..).unwrap_or_default();
    let padded = digits.starts_with('0') && digits.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    (is_unit && (1..=15).contains(&length) && !padded).then_some(())?;
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_unit() {
        assert_eq!(number("12"), Some((12.0, "")));
        assert_eq!(number("-3.5ms"), Some((-3.5, "ms")));
        for word in ["", "-", "1.2.3", "10.0.0.1", "x7", "7/8", "1234567890123456", "12h30m", ".", "007"] {
            assert_eq!(number(word), None, "{word}");
        }
    }
}
