//! `headroomctl wrap --list`: the agents that are known.

use std::io::{Write as _, stdout};
use std::path::Path;

use crate::agents::{self, Agent, Setting};
use crate::edits::{Disk, Workspace};
use crate::figures::table;

/// Prints a line for each agent.
pub(super) async fn print(at: &Setting<'_>, workspace: &Path) -> anyhow::Result<()> {
    let journals = Workspace::new(workspace, Disk::default());
    // Each program is asked for its version, some of them slowly: all at the same time.
    let programs = agents::ALL.map(|agent| agents::find_program(at.env, agent.programs()));
    let versions = programs.clone().map(|program| {
        program.map(|program| tokio::task::spawn_blocking(move || agents::version_of(&program)))
    });
    let mut table = table(&["agent", "name", "installed", "wrapped", "how"], 5);
    for (agent, version) in agents::ALL.into_iter().zip(versions) {
        let installed = match version {
            None => "no".to_owned(),
            Some(version) => version.await?.unwrap_or_else(|| "yes".to_owned()),
        };
        table.add_row([
            agent.title().to_owned(),
            agent.name().to_owned(),
            installed,
            wrapped(agent, &journals)?,
            agent.how().to_owned(),
        ]);
    }
    let names: Vec<&str> = agents::unreachable::names().collect();
    let mut out = stdout().lock();
    writeln!(out, "{table}\n\nNot possible, `headroomctl wrap NAME` says why: {}", names.join(", "))?;
    out.flush()?;
    Ok(())
}

fn wrapped(agent: &dyn Agent, journals: &Workspace) -> anyhow::Result<String> {
    Ok(match journals.record(agent.name())? {
        None => "no".to_owned(),
        Some(record) if journals.holds(&record) => format!("yes, {}", record.url),
        Some(_) => "in part: unwrap it, or wrap it again".to_owned(),
    })
}
