//! Memory as Anthropic's tool `memory_20250818` sees it: a folder of files.
//!
//! A file is a fact. One that the model creates has its path as an entity; any other is under [`NOTES`](self::NOTES), with
//! its id as its name. So what one model writes as a file, another finds as a fact, and the other way round. Nothing is
//! overwritten: each edit begins a version, and a deleted file can be restored. The answers use the words that
//! Anthropic's models know.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use headroom_api::memory::{
    Caller, Entity, Fact, FactRequest, FactResponse, MAX_CONTENT_BYTES, MAX_LIMIT, NewFact, SaveRequest,
    SaveStatus, UpdateRequest,
};
use serde::Deserialize;
use serde_json::Value;

use super::{Memory, MemoryError};
use crate::clock::now_ms;

/// The folder that holds all.
const ROOT: &str = "/memories";
/// Where facts are that have no path of their own.
const NOTES: &str = "/memories/notes/";
const SUFFIX: &str = ".md";
/// The type of the entity that holds a path.
const FILE: &str = "file";
/// How much a file matters.
const IMPORTANCE: f64 = 0.7;
/// Files that a folder shows, and that a deletion of one reaches.
const MAX_FILES: usize = 500;
/// Facts that may have one path: more than one only if a caller has saved it as an entity by hand.
const SAME_PATH: u32 = 10;
/// Bytes of a path.
const MAX_PATH: usize = 512;
/// Lines around an edit that are shown.
const AROUND: usize = 4;

/// A command, as Anthropic's documentation has it.
#[derive(Debug, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
enum Command {
    View {
        path: String,
        #[serde(default)]
        view_range: Option<[i64; 2]>,
    },
    Create {
        path: String,
        file_text: String,
    },
    StrReplace {
        path: String,
        old_str: String,
        #[serde(default)]
        new_str: Option<String>,
    },
    Insert {
        path: String,
        insert_line: i64,
        insert_text: String,
    },
    Delete {
        path: String,
    },
    Rename {
        old_path: String,
        new_path: String,
    },
}

/// Why a command was not done.
enum Failure {
    /// In words for the model.
    Told(String),
    Memory(MemoryError),
}

impl From<MemoryError> for Failure {
    fn from(error: MemoryError) -> Self {
        Self::Memory(error)
    }
}

fn told<T>(why: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Told(why.into()))
}

fn no_such<T>(path: &str) -> Result<T, Failure> {
    told(format!("Error: The path {path} does not exist. Please provide a valid path."))
}

/// The caller of the tool.
struct Folder<'a> {
    memory: &'a Memory,
    tenant: &'a str,
    caller: Caller,
}

impl Memory {
    /// Does a command. An error is in words for the model.
    pub(super) async fn command(
        &self,
        tenant: &str,
        arguments: Value,
        caller: Caller,
    ) -> Result<String, String> {
        let command: Command = serde_json::from_value(arguments)
            .map_err(|error| format!("Error: {error}. Nothing was done."))?;
        let folder = Folder { memory: self, tenant, caller };
        let done = match command {
            Command::View { path, view_range } => folder.view(&path, view_range).await,
            Command::Create { path, file_text } => folder.create(&path, file_text).await,
            Command::StrReplace { path, old_str, new_str } => {
                folder.replace(&path, &old_str, &new_str.unwrap_or_default()).await
            }
            Command::Insert { path, insert_line, insert_text } => {
                folder.insert(&path, insert_line, &insert_text).await
            }
            Command::Delete { path } => folder.delete(&path).await,
            Command::Rename { old_path, new_path } => folder.rename(&old_path, &new_path).await,
        };
        done.map_err(|why| match why {
            Failure::Told(text) => text,
            Failure::Memory(error) => super::tools::told(&error),
        })
    }
}

