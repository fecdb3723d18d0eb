//! The short form: the most important figures, on one screen.

use std::fmt::Write as _;

use headroom_api::pages::{SeriesPoint, Stats, StatsHistory};

use super::breakdown::share;
use crate::figures::{dollars, milliseconds, name_or_dash, number, percent, rest, shortened, sorted, table};

/// Characters of a name that are shown.
const NAME: usize = 36;

/// Everything since the store began.
pub fn screen(stats: &Stats, url: &str, top: usize) -> String {
    let mut out = format!("Headroom at {url}\n\n{}\n", totals(stats));
    // Writing to a String cannot fail.
    if let Some(blocks) = stats.blocks.as_ref().filter(|blocks| !blocks.by_tool.is_empty()) {
        let mut table = table(&["tool outputs", "tokens before", "after", "saved"], 1);
        let tools = sorted(&blocks.by_tool, |sums| sums.tokens_saved);
        for (name, sums) in tools.iter().take(top) {
            let (before, after) = (number(Some(sums.tokens_before)), number(Some(sums.tokens_after)));
            table.add_row([shortened(name, NAME), before, after, share(sums)]);
        }
        let _ = write!(out, "\n{table}\n{}", rest(tools.len(), top));
    }
    if !stats.recent_requests.is_empty() {
        let mut table = table(&["newest requests", "model", "tokens before", "after", "saved"], 2);
        for request in stats.recent_requests.iter().take(top) {
            table.add_row([
                shortened(&request.outcome, NAME),
                shortened(&request.model, NAME),
                number(Some(request.input_tokens_original)),
                number(Some(request.input_tokens_optimized)),
                percent(Some(request.savings_percent)),
            ]);
        }
        let _ = write!(out, "\n{table}\n");
    }
    out.push_str("\nMore: --by model, project, stack, tool …; --since 24h; --all; `headroomctl cache`\n");
    out
}

fn totals(stats: &Stats) -> String {
    let mut table = table(&[], 2);
    let mut row = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    let requests = stats.requests.as_ref();
    let tokens = stats.tokens.as_ref();
    let failed = requests.map(|it| it.failed).filter(|failed| *failed > 0);
    row(
        "requests",
        format!(
            "{}, {} of them compressed{}",
            number(requests.map(|it| it.total)),
            number(requests.map(|it| it.compressed)),
            failed.map(|failed| format!(", {} failed", number(Some(failed)))).unwrap_or_default()
        ),
    );
    row(
        "input tokens",
        format!(
            "{} sent by clients, {} forwarded",
            number(tokens.map(|it| it.total_before_compression)),
            number(tokens.map(|it| it.input))
        ),
    );
    row(
        "saved",
        format!(
            "{} tokens, {}",
            number(tokens.map(|it| it.saved)),
            percent(tokens.map(|it| it.savings_percent))
        ),
    );
    let outputs = tokens.and_then(|tokens| tokens.tool_outputs.as_ref());
    row("of tool outputs", percent(outputs.map(|it| it.savings_percent)));
    if let Some(audit) = stats.audit.as_ref().filter(|audit| audit.requests > 0) {
        let (saved, all) = (number(Some(audit.would_have_saved)), number(Some(audit.tokens)));
        let share = percent(Some(audit.would_have_saved_percent));
        row("audited: would have been saved", format!("{saved} of {all}, {share}"));
    }
    let cost = stats.cost.as_ref();
    row(
        "dollars saved",
        format!(
            "{}; the bill is {} instead of {}",
            dollars(cost.map(|it| it.breakdown.compression_savings_usd)),
            dollars(cost.map(|it| it.with_headroom_usd)),
            dollars(cost.map(|it| it.with_headroom_usd + it.breakdown.compression_savings_usd)),
        ),
    );
    for (count, what) in [
        (cost.map_or(0, |it| it.unpriced_requests), "requests of models without a known price"),
        (cost.map_or(0, |it| it.subscription_requests), "requests with subscriptions"),
    ] {
        if count > 0 {
            row("  not included", format!("{} {what}", number(Some(count))));
        }
    }
    if let Some(cache) = stats.prefix_cache.as_ref().filter(|cache| cache.totals.requests > 0) {
        let rate = percent(Some(cache.totals.hit_rate));
        row("provider's cache", format!("read by {rate} of the requests; `headroomctl cache` says more"));
    }
    if let Some(cache) = stats.prompt_cache.as_ref().filter(|cache| cache.totals.requests > 0) {
        let [bill, without, perfect] =
            [cache.bill.total_usd, cache.bill.without_headroom_usd, cache.bill.perfect_cache_usd]
                .map(|usd| dollars(Some(usd)));
        row(
            "bill of seven days",
            format!("{bill}; {without} without Headroom, {perfect} with a perfect cache"),
        );
    }
    if let Some(edits) = cache_edits(stats) {
        row("for that cache", edits);
    }
    if let Some(lost) = stats.reasoning.as_ref().and_then(|reasoning| reasoning.totals.as_ref())
        && lost.prefix_mismatches > 0
    {
        let (all, ours) = (number(Some(lost.prefix_mismatches)), number(Some(lost.by_headroom)));
        row("reasoning lost", format!("{all} blocks, by Headroom {ours}"));
    }
    let overhead = stats.overhead.as_ref();
    row(
        "added latency",
        format!(
            "p50 {}, p99 {}",
            milliseconds(overhead.and_then(|it| it.p50_ms)),
            milliseconds(overhead.and_then(|it| it.p99_ms))
        ),
    );
    table.to_string()
}

