//! Keeps state private to its owner: folders 0700, files 0600, independent of the umask and of older versions.
//!
//! Files of other users, and shared folders (`/tmp`, the home folder itself), are not changed.

pub mod rotation;
pub mod secrets;

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::Mode;

/// From here on, other users cannot open files that this process creates.
pub fn restrict_umask() {
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
}

/// Creates a folder and its parents. If it existed, removes other users' access.
pub fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let found = fs::metadata(path)?;
    // Not the system's folder for temporary files, the root folder, the home folder, or another user's folder.
    let shared = found.mode() & 0o1000 != 0 || path.parent().is_none() || is_home(path);
    if shared || found.uid() != rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    restrict(path, found.mode())
}

/// Creates an empty file, or removes other users' access from an existing one.
pub fn file(path: &Path) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    existing(path)
}

/// Removes other users' access from an existing database: the file, the ones that SQLite keeps next to it, and
/// damaged ones that were set aside.
pub fn database(path: &Path) -> io::Result<()> {
    file(path)?;
    // SQLite puts them next to the target of a link.
    let path = path.canonicalize()?;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let beside = entry.file_name();
        let rest = beside.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
        let ours = rest.is_some_and(|rest| rest.starts_with(b"-") || rest.starts_with(b".damaged-"));
        if ours && entry.file_type()?.is_file() {
            existing(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes other users' access from the files directly in a folder.
pub fn files_in(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // a link may lead to a file that is not ours
        if entry.file_type()?.is_file() {
            existing(&entry.path())?;
        }
    }
    Ok(())
}

/// Writes a file that appears under its name only when it is complete. Of several who write it at once, one wins.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (partial, mut new) = partial(path)?;
    let written = new.write_all(bytes).and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        fs::remove_file(&partial).ok();
    }
    written
}

/// A new file next to another, which no other program writes.
fn partial(path: &Path) -> io::Result<(PathBuf, File)> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    loop {
        let mut partial = path.as_os_str().to_owned();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        partial.push(format!(".{}-{number}.partial", std::process::id()));
        let partial = PathBuf::from(partial);
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial) {
            // of a process that was killed, or of one in another container
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (partial, file)),
        }
    }
}

fn existing(path: &Path) -> io::Result<()> {
    let found = match fs::metadata(path) {
        // gone in the meantime, as SQLite's files next to a database may be
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    match restrict(path, found.mode()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        restricted => restricted,
    }
}

/// The owner's permissions stay.
fn restrict(path: &Path, found: u32) -> io::Result<()> {
    if found & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(found & 0o700))
}

fn is_home(path: &Path) -> bool {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let same = |home: &Path| home.canonicalize().ok() == path.canonicalize().ok();
    home.is_some_and(|home| same(&home))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn open_file(path: &Path) {
        fs::write(path, "kept").unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    }

    #[test]
    fn what_an_older_version_left_open_is_closed_and_keeps_what_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("a/b");
        folder(&state).unwrap();
        assert_eq!((mode(&state), mode(&dir.path().join("a"))), (0o700, 0o700));
        fs::set_permissions(&state, Permissions::from_mode(0o755)).unwrap();
        folder(&state).unwrap();
        assert_eq!(mode(&state), 0o700);

        let names = ["h.db", "h.db-wal", "h.db-shm", "h.db.damaged-1", "h.db-wal.damaged-1"];
        for name in names {
            open_file(&state.join(name));
        }
        open_file(&state.join("h.dbx"));
        database(&state.join("h.db")).unwrap();
        for name in names {
            assert_eq!(mode(&state.join(name)), 0o600, "{name}");
            assert_eq!(fs::read_to_string(state.join(name)).unwrap(), "kept");
        }
        assert_eq!(mode(&state.join("h.dbx")), 0o644, "not ours");
        let program = state.join("program");
        open_file(&program);
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let outside = dir.path().join("outside");
        open_file(&outside);
        std::os::unix::fs::symlink(&outside, state.join("link")).unwrap();
        files_in(&state).unwrap();
        assert_eq!((mode(&state.join("h.dbx")), mode(&outside)), (0o600, 0o644), "links are not followed");
        assert_eq!(mode(&program), 0o700, "it still runs");
        write(&state.join("h.dbx"), b"new").unwrap();
        assert_eq!(
            (mode(&state.join("h.dbx")), fs::read(state.join("h.dbx")).unwrap()),
            (0o600, b"new".to_vec())
        );
    }

    #[test]
    fn of_many_who_write_a_file_at_once_one_wins_and_its_file_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        std::thread::scope(|scope| {
            for letter in b'a'..b'i' {
                let path = &path;
                scope.spawn(move || {
                    for round in 0..50 {
                        let whole = vec![letter; 1 + usize::from(letter) * round];
                        write(path, &whole).unwrap();
                        let read = fs::read(path).unwrap();
                        let [first, ..] = read[..] else { panic!("an empty file was seen") };
                        assert!(read.iter().all(|byte| *byte == first), "two writers are mixed");
                        assert_eq!((read.len() - 1) % usize::from(first), 0, "a part of a file was seen");
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");

        assert!(write(&dir.path().join("no/folder"), b"x").is_err());
        fs::create_dir(dir.path().join("taken")).unwrap();
        assert!(write(&dir.path().join("taken"), b"x").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "what failed leaves nothing");
    }

    #[test]
    fn a_folder_that_everybody_uses_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o1777)).unwrap();
        folder(dir.path()).unwrap();
        assert_eq!(mode(dir.path()), 0o1777);
    }
}
