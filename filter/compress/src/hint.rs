//! What a call says about its output: the tool, and the file that it names.
//!
//! A hint chooses a kind for a text without a shape of its own. It never overrules a shape: a log is a log,
//! whatever file it was read from.

use std::borrow::Cow;

use headroom_providers::tape::Tape;

use crate::call::Call;
use crate::outcome::Kind;
use crate::tool::Class;

/// Arguments that name a file, and those that hold a command.
const FILES: &[&str] =
    &["file_path", "filePath", "path", "absolute_path", "target_file", "notebook_path", "filename", "file"];
const COMMANDS: &[&str] = &["command", "cmd", "script"];

/// Commands that print the file that they name.
const SHOWS_A_FILE: &[&str] = &["cat", "bat", "head", "tail", "less", "more", "nl", "sed"];

/// Endings of files that hold programs, configuration and markup: an agent that reads one may edit it.
const SOURCES: &[&str] = &[
    "c", "cc", "cfg", "conf", "cpp", "cs", "css", "dart", "ex", "exs", "go", "gradle", "h", "hcl", "hpp",
    "ini", "java", "jl", "js", "jsx", "kt", "lua", "m", "mjs", "php", "pl", "proto", "ps1", "py", "r", "rb",
    "rs", "scala", "scss", "sh", "sql", "svelte", "swift", "tf", "toml", "ts", "tsx", "vue", "yaml", "yml",
    "zig",
];

/// The kind of an output: `found` from its text, or another one that the call suggests.
pub(crate) fn kind(found: Kind, hint: impl FnOnce() -> Option<Kind>) -> Kind {
    if found == Kind::Text { hint().unwrap_or(found) } else { found }
}

/// The kind that the call suggests.
pub(crate) fn of_call(call: Call<'_>) -> Option<Kind> {
    let class = Class::of(call.name);
    if class == Class::Glob {
        return Some(Kind::Listing);
    }
    let tape = Tape::of(call.arguments.as_bytes()).ok()?;
    let argument = |names: &[&str]| {
        let mut named = tape.root().members().filter(|(name, value)| {
            value.is_string() && name.text().is_some_and(|name| names.contains(&&*name))
        });
        named.next().and_then(|(_, value)| value.text())
    };
    let file = match class {
        Class::Bash => shown_file(argument(COMMANDS)?)?.1,
        Class::Read | Class::Edit => argument(FILES)?.into_owned(),
        _ => return None,
    };
    of_file(&file)
}

/// Words in the names of arguments that choose a part of a file, or several files.
const PARTS: &[&str] = &["offset", "limit", "line", "start", "end", "range", "page", "files", "paths"];

/// What a call reads: a file, from its start to its end. `None` for parts of files, for several, and for anything else.
pub(crate) fn whole_file(call: Call<'_>) -> Option<String> {
    let class = Class::of(call.name);
    if !matches!(class, Class::Bash | Class::Read | Class::Edit) {
        return None;
    }
    let tape = Tape::of(call.arguments.as_bytes()).ok()?;
    let mut file = None;
    let mut shows = class != Class::Edit;
    for (name, value) in tape.root().members() {
        let name = name.text()?;
        let text = value.text().unwrap_or_default();
        match class {
            Class::Bash if COMMANDS.contains(&&*name) => {
                file = shown_file(text).filter(|(command, _)| command == "cat" || command == "bat");
            }
            Class::Bash => {}
            // An editor that can also show files.
            Class::Edit if &*name == "command" => shows = &*text == "view",
            _ if FILES.contains(&&*name) => file = Some((String::new(), text.into_owned())),
            _ if value.is_null() => {}
            _ if PARTS.iter().any(|part| name.to_ascii_lowercase().contains(part)) => return None,
            _ => {}
        }
    }
    file.filter(|_| shows).map(|(_, file)| file)
}

/// What a call does with a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FileUse {
    /// Shows these lines of it.
    Read(u64, u64),
    /// Shows a part that only a call with the same arguments shows.
    ReadPart,
    /// Writes it.
    Edit,
}

/// Lines that tools show where the call names no number of them.
const USUAL_LIMIT: u64 = 2_000;

/// The file that a call reads or writes.
pub(crate) fn file_use(call: Call<'_>) -> Option<(String, FileUse)> {
    let class = Class::of(call.name);
    if !matches!(class, Class::Bash | Class::Read | Class::Edit) {
        return None;
    }
    let tape = Tape::of(call.arguments.as_bytes()).ok()?;
    if class == Class::Bash {
        let mut named = tape.root().members().filter(|(name, _)| COMMANDS.iter().any(|it| name.is(it)));
        return Some((rooted_file(&named.next()?.1.text()?)?, FileUse::Read(1, u64::MAX)));
    }
    let (mut path, mut offset, mut limit, mut part) = (None, 1, USUAL_LIMIT, false);
    let mut shows = class == Class::Read;
    for (name, value) in tape.root().members() {
        let name = name.text()?;
        let number = || value.raw().parse::<u64>().ok();
        match &*name {
            _ if value.is_null() => {}
            "command" if class == Class::Edit => shows = value.is("view"),
            "offset" if class == Class::Read => offset = number()?,
            "limit" if class == Class::Read => limit = number()?,
            name if FILES.contains(&name) => path = Some(value.text()?.into_owned()),
            name => part |= PARTS.iter().any(|part| name.to_ascii_lowercase().contains(part)),
        }
    }
    let used = match (shows, part) {
        (false, _) => FileUse::Edit,
        (true, true) => FileUse::ReadPart,
        (true, false) => FileUse::Read(offset.max(1), offset.max(1).saturating_add(limit).saturating_sub(1)),
    };
    Some((path?, used))
}

