//! Qwen Code.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{Agent, Launch, Places, Server, Setting, TARGETS, mcp_servers};
use crate::edits::{Change, Format, Plan};

const URL: &str = "OPENAI_BASE_URL";

/// Qwen Code.
pub(super) struct Qwen;

impl Qwen {
    fn folder(at: &Setting<'_>) -> PathBuf {
        at.home.join(".qwen")
    }

    /// Its own login goes to a service that Headroom does not know.
    fn remarks(at: &Setting<'_>) -> Vec<String> {
        if at.env.get("OPENAI_API_KEY").is_some() {
            return Vec::new();
        }
        vec![
            "only requests with OPENAI_API_KEY pass Headroom: a Qwen login goes to Qwen's own service"
                .to_owned(),
        ]
    }
}

impl Agent for Qwen {
    fn name(&self) -> &'static str {
        "qwen"
    }

    fn title(&self) -> &'static str {
        "Qwen Code"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["qwen"]
    }

    fn how(&self) -> &'static str {
        "OPENAI_BASE_URL; --install: ~/.qwen/.env"
    }

    fn targets(&self) -> &'static [&'static str] {
        &TARGETS[1..2]
    }

    fn launch(&self, at: &Setting<'_>, _arguments: &[OsString]) -> anyhow::Result<Launch> {
        let mut launch = Launch { remarks: Self::remarks(at), ..Launch::default() };
        launch.set(URL, at.openai_url());
        launch.keep_upstream(at, URL, "OPENAI_TARGET_API_URL");
        Ok(launch)
    }

    fn install(&self, at: &Setting<'_>) -> anyhow::Result<Plan> {
        let change = Change::new(Self::folder(at).join(".env"), Format::DotEnv, &[URL], at.openai_url());
        let mut remarks = Self::remarks(at);
        remarks
            .push("Qwen Code does not read ~/.qwen/.env in a project that has an .env of its own".to_owned());
        Ok(Plan { changes: vec![change], remarks })
    }

    fn places(&self, at: &Setting<'_>) -> Places {
        let folder = Self::folder(at);
        Places {
            logs: vec![folder.join("projects")],
            instructions: vec![folder.join("QWEN.md"), at.folder.join("QWEN.md")],
            mcp: Some(folder.join("settings.json")),
        }
    }

    fn register(&self, at: &Setting<'_>, server: &Server) -> Option<Change> {
        Some(mcp_servers(self.places(at).mcp?, server))
    }
}
