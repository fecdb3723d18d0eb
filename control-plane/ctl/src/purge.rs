//! `headroomctl purge`: deletes what Headroom has stored.
//!
//! A running headroomd gets the request; if none runs, its program is started for this on the store. Damaged files
//! and logs next to the store are removed here, unless headroomd may run on another machine.

use std::fs;
use std::io::{BufRead as _, IsTerminal as _, Write as _, stderr, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Args;
use headroom_api::pages::{PurgeRequest, Purged};
use reqwest::StatusCode;
use serde::de::IgnoredAny;

use crate::environment::Environment;
use crate::figures::number;
use crate::history::span;
use crate::misuse::Misuse;
use crate::number::grouped;
use crate::running::SidecarArgs;
use crate::up::headroomd;

/// Deletes what Headroom has stored.
#[derive(Args, Clone, Debug, Default)]
#[group(id = "scope", required = true, multiple = false, args = ["all", "tenant", "older_than", "answers"])]
pub struct PurgeArgs {
    /// Everything: originals, records, sums, messages, memory, logs
    #[arg(long)]
    pub all: bool,
    /// The originals, the records and the memory of this tenant; sums name no tenant
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Everything older than this: 24h, 30d, 12w; of memory only the versions that were replaced or forgotten before then
    #[arg(long, value_name = "AGE", value_parser = span)]
    pub older_than: Option<Duration>,
    /// The answers in the answer cache, and nothing else
    #[arg(long)]
    pub answers: bool,
    /// Say what would be deleted, and delete nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// The folder for state; with --url, logs and damaged stores go only from a folder that is given here, not by the variable [env: HEADROOM_WORKSPACE_DIR] [default: ~/.headroom]
    #[arg(long, value_name = "DIR")]
    pub workspace_dir: Option<PathBuf>,
    /// headroomd, which is started if none answers [env: HEADROOMD] [default: next to this program, or on PATH]
    #[arg(long, value_name = "FILE")]
    pub headroomd: Option<PathBuf>,
    /// Where Headroom listens.
    #[command(flatten)]
    pub at: SidecarArgs,
}

/// Counts, asks, deletes, and reports what is gone.
pub async fn purge(args: &PurgeArgs) -> anyhow::Result<()> {
    let env = Environment::of_process();
    let workspace = env.workspace_dir(args.workspace_dir.as_ref());
    let workspace = workspace
        .context("no workspace: set --workspace-dir or HEADROOM_WORKSPACE_DIR")
        .map_err(Misuse::of)?;
    let would = stored(args, env, &workspace, true).await?;
    let files = files(args, &workspace)?;
    let mut out = stdout().lock();
    writeln!(
        out,
        "{}",
        sentence(if args.dry_run { "would go" } else { "to be deleted" }, &would, files.len())
    )?;
    if may_be_elsewhere(args) && !args.answers {
        writeln!(
            stderr(),
            "logs and damaged stores stay: name the folder of that headroomd with --workspace-dir if it is on this machine"
        )?;
    }
    if args.dry_run {
        files.iter().try_for_each(|file| writeln!(out, "    {}", file.display()))?;
        return Ok(());
    }
    if !args.yes && !confirmed()? {
        bail!("nothing was deleted");
    }
    let gone = stored(args, env, &workspace, false).await?;
    for file in &files {
        remove(file).with_context(|| format!("{} cannot be removed", file.display()))?;
    }
    writeln!(out, "{}", sentence("deleted", &gone, files.len()))?;
    let savings = workspace.join("proxy_savings.json");
    if args.all && !may_be_elsewhere(args) && savings.exists() {
        writeln!(
            stderr(),
            "{} belongs to the Python Headroom and stays: headroomd reads it at its next start",
            savings.display()
        )?;
    }
    Ok(())
}

/// Asks the user for confirmation. Without a terminal this is an error.
fn confirmed() -> anyhow::Result<bool> {
    if !stdin().is_terminal() {
        return Err(Misuse::of(anyhow!(
            "no question can be asked, because standard input is not a terminal: give --yes, or --dry-run to see what would be deleted"
        )));
    }
    write!(stderr(), "Delete it? [y/N] ")?;
    stderr().flush()?;
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Lets headroomd delete, or count. Returns the result.
async fn stored(
    args: &PurgeArgs,
    env: Environment<'_>,
    workspace: &Path,
    dry_run: bool,
) -> anyhow::Result<Purged> {
    let seconds = args.older_than.map(|age| u32::try_from(age.as_secs())).transpose();
    let wanted = PurgeRequest {
        all: args.all,
        tenant: args.tenant.clone(),
        older_than_seconds: seconds.context("--older-than: that is too long ago").map_err(Misuse::of)?,
        answers: args.answers,
        dry_run,
    };
    let running = args.at.sidecar_in(Some(workspace))?;
    match running.post("/v1/purge", &wanted).await {
        Ok((StatusCode::OK, body)) => {
            serde_json::from_str(&body).context("headroomd answered something other than JSON")
        }
        Ok((StatusCode::UNAUTHORIZED, _)) => {
            bail!("headroomd asks for its token: put it into HEADROOM_TOKEN")
        }
        Ok((status, body)) => {
            let is_ours = !is_missing(status) && serde_json::from_str::<IgnoredAny>(&body).is_ok();
            let hint = if args.at.names_url() && !is_ours {
                "\n--url has to name headroomd's own port (8788), not Envoy's"
            } else {
                ""
            };
            bail!("{} answered {status}: {}{hint}", running.url("/v1/purge"), body.trim_end())
        }
        // the user has named this headroomd, so no other one is used
        Err(error) if args.at.names_url() => Err(error),
        // stored answers are in the memory of headroomd, and none runs
        Err(_) if args.answers => Ok(Purged { dry_run, ..Purged::default() }),
        Err(_) => offline(args, env, workspace, dry_run),
    }
}

fn offline(
    args: &PurgeArgs,
    env: Environment<'_>,
    workspace: &Path,
    dry_run: bool,
) -> anyhow::Result<Purged> {
    let program = headroomd(args.headroomd.as_ref(), env)?;
    let mut command = Command::new(&program);
    command.arg("--workspace-dir").arg(workspace).arg("purge");
    if args.all {
        command.arg("--all");
    }
    if let Some(tenant) = &args.tenant {
        command.arg(format!("--tenant={tenant}"));
    }
    if let Some(age) = args.older_than {
        command.arg("--older-than-seconds").arg(age.as_secs().to_string());
    }
    if dry_run {
        command.arg("--dry-run");
    }
    let done = command.output().with_context(|| format!("{} does not start", program.display()))?;
    ensure!(
        done.status.success(),
        "{} ended with {}: {}",
        program.display(),
        done.status,
        String::from_utf8_lossy(&done.stderr).trim()
    );
    serde_json::from_slice(&done.stdout).context("headroomd printed something other than JSON")
}

/// Whether the headroomd that was named may have its files elsewhere. A pod's is reached at a local port as well.
fn may_be_elsewhere(args: &PurgeArgs) -> bool {
    args.at.names_url() && args.workspace_dir.is_none()
}

/// What a provider answers to a path that only headroomd has.
fn is_missing(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)
}

/// Files next to the store. A damaged file may contain anything that the store contained, and cannot be deleted in
/// part.
fn files(args: &PurgeArgs, workspace: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if args.answers || may_be_elsewhere(args) {
        return Ok(Vec::new());
    }
    let mut files =
        entries(workspace, |name| name.contains(".db.damaged-") || name.contains(".db-wal.damaged-"))?;
    if args.tenant.is_none() {
        let is_old = |path: &PathBuf| {
            let Some(age) = args.older_than else { return true };
            let modified = fs::metadata(path).and_then(|found| found.modified()).ok();
            let since = modified.and_then(|at| SystemTime::now().duration_since(at).ok());
            since.is_some_and(|since| since > age)
        };
        let logs = entries(&workspace.join("logs"), |name| name.contains(".log"))?;
        files.extend(logs.into_iter().filter(is_old));
    }
    files.sort();
    Ok(files)
}

fn entries(folder: &Path, wanted: impl Fn(&str) -> bool) -> anyhow::Result<Vec<PathBuf>> {
    let read = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.with_context(|| format!("{} cannot be read", folder.display()))?,
    };
    let mut found = Vec::new();
    for entry in read {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name().to_str().is_some_and(&wanted) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// A log is emptied and not removed, because a process may keep it open.
fn remove(file: &Path) -> std::io::Result<()> {
    if file.extension().is_some_and(|extension| extension == "log") {
        return fs::File::options().write(true).open(file)?.set_len(0);
    }
    fs::remove_file(file)
}

fn sentence(what: &str, purged: &Purged, files: usize) -> String {
    let count = |count: usize| grouped(count as u64);
    format!(
        "{what}: {} originals ({} bytes), {} requests, {} sums of the history, messages of {} requests, {} sessions, \
         {} versions of facts, {} sightings, {} answers, {files} files",
        grouped(purged.originals),
        number(Some(purged.bytes)),
        grouped(purged.requests),
        grouped(purged.sums),
        count(purged.messages),
        count(purged.sessions),
        grouped(purged.facts),
        grouped(purged.sightings),
        grouped(purged.answers),
    )
}
