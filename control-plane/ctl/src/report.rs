//! `headroomctl report`: what was saved and what still is wasted, as one page that needs nothing else.

use std::fs;
use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::Args;
use minijinja::{AutoEscape, Environment as Templates};
use serde::Serialize;
use serde_json::{Value, json};

use crate::figures::{dollars, name_or_dash, number, percent};
use crate::running::At;

#[path = "report/advice.rs"]
mod advice;

/// The newest requests that are looked at one by one; the sidecar gives no more.
const REQUESTS: usize = 100;
/// Requests that are listed.
const LISTED: usize = 15;
/// How far back the days go.
const DAYS: u64 = 30;

/// Writes a report of what was saved and what is wasted.
#[derive(Args, Clone, Debug, Default)]
pub struct ReportArgs {
    /// The file to write, one HTML page with everything in it
    #[arg(long, value_name = "FILE", required = true)]
    pub html: PathBuf,
    /// Where Headroom listens.
    #[command(flatten)]
    pub at: At,
}

/// Asks `/stats`, `/transformations/feed` and `/stats-history`, and writes the page.
pub async fn report(args: &ReportArgs) -> anyhow::Result<()> {
    let running = args.at.running()?;
    let stats = running.json("/stats", &[]).await?;
    let feed = running.json("/transformations/feed", &[("limit", REQUESTS.to_string())]).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let from = now.saturating_sub(Duration::from_secs(DAYS * 24 * 3600)).as_millis().to_string();
    let query = [("series", "daily".to_owned()), ("history_mode", "none".to_owned()), ("from", from)];
    let history = running.json("/stats-history", &query).await?;
    let page = page(&stats, &feed, &history)?;
    fs::write(&args.html, page).with_context(|| format!("{} cannot be written", args.html.display()))?;
    writeln!(stdout(), "{}", args.html.display())?;
    Ok(())
}

/// A bar of a chart: what it stands for, what it says, and its length in percent of the longest.
#[derive(Serialize)]
struct Bar {
    name: String,
    value: String,
    length: f64,
}

/// The page. All texts are escaped by the template's engine.
pub fn page(stats: &Value, feed: &Value, history: &Value) -> anyhow::Result<String> {
    let requests =
        feed.get("transformations").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let at = |pointer: &str| stats.pointer(pointer);
    let totals = [
        (
            "Tokens saved",
            percent(at("/tokens/savings_percent")),
            format!("{} of {}", number(at("/tokens/saved")), number(at("/tokens/total_before_compression"))),
        ),
        (
            "Dollars saved",
            dollars(at("/cost/breakdown/compression_savings_usd")),
            format!(
                "cache-adjusted; {} at list price",
                dollars(at("/cost/breakdown/compression_savings_list_usd"))
            ),
        ),
        (
            "Requests",
            number(at("/requests/total")),
            format!(
                "{} compressed, {} failed",
                number(at("/requests/compressed")),
                number(at("/requests/failed"))
            ),
        ),
        (
            "Tool outputs",
            percent(at("/tokens/tool_outputs/savings_percent")),
            format!(
                "less; JSON minification alone would be {}",
                percent(at("/tokens/tool_outputs/json_minification_alone_percent"))
            ),
        ),
    ];
    let mut templates = Templates::new();
    templates.set_auto_escape_callback(|_| AutoEscape::Html);
    templates.add_template("report", include_str!("report/page.html.j2"))?;
    let rendered = templates.get_template("report")?.render(minijinja::value::Serde(&json!({
        "generated_at": at("/generated_at"),
        "totals": totals,
        "days": days(history),
        "histogram": histogram(requests),
        "looked_at": requests.len(),
        "tools": tools(stats),
        "requests": top(requests),
        "advice": advice::advice(stats, requests),
    })))?;
    Ok(rendered)
}