impl Folder<'_> {
    async fn view(&self, path: &str, range: Option<[i64; 2]>) -> Result<String, Failure> {
        let path = checked(path)?;
        if let Some(fact) = self.file(&path).await? {
            return numbered(&path, &fact.content, range);
        }
        let files = self.files_under(&path).await?;
        if files.is_empty() && path != ROOT {
            return no_such(&path);
        }
        Ok(listed(&path, &files))
    }

    async fn create(&self, path: &str, text: String) -> Result<String, Failure> {
        let path = file_path(path)?;
        if self.file(&path).await?.is_some() || !self.files_under(&path).await?.is_empty() {
            return told(format!("Error: File {path} already exists"));
        }
        self.save(&path, text, IMPORTANCE).await?;
        Ok(format!("File created successfully at: {path}"))
    }

    /// Keeps a new file.
    async fn save(&self, path: &str, text: String, importance: f64) -> Result<(), Failure> {
        if text.trim().is_empty() {
            return told("Error: an empty file cannot be kept. Nothing was done.");
        }
        if text.len() > MAX_CONTENT_BYTES {
            return too_long(text.len());
        }
        let entity = Entity { entity: path.to_owned(), entity_type: FILE.to_owned() };
        let fact = NewFact {
            content: text,
            importance: Some(importance),
            entities: vec![entity],
            ..NewFact::default()
        };
        let asked = SaveRequest { caller: self.caller.clone(), scope: None, facts: vec![fact] };
        let answer = self.memory.save(self.tenant, &asked).await?;
        match answer.saved.first() {
            Some(saved) if saved.status == SaveStatus::AlreadySaved => told(format!(
                "Error: a note with this text is there already: its id is {}. Nothing was done.",
                saved.id
            )),
            _ => Ok(()),
        }
    }

    async fn replace(&self, path: &str, old: &str, new: &str) -> Result<String, Failure> {
        let path = checked(path)?;
        let Some(fact) = self.file(&path).await? else { return no_such(&path) };
        let places: Vec<usize> = if old.is_empty() {
            Vec::new()
        } else {
            fact.content.match_indices(old).map(|(at, _)| at).collect()
        };
        let line = |at: &usize| fact.content.get(..*at).map_or(0, |before| before.matches('\n').count()) + 1;
        match places.as_slice() {
            [] => told(format!(
                "No replacement was performed, old_str `{old}` did not appear verbatim in {path}."
            )),
            [at] => {
                let text = fact.content.replacen(old, new, 1);
                let line = line(at);
                self.update(&fact, text.clone()).await?;
                Ok(format!("The memory file has been edited.\n{}", around(&text, line)))
            }
            several => {
                let lines: Vec<String> = several.iter().map(|at| line(at).to_string()).collect();
                told(format!(
                    "No replacement was performed. Multiple occurrences of old_str `{old}` in lines: {}. Please \
                     ensure it is unique",
                    lines.join(", ")
                ))
            }
        }
    }

    async fn insert(&self, path: &str, line: i64, inserted: &str) -> Result<String, Failure> {
        let path = checked(path)?;
        let Some(fact) = self.file(&path).await? else { return no_such(&path) };
        let mut lines: Vec<&str> = fact.content.lines().collect();
        let Some(at) = usize::try_from(line).ok().filter(|at| *at <= lines.len()) else {
            return told(format!(
                "Error: Invalid `insert_line` parameter: {line}. It should be within the range of lines of the \
                 file: [0, {}]",
                lines.len()
            ));
        };
        let inserted = inserted.strip_suffix('\n').unwrap_or(inserted);
        drop(lines.splice(at..at, inserted.split('\n')));
        self.update(&fact, lines.join("\n")).await?;
        Ok(format!("The file {path} has been edited."))
    }

    /// Gives a file another text.
    async fn update(&self, fact: &Fact, text: String) -> Result<(), Failure> {
        if text.len() > MAX_CONTENT_BYTES {
            return too_long(text.len());
        }
        let asked = UpdateRequest {
            caller: self.caller.clone(),
            memory_id: fact.id.clone(),
            new_content: text,
            reason: String::new(),
        };
        let FactResponse { fact: after, changed } = self.memory.update(self.tenant, &asked).await?;
        if !changed {
            return told("Error: apart from white space the file says so already. Nothing was done.");
        }
        if after.id != fact.id {
            return told(format!(
                "Error: a note says the same as the file would: the file was merged into it. Its id is {}.",
                after.id
            ));
        }
        Ok(())
    }

    async fn delete(&self, path: &str) -> Result<String, Failure> {
        let path = checked(path)?;
        if path == ROOT {
            return told(format!("Error: The path {ROOT} cannot be deleted"));
        }
        let facts = match self.file(&path).await? {
            Some(fact) => vec![fact],
            None => self.files_under(&path).await?.into_values().collect(),
        };
        if facts.is_empty() {
            return told(format!("Error: The path {path} does not exist"));
        }
        for fact in facts {
            self.forget(&fact, "").await?;
        }
        Ok(format!("Successfully deleted {path}"))
    }

    async fn forget(&self, fact: &Fact, reason: &str) -> Result<(), Failure> {
        self.memory.delete(self.tenant, &self.about(fact, reason)).await?;
        Ok(())
    }

    fn about(&self, fact: &Fact, reason: &str) -> FactRequest {
        FactRequest {
            caller: self.caller.clone(),
            memory_id: fact.id.clone(),
            reason: reason.to_owned(),
            purge: false,
        }
    }

    /// A fact keeps its entities: one under another path is another fact, and the history of the old one says so.
    async fn rename(&self, old: &str, new: &str) -> Result<String, Failure> {
        let (old, new) = (checked(old)?, file_path(new)?);
        let Some(fact) = self.file(&old).await? else {
            return match self.files_under(&old).await?.is_empty() {
                true => no_such(&old),
                false => {
                    told(format!("Error: The path {old} is a folder: rename its files. Nothing was done."))
                }
            };
        };
        if self.file(&new).await?.is_some() || !self.files_under(&new).await?.is_empty() {
            return told(format!("Error: The destination {new} already exists"));
        }
        self.forget(&fact, &format!("renamed to {new}")).await?;
        if let Err(failure) = self.save(&new, fact.content.clone(), fact.importance).await {
            self.memory.restore(self.tenant, &self.about(&fact, "it could not be renamed")).await?;
            return Err(failure);
        }
        Ok(format!("Successfully renamed {old} to {new}"))
    }

    /// The fact of a path; of several the newest.
    async fn file(&self, path: &str) -> Result<Option<Fact>, Failure> {
        let (store, reach) = (self.memory.store()?, self.memory.reach(self.tenant, &self.caller)?);
        let id = path.strip_prefix(NOTES).and_then(|name| name.strip_suffix(SUFFIX));
        if let Some(id) = id.filter(|id| is_id(id)) {
            let last = store.history(&reach, id).await.map_err(MemoryError::from)?.pop();
            let live = last.map(|stored| stored.fact).filter(|fact| fact.ended.is_none());
            if let Some(fact) = live.filter(|fact| path_of(fact) == path) {
                return Ok(Some(fact));
            }
        }
        let names = [path.to_lowercase()];
        let about = store.about(&reach, &names, now_ms(), SAME_PATH).await.map_err(MemoryError::from)?;
        Ok(about.into_iter().map(|stored| stored.fact).find(|fact| path_of(fact) == path))
    }

    /// The files of a folder, the newest of those that there are, by their paths.
    async fn files_under(&self, folder: &str) -> Result<BTreeMap<String, Fact>, Failure> {
        let (store, reach) = (self.memory.store()?, self.memory.reach(self.tenant, &self.caller)?);
        let start = format!("{folder}/");
        // only these two show facts without a path of their own
        let is_of_notes = NOTES.starts_with(&start);
        let (mut files, mut before) = (BTreeMap::new(), None);
        while files.len() < MAX_FILES {
            let page = match is_of_notes {
                true => store.list(&reach, None, before, MAX_LIMIT).await,
                false => store.about_below(&reach, &folder.to_lowercase(), before, MAX_LIMIT).await,
            };
            let page = page.map_err(MemoryError::from)?;
            before = page.last().filter(|_| page.len() == MAX_LIMIT as usize).map(|last| last.ordinal);
            let under = page.into_iter().map(|stored| (path_of(&stored.fact), stored.fact));
            for (path, fact) in under.filter(|(path, _)| path.starts_with(&start)) {
                files.entry(path).or_insert(fact);
            }
            if before.is_none() {
                break;
            }
        }
        Ok(files)
    }
}

