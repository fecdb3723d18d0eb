//! Whether a request asks its model to think, or gives back what a model has thought.
//!
//! Providers bind thoughts to what stands before them, so who rewrites old turns has to know. In doubt the answer is
//! yes.

use crate::tape::Value;

/// Words that switch thinking off.
const OFF: [&str; 4] = ["none", "off", "disabled", "false"];

/// Whether one of these parameters asks for thinking.
pub(crate) fn asks<const N: usize>(object: Value<'_, '_>, names: [&str; N]) -> bool {
    let Ok(found) = object.pick(names) else { return true };
    found.into_iter().flatten().any(asks_for)
}

/// Whether a parameter does: anything but a word or a number that switches it off, and an object that says so.
fn asks_for(value: Value<'_, '_>) -> bool {
    if !value.is_object() {
        let is_off = OFF.iter().any(|word| value.is(word));
        return !(is_off || matches!(value.raw(), "null" | "false" | "0" | "\"\""));
    }
    let mut asks = false;
    for (name, value) in value.members() {
        let name = name.text().unwrap_or_default();
        match &*name {
            "type" | "enabled" | "effort" | "mode" | "thinkingBudget" | "thinking_budget"
            | "budget_tokens" | "enable_thinking" | "thinking" => {
                if !asks_for(value) && !value.is_null() {
                    return false;
                }
                asks |= !value.is_null();
            }
            _ => asks |= !value.is_null(),
        }
    }
    asks
}

/// Whether an object has one of these members, and something in it.
pub(crate) fn carries<const N: usize>(object: Value<'_, '_>, names: [&str; N]) -> bool {
    let Ok(found) = object.pick(names) else { return true };
    found.into_iter().flatten().any(|value| !matches!(value.raw(), "null" | "false" | "\"\"" | "[]" | "{}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Api;
    use crate::tape::Tape;

    fn asks_in(body: &str) -> bool {
        asks(Tape::of(body.as_bytes()).unwrap().root(), ["thinking"])
    }

    #[test]
    fn a_parameter_asks_unless_it_says_no() {
        for no in [
            "{}",
            r#"{"thinking":null}"#,
            r#"{"thinking":false}"#,
            r#"{"thinking":"none"}"#,
            r#"{"thinking":{}}"#,
            r#"{"thinking":{"type":"disabled"}}"#,
            r#"{"thinking":{"effort":"none","summary":"auto"}}"#,
            r#"{"thinking":{"thinkingBudget":0,"includeThoughts":false}}"#,
            r#"{"thinking":{"effort":null,"summary":null}}"#,
        ] {
            assert!(!asks_in(no), "{no}");
        }
        for yes in [
            r#"{"thinking":true}"#,
            r#"{"thinking":"low"}"#,
            r#"{"thinking":{"type":"enabled","budget_tokens":1024}}"#,
            r#"{"thinking":{"type":"adaptive"}}"#,
            r#"{"thinking":{"effort":"minimal"}}"#,
            r#"{"thinking":{"includeThoughts":true}}"#,
            r#"{"thinking":[7]}"#,
            r#"{"thinking":null,"thinking":true}"#,
        ] {
            assert!(asks_in(yes), "{yes}");
        }
    }

    #[test]
    fn every_format_says_whether_a_request_thinks() {
        let message = r#"{"role":"user","content":"go"}"#;
        let gemini = r#"{"role":"user","parts":[{"text":"go"}]}"#;
        let converse = r#"{"role":"user","content":[{"text":"go"}]}"#;
        let list = |name: &str, first: &str, more: &str| format!(r#"{{"{name}":[{first}{more}]}}"#);
        let with = |name: &str, first: &str, member: &str| format!(r#"{{"{name}":[{first}],{member}}}"#);
        let cases = [
            (Api::AnthropicMessages, list("messages", message, ""), false),
            (Api::AnthropicMessages, with("messages", message, r#""thinking":{"type":"adaptive"}"#), true),
            (
                Api::AnthropicMessages,
                list(
                    "messages",
                    message,
                    r#",{"role":"assistant","content":[{"type":"redacted_thinking","data":"x"}]}"#,
                ),
                true,
            ),
            (Api::OpenAiChat, list("messages", message, ""), false),
            (Api::OpenAiChat, with("messages", message, r#""reasoning_effort":"none""#), false),
            (Api::OpenAiChat, with("messages", message, r#""reasoning_effort":"low""#), true),
            (
                Api::OpenAiChat,
                with("messages", message, r#""chat_template_kwargs":{"enable_thinking":false}"#),
                false,
            ),
            (
                Api::OpenAiChat,
                with("messages", message, r#""chat_template_kwargs":{"enable_thinking":true}"#),
                true,
            ),
            (
                Api::OpenAiChat,
                list(
                    "messages",
                    message,
                    r#",{"role":"assistant","content":"a","reasoning_details":[{"type":"reasoning.encrypted"}]}"#,
                ),
                true,
            ),
            (
                Api::OpenAiChat,
                list(
                    "messages",
                    message,
                    r#",{"role":"assistant","content":null,"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"x"}}}]}"#,
                ),
                true,
            ),
            (Api::OpenAiResponses, with("input", message, r#""store":false"#), false),
            (
                Api::OpenAiResponses,
                with("input", message, r#""include":["reasoning.encrypted_content"]"#),
                true,
            ),
            (Api::OpenAiResponses, with("input", message, r#""reasoning":{"effort":"high"}"#), true),
            (Api::OpenAiResponses, list("input", message, r#",{"type":"reasoning","summary":[]}"#), true),
            (Api::GeminiGenerateContent, list("contents", gemini, ""), false),
            (
                Api::GeminiGenerateContent,
                with("contents", gemini, r#""generationConfig":{"thinkingConfig":{"thinkingBudget":0}}"#),
                false,
            ),
            (
                Api::GeminiGenerateContent,
                with(
                    "contents",
                    gemini,
                    r#""generation_config":{"thinking_config":{"thinking_level":"low"}}"#,
                ),
                true,
            ),
            (
                Api::GeminiGenerateContent,
                list(
                    "contents",
                    gemini,
                    r#",{"role":"model","parts":[{"functionCall":{"name":"f","args":{}},"thoughtSignature":"x"}]}"#,
                ),
                true,
            ),
            (Api::BedrockConverse, list("messages", converse, ""), false),
            (
                Api::BedrockConverse,
                with(
                    "messages",
                    converse,
                    r#""additionalModelRequestFields":{"thinking":{"type":"enabled"}}"#,
                ),
                true,
            ),
            (
                Api::BedrockConverse,
                list(
                    "messages",
                    converse,
                    r#",{"role":"assistant","content":[{"reasoningContent":{"redactedContent":"x"}}]}"#,
                ),
                true,
            ),
            (Api::CohereChat, list("messages", message, ""), false),
            (Api::CohereChat, with("messages", message, r#""thinking":{"type":"enabled"}"#), true),
        ];
        for (api, body, expected) in cases {
            assert_eq!(api.walk(body.as_bytes()).unwrap().binds_reasoning, expected, "{api:?} {body}");
        }
    }
}
