//! Claude Code: one file of JSON lines per conversation, with results that carry a flag.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Home, Plugin, Read, Target, Targets, files_below, finish, has_extension, text};
use crate::lines::each_object;
use crate::merge::has_block;
use crate::model::Unit;
use crate::project::Roots;
use crate::recorder::Recorder;
use crate::wire::anthropic_content;

/// Lines of MEMORY.md that are loaded.
const MEMORY_LINES: usize = 200;

#[derive(Debug)]
pub(super) struct Claude;

impl Plugin for Claude {
    fn name(&self) -> &str {
        "claude"
    }

    fn title(&self) -> &str {
        "Claude Code"
    }

    fn logs(&self, home: &Home) -> Vec<PathBuf> {
        let projects = home.folder("CLAUDE_CONFIG_DIR", ".claude").join("projects");
        files_below(&projects, &|path| has_extension(path, "jsonl"))
    }

    fn recognizes(&self, path: &Path, beginning: &str) -> bool {
        has_extension(path, "jsonl")
            && beginning.contains("\"sessionId\"")
            && (beginning.contains("\"isSidechain\"")
                || beginning.contains("\"tool_use\"")
                || beginning.contains("\"parentUuid\""))
            && beginning.contains("\"message\"")
            && !beginning.contains("\"parts\"")
    }

    fn read(&self, log: &Path, roots: &Roots) -> io::Result<Read> {
        let mut recorder = Recorder::new(self.name(), log, Unit::Line, roots);
        let outcome = each_object(log, |number, line| read_line(&mut recorder, number, line));
        Ok(finish(recorder, outcome))
    }

    /// Lessons are true for one machine and one person, so they go into the file that is not shared; a
    /// block that is already in CLAUDE.md stays there.
    fn targets(&self, project: &Path, home: &Home) -> Targets {
        let shared = [project.join("CLAUDE.md"), project.join(".claude/CLAUDE.md")];
        let own = project.join("CLAUDE.local.md");
        let context = shared.into_iter().find(|path| !own.exists() && has_block(path)).unwrap_or(own);
        let slug: String = project
            .to_string_lossy()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let folder = home.folder("CLAUDE_CONFIG_DIR", ".claude").join("projects").join(slug);
        // if the folder exists, this version of the agent keeps its memory there
        let memory = folder.is_dir().then(|| Target {
            path: folder.join("memory/MEMORY.md"),
            loaded_lines: Some(MEMORY_LINES),
            note: None,
        });
        Targets { context: Target::whole(context), memory }
    }
}

fn read_line(recorder: &mut Recorder<'_>, number: u64, line: &Value) {
    let id = text(line, "/sessionId");
    let kind = text(line, "/type");
    if !matches!(kind, "user" | "assistant") {
        return;
    }
    if !id.is_empty() {
        recorder.begin(id);
    }
    recorder.cwd(text(line, "/cwd"));
    recorder.time(line.get("timestamp"));
    let Some(content) = line.pointer("/message/content") else { return };
    if kind == "user" && line.get("isMeta") != Some(&Value::Bool(true)) && content.is_string() {
        recorder.said(content.as_str().unwrap_or_default());
    }
    if content.is_array() {
        anthropic_content(recorder, number, kind, content);
    }
}
