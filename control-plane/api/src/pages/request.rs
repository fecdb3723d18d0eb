//! One request, as `/stats`, `/transformations/feed` and the dashboard's feed show it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::recent::Reach;

/// One request, without any of its text.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Request {
    /// Its id.
    pub request_id: String,
    /// When it began.
    pub timestamp: String,
    /// The provider.
    pub provider: String,
    /// The wire format.
    pub api: String,
    /// The model that was asked for.
    pub model: String,
    /// The client.
    pub stack: String,
    /// The project.
    pub project: String,
    /// The tenant.
    pub tenant: String,
    /// Its outcome.
    pub outcome: String,
    /// HTTP status of the answer.
    pub status: u32,
    /// As the client sent it.
    pub input_tokens_original: i64,
    /// As it was forwarded.
    pub input_tokens_optimized: i64,
    /// What the model answered.
    pub output_tokens: i64,
    /// What was saved.
    pub tokens_saved: i64,
    /// Its share.
    pub savings_percent: f64,
    /// At list prices; none with a subscription.
    pub savings_usd: Option<f64>,
    /// At the price that it would have had.
    pub savings_cache_adjusted_usd: Option<f64>,
    /// Of outputs that are new in this request.
    pub unique_tokens_saved: i64,
    /// What minification would have left.
    pub json_minification_alone: JsonBaseline,
    /// What it cost.
    pub cost_usd: RequestCost,
    /// What the provider counted.
    pub usage: Option<RequestUsage>,
    /// Why the model stopped.
    pub stop_reason: String,
    /// What went wrong.
    pub error_class: String,
    /// The model that answered.
    pub answered_model: String,
    /// Its reasoning.
    pub reasoning: RequestReasoning,
    /// How long each stage took.
    pub stages_ms: BTreeMap<String, f64>,
    /// How long the filter held it.
    pub optimization_latency_ms: f64,
    /// How long all of it took.
    pub total_latency_ms: f64,
    /// The turn that it is a part of.
    pub turn_id: String,
    /// The conversation.
    pub conversation_id: String,
    /// The session, where the client names one.
    pub session_id: Option<String>,
    /// A hash of the credential.
    pub key: String,
    /// The team.
    pub team: String,
    /// Its tool outputs.
    pub blocks: Vec<Block>,
    /// Those that are not listed.
    pub blocks_left_out: u32,
    /// Whether it was made with a subscription.
    pub subscription: bool,
    /// What the cache of answers had for it; absent if there was no lookup.
    pub answer_lookup: Option<String>,
    /// Age of the repeated answer.
    pub answer_age_seconds: Option<u64>,
    /// What would have been forwarded, if it was only simulated.
    pub plan: Option<Plan>,
    /// Breakpoints of the provider's cache that Headroom has set.
    pub added_breakpoints: u32,
    /// Lines of the system prompt that Headroom has moved or stripped of blanks.
    pub aligned_lines: u32,
    /// What memory has put to the beginning of its conversation; absent where it was not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_context: Option<String>,
    /// How the old turns of its conversation were rewritten; absent where they may not be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// Why it read less from the provider's cache than it could have; absent where it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_reason: Option<String>,
    /// More of the reason: which line, which message, after how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_detail: Option<String>,
    /// Tokens that it could have read from the cache; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_readable_tokens: Option<i64>,
    /// What it cost more than if it had read them; absent where it has no price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_lost_usd: Option<f64>,
    /// The forms in it, in `/transformations/feed` alone, under upstream's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transforms_applied: Option<Vec<String>>,
    /// The text of the request and its answer.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub messages: Option<RequestMessages>,
}

