//! The coding agents that can be wrapped, one file each behind one trait.
//!
//! An agent lists what it needs for one run, the edits that make a wrap permanent, and where its files are.
//! It reads its own settings for this, and writes nothing.

mod aider;
mod claude;
mod cline;
mod codex;
mod continue_dev;
mod copilot;
mod gemini;
mod goose;
mod opencode;
mod openhands;
mod pi;
mod program;
mod qwen;
pub(crate) mod unreachable;

#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

pub(crate) use self::program::{find_program, version_of};
use crate::edits::{Change, Format, Plan, edited, value_at};
use crate::environment::Environment;

/// All of them, in the order of `wrap --list`.
pub(crate) const ALL: [&dyn Agent; 12] = [
    &claude::Claude,
    &codex::Codex,
    &gemini::Gemini,
    &opencode::OpenCode,
    &qwen::Qwen,
    &copilot::Copilot,
    &aider::Aider,
    &continue_dev::Continue,
    &cline::Cline,
    &goose::Goose,
    &pi::Pi,
    &openhands::OpenHands,
];

/// The variables that tell `up` where the providers are.
const TARGETS: [&str; 3] = ["ANTHROPIC_TARGET_API_URL", "OPENAI_TARGET_API_URL", "GEMINI_TARGET_API_URL"];

/// The agent with a name. Some have several.
pub(crate) fn find(name: &str) -> Option<&'static dyn Agent> {
    let name = name.to_ascii_lowercase();
    ALL.into_iter().find(|agent| {
        agent.name() == name
            || agent.programs().contains(&name.as_str())
            || agent.title().to_ascii_lowercase().replace(' ', "-") == name
    })
}

/// Where an agent runs, and the Headroom that it has to reach.
#[derive(Clone, Debug)]
pub(crate) struct Setting<'a> {
    /// Its variables.
    pub(crate) env: Environment<'a>,
    /// The user's home folder.
    pub(crate) home: PathBuf,
    /// The folder that it works in.
    pub(crate) folder: PathBuf,
    /// Headroom's base URL, without a path.
    pub(crate) url: String,
    /// Whether a Codex provider keeps the name under which its old threads are listed.
    pub(crate) keep_history: bool,
}

impl Setting<'_> {
    /// A folder of settings: what a variable names, else one below the home folder.
    fn folder_of(&self, variable: &str, below_home: &str) -> PathBuf {
        self.env.get(variable).map_or_else(|| self.home.join(below_home), PathBuf::from)
    }

    /// `XDG_CONFIG_HOME`, else `~/.config`.
    fn config_home(&self) -> PathBuf {
        self.folder_of("XDG_CONFIG_HOME", ".config")
    }

    /// Headroom's base URL as OpenAI's SDKs want it.
    fn openai_url(&self) -> String {
        format!("{}/v1", self.url)
    }

    /// Where a variable sends requests now, when that is neither Headroom nor the provider's own default.
    fn elsewhere(&self, variable: &str) -> Option<String> {
        self.env.get(variable).filter(|url| self.is_elsewhere(url))
    }

    fn is_elsewhere(&self, url: &str) -> bool {
        let official = [
            "https://api.anthropic.com",
            "https://api.openai.com",
            "https://generativelanguage.googleapis.com",
        ];
        let url = url.trim_end_matches('/').replacen("://localhost", "://127.0.0.1", 1);
        // Whole host and port: 8787 is not 87870.
        let is_at =
            |base: &str| url.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        !url.is_empty() && !is_at(&self.url) && !official.iter().any(|base| is_at(base))
    }

    /// The project in the labels of requests: the folder of the repository, else the working folder.
    pub(crate) fn project(&self) -> Option<String> {
        let root = self.folder.ancestors().find(|folder| folder.join(".git").exists());
        let name = root.unwrap_or(&self.folder).file_name()?.to_str()?;
        // It becomes a header's value.
        let fits = |c: char| c.is_ascii_alphanumeric() || "._- ".contains(c);
        let name: String = name.chars().map(|c| if fits(c) { c } else { '_' }).take(64).collect();
        Some(name)
    }

    /// The headers by which Headroom recognizes the sender of a request. Permanent ones name no project.
    fn labels(&self, agent: &dyn Agent, with_project: bool) -> Vec<(&'static str, String)> {
        let stack = ("x-headroom-stack", stack(agent));
        let project = self.project().filter(|_| with_project);
        std::iter::once(stack).chain(project.map(|name| ("x-headroom-project", name))).collect()
    }
}

/// The label of an agent's requests.
pub(crate) fn stack(agent: &dyn Agent) -> String {
    format!("wrap_{}", agent.name())
}

