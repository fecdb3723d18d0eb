//! The agent's requests with Gemini.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Settings, ToolUse, name_of, schema};

pub(super) fn body(settings: &Settings, history: &[Value]) -> Value {
    let tool = |name: &String| json!({"name": name, "description": "A tool.", "parameters": schema()});
    let thinking =
        if settings.thinks { json!({"includeThoughts": true}) } else { json!({"thinkingBudget": 0}) };
    let mut body = json!({
        "systemInstruction": {"parts": [{"text": "You look after deployments."}]},
        "contents": history,
        "generationConfig": {"thinkingConfig": thinking},
    });
    if !settings.tools.is_empty() {
        let declared: Vec<Value> = settings.tools.iter().map(tool).collect();
        body["tools"] = json!([{"functionDeclarations": declared}]);
    }
    body
}

pub(super) fn assemble(chunks: &[Value]) -> Result<Value> {
    let mut whole = chunks.last().context("a stream has chunks")?.clone();
    let contents = chunks.iter().map(|chunk| &chunk["candidates"][0]["content"]["parts"]);
    let mut parts: Vec<Value> = Vec::new();
    for part in contents.filter_map(Value::as_array).flatten() {
        match (parts.last_mut(), part["text"].as_str()) {
            (_, Some("")) => {}
            (Some(last), Some(text)) if last["text"].is_string() && last["thought"] == part["thought"] => {
                let before = last["text"].as_str().unwrap_or_default();
                last["text"] = format!("{before}{text}").into();
            }
            _ => parts.push(part.clone()),
        }
    }
    whole["candidates"][0]["content"] = json!({"role": "model", "parts": parts});
    Ok(whole)
}

pub(super) fn said(answer: &Value) -> Result<(Vec<Value>, Vec<ToolUse>)> {
    let content = answer["candidates"][0]["content"].clone();
    let parts = content["parts"].as_array().context("an answer has parts")?;
    let calls = parts
        .iter()
        .filter(|part| part["functionCall"].is_object())
        .map(|part| ToolUse { id: Value::Null, name: name_of(&part["functionCall"]["name"]) })
        .collect();
    Ok((vec![content], calls))
}
