//! The bill of real sessions of Claude Code, from the usage in their logs, once per message. The ledger's result is
//! compared with a sum that the test computes, in whole nano-dollars from the prices that Anthropic publishes.
//!
//! The logs are not part of the repository. `HEADROOM_SESSIONS=DIR` names a folder that contains `*.jsonl`, at any
//! depth.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use headroom_api::v1::{RequestRecord, Usage};
use headroomd::clock::now_ms;
use headroomd::ledger::bucket::Unit;
use headroomd::ledger::contribution::Accounting;
use headroomd::ledger::labels::Dimension;
use headroomd::ledger::store::{Batch, CacheRange, LedgerStore};
use headroomd::ledger::sums::CacheSums;
use headroomd::store::{Database, SqlLedger};
use serde_json::Value;

/// Nano-dollars for a token: input, read, written for five minutes and for an hour, output. Of
/// <https://platform.claude.com/docs/en/about-claude/pricing>, November 2026.
const PRICES: [(&str, [i64; 5]); 5] = [
    ("claude-sonnet-4-5", [3_000, 300, 3_750, 6_000, 15_000]),
    ("claude-sonnet-4-2", [3_000, 300, 3_750, 6_000, 15_000]),
    ("claude-opus-4-5", [5_000, 500, 6_250, 10_000, 25_000]),
    ("claude-opus-4-6", [5_000, 500, 6_250, 10_000, 25_000]),
    ("claude-haiku-4-5", [1_000, 100, 1_250, 2_000, 5_000]),
];
/// A cent.
const CENT: i64 = 10_000_000;

fn logs(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            logs(&path, found);
        } else if path.extension().is_some_and(|end| end == "jsonl") {
            found.push(path);
        }
    }
}

/// Model and usage of each message. A message is logged once for each of its blocks; the last has the whole output.
fn messages(paths: &[PathBuf]) -> BTreeMap<String, (String, Value)> {
    let mut messages = BTreeMap::new();
    for path in paths {
        for line in fs::read_to_string(path).unwrap_or_default().lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            let message = &line["message"];
            let (Some(id), Some(model)) = (message["id"].as_str(), message["model"].as_str()) else {
                continue;
            };
            if message["usage"].is_object() && model.starts_with("claude") {
                messages.insert(id.to_owned(), (model.to_owned(), message["usage"].clone()));
            }
        }
    }
    messages
}

/// The cost of a message.
fn cost(model: &str, usage: &Value) -> i64 {
    let (_, price) = PRICES.iter().find(|(name, _)| model.starts_with(name)).expect("a price of the model");
    let tokens = |value: &Value| value.as_i64().unwrap_or(0);
    let written = tokens(&usage["cache_creation_input_tokens"]);
    let hour = tokens(&usage["cache_creation"]["ephemeral_1h_input_tokens"]);
    tokens(&usage["input_tokens"]) * price[0]
        + tokens(&usage["cache_read_input_tokens"]) * price[1]
        + (written - hour) * price[2]
        + hour * price[3]
        + tokens(&usage["output_tokens"]) * price[4]
}

fn record(sequence: u64, model: &str, usage: &Value) -> RequestRecord {
    let tokens = |value: &Value| value.as_u64().unwrap_or(0);
    RequestRecord {
        sequence,
        started_unix_ms: now_ms(),
        provider: "anthropic".to_owned(),
        api: "anthropic_messages".to_owned(),
        model: model.to_owned(),
        status: 200,
        usage: Some(Usage {
            input_tokens: tokens(&usage["input_tokens"]),
            output_tokens: tokens(&usage["output_tokens"]),
            cache_read_tokens: tokens(&usage["cache_read_input_tokens"]),
            cache_write_tokens: tokens(&usage["cache_creation_input_tokens"]),
            cache_write_5m_tokens: tokens(&usage["cache_creation"]["ephemeral_5m_input_tokens"]),
            cache_write_1h_tokens: tokens(&usage["cache_creation"]["ephemeral_1h_input_tokens"]),
            ..Usage::default()
        }),
        ..RequestRecord::default()
    }
}

#[tokio::test]
async fn the_bill_of_recorded_sessions_is_right_to_the_cent() {
    let Some(folder) = std::env::var_os("HEADROOM_SESSIONS") else {
        eprintln!("SKIPPED: HEADROOM_SESSIONS names no folder with logs of Claude Code.");
        return;
    };
    let mut paths = Vec::new();
    logs(Path::new(&folder), &mut paths);
    let messages = messages(&paths);
    assert!(messages.len() > 100, "{} messages in {}", messages.len(), folder.display());
    let expected: i64 = messages.values().map(|(model, usage)| cost(model, usage)).sum();
    let store = SqlLedger::open(&Database::Memory, now_ms()).await.unwrap();
    let records = messages.values().zip(1..).map(|((model, usage), sequence)| record(sequence, model, usage));
    let batch = Batch { vm_id: "logs".to_owned(), records: records.collect(), ..Batch::default() };
    store.append(&[batch], &Accounting::default(), now_ms()).await.unwrap();
    let range = CacheRange { unit: Unit::Hour, from_ms: 0, until_ms: i64::MAX };
    let mut bill = CacheSums::default();
    for reason in store.cache_by_reason(range, Dimension::All, Some("")).await.unwrap() {
        bill += reason.sums;
    }
    let found = bill.total_nanousd();
    eprintln!(
        "{} messages: ${:.6}, expected ${:.6}",
        messages.len(),
        found as f64 / 1e9,
        expected as f64 / 1e9
    );
    assert_eq!(bill.requests, i64::try_from(messages.len()).unwrap());
    assert!((found - expected).abs() < CENT / 2, "{found} and {expected}");
    assert!(expected > CENT);
}
