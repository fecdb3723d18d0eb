//! A child process with a log file. It ends when this process ends.

use std::fs::File;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use headroom_private::rotation::set_aside;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child as Process, Command};

use crate::background::end_of;

/// How many of a log's last lines are shown if its process has died.
const TAIL_LINES: usize = 20;
/// How much of each of these lines is shown. Characters.
const TAIL_CHARACTERS: usize = 200;

/// The parameters of a child process.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    /// Additional to the inherited ones. Other users cannot read them, unlike arguments.
    pub(super) environment: Vec<(&'static str, String)>,
    /// Variables that it does not inherit.
    pub(super) unset: Vec<String>,
    pub(super) log: PathBuf,
}

/// A running child process.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) name: &'static str,
    pub(super) log: PathBuf,
    process: Process,
    // Holds the reading end of a pipe whose writing end only this process has, and signals the child when
    // the pipe closes. This also works if this process is killed, when none of its code can run.
    leash: Process,
}

impl Child {
    /// Starts a program in its own process group, so that Ctrl-C reaches only this process, which stops the
    /// children in order. Its output goes to a new log; the previous one is kept as `.1`.
    pub(super) fn start(launch: &Launch) -> anyhow::Result<Self> {
        let log = &launch.log;
        set_aside(log).with_context(|| format!("{} cannot be renamed", log.display()))?;
        Self::start_again(launch)
    }

    /// As [`Child::start`], but appends to the existing log.
    pub(super) fn start_again(launch: &Launch) -> anyhow::Result<Self> {
        let Launch { name, program, arguments, environment, unset, log } = launch;
        let output = File::options().create(true).append(true).open(log);
        let output = output.with_context(|| format!("{} cannot be written", log.display()))?;
        let mut process = Command::new(program);
        for name in unset {
            process.env_remove(name);
        }
        let process = process
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        let pid = process.id().context("a process that was just started has an id")?;
        let leash = Command::new("sh")
            .args(["-c", r#"cat >/dev/null; kill -TERM "$1""#, "leash", &pid.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("sh does not start")?;
        Ok(Self { name, log: log.clone(), process, leash })
    }

    pub(super) fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits until the process ends.
    pub(super) async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        self.process.wait().await.with_context(|| format!("{} cannot be waited for", self.name))
    }

    /// The status, if the process has already ended.
    pub(super) fn has_ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.process.try_wait()?)
    }

    /// SIGTERM; after `patience`, SIGKILL. True if the first was enough.
    pub(super) async fn stop(&mut self, patience: Duration) -> anyhow::Result<bool> {
        // The leash goes first: once the process has been waited for, another process may have its id.
        self.leash.kill().await?;
        if self.has_ended()?.is_some() {
            return Ok(true);
        }
        if let Some(pid) = self.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
            kill_process(pid, Signal::TERM)?;
        }
        if tokio::time::timeout(patience, self.process.wait()).await.is_ok() {
            return Ok(true);
        }
        self.process.kill().await?;
        Ok(false)
    }

    /// The last lines that the process printed, indented.
    pub(super) fn tail(&self) -> String {
        let end = end_of(&self.log);
        let lines: Vec<&str> = end.lines().collect();
        let last: Vec<String> = lines[lines.len().saturating_sub(TAIL_LINES)..]
            .iter()
            .map(|line| match line.char_indices().nth(TAIL_CHARACTERS) {
                Some((cut, _)) => format!("    {}…", &line[..cut]),
                None => format!("    {line}"),
            })
            .collect();
        if last.is_empty() { "    (nothing)".to_owned() } else { last.join("\n") }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn shell(script: &str, folder: &Path) -> Child {
        Child::start(&launch(script, folder)).unwrap()
    }

    fn launch(script: &str, folder: &Path) -> Launch {
        Launch {
            name: "sh",
            program: PathBuf::from("/bin/sh"),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            environment: vec![("WORD", "said".to_owned())],
            unset: vec!["HOME".to_owned()],
            log: folder.join("sh.log"),
        }
    }

    #[tokio::test]
    async fn what_a_process_printed_last_is_at_hand_when_it_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = shell("seq 1 100; echo the reason >&2; exit 7", folder.path());
        assert_eq!(child.ended().await.unwrap().code(), Some(7));
        assert!(child.tail().ends_with("    100\n    the reason"), "{}", child.tail());
        assert_eq!(child.tail().lines().count(), TAIL_LINES);
        let mut long = shell("printf '%0.sä' $(seq 1 300)", folder.path());
        long.ended().await.unwrap();
        assert_eq!(long.tail(), format!("    {}…", "ä".repeat(TAIL_CHARACTERS)));
        assert!(child.stop(Duration::from_secs(60)).await.unwrap());
    }

    #[tokio::test]
    async fn a_process_that_ignores_sigterm_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = shell("trap '' TERM; echo deaf; while :; do sleep 1; done", folder.path());
        while !child.tail().contains("deaf") {
            tokio::task::yield_now().await;
        }
        assert!(!child.stop(Duration::from_millis(50)).await.unwrap());
        assert!(child.has_ended().unwrap().is_some());
    }

    #[tokio::test]
    async fn a_second_start_keeps_the_log_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        shell("echo first", folder.path()).ended().await.unwrap();
        shell("echo second", folder.path()).ended().await.unwrap();
        let again = launch("echo $WORD again$HOME", folder.path());
        Child::start_again(&again).unwrap().ended().await.unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!((read("sh.log.1").as_str(), read("sh.log").as_str()), ("first\n", "second\nsaid again\n"));
    }
}
