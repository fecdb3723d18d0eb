//! Bound thinking in Anthropic Messages.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{Dropped, Reason, Walk, list, tools, without};
use crate::provider::answer::Part;
use crate::provider::answer::anthropic::block;

/// The beta header's value that lets a request choose how thinking that does not fit is handled.
const CONTROLS: &str = "thinking-binding-controls-2026-08-01";
/// A line of Claude Code's system prompt that changes with every request.
pub(super) const BILLING: &str = "x-anthropic-billing-header";

/// A request as the provider reads it.
#[derive(Debug)]
pub(in crate::provider) struct Read {
    /// The position after its last message.
    walk: Walk,
    /// The role of the last message; it may be a prefill of the model's answer.
    last_role: String,
    pub(in crate::provider) dropped: Vec<Dropped>,
    /// Whether the request asks for thinking.
    pub(in crate::provider) thinks: bool,
    /// Whether the request wants thinking that does not fit to be dropped.
    pub(in crate::provider) drops: bool,
}

/// Whether the request may choose how thinking that does not fit is handled.
pub(in crate::provider) fn has_controls<'h>(mut betas: impl Iterator<Item = &'h str>) -> bool {
    betas.any(|value| value.split(',').any(|beta| beta.trim() == CONTROLS))
}

/// The documented error for thinking that does not fit.
pub(in crate::provider) fn refusal(path: &str) -> String {
    format!("{path}: Invalid `signature` in `thinking` block. The block is bound to a different conversation")
}

/// Reads a request and checks its thinking.
pub(in crate::provider) fn read(body: &Value, model: &str, has_controls: bool) -> Read {
    let mut walk = Walk::new(model, &system(&body["system"]), tools(body));
    let mut dropped = Vec::new();
    let mut last_role = String::new();
    for (at, message) in list(&body["messages"]).iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        enter(&mut walk, &mut last_role, role);
        for (place, block) in blocks(&message["content"]).iter().enumerate() {
            let Some((seal, own)) = thinking(block) else {
                walk.pass(&canonical(block));
                continue;
            };
            if let Err(reason) = walk.check(seal, own) {
                dropped.push(Dropped { reason, path: format!("messages.{at}.content.{place}") });
            }
        }
    }
    let thinks = matches!(body["thinking"]["type"].as_str(), Some("enabled" | "adaptive"));
    let behavior = &body["thinking"]["block_binding"]["prefix_mismatch_behavior"];
    Read { walk, last_role, dropped, thinks, drops: has_controls && *behavior == "drop_block" }
}

impl Read {
    /// The first thinking that does not fit and was not made by another model.
    pub(in crate::provider) fn mismatch(&self) -> Option<&Dropped> {
        self.dropped.iter().find(|dropped| dropped.reason == Reason::PrefixMismatch)
    }

    /// Adds the seals to an answer to this request.
    pub(in crate::provider) fn seal(mut self, mut parts: Vec<Part>) -> Vec<Part> {
        enter(&mut self.walk, &mut self.last_role, "assistant");
        for part in &mut parts {
            match part {
                Part::Thinking { text, seal } => *seal = self.walk.seal(text),
                Part::Redacted { seal } => *seal = self.walk.seal(""),
                Part::Text(_) | Part::Call { .. } => self.walk.pass(&canonical(&block(part))),
            }
        }
        parts
    }
}

/// Consecutive messages of one role are one message for the model.
fn enter(walk: &mut Walk, last: &mut String, role: &str) {
    if last != role {
        walk.pass(role);
        role.clone_into(last);
    }
}

/// The system prompt without parts that may change between requests.
fn system(system: &Value) -> Value {
    let blocks = blocks(system);
    let texts = blocks
        .iter()
        .map(|block| {
            let text = block["text"].as_str().unwrap_or_default();
            let lines: Vec<&str> = text.split('\n').filter(|line| !line.starts_with(BILLING)).collect();
            lines.join("\n")
        })
        .filter(|text| !text.is_empty());
    json!(texts.collect::<Vec<_>>())
}

/// A text is a list of one block.
fn blocks(content: &Value) -> Cow<'_, [Value]> {
    match content {
        Value::String(text) => Cow::Owned(vec![json!({"type": "text", "text": text})]),
        content => Cow::Borrowed(list(content)),
    }
}

/// The seal and the text of a thinking block.
fn thinking(block: &Value) -> Option<(&str, &str)> {
    let text = |name: &str| block[name].as_str().unwrap_or_default();
    match block["type"].as_str()? {
        "thinking" => Some((text("signature"), text("thinking"))),
        "redacted_thinking" => Some((text("data"), "")),
        _ => None,
    }
}

/// A block without cache markers, and with the text of a tool result always as blocks.
fn canonical(block: &Value) -> String {
    let mut block = without(block, &["cache_control", "citations"]);
    if block["type"] == "tool_result" {
        block["content"] = json!(blocks(&block["content"]));
        if block["is_error"] == false {
            block.as_object_mut().map(|members| members.remove("is_error"));
        }
    }
    block.to_string()
}
