//! One wrapped run: Headroom, the agent with its terminal, its signals and its exit code, and a summary line.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use rustix::process::{Pid, Signal as Kill, kill_process};
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::background::{self, Address, Headroom};
use super::passed::AgentConversations;
use super::saved::Figures;
use super::{WrapArgs, WrapRequest, say};
use crate::agents::{self, Agent, Launch, Setting};
use crate::edits::{Disk, InstallOutcome, Workspace};
use crate::environment::Environment;
use crate::learn::after_run;

/// The filter reports once a second, so everything is counted after a little more.
const LAST_REPORT: Duration = Duration::from_millis(1300);

/// Runs an agent, through Headroom if that can be reached.
pub(super) async fn run(
    agent: &dyn Agent,
    at: &Setting<'_>,
    address: &Address,
    workspace: &Path,
    args: &WrapArgs,
) -> anyhow::Result<ExitCode> {
    let arguments = args.arguments.as_slice();
    let program = agents::find_program(at.env, agent.programs()).with_context(|| {
        format!("{} is not installed: {} is not on PATH", agent.title(), agent.programs().join(" or "))
    })?;
    let launch = agent.launch(at, arguments)?;
    launch.remarks.iter().try_for_each(|remark| say(remark))?;
    // The user's settings win over detected ones.
    let unsaid = |(target, _): &&(&'static str, String)| at.env.get(target).is_none();
    let upstreams: Vec<(&'static str, String)> = launch.upstreams.iter().filter(unsaid).cloned().collect();
    let reached = background::reach(address, workspace, agent.targets(), &upstreams, args.learn).await;
    // Nothing is edited for an agent that runs without Headroom.
    let ready = reached.and_then(|headroom| Ok((headroom, PreparedRun::new(agent, at, &launch, workspace)?)));
    let (headroom, prepared) = match ready {
        Ok(ready) => ready,
        Err(error) => {
            let resumes = agent.resumes(arguments)
                && AgentConversations::of(workspace, agent.name()).holds(
                    &at.folder,
                    &agent.places(at),
                    agent.resumed(arguments),
                );
            let record = Workspace::new(workspace, Disk::default()).record(agent.name())?;
            let is_installed = record.is_some_and(|record| WrapRequest::from_json(&record.asked).address);
            say(&without(agent, &error, resumes, is_installed))?;
            let status = attended(Command::new(&program).args(arguments)).await?;
            if args.learn {
                learn(agent, at, workspace).await?;
            }
            return Ok(code(status));
        }
    };
    if headroom.was_running {
        for (target, url) in &upstreams {
            say(&format!(
                "{} used {url} until now. The running Headroom sends requests to the address that it was \
                 started with; start it with {target}={url} to keep this one",
                agent.title()
            ))?;
        }
    }
    let stack = agents::stack(agent);
    let passed = AgentConversations::of(workspace, agent.name());
    remember(passed.begin(&at.folder))?;
    let began = SystemTime::now();
    let earlier = Figures::now(address.running(), &stack).await;
    let mut command = Command::new(&program);
    command
        .args(prepared.arguments(&launch))
        .args(launch.replaced.as_deref().unwrap_or(arguments))
        .envs(prepared.variables(&launch))
        .env("HEADROOM_STACK", &stack)
        .envs(without_proxy(at));
    let status = attended(&mut command).await;
    drop(command);
    prepared.take_back()?;
    tokio::time::sleep(LAST_REPORT).await;
    let now = Figures::now(address.running(), &stack).await;
    // Assume yes unless it is known that no request passed.
    let has_passed = !matches!((earlier, now), (Some(earlier), Some(now)) if !now.has_more_than(earlier));
    remember(passed.end(&at.folder, &agent.places(at), began, has_passed))?;
    let status = status?;
    say(&last_line(agent, &headroom, earlier, now))?;
    if args.learn {
        learn(agent, at, workspace).await?;
    }
    Ok(code(status))
}

/// Learns from the run. Errors are printed and do not affect the run.
async fn learn(agent: &dyn Agent, at: &Setting<'_>, workspace: &Path) -> anyhow::Result<()> {
    let name = agent.name();
    let (folder, workspace) = (at.folder.clone(), workspace.to_owned());
    let learned =
        tokio::task::spawn_blocking(move || after_run(name, &folder, &workspace, Environment::of_process()))
            .await?;
    match learned {
        Ok(Some(line)) => say(&line),
        Ok(None) => Ok(()),
        Err(error) => say(&format!("nothing was learned from this run: {error:#}")),
    }
}

/// A run continues even if it cannot be recorded.
fn remember(entered: anyhow::Result<()>) -> anyhow::Result<()> {
    entered.or_else(|error| say(&format!("this run is not remembered: {error:#}")))
}

/// Why an agent runs without Headroom, and what may follow from that.
fn without(agent: &dyn Agent, error: &anyhow::Error, resumes: bool, is_installed: bool) -> String {
    let mut line = format!("{} runs without Headroom, which cannot be used: {error:#}", agent.title());
    if resumes {
        line.push_str(
            ". The conversation that it resumes went through Headroom, and the provider may refuse it, because its \
             earlier part reads differently now: start a new conversation, or run again once Headroom starts",
        );
    }
    if is_installed {
        line.push_str(&format!(
            ". Its settings name Headroom's address (--install), where nothing answers: `headroomctl unwrap \
             {}` removes it",
            agent.name()
        ));
    }
    line
}

fn last_line(
    agent: &dyn Agent,
    headroom: &Headroom,
    earlier: Option<Figures>,
    now: Option<Figures>,
) -> String {
    match (earlier, now) {
        (Some(earlier), Some(now)) => now.since(earlier),
        _ if headroom.was_running => format!("Headroom does not say any more what {} saved", agent.title()),
        _ => {
            "Headroom has ended before the agent did; its logs are in the workspace's folder logs".to_owned()
        }
    }
}

/// Requests to this machine must bypass the user's proxy.
fn without_proxy(at: &Setting<'_>) -> Vec<(&'static str, String)> {
    let has_proxy = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        .iter()
        .any(|name| at.env.get(name).is_some());
    if !has_proxy {
        return Vec::new();
    }
    let hosts = |name: &str| {
        at.env.get(name).into_iter().chain(["127.0.0.1,localhost".to_owned()]).collect::<Vec<_>>().join(",")
    };
    ["NO_PROXY", "no_proxy"].map(|name| (name, hosts(name))).into()
}

/// The edits and files of one run.
struct PreparedRun {
    journals: Workspace,
    key: String,
    /// Shared by the runs of this agent: the last one undoes the edits.
    users: Option<File>,
    file: Option<PathBuf>,
}

impl PreparedRun {
    fn new(agent: &dyn Agent, at: &Setting<'_>, launch: &Launch, workspace: &Path) -> anyhow::Result<Self> {
        let mut prepared = Self {
            journals: Workspace::new(workspace, Disk::default()),
            key: run_key(agent.name()),
            users: None,
            file: None,
        };
        if !launch.edits.changes.is_empty() {
            let users = users_file(workspace, agent.name())?;
            users.lock_shared().context("locks do not work in the workspace")?;
            let asked = json!({"run": true});
            let installed = prepared.journals.install(&prepared.key, &at.url, asked, &launch.edits)?;
            prepared.users = (installed != InstallOutcome::Nothing).then_some(users);
        }
        if let Some((name, bytes)) = &launch.file {
            let path = workspace.join("run").join(format!("{}-{}-{name}", agent.name(), std::process::id()));
            fs::write(&path, bytes).with_context(|| format!("{} cannot be written", path.display()))?;
            // It may contain the same keys as the file that it is made from.
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
            prepared.file = Some(path);
        }
        Ok(prepared)
    }

    /// Replaces the placeholder with the file's path.
    fn placed(&self, text: &OsStr) -> OsString {
        match &self.file {
            Some(path) if text == Launch::FILE => path.clone().into_os_string(),
            _ => text.to_owned(),
        }
    }

    fn arguments(&self, launch: &Launch) -> Vec<OsString> {
        launch.arguments.iter().map(|argument| self.placed(argument)).collect()
    }

    fn variables(&self, launch: &Launch) -> Vec<(&'static str, OsString)> {
        let variables = launch.variables.iter();
        variables.map(|(name, value)| (*name, self.placed(OsStr::new(value)))).collect()
    }

    fn take_back(self) -> anyhow::Result<()> {
        if let Some(path) = &self.file {
            fs::remove_file(path).with_context(|| format!("{} cannot be removed", path.display()))?;
        }
        let Some(users) = self.users else { return Ok(()) };
        users.unlock()?;
        if users.try_lock().is_err() {
            // Another run still needs them.
            return Ok(());
        }
        for line in self.journals.undo(&self.key)?.unwrap_or_default().left {
            say(&line)?;
        }
        Ok(())
    }
}

/// The journal's name for edits that last for a run.
pub(crate) fn run_key(agent: &str) -> String {
    format!("{agent}-run")
}

/// The file whose lock the runs of an agent share while they need the same edits.
pub(crate) fn users_file(workspace: &Path, agent: &str) -> anyhow::Result<File> {
    let folder = workspace.join("run");
    headroom_private::folder(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let path = folder.join(format!("{agent}.users"));
    let file = File::options().create(true).append(true).open(&path);
    file.with_context(|| format!("{} cannot be written", path.display()))
}

/// Runs a program in place of this one: it has the terminal, and signals that end this process end it too.
async fn attended(command: &mut Command) -> anyhow::Result<ExitStatus> {
    // The terminal sends these to the agent as well, which decides what they mean.
    let mut ignored = [listen(SignalKind::interrupt())?, listen(SignalKind::quit())?];
    let mut passed = [listen(SignalKind::terminate())?, listen(SignalKind::hangup())?];
    let mut child = command.spawn().context("the agent cannot be started")?;
    let [interrupt, quit] = &mut ignored;
    let [terminate, hangup] = &mut passed;
    loop {
        tokio::select! {
            status = child.wait() => return Ok(status?),
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
            _ = terminate.recv() => pass(&child, Kill::TERM)?,
            _ = hangup.recv() => pass(&child, Kill::HUP)?,
        }
    }
}

fn listen(kind: SignalKind) -> anyhow::Result<Signal> {
    signal(kind).context("signals cannot be caught")
}

fn pass(child: &Child, kill: Kill) -> anyhow::Result<()> {
    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
        kill_process(pid, kill).context("the agent cannot be signalled")?;
    }
    Ok(())
}

/// The exit code as in a shell: 128 plus the signal, if a signal ended the agent.
fn code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
