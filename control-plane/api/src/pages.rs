//! The JSON pages of headroomd: written there, read by headroomctl.
//!
//! A page of another version may lack fields that this version has. Its sections are therefore optional, and a
//! missing figure in a section is 0. Unknown fields are ignored.

mod budgets;
mod cache;
mod cost;
mod health;
mod history;
mod purge;
mod recent;
mod request;
mod stats;
mod telemetry;
mod toin;
mod upstream;

pub use self::budgets::{BudgetUse, BudgetsPage};
pub use self::cache::{
    Cache, CacheBill, CacheCause, CacheGroup, CacheHour, CacheLoss, CacheSummary, CacheTotals, CacheWhatIf,
    VolatileLine,
};
pub use self::cost::{Cost, CostBreakdown};
pub use self::health::{Check, Config, Health, MemoryCheck, PreUpstream, Runtime};
pub use self::history::{
    Breakdown, BreakdownSums, HistoryPoint, HistoryScope, HistorySummary, SeriesPoint, StatsHistory,
};
pub use self::purge::{PurgeRequest, Purged};
pub use self::recent::{Conversation, Conversations, Missed, Reach, Recent, RecentGroup, RecentSums};
pub use self::request::{
    Block, Feed, History, JsonBaseline, LoggedBlock, Plan, Request, RequestCost, RequestMessages,
    RequestReasoning, RequestUsage,
};
pub use self::stats::{
    Allowance, AllowanceWindow, AnswerSums, Audit, BlockSums, Blocks, CacheSums, Minute, Overhead,
    PerRequest, PrefixCache, Probe, Reasoning, ReasoningSums, Reports, Requests, Savings, SavingsLayer,
    SavingsLayers, SideBySide, StageTiming, Stats, Subscriptions, Timing, Tokens, ToolOutputs, Unique,
};
pub use self::telemetry::{Beacon, Telemetry};
pub use self::toin::{LONGEST_TOOL, ToinPage, ToinPattern};
pub use self::upstream::{
    CodexRateLimits, CodexWindow, Compression, CompressionSummary, Contribution, DisplaySession,
    DisplaySessionPolicy, Exports, ExtraUsage, LatestWindows, Lifetime, PersistentSavings, Retention,
    SubscriptionWindow, SubscriptionWindowUse, Summary, TokensSaved,
};
