//! The agent's requests with Anthropic Messages.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Settings, ToolUse, append, name_of, schema};

pub(super) fn body(settings: &Settings, history: &[Value]) -> Value {
    let tool = |name: &String| json!({"name": name, "description": "A tool.", "input_schema": schema()});
    let mut thinking = json!({"type": "adaptive"});
    if settings.drop_block {
        thinking["block_binding"] = json!({"prefix_mismatch_behavior": "drop_block"});
    }
    if !settings.thinks {
        thinking = json!({"type": "disabled"});
    }
    let mut body = json!({
        "model": settings.model, "max_tokens": 4096, "stream": settings.stream, "thinking": thinking,
        "system": [{"type": "text", "text": "You look after deployments."}],
        "messages": history,
    });
    if !settings.tools.is_empty() {
        body["tools"] = settings.tools.iter().map(tool).collect();
    }
    body
}

pub(super) fn assemble(events: &[Value]) -> Result<Value> {
    let mut message = events
        .iter()
        .find(|event| event["type"] == "message_start")
        .map(|event| event["message"].clone())
        .context("a stream begins with message_start")?;
    let mut content: Vec<Value> = Vec::new();
    let mut arguments = String::new();
    for event in events {
        match event["type"].as_str() {
            Some("content_block_start") => {
                anyhow::ensure!(event["index"] == content.len(), "blocks are numbered: {event}");
                content.push(event["content_block"].clone());
                arguments.clear();
            }
            Some("content_block_delta") => {
                let block = content.last_mut().and_then(Value::as_object_mut).context("a block was begun")?;
                let delta = &event["delta"];
                let text = |name: &str| delta[name].as_str().unwrap_or_default();
                match delta["type"].as_str() {
                    Some("thinking_delta") => append(block, "thinking", text("thinking")),
                    Some("signature_delta") => append(block, "signature", text("signature")),
                    Some("text_delta") => append(block, "text", text("text")),
                    Some("input_json_delta") => arguments.push_str(text("partial_json")),
                    _ => anyhow::bail!("an unknown delta: {event}"),
                }
            }
            Some("content_block_stop") if !arguments.is_empty() => {
                let block = content.last_mut().context("a block was begun")?;
                block["input"] = serde_json::from_str(&arguments)?;
                arguments.clear();
            }
            Some("message_delta") => message["stop_reason"] = event["delta"]["stop_reason"].clone(),
            _ => {}
        }
    }
    anyhow::ensure!(events.last().is_some_and(|event| event["type"] == "message_stop"), "no message_stop");
    message["content"] = content.into();
    Ok(message)
}

pub(super) fn said(message: &Value) -> Result<(Vec<Value>, Vec<ToolUse>)> {
    let content = message["content"].as_array().context("a message has content")?;
    let calls: Vec<ToolUse> = content
        .iter()
        .filter(|block| block["type"] == "tool_use")
        .map(|block| ToolUse { id: block["id"].clone(), name: name_of(&block["name"]) })
        .collect();
    let stop = message["stop_reason"].as_str().unwrap_or_default();
    anyhow::ensure!((stop == "tool_use") != calls.is_empty(), "{} calls and stop reason {stop}", calls.len());
    Ok((vec![json!({"role": "assistant", "content": content})], calls))
}
