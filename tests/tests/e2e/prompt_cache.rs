//! Why requests miss the provider's prompt cache: headroomd's reasons, from the filter's records. The requests go
//! through Envoy to a provider with a cache by its API's own rules.

use anyhow::{Result, ensure};
use headroom_e2e::client::{Call, Protocol};
use headroom_e2e::deadline::until;
use headroom_e2e::provider::SCRIPT_HEADER;
use headroom_e2e::sidecar::Kind;
use headroom_e2e::{Script, Stack};
use serde_json::{Value, json};

use crate::formats::ROUTED;
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

/// Sends the bodies one after the other; each has to get the reason beside it, or no reason for `None`.
async fn told(path: &str, history: Vec<(Value, Option<&'static str>)>) -> Result<()> {
    let steps = history.into_iter().map(|(body, reason)| Step { reason, ..Step::new(path, body) });
    told_in_steps(steps.collect()).await
}

/// A request, and the reason that it has to get.
struct Step {
    path: String,
    body: Value,
    reason: Option<&'static str>,
    /// The provider has forgotten everything before it.
    forgets: bool,
}

impl Step {
    fn new(path: &str, body: Value) -> Self {
        Self { path: path.to_owned(), body, reason: None, forgets: false }
    }

    fn for_the_reason(self, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    fn forgotten(self) -> Self {
        Self { forgets: true, ..self.for_the_reason("provider_missed") }
    }
}

async fn told_in_steps(history: Vec<Step>) -> Result<()> {
    let stack = Stack::start(options(Mode::Strip), Kind::Real).await?;
    for (number, Step { path, body, forgets, .. }) in history.iter().enumerate() {
        let script = Script { prompt_cache: true, forget_cache: *forgets, ..Script::default() };
        let call = Call::post(path, body.to_string()).header(SCRIPT_HEADER, &script.header());
        let call = call.header("x-headroom-stack", "agent");
        let call = if path.starts_with("/model/") { call.header(ROUTED.0, ROUTED.1) } else { call };
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
    let expected: Vec<Option<&str>> = history.iter().map(|step| step.reason).collect();
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

/// A conversation with Gemini, whose cache is read in large pieces from 2,048 tokens on, or with Bedrock.
struct Conversation<'c> {
    line: &'c str,
    tools: &'c [&'c str],
    /// What the third message says.
    third: &'c str,
}

impl Conversation<'_> {
    fn system(&self) -> String {
        system(self.line) + &system("And these.")
    }

    fn texts(&self, count: usize, sentences: usize) -> Vec<String> {
        let said = |turn: usize| format!("{turn}: {}", "what was said in this turn. ".repeat(sentences));
        let mut texts: Vec<String> = (0..count).map(said).collect();
        if let Some(third) = texts.get_mut(2) {
            third.push_str(self.third);
        }
        texts
    }

    fn gemini(&self, count: usize) -> Value {
        let role = |turn: usize| if turn.is_multiple_of(2) { "user" } else { "model" };
        let texts = self.texts(count, 160).into_iter().enumerate();
        let contents: Vec<Value> =
            texts.map(|(turn, text)| json!({"role": role(turn), "parts": [{"text": text}]})).collect();
        let declare = |name: &&str| json!({"name": name, "description": "Looks at it.", "parameters": {"type": "object"}});
        let declarations: Vec<Value> = self.tools.iter().map(declare).collect();
        json!({"systemInstruction": {"parts": [{"text": self.system()}]},
            "tools": [{"functionDeclarations": declarations}], "contents": contents})
    }

    fn converse(&self, count: usize) -> Value {
        let role = |turn: usize| if turn.is_multiple_of(2) { "user" } else { "assistant" };
        let point = json!({"cachePoint": {"type": "default"}});
        let texts = self.texts(count, 40).into_iter().enumerate();
        let mut messages: Vec<Value> =
            texts.map(|(turn, text)| json!({"role": role(turn), "content": [{"text": text}]})).collect();
        if let Some(content) = messages.last_mut().and_then(|message| message["content"].as_array_mut()) {
            content.push(point.clone());
        }
        let describe = |name: &&str| {
            json!({"toolSpec": {"name": name, "description": "Looks at it.",
            "inputSchema": {"json": {"type": "object"}}}})
        };
        let tools: Vec<Value> = self.tools.iter().map(describe).collect();
        json!({"system": [{"text": self.system()}, point], "toolConfig": {"tools": tools}, "messages": messages})
    }
}

/// Takes what asks for the cache out of a request to Converse.
fn without_points(mut body: Value) -> Value {
    for blocks in ["/system", "/messages"] {
        for value in body.pointer_mut(blocks).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(content) = value.get_mut("content").and_then(Value::as_array_mut) {
                content.retain(|block| block["cachePoint"].is_null());
            }
        }
    }
    if let Some(system) = body["system"].as_array_mut() {
        system.retain(|block| block["cachePoint"].is_null());
    }
    body
}

