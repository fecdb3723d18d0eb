//! Codex: rollouts as JSON lines with items of the Responses API, and no flag for errors; the oldest
//! form is one JSON document.

use std::io;
use std::path::{Path, PathBuf};

use super::{Home, Plugin, Read, Target, Targets, files_below, finish, has_extension, text};
use crate::lines::{LineCounts, Part, each_object, each_part};
use crate::model::Unit;
use crate::project::Roots;
use crate::recorder::Recorder;
use crate::wire::responses_item;

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
            let mut passed = LineCounts::default();
            let outcome = each_part(log, &mut |part| match part {
                Part::Member("session", session) => {
                    recorder.begin(text(&session, "/id"));
                    recorder.cwd(text(&session, "/cwd"));
                }
                Part::Element("items", number, item) => {
                    passed.read += 1;
                    responses_item(&mut recorder, number, &item);
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
                "response_item" => responses_item(&mut recorder, number, payload),
                _ => {}
            }
        });
        Ok(finish(recorder, outcome))
    }

    fn targets(&self, project: &Path, _: &Home) -> Targets {
        // the agent reads the override instead, if there is one
        let overriding = project.join("AGENTS.override.md");
        let context = if overriding.exists() { overriding } else { project.join("AGENTS.md") };
        Targets { context: Target::whole(context), memory: None }
    }
}
