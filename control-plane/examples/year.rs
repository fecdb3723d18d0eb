//! A year of traffic at 50 requests a second, and the store that it leaves behind.
//!
//! ```text
//! cargo run --release -p headroomd --example year -- FOLDER
//! ```
//!
//! For every hour of the year the store gets one report in the form of the writer: 24 records over eight
//! models, four stacks and six projects, each with the tokens of 7,500 requests. The size of a store
//! depends on the time and on the names, not on the number of records, so the history is the same as that
//! of 1.6 billion requests. Then the pages are read over HTTP from a sidecar on that store.
#![allow(clippy::print_stdout, reason = "the figures are this program's output")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use headroom_api::v1::{BlockRecord, RequestOutcome, RequestRecord, Timings, Tokens, Usage};
use headroomd::clock::{DAY_MS, HOUR_MS, UnixMs, now_ms};
use headroomd::ledger::contribution::Accounting;
use headroomd::ledger::store::{Batch, LedgerStore};
use headroomd::settings::{Args, Settings};
use headroomd::store::Database;
use headroomd::store::SqlLedger;

/// Time between two reports.
const STEP_MS: i64 = HOUR_MS;
/// Records per report.
const RECORDS: u64 = 24;
/// Requests that a record represents: 50 a second over an hour, by 24.
const REQUESTS_EACH: u64 = 7_500;
/// Times that each page is read.
const READS: usize = 200;
const MODELS: [&str; 8] = [
    "claude-opus-5-5",
    "claude-sonnet-5-5",
    "claude-haiku-5-5",
    "claude-sonnet-4-5-20250929",
    "gpt-5.6",
    "gpt-5.4-mini",
    "gpt-5",
    "gemini-3.8-flash",
];
const STACKS: [&str; 4] = ["wrap_claude", "wrap_codex", "sdk_python", "ci"];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).context("expected a folder for the store")?);
    let database = folder.join("headroom.db");
    if !database.exists() {
        write_a_year(&database).await?;
    }
    read_it(&folder).await
}

async fn write_a_year(database: &Path) -> anyhow::Result<()> {
    let end = now_ms();
    let start = end - 365 * DAY_MS;
    let store = SqlLedger::open(&Database::File(database.to_owned()), start).await?;
    let accounting = Accounting::default();
    let begun = Instant::now();
    let mut reports = 0_u64;
    for now in (start..end).step_by(STEP_MS as usize) {
        let records = (0..RECORDS).map(|n| record(reports * RECORDS + n + 1, now)).collect();
        let batch = Batch { vm_id: "year".to_owned(), records, ..Batch::default() };
        store.append(&[batch], &accounting, now).await?;
        reports += 1;
        store.maintain(now).await?;
    }
    let ms = begun.elapsed().as_secs_f64() * 1e3 / reports as f64;
    println!("wrote {reports} reports of {RECORDS} records, {ms:.2} ms each, durable one by one");
    store.close().await;
    Ok(())
}

fn record(sequence: u64, now: UnixMs) -> RequestRecord {
    let pick = |of: u64| sequence % of;
    RequestRecord {
        sequence,
        request_id: format!("hr_{sequence:x}"),
        started_unix_ms: now,
        provider: ["anthropic", "openai", "gemini"][pick(3) as usize].to_owned(),
        api: "anthropic_messages".to_owned(),
        model: MODELS[pick(8) as usize].to_owned(),
        stack: STACKS[(sequence / 8 % 4) as usize].to_owned(),
        project: format!("project-{}", sequence / 5 % 6),
        outcome: RequestOutcome::Compressed.into(),
        status: 200,
        tokens: Some(Tokens {
            before: 12_000 * REQUESTS_EACH,
            after: (9_000 + pick(1_000)) * REQUESTS_EACH,
            tool_outputs_before: 8_000 * REQUESTS_EACH,
            tool_outputs_after: (5_000 + pick(1_000)) * REQUESTS_EACH,
            ..Tokens::default()
        }),
        usage: Some(Usage {
            input_tokens: 1_000 * REQUESTS_EACH,
            output_tokens: 400 * REQUESTS_EACH,
            cache_read_tokens: 8_000 * REQUESTS_EACH,
            cache_write_tokens: 500 * REQUESTS_EACH,
            ..Usage::default()
        }),
        timings: Some(Timings {
            compress_us: 900,
            overhead_us: 1_100,
            total_us: 2_000_000,
            ..Timings::default()
        }),
        blocks: (0..5)
            .map(|n| BlockRecord {
                tool: format!("tool-{}", (sequence + n) % 20),
                kind: "json".to_owned(),
                outcome: "json_table".to_owned(),
                tokens_before: 1_000,
                tokens_after: 700,
                ..BlockRecord::default()
            })
            .collect(),
        ..RequestRecord::default()
    }
}

async fn read_it(folder: &Path) -> anyhow::Result<()> {
    let begun = Instant::now();
    let running = headroomd::start(&Settings::resolve(Args::on_free_ports(folder), |_| None)?).await?;
    println!("started in {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);
    let size = std::fs::metadata(folder.join("headroom.db"))?.len();
    println!("database {:.1} MB", size as f64 / 1e6);
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
    println!("{:<52} {:>9} {:>8} {:>8} {:>8}", "page", "bytes", "p50 ms", "p99 ms", "max ms");
    for page in [
        "/stats-history",
        "/stats-history?model=gpt-5",
        "/stats-history?history_mode=full",
        "/stats-history?format=csv&series=hourly",
        "/stats",
        "/stats?cached=1",
        "/transformations/feed",
        "/metrics",
        "/livez",
    ] {
        let url = format!("http://{}{page}", running.addresses().http);
        let mut times = Vec::with_capacity(READS);
        let mut bytes = 0;
        for _ in 0..READS {
            let begun = Instant::now();
            let answer = client.get(&url).send().await?.error_for_status()?;
            bytes = answer.bytes().await?.len();
            times.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((READS as f64 * share) as usize).min(READS - 1)];
        println!("{page:<52} {bytes:>9} {:>8.1} {:>8.1} {:>8.1}", at(0.5), at(0.99), at(1.0));
    }
    running.stop().await;
    Ok(())
}
