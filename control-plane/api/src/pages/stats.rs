//! `/stats`: counters, and the newest requests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cost::Cost;
use super::request::Request;
use super::upstream::{
    CodexRateLimits, Compression, DisplaySession, PersistentSavings, SubscriptionWindow, Summary,
};

/// The answer of `/stats`. Sums are those of the store's lifetime.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Stats {
    /// When it was made, ISO 8601.
    pub generated_at: String,
    /// The most important figures, under upstream's names.
    pub summary: Option<Summary>,
    /// What was saved.
    pub savings: Option<Savings>,
    /// How many requests there were.
    pub requests: Option<Requests>,
    /// What they sent.
    pub tokens: Option<Tokens>,
    /// The tool outputs in them.
    pub blocks: Option<Blocks>,
    /// From a request's headers to the end of its answer.
    pub latency: Option<Timing>,
    /// The time for which the filter held requests.
    pub overhead: Option<Overhead>,
    /// Until providers began to answer.
    pub ttfb: Option<Timing>,
    /// Each stage of a request's walk.
    pub pipeline_timing: BTreeMap<String, StageTiming>,
    /// Times, each with the tokens saved until then.
    pub savings_history: Vec<(String, i64)>,
    /// The last hour by the minute; a minute in which nothing began is left out.
    pub activity: Vec<Minute>,
    /// What was saved in the current display session.
    pub display_session: Option<DisplaySession>,
    /// The same and the lifetime, under upstream's names.
    pub persistent_savings: Option<PersistentSavings>,
    /// What providers read from their caches.
    pub prefix_cache: Option<PrefixCache>,
    /// What could have been read from these caches over the last seven days, and what was lost.
    pub prompt_cache: Option<super::CacheSummary>,
    /// What audited requests would have saved.
    pub audit: Option<Audit>,
    /// Whether providers could use the reasoning in conversations.
    pub reasoning: Option<Reasoning>,
    /// Answers that were repeated from the cache of answers.
    pub answers: Option<AnswerSums>,
    /// Dollars.
    pub cost: Option<Cost>,
    /// Requests that a subscription pays for.
    pub subscriptions: Option<Subscriptions>,
    /// The newest request of `headroomctl doctor`, which the figures leave out.
    pub probe: Option<Probe>,
    /// What filters and the ledger report about themselves.
    pub reports: Option<Reports>,
    /// The newest requests, newest first.
    pub recent_requests: Vec<Request>,
    /// Whether requests include their text and that of their answers.
    pub log_full_messages: bool,
    /// Originals, under upstream's names.
    pub compression: Option<Compression>,
    /// A Claude subscription, under upstream's names.
    pub subscription_window: Option<SubscriptionWindow>,
    /// A ChatGPT subscription, under upstream's names.
    pub codex_rate_limits: Option<CodexRateLimits>,
}

/// What was saved, counted in several ways.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Savings {
    /// Tokens that were not sent.
    pub total_tokens: i64,
    /// Who saved them.
    pub by_layer: SavingsLayers,
    /// The same savings, counted in different ways.
    pub side_by_side: Option<SideBySide>,
}

/// What saves.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct SavingsLayers {
    /// Forms with fewer tokens.
    pub compression: SavingsLayer,
    /// The provider's cache.
    pub prefix_cache: SavingsLayer,
    /// Repeated answers, without a request to a provider.
    pub answers: SavingsLayer,
}

/// What one layer saved.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct SavingsLayer {
    /// Tokens.
    pub tokens: i64,
    /// Dollars.
    pub usd: f64,
}

/// The same savings, counted in different ways.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct SideBySide {
    /// Summed over requests: a saving on an output counts in every request that contains it.
    pub per_request: PerRequest,
    /// Each output counted once per conversation: in its first request.
    pub unique: Unique,
    /// Requests without a count for JSON minification.
    pub requests_without_json_baseline: i64,
}

/// Savings in every request.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct PerRequest {
    /// Tokens.
    pub tokens_not_sent: i64,
    /// At the list price of input.
    pub list_usd: f64,
    /// At the price that they would have had.
    pub cache_adjusted_usd: f64,
    /// The tool outputs.
    pub tool_outputs: ToolOutputs,
}

/// Savings once per output.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Unique {
    /// Tokens.
    pub tokens_not_sent: i64,
    /// At the price that they would have had.
    pub cache_adjusted_usd: f64,
    /// The tool outputs.
    pub tool_outputs: ToolOutputs,
}

