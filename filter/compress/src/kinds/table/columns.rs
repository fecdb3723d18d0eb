//! Writes a table again with one separator, and states once what the cells of a column share.
//!
//! The statement about a column names the column, and holds for every row of the table, also for rows that
//! stay as they were printed.

use super::cells::{Layout, Row, Table};
use super::signal;
use crate::kinds::keep::counted;
use crate::lines;

/// From this many rows on, it is worth stating what a column shares.
const FEWEST_ROWS: usize = 8;

/// Parts of cells are stated once only in tables with this many rows: an agent that copies a value from a
/// small table should find it whole.
const FEWEST_FOR_PARTS: usize = 100;

/// The values of a column get short names if it has at most this many.
const MOST_NAMES: usize = 26;

/// A value gets a name if this many rows have it.
const FEWEST_USES: usize = 2;

/// Shorter values are no longer than their names.
const LONG_VALUE: usize = 8;

/// Words named by which lines report failures.
const MOST_SIGNS: usize = 3;

/// Separators, in the order of preference: the fewest tokens first (o200k_base, cl100k_base).
const SEPARATORS: &[char] = &[' ', ',', ';', '|', '\t'];

/// How a column is written.
#[derive(Clone, Debug, PartialEq)]
enum Rule<'a> {
    /// Written as it is.
    Plain,
    /// The same cell in all rows: left out.
    Constant(&'a str),
    /// The common start and end of all cells: left out.
    Affix(&'a str, &'a str),
    /// Each cell is one of these, named `a`, `b`, …
    Named(Vec<&'a str>),
}

/// The text with its table written again.
pub(super) fn redrawn(text: &str) -> Option<String> {
    let lines: Vec<&str> = lines::split(text).collect();
    let table = Table::read(&lines)?;
    // Rows that are not shown may have other values.
    let has_gaps = lines.iter().any(|line| is_gap(line));
    let rules: Vec<Rule<'_>> =
        (0..table.width()).map(|column| Rule::of(&table, column).unless(has_gaps)).collect();
    let table = unremarkable(table, &lines);
    let rules = in_use(rules, &table);
    if rules.iter().all(|rule| matches!(rule, Rule::Constant(_))) {
        return None;
    }
    let separator = separator(&table, &lines, &rules)?;
    if matches!(table.layout, Layout::Delimited(_)) && rules.iter().all(|rule| *rule == Rule::Plain) {
        return None;
    }
    let mut out = explain(&table, &lines, &rules, separator)?;
    let mut rows = table.rows.iter().peekable();
    for (number, line) in lines.iter().enumerate() {
        if number > 0 {
            out.push('\n');
        }
        if number == table.header.line {
            // A title of two words would look like two titles.
            let form = match (table.titled, separator) {
                (true, ' ') => |cell: &str, _: &Rule<'_>| match cell.contains(' ') {
                    true => format!("\"{cell}\""),
                    false => cell.to_owned(),
                },
                (true, _) => |cell: &str, _: &Rule<'_>| cell.to_owned(),
                (false, _) => shortened,
            };
            write_cells(&mut out, &table.header, &rules, separator, form);
        } else if let Some(row) = rows.next_if(|row| row.line == number) {
            write_cells(&mut out, row, &rules, separator, shortened);
        } else {
            out.push_str(line);
        }
    }
    Some(out)
}

/// The table without the rows that report a failure, which stay as they were printed.
fn unremarkable<'a>(mut table: Table<'a>, lines: &[&str]) -> Table<'a> {
    table.rows.retain(|row| !lines.get(row.line).is_some_and(|line| signal::reports_failure(line)));
    table
}

/// The rules without names of values that are not written in any row.
fn in_use<'a>(mut rules: Vec<Rule<'a>>, table: &Table<'a>) -> Vec<Rule<'a>> {
    for (column, rule) in rules.iter_mut().enumerate() {
        let Rule::Named(values) = rule else { continue };
        values.retain(|value| {
            let uses = table.rows.iter().filter(|row| row.cell(column) == *value);
            uses.take(FEWEST_USES).count() == FEWEST_USES
        });
        if values.is_empty() {
            *rule = Rule::Plain;
        }
    }
    rules
}

