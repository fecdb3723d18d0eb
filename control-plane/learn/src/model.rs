//! What the logs of all agents have in common: tool calls, how they ended, and the user's statements.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

/// Bytes of a tool's output that are kept from its start: error texts name their cause in the first lines.
const OUTPUT_HEAD: usize = 3 << 10;
/// Bytes that are kept from its end: a traceback names its cause in the last lines.
const OUTPUT_TAIL: usize = 1 << 10;
/// Bytes of one argument: a small file that the user corrected still fits.
const ARGUMENT: usize = 8 << 10;
/// Arguments of a call.
const ARGUMENTS: usize = 16;

/// What a tool does, independent of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Runs a command line
    Shell,
    /// Prints a file
    Read,
    /// Makes or replaces a file
    Write,
    /// Changes a file
    Edit,
    /// Lists files by name
    Glob,
    /// Searches the content of files
    Grep,
    /// Reads a web page
    WebFetch,
    /// Searches the web
    WebSearch,
    /// All else: plans, sub-agents, MCP
    Other,
}

impl Tool {
    /// The shared map of tool names. Upper and lower case are the same.
    pub fn from_name(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "bash"
            | "shell"
            | "shell_command"
            | "local_shell"
            | "local_shell_call"
            | "run_shell_command"
            | "execute_command"
            | "exec_command"
            | "exec"
            | "terminal"
            | "run_command"
            | "run_commands"
            | "run_terminal_command"
            | "run_terminal_cmd"
            | "powershell" => Self::Shell,
            "read" | "read_file" | "read_files" | "read_many_files" | "readfile" | "view_file" | "view"
            | "cat" | "open_file" => Self::Read,
            "write" | "write_file" | "write_new_file" | "create_file" | "create" | "writefile"
            | "write_to_file" => Self::Write,
            "edit"
            | "multiedit"
            | "edit_file"
            | "replace_in_file"
            | "replace"
            | "editfile"
            | "apply_diff"
            | "apply_patch"
            | "str_replace"
            | "str_replace_editor"
            | "str_replace_based_edit_tool"
            | "notebookedit"
            | "patch" => Self::Edit,
            "glob" | "search_files" | "find_files" | "find" | "list_directory" | "list_dir"
            | "list_files" | "list" | "ls" | "readfolder" => Self::Glob,
            "grep"
            | "grep_search"
            | "search_text"
            | "search_file_content"
            | "search_code"
            | "codebase_search"
            | "rg" => Self::Grep,
            "webfetch" | "web_fetch" | "browser" | "fetch" => Self::WebFetch,
            "websearch" | "web_search" | "google_web_search" => Self::WebSearch,
            _ => Self::Other,
        }
    }
}

/// How a tool call ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// No result is in the log
    #[default]
    Unknown,
    /// The tool succeeded
    Done,
    /// The tool reports an error, or the command ended with another exit code than 0
    Failed,
    /// The user or a rule of permission prevented it, or it was interrupted
    Refused,
}

/// What the numbers of a place count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Lines of a text file, from 1
    Line,
    /// Elements of a list of messages in one JSON document, from 1
    Message,
    /// Rows of a table in order of time, from 1
    Row,
}

/// The position of a call and its result in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The log
    pub file: Arc<Path>,
    /// What is counted
    pub unit: Unit,
    /// The call's number
    pub call: u64,
    /// The result's number; the call's number if there is none
    pub result: u64,
    /// The call's id, which identifies copies in other conversations; may be empty
    pub id: Arc<str>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Line => "",
            Unit::Message => "message ",
            Unit::Row => "row ",
        };
        write!(f, "{}:{unit}{}", self.file.display(), self.call)?;
        if self.result == self.call { Ok(()) } else { write!(f, "-{}", self.result) }
    }
}

/// A call of a tool with its result.
#[derive(Clone, Debug)]
pub struct ToolCall {
    /// What it does
    pub tool: Tool,
    /// Its name in the agent
    pub name: String,
    /// Its arguments as text, in the agent's names
    pub arguments: Vec<(String, String)>,
    /// The folder that it ran in
    pub cwd: Arc<str>,
    /// How it ended
    pub outcome: Outcome,
    /// The exit code of a command, where the log has it
    pub exit_code: Option<i64>,
    /// The start of the result, and its end if it is longer
    pub output: String,
    /// Its position
    pub place: Place,
}

impl ToolCall {
    /// A call without a result.
    pub fn new(name: &str, arguments: &Value, cwd: Arc<str>, place: Place) -> Self {
        let tool = Tool::from_name(name);
        let arguments = if let (Tool::Edit, Value::String(patch)) = (tool, arguments) {
            vec![("patch".to_owned(), head(patch, ARGUMENT).to_owned())]
        } else {
            flatten(arguments)
        };
        let name = head(name, 128).to_owned();
        Self {
            tool,
            name,
            arguments,
            cwd,
            outcome: Outcome::Unknown,
            exit_code: None,
            output: String::new(),
            place,
        }
    }

