//! What the figures suggest, each with what to do about it.

use serde_json::Value;

use crate::figures::{number, sorted};

/// A tool's share of all tool output from which it is worth a word, in percent.
const WORTH_A_WORD: i64 = 10;
/// A saving below which such a tool counts as not compressed, in percent.
const HARDLY: i64 = 5;
/// Requests with a usage report from which the cache's hit rate says something.
const ENOUGH: i64 = 20;
/// A hit rate below which an agent's prompt is probably not set up for the provider's cache, in percent.
const LOW_HIT_RATE: f64 = 50.0;

/// Sentences, the most important first.
pub(super) fn advice(stats: &Value, requests: &[Value]) -> Vec<String> {
    let mut advice = Vec::new();
    let at = |pointer: &str| stats.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    let shown = |count: i64| number(Some(&Value::from(count)));
    for (pointer, what) in [
        (
            "/reports/dropped_records",
            "records were dropped by filters whose queue was full: headroomd was away for too long, or is too slow. Its log and `headroomctl doctor` say why.",
        ),
        (
            "/reports/lost_records",
            "records never came, because an Envoy was killed, or stopped without being drained: figures lack these requests.",
        ),
        (
            "/reports/config_errors",
            "values of the filter's configuration were replaced by their defaults: Envoy's log names them.",
        ),
        (
            "/requests/by_outcome/too_large",
            "requests were longer than `max_body_bytes` and went through as they were: raise it, with Envoy's buffer limit.",
        ),
        (
            "/requests/by_outcome/encoded",
            "requests came with a compressed body, which the filter does not read: put Envoy's decompressor in front of it, or switch compression off in the client.",
        ),
        (
            "/requests/by_outcome/not_understood",
            "requests were not the JSON that their path promises: they went through as they were.",
        ),
        ("/requests/by_outcome/host_error", "requests met a call that Envoy refused: its log says which."),
        (
            "/cost/unpriced_requests",
            "requests went to models without a known price, so their dollars are missing: put prices into models.json.",
        ),
    ] {
        if at(pointer) > 0 {
            advice.push(format!("{} {what}", shown(at(pointer))));
        }
    }
    advice.extend(tools(stats));
    let policy_off: i64 = requests
        .iter()
        .flat_map(|request| request.get("blocks")?.as_array())
        .flatten()
        .filter(|block| block.get("outcome").and_then(Value::as_str) == Some("skipped:policy_off"))
        .filter_map(|block| block.get("tokens_before")?.as_i64())
        .sum();
    if policy_off > 0 {
        advice.push(format!("{} tokens of the newest requests were left alone because the configuration says so for their tool: check whether it still should.", shown(policy_off)));
    }
    let hit_rate = stats.pointer("/prefix_cache/totals/hit_rate").and_then(Value::as_f64);
    if let Some(rate) =
        hit_rate.filter(|rate| *rate < LOW_HIT_RATE && at("/prefix_cache/totals/requests") >= ENOUGH)
    {
        advice.push(format!("Only {rate:.0} % of the requests read from the provider's cache: for agents it is usually most. See that the client marks its prompt for caching, and that nothing at its beginning changes from turn to turn."));
    }
    advice
}

/// Tools that weigh much and are hardly compressed.
fn tools(stats: &Value) -> Vec<String> {
    let tokens = |sums: &Value, name: &str| sums.get(name).and_then(Value::as_i64).unwrap_or(0);
    let tools = sorted(stats, "/blocks/by_tool", |sums| sums.get("tokens_before")?.as_i64());
    let all: i64 = tools.iter().map(|(_, sums)| tokens(sums, "tokens_before")).sum();
    let heavy = |(_, sums): &(&str, &Value)| {
        let before = tokens(sums, "tokens_before");
        before > 0
            && before * 100 >= all * WORTH_A_WORD
            && tokens(sums, "tokens_saved") * 100 < before * HARDLY
    };
    let sentence = |(name, sums): (&str, &Value)| {
        let before = tokens(sums, "tokens_before");
        format!(
            "{name} makes {} % of all tool output and has hardly anything to compress: have the agent ask it for less, by a line range, a limit or a filter.",
            before * 100 / all
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
        let advice = advice(&stats, &[request]);
        for (found, part) in advice.iter().zip(["1,200 records", "Read makes 60 %", "50 tokens", "Only 12 %"])
        {
            assert!(found.contains(part), "{found}");
        }
        assert_eq!(advice.len(), 4);
    }

    #[test]
    fn where_nothing_is_wrong_nothing_is_said() {
        assert_eq!(
            advice(&json!({"prefix_cache": {"totals": {"hit_rate": 0.0, "requests": 3}}}), &[]),
            [""; 0]
        );
    }
}
