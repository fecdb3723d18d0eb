//! Reports and page reads from many connections at once, and how fast `/livez` answers during that.
//!
//! ```text
//! cargo run --release -p headroomd --example load -- 60
//! ```
//!
//! Half of 64 connections report as filters do, one report of ten records at a time and half of them
//! sent twice; the others read pages. At the end the sidecar is stopped under load and started again.
//! Then it must have every acknowledged record exactly once. Exits with 1 if it does not, or if the 99th
//! percentile of `/livez` was 50 ms or more.
#![allow(clippy::print_stdout, reason = "the figures are this program's output")]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use headroom_api::v1::control_plane_client::ControlPlaneClient;
use headroom_api::v1::{ReportRequest, RequestOutcome, RequestRecord, Tokens};
use headroomd::clock::now_ms;
use headroomd::settings::{Args, Settings};
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;

/// Connections that report, and as many that read.
const CONNECTIONS: u64 = 32;
/// Records per report.
const BATCH: u64 = 10;
/// Tokens that a record saves.
const SAVED: u64 = 100;
/// The limit for `/livez`.
const LIVEZ_P99_MS: f64 = 50.0;
/// The pages that the readers read in turn.
const PAGES: [&str; 5] = ["/stats?cached=1", "/stats-history", "/transformations/feed", "/metrics", "/stats"];

#[derive(Default)]
struct Counts {
    acknowledged: AtomicU64,
    refused_reports: AtomicU64,
    pages: AtomicU64,
    refused_pages: AtomicU64,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let seconds =
        std::env::args().nth(1).map_or(Ok(60), |seconds| seconds.parse()).context("expected seconds")?;
    let folder = tempfile::tempdir()?;
    let settings = Settings::resolve(Args::on_free_ports(folder.path()), |_| None)?;
    let running = headroomd::start(&settings).await?;
    let (http, grpc) =
        (format!("http://{}", running.addresses().http), format!("http://{}", running.addresses().grpc));
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
    let counts = Arc::new(Counts::default());
    let stop = CancellationToken::new();
    let mut tasks = Vec::new();
    for n in 0..CONNECTIONS {
        tasks.push(tokio::spawn(report(grpc.clone(), n, Arc::clone(&counts), stop.clone())));
        tasks.push(tokio::spawn(read(client.clone(), http.clone(), n, Arc::clone(&counts), stop.clone())));
    }
    let mut times = Vec::new();
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        let begun = Instant::now();
        client.get(format!("{http}/livez")).send().await?.error_for_status()?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // the load goes on while it stops
    running.stop().await;
    stop.cancel();
    for task in tasks {
        task.await??;
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() as f64 * share) as usize).min(times.len() - 1)];
    let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
    let count = |of: &AtomicU64| of.load(Ordering::SeqCst);
    println!("/livez over {} requests: p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms", times.len());
    println!(
        "records acknowledged {}, reports refused {}",
        count(&counts.acknowledged),
        count(&counts.refused_reports)
    );
    println!("pages read {}, refused {}", count(&counts.pages), count(&counts.refused_pages));

    let again = headroomd::start(&settings).await?;
    let stats = client.get(format!("http://{}/stats", again.addresses().http)).send().await?.text().await?;
    let stats: serde_json::Value = serde_json::from_str(&stats)?;
    again.stop().await;
    let (found, promised) = (stats["requests"]["total"].as_u64().unwrap_or(0), count(&counts.acknowledged));
    let doubled = stats["tokens"]["saved"].as_u64() != Some(found * SAVED);
    // a report that was being handled when it stopped may have been counted without a response
    let lost = found < promised || found > promised + CONNECTIONS * BATCH;
    println!("records after the restart {found}");
    Ok(if lost || doubled || p99 >= LIVEZ_P99_MS { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn report(grpc: String, n: u64, counts: Arc<Counts>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut client = ControlPlaneClient::new(Endpoint::from_shared(grpc)?.connect().await?);
    let mut acknowledged = 0;
    for turn in 0_u64.. {
        if stop.is_cancelled() {
            break;
        }
        let from = if turn % 2 == 1 { acknowledged.max(BATCH) - BATCH } else { acknowledged };
        let request = ReportRequest {
            vm_id: format!("vm{n}"),
            records: (from + 1..=from + BATCH).map(record).collect(),
            ..ReportRequest::default()
        };
        match client.report(request).await {
            Ok(answer) => {
                let durable = answer.into_inner().acknowledged_sequence;
                counts.acknowledged.fetch_add(durable - acknowledged, Ordering::SeqCst);
                acknowledged = durable;
            }
            Err(_) => {
                counts.refused_reports.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    Ok(())
}

fn record(sequence: u64) -> RequestRecord {
    RequestRecord {
        sequence,
        started_unix_ms: now_ms(),
        provider: "anthropic".to_owned(),
        model: "claude-sonnet-5-5".to_owned(),
        outcome: RequestOutcome::Compressed.into(),
        status: 200,
        tokens: Some(Tokens { before: 1_000, after: 1_000 - SAVED, ..Tokens::default() }),
        ..RequestRecord::default()
    }
}

async fn read(
    client: reqwest::Client,
    http: String,
    n: u64,
    counts: Arc<Counts>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    for turn in n.. {
        if stop.is_cancelled() {
            break;
        }
        let page = PAGES[(turn % PAGES.len() as u64) as usize];
        let read =
            async { client.get(format!("{http}{page}")).send().await?.error_for_status()?.bytes().await };
        let count = if read.await.is_ok() { &counts.pages } else { &counts.refused_pages };
        count.fetch_add(1, Ordering::SeqCst);
        // the rate of an open dashboard, not a flood
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}
