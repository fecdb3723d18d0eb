//! Records as far as they can be believed: names tidied, figures bounded, a time that can be.

use headroom_api::v1::{CacheLayout, PrefixChange, PrefixDigests, RequestOutcome, RequestRecord};
use headroom_compress::provider_tokens;

use crate::clock::{DAY_MS, UnixMs};
use crate::ledger::labels::tidy;

/// Tokens beyond which a record is not believed: a body of 100 MB at one byte a token.
const MAX_TOKENS: u64 = 100_000_000;
/// Blocks kept of a record; the filter's own cap is lower.
const MAX_BLOCKS: usize = 512;
/// Blocks of reasoning in one request beyond which a record is not believed.
const MAX_MISMATCHES: u32 = 10_000;
/// Retrievals of one request; the filter's own cap.
const MAX_RETRIEVALS: usize = 64;
/// Rounds of own tools, as well.
const MAX_ROUNDS: u32 = 10_000;
/// Digests kept of a prefix; the filter's own cap.
const MAX_PREFIXES: usize = 64;
/// Lines of a system prompt, what may change in them, and breakpoints; the filter's own caps.
const MAX_SYSTEM_LINES: usize = 256;
const MAX_VOLATILE_TOKENS: usize = 128;
const MAX_BREAKPOINTS: usize = 8;
/// The longest lifetime that a provider sells, in seconds: a day.
const MAX_LIFETIME_SECONDS: u32 = 86_400;
/// No answer is given again for longer than a week.
const MAX_ANSWER_AGE_MS: u64 = 7 * 24 * 3_600 * 1_000;
/// Windows kept of an allowance.
pub(crate) const MAX_WINDOWS: usize = 8;
/// Hundredths of a percent of an allowance beyond which a record is not believed: a hundred times all of it.
const MAX_USED: u32 = 1_000_000;
/// The windows of allowances are weeks long; a reset that is later than this is not believed.
const LATEST_RESET_MS: i64 = 366 * DAY_MS;
/// A record may lie this far in the past: it was made when the request finished.
const OLDEST_MS: i64 = 365 * DAY_MS;
/// A record may lie this far in the future: the clock of its proxy or that of the sidecar is wrong. It is not known
/// which one, and by its own time the record stays among the others of its proxy.
pub(super) const MAX_CLOCK_SKEW_MS: i64 = 31 * DAY_MS;

