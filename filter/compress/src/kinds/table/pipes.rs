//! Columns between pipes, as in markdown, `psql` and `mysql`: blanks next to pipes and the length of
//! separator lines mean nothing.

use super::cells::{Layout, Row, Table};
use super::signal;

/// The text without blanks next to the pipes of its tables, and with separator lines of one dash per column.
pub(super) fn trimmed(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rows = 0;
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            out.push('\n');
        }
        if is_row(line) {
            rows += 1;
            push_row(&mut out, line);
        } else if is_rule(line) {
            push_rule(&mut out, line);
        } else {
            out.push_str(line);
        }
    }
    (rows >= 3).then_some(out)
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

fn push_row(out: &mut String, line: &str) {
    if signal::reports_failure(line) {
        out.push_str(line);
        return;
    }
    for (n, cell) in split(line.trim()).enumerate() {
        if n > 0 {
            out.push('|');
        }
        out.push_str(cell.trim_matches(' '));
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
    fn text_with_few_pipes_stays() {
        assert_eq!(trimmed("a | b\nc || d\n"), None);
    }

    proptest! {
        #[test]
        fn any_cells_stay(rows in prop::collection::vec(prop::collection::vec(" {0,3}[a-cé][a-c:é-]{0,3} {0,3}", 2..4), 3..12)) {
            let text: String = rows.iter().map(|row| format!("| {} |\n", row.join("|"))).collect();
            if let Some(short) = trimmed(&text) {
                prop_assert_eq!(cells(&short), cells(&text));
            }
        }
    }
}
