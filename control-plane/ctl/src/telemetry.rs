//! `headroomctl telemetry show`: whether the beacon is on, and exactly what it would send.

use std::io::{Write as _, stdout};

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::running::SidecarArgs;

/// The anonymous beacon, which is off unless switched on.
#[derive(Args, Clone, Debug)]
pub struct TelemetryArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TelemetryCommand,
}

/// What to do about the beacon.
#[derive(Clone, Debug, Subcommand)]
pub enum TelemetryCommand {
    /// Show whether it is on, where it reports to, and every field that it would send
    Show(SidecarArgs),
}

/// Asks `/telemetry` and prints the answer.
pub async fn telemetry(args: &TelemetryArgs) -> anyhow::Result<()> {
    let TelemetryCommand::Show(at) = &args.command;
    let shown: Value = at.running()?.page("/telemetry", &[]).await?;
    writeln!(stdout(), "{}", serde_json::to_string_pretty(&shown)?)?;
    Ok(())
}
