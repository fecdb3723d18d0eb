//! OpenHands' command line.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::Value;

use super::{Agent, Launch, Places, Server, Setting, has_any, mcp_servers};
use crate::edits::{Change, Format, Plan, value_at};

const URL: &str = "LLM_BASE_URL";
/// Without it the variables are ignored.
const OVERRIDE: &str = "--override-with-envs";

/// OpenHands.
pub(super) struct OpenHands;

impl OpenHands {
    fn folder(at: &Setting<'_>) -> PathBuf {
        at.home.join(".openhands")
    }

    fn settings(at: &Setting<'_>) -> PathBuf {
        Self::folder(at).join("agent_settings.json")
    }

    /// Its library adds what Anthropic's paths begin with, and not what OpenAI's do.
    fn url(at: &Setting<'_>) -> String {
        let model = at.env.get("LLM_MODEL").or_else(|| {
            value_at(&Self::settings(at), Format::Json, &["llm", "model"])?.as_str().map(str::to_owned)
        });
        let model = model.unwrap_or_default();
        if model.starts_with("anthropic/") || model.starts_with("claude") {
            at.url.clone()
        } else if model.starts_with("gemini/") {
            format!("{}/v1beta", at.url)
        } else {
            at.openai_url()
        }
    }
}

impl Agent for OpenHands {
    fn name(&self) -> &'static str {
        "openhands"
    }

    fn title(&self) -> &'static str {
        "OpenHands"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["openhands"]
    }

    fn how(&self) -> &'static str {
        "LLM_BASE_URL; --install: ~/.openhands/agent_settings.json"
    }

    fn launch(&self, at: &Setting<'_>, arguments: &[OsString]) -> anyhow::Result<Launch> {
        let mut launch = Launch::default();
        launch.set(URL, Self::url(at));
        if !has_any(arguments, &[OVERRIDE]) {
            launch.arguments.push(OVERRIDE.into());
        }
        launch.keep_upstream(at, URL, "OPENAI_TARGET_API_URL");
        Ok(launch)
    }

    fn install(&self, at: &Setting<'_>) -> anyhow::Result<Plan> {
        let file = Self::settings(at);
        if value_at(&file, Format::Json, &["llm"]).as_ref().is_none_or(Value::is_null) {
            let remark = format!("{} names no model yet: start OpenHands once, then wrap it", file.display());
            return Ok(Plan { changes: Vec::new(), remarks: vec![remark] });
        }
        let change = Change::new(file, Format::Json, &["llm", "base_url"], Self::url(at));
        Ok(Plan { changes: vec![change], remarks: Vec::new() })
    }

    fn places(&self, at: &Setting<'_>) -> Places {
        let folder = Self::folder(at);
        Places {
            logs: vec![folder.join("conversations")],
            instructions: vec![at.folder.join("AGENTS.md"), at.folder.join(".openhands/microagents")],
            mcp: Some(folder.join("mcp.json")),
        }
    }

    fn register(&self, at: &Setting<'_>, server: &Server) -> Option<Change> {
        Some(mcp_servers(self.places(at).mcp?, server))
    }
}
