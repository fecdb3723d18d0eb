//! `/stats-budgets`: what was used of each budget.

use serde::{Deserialize, Serialize};

/// The answer of `/stats-budgets`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct BudgetsPage {
    /// When it was made.
    pub generated_at: String,
    /// Whether there are any.
    pub configured: bool,
    /// The use of each budget, the largest share first.
    pub budgets: Vec<BudgetUse>,
    /// How many budgets are not listed.
    pub left_out: usize,
}

/// One budget of a team, a key or everyone, in its current window.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct BudgetUse {
    /// `all`, `key` or `team`.
    pub per: String,
    /// The team, or the key by its hash; empty for everyone.
    pub owner: String,
    /// `hour`, `day` or `month`.
    pub window: String,
    /// When it resets.
    pub until: String,
    /// Tokens used.
    pub tokens: i64,
    /// The limit.
    pub tokens_limit: Option<i64>,
    /// Dollars used.
    pub usd: f64,
    /// The limit.
    pub usd_limit: Option<f64>,
    /// The larger share of the two.
    pub used_percent: f64,
    /// Whether requests are refused because of it.
    pub used_up: bool,
}
