//! Qwen Code: JSON lines with Gemini's parts, the folder in each line, and a result next to its message.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Home, Plugin, Read, Target, Targets, content_text, files_below, finish, has_extension, text};
use crate::lines::each_object;
use crate::model::{Tool, Unit};
use crate::project::Roots;
use crate::recorder::Recorder;
use crate::value::Verdict;

#[derive(Debug)]
pub(super) struct Qwen;

impl Plugin for Qwen {
    fn name(&self) -> &str {
        "qwen"
    }

    fn title(&self) -> &str {
        "Qwen Code"
    }

    fn logs(&self, home: &Home) -> Vec<PathBuf> {
        let projects = home.folder("QWEN_HOME", ".qwen").join("projects");
        files_below(&projects, &|path| has_extension(path, "jsonl"))
    }

    fn recognizes(&self, path: &Path, beginning: &str) -> bool {
        has_extension(path, "jsonl")
            && beginning.contains("\"sessionId\"")
            && beginning.contains("\"parentUuid\"")
            && beginning.contains("\"parts\"")
    }

    fn read(&self, log: &Path, roots: &Roots) -> io::Result<Read> {
        let mut recorder = Recorder::new(self.name(), log, Unit::Line, roots);
        let outcome = each_object(log, |number, line| {
            let id = text(line, "/sessionId");
            if !id.is_empty() {
                recorder.begin(id);
            }
            recorder.cwd(text(line, "/cwd"));
            recorder.time(line.get("timestamp"));
            for part in line.pointer("/message/parts").and_then(Value::as_array).into_iter().flatten() {
                read_part(&mut recorder, number, line, part);
            }
        });
        Ok(finish(recorder, outcome))
    }

    fn targets(&self, project: &Path, _: &Home) -> Targets {
        Targets { context: Target::whole(project.join("QWEN.md")), memory: None }
    }
}

fn read_part(recorder: &mut Recorder<'_>, number: u64, line: &Value, part: &Value) {
    if let Some(call) = part.get("functionCall") {
        let arguments = call.get("args").unwrap_or(&Value::Null);
        recorder.call(text(call, "/id"), text(call, "/name"), arguments, number);
    } else if let Some(result) = part.get("functionResponse") {
        let member = |name: &str| result.pointer(&format!("/response/{name}")).map(content_text);
        let error = member("error");
        let status = text(line, "/toolCallResult/status");
        let refused = status == "cancelled" || text(line, "/toolCallResult/errorType") == "execution_denied";
        let is_shell = Tool::from_name(text(result, "/name")) == Tool::Shell;
        let failed = (status == "error" || error.is_some()).then_some(true);
        let output = error.or_else(|| member("output")).unwrap_or_default();
        let exit_code = if is_shell { super::exit_code(&output, &["Exit Code: "]) } else { None };
        recorder.result(text(result, "/id"), Verdict { failed, exit_code, refused }, &output, number);
    } else if text(line, "/type") == "user" {
        recorder.said(text(part, "/text"));
    }
}
