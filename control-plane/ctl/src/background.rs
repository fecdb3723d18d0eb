//! The Headroom that runs with a workspace: its state, how it is started in the background, and how it is
//! stopped. `up --detach`, `restart` and `wrap` start it in the same way.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use headroom_private::rotation::set_aside;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

/// How long Headroom may take to start. V8 compiles the filter first, and a store may have to be migrated.
pub(crate) const READY: Duration = Duration::from_secs(90);
/// How long it may take to end: Envoy drains, headroomd writes what it has received.
pub(crate) const ENDING: Duration = Duration::from_secs(25);
/// Time between two checks.
pub(crate) const LOOK: Duration = Duration::from_millis(100);
/// How much of its log is quoted when it does not start. Lines.
const TAIL: usize = 3;
/// How much of the end of a log is read. Bytes.
const END_BYTES: u64 = 64 << 10;
/// The variable by which a service manager names itself; headroomd shows it in `/health`.
pub(crate) const SUPERVISOR: &str = "HEADROOM_DEPLOYMENT_SUPERVISOR";
/// Its value in a unit of systemd.
pub(crate) const SYSTEMD: &str = "systemd";

/// What keeps a Headroom running.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Holder {
    /// A terminal: Ctrl-C stops it.
    Terminal,
    /// Nothing: it runs in the background until it is stopped.
    Background,
    /// Wrapped agents: it ends with the last of them.
    WrappedAgents,
    /// A unit of systemd.
    Systemd,
}

impl Holder {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Terminal => "in a terminal",
            Self::Background => "in the background",
            Self::WrappedAgents => "for wrapped agents; it ends with the last of them",
            Self::Systemd => "as a service of systemd",
        }
    }
}

/// The state that a running `up` writes to `run/up.json`. The file exists while it runs.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct State {
    pub(crate) pid: u32,
    /// RFC 3339.
    pub(crate) since: String,
    pub(crate) holder: Holder,
    pub(crate) version: String,
    /// Where clients connect, when it is ready.
    pub(crate) url: Option<String>,
    /// Its arguments and its folder.
    pub(crate) arguments: Vec<String>,
    pub(crate) folder: PathBuf,
}

impl State {
    /// The state of this process, before it is ready.
    pub(crate) fn own(holder: Holder) -> Self {
        Self {
            pid: std::process::id(),
            since: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            holder,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            url: None,
            arguments: std::env::args_os().skip(1).map(|it| it.to_string_lossy().into_owned()).collect(),
            folder: std::env::current_dir().unwrap_or_default(),
        }
    }

    pub(crate) fn write(&self, workspace: &Path) -> anyhow::Result<()> {
        let file = file(workspace);
        headroom_private::write(&file, &serde_json::to_vec(self)?)
            .with_context(|| format!("{} cannot be written", file.display()))
    }

    /// The state of the Headroom that runs with a workspace; `None`: none runs.
    pub(crate) fn read(workspace: &Path) -> Option<Self> {
        let state: Self = serde_json::from_slice(&fs::read(file(workspace)).ok()?).ok()?;
        // A killed one leaves the file, and another process may have its id by now. Only the lock is certain.
        let is_alive = test_kill_process(state.process()?).is_ok();
        (is_alive && is_locked(workspace)).then_some(state)
    }

    fn process(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.pid).ok()?)
    }
}

fn file(workspace: &Path) -> PathBuf {
    workspace.join("run/up.json")
}

/// Removes the state of a Headroom that ends.
pub(crate) fn forget(workspace: &Path) {
    fs::remove_file(file(workspace)).ok();
}

/// The file that `up` keeps locked while it runs.
pub(crate) fn lock_path(workspace: &Path) -> PathBuf {
    workspace.join("run/lock")
}

fn is_locked(workspace: &Path) -> bool {
    File::open(lock_path(workspace)).is_ok_and(|file| file.try_lock_shared().is_err())
}

/// Where a Headroom in the background writes what it would print.
pub(crate) fn log_path(workspace: &Path) -> PathBuf {
    workspace.join("logs/up.log")
}

/// How one is started in the background.
#[derive(Debug, Default)]
pub(crate) struct Start {
    /// `up` and its arguments.
    pub(crate) arguments: Vec<OsString>,
    /// The folder that its paths count from; this process's own where none is given.
    pub(crate) folder: Option<PathBuf>,
    /// Additional to the inherited ones.
    pub(crate) variables: Vec<(String, String)>,
}