/// How the old turns of a conversation were rewritten, up to a request.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct History {
    /// How often so far.
    pub epochs: u32,
    /// Boundaries at which it could have been.
    pub boundaries: u32,
    /// What was done at the last one: `none`, `read_lifecycle`, `compress_first`, `drop_by_score`.
    pub strategy: String,
    /// What would have been done there, but does not pay; else `none`.
    pub unpaid: String,
    /// Whether this request is the first that is rewritten so.
    pub now: bool,
    /// Reads of files that were edited later.
    pub stale: u32,
    /// Reads of files that were read again.
    pub superseded: u32,
    /// Outputs that were shortened.
    pub shortened: u32,
    /// Outputs that were dropped.
    pub dropped: u32,
    /// Tokens that all of it saves in the request.
    pub tokens_saved: u64,
}

/// Tool outputs as JSON minification alone would leave them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct JsonBaseline {
    /// As the client sent them.
    pub tool_outputs_before: i64,
    /// As minification would leave them.
    pub tool_outputs_after: i64,
    /// Whether the filter has counted that.
    pub counted: bool,
}

/// What a request cost.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct RequestCost {
    /// Dollars for the input.
    pub input: Option<f64>,
    /// Dollars for the output.
    pub output: Option<f64>,
    /// Whether the model's price is known.
    pub priced: bool,
}

/// What the provider counted.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct RequestUsage {
    /// Outside of its cache.
    pub input_tokens: u64,
    /// Read from its cache.
    pub cache_read_tokens: u64,
    /// Written to its cache.
    pub cache_write_tokens: u64,
    /// Of these, for five minutes.
    pub cache_write_5m_tokens: u64,
    /// For an hour.
    pub cache_write_1h_tokens: u64,
    /// The answer.
    pub output_tokens: u64,
    /// The part of the answer that is reasoning.
    pub reasoning_tokens: u64,
}

/// The reasoning that a request sent back.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct RequestReasoning {
    /// Blocks that the provider did not use.
    pub prefix_mismatches: u32,
    /// How that was seen.
    pub seen_by: Option<String>,
    /// Who had changed something.
    pub changed_by: Option<String>,
    /// Whether it was sent again.
    pub recovered: bool,
    /// The version of the forms.
    pub forms_version: u32,
    /// Rounds that the client has not seen.
    pub hidden_rounds: u32,
    /// Rounds that were restored.
    pub restored_rounds: u32,
}

/// What a simulated request would have become.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Plan {
    /// As the client sent it.
    pub tokens_before: u64,
    /// As it would have been forwarded.
    pub tokens_after: u64,
    /// The difference.
    pub tokens_saved: u64,
}

/// One tool output.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Block {
    /// The tool that printed it.
    pub tool: String,
    /// What it contains.
    pub kind: String,
    /// Its form, or why it has none.
    pub outcome: String,
    /// Whether the form leaves something out.
    pub lossy: bool,
    /// What it leaves out, where a request was simulated.
    pub left_out: Option<String>,
    /// As the client sent it.
    pub tokens_before: u32,
    /// As it was forwarded.
    pub tokens_after: u32,
    /// Whether the filter had seen it before.
    pub from_memo: bool,
    /// How hard its form presses.
    pub pressure: u32,
}

/// What a request and its answer say, under upstream's names.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct RequestMessages {
    /// The newest messages.
    pub request_messages: Option<Vec<Value>>,
    /// How many there are before these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_messages_left_out: Option<u32>,
    /// The answer.
    pub response_content: Option<String>,
    /// Whether it is longer than that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_content_cut: Option<bool>,
    /// What its tool outputs say, the newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logged_blocks: Vec<LoggedBlock>,
}

/// What one tool output says.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct LoggedBlock {
    /// Its place in the request's `blocks`.
    pub index: u32,
    /// As the client sent it, or the beginning of that.
    pub before: String,
    /// Whether it is longer than that.
    pub before_cut: bool,
    /// What was forwarded in its place, or the beginning of that; empty where nothing was put there.
    pub after: String,
    /// Whether it is longer than that.
    pub after_cut: bool,
}

/// The answer of `/transformations/feed`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Feed {
    /// The newest requests, newest first.
    pub transformations: Vec<Request>,
    /// Whether they include their text and that of their answers.
    pub log_full_messages: bool,
    /// If there are more: the value of `before` for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
    /// How far back the page looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
}
