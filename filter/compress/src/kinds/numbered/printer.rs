//! What a call says of the line numbers in its output.

use headroom_providers::sort;

use crate::call::Call;
use crate::tool::Class;

/// How many bytes of a call's arguments are searched for a command. Longer ones write files.
const MOST_ARGUMENTS: usize = 16 << 10;

/// The way in which a tool writes line numbers, as its call tells.
#[derive(Debug)]
pub(crate) enum Printer {
    /// Some lines of files: those that match.
    Search,
    /// All lines of a file, or of a part of it. The numbers in the arguments, ascending, and whether the file holds
    /// records rather than text.
    File { named: Vec<u32>, is_data: bool },
    /// The changed part of a file.
    Edit,
    /// The output of a command: whether it puts numbers before lines that it finds, and before all lines.
    Command { found: bool, all: bool },
    /// Something else.
    None,
}

impl Printer {
    /// What this call says.
    pub(crate) fn of(call: Call<'_>) -> Self {
        match Class::of(call.name) {
            Class::Read => return Self::file(call.arguments),
            Class::Edit => return Self::Edit,
            Class::Grep => return Self::Search,
            Class::Bash => return Self::command(call.arguments),
            Class::Glob | Class::Web | Class::Retrieve => return Self::None,
            Class::Other => {}
        }
        let name = call.name.rsplit("__").next().unwrap_or(call.name).to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if has(&["query", "sql", "table", "row", "record", "database"]) {
            Self::None
        } else if has(&["grep", "search"]) {
            Self::Search
        } else if has(&["edit", "replace", "insert", "patch"]) {
            Self::Edit
        } else if has(&["read", "view", "open", "scroll", "goto", "show_file", "get_file", "cat_file"]) {
            Self::file(call.arguments)
        } else if has(&["bash", "shell", "command", "exec", "terminal"]) {
            Self::command(call.arguments)
        } else {
            Self::None
        }
    }

    /// A tool that reads a file.
    fn file(arguments: &str) -> Self {
        const DATA: [&str; 9] = [".csv", ".tsv", ".tab", ".psv", ".dat", ".yaml", ".yml", ".txt", ".sql"];
        let numbers = arguments.split(|c: char| !c.is_ascii_digit());
        let mut named: Vec<u32> = numbers.filter_map(|digits| digits.parse().ok()).collect();
        sort::ascending(&mut named);
        let is_data = DATA.iter().any(|ending| {
            arguments.match_indices(ending).any(|(at, _)| {
                !arguments
                    .get(at + ending.len()..)
                    .unwrap_or_default()
                    .starts_with(|c: char| c.is_ascii_alphanumeric())
            })
        });
        Self::File { named, is_data }
    }

    /// A tool that runs a command.
    fn command(arguments: &str) -> Self {
        let (mut found, mut all) = (false, false);
        // What stands behind a word, up to the next `|`.
        let mut behind = Behind::default();
        for word in words(arguments).iter().rev() {
            match word.rsplit('/').next().unwrap_or(word) {
                "grep" | "egrep" | "fgrep" | "zgrep" | "rg" => found |= behind.n || behind.line_number,
                "ag" | "ack" => found = true,
                "cat" | "less" | "pr" => all |= behind.n || behind.numbers,
                "nl" | "bat" | "batcat" => all = true,
                "awk" | "gawk" | "mawk" => all |= behind.prints_number,
                _ => {}
            }
            match word.as_str() {
                "|" => behind = Behind::default(),
                "--line-number" => behind.line_number = true,
                "--number" | "--number-nonblank" => behind.numbers = true,
                "print" | "printf" => behind.prints_number |= behind.number,
                word if word.starts_with('-') && !word.starts_with("--") => {
                    behind.n |= word.contains('n');
                    behind.numbers |= word.contains(['b', 'N']);
                }
                word => behind.number |= word.starts_with("NR") || word.starts_with("FNR"),
            }
        }
        Self::Command { found, all }
    }
}

/// What stands behind a word of a command.
#[derive(Default)]
struct Behind {
    /// A flag `-n`, `--line-number`, and one of `--number`, `--number-nonblank`, `-b`, `-N`.
    n: bool,
    line_number: bool,
    numbers: bool,
    /// The variable of awk that holds the number of a line, and `print` with it.
    number: bool,
    prints_number: bool,
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
