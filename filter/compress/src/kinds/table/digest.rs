//! Chooses what to keep of a long table: rows that report errors, rare values, numbers that stand out, rows
//! where a column changes permanently, both ends, and what was asked for. The note for each gap says from
//! where to where its rows go, and between which numbers they are.
//!
//! Kept rows are as they were printed, so nothing that is true only of them is stated about the table.

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use headroom_providers::sort;
use xxhash_rust::xxh3::xxh3_64;

use super::cells::{Layout, Row, Table, is_column_rule};
use super::pipes;
use super::{Signal, signal};
use crate::block::{Context, Lossy};
use crate::kinds::keep::{LineSelection, counted, grouped};
use crate::kinds::order::{self, Limits};
use crate::kinds::query::Query;
use crate::kinds::select::{Column, Survey, anomaly, change, outlier};
use crate::kinds::verdict::{self, Ballot, Field, Verdict};
use crate::kinds::wording;
use crate::lines;

/// A table with fewer rows is read faster than a digest of it.
const FEWEST_ROWS: usize = 24;

/// Rows kept at either end.
const FIRST: usize = 6;
const LAST: usize = 3;

/// Rows kept because they answer the question.
const ANSWERS: usize = 24;

/// A column with at most this many values says what sort a row is of.
const SORTS: usize = 8;

/// The most rows kept because a column changes there permanently. A column with more changes goes up and
/// down.
const CHANGES: usize = 12;

/// A gap is described in parts, so that a reader sees how a series develops: this many parts for the whole
/// table, and at least this many rows per part.
const PARTS: usize = 8;
const LEAST_PART: usize = 24;

/// The column that names the rows is one of the first. The names of left out rows may take this many bytes.
const NAMING: usize = 3;
const NAMES_BYTES: usize = 3000;

/// A column with at most this many values may hold the state of what the row describes.
const STATES: usize = 16;

/// One row in this many may be kept for a rare value, but always [`FEWEST_RARE`].
const RARE_OF: usize = 20;
const FEWEST_RARE: usize = 3;

/// Titles of columns that name the rows wherever they stand, if the names are at most one byte in this many of
/// the rows: `lsof` calls a whole connection a name.
const NAMES: &[&str] = &["name", "names"];
const SHORT_NAMES: usize = 8;

/// For left out rows: how many columns are counted by value, and how many get ranges of numbers.
const COUNTED: usize = 2;
const RANGES: usize = 4;

/// For a gap of fewer rows only their number is given.
const DESCRIBED: usize = 8;

/// The head of a list of packages is one of this many lines.
const HEADER_WITHIN: usize = 10;

/// The most columns that are examined.
const MOST_COLUMNS: usize = 48;

/// Longer cells are not put into a description.
const LONGEST_CELL: usize = 64;

/// The most left out rows with errors that are named.
const NAMED_ERRORS: usize = 40;

