//! `headroomctl cache`: what the providers' prompt caches cost, and the causes of the losses.

mod suggest;

use std::fmt::Write as _;
use std::io::{Write as _, stdout};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use headroom_api::names::MISS_REASONS;
use headroom_api::pages::{Cache, CacheGroup, CacheHour, CacheTotals};
use reqwest::StatusCode;

pub use self::suggest::SuggestArgs;
use crate::figures::{dollars, name_or_dash, number, or_no_price, percent, rest, shortened, table, wrapped};
use crate::history::{ago, span};
use crate::running::{Running, SidecarArgs};

/// Characters of a line of sentences.
const WIDTH: usize = 96;
/// Characters of a name that are shown.
const NAME: usize = 36;

/// Shows what prompt caches cost and lose.
#[derive(Args, Clone, Debug, Default)]
#[command(args_conflicts_with_subcommands = true)]
pub struct CacheArgs {
    /// What to do instead of printing figures.
    #[command(subcommand)]
    pub command: Option<CacheCommand>,
    /// Only the newest hours, days or weeks: 24h, 30d, 12w [default: 7d]
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub since: Option<Duration>,
    /// A table by model, project, stack (the client), tenant, hour, or by the lines of system prompts that change
    #[arg(long, value_enum, value_name = "WHAT")]
    pub by: Option<CacheBreakdown>,
    /// Maximum number of rows in a table
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub top: u16,
    /// Print the JSON of /stats-cache unchanged
    #[arg(long)]
    pub json: bool,
    /// Where Headroom listens.
    #[command(flatten)]
    pub at: SidecarArgs,
}

/// What to do about prompt caches.
#[derive(Clone, Debug, Subcommand)]
pub enum CacheCommand {
    /// Write rules that move lines which change to the end of their system prompts
    #[command(after_help = suggest::EXAMPLES)]
    Suggest(SuggestArgs),
}

/// What figures are broken down by.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum CacheBreakdown {
    /// The model that was asked for
    Model,
    /// The project
    Project,
    /// The client: claude_code, codex, …
    Stack,
    /// The tenant
    Tenant,
    /// The hour, in UTC
    Hour,
    /// The line of a system prompt
    Line,
}

/// Asks `/stats-cache` and prints the answer.
pub async fn cache(args: &CacheArgs) -> anyhow::Result<()> {
    if let Some(CacheCommand::Suggest(args)) = &args.command {
        return suggest::suggest(args).await;
    }
    let running = args.at.running()?;
    let since = args.since.map(|span| ("since", ago(SystemTime::now(), span)));
    let body = page(&running, &since.into_iter().collect::<Vec<_>>()).await?;
    let out = if args.json { body + "\n" } else { text(&read(&running, &body)?, args.by, args.top.into()) };
    stdout().write_all(out.as_bytes())?;
    Ok(())
}

/// What `/stats-cache` answers.
pub(crate) async fn page(running: &Running, query: &[(&str, String)]) -> anyhow::Result<String> {
    page_if_there(running, query).await?.with_context(|| {
        format!(
            "the Headroom at {} keeps no figures of prompt caches, so it is older than this program: bring headroomd and \
             Envoy's configuration up to date",
            running.url("")
        )
    })
}

/// The same; `None` if the server has no such page.
pub(crate) async fn page_if_there(
    running: &Running,
    query: &[(&str, String)],
) -> anyhow::Result<Option<String>> {
    let path = "/stats-cache";
    let (status, body) = running.answer(path, running.get(path).query(query)).await?;
    if status == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    running.figures(path, status, body).map(Some)
}

/// The page in an answer.
pub(crate) fn read(running: &Running, body: &str) -> anyhow::Result<Cache> {
    serde_json::from_str(body)
        .with_context(|| format!("{} answered something other than its page", running.url("/stats-cache")))
}

/// The figures for people.
pub fn text(cache: &Cache, by: Option<CacheBreakdown>, top: usize) -> String {
    if cache.totals.requests == 0 {
        return "No answer that reports usage was counted in this range.\n".to_owned();
    }
    match by {
        None => all(cache),
        Some(CacheBreakdown::Hour) => hours(&cache.hours, top),
        Some(CacheBreakdown::Line) => lines(cache, top),
        Some(CacheBreakdown::Model) => groups(cache, "model", top),
        Some(CacheBreakdown::Project) => groups(cache, "project", top),
        Some(CacheBreakdown::Stack) => groups(cache, "stack", top),
        Some(CacheBreakdown::Tenant) => groups(cache, "tenant", top),
    }
}

fn all(cache: &Cache) -> String {
    // Writing to a String cannot fail.
    let mut out = format!("{}\n\n{}\n", tokens(cache), bill(cache));
    if !cache.losses.is_empty() {
        let mut table = table(&["lost because", "requests", "tokens", "lost"], 1);
        for loss in &cache.losses {
            let (requests, tokens) = (number(Some(loss.requests)), number(Some(loss.tokens)));
            table.add_row([meaning(&loss.reason).to_owned(), requests, tokens, or_no_price(loss.lost_usd)]);
        }
        let _ = write!(out, "\n{table}\n");
    }
    if !cache.causes.is_empty() {
        out.push_str("\nWhat costs most, and what to do\n");
        for (n, cause) in cache.causes.iter().enumerate() {
            let first = format!("{}. ", n + 1);
            out.push_str(&wrapped(&cause.what, &first, WIDTH));
            out.push_str(&wrapped(&cause.advice, "   ", WIDTH));
        }
    }
    if !cache.what_if.is_empty() {
        out.push_str("\nWhat would have been saved, simulated from the same requests; nothing is switched on by itself\n");
        for other in &cache.what_if {
            let line = format!(
                "{} in {} requests: {}. {}",
                dollars(Some(other.saved_usd)),
                number(Some(other.requests)),
                other.name.replace('_', " "),
                other.about
            );
            out.push_str(&wrapped(&line, "   ", WIDTH));
        }
    }
    out
}

