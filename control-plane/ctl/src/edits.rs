//! Edits of users' files as data: a value for a key in a file. They are planned in memory, written
//! crash-safe, and undone byte for byte.
//!
//! A [`Plan`] lists the edits. [`Workspace::install`] writes it with a journal; [`Workspace::undo`] undoes
//! it, even if the installation was interrupted or the user has edited the files since.

mod diff;
mod disk;
mod document;
mod dotenv;
mod format;
mod install;
mod journal;
mod json;
mod lines;
mod shell;
mod toml;
mod undo;
mod yaml;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

pub(crate) use self::diff::unified;
pub(crate) use self::disk::Disk;
pub(crate) use self::format::Format;
pub(crate) use self::install::{InstallOutcome, preview};
pub(crate) use self::journal::Workspace;
pub(crate) use self::undo::UndoReport;

/// One step on the way to a value.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Key {
    /// A key of a mapping; in a shell profile the name of a block, in a `.env` file that of a variable.
    Name(String),
    /// The item of a list whose `field` is `is`. Lists are reordered; their items' names stay.
    Item {
        /// The field that tells items apart.
        field: String,
        /// Its value.
        is: String,
    },
}

/// One value that is wanted in one file.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// The file, as the user calls it.
    pub(crate) file: PathBuf,
    /// Its format.
    pub(crate) format: Format,
    /// The place in the file.
    pub(crate) path: Vec<Key>,
    /// The value.
    pub(crate) value: Value,
}

impl Change {
    /// A value under names.
    pub(crate) fn new(file: PathBuf, format: Format, names: &[&str], value: impl Into<Value>) -> Self {
        let path = names.iter().map(|name| Key::Name((*name).to_owned())).collect();
        Self { file, format, path, value: value.into() }
    }
}

/// Everything that is wanted for one agent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// The changes, in order.
    pub(crate) changes: Vec<Change>,
    /// Remarks for the user.
    pub(crate) remarks: Vec<String>,
}

/// Why a file is not edited. In this case nothing has been written.
#[derive(Debug, Error)]
pub(crate) enum EditError {
    /// The file does not have the format that its name implies.
    #[error("{path} is not edited, because it is not a valid {format}: {reason}. Correct it, then try again")]
    Unreadable {
        /// The file.
        path: String,
        /// What was expected.
        format: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is written in a way that leaves no place for the value.
    #[error("{path} is not edited: {reason}")]
    NoPlace {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The user, or a tool of theirs, has locked it.
    #[error("{0} is read-only and is not edited: make it writable, if it is yours to edit")]
    ReadOnly(String),
}

/// The longest file that is edited. Agents may keep their history in the same file as their settings, and
/// some of these files have grown to tens of megabytes. Bytes.
const LONGEST: u64 = 64 << 20;

/// The bytes of each file after a plan, without writing them. Unchanged files are left out.
pub(crate) fn edited(plan: &Plan) -> anyhow::Result<Vec<Vec<u8>>> {
    Ok(preview(plan)?.iter().map(|file| file.after().to_vec()).collect())
}

/// The bytes of a file with other values at these places. `None`: the value is removed, together with parents
/// that become empty.
pub(crate) fn rewritten(
    bytes: &[u8],
    format: Format,
    places: &[(Vec<&str>, Option<Value>)],
) -> Result<Vec<u8>, String> {
    let text = lines::Text::decode(bytes).ok_or("it is not in UTF-8")?;
    let mut document = format.open(&text.body)?;
    for (names, value) in places {
        let path: Vec<Key> = names.iter().map(|name| Key::Name((*name).to_owned())).collect();
        let Some(value) = value else {
            let mut path = path.as_slice();
            while document.remove(path)
                && let Some((_, above)) = path.split_last()
                && document.get(above).is_some_and(|it| it.as_object().is_some_and(Map::is_empty))
            {
                path = above;
            }
            continue;
        };
        document.set(&path, value)?;
    }
    Ok(text.encode(&document.text()))
}

/// A file of JSON, with comments or without, as a mapping.
pub(crate) fn json_object(bytes: &[u8]) -> Option<Map<String, Value>> {
    let text = lines::Text::decode(bytes)?;
    json::Json::parse(&text.body).ok()?.object()
}

/// The text of a file; `None` if there is none, or it cannot be read, or is no file.
pub(crate) fn bytes_of(file: &Path) -> Option<Vec<u8>> {
    Some(disk::read(file).ok()??.bytes)
}

/// The current value at a place in a file; `None` if there is none, or the file cannot be read.
pub(crate) fn value_at(file: &Path, format: Format, names: &[&str]) -> Option<Value> {
    let text = lines::Text::decode(&bytes_of(file)?)?;
    let path: Vec<Key> = names.iter().map(|name| Key::Name((*name).to_owned())).collect();
    format.open(&text.body).ok()?.get(&path)
}