const ONE: Conversation<'_> =
    Conversation { line: "Today is 2026-11-27.", tools: &["read", "write"], third: "" };
const OTHER_LINE: Conversation<'_> = Conversation { line: "Today is 2026-11-28.", ..ONE };
const OTHER_TOOLS: Conversation<'_> = Conversation { tools: &["write", "read"], ..OTHER_LINE };
const EDITED: Conversation<'_> = Conversation { third: "Forget it.", ..OTHER_TOOLS };
const LINE_AGAIN: Conversation<'_> = Conversation { line: "Today is 2026-11-29.", ..EDITED };
const TOOLS_AGAIN: Conversation<'_> = Conversation { tools: &["search", "write", "read"], ..LINE_AGAIN };
const EDITED_AGAIN: Conversation<'_> = Conversation { third: "And forget that too.", ..TOOLS_AGAIN };

#[tokio::test]
async fn geminis_cache_is_understood_through_envoy() -> Result<()> {
    let path = |model: &str| format!("/v1beta/models/{model}:generateContent");
    let (pro, flash) = (&path("gemini-2.5-pro"), &path("gemini-2.5-flash"));
    let short = |count: usize| {
        let text = |turn: usize| {
            format!("{turn}: {}", "a short question. ".repeat(if turn == 0 { 200 } else { 10 }))
        };
        let role = |turn: usize| if turn.is_multiple_of(2) { "user" } else { "model" };
        let content = |turn| json!({"role": role(turn), "parts": [{"text": text(turn)}]});
        json!({"contents": (0..count).map(content).collect::<Vec<_>>()})
    };
    let history = vec![
        Step::new(pro, ONE.gemini(1)).for_the_reason("first_request"),
        Step::new(pro, ONE.gemini(3)),
        Step::new(pro, OTHER_LINE.gemini(5)).for_the_reason("system_changed"),
        Step::new(pro, OTHER_TOOLS.gemini(7)).for_the_reason("tools_changed"),
        Step::new(pro, OTHER_TOOLS.gemini(9)),
        Step::new(pro, EDITED.gemini(11)).for_the_reason("history_edited_by_client"),
        Step::new(flash, EDITED.gemini(13)).for_the_reason("model_changed"),
        Step::new(flash, EDITED.gemini(15)).forgotten(),
        Step::new(flash, LINE_AGAIN.gemini(17)).for_the_reason("system_changed"),
        Step::new(flash, TOOLS_AGAIN.gemini(19)).for_the_reason("tools_changed"),
        Step::new(flash, EDITED_AGAIN.gemini(21)).for_the_reason("history_edited_by_client"),
        Step::new(pro, EDITED_AGAIN.gemini(23)).for_the_reason("model_changed"),
        Step::new(pro, EDITED_AGAIN.gemini(25)).forgotten(),
        Step::new(pro, EDITED_AGAIN.gemini(27)),
        Step::new(pro, short(1)).for_the_reason("first_request"),
        Step::new(pro, short(3)).for_the_reason("below_minimum"),
        Step::new(pro, short(5)).for_the_reason("below_minimum"),
    ];
    told_in_steps(history).await
}

