//! Edits of users' files as data: which key of which file gets which value, planned in memory, written
//! crash-safe, and taken back byte for byte.
//!
//! A [`Plan`] says what is wanted. [`Workspace::install`] writes it behind a journal; [`Workspace::undo`]
//! takes it back, wherever the installation was interrupted and whatever the user has done since.

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
use serde_json::Value;
use thiserror::Error;

pub(crate) use self::diff::unified;
pub(crate) use self::disk::Disk;
pub(crate) use self::format::Format;
pub(crate) use self::install::{Installed, preview};
pub(crate) use self::journal::Workspace;
pub(crate) use self::undo::Undone;

/// One step on the way to a value.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Key {
    /// A key of a mapping; in a shell profile the name of a block, in a `.env` file that of a variable.
    Name(String),
    /// The item of a list whose `field` says `is`. Lists are reordered; their items' names stay.
    Item {
        /// The field that tells items apart.
        field: String,
        /// What it says.
        is: String,
    },
}

/// One value that is wanted in one file.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// The file, as the user calls it.
    pub(crate) file: PathBuf,
    /// How it is written.
    pub(crate) format: Format,
    /// Where in it.
    pub(crate) path: Vec<Key>,
    /// What is to stand there.
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
    /// What the user has to know beside them.
    pub(crate) remarks: Vec<String>,
}

/// Why a file is not edited. Nothing has been written then.
#[derive(Debug, Error)]
pub(crate) enum EditError {
    /// The file is not what its name says.
    #[error("{path} is not edited, because it is no {format}: {reason}. Mend it, then try again")]
    Unreadable {
        /// The file.
        path: String,
        /// What was expected.
        format: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is written in a way in which the value has no place.
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

/// The longest file that is edited. Agents' own histories may lie in the same file as their settings, and
/// some have grown to tens of megabytes. Bytes.
const LONGEST: u64 = 64 << 20;

/// What a plan makes of each file, without writing it. Files that stay as they are are left out.
pub(crate) fn edited(plan: &Plan) -> anyhow::Result<Vec<Vec<u8>>> {
    Ok(preview(plan)?.iter().map(|file| file.after().to_vec()).collect())
}

/// What stands at a place in a file now; `None` where nothing does, or where the file cannot be read.
pub(crate) fn value_at(file: &Path, format: Format, names: &[&str]) -> Option<Value> {
    let contents = disk::read(file).ok()??;
    let text = lines::Text::decode(&contents.bytes)?;
    let path: Vec<Key> = names.iter().map(|name| Key::Name((*name).to_owned())).collect();
    format.open(&text.body).ok()?.get(&path)
}
