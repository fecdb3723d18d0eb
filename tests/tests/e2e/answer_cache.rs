//! Answers that are given again: a real Envoy, a real headroomd, and a provider that counts who asks it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use headroom_e2e::client::{Answer, Call, Connection, Protocol};
use headroom_e2e::deadline::until;
use headroom_e2e::envoy::Options;
use headroom_e2e::provider::{NAME_HEADER, SCRIPT_HEADER, ToolCall};
use headroom_e2e::sidecar::Kind;
use headroom_e2e::{Script, Stack};
use serde_json::{Value, json};

use crate::answers::streaming;
use crate::stacks::{MODES, Mode, assert_no_trap, options};

pub(crate) const SECRET: &str = "a secret of the operator's";

pub(crate) fn with_cache(mode: Mode, cache: &Value) -> Options {
    let mut options = options(mode);
    let filter = options.filter.as_mut().expect("a filter");
    filter["cache"] = json!({"mode": "exact", "secret": SECRET, "timeout_ms": 10_000});
    filter["control_plane"]["timeout_ms"] = 10_000.into();
    for (key, value) in cache.as_object().into_iter().flatten() {
        filter["cache"][key] = value.clone();
    }
    options
}

pub(crate) async fn start(mode: Mode, cache: &Value) -> Result<Stack> {
    Stack::start(with_cache(mode, cache), Kind::Real).await
}

/// A question in one of the formats that are read.
pub(crate) fn question(api: &str, text: &str) -> (&'static str, Vec<u8>) {
    let messages = json!([{"role": "user", "content": text}]);
    let (path, body) = match api {
        "anthropic" => {
            ("/v1/messages", json!({"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": messages}))
        }
        "chat" => ("/v1/chat/completions", json!({"model": "gpt-5", "messages": messages})),
        "responses" => ("/v1/responses", json!({"model": "gpt-5", "store": false, "input": text})),
        "gemini" => (
            "/v1beta/models/gemini-2.5-pro:generateContent",
            json!({"contents": [{"role": "user", "parts": [{"text": text}]}]}),
        ),
        _ => (
            "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
            json!({"contents": [{"role": "user", "parts": [{"text": text}]}]}),
        ),
    };
    (path, body.to_string().into_bytes())
}

/// Sends it, under the name by which the provider counts. The name is a header as well, so that it is in the key.
pub(crate) async fn send(
    stack: &Stack,
    name: &str,
    path: &str,
    body: &[u8],
    more: &[(&str, &str)],
) -> Result<Answer> {
    let mut call =
        Call::post(path, body.to_vec()).header(NAME_HEADER, name).header("authorization", "Bearer sk-1");
    for (name, value) in more {
        call = call.header(name, value);
    }
    stack.connect(Protocol::Http1).await?.send(call).await
}

pub(crate) fn asked(stack: &Stack, name: &str) -> usize {
    stack.provider.requests(name).iter().filter(|request| request.complete).count()
}

/// Waits until headroomd keeps so many answers.
pub(crate) async fn keeps(stack: &Stack, entries: u64) -> Result<()> {
    until("headroomd has the answers", || async {
        let stats = stack.sidecar.stats().await.ok()?;
        (stats["answers"]["entries"].as_u64() >= Some(entries)).then_some(())
    })
    .await
}

pub(crate) fn is_hit(answer: &Answer) -> bool {
    answer.header("x-headroom-cached").is_some()
}

