//! Answers that may be given again to an equal request: which requests may get one, and which answers are whole.
//!
//! In doubt the provider is asked. A request gets no earlier answer if it names a tool, a state that the provider keeps, or
//! content that lies elsewhere. An answer is not kept if it calls a tool, was cut or refused, or holds a part of a kind that
//! is not known here. Only formats whose answers end with a word of their own are read.

mod answer;
mod question;
mod request;

use serde_json::{Map, Value};

pub use self::answer::is_whole;
pub use self::question::Question;
use crate::api::Api;

/// The body of a request whose answer may be given again, if it is one.
#[derive(Clone, Debug)]
pub struct ReplayableRequest {
    api: Api,
    body: Map<String, Value>,
}

impl ReplayableRequest {
    /// Reads a body. `None`: its answer is not given again. `model` is the one that the path names, and
    /// `sampled`: also where the request itself asks for chance, with a temperature above 0 or for several choices.
    pub fn read(api: Api, body: &[u8], model: Option<&str>, sampled: bool) -> Option<Self> {
        if !is_known(api) {
            return None;
        }
        let body: Map<String, Value> = serde_json::from_slice(body).ok()?;
        let asked = Self { api, body };
        (request::is_replayable(&asked, model) && (sampled || !request::is_sampled(&asked.body)))
            .then_some(asked)
    }
}

impl ReplayableRequest {
    /// Whether the body asks for an answer that comes as events.
    pub fn is_stream(&self) -> bool {
        self.body.get("stream") == Some(&Value::Bool(true))
    }
}

/// Whether answers in this format are read.
pub fn is_known(api: Api) -> bool {
    matches!(
        api,
        Api::AnthropicMessages | Api::OpenAiChat | Api::OpenAiResponses | Api::GeminiGenerateContent
    )
}

/// A member's name without what spellings differ in: Gemini takes `cachedContent` and `cached_content`.
fn folded(name: &str) -> String {
    name.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect()
}

/// Whether a member says anything.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::String(text) => !text.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}