/// Keeps the rows that matter, and describes the others.
pub(crate) fn lossy(text: &str, cx: &Context<'_>) -> Option<Lossy> {
    let lines: Vec<&str> = lines::split(text.strip_suffix('\n').unwrap_or(text)).collect();
    // An agent that lists installed packages searches for one of them.
    if lines.iter().take(HEADER_WITHIN).any(|line| is_column_rule(line)) {
        return None;
    }
    let table = Table::read(&lines).or_else(|| pipes::read(&lines))?;
    if table.rows.len() < FEWEST_ROWS {
        return None;
    }
    let surveyed = TableSurvey::of(&table, &lines);
    let mut keep = LineSelection::sparing(&lines, cx);
    let mut row_of_line = vec![None; lines.len()];
    for (number, row) in table.rows.iter().enumerate() {
        if let Some(of_line) = row_of_line.get_mut(row.line) {
            *of_line = Some(number);
        }
    }
    for line in (0..lines.len()).filter(|line| row_of_line.get(*line).is_none_or(Option::is_none)) {
        keep.must(line);
    }
    let line = |row: usize| table.rows.get(row).map_or(usize::MAX, |row| row.line);
    for row in outlier::errors(&surveyed.survey) {
        keep.must(line(row));
    }
    let rows = table.rows.len();
    for row in (0..FIRST).chain(rows - LAST..rows) {
        keep.may(line(row));
    }
    for answer in Query::new(cx).best(&lines).into_iter().take(ANSWERS) {
        keep.may(answer);
    }
    for row in surveyed.rare().into_iter().take((rows / RARE_OF).max(FEWEST_RARE)) {
        keep.may(line(row));
    }
    for row in outlier::odd(&surveyed.survey).into_iter().chain(anomaly::extremes(&surveyed.survey)) {
        keep.may(line(row));
    }
    for row in change::points(&surveyed.survey).into_iter().take(CHANGES) {
        keep.may(line(row));
    }
    keep.close_small_gaps();
    let gone: Vec<usize> = (0..rows).filter(|row| !keep.has(line(*row))).collect();
    if gone.is_empty() {
        return None;
    }
    let names = surveyed.names(&gone);
    if names.is_none() && !surveyed.tells(&gone) {
        return None;
    }
    let series = names.is_none()
        && surveyed.survey.columns.iter().skip(1).any(|c| c.is_numeric() && c.distinct > SORTS);
    let text = keep.render(|gap| {
        let of_gap: Vec<usize> = gap.filter_map(|line| row_of_line.get(line).copied().flatten()).collect();
        let parts = if series { of_gap.len().div_ceil((rows / PARTS).max(LEAST_PART)).max(1) } else { 1 };
        let lines: Vec<String> = of_gap
            .chunks(of_gap.len().div_ceil(parts).max(1))
            .map(|part| {
                let place = |row: Option<&usize>| row.map_or(0, |row| line(*row) + 1 + cx.lines_before);
                let (from, to) = (place(part.first()), place(part.last()));
                let count = match part.len() {
                    1 => format!("1 row (line {from})"),
                    rows => format!("{} (lines {from}-{to})", counted(rows, "row")),
                };
                match surveyed.describe(part, names) {
                    told if (names.is_some() || part.len() >= DESCRIBED) && !told.is_empty() => {
                        format!("… {count}: {told}")
                    }
                    _ => format!("… {count}"),
                }
            })
            .collect();
        lines.join("\n")
    });
    let text = if table.layout == Layout::Pipes { pipes::trimmed(&text).unwrap_or(text) } else { text };
    // A header that contains numbers is a row.
    let all = rows + usize::from(!is_titled(&table));
    let mut what = format!("{} of {} left out", grouped(gone.len()), counted(all, "row"));
    let name = |column: &usize| surveyed.survey.columns.get(*column).map_or("", |column| &column.name);
    let mut order: Vec<usize> = (0..surveyed.survey.columns.len()).collect();
    sort::by_key(&mut order, |column| Field::of(name(column)).is_none());
    let sorts = order.into_iter().filter_map(|column| surveyed.sorts(column, &gone)).take(COUNTED);
    let facts: Vec<String> = sorts.chain(surveyed.errors(&gone)).collect();
    if !facts.is_empty() {
        what.push_str(": ");
        what.push_str(&facts.join("; "));
    }
    Some(Lossy { text, left_out: what })
}

/// A table in the form that the rules for choosing items need.
struct TableSurvey<'t, 'a> {
    table: &'t Table<'a>,
    survey: Survey<'a>,
}

