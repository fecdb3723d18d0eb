//! `headroomctl stats`: what a running Headroom has saved.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::Duration;

use clap::Args;
use comfy_table::Table;
use serde_json::Value;

use crate::figures::{dollars, milliseconds, name_or_dash, number, percent, sorted, table};
use crate::running::{At, Running};

/// Shows what a running Headroom has saved.
#[derive(Args, Clone, Debug, Default)]
pub struct StatsArgs {
    /// Where Headroom listens.
    #[command(flatten)]
    pub at: At,
    /// Print the answer of /stats as it is, in JSON
    #[arg(long)]
    pub json: bool,
    /// Print again every so many seconds, 2 where no number is given, until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub watch: Option<u64>,
}

/// What a terminal takes to begin on an empty screen.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// Asks `/stats` and prints the answer, once or again and again.
pub async fn stats(args: &StatsArgs) -> anyhow::Result<()> {
    let running = args.at.running()?;
    print(&running, args, "").await?;
    let Some(seconds) = args.watch else { return Ok(()) };
    let clear = if stdout().is_terminal() && !args.json { CLEAR } else { "" };
    loop {
        tokio::select! {
            stopped = tokio::signal::ctrl_c() => return Ok(stopped?),
            () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
        }
        print(&running, args, clear).await?;
    }
}