fn tokens(cache: &Cache) -> String {
    let totals = &cache.totals;
    let minute = |time: &str| name_or_dash(time.get(..16).unwrap_or(time)).replace('T', " ");
    let mut table = table(&[], 2);
    let mut row = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    row("from, to", format!("{}, {}, UTC", minute(&cache.since), minute(&cache.until)));
    if let Some(scope) = &cache.scope {
        row("of", format!("{} {}", scope.by, shortened(&scope.value, NAME)));
    }
    row(
        "requests",
        format!(
            "{}, {} of them read less than they could",
            number(Some(totals.requests)),
            number(Some(totals.missed_requests))
        ),
    );
    row("tokens that could be read", number(Some(totals.readable_tokens)));
    row("read", format!("{}, {}", number(Some(totals.read_tokens)), share(totals)));
    row(
        "written",
        format!(
            "{}, {} of them not for the first time",
            number(Some(totals.written_tokens)),
            number(Some(totals.rewritten_tokens))
        ),
    );
    row("other input", number(Some(totals.uncached_tokens)));
    row("output", number(Some(totals.output_tokens)));
    table.to_string()
}

fn share(totals: &CacheTotals) -> String {
    let share = || totals.read_tokens as f64 / totals.readable_tokens as f64 * 100.0;
    percent((totals.readable_tokens > 0).then(share))
}

fn bill(cache: &Cache) -> String {
    let bill = &cache.bill;
    let mut table = table(&["bill", "dollars"], 1);
    for (name, usd) in [
        ("read from the cache", bill.read_usd),
        ("written to it", bill.write_usd),
        ("other input", bill.input_usd),
        ("output", bill.output_usd),
        ("together", bill.total_usd),
        ("  with a perfect cache", bill.perfect_cache_usd),
        ("  without Headroom", bill.without_headroom_usd),
        ("saved by Headroom, net of its own tool", bill.saved_usd),
    ] {
        table.add_row([name.to_owned(), dollars(Some(usd))]);
    }
    let mut out = table.to_string();
    for (count, what) in [
        (bill.unpriced_requests, "of models without a known price"),
        (bill.subscription_requests, "that a subscription pays for"),
    ] {
        if count > 0 {
            let _ = write!(out, "\nNot included: {} requests {what}.", number(Some(count)));
        }
    }
    out
}

/// What a reason means; its name if it is newer than this program.
pub(crate) fn meaning(reason: &str) -> &str {
    MISS_REASONS.iter().find(|(name, _)| *name == reason).map_or(reason, |(_, meaning)| meaning)
}

fn groups(cache: &Cache, by: &str, top: usize) -> String {
    let groups: Vec<&CacheGroup> = cache.groups.iter().filter(|group| group.by == by).collect();
    if groups.is_empty() {
        return format!("No request has a {by} in this range.\n");
    }
    let mut table = table(&[by, "requests", "read", "", "bill", "lost", "mostly because"], 1);
    for group in groups.iter().take(top) {
        table.add_row([
            shortened(&group.value, NAME),
            number(Some(group.totals.requests)),
            number(Some(group.totals.read_tokens)),
            share(&group.totals),
            or_no_price(group.total_usd),
            or_no_price(group.lost_usd),
            name_or_dash(meaning(&group.worst_reason)),
        ]);
    }
    format!("{table}\n{}", rest(groups.len(), top))
}

/// The newest hours.
fn hours(hours: &[CacheHour], top: usize) -> String {
    let mut table = table(&["hour, UTC", "requests", "missed", "read", "", "bill", "lost"], 1);
    for hour in hours.iter().skip(hours.len().saturating_sub(top)) {
        table.add_row([
            name_or_dash(hour.start.get(..16).unwrap_or(&hour.start)).replace('T', " "),
            number(Some(hour.totals.requests)),
            number(Some(hour.totals.missed_requests)),
            number(Some(hour.totals.read_tokens)),
            share(&hour.totals),
            dollars(Some(hour.total_usd)),
            dollars(Some(hour.lost_usd)),
        ]);
    }
    format!("{table}\n{}", rest(hours.len(), top))
}

fn lines(cache: &Cache, top: usize) -> String {
    if cache.volatile_lines.is_empty() {
        return "No line of a system prompt has changed in this range.\n".to_owned();
    }
    let mut table = table(&["stack", "prompt", "line", "holds", "changed in requests", "lost"], 2);
    for line in cache.volatile_lines.iter().take(top) {
        table.add_row([
            shortened(&line.stack, NAME),
            name_or_dash(&line.prompt),
            number(Some(line.line.into())),
            name_or_dash(&line.classes.join(", ")),
            number(Some(line.requests)),
            or_no_price(line.lost_usd),
        ]);
    }
    format!(
        "{table}\n{}A prompt is named by a digest of its first line; Headroom keeps none of its text.\n",
        rest(cache.volatile_lines.len(), top)
    )
}
