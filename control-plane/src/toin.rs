//! What retrievals say about forms: of which outputs something was left out, and how often models asked for it.
//!
//! Nothing steers a form by itself: `headroomctl tune` turns the page into configuration that an operator deploys.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use headroom_api::pages::{ToinPage, ToinPattern};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::clock::{iso, now_ms};
use crate::ledger::asked_back::SEPARATOR;
use crate::ledger::labels::Dimension;
use crate::ledger::store::LedgerStore;
use crate::ledger::sums::BlockSums;
use crate::trouble::StoreError;

/// As often as upstream.
const EXPORTED: Duration = Duration::from_secs(600);
/// With fewer outputs than this, nothing is concluded.
pub(crate) const LEAST_SAMPLES: i64 = 10;

/// The page, from the sums of blocks.
pub(crate) fn page(blocks: &[(Dimension, String, BlockSums)], now: i64) -> ToinPage {
    let mut patterns: BTreeMap<(String, String, String), ToinPattern> = BTreeMap::new();
    let mut entry = |kind: &str, form: &str, tool: &str, add: &dyn Fn(&mut ToinPattern)| {
        let key = (tool.to_owned(), kind.to_owned(), form.to_owned());
        let new = || ToinPattern {
            tool: tool.to_owned(),
            kind: kind.to_owned(),
            form: form.to_owned(),
            ..ToinPattern::default()
        };
        add(patterns.entry(key).or_insert_with(new));
    };
    for (dimension, value, sums) in blocks {
        match dimension {
            Dimension::LeftOut => {
                let mut parts = value.splitn(3, SEPARATOR);
                let (Some(kind), Some(form), Some(tool)) = (parts.next(), parts.next(), parts.next()) else {
                    continue;
                };
                entry(kind, form, tool, &|pattern| {
                    pattern.outputs += sums.blocks;
                    pattern.tokens_before += sums.tokens_before;
                    pattern.tokens_after += sums.tokens_after;
                });
            }
            Dimension::AskedBack => {
                let parts: Vec<&str> = value.splitn(4, SEPARATOR).collect();
                let [kind, form, what, tool] = parts.as_slice() else { continue };
                entry(kind, form, tool, &|pattern| {
                    pattern.retrievals += sums.blocks;
                    *pattern.parts.entry((*what).to_owned()).or_default() += sums.blocks;
                });
            }
            _ => {}
        }
    }
    let mut patterns: Vec<ToinPattern> = patterns.into_values().collect();
    for pattern in &mut patterns {
        let whole = pattern.parts.get("whole").copied().unwrap_or_default();
        pattern.retrieval_rate = rate(pattern.retrievals, pattern.outputs);
        pattern.full_retrieval_rate = rate(whole, pattern.outputs);
        pattern.recommendation = recommendation(pattern).to_owned();
    }
    patterns.sort_by(|a, b| b.retrievals.cmp(&a.retrievals).then(b.outputs.cmp(&a.outputs)));
    let outputs = patterns.iter().map(|it| it.outputs).sum();
    let retrievals = patterns.iter().map(|it| it.retrievals).sum();
    ToinPage {
        generated_at: iso(now),
        enabled: true,
        total_patterns: patterns.len(),
        total_compressions: outputs,
        total_retrievals: retrievals,
        global_retrieval_rate: rate(retrievals, outputs),
        patterns_with_recommendations: patterns.iter().filter(|it| it.outputs >= LEAST_SAMPLES).count(),
        patterns,
    }
}

/// A share; `None` where it is of nothing.
fn rate(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64 * 10_000.0).round() / 10_000.0)
}

/// What an operator might do, by upstream's limits: beyond half of the outputs asked back nothing should be left out.
fn recommendation(pattern: &ToinPattern) -> &'static str {
    match pattern.retrieval_rate {
        _ if pattern.outputs < LEAST_SAMPLES => "too_few_samples",
        Some(rate) if rate > 0.5 => "lossless",
        Some(rate) if rate > 0.2 => "watch",
        _ => "keep",
    }
}

