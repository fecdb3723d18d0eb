//! Cline's command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{
    Agent, Connections, Launch, Places, Server, Setting, has_any, mcp_servers, value_of, with_labels,
};
use crate::edits::{Change, Format, Plan, value_at};

/// Cline CLI.
pub(super) struct Cline;

impl Cline {
    fn data(at: &Setting<'_>) -> PathBuf {
        let folder = at.folder_of("CLINE_DIR", ".cline");
        at.env.get("CLINE_DATA_DIR").map_or_else(|| folder.join("data"), PathBuf::from)
    }

    fn plan(&self, at: &Setting<'_>, data: &Path, with_project: bool) -> Plan {
        let file = data.join("settings/providers.json");
        let providers = value_at(&file, Format::Json, &["providers"]);
        let providers = providers.as_ref().and_then(Value::as_object).into_iter().flatten();
        let (mut plan, mut labels) = (Plan::default(), Vec::new());
        for (id, provider) in providers {
            let kind = provider.pointer("/settings/provider").and_then(Value::as_str).unwrap_or(id);
            let url = match kind {
                "anthropic" => at.openai_url(),
                "openai" | "openai-native" | "openai-compatible" => at.openai_url(),
                "gemini" => format!("{}/v1beta", at.url),
                _ => continue,
            };
            let own = provider.pointer("/settings/baseUrl").and_then(Value::as_str).unwrap_or_default();
            if at.is_elsewhere(own) {
                plan.remarks.push(format!("the provider {id} keeps its own address, {own}"));
                continue;
            }
            let change = |names: &[&str], value: String| {
                Change::new(
                    file.clone(),
                    Format::Json,
                    &[&["providers", id, "settings"], names].concat(),
                    value,
                )
            };
            plan.changes.push(change(&["baseUrl"], url));
            let headers = at.labels(self, with_project).into_iter();
            labels.extend(headers.map(|(header, value)| change(&["headers", header], value)));
        }
        if plan.changes.is_empty() {
            plan.remarks.push(format!(
                "{} has no key of Anthropic, OpenAI or Gemini: nothing goes through Headroom. `cline auth` adds one; \
                 requests of a Cline account go to Cline's own servers",
                file.display()
            ));
        }
        with_labels(plan, labels)
    }
}

impl Agent for Cline {
    fn name(&self) -> &'static str {
        "cline"
    }

    fn title(&self) -> &'static str {
        "Cline CLI"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["cline"]
    }

    fn ways(&self) -> Connections {
        Connections {
            run: "its provider file, edited while it runs",
            install: "the same file",
            labels: "the provider's `headers`",
        }
    }

    fn launch(&self, at: &Setting<'_>, arguments: &[OsString]) -> anyhow::Result<Launch> {
        let data = value_of(arguments, "--data-dir");
        let data = data.map_or_else(|| Self::data(at), |(_, folder)| at.folder.join(folder));
        let mut plan = self.plan(at, &data, true);
        let remarks = std::mem::take(&mut plan.remarks);
        Ok(Launch { edits: plan, remarks, ..Launch::default() })
    }

    fn install(&self, at: &Setting<'_>) -> anyhow::Result<Plan> {
        Ok(self.plan(at, &Self::data(at), false))
    }

    fn places(&self, at: &Setting<'_>) -> Places {
        let data = Self::data(at);
        Places {
            logs: vec![data.join("sessions")],
            instructions: vec![at.folder.join(".clinerules")],
            mcp: Some(data.join("settings/cline_mcp_settings.json")),
            ..Places::default()
        }
    }

    fn register(&self, at: &Setting<'_>, server: &Server) -> Option<Change> {
        Some(mcp_servers(self.places(at).mcp?, server))
    }

    fn resumes(&self, arguments: &[OsString]) -> bool {
        has_any(arguments, &["--id", "--continue"])
    }
}
