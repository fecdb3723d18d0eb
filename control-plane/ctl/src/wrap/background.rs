//! The Headroom that wrapped agents use: a running one, or one that is started for them and ends with the
//! last of them.
//!
//! Each wrapped run holds a shared lock on one file. `up --while-wrapped` waits until no run holds it, takes
//! the lock exclusively, and ends. The system releases a lock however a process dies, so no counter of runs
//! is needed, and no run has to be alive for Headroom to end.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use headroom_api::pages::Health;
use tokio::time::{Instant, sleep};

use super::WrapArgs;
use crate::background::{ENDING, LOOK, READY, Start, has_not_ended};
use crate::environment::Environment;
use crate::progress::Spinner;
use crate::running::{Running, SidecarArgs};

/// The expected address of Headroom.
#[derive(Clone, Debug)]
pub(super) struct Address {
    url: String,
    /// The port on this machine at which one may be started; `None`: the address is not on this machine.
    port: Option<u16>,
    running: Running,
}

impl Address {
    pub(super) fn of(args: &WrapArgs, env: Environment<'_>) -> anyhow::Result<Self> {
        let given = args.url.as_ref().map(|url| url.trim()).filter(|url| !url.is_empty());
        let (url, port) = match given {
            Some(url) => (url.trim_end_matches('/').to_owned(), None),
            None => {
                let port = env.port(args.port.as_ref())?;
                anyhow::ensure!(port != 0, "a wrapped agent needs a fixed port: give one with --port");
                (format!("http://127.0.0.1:{port}"), Some(port))
            }
        };
        let at = SidecarArgs { url: Some(url) };
        let running = at.running()?;
        Ok(Self { url: running.url(""), port, running })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn running(&self) -> &Running {
        &self.running
    }

    /// Whether a Headroom answers there, and not something else.
    pub(super) async fn answers(&self) -> bool {
        let page: anyhow::Result<Health> = self.running.page("/livez", &[]).await;
        page.is_ok_and(|page| page.service.as_deref() == Some("headroom-proxy"))
    }
}

/// A Headroom that a run uses. While this value lives, one that was started for wrapped runs does not end.
#[derive(Debug)]
pub(super) struct Headroom {
    _lease: Option<File>,
    /// Whether it was running before.
    pub(super) was_running: bool,
}

fn run_folder(workspace: &Path) -> anyhow::Result<PathBuf> {
    let folder = workspace.join("run");
    headroom_private::folder(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    Ok(folder)
}

fn lock_file(path: &Path) -> anyhow::Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.with_context(|| format!("{} cannot be written", path.display()))
}

/// The file with the lock that wrapped runs share.
pub(crate) fn lease_file(workspace: &Path) -> anyhow::Result<File> {
    lock_file(&run_folder(workspace)?.join("wrapped"))
}

/// The file with the targets that a Headroom was started with, for the run that started it.
pub(crate) fn targets_file(workspace: &Path) -> PathBuf {
    workspace.join("run/targets.json")
}

/// The targets that a Headroom was started with, for the run that started it.
pub(crate) fn targets(workspace: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let Ok(text) = fs::read(targets_file(workspace)) else { return Ok(Vec::new()) };
    let found: BTreeMap<String, String> =
        serde_json::from_slice(&text).context("run/targets.json in the workspace cannot be read")?;
    Ok(found.into_iter().collect())
}

/// Whether a wrapped run uses the Headroom of this workspace.
pub(crate) fn is_wrapping(workspace: &Path) -> anyhow::Result<bool> {
    match lease_file(workspace)?.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error).context("locks do not work there"),
    }
}

