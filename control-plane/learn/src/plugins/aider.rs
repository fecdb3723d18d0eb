//! Aider: one Markdown file per repository. Commands that the user has allowed are quoted lines, `> `,
//! followed by their output in the same form.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Home, Plugin, Read, Target, Targets, finish};
use crate::lines::{LineCounts, each_line};
use crate::model::Unit;
use crate::project::Roots;
use crate::recorder::Recorder;
use crate::value::Verdict;

/// The name of the history.
const HISTORY: &str = ".aider.chat.history.md";
/// Bytes of an output.
const OUTPUT: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Aider;

impl Plugin for Aider {
    fn name(&self) -> &str {
        "aider"
    }

    fn title(&self) -> &str {
        "Aider"
    }

    /// The history is in each repository, and there is no list of repositories: only that of the project is
    /// found.
    fn logs(&self, home: &Home) -> Vec<PathBuf> {
        let moved = home.folder("AIDER_CHAT_HISTORY_FILE", HISTORY);
        let own = home.project.as_ref().map(|project| project.join(HISTORY));
        own.into_iter().chain([moved]).filter(|path| path.is_file()).collect()
    }

    fn recognizes(&self, path: &Path, beginning: &str) -> bool {
        path.file_name().is_some_and(|name| name == HISTORY)
            || beginning.starts_with("\n# aider chat started at ")
    }

    fn read(&self, log: &Path, roots: &Roots) -> io::Result<Read> {
        let mut recorder = Recorder::new(self.name(), log, Unit::Line, roots);
        let folder = log.parent().unwrap_or(Path::new("")).to_string_lossy().into_owned();
        let mut reading = Reading {
            recorder: &mut recorder,
            folder: &folder,
            command: None,
            output: String::new(),
            said: String::new(),
        };
        let mut passed = LineCounts::default();
        let outcome = each_line(File::open(log)?, |number, line| {
            passed.read += 1;
            reading.line(number, line);
        });
        reading.end(passed.read);
        let passed = outcome.map(|too_long| LineCounts { foreign: too_long, ..passed });
        Ok(finish(recorder, passed))
    }

    fn targets(&self, project: &Path, _: &Home) -> Targets {
        let context = Target {
            path: project.join("CONVENTIONS.md"),
            loaded_lines: None,
            note: Some("Aider loads CONVENTIONS.md only where .aider.conf.yml has `read: CONVENTIONS.md`"),
        };
        Targets { context, memory: None }
    }
}

struct Reading<'a, 'r> {
    recorder: &'a mut Recorder<'r>,
    folder: &'a str,
    command: Option<u64>,
    output: String,
    said: String,
}

impl Reading<'_, '_> {
    fn line(&mut self, number: u64, line: &str) {
        if let Some(at) = line.strip_prefix("# aider chat started at ") {
            self.end(number);
            self.recorder.begin(at);
            self.recorder.cwd(self.folder);
        } else if let Some(said) = line.strip_prefix("#### ") {
            self.end(number);
            let said = said.trim_end();
            // a command that the user types belongs to the conversation
            match said
                .strip_prefix("/run ")
                .or_else(|| said.strip_prefix('!'))
                .or_else(|| said.strip_prefix("/test "))
            {
                Some(command) => self.begin(number, command),
                None if self.said.len() < OUTPUT => {
                    self.said.push_str(said);
                    self.said.push('\n');
                }
                None => {}
            }
        } else if let Some(quoted) = line.strip_prefix("> ") {
            self.flush();
            let quoted = quoted.trim_end();
            if let Some(command) = quoted.strip_prefix("Running ") {
                self.end(number);
                self.begin(number, command);
            } else if self.command.is_some() && self.output.len() < OUTPUT {
                self.output.push_str(quoted);
                self.output.push('\n');
            }
        } else if !line.trim().is_empty() {
            self.end(number);
        }
    }

    fn begin(&mut self, number: u64, command: &str) {
        self.recorder.call(&number.to_string(), "run_command", &json!({"command": command}), number);
        self.command = Some(number);
    }

    fn flush(&mut self) {
        if !self.said.is_empty() {
            self.recorder.said(&std::mem::take(&mut self.said));
        }
    }

    /// The log has no exit codes. The result of a command is recognized only by its text.
    fn end(&mut self, number: u64) {
        if let Some(command) = self.command.take() {
            let output = std::mem::take(&mut self.output);
            let last = number.saturating_sub(1).max(command);
            self.recorder.result(&command.to_string(), Verdict::default(), &output, last);
        }
        self.output.clear();
        self.flush();
    }
}
