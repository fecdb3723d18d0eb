//! What a request cost, what it lost because the cache was not read, and what other ways to use the cache would have saved.

use headroom_api::v1::{MissReason, RequestRecord};

use super::rules::Kind;
use super::verdict::Verdict;
use super::written::{keeps_messages, prompt};
use crate::ledger::sums::{CacheSums, Sums};
use crate::models::{Models, Price};

/// Nano-dollars beyond which a figure is not believed: a thousand dollars.
const MAX_NANOUSD: f64 = 1e12;
/// A keep-alive comes this long before a lifetime ends.
const AHEAD_MS: i64 = 10_000;
/// Keep-alives after which a conversation is given up: an hour of five minutes each.
const MOST_KEEP_ALIVES: i64 = 12;
const HOUR_MS: i64 = 3_600_000;

/// What one request adds to the sums over the cache, and what it has lost in nano-dollars.
pub fn sums(record: &RequestRecord, verdict: &Verdict, counted: &Sums, models: &Models) -> CacheSums {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let usage = record.usage.unwrap_or_default();
    let told = &verdict.told;
    let mut sums = CacheSums {
        requests: 1,
        missed_requests: i64::from(told.lost_tokens > 0),
        readable_tokens: count(told.readable_tokens),
        read_tokens: count(usage.cache_read_tokens),
        written_tokens: count(usage.cache_write_tokens),
        rewritten_tokens: count(told.rewritten_tokens),
        uncached_tokens: count(usage.input_tokens),
        output_tokens: count(usage.output_tokens),
        lost_tokens: count(told.lost_tokens),
        idle_ms: count(told.idle_ms),
        ..CacheSums::default()
    };
    if record.subscription {
        sums.subscription_requests = 1;
        return sums;
    }
    let Some(price) = models.served_by(&record.provider, &record.model).price else {
        sums.unpriced_requests = 1;
        return sums;
    };
    let price = price.for_prompt(prompt(&usage));
    let bill = Bill::of(&sums, usage.cache_write_1h_tokens.min(usage.cache_write_tokens), price);
    sums.read_nanousd = nano(bill.read);
    sums.write_nanousd = nano(bill.write);
    sums.input_nanousd = nano(bill.input);
    sums.output_nanousd = nano(bill.output);
    sums.lost_nanousd = nano(bill.lost);
    // Rounds that the client has not seen have no usage of their own: each has read the prompt at least.
    let hidden = f64::from(record.hidden_rounds) * prompt(&usage) as f64 * bill.price.cached_read * 1e3;
    sums.saved_nanousd = counted.saved_cached_nanousd.saturating_sub(nano(hidden));
    what_if(record, verdict, &bill, &mut sums);
    sums
}

/// The price of a request's parts, in nano-dollars.
struct Bill {
    price: Price,
    read: f64,
    write: f64,
    input: f64,
    output: f64,
    /// What lost tokens cost more than if they had been read.
    lost: f64,
    /// Tokens that were written for five minutes, and how many of them had been written before.
    short: f64,
    rewritten_short: f64,
}

impl Bill {
    fn of(sums: &CacheSums, written_1h: u64, price: Price) -> Self {
        // USD per million tokens are a thousand nano-dollars per token
        let cost = |tokens: f64, usd_per_million: f64| tokens * usd_per_million * 1e3;
        let written = sums.written_tokens as f64;
        let long = written_1h as f64;
        let short = (written - long).max(0.0);
        let write = cost(short, price.cached_write) + cost(long, price.cached_write_1h);
        let rewritten = sums.rewritten_tokens as f64;
        let a_write = if written > 0.0 { write / written } else { 0.0 };
        let plain = (sums.lost_tokens - sums.rewritten_tokens) as f64;
        // What is neither written again nor plain was written for the first time, in the place of what was lost.
        let plain_input = plain.min(sums.uncached_tokens as f64);
        let lost = rewritten * a_write + cost(plain_input, price.input) + (plain - plain_input) * a_write
            - cost(sums.lost_tokens as f64, price.cached_read);
        Self {
            price,
            read: cost(sums.read_tokens as f64, price.cached_read),
            write,
            input: cost(sums.uncached_tokens as f64, price.input),
            output: cost(sums.output_tokens as f64, price.output),
            lost: lost.max(0.0),
            short,
            rewritten_short: rewritten.min(short),
        }
    }
}

