//! Claude Code.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Map, Value, json};

use super::{
    Agent, Connections, Launch, Places, Server, Setting, TARGETS, headers_after, mcp_servers, session_start,
    value_of,
};
use crate::edits::{Change, Format, Plan, value_at};

const URL: &str = "ANTHROPIC_BASE_URL";
const HEADERS: &str = "ANTHROPIC_CUSTOM_HEADERS";

/// Variables that make Claude Code use clouds, whose requests do not pass through Headroom.
const CLOUDS: [(&str, &str); 3] = [
    ("CLAUDE_CODE_USE_BEDROCK", "Amazon Bedrock"),
    ("CLAUDE_CODE_USE_VERTEX", "Vertex AI"),
    ("CLAUDE_CODE_USE_FOUNDRY", "Microsoft Foundry"),
];

/// Claude Code.
pub(super) struct Claude;

impl Claude {
    fn folder(at: &Setting<'_>) -> PathBuf {
        at.folder_of("CLAUDE_CONFIG_DIR", ".claude")
    }

    /// The files whose `env` overrides the shell's variables, the strongest first.
    fn settings(at: &Setting<'_>) -> [PathBuf; 3] {
        [
            at.folder.join(".claude/settings.local.json"),
            at.folder.join(".claude/settings.json"),
            Self::folder(at).join("settings.json"),
        ]
    }

    fn in_settings(at: &Setting<'_>, variable: &str) -> Option<String> {
        let files = Self::settings(at);
        let mut found = files.iter().filter_map(|file| value_at(file, Format::Json, &["env", variable]));
        found.next()?.as_str().map(str::to_owned)
    }

    fn remarks(at: &Setting<'_>) -> Vec<String> {
        let set = |variable: &str| {
            at.env.get(variable).or_else(|| Self::in_settings(at, variable)).is_some_and(|value| value != "0")
        };
        let clouds = CLOUDS.iter().filter(|(variable, _)| set(variable));
        clouds
            .map(|(variable, cloud)| {
                format!("{variable} is set: its requests go to {cloud} and do not go through Headroom")
            })
            .collect()
    }

    /// Settings on the command line override every file except the administrator's.
    fn on_command_line(
        launch: &mut Launch,
        arguments: &[OsString],
        env: Map<String, Value>,
    ) -> anyhow::Result<()> {
        let Some((place, given)) = value_of(arguments, "--settings") else {
            launch.arguments.extend(["--settings".into(), json!({"env": env}).to_string().into()]);
            return Ok(());
        };
        let given = given.to_str().context("--settings was expected to be text")?;
        let text = if given.trim_start().starts_with('{') {
            given.to_owned()
        } else {
            std::fs::read_to_string(given).with_context(|| format!("--settings {given}"))?
        };
        let mut settings: Value =
            serde_json::from_str(&text).with_context(|| format!("--settings {given} is not JSON"))?;
        for (name, value) in env {
            settings["env"][name] = value;
        }
        let mut replaced = arguments.to_vec();
        let whole = replaced[place] == "--settings";
        let value = settings.to_string();
        if whole {
            replaced[place + 1] = value.into();
        } else {
            replaced[place] = format!("--settings={value}").into();
        }
        launch.replaced = Some(replaced);
        Ok(())
    }
}

impl Agent for Claude {
    fn name(&self) -> &'static str {
        "claude"
    }

    fn title(&self) -> &'static str {
        "Claude Code"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["claude"]
    }

    fn ways(&self) -> Connections {
        Connections {
            run: "`ANTHROPIC_BASE_URL`; `--settings` where a settings file names another address, which would win",
            install: "`env` in `~/.claude/settings.json`",
            labels: "`ANTHROPIC_CUSTOM_HEADERS`",
        }
    }

    fn targets(&self) -> &'static [&'static str] {
        &TARGETS[..1]
    }

    fn launch(&self, at: &Setting<'_>, arguments: &[OsString]) -> anyhow::Result<Launch> {
        let mut launch = Launch { remarks: Self::remarks(at), ..Launch::default() };
        let in_settings = [URL, HEADERS].map(|variable| Self::in_settings(at, variable));
        let present = in_settings[1].clone().or_else(|| at.env.get(HEADERS));
        let headers = headers_after(present, &at.labels(self, true));
        launch.set(URL, at.url.clone());
        launch.set(HEADERS, headers.clone());
        if in_settings.iter().any(Option::is_some) || value_of(arguments, "--settings").is_some() {
            let env = [(URL, at.url.clone()), (HEADERS, headers)];
            let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            Self::on_command_line(&mut launch, arguments, env)?;
        }
        let present = in_settings[0].clone().filter(|url| at.is_elsewhere(url)).or_else(|| at.elsewhere(URL));
        launch.upstreams.extend(present.map(|url| ("ANTHROPIC_TARGET_API_URL", url)));
        Ok(launch)
    }

    fn install(&self, at: &Setting<'_>) -> anyhow::Result<Plan> {
        let file = Self::folder(at).join("settings.json");
        let present =
            value_at(&file, Format::Json, &["env", HEADERS]).and_then(|it| it.as_str().map(str::to_owned));
        let headers = headers_after(present, &at.labels(self, false));
        let mut remarks = Self::remarks(at);
        for stronger in &Self::settings(at)[..2] {
            if value_at(stronger, Format::Json, &["env", URL]).is_some() {
                remarks.push(format!("{} sets {URL} as well, and wins in this folder", stronger.display()));
            }
        }
        let change =
            |name: &str, value: String| Change::new(file.clone(), Format::Json, &["env", name], value);
        Ok(Plan { changes: vec![change(URL, at.url.clone()), change(HEADERS, headers)], remarks })
    }

    fn places(&self, at: &Setting<'_>) -> Places {
        let folder = Self::folder(at);
        let own = at.env.get("CLAUDE_CONFIG_DIR").is_some();
        Places {
            logs: vec![folder.join("projects")],
            instructions: vec![folder.join("CLAUDE.md"), at.folder.join("CLAUDE.md")],
            mcp: Some(if own { folder.join(".claude.json") } else { at.home.join(".claude.json") }),
            settings: Self::settings(at).into(),
        }
    }

    fn register(&self, at: &Setting<'_>, server: &Server) -> Option<Change> {
        let mut change = mcp_servers(self.places(at).mcp?, server);
        change.value["type"] = "stdio".into();
        Some(change)
    }

    fn at_start(&self, at: &Setting<'_>, command: &str) -> Option<Change> {
        Some(session_start(Self::folder(at).join("settings.json"), command))
    }
}
