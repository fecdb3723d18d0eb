//! Bound reasoning in OpenAI Responses.

use serde_json::{Value, json};

use super::{Dropped, Walk, list, tools, without};
use crate::provider::answer::Part;
use crate::provider::answer::openai_responses::item;

/// A request as the provider reads it.
#[derive(Debug)]
pub(in crate::provider) struct Read {
    /// The position after its last item.
    walk: Walk,
    pub(in crate::provider) dropped: Vec<Dropped>,
    /// Whether the request asks for reasoning that it can send back.
    pub(in crate::provider) thinks: bool,
}

/// The items of an `input`, which may be a text.
pub(in crate::provider) fn items(input: &Value) -> Vec<Value> {
    match input {
        Value::String(text) => vec![json!({"role": "user", "content": text})],
        input => list(input).to_vec(),
    }
}

/// Reads the items of a whole conversation and checks their reasoning.
pub(in crate::provider) fn read(body: &Value, items: &[Value], model: &str) -> Read {
    let mut walk = Walk::new(model, &body["instructions"], tools(body));
    let mut dropped = Vec::new();
    for (at, item) in items.iter().enumerate() {
        if item["type"] != "reasoning" {
            walk.pass(&canonical(item));
            continue;
        }
        // Without its content there is nothing for the model.
        let Some(seal) = item["encrypted_content"].as_str() else { continue };
        if let Err(reason) = walk.check(seal, "") {
            dropped.push(Dropped { reason, path: format!("input.{at}") });
        }
    }
    let thinks = list(&body["include"]).iter().any(|what| what == "reasoning.encrypted_content");
    Read { walk, dropped, thinks }
}

impl Read {
    /// Adds the seals to an answer to this request.
    pub(in crate::provider) fn seal(mut self, mut parts: Vec<Part>) -> Vec<Part> {
        for part in &mut parts {
            match part {
                Part::Thinking { seal, .. } | Part::Redacted { seal } => *seal = self.walk.seal(""),
                Part::Text(_) | Part::Call { .. } => self.walk.pass(&canonical(&item(part, 0))),
            }
        }
        parts
    }
}

/// An item without the fields that clients leave out when they send it back. A message is its role and
/// its texts.
fn canonical(item: &Value) -> String {
    if item["role"].is_string() {
        let texts: Vec<&Value> = match &item["content"] {
            text @ Value::String(_) => vec![text],
            content => list(content).iter().map(|part| part.get("text").unwrap_or(part)).collect(),
        };
        return json!([item["role"], texts]).to_string();
    }
    without(item, &["id", "status"]).to_string()
}
