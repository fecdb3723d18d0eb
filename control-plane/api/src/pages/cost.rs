//! What requests cost, and what was saved of that.

use serde::{Deserialize, Serialize};

/// Dollars.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Cost {
    /// What everything would have cost without Headroom.
    pub without_headroom_usd: f64,
    /// What it cost.
    pub with_headroom_usd: f64,
    /// What forms, the provider's cache and repeated answers saved.
    pub total_saved_usd: f64,
    /// Headroom's share of the first.
    pub savings_pct: f64,
    /// Who saved what.
    pub breakdown: CostBreakdown,
    /// Requests whose model has no known price.
    pub unpriced_requests: i64,
    /// Requests that a subscription pays for.
    pub subscription_requests: i64,
}

/// Dollars saved.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct CostBreakdown {
    /// By the provider's cache.
    pub cache_savings_usd: f64,
    /// By Headroom, at the price that tokens would have had.
    pub compression_savings_usd: f64,
    /// By Headroom, at list prices.
    pub compression_savings_list_usd: f64,
    /// By answers that were given again.
    pub answers_savings_usd: f64,
}
