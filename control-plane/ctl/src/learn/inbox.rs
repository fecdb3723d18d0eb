//! `headroomctl learn inbox`: lessons of the automatic learner for files that are shared through git. They wait until
//! the user accepts or rejects them.

use std::io::{Write as _, stderr, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use headroom_learn::inbox::{Inbox, Proposal};

use crate::environment::Environment;
use crate::misuse::Misuse;

/// Shows the inbox, or decides about entries of it.
#[derive(Args, Clone, Debug, Default)]
pub struct InboxArgs {
    /// What to do with the entries [default: list]
    #[command(subcommand)]
    pub action: Option<InboxAction>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Folder for state, journals and logs [env: HEADROOM_WORKSPACE_DIR] [default: ~/.headroom]
    #[arg(long, value_name = "DIR", global = true)]
    pub workspace_dir: Option<PathBuf>,
}

/// What is done with entries.
#[derive(Clone, Debug, Subcommand)]
pub enum InboxAction {
    /// Show them
    List,
    /// Write them into the files that they are for
    Accept(EntrySelection),
    /// Remove them; they are not proposed again
    Reject(EntrySelection),
}

/// Which entries.
#[derive(Args, Clone, Debug)]
pub struct EntrySelection {
    /// Their names, as the list shows them
    #[arg(value_name = "ID", required_unless_present = "all")]
    pub ids: Vec<String>,
    /// All of them
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
}

/// Runs the subcommand.
pub(super) fn inbox(args: &InboxArgs, env: Environment<'_>) -> anyhow::Result<()> {
    let workspace = env.workspace_dir(args.workspace_dir.as_ref()).context(
        "there is no folder for state: set HEADROOM_WORKSPACE_DIR or HOME, or give --workspace-dir",
    )?;
    let inbox = Inbox::new(&workspace);
    let waiting = inbox.list()?;
    let date = jiff::Zoned::now().date().to_string();
    match &args.action {
        None | Some(InboxAction::List) if args.json => {
            writeln!(stdout(), "{}", serde_json::to_string_pretty(&waiting)?)?;
        }
        None | Some(InboxAction::List) => list(&waiting)?,
        Some(InboxAction::Accept(chosen)) => {
            let chosen = choose(chosen, &waiting)?;
            inbox.accept(&chosen, &date)?;
            for path in files(&chosen) {
                writeln!(stderr(), "headroomctl: wrote {}", path.display())?;
            }
        }
        Some(InboxAction::Reject(chosen)) => {
            let chosen = choose(chosen, &waiting)?;
            inbox.reject(&chosen)?;
            writeln!(stderr(), "headroomctl: {} rejected", chosen.len())?;
        }
    }
    Ok(())
}

fn list(waiting: &[Proposal]) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    if waiting.is_empty() {
        writeln!(out, "Nothing waits in the inbox.")?;
    }
    let mut file = Path::new("");
    for proposal in waiting {
        if proposal.path != file {
            file = &proposal.path;
            writeln!(out, "{}", file.display())?;
        }
        writeln!(out, "  {}  {}: {}", proposal.id, proposal.section, proposal.text)?;
    }
    Ok(())
}

fn choose(chosen: &EntrySelection, waiting: &[Proposal]) -> anyhow::Result<Vec<Proposal>> {
    if chosen.all {
        return Ok(waiting.to_vec());
    }
    let mut found = Vec::new();
    for id in &chosen.ids {
        match waiting.iter().find(|proposal| proposal.id == *id) {
            Some(proposal) => found.push(proposal.clone()),
            None if waiting.is_empty() => bail!("nothing waits in the inbox"),
            None => return Err(Misuse::of(anyhow::anyhow!("{id:?} is not in the inbox"))),
        }
    }
    Ok(found)
}

fn files(chosen: &[Proposal]) -> Vec<&Path> {
    let mut files: Vec<&Path> = chosen.iter().map(|proposal| proposal.path.as_path()).collect();
    files.sort_unstable();
    files.dedup();
    files
}
