//! The files of a model's folder, and what can be wrong with them.

use std::path::{Path, PathBuf};

/// Why a folder's model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// There is no such folder.
    #[error("{}: expected a folder with config.json, tokenizer.json and model.safetensors", .0.display())]
    Folder(PathBuf),
    /// A file is not there, or is not a file.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl ModelError {
    pub(crate) fn file(path: &Path, problem: impl ToString) -> Self {
        Self::File { path: path.to_owned(), problem: problem.to_string() }
    }
}

/// The length of a regular file, or of one that a symbolic link leads to, as in the hub's own cache.
pub(crate) fn regular(path: &Path, most: u64) -> Result<u64, ModelError> {
    let about = std::fs::metadata(path).map_err(|error| ModelError::file(path, error))?;
    if !about.is_file() {
        return Err(ModelError::file(path, "expected a file"));
    }
    if about.len() > most {
        let problem = format!("it has {} bytes, more than the {most} that such a file may have", about.len());
        return Err(ModelError::file(path, problem));
    }
    Ok(about.len())
}
