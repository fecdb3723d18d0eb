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
    /// What was used, the largest share first.
    pub budgets: Vec<BudgetUse>,
    /// Those that are not listed.
    pub left_out: usize,
}

/// A budget of somebody, in the window that is now.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct BudgetUse {
    /// `all`, `key` or `team`.
    pub per: String,
    /// The team, or the key by its hash; empty for everybody.
    pub owner: String,
    /// `hour`, `day` or `month`.
    pub window: String,
    /// When it begins anew.
    pub until: String,
    /// Tokens used.
    pub tokens: i64,
    /// As many as may be.
    pub tokens_limit: Option<i64>,
    /// Dollars used.
    pub usd: f64,
    /// As many as may be.
    pub usd_limit: Option<f64>,
    /// The larger share of the two.
    pub used_percent: f64,
    /// Whether requests are refused for it.
    pub used_up: bool,
}
