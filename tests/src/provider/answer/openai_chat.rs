//! Answers of OpenAI Chat Completions. It shows no thinking.

use serde_json::{Value, json};

use super::{Answer, Part, halves, words};

impl Answer<'_> {
    fn chat_usage(&self) -> Value {
        let (input, read) = self
            .cached
            .map_or((self.input_tokens(), self.cache_read_tokens), |cached| (cached.input, cached.read));
        json!({
            "prompt_tokens": input + read,
            "completion_tokens": self.output_tokens(),
            "total_tokens": input + read + self.output_tokens(),
            "prompt_tokens_details": {"cached_tokens": read},
        })
    }

    /// Id, name and arguments of each call.
    fn chat_calls(&self) -> Vec<(&str, &str, String)> {
        let mut calls = Vec::new();
        for part in self.parts.iter() {
            if let Part::Call { id, name, arguments, .. } = part {
                calls.push((id.as_str(), name.as_str(), arguments.to_string()));
            }
        }
        calls
    }

    pub(super) fn chat(&self) -> Value {
        let calls: Vec<Value> = self
            .chat_calls()
            .into_iter()
            .map(|(id, name, arguments)| {
                json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
            })
            .collect();
        let text = self.text();
        let content = if text.is_empty() { Value::Null } else { text.into() };
        let mut message = json!({"role": "assistant", "content": content});
        let finish = if calls.is_empty() { "stop" } else { "tool_calls" };
        if !calls.is_empty() {
            message["tool_calls"] = calls.into();
        }
        json!({"id": self.id("chatcmpl"), "object": "chat.completion", "created": 1_760_000_000, "model": self.model,
            "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}],
            "usage": self.chat_usage()})
    }

    pub(super) fn chat_events(&self) -> Vec<String> {
        let chunk = |choices: Value, usage: Value| {
            let mut chunk = json!({"id": self.id("chatcmpl"), "object": "chat.completion.chunk",
                "created": 1_760_000_000, "model": self.model, "choices": choices});
            if self.stream_usage {
                chunk["usage"] = usage;
            }
            chunk
        };
        let delta = |delta: Value, finish: Value| {
            chunk(json!([{"index": 0, "delta": delta, "finish_reason": finish}]), Value::Null)
        };
        let mut chunks = vec![delta(json!({"role": "assistant", "content": ""}), Value::Null)];
        let text = self.text();
        chunks.extend(words(&text).into_iter().map(|word| delta(json!({"content": word}), Value::Null)));
        for (at, (id, name, arguments)) in self.chat_calls().into_iter().enumerate() {
            let start = json!({"index": at, "id": id, "type": "function",
                "function": {"name": name, "arguments": ""}});
            chunks.push(delta(json!({"tool_calls": [start]}), Value::Null));
            chunks.extend(halves(&arguments).map(|part| {
                let part = json!({"index": at, "function": {"arguments": part}});
                delta(json!({"tool_calls": [part]}), Value::Null)
            }));
        }
        chunks.push(delta(json!({}), json!(if self.has_calls() { "tool_calls" } else { "stop" })));
        if self.stream_usage {
            chunks.push(chunk(json!([]), self.chat_usage()));
        }
        let mut events: Vec<String> = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
        events.push("data: [DONE]\n\n".to_owned());
        events
    }
}