async fn print(running: &Running, args: &StatsArgs, before: &str) -> anyhow::Result<()> {
    let out = if args.json {
        running.text("/stats", &[]).await? + "\n"
    } else {
        tables(&running.json("/stats", &[]).await?)
    };
    let mut stdout = stdout().lock();
    stdout.write_all(before.as_bytes())?;
    stdout.write_all(out.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

/// The figures for people. What an older or newer sidecar does not send is left out or a dash.
pub fn tables(figures: &Value) -> String {
    let mut out = String::new();
    let mut section = |title: &str, table: &Table| {
        if table.row_count() > 0 {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{title}\n{table}\n");
        }
    };
    section("Savings", &summary(figures));
    section("The same savings, counted in every way", &side_by_side(figures));
    section("Subscriptions", &subscriptions(figures));
    section("Requests by outcome", &counts(figures, "/requests/by_outcome"));
    section("Requests by provider", &counts(figures, "/requests/by_provider"));
    section("Requests by model", &counts(figures, "/requests/by_model"));
    section("Requests by project", &counts(figures, "/requests/by_project"));
    section("Tool outputs by tool", &blocks(figures, "/blocks/by_tool"));
    section("Tool outputs by kind", &blocks(figures, "/blocks/by_kind"));
    section("Tool outputs by outcome", &blocks(figures, "/blocks/by_outcome"));
    section("Recent requests", &recent(figures));
    out
}

fn summary(figures: &Value) -> Table {
    let mut table = table(&[], 2);
    let mut row = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    let at = |pointer: &str| figures.pointer(pointer);
    row("requests", number(at("/requests/total")));
    row("compressed", number(at("/requests/compressed")));
    row("failed", number(at("/requests/failed")));
    row("tokens sent by clients", number(at("/tokens/total_before_compression")));
    row("tokens forwarded", number(at("/tokens/input")));
    row("saved", format!("{}, {}", number(at("/tokens/saved")), percent(at("/tokens/savings_percent"))));
    row(
        "saved of tool outputs",
        format!(
            "{} (JSON minification alone: {})",
            percent(at("/tokens/tool_outputs/savings_percent")),
            percent(at("/tokens/tool_outputs/json_minification_alone_percent"))
        ),
    );
    if at("/audit/requests").and_then(Value::as_i64).is_some_and(|audited| audited > 0) {
        row(
            "audited: would have been saved",
            format!(
                "{} of {}, {}",
                number(at("/audit/would_have_saved")),
                number(at("/audit/tokens")),
                percent(at("/audit/would_have_saved_percent"))
            ),
        );
    }
    row("saved, cache-adjusted", dollars(at("/cost/breakdown/compression_savings_usd")));
    let of_subscriptions = at("/subscriptions/requests").and_then(Value::as_i64).unwrap_or_default();
    if of_subscriptions > 0 {
        row(
            "saved with subscriptions",
            format!(
                "{} tokens in {} requests, which have no price and count in no dollars",
                number(at("/subscriptions/tokens_saved")),
                number(at("/subscriptions/requests"))
            ),
        );
    }
    if let Some(reasoning) = at("/reasoning/totals") {
        let figure = |name: &str| number(reasoning.get(name));
        let dropped = reasoning.get("prefix_mismatches");
        let whose = format!(
            "{} (by Headroom {}, by clients {}, unseen {})",
            number(dropped),
            figure("by_headroom"),
            figure("by_client"),
            figure("unseen")
        );
        let none = dropped.and_then(Value::as_i64) == Some(0);
        row("reasoning lost to a changed prefix", if none { "none".to_owned() } else { whose });
        if reasoning.get("recovered_requests").and_then(Value::as_i64) != Some(0) {
            row("requests recovered", figure("recovered_requests"));
        }
    }
    row(
        "added latency",
        format!("p50 {}, p99 {}", milliseconds(at("/overhead/p50_ms")), milliseconds(at("/overhead/p99_ms"))),
    );
    table
}

/// How much of each allowance is used.
fn subscriptions(figures: &Value) -> Table {
    let mut table = table(&["", "window", "state", "begins anew", "used", "tokens saved since it began"], 4);
    for account in figures.pointer("/subscriptions/accounts").and_then(Value::as_array).into_iter().flatten()
    {
        let text = |value: &Value, key: &str| {
            name_or_dash(value.get(key).and_then(Value::as_str).unwrap_or_default())
        };
        for (n, window) in account["windows"].as_array().into_iter().flatten().enumerate() {
            let is_over = window["has_begun_anew"].as_bool().unwrap_or_default();
            table.add_row([
                text(account, "provider"),
                span(window),
                if is_over { "over since".to_owned() } else { text(window, "status") },
                text(window, "resets_at").replace(".000000Z", "Z"),
                percent(window.get("used_percent")),
                // Counted since the shortest began, which is the first.
                if n == 0 { number(account.get("tokens_saved")) } else { "–".to_owned() },
            ]);
        }
    }
    table
}

/// A window's length where it is known, else its name.
fn span(window: &Value) -> String {
    match window.get("minutes").and_then(Value::as_u64) {
        Some(minutes) if minutes >= 24 * 60 && minutes % (24 * 60) == 0 => {
            format!("{} d", minutes / (24 * 60))
        }
        Some(minutes) if minutes >= 60 && minutes % 60 == 0 => format!("{} h", minutes / 60),
        Some(minutes) => format!("{minutes} min"),
        None => name_or_dash(window.get("window").and_then(Value::as_str).unwrap_or_default()),
    }
}

/// Empty for a sidecar that does not count so.
fn side_by_side(figures: &Value) -> Table {
    let mut table = table(
        &[
            "counted",
            "tokens not sent",
            "list price",
            "with cache prices",
            "of tool outputs",
            "by JSON minification",
        ],
        1,
    );
    for (name, about) in [("per_request", "in every request"), ("unique", "once per output")] {
        let at = |pointer: &str| figures.pointer(&format!("/savings/side_by_side/{name}/{pointer}"));
        let Some(tokens) = at("tokens_not_sent") else { continue };
        table.add_row([
            about.to_owned(),
            number(Some(tokens)),
            dollars(at("list_usd")),
            dollars(at("cache_adjusted_usd")),
            percent(at("tool_outputs/savings_percent")),
            percent(at("tool_outputs/json_minification_alone_percent")),
        ]);
    }
    table
}

fn counts(figures: &Value, pointer: &str) -> Table {
    let mut table = table(&["", "requests"], 1);
    for (name, count) in sorted(figures, pointer, |count| count.as_i64()) {
        table.add_row([name_or_dash(name), number(Some(count))]);
    }
    table
}

fn blocks(figures: &Value, pointer: &str) -> Table {
    let mut table = table(&["", "blocks", "tokens before", "after", "saved"], 1);
    for (name, sums) in sorted(figures, pointer, |sums| sums.get("tokens_saved").and_then(Value::as_i64)) {
        table.add_row([
            name_or_dash(name),
            number(sums.get("blocks")),
            number(sums.get("tokens_before")),
            number(sums.get("tokens_after")),
            number(sums.get("tokens_saved")),
        ]);
    }
    table
}

fn recent(figures: &Value) -> Table {
    let mut table = table(&["request", "model", "outcome", "tokens before", "after", "saved", "added"], 3);
    for request in figures.pointer("/recent_requests").and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| name_or_dash(request.get(key).and_then(Value::as_str).unwrap_or_default());
        table.add_row([
            text("request_id"),
            text("model"),
            text("outcome"),
            number(request.get("input_tokens_original")),
            number(request.get("input_tokens_optimized")),
            percent(request.get("savings_percent")),
            milliseconds(request.get("optimization_latency_ms")),
        ]);
    }
    table
}
