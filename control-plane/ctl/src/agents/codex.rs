//! Codex.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::program::said;
use super::{
    Agent, Connections, Launch, Places, Server, Setting, TARGETS, find_program, has_any, header_object,
};
use crate::edits::{Change, Format, Plan, value_at};

/// The provider's id in Codex's settings, the same as upstream's.
const PROVIDER: &str = "headroom";

/// How Codex authenticates.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Login {
    /// A ChatGPT account, whose requests go to a different service.
    ChatGpt,
    /// An API key that Codex keeps.
    Key,
    /// Codex keeps no login; the variable may hold a key.
    None,
}

/// Codex.
pub(super) struct Codex;

impl Codex {
    fn folder(at: &Setting<'_>) -> PathBuf {
        at.folder_of("CODEX_HOME", ".codex")
    }

    fn config(at: &Setting<'_>) -> PathBuf {
        Self::folder(at).join("config.toml")
    }

    fn login(at: &Setting<'_>) -> Login {
        let file = Self::folder(at).join("auth.json");
        let stored = |name: &str| value_at(&file, Format::Json, &[name]).filter(|value| !value.is_null());
        let mode = stored("auth_mode").and_then(|mode| mode.as_str().map(str::to_ascii_lowercase));
        match mode.as_deref() {
            Some("apikey") => return Login::Key,
            Some(_) => return Login::ChatGpt,
            None => {}
        }
        if stored("tokens").is_some() {
            return Login::ChatGpt;
        }
        if stored("OPENAI_API_KEY").is_some() {
            return Login::Key;
        }
        // A keyring holds it outside of any file. Codex itself can report it.
        let status = find_program(at.env, &["codex"]).and_then(|codex| said(&codex, &["login", "status"]));
        match status {
            Some(status) if status.contains("ChatGPT") => Login::ChatGpt,
            Some(status) if status.contains("API key") => Login::Key,
            _ => Login::None,
        }
    }

    fn base_url(at: &Setting<'_>, login: Login) -> String {
        match login {
            Login::ChatGpt => format!("{}/backend-api/codex", at.url),
            Login::Key | Login::None => at.openai_url(),
        }
    }

    /// A provider over plain HTTP. It has no `env_key`, because Codex would then refuse every ChatGPT login.
    fn provider(at: &Setting<'_>, login: Login, with_project: bool) -> Value {
        json!({
            "name": "OpenAI via Headroom",
            "base_url": Self::base_url(at, login),
            "wire_api": "responses",
            "requires_openai_auth": true,
            "supports_websockets": false,
            "http_headers": header_object(&at.labels(&Self, with_project)),
        })
    }

    fn remarks(at: &Setting<'_>, login: Login) -> Vec<String> {
        let config = Self::config(at);
        let mut remarks = Vec::new();
        if at.keep_history && login == Login::ChatGpt {
            remarks.push(
                "with a ChatGPT login, --keep-history makes Codex look up its workspace's address first, and it \
                 may refuse; the provider of its own, without --keep-history, is what works"
                    .to_owned(),
            );
        }
        if let Some(profile) =
            value_at(&config, Format::Toml, &["profile"]).and_then(|it| it.as_str().map(str::to_owned))
            && value_at(&config, Format::Toml, &["profiles", &profile, "model_provider"]).is_some()
        {
            remarks.push(format!("the profile {profile} names a provider of its own, which wins"));
        }
        remarks
    }

    fn about_history(at: &Setting<'_>) -> Option<String> {
        let remark = "Codex lists old conversations by provider: `codex resume` shows earlier ones only \
                      without the wrap, or with --keep-history";
        (!at.keep_history).then(|| remark.to_owned())
    }

    /// A value as TOML on one line.
    fn inline(value: &Value) -> String {
        match value {
            Value::Object(entries) => {
                let entries: Vec<String> =
                    entries.iter().map(|(name, value)| format!("{name}={}", Self::inline(value))).collect();
                format!("{{{}}}", entries.join(","))
            }
            // JSON's strings and flags are TOML's.
            other => other.to_string(),
        }
    }
}

impl Agent for Codex {
    fn name(&self) -> &'static str {
        "codex"
    }

    fn title(&self) -> &'static str {
        "Codex"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["codex"]
    }

    fn ways(&self) -> Connections {
        Connections {
            run: "`-c` options",
            install: "a provider in `~/.codex/config.toml`",
            labels: "the provider's `http_headers`; none with `--keep-history`",
        }
    }

    fn targets(&self) -> &'static [&'static str] {
        &TARGETS[1..2]
    }

    fn launch(&self, at: &Setting<'_>, arguments: &[OsString]) -> anyhow::Result<Launch> {
        let login = Self::login(at);
        let mut launch = Launch { remarks: Self::remarks(at, login), ..Launch::default() };
        if self.resumes(arguments) {
            launch.remarks.extend(Self::about_history(at));
        }
        let mut options = Vec::new();
        if at.keep_history {
            options.push(format!("openai_base_url={}", Value::from(Self::base_url(at, login))));
        } else {
            let mut provider = Self::provider(at, login, true);
            if login == Login::None && at.env.get("OPENAI_API_KEY").is_some() {
                provider["env_key"] = "OPENAI_API_KEY".into();
                provider["requires_openai_auth"] = false.into();
            }
            options.push(format!("model_provider=\"{PROVIDER}\""));
            options.push(format!("model_providers.{PROVIDER}={}", Self::inline(&provider)));
        }
        for option in options {
            launch.arguments.extend(["-c".into(), option.into()]);
        }
        launch.keep_upstream(at, "OPENAI_BASE_URL", "OPENAI_TARGET_API_URL");
        Ok(launch)
    }

    fn install(&self, at: &Setting<'_>) -> anyhow::Result<Plan> {
        let (file, login) = (Self::config(at), Self::login(at));
        let mut remarks = Self::remarks(at, login);
        remarks.extend(Self::about_history(at));
        let change = |names: &[&str], value: Value| Change::new(file.clone(), Format::Toml, names, value);
        let changes = if at.keep_history {
            vec![change(&["openai_base_url"], Self::base_url(at, login).into())]
        } else {
            vec![
                change(&["model_provider"], PROVIDER.into()),
                change(&["model_providers", PROVIDER], Self::provider(at, login, false)),
            ]
        };
        match login {
            Login::None => remarks.push(
                "Codex has no login of its own yet: `codex login`, or `codex login --with-api-key`, then wrap \
                 again; Codex reads no key in OPENAI_API_KEY for a provider that needs a login"
                    .to_owned(),
            ),
            Login::ChatGpt => remarks.push("after another `codex login`, with a key, wrap again".to_owned()),
            Login::Key => remarks.push("after another `codex login`, with ChatGPT, wrap again".to_owned()),
        }
        Ok(Plan { changes, remarks })
    }

    fn places(&self, at: &Setting<'_>) -> Places {
        let folder = Self::folder(at);
        Places {
            logs: vec![folder.join("sessions"), folder.join("archived_sessions")],
            instructions: vec![folder.join("AGENTS.md"), at.folder.join("AGENTS.md")],
            mcp: Some(folder.join("config.toml")),
            ..Places::default()
        }
    }

    fn register(&self, at: &Setting<'_>, server: &Server) -> Option<Change> {
        let entry = json!({"command": server.command, "args": server.arguments});
        Some(Change::new(Self::config(at), Format::Toml, &["mcp_servers", server.name], entry))
    }

    fn resumes(&self, arguments: &[OsString]) -> bool {
        has_any(arguments, &["resume", "fork"])
    }
}
