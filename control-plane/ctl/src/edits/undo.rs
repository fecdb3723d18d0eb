//! Undoes edits: byte for byte if the file has not changed since, otherwise value by value.

use anyhow::Context;
use serde_json::Value;

use super::disk::{self, Contents};
use super::document::Document;
use super::journal::{FileEdit, Record, Workspace, WrittenValue, digest};
use super::lines::Text;
use super::{EditError, Key};

/// What was undone.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct UndoReport {
    /// Files that were restored byte for byte.
    pub(crate) restored: Vec<String>,
    /// Files that have changed since: only Headroom's values were removed.
    pub(crate) cleaned: Vec<String>,
    /// Values that differ from Headroom's and were left unchanged, in whole sentences.
    pub(crate) left: Vec<String>,
}

impl Workspace {
    /// Undoes the edits for an agent. `None`: there were none.
    pub(crate) fn undo(&self, agent: &str) -> anyhow::Result<Option<UndoReport>> {
        let _lock = self.lock()?;
        match self.record(agent)? {
            None => {
                self.clear_backups(agent)?;
                Ok(None)
            }
            Some(record) => self.undo_locked(&record).map(Some),
        }
    }

    /// If it is interrupted, it can start again: it recognizes what it has already undone.
    pub(super) fn undo_locked(&self, record: &Record) -> anyhow::Result<UndoReport> {
        let mut undone = UndoReport::default();
        for file in record.files.iter().rev() {
            self.undo_file(&record.agent, file, &mut undone)?;
        }
        for folder in record.folders.iter().rev() {
            self.disk.remove_empty_folder(folder)?;
        }
        self.forget(record)?;
        Ok(undone)
    }

    fn undo_file(&self, agent: &str, file: &FileEdit, undone: &mut UndoReport) -> anyhow::Result<()> {
        let path = disk::resolve(&file.path)?;
        let shown = file.path.display().to_string();
        self.disk.clean_beside(&path)?;
        let now = disk::read(&path)?;
        let now_digest = now.as_ref().map(|contents| digest(&contents.bytes));
        if now_digest.as_ref() == file.before.as_ref().map(|before| &before.digest) {
            undone.restored.push(shown);
            return Ok(());
        }
        let Some(now) = now else {
            undone.left.push(format!("{shown} has been removed since, and is not brought back"));
            return Ok(());
        };
        if now_digest.as_ref() == Some(&file.after) {
            match &file.before {
                None => self.disk.remove(&path)?,
                Some(before) => {
                    let bytes = self.backup(agent, before)?;
                    self.disk.replace(&path, &bytes, now.mode)?;
                }
            }
            undone.restored.push(shown);
            return Ok(());
        }
        let cleaned = cleaned(file, &now, &mut undone.left).with_context(|| {
            format!(
                "the edits of {shown} are not undone; the file before the edits is {}",
                match &file.before {
                    Some(before) => self.backups(agent).join(&before.backup).display().to_string(),
                    None => "none: it did not exist".to_owned(),
                }
            )
        })?;
        if cleaned == now.bytes {
            return Ok(());
        }
        if now.is_read_only() {
            return Err(EditError::ReadOnly(shown).into());
        }
        if file.before.is_none() && is_blank(&cleaned) {
            self.disk.remove(&path)?;
        } else {
            self.disk.replace(&path, &cleaned, now.mode)?;
        }
        undone.cleaned.push(shown);
        Ok(())
    }
}

/// A file without Headroom's values.
fn cleaned(file: &FileEdit, now: &Contents, left: &mut Vec<String>) -> anyhow::Result<Vec<u8>> {
    let shown = file.path.display().to_string();
    let unreadable =
        |reason| EditError::Unreadable { path: shown.clone(), format: file.format.title(), reason };
    let text = Text::decode(&now.bytes).ok_or_else(|| unreadable("it is not in UTF-8".to_owned()))?;
    let mut document = file.format.open(&text.body).map_err(unreadable)?;
    for made in file.changes.iter().rev() {
        match document.get(&made.path) {
            None => {}
            Some(found) if found == made.value => take_back(&mut *document, made, &shown)?,
            Some(found) if Some(&found) == made.was.as_ref() => {}
            Some(_) => left.push(format!(
                "{} in {shown} has been changed since, and is left as it is",
                made.path.iter().map(name).collect::<Vec<_>>().join(".")
            )),
        }
    }
    Ok(text.encode(&document.text()))
}

fn take_back(document: &mut dyn Document, made: &WrittenValue, shown: &str) -> Result<(), EditError> {
    let no_place = |reason| EditError::NoPlace { path: shown.to_owned(), reason };
    if let Some(was) = &made.was {
        return document.set(&made.path, was).map_err(no_place);
    }
    if !document.remove(&made.path) {
        return Err(no_place(format!(
            "{} cannot be removed automatically: remove it by hand",
            made.path.iter().map(name).collect::<Vec<_>>().join(".")
        )));
    }
    let mut parents = made.path.as_slice();
    for _ in 0..made.new_parents {
        let Some((_, above)) = parents.split_last() else { break };
        parents = above;
        if !document.get(parents).is_some_and(|parent| holds_nothing(&parent)) || !document.remove(parents) {
            break;
        }
    }
    Ok(())
}

fn holds_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

/// Whether a file that was made for an edit is empty without it.
fn is_blank(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let text: String = text.chars().filter(|c| !c.is_whitespace() && *c != '\u{feff}').collect();
    matches!(text.as_str(), "" | "{}")
}

fn name(key: &Key) -> &str {
    match key {
        Key::Name(name) => name,
        Key::Item { is, .. } => is,
    }
}
