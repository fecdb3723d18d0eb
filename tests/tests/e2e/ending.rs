//! An Envoy that ends: drained records all arrive, and the others are counted.

use anyhow::{Context as _, Result};
use headroom_e2e::Stack;
use headroom_e2e::client::{Call, Connection, Protocol, Streamed};
use headroom_e2e::deadline::until;
use headroom_e2e::envoy::Options;
use headroom_e2e::provider::{NAME_HEADER, SCRIPT_HEADER, Script};
use headroom_e2e::sidecar::Kind;
use serde_json::{Value, json};

const BODY: &str = r#"{"model":"claude-sonnet-4-5","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
/// The same, to a model that nothing else asks.
const OPEN_BODY: &str =
    r#"{"model":"claude-opus-4-5","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}"#;

/// The product's own interval, unless a test needs another.
async fn start() -> Result<Stack> {
    let filter = json!({"control_plane": {"cluster": "headroom"}});
    let options = Options { filter: Some(filter), workers: 2, own_process: true, ..Options::default() };
    Stack::start(options, Kind::Real).await
}

async fn report(stack: &Stack, name: &str) -> Option<u64> {
    stack.sidecar.stats().await.ok()?["reports"][name].as_u64()
}

async fn counted(stack: &Stack) -> Result<u64> {
    let stats = stack.sidecar.stats().await?;
    stats["requests"]["total"].as_u64().with_context(|| format!("a total in {stats}"))
}

/// Requests whose answers do not end.
async fn open(stack: &Stack, count: usize) -> Result<Vec<Streamed>> {
    let gated = Script { gate: true, ..Script::default() };
    let mut answers = Vec::new();
    for number in 0..count {
        let call = Call::post("/v1/messages", OPEN_BODY)
            .header(NAME_HEADER, &format!("open {number}"))
            .header(SCRIPT_HEADER, &gated.header());
        answers.push(stack.connect(Protocol::Http1).await?.stream(call).await?);
    }
    Ok(answers)
}

/// Requests that are answered at once, on many connections, so that both workers get some.
async fn answered(stack: &Stack, count: usize) -> Result<()> {
    for _ in 0..count {
        let answer = stack.connect(Protocol::Http1).await?.send(Call::post("/v1/messages", BODY)).await?;
        assert_eq!(answer.status, 200);
    }
    Ok(())
}

/// headroomd considers all VMs gone: a minute after their last report.
async fn gone(stack: &Stack) -> Result<()> {
    let look = || async { report(stack, "open_records").await.filter(|open| *open == 0) };
    match until("no record is open", look).await {
        Ok(_) => Ok(()),
        Err(_) => until("no record is open", look).await.map(|_| ()),
    }
}

/// The lost records that headroomd reports after it considers all VMs gone: a minute after their last report.
async fn lost(stack: &Stack, least: usize) -> Result<u64> {
    let look = || async { report(stack, "lost_records").await.filter(|lost| *lost >= least as u64) };
    match until("records are lost", look).await {
        Ok(lost) => Ok(lost),
        Err(_) => until("records are lost", look).await,
    }
}

#[tokio::test]
async fn an_envoy_that_is_drained_has_told_everything() -> Result<()> {
    let mut stack = start().await?;
    answered(&stack, 50).await?;
    let mut admin = Connection::open_socket(stack.envoy.admin()).await?;
    assert_eq!(admin.send(Call::post("/drain_listeners", "")).await?.status, 200);
    until("everything is told, and no request is open", || async {
        let told = counted(&stack).await.ok()? == 50 && report(&stack, "open_records").await? == 0;
        told.then_some(())
    })
    .await?;
    stack.envoy.terminate()?;
    assert_eq!(counted(&stack).await?, 50);
    Ok(())
}

#[tokio::test]
async fn what_a_terminated_envoy_has_not_told_is_in_its_log_and_what_it_has_announced_is_counted()
-> Result<()> {
    const OPEN: usize = 12;
    const BURST: usize = 30;
    let mut stack = start().await?;
    let _answers = open(&stack, OPEN).await?;
    until("the open requests are announced", || async {
        (report(&stack, "open_records").await? == OPEN as u64).then_some(())
    })
    .await?;
    answered(&stack, BURST).await?;
    stack.envoy.terminate()?;
    let counted = counted(&stack).await?;
    let log = stack.envoy.log_tail();
    let untold: Vec<u64> = log
        .lines()
        .filter_map(|line| line.split_once("a VM ends with ")?.1.split_once(' ')?.0.parse().ok())
        .collect();
    // By then every request has its record, the open ones too: they end with Envoy. A report may have arrived without a
    // received response.
    assert!(counted + untold.iter().sum::<u64>() >= (OPEN + BURST) as u64, "{counted} are counted\n{log}");
    gone(&stack).await?;
    // What was announced has been counted since, or is lost.
    let lost = report(&stack, "lost_records").await.context("a count")?;
    let counted = self::counted(&stack).await?;
    let arrived =
        stack.sidecar.stats().await?["requests"]["by_model"]["claude-opus-4-5"].as_u64().unwrap_or(0);
    assert!(
        arrived + lost >= OPEN as u64 && arrived <= OPEN as u64,
        "{arrived} of the open ones, and {lost}"
    );
    assert!(counted + lost <= (OPEN + BURST) as u64, "{counted} and {lost}");
    let metrics =
        Connection::open(stack.sidecar.http(), Protocol::Http1).await?.send(Call::get("/metrics")).await?;
    assert!(metrics.text().contains(&format!("headroom_records_lost {lost}\n")), "{}", metrics.text());
    Ok(())
}

#[tokio::test]
async fn what_a_killed_envoy_has_announced_is_counted() -> Result<()> {
    const OPEN: usize = 12;
    let mut stack = start().await?;
    answered(&stack, 5).await?;
    let _answers = open(&stack, OPEN).await?;
    until("all is told or announced", || async {
        let all = (counted(&stack).await.ok()?, report(&stack, "open_records").await?);
        (all == (5, OPEN as u64)).then_some(())
    })
    .await?;
    stack.envoy.kill()?;
    assert_eq!(lost(&stack, OPEN).await?, OPEN as u64);
    let stats: Value = stack.sidecar.stats().await?;
    assert_eq!(stats["reports"]["open_records"], 0);
    assert_eq!(stats["reports"]["report_interval_ms"], 1_000, "what began in the last one is not known");
    Ok(())
}
