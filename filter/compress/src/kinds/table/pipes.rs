//! Columns between pipes, as in markdown, `psql` and `mysql`: blanks that align cells and the length of
//! separator lines mean nothing.

use super::cells::{Layout, Row, Table};
use super::signal;
use crate::lines;

/// The text without blanks next to the pipes of its tables, and with separator lines of one dash per column. Blanks that
/// indent a cell stay: a plan's steps, a process tree and code show by them what belongs to what.
pub(super) fn trimmed(text: &str) -> Option<String> {
    let lines: Vec<(Shape, &str)> = lines::split(text).map(|line| (Shape::of(line), line)).collect();
    let mut out = String::with_capacity(text.len());
    let mut rows = 0;
    let (mut indents, mut before) = (Vec::new(), Shape::Other);
    for (number, (shape, line)) in lines.iter().enumerate() {
        if number > 0 {
            out.push('\n');
        }
        if *shape != Shape::Other && before == Shape::Other {
            let table = lines.get(number..).unwrap_or_default().iter();
            let table = table.take_while(|(shape, _)| *shape != Shape::Other);
            indents = Indents::of(table.filter(|(shape, _)| *shape == Shape::Row).map(|(_, line)| *line));
        }
        before = *shape;
        match shape {
            Shape::Row => {
                rows += 1;
                push_row(&mut out, line, &indents);
            }
            Shape::Rule => push_rule(&mut out, line),
            Shape::Other => out.push_str(line),
        }
    }
    (rows >= 3).then_some(out)
}

/// What a line is in a table.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Shape {
    Row,
    Rule,
    Other,
}

impl Shape {
    fn of(line: &str) -> Self {
        match () {
            () if is_row(line) => Self::Row,
            () if is_rule(line) => Self::Rule,
            () => Self::Other,
        }
    }
}

/// Where the cells of a column stand.
struct Indents {
    /// The fewest blanks before a cell.
    least: usize,
    /// Of the first cell: the width, and the blanks behind it.
    width: usize,
    behind: usize,
    left: bool,
    right: bool,
    centered: bool,
}

impl Indents {
    /// For each column of a table whose cells are indented by more or less: the blanks that all of them have. `None`
    /// where the blanks come from the column's alignment. The titles have one of their own.
    fn of<'a>(mut rows: impl Iterator<Item = &'a str>) -> Vec<Option<usize>> {
        let mut columns: Vec<Option<Self>> = Vec::new();
        let blanks = |cell: &str| cell.len() - cell.trim_start_matches(' ').len();
        let titles: Vec<usize> =
            rows.next().map(|row| split(row.trim()).map(blanks).collect()).unwrap_or_default();
        for row in rows {
            for (column, cell) in split(row.trim()).enumerate() {
                if columns.len() <= column {
                    columns.push(None);
                }
                let bare = cell.trim_matches(' ');
                let Some(place) = columns.get_mut(column).filter(|_| !bare.is_empty()) else { continue };
                let before = blanks(cell);
                let (width, behind) = (cell.chars().count(), cell.len() - before - bare.len());
                match place {
                    None => {
                        let centered = before.abs_diff(behind) <= 1;
                        *place =
                            Some(Self { least: before, width, behind, left: true, right: true, centered });
                    }
                    Some(known) => {
                        known.left &= before == known.least;
                        known.right &= (width, behind) == (known.width, known.behind);
                        known.centered &= width == known.width && before.abs_diff(behind) <= 1;
                        known.least = known.least.min(before);
                    }
                }
            }
        }
        let indented = |column: &Self| !column.left && !column.right && !column.centered;
        let columns = columns.into_iter().enumerate().map(|(at, column)| {
            let least = column.filter(indented)?.least;
            Some(titles.get(at).map_or(least, |title| least.min(*title)))
        });
        columns.collect()
    }
}

/// The table of a text with pipes, if there is exactly one.
pub(super) fn read<'a>(lines: &[&'a str]) -> Option<Table<'a>> {
    let mut rows = lines.iter().enumerate().filter(|(_, line)| is_row(line)).map(|(line, text)| Row {
        line,
        cells: split(text.trim().trim_start_matches('|').trim_end_matches('|')).map(str::trim).collect(),
    });
    let header = rows.next()?;
    let width = header.cells.len();
    let rows = rows
        .filter(|row| row.cells.len() == width && !lines.get(row.line).is_some_and(|line| is_rule(line)))
        .collect();
    Table::of(Layout::Pipes, header, rows, lines.len())
}

/// `| a | b |`, or `a | b | c` as `psql` prints it.
fn is_row(line: &str) -> bool {
    let bare = line.trim();
    let outer = bare.len() > 2 && bare.starts_with('|') && bare.ends_with('|');
    outer && !is_rule(line)
        || !outer && bare.matches(" | ").count() >= 1 && line.starts_with(' ') && !bare.starts_with('|')
}

/// `|---|:-:|`, `---+---`, `+---+---+`.
fn is_rule(line: &str) -> bool {
    let bare = line.trim();
    bare.len() > 3
        && bare.contains("--")
        && bare.contains(['|', '+'])
        && bare.bytes().all(|b| matches!(b, b'-' | b'+' | b'|' | b':' | b' '))
}

