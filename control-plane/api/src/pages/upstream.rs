//! Fields that exist because upstream's pages have them, so that their readers find them here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cost::Cost;

/// The most important figures.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Summary {
    /// Requests.
    pub api_requests: i64,
    /// The model of most of them.
    pub primary_model: Option<String>,
    /// What was saved.
    pub compression: CompressionSummary,
    /// How many were not compressed, by reason.
    pub uncompressed_requests: BTreeMap<String, i64>,
    /// Dollars.
    pub cost: Cost,
}

/// What was saved.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct CompressionSummary {
    /// Requests of which something was replaced.
    pub requests_compressed: i64,
    /// What was saved of all input.
    pub avg_compression_pct: f64,
    /// Tokens that were not sent.
    pub total_tokens_removed: i64,
}

/// Sums under the names of upstream's savings file.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Lifetime {
    /// Requests.
    pub requests: i64,
    /// Tokens that were not sent.
    pub tokens_saved: i64,
    /// At list prices.
    pub compression_savings_usd: f64,
    /// At the price that they would have had.
    pub compression_savings_cache_adjusted_usd: f64,
    /// Tokens as they were forwarded.
    pub total_input_tokens: i64,
    /// What these cost.
    pub total_input_cost_usd: f64,
}

/// The current display session: what was saved since the last long pause.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct DisplaySession {
    /// Requests.
    pub requests: i64,
    /// Tokens that were not sent.
    pub tokens_saved: i64,
    /// At list prices.
    pub compression_savings_usd: f64,
    /// At the price that they would have had.
    pub compression_savings_cache_adjusted_usd: f64,
    /// Tokens as they were forwarded.
    pub total_input_tokens: i64,
    /// What these cost.
    pub total_input_cost_usd: f64,
    /// What was saved of all input.
    pub savings_percent: f64,
    /// When it began.
    pub started_at: Option<String>,
    /// When the last request arrived.
    pub last_activity_at: Option<String>,
}

/// When a session ends.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct DisplaySessionPolicy {
    /// Minutes without a request.
    pub rollover_inactivity_minutes: i64,
}

/// What is stored.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct PersistentSavings {
    /// Where, without credentials.
    pub storage_path: String,
    /// Everything that was counted or imported.
    pub lifetime: Lifetime,
    /// The current display session.
    pub display_session: DisplaySession,
    /// When that ends.
    pub display_session_policy: DisplaySessionPolicy,
}

/// Originals that are kept (compress, cache, retrieve).
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Compression {
    /// How many.
    pub ccr_entries: i64,
    /// Bytes that they take.
    pub ccr_bytes: i64,
    /// Bytes that they may take.
    pub ccr_max_bytes: i64,
    /// Tokens of their texts.
    pub original_tokens_cached: i64,
    /// Tokens of their replacements.
    pub compressed_tokens_cached: i64,
    /// How often they were read.
    pub ccr_retrievals: i64,
}

/// The formats of the history.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Exports {
    /// The default.
    pub default_format: String,
    /// All.
    pub available_formats: Vec<String>,
    /// The series.
    pub available_series: Vec<String>,
}

/// How much history is kept and shown.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Retention {
    /// Points kept.
    pub max_history_points: usize,
    /// Their age at most.
    pub max_history_age_days: i64,
    /// Points of a compact answer.
    pub max_response_history_points: usize,
}

/// A Claude subscription.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct SubscriptionWindow {
    /// Its windows.
    pub latest: Option<LatestWindows>,
    /// Always unknown.
    pub window_tokens: Option<i64>,
    /// What passed through Headroom.
    pub contribution: Contribution,
    /// Always empty: Headroom does not poll.
    pub discrepancies: Vec<String>,
    /// Always 0, for the same reason.
    pub poll_count: i64,
    /// Always 0, for the same reason.
    pub poll_errors: i64,
    /// Always empty, for the same reason.
    pub last_error: Option<String>,
    /// When an answer last reported it.
    pub last_active_at: String,
}

/// The windows of a Claude subscription.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct LatestWindows {
    /// Of five hours.
    pub five_hour: SubscriptionWindowUse,
    /// Of a week.
    pub seven_day: SubscriptionWindowUse,
    /// Of a week, for Opus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seven_day_opus: Option<SubscriptionWindowUse>,
    /// Of a week, for Sonnet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seven_day_sonnet: Option<SubscriptionWindowUse>,
    /// Always unknown.
    pub extra_usage: ExtraUsage,
    /// When an answer last reported them.
    pub polled_at: String,
    /// Never shown.
    pub token_prefix: String,
}

/// How much of a window is used. Upstream knows its tokens; no response header contains them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct SubscriptionWindowUse {
    /// Not known.
    pub used: i64,
    /// Not known.
    pub limit: i64,
    /// The share that is used.
    pub utilization_pct: f64,
    /// When it resets.
    pub resets_at: Option<String>,
    /// How long that is from now.
    pub seconds_to_reset: Option<f64>,
}

/// Credits beyond the allowance, which no response header reports.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ExtraUsage {
    /// Not known.
    pub is_enabled: bool,
    /// Not known.
    pub monthly_limit_usd: Option<f64>,
    /// Not known.
    pub used_credits_usd: Option<f64>,
    /// Not known.
    pub utilization_pct: Option<f64>,
}

/// What passed through Headroom since the shortest window began.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Contribution {
    /// As they were forwarded.
    pub tokens_submitted: i64,
    /// Who saved what.
    pub tokens_saved: TokensSaved,
    /// As clients sent them.
    pub raw_without_headroom: i64,
    /// The share that was saved or read from the cache.
    pub efficiency_pct: f64,
}

/// Who saved what.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct TokensSaved {
    /// Headroom.
    pub compression: i64,
    /// The same.
    pub proxy_compression: i64,
    /// Not done here.
    pub cli_filtering: i64,
    /// Not done here.
    pub rtk: i64,
    /// Not done here.
    pub cli_filtering_raw: i64,
    /// Not done here.
    pub rtk_raw: i64,
    /// The provider's cache.
    pub cache_reads: i64,
    /// All together.
    pub total: i64,
}

/// A ChatGPT subscription.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct CodexRateLimits {
    /// Always `codex`.
    pub limit_id: String,
    /// Not known.
    pub limit_name: Option<String>,
    /// The shorter window.
    pub primary: Option<CodexWindow>,
    /// The longer one.
    pub secondary: Option<CodexWindow>,
    /// Not known.
    pub credits: Option<f64>,
    /// Not known.
    pub promo_message: Option<String>,
    /// When an answer last reported it, in seconds since 1970.
    pub captured_at: f64,
}

/// A window of a ChatGPT subscription.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct CodexWindow {
    /// How much of it is used.
    pub used_percent: f64,
    /// Its length.
    pub window_minutes: Option<u32>,
    /// The same for people.
    pub window_label: String,
    /// When it resets, in seconds since 1970.
    pub resets_at: Option<i64>,
    /// How long that is from now.
    pub seconds_until_reset: Option<i64>,
}
