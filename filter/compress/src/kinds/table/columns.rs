//! A table written again with one separator, and with what the cells of a column share stated once.

use super::cells::{Layout, Row, Table};
use super::{Signal, signal};

/// From this number of rows on it pays to state what a column shares.
const FEWEST_ROWS: usize = 8;

/// Parts of cells are stated once only in tables of many rows: an agent that copies a value out of a
/// small table should find it whole.
const FEWEST_FOR_PARTS: usize = 100;

/// A column gets short names for its values if it has at most this many.
const MOST_NAMES: usize = 26;

/// Shorter values are no longer than their names.
const LONG_VALUE: usize = 8;

/// Separators, in the order of preference: the fewest tokens first (o200k_base, cl100k_base).
const SEPARATORS: &[char] = &[' ', ',', ';', '|', '\t'];

/// What is done to a column.
#[derive(Clone, Debug, PartialEq)]
enum Rule<'a> {
    /// Written as it is.
    Plain,
    /// The same cell in all rows: left out.
    Constant(&'a str),
    /// What all cells start and end with: left out.
    Affix(&'a str, &'a str),
    /// Each cell is one of these, named `a`, `b`, …
    Named(Vec<&'a str>),
}

/// The text with its table redrawn.
pub(super) fn redrawn(text: &str) -> Option<String> {
    let lines: Vec<&str> = text.split('\n').collect();
    let table = unremarkable(Table::read(&lines)?, &lines);
    let rules: Vec<Rule<'_>> = (0..table.width()).map(|column| Rule::of(&table, column)).collect();
    if rules.iter().all(|rule| matches!(rule, Rule::Constant(_))) {
        return None;
    }
    let separator = separator(&table, &lines, &rules)?;
    if matches!(table.layout, Layout::Delimited(_)) && rules.iter().all(|rule| *rule == Rule::Plain) {
        return None;
    }
    let mut out = explain(&table, &rules, separator)?;
    let mut rows = table.rows.iter().peekable();
    for (number, line) in lines.iter().enumerate() {
        if number > 0 {
            out.push('\n');
        }
        if number == table.header.line {
            write_cells(&mut out, &table.header, &rules, separator, |cell, _| cell.to_owned());
        } else if let Some(row) = rows.next_if(|row| row.line == number) {
            write_cells(&mut out, row, &rules, separator, shortened);
        } else {
            out.push_str(line);
        }
    }
    Some(out)
}

/// The table without the rows that report an error: they stay as they were printed.
fn unremarkable<'a>(mut table: Table<'a>, lines: &[&str]) -> Table<'a> {
    table.rows.retain(|row| signal::of(lines[row.line]) != Signal::Error);
    table
}

fn write_cells(
    out: &mut String,
    row: &Row<'_>,
    rules: &[Rule<'_>],
    separator: char,
    form: impl Fn(&str, &Rule<'_>) -> String,
) {
    let written = rules.iter().zip(&row.cells).filter(|(rule, _)| !matches!(rule, Rule::Constant(_)));
    for (n, (rule, cell)) in written.enumerate() {
        if n > 0 {
            out.push(separator);
        }
        out.push_str(&form(cell, rule));
    }
}

fn shortened(cell: &str, rule: &Rule<'_>) -> String {
    match rule {
        Rule::Plain | Rule::Constant(_) => cell.to_owned(),
        Rule::Affix(start, end) => cell[start.len()..cell.len() - end.len()].to_owned(),
        Rule::Named(values) => values
            .iter()
            .position(|value| value == &cell)
            .map_or_else(|| cell.to_owned(), |n| name(n).to_string()),
    }
}

fn name(n: usize) -> char {
    char::from(b'a' + u8::try_from(n % MOST_NAMES).unwrap_or(0))
}

impl<'a> Rule<'a> {
    fn of(table: &Table<'a>, column: usize) -> Self {
        let cells = || table.rows.iter().map(|row| row.cell(column));
        let rows = table.rows.len();
        let Some(first) = cells().next().filter(|_| rows >= FEWEST_ROWS) else { return Rule::Plain };
        if cells().all(|cell| cell == first) {
            return Rule::Constant(first);
        }
        let mut values: Vec<&str> = Vec::new();
        let few = cells().all(|cell| {
            values.contains(&cell)
                || values.len() < MOST_NAMES && {
                    values.push(cell);
                    true
                }
        });
        let long = values.iter().map(|value| value.len()).sum::<usize>() >= LONG_VALUE * values.len();
        if few && long && values.len() * 3 <= rows && !values.iter().any(|value| value.contains([' ', '"'])) {
            return Rule::Named(values);
        }
        if rows < FEWEST_FOR_PARTS {
            return Rule::Plain;
        }
        let (mut start, mut end) = (first, first);
        for cell in cells() {
            start = common_start(start, cell);
            end = common_end(end, cell);
        }
        // whole parts only, so that what is left reads as the rest of the value
        let boundary = |c: char| !c.is_alphanumeric();
        start = start.rfind(boundary).map_or("", |at| &start[..at + 1]);
        let shortest = cells().map(|cell| cell.len()).min().unwrap_or(0);
        end = end.find(boundary).map_or("", |at| &end[at..]);
        let ascii = start.is_ascii() && end.is_ascii();
        if !ascii || start.len() + end.len() < 3 || start.len() + end.len() >= shortest {
            return Rule::Plain;
        }
        Rule::Affix(start, end)
    }
}

fn common_start<'a>(a: &'a str, b: &str) -> &'a str {
    let length = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    let length = (0..=length).rev().find(|&at| a.is_char_boundary(at)).unwrap_or(0);
    &a[..length]
}

