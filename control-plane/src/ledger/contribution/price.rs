//! What one record adds to the sums, and what that is worth.

use headroom_api::forwarded_tokens;
use headroom_api::names::COMPRESS_API;
use headroom_api::v1::{AnswerLookup, PrefixChange, RequestOutcome, RequestRecord};

use crate::ledger::sums::Sums;
use crate::models::{Models, Price};

/// Nano-dollars beyond which a record is not believed: a thousand dollars.
pub(super) const MAX_NANOUSD: f64 = 1e12;

/// What one bounded record adds.
///
/// Tokens are saved only where the request was billed: an answer of 400 or more costs nothing at any provider, and
/// what was merely measured was sent in full. Where Headroom's tool was added and nothing got shorter, less than
/// nothing is saved.
pub(super) fn sums(record: &RequestRecord, models: &Models) -> Sums {
    let outcome = record.outcome();
    if outcome == RequestOutcome::Cached {
        return answered_again(record, models);
    }
    let tokens = record.tokens.clone().unwrap_or_default();
    let usage = record.usage.unwrap_or_default();
    let refused = record.status >= 400;
    let compressed = outcome == RequestOutcome::Compressed;
    let saved = if refused { 0 } else { count(tokens.before) - count(forwarded_tokens(outcome, &tokens)) };
    let is_counted = tokens.tool_outputs_minified > 0;
    let minified = |minified: u64, before: u64| if is_counted { minified.min(before) } else { before };
    let (new_before, new_after) = (tokens.tool_outputs_new_before, tokens.tool_outputs_new_after);
    let unique = new_before.saturating_sub(new_after).min(u64::try_from(saved).unwrap_or(0));
    let mut sums = Sums {
        requests: 1,
        compressed: i64::from(compressed),
        failed: i64::from(refused || outcome == RequestOutcome::Aborted),
        rate_limited: i64::from(record.status == 429),
        tokens_before: count(tokens.before),
        tokens_after: count(forwarded_tokens(outcome, &tokens)),
        tokens_saved: saved,
        tool_tokens_before: count(tokens.tool_outputs_before),
        tool_tokens_after: count(tokens.tool_outputs_after),
        tool_tokens_minified: count(minified(tokens.tool_outputs_minified, tokens.tool_outputs_before)),
        usage_reports: i64::from(record.usage.is_some()),
        cache_hits: i64::from(usage.cache_read_tokens > 0),
        uncached_input_tokens: count(usage.input_tokens),
        cache_read_tokens: count(usage.cache_read_tokens),
        cache_write_tokens: count(usage.cache_write_tokens),
        output_tokens: count(usage.output_tokens),
        unique_tokens_saved: count(unique),
        new_tool_tokens_before: count(new_before),
        new_tool_tokens_after: count(new_after),
        new_tool_tokens_minified: count(minified(tokens.tool_outputs_new_minified, new_before)),
        unminified: i64::from(!is_counted && tokens.tool_outputs_before > 0),
        cache_write_1h_tokens: count(usage.cache_write_1h_tokens.min(usage.cache_write_tokens)),
        reasoning_tokens: count(usage.reasoning_tokens),
        recovered: i64::from(record.recovered),
        hidden_rounds: i64::from(record.hidden_rounds),
        restored_rounds: i64::from(record.restored_rounds),
        answers_missed: i64::from(record.answer_lookup() == AnswerLookup::Miss),
        answers_kept: i64::from(record.answer_kept),
        ..Sums::default()
    };
    let mismatches = i64::from(record.prefix_mismatches);
    match record.prefix_change() {
        PrefixChange::Headroom => sums.mismatches_headroom = mismatches,
        PrefixChange::Client => sums.mismatches_client = mismatches,
        PrefixChange::Unseen | PrefixChange::Unspecified => sums.mismatches_unseen = mismatches,
    }
    if record.subscription {
        // Its tokens are not paid one by one.
        sums.subscription_requests = 1;
        sums.subscription_tokens_saved = sums.tokens_saved;
        return sums;
    }
    match models.served_by(&record.provider, &record.model).price {
        None => sums.unpriced = 1,
        Some(_) if refused => {}
        Some(price) => charge(&mut sums, price, record.api != COMPRESS_API),
    }
    sums
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What a request adds that no provider was asked for. It costs nothing, and saves what the answer had cost the first
/// time, under a name of its own and no other: nothing of it is also saved by compression.
fn answered_again(record: &RequestRecord, models: &Models) -> Sums {
    let usage = record.usage.unwrap_or_default();
    let mut first = Sums {
        tokens_after: count(record.tokens.as_ref().map_or(0, |tokens| tokens.before)),
        uncached_input_tokens: count(usage.input_tokens),
        cache_read_tokens: count(usage.cache_read_tokens),
        cache_write_tokens: count(usage.cache_write_tokens),
        cache_write_1h_tokens: count(usage.cache_write_1h_tokens.min(usage.cache_write_tokens)),
        output_tokens: count(usage.output_tokens),
        ..Sums::default()
    };
    let billed = first.uncached_input_tokens + first.cache_read_tokens + first.cache_write_tokens;
    let mut sums = Sums {
        requests: 1,
        answers_found: 1,
        answers_similar: i64::from(record.answer_lookup() == AnswerLookup::Similar),
        answers_input_tokens: if billed > 0 { billed } else { first.tokens_after },
        answers_output_tokens: first.output_tokens,
        ..Sums::default()
    };
    if record.subscription {
        sums.subscription_requests = 1;
    } else if let Some(price) = models.served_by(&record.provider, &record.model).price {
        charge(&mut first, price, true);
        sums.answers_saved_nanousd = first.input_nanousd + first.output_nanousd;
    }
    sums
}

/// Puts a price on counts.
///
/// What the tokens that were left out would have cost follows from what the provider says it charged for
/// the rest. A prompt is read from the cache from its beginning, up to where it differs from an earlier
/// one; what comes behind is written to the cache, or is plain input. Call the average price of the
/// latter `fresh`.
///
/// * Tokens left out of outputs that are new in this request would have stood at the prompt's end: `fresh`.
/// * Tokens left out of older outputs would have stood before: of that part of the prompt the share
///   `read / (read + written + plain - new)` was read from the cache, at most all of it, so they would
///   have cost that share of the price of reading, and `fresh` for the rest.
///
/// A block is compressed the same way in every turn, so it is cached exactly when what stands around it is.
/// Without a usage report it is the least possible price: reading for the old ones, plain
/// input for the new ones.
fn charge(sums: &mut Sums, price: Price, asks_a_provider: bool) {
    // USD per million tokens are a thousand nano-dollars per token
    let cost = |tokens: i64, usd_per_million: f64| tokens as f64 * usd_per_million * 1_000.0;
    let nano = |cost: f64| cost.clamp(-MAX_NANOUSD, MAX_NANOUSD).round() as i64;

    let not_read = sums.uncached_input_tokens + sums.cache_write_tokens;
    let billed = not_read + sums.cache_read_tokens;
    let prompt = if billed > 0 { billed } else { sums.tokens_after };
    let price = price.for_prompt(u64::try_from(prompt).unwrap_or(0));
    let read = cost(1, price.cached_read);
    let written = cost(sums.cache_write_tokens - sums.cache_write_1h_tokens, price.cached_write)
        + cost(sums.cache_write_1h_tokens, price.cached_write_1h);
    let (input, fresh, repeated) = if billed > 0 {
        let plain_and_written = cost(sums.uncached_input_tokens, price.input) + written;
        let fresh = if not_read > 0 { plain_and_written / not_read as f64 } else { cost(1, price.input) };
        let old = (billed - sums.new_tool_tokens_after).max(1);
        let share = (sums.cache_read_tokens as f64 / old as f64).min(1.0);
        let input = plain_and_written + cost(sums.cache_read_tokens, price.cached_read);
        (input, fresh, share * read + (1.0 - share) * fresh)
    } else {
        (cost(sums.tokens_after, price.input), cost(1, price.input), read)
    };
    let unique = sums.unique_tokens_saved as f64 * fresh;
    let repeats = (sums.tokens_saved - sums.unique_tokens_saved) as f64 * repeated;
    // The request to a provider that a call of `/v1/compress` was for has its own record, where it comes by here.
    sums.input_nanousd = if asks_a_provider { nano(input) } else { 0 };
    sums.output_nanousd = nano(cost(sums.output_tokens, price.output));
    sums.saved_nanousd = nano(cost(sums.tokens_saved, price.input));
    sums.saved_cached_nanousd = nano(unique + repeats);
    sums.unique_saved_nanousd = nano(unique);
    sums.cache_nanousd = nano(
        cost(sums.cache_read_tokens, price.input - price.cached_read)
            + cost(sums.cache_write_tokens, price.input)
            - written,
    );
}
