//! Entries for files that are shared through git wait here until the user accepts or rejects them. Each is a small
//! file in the workspace.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::merge::{self, Merge, Section, sections, subject};

/// Maximum number of waiting entries. A pattern that is seen again is proposed again when there is room.
const ENTRIES: usize = 200;
/// Bytes of an entry's file.
const BYTES: u64 = 64 << 10;

/// An entry that waits.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Proposal {
    /// A short name for it.
    pub id: String,
    /// The project.
    pub project: PathBuf,
    /// The file that it is for.
    pub path: PathBuf,
    /// Its heading.
    pub section: String,
    /// The sentence.
    pub text: String,
    /// The day on which it was proposed last.
    pub date: String,
}

/// The folder of waiting entries, and next to it the folder of rejected ones.
#[derive(Clone, Debug)]
pub struct Inbox {
    waiting: PathBuf,
    rejected: PathBuf,
}

impl Inbox {
    /// In a workspace folder.
    pub fn new(workspace: &Path) -> Self {
        let folder = workspace.join("learn");
        Self { waiting: folder.join("inbox"), rejected: folder.join("rejected") }
    }

    /// The entries that wait, in the order of their files and headings. Invalid files are skipped.
    pub fn list(&self) -> io::Result<Vec<Proposal>> {
        let entries = match fs::read_dir(&self.waiting) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found: Vec<Proposal> = entries.flatten().filter_map(|entry| read(&entry.path())).collect();
        found.sort_by(|a, b| (&a.path, &a.section, &a.id).cmp(&(&b.path, &b.section, &b.id)));
        Ok(found)
    }

    /// Proposes the additions of a merge. Entries that the file already has, that wait unchanged, or that were
    /// rejected are not proposed again. Returns the number of new ones.
    pub fn propose(&self, project: &Path, merge: &Merge, date: &str) -> io::Result<usize> {
        let block =
            |text: Option<&str>| text.and_then(merge::extract_marker_block).map(sections).unwrap_or_default();
        let stands = block(merge.before.as_deref());
        let is_said = |section: &Section, entry: &String| {
            let same = |other: &&Section| other.title == section.title;
            stands
                .iter()
                .filter(same)
                .flat_map(|other| &other.entries)
                .any(|other| subject(other) == subject(entry))
        };
        let waiting = self.list()?;
        let mut new = 0;
        for section in block(Some(&merge.after)) {
            for entry in section.entries.iter().filter(|entry| !is_said(&section, entry)) {
                let key = format!("{}\0{}\0{}", merge.path.display(), section.title, subject(entry));
                let id: String = blake3::hash(key.as_bytes()).to_hex().chars().take(8).collect();
                let known = waiting.iter().find(|known| known.id == id);
                if known.is_some_and(|known| known.text == *entry)
                    || self.rejected.join(format!("{id}.json")).exists()
                    || (known.is_none() && waiting.len() + new >= ENTRIES)
                {
                    continue;
                }
                new += usize::from(known.is_none());
                self.put(&Proposal {
                    id,
                    project: project.to_owned(),
                    path: merge.path.clone(),
                    section: section.title.clone(),
                    text: entry.clone(),
                    date: date.to_owned(),
                })?;
            }
        }
        Ok(new)
    }

    fn put(&self, proposal: &Proposal) -> io::Result<()> {
        headroom_private::folder(&self.waiting)?;
        let path = self.waiting.join(format!("{}.json", proposal.id));
        headroom_private::write(&path, &serde_json::to_vec_pretty(proposal)?)
    }

    /// Writes entries into the files that they are for. Each is removed from the inbox after its file has it.
    pub fn accept(&self, wanted: &[Proposal], date: &str) -> anyhow::Result<()> {
        for proposal in wanted {
            let section = Section {
                title: proposal.section.clone(),
                tokens_saved: None,
                entries: vec![proposal.text.clone()],
            };
            let merge = merge::merge(&proposal.path, &[section], &|_, _| true, date, None)?;
            if merge.is_change() {
                let path = proposal.path.display();
                merge::write(&merge).with_context(|| format!("{path} was not changed"))?;
            }
            self.remove(proposal)?;
        }
        Ok(())
    }

