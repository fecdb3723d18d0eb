//! One request for the pages, without any of its text.

use headroom_api::names::{
    answer_lookup_name, memory_context_name, miss_reason_name, outcome_name, prefix_change_name,
    prefix_mismatch_source_name, volatile_class_name,
};
use headroom_api::pages::{
    Block, History, JsonBaseline, Plan, Request, RequestCost, RequestReasoning, RequestUsage,
};
use headroom_api::v1::{BlockRecord, CacheVerdict, HistoryRecord, RequestOutcome, RequestRecord, Usage};

use crate::clock::iso;
use crate::ledger::contribution::{CountedRequest, stages};
use crate::ledger::sums::{percent, usd};

/// One request with its blocks.
pub(crate) fn request(landed: &CountedRequest) -> Request {
    let record = &landed.record;
    let sums = &landed.sums;
    let timings = record.timings.unwrap_or_default();
    let told = record.cache_verdict.as_ref();
    let is_priced = sums.unpriced == 0 && !record.subscription;
    let dollars = |nano: i64| (!record.subscription).then(|| usd(nano));
    Request {
        request_id: record.request_id.clone(),
        timestamp: iso(record.started_unix_ms),
        provider: record.provider.clone(),
        api: record.api.clone(),
        model: record.model.clone(),
        stack: record.stack.clone(),
        project: record.project.clone(),
        tenant: record.tenant.clone(),
        outcome: outcome_name(record.outcome()).to_owned(),
        status: record.status,
        input_tokens_original: sums.tokens_before,
        input_tokens_optimized: sums.tokens_after,
        output_tokens: sums.output_tokens,
        tokens_saved: sums.tokens_saved,
        savings_percent: percent(sums.tokens_saved, sums.tokens_before),
        savings_usd: dollars(sums.saved_nanousd),
        savings_cache_adjusted_usd: dollars(sums.saved_cached_nanousd),
        unique_tokens_saved: sums.unique_tokens_saved,
        json_minification_alone: JsonBaseline {
            tool_outputs_before: sums.tool_tokens_before,
            tool_outputs_after: sums.tool_tokens_minified,
            counted: sums.unminified == 0,
        },
        cost_usd: RequestCost {
            input: dollars(sums.input_nanousd),
            output: dollars(sums.output_nanousd),
            priced: is_priced,
        },
        usage: record.usage.as_ref().map(usage),
        stop_reason: record.stop_reason.clone(),
        error_class: record.error_class.clone(),
        answered_model: record.answered_model.clone(),
        reasoning: reasoning(record),
        stages_ms: stages(record).map(|(stage, us)| (stage.to_owned(), milliseconds(us))).collect(),
        optimization_latency_ms: milliseconds(timings.overhead_us),
        total_latency_ms: milliseconds(timings.total_us),
        turn_id: record.turn_id.clone(),
        conversation_id: record.conversation_id.clone(),
        session_id: (!record.session_id.is_empty()).then(|| record.session_id.clone()),
        key: record.key.clone(),
        team: record.team.clone(),
        blocks: record.blocks.iter().map(block).collect(),
        blocks_left_out: record.blocks_left_out,
        subscription: record.subscription,
        answer_lookup: answer_lookup_name(record.answer_lookup()).map(str::to_owned),
        answer_age_seconds: (record.outcome() == RequestOutcome::Cached)
            .then_some(record.answer_age_ms / 1_000),
        plan: plan(record),
        added_breakpoints: record.added_breakpoints,
        aligned_lines: record.aligned_lines,
        memory_context: memory_context_name(record.memory_context()).map(str::to_owned),
        history: record.history.as_ref().map(history),
        cache_reason: told.and_then(|told| miss_reason_name(told.reason())).map(str::to_owned),
        cache_detail: told.and_then(cache_detail),
        cache_readable_tokens: told.map(|told| i64::try_from(told.readable_tokens).unwrap_or(i64::MAX)),
        cache_lost_usd: told.filter(|_| is_priced).map(|told| usd(told.lost_nanousd)),
        transforms_applied: None,
        messages: None,
    }
}

fn history(record: &HistoryRecord) -> History {
    History {
        epochs: record.epochs,
        boundaries: record.boundaries,
        strategy: record.strategy.clone(),
        unpaid: record.unpaid.clone(),
        now: record.now,
        stale: record.stale,
        superseded: record.superseded,
        shortened: record.shortened,
        dropped: record.dropped,
        tokens_saved: record.tokens_saved,
    }
}

/// Which line, which message, after how long.
fn cache_detail(told: &CacheVerdict) -> Option<String> {
    if told.line > 0 {
        let classes: Vec<&str> = told.classes().filter_map(volatile_class_name).collect();
        let line = format!("line {} of the system prompt", told.line);
        return Some(if classes.is_empty() { line } else { format!("{line} ({})", classes.join(", ")) });
    }
    if told.message > 0 {
        return Some(format!("message {}", told.message));
    }
    (told.idle_ms > 0).then(|| format!("after {}", span(told.idle_ms)))
}

/// A duration for people.
pub(crate) fn span(ms: u64) -> String {
    let minutes = ms.div_ceil(60_000);
    match minutes {
        0..=1 => "a minute".to_owned(),
        2..=119 => format!("{minutes} minutes"),
        120..=2_879 => format!("{} hours", minutes / 60),
        _ => format!("{} days", minutes / 1_440),
    }
}

/// What a simulated request would have become.
fn plan(record: &RequestRecord) -> Option<Plan> {
    if record.outcome() != RequestOutcome::Simulated {
        return None;
    }
    let tokens = record.tokens.clone().unwrap_or_default();
    Some(Plan {
        tokens_before: tokens.before,
        tokens_after: tokens.after,
        tokens_saved: tokens.before.saturating_sub(tokens.after),
    })
}

fn milliseconds(us: u32) -> f64 {
    f64::from(us) / 1e3
}

fn block(block: &BlockRecord) -> Block {
    Block {
        tool: block.tool.clone(),
        kind: block.kind.clone(),
        outcome: block.outcome.clone(),
        lossy: block.lossy,
        left_out: (!block.left_out.is_empty()).then(|| block.left_out.clone()),
        tokens_before: block.tokens_before,
        tokens_after: block.tokens_after,
        from_memo: block.memo,
        pressure: block.pressure,
    }
}

/// Whether the provider used the reasoning that one request sent back, and what Headroom had to do for it.
fn reasoning(record: &RequestRecord) -> RequestReasoning {
    RequestReasoning {
        prefix_mismatches: record.prefix_mismatches,
        seen_by: prefix_mismatch_source_name(record.prefix_mismatch_source()).map(str::to_owned),
        changed_by: prefix_change_name(record.prefix_change()).map(str::to_owned),
        recovered: record.recovered,
        forms_version: record.forms_version,
        hidden_rounds: record.hidden_rounds,
        restored_rounds: record.restored_rounds,
    }
}

fn usage(usage: &Usage) -> RequestUsage {
    RequestUsage {
        input_tokens: usage.input_tokens,
        cache_read_tokens: usage.cache_read_tokens,
        cache_write_tokens: usage.cache_write_tokens,
        cache_write_5m_tokens: usage.cache_write_5m_tokens,
        cache_write_1h_tokens: usage.cache_write_1h_tokens,
        output_tokens: usage.output_tokens,
        reasoning_tokens: usage.reasoning_tokens,
    }
}
