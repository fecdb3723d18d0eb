//! Learning from a wrapped run, after it has ended.

use std::path::Path;

use headroom_learn::analyzers::sessions::lessons;
use headroom_learn::inbox::Inbox;
use headroom_learn::plugins::{self, Home, Plugin};
use headroom_learn::project::anchored;
use headroom_learn::publish::publish;
use headroom_learn::{apply, gather};

use crate::environment::Environment;

/// Failures that a lesson needs, as for `headroomctl learn`.
const LEAST: usize = 2;

/// Reads an agent's logs and writes the lessons about the project of a folder: to files that only the user has, else to
/// the inbox. Returns a message about it.
pub(crate) fn after_run(
    agent: &str,
    folder: &Path,
    workspace: &Path,
    env: Environment<'_>,
) -> anyhow::Result<Option<String>> {
    let plugins = plugins::all();
    let Some(plugin) = plugins.iter().find(|plugin| plugin.name() == agent) else {
        return Ok(Some(format!("--learn: session logs of {agent} cannot be read, so nothing was learned")));
    };
    let Some(checkout) = anchored(folder) else {
        return Ok(Some("--learn: this folder is in no repository, so nothing was learned".to_owned()));
    };
    let selected: [&dyn Plugin; 1] = [plugin.as_ref()];
    let project = Path::new(&*checkout.project);
    let home = Home::new(|name| env.get(name), Some(project.to_owned()))?;
    let gathered = gather::gather(&selected, &[], &home, 2)?;
    let Some(sessions) = gathered.projects.get(&*checkout.project) else { return Ok(None) };
    let lessons = lessons(sessions, LEAST);
    let date = jiff::Zoned::now().date().to_string();
    let plan = apply::plan(project, &lessons, sessions, &selected, &home, &date)?;
    let published = publish(project, &plan, &Inbox::new(workspace), false, &date);
    let mut parts: Vec<String> =
        published.written.iter().map(|path| format!("learned into {}", path.display())).collect();
    if published.proposed > 0 {
        parts.push(format!("lessons that wait for you: {} (`headroomctl learn inbox`)", published.proposed));
    }
    parts.extend(published.problems);
    Ok(Some(parts.join("; ")).filter(|line| !line.is_empty()))
}