fn common_end<'a>(a: &'a str, b: &str) -> &'a str {
    let length = a.bytes().rev().zip(b.bytes().rev()).take_while(|(x, y)| x == y).count();
    let from = a.len() - length;
    let from = (from..=a.len()).find(|&at| a.is_char_boundary(at)).unwrap_or(a.len());
    &a[from..]
}

/// The cheapest separator that no cell holds, and by which rows can be told from other lines.
fn separator(table: &Table<'_>, lines: &[&str], rules: &[Rule<'_>]) -> Option<char> {
    let others = lines.len() - table.rows.len() - 1;
    let written = || {
        std::iter::once(&table.header).chain(&table.rows).flat_map(|row| {
            row.cells
                .iter()
                .zip(rules)
                .filter(|(_, rule)| !matches!(rule, Rule::Constant(_)))
                .map(|(cell, _)| *cell)
        })
    };
    let mut is_row = vec![false; lines.len()];
    is_row[table.header.line] = true;
    for row in &table.rows {
        is_row[row.line] = true;
    }
    let stays = || lines.iter().zip(&is_row).filter(|(_, row)| !**row).map(|(line, _)| *line);
    if let Layout::Delimited(delimiter) = table.layout {
        // the delimiter of the text, so that rows look as they did; other lines must not look like one
        let width = rules.iter().filter(|rule| !matches!(rule, Rule::Constant(_))).count();
        let like_a_row = stays().any(|line| line.matches(delimiter).count() + 1 == width && !line.is_empty());
        return (!like_a_row).then_some(delimiter);
    }
    SEPARATORS.iter().copied().find(|&separator| {
        let free =
            !written().any(|cell| cell.contains(separator)) && !stays().any(|line| line.contains(separator));
        // a blank shows no empty cell, and a line of one word looks like a row of one
        let shown = separator != ' ' || others <= 1 && !written().any(str::is_empty);
        free && shown
    })
}

