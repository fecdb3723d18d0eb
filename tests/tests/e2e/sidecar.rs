//! The sidecar: the filter's reports to it; no state of it makes a request fail (I1).

use anyhow::Result;
use headroom_compress::{Api, Config, Memo, Request, compress};
use headroom_e2e::Script;
use headroom_e2e::Stack;
use headroom_e2e::client::{Call, Protocol};
use headroom_e2e::deadline::until;
use headroom_e2e::envoy::Options;
use headroom_e2e::provider::SCRIPT_HEADER;
use headroom_e2e::sidecar::Kind;
use serde_json::Value;

use crate::bodies::{anthropic, chat, pretty_pets, shortened};
use crate::stacks::{MAX_BODY_BYTES, Mode, assert_no_trap, forwarded, options};

/// Enough requests that several reports go wrong.
const REQUESTS: usize = 20;

async fn exchange(stack: &Stack, number: usize) -> Result<()> {
    let name = format!("request {number}");
    let body = anthropic(&pretty_pets(10 + number));
    let (answer, _) =
        stack.exchange(&name, Protocol::Http1, Call::post("/v1/messages", body.clone())).await?;
    assert_eq!(answer.status, 200, "{name}");
    assert_eq!(forwarded(&stack.provider, &name).body, shortened(Api::AnthropicMessages, &body), "{name}");
    Ok(())
}

/// Requests continue as with a good sidecar, and the counters show that the bad one was called.
async fn serves_beside(kind: Kind) -> Result<()> {
    let stack = Stack::start(Options { workers: 2, ..options(Mode::Strip) }, kind).await?;
    for number in 0..REQUESTS {
        exchange(&stack, number).await?;
    }
    until("the filter has tried to report", || async {
        let failed = stack.envoy.stat("wasmcustom.headroom.reports_failed").await.ok()?;
        // A report without any answer fails only after its deadline.
        let tried = if kind == Kind::Silent { stack.sidecar.calls() > 0 } else { failed > 1 };
        tried.then_some(())
    })
    .await?;
    for number in REQUESTS..2 * REQUESTS {
        exchange(&stack, number).await?;
    }
    assert_no_trap(&stack).await
}

#[tokio::test]
async fn requests_are_compressed_while_the_sidecar_is_down() -> Result<()> {
    serves_beside(Kind::Down).await
}

#[tokio::test]
async fn requests_are_compressed_while_the_sidecar_never_answers() -> Result<()> {
    serves_beside(Kind::Silent).await
}

#[tokio::test]
async fn requests_are_compressed_while_the_sidecar_speaks_another_protocol() -> Result<()> {
    serves_beside(Kind::Noise).await
}

#[tokio::test]
async fn requests_are_compressed_while_the_sidecar_answers_garbage() -> Result<()> {
    serves_beside(Kind::Garbage).await
}

async fn stats_after(stack: &Stack, requests: u64) -> Result<Value> {
    until("headroomd has counted the requests", || async {
        let stats = stack.sidecar.stats().await.ok()?;
        (stats["requests"]["total"] == requests).then_some(stats)
    })
    .await
}

#[tokio::test]
async fn what_became_of_each_request_is_seen_at_stats() -> Result<()> {
    let stack = Stack::start(options(Mode::Strip), Kind::Real).await?;
    let good = anthropic(&pretty_pets(40));
    let mut long = good.clone();
    long.resize(MAX_BODY_BYTES + 1, b' ');
    let usage = Script { cache_read_tokens: 11, ..Script::default() };
    let calls = [
        Call::post("/v1/messages", good.clone()).header(SCRIPT_HEADER, &usage.header()),
        Call::post("/v1/chat/completions", chat(&pretty_pets(40))),
        Call::post("/v1/messages", anthropic("ok")),
        Call::post("/v1/messages", good.clone()).header("x-headroom-bypass", "true"),
        Call::post("/v1/messages", good.clone()).header("content-encoding", "br"),
        Call::post("/v1/messages", "no JSON"),
        Call::post("/v1/messages", long),
        Call::post("/v1/messages", ""),
        Call::post("/v1/embeddings", "{}"),
    ];
    for call in calls {
        let (answer, _) = stack.exchange("told", Protocol::Http1, call).await?;
        assert_eq!(answer.status, 200);
    }
    // The last is not ours and is not counted.
    let stats = stats_after(&stack, 8).await?;
    let outcomes = &stats["requests"]["by_outcome"];
    for (outcome, requests) in [
        ("compressed", 2),
        ("unchanged", 1),
        ("bypassed", 1),
        ("encoded", 1),
        ("not_understood", 1),
        ("too_large", 1),
        ("empty", 1),
    ] {
        assert_eq!(outcomes[outcome], requests, "{outcome} of {outcomes}");
    }
    assert_eq!(stats["requests"]["by_provider"]["openai"], 1);

    let mut saved = 0;
    for (api, body) in [(Api::AnthropicMessages, good), (Api::OpenAiChat, chat(&pretty_pets(40)))] {
        let tokens = compress(&body, &Request::new(api), &Config::default(), &mut Memo::new(1 << 20)).tokens;
        saved += tokens.before - tokens.after;
    }
    assert_eq!(stats["savings"]["by_layer"]["compression"]["tokens"], saved, "as the engine counts");
    assert_eq!(stats["savings"]["by_layer"]["prefix_cache"]["tokens"], 11, "as the provider reported");
    Ok(())
}

#[tokio::test]
async fn counts_survive_kill_9_and_reports_wait_for_the_restart() -> Result<()> {
    let mut stack = Stack::start(options(Mode::Strip), Kind::Real).await?;
    for number in 0..5 {
        exchange(&stack, number).await?;
    }
    let before = stats_after(&stack, 5).await?;
    stack.sidecar.kill()?;
    for number in 5..8 {
        exchange(&stack, number).await?;
    }
    until("a report has failed", || async {
        (stack.envoy.stat("wasmcustom.headroom.reports_failed").await.ok()? > 0).then_some(())
    })
    .await?;
    stack.sidecar.run().await?;
    let after = stats_after(&stack, 8).await?;
    let saved = |stats: &Value| stats["savings"]["total_tokens"].as_u64().unwrap_or_default();
    assert!(saved(&before) > 0);
    assert!(saved(&after) > saved(&before), "{} and {}", saved(&before), saved(&after));
    Ok(())
}

#[tokio::test]
async fn the_dashboard_is_served_through_envoy_too() -> Result<()> {
    let stack = Stack::start(options(Mode::Strip), Kind::Real).await?;
    for (path, kind) in [
        ("/dashboard", "text/html; charset=utf-8"),
        ("/dashboard/app.js", "text/javascript; charset=utf-8"),
        ("/stats-history?history_mode=none&by=model", "application/json"),
    ] {
        let answer = stack.connect(Protocol::Http1).await?.send(Call::get(path)).await?;
        assert_eq!(
            (answer.status.as_u16(), &answer.headers["content-type"]),
            (200, &kind.parse()?),
            "{path}"
        );
    }
    Ok(())
}
