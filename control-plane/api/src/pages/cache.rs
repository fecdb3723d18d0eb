//! `/stats-cache`: what the providers' prompt caches read, what they could have read, and the causes of the losses.

use serde::{Deserialize, Serialize};

/// The answer of `/stats-cache`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Cache {
    /// When it was made.
    pub generated_at: String,
    /// The first moment that counts.
    pub since: String,
    /// The first moment after the range.
    pub until: String,
    /// The part of the traffic that the figures cover; all of it if absent.
    pub scope: Option<super::HistoryScope>,
    /// Sums over the range.
    pub totals: CacheTotals,
    /// The bill over the range.
    pub bill: CacheBill,
    /// What was lost, by reason, the most expensive first. Reasons to which nothing was lost are left out.
    pub losses: Vec<CacheLoss>,
    /// The worst causes by money, at most three.
    pub causes: Vec<CacheCause>,
    /// What other ways to use the cache would have saved, simulated from the same requests.
    pub what_if: Vec<CacheWhatIf>,
    /// By hour, oldest first.
    pub hours: Vec<CacheHour>,
    /// By model, project, stack and tenant, the most expensive first.
    pub groups: Vec<CacheGroup>,
    /// Lines of system prompts that changed between requests, the most expensive first.
    pub volatile_lines: Vec<VolatileLine>,
}

/// The last seven days, in `/stats`; the range that was asked for, in `/stats-history`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct CacheSummary {
    /// The first moment that counts.
    pub since: String,
    /// The first moment after the range.
    pub until: String,
    /// Sums over the range.
    pub totals: CacheTotals,
    /// The bill over the range.
    pub bill: CacheBill,
    /// As in [`Cache`].
    pub losses: Vec<CacheLoss>,
}

/// Tokens and requests.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct CacheTotals {
    /// Requests whose answer reported usage.
    pub requests: i64,
    /// Those that read less than they could have.
    pub missed_requests: i64,
    /// Tokens that could have been read from the cache.
    pub readable_tokens: i64,
    /// Tokens that were.
    pub read_tokens: i64,
    /// Tokens that were written to it.
    pub written_tokens: i64,
    /// The part of `written_tokens` that an earlier request had written before.
    pub rewritten_tokens: i64,
    /// Input tokens outside the cache.
    pub uncached_tokens: i64,
    /// Output tokens.
    pub output_tokens: i64,
}

/// Dollars. Requests without a price, and those of a subscription, are not included.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct CacheBill {
    /// For tokens read from the cache.
    pub read_usd: f64,
    /// For tokens written to it.
    pub write_usd: f64,
    /// For other input.
    pub input_usd: f64,
    /// For output.
    pub output_usd: f64,
    /// The four together.
    pub total_usd: f64,
    /// What the requests would have cost without Headroom.
    pub without_headroom_usd: f64,
    /// What they would have cost if everything that could have been read had been read.
    pub perfect_cache_usd: f64,
    /// What Headroom saved, less what its own tool cost.
    pub saved_usd: f64,
    /// Requests whose model has no known price.
    pub unpriced_requests: i64,
    /// Requests that a subscription pays for.
    pub subscription_requests: i64,
}

/// What was lost to one reason.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct CacheLoss {
    /// The reason's name, as `names::MISS_REASONS` has it.
    pub reason: String,
    /// Requests with that reason.
    pub requests: i64,
    /// Tokens that were not read.
    pub tokens: i64,
    /// What they cost more than if they had been read; absent where no request has a price.
    pub lost_usd: Option<f64>,
}

/// One cause, in words.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct CacheCause {
    /// As in [`CacheLoss`].
    pub reason: String,
    /// Model, stack or project, as the sentence names it.
    pub stack: String,
    /// What happened, in a sentence with its figures.
    pub what: String,
    /// What to do about it, in a sentence.
    pub advice: String,
    /// Requests that it affected.
    pub requests: i64,
    /// What it cost; absent where no request has a price.
    pub lost_usd: Option<f64>,
}

/// Another way to use the cache.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct CacheWhatIf {
    /// `one_hour_lifetime`, `breakpoints`, `keep_alive`.
    pub name: String,
    /// What it is and how the figure was reached, in a sentence or two.
    pub about: String,
    /// What would have been saved. Below zero where it would have cost more.
    pub saved_usd: f64,
    /// Requests that would have read more.
    pub requests: i64,
}

/// One hour.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct CacheHour {
    /// When it began.
    pub start: String,
    /// Tokens and requests.
    pub totals: CacheTotals,
    /// What the hour's requests cost.
    pub total_usd: f64,
    /// The cost of tokens that could have been read and were not.
    pub lost_usd: f64,
}

/// Requests with the same value of one attribute.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct CacheGroup {
    /// `model`, `project`, `stack` or `tenant`.
    pub by: String,
    /// Its value.
    pub value: String,
    /// Tokens and requests.
    pub totals: CacheTotals,
    /// What they cost; absent where no request has a price.
    pub total_usd: Option<f64>,
    /// The cost of tokens that could have been read and were not.
    pub lost_usd: Option<f64>,
    /// The reason that lost most; empty where nothing was lost.
    pub worst_reason: String,
}

/// A line of a system prompt that differs between requests. headroomd does not know its text.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct VolatileLine {
    /// The stack that sends the prompt.
    pub stack: String,
    /// 16 hexadecimal digits: the digest of the prompt's first line that is not blank, to distinguish prompts.
    pub prompt: String,
    /// The line, from 1.
    pub line: u32,
    /// What changes in it: `date`, `time`, `uuid`, `number`, `listing`.
    pub classes: Vec<String>,
    /// Requests in which it had changed.
    pub requests: i64,
    /// The cost of that; absent where no request has a price.
    pub lost_usd: Option<f64>,
}