/// What one run of an agent needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Launch {
    /// Variables to set.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// Arguments to put before the user's.
    pub(crate) arguments: Vec<OsString>,
    /// The user's arguments, if one of them has to change.
    pub(crate) replaced: Option<Vec<OsString>>,
    /// Files to edit while it runs, for agents that read the address only from a file.
    pub(crate) edits: Plan,
    /// A whole file for this run alone, written into Headroom's run folder; its path replaces [`Launch::FILE`]
    /// in the arguments and variables.
    pub(crate) file: Option<(&'static str, Vec<u8>)>,
    /// What the user needs to know.
    pub(crate) remarks: Vec<String>,
    /// Where its requests went until now: variables for a Headroom that is started for this run.
    pub(crate) upstreams: Vec<(&'static str, String)>,
}

impl Launch {
    /// Placeholder for the path of [`Launch::file`].
    pub(crate) const FILE: &'static str = "{headroom-file}";

    fn set(&mut self, variable: &'static str, value: impl Into<String>) {
        self.variables.push((variable, value.into()));
    }

    /// Keeps the gateway that a variable names, behind Headroom.
    fn keep_upstream(&mut self, at: &Setting<'_>, variable: &str, target: &'static str) {
        if let Some(url) = at.elsewhere(variable) {
            self.upstreams.push((target, url));
        }
    }
}

/// Where an agent's files are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// Its session logs: files, or folders of them.
    pub(crate) logs: Vec<PathBuf>,
    /// What it reads before each session, for the user and for the project.
    pub(crate) instructions: Vec<PathBuf>,
    /// Where its MCP servers are listed.
    pub(crate) mcp: Option<PathBuf>,
    /// Its settings of this folder, of the repository and of the user, where upstream edits them.
    pub(crate) settings: Vec<PathBuf>,
}

/// A server of the Model Context Protocol that an agent is to start.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// Its name in the agent's settings.
    pub(crate) name: &'static str,
    /// Its program: a name that is looked up when it is called, or a path.
    pub(crate) command: String,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
}

/// How an agent gets Headroom's address, in a few words with names between backticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connections {
    /// For one run.
    pub(crate) run: &'static str,
    /// What a permanent wrap edits.
    pub(crate) install: &'static str,
    /// How its requests are labelled.
    pub(crate) labels: &'static str,
}

/// A coding agent.
pub(crate) trait Agent: Sync {
    /// Its name on our command line, and in labels.
    fn name(&self) -> &'static str;
    /// Its name for people.
    fn title(&self) -> &'static str;
    /// The programs that it may be installed as, the usual one first.
    fn programs(&self) -> &'static [&'static str];
    /// How it gets Headroom's address and labels.
    fn ways(&self) -> Connections;
    /// What a run with these arguments needs.
    fn launch(&self, at: &Setting<'_>, arguments: &[OsString]) -> anyhow::Result<Launch>;
    /// The edits of a permanent wrap.
    fn install(&self, at: &Setting<'_>) -> anyhow::Result<Plan>;
    /// Where its files are.
    fn places(&self, at: &Setting<'_>) -> Places;
    /// The edit that registers an MCP server for the user; `None`: it does not support them.
    fn register(&self, at: &Setting<'_>, server: &Server) -> Option<Change>;
    /// The edit that makes it run a command at the start of a session and read the output; `None`: not supported.
    fn at_start(&self, _at: &Setting<'_>, _command: &str) -> Option<Change> {
        None
    }
    /// The variables that say where Headroom sends requests of its kind.
    fn targets(&self) -> &'static [&'static str] {
        &TARGETS
    }
    /// Whether these arguments take up an earlier conversation.
    fn resumes(&self, arguments: &[OsString]) -> bool {
        has_any(arguments, &["--resume", "-r", "--continue", "-c", "resume", "--restore"])
    }
    /// The id of that conversation, where they name one.
    fn resumed<'a>(&self, arguments: &'a [OsString]) -> Option<&'a str> {
        const OPTIONS: [&str; 9] =
            ["--resume", "-r", "--session", "-s", "--id", "--session-id", "resume", "fork", "--fork"];
        let id = OPTIONS.iter().find_map(|option| value_of(arguments, option))?.1.to_str()?;
        // Another option, or a number in a list that the agent shows.
        (!id.starts_with('-') && id.len() >= SHORTEST_ID).then_some(id)
    }
}

/// A shorter text does not identify a conversation. Agents make ids of 20 characters and more, and some
/// accept the beginning of one.
const SHORTEST_ID: usize = 6;

/// Whether one of the arguments is one of these words, or `--word=value`.
fn has_any(arguments: &[OsString], words: &[&str]) -> bool {
    arguments.iter().filter_map(|argument| argument.to_str()).any(|argument| {
        let name = argument.split_once('=').map_or(argument, |(name, _)| name);
        words.contains(&name)
    })
}

