//! `headroomctl logs`: the newest lines of the logs in a workspace, and new ones as they are written.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write, stdout};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use tokio::time::sleep;

use crate::status::WorkspaceArgs;

/// Time between two checks for new lines.
const LOOK: Duration = Duration::from_millis(250);
/// Bytes at the end of a log that are searched for its newest lines.
const END_BYTES: u64 = 1 << 20;
/// New bytes that are read at once.
const STEP_BYTES: u64 = 64 << 10;

/// Whose log.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogName {
    /// What a Headroom in the background prints
    Up,
    /// The sidecar's
    Headroomd,
    /// Envoy's, with the filter's
    Envoy,
    /// LiteLLM's, if it is the backend
    Litellm,
    /// One line for each request
    Access,
}

impl LogName {
    fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Headroomd => "headroomd",
            Self::Envoy => "envoy",
            Self::Litellm => "litellm",
            Self::Access => "access",
        }
    }
}

/// Prints the newest lines of the logs.
#[derive(Args, Clone, Debug, Default)]
pub struct LogsArgs {
    /// Which log [default: all but access]
    #[arg(value_enum)]
    pub names: Vec<LogName>,
    /// Number of lines from each log
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    pub lines: usize,
    /// Print new lines as they arrive, until Ctrl-C
    #[arg(long, short = 'f')]
    pub follow: bool,
    /// Which workspace.
    #[command(flatten)]
    pub here: WorkspaceArgs,
}

/// Prints them.
pub async fn logs(args: &LogsArgs) -> anyhow::Result<()> {
    let folder = args.here.workspace()?.join("logs");
    let names = match args.names.as_slice() {
        [] => &[LogName::Up, LogName::Headroomd, LogName::Envoy, LogName::Litellm],
        names => names,
    };
    let mut logs: Vec<Log> = names.iter().map(|name| Log::of(&folder, *name, names.len() > 1)).collect();
    ensure!(
        args.follow || logs.iter().any(|log| log.path.exists()),
        "there is no such log in {}: has Headroom run with this workspace?",
        folder.display()
    );
    let mut out = stdout().lock();
    for log in &mut logs {
        log.newest(args.lines, &mut out)?;
    }
    out.flush()?;
    if !args.follow {
        return Ok(());
    }
    loop {
        sleep(LOOK).await;
        for log in &mut logs {
            log.rest(&mut out)?;
        }
        out.flush()?;
    }
}

/// A log that is being read.
struct Log {
    path: PathBuf,
    /// The prefix of each line.
    label: String,
    /// The position: in which file, and how far it was read.
    file: u64,
    read: u64,
    /// The start of a line that is not complete yet.
    open: Vec<u8>,
}

impl Log {
    fn of(folder: &Path, name: LogName, labelled: bool) -> Self {
        Self {
            path: folder.join(format!("{}.log", name.name())),
            label: if labelled { format!("{:<9} | ", name.name()) } else { String::new() },
            file: 0,
            read: 0,
            open: Vec::new(),
        }
    }

    /// Prints the last lines.
    fn newest(&mut self, lines: usize, out: &mut impl Write) -> anyhow::Result<()> {
        let Some((mut file, found)) = self.look()? else { return Ok(()) };
        self.file = found.ino();
        let start = found.len().saturating_sub(END_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut end = Vec::new();
        file.take(END_BYTES).read_to_end(&mut end)?;
        self.read = start + end.len() as u64;
        let complete = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.open = end.split_off(complete);
        let whole: Vec<&[u8]> = end.split_inclusive(|byte| *byte == b'\n').collect();
        for line in &whole[whole.len().saturating_sub(lines)..] {
            self.print(line, out)?;
        }
        Ok(())
    }

    /// Prints what was added since.
    fn rest(&mut self, out: &mut impl Write) -> anyhow::Result<()> {
        let Some((mut file, found)) = self.look()? else { return Ok(()) };
        if found.ino() != self.file || found.len() < self.read {
            // A new file was started.
            (self.file, self.read) = (found.ino(), 0);
            self.open.clear();
        }
        file.seek(SeekFrom::Start(self.read))?;
        loop {
            let mut step = Vec::new();
            std::io::Read::by_ref(&mut file).take(STEP_BYTES).read_to_end(&mut step)?;
            if step.is_empty() {
                return Ok(());
            }
            self.read += step.len() as u64;
            self.open.append(&mut step);
            let complete = self.open.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let rest = self.open.split_off(complete);
            let lines = std::mem::replace(&mut self.open, rest);
            for line in lines.split_inclusive(|byte| *byte == b'\n') {
                self.print(line, out)?;
            }
            if self.open.len() as u64 > END_BYTES {
                // None of our lines is that long.
                self.open.clear();
            }
        }
    }

    fn look(&self) -> anyhow::Result<Option<(File, fs::Metadata)>> {
        let failed = || format!("{} cannot be read", self.path.display());
        match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(failed),
            Ok(file) => {
                let found = file.metadata().with_context(failed)?;
                Ok(Some((file, found)))
            }
        }
    }

    fn print(&self, line: &[u8], out: &mut impl Write) -> anyhow::Result<()> {
        out.write_all(self.label.as_bytes())?;
        Ok(out.write_all(line)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(step: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        step(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_newest_lines_come_first_then_what_is_added_also_after_a_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::of(folder.path(), LogName::Envoy, true);
        assert_eq!(text(|out| log.newest(2, out).unwrap()), "");
        fs::write(&log.path, "a\nb\nc\nd").unwrap();
        assert_eq!(text(|out| log.newest(2, out).unwrap()), "envoy     | b\nenvoy     | c\n");
        File::options().append(true).open(&log.path).unwrap().write_all(b"e\nf").unwrap();
        assert_eq!(text(|out| log.rest(out).unwrap()), "envoy     | de\n");
        fs::rename(&log.path, folder.path().join("envoy.log.1")).unwrap();
        assert_eq!(text(|out| log.rest(out).unwrap()), "");
        fs::write(&log.path, "new\n").unwrap();
        assert_eq!(text(|out| log.rest(out).unwrap()), "envoy     | new\n");
        fs::write(&log.path, "x\n").unwrap();
        assert_eq!(text(|out| log.rest(out).unwrap()), "envoy     | x\n", "it was emptied");
    }

    #[test]
    fn bytes_that_are_no_text_and_lines_without_an_end_do_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::of(folder.path(), LogName::Up, false);
        fs::write(&log.path, [vec![0xff; 3 << 20], b"\nend\n".to_vec()].concat()).unwrap();
        let mut out = Vec::new();
        log.newest(1, &mut out).unwrap();
        assert_eq!(out, b"end\n");
        let mut whole = Log::of(folder.path(), LogName::Up, false);
        let mut out = Vec::new();
        whole.rest(&mut out).unwrap();
        assert!(out.ends_with(b"\nend\n") && out.len() < 2 << 20);
    }
}