/// `… 12 rows (lines 8-19)`: the line that replaces left out rows.
fn is_gap(line: &str) -> bool {
    line.starts_with("… ") && (line.contains(" rows") || line.contains(" row"))
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
        Rule::Affix(start, end) => {
            cell.get(start.len()..cell.len() - end.len()).unwrap_or_default().to_owned()
        }
        Rule::Named(values) => {
            // A value that few rows have is written in full.
            let named = values.iter().position(|value| value == &cell);
            named.map_or_else(|| cell.to_owned(), |n| name(n).to_string())
        }
    }
}

/// Whether a cell looks like the name of a value.
fn is_name(cell: &str) -> bool {
    matches!(cell.as_bytes(), [b'a'..=b'z'])
}

fn name(n: usize) -> char {
    char::from(b'a' + u8::try_from(n % MOST_NAMES).unwrap_or(0))
}

impl<'a> Rule<'a> {
    /// The rule, or none if some rows are missing.
    fn unless(self, has_gaps: bool) -> Self {
        if has_gaps && matches!(self, Rule::Constant(_) | Rule::Affix(..)) { Rule::Plain } else { self }
    }

    fn of(table: &Table<'a>, column: usize) -> Self {
        let header = Some(&table.header).filter(|_| !table.titled);
        let cells = || header.into_iter().chain(&table.rows).map(|row| row.cell(column));
        let rows = cells().count();
        let Some(first) = cells().next().filter(|_| rows >= FEWEST_ROWS) else { return Rule::Plain };
        if cells().all(|cell| cell == first) {
            return Rule::Constant(first);
        }
        let mut values: Vec<(&str, usize)> = Vec::new();
        let few = cells().all(|cell| match values.iter_mut().find(|(value, _)| *value == cell) {
            Some((_, uses)) => {
                *uses += 1;
                true
            }
            None => {
                values.push((cell, 1));
                values.len() <= MOST_NAMES
            }
        });
        // A value that looks like a name, or contains a blank or a quote, prevents names.
        let clear = !values.iter().any(|(value, _)| value.contains([' ', '"']) || is_name(value));
        let many = values.len() * 3 <= rows;
        values.retain(|(_, uses)| *uses >= FEWEST_USES);
        let named: Vec<&str> = values.into_iter().map(|(value, _)| value).collect();
        let long = named.iter().map(|value| value.len()).sum::<usize>() >= LONG_VALUE * named.len();
        if few && clear && many && long && !named.is_empty() {
            return Rule::Named(named);
        }
        if rows < FEWEST_FOR_PARTS {
            return Rule::Plain;
        }
        let (mut start, mut end) = (first, first);
        for cell in cells() {
            start = common_start(start, cell);
            end = common_end(end, cell);
        }
        // Only whole parts, so that the rest reads as the rest of the value.
        let boundary = |c: char| !c.is_alphanumeric();
        start = start.rfind(boundary).map_or("", |at| start.get(..at + 1).unwrap_or_default());
        let shortest = cells().map(|cell| cell.len()).min().unwrap_or(0);
        end = end.find(boundary).map_or("", |at| end.get(at..).unwrap_or_default());
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
    a.get(..length).unwrap_or_default()
}

fn common_end<'a>(a: &'a str, b: &str) -> &'a str {
    let length = a.bytes().rev().zip(b.bytes().rev()).take_while(|(x, y)| x == y).count();
    let from = a.len() - length;
    let from = (from..=a.len()).find(|&at| a.is_char_boundary(at)).unwrap_or(a.len());
    a.get(from..).unwrap_or_default()
}

/// The cheapest separator that no cell contains, and that distinguishes rows from other lines.
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
    for row in table.rows.iter().chain([&table.header]) {
        if let Some(is_row) = is_row.get_mut(row.line) {
            *is_row = true;
        }
    }
    let stays = || lines.iter().zip(&is_row).filter(|(_, row)| !**row).map(|(line, _)| *line);
    if let Layout::Delimited(delimiter) = table.layout {
        // The text's own delimiter, so that rows look as before; other lines must not look like rows.
        let width = rules.iter().filter(|rule| !matches!(rule, Rule::Constant(_))).count();
        let like_a_row = stays().any(|line| line.matches(delimiter).count() + 1 == width && !line.is_empty());
        return (!like_a_row).then_some(delimiter);
    }
    // With one blank between cells, the last cell may contain blanks: lines that stay as printed have wider
    // gaps.
    if is_apart_by_blanks(table, lines, rules, &is_row) {
        return Some(' ');
    }
    SEPARATORS.iter().copied().find(|&separator| {
        let free =
            !written().any(|cell| cell.contains(separator)) && !stays().any(|line| line.contains(separator));
        // A blank cannot show an empty cell, and a line of one word looks like a row of one cell.
        let shown = separator != ' ' || others <= 1 && !written().any(str::is_empty);
        free && shown
    })
}