/// Tokens that a request carried and did not need: what was taken out of it.
fn waste(request: &Value) -> i64 {
    let tokens = |name: &str| request.get(name).and_then(Value::as_i64).unwrap_or(0);
    tokens("input_tokens_original") - tokens("input_tokens_optimized")
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

/// How many requests had how much of them taken out.
fn histogram(requests: &[Value]) -> Vec<Bar> {
    let mut counts = [0_i64; 11];
    for request in requests {
        let before = request.get("input_tokens_original").and_then(Value::as_i64).unwrap_or(0);
        let share = if before > 0 { waste(request).clamp(0, before) as f64 / before as f64 } else { 0.0 };
        // nothing at all is a class of its own, then tenths
        let class = if share == 0.0 { 0 } else { 1 + ((share * 10.0) as usize).min(9) };
        counts[class] += 1;
    }
    let name = |class: usize| {
        if class == 0 { "nothing".to_owned() } else { format!("{}–{} %", class * 10 - 10, class * 10) }
    };
    bars(counts.iter().enumerate().map(|(class, count)| (name(class), *count, count.to_string())).collect())
}

fn days(history: &Value) -> Vec<Bar> {
    let points = history.pointer("/series/daily").and_then(Value::as_array);
    let day = |point: &Value| {
        let saved = point.get("tokens_saved").and_then(Value::as_i64).unwrap_or(0);
        let date = point.get("timestamp").and_then(Value::as_str).and_then(|at| at.get(..10)).unwrap_or("–");
        (date.to_owned(), saved, number(point.get("tokens_saved")))
    };
    bars(points.into_iter().flatten().map(day).collect())
}

#[derive(Serialize)]
struct Tool {
    name: String,
    before: String,
    after: String,
    saved: String,
}

fn tools(stats: &Value) -> Vec<Tool> {
    let sorted = crate::figures::sorted(stats, "/blocks/by_tool", |sums| sums.get("tokens_before")?.as_i64());
    let tool = |(name, sums): (&str, &Value)| Tool {
        name: name_or_dash(name),
        before: number(sums.get("tokens_before")),
        after: number(sums.get("tokens_after")),
        saved: share(sums),
    };
    sorted.into_iter().take(LISTED).map(tool).collect()
}

fn share(sums: &Value) -> String {
    let before = sums.get("tokens_before").and_then(Value::as_f64).filter(|before| *before > 0.0);
    let saved = sums.get("tokens_saved").and_then(Value::as_f64);
    percent(before.zip(saved).map(|(before, saved)| Value::from(saved / before * 100.0)).as_ref())
}

#[derive(Serialize)]
struct Request {
    time: String,
    model: String,
    before: String,
    waste: String,
    percent: String,
    blocks: Vec<String>,
}

fn top(requests: &[Value]) -> Vec<Request> {
    let mut sorted: Vec<&Value> = requests.iter().filter(|request| waste(request) > 0).collect();
    sorted.sort_by_key(|request| std::cmp::Reverse(waste(request)));
    let text =
        |value: &Value, name: &str| name_or_dash(value.get(name).and_then(Value::as_str).unwrap_or_default());
    let block = |block: &Value| {
        format!(
            "{}: {}, {} → {}",
            text(block, "tool"),
            text(block, "outcome"),
            number(block.get("tokens_before")),
            number(block.get("tokens_after"))
        )
    };
    let request = |request: &&Value| Request {
        time: text(request, "timestamp").get(..19).unwrap_or_default().replace('T', " "),
        model: text(request, "model"),
        before: number(request.get("input_tokens_original")),
        waste: number(Some(&Value::from(waste(request)))),
        percent: percent(request.get("savings_percent")),
        blocks: request.get("blocks").and_then(Value::as_array).into_iter().flatten().map(block).collect(),
    };
    sorted.iter().take(LISTED).map(request).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "<img src=x onerror=alert(1)>";

    fn request(before: i64, after: i64) -> Value {
        json!({"timestamp": "2026-03-01T10:00:00.000000Z", "model": HOSTILE, "input_tokens_original": before,
               "input_tokens_optimized": after, "savings_percent": 10.0,
               "blocks": [{"tool": HOSTILE, "outcome": "json_table", "tokens_before": before, "tokens_after": after}]})
    }

    #[test]
    fn names_are_escaped_and_nothing_is_asked_of_anyone() {
        let stats = json!({"blocks": {"by_tool": {HOSTILE: {"tokens_before": 10, "tokens_after": 5, "tokens_saved": 5}}}});
        let page = page(&stats, &json!({"transformations": [request(1000, 100)]}), &json!({})).unwrap();
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
        let page = page(&json!({}), &json!({}), &json!({})).unwrap();
        assert!(page.contains("No request") && page.contains("Nothing stands out"), "{page}");
    }
}