fn push_row(out: &mut String, line: &str, indents: &[Option<usize>]) {
    if signal::reports_failure(line) {
        out.push_str(line);
        return;
    }
    for (n, cell) in split(line.trim()).enumerate() {
        if n > 0 {
            out.push('|');
        }
        let kept = match indents.get(n).copied().flatten() {
            Some(least) => {
                let before = cell.len() - cell.trim_start_matches(' ').len();
                cell.trim_end_matches(' ').get(least.min(before)..).unwrap_or_default()
            }
            None => cell.trim_matches(' '),
        };
        out.push_str(kept);
    }
}

/// What stands between the pipes of a row. One behind a `\` belongs to its cell.
fn split(row: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    row.split(move |c: char| {
        let ends = c == '|' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })
}

fn push_rule(out: &mut String, line: &str) {
    let mut last = ' ';
    for c in line.trim().chars().filter(|c| *c != ' ') {
        if c != '-' || last != '-' {
            out.push(c);
        }
        last = c;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cells(text: &str) -> Vec<Vec<&str>> {
        text.split('\n')
            .filter(|line| !is_rule(line) && !line.bytes().all(|b| b"|-+:".contains(&b)))
            .map(|line| line.trim().split('|').map(|cell| cell.trim_matches(' ')).collect())
            .collect()
    }

    #[test]
    fn padding_goes_and_cells_stay() {
        let text = "See:\n| Rank | Router   |\n| :--: | :------- |\n|  1   | **Gin**  |\n|  2   | a b      |\n\nend\n";
        let short = trimmed(text).expect("a form");
        assert_eq!(short, "See:\n|Rank|Router|\n|:-:|:-|\n|1|**Gin**|\n|2|a b|\n\nend\n");
    }

    #[test]
    fn a_pipe_that_is_escaped_belongs_to_its_cell() {
        let text = "| Name | Note     |\n|------|----------|\n| a    | x \\| y   |\n| b    | z        |\n";
        assert_eq!(trimmed(text).expect("a form"), "|Name|Note|\n|-|-|\n|a|x \\| y|\n|b|z|\n");
    }

    #[test]
    fn tables_of_databases_are_trimmed() {
        let text = " id | name\n----+------\n  1 | x\n  2 | y\n(2 rows)\n";
        assert_eq!(trimmed(text).expect("a form"), "id|name\n-+-\n1|x\n2|y\n(2 rows)\n");
    }

    #[test]
    fn a_row_that_reports_a_failure_stays_as_printed() {
        let text = "| a   | b |\n|-----|---|\n| x   |   failed |\n| y   | 1 |\n";
        assert_eq!(trimmed(text).expect("a form"), "|a|b|\n|-|-|\n| x   |   failed |\n|y|1|\n");
    }

    #[test]
    fn what_indents_a_cell_stays() {
        let plan = "| Id | Operation      | Rows |\n|----|----------------|------|\n|  0 | SELECT         |    1 |\n|  1 |  HASH JOIN     |   20 |\n|  2 |   TABLE ACCESS |  300 |\n";
        let short = "|Id|Operation|Rows|\n|-|-|-|\n|0|SELECT|1|\n|1| HASH JOIN|20|\n|2|  TABLE ACCESS|300|\n";
        assert_eq!(trimmed(plan).expect("a form"), short);
        let boxed = "+---+------+\n| i | task |\n+---+------+\n| 1 | a    |\n| 2 |   b  |\n| 3 | c    |\n+---+------+\n";
        assert_eq!(trimmed(boxed).expect("a form"), "+-+-+\n|i|task|\n+-+-+\n|1|a|\n|2|  b|\n|3|c|\n+-+-+\n");
        let code = "|1|if x:|\n|2| if x:|\n|3|     y += 1|\n|4| end |\n";
        assert_eq!(trimmed(code).expect("a form"), "|1|if x:|\n|2| if x:|\n|3|     y += 1|\n|4| end|\n");
    }

    #[test]
    fn how_a_column_is_aligned_goes() {
        let text = "|   name   | n  |  c  |\n|----------|----|-----|\n| a        |  1 |  x  |\n| bcd      | 22 | xyz |\n| é        |  3 |  ab |\n";
        let short = "|name|n|c|\n|-|-|-|\n|a|1|x|\n|bcd|22|xyz|\n|é|3|ab|\n";
        assert_eq!(trimmed(text).expect("a form"), short);
    }

    #[test]
    fn text_with_few_pipes_stays() {
        assert_eq!(trimmed("a | b\nc || d\n"), None);
    }

    proptest! {
        #[test]
        fn a_cell_that_is_deeper_than_another_stays_so(depths in prop::collection::vec(0usize..5, 3..20)) {
            let cell = |depth: &usize| format!("{}step", " ".repeat(*depth));
            let rows = depths.iter().map(|depth| format!("| {:<12} | 1 |\n", cell(depth)));
            let text: String = std::iter::once("| Operation    | n |\n".to_owned()).chain(rows).collect();
            let short = trimmed(&text).expect("a form");
            let found: Vec<usize> = short.lines().skip(1).map(|line| line.find("step").unwrap_or(99)).collect();
            // one depth is the column's own
            let varies = depths.iter().any(|depth| *depth != depths[0]);
            let expected: Vec<usize> = depths.iter().map(|depth| if varies { 1 + depth } else { 1 }).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn any_cells_stay(rows in prop::collection::vec(prop::collection::vec(" {0,3}[a-cé][a-c:é-]{0,3} {0,3}", 2..4), 3..12)) {
            let text: String = rows.iter().map(|row| format!("| {} |\n", row.join("|"))).collect();
            if let Some(short) = trimmed(&text) {
                prop_assert_eq!(cells(&short), cells(&text));
            }
        }
    }
}
