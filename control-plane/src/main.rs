//! The `headroomd` process: arguments, logs, signals.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use headroom_api::pages::PurgeRequest;
use headroomd::settings::{Args, Command, LogFormat, Settings, http_address};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// How long a shutdown may take before the process exits anyway: connections have five seconds to end, and queued
/// data has four to be written. Acknowledged data was durable before.
const SHUTDOWN: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    headroom_private::restrict_umask();
    let args = Args::parse();
    let env = |name: &str| std::env::var(name).ok();
    if let Some(Command::Healthcheck) = args.command {
        return match ready(&args, env).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("headroomd: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    if let Err(error) = log(&args, env) {
        eprintln!("headroomd: {error:#}");
        return ExitCode::from(2);
    }
    if let Some(Command::Purge { all, tenant, older_than_seconds, dry_run }) = args.command.clone() {
        let wanted = PurgeRequest { all, tenant, older_than_seconds, answers: false, dry_run };
        return match purge(args, env, &wanted).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("headroomd: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    match run(args, env).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(message = "headroomd cannot run.", error = format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn ready(args: &Args, env: impl Fn(&str) -> Option<String>) -> anyhow::Result<()> {
    headroomd::healthcheck(&http_address(args, env)?).await
}

async fn purge(
    args: Args,
    env: impl Fn(&str) -> Option<String>,
    wanted: &PurgeRequest,
) -> anyhow::Result<()> {
    let settings = Settings::resolve(args, env)?;
    let purged = headroomd::offline::purge(&settings, wanted).await?;
    serde_json::to_writer(std::io::stdout(), &purged)?;
    Ok(())
}

async fn run(args: Args, env: impl Fn(&str) -> Option<String>) -> anyhow::Result<()> {
    let settings = Settings::resolve(args, env)?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be caught")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be caught")?;
    let running = headroomd::start(&settings).await?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!(message = "Stopping: what is queued is written first.");
    tokio::select! {
        stopped = tokio::time::timeout(SHUTDOWN, running.stop()) => {
            stopped.context("connections did not end in time and were cut off")
        }
        _ = terminate.recv() => anyhow::bail!("stopped at once by a second signal"),
        _ = interrupt.recv() => anyhow::bail!("stopped at once by a second signal"),
    }
}

fn log(args: &Args, env: impl Fn(&str) -> Option<String>) -> anyhow::Result<()> {
    let set = |name: &str| env(name).filter(|value| !value.trim().is_empty());
    let filter = args.log.clone().or_else(|| set("HEADROOM_LOG")).unwrap_or_else(|| "info".to_owned());
    let filter =
        EnvFilter::try_new(&filter).with_context(|| format!("HEADROOM_LOG: {filter:?} is not a filter"))?;
    let format = match (args.log_format, set("HEADROOM_LOG_FORMAT").as_deref()) {
        (Some(format), _) => format,
        (None, None | Some("text")) => LogFormat::Text,
        (None, Some("json")) => LogFormat::Json,
        (None, Some(other)) => anyhow::bail!("HEADROOM_LOG_FORMAT: expected text or json, found {other:?}"),
    };
    let colours = std::io::stderr().is_terminal();
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    // The internal error would go to the same stderr, with a panic if that cannot be written. With a log
    // file on a full disk, the task that logs the failure would end, and nothing would be stored again.
    let lines = lines.log_internal_errors(false);
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}
