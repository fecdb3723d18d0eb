//! Answers in the format of each API, as JSON and as server-sent events.

pub(super) mod anthropic;
mod bedrock_converse;
pub(super) mod gemini;
mod openai_chat;
pub(super) mod openai_responses;

use std::borrow::Cow;

use serde_json::{Value, json};

use super::prompt_cache;
use super::script::Script;

/// The API that a path belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Api {
    /// `POST /v1/messages`
    Anthropic,
    /// `POST /v1/chat/completions`
    OpenAiChat,
    /// `POST /v1/responses`
    OpenAiResponses,
    /// `POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`, also under `/v1`
    Gemini,
    /// `POST /model/{model}/converse`
    BedrockConverse,
}

impl Api {
    /// The API of a path, without its query.
    pub(super) fn of(path: &str) -> Option<Self> {
        match path {
            "/v1/messages" => Some(Self::Anthropic),
            "/v1/chat/completions" | "/chat/completions" => Some(Self::OpenAiChat),
            "/v1/responses" | "/responses" | "/backend-api/codex/responses" => Some(Self::OpenAiResponses),
            "/v1internal:generateContent" | "/v1internal:streamGenerateContent" => Some(Self::Gemini),
            _ if bedrock_model(path).is_some() => Some(Self::BedrockConverse),
            _ if gemini_model(path).is_some() && path.ends_with("enerateContent") => Some(Self::Gemini),
            _ => None,
        }
    }
}

/// What a path says of the model.
pub(super) fn model_of(path: &str) -> Option<&str> {
    gemini_model(path).or_else(|| bedrock_model(path))
}

fn bedrock_model(path: &str) -> Option<&str> {
    path.strip_prefix("/model/")?.strip_suffix("/converse")
}

fn gemini_model(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/v1beta").or(path.strip_prefix("/v1"))?;
    Some(rest.strip_prefix("/models/")?.split_once(':')?.0)
}

/// The answer to a request that is not for a model: token counts, lists of models, and the rest.
pub(super) fn beside(path: &str, body_bytes: usize) -> Value {
    let tokens = body_bytes / 4;
    if path.ends_with("/count_tokens") || path.ends_with("/input_tokens") {
        return json!({"object": "response.input_tokens", "input_tokens": tokens});
    }
    if path.ends_with(":countTokens") {
        return json!({"totalTokens": tokens});
    }
    if path.ends_with(":loadCodeAssist") {
        let tier = json!({"id": "standard-tier", "name": "Standard"});
        return json!({"currentTier": tier, "cloudaicompanionProject": "proj-1",
            "allowedTiers": [{"id": "standard-tier", "isDefault": true}]});
    }
    if path == "/v1/models" {
        let model =
            json!({"id": "gpt-5", "object": "model", "created": 1_760_000_000, "owned_by": "headroom"});
        return json!({"object": "list", "data": [model], "has_more": false});
    }
    json!({"path": path, "received_bytes": body_bytes})
}

/// One part of a model's answer, before it is converted to an API's format.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// Thinking, with the seal that binds it.
    Thinking { text: String, seal: String },
    /// Redacted thinking: only the seal.
    Redacted { seal: String },
    /// Text.
    Text(String),
    /// A call of a tool. Gemini's carries the seal itself.
    Call { id: String, name: String, arguments: Value, seal: Option<String> },
}

impl Part {
    fn is_call(&self) -> bool {
        matches!(self, Self::Call { .. })
    }
}

/// One answer, before it is converted to an API's format.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    /// The API of the answer.
    pub(super) api: Api,
    /// The model's name in the request.
    pub(super) model: &'a str,
    /// The parts of the answer, in order.
    pub(super) parts: Cow<'a, [Part]>,
    /// The number of calls in earlier answers; the ids of this answer continue from it.
    pub(super) calls_before: usize,
    /// The answer's own id, if it must be found again.
    pub(super) response_id: Option<String>,
    /// The request's size, from which the usage figures follow: a token for every four bytes.
    pub(super) body_bytes: usize,
    /// What was read from the prompt cache.
    pub(super) cache_read_tokens: u64,
    /// The usage from a prompt cache, in place of the two above.
    pub(super) cached: Option<prompt_cache::Usage>,
    /// OpenAI Chat sends usage in a stream only when asked to.
    pub(super) stream_usage: bool,
    /// The parts of the request that the provider dropped, for `input_transformations`.
    pub(super) transformations: Vec<Value>,
    /// Whether Gemini's answer is one level deeper, as in Code Assist.
    pub(super) is_nested: bool,
}

