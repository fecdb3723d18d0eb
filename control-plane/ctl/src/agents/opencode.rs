//! OpenCode.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Map, Value, json};

use super::{Agent, Connections, Launch, Places, Server, Setting, header_object};
use crate::edits::{Change, Format, Plan, value_at};

/// Configuration that overrides every file except the administrator's.
const CONTENT: &str = "OPENCODE_CONFIG_CONTENT";

/// OpenCode's providers, the variables with their keys, and the version in the paths.
const PROVIDERS: [(&str, &[&str], &str); 3] = [
    ("anthropic", &["ANTHROPIC_API_KEY"], "/v1"),
    ("openai", &["OPENAI_API_KEY"], "/v1"),
    ("google", &["GOOGLE_GENERATIVE_AI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY"], "/v1beta"),
];

/// OpenCode.
pub(super) struct OpenCode;

impl OpenCode {
    fn folder(at: &Setting<'_>) -> PathBuf {
        at.config_home().join("opencode")
    }

    /// The user's file: the one with comments, if it exists.
    fn config(at: &Setting<'_>) -> PathBuf {
        let folder = Self::folder(at);
        let names = ["opencode.jsonc", "opencode.json"];
        let found = names.iter().map(|name| folder.join(name)).find(|path| path.exists());
        found.unwrap_or_else(|| folder.join("opencode.json"))
    }

    fn data(at: &Setting<'_>) -> PathBuf {
        at.folder_of("XDG_DATA_HOME", ".local/share").join("opencode")
    }

    /// The providers for which the user has a key. If another one were configured, OpenCode would
    /// offer its models.
    fn providers<'a>(at: &'a Setting<'_>) -> impl Iterator<Item = (&'static str, String)> + 'a {
        let (auth, config) = (Self::data(at).join("auth.json"), Self::config(at));
        PROVIDERS.iter().filter_map(move |(name, variables, version)| {
            let login = value_at(&auth, Format::Json, &[name, "type"]);
            // A ChatGPT account's requests do not go to a base URL.
            if *name == "openai" && login.as_ref().and_then(Value::as_str) == Some("oauth") {
                return None;
            }
            let has_key = login.is_some()
                || variables.iter().any(|variable| at.env.get(variable).is_some())
                || value_at(&config, Format::Json, &["provider", name]).is_some();
            has_key.then(|| (*name, format!("{}{version}", at.url)))
        })
    }

    fn remarks(at: &Setting<'_>) -> Vec<String> {
        let config = Self::config(at);
        let others = value_at(&config, Format::Json, &["provider"]);
        let others = others.as_ref().and_then(Value::as_object).into_iter().flatten();
        let others: Vec<&str> = others
            .filter(|(name, it)| {
                it.pointer("/options/baseURL").is_some() && !PROVIDERS.iter().any(|(known, ..)| known == name)
            })
            .map(|(name, _)| name.as_str())
            .collect();
        let mut remarks = Vec::new();
        if !others.is_empty() {
            remarks.push(format!(
                "these providers have addresses of their own and do not go through Headroom: {}",
                others.join(", ")
            ));
        }
        if Self::providers(at).next().is_none() {
            remarks.push(
                "no key of Anthropic, OpenAI or Google was found for it: log in first, or nothing goes through Headroom"
                    .to_owned(),
            );
        }
        remarks
    }

    fn options(&self, at: &Setting<'_>, url: &str, with_project: bool) -> Value {
        json!({"baseURL": url, "headers": header_object(&at.labels(self, with_project))})
    }
}

impl Agent for OpenCode {
    fn name(&self) -> &'static str {
        "opencode"
    }

    fn title(&self) -> &'static str {
        "OpenCode"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["opencode"]
    }

    fn ways(&self) -> Connections {
        Connections {
            run: "`OPENCODE_CONFIG_CONTENT`",
            install: "`~/.config/opencode/opencode.json` or `.jsonc`",
            labels: "the provider's `headers`",
        }
    }

    fn launch(&self, at: &Setting<'_>, _arguments: &[OsString]) -> anyhow::Result<Launch> {
        let mut launch = Launch { remarks: Self::remarks(at), ..Launch::default() };
        let mut content = match at.env.get(CONTENT) {
            None => Value::Object(Map::new()),
            Some(own) => serde_json::from_str(&own).with_context(|| format!("{CONTENT} is not JSON"))?,
        };
        anyhow::ensure!(content.is_object(), "{CONTENT} was expected to be an object");
        for (name, url) in Self::providers(at) {
            let provider = &mut content["provider"][name]["options"];
            for (key, value) in self.options(at, &url, true).as_object().into_iter().flatten() {
                provider[key] = value.clone();
            }
        }
        launch.set(CONTENT, content.to_string());
        Ok(launch)
    }

    fn install(&self, at: &Setting<'_>) -> anyhow::Result<Plan> {
        let file = Self::config(at);
        let mut changes = Vec::new();
        for (name, url) in Self::providers(at) {
            let change = |names: &[&str], value: Value| {
                let path = [&["provider", name, "options"], names].concat();
                Change::new(file.clone(), Format::Json, &path, value)
            };
            changes.push(change(&["baseURL"], url.into()));
            for (header, value) in at.labels(self, false) {
                changes.push(change(&["headers", header], value.into()));
            }
        }
        Ok(Plan { changes, remarks: Self::remarks(at) })
    }

    fn places(&self, at: &Setting<'_>) -> Places {
        let data = Self::data(at);
        Places {
            logs: vec![data.join("opencode.db"), data.join("storage")],
            instructions: vec![Self::folder(at).join("AGENTS.md"), at.folder.join("AGENTS.md")],
            mcp: Some(Self::config(at)),
            ..Places::default()
        }
    }

    fn register(&self, at: &Setting<'_>, server: &Server) -> Option<Change> {
        let command: Vec<&String> = std::iter::once(&server.command).chain(&server.arguments).collect();
        let entry = json!({"type": "local", "command": command, "enabled": true});
        Some(Change::new(Self::config(at), Format::Json, &["mcp", server.name], entry))
    }
}
