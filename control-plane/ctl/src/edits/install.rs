//! Carries out a plan: it decides everything in memory, saves the old files, writes the journal, and only then
//! edits.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::disk::{self, Contents};
use super::document::Document;
use super::journal::{FileEdit, Record, Saved, Workspace, WrittenValue, digest};
use super::lines::Text;
use super::{Change, EditError, Key, Plan};

/// The permissions of a new file. Agents keep keys in some of these.
const NEW_FILE: u32 = 0o600;

/// The result of a plan.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum InstallOutcome {
    /// It was carried out.
    Now,
    /// An earlier run had already done everything.
    Already,
    /// There was nothing to edit.
    Nothing,
}

/// A file before and after a plan.
#[derive(Clone, Debug)]
pub(crate) struct Preview {
    /// As the user calls it.
    pub(crate) path: PathBuf,
    before: Option<Contents>,
    after: Vec<u8>,
    edit: FileEdit,
}

impl Preview {
    /// The bytes now.
    pub(crate) fn before(&self) -> Option<&[u8]> {
        self.before.as_ref().map(|contents| contents.bytes.as_slice())
    }

    /// The bytes then.
    pub(crate) fn after(&self) -> &[u8] {
        &self.after
    }
}

/// The files before and after a plan. Nothing is written. Unchanged files are left out.
pub(crate) fn preview(plan: &Plan) -> anyhow::Result<Vec<Preview>> {
    let mut paths: Vec<&Path> = Vec::new();
    for change in &plan.changes {
        if !paths.contains(&change.file.as_path()) {
            paths.push(&change.file);
        }
    }
    let mut previews = Vec::new();
    for path in paths {
        let changes: Vec<&Change> = plan.changes.iter().filter(|change| change.file == path).collect();
        previews.extend(preview_file(path, &changes)?);
    }
    Ok(previews)
}

fn preview_file(path: &Path, changes: &[&Change]) -> anyhow::Result<Option<Preview>> {
    let Some(format) = changes.first().map(|change| change.format) else { return Ok(None) };
    let before = disk::read(path)?;
    let bytes = before.as_ref().map_or(&[][..], |contents| &contents.bytes);
    let shown = || path.display().to_string();
    let unreadable = |reason| EditError::Unreadable { path: shown(), format: format.title(), reason };
    let text = Text::decode(bytes).ok_or_else(|| unreadable("it is not in UTF-8".to_owned()))?;
    let mut document = format.open(&text.body).map_err(unreadable)?;
    let mut made = Vec::new();
    for change in changes {
        let was = document.get(&change.path);
        if was.as_ref() == Some(&change.value) {
            // The user's own value, which an undo must not remove.
            continue;
        }
        let new_parents = new_parents(&*document, &change.path);
        document
            .set(&change.path, &change.value)
            .map_err(|reason| EditError::NoPlace { path: shown(), reason })?;
        made.push(WrittenValue { path: change.path.clone(), value: change.value.clone(), was, new_parents });
    }
    if made.is_empty() {
        return Ok(None);
    }
    if before.as_ref().is_some_and(Contents::is_read_only) {
        return Err(EditError::ReadOnly(shown()).into());
    }
    let after = text.encode(&document.text());
    let edit = FileEdit { path: path.to_owned(), format, before: None, after: digest(&after), changes: made };
    Ok(Some(Preview { path: path.to_owned(), before, after, edit }))
}

fn new_parents(document: &dyn Document, path: &[Key]) -> usize {
    (1..path.len()).filter(|depth| document.get(&path[..*depth]).is_none()).count()
}

impl Workspace {
    /// Carries out a plan for an agent. An earlier plan for it is undone first.
    pub(crate) fn install(
        &self,
        agent: &str,
        url: &str,
        asked: Value,
        plan: &Plan,
    ) -> anyhow::Result<InstallOutcome> {
        let _lock = self.lock()?;
        if let Some(record) = self.record(agent)? {
            if record.asked == asked && record.url == url && self.holds(&record) {
                return Ok(InstallOutcome::Already);
            }
            self.undo_locked(&record)?;
        }
        self.clear_backups(agent)?;
        let previews = preview(plan)?;
        if previews.is_empty() {
            return Ok(InstallOutcome::Nothing);
        }
        let mut record = Record::new(agent, url, asked);
        for (number, preview) in previews.iter().enumerate() {
            let mut edit = preview.edit.clone();
            if let Some(before) = &preview.before {
                let backup = number.to_string();
                self.back_up(agent, &backup, &before.bytes)?;
                edit.before = Some(Saved { digest: digest(&before.bytes), backup, mode: before.mode });
            }
            for folder in disk::missing_folders(&disk::resolve(&preview.path)?) {
                if !record.folders.contains(&folder) {
                    record.folders.push(folder);
                }
            }
            record.files.push(edit);
        }
        self.save(&record)?;
        for preview in &previews {
            let path = disk::resolve(&preview.path)?;
            if let Some(folder) = path.parent() {
                self.disk.make_folder(folder)?;
            }
            let mode = preview.before.as_ref().map_or(NEW_FILE, |before| before.mode);
            self.disk.replace(&path, &preview.after, mode)?;
        }
        Ok(InstallOutcome::Now)
    }

    /// Whether every value of a record is still in its file.
    pub(crate) fn holds(&self, record: &Record) -> bool {
        record.files.iter().all(|file| {
            let Ok(Some(contents)) = disk::read(&file.path) else { return false };
            if digest(&contents.bytes) == file.after {
                return true;
            }
            let Some(text) = Text::decode(&contents.bytes) else { return false };
            let Ok(document) = file.format.open(&text.body) else { return false };
            file.changes.iter().all(|made| document.get(&made.path).as_ref() == Some(&made.value))
        })
    }
}