/// The one file that a command shows whole, by its path from the root, because the folder of the shell is not known.
fn rooted_file(command: &str) -> Option<String> {
    let (shows, _) =
        shown_file(Cow::Borrowed(command)).filter(|(shows, _)| shows == "cat" || shows == "bat")?;
    let (directory, rest) = match command.trim().split_once("&& ") {
        Some((directory, rest)) => (directory.strip_prefix("cd ")?.trim(), rest.trim()),
        None => ("", command.trim()),
    };
    let mut files =
        rest.strip_prefix(&*shows)?.split_ascii_whitespace().filter(|word| !word.starts_with('-'));
    let file = files.next().filter(|_| files.next().is_none())?.trim_matches(['\'', '"']);
    let directory = directory.trim_matches(['\'', '"']).trim_end_matches('/');
    let is_rooted = |path: &str| path.starts_with('/') || path.starts_with("~/");
    if is_rooted(file) {
        Some(file.to_owned())
    } else if is_rooted(directory) && !directory.contains([' ', ';', '&', '|', '$', '`']) {
        Some(format!("{directory}/{}", file.strip_prefix("./").unwrap_or(file)))
    } else {
        None
    }
}

/// A command that shows a file, and the file; `None` for commands that do something else, or something more.
fn shown_file(command: Cow<'_, str>) -> Option<(String, String)> {
    let command = command.trim();
    let command = match command.split_once("&& ") {
        Some((directory, rest)) if directory.starts_with("cd ") => rest.trim(),
        _ => command,
    };
    if command.contains(['|', ';', '&', '>', '<', '`', '$', '\n']) {
        return None;
    }
    let mut words = command.split_ascii_whitespace();
    let shows = words.next().filter(|command| SHOWS_A_FILE.contains(command))?;
    Some((shows.to_owned(), words.next_back()?.trim_matches(['\'', '"']).to_owned()))
}

/// The kind of files with this extension.
fn of_file(path: &str) -> Option<Kind> {
    let name = path.rsplit(['/', '\\']).next()?;
    let (_, ending) = name.rsplit_once('.')?;
    let ending = ending.to_ascii_lowercase();
    match ending.as_str() {
        "csv" | "tsv" => Some(Kind::Table),
        ending if SOURCES.contains(&ending) => Some(Kind::Source),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_a_command_shows_is_known_by_its_path_from_the_root() {
        for (command, expected) in [
            ("cat /x/a.rs", Some("/x/a.rs")),
            ("cat -n /x/a.rs", Some("/x/a.rs")),
            ("cd /x && cat a.rs", Some("/x/a.rs")),
            ("cd /x/ && cat ./a.rs", Some("/x/a.rs")),
            ("cd \"/x\" && cat \"a.rs\"", Some("/x/a.rs")),
            ("cd /x && cat /y/a.rs", Some("/y/a.rs")),
            ("cat a.rs", None),
            ("cd x && cat a.rs", None),
            ("cd /x; rm b && cat a.rs", None),
            ("cat /x/a.rs /x/b.rs", None),
            ("cat", None),
            ("head /x/a.rs", None),
            ("cat /x/a.rs | head", None),
            ("", None),
        ] {
            assert_eq!(rooted_file(command).as_deref(), expected, "{command}");
        }
    }

    fn hint(name: &str, arguments: &str) -> Option<Kind> {
        of_call(Call { name, arguments })
    }

    #[test]
    fn a_call_says_what_its_file_holds() {
        assert_eq!(hint("Read", r#"{"file_path":"/a/b.CSV"}"#), Some(Kind::Table));
        assert_eq!(hint("Bash", r#"{"command":"cd /x && cat src/main.rs"}"#), Some(Kind::Source));
        assert_eq!(hint("Bash", r#"{"command":"sed -n '1,20p' a.yaml"}"#), Some(Kind::Source));
        assert_eq!(hint("Bash", r#"{"command":"cat a.rs | wc -l"}"#), None);
        assert_eq!(hint("Bash", r#"{"command":"grep x a.rs"}"#), None);
        assert_eq!(hint("Read", r#"{"file_path":"notes"}"#), None);
        assert_eq!(hint("Glob", "{}"), Some(Kind::Listing));
        assert_eq!(hint("Bash", "no json"), None);
    }

    #[test]
    fn a_hint_never_overrules_a_clear_text() {
        let call = Call { name: "Read", arguments: r#"{"file_path":"a.rs"}"# };
        assert_eq!(kind(Kind::Log, || of_call(call)), Kind::Log);
        assert_eq!(kind(Kind::Text, || of_call(call)), Kind::Source);
    }
}
