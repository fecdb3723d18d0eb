//! The long form: every figure, in tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::Table;
use headroom_api::pages::{AllowanceWindow, BlockSums, Request, Stats, Subscriptions, ToolOutputs};

use crate::figures::{dollars, milliseconds, name_or_dash, number, percent, sorted, table};

/// The figures for people. A section that an older or newer sidecar does not send is left out, or shown
/// as dashes.
pub fn tables(stats: &Stats) -> String {
    let mut out = String::new();
    let mut section = |title: &str, table: &Table| {
        if table.row_count() > 0 {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{title}\n{table}\n");
        }
    };
    section("Savings", &summary(stats));
    section("The same savings, counted in every way", &side_by_side(stats));
    section("Subscriptions", &subscriptions(stats.subscriptions.as_ref()));
    if let Some(requests) = &stats.requests {
        section("Requests by outcome", &counts(&requests.by_outcome));
        section("Requests by provider", &counts(&requests.by_provider));
        section("Requests by model", &counts(&requests.by_model));
        section("Requests by project", &counts(&requests.by_project));
    }
    if let Some(blocks) = &stats.blocks {
        section("Tool outputs by tool", &block_sums(&blocks.by_tool));
        section("Tool outputs by kind", &block_sums(&blocks.by_kind));
        section("Tool outputs by outcome", &block_sums(&blocks.by_outcome));
    }
    section("Recent requests", &recent(&stats.recent_requests));
    out
}

