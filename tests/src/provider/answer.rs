//! Answers in the words of each API, as JSON and as server-sent events.

use serde_json::{Value, json};

use super::script::{Script, ToolCall};

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
}

impl Api {
    /// The API of a path, without its query.
    pub(super) fn of(path: &str) -> Option<Self> {
        match path {
            "/v1/messages" => Some(Self::Anthropic),
            "/v1/chat/completions" => Some(Self::OpenAiChat),
            "/v1/responses" => Some(Self::OpenAiResponses),
            _ if gemini_model(path).is_some() && path.ends_with("enerateContent") => Some(Self::Gemini),
            _ => None,
        }
    }
}

/// What Gemini's paths say of the model.
pub(super) fn gemini_model(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/v1beta").or(path.strip_prefix("/v1"))?;
    Some(rest.strip_prefix("/models/")?.split_once(':')?.0)
}

/// The answer to what is no request to a model: token counts, lists of models, and the rest.
pub(super) fn beside(path: &str, body_bytes: usize) -> Value {
    let tokens = body_bytes / 4;
    if path.ends_with("/count_tokens") || path.ends_with("/input_tokens") {
        return json!({"object": "response.input_tokens", "input_tokens": tokens});
    }
    if path.ends_with(":countTokens") {
        return json!({"totalTokens": tokens});
    }
    if path == "/v1/models" {
        let model =
            json!({"id": "gpt-5", "object": "model", "created": 1_760_000_000, "owned_by": "headroom"});
        return json!({"object": "list", "data": [model], "has_more": false});
    }
    json!({"path": path, "received_bytes": body_bytes})
}

/// One answer before it is put into an API's words.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    /// The API to speak.
    pub(super) api: Api,
    /// As the request named it.
    pub(super) model: &'a str,
    /// What was asked for.
    pub(super) script: &'a Script,
    /// The calls that earlier answers made, after which those of this one are numbered.
    pub(super) calls_before: usize,
    /// The request's size, from which the usage figures follow: a token for every four bytes.
    pub(super) body_bytes: usize,
    /// OpenAI Chat sends usage in a stream only when asked to.
    pub(super) stream_usage: bool,
}

