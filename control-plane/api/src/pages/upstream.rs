//! What pages have because those of upstream, the Python product, have it: its readers find their figures here.

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
    /// How many were left alone, by reason.
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

/// What was saved since work was last taken up.
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
    /// When something came last.
    pub last_activity_at: Option<String>,
}

/// When a session ends.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct DisplaySessionPolicy {
    /// Minutes in which nothing comes.
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
    /// Since work was last taken up.
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
    /// Tokens of what stands in their places.
    pub compressed_tokens_cached: i64,
    /// How often they were read.
    pub ccr_retrievals: i64,
}

/// In which formats the history can be had.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Exports {
    /// The one that is given when none is asked for.
    pub default_format: String,
    /// All.
    pub available_formats: Vec<String>,
    /// Of what.
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
    /// Never known here.
    pub window_tokens: Option<i64>,
    /// What passed here.
    pub contribution: Contribution,
    /// Nobody is polled here, so there are none.
    pub discrepancies: Vec<String>,
    /// As well.
    pub poll_count: i64,
    /// As well.
    pub poll_errors: i64,
    /// As well.
    pub last_error: Option<String>,
    /// When an answer told of it.
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
    /// Never known here.
    pub extra_usage: ExtraUsage,
    /// When an answer told of them.
    pub polled_at: String,
    /// Never shown here.
    pub token_prefix: String,
}

/// How much of a window is used. Upstream knows its tokens, which no header tells.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct SubscriptionWindowUse {
    /// Not known.
    pub used: i64,
    /// Not known.
    pub limit: i64,
    /// The share that is used.
    pub utilization_pct: f64,
    /// When it begins anew.
    pub resets_at: Option<String>,
    /// How long that is from now.
    pub seconds_to_reset: Option<f64>,
}

/// Credits beyond the allowance, which no header tells of.
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

/// What passed here since the shortest window began.
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
    /// When an answer told of it, in seconds since 1970.
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
    /// When it begins anew, in seconds since 1970.
    pub resets_at: Option<i64>,
    /// How long that is from now.
    pub seconds_until_reset: Option<i64>,
}
