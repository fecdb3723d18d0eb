//! Goose.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::json;

use super::{Agent, Launch, Places, Server, Setting};
use crate::edits::{Change, Format, Plan};

/// Goose.
pub(super) struct Goose;

impl Goose {
    fn config(at: &Setting<'_>) -> PathBuf {
        at.config_home().join("goose/config.yaml")
    }

    /// Hosts without a path: Goose adds its own.
    fn hosts(at: &Setting<'_>) -> [(&'static str, String); 3] {
        ["OPENAI_HOST", "ANTHROPIC_HOST", "GOOGLE_HOST"].map(|name| (name, at.url.clone()))
    }
}

impl Agent for Goose {
    fn name(&self) -> &'static str {
        "goose"
    }

    fn title(&self) -> &'static str {
        "Goose"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["goose"]
    }

    fn how(&self) -> &'static str {
        "OPENAI_HOST, ANTHROPIC_HOST, GOOGLE_HOST; --install: ~/.config/goose/config.yaml"
    }

    fn launch(&self, at: &Setting<'_>, _arguments: &[OsString]) -> anyhow::Result<Launch> {
        let mut launch = Launch { variables: Self::hosts(at).into(), ..Launch::default() };
        // Newer versions prefer this one.
        if at.env.get("OPENAI_BASE_URL").is_some() {
            launch.set("OPENAI_BASE_URL", at.openai_url());
        }
        launch.keep_upstream(at, "OPENAI_BASE_URL", "OPENAI_TARGET_API_URL");
        launch.keep_upstream(at, "OPENAI_HOST", "OPENAI_TARGET_API_URL");
        launch.keep_upstream(at, "ANTHROPIC_HOST", "ANTHROPIC_TARGET_API_URL");
        Ok(launch)
    }

    fn install(&self, at: &Setting<'_>) -> anyhow::Result<Plan> {
        let hosts = Self::hosts(at).into_iter();
        let changes =
            hosts.map(|(name, url)| Change::new(Self::config(at), Format::Yaml, &[name], url)).collect();
        Ok(Plan { changes, remarks: Vec::new() })
    }

    fn places(&self, at: &Setting<'_>) -> Places {
        let data = at.folder_of("XDG_DATA_HOME", ".local/share").join("goose");
        Places {
            logs: vec![data.join("sessions")],
            instructions: vec![at.folder.join(".goosehints"), at.folder.join("AGENTS.md")],
            mcp: Some(Self::config(at)),
        }
    }

    fn register(&self, at: &Setting<'_>, server: &Server) -> Option<Change> {
        let entry = json!({"enabled": true, "type": "stdio", "name": server.name, "cmd": server.command,
            "args": server.arguments, "timeout": 300});
        Some(Change::new(Self::config(at), Format::Yaml, &["extensions", server.name], entry))
    }
}