/// Tokens of tool outputs.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ToolOutputs {
    /// As the client sent them.
    pub before: i64,
    /// As they were forwarded.
    pub after: i64,
    /// As JSON minification alone would have left them.
    pub after_json_minification_alone: i64,
    /// What was saved of them.
    pub savings_percent: f64,
    /// What JSON minification alone would have saved.
    pub json_minification_alone_percent: f64,
}

/// How many requests there were.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Requests {
    /// All.
    pub total: i64,
    /// Those of which at least one block was replaced.
    pub compressed: i64,
    /// Those answered with a status of 400 or more, or aborted.
    pub failed: i64,
    /// Those that the provider answered with 429.
    pub rate_limited: i64,
    /// Per provider.
    pub by_provider: BTreeMap<String, i64>,
    /// Per model.
    pub by_model: BTreeMap<String, i64>,
    /// Per client.
    pub by_stack: BTreeMap<String, i64>,
    /// Per project.
    pub by_project: BTreeMap<String, i64>,
    /// Per wire format.
    pub by_api: BTreeMap<String, i64>,
    /// Per outcome.
    pub by_outcome: BTreeMap<String, i64>,
}

/// Tokens of all requests.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Tokens {
    /// As they were forwarded.
    pub input: i64,
    /// What models answered.
    pub output: i64,
    /// What was not sent.
    pub saved: i64,
    /// As clients sent them.
    pub total_before_compression: i64,
    /// What was saved of that.
    pub savings_percent: f64,
    /// The tool outputs.
    pub tool_outputs: Option<ToolOutputs>,
}

/// Tool outputs.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Blocks {
    /// Per outcome.
    pub by_outcome: BTreeMap<String, BlockSums>,
    /// Per tool.
    pub by_tool: BTreeMap<String, BlockSums>,
    /// Per kind of content.
    pub by_kind: BTreeMap<String, BlockSums>,
}

/// Sums over blocks.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct BlockSums {
    /// Blocks.
    pub blocks: i64,
    /// Those that the filter had seen before.
    pub from_memo: i64,
    /// As the client sent them.
    pub tokens_before: i64,
    /// As they were forwarded.
    pub tokens_after: i64,
    /// The difference.
    pub tokens_saved: i64,
}

/// Durations, in milliseconds.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Timing {
    /// Their mean.
    pub average_ms: f64,
    /// The shortest.
    pub min_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// How many were measured.
    pub total_requests: i64,
}

/// Durations with percentiles, in milliseconds.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Overhead {
    /// Their mean.
    pub average_ms: f64,
    /// The shortest.
    pub min_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// How many were measured.
    pub total_requests: i64,
    /// What half of the newest did not exceed.
    pub p50_ms: Option<f64>,
    /// What nine in ten did not exceed.
    pub p90_ms: Option<f64>,
    /// What 99 in a hundred did not exceed.
    pub p99_ms: Option<f64>,
    /// How many of the newest were looked at.
    pub percentiles_over: usize,
}

/// Durations of a stage, in milliseconds.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct StageTiming {
    /// Their mean.
    pub average_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// How many were measured.
    pub count: i64,
}

/// What began in one minute.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Minute {
    /// When it began.
    pub timestamp: String,
    /// Requests.
    pub requests: i64,
    /// Those answered with a status of 400 or more, or aborted.
    pub failed: i64,
    /// As clients sent them.
    pub tokens_before: i64,
    /// As they were forwarded.
    pub tokens_after: i64,
    /// What was saved.
    pub tokens_saved: i64,
}

/// What providers read from their caches.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct PrefixCache {
    /// Per provider.
    pub by_provider: BTreeMap<String, CacheSums>,
    /// All together.
    pub totals: CacheSums,
}

/// Sums over usage reports.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct CacheSums {
    /// Requests whose answers report usage.
    pub requests: i64,
    /// Those of which something was read from the cache.
    pub hit_requests: i64,
    /// Their share in percent.
    pub hit_rate: f64,
    /// Tokens read.
    pub cache_read_tokens: i64,
    /// Tokens written.
    pub cache_write_tokens: i64,
    /// Tokens outside of the cache.
    pub uncached_input_tokens: i64,
    /// What the cache saved.
    pub savings_usd: f64,
}

/// Requests that were only measured.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Audit {
    /// How many.
    pub requests: i64,
    /// What they sent.
    pub tokens: i64,
    /// What would not have been sent.
    pub would_have_saved: i64,
    /// Its share.
    pub would_have_saved_percent: f64,
}

