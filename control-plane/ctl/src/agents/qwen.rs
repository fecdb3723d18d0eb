//! Qwen Code.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Agent, Connections, Launch, Places, Server, Setting, TARGETS, mcp_servers, with_labels};
use crate::edits::{Change, Format, Plan, edited};

const URL: &str = "OPENAI_BASE_URL";
/// Names the file of settings with the lowest priority.
const DEFAULTS: &str = "QWEN_CODE_SYSTEM_DEFAULTS_PATH";
/// That file by default.
const DEFAULTS_FILE: &str = if cfg!(target_os = "macos") {
    "/Library/Application Support/QwenCode/system-defaults.json"
} else {
    "/etc/qwen-code/system-defaults.json"
};

/// Qwen Code.
pub(super) struct Qwen;

impl Qwen {
    fn folder(at: &Setting<'_>) -> PathBuf {
        at.home.join(".qwen")
    }

    /// The labels, in the form of its settings.
    fn labels(&self, at: &Setting<'_>, file: &Path, with_project: bool) -> Vec<Change> {
        let labels = at.labels(self, with_project).into_iter();
        let path = |name| ["model", "generationConfig", "customHeaders", name];
        labels.map(|(name, value)| Change::new(file.to_owned(), Format::Json, &path(name), value)).collect()
    }

    /// Its own login goes to a service that Headroom does not know.
    fn remarks(at: &Setting<'_>) -> Vec<String> {
        if at.env.get("OPENAI_API_KEY").is_some() {
            return Vec::new();
        }
        vec![
            "only requests with OPENAI_API_KEY go through Headroom: a Qwen login goes to Qwen's own service"
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

    fn ways(&self) -> Connections {
        Connections {
            run: "`OPENAI_BASE_URL`",
            install: "`~/.qwen/.env`, `~/.qwen/settings.json`",
            labels: "`customHeaders` in its settings",
        }
    }

    fn targets(&self) -> &'static [&'static str] {
        &TARGETS[1..2]
    }

    fn launch(&self, at: &Setting<'_>, _arguments: &[OsString]) -> anyhow::Result<Launch> {
        let mut launch = Launch { remarks: Self::remarks(at), ..Launch::default() };
        launch.set(URL, at.openai_url());
        launch.keep_upstream(at, URL, "OPENAI_TARGET_API_URL");
        let defaults = at.env.get(DEFAULTS).unwrap_or_else(|| DEFAULTS_FILE.to_owned());
        let changes = self.labels(at, Path::new(&defaults), true);
        // If the file is broken, Qwen Code reports it.
        if let Ok([copy]) = edited(&Plan { changes, remarks: Vec::new() }).as_deref() {
            launch.file = Some(("defaults.json", copy.clone()));
            launch.set(DEFAULTS, Launch::FILE);
        }
        Ok(launch)
    }

    fn install(&self, at: &Setting<'_>) -> anyhow::Result<Plan> {
        let change = Change::new(Self::folder(at).join(".env"), Format::DotEnv, &[URL], at.openai_url());
        let mut remarks = Self::remarks(at);
        remarks
            .push("Qwen Code does not read ~/.qwen/.env in a project that has an .env of its own".to_owned());
        let plan = Plan { changes: vec![change], remarks };
        Ok(with_labels(plan, self.labels(at, &Self::folder(at).join("settings.json"), false)))
    }

    fn places(&self, at: &Setting<'_>) -> Places {
        let folder = Self::folder(at);
        Places {
            logs: vec![folder.join("projects")],
            instructions: vec![folder.join("QWEN.md"), at.folder.join("QWEN.md")],
            mcp: Some(folder.join("settings.json")),
            ..Places::default()
        }
    }

    fn register(&self, at: &Setting<'_>, server: &Server) -> Option<Change> {
        Some(mcp_servers(self.places(at).mcp?, server))
    }
}
