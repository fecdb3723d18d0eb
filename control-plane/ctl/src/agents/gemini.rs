//! Gemini CLI.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::Value;

use super::{
    Agent, Connections, Launch, Places, Server, Setting, TARGETS, header_lines, mcp_servers, session_start,
    shell_block,
};
use crate::edits::{Change, Format, Plan, value_at};

const URL: &str = "GOOGLE_GEMINI_BASE_URL";
/// With a Google login the requests go to Code Assist.
const CODE_ASSIST: &str = "CODE_ASSIST_ENDPOINT";
const HEADERS: &str = "GEMINI_CLI_CUSTOM_HEADERS";

/// Gemini CLI.
pub(super) struct Gemini;

impl Gemini {
    fn folder(at: &Setting<'_>) -> PathBuf {
        at.folder_of("GEMINI_CLI_HOME", "").join(".gemini")
    }

    fn variables(&self, at: &Setting<'_>, with_project: bool) -> Vec<(&'static str, String)> {
        let headers = header_lines(&at.labels(self, with_project), ", ");
        let headers = match at.env.get(HEADERS) {
            Some(own) if !own.contains("x-headroom-") => format!("{own}, {headers}"),
            _ => headers,
        };
        vec![(URL, at.url.clone()), (CODE_ASSIST, at.url.clone()), (HEADERS, headers)]
    }

    fn remarks(at: &Setting<'_>) -> Vec<String> {
        let file = Self::folder(at).join("settings.json");
        let kind = value_at(&file, Format::Json, &["security", "auth", "selectedType"]);
        let vertex = kind.as_ref().and_then(Value::as_str) == Some("vertex-ai")
            || at.env.get("GOOGLE_GENAI_USE_VERTEXAI").is_some_and(|value| value == "true");
        let remark = "it is set to use Vertex AI, whose requests do not go through Headroom".to_owned();
        if vertex { vec![remark] } else { Vec::new() }
    }
}

impl Agent for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn title(&self) -> &'static str {
        "Gemini CLI"
    }

    fn programs(&self) -> &'static [&'static str] {
        &["gemini"]
    }

    fn ways(&self) -> Connections {
        Connections {
            run: "`GOOGLE_GEMINI_BASE_URL`, `CODE_ASSIST_ENDPOINT`",
            install: "the shell's profile, `~/.gemini/.env`",
            labels: "`GEMINI_CLI_CUSTOM_HEADERS`",
        }
    }

    fn targets(&self) -> &'static [&'static str] {
        &TARGETS[2..]
    }

    fn launch(&self, at: &Setting<'_>, _arguments: &[OsString]) -> anyhow::Result<Launch> {
        let mut launch =
            Launch { variables: self.variables(at, true), remarks: Self::remarks(at), ..Launch::default() };
        launch.keep_upstream(at, URL, "GEMINI_TARGET_API_URL");
        Ok(launch)
    }

    fn install(&self, at: &Setting<'_>) -> anyhow::Result<Plan> {
        let env = Self::folder(at).join(".env");
        let variables = self.variables(at, false);
        let mut changes = vec![shell_block(at, self, &variables)];
        let address = |(name, _): &&(&'static str, String)| *name != HEADERS;
        changes.extend(
            variables
                .iter()
                .filter(address)
                .map(|(name, value)| Change::new(env.clone(), Format::DotEnv, &[name], value.as_str())),
        );
        let mut remarks = Self::remarks(at);
        remarks.push(
            "a new shell has the addresses. Started elsewhere, Gemini CLI reads ~/.gemini/.env, but not in a \
             project that has an .env of its own"
                .to_owned(),
        );
        Ok(Plan { changes, remarks })
    }

    fn places(&self, at: &Setting<'_>) -> Places {
        let folder = Self::folder(at);
        Places {
            logs: vec![folder.join("tmp")],
            instructions: vec![folder.join("GEMINI.md"), at.folder.join("GEMINI.md")],
            mcp: Some(folder.join("settings.json")),
            ..Places::default()
        }
    }

    fn register(&self, at: &Setting<'_>, server: &Server) -> Option<Change> {
        Some(mcp_servers(self.places(at).mcp?, server))
    }

    fn at_start(&self, at: &Setting<'_>, command: &str) -> Option<Change> {
        Some(session_start(self.places(at).mcp?, command))
    }
}