    /// An argument by its name.
    pub fn argument(&self, name: &str) -> Option<&str> {
        self.arguments.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The command line of a shell call.
    pub fn command(&self) -> Option<&str> {
        if self.tool != Tool::Shell {
            return None;
        }
        ["command", "cmd", "commands", "script"].iter().find_map(|name| self.argument(name))
    }

    /// The file or folder that a file tool works on.
    pub fn path(&self) -> Option<&str> {
        if matches!(self.tool, Tool::Shell | Tool::Other | Tool::WebFetch | Tool::WebSearch) {
            return None;
        }
        const NAMES: [&str; 12] = [
            "file_path",
            "filePath",
            "absolute_path",
            "path",
            "target_file",
            "notebook_path",
            "dir_path",
            "directory",
            "filename",
            "files",
            "paths",
            "file",
        ];
        NAMES.iter().find_map(|name| self.argument(name))
    }

    /// What a search looks for.
    pub fn pattern(&self) -> Option<&str> {
        ["pattern", "query", "regex", "glob"].iter().find_map(|name| self.argument(name))
    }

    /// Adds the result to the call. The output is cut to a bounded length.
    pub fn finish(&mut self, outcome: Outcome, exit_code: Option<i64>, output: &str, place: u64) {
        self.outcome = outcome;
        self.exit_code = exit_code;
        self.output = shorten(output);
        self.place.result = place;
    }
}

/// Something that the user wrote.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The text, cut to a bounded length
    pub text: String,
}

/// One step of a conversation.
#[derive(Clone, Debug)]
pub enum Event {
    /// A tool was called
    Call(ToolCall),
    /// The user said something
    Said(Statement),
}

impl Event {
    /// The call, if it is one.
    pub fn call(&self) -> Option<&ToolCall> {
        match self {
            Self::Call(call) => Some(call),
            Self::Said(_) => None,
        }
    }
}

/// The conversation that events belong to.
#[derive(Clone, Debug)]
pub struct Session {
    /// The agent's name, as in `--agent`
    pub agent: Arc<str>,
    /// Its id; the name of the log if it has none
    pub id: Arc<str>,
    /// The folder that it began in; empty if unknown
    pub cwd: Arc<str>,
    /// The root of the project: of the repository's main checkout if known, else `cwd`
    pub project: Arc<str>,
    /// The root of the checkout that it ran in: equal to `project`, except in a worktree
    pub tree: Arc<str>,
    /// The repository's address, where the log has it
    pub remote: Option<Arc<str>>,
    /// The time of its last event, in milliseconds since 1970; 0 if unknown
    pub latest: i64,
}

/// The start of a text, of at most `limit` bytes.
pub fn head(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// The end of a text, of at most `limit` bytes.
pub fn tail(text: &str, limit: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(limit))..]
}

fn shorten(output: &str) -> String {
    if output.len() <= OUTPUT_HEAD + OUTPUT_TAIL {
        return output.to_owned();
    }
    format!("{}\n[…]\n{}", head(output, OUTPUT_HEAD), tail(output, OUTPUT_TAIL))
}

/// Arguments as text: a list of words is a command line, a list of objects gives its first path.
fn flatten(arguments: &Value) -> Vec<(String, String)> {
    let Value::Object(members) = arguments else { return Vec::new() };
    let member = |(name, value): (&String, &Value)| {
        let text = match value {
            Value::String(text) => head(text, ARGUMENT).to_owned(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Array(items) => list(items)?,
            Value::Null | Value::Object(_) => return None,
        };
        Some((name.clone(), text))
    };
    members.iter().filter_map(member).take(ARGUMENTS).collect()
}

fn list(items: &[Value]) -> Option<String> {
    let words: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
    if let [shell, flags, command] = words.as_slice()
        && shell.ends_with("sh")
        && flags.starts_with('-')
        && flags.ends_with('c')
    {
        return Some(head(command, ARGUMENT).to_owned());
    }
    if !words.is_empty() {
        // several command lines of one call stay separate; words of one command line do not contain blanks
        let between = if words.iter().any(|word| word.contains(' ')) { "\n" } else { " " };
        return Some(head(&words.join(between), ARGUMENT).to_owned());
    }
    let path = items.first()?.get("path")?.as_str()?;
    Some(head(path, ARGUMENT).to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(name: &str, arguments: &Value) -> ToolCall {
        let place = Place {
            file: Arc::from(Path::new("a.jsonl")),
            unit: Unit::Line,
            call: 3,
            result: 3,
            id: Arc::from(""),
        };
        ToolCall::new(name, arguments, Arc::from("/p"), place)
    }

    #[test]
    fn each_agents_way_to_name_a_command_is_read() {
        for (name, arguments) in [
            ("Bash", json!({"command": "ls -l"})),
            ("shell", json!({"command": ["bash", "-lc", "ls -l"], "workdir": "/p"})),
            ("exec_command", json!({"cmd": "ls -l"})),
            ("run_commands", json!({"commands": ["ls -l"]})),
            ("run_shell_command", json!({"command": "ls -l"})),
        ] {
            assert_eq!(call(name, &arguments).command(), Some("ls -l"), "{name}");
        }
        assert_eq!(call("read_files", &json!({"files": [{"path": "/p/a"}]})).path(), Some("/p/a"));
        assert_eq!(call("mcp__x__query", &json!({"path": "a"})).path(), None);
    }

    #[test]
    fn outputs_keep_their_start_and_their_end() {
        let mut call = call("Bash", &json!({"command": "x"}));
        let output = format!("first{}last", "ä".repeat(1 << 20));
        call.finish(Outcome::Failed, Some(1), &output, 4);
        assert!(call.output.starts_with("first") && call.output.ends_with("last"));
        assert!(call.output.len() < 5 << 10);
        assert_eq!(call.place.to_string(), "a.jsonl:3-4");
    }
}