#[tokio::test]
async fn an_equal_request_gets_the_same_bytes_and_the_provider_is_asked_once() -> Result<()> {
    for mode in MODES {
        let stack = start(mode, &json!({})).await?;
        let mut entries = 0;
        for api in ["anthropic", "chat", "responses", "gemini", "gemini stream"] {
            let (path, body) = question(api, "What is Envoy?");
            let streams = !api.starts_with("gemini");
            for body in [Some(body.clone()), streams.then(|| streaming(body))].into_iter().flatten() {
                let name = format!("{api} {}", body.len());
                let first = send(&stack, &name, path, &body, &[]).await?;
                assert_eq!((first.status.as_u16(), is_hit(&first)), (200, false), "{name} {}", first.text());
                entries += 1;
                keeps(&stack, entries).await?;
                let again = send(&stack, &name, path, &body, &[("x-request-id", "another")]).await?;
                assert_eq!(again.status, 200, "{mode:?} {name}");
                assert_eq!(again.header("x-headroom-cached"), Some("hit"), "{mode:?} {name}");
                assert_eq!(again.header("x-headroom-outcome"), Some("cached"));
                assert!(again.header("age").is_some());
                assert_eq!(again.header("content-type"), first.header("content-type"));
                assert_eq!(again.text(), first.text(), "{mode:?} {name}");
                assert_eq!(asked(&stack, &name), 1, "{mode:?} {name}");
            }
        }
        let stats = until("the records are counted", || async {
            let stats = stack.sidecar.stats().await.ok()?;
            (stats["answers"]["found"].as_u64() == Some(entries)).then_some(stats)
        })
        .await?;
        assert_eq!(stats["answers"]["missed"], entries);
        assert_eq!(stats["answers"]["kept"], entries);
        assert_eq!(stats["answers"]["hit_rate"], 50.0);
        assert!(stats["answers"]["output_tokens"].as_u64() > Some(0), "{stats}");
        let layers = &stats["savings"]["by_layer"];
        assert!(
            layers["answers"]["tokens"].as_u64() > Some(0) && layers["answers"]["usd"].as_f64() > Some(0.0)
        );
        assert_eq!(layers["compression"]["tokens"], 0, "it is no saving of compression: {layers}");
        assert_eq!(stats["requests"]["by_outcome"]["cached"], entries);
        assert_no_trap(&stack).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_an_answer_may_depend_on_keeps_requests_apart() -> Result<()> {
    let stack = start(Mode::Hold, &json!({})).await?;
    let (path, body) = question("chat", "What is Envoy?");
    send(&stack, "apart", path, &body, &[]).await?;
    keeps(&stack, 1).await?;
    let other = question("chat", "What is Istio?").1;
    for (more, body) in [
        (&[("x-api-key", "sk-2")][..], &body),
        (&[("openai-organization", "o")], &body),
        (&[("cookie", "a=b")], &body),
        (&[("accept", "text/event-stream")], &body),
        (&[("anthropic-beta", "context-1m-2025-08-07")], &body),
        (&[("anthropic-version", "2023-06-01")], &body),
        (&[("x-forwarded-access-token", "t")], &body),
        (&[("cache-control", "no-cache")], &body),
        (&[], &other),
    ] {
        let before = asked(&stack, "apart");
        let answer = send(&stack, "apart", path, body, more).await?;
        assert!(!is_hit(&answer), "{more:?}");
        assert_eq!(asked(&stack, "apart"), before + 1, "{more:?}: {}", answer.status);
    }
    let mut as_other = Call::post(path, body.clone()).header(NAME_HEADER, "apart");
    as_other = as_other.header("authorization", "Bearer sk-of-somebody-else");
    assert!(!is_hit(&stack.connect(Protocol::Http1).await?.send(as_other).await?));
    let versioned = "/v1/chat/completions?api-version=2";
    assert!(!is_hit(&send(&stack, "apart", versioned, &body, &[]).await?));
    // The name by which the provider counts stands before it.
    let double = [("authorization", "Bearer sk-2")];
    assert!(!is_hit(&send(&stack, "apart", path, &body, &double).await?));
    assert_eq!(asked(&stack, "apart"), 13);
    assert!(is_hit(&send(&stack, "apart", path, &body, &[]).await?));
    Ok(())
}

#[tokio::test]
async fn what_is_not_to_be_given_again_is_asked_each_time() -> Result<()> {
    let stack = start(Mode::Strip, &json!({})).await?;
    let (path, body) = question("chat", "What is Envoy?");
    let with = |member: &str, value: Value| {
        let mut body: Value = serde_json::from_slice(&body).expect("JSON");
        body[member] = value;
        body.to_string().into_bytes()
    };
    let call = ToolCall { name: "f".to_owned(), arguments: json!({}) };
    let calls = Script { tool_call: Some(call), ..Script::default() }.header();
    let fails = Script { status: Some(500), ..Script::default() }.header();
    let breaks = Script { break_after: Some(3), ..Script::default() }.header();
    let streamed = streaming(body.clone());
    let tools = with("tools", json!([{"type": "function", "function": {"name": "f", "parameters": {}}}]));
    let (responses, stored) = ("/v1/responses", br#"{"model": "gpt-5", "input": "a"}"#.to_vec());
    for (number, (path, body, more)) in [
        (path, &tools, ("x-n", "1")),
        (path, &with("temperature", json!(1)), ("x-n", "2")),
        (path, &with("store", json!(true)), ("x-n", "3")),
        (path, &body, (SCRIPT_HEADER, &*calls)),
        (path, &body, (SCRIPT_HEADER, &*fails)),
        (path, &streamed, (SCRIPT_HEADER, &*breaks)),
        (path, &body, ("cache-control", "no-store")),
        (path, &body, ("x-headroom-cache", "off")),
        (path, &body, ("x-headroom-bypass", "true")),
        (responses, &stored, ("x-n", "4")),
        ("/v1/messages/count_tokens", &question("anthropic", "a").1, ("x-n", "5")),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("each time {number}");
        for _ in 0..2 {
            // One that breaks has no whole answer.
            if let Ok(answer) = send(&stack, &name, path, body, &[more]).await {
                assert!(!is_hit(&answer), "{name} {more:?}");
            }
        }
        assert_eq!(asked(&stack, &name), 2, "{name} {more:?}");
    }
    let stats = stack.sidecar.stats().await?;
    assert_eq!(stats["answers"]["entries"], 0, "{stats}");
    assert_no_trap(&stack).await
}

#[tokio::test]
async fn of_requests_at_the_same_time_one_is_asked_for_all() -> Result<()> {
    let stack = start(Mode::Hold, &json!({"wait_ms": 20_000})).await?;
    let (path, body) = question("chat", "What is Envoy?");
    let body = streaming(body);
    let script = Script { gate: true, ..Script::default() }.header();
    let more = [(SCRIPT_HEADER, script.as_str())];
    let first = send(&stack, "together", path, &body, &more);
    let others = async {
        until("the first is with the provider", || async {
            (!stack.provider.requests("together").is_empty()).then_some(())
        })
        .await?;
        let one = send(&stack, "together", path, &body, &more);
        let two = send(&stack, "together", path, &body, &more);
        let released = async {
            until("both wait", || async {
                let metrics = metrics(&stack).await.ok()?;
                metrics.contains("headroom_answer_waits_total 2").then_some(())
            })
            .await?;
            stack.provider.release("together", 1_000);
            anyhow::Ok(())
        };
        let (one, two, released) = tokio::join!(one, two, released);
        released?;
        anyhow::Ok([one?, two?])
    };
    let (first, others) = tokio::join!(first, others);
    let first = first?;
    for other in others? {
        assert!(is_hit(&other));
        assert_eq!(other.text(), first.text());
    }
    assert_eq!(asked(&stack, "together"), 1);
    Ok(())
}

#[tokio::test]
async fn nobody_waits_for_an_answer_that_is_not_to_be_given_again() -> Result<()> {
    let stack = start(Mode::Hold, &json!({"wait_ms": 60_000})).await?;
    let (path, body) = question("chat", "What is Envoy?");
    let body = streaming(body);
    let call = ToolCall { name: "f".to_owned(), arguments: json!({}) };
    let script = Script { gate: true, tool_call: Some(call), ..Script::default() }.header();
    let more = [(SCRIPT_HEADER, script.as_str())];
    let first = send(&stack, "no copy", path, &body, &more);
    let second = async {
        until("the first is with the provider", || async {
            (!stack.provider.requests("no copy").is_empty()).then_some(())
        })
        .await?;
        let second = send(&stack, "no copy", path, &body, &more);
        let released = async {
            until("it waits", || async {
                metrics(&stack).await.ok()?.contains("headroom_answer_waits_total 1").then_some(())
            })
            .await?;
            stack.provider.release("no copy", 1_000);
            anyhow::Ok(())
        };
        let (second, released) = tokio::join!(second, released);
        released?;
        second
    };
    let (first, second) = tokio::join!(first, second);
    assert!(!is_hit(&first?) && !is_hit(&second?));
    assert_eq!(asked(&stack, "no copy"), 2);
    Ok(())
}

#[tokio::test]
async fn an_answer_is_forgotten_after_its_time_and_when_somebody_purges_it() -> Result<()> {
    let stack = start(Mode::Hold, &json!({"ttl_seconds": 1})).await?;
    let (path, body) = question("anthropic", "What is Envoy?");
    send(&stack, "aged", path, &body, &[]).await?;
    keeps(&stack, 1).await?;
    until("its time is over", || async {
        let answer = send(&stack, "aged", path, &body, &[]).await.ok()?;
        (!is_hit(&answer)).then_some(())
    })
    .await?;
    assert!(asked(&stack, "aged") >= 2);

    for purge in ["/cache/clear", "/v1/purge"] {
        let stack = start(Mode::Strip, &json!({})).await?;
        send(&stack, "purged", path, &body, &[]).await?;
        keeps(&stack, 1).await?;
        let mut connection = Connection::open(stack.sidecar.http(), Protocol::Http1).await?;
        let call =
            Call::post(purge, br#"{"answers": true}"#.to_vec()).header("content-type", "application/json");
        let purged: Value = serde_json::from_slice(&connection.send(call).await?.body)?;
        assert_eq!(purged["answers"], 1, "{purged}");
        assert_eq!(purged["requests"], 0, "nothing else goes: {purged}");
        assert!(!is_hit(&send(&stack, "purged", path, &body, &[]).await?), "{purge}");
    }
    Ok(())
}

#[tokio::test]
async fn a_sidecar_that_is_dead_or_lies_costs_nothing_but_its_deadline() -> Result<()> {
    let (path, body) = question("chat", "What is Envoy?");
    for kind in [Kind::Down, Kind::Silent, Kind::Noise, Kind::Garbage, Kind::Forgetful] {
        for mode in MODES {
            let stack = Stack::start(with_cache(mode, &json!({"timeout_ms": 200})), kind).await?;
            for number in 1..=3 {
                let answer = send(&stack, "trouble", path, &body, &[]).await?;
                assert_eq!((answer.status.as_u16(), is_hit(&answer)), (200, false), "{kind:?} {mode:?}");
                assert_eq!(asked(&stack, "trouble"), number, "{kind:?} {mode:?}");
            }
            assert_no_trap(&stack).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_sidecar_that_stops_in_the_middle_is_a_miss_and_what_it_had_is_gone_with_it() -> Result<()> {
    let mut stack = start(Mode::Hold, &json!({"timeout_ms": 300, "wait_ms": 120_000})).await?;
    let (path, body) = question("chat", "What is Envoy?");
    send(&stack, "stops", path, &body, &[]).await?;
    keeps(&stack, 1).await?;
    stack.sidecar.suspend()?;
    let start = std::time::Instant::now();
    assert!(!is_hit(&send(&stack, "stops", path, &body, &[]).await?));
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    stack.sidecar.resume()?;
    until("it answers again", || async {
        is_hit(&send(&stack, "stops", path, &body, &[]).await.ok()?).then_some(())
    })
    .await?;
    stack.sidecar.kill()?;
    assert!(!is_hit(&send(&stack, "stops", path, &body, &[]).await?));
    stack.sidecar.run().await?;
    let stats = stack.sidecar.stats().await?;
    assert_eq!(stats["answers"]["entries"], 0, "it is kept in memory alone");
    Ok(())
}

#[tokio::test]
async fn an_answer_over_the_bound_passes_and_is_not_kept() -> Result<()> {
    let stack = start(Mode::Strip, &json!({"max_body_bytes": 150})).await?;
    let (path, body) = question("chat", "a");
    assert!(body.len() < 150);
    for _ in 0..2 {
        let answer = send(&stack, "long", path, &body, &[]).await?;
        assert!(answer.body.len() > 150 && !is_hit(&answer), "{}", answer.text());
    }
    assert_eq!(asked(&stack, "long"), 2);
    Ok(())
}

#[tokio::test]
async fn a_budget_that_is_used_up_refuses_what_the_cache_could_answer_and_hits_are_charged_to_none()
-> Result<()> {
    let mut stack = start(Mode::Hold, &json!({})).await?;
    let (path, body) = question("chat", "What is Envoy?");
    send(&stack, "budget", path, &body, &[]).await?;
    keeps(&stack, 1).await?;
    let spent = until("it is counted", || async {
        let stats = stack.sidecar.stats().await.ok()?;
        (stats["requests"]["total"] == 1).then(|| stats["cost"]["with_headroom_usd"].as_f64())
    })
    .await?;
    for _ in 0..3 {
        assert!(is_hit(&send(&stack, "budget", path, &body, &[]).await?));
    }
    let after = until("they are counted", || async {
        let stats = stack.sidecar.stats().await.ok()?;
        (stats["requests"]["total"] == 4).then(|| stats["cost"]["with_headroom_usd"].as_f64())
    })
    .await?;
    assert_eq!(after, spent, "what no provider was asked costs nothing");
    // From its next start on: a budget of one token for everybody, which the next request uses up.
    stack.sidecar.kill()?;
    stack.sidecar.set("HEADROOM_BUDGETS", r#"{"budgets":[{"per":"all","window":"day","tokens":1}]}"#);
    stack.sidecar.run().await?;
    until("the budget is used up", || async {
        (send(&stack, "budget", path, &body, &[]).await.ok()?.status == 429).then_some(())
    })
    .await
}

#[tokio::test]
async fn a_rule_says_which_routes_have_a_cache() -> Result<()> {
    let mut options = with_cache(Mode::Strip, &json!({"mode": "off"}));
    options.filter.as_mut().expect("a filter")["rules"] = json!([{"path": "/v1/chat/*", "cache": "exact"}]);
    let stack = Stack::start(options, Kind::Real).await?;
    let (path, body) = question("chat", "What is Envoy?");
    send(&stack, "ruled", path, &body, &[]).await?;
    keeps(&stack, 1).await?;
    assert!(is_hit(&send(&stack, "ruled", path, &body, &[]).await?));
    let (path, body) = question("anthropic", "What is Envoy?");
    for _ in 0..2 {
        assert!(!is_hit(&send(&stack, "not ruled", path, &body, &[]).await?));
    }
    Ok(())
}

pub(crate) async fn metrics(stack: &Stack) -> Result<String> {
    let mut connection = Connection::open(stack.sidecar.http(), Protocol::Http1).await?;
    Ok(connection.send(Call::get("/metrics")).await.context("metrics")?.text())
}
