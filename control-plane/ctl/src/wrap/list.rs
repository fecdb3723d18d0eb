//! `headroomctl wrap --list`: the known agents.

use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::agents::{self, Agent, Setting};
use crate::edits::{Disk, Workspace};
use crate::figures::table;

/// The state of an agent on this machine.
struct Row {
    agent: &'static dyn Agent,
    program: Option<PathBuf>,
    version: Option<String>,
    wrapped: String,
}

/// Prints a line for each agent, or an object in a JSON array.
pub(super) async fn print(at: &Setting<'_>, workspace: &Path, as_json: bool) -> anyhow::Result<()> {
    let journals = Workspace::new(workspace, Disk::default());
    // Some programs are slow to print their version, so all are asked at the same time.
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
        let ways = row.agent.ways();
        let how = plain(&format!("{}; --install: {}; labels: {}", ways.run, ways.install, ways.labels));
        table.add_row([row.agent.title(), row.agent.name(), installed, &row.wrapped, &how]);
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
            "run": plain(self.agent.ways().run),
            "install": plain(self.agent.ways().install),
            "labels": plain(self.agent.ways().labels),
            "logs": places.logs,
            "instructions": places.instructions,
            "mcp": places.mcp,
        })
    }
}

/// A text without the backticks of Markdown.
fn plain(text: &str) -> String {
    text.replace('`', "")
}

fn wrapped(agent: &dyn Agent, journals: &Workspace) -> anyhow::Result<String> {
    Ok(match journals.record(agent.name())? {
        None => "no".to_owned(),
        Some(record) if journals.holds(&record) => format!("yes, {}", record.url),
        Some(_) => "in part: unwrap it, or wrap it again".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The table of `docs/agents.md`. `WRITE_AGENTS=1 cargo test -p headroomctl --lib table_of_agents` writes it.
    #[test]
    fn the_table_of_agents_in_the_documentation_is_this_list() {
        let mut rows =
            "| agent | name | for one run | `--install` edits | labels |\n|---|---|---|---|---|\n".to_owned();
        for agent in agents::ALL {
            let ways = agent.ways();
            rows.push_str(&format!(
                "| {} | `{}` | {} | {} | {} |\n",
                agent.title(),
                agent.name(),
                ways.run,
                ways.install,
                ways.labels
            ));
        }
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/agents.md");
        let text = std::fs::read_to_string(&page).unwrap();
        let (before, rest) = text.split_once("<!-- agents -->\n").expect("the table's beginning");
        let (found, after) = rest.split_once("<!-- /agents -->").expect("the table's end");
        if std::env::var_os("WRITE_AGENTS").is_some() {
            let written = format!("{before}<!-- agents -->\n{rows}<!-- /agents -->{after}");
            std::fs::write(&page, written).unwrap();
        } else {
            assert_eq!(
                found, rows,
                "the table is not what `headroomctl wrap --list` says: WRITE_AGENTS=1 writes it"
            );
        }
    }
}
