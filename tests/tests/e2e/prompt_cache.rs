//! Why requests miss the provider's prompt cache: headroomd's reasons, from the filter's records. The requests go
//! through Envoy to a provider with a cache by its API's own rules.

use anyhow::{Result, ensure};
use headroom_e2e::client::{Call, Protocol};
use headroom_e2e::deadline::until;
use headroom_e2e::provider::SCRIPT_HEADER;
use headroom_e2e::sidecar::Kind;
use headroom_e2e::{Script, Stack};
use serde_json::{Value, json};

use crate::stacks::{Mode, options};

/// A system prompt of some 2,000 tokens, with this second line.
fn system(line: &str) -> String {
    format!(
        "You look after deployments.\n{line}\n{}",
        "A rule that says how deployments are looked after.\n".repeat(160)
    )
}

fn messages(count: usize) -> Vec<Value> {
    let text = |turn: usize| format!("{turn}: {}", "what was said in this turn. ".repeat(60));
    (0..count)
        .map(|turn| json!({"role": if turn % 2 == 0 { "user" } else { "assistant" }, "content": text(turn)}))
        .collect()
}

fn tool(name: &str) -> Value {
    json!({"name": name, "description": "Looks at it.", "input_schema": {"type": "object"}})
}

fn claude(line: &str, tools: &[&str], count: usize) -> Value {
    let system = json!([{"type": "text", "text": system(line), "cache_control": {"type": "ephemeral"}}]);
    let tools: Vec<Value> = tools.iter().map(|name| tool(name)).collect();
    json!({"model": "claude-sonnet-4-5", "max_tokens": 100, "cache_control": {"type": "ephemeral"},
        "system": system, "tools": tools, "messages": messages(count)})
}

fn chat(line: &str, tools: &[&str], count: usize) -> Value {
    let mut all = vec![json!({"role": "system", "content": system(line)})];
    all.extend(messages(count));
    let function = |name: &&str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}});
    json!({"model": "gpt-4.1", "tools": tools.iter().map(function).collect::<Vec<_>>(), "messages": all})
}

/// Sends the bodies one after the other; each has to get the reason beside it, which `None` says is none.
async fn told(path: &str, history: Vec<(Value, Option<&str>)>) -> Result<()> {
    let stack = Stack::start(options(Mode::Strip), Kind::Real).await?;
    let script = Script { prompt_cache: true, ..Script::default() };
    for (number, (body, _)) in history.iter().enumerate() {
        let call = Call::post(path, body.to_string()).header(SCRIPT_HEADER, &script.header());
        let call = call.header("x-headroom-stack", "agent");
        let (answer, _) = stack.exchange("cached", Protocol::Http1, call).await?;
        ensure!(answer.status == 200, "request {number}: {}", answer.status);
        // Reports of several workers may arrive out of order.
        until("headroomd has counted the request", || async {
            (stack.sidecar.counted_requests().await.ok()? == number as u64 + 1).then_some(())
        })
        .await?;
    }
    let feed = stack.sidecar.feed().await?;
    let requests = feed["transformations"].as_array().cloned().unwrap_or_default();
    let found: Vec<Option<&str>> =
        requests.iter().rev().map(|request| request["cache_reason"].as_str()).collect();
    let expected: Vec<Option<&str>> = history.iter().map(|(_, reason)| *reason).collect();
    assert_eq!(found, expected, "{feed:#}");
    let page = stack.sidecar.json("/stats-cache?since=1h").await?;
    assert_eq!(page["totals"]["requests"], history.len());
    let lines = &page["volatile_lines"];
    assert_eq!((&lines[0]["line"], &lines[0]["classes"][0]), (&json!(2), &json!("date")), "{page:#}");
    let lost: f64 =
        page["losses"].as_array().into_iter().flatten().filter_map(|loss| loss["lost_usd"].as_f64()).sum();
    let bill = &page["bill"];
    let difference =
        bill["total_usd"].as_f64().unwrap_or(0.0) - bill["perfect_cache_usd"].as_f64().unwrap_or(0.0);
    assert!(lost > 0.0 && (lost - difference).abs() < 1e-6, "{page:#}");
    Ok(())
}

#[tokio::test]
async fn anthropics_cache_is_understood_through_envoy() -> Result<()> {
    let (first, second) = ("Today is 2026-11-28.", "Today is 2026-11-29.");
    let history = vec![
        (claude(first, &["read", "write"], 1), Some("first_request")),
        (claude(first, &["read", "write"], 3), None),
        (claude(second, &["read", "write"], 5), Some("system_changed")),
        (claude(second, &["write", "read"], 7), Some("tools_changed")),
        (claude(second, &["write", "read"], 9), None),
    ];
    told("/v1/messages", history).await
}

#[tokio::test]
async fn openais_cache_is_understood_through_envoy() -> Result<()> {
    let (first, second) = ("Today is 2026-11-28.", "Today is 2026-11-29.");
    let mut edited = chat(second, &["write", "read"], 11);
    edited["messages"][3]["content"] = json!("Forget it.");
    let history = vec![
        (chat(first, &["read", "write"], 1), Some("first_request")),
        (chat(first, &["read", "write"], 3), None),
        (chat(second, &["read", "write"], 5), Some("system_changed")),
        (chat(second, &["write", "read"], 7), Some("tools_changed")),
        (chat(second, &["write", "read"], 9), None),
        (edited, Some("history_edited_by_client")),
    ];
    told("/v1/chat/completions", history).await
}