/// Whether rows and their cells can be recognized if one blank is between cells.
fn is_apart_by_blanks(table: &Table<'_>, lines: &[&str], rules: &[Rule<'_>], is_row: &[bool]) -> bool {
    let fits = |row: &Row<'_>| {
        let written = row.cells.iter().zip(rules).filter(|(_, rule)| !matches!(rule, Rule::Constant(_)));
        let mut cells: Vec<&str> = written.map(|(cell, _)| *cell).collect();
        let last = cells.pop().unwrap_or_default();
        !last.contains("  ")
            && !last.starts_with(' ')
            && cells.iter().all(|cell| !cell.is_empty() && !cell.contains(' '))
    };
    // Titles of two words are quoted.
    let header = match table.titled {
        true => table.header.cells.iter().all(|title| !title.is_empty() && !title.contains('"')),
        false => fits(&table.header),
    };
    let behind = lines.iter().zip(is_row).skip(table.header.line + 1).filter(|(_, row)| !**row);
    header
        && table.rows.iter().all(fits)
        && behind.map(|(line, _)| line).all(|line| line.contains("  ") || line.is_empty() || is_ruling(line))
}

/// Whether a line separates the header, and cannot be a row.
fn is_ruling(line: &str) -> bool {
    line.bytes().all(|b| matches!(b, b'-' | b'=' | b'+' | b' '))
}

fn explain(table: &Table<'_>, lines: &[&str], rules: &[Rule<'_>], separator: char) -> Option<String> {
    let mut out = String::from("[headroom: a table");
    let written = || std::iter::once(&table.header).chain(&table.rows).filter_map(|row| row.cells.last());
    if table.layout != Layout::Delimited(separator) {
        let shown = match separator {
            ' ' if written().any(|last| last.contains(' ')) => {
                "one blank, the last to the end of the line".to_owned()
            }
            ' ' => "blanks".to_owned(),
            '\t' => "tabs".to_owned(),
            c => format!("\"{c}\""),
        };
        out.push_str(&format!(", columns set apart by {shown}"));
    }
    let mut mark = "; left out, the same in every row: ";
    for (column, rule) in rules.iter().enumerate() {
        if let Rule::Constant(value) = rule {
            out.push_str(&format!("{mark}{}={}", table.name(column), quoted(value)));
            mark = ", ";
        }
    }
    for (column, rule) in rules.iter().enumerate() {
        let title = table.name(column);
        match rule {
            Rule::Plain | Rule::Constant(_) => {}
            Rule::Affix(start, end) => {
                out.push_str(&format!("; {title} is {}, given by its *", quoted(&format!("{start}*{end}"))));
            }
            Rule::Named(values) => {
                out.push_str(&format!("; {title}"));
                for (n, value) in values.iter().enumerate() {
                    out.push_str(&format!(" {}={value}", name(n)));
                }
            }
        }
    }
    // Other lines after the first row: those that report a failure, and those that are not rows.
    let rows = table.rows.len() + table.header.line + 1;
    let behind = || lines.iter().skip(table.header.line + 1);
    let blank = behind().filter(|line| line.is_empty() || is_gap(line) || is_ruling(line)).count();
    let others = lines.len().saturating_sub(rows + blank);
    let failing: Vec<&str> = behind().copied().filter(|line| signal::reports_failure(line)).collect();
    let failures = failing.len().min(others);
    let verb = |n: usize| if n == 1 { "stands" } else { "stand" };
    if failures > 0 {
        let (lines, signs) = (counted(failures, "line"), signs(&failing));
        out.push_str(&format!("; {lines} {signs} {} whole, as printed", verb(failures)));
    }
    if others > failures {
        let n = others - failures;
        out.push_str(&format!("; {} {} whole, as printed", counted(n, "other line"), verb(n)));
    }
    // The header of the block is one line.
    if out.contains('\n') {
        return None;
    }
    out.push_str("]\n");
    Some(out)
}

