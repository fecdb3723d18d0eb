//! `/stats-history`: what was saved over time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::upstream::{DisplaySession, DisplaySessionPolicy, Exports, Lifetime, Retention};

/// The answer of `/stats-history` as JSON.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct StatsHistory {
    /// The schema of upstream's answer that this one follows.
    pub schema_version: u32,
    /// When it was made.
    pub generated_at: String,
    /// Where the history is kept, without credentials.
    pub storage_path: String,
    /// Everything that was counted or imported.
    pub lifetime: Lifetime,
    /// Since the current display session began.
    pub display_session: DisplaySession,
    /// When that ends.
    pub display_session_policy: DisplaySessionPolicy,
    /// The part of the traffic that the series cover; all of it if absent.
    pub scope: Option<HistoryScope>,
    /// The totals at points in time.
    pub history: Vec<HistoryPoint>,
    /// What was added, by hour, day, week and month.
    pub series: BTreeMap<String, Vec<SeriesPoint>>,
    /// Its formats.
    pub exports: Exports,
    /// How much is kept and shown.
    pub retention: Retention,
    /// How much of the history is shown.
    pub history_summary: HistorySummary,
    /// The range's sums per value, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breakdown: Option<Breakdown>,
    /// The bill over the range, and what was lost because the provider's cache was not read. Not for a single provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_cache: Option<super::CacheSummary>,
}

/// A part of everything.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct HistoryScope {
    /// The attribute that selects it.
    pub by: String,
    /// Which part it is.
    pub value: String,
}

/// The totals at a point in time, under the names of upstream's savings file.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct HistoryPoint {
    /// When.
    pub timestamp: String,
    /// Tokens that were not sent.
    pub total_tokens_saved: i64,
    /// At list prices.
    pub compression_savings_usd: f64,
    /// At the price that they would have had.
    pub compression_savings_cache_adjusted_usd: f64,
    /// Tokens as they were forwarded.
    pub total_input_tokens: i64,
    /// What these cost.
    pub total_input_cost_usd: f64,
}

/// One bucket of a series: what was added in it, and the totals at its end.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct SeriesPoint {
    /// When it begins.
    pub timestamp: String,
    /// Requests that began in it.
    pub requests: i64,
    /// Tokens that were not sent.
    pub tokens_saved: i64,
    /// Tokens as clients sent them.
    pub tokens_before: i64,
    /// What was saved, at list prices.
    pub compression_savings_usd_delta: f64,
    /// At the price that it would have had.
    pub compression_savings_cache_adjusted_usd_delta: f64,
    /// Each output counted once, in its first request.
    pub unique_tokens_saved: i64,
    /// The same in dollars.
    pub unique_savings_cache_adjusted_usd_delta: f64,
    /// Total at its end.
    pub total_tokens_saved: i64,
    /// Total at its end.
    pub compression_savings_usd: f64,
    /// Tokens as they were forwarded.
    pub total_input_tokens_delta: i64,
    /// Total at its end.
    pub total_input_tokens: i64,
    /// What these cost.
    pub total_input_cost_usd_delta: f64,
    /// Total at its end.
    pub total_input_cost_usd: f64,
}

/// How much of the history is shown.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct HistorySummary {
    /// `compact`, `full` or `none`.
    pub mode: String,
    /// Points in the range.
    pub stored_points: usize,
    /// Points shown.
    pub returned_points: usize,
    /// Whether some were left out.
    pub compacted: bool,
}

/// A range's sums, broken down.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Breakdown {
    /// The attribute.
    pub by: String,
    /// Per value.
    pub values: BTreeMap<String, BreakdownSums>,
}

/// Sums of one value.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct BreakdownSums {
    /// Requests.
    pub requests: i64,
    /// Tokens as clients sent them.
    pub tokens_before: i64,
    /// Tokens as they were forwarded.
    pub tokens_after: i64,
    /// Tokens that were not sent.
    pub tokens_saved: i64,
    /// Their share.
    pub savings_percent: f64,
    /// At list prices.
    pub compression_savings_usd: f64,
    /// At the price that they would have had.
    pub compression_savings_cache_adjusted_usd: f64,
    /// Requests whose model has no known price.
    pub unpriced_requests: i64,
    /// Requests that a subscription pays for.
    pub subscription_requests: i64,
}
