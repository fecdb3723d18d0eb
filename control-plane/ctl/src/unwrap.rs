//! `headroomctl unwrap`: undoes the edits of `wrap`, and those of upstream's `wrap`.

pub(crate) mod upstream;

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::edits::{Disk, UndoReport, Workspace};
use crate::environment::Environment;
use crate::wrap::{AgentConversations, agent_called, run_key, say, setting, users_file, workspace_dir};

/// Takes back what `wrap` has edited.
#[derive(Args, Clone, Debug)]
pub struct UnwrapArgs {
    /// The agent, as `headroomctl wrap --list` calls it
    pub agent: String,
    /// Folder with the journals of wraps [env: HEADROOM_WORKSPACE_DIR] [default: ~/.headroom]
    #[arg(long, value_name = "DIR")]
    pub workspace_dir: Option<PathBuf>,
}

/// Undoes everything, and reports what was left and where.
pub fn unwrap(args: &UnwrapArgs) -> anyhow::Result<()> {
    let env = Environment::of_process();
    let workspace = workspace_dir(args.workspace_dir.as_ref(), env)?;
    let agent = agent_called(&args.agent)?;
    let journals = Workspace::new(&workspace, Disk::default());
    let mut found = false;
    if let Some(since) = journals.recorded(agent.name()) {
        AgentConversations::of(&workspace, agent.name())
            .unwrapped(&agent.places(&setting(String::new(), env)?), since)?;
    }
    if let Some(undone) = journals.undo(agent.name())? {
        found = true;
        report(&undone)?;
    }
    let for_runs = run_key(agent.name());
    if journals.record(&for_runs)?.is_some() {
        found = true;
        let users = users_file(&workspace, agent.name())?;
        users.try_lock().with_context(|| {
            format!("{} is running with edits that end with it: end it, then unwrap", agent.title())
        })?;
        report(&journals.undo(&for_runs)?.unwrap_or_default())?;
    }
    if upstream::knows(agent.name()) {
        let places = agent.places(&setting(String::new(), env)?);
        for line in upstream::take_off(agent.name(), &places, &Disk::default())? {
            found = true;
            say(&line)?;
        }
    }
    if !found {
        say(&format!("{} is not wrapped: nothing to do", agent.title()))?;
    }
    Ok(())
}

fn report(undone: &UndoReport) -> anyhow::Result<()> {
    for path in &undone.restored {
        say(&format!("{path} is restored"))?;
    }
    for path in &undone.cleaned {
        say(&format!("{path} has been edited since: only Headroom's entries were removed"))?;
    }
    undone.left.iter().try_for_each(|line| say(line))
}