fn summary(stats: &Stats) -> Table {
    let mut table = table(&[], 2);
    let mut row = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    let requests = stats.requests.as_ref();
    let tokens = stats.tokens.as_ref();
    let outputs = tokens.and_then(|tokens| tokens.tool_outputs.as_ref());
    row("requests", number(requests.map(|it| it.total)));
    row("compressed", number(requests.map(|it| it.compressed)));
    row("failed", number(requests.map(|it| it.failed)));
    row("tokens sent by clients", number(tokens.map(|it| it.total_before_compression)));
    row("tokens forwarded", number(tokens.map(|it| it.input)));
    row(
        "saved",
        format!("{}, {}", number(tokens.map(|it| it.saved)), percent(tokens.map(|it| it.savings_percent))),
    );
    row(
        "saved of tool outputs",
        format!(
            "{} (JSON minification alone: {})",
            percent(outputs.map(|it| it.savings_percent)),
            percent(outputs.map(|it| it.json_minification_alone_percent))
        ),
    );
    if let Some(audit) = stats.audit.as_ref().filter(|audit| audit.requests > 0) {
        row(
            "audited: would have been saved",
            format!(
                "{} of {}, {}",
                number(Some(audit.would_have_saved)),
                number(Some(audit.tokens)),
                percent(Some(audit.would_have_saved_percent))
            ),
        );
    }
    let cost = stats.cost.as_ref();
    row("saved, cache-adjusted", dollars(cost.map(|it| it.breakdown.compression_savings_usd)));
    if let Some(answers) = stats.answers.as_ref().filter(|it| it.found > 0) {
        row(
            "answered again",
            format!(
                "{} requests, {} of those that were looked up; {} saved",
                number(Some(answers.found)),
                percent(Some(answers.hit_rate)),
                dollars(Some(answers.saved_usd))
            ),
        );
    }
    if let Some(subscriptions) = stats.subscriptions.as_ref().filter(|it| it.requests > 0) {
        row(
            "saved with subscriptions",
            format!(
                "{} tokens in {} requests, which have no price and count in no dollars",
                number(Some(subscriptions.tokens_saved)),
                number(Some(subscriptions.requests))
            ),
        );
    }
    if let Some(reasoning) = stats.reasoning.as_ref().and_then(|reasoning| reasoning.totals.as_ref()) {
        let whose = format!(
            "{} (by Headroom {}, by clients {}, unseen {})",
            number(Some(reasoning.prefix_mismatches)),
            number(Some(reasoning.by_headroom)),
            number(Some(reasoning.by_client)),
            number(Some(reasoning.unseen))
        );
        let none = reasoning.prefix_mismatches == 0;
        row("reasoning lost to a changed prefix", if none { "none".to_owned() } else { whose });
        if reasoning.recovered_requests != 0 {
            row("requests recovered", number(Some(reasoning.recovered_requests)));
        }
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
    table
}

/// How much of each allowance is used.
fn subscriptions(subscriptions: Option<&Subscriptions>) -> Table {
    let mut table = table(&["", "window", "state", "resets at", "used", "tokens saved since it began"], 4);
    let text = |value: &Option<String>| name_or_dash(value.as_deref().unwrap_or_default());
    for account in subscriptions.into_iter().flat_map(|it| &it.accounts) {
        for (n, window) in account.windows.iter().enumerate() {
            table.add_row([
                name_or_dash(&account.provider),
                span(window),
                if window.has_begun_anew { "over since".to_owned() } else { text(&window.status) },
                text(&window.resets_at).replace(".000000Z", "Z"),
                percent(Some(window.used_percent)),
                // The count starts with the shortest window, which is the first.
                if n == 0 { number(Some(account.tokens_saved)) } else { "–".to_owned() },
            ]);
        }
    }
    table
}

/// A window's length where it is known, else its name.
fn span(window: &AllowanceWindow) -> String {
    match window.minutes {
        Some(minutes) if minutes >= 24 * 60 && minutes % (24 * 60) == 0 => {
            format!("{} d", minutes / (24 * 60))
        }
        Some(minutes) if minutes >= 60 && minutes % 60 == 0 => format!("{} h", minutes / 60),
        Some(minutes) => format!("{minutes} min"),
        None => name_or_dash(&window.window),
    }
}

/// Empty if the sidecar does not send these figures.
fn side_by_side(stats: &Stats) -> Table {
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
    let Some(both) = stats.savings.as_ref().and_then(|savings| savings.side_by_side.as_ref()) else {
        return table;
    };
    let mut row = |about: &str, tokens: i64, list_usd: Option<f64>, usd: f64, outputs: &ToolOutputs| {
        table.add_row([
            about.to_owned(),
            number(Some(tokens)),
            dollars(list_usd),
            dollars(Some(usd)),
            percent(Some(outputs.savings_percent)),
            percent(Some(outputs.json_minification_alone_percent)),
        ]);
    };
    let each = &both.per_request;
    row(
        "in every request",
        each.tokens_not_sent,
        Some(each.list_usd),
        each.cache_adjusted_usd,
        &each.tool_outputs,
    );
    let once = &both.unique;
    row("once per output", once.tokens_not_sent, None, once.cache_adjusted_usd, &once.tool_outputs);
    table
}

fn counts(requests: &BTreeMap<String, i64>) -> Table {
    let mut table = table(&["", "requests"], 1);
    for (name, count) in sorted(requests, |count| *count) {
        table.add_row([name_or_dash(name), number(Some(*count))]);
    }
    table
}

fn block_sums(blocks: &BTreeMap<String, BlockSums>) -> Table {
    let mut table = table(&["", "blocks", "tokens before", "after", "saved"], 1);
    for (name, sums) in sorted(blocks, |sums| sums.tokens_saved) {
        table.add_row([
            name_or_dash(name),
            number(Some(sums.blocks)),
            number(Some(sums.tokens_before)),
            number(Some(sums.tokens_after)),
            number(Some(sums.tokens_saved)),
        ]);
    }
    table
}

fn recent(requests: &[Request]) -> Table {
    let mut table = table(&["request", "model", "outcome", "tokens before", "after", "saved", "added"], 3);
    for request in requests {
        table.add_row([
            name_or_dash(&request.request_id),
            name_or_dash(&request.model),
            name_or_dash(&request.outcome),
            number(Some(request.input_tokens_original)),
            number(Some(request.input_tokens_optimized)),
            percent(Some(request.savings_percent)),
            milliseconds(Some(request.optimization_latency_ms)),
        ]);
    }
    table
}
