//! Which conversations went through Headroom: the session logs that changed while a wrapped run was served.
//!
//! A run is recorded with its folder when it begins, and with its logs when it ends. A killed run has no
//! logs; it counts for every conversation of its folder.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::agents::Places;

/// The number of newest entries that are kept for an agent.
const KEPT: usize = 1000;
/// Limit on the number of files whose times are read; no one has as many logs.
const LOOKED_AT: usize = 200_000;
/// The longest file of entries that is read. Bytes.
const LONGEST: u64 = 4 << 20;
/// Some file systems store times only in steps of this size.
const STEP: Duration = Duration::from_secs(1);

/// One conversation, or a run whose end is not known.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Entry {
    /// The agent's folder; `None`: it ran on its own, while it was permanently wrapped.
    folder: Option<PathBuf>,
    /// The log that changed during the run.
    log: Option<PathBuf>,
}

/// The conversations of one agent.
#[derive(Clone, Debug)]
pub(crate) struct AgentConversations {
    path: PathBuf,
}

impl AgentConversations {
    /// The conversations of an agent, in a workspace.
    pub(crate) fn of(workspace: &Path, agent: &str) -> Self {
        Self { path: workspace.join("wrap/passed").join(format!("{agent}.jsonl")) }
    }

    /// Records the start of a run.
    pub(crate) fn begin(&self, folder: &Path) -> anyhow::Result<()> {
        self.change(|entries| entries.push(Entry { folder: Some(folder.to_owned()), log: None }))
    }

    /// Records the end of a run. The logs that changed since its start went through Headroom.
    pub(crate) fn end(
        &self,
        folder: &Path,
        places: &Places,
        began: SystemTime,
        has_passed: bool,
    ) -> anyhow::Result<()> {
        let logs = if has_passed { changed_since(places, began) } else { Vec::new() };
        self.change(|entries| {
            let open =
                entries.iter().rposition(|it| it.log.is_none() && it.folder.as_deref() == Some(folder));
            if let Some(open) = open {
                entries.remove(open);
            }
            add(entries, Some(folder), logs);
        })
    }

    /// Records that an agent, permanently wrapped since then, is unwrapped.
    pub(crate) fn unwrapped(&self, places: &Places, since: SystemTime) -> anyhow::Result<()> {
        let logs = changed_since(places, since);
        if logs.is_empty() {
            return Ok(());
        }
        self.change(|entries| add(entries, None, logs))
    }

    /// Whether the conversation with that id went through Headroom; without an id, whether one of this folder
    /// did.
    pub(crate) fn holds(&self, folder: &Path, places: &Places, id: Option<&str>) -> bool {
        let entries = fs::read(&self.path).map(|bytes| entries_of(&bytes)).unwrap_or_default();
        entries.iter().any(|entry| {
            let is_here = entry.folder.as_deref() == Some(folder);
            match (&entry.log, id) {
                // The name of a file with many conversations is not the id of one.
                (Some(log), Some(id)) if !places.logs.contains(log) => log.to_string_lossy().contains(id),
                _ => is_here,
            }
        })
    }

    fn change(&self, what: impl FnOnce(&mut Vec<Entry>)) -> anyhow::Result<()> {
        let about = || format!("{} cannot be written", self.path.display());
        if let Some(folder) = self.path.parent() {
            headroom_private::folder(folder).with_context(about)?;
        }
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&self.path)
            .with_context(about)?;
        file.lock().with_context(about)?;
        let mut bytes = Vec::new();
        (&mut file).take(LONGEST).read_to_end(&mut bytes).with_context(about)?;
        let mut entries = entries_of(&bytes);
        what(&mut entries);
        let mut text = Vec::new();
        for entry in &entries[entries.len().saturating_sub(KEPT)..] {
            serde_json::to_writer(&mut text, entry)?;
            text.push(b'\n');
        }
        file.set_len(0).with_context(about)?;
        file.seek(SeekFrom::Start(0)).with_context(about)?;
        file.write_all(&text).with_context(about)
    }
}

