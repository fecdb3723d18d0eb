//! The memory of Envoy with one worker during many concurrent requests of the longest body that the filter reads:
//! the figures of k8s/sizing.md.
//!
//! `cargo run -p headroom-e2e --example large_bodies [REQUESTS]`, by default 50. Everything is on loopback. Envoy's
//! own heap, which holds the waiting bodies, is what its admin interface reports; the rest of the
//! process is V8 with the filter.

#![expect(clippy::print_stdout, reason = "a command")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use headroom_e2e::Stack;
use headroom_e2e::client::{Call, Connection, Protocol};
use headroom_e2e::envoy::{Envoy, Options};
use headroom_e2e::sidecar::Kind;
use serde_json::{Value, json};

/// The default number of requests.
const REQUESTS: usize = 50;
/// The filter's default for `max_body_bytes`.
const MAX_BODY_BYTES: usize = 32 << 20;
/// Different conversations; the others repeat one of these.
const CONVERSATIONS: usize = 4;
/// The number of rows in one tool output.
const OUTPUT_ROWS: usize = 10_000;

/// Megabytes of the process, and the part of them that is Envoy's heap.
#[derive(Clone, Copy, Default)]
struct Use {
    resident: f64,
    heap: f64,
}

impl Use {
    async fn of(envoy: &Envoy) -> Result<Self> {
        let memory: Value = serde_json::from_str(&envoy.admin_get("/memory").await?)?;
        let bytes = |name: &str| -> Result<f64> {
            Ok(memory[name].as_str().context("/memory has figures")?.parse::<f64>()?)
        };
        let heap = bytes("heap_size")? - bytes("pageheap_unmapped")?;
        Ok(Self {
            resident: envoy.resident_kilobytes()? as f64 / 1024.0,
            heap: heap.max(0.0) / f64::from(1 << 20),
        })
    }

    fn rest(self) -> f64 {
        (self.resident - self.heap).max(0.0)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let requests = match std::env::args().nth(1) {
        Some(text) => text.parse().context("expected a number of requests")?,
        None => REQUESTS,
    };
    let filter = json!({"reversible": true, "control_plane": {"cluster": "headroom"}});
    let stack =
        Stack::start(Options { filter: Some(filter), own_process: true, ..Options::default() }, Kind::Real)
            .await?;
    let bodies: Vec<Bytes> = (0..CONVERSATIONS).map(|salt| Bytes::from(body(salt))).collect();
    let idle = Use::of(&stack.envoy).await?;

    let started = Instant::now();
    let over = Arc::new(AtomicBool::new(false));
    let listener = stack.envoy.listener();
    let work = async {
        let mut under_way = tokio::task::JoinSet::new();
        for number in 0..requests {
            let body = bodies[number % CONVERSATIONS].clone();
            under_way.spawn(async move {
                let mut connection = Connection::open(listener, Protocol::Http1).await?;
                let answer = connection.send(Call::post("/v1/messages", body)).await?;
                anyhow::Ok(answer.status.as_u16())
            });
        }
        let mut statuses = Vec::new();
        while let Some(status) = under_way.join_next().await {
            statuses.push(status??);
        }
        over.store(true, Ordering::Relaxed);
        anyhow::Ok(statuses)
    };
    let watch = async {
        let mut most = Use::default();
        while !over.load(Ordering::Relaxed) {
            let now = Use::of(&stack.envoy).await?;
            most.resident = most.resident.max(now.resident);
            most.heap = most.heap.max(now.heap);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        anyhow::Ok(most)
    };
    let (statuses, most) = tokio::join!(work, watch);
    let (statuses, most) = (statuses?, most?);
    let took = started.elapsed();
    let after = Use::of(&stack.envoy).await?;
    ensure!(statuses.iter().all(|status| *status == 200), "not all were answered: {statuses:?}");
    for reload in ["success", "backoff", "failure"] {
        let stat = stack.envoy.stat(&format!("wasm.headroom.vm_reload_{reload}")).await?;
        ensure!(stat == 0, "the filter was lost {stat} times ({reload})");
    }
    let compressed = stack.envoy.stat("wasmcustom.headroom.requests.compressed").await?;
    println!(
        "{requests} requests of {} bytes at once, one worker: all answered 200 in {:.0} s, {compressed} compressed, no VM lost",
        bodies[0].len(),
        took.as_secs_f64()
    );
    println!("MiB                resident   Envoy's heap   V8 and the filter");
    println!("idle               {:8.0}   {:12.0}   {:17.0}", idle.resident, idle.heap, idle.rest());
    println!("most of each       {:8.0}   {:12.0}   {:>17}", most.resident, most.heap, "-");
    println!("afterwards         {:8.0}   {:12.0}   {:17.0}", after.resident, after.heap, after.rest());
    Ok(())
}

/// A conversation of the maximum length, with long tool outputs.
fn body(salt: usize) -> Vec<u8> {
    let output = |number: usize| {
        let rows: Vec<Value> = (0..OUTPUT_ROWS)
            .map(|row| {
                json!({"id": 7919 * row + number, "run": salt, "name": format!("deployment-{row}"), "status": "ok"})
            })
            .collect();
        json!(rows).to_string()
    };
    let mut messages =
        vec![json!({"role": "user", "content": format!("Which deployments failed in run {salt}?")})];
    let mut bytes = 1_000;
    for number in 0.. {
        let output = output(number);
        // Every quote is escaped in the body.
        let length = output.len() + output.matches('"').count() + 300;
        if bytes + length > MAX_BODY_BYTES {
            break;
        }
        bytes += length;
        let id = format!("toolu_{number}");
        messages.push(json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "list", "input": {}}]}));
        messages.push(json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": output}]}));
    }
    json!({"model": "claude-opus-5-5", "max_tokens": 1024, "tools": [{"name": "list", "input_schema": {"type": "object"}}],
        "messages": messages})
    .to_string()
    .into_bytes()
}
