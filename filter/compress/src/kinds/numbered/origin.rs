//! Decides whether numbers before lines are line numbers, which a tool that prints files put there.
//!
//! Ids of a database, years of a series and ports look the same. They are data, and without them a row has a
//! column too few. So something has to show that the numbers are the tool's: the way they are written, the
//! lines above them, or the call.

use std::cell::OnceCell;

use super::NumberedLine;
use super::prefix::Separator;
use crate::block::Call;
use crate::tool::Class;

/// The width to which `cat -n` and `nl` pad their numbers.
const CAT_WIDTH: usize = 6;
/// In a file's lines, at least this percentage of the steps between numbers is one.
const STEPS_PERCENT: usize = 80;
/// How many bytes of a call's arguments are searched for a command. Longer ones write files.
const MOST_ARGUMENTS: usize = 16 << 10;

/// What a call says about the numbers in its output.
pub(super) struct Origin<'a> {
    call: Call<'a>,
    words: OnceCell<Vec<String>>,
}

/// The way in which a tool writes line numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Printer {
    /// Some lines of files: those that match.
    Search,
    /// All lines of a file, or of a part of it.
    File,
    /// The changed part of a file.
    Edit,
    /// The output of a command.
    Command,
    None,
}

impl<'a> Origin<'a> {
    pub(super) fn new(call: Call<'a>) -> Self {
        Self { call, words: OnceCell::new() }
    }

    /// Whether the numbers of these lines of `text` are line numbers.
    pub(super) fn is_file(&self, text: &str, lines: &[NumberedLine]) -> bool {
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
        match self.printer() {
            Printer::Search => search,
            Printer::Edit => in_sequence && !is_cut_evenly(text, lines),
            Printer::File => {
                let starts = first.prefix.number == 1 || self.names(first.prefix.number);
                let padded = padded || style.zeros;
                starts && in_sequence && (padded || !self.reads_data() && !is_cut_evenly(text, lines))
            }
            Printer::Command => self.numbers_lines(search, in_sequence),
            Printer::None => false,
        }
    }

    fn printer(&self) -> Printer {
        let name = self.call.name;
        match Class::of(name) {
            Class::Read => return Printer::File,
            Class::Edit => return Printer::Edit,
            Class::Grep => return Printer::Search,
            Class::Bash => return Printer::Command,
            Class::Glob | Class::Web | Class::Retrieve => return Printer::None,
            Class::Other => {}
        }
        let name = name.rsplit("__").next().unwrap_or(name).to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if has(&["query", "sql", "table", "row", "record", "database"]) {
            Printer::None
        } else if has(&["grep", "search"]) {
            Printer::Search
        } else if has(&["edit", "replace", "insert", "patch"]) {
            Printer::Edit
        } else if has(&["read", "view", "open", "scroll", "goto", "show_file", "get_file", "cat_file"]) {
            Printer::File
        } else if has(&["bash", "shell", "command", "exec", "terminal"]) {
            Printer::Command
        } else {
            Printer::None
        }
    }

    /// Whether an argument is this number or the one before it, which it is if counting starts at zero.
    fn names(&self, number: u32) -> bool {
        let numbers = self.call.arguments.split(|c: char| !c.is_ascii_digit());
        numbers
            .filter_map(|digits| digits.parse::<u32>().ok())
            .any(|n| n == number || n.checked_add(1) == Some(number))
    }

    /// Whether the file that was read holds records rather than text.
    fn reads_data(&self) -> bool {
        const DATA: [&str; 9] = [".csv", ".tsv", ".tab", ".psv", ".dat", ".yaml", ".yml", ".txt", ".sql"];
        DATA.iter().any(|ending| {
            self.call.arguments.match_indices(ending).any(|(at, _)| {
                !self
                    .call
                    .arguments
                    .get(at + ending.len()..)
                    .unwrap_or_default()
                    .starts_with(|c: char| c.is_ascii_alphanumeric())
            })
        })
    }

    /// Whether a command of the call puts numbers before lines, as a search or for all lines.
    fn numbers_lines(&self, search: bool, in_sequence: bool) -> bool {
        let words = self.words.get_or_init(|| words(self.call.arguments));
        words.iter().enumerate().any(|(at, word)| {
            let name = word.rsplit('/').next().unwrap_or(word);
            let flags = || words.iter().skip(at + 1).take_while(|word| *word != "|");
            let flag = |short: char, long: &str| {
                flags().any(|flag| {
                    flag == long || flag.starts_with('-') && !flag.starts_with("--") && flag.contains(short)
                })
            };
            match name {
                "grep" | "egrep" | "fgrep" | "zgrep" | "rg" => search && flag('n', "--line-number"),
                "ag" | "ack" => search,
                "cat" | "less" | "pr" => {
                    in_sequence && (flag('n', "--number") || flag('b', "--number-nonblank") || flag('N', ""))
                }
                "nl" | "bat" | "batcat" => in_sequence,
                "awk" | "gawk" | "mawk" => {
                    in_sequence && {
                        let prints = |word: &String| word == "print" || word == "printf";
                        let mut rest = flags().skip_while(|word| !prints(word)).skip(1);
                        rest.any(|word| word.starts_with("NR") || word.starts_with("FNR"))
                    }
                }
                _ => false,
            }
        })
    }
}

/// The words of a command in JSON, with `|` as a separate word between commands.
fn words(arguments: &str) -> Vec<String> {
    let Some(arguments) = Some(arguments).filter(|arguments| arguments.len() <= MOST_ARGUMENTS) else {
        return Vec::new();
    };
    let text = arguments.replace("\\n", " | ").replace("\\t", " ").replace(['|', ';', '&'], " | ");
    let ends = |c: char| {
        c.is_whitespace() || matches!(c, '"' | '\'' | '\\' | '(' | ')' | '{' | '}' | ',' | '[' | ']')
    };
    text.split(ends).filter(|word| !word.is_empty()).map(str::to_owned).collect()
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

    fn is_file(name: &str, arguments: &str, text: &str) -> bool {
        let (mut at, mut lines) = (0, Vec::new());
        while at < text.len() {
            let behind = gather(text, at, &mut lines);
            if lines.len() > 3 {
                return Origin::new(Call { name, arguments }).is_file(text, &lines);
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
