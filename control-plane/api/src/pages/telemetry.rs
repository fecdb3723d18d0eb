//! `/telemetry`: whether the beacon is on, and everything that it would send.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::stats::StageTiming;

/// The answer of `/telemetry`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Telemetry {
    /// Whether it is on.
    pub enabled: bool,
    /// Where it reports to, without anything that may be a key.
    pub endpoint: Option<String>,
    /// Why it is off although it was switched on.
    pub problem: Option<String>,
    /// What it would send now.
    pub payload: Beacon,
}

/// What the beacon sends: sums over the store's lifetime, and no text of any request.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Beacon {
    /// Distinguishes processes.
    pub session_id: String,
    /// Of the store, not of the machine.
    pub instance_id: String,
    /// The version of headroomd.
    pub headroom_version: String,
    /// The operating system.
    pub os: String,
    /// What `HEADROOM_SDK` says.
    pub sdk: String,
    /// Who forwards requests.
    pub backend: String,
    /// How long the process has run.
    pub session_minutes: u64,
    /// How it was started.
    pub install_mode: String,
    /// The client of most requests.
    pub headroom_stack: String,
    /// Requests per client.
    pub requests_by_stack: BTreeMap<String, i64>,
    /// Tokens that were not sent.
    pub tokens_saved: i64,
    /// Requests.
    pub requests: i64,
    /// What was saved of all input.
    pub compression_percent: f64,
    /// Requests of which something was read from the provider's cache, in percent.
    pub cache_hit_rate: f64,
    /// What Headroom saved.
    pub cost_saved_usd: f64,
    /// What the provider's cache saved.
    pub cache_saved_usd: f64,
    /// Public models; any other is `custom`.
    pub models_used: Vec<String>,
    /// How long the filter held requests.
    pub overhead_avg_ms: f64,
    /// How long at most.
    pub overhead_max_ms: f64,
    /// Until providers began to answer.
    pub ttfb_avg_ms: f64,
    /// Each stage of a request's walk.
    pub pipeline_timing: BTreeMap<String, StageTiming>,
    /// Tokens of a request as it was sent.
    pub avg_tokens_before: i64,
    /// Tokens of a request as it was forwarded.
    pub avg_tokens_after: i64,
}
