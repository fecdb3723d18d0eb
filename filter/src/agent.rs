//! Which agent a request comes from, and for which project, as the agent itself says it. Used for requests
//! without our own header.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// How the `User-Agent` of agents and SDKs begins, in lower case, and what they are called in the figures. The first that
/// fits counts, so that agents stand before the SDKs that they are made with.
const AGENTS: [(&str, &str); 28] = [
    ("claude-cli/", "claude_code"),
    ("codex", "codex"),
    ("geminicli", "gemini_cli"),
    ("qwencode", "qwen_code"),
    ("opencode", "opencode"),
    ("cline/", "cline"),
    ("roocode/", "roo_code"),
    ("kilo-code/", "kilo_code"),
    ("aider", "aider"),
    ("goose", "goose"),
    ("githubcopilot", "copilot"),
    ("copilot", "copilot"),
    ("openhands", "openhands"),
    ("zed/", "zed"),
    ("anthropic/", "anthropic_sdk"),
    ("asyncanthropic/", "anthropic_sdk"),
    ("openai/", "openai_sdk"),
    ("asyncopenai/", "openai_sdk"),
    ("azureopenai/", "openai_sdk"),
    ("asyncazureopenai/", "openai_sdk"),
    ("google-genai-sdk/", "google_genai_sdk"),
    ("mistral-client", "mistral_sdk"),
    ("boto3/", "aws_sdk"),
    ("aws-sdk", "aws_sdk"),
    ("litellm/", "litellm"),
    ("ai-sdk/", "ai_sdk"),
    ("langchain", "langchain"),
    ("curl/", "curl"),
];

/// Metadata longer than this is not read. Codex's has about a kilobyte.
const MAX_METADATA_BYTES: usize = 16 << 10;

/// The header in which Codex says where it works.
pub(crate) const CODEX_METADATA: &[u8] = b"x-codex-turn-metadata";

/// The name of the agent or SDK that sends this `User-Agent`; empty if it is unknown. Nothing else of it is
/// kept.
pub(crate) fn stack(user_agent: &[u8]) -> String {
    let starts = |start: &str| {
        user_agent.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start.as_bytes()))
    };
    AGENTS.iter().find(|(start, _)| starts(start)).map(|(_, name)| (*name).to_owned()).unwrap_or_default()
}

/// The name of the folder that Codex works in, without its parent folders: only where its metadata lists
/// exactly one folder.
pub(crate) fn codex_folder(metadata: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Metadata<'m> {
        #[serde(borrow)]
        workspaces: BTreeMap<Cow<'m, str>, IgnoredAny>,
    }
    if metadata.len() > MAX_METADATA_BYTES {
        return None;
    }
    let Metadata { workspaces } = serde_json::from_slice(metadata).ok()?;
    let mut folders = workspaces.keys();
    // With several folders it is unknown which one is meant.
    let path = folders.next().filter(|_| folders.next().is_none())?;
    let folder = path.trim_end_matches(['/', '\\']).rsplit(['/', '\\']).next()?;
    Some(folder.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_and_sdks_are_known_by_how_they_begin() {
        for (user_agent, expected) in [
            ("claude-cli/2.1.332 (external, sdk-cli)", "claude_code"),
            ("codex_exec/0.171.0 (Debian 12.0.0; x86_64) xterm", "codex"),
            ("codex_cli_rs/0.99.0", "codex"),
            ("GeminiCLI-tui/0.61.0/gemini-2.5-pro (linux; x64; terminal)", "gemini_cli"),
            ("QwenCode/0.15.10 (linux; x64)", "qwen_code"),
            ("opencode/1.2.3", "opencode"),
            ("Cline/3.0", "cline"),
            ("AsyncOpenAI/Python 3.57.0", "openai_sdk"),
            ("Anthropic/JS 0.70.1", "anthropic_sdk"),
            ("litellm/1.110.2", "litellm"),
            ("Boto3/1.42 md/Botocore#1.42", "aws_sdk"),
            ("Mozilla/5.0 claude-cli/2", ""),
            ("sk-ant-secret", ""),
            ("", ""),
            ("\u{e9}", ""),
        ] {
            assert_eq!(stack(user_agent.as_bytes()), expected, "{user_agent}");
        }
        for (start, name) in AGENTS {
            assert_eq!(stack(start.as_bytes()), name, "{start} is hidden by one before it");
        }
    }

    #[test]
    fn of_where_codex_works_only_the_folders_name_is_taken() {
        let folder = |metadata: &str| codex_folder(metadata.as_bytes());
        let git = r#"{"associated_remote_urls":{"origin":"git@example.com:a/b.git"},"has_changes":true}"#;
        let one =
            format!(r#"{{"turn_id":"t","workspaces":{{"/home/ann/work/my app/":{git}}},"sandbox":"none"}}"#);
        assert_eq!(folder(&one), Some(b"my app".to_vec()));
        assert_eq!(folder(r#"{"workspaces":{"C:\\src\\app":{}}}"#), Some(b"app".to_vec()));
        for nothing in [
            "",
            "{}",
            "[]",
            r#"{"workspaces":{}}"#,
            r#"{"workspaces":null}"#,
            r#"{"workspaces":{"/a":{},"/b":{}}}"#,
            r#"{"workspaces":["/a"]}"#,
            r#"{"workspaces":{"/a":{}"#,
        ] {
            assert_eq!(folder(nothing), None, "{nothing}");
        }
        let long = format!(r#"{{"workspaces":{{"/{}":{{}}}}}}"#, "x".repeat(MAX_METADATA_BYTES));
        assert_eq!(folder(&long), None);
        assert_eq!(codex_folder(b"{\"workspaces\":{\"/\xff\":{}}}"), None);
    }
}