/// What follows an option: `--name value` or `--name=value`, and its index.
fn value_of<'a>(arguments: &'a [OsString], option: &str) -> Option<(usize, &'a OsStr)> {
    arguments.iter().enumerate().find_map(|(at, argument)| {
        let text = argument.to_str()?;
        if text == option {
            return Some((at, arguments.get(at + 1)?.as_os_str()));
        }
        Some((at, OsStr::new(text.strip_prefix(option)?.strip_prefix('=')?)))
    })
}

/// `mcpServers` with a command and arguments, as most agents have it.
fn mcp_servers(file: PathBuf, server: &Server) -> Change {
    let entry = json!({"command": server.command, "args": server.arguments});
    Change::new(file, Format::Json, &["mcpServers", server.name], entry)
}

/// The command that prints the notes ends with this, or has an address after it.
pub(crate) const NOTES_COMMAND: &str = " memory context --hook";

/// `hooks.SessionStart` of Claude Code and Gemini CLI, with our command after the user's own. It runs only in new
/// sessions: the context of a resumed session must not change.
fn session_start(file: PathBuf, command: &str) -> Change {
    const PLACE: [&str; 2] = ["hooks", "SessionStart"];
    let present = value_at(&file, Format::Json, &PLACE);
    let mut hooks = present.and_then(|hooks| hooks.as_array().cloned()).unwrap_or_default();
    // The command of an earlier wrap may contain another address.
    let is_ours = |command: Option<&str>| command.is_some_and(|command| command.contains(NOTES_COMMAND));
    hooks.retain(|hook| !is_ours(hook.pointer("/hooks/0/command").and_then(Value::as_str)));
    hooks.push(json!({"matcher": "startup", "hooks": [{"type": "command", "command": command}]}));
    Change::new(file, Format::Json, &PLACE, hooks)
}

/// A text or a list of headers as `name: value`.
fn header_lines(labels: &[(&'static str, String)], between: &str) -> String {
    labels.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join(between)
}

/// Lines of headers: the user's own, then ours. Ours of an earlier run are dropped.
fn headers_after(own: Option<String>, labels: &[(&'static str, String)]) -> String {
    let own = own.unwrap_or_default();
    let own = own.lines().filter(|line| !line.trim().to_ascii_lowercase().starts_with("x-headroom-"));
    own.map(str::to_owned)
        .chain([header_lines(labels, "\n")])
        .filter(|line| !line.trim().is_empty())
        .collect::<Vec<_>>()
        .join("\n")
}

/// A plan with the changes that label its requests, if the files have room for them.
fn with_labels(plan: Plan, labels: Vec<Change>) -> Plan {
    if plan.changes.is_empty() || labels.is_empty() {
        return plan;
    }
    let mut labelled = plan.clone();
    labelled.changes.extend(labels);
    if edited(&labelled).is_ok() { labelled } else { plan }
}

/// Headers as an object.
fn header_object(labels: &[(&'static str, String)]) -> Value {
    labels.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str()))).collect()
}

/// A block of exports in the profile of the user's shell.
fn shell_block(at: &Setting<'_>, agent: &dyn Agent, variables: &[(&'static str, String)]) -> Change {
    let (profile, is_fish) = shell_profile(at);
    let line = |(name, value): &(&'static str, String)| export(name, value, is_fish);
    let lines: Vec<String> = variables.iter().map(line).collect();
    let name = format!("wrap {}", agent.name());
    Change::new(profile, Format::Shell, &[&name], lines.join("\n"))
}

/// The profile that the user's shell reads, and whether the shell is fish.
pub(crate) fn shell_profile(at: &Setting<'_>) -> (PathBuf, bool) {
    let shell = at.env.get("SHELL").unwrap_or_default();
    match Path::new(&shell).file_name().and_then(OsStr::to_str) {
        Some("zsh") => (at.folder_of("ZDOTDIR", "").join(".zshrc"), false),
        Some("bash") => (at.home.join(".bashrc"), false),
        Some("fish") => (at.config_home().join("fish/config.fish"), true),
        _ => (at.home.join(".profile"), false),
    }
}

/// A line that sets a variable.
pub(crate) fn export(name: &str, value: &str, is_fish: bool) -> String {
    let plain = value.chars().all(|c| c.is_ascii_alphanumeric() || "_-./:[]@%".contains(c));
    // Within single quotes only the quote itself is special; in fish also the backslash.
    let quoted = match (plain, is_fish) {
        (true, _) => value.to_owned(),
        (false, false) => format!("'{}'", value.replace('\'', r"'\''")),
        (false, true) => format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'")),
    };
    if is_fish { format!("set -gx {name} {quoted}") } else { format!("export {name}={quoted}") }
}
