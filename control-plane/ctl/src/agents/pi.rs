//! pi.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::Value;

use super::{Agent, Connections, Launch, Places, Server, Setting};
use crate::edits::{Change, Format, Plan, value_at};

/// pi.
pub(super) struct Pi;

impl Pi {
    fn folder(at: &Setting<'_>) -> PathBuf {
        at.folder_of("PI_CODING_AGENT_DIR", ".pi/agent")
    }

    /// The built-in providers keep their models and get another address.
    fn plan(&self, at: &Setting<'_>, with_project: bool) -> Plan {
        let file = Self::folder(at).join("models.json");
        let mut plan = Plan::default();
        let providers = [
            ("anthropic", at.url.clone()),
            ("openai", at.openai_url()),
            ("google", format!("{}/v1beta", at.url)),
        ];
        for (name, url) in providers {
            let own = value_at(&file, Format::Json, &["providers", name, "baseUrl"]);
            if let Some(own) = own.as_ref().and_then(Value::as_str)
                && at.is_elsewhere(own)
            {
                plan.remarks.push(format!("the provider {name} keeps its own address, {own}"));
                continue;
            }
            let change = |names: &[&str], value: Value| {
                Change::new(file.clone(), Format::Json, &[&["providers", name], names].concat(), value)
            };
            plan.changes.push(change(&["baseUrl"], url.into()));
            for (header, value) in at.labels(self, with_project) {
                plan.changes.push(change(&["headers", header], value.into()));
            }
        }
        plan
    }
}

impl Agent for Pi {
    fn name(&self) -> &'static str {
        "pi"
    }

    fn title(&self) -> &'static str {
        "pi"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["pi"]
    }

    fn ways(&self) -> Connections {
        Connections {
            run: "its `models.json`, edited while it runs",
            install: "the same file",
            labels: "the provider's `headers`",
        }
    }

    fn launch(&self, at: &Setting<'_>, _arguments: &[OsString]) -> anyhow::Result<Launch> {
        let mut plan = self.plan(at, true);
        let remarks = std::mem::take(&mut plan.remarks);
        Ok(Launch { edits: plan, remarks, ..Launch::default() })
    }

    fn install(&self, at: &Setting<'_>) -> anyhow::Result<Plan> {
        Ok(self.plan(at, false))
    }

    fn places(&self, at: &Setting<'_>) -> Places {
        let folder = Self::folder(at);
        let instructions = vec![folder.join("AGENTS.md"), at.folder.join("AGENTS.md")];
        Places { logs: vec![folder.join("sessions")], instructions, mcp: None, ..Places::default() }
    }

    fn register(&self, _at: &Setting<'_>, _server: &Server) -> Option<Change> {
        None
    }
}
