//! Whether a request asks for thinking or reasoning. In doubt it does: what follows from the answer is only whether
//! something may be added that later requests have to repeat.

use crate::tape::Value;

/// Whether an object has one of these members, and it says more than that there is to be none.
pub(crate) fn asks(object: Value<'_, '_>, names: &[&str]) -> bool {
    object.members().any(|(key, value)| names.iter().any(|name| key.is(name)) && !is_off(value))
}

/// Whether reasoning is to come in a form that can be sent back.
pub(crate) fn includes_encrypted(root: Value<'_, '_>) -> bool {
    root.members().any(|(key, included)| {
        key.is("include") && included.elements().any(|what| what.is("reasoning.encrypted_content"))
    })
}

/// Whether a request to Gemini, whose models think by default, says that its model is not to think.
pub(crate) fn is_switched_off(root: Value<'_, '_>) -> bool {
    let mut thinking = root
        .members()
        .filter(|(key, _)| key.is("generationConfig") || key.is("generation_config"))
        .flat_map(|(_, generation)| generation.members())
        .filter(|(key, _)| key.is("thinkingConfig") || key.is("thinking_config"))
        .map(|(_, thinking)| thinking)
        .peekable();
    let has_budget_of_none = |thinking: Value<'_, '_>| {
        thinking
            .members()
            .any(|(key, value)| (key.is("thinkingBudget") || key.is("thinking_budget")) && value.raw() == "0")
    };
    thinking.peek().is_some() && thinking.all(|thinking| is_off(thinking) && has_budget_of_none(thinking))
}

/// Whether nothing in a value asks for anything.
fn is_off(value: Value<'_, '_>) -> bool {
    if value.is_object() {
        return value.members().all(|(_, value)| is_off(value));
    }
    if value.is_array() {
        return value.elements().next().is_none();
    }
    matches!(value.raw(), "null" | "false" | "0" | "\"\"")
        || ["none", "off", "disabled"].iter().any(|word| value.is(word))
}

#[cfg(test)]
mod tests {
    use crate::Api;

