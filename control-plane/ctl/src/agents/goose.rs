//! Goose.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::json;

use super::{Agent, Connections, Launch, Places, Server, Setting};
use crate::edits::{Change, Format, Plan, value_at};

/// The newer name of OpenAI's address, with the version. In the file it overrides the host. A host in a variable
/// overrides both.
const BASE_URL: &str = "OPENAI_BASE_URL";
const HOST: &str = "OPENAI_HOST";
/// `name=value` separated by commas, for OpenAI's models. Goose treats it as a secret, so no settings file contains
/// it.
const HEADERS: &str = "OPENAI_CUSTOM_HEADERS";

/// Goose.
pub(super) struct Goose;

impl Goose {
    fn config(at: &Setting<'_>) -> PathBuf {
        at.config_home().join("goose/config.yaml")
    }

    fn in_config(at: &Setting<'_>, name: &str) -> Option<String> {
        value_at(&Self::config(at), Format::Yaml, &[name])?.as_str().map(str::to_owned)
    }

    /// The gateway that its file names for OpenAI's models.
    fn gateway(at: &Setting<'_>) -> Option<String> {
        let named = Self::in_config(at, BASE_URL).or_else(|| Self::in_config(at, HOST));
        named.filter(|url| at.is_elsewhere(url))
    }

    /// Hosts without a path, because Goose adds the path.
    fn hosts(at: &Setting<'_>) -> [(&'static str, String); 3] {
        [HOST, "ANTHROPIC_HOST", "GOOGLE_HOST"].map(|name| (name, at.url.clone()))
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

    fn ways(&self) -> Connections {
        Connections {
            run: "`OPENAI_HOST`, `ANTHROPIC_HOST`, `GOOGLE_HOST`",
            install: "`~/.config/goose/config.yaml`",
            labels: "`OPENAI_CUSTOM_HEADERS` for one run, with OpenAI's models; it takes none for others",
        }
    }

    fn launch(&self, at: &Setting<'_>, _arguments: &[OsString]) -> anyhow::Result<Launch> {
        let mut launch = Launch { variables: Self::hosts(at).into(), ..Launch::default() };
        if at.env.get(BASE_URL).is_some() {
            launch.set(BASE_URL, at.openai_url());
        }
        launch.keep_upstream(at, HOST, "OPENAI_TARGET_API_URL");
        launch.keep_upstream(at, BASE_URL, "OPENAI_TARGET_API_URL");
        launch.keep_upstream(at, "ANTHROPIC_HOST", "ANTHROPIC_TARGET_API_URL");
        let gateway = Self::gateway(at);
        if launch.upstreams.is_empty() {
            launch.upstreams.extend(gateway.clone().map(|url| ("OPENAI_TARGET_API_URL", url)));
        }
        let own = at.env.get(HEADERS);
        // A gateway's own headers may be among the secrets, and a variable would hide them.
        if own.is_some() || gateway.is_none() {
            let own = own.unwrap_or_default();
            let own = own.split(',').filter(|it| !it.trim().is_empty() && !it.contains("x-headroom-"));
            let ours = at.labels(self, true).into_iter().map(|(name, value)| format!("{name}={value}"));
            let all: Vec<String> = own.map(str::to_owned).chain(ours).collect();
            launch.set(HEADERS, all.join(","));
        }
        Ok(launch)
    }

    fn install(&self, at: &Setting<'_>) -> anyhow::Result<Plan> {
        let base = Self::in_config(at, BASE_URL).map(|_| (BASE_URL, at.openai_url()));
        let changes = Self::hosts(at)
            .into_iter()
            .chain(base)
            .map(|(name, url)| Change::new(Self::config(at), Format::Yaml, &[name], url))
            .collect();
        Ok(Plan { changes, remarks: Vec::new() })
    }

    fn places(&self, at: &Setting<'_>) -> Places {
        let data = at.folder_of("XDG_DATA_HOME", ".local/share").join("goose");
        Places {
            logs: vec![data.join("sessions")],
            instructions: vec![at.folder.join(".goosehints"), at.folder.join("AGENTS.md")],
            mcp: Some(Self::config(at)),
            ..Places::default()
        }
    }

    fn register(&self, at: &Setting<'_>, server: &Server) -> Option<Change> {
        let entry = json!({"enabled": true, "type": "stdio", "name": server.name, "cmd": server.command,
            "args": server.arguments, "timeout": 300});
        Some(Change::new(Self::config(at), Format::Yaml, &["extensions", server.name], entry))
    }
}
