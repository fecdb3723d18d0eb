//! Savings under the names of upstream's savings file and of its pages.

use headroom_api::pages::{
    Compression, CompressionSummary, DisplaySession, DisplaySessionPolicy, Exports, Lifetime, Requests,
    Retention, Summary,
};
use headroom_api::v1::RequestRecord;

use crate::clock::{UnixMs, iso};
use crate::ledger::history::{MAX_AGE_DAYS, MAX_POINTS, MAX_RESPONSE_POINTS};
use crate::ledger::session::{self, ROLLOVER_MINUTES};
use crate::ledger::sums::{Sums, percent, usd};
use crate::originals::store::{OriginalSums, RetentionLimits};

/// The outcome of requests that were compressed.
const COMPRESSED: &str = "compressed";

/// Lifetime sums.
pub(crate) fn lifetime(sums: &Sums) -> Lifetime {
    Lifetime {
        requests: sums.requests,
        tokens_saved: sums.tokens_saved,
        compression_savings_usd: usd(sums.saved_nanousd),
        compression_savings_cache_adjusted_usd: usd(sums.saved_cached_nanousd),
        total_input_tokens: sums.tokens_after,
        total_input_cost_usd: usd(sums.input_nanousd),
    }
}

/// The display session.
pub(crate) fn display_session(session: &session::DisplaySession) -> DisplaySession {
    let time = |at: UnixMs| (at > 0).then(|| iso(at));
    let Lifetime {
        requests,
        tokens_saved,
        compression_savings_usd,
        compression_savings_cache_adjusted_usd,
        total_input_tokens,
        total_input_cost_usd,
    } = lifetime(&session.sums);
    DisplaySession {
        requests,
        tokens_saved,
        compression_savings_usd,
        compression_savings_cache_adjusted_usd,
        total_input_tokens,
        total_input_cost_usd,
        savings_percent: percent(session.sums.tokens_saved, session.sums.tokens_before),
        started_at: time(session.started_ms),
        last_activity_at: time(session.last_activity_ms),
    }
}

/// When a display session ends.
pub(crate) fn display_session_policy() -> DisplaySessionPolicy {
    DisplaySessionPolicy { rollover_inactivity_minutes: ROLLOVER_MINUTES }
}

/// The most important figures.
pub(crate) fn summary(total: &Sums, requests: &Requests, cost: headroom_api::pages::Cost) -> Summary {
    let primary = requests.by_model.iter().max_by_key(|(_, requests)| **requests);
    let left_alone = requests.by_outcome.iter().filter(|(name, _)| *name != COMPRESSED);
    Summary {
        api_requests: total.requests,
        primary_model: primary.map(|(model, _)| model.clone()),
        compression: CompressionSummary {
            requests_compressed: total.compressed,
            avg_compression_pct: percent(total.tokens_saved, total.tokens_before),
            total_tokens_removed: total.tokens_saved,
        },
        uncompressed_requests: left_alone.map(|(name, requests)| (name.clone(), *requests)).collect(),
        cost,
    }
}

/// The stored originals.
pub(crate) fn compression(sums: &OriginalSums, keep: RetentionLimits) -> Compression {
    Compression {
        ccr_entries: sums.entries,
        ccr_bytes: sums.bytes,
        ccr_max_bytes: keep.max_bytes,
        original_tokens_cached: sums.tokens_before,
        compressed_tokens_cached: sums.tokens_after,
        ccr_retrievals: sums.retrievals,
    }
}

/// The formats of the history.
pub(crate) fn exports() -> Exports {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Exports {
        default_format: "json".to_owned(),
        available_formats: names(&["json", "csv"]),
        available_series: names(&["history", "hourly", "daily", "weekly", "monthly"]),
    }
}

/// How much history is kept and shown.
pub(crate) fn retention() -> Retention {
    Retention {
        max_history_points: MAX_POINTS,
        max_history_age_days: MAX_AGE_DAYS,
        max_response_history_points: MAX_RESPONSE_POINTS,
    }
}

/// The forms in a request, each once, and other changes for the provider's cache.
pub(crate) fn transforms_applied(record: &RequestRecord) -> Vec<String> {
    let outcomes = record.blocks.iter().map(|block| block.outcome.clone());
    let mut applied: Vec<String> = outcomes.filter(|outcome| !outcome.starts_with("skipped:")).collect();
    let beside = [("breakpoints", record.added_breakpoints), ("aligner", record.aligned_lines)];
    applied.extend(beside.into_iter().filter(|(_, count)| *count > 0).map(|(name, _)| name.to_owned()));
    applied.sort_unstable();
    applied.dedup();
    applied
}
