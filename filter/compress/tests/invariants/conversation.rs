//! Conversations as bodies of every wire format, in any spelling of JSON.

use headroom_compress::Api;
use serde_json::{Map, Value, json};

pub(crate) const APIS: [Api; 8] = Api::ALL;

/// One step of a conversation.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    User(String),
    Assistant(String),
    Call { id: String, name: String, arguments: Value },
    Output { id: String, name: String, texts: Vec<String> },
}

/// The body that an agent sends after these steps.
pub(crate) fn body(api: Api, system: &str, steps: &[Step]) -> Value {
    match api {
        Api::AnthropicMessages => anthropic(system, steps),
        Api::AnthropicBedrock => {
            let mut body = anthropic(system, steps);
            body["anthropic_version"] = "bedrock-2023-05-31".into();
            body
        }
        Api::OpenAiChat => openai_chat(system, steps),
        Api::OpenAiResponses => openai_responses(system, steps),
        Api::GeminiGenerateContent => gemini(system, steps),
        Api::GeminiCodeAssist => {
            json!({"model": "gemini-2.5-pro", "project": "p", "request": gemini(system, steps)})
        }
        Api::BedrockConverse => bedrock_converse(system, steps),
        Api::CohereChat => cohere(system, steps),
    }
}

fn anthropic(system: &str, steps: &[Step]) -> Value {
    let messages: Vec<Value> = steps
        .iter()
        .map(|step| match step {
            Step::User(text) => json!({"role": "user", "content": [{"type": "text", "text": text}]}),
            Step::Assistant(text) => json!({"role": "assistant", "content": text}),
            Step::Call { id, name, arguments } => json!({"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "tool_use", "id": id, "name": name, "input": arguments}]}),
            Step::Output { id, texts, .. } => json!({"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": id, "content": content("text", texts), "is_error": false}]}),
        })
        .collect();
    json!({"model": "claude-sonnet-4-5", "max_tokens": 10, "stream": true,
        "system": [{"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}],
        "tools": [{"name": "run", "input_schema": {"type": "object"}}], "messages": messages})
}

fn openai_chat(system: &str, steps: &[Step]) -> Value {
    let mut messages = vec![json!({"role": "system", "content": system})];
    messages.extend(steps.iter().map(|step| match step {
        Step::User(text) => json!({"role": "user", "content": text}),
        Step::Assistant(text) => json!({"role": "assistant", "content": text}),
        Step::Call { id, name, arguments } => json!({"role": "assistant", "content": null, "tool_calls": [
            {"id": id, "type": "function", "function": {"name": name, "arguments": arguments.to_string()}}]}),
        Step::Output { id, texts, .. } => {
            json!({"role": "tool", "tool_call_id": id, "content": content("text", texts)})
        }
    }));
    json!({"model": "gpt-4.1", "messages": messages, "stream": true, "temperature": 1.0})
}

fn openai_responses(system: &str, steps: &[Step]) -> Value {
    let input: Vec<Value> = steps
        .iter()
        .map(|step| match step {
            Step::User(text) => json!({"role": "user", "content": [{"type": "input_text", "text": text}]}),
            Step::Assistant(text) => json!({"type": "message", "role": "assistant", "content": text}),
            Step::Call { id, name, arguments } => {
                json!({"type": "function_call", "call_id": id, "name": name,
                "arguments": arguments.to_string()})
            }
            Step::Output { id, texts, .. } => {
                json!({"type": "function_call_output", "call_id": id, "output": content("input_text", texts)})
            }
        })
        .collect();
    json!({"model": "gpt-5", "instructions": system, "input": input, "store": false})
}

fn gemini(system: &str, steps: &[Step]) -> Value {
    let contents: Vec<Value> = steps
        .iter()
        .map(|step| match step {
            Step::User(text) => json!({"role": "user", "parts": [{"text": text}]}),
            Step::Assistant(text) => json!({"role": "model", "parts": [{"text": text}]}),
            Step::Call { id, name, arguments } => {
                json!({"role": "model", "parts": [{"functionCall": {"id": id, "name": name, "args": arguments}}]})
            }
            Step::Output { id, name, texts } => {
                let parts: Vec<Value> = texts
                    .iter()
                    .map(|text| json!({"functionResponse": {"id": id, "name": name, "response": {"output": text}}}))
                    .collect();
                json!({"role": "user", "parts": parts})
            }
        })
        .collect();
    json!({"systemInstruction": {"parts": [{"text": system}]}, "contents": contents})
}

fn bedrock_converse(system: &str, steps: &[Step]) -> Value {
    let messages: Vec<Value> = steps
        .iter()
        .map(|step| match step {
            Step::User(text) => {
                json!({"role": "user", "content": [{"text": text}, {"cachePoint": {"type": "default"}}]})
            }
            Step::Assistant(text) => json!({"role": "assistant", "content": [{"text": text}]}),
            Step::Call { id, name, arguments } => json!({"role": "assistant", "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
                {"toolUse": {"toolUseId": id, "name": name, "input": arguments}}]}),
            Step::Output { id, texts, .. } => {
                // The texts, by turns in each form that a text can have.
                let parts: Vec<Value> = texts
                    .iter()
                    .enumerate()
                    .map(|(at, text)| match at % 3 {
                        0 => json!({"text": text}),
                        1 => json!({"json": {"output": text}}),
                        _ => json!({"json": text}),
                    })
                    .collect();
                json!({"role": "user", "content": [
                    {"toolResult": {"toolUseId": id, "content": parts, "status": "success"}}]})
            }
        })
        .collect();
    json!({"system": [{"text": system}, {"cachePoint": {"type": "default"}}], "messages": messages,
        "toolConfig": {"tools": [{"toolSpec": {"name": "run", "inputSchema": {"json": {"type": "object"}}}}]},
        "inferenceConfig": {"maxTokens": 10, "temperature": 1.0}})
}

fn cohere(system: &str, steps: &[Step]) -> Value {
    let mut messages = vec![json!({"role": "system", "content": system})];
    messages.extend(steps.iter().map(|step| match step {
        Step::User(text) => json!({"role": "user", "content": [{"type": "text", "text": text}]}),
        Step::Assistant(text) => json!({"role": "assistant", "content": text}),
        Step::Call { id, name, arguments } => {
            json!({"role": "assistant", "tool_plan": "I will look.", "tool_calls": [
            {"id": id, "type": "function", "function": {"name": name, "arguments": arguments.to_string()}}]})
        }
        Step::Output { id, texts, .. } => {
            json!({"role": "tool", "tool_call_id": id, "content": content("text", texts)})
        }
    }));
    json!({"model": "command-a-03-2025", "messages": messages, "stream": true})
}

fn content(kind: &str, texts: &[String]) -> Value {
    match texts {
        [text] => Value::from(text.as_str()),
        texts => texts.iter().map(|text| json!({"type": kind, "text": text})).collect(),
    }
}

/// The body with every text of every tool output blanked: this has to stay the same. Written from the
/// formats' documentation and without the engine's reader, so that each checks the other.
pub(crate) fn masked(api: Api, mut body: Value) -> Value {
    fn blank(content: &mut Value, kinds: &[&str]) {
        match content {
            Value::String(text) => text.clear(),
            Value::Array(parts) => {
                for part in parts {
                    let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
                    if kinds.contains(&kind) && part.get("text").is_some_and(Value::is_string) {
                        part["text"] = Value::from("");
                    }
                }
            }
            _ => {}
        }
    }
    fn blank_only_member(value: &mut Value) {
        if let Some(members) = value.as_object_mut().filter(|members| members.len() == 1) {
            for text in members.values_mut().filter(|text| text.is_string()) {
                *text = Value::from("");
            }
        }
    }
    fn each(list: Option<&mut Value>) -> impl Iterator<Item = &mut Map<String, Value>> {
        list.and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
    }
    let is = |object: &Map<String, Value>, key: &str, value: &str| {
        object.get(key).is_some_and(|found| found.as_str() == Some(value))
    };
    match api {
        Api::AnthropicMessages | Api::AnthropicBedrock => {
            for message in each(body.get_mut("messages")).filter(|message| is(message, "role", "user")) {
                for block in each(message.get_mut("content")).filter(|block| is(block, "type", "tool_result"))
                {
                    block.get_mut("content").into_iter().for_each(|content| blank(content, &["text"]));
                }
            }
        }
        Api::OpenAiChat | Api::CohereChat => {
            for message in each(body.get_mut("messages")).filter(|message| is(message, "role", "tool")) {
                message.get_mut("content").into_iter().for_each(|content| blank(content, &["text"]));
            }
        }
        Api::OpenAiResponses => {
            for item in each(body.get_mut("input")) {
                let ours = ["function_call_output", "custom_tool_call_output", "local_shell_call_output"];
                if ours.iter().any(|kind| is(item, "type", kind)) {
                    let kinds = ["text", "input_text", "output_text"];
                    item.get_mut("output").into_iter().for_each(|output| blank(output, &kinds));
                }
            }
        }
        Api::GeminiGenerateContent | Api::GeminiCodeAssist => {
            let request = match api {
                Api::GeminiCodeAssist => &mut body["request"],
                _ => &mut body,
            };
            for content in each(request.get_mut("contents")) {
                for part in each(content.get_mut("parts")) {
                    for name in ["functionResponse", "function_response"] {
                        let response = part.get_mut(name).and_then(|response| response.get_mut("response"));
                        response.into_iter().for_each(blank_only_member);
                    }
                }
            }
        }
        Api::BedrockConverse => {
            for message in each(body.get_mut("messages")).filter(|message| is(message, "role", "user")) {
                for block in each(message.get_mut("content")) {
                    let result = block.get_mut("toolResult").and_then(Value::as_object_mut);
                    let Some(result) = result.filter(|result| !result.contains_key("type")) else { continue };
                    for part in each(result.get_mut("content")) {
                        part.get_mut("text").into_iter().for_each(|text| blank(text, &[]));
                        if let Some(json) = part.get_mut("json") {
                            blank_only_member(json);
                            if json.is_string() {
                                *json = Value::from("");
                            }
                        }
                    }
                }
            }
        }
    }
    body
}

/// How a client may spell JSON. All choices depend only on `seed`.
pub(crate) struct Spelling {
    seed: u64,
}

impl Spelling {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Writes a value with white space, key order and escapes that do not change its meaning.
    pub(crate) fn write(&mut self, value: &Value, out: &mut String) {
        self.space(out);
        match value {
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                for at in (1..members.len()).rev() {
                    members.swap(at, self.below(at as u64 + 1) as usize);
                }
                out.push('{');
                for (at, (key, value)) in members.into_iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    self.space(out);
                    self.string(key, out);
                    self.space(out);
                    out.push(':');
                    self.write(value, out);
                }
                out.push('}');
            }
            Value::Array(elements) => {
                out.push('[');
                for (at, element) in elements.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    self.write(element, out);
                }
                self.space(out);
                out.push(']');
            }
            Value::String(text) => self.string(text, out),
            other => out.push_str(&other.to_string()),
        }
        self.space(out);
    }

    fn string(&mut self, text: &str, out: &mut String) {
        out.push('"');
        for character in text.chars() {
            let must = character < ' ' || matches!(character, '"' | '\\');
            match character {
                '\n' if self.below(2) == 0 => out.push_str("\\n"),
                '"' | '\\' if self.below(2) == 0 => out.extend(['\\', character]),
                '/' if self.below(4) == 0 => out.push_str("\\/"),
                _ if must || self.below(24) == 0 => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                _ => out.push(character),
            }
        }
        out.push('"');
    }

    fn space(&mut self, out: &mut String) {
        for _ in 0..self.below(8).saturating_sub(5) {
            out.push([' ', '\n', '\t', '\r'][self.below(4) as usize]);
        }
    }

    /// The next number of a linear congruential generator (Knuth's MMIX), below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.seed >> 33) % limit
    }
}
