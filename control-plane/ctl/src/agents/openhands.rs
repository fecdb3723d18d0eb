//! OpenHands' command line.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::Value;

use super::{
    Agent, Connections, Launch, Places, Server, Setting, has_any, header_object, mcp_servers, with_labels,
};
use crate::edits::{Change, Format, Plan, value_at};

const URL: &str = "LLM_BASE_URL";
/// Without this option the variables are ignored.
const OVERRIDE: &str = "--override-with-envs";

/// OpenHands.
pub(super) struct OpenHands;

impl OpenHands {
    fn folder(at: &Setting<'_>) -> PathBuf {
        at.folder_of("OPENHANDS_PERSISTENCE_DIR", ".openhands")
    }

    fn settings(at: &Setting<'_>) -> PathBuf {
        Self::folder(at).join("agent_settings.json")
    }

    /// The model that works, and the one that shortens conversations, if its file names them.
    fn models(at: &Setting<'_>) -> impl Iterator<Item = &'static [&'static str]> {
        const MODELS: [&[&str]; 2] = [&["llm"], &["condenser", "llm"]];
        let file = Self::settings(at);
        MODELS
            .into_iter()
            .filter(move |names| value_at(&file, Format::Json, names).is_some_and(|it| it.is_object()))
    }

    fn change(at: &Setting<'_>, model: &[&str], names: &[&str], value: Value) -> Change {
        Change::new(Self::settings(at), Format::Json, &[model, names].concat(), value)
    }

    /// The labels of each model. A key with the value `null` is replaced as a whole.
    fn labels(&self, at: &Setting<'_>, with_project: bool) -> Vec<Change> {
        const HEADERS: &str = "extra_headers";
        let labels = at.labels(self, with_project);
        let mut changes = Vec::new();
        for model in Self::models(at) {
            let own = value_at(&Self::settings(at), Format::Json, &[model, &[HEADERS]].concat());
            if own.is_some_and(|own| own.is_object()) {
                let change = |(name, value): &(&'static str, String)| {
                    Self::change(at, model, &[HEADERS, name], value.as_str().into())
                };
                changes.extend(labels.iter().map(change));
            } else {
                changes.push(Self::change(at, model, &[HEADERS], header_object(&labels)));
            }
        }
        changes
    }

    /// Its library adds the version to Anthropic's paths, but not to OpenAI's.
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

    fn ways(&self) -> Connections {
        Connections {
            run: "`LLM_BASE_URL`",
            install: "`~/.openhands/agent_settings.json`",
            labels: "`extra_headers` in the same file, edited while it runs; none before OpenHands has made that file",
        }
    }

    fn launch(&self, at: &Setting<'_>, arguments: &[OsString]) -> anyhow::Result<Launch> {
        let mut launch = Launch::default();
        launch.set(URL, Self::url(at));
        if !has_any(arguments, &[OVERRIDE]) {
            launch.arguments.push(OVERRIDE.into());
        }
        launch.keep_upstream(at, URL, "OPENAI_TARGET_API_URL");
        launch.edits.changes = self.labels(at, true);
        Ok(launch)
    }

    fn install(&self, at: &Setting<'_>) -> anyhow::Result<Plan> {
        let file = Self::settings(at);
        let url = Self::url(at);
        let addresses =
            Self::models(at).map(|model| Self::change(at, model, &["base_url"], url.as_str().into()));
        let changes: Vec<Change> = addresses.collect();
        if changes.is_empty() {
            let remark = format!("{} names no model yet: start OpenHands once, then wrap it", file.display());
            return Ok(Plan { changes: Vec::new(), remarks: vec![remark] });
        }
        Ok(with_labels(Plan { changes, remarks: Vec::new() }, self.labels(at, false)))
    }

    fn places(&self, at: &Setting<'_>) -> Places {
        let folder = Self::folder(at);
        Places {
            logs: vec![folder.join("conversations")],
            instructions: vec![at.folder.join("AGENTS.md"), at.folder.join(".openhands/microagents")],
            mcp: Some(folder.join("mcp.json")),
            ..Places::default()
        }
    }

    fn register(&self, at: &Setting<'_>, server: &Server) -> Option<Change> {
        Some(mcp_servers(self.places(at).mcp?, server))
    }

    fn resumes(&self, arguments: &[OsString]) -> bool {
        has_any(arguments, &["--resume", "--last"])
    }
}