/// Skips invalid lines: a write may have been interrupted.
fn entries_of(bytes: &[u8]) -> Vec<Entry> {
    bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

fn add(entries: &mut Vec<Entry>, folder: Option<&Path>, logs: Vec<PathBuf>) {
    for log in logs {
        let entry = Entry { folder: folder.map(Path::to_owned), log: Some(log) };
        entries.retain(|known| *known != entry);
        entries.push(entry);
    }
}

/// The logs that were written to since then.
fn changed_since(places: &Places, then: SystemTime) -> Vec<PathBuf> {
    let then = then.checked_sub(STEP).unwrap_or(then);
    let mut changed = Vec::new();
    let mut left = places.logs.clone();
    let mut looked_at = 0;
    while let Some(path) = left.pop() {
        looked_at += 1;
        if looked_at > LOOKED_AT {
            break;
        }
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        if found.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            left.extend(entries.map(|entry| entry.path()));
        } else if found.is_file() && found.modified().is_ok_and(|at| at >= then) {
            changed.push(path);
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    struct TestHome(tempfile::TempDir);

    impl TestHome {
        fn places(&self) -> Places {
            Places { logs: vec![self.0.path().join("logs")], ..Places::default() }
        }

        fn log(&self, name: &str) {
            let path = self.0.path().join("logs").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }

        fn passed(&self) -> AgentConversations {
            AgentConversations::of(self.0.path(), "claude")
        }

        fn holds(&self, folder: &str, id: Option<&str>) -> bool {
            self.passed().holds(Path::new(folder), &self.places(), id)
        }
    }

    fn house() -> TestHome {
        TestHome(tempfile::tempdir().unwrap())
    }

    fn an_hour_ago() -> SystemTime {
        SystemTime::now().checked_sub(Duration::from_secs(3600)).unwrap()
    }

    #[test]
    fn a_conversation_is_known_by_its_log_and_its_folder() {
        let house = house();
        house.log("old/aaaa.jsonl");
        let old = house.0.path().join("logs/old/aaaa.jsonl");
        File::options().write(true).open(old).unwrap().set_modified(an_hour_ago()).unwrap();
        assert!(!house.holds("/work", None));
        let began = SystemTime::now();
        house.passed().begin(Path::new("/work")).unwrap();
        assert!(house.holds("/work", None) && house.holds("/work", Some("bbbb")), "it may have been killed");
        house.log("new/bbbb.jsonl");
        house.passed().end(Path::new("/work"), &house.places(), began, true).unwrap();
        assert!(house.holds("/work", None) && house.holds("/elsewhere", Some("bbbb")));
        assert!(!house.holds("/work", Some("aaaa")), "it was not written to meanwhile");
        assert!(!house.holds("/elsewhere", None));
    }

    #[test]
    fn a_run_of_which_nothing_passed_is_no_conversation() {
        let house = house();
        let began = SystemTime::now();
        house.passed().begin(Path::new("/work")).unwrap();
        house.log("cccc.jsonl");
        house.passed().end(Path::new("/work"), &house.places(), began, false).unwrap();
        assert!(!house.holds("/work", None) && !house.holds("/work", Some("cccc")));
    }

    #[test]
    fn a_database_of_all_conversations_counts_for_the_folder() {
        let house = house();
        fs::write(house.0.path().join("logs"), "all of them").unwrap();
        house.passed().begin(Path::new("/work")).unwrap();
        house.passed().end(Path::new("/work"), &house.places(), an_hour_ago(), true).unwrap();
        assert!(house.holds("/work", Some("ses_1")) && !house.holds("/elsewhere", Some("ses_1")));
    }

    #[test]
    fn what_was_wrapped_for_good_is_known_by_id_alone() {
        let house = house();
        house.log("dddd.jsonl");
        house.passed().unwrapped(&house.places(), an_hour_ago()).unwrap();
        assert!(house.holds("/anywhere", Some("dddd")) && !house.holds("/anywhere", None));
    }

    #[test]
    fn entries_are_bounded_and_a_cut_line_is_passed_over() {
        let house = house();
        house.passed().begin(Path::new("/work")).unwrap();
        let mut file = File::options().append(true).open(&house.passed().path).unwrap();
        file.write_all(b"{\"folder\": \"/cu").unwrap();
        for n in 0..KEPT {
            house.passed().begin(Path::new(&format!("/{n}"))).unwrap();
        }
        assert!(!house.holds("/work", None) && house.holds("/0", None));
        assert_eq!(fs::read_to_string(&house.passed().path).unwrap().lines().count(), KEPT);
    }
}
