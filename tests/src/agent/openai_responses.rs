//! The agent's requests with OpenAI Responses.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{Settings, ToolUse, name_of, schema};

fn body(settings: &Settings, input: &[Value]) -> Value {
    let tool = |name: &String| json!({"type": "function", "name": name, "description": "A tool.", "parameters": schema(), "strict": false});
    let mut body = json!({"model": settings.model, "stream": settings.stream, "input": input,
        "instructions": "You look after deployments."});
    if settings.thinks {
        body["reasoning"] = json!({"effort": "low"});
    }
    if !settings.tools.is_empty() {
        body["tools"] = settings.tools.iter().map(tool).collect();
    }
    body
}

pub(super) fn stateless(settings: &Settings, history: &[Value]) -> Value {
    let mut body = body(settings, history);
    body["store"] = false.into();
    if settings.thinks {
        body["include"] = json!(["reasoning.encrypted_content"]);
    }
    body
}

pub(super) fn stored(settings: &Settings, history: &[Value], before: Option<&(String, usize)>) -> Value {
    let Some((id, known)) = before else { return body(settings, history) };
    let mut body = body(settings, history.get(*known..).unwrap_or_default());
    body["previous_response_id"] = id.as_str().into();
    body
}

pub(super) fn assemble(events: &[Value]) -> Result<Value> {
    let last = events.last().context("a stream has events")?;
    anyhow::ensure!(last["type"] == "response.completed", "a stream ends with {last}");
    let mut response = last["response"].clone();
    // Clients read items when they are complete; the last event repeats them.
    let done: Vec<&Value> = events
        .iter()
        .filter(|event| event["type"] == "response.output_item.done")
        .map(|event| &event["item"])
        .collect();
    let repeated = response["output"].as_array().context("a response has output")?;
    anyhow::ensure!(repeated.iter().eq(done.iter().copied()), "{repeated:?} instead of {done:?}");
    response["output"] = json!(done);
    Ok(response)
}

pub(super) fn said(response: &Value) -> Result<(Vec<Value>, Vec<ToolUse>)> {
    let items = response["output"].as_array().context("a response has output")?.clone();
    let calls = items
        .iter()
        .filter(|item| item["type"] == "function_call")
        .map(|item| ToolUse { id: item["call_id"].clone(), name: name_of(&item["name"]) })
        .collect();
    Ok((items, calls))
}
