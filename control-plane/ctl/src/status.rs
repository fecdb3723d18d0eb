//! `headroomctl status`, `down` and `restart`: the Headroom that runs with this workspace.

use std::ffi::OsString;
use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use reqwest::Client;
use serde_json::{Value, json};

use crate::background::{Holder, Start, State, log_path, stop};
use crate::config;
use crate::environment::Environment;
use crate::wrap::{is_wrapping, targets, workspace_dir};

/// Time limit of one check.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// Which Headroom is meant: the one that runs with a workspace.
#[derive(Args, Clone, Debug, Default)]
pub struct WorkspaceArgs {
    /// Folder for state and logs [env: HEADROOM_WORKSPACE_DIR] [default: ~/.headroom]
    #[arg(long, value_name = "DIR")]
    pub workspace_dir: Option<PathBuf>,
}

impl WorkspaceArgs {
    pub(crate) fn workspace(&self) -> anyhow::Result<PathBuf> {
        workspace_dir(self.workspace_dir.as_ref(), Environment::of_process())
    }
}

/// Says whether Headroom runs, where, and in what state its parts are.
#[derive(Args, Clone, Debug, Default)]
pub struct StatusArgs {
    /// Which one.
    #[command(flatten)]
    pub here: WorkspaceArgs,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Stops the Headroom that runs in the background or in another terminal.
#[derive(Args, Clone, Debug, Default)]
pub struct DownArgs {
    /// Which one.
    #[command(flatten)]
    pub here: WorkspaceArgs,
    /// Stop it even if wrapped agents use it now
    #[arg(long)]
    pub force: bool,
}

/// Prints it. The exit code is 0 if requests are served.
pub async fn status(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let workspace = args.here.workspace()?;
    let mut out = stdout().lock();
    let Some(state) = State::read(&workspace) else {
        if args.json {
            writeln!(out, "{}", json!({"running": false, "workspace": workspace}))?;
        } else {
            writeln!(out, "Headroom does not run with the workspace {}", workspace.display())?;
        }
        return Ok(ExitCode::FAILURE);
    };
    let parts = Parts::ask(&workspace).await?;
    let serves = state.url.is_some() && parts.envoy.is_ok();
    if args.json {
        let whole = json!({
            "running": true,
            "serves": serves,
            "state": state,
            "envoy": parts.envoy.as_ref().map_or_else(|error| error.clone(), |()| "ready".to_owned()),
            "headroomd": parts.headroomd.as_ref().map_or_else(|error| error.clone(), |()| "ready".to_owned()),
            "workspace": workspace,
        });
        writeln!(out, "{whole}")?;
    } else {
        out.write_all(lines(&state, &parts, &workspace).as_bytes())?;
    }
    Ok(if serves { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn lines(state: &State, parts: &Parts, workspace: &Path) -> String {
    let say =
        |part: &Result<(), String>| part.as_ref().map_or_else(|error| error.clone(), |()| "ready".to_owned());
    let url = state
        .url
        .as_deref()
        .map_or("Headroom is starting".to_owned(), |url| format!("Headroom runs at {url}"));
    let file = config::path(Environment::of_process()).ok().filter(|file| file.exists());
    let file =
        file.map_or("none: every setting has its default".to_owned(), |file| file.display().to_string());
    format!(
        "{url}\n\nprocess      {}, {}, since {}\nversion      {}\nEnvoy        {}\nheadroomd    {}\nsettings     {file}\nlogs         {}\n",
        state.pid,
        state.holder.name(),
        state.since,
        state.version,
        say(&parts.envoy),
        say(&parts.headroomd),
        workspace.join("logs").display(),
    )
}

/// Envoy and headroomd, and the problem of each.
struct Parts {
    envoy: Result<(), String>,
    headroomd: Result<(), String>,
}

impl Parts {
    async fn ask(workspace: &Path) -> anyhow::Result<Self> {
        let client = || Client::builder().no_proxy().timeout(LOOK_TIMEOUT);
        let socket = workspace.join("run/envoy.sock");
        let envoy = ready(&client().unix_socket(socket).build()?, "http://localhost/ready").await;
        let said = std::fs::read(workspace.join("run/headroomd.json")).unwrap_or_default();
        let said: Value = serde_json::from_slice(&said).unwrap_or_default();
        let headroomd = match said["http"].as_str() {
            Some(address) => ready(&client().build()?, &format!("http://{address}/readyz")).await,
            None => Err("does not run; requests are served without it".to_owned()),
        };
        Ok(Self { envoy, headroomd })
    }
}

async fn ready(client: &Client, url: &str) -> Result<(), String> {
    match client.get(url).send().await {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("is not ready: {url} answers {}", answer.status())),
        Err(_) => Err(format!("does not answer at {url}")),
    }
}

/// Stops it.
pub async fn down(args: &DownArgs) -> anyhow::Result<()> {
    let workspace = args.here.workspace()?;
    let Some(state) = State::read(&workspace) else {
        writeln!(stdout(), "Headroom does not run with the workspace {}", workspace.display())?;
        return Ok(());
    };
    may_be_stopped(&state, &workspace, args.force, "stop")?;
    stop(&state, &workspace).await?;
    writeln!(stdout(), "Headroom is stopped (it ran as process {} since {})", state.pid, state.since)?;
    Ok(())
}

/// Stops it, and starts it in the background with the same arguments.
pub async fn restart(args: &DownArgs) -> anyhow::Result<()> {
    let workspace = args.here.workspace()?;
    let state = State::read(&workspace).with_context(|| {
        format!(
            "Headroom does not run with the workspace {}: start it with `headroomctl up --detach`",
            workspace.display()
        )
    })?;
    may_be_stopped(&state, &workspace, args.force || state.holder == Holder::WrappedAgents, "restart")?;
    let start = again(&state, targets(&workspace)?);
    stop(&state, &workspace).await?;
    let started = start.run(&workspace).await.with_context(|| {
        format!(
            "Headroom was stopped and does not start again; its log is {}",
            log_path(&workspace).display()
        )
    })?;
    let url = started.url.unwrap_or_default();
    writeln!(
        stdout(),
        "Headroom runs again at {url}, as process {}, {}",
        started.pid,
        started.holder.name()
    )?;
    Ok(())
}

fn may_be_stopped(state: &State, workspace: &Path, force: bool, verb: &str) -> anyhow::Result<()> {
    if state.holder == Holder::Systemd {
        bail!("systemd runs this Headroom: `systemctl --user {verb} headroom`");
    }
    ensure!(
        force || !is_wrapping(workspace)?,
        "wrapped agents use this Headroom now: end them first, or give --force"
    );
    Ok(())
}

/// The command to start it with the same arguments, in the background.
fn again(state: &State, targets: Vec<(String, String)>) -> Start {
    let is_detached = state.arguments.iter().any(|it| it == "--detached" || it == "--while-wrapped");
    let added = (!is_detached).then(|| OsString::from("--detached"));
    Start {
        arguments: state.arguments.iter().map(OsString::from).chain(added).collect(),
        folder: Some(state.folder.clone()),
        variables: if state.holder == Holder::WrappedAgents { targets } else { Vec::new() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_keeps_the_arguments_and_leaves_the_terminal() {
        let state = State {
            arguments: ["up", "--port", "9000"].map(str::to_owned).into(),
            folder: "/work".into(),
            ..State::own(Holder::Terminal)
        };
        let start = again(&state, vec![("A".to_owned(), "b".to_owned())]);
        assert_eq!(start.arguments, ["up", "--port", "9000", "--detached"]);
        assert_eq!(start.folder, Some("/work".into()));
        assert!(start.variables.is_empty());
        let wrapped = State {
            arguments: ["up", "--while-wrapped"].map(str::to_owned).into(),
            holder: Holder::WrappedAgents,
            ..state
        };
        let start = again(&wrapped, vec![("A".to_owned(), "b".to_owned())]);
        assert_eq!(start.arguments, ["up", "--while-wrapped"]);
        assert_eq!(start.variables.len(), 1);
    }

    #[test]
    fn what_systemd_runs_is_left_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::own(Holder::Systemd);
        let error = may_be_stopped(&state, folder.path(), true, "restart").unwrap_err().to_string();
        assert!(error.contains("systemctl --user restart headroom"), "{error}");
        may_be_stopped(&State::own(Holder::Background), folder.path(), false, "stop").unwrap();
    }
}
