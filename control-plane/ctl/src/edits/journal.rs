//! The journal of edits for an agent, written before the first edit, and backups of the files.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::disk::{self, Disk};
use super::{Format, Key};

/// The format of the journals below; no other one is supported.
const VERSION: u32 = 1;

/// Backups may hold keys, as the files do.
const PRIVATE: u32 = 0o600;

/// The edits of one agent's files.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Record {
    version: u32,
    /// The agent's name here.
    pub(crate) agent: String,
    /// The Headroom that it uses.
    pub(crate) url: String,
    /// The request, to install the same again.
    pub(crate) asked: Value,
    /// The files, in the order in which they are written.
    pub(super) files: Vec<FileEdit>,
    /// Folders that were made for them, the outermost first.
    pub(super) folders: Vec<PathBuf>,
}

/// The edit of one file.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct FileEdit {
    /// As the user calls it.
    pub(super) path: PathBuf,
    pub(super) format: Format,
    /// `None`: there was no file.
    pub(super) before: Option<Saved>,
    /// The digest of the new file.
    pub(super) after: String,
    pub(super) changes: Vec<WrittenValue>,
}

/// A file as it was.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Saved {
    pub(super) digest: String,
    /// The copy's name among the backups.
    pub(super) backup: String,
    pub(super) mode: u32,
}

/// One value that was written.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct WrittenValue {
    pub(super) path: Vec<Key>,
    pub(super) value: Value,
    /// The value before.
    pub(super) was: Option<Value>,
    /// How many of the keys above it are also new.
    pub(super) new_parents: usize,
}

impl Record {
    pub(super) fn new(agent: &str, url: &str, asked: Value) -> Self {
        let (agent, url) = (agent.to_owned(), url.to_owned());
        Self { version: VERSION, agent, url, asked, files: Vec::new(), folders: Vec::new() }
    }

    /// The files that were edited.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }
}

/// The digest that identifies the content of a file.
pub(super) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The folder of journals and backups: `wrap` in Headroom's workspace.
#[derive(Debug)]
pub(crate) struct Workspace {
    folder: PathBuf,
    pub(super) disk: Disk,
}

impl Workspace {
    /// The folder below a workspace folder.
    pub(crate) fn new(workspace: &Path, disk: Disk) -> Self {
        Self { folder: workspace.join("wrap"), disk }
    }

    /// One process edits at a time; the second waits.
    pub(super) fn lock(&self) -> anyhow::Result<File> {
        headroom_private::folder(&self.folder)
            .with_context(|| format!("{} cannot be made", self.folder.display()))?;
        let path = self.folder.join("lock");
        let file = OpenOptions::new().create(true).append(true).mode(PRIVATE).open(&path);
        let file = file.with_context(|| format!("{} cannot be written", path.display()))?;
        file.lock().with_context(|| format!("{} cannot be locked", path.display()))?;
        Ok(file)
    }

    /// When the record of an agent was written.
    pub(crate) fn recorded(&self, agent: &str) -> Option<SystemTime> {
        std::fs::metadata(self.journal(agent)).ok()?.modified().ok()
    }

    fn journal(&self, agent: &str) -> PathBuf {
        self.folder.join(format!("{agent}.json"))
    }

    pub(super) fn backups(&self, agent: &str) -> PathBuf {
        self.folder.join(format!("{agent}.before"))
    }

    /// The record of an agent whose files are edited; `None`: they are not.
    pub(crate) fn record(&self, agent: &str) -> anyhow::Result<Option<Record>> {
        let path = self.journal(agent);
        let Some(contents) = disk::read(&path)? else { return Ok(None) };
        let record: Record = serde_json::from_slice(&contents.bytes).with_context(|| {
            format!("{} is not a journal of Headroom; the saved files are in the same folder", path.display())
        })?;
        if record.version != VERSION {
            bail!("{} was written by another version of headroomctl: unwrap with that one", path.display());
        }
        Ok(Some(record))
    }

    pub(super) fn save(&self, record: &Record) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec_pretty(record)?;
        self.disk.replace(&self.journal(&record.agent), &bytes, PRIVATE)
    }

    /// Copies a file as it is.
    pub(super) fn back_up(&self, agent: &str, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let folder = self.backups(agent);
        self.disk.make_folder(&folder)?;
        self.disk.replace(&folder.join(name), bytes, PRIVATE)
    }

    /// A file as it was.
    pub(super) fn backup(&self, agent: &str, saved: &Saved) -> anyhow::Result<Vec<u8>> {
        let path = self.backups(agent).join(&saved.backup);
        let contents = disk::read(&path)?.with_context(|| format!("{} is gone", path.display()))?;
        if digest(&contents.bytes) != saved.digest {
            bail!("{} is not what was saved there", path.display());
        }
        Ok(contents.bytes)
    }

    /// Forgets an agent. The journal goes first; without it the backups have no meaning.
    pub(super) fn forget(&self, record: &Record) -> anyhow::Result<()> {
        self.disk.remove(&self.journal(&record.agent))?;
        self.clear_backups(&record.agent)
    }

    /// Removes backups, also those that an interrupted run has left.
    pub(super) fn clear_backups(&self, agent: &str) -> anyhow::Result<()> {
        self.disk.clean_beside(&self.journal(agent))?;
        let folder = self.backups(agent);
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries.with_context(|| format!("{} cannot be read", folder.display()))?,
        };
        for entry in entries {
            self.disk.remove(&entry?.path())?;
        }
        self.disk.remove_empty_folder(&folder)
    }
}
