//! Session logs of agents: where they are, how they are read, and which file an agent reads instructions from.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::analyzers::Report;
use super::lines::LineCounts;
use super::model::Session;
use super::project::Roots;
use super::recorder::Recorder;

use crate::value::{by_exit_code, content_text, exit_code, text};

mod aider;
mod claude;
mod cline;
mod codex;
mod copilot;
pub mod external;
mod gemini;
mod opencode;
mod pi;
mod qwen;

/// Maximum number of files below one folder.
const FILES: usize = 100_000;
/// Maximum depth of folders.
const DEPTH: usize = 12;

/// The places of a user's files.
#[derive(Clone, Debug)]
pub struct Home {
    /// The home folder
    pub home: PathBuf,
    /// The values of the variables that move folders
    variables: Vec<(&'static str, PathBuf)>,
    /// The requested project, for logs inside it
    pub project: Option<PathBuf>,
}

/// Variables that move an agent's folder.
const VARIABLES: [&str; 7] = [
    "CLAUDE_CONFIG_DIR",
    "CODEX_HOME",
    "GEMINI_CLI_HOME",
    "QWEN_HOME",
    "COPILOT_HOME",
    "XDG_DATA_HOME",
    "AIDER_CHAT_HISTORY_FILE",
];

impl Home {
    /// The places of the user with these variables.
    pub fn new(env: impl Fn(&str) -> Option<String>, project: Option<PathBuf>) -> anyhow::Result<Self> {
        let home = env("HOME").or_else(|| env("USERPROFILE"));
        let home = home.ok_or_else(|| anyhow::anyhow!("HOME is not set, so no session logs can be found"))?;
        let variable = |name: &&'static str| Some((*name, PathBuf::from(env(name)?)));
        Ok(Self { home: home.into(), variables: VARIABLES.iter().filter_map(variable).collect(), project })
    }

    /// The folder that a variable names, else one below home.
    pub fn folder(&self, variable: &str, below: &str) -> PathBuf {
        let set = self.variables.iter().find(|(name, _)| *name == variable);
        set.map_or_else(|| self.home.join(below), |(_, path)| path.clone())
    }
}

/// The conversations of a log, and what could not be read.
#[derive(Debug, Default)]
pub struct Read {
    /// Each with its findings
    pub sessions: Vec<(Session, Report)>,
    /// Lines that were read, and foreign ones
    pub passed: LineCounts,
    /// What stopped reading before the end, if anything
    pub stopped: Option<String>,
}

/// A file that an agent reads instructions from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The file
    pub path: PathBuf,
    /// Lines of it that the agent loads; `None` for all
    pub loaded_lines: Option<usize>,
    /// A remark for the user about it
    pub note: Option<&'static str>,
}

impl Target {
    /// A file that is loaded whole.
    pub fn whole(path: PathBuf) -> Self {
        Self { path, loaded_lines: None, note: None }
    }
}

/// The files for a project's lessons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    /// For facts of the project
    pub context: Target,
    /// For one user's preferences and failures, if the agent has such a file
    pub memory: Option<Target>,
}

/// Reads one agent's logs.
pub trait Plugin: Sync + Send {
    /// The name in `--agent`.
    fn name(&self) -> &str;

    /// The product's name.
    fn title(&self) -> &str;

    /// The logs of this user, whether they exist or not.
    fn logs(&self, home: &Home) -> Vec<PathBuf>;

    /// Whether a file is one of this agent's, by its path and its beginning.
    fn recognizes(&self, path: &Path, beginning: &str) -> bool;

    /// Reads a log. Cut or foreign parts are counted and are not an error.
    fn read(&self, log: &Path, roots: &Roots) -> io::Result<Read>;

    /// The files for the lessons of a project.
    fn targets(&self, project: &Path, home: &Home) -> Targets;
}

/// All built-in agents, in the order of recognition.
pub fn all() -> Vec<Box<dyn Plugin>> {
    vec![
        Box::new(claude::Claude),
        Box::new(codex::Codex),
        Box::new(qwen::Qwen),
        Box::new(gemini::Gemini),
        Box::new(opencode::OpenCode),
        Box::new(pi::Pi),
        Box::new(cline::Cline),
        Box::new(copilot::Copilot),
        Box::new(aider::Aider),
    ]
}

/// Finishes a read: the error that stopped it becomes part of it, so that the events before the error are
/// kept.
fn finish(recorder: Recorder<'_>, outcome: io::Result<LineCounts>) -> Read {
    let sessions = recorder.finish();
    match outcome {
        Ok(passed) => Read { sessions, passed, stopped: None },
        Err(error) => Read { sessions, passed: LineCounts::default(), stopped: Some(error.to_string()) },
    }
}

/// The files below a folder whose names a test accepts, in order of their paths. Links to folders are not
/// followed.
pub fn files_below(folder: &Path, take: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            let path = entry.path();
            if kind.is_dir() && depth < DEPTH {
                folders.push((path, depth + 1));
            } else if !kind.is_dir() && take(&path) && found.len() < FILES {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_agents_are_told_apart() {
        let plugins = all();
        let mut names: Vec<&str> = plugins.iter().map(|plugin| plugin.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 9);
    }
}
