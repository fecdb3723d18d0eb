//! Child processes that cannot outlive the test: they end after a drop, a panic, an exit, and a kill of
//! the parent.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result, bail};

/// A running child process.
///
/// Statics are not dropped when a process exits and nothing is dropped when it is killed, so a second
/// process holds the reading end of a pipe that only this process can write to: however this process ends,
/// the pipe closes and it kills the child.
#[derive(Debug)]
pub struct Leashed {
    child: Child,
    guard: Child,
    log: PathBuf,
    name: String,
}

impl Leashed {
    /// Starts `program` with `arguments` and `environment`; its output goes to the file `log`.
    pub fn start(
        program: &Path,
        arguments: &[String],
        environment: &[(String, String)],
        log: &Path,
    ) -> Result<Self> {
        let name = program.file_name().map_or_else(|| "child".into(), |n| n.to_string_lossy().into_owned());
        let output = File::options().create(true).append(true).open(log)?;
        let child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        let guard = Command::new("sh")
            .args(["-c", "cat >/dev/null; kill -9 \"$1\" 2>/dev/null", "leash", &child.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("sh does not start")?;
        Ok(Self { child, guard, log: log.to_owned(), name })
    }

    /// The child's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in kilobytes.
    pub fn resident_kilobytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a process has memory")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Files and sockets that it has open.
    pub fn open_files(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.pid()))?.count())
    }

    /// An error with the end of the log if the child has ended on its own.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}:\n{}", self.name, self.log_tail()),
        }
    }

    /// SIGKILL, and waits until the process is gone.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        // The guard ends first: after the wait below another process may have the pid.
        self.guard.kill()?;
        self.guard.wait()?;
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    /// SIGTERM, and waits until the process has ended by itself.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        if !sent.success() {
            bail!("kill -TERM {} failed: {sent}", self.child.id());
        }
        Ok(self.child.wait()?)
    }

    /// The last lines of what it has printed.
    pub fn log_tail(&self) -> String {
        tail(&fs::read(&self.log).unwrap_or_default())
    }
}

/// The last lines of a log.
pub(crate) fn tail(log: &[u8]) -> String {
    const LINES: usize = 40;
    let text = String::from_utf8_lossy(log);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

impl Drop for Leashed {
    fn drop(&mut self) {
        // Fails only for a process that has ended already.
        let _ = self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alive(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    #[test]
    fn a_dropped_child_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let child =
            Leashed::start(Path::new("cat"), &["/dev/zero".into()], &[], Path::new("/dev/null")).unwrap();
        let pid = child.pid();
        assert!(alive(pid));
        drop(child);
        assert!(!alive(pid));
        drop(folder);
    }

    #[test]
    fn a_child_that_ends_by_itself_is_reported_with_what_it_printed() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut child =
            Leashed::start(Path::new("sh"), &["-c".into(), "echo no such port; exit 3".into()], &[], &log)
                .unwrap();
        child.child.wait().unwrap();
        let error = child.check().unwrap_err().to_string();
        assert!(error.contains("no such port"), "{error}");
    }
}
