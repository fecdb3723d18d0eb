//! `/stats-conversations` and `/stats-recent`: pages about the newest requests, which the store keeps
//! individually.

use serde::{Deserialize, Serialize};

/// How far back a page looks.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Reach {
    /// Requests that the page covers.
    pub requests: i64,
    /// The maximum number that is kept.
    pub most: i64,
    /// When the oldest of them began; empty if there is none.
    pub oldest: String,
}

/// Sums over some of these requests.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct RecentSums {
    /// How many.
    pub requests: i64,
    /// Those answered with a status of 400 or more, or aborted.
    pub failed: i64,
    /// As clients sent them.
    pub tokens_before: i64,
    /// As they were forwarded.
    pub tokens_after: i64,
    /// What was not sent, less what Headroom's own tool takes.
    pub tokens_saved: i64,
    /// What models answered.
    pub output_tokens: i64,
    /// Read from the provider's cache.
    pub cache_read_tokens: i64,
    /// Written to it.
    pub cache_write_tokens: i64,
    /// Outside of it.
    pub uncached_input_tokens: i64,
    /// What they cost; absent where none of them has a price.
    pub cost_usd: Option<f64>,
    /// What was saved, at the price that it would have had; absent where none of them has a price.
    pub saved_usd: Option<f64>,
    /// Requests whose model has no known price.
    pub unpriced_requests: i64,
    /// Requests that a subscription pays for.
    pub subscription_requests: i64,
}

/// The answer of `/stats-conversations`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Conversations {
    /// When it was made.
    pub generated_at: String,
    /// How far back it looks.
    pub reach: Reach,
    /// Conversations that match.
    pub total: usize,
    /// Requests without a known conversation.
    pub requests_of_none: i64,
    /// The matching conversations that are shown: the ones with the newest requests, newest first.
    pub conversations: Vec<Conversation>,
}

/// One conversation.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Conversation {
    /// Its id.
    pub conversation_id: String,
    /// When its first request began, among those that are still kept.
    pub started: String,
    /// When the last of them ended.
    pub last: String,
    /// The time between the two, in milliseconds.
    pub lifetime_ms: i64,
    /// The models that were asked, each once, the newest first.
    pub models: Vec<String>,
    /// Of the newest request that names one.
    pub stack: String,
    /// The same.
    pub project: String,
    /// The same.
    pub tenant: String,
    /// Turns of its user.
    pub turns: usize,
    /// Originals that the model asked for.
    pub retrievals: i64,
    /// HTTP status of the newest answer.
    pub status: u32,
    /// Its class of error.
    pub error_class: String,
    /// Sums over its requests.
    #[serde(flatten)]
    pub sums: RecentSums,
}

/// The answer of `/stats-recent`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Recent {
    /// When it was made.
    pub generated_at: String,
    /// How far back it looks.
    pub reach: Reach,
    /// Sums over the requests that match.
    pub totals: RecentSums,
    /// The same by the value of each attribute, the most requests first.
    pub groups: Vec<RecentGroup>,
    /// Tool outputs that were left as they were, the most tokens first.
    pub missed: Vec<Missed>,
}

/// Requests with the same value of one attribute.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct RecentGroup {
    /// `model`, `provider`, `project`, `stack`, `tenant`, `team`, `key`, `outcome`, `status` or `error`.
    pub by: String,
    /// Its value.
    pub value: String,
    /// Sums over them.
    #[serde(flatten)]
    pub sums: RecentSums,
}

/// Outputs of one tool that were left as they were for one reason, each counted in its first request.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Missed {
    /// The tool that printed them.
    pub tool: String,
    /// Why they were left alone.
    pub reason: String,
    /// How many.
    pub blocks: i64,
    /// Their tokens.
    pub tokens: i64,
}