fn too_long<T>(bytes: usize) -> Result<T, Failure> {
    told(format!(
        "Error: a file has {MAX_CONTENT_BYTES} bytes at most, and this would have {bytes}: use several. Nothing \
         was done."
    ))
}

/// Ids are hexadecimal; anything else is not looked for.
fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Where a fact stands.
fn path_of(fact: &Fact) -> String {
    let own = fact.entities.iter().find(|entity| entity.entity_type == FILE && is_within(&entity.entity));
    own.map_or_else(|| format!("{NOTES}{}{SUFFIX}", fact.id), |entity| entity.entity.clone())
}

/// A path in the folder, in its plain form.
fn is_within(path: &str) -> bool {
    let inside = path.strip_prefix(ROOT).and_then(|rest| rest.strip_prefix('/'));
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.len() <= MAX_PATH
        && !path.contains(|c: char| c.is_control() || c == '\\' || c == '%')
        && inside.is_some_and(|inside| inside.split('/').all(is_plain))
}

/// A path as the model gives it, without the slash at its end.
fn checked(path: &str) -> Result<String, Failure> {
    let plain = path.trim_end_matches('/');
    if plain == ROOT || is_within(plain) { Ok(plain.to_owned()) } else { no_such(path) }
}

/// The same of a file that is to be: the folder of the notes is for facts without a path.
fn file_path(path: &str) -> Result<String, Failure> {
    let path = checked(path)?;
    if path == ROOT || format!("{path}/").starts_with(NOTES) {
        return told(format!("Error: The path {path} is kept for notes: choose another. Nothing was done."));
    }
    Ok(path)
}

