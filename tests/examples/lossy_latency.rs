//! What a lossy form costs a request against a lossless one: `cargo run --release -p headroom-e2e --example lossy_latency`.
//!
//! Requests with 100 KB of new tool output each go in turn through an Envoy with the default profile and through one
//! with the lossless profile. The figures stand in docs/benchmarks.md. They mean something only while little else runs.

#![expect(clippy::print_stdout, reason = "a command")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use headroom_e2e::Stack;
use headroom_e2e::client::{Call, Protocol};
use headroom_e2e::envoy::Options;
use headroom_e2e::sidecar::Kind;
use serde_json::{Value, json};

const REQUESTS: usize = 200;
/// Rows of an output of which there are a hundred kilobytes.
const ROWS: usize = 1_150;

fn rows(salt: usize) -> String {
    let rows: Vec<Value> = (0..ROWS)
        .map(|n| {
            json!({"id": 7919 * (n + 1), "build": salt, "status": if n == 40 { "failed" } else { "ok" },
                "name": format!("deployment-{n}"), "region": "eu-central-1"})
        })
        .collect();
    json!(rows).to_string()
}

fn request(output: &str) -> String {
    json!({"model": "claude-sonnet-4-5", "max_tokens": 9,
        "tools": [{"name": "list", "input_schema": {"type": "object"}}],
        "messages": [{"role": "user", "content": "Which deployment failed?"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "list", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": output}]}]})
    .to_string()
}

async fn stack(profile: &str) -> Result<Stack> {
    let filter = json!({"profile": profile, "reversible": true, "store_originals": true, "tenant_from": "client",
        "control_plane": {"cluster": "headroom"}});
    Stack::start(
        Options { filter: Some(filter), workers: 2, own_process: true, ..Options::default() },
        Kind::Real,
    )
    .await
}

/// The median and the 99th percentile, in milliseconds.
fn quantiles(times: &mut [Duration]) -> Result<(f64, f64)> {
    times.sort_unstable();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).context("no requests");
    Ok((at(0.5)?.as_secs_f64() * 1e3, at(0.99)?.as_secs_f64() * 1e3))
}

#[tokio::main]
async fn main() -> Result<()> {
    const PROFILES: [&str; 2] = ["balanced", "lossless"];
    let stacks = [stack(PROFILES[0]).await?, stack(PROFILES[1]).await?];
    let mut connections =
        [stacks[0].connect(Protocol::Http1).await?, stacks[1].connect(Protocol::Http1).await?];
    let mut times = [Vec::new(), Vec::new()];
    for number in 0..REQUESTS {
        let body = request(&rows(number));
        for (connection, times) in connections.iter_mut().zip(&mut times) {
            let start = Instant::now();
            let answer = connection.send(Call::post("/v1/messages", body.clone())).await?;
            times.push(start.elapsed());
            ensure!(answer.status == 200, "{}", answer.text());
        }
    }
    println!("{REQUESTS} requests with {} bytes of new output each", rows(0).len());
    for (profile, times) in PROFILES.iter().zip(&mut times) {
        let (median, late) = quantiles(times)?;
        println!("{profile}: p50 {median:.2} ms, p99 {late:.2} ms");
    }
    Ok(())
}
