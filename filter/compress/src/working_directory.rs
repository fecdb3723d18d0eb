//! The folder in which an agent works, as it tells its model at the beginning of a conversation.
//!
//! Agents state it in the system prompt, or in a message that they put before the user's own. Text that the
//! user has written is not read.

use headroom_providers::walk::{Reading, Role, Walk};

/// The text before the folder on its line.
const LABELS: [&str; 6] = [
    "primary working directory:",
    "current working directory:",
    "working directory:",
    "current directory:",
    "i'm currently working in the directory:",
    "cwd:",
];

/// How agents begin a user message that they have written themselves: Codex, Claude Code, Gemini CLI and its
/// derivatives.
const OPENINGS: [&str; 5] = [
    "<environment_context>",
    "<system-reminder>",
    "<session_context>",
    "This is the Gemini CLI.",
    "This is the Qwen Code.",
];

/// How many readings at the start of a request are searched. Agents send one to five.
const MAX_READINGS: usize = 16;
/// The longest name of a folder in bytes, as on Linux.
const MAX_BYTES: usize = 4_096;

/// The first folder that is named.
pub(crate) fn working_directory(walk: &Walk<'_>) -> Option<String> {
    let head = walk.readings.iter().take_while(|reading| reading.role != Role::Assistant);
    head.filter(|reading| reading.role != Role::Tools)
        .take(MAX_READINGS)
        .find_map(|reading| named_in(reading, walk.body))
}

/// Whether an agent has written a message of the user itself.
pub(crate) fn is_agents_own(text: &str) -> bool {
    OPENINGS.iter().any(|opening| text.trim_start().starts_with(opening))
}

fn named_in(reading: &Reading, body: &str) -> Option<String> {
    let text = reading.span.text(body)?;
    if reading.role == Role::User && !is_agents_own(&text) {
        return None;
    }
    text.lines().find_map(folder)
}

/// The folder that a line names.
fn folder(line: &str) -> Option<String> {
    let line = line.trim_start_matches([' ', '\t', '-', '*']);
    let tagged = line.strip_prefix("<cwd>").and_then(|rest| rest.split("</cwd>").next());
    let labelled = || {
        LABELS.iter().find_map(|label| {
            let (start, rest) = line.split_at_checked(label.len())?;
            start.eq_ignore_ascii_case(label).then_some(rest)
        })
    };
    let path = tagged.or_else(labelled)?.trim().trim_matches(['`', '"', '\'']);
    let drive = path.as_bytes().get(..3).is_some_and(|start| matches!(start, [_, b':', b'\\' | b'/']));
    let is_folder = path.starts_with('/') || drive;
    (is_folder && path.len() <= MAX_BYTES && !path.contains(char::is_control)).then(|| path.to_owned())
}

/// Clients put a line of accounting that changes with every request before the system prompt (Claude
/// Code): it says nothing about the conversation.
const ACCOUNTING: &str = "\"x-anthropic-billing-header:";

/// Whether a reading is such a line.
pub(crate) fn is_accounting(reading: &Reading, body: &str) -> bool {
    reading.role == Role::System && reading.span.raw(body).starts_with(ACCOUNTING)
}

#[cfg(test)]
mod tests {
    use headroom_providers::Api;

    use super::*;

    fn of(api: Api, body: &serde_json::Value) -> Option<String> {
        let body = body.to_string();
        working_directory(&api.walk(body.as_bytes()).unwrap())
    }

    #[test]
    fn agents_name_it_in_the_system_prompt_or_in_a_message_of_their_own() {
        let claude = serde_json::json!({"system": [{"type": "text", "text": "You are Claude Code"}, {"type": "text",
            "text": "# Environment\n - Primary working directory: /src/shop\n - Is a git repository: true"}],
            "messages": [{"role": "user", "content": "Working directory: /etc"}]});
        assert_eq!(of(Api::AnthropicMessages, &claude).as_deref(), Some("/src/shop"));
        let codex = serde_json::json!({"instructions": "You are Codex", "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "# AGENTS.md\nWorking directory: /no"}]},
            {"role": "user", "content": [{"type": "input_text",
                "text": "<environment_context>\n  <cwd>/src/my shop</cwd>\n</environment_context>"}]}]});
        assert_eq!(of(Api::OpenAiResponses, &codex).as_deref(), Some("/src/my shop"));
        let gemini = serde_json::json!({"contents": [{"role": "user", "parts": [{"text":
            "This is the Gemini CLI. We are setting up the context.\nI'm currently working in the directory: /src/shop"}]}]});
        assert_eq!(of(Api::GeminiGenerateContent, &gemini).as_deref(), Some("/src/shop"));
    }

    #[test]
    fn what_the_user_or_the_model_says_names_none() {
        let said = |role: &str, text: &str| {
            serde_json::json!({"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "hello"},
                {"role": "assistant", "content": "hi"}, {"role": role, "content": text}]})
        };
        for (role, text) in [
            ("user", "Working directory: /etc"),
            ("assistant", "Working directory: /etc"),
            ("system", "<cwd>/etc</cwd>"),
        ] {
            assert_eq!(of(Api::OpenAiChat, &said(role, text)), None, "{role}");
        }
        let prompt = |text: &str| serde_json::json!({"messages": [{"role": "system", "content": text}]});
        let long = format!("cwd: /{}", "x".repeat(MAX_BYTES));
        for text in ["cwd: relative", "working directory:", "<cwd>", "cwd: /a\u{0}b", "ſſcwd: /x", &long] {
            assert_eq!(of(Api::OpenAiChat, &prompt(text)), None, "{text:.40}");
        }
        assert_eq!(of(Api::OpenAiChat, &prompt("CWD: `C:\\work`")).as_deref(), Some("C:\\work"));
    }
}
