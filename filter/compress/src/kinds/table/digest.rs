//! Chooses what to keep of a long table: rows that report errors, rare values, numbers that stand out, rows
//! where a column changes permanently, both ends, and what was asked for. The note for each gap says from
//! where to where its rows go, and between which numbers they are.
//!
//! Kept rows are as they were printed, so nothing that is true only of them is stated about the table.

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use xxhash_rust::xxh3::xxh3_64;

use super::cells::{Layout, Row, Table, is_column_rule};
use super::pipes;
use super::{Signal, signal};
use crate::block::{Context, Lossy};
use crate::kinds::keep::{LineSelection, counted, grouped};
use crate::kinds::query::Query;
use crate::kinds::select::{Column, Survey, anomaly, change, outlier};
use crate::kinds::wording;

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
    let lines: Vec<&str> = text.strip_suffix('\n').unwrap_or(text).split('\n').collect();
    // An agent that lists installed packages searches for one of them.
    if lines.iter().take(HEADER_WITHIN).any(|line| is_column_rule(line)) {
        return None;
    }
    let table = Table::read(&lines).or_else(|| pipes::read(&lines))?;
    if table.rows.len() < FEWEST_ROWS {
        return None;
    }
    let surveyed = Surveyed::of(&table, &lines);
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
    order.sort_by_key(|column| !is_state(name(column)));
    let sorts = order.into_iter().filter_map(|column| surveyed.sorts(column, &gone)).take(COUNTED);
    let facts: Vec<String> = sorts.chain(surveyed.errors(&gone)).collect();
    if !facts.is_empty() {
        what.push_str(": ");
        what.push_str(&facts.join("; "));
    }
    Some(Lossy { text, left_out: what })
}

/// A table in the form that the rules for choosing items need.
struct Surveyed<'t, 'a> {
    table: &'t Table<'a>,
    survey: Survey<'a>,
}

impl<'t, 'a> Surveyed<'t, 'a> {
    fn of(table: &'t Table<'a>, lines: &[&'a str]) -> Self {
        let texts: Vec<&str> =
            table.rows.iter().map(|row| lines.get(row.line).copied().unwrap_or_default()).collect();
        let columns: Vec<Column> =
            (0..table.width().min(MOST_COLUMNS)).map(|column| read(table, column)).collect();
        let states: Vec<usize> = (0..columns.len())
            .filter(|at| columns.get(*at).is_some_and(|c| (2..=STATES).contains(&c.distinct)))
            .collect();
        let error = |(row, text): (&Row<'a>, &&str)| {
            let fails =
                states.iter().any(|column| signal::is_bad_state(row.cell(*column).trim().trim_matches('"')));
            let reports = fails || signal::classify(text) == Signal::Error;
            if reports { wording::report_key(text) | 1 } else { 0 }
        };
        let errors = table.rows.iter().zip(&texts).map(error).collect();
        let shapes = vec![1; texts.len()];
        Self { table, survey: Survey { texts, columns, shapes, errors } }
    }

    fn cell(&self, row: usize, column: usize) -> &'a str {
        self.table.rows.get(row).map_or("", |row| row.cell(column)).trim()
    }

    /// The column that names the rows, if the names of left out rows are short enough.
    fn names(&self, gone: &[usize]) -> Option<usize> {
        let rows = self.table.rows.len();
        let names = |column: &Column| column.numeric == 0 && column.distinct * 10 >= rows * 9;
        let column = self.survey.columns.iter().take(NAMING).position(names)?;
        let bytes: usize = gone.iter().map(|row| self.cell(*row, column).len() + 2).sum();
        let short =
            gone.iter().all(|row| short(self.cell(*row, column)).is_some_and(|name| !name.contains(',')));
        (short && bytes <= NAMES_BYTES).then_some(column)
    }

    /// Whether the cells of a column go up or down over these rows: then the first and the last are the
    /// limits of the others.
    fn is_sorted(&self, rows: &[usize], column: usize) -> bool {
        let cells = || rows.iter().map(|row| self.cell(*row, column));
        let order = |a: &str, b: &str| match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => a.total_cmp(&b),
            _ => a.cmp(b),
        };
        let pairs = || cells().zip(cells().skip(1)).map(|(a, b)| order(a, b));
        pairs().all(std::cmp::Ordering::is_le) || pairs().all(std::cmp::Ordering::is_ge)
    }

    /// `NAME from pod-8 to pod-119; RESTARTS between 0 and 2`, or all names.
    fn describe(&self, rows: &[usize], names: Option<usize>) -> String {
        let mut facts = Vec::new();
        if let Some(column) = names {
            let names: Vec<&str> = rows.iter().map(|row| self.cell(*row, column)).collect();
            let name = self.survey.columns.get(column).map_or("", |column| &column.name);
            facts.push(format!("{name} {}", names.join(", ")));
        } else if let (Some(first), Some(last), Some(column)) =
            (rows.first(), rows.last(), self.survey.columns.first())
            && let (Some(from), Some(to)) = (short(self.cell(*first, 0)), short(self.cell(*last, 0)))
            && column.distinct > 1
            && self.is_sorted(rows, 0)
        {
            facts.push(format!("{} from {from} to {to}", column.name));
        }
        for (number, column) in self.survey.columns.iter().enumerate().skip(1) {
            if facts.len() > RANGES {
                break;
            }
            if !holds_numbers(column) {
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
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
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
    for row in &table.rows {
        let cell = row.cell(column).trim();
        let value = xxh3_64(cell.as_bytes()) | 1;
        let number = number(cell, &mut unit);
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

/// Signs of currency.
const CURRENCIES: [char; 3] = ['$', '€', '£'];

/// The number in a cell, possibly with a sign of currency before it or a unit after it. Numbers with
/// different units are not compared.
fn number<'a>(cell: &'a str, unit: &mut Option<&'a str>) -> f64 {
    let cell = cell.trim_matches('"');
    let (sign, amount) = match cell.strip_prefix('-') {
        Some(amount) if amount.starts_with(CURRENCIES) => (-1.0, amount),
        _ => (1.0, cell),
    };
    let cell = amount.trim_start_matches(CURRENCIES).trim_start();
    let length = cell.bytes().take_while(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.')).count();
    let (digits, of_cell) = cell.split_at_checked(length).unwrap_or_default();
    let of_cell = of_cell.trim();
    let is_unit = of_cell.len() <= 3 && of_cell.chars().all(|c| c.is_alphabetic() || c == '%');
    match digits.parse::<f64>() {
        Ok(number) if is_unit && *unit.get_or_insert(of_cell) == of_cell => sign * number,
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

/// Whether a column holds states.
fn is_state(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["status", "state", "result", "outcome", "level", "severity", "phase", "health", "conclusion"]
        .iter()
        .any(|state| name.ends_with(state))
}

/// The text, if it is short and plain enough for a line of ours.
fn short(text: &str) -> Option<&str> {
    let plain = text.chars().all(|c| !c.is_control() && c != ']' && c != '[');
    (!text.is_empty() && text.len() <= LONGEST_CELL && plain).then_some(text)
}

#[cfg(test)]
mod tests;
