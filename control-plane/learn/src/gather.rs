//! Finds the logs of the agents, reads them on several threads, and puts conversations of one project together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::bail;

use super::analyzers::Report;
use super::lines::beginning;
use super::model::Session;
use super::plugins::{Home, Plugin, Read, external, files_below};
use super::project::Roots;

/// A log and the plugin that reads it.
#[derive(Clone, Copy)]
struct Log<'p> {
    path: &'p Path,
    plugin: &'p dyn Plugin,
}

/// What was read, and what was not.
#[derive(Debug, Default)]
pub struct GatheredCalls {
    /// Conversations by project
    pub projects: BTreeMap<String, Vec<(Session, Report)>>,
    /// Logs that were read
    pub logs: usize,
    /// What could not be read, one line each
    pub warnings: Vec<String>,
}

/// All plugins, the programs on PATH last; one of them has the name of a built-in agent only if it is
/// that agent's own.
pub fn plugins(path: Option<&str>) -> Vec<Box<dyn Plugin>> {
    let mut plugins = super::plugins::all();
    for program in external::on_path(path) {
        if plugins.iter().all(|plugin| plugin.name() != program.name()) {
            plugins.push(Box::new(program));
        }
    }
    plugins
}

/// Those that `--agent` names.
pub fn select<'p>(plugins: &'p [Box<dyn Plugin>], agent: &str) -> anyhow::Result<Vec<&'p dyn Plugin>> {
    if agent == "auto" {
        return Ok(plugins.iter().map(Box::as_ref).collect());
    }
    let Some(plugin) = plugins.iter().find(|plugin| plugin.name() == agent) else {
        let names: Vec<&str> = plugins.iter().map(|plugin| plugin.name()).collect();
        bail!(
            "--agent: {agent:?} is not known; expected auto, {}, or NAME of a program headroom-learn-NAME on PATH",
            names.join(", ")
        );
    };
    Ok(vec![plugin.as_ref()])
}

/// Reads the agents' own logs, or the files below the given paths; the first plugin that recognizes such a
/// file reads it.
pub fn gather(
    plugins: &[&dyn Plugin],
    paths: &[PathBuf],
    home: &Home,
    workers: usize,
) -> anyhow::Result<GatheredCalls> {
    let mut found: Vec<(PathBuf, usize)> = Vec::new();
    if paths.is_empty() {
        for (index, plugin) in plugins.iter().enumerate() {
            found.extend(plugin.logs(home).into_iter().map(|path| (path, index)));
        }
    }
    for path in paths {
        let files = if path.is_dir() { files_below(path, &|_| true) } else { vec![path.clone()] };
        if !path.exists() {
            bail!("--logs: {} does not exist", path.display());
        }
        // reading a pipe would wait without end
        for file in files.into_iter().filter(|file| file.is_file()) {
            let Ok(beginning) = beginning(&file) else { continue };
            if let Some(index) = plugins.iter().position(|plugin| plugin.recognizes(&file, &beginning)) {
                found.push((file, index));
            }
        }
    }
    let logs: Vec<Log<'_>> =
        found.iter().filter_map(|(path, index)| Some(Log { path, plugin: *plugins.get(*index)? })).collect();
    Ok(read_all(&logs, workers))
}

fn read_all(logs: &[Log<'_>], workers: usize) -> GatheredCalls {
    let roots = Roots::default();
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, std::io::Result<Read>)>> = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..workers.clamp(1, logs.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(log) = logs.get(index) else { break };
                    let read = log.plugin.read(log.path, &roots);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((index, read));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    // the order of the logs, not of the threads
    results.sort_by_key(|(index, _)| *index);
    let mut gathered = GatheredCalls::default();
    let mut sessions = Vec::new();
    for (index, read) in results {
        let path = logs.get(index).map_or_else(String::new, |log| log.path.display().to_string());
        match read {
            Ok(read) => {
                gathered.logs += 1;
                if let Some(stopped) = read.stopped {
                    gathered.warnings.push(format!("{path}: read up to an error: {stopped}"));
                }
                if read.passed.foreign > 0 {
                    let Read { passed, .. } = read;
                    gathered.warnings.push(format!(
                        "{path}: {} of {} lines were not understood",
                        passed.foreign, passed.read
                    ));
                }
                sessions.extend(read.sessions);
            }
            Err(error) => gathered.warnings.push(format!("{path}: cannot be read: {error}")),
        }
    }
    gathered.projects = group(sessions);
    gathered
}

/// Groups conversations by the root of their project; clones with one address are one project, under the
/// first root.
fn group(sessions: Vec<(Session, Report)>) -> BTreeMap<String, Vec<(Session, Report)>> {
    let mut addresses: BTreeMap<String, String> = BTreeMap::new();
    let mut projects: BTreeMap<String, Vec<(Session, Report)>> = BTreeMap::new();
    for (session, report) in sessions {
        let own = session.project.to_string();
        let project = match &session.remote {
            Some(remote) => addresses.entry(address(remote)).or_insert(own).clone(),
            None => own,
        };
        projects.entry(project).or_default().push((session, report));
    }
    projects
}

/// A repository's address without the parts that have several spellings.
fn address(remote: &str) -> String {
    let remote = remote.trim().trim_end_matches('/').trim_end_matches(".git");
    let remote = remote.split_once("://").map_or(remote, |(_, rest)| rest);
    let remote = remote.rsplit_once('@').map_or(remote, |(_, rest)| rest);
    remote.replace(':', "/").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_has_one_address() {
        for remote in
            ["git@github.com:Acme/app.git", "https://github.com/acme/app", "ssh://git@github.com/acme/app/"]
        {
            assert_eq!(address(remote), "github.com/acme/app", "{remote}");
        }
    }

    #[test]
    fn an_agent_that_is_not_known_is_refused_with_the_names() {
        let plugins = plugins(None);
        let error = select(&plugins, "cursor").err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("claude, codex"), "{error}");
        assert_eq!(select(&plugins, "auto").unwrap().len(), 9);
    }

    #[cfg(unix)]
    #[test]
    fn pipes_and_devices_among_logs_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            std::process::Command::new("mkfifo")
                .arg(folder.path().join("a.jsonl"))
                .status()
                .unwrap()
                .success()
        );
        std::os::unix::fs::symlink("/dev/zero", folder.path().join(".aider.chat.history.md")).unwrap();
        let (plugins, path) = (plugins(None), folder.path().display().to_string());
        let home = Home::new(|name| (name == "HOME").then(|| path.clone()), None).unwrap();
        let gathered =
            gather(&select(&plugins, "auto").unwrap(), &[folder.path().to_owned()], &home, 1).unwrap();
        assert_eq!((gathered.logs, gathered.warnings), (0, Vec::new()));
    }
}
