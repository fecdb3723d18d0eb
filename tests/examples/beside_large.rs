//! How other clients of a worker are affected by a client with long bodies: the longest gap in a stream, and the time
//! of short requests.
//!
//! `cargo run -p headroom-e2e --example beside_large [MODULE …]`: for each of these filter modules, by default for the
//! one that is built here, and for the same without long bodies. Envoy has one worker. A provider sends an event
//! every five milliseconds, a client sends short requests one after the other, and another sends bodies of 15 MB of logs
//! that the filter has not seen: in outputs of 250 kB, and in outputs of 4 MB.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use headroom_e2e::client::{Call, Connection, Protocol};
use headroom_e2e::envoy::{Envoy, Neighbours, Options};
use headroom_e2e::latency::percentile;
use headroom_e2e::provider::{NAME_HEADER, SCRIPT_HEADER};
use headroom_e2e::sidecar::{Kind, Sidecar};
use headroom_e2e::{Provider, Script, built};
use serde_json::json;

/// The length of a long body.
const BODY_BYTES: usize = 15 << 20;
const EVENT_EVERY: Duration = Duration::from_millis(5);
/// Long requests per measurement.
const LONG: usize = 4;

/// The result of a measurement.
#[derive(Default)]
struct Felt {
    longest_gap: Duration,
    short: Vec<Duration>,
    long: Vec<Duration>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut modules: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if modules.is_empty() {
        modules.push(built::filter_module().await?);
    }
    let mut table = comfy_table::Table::new();
    table.set_header(["module", "outputs", "longest gap", "short: p50", "p99", "longest", "long: longest"]);
    for module in &modules {
        for output_bytes in [0, 250 << 10, 4 << 20] {
            let felt = measure(module, output_bytes).await?;
            let outputs = match output_bytes {
                0 => "no long bodies".to_owned(),
                bytes => format!("{} kB", bytes >> 10),
            };
            let ms = |value: f64| format!("{value:.0} ms");
            table.add_row([
                module.display().to_string(),
                outputs,
                ms(felt.longest_gap.as_secs_f64() * 1e3),
                ms(percentile(&felt.short, 50)),
                ms(percentile(&felt.short, 99)),
                ms(percentile(&felt.short, 100)),
                ms(percentile(&felt.long, 100)),
            ]);
        }
    }
    headroom_e2e::say(&table.to_string());
    Ok(())
}

async fn measure(module: &Path, output_bytes: usize) -> Result<Felt> {
    let folder = tempfile::tempdir()?;
    let provider = Provider::start(0).await?;
    let sidecar = Sidecar::start(Kind::Real, folder.path()).await?;
    let neighbours = Neighbours {
        provider: provider.address(),
        sidecar_grpc: sidecar.grpc(),
        sidecar_http: sidecar.http(),
    };
    let filter = json!({"control_plane": {"cluster": "headroom"}});
    let options = Options { filter: Some(filter), own_process: true, ..Options::default() };
    let envoy = Envoy::start(&options, neighbours, module, folder.path()).await?;
    let to = envoy.listener();
    let over = Arc::new(AtomicBool::new(false));

    let script =
        Script { gate: true, text: Some("word ".repeat(20_000)), piece_bytes: None, ..Script::default() };
    let stream = Call::post(
        "/v1/messages",
        r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}"#,
    )
    .header(SCRIPT_HEADER, &script.header())
    .header(NAME_HEADER, "stream");
    let mut connection = Connection::open(to, Protocol::Http1).await?;
    let mut answer = connection.stream(stream).await?;
    let source = tokio::spawn({
        let (provider, over) = (provider.clone(), Arc::clone(&over));
        async move {
            while !over.load(Ordering::Relaxed) {
                provider.release("stream", 1);
                tokio::time::sleep(EVENT_EVERY).await;
            }
        }
    });
    let gaps = tokio::spawn({
        let over = Arc::clone(&over);
        async move {
            let (mut longest, mut last) = (Duration::ZERO, None::<Instant>);
            while !over.load(Ordering::Relaxed) {
                let Ok(Some(_)) = answer.next().await else { break };
                longest = longest.max(last.map_or(Duration::ZERO, |last| last.elapsed()));
                last = Some(Instant::now());
            }
            longest
        }
    });
    let short = tokio::spawn({
        let over = Arc::clone(&over);
        async move {
            let mut connection = Connection::open(to, Protocol::Http1).await?;
            let mut took = Vec::new();
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                number += 1;
                let started = Instant::now();
                let answer = connection.send(Call::post("/v1/messages", body(4_000, 4_000, number))).await?;
                ensure!(answer.status == 200, "{}", answer.status);
                took.push(started.elapsed());
                tokio::time::sleep(EVENT_EVERY).await;
            }
            anyhow::Ok(took)
        }
    });
    let mut felt = Felt::default();
    if output_bytes == 0 {
        tokio::time::sleep(Duration::from_secs(4)).await;
    } else {
        for number in 0..LONG {
            let body = body(BODY_BYTES, output_bytes, 1_000_000 * (number + 1));
            let mut connection = Connection::open(to, Protocol::Http1).await?;
            let started = Instant::now();
            let answer = connection.send(Call::post("/v1/messages", body)).await?;
            ensure!(answer.status == 200, "{}", answer.status);
            felt.long.push(started.elapsed());
            // The data of a record is computed after the request was forwarded.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    over.store(true, Ordering::Relaxed);
    provider.release("stream", 10_000_000);
    felt.short = short.await??;
    felt.longest_gap = gaps.await.context("the reader of the stream")?;
    source.await?;
    Ok(felt)
}

/// A request with new logs.
fn body(bytes: usize, output_bytes: usize, salt: usize) -> Vec<u8> {
    let mut line = salt;
    let outputs = (0..bytes.div_ceil(output_bytes)).flat_map(|turn| {
        let mut text = String::new();
        while text.len() < output_bytes {
            line += 1;
            text.push_str(&format!(
                "2026-01-02T03:{:02}:{:02}.{:03}Z INFO  worker-{} request {:x} took {} ms path=/items/{}\n",
                line / 60 % 60,
                line % 60,
                line * 7 % 1_000,
                line % 13,
                line.wrapping_mul(2_654_435_761),
                line * 31 % 900,
                line % 4_000
            ));
        }
        let id = format!("toolu_{turn}");
        [
            json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "Bash", "input": {"command": "cat log"}}]}),
            json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": text}]}),
        ]
    });
    let messages: Vec<_> =
        [json!({"role": "user", "content": "What is slow?"})].into_iter().chain(outputs).collect();
    json!({"model": "claude-sonnet-4-5", "max_tokens": 10, "messages": messages}).to_string().into_bytes()
}
