//! GitHub Copilot CLI: events as JSON lines; the start of a tool and its end are two of them.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Home, Plugin, Read, Target, Targets, files_below, finish, has_extension, text};
use crate::lines::each_object;
use crate::model::{Unit, tail};
use crate::project::Roots;
use crate::recorder::Recorder;
use crate::value::Verdict;

#[derive(Debug)]
pub(super) struct Copilot;

impl Plugin for Copilot {
    fn name(&self) -> &str {
        "copilot"
    }

    fn title(&self) -> &str {
        "Copilot CLI"
    }

    fn logs(&self, home: &Home) -> Vec<PathBuf> {
        let folder = home.folder("COPILOT_HOME", ".copilot").join("session-state");
        files_below(&folder, &|path| has_extension(path, "jsonl"))
    }

    fn recognizes(&self, path: &Path, beginning: &str) -> bool {
        has_extension(path, "jsonl")
            && beginning.contains("\"session.start\"")
            && beginning.contains("copilot")
    }

    fn read(&self, log: &Path, roots: &Roots) -> io::Result<Read> {
        let mut recorder = Recorder::new(self.name(), log, Unit::Line, roots);
        let outcome = each_object(log, |number, line| {
            let Some(data) = line.get("data") else { return };
            match text(line, "/type") {
                "session.start" => {
                    recorder.begin(text(data, "/sessionId"));
                    recorder.cwd(text(data, "/context/cwd"));
                    recorder.root(text(data, "/context/gitRoot"));
                    recorder.remote(text(data, "/context/repository"));
                }
                "user.message" => recorder.said(text(data, "/content")),
                "tool.execution_start" => {
                    recorder.time(line.get("timestamp"));
                    let arguments = data.get("arguments").unwrap_or(&Value::Null);
                    recorder.call(text(data, "/toolCallId"), text(data, "/toolName"), arguments, number);
                }
                "tool.execution_complete" => {
                    let (verdict, output) = result(data);
                    recorder.result(text(data, "/toolCallId"), verdict, output, number);
                }
                _ => {}
            }
        });
        Ok(finish(recorder, outcome))
    }

    fn targets(&self, project: &Path, _: &Home) -> Targets {
        Targets { context: Target::whole(project.join(".github/copilot-instructions.md")), memory: None }
    }
}

fn result(data: &Value) -> (Verdict, &str) {
    let kind = text(data, "/result/result_type");
    let done =
        data.get("success").and_then(Value::as_bool).or((!kind.is_empty()).then_some(kind == "success"));
    let outputs = ["/result/text_result_for_llm", "/result/content", "/error/message", "/error"];
    let output =
        outputs.iter().map(|at| text(data, at)).find(|output| !output.is_empty()).unwrap_or_default();
    let exit_code = super::exit_code(tail(output, 64), &["exited with exit code "]);
    let refused = matches!(kind, "rejected" | "denied") || text(data, "/error/code") == "rejected";
    (Verdict { failed: done.map(|done| !done), exit_code, refused }, output)
}
