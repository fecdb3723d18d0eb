//! Cline: a JSON document of messages per conversation, with the folder in a file next to it.

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Home, Plugin, Read, Target, Targets, content_text, files_below, finish, text};
use crate::lines::{LIMIT, LineCounts, Part, each_part};
use crate::model::Unit;
use crate::project::Roots;
use crate::recorder::Recorder;
use crate::value::Verdict;

#[derive(Debug)]
pub(super) struct Cline;

impl Plugin for Cline {
    fn name(&self) -> &str {
        "cline"
    }

    fn title(&self) -> &str {
        "Cline"
    }

    fn logs(&self, home: &Home) -> Vec<PathBuf> {
        files_below(&home.home.join(".cline/data/sessions"), &is_log)
    }

    fn recognizes(&self, path: &Path, beginning: &str) -> bool {
        is_log(path) && beginning.contains("\"messages\"")
    }

    fn read(&self, log: &Path, roots: &Roots) -> io::Result<Read> {
        let mut recorder = Recorder::new(self.name(), log, Unit::Message, roots);
        if let Some(about) = about(log) {
            recorder.begin(text(&about, "/session_id"));
            recorder.cwd(text(&about, "/cwd"));
            recorder.root(text(&about, "/workspace_root"));
        }
        let mut passed = LineCounts::default();
        let outcome = each_part(log, &mut |part| {
            if let Part::Element("messages", number, message) = part {
                passed.read += 1;
                read_message(&mut recorder, number, &message);
            }
        });
        Ok(finish(recorder, outcome.map(|()| passed)))
    }

    fn targets(&self, project: &Path, _: &Home) -> Targets {
        // rules are one file or a folder of files
        let rules = project.join(".clinerules");
        let context = if rules.is_file() { rules } else { rules.join("headroom-learned.md") };
        Targets { context: Target::whole(context), memory: None }
    }
}

fn is_log(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".messages.json"))
}

fn about(log: &Path) -> Option<Value> {
    let name = log.file_name()?.to_string_lossy().replace(".messages.json", ".json");
    let file = File::open(log.with_file_name(name)).ok()?;
    serde_json::from_reader(BufReader::new(file.take(LIMIT as u64))).ok()
}

fn read_message(recorder: &mut Recorder<'_>, number: u64, message: &Value) {
    let role = text(message, "/role");
    recorder.time(message.get("ts"));
    for block in message.get("content").and_then(Value::as_array).into_iter().flatten() {
        match text(block, "/type") {
            "tool_use" => {
                let input = block.get("input").unwrap_or(&Value::Null);
                recorder.call(text(block, "/id"), text(block, "/name"), input, number);
            }
            "tool_result" => {
                let (verdict, output) = result(block.get("content").unwrap_or(&Value::Null));
                recorder.result(text(block, "/tool_use_id"), verdict, &output, number);
            }
            "text" if role == "user" => {
                let said = text(block, "/text");
                let said = said.strip_prefix("<user_input mode=\"yolo\">").unwrap_or(said);
                recorder.said(said.trim_end_matches("</user_input>"));
            }
            _ => {}
        }
    }
}

/// A result is a list with an entry for each command or file of the call.
fn result(content: &Value) -> (Verdict, String) {
    let Some(entries) =
        content.as_array().filter(|entries| entries.iter().any(|entry| entry.get("success").is_some()))
    else {
        return (Verdict::default(), content_text(content));
    };
    let failed = entries.iter().any(|entry| entry.get("success") == Some(&Value::Bool(false)));
    let mut output = String::new();
    for entry in entries {
        for name in ["result", "error"] {
            let part = text(entry, &format!("/{name}"));
            if !part.is_empty() {
                output.push_str(part.strip_prefix("Error reading file: ").unwrap_or(part));
                output.push('\n');
            }
        }
    }
    let exit_code = super::exit_code(&output, &["exited with code "]).filter(|_| failed);
    (Verdict { failed: Some(failed), exit_code, refused: false }, output)
}