impl<'t, 'a> TableSurvey<'t, 'a> {
    fn of(table: &'t Table<'a>, lines: &[&'a str]) -> Self {
        let texts: Vec<&str> =
            table.rows.iter().map(|row| lines.get(row.line).copied().unwrap_or_default()).collect();
        let columns: Vec<Column> =
            (0..table.width().min(MOST_COLUMNS)).map(|column| read(table, column)).collect();
        let fields: Vec<Option<Field>> = columns.iter().map(|column| Field::of(&column.name)).collect();
        let is_few = |column: &Column| (2..=STATES).contains(&column.distinct);
        let mut ballot = Ballot::default();
        let mut error = |(number, (row, text)): (usize, (&Row<'a>, &&str))| {
            let mut fails = signal::classify(text) == Signal::Error;
            let cell = |column: usize| row.cell(column).trim().trim_matches('"');
            // What is completed runs no more, so nothing of it is ready.
            let ended = || {
                (0..columns.len()).any(|column| {
                    ["completed", "succeeded"].iter().any(|end| cell(column).eq_ignore_ascii_case(end))
                })
            };
            for (at, (column, field)) in columns.iter().zip(&fields).enumerate() {
                let Some(field) = field else {
                    fails |= is_few(column) && verdict::is_bad_state(cell(at));
                    continue;
                };
                match field.verdict(cell(at)) {
                    Verdict::Failed => fails = true,
                    Verdict::LikelyFailed if verdict::share(cell(at)).is_some() && ended() => {}
                    said => ballot.count(number, at, said, || wording::report_key(text) | 1),
                }
            }
            if fails { wording::report_key(text) | 1 } else { 0 }
        };
        let mut errors: Vec<u64> = table.rows.iter().zip(&texts).enumerate().map(&mut error).collect();
        for (row, kind) in ballot.failed(texts.len()) {
            if let Some(slot) = errors.get_mut(row).filter(|slot| **slot == 0) {
                *slot = kind;
            }
        }
        let shapes = vec![1; texts.len()];
        Self { table, survey: Survey { texts, columns, shapes, errors } }
    }

    fn cell(&self, row: usize, column: usize) -> &'a str {
        self.table.rows.get(row).map_or("", |row| row.cell(column)).trim()
    }

    /// The first rows with each rare value of columns of few values, the rarest first. Of longer texts only
    /// the first word counts, without its digits: `Exited (137) 2 hours ago` is `Exited`.
    fn rare(&self) -> Vec<usize> {
        let columns = self.survey.columns.iter().enumerate();
        let words = columns.filter(|(_, column)| column.numeric * 2 < column.values.len());
        let rare = words.flat_map(|(at, column)| match column.distinct <= STATES {
            true => outlier::few(&column.values),
            false => {
                let rows = 0..self.table.rows.len();
                let values: Vec<u64> = rows.map(|row| first_word(self.cell(row, at))).collect();
                outlier::few(&values)
            }
        });
        outlier::in_order(rare.collect())
    }

    /// The column that names the rows, if the names of left out rows are short enough.
    fn names(&self, gone: &[usize]) -> Option<usize> {
        let rows = self.table.rows.len();
        let columns = &self.survey.columns;
        let names = |column: &Column| column.numeric * 2 < rows && column.distinct * 10 >= rows * 9;
        let titled = |column: &Column| {
            names(column) && NAMES.iter().any(|name| column.name.eq_ignore_ascii_case(name))
        };
        let bytes = |column: usize| gone.iter().map(|row| self.cell(*row, column).len() + 2).sum::<usize>();
        let all: usize =
            gone.iter().filter_map(|row| self.survey.texts.get(*row)).map(|text| text.len()).sum();
        let column = columns.iter().position(titled).filter(|column| bytes(*column) * SHORT_NAMES <= all);
        let column = column.or_else(|| columns.iter().take(NAMING).position(names))?;
        let short =
            gone.iter().all(|row| short(self.cell(*row, column)).is_some_and(|name| !name.contains(',')));
        (short && bytes(column) <= NAMES_BYTES).then_some(column)
    }

    /// Whether anything that a digest without names says about rows tells them apart: how many are of which
    /// sort, or between which numbers or dates they are.
    fn tells(&self, gone: &[usize]) -> bool {
        let of_sorts = |column: &Column| {
            (2..=SORTS).contains(&column.distinct)
                && (column.numeric * 2 < column.values.len() || Field::of(&column.name).is_some())
        };
        let columns = &self.survey.columns;
        columns.iter().any(of_sorts)
            || columns.iter().skip(1).any(|column| column.is_numeric() && column.distinct > SORTS)
            || (0..columns.len()).any(|column| self.limits(column, gone).is_some())
    }

    /// The limits of the first column where its cells go up or down, and of dates.
    fn limits(&self, column: usize, rows: &[usize]) -> Option<Limits<'a>> {
        let survey = self.survey.columns.get(column).filter(|survey| survey.distinct > 1)?;
        let cells: Vec<&str> = rows.iter().map(|row| self.cell(*row, column)).collect();
        if !cells.iter().all(|cell| short(cell).is_some()) {
            return None;
        }
        if column > 0 && !order::are_dates(cells.iter().copied()) {
            return None;
        }
        // Only the column knows how its numbers are spelled.
        if column == 0 && holds_numbers(survey) {
            let numbers: Vec<f64> =
                rows.iter().map(|row| survey.numbers.get(*row).copied().unwrap_or(f64::NAN)).collect();
            let pairs = || numbers.iter().zip(numbers.iter().skip(1));
            if pairs().all(|(a, b)| a <= b) || pairs().all(|(a, b)| a >= b) {
                return Some(Limits::Sorted(cells.first()?, cells.last()?));
            }
            let (least, most) = ends(survey, rows).filter(|_| numbers.iter().all(|n| n.is_finite()))?;
            return Some(Limits::Within(self.cell(least, 0), self.cell(most, 0)));
        }
        order::limits(&cells)
    }