/// A folder, two levels deep.
fn listed(folder: &str, files: &BTreeMap<String, Fact>) -> String {
    let mut shown: BTreeMap<String, usize> = BTreeMap::new();
    for (path, fact) in files {
        let below = path.get(folder.len() + 1..).unwrap_or_default();
        let mut entry = folder.to_owned();
        for part in below.split('/').take(2) {
            entry = format!("{entry}/{part}");
            *shown.entry(entry.clone()).or_default() += fact.content.len();
        }
    }
    let all = files.values().map(|fact| fact.content.len()).sum();
    let mut text = format!(
        "Here're the files and directories up to 2 levels deep in {folder}, excluding hidden items and \
         node_modules:\n{}\t{folder}",
        size(all)
    );
    for (path, bytes) in shown {
        let _ = write!(text, "\n{}\t{path}", size(bytes));
    }
    text
}

/// A size as `du -h` says it, of whole blocks.
fn size(bytes: usize) -> String {
    let kibibytes = bytes.div_ceil(4 << 10).max(1) * 4;
    if kibibytes < 1_024 { format!("{kibibytes}.0K") } else { format!("{:.1}M", kibibytes as f64 / 1_024.0) }
}

fn numbered(path: &str, content: &str, range: Option<[i64; 2]>) -> Result<String, Failure> {
    let count = content.lines().count();
    let [from, to] = range.unwrap_or([1, -1]);
    let to = if to == -1 { i64::try_from(count).unwrap_or(i64::MAX) } else { to };
    if from < 1 || to < from {
        return told(format!(
            "Error: Invalid `view_range` parameter: [{from}, {to}]. The file has {count} lines"
        ));
    }
    let lines = content.lines().enumerate().map(|(at, line)| (at + 1, line));
    let within = |at: usize| i64::try_from(at).is_ok_and(|at| (from..=to).contains(&at));
    let mut text = format!("Here's the content of {path} with line numbers:");
    for (at, line) in lines.filter(|(at, _)| within(*at)) {
        let _ = write!(text, "\n{at:>6}\t{line}");
    }
    Ok(text)
}

/// The lines around an edit.
fn around(text: &str, line: usize) -> String {
    let first = line.saturating_sub(AROUND).max(1);
    let shown = text.lines().enumerate().skip(first - 1).take(2 * AROUND + 1);
    shown.map(|(at, line)| format!("{:>6}\t{line}", at + 1)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_below_the_root_are_paths() {
        for path in ["/memories", "/memories/", "/memories/a.md", "/memories/a b/ü.md", "/memories/x/"] {
            assert!(checked(path).is_ok(), "{path}");
        }
        let long = format!("/memories/{}", "x".repeat(MAX_PATH));
        for path in [
            "",
            "/",
            "memories/a",
            "/memoriesx/a",
            "/memories/../etc/passwd",
            "/memories/./a",
            "/memories//a",
            "/memories/%2e%2e/a",
            "/memories/a\\..\\b",
            "/memories/a\nb",
            "/etc/passwd",
            &long,
        ] {
            assert!(checked(path).is_err(), "{path:.40}");
        }
        for path in ["/memories", "/memories/notes", "/memories/notes/a.md"] {
            assert!(file_path(path).is_err(), "{path}");
        }
        assert!(file_path("/memories/notes.md").is_ok());
    }

    #[test]
    fn a_folder_is_shown_two_levels_deep_with_sizes() {
        let fact = |bytes| Fact { content: "x".repeat(bytes), ..Fact::default() };
        let files = [("/memories/a.md", 10), ("/memories/d/b.md", 5_000), ("/memories/d/e/c.md", 1)];
        let files = files.map(|(path, bytes)| (path.to_owned(), fact(bytes))).into();
        let text = listed(ROOT, &files);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "8.0K\t/memories",
                "4.0K\t/memories/a.md",
                "8.0K\t/memories/d",
                "8.0K\t/memories/d/b.md",
                "4.0K\t/memories/d/e"
            ]
        );
        assert_eq!(listed(ROOT, &BTreeMap::new()).lines().count(), 2);
    }

    #[test]
    fn lines_are_numbered_and_a_range_that_makes_no_sense_is_refused() {
        let text = |range| numbered("/memories/a", "one\ntwo\nthree", range).ok();
        assert!(text(None).unwrap().ends_with("\n     1\tone\n     2\ttwo\n     3\tthree"));
        assert!(text(Some([2, -1])).unwrap().ends_with(":\n     2\ttwo\n     3\tthree"));
        for range in [[0, 1], [-5, 2], [3, 2], [2, -2]] {
            assert_eq!(text(Some(range)), None, "{range:?}");
        }
        assert!(text(Some([9, i64::MAX])).unwrap().ends_with("numbers:"));
    }
}
