//! Answers of OpenAI Responses.

use serde_json::{Value, json};

use super::{Answer, Part, named, numbered, words};

/// A part as an output item; `at` numbers it among those of its kind in the conversation.
pub(in crate::provider) fn item(part: &Part, at: usize) -> Value {
    match part {
        Part::Thinking { text, seal } => json!({"type": "reasoning", "id": numbered("rs", at),
            "summary": [{"type": "summary_text", "text": text}], "encrypted_content": seal}),
        Part::Redacted { seal } => json!({"type": "reasoning", "id": numbered("rs", at), "summary": [],
            "encrypted_content": seal}),
        Part::Text(text) => {
            json!({"type": "message", "id": numbered("msg", at), "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": text, "annotations": []}]})
        }
        Part::Call { id, name, arguments, .. } => {
            let mut call = json!({"type": "function_call", "id": numbered("fc", at), "call_id": id,
                "status": "completed", "name": name, "arguments": arguments.to_string()});
            // a tool of an MCP server, as Codex lists them
            if let Some((server, tool)) = name.split_once('/') {
                call["namespace"] = server.into();
                call["name"] = tool.into();
            }
            call
        }
    }
}

impl Answer<'_> {
    pub(in crate::provider) fn response_items(&self) -> Vec<Value> {
        let parts = self.parts.iter().enumerate();
        let items = parts.map(|(at, part)| {
            let mut item = item(part, self.calls_before + at);
            // Several rounds may become one response for the client, so their ids must differ.
            if let (Some(answer), Some(id)) = (&self.response_id, item["id"].as_str()) {
                item["id"] = format!("{id}{}", answer.trim_start_matches("resp_")).into();
            }
            item
        });
        items.collect()
    }

    pub(super) fn response(&self, status: &str, output: Vec<Value>) -> Value {
        let (input, read) = self
            .cached
            .map_or((self.input_tokens(), self.cache_read_tokens), |cached| (cached.input, cached.read));
        let usage = if status == "completed" {
            json!({
                "input_tokens": input + read,
                "input_tokens_details": {"cached_tokens": read},
                "output_tokens": self.output_tokens(),
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": input + read + self.output_tokens(),
            })
        } else {
            Value::Null
        };
        let mut response = json!({"id": self.id("resp"), "object": "response", "created_at": 1_760_000_000,
            "status": status, "model": self.model, "output": output, "parallel_tool_calls": true,
            "tool_choice": "auto", "tools": [], "usage": usage});
        if !self.transformations.is_empty() {
            response["input_transformations"] = json!(self.transformations);
        }
        response
    }

    pub(super) fn response_events(&self) -> Vec<String> {
        let items = self.response_items();
        let mut events =
            vec![json!({"type": "response.created", "response": self.response("in_progress", vec![])})];
        for (at, item) in items.iter().enumerate() {
            events.push(json!({"type": "response.output_item.added", "output_index": at, "item": item}));
            if let Some(Part::Text(text)) = self.parts.get(at) {
                events.extend(words(text).into_iter().map(|word| {
                    json!({"type": "response.output_text.delta", "item_id": item["id"], "output_index": at,
                        "content_index": 0, "delta": word, "logprobs": []})
                }));
            }
            events.push(json!({"type": "response.output_item.done", "output_index": at, "item": item}));
        }
        events.push(json!({"type": "response.completed", "response": self.response("completed", items)}));
        for (number, event) in events.iter_mut().enumerate() {
            event["sequence_number"] = json!(number);
        }
        events.iter().map(named).collect()
    }
}
