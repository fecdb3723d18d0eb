//! The agent's requests with OpenAI Chat Completions.

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use super::{Settings, ToolUse, append, name_of, schema};

pub(super) fn body(settings: &Settings, history: &[Value]) -> Value {
    let tool = |name: &String| json!({"type": "function", "function": {"name": name, "description": "A tool.", "parameters": schema()}});
    let system = json!({"role": "system", "content": "You look after deployments."});
    let messages: Vec<&Value> = [&system].into_iter().chain(history).collect();
    let mut body = json!({"model": settings.model, "stream": settings.stream, "messages": messages});
    if settings.stream {
        body["stream_options"] = json!({"include_usage": true});
    }
    if !settings.tools.is_empty() {
        body["tools"] = settings.tools.iter().map(tool).collect();
    }
    body
}

pub(super) fn assemble(events: &[Value]) -> Result<Value> {
    let mut message = Map::from_iter([("role".to_owned(), json!("assistant"))]);
    let mut calls: Vec<Value> = Vec::new();
    let mut finish = Value::Null;
    for choice in events.iter().filter_map(|chunk| chunk["choices"].get(0)) {
        let delta = &choice["delta"];
        if let Some(text) = delta["content"].as_str().filter(|text| !text.is_empty()) {
            append(&mut message, "content", text);
        }
        for piece in delta["tool_calls"].as_array().into_iter().flatten() {
            let at = piece["index"].as_u64().context("a call has its place")? as usize;
            if at == calls.len() {
                let name = &piece["function"]["name"];
                calls.push(json!({"id": piece["id"], "type": "function",
                    "function": {"name": name, "arguments": ""}}));
            }
            let function = calls.get_mut(at).and_then(|call| call["function"].as_object_mut());
            let more = piece["function"]["arguments"].as_str().unwrap_or_default();
            append(function.context("calls come in order")?, "arguments", more);
        }
        if !choice["finish_reason"].is_null() {
            finish = choice["finish_reason"].clone();
        }
    }
    message.entry("content").or_insert(Value::Null);
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), calls.into());
    }
    Ok(json!({"choices": [{"message": message, "finish_reason": finish}]}))
}

pub(super) fn said(answer: &Value) -> Result<(Vec<Value>, Vec<ToolUse>)> {
    let choice = &answer["choices"][0];
    let message = choice["message"].clone();
    let calls: Vec<ToolUse> = message["tool_calls"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|call| ToolUse { id: call["id"].clone(), name: name_of(&call["function"]["name"]) })
        .collect();
    let finish = choice["finish_reason"].as_str().context("an answer has an end")?;
    anyhow::ensure!((finish == "tool_calls") != calls.is_empty(), "{} calls and {finish}", calls.len());
    Ok((vec![message], calls))
}