/// Blocks of reasoning that providers ignored because something before them had changed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Reasoning {
    /// In the store's lifetime.
    pub totals: Option<ReasoningSums>,
    /// In the current display session.
    pub display_session: ReasoningSums,
    /// Per provider.
    pub by_provider: BTreeMap<String, ReasoningSums>,
}

/// Sums over requests with reasoning.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ReasoningSums {
    /// Blocks not used.
    pub prefix_mismatches: i64,
    /// Those where Headroom had changed something.
    pub by_headroom: i64,
    /// Those where the client had.
    pub by_client: i64,
    /// Those with an unknown cause.
    pub unseen: i64,
    /// Requests that were refused and sent again.
    pub recovered_requests: i64,
    /// Rounds of Headroom's own tools that clients have not seen.
    pub hidden_rounds: i64,
    /// Such rounds that were restored.
    pub restored_rounds: i64,
}

/// Answers repeated from the cache. Sums come from the store, sizes from the process that responds.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct AnswerSums {
    /// Requests that got a stored answer.
    pub found: i64,
    /// Those that got the answer to a similar question.
    pub similar: i64,
    /// Requests whose lookup found none.
    pub missed: i64,
    /// Answers that were stored.
    pub kept: i64,
    /// The share of lookups that found one, in percent.
    pub hit_rate: f64,
    /// Input tokens that were not sent, as the provider counted them the first time.
    pub input_tokens: i64,
    /// Output tokens that were not generated again.
    pub output_tokens: i64,
    /// What both had cost the first time.
    pub saved_usd: f64,
    /// Answers in the cache now.
    pub entries: usize,
    /// Bytes that the answers in the answer cache take.
    pub bytes: usize,
    /// Bytes that they may take.
    pub max_bytes: usize,
}

/// Requests with a subscription, counted in tokens alone.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Subscriptions {
    /// How many.
    pub requests: i64,
    /// What was saved in them.
    pub tokens_saved: i64,
    /// The allowances that answers reported, newest first.
    pub accounts: Vec<Allowance>,
}

/// How much of an allowance is used.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Allowance {
    /// The provider.
    pub provider: String,
    /// A hash of the account's id, or of the credential.
    pub account: String,
    /// When an answer last reported it.
    pub seen_at: String,
    /// Its windows.
    pub windows: Vec<AllowanceWindow>,
    /// Since the shortest window began.
    pub tokens_forwarded: i64,
    /// The same, saved.
    pub tokens_saved: i64,
    /// The same, read from the provider's cache.
    pub cache_read_tokens: i64,
}

/// One window of an allowance.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct AllowanceWindow {
    /// Its name.
    pub window: String,
    /// Its length, where it is known.
    pub minutes: Option<u32>,
    /// How much of it is used.
    pub used_percent: f64,
    /// When it resets.
    pub resets_at: Option<String>,
    /// Whether it has reset since: the figures are those of the previous window.
    pub has_begun_anew: bool,
    /// What the provider calls its state.
    pub status: Option<String>,
}

/// The newest request of `headroomctl doctor`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Probe {
    /// Its id.
    pub request_id: String,
    /// When its record came, in milliseconds since 1970.
    pub at_ms: i64,
    /// Its outcome.
    pub outcome: String,
    /// HTTP status of the answer.
    pub status: u32,
    /// As it was sent.
    pub tokens_before: u64,
    /// As it was forwarded.
    pub tokens_after: u64,
}

/// What filters and the ledger report about themselves.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Reports {
    /// VMs that have reported.
    pub vms: i64,
    /// The filter's version in the VM that reported last.
    pub filter_version: Option<String>,
    /// Records that queues of filters have dropped.
    pub dropped_records: i64,
    /// Values of its configuration that a filter cannot use.
    pub config_errors: i64,
    /// Copies of originals that queues of filters have dropped.
    pub dropped_originals: i64,
    /// Requests that have begun in running VMs and whose records have not arrived.
    pub open_records: i64,
    /// Records that VMs announced and did not deliver before they went silent.
    pub lost_records: i64,
    /// The longest time between two reports of a VM, in milliseconds.
    pub report_interval_ms: i64,
    /// Records received more than once, since this process started.
    pub duplicate_records: u64,
    /// Reports that found the queue full.
    pub turned_away: u64,
    /// Groups of reports that the store did not accept.
    pub failures: u64,
    /// Reports that wait.
    pub waiting: usize,
}