impl Answer<'_> {
    fn text(&self) -> &str {
        // Outside ASCII on purpose: pieces of a stream may end inside a character.
        self.script.text.as_deref().unwrap_or("Done: 3 files changed, nichts übrig. ✓")
    }

    fn calls(&self) -> Vec<&ToolCall> {
        self.script.tool_call.iter().chain(&self.script.more_calls).collect()
    }

    /// Each call's place in the conversation as an API's id.
    fn id(&self, prefix: &str, at: usize) -> String {
        format!("{prefix}_{:02}A", self.calls_before + at + 1)
    }

    fn input_tokens(&self) -> u64 {
        (self.body_bytes as u64 / 4).saturating_sub(self.script.cache_read_tokens).max(1)
    }

    fn output_tokens(&self) -> u64 {
        self.text().len() as u64 / 4 + 1
    }

    /// The body of an answer that is not streamed.
    pub(super) fn json(&self) -> Value {
        match self.api {
            Api::Anthropic => self.anthropic(),
            Api::OpenAiChat => self.chat(),
            Api::OpenAiResponses => self.response("completed", self.response_items()),
            Api::Gemini => self.gemini(self.gemini_parts(), true),
        }
    }

    /// The events of a streamed answer, each with its blank line.
    pub(super) fn events(&self) -> Vec<String> {
        match self.api {
            Api::Anthropic => self.anthropic_events(),
            Api::OpenAiChat => self.chat_events(),
            Api::OpenAiResponses => self.response_events(),
            Api::Gemini => self
                .words()
                .into_iter()
                .map(|word| self.gemini(vec![json!({"text": word})], false))
                .chain([self.gemini(self.gemini_last_parts(), true)])
                .map(|chunk| format!("data: {chunk}\r\n\r\n"))
                .collect(),
        }
    }

    /// The body of an error.
    pub(super) fn error(&self, status: u16) -> Value {
        let message = format!("scripted status {status}");
        match self.api {
            Api::Anthropic => json!({"type": "error", "error": {"type": "api_error", "message": message}}),
            Api::OpenAiChat | Api::OpenAiResponses => {
                json!({"error": {"message": message, "type": "server_error", "param": null, "code": null}})
            }
            Api::Gemini => json!({"error": {"code": status, "message": message, "status": "INTERNAL"}}),
        }
    }

    fn words(&self) -> Vec<&str> {
        self.text().split_inclusive(' ').collect()
    }

    fn anthropic_usage(&self) -> Value {
        json!({
            "input_tokens": self.input_tokens(),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": self.script.cache_read_tokens,
            "output_tokens": self.output_tokens(),
            "service_tier": "standard",
        })
    }

    fn anthropic_message(&self, content: &[Value], stop_reason: Option<&str>, usage: Value) -> Value {
        json!({
            "id": self.id("msg", 0), "type": "message", "role": "assistant", "model": self.model,
            "content": content, "stop_reason": stop_reason, "stop_sequence": null, "usage": usage,
        })
    }

    fn anthropic_stop(&self) -> &'static str {
        if self.calls().is_empty() { "end_turn" } else { "tool_use" }
    }

    fn anthropic(&self) -> Value {
        let mut content = vec![json!({"type": "text", "text": self.text()})];
        content.extend(self.calls().iter().enumerate().map(|(at, call)| {
            json!({"type": "tool_use", "id": self.id("toolu", at), "name": call.name, "input": call.arguments})
        }));
        self.anthropic_message(&content, Some(self.anthropic_stop()), self.anthropic_usage())
    }

    fn anthropic_events(&self) -> Vec<String> {
        let mut start_usage = self.anthropic_usage();
        start_usage["output_tokens"] = json!(1);
        let mut events = vec![
            json!({"type": "message_start", "message": self.anthropic_message(&[], None, start_usage)}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "ping"}),
        ];
        events.extend(self.words().into_iter().map(
            |word| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}),
        ));
        events.push(json!({"type": "content_block_stop", "index": 0}));
        for (at, call) in self.calls().into_iter().enumerate() {
            let index = at + 1;
            let arguments = call.arguments.to_string();
            let (first, second) = halves(&arguments);
            events.push(json!({"type": "content_block_start", "index": index, "content_block":
                {"type": "tool_use", "id": self.id("toolu", at), "name": call.name, "input": {}}}));
            events.extend([first, second].map(|part| {
                json!({"type": "content_block_delta", "index": index,
                "delta": {"type": "input_json_delta", "partial_json": part}})
            }));
            events.push(json!({"type": "content_block_stop", "index": index}));
        }
        events.push(json!({"type": "message_delta",
            "delta": {"stop_reason": self.anthropic_stop(), "stop_sequence": null},
            "usage": self.anthropic_usage()}));
        events.push(json!({"type": "message_stop"}));
        events
            .iter()
            .map(|e| format!("event: {}\ndata: {e}\n\n", e["type"].as_str().unwrap_or_default()))
            .collect()
    }

    fn chat_usage(&self) -> Value {
        json!({
            "prompt_tokens": self.input_tokens() + self.script.cache_read_tokens,
            "completion_tokens": self.output_tokens(),
            "total_tokens": self.input_tokens() + self.script.cache_read_tokens + self.output_tokens(),
            "prompt_tokens_details": {"cached_tokens": self.script.cache_read_tokens},
        })
    }

    fn chat_call(&self, at: usize, call: &ToolCall, arguments: &str) -> Value {
        json!({"index": at, "id": self.id("call", at), "type": "function",
            "function": {"name": call.name, "arguments": arguments}})
    }

    fn chat(&self) -> Value {
        let calls = self.calls().into_iter().enumerate().map(|(at, call)| {
            let mut call = self.chat_call(at, call, &call.arguments.to_string());
            call.as_object_mut().expect("an object").remove("index");
            call
        });
        let calls: Vec<Value> = calls.collect();
        let (message, finish) = if calls.is_empty() {
            (json!({"role": "assistant", "content": self.text()}), "stop")
        } else {
            (json!({"role": "assistant", "content": null, "tool_calls": calls}), "tool_calls")
        };
        json!({"id": self.id("chatcmpl", 0), "object": "chat.completion", "created": 1_760_000_000, "model": self.model,
            "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}],
            "usage": self.chat_usage()})
    }

    fn chat_events(&self) -> Vec<String> {
        let chunk = |choices: Value, usage: Value| {
            let mut chunk = json!({"id": self.id("chatcmpl", 0), "object": "chat.completion.chunk",
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
        let calls = self.calls();
        if calls.is_empty() {
            chunks.extend(self.words().into_iter().map(|word| delta(json!({"content": word}), Value::Null)));
            chunks.push(delta(json!({}), json!("stop")));
        } else {
            for (at, call) in calls.into_iter().enumerate() {
                chunks.push(delta(json!({"tool_calls": [self.chat_call(at, call, "")]}), Value::Null));
                let arguments = call.arguments.to_string();
                let (first, second) = halves(&arguments);
                chunks.extend([first, second].map(|part| {
                    delta(
                        json!({"tool_calls": [{"index": at, "function": {"arguments": part}}]}),
                        Value::Null,
                    )
                }));
            }
            chunks.push(delta(json!({}), json!("tool_calls")));
        }
        if self.stream_usage {
            chunks.push(chunk(json!([]), self.chat_usage()));
        }
        let mut events: Vec<String> = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
        events.push("data: [DONE]\n\n".to_owned());
        events
    }

    fn response_items(&self) -> Vec<Value> {
        let calls = self.calls();
        if calls.is_empty() {
            return vec![
                json!({"type": "message", "id": self.id("msg", 0), "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": self.text(), "annotations": []}]}),
            ];
        }
        let calls = calls.into_iter().enumerate().map(|(at, call)| {
            json!({"type": "function_call", "id": self.id("fc", at), "call_id": self.id("call", at),
                "status": "completed", "name": call.name, "arguments": call.arguments.to_string()})
        });
        calls.collect()
    }

    fn response(&self, status: &str, output: Vec<Value>) -> Value {
        let usage = if status == "completed" {
            json!({
                "input_tokens": self.input_tokens() + self.script.cache_read_tokens,
                "input_tokens_details": {"cached_tokens": self.script.cache_read_tokens},
                "output_tokens": self.output_tokens(),
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": self.input_tokens() + self.script.cache_read_tokens + self.output_tokens(),
            })
        } else {
            Value::Null
        };
        json!({"id": self.id("resp", 0), "object": "response", "created_at": 1_760_000_000, "status": status,
            "model": self.model, "output": output, "parallel_tool_calls": true, "tool_choice": "auto", "tools": [],
            "usage": usage})
    }

    fn response_events(&self) -> Vec<String> {
        let items = self.response_items();
        let mut events =
            vec![json!({"type": "response.created", "response": self.response("in_progress", vec![])})];
        for (at, item) in items.iter().enumerate() {
            events.push(json!({"type": "response.output_item.added", "output_index": at, "item": item}));
            if item["type"] == "message" {
                events.extend(self.words().into_iter().map(|word| {
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
        events
            .iter()
            .map(|e| format!("event: {}\ndata: {e}\n\n", e["type"].as_str().unwrap_or_default()))
            .collect()
    }

    fn gemini_parts(&self) -> Vec<Value> {
        let calls = self.calls();
        if calls.is_empty() {
            return vec![json!({"text": self.text()})];
        }
        let calls = calls.into_iter();
        calls.map(|call| json!({"functionCall": {"name": call.name, "args": call.arguments}})).collect()
    }

    /// What a stream ends with, when the text has been sent word by word.
    fn gemini_last_parts(&self) -> Vec<Value> {
        if self.calls().is_empty() { vec![json!({"text": ""})] } else { self.gemini_parts() }
    }

    fn gemini(&self, parts: Vec<Value>, last: bool) -> Value {
        let finish = if last { json!("STOP") } else { Value::Null };
        json!({
            "candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": finish, "index": 0}],
            "usageMetadata": {
                "promptTokenCount": self.input_tokens() + self.script.cache_read_tokens,
                "cachedContentTokenCount": self.script.cache_read_tokens,
                "candidatesTokenCount": self.output_tokens(),
                "totalTokenCount": self.input_tokens() + self.script.cache_read_tokens + self.output_tokens(),
            },
            "modelVersion": self.model,
        })
    }
}

/// A text in two parts, cut at a character boundary.
fn halves(text: &str) -> (&str, &str) {
    text.split_at(text.floor_char_boundary(text.len() / 2))
}
