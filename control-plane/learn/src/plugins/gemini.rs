//! Gemini CLI: JSON lines in which a message with a known id replaces the older one, and before that one
//! JSON document per conversation.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Home, Plugin, Read, Target, Targets, content_text, files_below, finish, has_extension, text};
use crate::lines::{LineCounts, Part, each_object, each_part};
use crate::model::{Tool, Unit};
use crate::project::Roots;
use crate::recorder::Recorder;
use crate::value::Verdict;

#[derive(Debug)]
pub(super) struct Gemini;

impl Plugin for Gemini {
    fn name(&self) -> &str {
        "gemini"
    }

    fn title(&self) -> &str {
        "Gemini CLI"
    }

    fn logs(&self, home: &Home) -> Vec<PathBuf> {
        let folder = home.folder("GEMINI_CLI_HOME", "").join(".gemini/tmp");
        files_below(&folder, &|path| {
            (has_extension(path, "jsonl") || has_extension(path, "json"))
                && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("session-"))
        })
    }

    fn recognizes(&self, path: &Path, beginning: &str) -> bool {
        (has_extension(path, "jsonl") || has_extension(path, "json"))
            && ((beginning.contains("\"sessionId\"") && beginning.contains("\"projectHash\""))
                || (beginning.contains("\"type\": \"gemini\"") && beginning.contains("\"toolCalls\"")))
    }

    fn read(&self, log: &Path, roots: &Roots) -> io::Result<Read> {
        let unit = if has_extension(log, "json") { Unit::Message } else { Unit::Line };
        let mut recorder = Recorder::new(self.name(), log, unit, roots);
        let folder = project_folder(log);
        recorder.cwd(folder.as_deref().unwrap_or_default());
        let outcome = if unit == Unit::Line {
            each_object(log, |number, line| read_line(&mut recorder, number, line))
        } else {
            let mut passed = LineCounts::default();
            let read = each_part(log, &mut |part| match part {
                Part::Member("sessionId", id) => recorder.begin(id.as_str().unwrap_or_default()),
                Part::Element("messages", number, message) => {
                    passed.read += 1;
                    read_message(&mut recorder, number, &message);
                }
                // a file of one message
                Part::Element("toolCalls", number, call) => read_call(&mut recorder, number, &call),
                Part::Member(..) | Part::Element(..) => {}
            });
            read.map(|()| passed)
        };
        Ok(finish(recorder, outcome))
    }

    fn targets(&self, project: &Path, _: &Home) -> Targets {
        Targets { context: Target::whole(project.join("GEMINI.md")), memory: None }
    }
}

/// `.project_root` next to the folder of chats; older versions have only a digest of the path.
fn project_folder(log: &Path) -> Option<String> {
    let marker = log.parent()?.parent()?.join(".project_root");
    let text = fs::read_to_string(marker).ok()?;
    let path = text.trim();
    path.starts_with('/').then(|| path.to_owned())
}

fn read_line(recorder: &mut Recorder<'_>, number: u64, line: &Value) {
    if let Some(id) = line.get("sessionId").and_then(Value::as_str) {
        recorder.begin(id);
    }
    for message in line.pointer("/$set/messages").and_then(Value::as_array).into_iter().flatten() {
        read_message(recorder, number, message);
    }
    read_message(recorder, number, line);
}

fn read_message(recorder: &mut Recorder<'_>, number: u64, message: &Value) {
    recorder.time(message.get("timestamp"));
    if text(message, "/type") == "user" {
        let content = message.get("content").map(content_text).unwrap_or_default();
        match content.split_once("**Workspace Directories:**") {
            Some((_, rest)) if content.starts_with("<session_context>") => {
                let first = rest.lines().find_map(|line| line.trim().strip_prefix("- "));
                recorder.cwd(first.unwrap_or_default().trim());
            }
            _ => recorder.said(&content),
        }
    }
    for call in message.get("toolCalls").and_then(Value::as_array).into_iter().flatten() {
        read_call(recorder, number, call);
    }
}

/// A call is in the log with its result; the same message is repeated with a later state of it.
fn read_call(recorder: &mut Recorder<'_>, number: u64, call: &Value) {
    let (id, name) = (text(call, "/id"), text(call, "/name"));
    let status = text(call, "/status");
    if !matches!(status, "success" | "error" | "cancelled") || recorder.has_seen(id) {
        return;
    }
    recorder.call(id, name, call.get("args").unwrap_or(&Value::Null), number);
    let response = call.pointer("/result/0/functionResponse/response");
    let part = |name: &str| response.and_then(|response| response.get(name)).map(content_text);
    let output = part("error").or_else(|| part("output")).unwrap_or_default();
    let verdict = if Tool::from_name(name) == Tool::Shell && status == "success" {
        super::by_exit_code(&output, &["Exit Code: "])
    } else {
        Verdict { failed: Some(status == "error"), exit_code: None, refused: status == "cancelled" }
    };
    recorder.result(id, verdict, &output, number);
}
