//! pi: JSON lines, a head with the folder, then messages with calls and results.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Home, Plugin, Read, Target, Targets, content_text, files_below, finish, has_extension, text};
use crate::lines::each_object;
use crate::model::Unit;
use crate::project::Roots;
use crate::recorder::Recorder;
use crate::value::Verdict;

#[derive(Debug)]
pub(super) struct Pi;

impl Plugin for Pi {
    fn name(&self) -> &str {
        "pi"
    }

    fn title(&self) -> &str {
        "pi"
    }

    fn logs(&self, home: &Home) -> Vec<PathBuf> {
        files_below(&home.home.join(".pi/agent/sessions"), &|path| has_extension(path, "jsonl"))
    }

    fn recognizes(&self, path: &Path, beginning: &str) -> bool {
        has_extension(path, "jsonl")
            && (beginning.contains("\"toolCall\"")
                || beginning.contains("\"toolResult\"")
                || beginning.contains("\"model_change\""))
            && beginning.contains("\"message\"")
    }

    fn read(&self, log: &Path, roots: &Roots) -> io::Result<Read> {
        let mut recorder = Recorder::new(self.name(), log, Unit::Line, roots);
        let outcome = each_object(log, |number, line| match text(line, "/type") {
            "session" => {
                recorder.begin(text(line, "/id"));
                recorder.cwd(text(line, "/cwd"));
            }
            "message" => {
                recorder.time(line.get("timestamp"));
                read_message(&mut recorder, number, line.get("message").unwrap_or(&Value::Null));
            }
            _ => {}
        });
        Ok(finish(recorder, outcome))
    }

    fn targets(&self, project: &Path, _: &Home) -> Targets {
        Targets { context: Target::whole(project.join("AGENTS.md")), memory: None }
    }
}

fn read_message(recorder: &mut Recorder<'_>, number: u64, message: &Value) {
    let content = message.get("content").unwrap_or(&Value::Null);
    match text(message, "/role") {
        "user" => recorder.said(&content_text(content)),
        "assistant" => {
            for block in content.as_array().into_iter().flatten() {
                if text(block, "/type") == "toolCall" {
                    let arguments = block.get("arguments").unwrap_or(&Value::Null);
                    recorder.call(text(block, "/id"), text(block, "/name"), arguments, number);
                }
            }
        }
        "toolResult" => {
            let output = content_text(content);
            let failed = message.get("isError").and_then(Value::as_bool);
            let exit_code = super::exit_code(&output, &["Command exited with code "]);
            let verdict =
                Verdict { failed, exit_code: exit_code.filter(|_| failed == Some(true)), refused: false };
            recorder.result(text(message, "/toolCallId"), verdict, &output, number);
        }
        _ => {}
    }
}
