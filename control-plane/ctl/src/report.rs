//! `headroomctl report`: savings and remaining waste, as one self-contained page.

use std::fs;
use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::Args;
use headroom_api::pages::{Block, BlockSums, Cache, Feed, Request, SeriesPoint, Stats, StatsHistory};
use minijinja::{AutoEscape, Environment as Templates};
use serde::Serialize;
use serde_json::json;

use crate::cache;
use crate::figures::{dollars, name_or_dash, number, or_no_price, percent, sorted};
use crate::history::ago;
use crate::running::SidecarArgs;

#[path = "report/advice.rs"]
mod advice;

/// The number of newest requests in the report; the sidecar returns no more.
const REQUESTS: usize = 100;
/// The number of requests in the list.
const LISTED: usize = 15;
/// The number of days.
const DAYS: u64 = 30;

/// Writes a report of what was saved and what is wasted.
#[derive(Args, Clone, Debug, Default)]
pub struct ReportArgs {
    /// The file to write, one HTML page with everything in it
    #[arg(long, value_name = "FILE", required = true)]
    pub html: PathBuf,
    /// Where Headroom listens.
    #[command(flatten)]
    pub at: SidecarArgs,
}

/// Asks `/stats`, `/transformations/feed`, `/stats-history` and `/stats-cache`, and writes the page.
pub async fn report(args: &ReportArgs) -> anyhow::Result<()> {
    let running = args.at.running()?;
    let stats = running.page("/stats", &[]).await?;
    let feed = running.page("/transformations/feed", &[("limit", REQUESTS.to_string())]).await?;
    let from = ago(SystemTime::now(), Duration::from_secs(DAYS * 24 * 3600));
    let query = [("series", "daily".to_owned()), ("history_mode", "none".to_owned()), ("from", from.clone())];
    let history = running.page("/stats-history", &query).await?;
    // An older headroomd does not have this page; its report is without it.
    let cache = cache::page_if_there(&running, &[("since", from)]).await?;
    let cache = cache.map(|body| cache::read(&running, &body)).transpose()?;
    let page = page(&stats, &feed, &history, cache.as_ref())?;
    fs::write(&args.html, page).with_context(|| format!("{} cannot be written", args.html.display()))?;
    writeln!(stdout(), "{}", args.html.display())?;
    Ok(())
}

/// A bar of a chart: its name, its text, and its length in percent of the longest.
#[derive(Serialize)]
struct Bar {
    name: String,
    value: String,
    length: f64,
}

/// The page. The template engine escapes all texts.
pub fn page(
    stats: &Stats,
    feed: &Feed,
    history: &StatsHistory,
    cache: Option<&Cache>,
) -> anyhow::Result<String> {
    let requests = feed.transformations.as_slice();
    let tokens = stats.tokens.as_ref();
    let outputs = tokens.and_then(|tokens| tokens.tool_outputs.as_ref());
    let saved = stats.cost.as_ref().map(|cost| &cost.breakdown);
    let counted = stats.requests.as_ref();
    let totals = [
        (
            "Tokens saved",
            percent(tokens.map(|it| it.savings_percent)),
            format!(
                "{} of {}",
                number(tokens.map(|it| it.saved)),
                number(tokens.map(|it| it.total_before_compression))
            ),
        ),
        (
            "Dollars saved",
            dollars(saved.map(|it| it.compression_savings_usd)),
            format!(
                "cache-adjusted; {} at list price",
                dollars(saved.map(|it| it.compression_savings_list_usd))
            ),
        ),
        (
            "Requests",
            number(counted.map(|it| it.total)),
            format!(
                "{} compressed, {} failed",
                number(counted.map(|it| it.compressed)),
                number(counted.map(|it| it.failed))
            ),
        ),
        (
            "Tool outputs",
            percent(outputs.map(|it| it.savings_percent)),
            format!(
                "less; only JSON minification would be {}",
                percent(outputs.map(|it| it.json_minification_alone_percent))
            ),
        ),
    ];
    let mut templates = Templates::new();
    templates.set_auto_escape_callback(|_| AutoEscape::Html);
    templates.add_template("report", include_str!("report/page.html.j2"))?;
    let rendered = templates.get_template("report")?.render(minijinja::value::Serde(&json!({
        "generated_at": stats.generated_at,
        "totals": totals,
        "days": days(history),
        "histogram": histogram(requests),
        "looked_at": requests.len(),
        "tools": tools(stats),
        "requests": top(requests),
        "advice": advice::advice(stats, requests),
        "cache": cache.filter(|cache| cache.totals.requests > 0).map(caching),
    })))?;
    Ok(rendered)
}

