//! `headroomctl wrap --list`: the agents that are known.

use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::agents::{self, Agent, Setting};
use crate::edits::{Disk, Workspace};
use crate::figures::table;

/// What is known of an agent here.
struct Row {
    agent: &'static dyn Agent,
    program: Option<PathBuf>,
    version: Option<String>,
    wrapped: String,
}

/// Prints a line for each agent, or an object in a JSON array.
pub(super) async fn print(at: &Setting<'_>, workspace: &Path, as_json: bool) -> anyhow::Result<()> {
    let journals = Workspace::new(workspace, Disk::default());
    // Each program is asked for its version, some of them slowly: all at the same time.
    let asked = agents::ALL.map(|agent| {
        let program = agents::find_program(at.env, agent.programs());
        let version =
            program.clone().map(|program| tokio::task::spawn_blocking(move || agents::version_of(&program)));
        (agent, program, version)
    });
    let mut rows = Vec::new();
    for (agent, program, version) in asked {
        let version = match version {
            None => None,
            Some(version) => version.await?,
        };
        rows.push(Row { agent, program, version, wrapped: wrapped(agent, &journals)? });
    }
    let mut out = stdout().lock();
    if as_json {
        let rows: Vec<Value> = rows.iter().map(|row| row.to_json(at)).collect();
        writeln!(out, "{:#}", Value::from(rows))?;
        return Ok(out.flush()?);
    }
    let mut table = table(&["agent", "name", "installed", "wrapped", "how"], 5);
    for row in &rows {
        let installed = match (&row.program, &row.version) {
            (None, _) => "no",
            (Some(_), None) => "yes",
            (Some(_), Some(version)) => version,
        };
        table.add_row([row.agent.title(), row.agent.name(), installed, &row.wrapped, row.agent.how()]);
    }
    let names: Vec<&str> = agents::unreachable::names().collect();
    writeln!(out, "{table}\n\nNot possible, `headroomctl wrap NAME` says why: {}", names.join(", "))?;
    Ok(out.flush()?)
}

impl Row {
    fn to_json(&self, at: &Setting<'_>) -> Value {
        let places = self.agent.places(at);
        json!({
            "name": self.agent.name(),
            "title": self.agent.title(),
            "program": self.program,
            "version": self.version,
            "wrapped": self.wrapped,
            "logs": places.logs,
            "instructions": places.instructions,
            "mcp": places.mcp,
        })
    }
}

fn wrapped(agent: &dyn Agent, journals: &Workspace) -> anyhow::Result<String> {
    Ok(match journals.record(agent.name())? {
        None => "no".to_owned(),
        Some(record) if journals.holds(&record) => format!("yes, {}", record.url),
        Some(_) => "in part: unwrap it, or wrap it again".to_owned(),
    })
}