    /// `NAME from pod-8 to pod-119; RESTARTS between 0 and 2`, or all names.
    fn describe(&self, rows: &[usize], names: Option<usize>) -> String {
        let mut facts = Vec::new();
        if let Some(column) = names {
            let names: Vec<&str> = rows.iter().map(|row| self.cell(*row, column)).collect();
            let name = self.survey.columns.get(column).map_or("", |column| &column.name);
            facts.push(format!("{name} {}", names.join(", ")));
        } else {
            facts.extend(self.limit(0, rows));
        }
        for (number, column) in self.survey.columns.iter().enumerate().skip(1) {
            if facts.len() > RANGES {
                break;
            }
            if !holds_numbers(column) {
                facts.extend(self.limit(number, rows));
                continue;
            }
            let others = self.others(number, rows);
            let Some((least, most)) = ends(column, rows) else {
                facts.push(format!("{}{}", column.name, others.trim_start_matches(',')));
                continue;
            };
            if let (Some(from), Some(to)) = (short(self.cell(least, number)), short(self.cell(most, number)))
            {
                facts.push(match from == to {
                    true => format!("{} {from}{others}", column.name),
                    false => format!("{} between {from} and {to}{others}", column.name),
                });
            }
        }
        facts.join("; ")
    }

    /// `time from 10:00 to 12:30`, `date between 01.02.2026 and 03.04.2026`.
    fn limit(&self, column: usize, rows: &[usize]) -> Option<String> {
        let name = &self.survey.columns.get(column)?.name;
        Some(match self.limits(column, rows)? {
            Limits::Sorted(first, last) if first == last => format!("{name} {first}"),
            Limits::Sorted(first, last) => format!("{name} from {first} to {last}"),
            Limits::Within(least, most) => format!("{name} between {least} and {most}"),
        })
    }

    /// ` (empty in 40 rows)`, `, NaN or inf in 3 rows`: the cells of a number column that are not numbers.
    fn others(&self, column: usize, rows: &[usize]) -> String {
        let numbers = self.survey.columns.get(column).map_or(&[][..], |column| &column.numbers);
        let is_number = |row: &usize| numbers.get(*row).is_some_and(|number| number.is_finite());
        let others: Vec<&str> =
            rows.iter().filter(|row| !is_number(row)).map(|row| self.cell(*row, column)).collect();
        let empty = others.iter().filter(|cell| cell.is_empty()).count();
        let mut told = String::new();
        if empty > 0 {
            told.push_str(&format!(", empty in {}", counted(empty, "row")));
        }
        let mut values: Vec<&str> = others.iter().copied().filter(|cell| !cell.is_empty()).collect();
        let count = values.len();
        values.dedup();
        match values.as_slice() {
            [] => {}
            few if few.len() <= 3 && few.iter().all(|value| short(value).is_some()) => {
                told.push_str(&format!(", {} in {}", few.join(" or "), counted(count, "row")));
            }
            _ => told.push_str(&format!(", no such number in {}", counted(count, "row"))),
        }
        told
    }