/// By what lines report a failure: the words in them.
fn signs(failing: &[&str]) -> String {
    let mut words: Vec<&str> = Vec::new();
    let mut others = false;
    for line in failing {
        match signal::failure_words(line) {
            Some(word) if words.contains(&word) => {}
            Some(word) if words.len() < MOST_SIGNS => words.push(word),
            _ => others = true,
        }
    }
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        None => "that report a failure".to_owned(),
        Some(_) if others => format!("that report a failure ({}, …)", quoted.join(", ")),
        Some((only, [])) => format!("with {only}"),
        Some((last, before)) => format!("with {} or {last}", before.join(", ")),
    }
}

/// A value, in quotes if it could not be distinguished from the words around it.
fn quoted(value: &str) -> String {
    if value.is_empty() {
        return "empty".to_owned();
    }
    let plain = !value.contains([' ', ',', ';', '"', '*', '\t']) && value != "empty";
    if plain { value.to_owned() } else { format!("\"{value}\"") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Restores the cells of the rows, the header first, by the rules in the explanation.
    fn restore(short: &str, table: &Table<'_>, rules: &[Rule<'_>], separator: char) -> Vec<Vec<String>> {
        let (_, rest) = short.split_once('\n').expect("an explanation");
        let lines: Vec<&str> = rest.split('\n').collect();
        let rows = std::iter::once(&table.header).chain(&table.rows);
        rows.enumerate()
            .map(|(number, row)| {
                let mut cells: Vec<String> = Vec::new();
                let mut quoted = false;
                let written = rules.iter().filter(|rule| !matches!(rule, Rule::Constant(_))).count();
                // With blanks as separator, a row has as many cells as were written, and the last one goes to
                // the end of the line.
                let most = if separator == ' ' { written } else { usize::MAX };
                let title = number == 0 && table.titled && separator == ' ';
                let mut parts = lines[row.line]
                    .splitn(most, |c: char| {
                        quoted ^= c == '"' && (title || matches!(table.layout, Layout::Delimited(_)));
                        c == separator && !quoted
                    })
                    .map(|part| if title { part.trim_matches('"').to_owned() } else { part.to_owned() });
                for rule in rules {
                    cells.push(match rule {
                        Rule::Constant(_) if number == 0 && table.titled => {
                            table.header.cells[cells.len()].to_owned()
                        }
                        Rule::Constant(value) => (*value).to_owned(),
                        _ if number == 0 && table.titled => parts.next().expect("a cell"),
                        Rule::Plain => parts.next().expect("a cell"),
                        Rule::Affix(start, end) => format!("{start}{}{end}", parts.next().expect("a cell")),
                        Rule::Named(values) => {
                            let cell = parts.next().expect("a cell");
                            match cell.as_bytes() {
                                [name @ b'a'..=b'z'] => values[usize::from(name - b'a')].to_owned(),
                                _ => cell,
                            }
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
        let table = Table::read(&lines).expect("a table");
        let rules: Vec<Rule<'_>> = (0..table.width()).map(|column| Rule::of(&table, column)).collect();
        let table = unremarkable(table, &lines);
        let rules = in_use(rules, &table);
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
        assert!(
            short.contains("; left out, the same in every row: NAMESPACE=default, READY=1/1; "),
            "{short}"
        );
        assert!(short.contains("NODE a=node-0.internal b=node-1.internal"), "{short}");
        assert!(short.contains("\nweb-4 b\n"), "{short}");
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
        assert!(short.contains("\npod-6 Running\n"), "{short}");
    }

    /// `ps aux`, as procps prints it.
    #[test]
    fn a_constant_says_which_column_it_is_of() {
        let mut text =
            String::from("USER       PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME COMMAND\n");
        text += "root         1  0.9  0.0  49380 18740 ?        Ss   20:43   0:10 /sbin/init --x\n";
        for i in 2..140 {
            text +=
                &format!("root   {i:>7}  0.0  0.0      0     0 ?        S    20:43   0:00 [kworker/{i}:0]\n");
        }
        let short = check(&text).expect("a form");
        let header = short.lines().next().unwrap_or_default();
        assert!(
            header.contains("; left out, the same in every row: USER=root, %MEM=0.0, TTY=?, START=20:43"),
            "{header}"
        );
        assert!(!header.contains("root=") && !header.contains("root is"), "{header}");
        assert!(
            short.contains("\nPID,%CPU,VSZ,RSS,STAT,TIME,COMMAND\n")
                || short.contains("\nPID %CPU VSZ RSS STAT TIME COMMAND\n")
                || short.contains("\nPID;%CPU;VSZ;RSS;STAT;TIME;COMMAND\n"),
            "{short}"
        );
    }

    #[test]
    fn rows_without_a_header_are_all_rows_and_columns_have_numbers() {
        for text in [
            (0..20).map(|i| format!("eu-central-1   web-{i:<4}   running\n")).collect::<String>(),
            (0..20).map(|i| format!("LISTEN   {i:<4}   0.0.0.0:*   tcp\n")).collect::<String>(),
            (0..20).map(|i| format!("alice,{i},Berlin,active\n")).collect::<String>(),
        ] {
            let short = check(text.trim_end()).expect("a form");
            let header = short.lines().next().unwrap_or_default();
            assert!(header.contains("the same in every row: column "), "{header}");
        }
    }

    #[test]
    fn what_is_said_of_a_column_holds_for_rows_that_stand_as_printed() {
        let mut text = String::from("NAME      ZONE          STATE              AGE\n");
        for i in 0..20 {
            let (zone, state) = if i == 7 { ("zone-other-1", "Failed") } else { ("zone-central", "Running") };
            text += &format!("pod-{i:<5} {zone:<13} {state:<18} {i}d\n");
        }
        let short = check(text.trim_end()).expect("a form");
        assert!(!short.contains("the same in every row"), "{short}");
        assert!(short.contains("; 1 line with \"Failed\" stands whole, as printed]"), "{short}");
        assert!(short.contains("\npod-7     zone-other-1  Failed             7d\n"), "{short}");
    }

    #[test]
    fn only_values_of_rows_that_are_rewritten_have_names() {
        let mut text = String::from("NAME      STATE              AGE\n");
        for i in 0..30 {
            let state = if i % 9 == 0 { "CrashLoopBackOff" } else { "ContainerCreating" };
            text += &format!("pod-{i:<5} {state:<18} {i}d\n");
        }
        let short = check(text.trim_end()).expect("a form");
        assert!(
            short.contains(
                "; STATE a=ContainerCreating; 4 lines with \"CrashLoopBackOff\" stand whole, as printed]"
            ),
            "{short}"
        );
    }

    #[test]
    fn the_words_by_which_lines_are_failures_are_named() {
        let signs = |lines: &[&str]| super::signs(lines);
        assert_eq!(signs(&["pod-1 Error", "pod-2 Error"]), "with \"Error\"");
        assert_eq!(
            signs(&["a Error 1", "b OOMKilled", "c CrashLoopBackOff"]),
            "with \"Error\", \"OOMKilled\" or \"CrashLoopBackOff\""
        );
        assert_eq!(signs(&["a TypeError: x", "job exit code 3"]), "that report a failure (\"TypeError\", …)");
        assert_eq!(signs(&["job exit code 3"]), "that report a failure");
        assert_eq!(
            signs(&["a failed", "b killed", "c fatal", "d denied"]),
            "that report a failure (\"failed\", \"killed\", \"fatal\", …)"
        );
    }

    #[test]
    fn the_line_under_a_header_is_no_row() {
        let mut text = String::from("Package            Version\n------------------ ---------\n");
        text += &(0..40).map(|i| format!("package-{i:<10} 1.{i}.0\n")).collect::<String>();
        let short = check(text.trim_end()).unwrap_or_default();
        assert!(!short.contains("=---"), "{short}");
    }

    #[test]
    fn rows_that_are_left_out_have_no_say_in_what_all_share() {
        let mut text = String::from("NAME      ZONE        STATE              AGE\n");
        for i in 0..20 {
            text += &format!("pod-{i:<5} zone-a      Running            {i}d\n");
            if i == 9 {
                text += "… 12 rows\n";
            }
        }
        let short = redrawn(text.trim_end()).unwrap_or_default();
        assert!(!short.contains("in every row"), "{short}");
    }

    #[test]
    fn dates_in_long_tables_lose_what_all_share() {
        let text: String = std::iter::once("time,count\n".to_owned())
            .chain((0..200).map(|i| format!("2015/{:02}/{:02} 01:00:00,{i}\n", 1 + i % 12, 1 + i % 28)))
            .collect();
        let short = check(&text).expect("a form");
        assert!(
            short.starts_with(
                "[headroom: a table; time is \"2015/* 01:00:00\", given by its *]\ntime,count\n01/01,0\n"
            ),
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