/// A Headroom that was started for another run may send requests to that run's gateway. A key must not go to a
/// gateway that it does not belong to.
fn check_targets(
    workspace: &Path,
    targets: &[&str],
    wanted: &[(&'static str, String)],
) -> anyhow::Result<()> {
    for (target, found) in self::targets(workspace)? {
        let wanted = wanted.iter().find(|(name, _)| *name == target).map(|(_, url)| url);
        if targets.contains(&target.as_str()) && Some(&found) != wanted {
            bail!(
                "the Headroom that runs was started for another agent, with {target}={found}: end that agent first, \
                 or give this one another --port and --workspace-dir"
            );
        }
    }
    Ok(())
}

/// Finds Headroom, or starts it with these variables. It may have been started for another run with other
/// variables; `targets` are the ones that must be equal.
pub(super) async fn reach(
    address: &Address,
    workspace: &Path,
    targets: &[&str],
    variables: &[(&'static str, String)],
    learn: bool,
) -> anyhow::Result<Headroom> {
    let Some(port) = address.port else {
        if !address.answers().await {
            bail!("no Headroom answers at {}", address.url);
        }
        return Ok(Headroom { _lease: None, was_running: true });
    };
    let lease = lease_file(workspace)?;
    patiently("the Headroom of earlier runs does not end", || lease.try_lock_shared()).await?;
    // If two runs begin together, one starts Headroom and the other one finds it.
    let starting = lock_file(&run_folder(workspace)?.join("starting"))?;
    patiently_for(READY + ENDING, "another wrapped run is still starting Headroom", || starting.try_lock())
        .await?;
    if address.answers().await {
        check_targets(workspace, targets, variables)?;
        return Ok(Headroom { _lease: Some(lease), was_running: true });
    }
    let _doing = Spinner::now("Starting Headroom …");
    let mut child = start(port, workspace, variables, learn)?.spawn(workspace)?;
    let deadline = Instant::now() + READY;
    while !address.answers().await {
        has_not_ended(&mut child, workspace, deadline)?;
        sleep(LOOK).await;
    }
    Ok(Headroom { _lease: Some(lease), was_running: false })
}

fn start(
    port: u16,
    workspace: &Path,
    variables: &[(&'static str, String)],
    learn: bool,
) -> anyhow::Result<Start> {
    let variables: BTreeMap<&str, &str> = variables.iter().map(|(name, url)| (*name, url.as_str())).collect();
    fs::write(targets_file(workspace), serde_json::to_vec(&variables)?)
        .context("run/targets.json cannot be written")?;
    let arguments = ["up", "--while-wrapped", "--port", &port.to_string(), "--workspace-dir"];
    Ok(Start {
        arguments: arguments
            .iter()
            .map(OsString::from)
            .chain([workspace.into()])
            .chain(learn.then(|| "--learn".into()))
            .collect(),
        folder: None,
        variables: variables.into_iter().map(|(name, url)| (name.to_owned(), url.to_owned())).collect(),
    })
}

async fn patiently(
    otherwise: &'static str,
    lock: impl Fn() -> Result<(), TryLockError>,
) -> anyhow::Result<()> {
    patiently_for(ENDING, otherwise, lock).await
}

async fn patiently_for(
    patience: Duration,
    otherwise: &'static str,
    lock: impl Fn() -> Result<(), TryLockError>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        match lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(LOOK).await,
            Err(TryLockError::WouldBlock) => bail!("{otherwise}"),
            Err(TryLockError::Error(error)) => return Err(error).context("locks do not work there"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_headroom_of_another_gateway_is_not_used() {
        let workspace = tempfile::tempdir().unwrap();
        let check = |targets: &[&str], wanted: &[(&'static str, String)]| {
            check_targets(workspace.path(), targets, wanted).map_err(|error| error.to_string())
        };
        check(&["A", "B"], &[]).unwrap();
        run_folder(workspace.path()).unwrap();
        fs::write(targets_file(workspace.path()), r#"{"A": "https://gateway.example"}"#).unwrap();
        check(&["B"], &[]).unwrap();
        check(&["A"], &[("A", "https://gateway.example".to_owned())]).unwrap();
        assert!(check(&["A"], &[]).unwrap_err().contains("https://gateway.example"));
        assert!(check(&["A"], &[("A", "https://other.example".to_owned())]).is_err());
        fs::write(targets_file(workspace.path()), "{").unwrap();
        assert!(check(&["B"], &[]).is_err());
    }
}
