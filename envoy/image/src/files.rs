//! An OCI layout as a folder, and as a tar archive.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::{Files, MAX_FILE_BYTES};

/// More files than a layout with one image of one layer has.
const MAX_FILES: usize = 16;

/// Why a layout could not be read or written.
#[derive(Debug, Error)]
pub enum FilesError {
    /// The system refused.
    #[error("{}: {error}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The archive is broken.
    #[error("the archive: {0}")]
    Archive(#[from] io::Error),
    /// A folder that this crate did not write must not be replaced.
    #[error("{}: expected nothing or an OCI layout there, found something else, which stays", .0.display())]
    InTheWay(PathBuf),
    /// A link, a device, a name with `..` in it.
    #[error("{0:?} is no file of a layout")]
    Foreign(String),
    /// Longer, or more files, than an image of one module needs.
    #[error("{0:?} is longer than {MAX_FILE_BYTES} bytes, or one of more than {MAX_FILES} files")]
    TooMuch(String),
}

/// Writes the layout, in place of an older one.
pub fn to_folder(files: &Files, folder: &Path) -> Result<(), FilesError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| FilesError::Io { path, error }
    };
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(at(parent))?;
    // Written next to its final place first, so that readers see the old one or the new one.
    let new = tempfile::tempdir_in(parent).map_err(at(parent))?;
    for (name, bytes) in files {
        let path = new.path().join(name);
        let inside = path.parent().unwrap_or(new.path());
        fs::create_dir_all(inside).map_err(at(inside))?;
        fs::write(&path, bytes).map_err(at(&path))?;
    }
    match fs::symlink_metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(at(folder)(error)),
        Ok(found) if found.is_dir() && folder.join("oci-layout").is_file() => {
            fs::remove_dir_all(folder).map_err(at(folder))?;
        }
        Ok(_) => return Err(FilesError::InTheWay(folder.to_owned())),
    }
    let new = new.keep();
    fs::rename(&new, folder).map_err(at(folder))?;
    readable_by_all(folder).map_err(at(folder))
}

/// A temporary folder is readable only by its owner, but another user may have to push the image.
fn readable_by_all(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

/// The layout in a folder.
pub fn from_folder(folder: &Path) -> Result<Files, FilesError> {
    let mut files = Files::new();
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((path, name)) = folders.pop() {
        let io = |error| FilesError::Io { path: path.clone(), error };
        for entry in fs::read_dir(&path).map_err(io)? {
            let entry = entry.map_err(io)?;
            let own =
                entry.file_name().into_string().map_err(|own| FilesError::Foreign(format!("{own:?}")))?;
            let inner = if name.is_empty() { own } else { format!("{name}/{own}") };
            let kind = entry.file_type().map_err(io)?;
            if kind.is_dir() && inner.matches('/').count() < 2 {
                folders.push((entry.path(), inner));
            } else if kind.is_file() {
                let file = fs::File::open(entry.path()).map_err(io)?;
                insert(&mut files, inner, file)?;
            } else {
                return Err(FilesError::Foreign(inner));
            }
        }
    }
    Ok(files)
}

/// The layout as a tar archive, in the order of the names, with `time` on everything.
pub fn archive(files: &Files, time: u64) -> Result<Vec<u8>, FilesError> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(time);
        header.set_uid(0);
        header.set_gid(0);
        archive.append_data(&mut header, name, bytes.as_slice())?;
    }
    Ok(archive.into_inner()?)
}

/// The layout in a tar archive. Folders in it are ignored.
pub fn from_archive(bytes: &[u8]) -> Result<Files, FilesError> {
    let mut files = Files::new();
    for entry in tar::Archive::new(bytes).entries()? {
        let entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        match entry.header().entry_type() {
            tar::EntryType::Directory => {}
            tar::EntryType::Regular if !files.contains_key(&name) => insert(&mut files, name, entry)?,
            _ => return Err(FilesError::Foreign(name)),
        }
    }
    Ok(files)
}

fn insert(files: &mut Files, name: String, content: impl io::Read) -> Result<(), FilesError> {
    let mut bytes = Vec::new();
    content.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES || files.len() == MAX_FILES {
        return Err(FilesError::TooMuch(name));
    }
    files.insert(name, bytes);
    Ok(())
}
