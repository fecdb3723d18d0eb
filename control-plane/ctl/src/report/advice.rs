//! Advice that follows from the figures.

use headroom_api::pages::{BlockSums, Request, Stats};

use crate::figures::{number, sorted};

/// The minimum share of a tool in all tool output for advice about it, in percent.
const WORTH_A_WORD: i64 = 10;
/// A saving below which such a tool counts as not compressed, in percent.
const HARDLY: i64 = 5;
/// The minimum number of requests with usage for a meaningful hit rate of the cache.
const ENOUGH: i64 = 20;
/// A hit rate below which an agent's prompt is probably not set up for the provider's cache, in percent.
const LOW_HIT_RATE: f64 = 50.0;

/// Sentences, the most important first.
pub(super) fn advice(stats: &Stats, requests: &[Request]) -> Vec<String> {
    let mut advice = Vec::new();
    let shown = |count: i64| number(Some(count));
    let reports = stats.reports.clone().unwrap_or_default();
    let outcome = |name: &str| {
        stats
            .requests
            .as_ref()
            .and_then(|requests| requests.by_outcome.get(name))
            .copied()
            .unwrap_or_default()
    };
    for (count, what) in [
        (
            reports.dropped_records,
            "records were dropped by filters whose queue was full: headroomd was away for too long, or is too slow. Its log and `headroomctl doctor` say why.",
        ),
        (
            reports.lost_records,
            "records never came, because an Envoy was killed, or stopped without being drained: figures lack these requests.",
        ),
        (
            reports.config_errors,
            "values of the filter's configuration were replaced by their defaults: Envoy's log names them.",
        ),
        (
            outcome("too_large"),
            "requests were longer than `max_body_bytes` and passed unchanged: raise it, with Envoy's buffer limit.",
        ),
        (
            outcome("encoded"),
            "requests came with a compressed body, which the filter does not read: put Envoy's decompressor in front of it, or switch compression off in the client.",
        ),
        (
            outcome("not_understood"),
            "requests were not the JSON that their path requires: they passed unchanged.",
        ),
        (outcome("host_error"), "requests met a call that Envoy refused: its log says which."),
        (
            stats.cost.as_ref().map_or(0, |cost| cost.unpriced_requests),
            "requests went to models without a known price, so their dollars are missing: put prices into models.json.",
        ),
    ] {
        if count > 0 {
            advice.push(format!("{} {what}", shown(count)));
        }
    }
    advice.extend(tools(stats));
    let policy_off: i64 = requests
        .iter()
        .flat_map(|request| &request.blocks)
        .filter(|block| block.outcome == "skipped:policy_off")
        .map(|block| i64::from(block.tokens_before))
        .sum();
    if policy_off > 0 {
        advice.push(format!("{} tokens of the newest requests were not compressed, because the configuration excludes their tool: check whether it still should.", shown(policy_off)));
    }
    let cache = stats.prefix_cache.as_ref().map(|cache| &cache.totals);
    if let Some(rate) =
        cache.filter(|it| it.hit_rate < LOW_HIT_RATE && it.requests >= ENOUGH).map(|it| it.hit_rate)
    {
        advice.push(format!("Only {rate:.0} % of the requests read from the provider's cache: for agents it is usually most. See that the client marks its prompt for caching, and that nothing at its beginning changes from turn to turn."));
    }
    advice
}

/// Tools with much output that is hardly compressed.
fn tools(stats: &Stats) -> Vec<String> {
    let Some(blocks) = &stats.blocks else { return Vec::new() };
    let tools = sorted(&blocks.by_tool, |sums| sums.tokens_before);
    let all: i64 = tools.iter().map(|(_, sums)| sums.tokens_before).sum();
    let heavy = |(_, sums): &(&str, &BlockSums)| {
        sums.tokens_before > 0
            && sums.tokens_before * 100 >= all * WORTH_A_WORD
            && sums.tokens_saved * 100 < sums.tokens_before * HARDLY
    };
    let sentence = |(name, sums): (&str, &BlockSums)| {
        format!(
            "{name} makes {} % of all tool output and has hardly anything to compress: have the agent ask it for less, by a line range, a limit or a filter.",
            sums.tokens_before * 100 / all
        )
    };
    tools.into_iter().filter(heavy).map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_goes_wrong_and_what_weighs_much_is_named_with_its_remedy() {
        let sums = |before: i64, saved: i64| json!({"tokens_before": before, "tokens_saved": saved});
        let stats = json!({
            "reports": {"dropped_records": 1200},
            "blocks": {"by_tool": {"Read": sums(6000, 60), "Bash": sums(3900, 2000), "Glob": sums(100, 0)}},
            "prefix_cache": {"totals": {"hit_rate": 12.0, "requests": 40}},
        });
        let request = json!({"blocks": [{"outcome": "skipped:policy_off", "tokens_before": 50}]});
        let stats = serde_json::from_value(stats).unwrap();
        let advice = advice(&stats, &[serde_json::from_value(request).unwrap()]);
        for (found, part) in advice.iter().zip(["1,200 records", "Read makes 60 %", "50 tokens", "Only 12 %"])
        {
            assert!(found.contains(part), "{found}");
        }
        assert_eq!(advice.len(), 4);
    }

    #[test]
    fn where_nothing_is_wrong_nothing_is_said() {
        let stats = json!({"prefix_cache": {"totals": {"hit_rate": 0.0, "requests": 3}}});
        assert_eq!(advice(&serde_json::from_value(stats).unwrap(), &[]), [""; 0]);
    }
}
