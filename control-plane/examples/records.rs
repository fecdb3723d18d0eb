//! How many records a second headroomd takes in, with and without what the ledger of the prompt cache makes of them.
//!
//! ```text
//! cargo run --release -p headroomd --example records -- 20
//! ```
//!
//! Eight filters report ten records at a time, one report after the other, to a store in a file. Records are turns of
//! conversations with a system prompt of 120 lines; each conversation has 40 turns. Without the ledger the same records
//! say nothing of the cache: neither usage nor layout. Half of the seconds go to each.
#![allow(clippy::print_stdout, reason = "the figures are this program's output")]

use std::time::{Duration, Instant};

use anyhow::Context;
use headroom_api::v1::control_plane_client::ControlPlaneClient;
use headroom_api::v1::{
    Breakpoint, BreakpointPlace, CacheLayout, PrefixDigests, ReportRequest, RequestOutcome, RequestRecord,
    Tokens, Usage, VolatileClass, VolatileToken,
};
use headroomd::clock::now_ms;
use headroomd::settings::{Args, Settings};
use tonic::transport::Endpoint;

/// Filters that report.
const FILTERS: u64 = 8;
/// Records per report.
const BATCH: u64 = 10;
/// Turns of a conversation.
const TURNS: u64 = 40;
/// What a turn adds to a prompt, in tokens.
const ADDED: u64 = 900;
/// Tokens of system prompt and tools.
const HEAD: u64 = 12_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let seconds: u64 =
        std::env::args().nth(1).map_or(Ok(20), |seconds| seconds.parse()).context("expected seconds")?;
    for (name, has_ledger) in [("without the ledger", false), ("with the ledger", true)] {
        let folder = tempfile::tempdir()?;
        let settings = Settings::resolve(Args::on_free_ports(folder.path()), |_| None)?;
        let running = headroomd::start(&settings).await?;
        let grpc = format!("http://{}", running.addresses().grpc);
        let end = Instant::now() + Duration::from_millis(seconds * 500);
        let filters = (0..FILTERS).map(|filter| tokio::spawn(report(grpc.clone(), filter, has_ledger, end)));
        let filters: Vec<_> = filters.collect();
        let begun = Instant::now();
        let mut records = 0;
        for filter in filters {
            records += filter.await??;
        }
        println!("{name}: {:.0} records a second", records as f64 / begun.elapsed().as_secs_f64());
        running.stop().await;
    }
    Ok(())
}

/// Reports until then; how many records were acknowledged.
async fn report(grpc: String, filter: u64, has_ledger: bool, end: Instant) -> anyhow::Result<u64> {
    let mut client = ControlPlaneClient::new(Endpoint::from_shared(grpc)?.connect().await?);
    let mut acknowledged = 0;
    while Instant::now() < end {
        let sequences = acknowledged + 1..=acknowledged + BATCH;
        let request = ReportRequest {
            vm_id: format!("vm{filter}"),
            records: sequences.map(|sequence| record(filter, sequence, has_ledger)).collect(),
            ..ReportRequest::default()
        };
        match client.report(request).await {
            Ok(answer) => acknowledged = answer.into_inner().acknowledged_sequence,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    Ok(acknowledged)
}

fn record(filter: u64, sequence: u64, has_ledger: bool) -> RequestRecord {
    let (conversation, turn) = ((filter << 32) | ((sequence - 1) / TURNS), (sequence - 1) % TURNS);
    let mut record = RequestRecord {
        sequence,
        request_id: format!("hr_{filter}_{sequence}"),
        started_unix_ms: now_ms(),
        provider: "anthropic".to_owned(),
        api: "anthropic_messages".to_owned(),
        model: "claude-sonnet-5-5".to_owned(),
        stack: "claude_code".to_owned(),
        project: "shop".to_owned(),
        conversation_id: format!("{conversation:016x}"),
        outcome: RequestOutcome::Compressed.into(),
        status: 200,
        tokens: Some(Tokens { before: HEAD + turn * ADDED, after: HEAD + turn * ADDED, ..Tokens::default() }),
        ..RequestRecord::default()
    };
    if !has_ledger {
        return record;
    }
    let messages = u32::try_from(2 * turn + 1).unwrap_or(u32::MAX);
    // Once a day, as a date in the prompt does.
    let digests = PrefixDigests {
        system: 1 + conversation / 100,
        tools: 7,
        messages,
        prefixes: (messages.saturating_sub(63).max(1)..=messages)
            .map(|at| (conversation << 16) | u64::from(at))
            .collect(),
    };
    let read = if turn == 0 { HEAD } else { HEAD + (turn - 1) * ADDED };
    record.usage = Some(Usage {
        input_tokens: 4,
        output_tokens: 300,
        cache_read_tokens: read,
        cache_write_tokens: HEAD + turn * ADDED - read,
        cache_write_5m_tokens: HEAD + turn * ADDED - read,
        ..Usage::default()
    });
    let point =
        |place: BreakpointPlace, block| Breakpoint { place: place.into(), block, ..Breakpoint::default() };
    record.cache_layout = Some(CacheLayout {
        first_message: (conversation << 16) | 1,
        tools_bytes: 20_000,
        system_bytes: 24_000,
        messages_bytes: messages * 1_600,
        prefix_bytes: (0..messages.min(64)).map(|at| at * 1_600).collect(),
        blocks: 12 + messages,
        breakpoints: vec![
            point(BreakpointPlace::System, 11),
            point(BreakpointPlace::Messages, 11 + messages),
        ],
        first_line: 0xabc,
        system_lines: (0..120).map(|line| line * 7_919).collect(),
        volatile_tokens: (1..=24)
            .map(|line| VolatileToken { class: VolatileClass::Number.into(), line, offset: 4 })
            .collect(),
        ..CacheLayout::default()
    });
    record.client_prefix = Some(digests.clone());
    record.forwarded_prefix = Some(digests);
    record
}
