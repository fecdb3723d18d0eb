//! Decides whether numbers before lines are line numbers, which a tool that prints files put there.
//!
//! Ids of a database, years of a series and ports look the same. They are data, and without them a row has a
//! column too few. So something has to show that the numbers are the tool's: the way they are written, the
//! lines above them, or the call.

use super::NumberedLine;
use super::prefix::Separator;
use super::printer::Printer;
use crate::block::Context;

/// The width to which `cat -n` and `nl` pad their numbers.
const CAT_WIDTH: usize = 6;
/// In a file's lines, at least this percentage of the steps between numbers is one.
const STEPS_PERCENT: usize = 80;
/// Whether the numbers of these lines of `text` are line numbers.
pub(super) fn is_file(cx: &Context<'_>, text: &str, lines: &[NumberedLine]) -> bool {
    let Some(first) = lines.first() else { return false };
    let style = first.prefix.style;
    if style.separator == Separator::Arrow || style.letter {
        return true;
    }
    let in_sequence = in_sequence(lines);
    let padded = first.prefix.len - style.separator.text().len() >= CAT_WIDTH && !style.zeros;
    if padded && style.separator == Separator::Tab || names_a_file(above(text, first.start)) {
        return true;
    }
    let search = matches!(style.separator, Separator::Colon | Separator::Dash);
    match cx.facts.printer.get_or_init(|| Printer::of(cx.call)) {
        Printer::Search => search,
        Printer::Edit => in_sequence && !is_cut_evenly(text, lines),
        Printer::File { named, is_data } => {
            let number = first.prefix.number;
            // Counting may start at zero.
            let names = |number| named.binary_search(&number).is_ok();
            let starts = number == 1 || names(number) || number.checked_sub(1).is_some_and(names);
            let padded = padded || style.zeros;
            starts && in_sequence && (padded || !is_data && !is_cut_evenly(text, lines))
        }
        Printer::Command { found, all } => search && *found || in_sequence && *all,
        Printer::None => false,
    }
}

/// The nearest earlier line that is not empty.
fn above(text: &str, at: usize) -> &str {
    text.get(..at).unwrap_or_default().trim_end().rsplit('\n').next().unwrap_or_default()
}

/// Whether a line introduces a file or a part of one: `[File: /a/b.py (120 lines total)]`, `(40 more lines
/// above)`, `Here's the result of running `cat -n` on /a/b.py:`.
fn names_a_file(line: &str) -> bool {
    line.starts_with("[File: ")
        || line.starts_with('(') && line.contains("more lines above")
        || line.contains("cat -n")
}

/// Whether nearly every number follows the one before it.
fn in_sequence(lines: &[NumberedLine]) -> bool {
    let next = lines.iter().skip(1);
    let ones =
        lines.iter().zip(next).filter(|(one, next)| one.prefix.number + 1 == next.prefix.number).count();
    ones * 100 >= (lines.len() - 1) * STEPS_PERCENT
}

/// Whether the separator after the numbers also occurs later in each line, always equally often: then the
/// lines are a table, and the numbers its first column.
fn is_cut_evenly(text: &str, lines: &[NumberedLine]) -> bool {
    let separator = match lines.first().map(|line| line.prefix.style.separator) {
        Some(Separator::Tab) => b'\t',
        Some(Separator::Bar | Separator::SpacedBar) => b'|',
        _ => return false,
    };
    let mut counts = lines.iter().map(|line| {
        let rest = text.as_bytes().get(line.content..line.end).unwrap_or_default();
        memchr::memchr_iter(separator, rest).count()
    });
    let first = counts.next().unwrap_or_default();
    first > 0 && counts.all(|count| count == first)
}

#[cfg(test)]
mod tests {
    use super::super::gather;
    use super::*;
    use crate::call::Call;
    use crate::config::Config;

    fn is_file(name: &str, arguments: &str, text: &str) -> bool {
        let config = Config::default();
        let cx = Context { call: Call { name, arguments }, ..Context::of(&config) };
        let (mut at, mut lines) = (0, Vec::new());
        while at < text.len() {
            let behind = gather(text, at, &mut lines);
            if lines.len() > 3 {
                return super::is_file(&cx, text, &lines);
            }
            at = behind;
        }
        panic!("no numbers in {text}");
    }

    fn rows(first: usize, row: impl Fn(usize) -> String) -> String {
        (first..first + 12).map(row).collect()
    }

