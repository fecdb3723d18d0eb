//! Codex: rollouts as JSON lines with items of the Responses API, and no flag for errors; the oldest
//! form is one JSON document.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{
    Home, Plugin, Read, Target, Targets, content_text, exit_code, files_below, finish, has_extension, text,
};
use crate::learn::lines::{Part, Passed, each_object, each_part};
use crate::learn::model::{Unit, head};
use crate::learn::project::Roots;
use crate::learn::recorder::{Recorder, Verdict};

#[derive(Debug)]
pub(super) struct Codex;

impl Plugin for Codex {
    fn name(&self) -> &str {
        "codex"
    }

    fn title(&self) -> &str {
        "Codex"
    }

    fn logs(&self, home: &Home) -> Vec<PathBuf> {
        let folder = home.folder("CODEX_HOME", ".codex");
        let is_log = |path: &Path| {
            (has_extension(path, "jsonl") || has_extension(path, "json"))
                && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("rollout-"))
        };
        let mut logs = files_below(&folder.join("sessions"), &is_log);
        logs.extend(files_below(&folder.join("archived_sessions"), &is_log));
        logs
    }

    fn recognizes(&self, path: &Path, beginning: &str) -> bool {
        (has_extension(path, "jsonl")
            && beginning.contains("\"payload\"")
            && (beginning.contains("\"session_meta\"")
                || beginning.contains("\"response_item\"")
                || beginning.contains("\"event_msg\"")))
            || (has_extension(path, "json")
                && beginning.contains("\"session\"")
                && beginning.contains("\"items\"")
                && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("rollout-")))
    }

    fn read(&self, log: &Path, roots: &Roots) -> io::Result<Read> {
        if has_extension(log, "json") {
            let mut recorder = Recorder::new(self.name(), log, Unit::Message, roots);
            let mut passed = Passed::default();
            let outcome = each_part(log, &mut |part| match part {
                Part::Member("session", session) => {
                    recorder.begin(text(&session, "/id"));
                    recorder.cwd(text(&session, "/cwd"));
                }
                Part::Element("items", number, item) => {
                    passed.read += 1;
                    read_item(&mut recorder, number, &item);
                }
                Part::Member(..) | Part::Element(..) => {}
            });
            return Ok(finish(recorder, outcome.map(|()| passed)));
        }
        let mut recorder = Recorder::new(self.name(), log, Unit::Line, roots);
        let outcome = each_object(log, |number, line| {
            let Some(payload) = line.get("payload") else { return };
            recorder.time(line.get("timestamp"));
            match text(line, "/type") {
                "session_meta" => {
                    recorder.begin(text(payload, "/id"));
                    recorder.cwd(text(payload, "/cwd"));
                    recorder.remote(text(payload, "/git/repository_url"));
                }
                "turn_context" => recorder.cwd(text(payload, "/cwd")),
                "response_item" => read_item(&mut recorder, number, payload),
                _ => {}
            }
        });
        Ok(finish(recorder, outcome))
    }

    fn targets(&self, project: &Path, _: &Home) -> Targets {
        // the agent reads the override in its place where there is one
        let overriding = project.join("AGENTS.override.md");
        let context = if overriding.exists() { overriding } else { project.join("AGENTS.md") };
        Targets { context: Target::whole(context), memory: None }
    }
}

fn read_item(recorder: &mut Recorder<'_>, number: u64, item: &Value) {
    let id = text(item, "/call_id");
    match text(item, "/type") {
        "function_call" => {
            let arguments = text(item, "/arguments");
            let arguments = serde_json::from_str(arguments).unwrap_or(Value::Null);
            let workdir =
                arguments.get("workdir").and_then(Value::as_str).filter(|folder| folder.starts_with('/'));
            recorder.call_in(id, text(item, "/name"), &arguments, number, workdir);
        }
        "custom_tool_call" => {
            let input = item.get("input").unwrap_or(&Value::Null);
            recorder.call(id, text(item, "/name"), input, number);
        }
        "local_shell_call" => {
            let action = item.get("action").unwrap_or(&Value::Null);
            recorder.call(id, "local_shell", action, number);
        }
        "function_call_output" | "custom_tool_call_output" | "local_shell_call_output" => {
            let output = item.get("output").unwrap_or(&Value::Null);
            let (verdict, output) = result(output);
            recorder.result(id, verdict, &output, number);
        }
        "message" if text(item, "/role") == "user" => {
            let content = item.get("content").map(content_text).unwrap_or_default();
            recorder.said(&content);
        }
        _ => {}
    }
}

/// The three shapes of a result: a JSON document in a string, text with the exit code in a line, and the
/// refusal of a sandbox.
fn result(output: &Value) -> (Verdict, String) {
    if let Some(content) = output.get("content") {
        let failed = output.get("success").and_then(Value::as_bool).map(|done| !done);
        return (Verdict { failed, ..Verdict::default() }, content_text(content));
    }
    let output = content_text(output);
    if output.starts_with('{')
        && let Ok(document) = serde_json::from_str::<Value>(&output)
        && let Some(inner) = document.get("output").and_then(Value::as_str)
    {
        let exit_code = document.pointer("/metadata/exit_code").and_then(Value::as_i64);
        return (Verdict { exit_code, ..Verdict::default() }, inner.to_owned());
    }
    if output.contains("rejected by user") && output.len() < 200 {
        return (Verdict { refused: true, ..Verdict::default() }, output);
    }
    if let Some(refusal) = output.strip_prefix("failed in sandbox ") {
        let exit_code = exit_code(head(refusal, 512), &["exit code: "]).or(Some(1));
        let error = refusal.split_once("stderr: ").map_or(refusal, |(_, error)| error);
        return (Verdict { exit_code, ..Verdict::default() }, error.to_owned());
    }
    let start = head(&output, 512);
    let verdict = super::by_exit_code(start, &["exited with code ", "Exit code: "]);
    let failed = start.starts_with("apply_patch verification failed").then_some(true);
    (Verdict { failed, ..verdict }, output)
}