impl Start {
    /// Starts this program again, with its output in the log and without a terminal.
    pub(crate) fn spawn(&self, workspace: &Path) -> anyhow::Result<Child> {
        let log = log_path(workspace);
        if let Some(folder) = log.parent() {
            headroom_private::folder(folder)
                .with_context(|| format!("{} cannot be made", folder.display()))?;
        }
        set_aside(&log).with_context(|| format!("{} cannot be renamed", log.display()))?;
        let output = File::options().create(true).append(true).open(&log);
        let output = output.with_context(|| format!("{} cannot be written", log.display()))?;
        let program = std::env::current_exe().context("this program's own path is not known")?;
        let mut command = Command::new(program);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("it cannot be started")
    }

    /// Starts it, and waits until it accepts requests.
    pub(crate) async fn run(&self, workspace: &Path) -> anyhow::Result<State> {
        let mut child = self.spawn(workspace)?;
        let deadline = Instant::now() + READY;
        loop {
            let state = State::read(workspace).filter(|state| state.pid == child.id());
            if let Some(state) = state.filter(|state| state.url.is_some()) {
                return Ok(state);
            }
            has_not_ended(&mut child, workspace, deadline)?;
            sleep(LOOK).await;
        }
    }
}

/// Fails if a started Headroom has ended or is past its deadline.
pub(crate) fn has_not_ended(child: &mut Child, workspace: &Path, deadline: Instant) -> anyhow::Result<()> {
    if let Some(status) = child.try_wait()? {
        bail!("it ended with {status}: {}", tail(&log_path(workspace)));
    }
    if Instant::now() >= deadline {
        bail!("it was not ready after {} s; its log is {}", READY.as_secs(), log_path(workspace).display());
    }
    Ok(())
}

/// Stops a running one gracefully, and waits until it has ended.
pub(crate) async fn stop(state: &State, workspace: &Path) -> anyhow::Result<()> {
    let process = state.process().context("a process has an id above 0")?;
    kill_process(process, Signal::TERM)
        .with_context(|| format!("no stop signal can be sent to process {}", state.pid))?;
    let deadline = Instant::now() + ENDING;
    while State::read(workspace).is_some_and(|now| now.pid == state.pid) {
        if Instant::now() >= deadline {
            bail!("process {} has not ended after {} s", state.pid, ENDING.as_secs());
        }
        sleep(LOOK).await;
    }
    Ok(())
}

/// The last lines of a log, joined into one.
fn tail(log: &Path) -> String {
    let text = end_of(log);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL)..].join(" ").trim_start_matches("headroomctl: ").to_owned()
}

/// The end of a log, however long it is; what cannot be read is empty.
pub(crate) fn end_of(log: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(END_BYTES)))?;
        let mut end = Vec::new();
        file.take(END_BYTES).read_to_end(&mut end)?;
        Ok(end)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn of_a_log_only_the_end_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("up.log");
        assert_eq!(tail(&log), "");
        fs::write(&log, "one\n\ntwo\n").unwrap();
        assert_eq!(tail(&log), "one two");
        // more than any memory holds, and nothing on the disk
        let mut file = File::options().append(true).open(&log).unwrap();
        file.set_len(1 << 42).unwrap();
        file.write_all(b"\nheadroomctl: the reason\n").unwrap();
        assert!(tail(&log).ends_with("headroomctl: the reason"));
        assert_eq!(end_of(&log).len() as u64, END_BYTES);
    }

    #[test]
    fn a_state_counts_while_its_process_lives_and_holds_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = folder.path();
        fs::create_dir(workspace.join("run")).unwrap();
        assert!(State::read(workspace).is_none());
        let state = State::own(Holder::Background);
        state.write(workspace).unwrap();
        assert!(State::read(workspace).is_none(), "nobody holds the lock");
        let lock = File::create(lock_path(workspace)).unwrap();
        lock.try_lock().unwrap();
        assert_eq!(State::read(workspace).unwrap().pid, std::process::id());
        let mut dead = Command::new("true").spawn().unwrap();
        dead.wait().unwrap();
        State { pid: dead.id(), ..state.clone() }.write(workspace).unwrap();
        assert!(State::read(workspace).is_none(), "its process has ended");
        for broken in ["", "{", "[]", "{\"pid\": 0}"] {
            fs::write(file(workspace), broken).unwrap();
            assert!(State::read(workspace).is_none(), "{broken}");
        }
        State { pid: u32::MAX, ..state }.write(workspace).unwrap();
        assert!(State::read(workspace).is_none());
        forget(workspace);
        forget(workspace);
    }
}