/// The record with names tidied, figures bounded and a time that can be believed.
pub(super) fn bounded(record: &RequestRecord, now: UnixMs) -> RequestRecord {
    let mut record = record.clone();
    for name in [
        &mut record.request_id,
        &mut record.provider,
        &mut record.api,
        &mut record.model,
        &mut record.stack,
        &mut record.conversation_id,
        &mut record.turn_id,
        &mut record.tenant,
        &mut record.project,
        &mut record.stop_reason,
        &mut record.error_class,
        &mut record.key,
        &mut record.team,
        &mut record.answered_model,
        &mut record.session_id,
        &mut record.account,
    ] {
        *name = tidy(name);
    }
    if !(now - OLDEST_MS..=now + MAX_CLOCK_SKEW_MS).contains(&record.started_unix_ms) {
        record.started_unix_ms = now;
    }
    if record.outcome() == RequestOutcome::Cached {
        // their forms were not sent to any provider
        record.blocks.clear();
        record.blocks_left_out = 0;
    }
    let left_out = record.blocks.len().saturating_sub(MAX_BLOCKS);
    record.blocks.truncate(MAX_BLOCKS);
    record.blocks_left_out =
        record.blocks_left_out.saturating_add(u32::try_from(left_out).unwrap_or(u32::MAX));
    let model = record.model.clone();
    for block in &mut record.blocks {
        for name in [&mut block.tool, &mut block.kind, &mut block.outcome] {
            *name = tidy(name);
        }
        // filters count them plainly, and the request in the provider's tokens
        for tokens in [&mut block.tokens_before, &mut block.tokens_after] {
            let counted = provider_tokens(&model, u64::from(*tokens));
            *tokens = u32::try_from(counted).unwrap_or(u32::MAX);
        }
    }
    record.retrievals.truncate(MAX_RETRIEVALS);
    for it in &mut record.retrievals {
        for name in [&mut it.tool, &mut it.kind, &mut it.form, &mut it.part] {
            *name = tidy(name);
        }
    }
    if let Some(history) = &mut record.history {
        history.strategy = tidy(&history.strategy);
        history.unpaid = tidy(&history.unpaid);
        history.tokens_saved = history.tokens_saved.min(MAX_TOKENS);
    }
    record.prefix_mismatches = record.prefix_mismatches.min(MAX_MISMATCHES);
    match (record.prefix_mismatches, record.prefix_change()) {
        (0, _) => record.set_prefix_change(PrefixChange::Unspecified),
        (_, PrefixChange::Unspecified) => record.set_prefix_change(PrefixChange::Unseen),
        _ => {}
    }
    record.rate_limits.truncate(MAX_WINDOWS);
    for limit in &mut record.rate_limits {
        limit.window = tidy(&limit.window);
        limit.status = tidy(&limit.status);
        limit.used = limit.used.min(MAX_USED);
        limit.resets_unix_ms = limit.resets_unix_ms.clamp(0, now.saturating_add(LATEST_RESET_MS));
    }
    record.answer_age_ms = record.answer_age_ms.min(MAX_ANSWER_AGE_MS);
    record.hidden_rounds = record.hidden_rounds.min(MAX_ROUNDS);
    record.restored_rounds = record.restored_rounds.min(MAX_ROUNDS);
    for digests in [&mut record.client_prefix, &mut record.forwarded_prefix].into_iter().flatten() {
        keep_newest(digests);
    }
    // The sidecar's own word.
    record.cache_verdict = None;
    if let Some(layout) = &mut record.cache_layout {
        bound_layout(layout);
    }
    if let Some(tokens) = &mut record.tokens {
        tokens.encoding = tidy(&tokens.encoding);
        for count in [
            &mut tokens.before,
            &mut tokens.after,
            &mut tokens.tool_outputs_before,
            &mut tokens.tool_outputs_after,
            &mut tokens.tool_outputs_minified,
            &mut tokens.tool_outputs_new_before,
            &mut tokens.tool_outputs_new_after,
            &mut tokens.tool_outputs_new_minified,
        ] {
            *count = (*count).min(MAX_TOKENS);
        }
    }
    if let Some(usage) = &mut record.usage {
        for count in [
            &mut usage.input_tokens,
            &mut usage.output_tokens,
            &mut usage.cache_read_tokens,
            &mut usage.cache_write_tokens,
            &mut usage.cache_write_5m_tokens,
            &mut usage.cache_write_1h_tokens,
            &mut usage.reasoning_tokens,
        ] {
            *count = (*count).min(MAX_TOKENS);
        }
    }
    record
}

fn bound_layout(layout: &mut CacheLayout) {
    layout.system_lines.truncate(MAX_SYSTEM_LINES);
    layout.volatile_tokens.truncate(MAX_VOLATILE_TOKENS);
    layout.breakpoints.truncate(MAX_BREAKPOINTS);
    let too_many = layout.prefix_bytes.len().saturating_sub(MAX_PREFIXES);
    layout.prefix_bytes.drain(..too_many);
    layout.lifetime_seconds = layout.lifetime_seconds.min(MAX_LIFETIME_SECONDS);
    for point in &mut layout.breakpoints {
        point.lifetime_seconds = point.lifetime_seconds.min(MAX_LIFETIME_SECONDS);
    }
}

fn keep_newest(digests: &mut PrefixDigests) {
    let too_many = digests.prefixes.len().saturating_sub(MAX_PREFIXES);
    digests.prefixes.drain(..too_many);
}
