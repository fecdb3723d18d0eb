//! GitHub Copilot CLI with the user's own key.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::json;

use super::{Agent, Connections, Launch, Places, Server, Setting, headers_after, shell_block};
use crate::edits::{Change, Format, Plan};

const URL: &str = "COPILOT_PROVIDER_BASE_URL";
/// One header per line. They are sent to the provider and not to GitHub.
const HEADERS: &str = "COPILOT_PROVIDER_HEADERS";

/// GitHub Copilot CLI.
pub(super) struct Copilot;

impl Copilot {
    fn folder(at: &Setting<'_>) -> PathBuf {
        at.folder_of("COPILOT_HOME", ".copilot")
    }

    /// Whether requests go to a provider with the user's key, and not to GitHub.
    fn has_own_key(at: &Setting<'_>) -> bool {
        ["COPILOT_PROVIDER_API_KEY", URL, "COPILOT_PROVIDER_TYPE"]
            .iter()
            .any(|name| at.env.get(name).is_some())
    }

    fn is_anthropic(at: &Setting<'_>) -> bool {
        at.env.get("COPILOT_PROVIDER_TYPE").is_some_and(|kind| kind == "anthropic")
    }

    fn url(at: &Setting<'_>) -> String {
        if Self::is_anthropic(at) { at.url.clone() } else { at.openai_url() }
    }

    fn variables(&self, at: &Setting<'_>, with_project: bool) -> Vec<(&'static str, String)> {
        let headers = headers_after(at.env.get(HEADERS), &at.labels(self, with_project));
        vec![(URL, Self::url(at)), (HEADERS, headers)]
    }

    /// The message that is shown for a subscription, which is not redirected.
    fn subscription() -> String {
        "Copilot CLI sends a subscription's requests to GitHub and takes no other address: nothing goes through Headroom. \
         With a key of your own it does: set COPILOT_PROVIDER_TYPE, COPILOT_PROVIDER_API_KEY and COPILOT_MODEL"
            .to_owned()
    }
}

impl Agent for Copilot {
    fn name(&self) -> &'static str {
        "copilot"
    }

    fn title(&self) -> &'static str {
        "Copilot CLI"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["copilot"]
    }

    fn ways(&self) -> Connections {
        Connections {
            run: "`COPILOT_PROVIDER_BASE_URL`",
            install: "the shell's profile",
            labels: "`COPILOT_PROVIDER_HEADERS`",
        }
    }

    fn launch(&self, at: &Setting<'_>, _arguments: &[OsString]) -> anyhow::Result<Launch> {
        let mut launch = Launch::default();
        if !Self::has_own_key(at) {
            launch.remarks.push(Self::subscription());
            return Ok(launch);
        }
        if at.env.get("COPILOT_PROVIDER_TYPE").is_some_and(|kind| kind == "azure") {
            launch.remarks.push("its provider is Azure, and Headroom does not know its address".to_owned());
            return Ok(launch);
        }
        launch.variables = self.variables(at, true);
        let target =
            if Self::is_anthropic(at) { "ANTHROPIC_TARGET_API_URL" } else { "OPENAI_TARGET_API_URL" };
        launch.keep_upstream(at, URL, target);
        Ok(launch)
    }

    fn install(&self, at: &Setting<'_>) -> anyhow::Result<Plan> {
        if !Self::has_own_key(at) {
            return Ok(Plan { changes: Vec::new(), remarks: vec![Self::subscription()] });
        }
        let changes = vec![shell_block(at, self, &self.variables(at, false))];
        Ok(Plan { changes, remarks: vec!["a new shell has the address".to_owned()] })
    }

    fn places(&self, at: &Setting<'_>) -> Places {
        let folder = Self::folder(at);
        Places {
            logs: vec![folder.join("session-state")],
            instructions: vec![
                folder.join("copilot-instructions.md"),
                at.folder.join(".github/copilot-instructions.md"),
            ],
            mcp: Some(folder.join("mcp-config.json")),
            ..Places::default()
        }
    }

    fn register(&self, at: &Setting<'_>, server: &Server) -> Option<Change> {
        let entry =
            json!({"type": "local", "command": server.command, "args": server.arguments, "tools": ["*"]});
        Some(Change::new(self.places(at).mcp?, Format::Json, &["mcpServers", server.name], entry))
    }
}