/// What prompt caches cost and lost, in words.
#[derive(Serialize)]
struct Caching {
    range: String,
    figures: Vec<(&'static str, String)>,
    bill: Vec<Bar>,
    losses: Vec<Loss>,
    causes: Vec<(String, String)>,
    others: Vec<(String, String, String)>,
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct Loss {
    meaning: String,
    requests: String,
    tokens: String,
    lost: String,
}

#[derive(Serialize)]
struct Group {
    name: String,
    requests: String,
    bill: String,
    lost: String,
    reason: String,
}

fn caching(cache: &Cache) -> Caching {
    let (totals, bill) = (&cache.totals, &cache.bill);
    let day = |time: &str| name_or_dash(time.get(..10).unwrap_or_default());
    let share = || totals.read_tokens as f64 / totals.readable_tokens as f64 * 100.0;
    let part = |name: &str, usd: f64| (name.to_owned(), (usd * 1e6) as i64, dollars(Some(usd)));
    Caching {
        range: format!("{} to {}, in UTC", day(&cache.since), day(&cache.until)),
        figures: vec![
            ("Read of what could be read", percent((totals.readable_tokens > 0).then(share))),
            ("Bill", dollars(Some(bill.total_usd))),
            ("With a perfect cache", dollars(Some(bill.perfect_cache_usd))),
            ("Without Headroom", dollars(Some(bill.without_headroom_usd))),
        ],
        bill: bars(vec![
            part("Read from the cache", bill.read_usd),
            part("Written to it", bill.write_usd),
            part("Other input", bill.input_usd),
            part("Output", bill.output_usd),
        ]),
        losses: cache
            .losses
            .iter()
            .map(|loss| Loss {
                meaning: cache::meaning(&loss.reason).to_owned(),
                requests: number(Some(loss.requests)),
                tokens: number(Some(loss.tokens)),
                lost: or_no_price(loss.lost_usd),
            })
            .collect(),
        causes: cache.causes.iter().map(|cause| (cause.what.clone(), cause.advice.clone())).collect(),
        others: cache
            .what_if
            .iter()
            .map(|other| (other.name.replace('_', " "), dollars(Some(other.saved_usd)), other.about.clone()))
            .collect(),
        groups: cache
            .groups
            .iter()
            .take(LISTED)
            .map(|group| Group {
                name: format!("{} {}", group.by, name_or_dash(&group.value)),
                requests: number(Some(group.totals.requests)),
                bill: or_no_price(group.total_usd),
                lost: or_no_price(group.lost_usd),
                reason: name_or_dash(cache::meaning(&group.worst_reason)),
            })
            .collect(),
    }
}

/// Tokens that a request did not need: the ones that were removed.
fn waste(request: &Request) -> i64 {
    request.input_tokens_original - request.input_tokens_optimized
}

fn bars(values: Vec<(String, i64, String)>) -> Vec<Bar> {
    let longest = values.iter().map(|(_, size, _)| *size).max().unwrap_or(0).max(1) as f64;
    let bar = |(name, size, value): (String, i64, String)| Bar {
        name,
        value,
        length: (size as f64 / longest * 100.0).clamp(0.0, 100.0),
    };
    values.into_iter().map(bar).collect()
}

/// A histogram of the share that was removed from requests.
fn histogram(requests: &[Request]) -> Vec<Bar> {
    let mut counts = [0_i64; 11];
    for request in requests {
        let before = request.input_tokens_original;
        let share = if before > 0 { waste(request).clamp(0, before) as f64 / before as f64 } else { 0.0 };
        // the first class is exactly zero, the others are tenths
        let class = if share == 0.0 { 0 } else { 1 + ((share * 10.0) as usize).min(9) };
        counts[class] += 1;
    }
    let name = |class: usize| {
        if class == 0 { "nothing".to_owned() } else { format!("{}–{} %", class * 10 - 10, class * 10) }
    };
    bars(counts.iter().enumerate().map(|(class, count)| (name(class), *count, count.to_string())).collect())
}

fn days(history: &StatsHistory) -> Vec<Bar> {
    let day = |point: &SeriesPoint| {
        let date = point.timestamp.get(..10).unwrap_or("–");
        (date.to_owned(), point.tokens_saved, number(Some(point.tokens_saved)))
    };
    bars(history.series.get("daily").into_iter().flatten().map(day).collect())
}

#[derive(Serialize)]
struct Tool {
    name: String,
    before: String,
    after: String,
    saved: String,
}

fn tools(stats: &Stats) -> Vec<Tool> {
    let Some(blocks) = &stats.blocks else { return Vec::new() };
    let tool = |(name, sums): (&str, &BlockSums)| Tool {
        name: name_or_dash(name),
        before: number(Some(sums.tokens_before)),
        after: number(Some(sums.tokens_after)),
        saved: share(sums),
    };
    sorted(&blocks.by_tool, |sums| sums.tokens_before).into_iter().take(LISTED).map(tool).collect()
}

fn share(sums: &BlockSums) -> String {
    let share = || sums.tokens_saved as f64 / sums.tokens_before as f64 * 100.0;
    percent((sums.tokens_before > 0).then(share))
}

#[derive(Serialize)]
struct ListedRequest {
    time: String,
    model: String,
    before: String,
    waste: String,
    percent: String,
    blocks: Vec<String>,
}

fn top(requests: &[Request]) -> Vec<ListedRequest> {
    let mut wasteful: Vec<&Request> = requests.iter().filter(|request| waste(request) > 0).collect();
    wasteful.sort_by_key(|request| std::cmp::Reverse(waste(request)));
    let block = |block: &Block| {
        format!(
            "{}: {}, {} → {}",
            name_or_dash(&block.tool),
            name_or_dash(&block.outcome),
            number(Some(block.tokens_before.into())),
            number(Some(block.tokens_after.into()))
        )
    };
    let listed = |request: &&Request| ListedRequest {
        time: request.timestamp.get(..19).unwrap_or_default().replace('T', " "),
        model: name_or_dash(&request.model),
        before: number(Some(request.input_tokens_original)),
        waste: number(Some(waste(request))),
        percent: percent(Some(request.savings_percent)),
        blocks: request.blocks.iter().map(block).collect(),
    };
    wasteful.iter().take(LISTED).map(listed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "<img src=x onerror=alert(1)>";

    fn request(before: i64, after: i64) -> Request {
        let request = json!({"timestamp": "2026-03-01T10:00:00.000000Z", "model": HOSTILE, "input_tokens_original": before,
               "input_tokens_optimized": after, "savings_percent": 10.0,
               "blocks": [{"tool": HOSTILE, "outcome": "json_table", "tokens_before": before, "tokens_after": after}]});
        serde_json::from_value(request).unwrap()
    }

    /// Names and sentences in it come from requests as well.
    fn hostile_cache() -> Cache {
        let totals = json!({"requests": 4, "read_tokens": 30, "readable_tokens": 40});
        let cache = json!({"since": HOSTILE, "totals": totals, "bill": {"total_usd": 12.5, "read_usd": 2.5},
            "losses": [{"reason": "lifetime_lapsed", "requests": 3, "tokens": 10, "lost_usd": 1.5},
                       {"reason": HOSTILE, "requests": 1, "tokens": 1, "lost_usd": null}],
            "causes": [{"what": HOSTILE, "advice": HOSTILE}],
            "what_if": [{"name": "one_hour_lifetime", "about": HOSTILE, "saved_usd": -1.0}],
            "groups": [{"by": "stack", "value": HOSTILE, "totals": totals, "worst_reason": "tools_changed"}]});
        serde_json::from_value(cache).unwrap()
    }

    #[test]
    fn the_cache_has_a_section_where_something_was_counted() {
        let (cache, empty) = (hostile_cache(), Cache::default());
        let report =
            |cache| page(&Stats::default(), &Feed::default(), &StatsHistory::default(), cache).unwrap();
        let page = report(Some(&cache));
        for text in [
            "75.0 %",
            "$12.50",
            "what had been written had expired",
            "no price",
            "one hour lifetime",
            "-$1.00",
        ] {
            assert!(page.contains(text), "{text}: {page}");
        }
        assert!(!report(Some(&empty)).contains("prompt cache"));
        assert!(!report(None).contains("prompt cache"));
    }

    #[test]
    fn names_are_escaped_and_nothing_is_asked_of_anyone() {
        let stats = json!({"blocks": {"by_tool": {HOSTILE: {"tokens_before": 10, "tokens_after": 5, "tokens_saved": 5}}}});
        let stats = serde_json::from_value(stats).unwrap();
        let feed =
            Feed { transformations: vec![request(1000, 100)], log_full_messages: false, ..Feed::default() };
        let page = page(&stats, &feed, &StatsHistory::default(), Some(&hostile_cache())).unwrap();
        assert!(page.contains("&lt;img") && !page.contains("<img"), "{page}");
        for outside in ["http:", "https:", "src=\"", "<script", "<link", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn requests_fall_into_tenths_and_the_most_wasteful_comes_first() {
        let requests =
            [request(1000, 1000), request(1000, 950), request(1000, 0), request(0, 0), request(1000, 400)];
        let counts: Vec<String> = histogram(&requests).into_iter().map(|bar| bar.value).collect();
        assert_eq!(counts, ["2", "1", "0", "0", "0", "0", "0", "1", "0", "0", "1"]);
        let listed: Vec<String> = top(&requests).into_iter().map(|request| request.waste).collect();
        assert_eq!(listed, ["1,000", "600", "50"]);
    }

    #[test]
    fn a_sidecar_that_has_counted_nothing_has_a_report_too() {
        let page = page(&Stats::default(), &Feed::default(), &StatsHistory::default(), None).unwrap();
        assert!(page.contains("No request") && page.contains("Nothing stands out"), "{page}");
    }
}
