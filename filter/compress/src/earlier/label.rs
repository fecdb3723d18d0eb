//! The name of an earlier output in references: its call.

use std::borrow::Cow;

use headroom_providers::sort;
use headroom_providers::tape::{Tape, Value};

/// Arguments that say what a call is about, in order of preference: the file first, then the command, then
/// what was searched or fetched.
const SUBJECTS: &[&str] = &[
    "file_path",
    "filePath",
    "path",
    "absolute_path",
    "target_file",
    "notebook_path",
    "filename",
    "file",
    "command",
    "cmd",
    "script",
    "code",
    "url",
    "uri",
    "pattern",
    "query",
    "regex",
    "name",
    "id",
];
/// The first ones name a file: its last path components are enough to recognize it.
const FILES: usize = 8;
/// Characters of a subject in a label. A command is recognized by its start.
const MAX_SUBJECT: usize = 48;

/// The members of a call's arguments.
pub(super) type Members<'t, 'b> = Vec<(Cow<'b, str>, Value<'t, 'b>)>;

/// The label of a call in references: `Read cli/root.go`, `Bash "go test ./..."`.
pub(super) fn label(tool: &str, arguments: &Members<'_, '_>) -> String {
    let mut label = if tool.is_empty() { "tool".to_owned() } else { one_line(tool, MAX_SUBJECT).to_owned() };
    let subject = |name: &str| SUBJECTS.iter().position(|subject| *subject == name);
    let subjects = arguments.iter().filter_map(|(name, value)| Some((subject(name)?, *value)));
    let named = subjects.min_by_key(|(subject, _)| *subject).map(|(subject, value)| (subject < FILES, value));
    let scalar = |value: &Value<'_, '_>| !value.is_object() && !value.is_array();
    let first = || arguments.iter().map(|(_, value)| *value).find(scalar).map(|value| (false, value));
    let Some((file, value)) = named.or_else(first) else { return label };
    let text = value.text().unwrap_or(Cow::Borrowed(value.raw()));
    label.push(' ');
    if file {
        label.push_str(one_line(last_components(&text), MAX_SUBJECT));
    } else {
        label.push('"');
        label.push_str(one_line(without_directory_change(text.trim_start()), MAX_SUBJECT));
        label.push('"');
    }
    label
}

/// The members of an object, sorted by name; of equal names the last one. Empty if a name is not text, or if
/// the object cannot be read.
pub(super) fn members<'t, 'b>(tape: Option<&'t Tape<'b>>) -> Members<'t, 'b> {
    let named = tape
        .into_iter()
        .flat_map(|tape| tape.root().members())
        .map(|(name, value)| Some((name.text()?, value)));
    let mut members: Vec<_> = named.collect::<Option<_>>().unwrap_or_default();
    members.reverse();
    sort::by(&mut members, |(one, _), (other, _)| one.cmp(other));
    members.dedup_by(|(one, _), (other, _)| one == other);
    members
}

/// The last two components of a path.
fn last_components(path: &str) -> &str {
    path.rmatch_indices(['/', '\\']).nth(1).map_or(path, |(at, _)| path.get(at + 1..).unwrap_or_default())
}

/// A command without the `cd … &&` that agents often put before it.
fn without_directory_change(command: &str) -> &str {
    if !command.starts_with("cd ") {
        return command;
    }
    command.split_once("&& ").map(|(_, rest)| rest).filter(|rest| !rest.is_empty()).unwrap_or(command)
}

/// The start of a text: up to its first line end, and at most `most` characters.
pub(super) fn one_line(text: &str, most: usize) -> &str {
    let start = text.as_bytes().get(..text.len().min(4 * most)).unwrap_or_default();
    let line = memchr::memchr2(b'\n', b'\r', start).map_or(text, |end| text.get(..end).unwrap_or_default());
    match line.as_bytes().get(..most) {
        Some(start) if start.is_ascii() => line.get(..most).unwrap_or_default(),
        _ => line.char_indices().nth(most).map_or(line, |(end, _)| line.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_named_by_its_tool_and_what_it_is_about() {
        let label = |tool, arguments: &str| {
            let tape = Tape::of(arguments.as_bytes()).ok();
            label(tool, &members(tape.as_ref()))
        };
        assert_eq!(label("Read", r#"{"limit":5,"file_path":"/home/a/cli/cmd/root.go"}"#), "Read cmd/root.go");
        assert_eq!(
            label("Bash", r#"{"command":"cd /x && go test ./...\nls","description":"d"}"#),
            "Bash \"go test ./...\""
        );
        assert_eq!(label("shell", r#"{"command":["ls","-l"]}"#), "shell \"[\"ls\",\"-l\"]\"");
        assert_eq!(label("get_user", r#"{"user_id":7}"#), "get_user \"7\"");
        assert_eq!(label("TodoWrite", r#"{"todos":[{"content":"x"}]}"#), "TodoWrite");
        assert_eq!(label("now", "{}"), "now");
        assert_eq!(label("", "not json"), "tool");
    }
}