    #[test]
    fn numbers_that_are_data_are_no_line_numbers() {
        let psql = r#"{"command":"psql -c 'select id, name from users'"}"#;
        let mysql = r#"{"command":"mysql -B shop -e 'select id, name from users'"}"#;
        let cases: [(&str, &str, String); 18] = [
            // the years of a series, from a command and from a file
            (
                "Bash",
                r#"{"command":"cat series.tsv"}"#,
                rows(1960, |n| format!("{n}\t{}\t{}\n", n * 7, n % 9)),
            ),
            ("Read", r#"{"file_path":"series.tsv"}"#, rows(1960, |n| format!("{n}\t{}\t{}\n", n * 7, n % 9))),
            ("read_file", r#"{"path":"years.dat"}"#, rows(1960, |n| format!("{n}\t{}\n", n * 7))),
            ("Bash", r#"{"command":"awk 'NR>1' years.tsv"}"#, rows(1960, |n| format!("{n}\t{}\n", n * 7))),
            // ids of databases, in each of their formats
            ("Bash", psql, rows(1, |n| format!(" {n:>3} | name {n}\n"))),
            ("Bash", psql, rows(1, |n| format!("{n}|name {n}\n"))),
            ("Bash", mysql, rows(1, |n| format!("{n}\tname {n}\n"))),
            ("mcp__sqlite__read_query", "{}", rows(1, |n| format!("{n}|name {n}\n"))),
            ("execute_sql", "{}", rows(1, |n| format!("{n}\tname {n}\n"))),
            ("Read", r#"{"file_path":"movies.tsv"}"#, rows(1, |n| format!("{n}\tMovie {n}\n"))),
            ("Read", r#"{"file_path":"u.item"}"#, rows(1, |n| format!("{n}|Movie {n}|1995\n"))),
            // ports, offsets, minutes
            ("Bash", r#"{"command":"./ports"}"#, rows(8000, |n| format!("{n}: service {n}\n"))),
            ("Read", r#"{"file_path":"ports.conf"}"#, rows(8000, |n| format!("{n}: service {n}\n"))),
            ("Read", r#"{"file_path":"days.yaml"}"#, rows(1, |n| format!("{n}: day {n}\n"))),
            ("", "", rows(1, |n| format!("{n}: day {n}\n"))),
            ("Bash", r#"{"command":"xxd -l 200 a.bin"}"#, rows(1, |n| format!("{n:08}: 7f45\n"))),
            ("get_schedule", "{}", rows(1, |n| format!("{n}-slot\n"))),
            ("Bash", r#"{"command":"grep -v x ids.txt"}"#, rows(100, |n| format!("{n}:x\n"))),
        ];
        for (name, arguments, text) in cases {
            assert!(!is_file(name, arguments, &text), "{name} {arguments}\n{text}");
        }
    }

    #[test]
    fn tools_that_print_files_number_their_lines() {
        let plain = |first| rows(first, |n| format!("{n}\tlet x = {n};\n"));
        let colons = |first| rows(first, |n| format!("{n}:let x = {n};\n"));
        let cases: [(&str, &str, String); 15] = [
            ("", "", rows(90, |n| format!("{n:>6}→let x;\n"))),
            ("Bash", r#"{"command":"cat -n a.rs"}"#, rows(90, |n| format!("{n:>6}\tlet x;\n"))),
            ("Bash", r#"{"command":"nl -ba -w1 -s: a.rs | sed -n '90,110p'"}"#, colons(90)),
            ("Read", r#"{"file_path":"a.rs"}"#, plain(1)),
            ("Read", r#"{"file_path":"a.rs","offset":120}"#, plain(120)),
            ("view", r#"{"path":"a.rs","view_range":[120,140]}"#, plain(120)),
            ("mcp__fs__read_lines", r#"{"start":119}"#, plain(120)),
            (
                "run_command",
                r#"{"command":"open a.py 300"}"#,
                format!("[File: /a.py (900 lines total)]\n(249 more lines above)\n{}", colons(250)),
            ),
            (
                "run_command",
                r#"{"command":"scroll_down"}"#,
                format!("[File: /a.py (900 lines total)]\n{}", colons(250)),
            ),
            ("str_replace_editor", "{}", plain(77)),
            ("Grep", r#"{"pattern":"x","path":"a.rs"}"#, rows(1, |n| format!("{}:let x;\n", n * 7))),
            (
                "Bash",
                r#"{"command":"cd /a && grep -rn 'let x' a.rs"}"#,
                rows(1, |n| format!("{}:let x;\n", n * 7)),
            ),
            ("Bash", r#"{"command":"rg -n x a.rs | head"}"#, rows(1, |n| format!("{}:let x;\n", n * 7))),
            ("Bash", r#"{"command":"awk '{print NR\": \"$0}' a.rs"}"#, rows(1, |n| format!("{n}: let x;\n"))),
            ("read_file", r#"{"path":"a.rs"}"#, rows(1, |n| format!("L{n}: let x;\n"))),
        ];
        for (name, arguments, text) in cases {
            assert!(is_file(name, arguments, &text), "{name} {arguments}\n{text}");
        }
    }
}