    fn may_reason(api: Api, more: &str) -> bool {
        let (messages, rest) = match api {
            Api::OpenAiResponses => ("input", r#","store":false"#),
            Api::GeminiGenerateContent => ("contents", ""),
            _ => ("messages", ""),
        };
        let body = format!(r#"{{"{messages}":[]{rest}{more}}}"#);
        api.walk(body.as_bytes()).unwrap().may_reason
    }

    fn says(api: Api, message: &str) -> bool {
        let messages = match api {
            Api::OpenAiResponses => "input",
            Api::GeminiGenerateContent => "contents",
            _ => "messages",
        };
        let off = r#""generationConfig":{"thinkingConfig":{"thinkingBudget":0}}"#;
        let body = format!(r#"{{{off},"{messages}":[{message}]}}"#);
        let walk = api.walk(body.as_bytes()).unwrap();
        assert!(walk.is_answered, "{message}");
        walk.may_reason
    }

    #[test]
    fn a_request_asks_unless_it_says_otherwise() {
        for (api, more, expected) in [
            (Api::AnthropicMessages, "", false),
            (Api::AnthropicMessages, r#","thinking":null"#, false),
            (Api::AnthropicMessages, r#","thinking":{"type":"disabled"}"#, false),
            (Api::AnthropicMessages, r#","thinking":{"type":"adaptive"}"#, true),
            (Api::AnthropicMessages, r#","thinking":{"type":"enabled","budget_tokens":1024}"#, true),
            (
                Api::AnthropicMessages,
                r#","thinking":{"type":"disabled"},"thinking":{"type":"enabled"}"#,
                true,
            ),
            (Api::OpenAiChat, "", false),
            (Api::OpenAiChat, r#","reasoning_effort":"none""#, false),
            (Api::OpenAiChat, r#","reasoning_effort":"low""#, true),
            (Api::OpenAiChat, r#","reasoning":{"enabled":false}"#, false),
            (Api::OpenAiChat, r#","reasoning":{"max_tokens":2000}"#, true),
            (Api::OpenAiChat, r#","chat_template_kwargs":{"enable_thinking":false}"#, false),
            (Api::OpenAiChat, r#","chat_template_kwargs":{"enable_thinking":true}"#, true),
            (Api::OpenAiResponses, "", false),
            (Api::OpenAiResponses, r#","reasoning":{"effort":"none"}"#, false),
            (Api::OpenAiResponses, r#","reasoning":{"effort":null}"#, false),
            (Api::OpenAiResponses, r#","reasoning":{"effort":"low"}"#, true),
            (Api::OpenAiResponses, r#","include":["reasoning.encrypted_content"]"#, true),
            (Api::OpenAiResponses, r#","include":["file_search_call.results"]"#, false),
            (Api::GeminiGenerateContent, "", true),
            (Api::GeminiGenerateContent, r#","generationConfig":{"temperature":0}"#, true),
            (
                Api::GeminiGenerateContent,
                r#","generationConfig":{"thinkingConfig":{"thinkingBudget":0}}"#,
                false,
            ),
            (
                Api::GeminiGenerateContent,
                r#","generation_config":{"thinking_config":{"thinking_budget":0}}"#,
                false,
            ),
            (
                Api::GeminiGenerateContent,
                r#","generationConfig":{"thinkingConfig":{"thinkingBudget":-1}}"#,
                true,
            ),
            (
                Api::GeminiGenerateContent,
                r#","generationConfig":{"thinkingConfig":{"thinkingBudget":0,"thinkingLevel":"high"}}"#,
                true,
            ),
            (
                Api::GeminiGenerateContent,
                r#","generationConfig":{"thinkingConfig":{"thinkingBudget":0}},"cachedContent":"c""#,
                true,
            ),
            (Api::CohereChat, "", false),
            (Api::CohereChat, r#","thinking":{"type":"enabled"}"#, true),
            (Api::BedrockConverse, "", false),
            (
                Api::BedrockConverse,
                r#","additionalModelRequestFields":{"thinking":{"type":"enabled"}}"#,
                true,
            ),
        ] {
            assert_eq!(may_reason(api, more), expected, "{api:?} {more}");
        }
    }

    #[test]
    fn what_comes_back_of_reasoning_is_seen() {
        for (api, message, expected) in [
            (Api::AnthropicMessages, r#"{"role":"assistant","content":"x"}"#, false),
            (
                Api::AnthropicMessages,
                r#"{"role":"assistant","content":[{"type":"redacted_thinking","data":"x"}]}"#,
                true,
            ),
            (Api::OpenAiChat, r#"{"role":"assistant","content":"x","reasoning_content":null}"#, false),
            (Api::OpenAiChat, r#"{"role":"assistant","content":"x","reasoning_content":"hm"}"#, true),
            (
                Api::OpenAiChat,
                r#"{"role":"assistant","tool_calls":[{"id":"a","extra_content":{"google":{"thought_signature":"x"}},"function":{"name":"f","arguments":"{}"}}]}"#,
                true,
            ),
            (
                Api::OpenAiResponses,
                r#"{"type":"function_call","call_id":"a","name":"f","arguments":"{}"}"#,
                false,
            ),
            (Api::OpenAiResponses, r#"{"type":"reasoning","summary":[]}"#, true),
            (Api::GeminiGenerateContent, r#"{"role":"model","parts":[{"text":"x"}]}"#, false),
            (
                Api::GeminiGenerateContent,
                r#"{"role":"model","parts":[{"functionCall":{"name":"f"},"thoughtSignature":"x"}]}"#,
                true,
            ),
            (Api::GeminiGenerateContent, r#"{"role":"model","parts":[{"text":"x","thought":true}]}"#, true),
        ] {
            assert_eq!(says(api, message), expected, "{api:?} {message}");
        }
    }
}