    /// Removes entries from the inbox; they are not proposed again.
    pub fn reject(&self, wanted: &[Proposal]) -> anyhow::Result<()> {
        headroom_private::folder(&self.rejected)?;
        for proposal in wanted {
            let name = format!("{}.json", proposal.id);
            fs::rename(self.waiting.join(&name), self.rejected.join(&name))
                .with_context(|| format!("{} cannot be rejected", proposal.id))?;
        }
        Ok(())
    }

    fn remove(&self, proposal: &Proposal) -> anyhow::Result<()> {
        let path = self.waiting.join(format!("{}.json", proposal.id));
        fs::remove_file(&path).with_context(|| format!("{} cannot be removed", path.display()))
    }
}

/// The entry in a file; `None` if it is not valid.
fn read(path: &Path) -> Option<Proposal> {
    let name = path.file_stem()?.to_str()?;
    let mut text = String::new();
    fs::File::open(path).ok()?.take(BYTES).read_to_string(&mut text).ok()?;
    let proposal: Proposal = serde_json::from_str(&text).ok()?;
    // the name of its file identifies it, and its text is one line of a list
    let is_plain = !proposal.text.contains(char::is_control) && !proposal.section.contains(char::is_control);
    (proposal.id == name && is_plain).then_some(proposal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge_of(path: &Path, entries: &[&str]) -> Merge {
        let section = Section {
            title: "Commands".to_owned(),
            tokens_saved: None,
            entries: entries.iter().map(|entry| (*entry).to_owned()).collect(),
        };
        merge::merge(path, &[section], &|_, _| true, "2026-01-02", None).unwrap()
    }

    #[test]
    fn an_entry_waits_once_is_accepted_or_rejected_and_does_not_come_again() {
        let home = tempfile::tempdir().unwrap();
        let (inbox, path) = (Inbox::new(home.path()), home.path().join("AGENTS.md"));
        fs::write(&path, "# Mine\n").unwrap();
        let propose =
            |entries: &[&str]| inbox.propose(home.path(), &merge_of(&path, entries), "2026-01-02").unwrap();
        assert_eq!(propose(&["`a` fails (seen 2 times).", "`b` fails."]), 2);
        assert_eq!(propose(&["`a` fails (seen 3 times).", "`b` fails."]), 0);
        let waiting = inbox.list().unwrap();
        assert_eq!(waiting.len(), 2);
        assert_eq!(fs::read_to_string(&path).unwrap(), "# Mine\n", "nothing is written unasked");
        let (a, b): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|it| it.text.contains("`a`"));
        assert!(a[0].text.contains("3 times"));
        inbox.accept(&a, "2026-01-03").unwrap();
        inbox.reject(&b).unwrap();
        assert!(inbox.list().unwrap().is_empty());
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with("# Mine\n")
                && text.contains("- `a` fails (seen 3 times).")
                && !text.contains("`b`")
        );
        assert_eq!(propose(&["`a` fails (seen 9 times).", "`b` fails now."]), 0);
    }

    #[test]
    fn what_is_no_entry_is_passed_over() {
        let home = tempfile::tempdir().unwrap();
        let inbox = Inbox::new(home.path());
        fs::create_dir_all(&inbox.waiting).unwrap();
        for (name, text) in [
            ("a.json", "{"),
            ("b.json", "\u{0}"),
            (
                "c.json",
                r#"{"id":"../c","project":"/p","path":"/p/A.md","section":"S","text":"t","date":"d"}"#,
            ),
            (
                "d.json",
                r#"{"id":"d","project":"/p","path":"/p/A.md","section":"S","text":"t\n# u","date":"d"}"#,
            ),
            (
                "f.json",
                r#"{"id":"f","project":"/p","path":"/p/A.md","section":"S","text":"t\u001b[2J","date":"d"}"#,
            ),
        ] {
            fs::write(inbox.waiting.join(name), text).unwrap();
        }
        fs::create_dir(inbox.waiting.join("e.json")).unwrap();
        assert!(inbox.list().unwrap().is_empty());
    }
}
