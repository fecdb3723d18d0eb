//! One record per request, whatever its outcome; and the effect of a used-up budget.
//!
//! `REQUESTS=10000 cargo test -p headroom-e2e --test e2e recorded` sends more of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use bytes::Bytes;
use headroom_e2e::client::{Call, Protocol};
use headroom_e2e::deadline::until;
use headroom_e2e::envoy::Options;
use headroom_e2e::provider::{NAME_HEADER, SCRIPT_HEADER};
use headroom_e2e::sidecar::Kind;
use headroom_e2e::{Script, Stack};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::bodies::{anthropic, chat, pretty_pets};
use crate::reversible::large_bodies;
use crate::stacks::{Mode, assert_no_trap, options};
use crate::thinking::Thinking;

/// The default number of requests.
const REQUESTS: usize = 1_000;
/// Clients at the same time.
const CLIENTS: usize = 16;
/// Seconds until Envoy answers in place of a silent provider; no other answer takes as long, also on a machine that stalls.
const ROUTE_TIMEOUT: u32 = 8;
/// Kinds of requests in the mix, each as often as the others.
const KINDS: usize = 16;

fn streaming(body: Vec<u8>) -> Vec<u8> {
    String::from_utf8(body).expect("text").replacen("\"model\"", "\"stream\":true,\"model\"", 1).into_bytes()
}

/// Sends one request of the mix. Errors are part of it: some requests are meant to be broken off.
async fn send(stack: &Stack, thinking: &Thinking, number: usize) -> Result<()> {
    let name = format!("mixed {number}");
    let good = anthropic(&pretty_pets(5 + number % 20));
    let script = |script: Script| script.header();
    let messages = |body: Vec<u8>| Call::post("/v1/messages", body).header(NAME_HEADER, &name);
    let failing = |status| script(Script { status: Some(status), ..Script::default() });
    let mut expected = None;
    let call = match number % KINDS {
        0 => messages(good),
        1 => Call::post("/v1/chat/completions", chat(&pretty_pets(9))).header(NAME_HEADER, &name),
        2 => messages(streaming(good)),
        3 => messages(good).header(SCRIPT_HEADER, &failing(429)),
        4 => messages(good).header(SCRIPT_HEADER, &failing(529)),
        5 => messages(good).header(SCRIPT_HEADER, &failing(400)),
        6 => messages(good).header("x-headroom-bypass", "true"),
        7 => messages(good).header("x-headroom-mode", "audit"),
        8 => messages(b"no JSON".to_vec()),
        9 => messages(Vec::new()),
        10 => {
            let broken = script(Script { break_after: Some(2), ..Script::default() });
            messages(streaming(good)).header(SCRIPT_HEADER, &broken)
        }
        11 => {
            // Envoy answers 504 in place of the provider.
            let silent = script(Script { silent: true, ..Script::default() });
            expected = Some(504);
            messages(good).header(SCRIPT_HEADER, &silent)
        }
        12 => {
            // The provider breaks the connection before it answers.
            let reset = script(Script { reset: true, ..Script::default() });
            expected = Some(503);
            messages(good).header(SCRIPT_HEADER, &reset)
        }
        // A turn of a conversation with a model that thinks and retrieves.
        13 | 14 => return thinking.turn(stack.envoy.listener()).await,
        _ => {
            // The client leaves in the middle of the answer.
            let gated = script(Script { gate: true, ..Script::default() });
            let mut connection = stack.connect(Protocol::Http1).await?;
            let mut streamed =
                connection.stream(messages(streaming(good)).header(SCRIPT_HEADER, &gated)).await?;
            streamed.next().await?;
            return Ok(());
        }
    };
    let answer = stack.connect(Protocol::Http1).await?.send(call).await?;
    assert!(expected.is_none_or(|expected| answer.status == expected), "{name}: {}", answer.status);
    Ok(())
}

