//! Agents that a program on PATH reads: `headroom-learn-NAME` prints events as JSON lines, in the form of
//! docs/learn.md.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{Home, Plugin, Read, Target, Targets, finish, text};
use crate::deadline::Deadline;
use crate::lines::{LineCounts, each_line};
use crate::model::Unit;
use crate::project::Roots;
use crate::recorder::Recorder;
use crate::value::Verdict;

/// The prefix of such programs' names.
const PREFIX: &str = "headroom-learn-";
/// Time limit of a program.
const DEADLINE: Duration = Duration::from_secs(120);

/// A program that reads an agent's logs.
#[derive(Clone, Debug)]
pub struct External {
    name: String,
    program: PathBuf,
}

/// The programs on a search path, each name once, the first one found.
pub fn on_path(path: Option<&str>) -> Vec<External> {
    let mut found: Vec<External> = Vec::new();
    for folder in path.map(env::split_paths).into_iter().flatten() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            let Some(name) = file.strip_prefix(PREFIX) else { continue };
            let name = name.strip_suffix(".exe").unwrap_or(name);
            let is_name = !name.is_empty()
                && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
            if is_name && !found.iter().any(|external| external.name == name) {
                found.push(External { name: name.to_owned(), program: entry.path() });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

impl Plugin for External {
    fn name(&self) -> &str {
        &self.name
    }

    fn title(&self) -> &str {
        &self.name
    }

    /// The program itself: it finds its agent's logs.
    fn logs(&self, _: &Home) -> Vec<PathBuf> {
        vec![self.program.clone()]
    }

    fn recognizes(&self, _: &Path, _: &str) -> bool {
        false
    }

    fn read(&self, program: &Path, roots: &Roots) -> io::Result<Read> {
        let mut command = Command::new(program);
        command.arg("events").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = Deadline::prepare(&mut command).spawn()?;
        let deadline = Deadline::new(&child, DEADLINE);
        let Some(output) = child.stdout.take() else { return Ok(Read::default()) };
        let mut recorder = Recorder::new(&self.name, program, Unit::Line, roots);
        let mut passed = LineCounts::default();
        let outcome = each_line(output, |number, line| {
            if line.trim().is_empty() {
                return;
            }
            passed.read += 1;
            match serde_json::from_str::<Value>(line) {
                Ok(event) if read_event(&mut recorder, number, &event) => {}
                Ok(_) | Err(_) => passed.foreign += 1,
            }
        });
        let status = child.wait()?;
        let was_killed = deadline.end();
        // events of a program that failed may be incomplete, so none of them counts
        if was_killed {
            let limit = DEADLINE.as_secs();
            return Err(io::Error::other(format!("{PREFIX}{} took longer than {limit} s", self.name)));
        }
        if !status.success() {
            return Err(io::Error::other(format!("{PREFIX}{} ended with {status}", self.name)));
        }
        passed.foreign += outcome?;
        Ok(finish(recorder, Ok(passed)))
    }

    fn targets(&self, project: &Path, _: &Home) -> Targets {
        Targets { context: Target::whole(project.join("AGENTS.md")), memory: None }
    }
}

/// Reads one event. Returns whether it is valid.
fn read_event(recorder: &mut Recorder<'_>, number: u64, event: &Value) -> bool {
    let id = text(event, "/id");
    let number = event.get("line").and_then(Value::as_u64).unwrap_or(number);
    match text(event, "/type") {
        "session" => {
            recorder.begin(id);
            recorder.cwd(text(event, "/cwd"));
            recorder.root(text(event, "/root"));
            recorder.remote(text(event, "/remote"));
            let file = text(event, "/file");
            if !file.is_empty() {
                recorder.file(Path::new(file));
            }
        }
        "user" => recorder.said(text(event, "/text")),
        "call" if !id.is_empty() => {
            recorder.time(event.get("time"));
            let cwd = event.get("cwd").and_then(Value::as_str);
            let arguments = event.get("arguments").unwrap_or(&Value::Null);
            recorder.call_in(id, text(event, "/name"), arguments, number, cwd);
        }
        "result" if !id.is_empty() => {
            let status = text(event, "/status");
            let verdict = Verdict {
                failed: Some(status == "error"),
                exit_code: event.get("exit_code").and_then(Value::as_i64),
                refused: status == "refused",
            };
            recorder.result(id, verdict, text(event, "/output"), number);
        }
        _ => return false,
    }
    true
}
