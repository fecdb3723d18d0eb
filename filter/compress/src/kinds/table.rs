//! Tables: aligned columns, columns between pipes, CSV and TSV.
//!
//! A table is read into cells, what all cells of a column share is stated once, and the rows are
//! written again with one separator and no padding:
//!
//! ```text
//! [headroom: a table, columns set apart by ","; left out, the same in every row: NAMESPACE=default; NODE a=node-1.internal b=node-2.internal]
//! NAME,READY,NODE
//! web-0,1/1,a
//! web-1,0/1,b
//! ```

use super::keep::{Keep, counted, grouped};
use super::query::Query;
use super::signal::{self, Signal};
use crate::block::{Context, Lossy};

mod cells;
mod columns;
mod pipes;

use cells::Table;

/// Fewer rows are read faster than what a digest says about them.
const FEWEST_ROWS: usize = 24;

/// Rows kept at either end.
const FIRST: usize = 6;
const LAST: usize = 3;

/// Rows kept because they answer the question.
const ANSWERS: usize = 24;

/// A value in at most one row of so many is an outlier, in a column of few values.
const RARE: usize = 20;

/// A column with at most this many values says what sort of row it is.
const SORTS: usize = 8;

/// Columns whose values are counted for what is left out.
const COUNTED: usize = 2;

/// The table without padding and with what a column shares stated once. Cells can be had back to the
/// byte, for CSV and TSV all of the text.
pub(crate) fn lossless(text: &str, _cx: &Context<'_>) -> Option<String> {
    pipes::trimmed(text).or_else(|| columns::redrawn(text))
}

/// The first and last rows, those with errors, with rare values or extreme numbers, and those asked
/// for; counts of the rest by the columns that sort them.
pub(crate) fn lossy(text: &str, cx: &Context<'_>) -> Option<Lossy> {
    let lines: Vec<&str> = text.strip_suffix('\n').unwrap_or(text).split('\n').collect();
    let table = Table::read(&lines).or_else(|| pipes::read(&lines))?;
    if table.rows.len() < FEWEST_ROWS {
        return None;
    }
    let mut keep = Keep::sparing(&lines, cx);
    let mut row_of_line = vec![None; lines.len()];
    for (number, row) in table.rows.iter().enumerate() {
        row_of_line[row.line] = Some(number);
    }
    for line in (0..lines.len()).filter(|&line| row_of_line[line].is_none()) {
        keep.must(line);
    }
    for row in &table.rows {
        if signal::of(lines[row.line]) == Signal::Error {
            keep.must(row.line);
        }
    }
    let rows = table.rows.len();
    for row in table.rows.iter().take(FIRST).chain(table.rows.iter().skip(rows - LAST)) {
        keep.may(row.line);
    }
    for line in Query::new(cx).best(&lines).into_iter().take(ANSWERS) {
        keep.may(line);
    }
    let sorts: Vec<Sort<'_>> = (0..table.width()).filter_map(|column| Sort::of(&table, column)).collect();
    for (number, row) in table.rows.iter().enumerate() {
        if sorts.iter().any(|sort| sort.is_rare(number)) {
            keep.may(row.line);
        }
    }
    for column in 0..table.width() {
        for row in extremes(&table, column) {
            keep.may(table.rows[row].line);
        }
    }
    // and as many more as there is room for, evenly spread
    let size: usize = table.rows.iter().map(|row| lines[row.line].len() + 1).sum();
    let stride = (size / keep.left().max(1) + 1).max(2);
    for row in table.rows.iter().step_by(stride) {
        keep.may(row.line);
    }
    keep.close_small_gaps();
    let dropped: Vec<usize> = (0..rows).filter(|&row| !keep.has(table.rows[row].line)).collect();
    if dropped.is_empty() {
        return None;
    }
    let text = keep.render(|gap| format!("… {}", counted(gap.len(), "row")));
    let text = lossless(&text, cx).unwrap_or(text);
    let mut what = format!("{} of {} left out", grouped(dropped.len()), counted(rows, "row"));
    for (n, sort) in sorts.iter().take(COUNTED).enumerate() {
        what.push_str(if n == 0 { ": " } else { "; " });
        what.push_str(&sort.describe(&dropped));
    }
    Some(Lossy { text, left_out: what })
}

/// A column of few values.
struct Sort<'a> {
    name: &'a str,
    values: Vec<(&'a str, usize)>,
    /// The value of each row, as its place in `values`.
    of_row: Vec<usize>,
}

impl<'a> Sort<'a> {
    fn of(table: &Table<'a>, column: usize) -> Option<Self> {
        let mut values: Vec<(&str, usize)> = Vec::new();
        let mut of_row = Vec::with_capacity(table.rows.len());
        for row in &table.rows {
            let value = row.cell(column);
            let place = match values.iter().position(|(known, _)| *known == value) {
                Some(place) => place,
                None if values.len() == SORTS => return None,
                None => {
                    values.push((value, 0));
                    values.len() - 1
                }
            };
            values[place].1 += 1;
            of_row.push(place);
        }
        (values.len() > 1).then(|| Self { name: table.header_cell(column), values, of_row })
    }

    fn is_rare(&self, row: usize) -> bool {
        self.values[self.of_row[row]].1 * RARE <= self.of_row.len()
    }

    /// `STATUS Running 40, Completed 3`.
    fn describe(&self, rows: &[usize]) -> String {
        let mut counts = vec![0usize; self.values.len()];
        for &row in rows {
            counts[self.of_row[row]] += 1;
        }
        let mut order: Vec<usize> = (0..counts.len()).filter(|&value| counts[value] > 0).collect();
        order.sort_by(|&a, &b| counts[b].cmp(&counts[a]).then(a.cmp(&b)));
        let parts: Vec<String> = order
            .into_iter()
            .map(|value| {
                let (text, n) = (self.values[value].0, counts[value]);
                format!("{} {}", if text.is_empty() { "(empty)" } else { text }, grouped(n))
            })
            .collect();
        format!("{} {}", self.name, parts.join(", ")).trim_start().to_owned()
    }
}

/// The rows with the least and the greatest number of a column, if all its cells are numbers.
fn extremes(table: &Table<'_>, column: usize) -> Vec<usize> {
    let mut least: Option<(f64, usize)> = None;
    let mut greatest: Option<(f64, usize)> = None;
    for (number, row) in table.rows.iter().enumerate() {
        let Ok(value) = row.cell(column).trim().parse::<f64>() else { return Vec::new() };
        if least.is_none_or(|(known, _)| value < known) {
            least = Some((value, number));
        }
        if greatest.is_none_or(|(known, _)| value > known) {
            greatest = Some((value, number));
        }
    }
    [least, greatest].into_iter().flatten().map(|(_, row)| row).collect()
}

#[cfg(test)]
mod tests;