/// Clients that leave in the middle of their bodies, all at once.
async fn leave(stack: &Stack, clients: usize) -> Result<()> {
    let mut unfinished = Vec::new();
    for number in 0..clients {
        let call = Call::post("/v1/messages", "").header(NAME_HEADER, &format!("leaves {number}"));
        let first = Bytes::from_static(b"{\"messages\":[");
        unfinished.push(stack.connect(Protocol::Http1).await?.send_start(call, first).await?);
    }
    until("Envoy has the headers of all", || async {
        let active = stack.envoy.stat("http.headroom.downstream_rq_active").await.ok()?;
        (active >= clients as u64).then_some(())
    })
    .await?;
    for one in unfinished {
        one.disconnect();
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_requests_are_recorded_as_were_sent() -> Result<()> {
    let asked = std::env::var("REQUESTS").ok().map(|text| text.parse()).transpose()?;
    let requests: usize = asked.unwrap_or(REQUESTS);
    let stack = Arc::new(
        Stack::start(Options { route_timeout: Some(ROUTE_TIMEOUT), ..large_bodies(Mode::Strip) }, Kind::Real)
            .await?,
    );
    let thinking = Arc::new(Thinking::with(&stack.provider));
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (stack, thinking, next) = (Arc::clone(&stack), Arc::clone(&thinking), Arc::clone(&next));
        clients.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= requests {
                    return;
                }
                // An answer that breaks off is an error for the client, and still has a record.
                let sent = send(&stack, &thinking, number).await;
                assert!(sent.is_ok() || number % KINDS == 10, "request {number}: {sent:?}");
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client?;
    }
    let leaving = (requests / 50).clamp(1, 100);
    leave(&stack, leaving).await?;

    let mixed_turns = thinking.turns();
    let thought = thinking.end(stack.envoy.listener()).await?;
    let sent = (requests + leaving + thinking.turns() - mixed_turns) as u64;
    let stats: Value = until("headroomd has counted the requests", || async {
        let stats = stack.sidecar.stats().await.ok()?;
        (stats["requests"]["total"].as_u64() >= Some(sent)).then_some(stats)
    })
    .await?;
    eprintln!(
        "sent {sent}, recorded {}: {}; {}",
        stats["requests"]["total"],
        stats["requests"]["by_outcome"],
        thought.line()
    );
    assert_eq!(stats["requests"]["total"], sent);
    assert_eq!(stats["requests"]["by_outcome"]["aborted"], leaving);
    assert_eq!(stats["requests"]["rate_limited"], (0..requests).filter(|n| n % KINDS == 3).count());
    assert_eq!(stats["reports"]["dropped_records"], 0);
    assert_no_trap(&stack).await
}

#[tokio::test]
async fn a_team_that_has_used_up_its_budget_is_answered_429_and_others_are_served() -> Result<()> {
    let mut stack = Stack::start(options(Mode::Strip), Kind::Real).await?;
    stack.sidecar.kill()?;
    let config = stack.folder().join("config");
    std::fs::create_dir_all(&config)?;
    let budgets = r#"{"budgets":[{"per":"team","window":"month","tokens":1}]}"#;
    std::fs::write(config.join("budgets.json"), budgets)?;
    stack.sidecar.run().await?;

    let ask = |team: &'static str| {
        let call = Call::post("/v1/messages", anthropic("ok")).header("x-headroom-team", team);
        let stack = &stack;
        async move { stack.exchange("budget", Protocol::Http1, call).await.map(|(answer, _)| answer) }
    };
    assert_eq!(ask("red").await?.status, 200, "the first is served");
    let refused = until("the budget is used up", || async {
        let answer = ask("red").await.ok()?;
        (answer.status == 429).then_some(answer)
    })
    .await?;
    let error: Value = serde_json::from_slice(&refused.body)?;
    assert_eq!(error["error"]["type"], "rate_limit_error");
    let message = error["error"]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("Budget exceeded for month period: team red used "), "{message}");
    assert!(refused.headers["retry-after"].to_str()?.parse::<u64>()? > 0);
    assert_eq!(refused.headers["x-should-retry"], "false");
    assert_eq!(refused.headers["x-headroom-outcome"], "over_budget");
    assert_eq!(ask("blue").await?.status, 200);
    until("the refusal is recorded", || async {
        let stats = stack.sidecar.stats().await.ok()?;
        (stats["requests"]["by_outcome"]["over_budget"].as_u64() > Some(0)).then_some(())
    })
    .await?;
    assert_no_trap(&stack).await
}