fn explain(table: &Table<'_>, rules: &[Rule<'_>], separator: char) -> Option<String> {
    let mut out = String::from("[headroom: a table");
    if table.layout != Layout::Delimited(separator) {
        let shown = match separator {
            ' ' => "blanks".to_owned(),
            '\t' => "tabs".to_owned(),
            c => format!("\"{c}\""),
        };
        out.push_str(&format!(", columns set apart by {shown}"));
    }
    for (column, rule) in rules.iter().enumerate() {
        let title = table.header_cell(column);
        match rule {
            Rule::Plain => {}
            Rule::Constant(value) => out.push_str(&format!("; {title} is {value} in all rows")),
            Rule::Affix(start, end) => out.push_str(&format!("; {title} is {start}*{end}")),
            Rule::Named(values) => {
                out.push_str(&format!("; {title}"));
                for (n, value) in values.iter().enumerate() {
                    out.push_str(&format!(" {}={value}", name(n)));
                }
            }
        }
    }
    // the header of the block is one line
    if out.contains('\n') {
        return None;
    }
    out.push_str("]\n");
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives back the cells of the rows, the header first, by the rules that the explanation states.
    fn restore(short: &str, table: &Table<'_>, rules: &[Rule<'_>], separator: char) -> Vec<Vec<String>> {
        let (_, rest) = short.split_once('\n').expect("an explanation");
        let lines: Vec<&str> = rest.split('\n').collect();
        let rows = std::iter::once(&table.header).chain(&table.rows);
        rows.enumerate()
            .map(|(number, row)| {
                let mut cells: Vec<String> = Vec::new();
                let mut quoted = false;
                let mut parts = lines[row.line]
                    .split(|c: char| {
                        quoted ^= c == '"' && matches!(table.layout, Layout::Delimited(_));
                        c == separator && !quoted
                    })
                    .map(str::to_owned);
                for rule in rules {
                    cells.push(match rule {
                        Rule::Constant(_) if number == 0 => table.header.cells[cells.len()].to_owned(),
                        Rule::Constant(value) => (*value).to_owned(),
                        _ if number == 0 => parts.next().expect("a cell"),
                        Rule::Plain => parts.next().expect("a cell"),
                        Rule::Affix(start, end) => format!("{start}{}{end}", parts.next().expect("a cell")),
                        Rule::Named(values) => {
                            let name = parts.next().expect("a cell");
                            values[usize::from(name.as_bytes()[0] - b'a')].to_owned()
                        }
                    });
                }
                assert_eq!(parts.next(), None);
                cells
            })
            .collect()
    }

    fn check(text: &str) -> Option<String> {
        let short = redrawn(text)?;
        let lines: Vec<&str> = text.split('\n').collect();
        let table = unremarkable(Table::read(&lines).expect("a table"), &lines);
        let rules: Vec<Rule<'_>> = (0..table.width()).map(|column| Rule::of(&table, column)).collect();
        let separator = separator(&table, &lines, &rules).expect("a separator");
        let mut expected: Vec<Vec<&str>> = vec![table.header.cells.clone()];
        expected.extend(table.rows.iter().map(|row| row.cells.clone()));
        assert_eq!(restore(&short, &table, &rules, separator), expected, "{short}");
        Some(short)
    }

    #[test]
    fn what_a_column_shares_is_stated_once() {
        let mut text = String::from("stdout:\nNAMESPACE   NAME      READY   NODE\n");
        for i in 0..30 {
            text += &format!("default     web-{i:<5} 1/1     node-{}.internal\n", i % 3);
        }
        let short = check(&text).expect("a form");
        assert!(short.contains("NAMESPACE is default in all rows"), "{short}");
        assert!(short.contains("NODE a=node-0.internal b=node-1.internal"), "{short}");
        assert!(short.contains("\nweb-4,1/1,b\n") || short.contains("\nweb-4,b\n"), "{short}");
        assert!(short.len() * 2 < text.len());
    }

    #[test]
    fn rows_that_report_an_error_stay_as_they_were() {
        let mut text = String::from("NAME      STATE              AGE\n");
        for i in 0..12 {
            text += &format!("pod-{i:<5} {:<18} 3d\n", if i == 5 { "CrashLoopBackOff" } else { "Running" });
        }
        let short = check(&text).expect("a form");
        assert!(short.contains("\npod-5     CrashLoopBackOff   3d\n"), "{short}");
        assert!(short.contains("\npod-6\n"), "{short}");
    }

    #[test]
    fn dates_in_long_tables_lose_what_all_share() {
        let text: String = std::iter::once("time,count\n".to_owned())
            .chain((0..200).map(|i| format!("2015/{:02}/{:02} 01:00:00,{i}\n", 1 + i % 12, 1 + i % 28)))
            .collect();
        let short = check(&text).expect("a form");
        assert!(
            short.starts_with("[headroom: a table; time is 2015/* 01:00:00]\ntime,count\n01/01,0\n"),
            "{short}"
        );
    }

    #[test]
    fn cells_with_blanks_and_empty_cells_are_given_back() {
        let mut text = String::from("NAME      STATE    NOTE\n");
        for i in 0..12 {
            text += &format!("pod {i:<5} {:<8} {}\n", if i % 2 == 0 { "" } else { "up, ok" }, i * 7);
        }
        check(&text).expect("a form");
    }

    proptest! {
        #[test]
        fn any_delimited_cells_are_given_back(
            rows in prop::collection::vec(prop::collection::vec("[ab \"=é]{0,3}(x-[0-9]|)", 3), 6..40)
        ) {
            let lines: Vec<String> = rows.iter().map(|cells| cells.join(",")).collect();
            check(&format!("one,two,three\n{}", lines.join("\n")));
        }

        #[test]
        fn any_aligned_cells_are_given_back(
            rows in prop::collection::vec(prop::collection::vec("[ab,;|=é]{0,3}( x|)", 3), 6..40)
        ) {
            let lines: Vec<String> = rows
                .iter()
                .map(|cells| format!("{:<9}{:<9}{}", cells[0].trim(), cells[1].trim(), cells[2].trim()))
                .collect();
            check(&format!("ONE      TWO      THREE\n{}", lines.join("\n")));
        }
    }
}