// Outside ASCII on purpose: pieces of a stream may end inside a character.
const TEXT: &str = "Done: 3 files changed, nichts übrig. ✓";

/// The parts of a scripted answer: Anthropic's has its text before the calls, the others have one or
/// the other.
pub(super) fn scripted(api: Api, script: &Script, calls_before: usize) -> Vec<Part> {
    let prefix = if api == Api::Anthropic { "toolu" } else { "call" };
    let calls = script.tool_call.iter().chain(&script.more_calls).enumerate();
    let calls: Vec<Part> = calls
        .map(|(at, call)| Part::Call {
            id: numbered(prefix, calls_before + at),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
            seal: None,
        })
        .collect();
    let text = Part::Text(script.text.as_deref().unwrap_or(TEXT).repeat(script.repeat.saturating_add(1)));
    match api {
        Api::Anthropic => [vec![text], calls].concat(),
        _ if calls.is_empty() => vec![text],
        _ => calls,
    }
}

/// A place in the conversation as an API's id.
fn numbered(prefix: &str, at: usize) -> String {
    format!("{prefix}_{:02}A", at + 1)
}

/// The body of an error.
pub(super) fn error(api: Api, status: u16, kind: &str, message: &str) -> Value {
    match api {
        Api::Anthropic => json!({"type": "error", "error": {"type": kind, "message": message}}),
        Api::OpenAiChat | Api::OpenAiResponses => {
            json!({"error": {"message": message, "type": kind, "param": null, "code": null}})
        }
        Api::Gemini => json!({"error": {"code": status, "message": message, "status": kind}}),
        Api::BedrockConverse => json!({"message": message}),
    }
}

/// The body of an error that a script asks for.
pub(super) fn scripted_error(api: Api, status: u16) -> Value {
    let kind = match api {
        Api::Anthropic => "api_error",
        Api::OpenAiChat | Api::OpenAiResponses => "server_error",
        Api::Gemini => "INTERNAL",
        Api::BedrockConverse => "InternalServerException",
    };
    error(api, status, kind, &format!("scripted status {status}"))
}

impl Answer<'_> {
    fn id(&self, prefix: &str) -> String {
        self.response_id.clone().unwrap_or_else(|| numbered(prefix, self.calls_before))
    }

    fn has_calls(&self) -> bool {
        self.parts.iter().any(Part::is_call)
    }

    /// All visible text.
    fn text(&self) -> String {
        let texts = self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    fn input_tokens(&self) -> u64 {
        (self.body_bytes as u64 / 4).saturating_sub(self.cache_read_tokens).max(1)
    }

    fn output_tokens(&self) -> u64 {
        let text = self.text();
        let said = if text.is_empty() { TEXT } else { &text };
        said.len() as u64 / 4 + 1
    }

    /// The body of an answer that is not streamed.
    pub(super) fn json(&self) -> Value {
        match self.api {
            Api::Anthropic => self.anthropic(),
            Api::OpenAiChat => self.chat(),
            Api::OpenAiResponses => self.response("completed", self.response_items()),
            Api::Gemini => self.gemini(self.gemini_parts(), true),
            Api::BedrockConverse => self.converse(),
        }
    }

    /// The events of a streamed answer, each with its blank line.
    pub(super) fn events(&self) -> Vec<String> {
        match self.api {
            Api::Anthropic => self.anthropic_events(),
            Api::OpenAiChat => self.chat_events(),
            Api::OpenAiResponses => self.response_events(),
            Api::Gemini => self.gemini_events(),
            // `converse` alone: streams of AWS have a path of their own.
            Api::BedrockConverse => Vec::new(),
        }
    }
}

/// A text in pieces like those of a model, each with the space after it.
fn words(text: &str) -> Vec<&str> {
    text.split_inclusive(' ').collect()
}

/// A text in two parts, cut at a character boundary.
fn halves(text: &str) -> [&str; 2] {
    let (first, second) = text.split_at(text.floor_char_boundary(text.len() / 2));
    [first, second]
}

/// An event with its name before it, as Anthropic and OpenAI Responses send them.
fn named(event: &Value) -> String {
    format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default())
}
