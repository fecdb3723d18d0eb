//! `headroomctl stats`: what a running Headroom has saved.

mod breakdown;
mod screen;
mod tables;
mod watch;

use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use headroom_api::pages::{Cache, Stats, StatsHistory};

use self::screen::of_range;
pub use self::screen::screen;
pub use self::tables::tables;
use self::watch::Screen;
use crate::history::{ago, span};
use crate::misuse::Misuse;
use crate::running::{Running, SidecarArgs};

/// Shows what a running Headroom has saved.
#[derive(Args, Clone, Debug, Default)]
pub struct StatsArgs {
    /// Where Headroom listens.
    #[command(flatten)]
    pub at: SidecarArgs,
    /// Break the figures down: by model, project, stack (the client), provider, tenant; tool outputs by tool, by kind of content or by form
    #[arg(long, value_enum, value_name = "WHAT")]
    pub by: Option<StatsBreakdown>,
    /// Only the newest hours, days or weeks: 24h, 30d, 12w [default: since the store began]
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub since: Option<Duration>,
    /// Maximum number of rows in a table [default: 3; with --by 20]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000), conflicts_with = "all")]
    pub top: Option<u16>,
    /// Show every table instead of one screen
    #[arg(long, conflicts_with_all = ["by", "since"])]
    pub all: bool,
    /// Print the JSON page behind the figures, unchanged
    #[arg(long)]
    pub json: bool,
    /// Update the figures on the screen until Ctrl-C; every 2 seconds unless a number is given
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub watch: Option<u64>,
}

/// What figures are broken down by.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum StatsBreakdown {
    /// The model that was asked for
    Model,
    /// The project
    Project,
    /// The client: claude_code, codex, …
    Stack,
    /// The provider
    Provider,
    /// The tenant; with what was lost of the provider's cache
    Tenant,
    /// The tool whose output it is
    Tool,
    /// What a tool output contains
    Kind,
    /// The form that a tool output got, or why it got none
    Form,
}

/// A page of headroomd, and its query.
struct Question {
    path: &'static str,
    query: Vec<(&'static str, String)>,
}

impl StatsArgs {
    fn question(&self, now: SystemTime) -> anyhow::Result<Question> {
        let from = self.since.map(|span| ("from", ago(now, span)));
        let history = |more: (&'static str, String)| {
            // Without a start time, a breakdown covers everything that is stored.
            let from = from.clone().unwrap_or(("from", "0".to_owned()));
            let query = vec![("series", "daily".to_owned()), ("history_mode", "none".to_owned()), more, from];
            Question { path: "/stats-history", query }
        };
        Ok(match self.by {
            None if self.since.is_none() => Question { path: "/stats", query: Vec::new() },
            // Hours are kept long enough for every range here; days begin at midnight.
            None => Question {
                path: "/stats-history",
                query: [("series", "hourly".to_owned()), ("history_mode", "none".to_owned())]
                    .into_iter()
                    .chain(from)
                    .collect(),
            },
            Some(StatsBreakdown::Tenant) => Question {
                path: "/stats-cache",
                query: from.map(|(_, from)| ("since", from)).into_iter().collect(),
            },
            Some(
                by @ (StatsBreakdown::Model
                | StatsBreakdown::Project
                | StatsBreakdown::Stack
                | StatsBreakdown::Provider),
            ) => history(("by", by.name().to_owned())),
            Some(by) if self.since.is_some() => {
                return Err(Misuse::of(anyhow!(
                    "--by {}: tool outputs are counted since the store began, so --since cannot go with it",
                    by.name()
                )));
            }
            Some(_) => Question { path: "/stats", query: Vec::new() },
        })
    }

    /// The figures for people.
    fn text(&self, url: &str, body: &str) -> serde_json::Result<String> {
        let top = usize::from(self.top.unwrap_or(if self.by.is_some() { 20 } else { 3 }));
        Ok(match self.by {
            Some(by @ (StatsBreakdown::Tool | StatsBreakdown::Kind | StatsBreakdown::Form)) => {
                breakdown::of_outputs(&serde_json::from_str::<Stats>(body)?, by, top)
            }
            Some(StatsBreakdown::Tenant) => breakdown::of_tenants(&serde_json::from_str::<Cache>(body)?, top),
            Some(_) => breakdown::lines(&serde_json::from_str::<StatsHistory>(body)?, top),
            None if self.since.is_some() => of_range(&serde_json::from_str::<StatsHistory>(body)?),
            None if self.all => tables(&serde_json::from_str::<Stats>(body)?),
            None => screen(&serde_json::from_str::<Stats>(body)?, url, top),
        })
    }
}

impl StatsBreakdown {
    fn name(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Project => "project",
            Self::Stack => "stack",
            Self::Provider => "provider",
            Self::Tenant => "tenant",
            Self::Tool => "tool",
            Self::Kind => "kind",
            Self::Form => "form",
        }
    }
}

/// Asks for the figures and prints them, once or repeatedly.
pub async fn stats(args: &StatsArgs) -> anyhow::Result<()> {
    let running = args.at.running()?;
    let first = figures(&running, args).await?;
    let Some(seconds) = args.watch else {
        stdout().write_all(first.as_bytes())?;
        return Ok(());
    };
    let pause = Duration::from_secs(seconds);
    if !stdout().is_terminal() || args.json {
        return print_again(&running, args, first, pause).await;
    }
    let mut screen = Screen::enter()?;
    let mut shown = first;
    loop {
        screen.show(&shown)?;
        tokio::select! {
            () = screen.left() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
        tokio::select! {
            () = screen.left() => return Ok(()),
            // A restarting headroomd is back in a moment: the last figures stay until then.
            next = figures(&running, args) => match next {
                Ok(next) => shown = next,
                Err(error) => screen.trouble(&format!("{error:#}")),
            }
        }
    }
}

/// One text after the other, if the output is not a terminal.
async fn print_again(
    running: &Running,
    args: &StatsArgs,
    first: String,
    pause: Duration,
) -> anyhow::Result<()> {
    let mut next = first;
    loop {
        stdout().write_all(next.as_bytes())?;
        stdout().flush()?;
        tokio::select! {
            stopped = tokio::signal::ctrl_c() => return Ok(stopped?),
            () = tokio::time::sleep(pause) => {}
        }
        next = figures(running, args).await?;
    }
}

async fn figures(running: &Running, args: &StatsArgs) -> anyhow::Result<String> {
    let Question { path, query } = args.question(SystemTime::now())?;
    let body = match path {
        "/stats-cache" => crate::cache::page(running, &query).await?,
        path => running.text(path, &query).await?,
    };
    if args.json {
        return Ok(body + "\n");
    }
    let text = args.text(&running.url(""), &body);
    text.with_context(|| format!("{} answered something other than its page", running.url(path)))
}
