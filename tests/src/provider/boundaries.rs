//! Where the beginning of a conversation may change: at the boundaries of `"history": "epochs"`, and to nothing but what
//! the engine makes of the client's own outputs.

use std::collections::HashMap;

use headroom_compress::{Config, Epochs, Memo, Request, RetrieveTool, compress};
use serde_json::Value;

use super::answer::Api;
use super::transcript::is_ours;

/// What the provider knows of a client whose old turns are rewritten.
#[derive(Debug)]
pub struct Boundaries {
    config: Config,
    /// What the client's tools print, one after the other, and then from the first again.
    outputs: Vec<String>,
}

/// What a request has to be.
#[derive(Debug, PartialEq)]
pub(super) struct Expected {
    pub(super) body: Value,
    /// The first request that is rewritten in this way.
    pub(super) now: bool,
}

impl Boundaries {
    /// For a client whose tools print these outputs.
    pub fn new(epochs: Epochs, outputs: Vec<String>) -> Self {
        Self { config: Config { epochs: Some(Box::new(epochs)), ..Config::default() }, outputs }
    }

    /// What the engine makes of a request in which each result of the client's tools is what the tool has printed. It
    /// remembers no other request. `None`: it does not read the format here.
    pub(super) fn expected(&self, api: Api, body: &Value) -> Option<Expected> {
        let mut original = body.clone();
        let mut results = Results { boundaries: self, names: HashMap::new(), given: 0 };
        let messages = original["messages"].as_array_mut()?;
        let api = match api {
            Api::Anthropic => {
                messages.iter_mut().for_each(|message| results.anthropic(message));
                headroom_compress::Api::AnthropicMessages
            }
            Api::OpenAiChat => {
                messages.iter_mut().for_each(|message| results.chat(message));
                headroom_compress::Api::OpenAiChat
            }
            Api::BedrockConverse | Api::OpenAiResponses | Api::Gemini => return None,
        };
        let original = original.to_string().into_bytes();
        let request = Request { reversible: true, retrieve_tool: RetrieveTool::Add, ..Request::new(api) };
        let outcome = compress(&original, &request, &self.config, &mut Memo::new(0));
        let now = outcome.rewritten.as_ref().is_some_and(|rewritten| rewritten.now);
        Some(Expected { body: serde_json::from_slice(&outcome.body).ok()?, now })
    }
}

/// The results of the client's tools so far.
struct Results<'b> {
    boundaries: &'b Boundaries,
    /// The tools by the ids of their calls.
    names: HashMap<String, String>,
    given: usize,
}

impl Results<'_> {
    fn call(&mut self, id: &Value, name: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.names.insert(text(id), text(name));
    }

    /// Puts what the tool has printed into a result.
    fn result(&mut self, id: &Value, content: &mut Value) {
        let name = id.as_str().and_then(|id| self.names.get(id));
        if name.is_some_and(|name| is_ours(name)) {
            return;
        }
        let outputs = &self.boundaries.outputs;
        *content = outputs[self.given % outputs.len()].clone().into();
        self.given += 1;
    }

    fn anthropic(&mut self, message: &mut Value) {
        for block in message["content"].as_array_mut().into_iter().flatten() {
            if block["type"] == "tool_use" {
                self.call(&block["id"], &block["name"]);
            } else if block["type"] == "tool_result" {
                let id = block["tool_use_id"].clone();
                self.result(&id, &mut block["content"]);
            }
        }
    }

    fn chat(&mut self, message: &mut Value) {
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            self.call(&call["id"], &call["function"]["name"]);
        }
        if message["role"] == "tool" {
            let id = message["tool_call_id"].clone();
            self.result(&id, &mut message["content"]);
        }
    }
}