    /// `STATUS Running 40, Completed 3`, for a column of few values.
    fn sorts(&self, column: usize, rows: &[usize]) -> Option<String> {
        let name =
            &self.survey.columns.get(column).filter(|column| (2..=SORTS).contains(&column.distinct))?.name;
        let mut counts: Vec<(&str, usize)> = Vec::new();
        for row in rows {
            let value = self.cell(*row, column);
            match counts.iter_mut().find(|(known, _)| *known == value) {
                Some((_, count)) => *count += 1,
                None => counts.push((value, 1)),
            }
        }
        sort::by_key(&mut counts, |(_, count)| std::cmp::Reverse(*count));
        let parts: Vec<String> = counts
            .into_iter()
            .map(|(value, n)| match value {
                "" => format!("(empty) {}", grouped(n)),
                value => format!("{} {}", short(value).unwrap_or("(long)"), grouped(n)),
            })
            .collect();
        Some(format!("{name} {}", parts.join(", ")))
    }

    /// `12 that report errors: id 7, 9`.
    fn errors(&self, gone: &[usize]) -> Option<String> {
        let errors: Vec<usize> = gone
            .iter()
            .copied()
            .filter(|row| self.survey.errors.get(*row).is_some_and(|kind| *kind != 0))
            .collect();
        let count = counted(errors.len(), "row");
        let names: Option<Vec<&str>> = errors.iter().map(|row| short(self.cell(*row, 0))).collect();
        match names {
            _ if errors.is_empty() => None,
            Some(names) if names.len() <= NAMED_ERRORS => {
                let column = self.survey.columns.first().map_or("", |column| &column.name);
                Some(format!("{count} of them report errors like those shown: {column} {}", names.join(", ")))
            }
            _ => Some(format!("{count} of them report errors like those shown")),
        }
    }
}

/// Whether the first row names the columns: names are not numbers.
fn is_titled(table: &Table<'_>) -> bool {
    table.header.cells.iter().all(|cell| cell.trim().parse::<f64>().is_err())
}

/// A column's cells as numbers and as hashes.
fn read(table: &Table<'_>, column: usize) -> Column {
    let title = table.header_cell(column).trim_matches('"');
    let name = match short(title) {
        Some(title) if is_titled(table) => title.to_owned(),
        _ => format!("column {}", column + 1),
    };
    let mut read = Column { name, ..Column::default() };
    let mut distinct: HashSet<u64, FixedState> = HashSet::with_hasher(FixedState::default());
    let mut unit = None;
    let comma = has_decimal_commas(table, column);
    for row in &table.rows {
        let cell = row.cell(column).trim();
        let value = xxh3_64(cell.as_bytes()) | 1;
        let number = match comma {
            true => number(&cell.replace('.', "").replace(',', "."), &mut unit),
            false => number(cell, &mut unit),
        };
        read.numeric += usize::from(number.is_finite());
        read.numbers.push(number);
        read.values.push(value);
        if distinct.len() < Column::MANY {
            distinct.insert(value);
        }
    }
    read.distinct = distinct.len();
    if are_versions(table, column) {
        read.numeric = 0;
        read.numbers.fill(f64::NAN);
    }
    read
}

