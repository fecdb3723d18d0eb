//! Reads and replaces files so that a crash leaves either the old one or the new one.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::LONGEST;

/// Symbolic links that are followed one after another; more means a cycle. Linux has the same limit.
const LINKS: usize = 40;

/// A file as it was found.
#[derive(Clone, Debug)]
pub(super) struct Contents {
    pub(super) bytes: Vec<u8>,
    /// Its permissions.
    pub(super) mode: u32,
}

impl Contents {
    /// Whether its owner has forbidden to write it.
    pub(super) fn is_read_only(&self) -> bool {
        self.mode & 0o200 == 0
    }
}

/// Reads a file through its symbolic links; `None`: there is none.
pub(super) fn read(path: &Path) -> anyhow::Result<Option<Contents>> {
    let about = || format!("{} cannot be read", path.display());
    // opening a pipe would wait without end
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.with_context(about)?,
    };
    ensure!(found.is_file(), "{} was expected to be a file", path.display());
    ensure!(found.len() <= LONGEST, "{} is longer than {} MiB", path.display(), LONGEST >> 20);
    let file = File::open(path).with_context(about)?;
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).with_context(about)?;
    Ok(Some(Contents { bytes, mode: found.permissions().mode() & 0o7777 }))
}

/// The target of a path, whether it exists or not.
pub(super) fn resolve(path: &Path) -> anyhow::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let Ok(link) = fs::read_link(&path) else { return Ok(path) };
        path = path.parent().map_or_else(|| link.clone(), |folder| folder.join(&link));
    }
    anyhow::bail!("{} is a link to itself", path.display())
}

/// The folders above a path that do not exist, the outermost first.
pub(super) fn missing_folders(path: &Path) -> Vec<PathBuf> {
    let mut missing: Vec<PathBuf> = path
        .ancestors()
        .skip(1)
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .map(Path::to_owned)
        .collect();
    missing.reverse();
    missing
}

/// Writes files. Tests let it fail before any of its writes, as if the process had been killed there.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    pub(super) left: Option<std::cell::Cell<usize>>,
    /// Whether the process itself ends at that point.
    #[cfg(test)]
    ends: bool,
}

impl Disk {
    /// One that ends before it has written `writes` + 1 times.
    #[cfg(test)]
    pub(crate) fn killed_after(writes: usize) -> Self {
        Self { left: Some(std::cell::Cell::new(writes)), ends: false }
    }

    /// The same, by SIGKILL to this process.
    #[cfg(test)]
    pub(crate) fn ended_after(writes: usize) -> Self {
        Self { ends: true, ..Self::killed_after(writes) }
    }

    #[cfg_attr(not(test), allow(clippy::unused_self, clippy::unnecessary_wraps))]
    fn before_write(&self) -> anyhow::Result<()> {
        #[cfg(test)]
        if let Some(left) = &self.left {
            if self.ends && left.get() == 0 {
                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)?;
            }
            let now = left.get().checked_sub(1).context("killed by the test")?;
            left.set(now);
        }
        Ok(())
    }

    /// A file's bytes and permissions; `None`: there is none.
    #[allow(clippy::unused_self, reason = "whoever writes reads through the same value")]
    pub(crate) fn contents(&self, path: &Path) -> anyhow::Result<Option<(Vec<u8>, u32)>> {
        Ok(read(path)?.map(|contents| (contents.bytes, contents.mode)))
    }

    /// Replaces the file that a path leads to.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
        self.replace(&resolve(path)?, bytes, mode)
    }

    /// Removes the file that a path leads to.
    pub(crate) fn take(&self, path: &Path) -> anyhow::Result<()> {
        self.remove(&resolve(path)?)
    }

    /// Replaces a file, or creates it. The bytes are on the disk before the rename.
    pub(super) fn replace(&self, path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
        let about = || format!("{} cannot be written", path.display());
        let new = beside(path);
        self.before_write()?;
        remove(&new)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new);
        let mut file = file.with_context(about)?;
        // Independent of the umask.
        file.set_permissions(fs::Permissions::from_mode(mode)).with_context(about)?;
        let (half, rest) = bytes.split_at(bytes.len() / 2);
        file.write_all(half).with_context(about)?;
        self.before_write()?;
        file.write_all(rest).with_context(about)?;
        file.sync_all().with_context(about)?;
        self.before_write()?;
        fs::rename(&new, path).with_context(about)?;
        sync_folder(path)
    }

    /// Removes a file that may be there, and what an interrupted [`Disk::replace`] may have left next to it.
    pub(super) fn remove(&self, path: &Path) -> anyhow::Result<()> {
        self.before_write()?;
        remove(path)?;
        remove(&beside(path))?;
        sync_folder(path)
    }

    /// Removes what an interrupted [`Disk::replace`] may have left next to a file.
    pub(super) fn clean_beside(&self, path: &Path) -> anyhow::Result<()> {
        self.before_write()?;
        remove(&beside(path))
    }

    /// Creates a folder and its parents.
    pub(super) fn make_folder(&self, folder: &Path) -> anyhow::Result<()> {
        self.before_write()?;
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))
    }

    /// Removes a folder if it is empty.
    pub(super) fn remove_empty_folder(&self, folder: &Path) -> anyhow::Result<()> {
        self.before_write()?;
        match fs::remove_dir(folder) {
            Err(error)
                if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) =>
            {
                Err(error).with_context(|| format!("{} cannot be removed", folder.display()))
            }
            _ => Ok(()),
        }
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".headroom-new");
    path.with_file_name(name)
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}

fn sync_folder(path: &Path) -> anyhow::Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    match File::open(folder) {
        // The folder is gone, and the file with it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be opened", folder.display())),
        // Not every file system supports this.
        Ok(folder) => folder.sync_all().or(Ok(())),
    }
}