fn nano(cost: f64) -> i64 {
    cost.clamp(-MAX_NANOUSD, MAX_NANOUSD).round() as i64
}

/// What three other ways to use the cache would have saved in this request.
///
/// * An hour's lifetime: what had lapsed within an hour would have been read, and all that is written for five minutes
///   would have cost an hour's price.
/// * Breakpoints, where the messages have none: what the request before has sent would have been read, and the rest
///   written.
/// * A keep-alive: a request of one token shortly before the lifetime ends, at most twelve times. Each reads what is in
///   the cache. The end of a conversation cannot be known, so twelve are charged to each request, and the next request of
///   its conversation gives back those that were not needed.
fn what_if(record: &RequestRecord, verdict: &Verdict, bill: &Bill, sums: &mut CacheSums) {
    let rules = &verdict.rules;
    if rules.kind != Kind::Breakpoints {
        return;
    }
    let price = bill.price;
    let lapsed = verdict.told.reason() == MissReason::LifetimeLapsed;
    let gap_ms = verdict
        .before
        .map_or(i64::try_from(verdict.told.idle_ms).unwrap_or(i64::MAX), |before| before.gap_ms);
    if rules.sells_an_hour {
        let is_rescued = lapsed && gap_ms <= HOUR_MS;
        let premium = (price.cached_write_1h - price.cached_write) * 1e3;
        let still_written = bill.short - if is_rescued { bill.rewritten_short } else { 0.0 };
        let rescued = if is_rescued { bill.lost } else { 0.0 };
        sums.hour_nanousd = nano(rescued - still_written * premium);
        sums.hour_requests = i64::from(is_rescued);
    }
    let usage = record.usage.unwrap_or_default();
    let all = prompt(&usage);
    let is_kept = record.cache_layout.as_ref().is_none_or(|layout| keeps_messages(layout, &usage));
    if !is_kept && all >= rules.minimum {
        let read = verdict.with_breakpoints.min(all);
        let would = read as f64 * price.cached_read * 1e3 + (all - read) as f64 * price.cached_write * 1e3;
        sums.breakpoints_nanousd = nano(bill.read + bill.write + bill.input - would);
        sums.breakpoints_requests = i64::from(read > usage.cache_read_tokens);
    }
    let is_short = |lifetime: u32| lifetime <= 300;
    let reading = |tokens: u64| tokens as f64 * price.cached_read * 1e3;
    let cached = usage.cache_read_tokens.saturating_add(usage.cache_write_tokens);
    let mut kept_alive = 0.0;
    if is_kept && is_short(rules.lifetime) && usage.cache_write_1h_tokens == 0 {
        kept_alive -= MOST_KEEP_ALIVES as f64 * reading(cached);
    }
    if let Some(before) = verdict.before.filter(|before| is_short(before.lifetime) && before.cached > 0) {
        let interval = i64::from(before.lifetime) * 1_000 - AHEAD_MS;
        let sent = (before.gap_ms / interval).clamp(0, MOST_KEEP_ALIVES);
        let is_rescued =
            lapsed && before.gap_ms <= interval * MOST_KEEP_ALIVES + i64::from(before.lifetime) * 1_000;
        kept_alive += (MOST_KEEP_ALIVES - sent) as f64 * reading(before.cached);
        if is_rescued {
            kept_alive += bill.lost;
            sums.keep_alive_requests = 1;
        }
    }
    sums.keep_alive_nanousd = nano(kept_alive);
}
