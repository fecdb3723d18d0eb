//! Replays real conversations through the whole system and prints the saving and the cost.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Parser;
use comfy_table::{CellAlignment, Table, presets};
use headroom_compress::Config;
use headroom_e2e::conversation::{fixtures, read_sets};
use headroom_e2e::envoy::Options;
use headroom_e2e::latency::Latencies;
use headroom_e2e::replay::{Row, replay};
use headroom_e2e::sidecar::Kind;
use headroom_e2e::{Stack, deadline};
use serde_json::json;

/// Replays recorded conversations through Envoy, the filter and headroomd to a scripted provider.
#[derive(Parser)]
struct Arguments {
    /// A folder of conversation files, or one with a folder `trajectories` in it; default: the repository's
    /// own fixtures.
    #[arg(long, env = "CORPUS")]
    corpus: Option<PathBuf>,
}

#[tokio::main]
#[allow(clippy::print_stdout, reason = "the table is what it is for")]
async fn main() -> Result<()> {
    let folder = match Arguments::parse().corpus.filter(|folder| !folder.as_os_str().is_empty()) {
        None => fixtures(),
        Some(folder) if folder.join("trajectories").is_dir() => folder.join("trajectories"),
        Some(folder) => folder,
    };
    let sets = read_sets(&folder)?;
    let filter = json!({"control_plane": {"cluster": "headroom"}});
    let stack = Stack::start(Options { filter: Some(filter), ..Options::default() }, Kind::Real).await?;
    let mut rows = Vec::new();
    for set in &sets {
        rows.push(replay(&stack, set, &Config::default()).await?);
    }
    println!("{}", table(&rows));

    let requests: usize = rows.iter().map(|row| row.requests).sum();
    deadline::until("headroomd has counted every request", || async {
        // Each was sent twice: with the filter and without it.
        (stack.sidecar.counted_requests().await.ok()? >= 2 * requests as u64).then_some(())
    })
    .await?;
    println!("headroomd counted all of them: http://{}/stats while it ran", stack.sidecar.http());

    let faults: Vec<&String> = rows.iter().flat_map(|row| &row.faults).collect();
    if !faults.is_empty() {
        const SHOWN: usize = 20;
        let shown: Vec<&str> = faults.iter().take(SHOWN).map(|fault| fault.as_str()).collect();
        bail!("{} faults:\n{}", faults.len(), shown.join("\n"));
    }
    Ok(())
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header([
        "conversations",
        "api",
        "runs",
        "requests",
        "tokens before",
        "after",
        "saved",
        "added p50",
        "added p99",
        "faults",
    ]);
    let mut latencies = Latencies::default();
    for row in rows {
        latencies.extend(&row.latencies);
        table.add_row(cells(row, row.api.name()));
    }
    let total = Row {
        set: "all".to_owned(),
        api: headroom_compress::Api::AnthropicMessages,
        conversations: rows.iter().map(|row| row.conversations).sum(),
        requests: rows.iter().map(|row| row.requests).sum(),
        tokens_before: rows.iter().map(|row| row.tokens_before).sum(),
        tokens_after: rows.iter().map(|row| row.tokens_after).sum(),
        latencies,
        faults: rows.iter().flat_map(|row| row.faults.clone()).collect(),
    };
    table.add_row(cells(&total, ""));
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn cells(row: &Row, api: &str) -> Vec<String> {
    vec![
        row.set.clone(),
        api.to_owned(),
        row.conversations.to_string(),
        row.requests.to_string(),
        row.tokens_before.to_string(),
        row.tokens_after.to_string(),
        format!("{:.1} %", row.saved_percent()),
        format!("{:.2} ms", row.latencies.added(50)),
        format!("{:.2} ms", row.latencies.added(99)),
        row.faults.len().to_string(),
    ]
}
