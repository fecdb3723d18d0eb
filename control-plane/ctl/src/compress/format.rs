//! The wire formats by name, and how a body shows which one it has.

use std::collections::HashMap;

use clap::ValueEnum;
use headroom_compress::Api;
use serde_json::value::RawValue;

/// A wire format.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Format {
    /// Anthropic Messages
    Anthropic,
    /// OpenAI Chat Completions
    OpenaiChat,
    /// OpenAI Responses
    OpenaiResponses,
    /// Gemini generateContent
    Gemini,
    /// Amazon Bedrock Converse
    BedrockConverse,
    /// Cohere Chat, version 2
    Cohere,
}

type Object<'b> = HashMap<String, &'b RawValue>;

impl Format {
    /// The format of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::from_str(name, false).ok()
    }

    /// Recognizes the format of a body by features that only one format has. A body without any such
    /// feature is Anthropic's if it sets `max_tokens`, which that API requires, and OpenAI Chat's
    /// otherwise. `None` if it is not a JSON object.
    pub fn detect(body: &str) -> Option<Self> {
        let body: Object<'_> = serde_json::from_str(body).ok()?;
        if body.contains_key("contents") {
            return Some(Self::Gemini);
        }
        if body.contains_key("input") {
            return Some(Self::OpenaiResponses);
        }
        if body.contains_key("toolConfig") || body.contains_key("inferenceConfig") {
            return Some(Self::BedrockConverse);
        }
        if body.contains_key("citation_options") {
            return Some(Self::Cohere);
        }
        let tools = objects(body.get("tools").copied());
        if body.contains_key("system") || tools.iter().any(|tool| tool.contains_key("input_schema")) {
            return Some(Self::Anthropic);
        }
        let told = objects(body.get("messages").copied()).iter().find_map(message);
        Some(told.unwrap_or(if body.contains_key("max_tokens") { Self::Anthropic } else { Self::OpenaiChat }))
    }
}

/// The only format that a message can belong to; `None` if several are possible.
fn message(message: &Object<'_>) -> Option<Format> {
    if message.contains_key("tool_plan") {
        return Some(Format::Cohere);
    }
    let role: Option<&str> = message.get("role").and_then(|role| serde_json::from_str(role.get()).ok());
    if matches!(role, Some("system" | "developer" | "tool")) || message.contains_key("tool_calls") {
        return Some(Format::OpenaiChat);
    }
    let blocks = objects(message.get("content").copied());
    if blocks.iter().any(|block| block.contains_key("toolUse") || block.contains_key("toolResult")) {
        return Some(Format::BedrockConverse);
    }
    let of_a_tool = |block: &Object<'_>| {
        let kind = block.get("type").map(|kind| kind.get());
        matches!(kind, Some(r#""tool_use""# | r#""tool_result""#))
    };
    blocks.iter().any(of_a_tool).then_some(Format::Anthropic)
}

/// The objects in an array; nothing if it is not an array.
fn objects(value: Option<&RawValue>) -> Vec<Object<'_>> {
    let elements: Vec<&RawValue> =
        value.and_then(|value| serde_json::from_str(value.get()).ok()).unwrap_or_default();
    elements.into_iter().filter_map(|element| serde_json::from_str(element.get()).ok()).collect()
}

impl From<Format> for Api {
    fn from(format: Format) -> Self {
        match format {
            Format::Anthropic => Self::AnthropicMessages,
            Format::OpenaiChat => Self::OpenAiChat,
            Format::OpenaiResponses => Self::OpenAiResponses,
            Format::Gemini => Self::GeminiGenerateContent,
            Format::BedrockConverse => Self::BedrockConverse,
            Format::Cohere => Self::CohereChat,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_is_told_by_what_only_it_has() {
        for (body, format) in [
            (r#"{"contents":[]}"#, Format::Gemini),
            (r#"{"input":"hi"}"#, Format::OpenaiResponses),
            (r#"{"system":"s","messages":[]}"#, Format::Anthropic),
            (r#"{"tools":[{"name":"a","input_schema":{}}],"messages":[]}"#, Format::Anthropic),
            (r#"{"messages":[{"role":"user","content":[{"type":"tool_result"}]}]}"#, Format::Anthropic),
            (
                r#"{"max_tokens":1,"messages":[{"role":"user"},{"role":"tool","content":"x"}]}"#,
                Format::OpenaiChat,
            ),
            (r#"{"messages":[{"role":"assistant","tool_calls":[]}]}"#, Format::OpenaiChat),
            (r#"{"max_tokens":1,"messages":[{"role":"user","content":"hi"}]}"#, Format::Anthropic),
            (r#"{"messages":[{"role":"user","content":"hi"}]}"#, Format::OpenaiChat),
            (r#"{"messages":7,"tools":null}"#, Format::OpenaiChat),
            (r#"{"messages":[],"toolConfig":{"tools":[]}}"#, Format::BedrockConverse),
            (r#"{"messages":[{"role":"user","content":[{"toolResult":{}}]}]}"#, Format::BedrockConverse),
            (r#"{"messages":[],"citation_options":{"mode":"OFF"}}"#, Format::Cohere),
            (r#"{"messages":[{"role":"assistant","tool_plan":"p","tool_calls":[]}]}"#, Format::Cohere),
        ] {
            assert_eq!(Format::detect(body), Some(format), "{body}");
        }
        for body in ["", "[]", "7", "{", "null"] {
            assert_eq!(Format::detect(body), None, "{body}");
        }
    }

    #[test]
    fn the_names_are_those_of_the_envelope() {
        for name in ["anthropic", "openai-chat", "openai-responses", "gemini", "bedrock-converse", "cohere"] {
            assert!(Format::named(name).is_some(), "{name}");
        }
        assert_eq!(Format::named("bedrock"), None);
    }
}
