//! Continue's command line, `cn`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Agent, Connections, Launch, Places, Server, Setting, value_of, with_labels};
use crate::edits::{Change, Format, Key, Plan, edited, value_at};

/// Continue.
pub(super) struct Continue;

impl Continue {
    fn config(at: &Setting<'_>) -> PathBuf {
        at.folder_of("CONTINUE_GLOBAL_DIR", ".continue").join("config.yaml")
    }

    /// Headroom's address for each model of a provider that it knows.
    fn plan(&self, at: &Setting<'_>, file: &Path, with_project: bool) -> Plan {
        let models = value_at(file, Format::Yaml, &["models"]);
        let models = models.as_ref().and_then(Value::as_array).into_iter().flatten();
        let (mut plan, mut labels) = (Plan::default(), Vec::new());
        for model in models {
            let text = |key: &str| model.get(key).and_then(Value::as_str);
            let url = match text("provider") {
                Some("openai") => at.openai_url(),
                Some("anthropic") => at.openai_url(),
                Some("gemini") => format!("{}/v1beta", at.url),
                _ => continue,
            };
            if let Some(own) = text("apiBase")
                && at.is_elsewhere(own)
            {
                plan.remarks
                    .push(format!("the model {} keeps its own address, {own}", text("name").unwrap_or("?")));
                continue;
            }
            let Some(name) = text("name") else { continue };
            let item = Key::Item { field: "name".to_owned(), is: name.to_owned() };
            let change = |names: &[&str], value: String| Change {
                file: file.to_owned(),
                format: Format::Yaml,
                path: [Key::Name("models".to_owned()), item.clone()]
                    .into_iter()
                    .chain(names.iter().map(|name| Key::Name((*name).to_owned())))
                    .collect(),
                value: value.into(),
            };
            plan.changes.push(change(&["apiBase"], url));
            let headers = at.labels(self, with_project).into_iter();
            labels
                .extend(headers.map(|(header, value)| change(&["requestOptions", "headers", header], value)));
        }
        if plan.changes.is_empty() {
            plan.remarks.push(format!(
                "{} lists no model of OpenAI, Anthropic or Gemini with a name: nothing goes through Headroom. \
                 Models from Continue's hub do not go through it either",
                file.display()
            ));
        }
        with_labels(plan, labels)
    }
}

impl Agent for Continue {
    fn name(&self) -> &'static str {
        "continue"
    }

    fn title(&self) -> &'static str {
        "Continue"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["cn"]
    }

    fn ways(&self) -> Connections {
        Connections {
            run: "`--config` with a copy",
            install: "`~/.continue/config.yaml`",
            labels: "the model's `requestOptions`",
        }
    }

    fn launch(&self, at: &Setting<'_>, arguments: &[OsString]) -> anyhow::Result<Launch> {
        let given = value_of(arguments, "--config");
        let file = given.map_or_else(|| Self::config(at), |(_, file)| at.folder.join(file));
        let mut plan = self.plan(at, &file, true);
        let mut launch = Launch { remarks: std::mem::take(&mut plan.remarks), ..Launch::default() };
        if plan.changes.is_empty() {
            return Ok(launch);
        }
        // No copy if the file already contains everything.
        let Some(copy) = edited(&plan)?.into_iter().next() else { return Ok(launch) };
        launch.file = Some(("config.yaml", copy));
        if let Some((place, _)) = given {
            let mut replaced = arguments.to_vec();
            let options = if replaced[place] == "--config" { 2 } else { 1 };
            replaced.drain(place..place + options);
            launch.replaced = Some(replaced);
        }
        launch.arguments = vec!["--config".into(), Launch::FILE.into()];
        Ok(launch)
    }

    fn install(&self, at: &Setting<'_>) -> anyhow::Result<Plan> {
        Ok(self.plan(at, &Self::config(at), false))
    }

    fn places(&self, at: &Setting<'_>) -> Places {
        let folder = at.folder_of("CONTINUE_GLOBAL_DIR", ".continue");
        Places {
            logs: vec![folder.join("sessions")],
            instructions: vec![at.folder.join(".continue/rules")],
            mcp: Some(Self::config(at)),
            ..Places::default()
        }
    }

    fn register(&self, at: &Setting<'_>, server: &Server) -> Option<Change> {
        let item = Key::Item { field: "name".to_owned(), is: server.name.to_owned() };
        Some(Change {
            file: Self::config(at),
            format: Format::Yaml,
            path: vec![Key::Name("mcpServers".to_owned()), item],
            value: json!({"name": server.name, "command": server.command, "args": server.arguments}),
        })
    }
}