/// How many of the newest requests were given breakpoints, or had lines moved; `None` where none was.
fn cache_edits(stats: &Stats) -> Option<String> {
    let newest = &stats.recent_requests;
    let given = newest.iter().filter(|request| request.added_breakpoints > 0).count();
    let aligned = newest.iter().filter(|request| request.aligned_lines > 0).count();
    let counted = [(given, "were given breakpoints"), (aligned, "had lines moved")];
    let told: Vec<String> = counted
        .into_iter()
        .filter(|(requests, _)| *requests > 0)
        .map(|(requests, what)| format!("{requests} {what}"))
        .collect();
    (!told.is_empty()).then(|| format!("of the newest {} requests {}", newest.len(), told.join(", ")))
}

/// Sums over a range.
pub(super) fn of_range(page: &StatsHistory) -> String {
    let points = page.series.get("hourly").map(Vec::as_slice).unwrap_or_default();
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return "Nothing was counted in this range.\n".to_owned();
    };
    let sum = |of: fn(&SeriesPoint) -> i64| points.iter().map(of).sum::<i64>();
    let usd = |of: fn(&SeriesPoint) -> f64| points.iter().map(of).sum::<f64>();
    let (before, saved) = (sum(|it| it.tokens_before), sum(|it| it.tokens_saved));
    let share = || saved as f64 / before as f64 * 100.0;
    let hour =
        |point: &SeriesPoint| name_or_dash(point.timestamp.get(..16).unwrap_or_default()).replace('T', " ");
    let mut table = table(&[], 2);
    for (name, value) in [
        ("from", format!("{}, UTC", hour(first))),
        ("to the hour of", hour(last)),
        ("requests", number(Some(sum(|it| it.requests)))),
        ("input tokens", {
            let forwarded = number(Some(sum(|it| it.total_input_tokens_delta)));
            format!("{} sent by clients, {forwarded} forwarded", number(Some(before)))
        }),
        ("saved", format!("{} tokens, {}", number(Some(saved)), percent((before > 0).then(share)))),
        ("dollars saved", dollars(Some(usd(|it| it.compression_savings_cache_adjusted_usd_delta)))),
        ("input's bill", dollars(Some(usd(|it| it.total_input_cost_usd_delta)))),
    ] {
        table.add_row([name.to_owned(), value]);
    }
    format!("{table}\n")
}

#[cfg(test)]
mod tests {
    use headroom_api::pages::{CacheSummary, Request};

    use super::*;

    #[test]
    fn what_was_done_for_the_prompt_cache_is_told_where_something_was() {
        let mut stats = Stats { recent_requests: vec![Request::default(); 3], ..Stats::default() };
        assert_eq!(cache_edits(&stats), None);
        assert!(!screen(&stats, "u", 5).contains("for that cache"));
        stats.recent_requests[0].added_breakpoints = 3;
        stats.recent_requests[1].added_breakpoints = 2;
        stats.recent_requests[2].aligned_lines = 1;
        let said = "of the newest 3 requests 2 were given breakpoints, 1 had lines moved";
        assert_eq!(cache_edits(&stats).as_deref(), Some(said));
        assert!(screen(&stats, "u", 5).contains(said));
        let mut cache = CacheSummary::default();
        cache.totals.requests = 3;
        (cache.bill.total_usd, cache.bill.without_headroom_usd, cache.bill.perfect_cache_usd) =
            (12.0, 14.5, 9.25);
        stats.prompt_cache = Some(cache);
        let bill = "$12.00; $14.50 without Headroom, $9.25 with a perfect cache";
        assert!(screen(&stats, "u", 5).contains(bill), "{}", screen(&stats, "u", 5));
    }
}