/// What `toin.json` has of upstream's: the figures that there are here, under its names.
pub(crate) fn export(page: &ToinPage) -> Value {
    let patterns = page.patterns.iter().map(|it| {
        let signature = headroom_compress::address(&format!("{}\0{}\0{}", it.tool, it.kind, it.form));
        let part = |name: &str| it.parts.get(name).copied().unwrap_or_default();
        let full = part("whole");
        let value = json!({
            "tool_signature_hash": signature,
            "tool_name": it.tool,
            "kind": it.kind,
            "optimal_strategy": it.form,
            "total_compressions": it.outputs,
            "total_retrievals": it.retrievals,
            "full_retrievals": full,
            "search_retrievals": it.retrievals - full,
            "retrieval_rate": it.retrieval_rate,
            "full_retrieval_rate": it.full_retrieval_rate,
            "avg_token_reduction": rate(it.tokens_before - it.tokens_after, it.tokens_before),
            "skip_compression_recommended": it.outputs >= LEAST_SAMPLES
                && it.full_retrieval_rate.is_some_and(|rate| rate > 0.8),
            "sample_size": it.outputs,
        });
        (signature, value)
    });
    let patterns: serde_json::Map<String, Value> = patterns.collect();
    json!({ "version": "1.0", "timestamp": page.generated_at, "patterns": patterns })
}

/// The page as it is now.
pub(crate) async fn now(store: &dyn LedgerStore) -> Result<ToinPage, StoreError> {
    Ok(page(&store.block_tallies().await?, now_ms()))
}

/// Writes the export to a file, from time to time and at the end.
pub(crate) async fn keep(path: PathBuf, store: Arc<dyn LedgerStore>, stop: CancellationToken) {
    loop {
        let stopped = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(EXPORTED) => false,
        };
        if let Err(error) = write(&path, &*store).await {
            tracing::warn!(message = "The export of retrievals cannot be written.", path = %path.display(), %error);
        }
        if stopped {
            return;
        }
    }
}

async fn write(path: &std::path::Path, store: &dyn LedgerStore) -> Result<(), String> {
    let page = now(store).await.map_err(|error| error.to_string())?;
    let text = serde_json::to_vec_pretty(&export(&page)).map_err(|error| error.to_string())?;
    let path = path.to_owned();
    let written = tokio::task::spawn_blocking(move || headroom_private::write(&path, &text)).await;
    written.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::asked_back::{asked_back, left_out};

    fn sums(blocks: i64) -> BlockSums {
        BlockSums { blocks, tokens_before: blocks * 100, tokens_after: blocks * 40, ..BlockSums::default() }
    }

    fn left(name: String, blocks: i64) -> (Dimension, String, BlockSums) {
        (Dimension::LeftOut, name, sums(blocks))
    }

    fn asked(name: String, blocks: i64) -> (Dimension, String, BlockSums) {
        (Dimension::AskedBack, name, BlockSums { blocks, ..BlockSums::default() })
    }

    #[test]
    fn outputs_and_what_was_asked_of_them_are_put_together() {
        let page = page(
            &[
                left(left_out("log", "log", "mcp/a/b"), 20),
                left(left_out("json", "json_crush", "Bash"), 12),
                left(left_out("text", "text", "few"), 2),
                asked(asked_back("log", "log", "whole", "mcp/a/b"), 10),
                asked(asked_back("log", "log", "query", "mcp/a/b"), 4),
                asked(asked_back("source", "dropped", "lines", "Read"), 1),
                asked("other".to_owned(), 3),
                (Dimension::Tool, "Bash".to_owned(), sums(9)),
            ],
            0,
        );
        assert_eq!((page.total_patterns, page.total_compressions, page.total_retrievals), (4, 34, 15));
        let first = &page.patterns[0];
        assert_eq!(
            (first.tool.as_str(), first.retrieval_rate, first.full_retrieval_rate),
            ("mcp/a/b", Some(0.7), Some(0.5))
        );
        assert_eq!(first.recommendation, "lossless");
        assert_eq!(first.parts, BTreeMap::from([("query".to_owned(), 4), ("whole".to_owned(), 10)]));
        let by_tool = |tool: &str| page.patterns.iter().find(|it| it.tool == tool).unwrap();
        assert_eq!(by_tool("Bash").recommendation, "keep");
        assert_eq!(by_tool("few").recommendation, "too_few_samples");
        assert_eq!(by_tool("Read").retrieval_rate, None);
        let export = export(&page);
        let pattern =
            export["patterns"].as_object().unwrap().values().find(|it| it["tool_name"] == "mcp/a/b").unwrap();
        assert_eq!((&pattern["full_retrievals"], &pattern["search_retrievals"]), (&10.into(), &4.into()));
        assert_eq!(pattern["avg_token_reduction"], 0.6);
        assert_eq!(pattern["skip_compression_recommended"], false);
    }
}