/// Whether the numbers of a column are versions, where 1.10 comes after 1.9: their parts have different
/// lengths and one ends in a zero, unlike a fraction.
fn are_versions(table: &Table<'_>, column: usize) -> bool {
    let fractions = || {
        table
            .rows
            .iter()
            .filter_map(|row| row.cell(column).trim().trim_matches('"').split_once('.'))
            .map(|(_, part)| part)
    };
    let Some(first) = fractions().next() else { return false };
    fractions().any(|part| part.len() != first.len())
        && fractions()
            .any(|part| part.len() > 1 && part.ends_with('0') && part.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether the numbers of a column have a comma before their fraction: `3715,47` and `1.234,5`. In `1,234` the
/// comma may be one between thousands.
fn has_decimal_commas(table: &Table<'_>, column: usize) -> bool {
    // Between blanks `253,0` is a device.
    if !matches!(table.layout, Layout::Delimited(';' | '\t') | Layout::Pipes) {
        return false;
    }
    let mut sure = false;
    for row in &table.rows {
        let cell = row.cell(column).trim().trim_matches('"').trim_start_matches(['-', '+']);
        let (whole, fraction) = match cell.split_once(',') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (cell, None),
        };
        let mut groups = whole.split('.');
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let first = groups.next().unwrap_or_default();
        let grouped = groups.all(|group| group.len() == 3 && digits(group));
        if cell.is_empty() {
            continue;
        }
        if !digits(first) || !grouped || fraction.is_some_and(|fraction| !digits(fraction)) {
            return false;
        }
        sure |=
            fraction.is_some_and(|fraction| fraction.len() != 3 || whole.contains('.') || first.len() > 3);
    }
    sure
}

/// A hash of the first word of a cell without its digits.
fn first_word(cell: &str) -> u64 {
    let word = cell.split(' ').next().unwrap_or_default();
    let letters: Vec<u8> = word.bytes().filter(|b| !b.is_ascii_digit()).collect();
    xxh3_64(&letters) | 1
}

/// Signs of currency.
const CURRENCIES: [char; 3] = ['$', '€', '£'];

/// The number in a cell, possibly with a sign of currency before it, or a unit or a remark in parentheses
/// after it: `147 (2m ago)`. Numbers with different units are not compared.
fn number(cell: &str, unit: &mut Option<String>) -> f64 {
    let cell = cell.trim_matches('"');
    let (sign, amount) = match cell.strip_prefix('-') {
        Some(amount) if amount.starts_with(CURRENCIES) => (-1.0, amount),
        _ => (1.0, cell),
    };
    let cell = amount.trim_start_matches(CURRENCIES).trim_start();
    let length = cell.bytes().take_while(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.')).count();
    let (digits, of_cell) = cell.split_at_checked(length).unwrap_or_default();
    let of_cell = match of_cell.trim() {
        remark if of_cell.starts_with(" (") && remark.ends_with(')') => "",
        of_cell => of_cell,
    };
    let is_unit = of_cell.len() <= 3 && of_cell.chars().all(|c| c.is_alphabetic() || c == '%');
    match digits.parse::<f64>() {
        Ok(number) if is_unit && *unit.get_or_insert_with(|| of_cell.to_owned()) == of_cell => sign * number,
        _ => f64::NAN,
    }
}

/// Whether most cells of a column are numbers, and not all the same.
fn holds_numbers(column: &Column) -> bool {
    column.numeric * 2 >= column.values.len() && column.distinct >= 2
}

/// The rows of the least and of the greatest number.
fn ends(column: &Column, rows: &[usize]) -> Option<(usize, usize)> {
    let of = |row: usize| column.numbers.get(row).copied().unwrap_or(f64::NAN);
    let mut found: Option<(usize, usize)> = None;
    for row in rows.iter().copied().filter(|row| of(*row).is_finite()) {
        let (least, most) = found.get_or_insert((row, row));
        if of(row) < of(*least) {
            *least = row;
        }
        if of(row) > of(*most) {
            *most = row;
        }
    }
    found
}

/// The text, if it is short and plain enough for a line of ours.
fn short(text: &str) -> Option<&str> {
    let plain = text.chars().all(|c| !c.is_control() && c != ']' && c != '[');
    (!text.is_empty() && text.len() <= LONGEST_CELL && plain).then_some(text)
}

#[cfg(test)]
mod tests;
