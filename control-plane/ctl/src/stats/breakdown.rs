//! `--by`: the figures, broken down.

use std::collections::BTreeMap;

use headroom_api::pages::{BlockSums, Breakdown, Cache, Stats, StatsHistory};

use super::StatsBreakdown;
use crate::figures::{dollars, name_or_dash, number, or_no_price, percent, rest, sorted, table};

/// Requests, by the requested attribute, largest saving first.
pub(super) fn lines(page: &StatsHistory, top: usize) -> String {
    let Some(Breakdown { by, values }) = &page.breakdown else {
        return "This headroomd does not break figures down: it is older than this program.\n".to_owned();
    };
    if values.is_empty() {
        return "Nothing was counted in this range.\n".to_owned();
    }
    let mut table = table(&[by, "requests", "tokens sent", "saved", "", "dollars saved"], 1);
    let sums = sorted(values, |sums| sums.tokens_saved);
    for (name, sums) in sums.iter().take(top) {
        table.add_row([
            name_or_dash(name),
            number(Some(sums.requests)),
            number(Some(sums.tokens_before)),
            number(Some(sums.tokens_saved)),
            percent(Some(sums.savings_percent)),
            dollars(Some(sums.compression_savings_cache_adjusted_usd)),
        ]);
    }
    format!("{table}\n{}", rest(sums.len(), top))
}

/// Tool outputs.
pub(super) fn of_outputs(stats: &Stats, by: StatsBreakdown, top: usize) -> String {
    let blocks = stats.blocks.clone().unwrap_or_default();
    let sums: BTreeMap<String, BlockSums> = match by {
        StatsBreakdown::Kind => blocks.by_kind,
        StatsBreakdown::Form => blocks.by_outcome,
        _ => blocks.by_tool,
    };
    if sums.is_empty() {
        return "No tool output has been seen yet.\n".to_owned();
    }
    let mut table = table(&[by.name(), "outputs", "tokens before", "after", "saved", ""], 1);
    let sorted = sorted(&sums, |sums| sums.tokens_saved);
    for (name, sums) in sorted.iter().take(top) {
        table.add_row([
            name_or_dash(name),
            number(Some(sums.blocks)),
            number(Some(sums.tokens_before)),
            number(Some(sums.tokens_after)),
            number(Some(sums.tokens_saved)),
            share(sums),
        ]);
    }
    format!("{table}\n{}", rest(sorted.len(), top))
}

/// The saved share of outputs.
pub(super) fn share(sums: &BlockSums) -> String {
    let share = || sums.tokens_saved as f64 / sums.tokens_before as f64 * 100.0;
    percent((sums.tokens_before > 0).then(share))
}

/// Tenants, which only the cache's figures contain.
pub(super) fn of_tenants(cache: &Cache, top: usize) -> String {
    let groups: Vec<_> = cache.groups.iter().filter(|group| group.by == "tenant").collect();
    if groups.is_empty() {
        return "No request of a tenant was counted in this range.\n".to_owned();
    }
    let mut table = table(&["tenant", "requests", "read from cache", "bill", "lost of the cache"], 1);
    for group in groups.iter().take(top) {
        table.add_row([
            name_or_dash(&group.value),
            number(Some(group.totals.requests)),
            number(Some(group.totals.read_tokens)),
            or_no_price(group.total_usd),
            or_no_price(group.lost_usd),
        ]);
    }
    format!("{table}\n{}", rest(groups.len(), top))
}
