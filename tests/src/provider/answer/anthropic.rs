//! Answers of Anthropic Messages.

use serde_json::{Value, json};

use super::{Answer, Part, halves, named, words};

/// A part as a content block.
pub(in crate::provider) fn block(part: &Part) -> Value {
    match part {
        Part::Thinking { text, seal } => json!({"type": "thinking", "thinking": text, "signature": seal}),
        Part::Redacted { seal } => json!({"type": "redacted_thinking", "data": seal}),
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Call { id, name, arguments, .. } => {
            json!({"type": "tool_use", "id": id, "name": name, "input": arguments})
        }
    }
}

impl Answer<'_> {
    fn anthropic_usage(&self) -> Value {
        if let Some(cached) = self.cached {
            return json!({
                "input_tokens": cached.input,
                "cache_creation_input_tokens": cached.written_5m + cached.written_1h,
                "cache_read_input_tokens": cached.read,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": cached.written_5m,
                    "ephemeral_1h_input_tokens": cached.written_1h,
                },
                "output_tokens": self.output_tokens(),
                "service_tier": "standard",
            });
        }
        json!({
            "input_tokens": self.input_tokens(),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": self.cache_read_tokens,
            "output_tokens": self.output_tokens(),
            "service_tier": "standard",
        })
    }

    fn anthropic_message(&self, content: &[Value], stop_reason: Option<&str>, usage: Value) -> Value {
        let mut message = json!({
            "id": self.id("msg"), "type": "message", "role": "assistant", "model": self.model,
            "content": content, "stop_reason": stop_reason, "stop_sequence": null, "usage": usage,
        });
        if !self.transformations.is_empty() {
            message["input_transformations"] = json!(self.transformations);
        }
        message
    }

    fn anthropic_stop(&self) -> &'static str {
        if self.has_calls() { "tool_use" } else { "end_turn" }
    }

    pub(super) fn anthropic(&self) -> Value {
        let content: Vec<Value> = self.parts.iter().map(block).collect();
        self.anthropic_message(&content, Some(self.anthropic_stop()), self.anthropic_usage())
    }

    pub(super) fn anthropic_events(&self) -> Vec<String> {
        let mut start_usage = self.anthropic_usage();
        start_usage["output_tokens"] = json!(1);
        let mut events =
            vec![json!({"type": "message_start", "message": self.anthropic_message(&[], None, start_usage)})];
        for (index, part) in self.parts.iter().enumerate() {
            events.extend(streamed(index, part));
            if index == 0 {
                events.insert(2, json!({"type": "ping"}));
            }
        }
        events.push(json!({"type": "message_delta",
            "delta": {"stop_reason": self.anthropic_stop(), "stop_sequence": null},
            "usage": self.anthropic_usage()}));
        events.push(json!({"type": "message_stop"}));
        events.iter().map(named).collect()
    }
}

/// A block from its start to its stop.
fn streamed(index: usize, part: &Part) -> Vec<Value> {
    let (start, deltas) = match part {
        Part::Thinking { text, seal } => {
            let thoughts =
                words(text).into_iter().map(|word| json!({"type": "thinking_delta", "thinking": word}));
            let signature = json!({"type": "signature_delta", "signature": seal});
            (
                json!({"type": "thinking", "thinking": "", "signature": ""}),
                thoughts.chain([signature]).collect(),
            )
        }
        Part::Redacted { .. } => (block(part), Vec::new()),
        Part::Text(text) => {
            let words = words(text).into_iter().map(|word| json!({"type": "text_delta", "text": word}));
            (json!({"type": "text", "text": ""}), words.collect::<Vec<_>>())
        }
        Part::Call { id, name, arguments, .. } => {
            let arguments = arguments.to_string();
            let parts =
                halves(&arguments).map(|part| json!({"type": "input_json_delta", "partial_json": part}));
            (json!({"type": "tool_use", "id": id, "name": name, "input": {}}), parts.to_vec())
        }
    };
    let start = json!({"type": "content_block_start", "index": index, "content_block": start});
    let deltas = deltas
        .into_iter()
        .map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta}));
    let stop = json!({"type": "content_block_stop", "index": index});
    [start].into_iter().chain(deltas).chain([stop]).collect()
}
