//! Aider.

use std::ffi::OsString;

use super::{Agent, Launch, Places, Server, Setting, has_any};
use crate::edits::{Change, Format, Plan, value_at};

/// Aider's own option, and the library's variable below it. Either may be set by a file.
const OPENAI: [&str; 2] = ["AIDER_OPENAI_API_BASE", "OPENAI_API_BASE"];
const ANTHROPIC: &str = "ANTHROPIC_API_BASE";

/// Aider.
pub(super) struct Aider;

impl Agent for Aider {
    fn name(&self) -> &'static str {
        "aider"
    }

    fn title(&self) -> &'static str {
        "Aider"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["aider"]
    }

    fn how(&self) -> &'static str {
        "OPENAI_API_BASE and ANTHROPIC_API_BASE; --install: ~/.aider.conf.yml"
    }

    fn launch(&self, at: &Setting<'_>, _arguments: &[OsString]) -> anyhow::Result<Launch> {
        let mut launch = Launch::default();
        for variable in OPENAI {
            launch.set(variable, at.openai_url());
        }
        launch.set(ANTHROPIC, at.url.clone());
        launch.keep_upstream(at, OPENAI[1], "OPENAI_TARGET_API_URL");
        launch.keep_upstream(at, ANTHROPIC, "ANTHROPIC_TARGET_API_URL");
        Ok(launch)
    }

    fn install(&self, at: &Setting<'_>) -> anyhow::Result<Plan> {
        let file = at.home.join(".aider.conf.yml");
        let anthropic = format!("{ANTHROPIC}={}", at.url);
        let mut plan = Plan::default();
        plan.changes.push(Change::new(file.clone(), Format::Yaml, &["openai-api-base"], at.openai_url()));
        if value_at(&file, Format::Yaml, &["set-env"]).is_some_and(|it| it != serde_json::json!([anthropic]))
        {
            plan.remarks.push(format!(
                "{} has a set-env list of its own: for Anthropic's models add {anthropic} to it",
                file.display()
            ));
        } else {
            plan.changes.push(Change::new(file, Format::Yaml, &["set-env"], serde_json::json!([anthropic])));
        }
        plan.remarks.push("an .aider.conf.yml in a project wins over this one".to_owned());
        Ok(plan)
    }

    fn places(&self, at: &Setting<'_>) -> Places {
        let log = at.env.get("AIDER_CHAT_HISTORY_FILE");
        let log = log.unwrap_or_else(|| ".aider.chat.history.md".to_owned());
        let conventions = at.folder.join("CONVENTIONS.md");
        Places { logs: vec![at.folder.join(log)], instructions: vec![conventions], mcp: None }
    }

    fn register(&self, _at: &Setting<'_>, _server: &Server) -> Option<Change> {
        None
    }

    fn resumes(&self, arguments: &[OsString]) -> bool {
        has_any(arguments, &["--restore-chat-history"])
    }
}
