//! Writes lessons into files without a request by the user: files that only the user has are written; for files that
//! others get through git, an entry is proposed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::apply::Plan;
use crate::deadline::Deadline;
use crate::inbox::Inbox;
use crate::merge::{self, Merge};
use crate::project::repository;

/// Time that git may take to say whether it ignores a file.
const DEADLINE: Duration = Duration::from_secs(5);
/// Files that belong to one person, by their name.
const OWN: [&str; 2] = ["MEMORY.md", "CLAUDE.local.md"];

/// The result of a plan.
#[derive(Debug, Default)]
pub struct PublishReport {
    /// Files that were written.
    pub written: Vec<PathBuf>,
    /// New entries in the inbox.
    pub proposed: usize,
    /// What could not be done, one line each.
    pub problems: Vec<String>,
}

impl PublishReport {
    /// Adds the result of another plan.
    pub fn add(&mut self, other: Self) {
        self.written.extend(other.written);
        self.proposed += other.proposed;
        self.problems.extend(other.problems);
    }
}

/// Writes the files of a plan, or proposes their entries. With `write_tracked` all are written. A file that cannot be
/// written does not stop the others.
pub fn publish(project: &Path, plan: &Plan, inbox: &Inbox, write_tracked: bool, date: &str) -> PublishReport {
    let mut published = PublishReport::default();
    for merge in &plan.merges {
        let outcome: anyhow::Result<()> = if write_tracked || is_own(&merge.path) {
            write(merge, &mut published)
        } else {
            let proposed = inbox.propose(project, merge, date);
            proposed.map(|new| published.proposed += new).map_err(Into::into)
        };
        if let Err(error) = outcome {
            published.problems.push(format!("{error:#}"));
        }
    }
    published
}

fn write(merge: &Merge, published: &mut PublishReport) -> anyhow::Result<()> {
    merge::write(merge)?;
    published.written.push(merge.path.clone());
    Ok(())
}

/// Whether a file reaches no one else through git: by its name, because it lies in no repository, or because git ignores it.
/// Where git cannot be asked, others may. A link may lead to any file, and a repository may bring it.
fn is_own(path: &Path) -> bool {
    if path.symlink_metadata().is_ok_and(|about| about.is_symlink()) {
        return false;
    }
    let is_named = path.file_name().is_some_and(|name| OWN.iter().any(|own| name == *own));
    is_named
        || path
            .parent()
            .and_then(repository)
            .is_none_or(|checkout| is_ignored(Path::new(&*checkout.tree), path))
}

/// Whether git ignores a file. One that it tracks is never ignored.
fn is_ignored(tree: &Path, path: &Path) -> bool {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(tree)
        // a repository's settings must not start a program
        .args(["-c", "core.fsmonitor=false", "check-ignore", "--quiet", "--"])
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let Ok(mut child) = Deadline::prepare(&mut command).spawn() else { return false };
    let deadline = Deadline::new(&child, DEADLINE);
    let status = child.wait();
    !deadline.end() && status.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::merge::Section;

    fn git(folder: &Path, arguments: &[&str]) {
        let done = Command::new("git").arg("-C").arg(folder).args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    #[test]
    fn what_git_would_carry_to_others_waits_and_the_rest_is_written() {
        let home = tempfile::tempdir().unwrap();
        let project = home.path().canonicalize().unwrap().join("shop");
        fs::create_dir_all(project.join("memory")).unwrap();
        git(&project, &["init", "--quiet"]);
        fs::write(project.join(".gitignore"), "GEMINI.md\nQWEN.md\n").unwrap();
        fs::write(project.join("QWEN.md"), "ignored, and tracked all the same\n").unwrap();
        git(&project, &["add", "--force", "QWEN.md"]);
        let section = Section {
            title: "Commands".to_owned(),
            tokens_saved: None,
            entries: vec!["`a` fails.".to_owned()],
        };
        let names = ["AGENTS.md", "CLAUDE.local.md", "GEMINI.md", "QWEN.md", "memory/MEMORY.md"];
        let merge = |path: PathBuf| {
            merge::merge(&path, std::slice::from_ref(&section), &|_, _| true, "2026-01-02", None).unwrap()
        };
        let plan =
            Plan { merges: names.iter().map(|name| merge(project.join(name))).collect(), ..Plan::default() };
        let inbox = Inbox::new(&home.path().join("workspace"));
        let published = publish(&project, &plan, &inbox, false, "2026-01-02");
        assert!(published.problems.is_empty(), "{:?}", published.problems);
        let written = ["CLAUDE.local.md", "GEMINI.md", "memory/MEMORY.md"].map(|name| project.join(name));
        assert_eq!((&published.written[..], published.proposed), (&written[..], 2));
        assert!(!project.join("AGENTS.md").exists());
        let outside = home.path().join("AGENTS.md");
        assert!(is_own(&outside), "in no repository");
        let all = publish(&project, &plan, &inbox, true, "2026-01-02");
        assert!(all.written.contains(&project.join("AGENTS.md")));
        assert_eq!(all.problems.len(), 3, "files that have changed meanwhile are left as they are");
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_written_through_a_link_unasked() {
        let home = tempfile::tempdir().unwrap();
        let project = home.path().canonicalize().unwrap().join("shop");
        fs::create_dir(&project).unwrap();
        git(&project, &["init", "--quiet"]);
        // one that the repository shares, and one that is the user's for all projects
        let global = home.path().join("CLAUDE.md");
        for shared in [&project.join("AGENTS.md"), &global] {
            fs::write(shared, "# Shared\n").unwrap();
        }
        fs::write(project.join(".gitignore"), "GEMINI.md\n").unwrap();
        std::os::unix::fs::symlink("AGENTS.md", project.join("CLAUDE.local.md")).unwrap();
        std::os::unix::fs::symlink(&global, project.join("GEMINI.md")).unwrap();
        let section = Section {
            title: "Commands".to_owned(),
            tokens_saved: None,
            entries: vec!["`a` fails.".to_owned()],
        };
        let merge = |name: &str| {
            let path = project.join(name);
            merge::merge(&path, std::slice::from_ref(&section), &|_, _| true, "2026-01-02", None).unwrap()
        };
        let plan = Plan { merges: ["CLAUDE.local.md", "GEMINI.md"].map(merge).into(), ..Plan::default() };
        let inbox = Inbox::new(&home.path().join("workspace"));
        let published = publish(&project, &plan, &inbox, false, "2026-01-02");
        assert_eq!((published.written.len(), published.proposed), (0, 2), "{:?}", published.problems);
        for shared in [project.join("AGENTS.md"), global] {
            assert_eq!(fs::read_to_string(shared).unwrap(), "# Shared\n");
        }
    }
}