#[tokio::test]
async fn bedrocks_cache_points_are_understood_through_envoy() -> Result<()> {
    let path = |model: &str| format!("/model/{model}/converse");
    let sonnet = &path("us.anthropic.claude-sonnet-4-5-20250929-v1%3A0");
    let opus = &path("us.anthropic.claude-opus-4-8-v1%3A0");
    let nova = &path("amazon.nova-pro-v1%3A0");
    let thinking = |mut body: Value| {
        body["additionalModelRequestFields"] =
            json!({"thinking": {"type": "enabled", "budget_tokens": 2_000}});
        body
    };
    let choosing = |mut body: Value| {
        body["toolConfig"]["toolChoice"] = json!({"any": {}});
        thinking(body)
    };
    let short = |count: usize| {
        let text = |turn: usize| format!("{turn}: {}", "a short question. ".repeat(60));
        let role = |turn: usize| if turn.is_multiple_of(2) { "user" } else { "assistant" };
        let message = |turn| json!({"role": role(turn), "content": [{"text": text(turn)}]});
        let mut messages: Vec<Value> = (0..count).map(message).collect();
        if let Some(content) = messages.last_mut().and_then(|message| message["content"].as_array_mut()) {
            content.push(json!({"cachePoint": {"type": "default"}}));
        }
        json!({"messages": messages})
    };
    let history = vec![
        Step::new(sonnet, ONE.converse(1)).for_the_reason("first_request"),
        Step::new(sonnet, ONE.converse(3)),
        Step::new(sonnet, OTHER_LINE.converse(5)).for_the_reason("system_changed"),
        Step::new(sonnet, OTHER_TOOLS.converse(7)).for_the_reason("tools_changed"),
        Step::new(sonnet, OTHER_TOOLS.converse(9)),
        Step::new(sonnet, EDITED.converse(11)).for_the_reason("history_edited_by_client"),
        Step::new(opus, EDITED.converse(13)).for_the_reason("model_changed"),
        Step::new(opus, EDITED.converse(15)).forgotten(),
        Step::new(opus, without_points(EDITED.converse(17))).for_the_reason("no_breakpoint"),
        Step::new(opus, without_points(EDITED.converse(17))).for_the_reason("no_breakpoint"),
        Step::new(opus, EDITED.converse(19)),
        Step::new(opus, thinking(EDITED.converse(21))).for_the_reason("parameters_changed"),
        Step::new(opus, choosing(EDITED.converse(23))).for_the_reason("parameters_changed"),
        Step::new(opus, choosing(EDITED.converse(25))).forgotten(),
        Step::new(opus, choosing(LINE_AGAIN.converse(27))).for_the_reason("system_changed"),
        Step::new(opus, choosing(TOOLS_AGAIN.converse(29))).for_the_reason("tools_changed"),
        Step::new(opus, choosing(EDITED_AGAIN.converse(31))).for_the_reason("history_edited_by_client"),
        Step::new(nova, choosing(EDITED_AGAIN.converse(33))).for_the_reason("model_changed"),
        // Amazon's own models look at cache points and nowhere else.
        Step::new(nova, choosing(EDITED_AGAIN.converse(35))).for_the_reason("look_back_missed"),
        Step::new(nova, choosing(EDITED_AGAIN.converse(37))).for_the_reason("look_back_missed"),
        Step::new(sonnet, short(1)).for_the_reason("first_request"),
        Step::new(sonnet, short(3)).for_the_reason("below_minimum"),
        Step::new(sonnet, short(5)).for_the_reason("below_minimum"),
    ];
    told_in_steps(history).await
}

#[tokio::test]
async fn cache_points_of_claude_on_bedrock_look_back_over_twenty_blocks() -> Result<()> {
    let path = "/model/eu.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse";
    let history = vec![
        Step::new(path, ONE.converse(1)).for_the_reason("first_request"),
        Step::new(path, ONE.converse(19)),
        Step::new(path, ONE.converse(45)).for_the_reason("look_back_missed"),
        Step::new(path, ONE.converse(47)),
        Step::new(path, ONE.converse(71)).for_the_reason("look_back_missed"),
        Step::new(path, OTHER_LINE.converse(73)).for_the_reason("system_changed"),
    ];
    told_in_steps(history).await
}
