//! Prose that a text model shortens: decided when it is first seen, and the same in every later request, whatever becomes of
//! the sidecar. The model is a scripted sidecar's: headroomd has one only in a build of its own, and its part is tested there.

use anyhow::{Context as _, Result, ensure};
use headroom_compress::{Api, address};
use headroom_e2e::Stack;
use headroom_e2e::agent::Format;
use headroom_e2e::client::{Call, Protocol};
use headroom_e2e::envoy::Options;
use headroom_e2e::proof::{Conversations, Event, Row, hold};
use headroom_e2e::provider::{NAME_HEADER, SCRIPT_HEADER, Script};
use headroom_e2e::sidecar::Kind;
use serde_json::{Value, json};

use crate::epochs::page;
use crate::reversible::{path, reversible};
use crate::stacks::{MODES, Mode, assert_no_trap};
use crate::tool_loop::ours;

const TURNS: usize = 8;
const MARKER: &str = "Full text: headroom_retrieve hash=";

/// Longer than a machine stalls.
const PATIENT_MS: u32 = 60_000;

fn settings(timeout_ms: u32) -> Value {
    json!({"mode": "on", "min_tokens": 100, "timeout_ms": timeout_ms})
}

fn options(mode: Mode, timeout_ms: u32) -> Options {
    let mut options = reversible(mode);
    options.filter.as_mut().expect("the filter is on")["text_model"] = settings(timeout_ms);
    options
}

fn body(turns: usize) -> Value {
    let mut messages = vec![json!({"role": "user", "content": "What do the pages say?"})];
    for turn in 0..turns {
        let id = format!("call_{turn}");
        let function = json!({"name": "fetch", "arguments": json!({"page": turn}).to_string()});
        messages.push(json!({"role": "assistant", "content": "On.", "tool_calls": [{"id": id, "type": "function", "function": function}]}));
        messages.push(json!({"role": "tool", "tool_call_id": id, "content": page(turn)}));
    }
    json!({"model": "gpt-4.1", "messages": messages, "tools": [{"type": "function", "function": {"name": "fetch"}}]})
}

/// What reaches the provider.
async fn arrived(stack: &Stack, name: &str, body: &Value) -> Result<Vec<Value>> {
    let mut connection = stack.connect(Protocol::Http1).await?;
    let call = Call::post(&path(Api::OpenAiChat, false), body.to_string()).header(NAME_HEADER, name);
    ensure!(connection.send(call).await?.status == 200, "{name}");
    let body: Value =
        serde_json::from_slice(&stack.provider.take(name).pop().context("nothing arrived")?.body)?;
    Ok(body["messages"].as_array().context("no messages")?.clone())
}

fn pages(messages: &[Value]) -> Vec<&str> {
    messages.iter().filter(|it| it["role"] == "tool").filter_map(|it| it["content"].as_str()).collect()
}

/// The pages of a conversation at its end, which has only ever been extended.
async fn held(stack: &Stack, turns: std::ops::RangeInclusive<usize>) -> Result<Vec<Value>> {
    let mut last = Vec::new();
    for turns in turns {
        let messages = arrived(stack, &format!("turn {turns}"), &body(turns)).await?;
        ensure!(messages.starts_with(&last), "turn {turns}: {messages:?} after {last:?}");
        last = messages;
    }
    Ok(last)
}

#[tokio::test]
async fn prose_is_shortened_when_it_is_first_seen_and_never_where_the_model_may_reason() -> Result<()> {
    for mode in MODES {
        let stack = Stack::start(options(mode, PATIENT_MS), Kind::Deciding).await?;
        let messages = held(&stack, 1..=TURNS).await?;
        let forms: Vec<bool> = pages(&messages).iter().map(|page| page.contains(MARKER)).collect();
        assert!(forms.contains(&true) && forms.contains(&false), "{forms:?}");
        for (turn, (page, is_form)) in pages(&messages).iter().zip(&forms).enumerate() {
            assert!(*is_form || **page == self::page(turn));
        }
        // It begins to think, and has all of it.
        let mut thinks = body(TURNS);
        thinks["reasoning_effort"] = "low".into();
        let calls = stack.sidecar.calls();
        let untouched = arrived(&stack, "thinks", &thinks).await?;
        assert_eq!(untouched, thinks["messages"].as_array().context("no messages")?.as_slice());
        // And the model gets back what is gone, from the request itself.
        let turn = forms.iter().position(|is_form| *is_form).context("no form")?;
        let script = Script {
            tool_call: Some(ours(&address(&page(turn)))),
            then: vec![Script { text: Some("I see.".to_owned()), ..Script::default() }],
            ..Script::default()
        };
        let call = Call::post(&path(Api::OpenAiChat, false), body(TURNS).to_string());
        let (answer, _) =
            stack.exchange("back", Protocol::Http1, call.header(SCRIPT_HEADER, &script.header())).await?;
        assert!(answer.text().contains("I see."), "{}", answer.text());
        let continued: Value =
            serde_json::from_slice(&stack.provider.take("back").last().context("nothing arrived")?.body)?;
        let last = continued["messages"].as_array().and_then(|it| it.last()).context("no messages")?;
        assert_eq!(last["content"], page(turn));
        assert!(stack.sidecar.calls() >= calls);
        assert!(stack.envoy.stat("wasmcustom.headroom.text_model.shortened").await? > 0);
        assert_no_trap(&stack).await?;
    }
    Ok(())
}

#[tokio::test]
async fn without_a_model_or_a_sidecar_prose_stays_as_it_is() -> Result<()> {
    for kind in [Kind::Real, Kind::Down, Kind::Silent, Kind::Noise, Kind::Garbage, Kind::Forgetful] {
        let timeout_ms = if kind == Kind::Real { PATIENT_MS } else { 1_000 };
        let stack = Stack::start(options(Mode::Strip, timeout_ms), kind).await?;
        let messages = held(&stack, 1..=4).await?;
        let body = body(4);
        assert_eq!(messages, body["messages"].as_array().context("no messages")?.as_slice(), "{kind:?}");
        let stat =
            async |word: &str| stack.envoy.stat(&format!("wasmcustom.headroom.text_model.{word}")).await;
        assert_eq!(stat("shortened").await?, 0, "{kind:?}");
        assert_eq!(stat("unanswered").await? == 0, kind == Kind::Real, "{kind:?}");
        assert_no_trap(&stack).await?;
    }
    Ok(())
}

#[tokio::test]
async fn conversations_whose_reasoning_may_be_bound_are_those_that_they_would_be_without_it() -> Result<()> {
    let formats = vec![Format::Messages, Format::Responses];
    let plugin = json!({"text_model": settings(PATIENT_MS)});
    let rows = hold(Event::Nothing, &Conversations { formats, plugin, ..Conversations::default() }).await?;
    let problems: Vec<String> = rows.iter().flat_map(Row::problems).collect();
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}
