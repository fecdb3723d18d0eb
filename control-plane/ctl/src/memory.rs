//! `headroomctl memory`: people read, correct, export and delete what agents remember.

mod client;
mod context;
mod markdown;
mod place;
mod transfer;
mod upstream;

use std::io::{Write as _, stdout};
use std::path::PathBuf;

use anyhow::ensure;
use clap::{Args, Subcommand, ValueEnum};
use headroom_api::memory::{
    Caller, Fact, FactRequest, FactResponse, History, ListRequest, ListResponse, MAX_LIMIT, NewFact,
    SaveRequest, SaveResponse, SaveStatus, Scope, SearchRequest, SearchResponse, Status, UpdateRequest,
};

pub(crate) use headroom_api::memory::tools::date;

pub(crate) use self::client::Client;
pub(crate) use self::context::{DEFAULT_BYTES as NOTES_BYTES, notes};
pub(crate) use self::place::project;
use crate::environment::Environment;
use crate::running::SidecarArgs;

/// What to do with memory.
#[derive(Args, Clone, Debug)]
pub struct MemoryArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: MemoryCommand,
    /// Whose memory.
    #[command(flatten)]
    pub whose: OwnerArgs,
}

/// Whose memory is meant.
#[derive(Args, Clone, Debug, Default)]
pub struct OwnerArgs {
    /// The project: a folder, or a name [env: HEADROOM_PROJECT] [default: the repository of this folder]
    #[arg(long, value_name = "PROJECT", global = true)]
    pub project: Option<String>,
    /// The user, within the tenant [default: the tenant's name, or the user who started headroomd]
    #[arg(long, value_name = "NAME", global = true)]
    pub user: Option<String>,
    /// The tenant, as the filter's `tenant` or `tenant_from` says
    #[arg(long, value_name = "NAME", global = true)]
    pub tenant: Option<String>,
    /// Where headroomd listens [default: where `headroomctl up` has put it]
    #[arg(long, value_name = "URL", global = true)]
    pub url: Option<String>,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum MemoryCommand {
    /// Show the newest facts
    List {
        /// Of one scope only
        #[arg(long)]
        scope: Option<ScopeName>,
        /// Maximum number of facts
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Find facts by words, and by meaning where headroomd has a model
    Search {
        /// What to look for
        query: String,
        /// Maximum number of facts
        #[arg(short = 'k', long, value_name = "N", default_value_t = 10)]
        top_k: u32,
        /// Also find facts about the same things
        #[arg(long)]
        related: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the history of a fact
    Show {
        /// Its id
        id: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Keep a fact
    Add {
        /// The fact
        text: String,
        /// Who may find it [default: project]
        #[arg(long)]
        scope: Option<ScopeName>,
        /// How much it matters, from 0 to 1
        #[arg(long, value_name = "0..1")]
        importance: Option<f64>,
    },
    /// Replace a fact; its earlier text stays in the history
    Edit {
        /// Its id
        id: String,
        /// The complete new text
        text: String,
        /// Why
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Forget a fact: it is not found any more, and can be restored until it is purged
    Forget {
        /// Its id
        id: String,
        /// Why
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// Delete it for good, with its history
        #[arg(long)]
        purge: bool,
    },
    /// Restore a fact that was forgotten or merged
    Restore {
        /// Its id
        id: String,
    },
    /// Export the facts that can be found here
    Export {
        /// How
        #[arg(long, value_enum, default_value_t)]
        format: Format,
        /// Of one scope only
        #[arg(long)]
        scope: Option<ScopeName>,
        /// Into a file instead of standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Import the facts of an export, or of a memory.db of the Python Headroom
    Import {
        /// Markdown, JSON Lines or an SQLite file; the format is recognized
        file: PathBuf,
        /// Into this scope [default: what the file says, else project]
        #[arg(long)]
        scope: Option<ScopeName>,
        /// Say what would be imported, and import nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Print the most important facts as a block for an agent's context, for a hook at the start of a session
    Context {
        /// Maximum size of the block in bytes
        #[arg(long, value_name = "N", default_value_t = context::DEFAULT_BYTES)]
        max_bytes: usize,
        /// As the JSON that Claude Code and Gemini CLI read from a SessionStart hook
        #[arg(long)]
        hook: bool,
    },
    /// Check that memory works, and show its parts and how many facts it holds
    Doctor,
}

/// Who may find a fact.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ScopeName {
    /// Everyone who works in the project
    Project,
    /// The user, in every project
    User,
    /// Every user of the tenant
    Team,
}

impl From<ScopeName> for Scope {
    fn from(name: ScopeName) -> Self {
        match name {
            ScopeName::Project => Self::Project,
            ScopeName::User => Self::User,
            ScopeName::Team => Self::Team,
        }
    }
}

/// How facts are written.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Markdown,
    /// One JSON object a line, with all that is known of a fact
    Jsonl,
}

impl OwnerArgs {
    /// A client that sends requests on their behalf.
    pub(crate) fn client(&self, agent: &str, via: &str) -> anyhow::Result<Client> {
        let env = Environment::of_process();
        let caller = Caller {
            project: project(self.project.as_deref(), env, std::env::current_dir().ok().as_deref()),
            user: self.user.clone().unwrap_or_default(),
            agent: agent.to_owned(),
            via: via.to_owned(),
            ..Caller::default()
        };
        let at = SidecarArgs { url: self.url.clone() };
        Client::new(at.sidecar()?, self.tenant.clone().unwrap_or_default(), caller)
    }
}

/// Asks headroomd and prints the answer.
pub async fn memory(args: &MemoryArgs) -> anyhow::Result<()> {
    let client = args.whose.client("headroomctl", "cli")?;
    let caller = || client.caller.clone();
    match &args.command {
        MemoryCommand::List { scope, limit, json } => {
            let facts = all(&client, scope.map(Scope::from), *limit as usize).await?;
            if *json { print_json(&facts) } else { print_facts(&facts) }
        }
        MemoryCommand::Search { query, top_k, related, json } => {
            let asked = SearchRequest {
                caller: caller(),
                query: query.clone(),
                include_related: *related,
                top_k: Some(*top_k),
                ..SearchRequest::default()
            };
            let found: SearchResponse = client.ask("search", &asked).await?;
            if *json {
                return print_json(&found);
            }
            let mut out = stdout().lock();
            for found in &found.found {
                let how =
                    if found.related { "related".to_owned() } else { format!("{:.2}", found.relevance) };
                writeln!(out, "{how:>7}  {}", line(&found.fact))?;
            }
            Ok(())
        }
        MemoryCommand::Show { id, json } => {
            let asked = FactRequest { caller: caller(), memory_id: id.clone(), ..FactRequest::default() };
            let history: History = client.ask("show", &asked).await?;
            if *json { print_json(&history) } else { print_history(&history) }
        }
        MemoryCommand::Add { text, scope, importance } => {
            let fact = NewFact { content: text.clone(), importance: *importance, ..NewFact::default() };
            let asked = SaveRequest { caller: caller(), scope: scope.map(Scope::from), facts: vec![fact] };
            print_saved(&client.ask("save", &asked).await?)
        }
        MemoryCommand::Edit { id, text, reason } => {
            let asked = UpdateRequest {
                caller: caller(),
                memory_id: id.clone(),
                new_content: text.clone(),
                reason: reason.clone(),
            };
            print_changed(&client.ask("update", &asked).await?)
        }
        MemoryCommand::Forget { id, reason, purge } => {
            let asked = FactRequest {
                caller: caller(),
                memory_id: id.clone(),
                reason: reason.clone(),
                purge: *purge,
            };
            let done: FactResponse = client.ask("delete", &asked).await?;
            let how = match (purge, done.changed) {
                (true, _) => "purged",
                (false, true) => "forgotten",
                (false, false) => "had ended before",
            };
            writeln!(stdout(), "{how}: {}", line(&done.fact))?;
            Ok(())
        }
        MemoryCommand::Restore { id } => {
            let asked = FactRequest { caller: caller(), memory_id: id.clone(), ..FactRequest::default() };
            print_changed(&client.ask("restore", &asked).await?)
        }
        MemoryCommand::Export { format, scope, output } => {
            transfer::export(&client, *format, scope.map(Scope::from), output.as_deref()).await
        }
        MemoryCommand::Import { file, scope, dry_run } => {
            let named = args.whose.project.is_some();
            transfer::import(client, file, scope.map(Scope::from), named, *dry_run).await
        }
        MemoryCommand::Context { max_bytes, hook } => context::print(&client, *max_bytes, *hook).await,
        MemoryCommand::Doctor => doctor(&client).await,
    }
}

/// Facts up to the requested number, newest first.
async fn all(client: &Client, scope: Option<Scope>, wanted: usize) -> anyhow::Result<Vec<Fact>> {
    let mut facts: Vec<Fact> = Vec::new();
    let mut before = None;
    while facts.len() < wanted {
        let left = u32::try_from(wanted - facts.len()).unwrap_or(MAX_LIMIT);
        let asked =
            ListRequest { caller: client.caller.clone(), scope, limit: Some(left.min(MAX_LIMIT)), before };
        let page: ListResponse = client.ask("list", &asked).await?;
        facts.extend(page.facts);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    Ok(facts)
}

/// Reports which parts of memory work.
async fn doctor(client: &Client) -> anyhow::Result<()> {
    let status: Status = client.ask("status", &client.caller).await?;
    let mut out = stdout().lock();
    writeln!(out, "store      {}", status.store)?;
    writeln!(out, "embedder   {} ({})", status.embedder, status.embedder_status)?;
    let project = if status.project.is_empty() {
        "not known here: what is saved goes to the user; name one with --project"
    } else {
        &status.project
    };
    writeln!(out, "project    {project}: {} facts", status.project_facts)?;
    writeln!(out, "user       {}: {} facts", status.user, status.user_facts)?;
    writeln!(out, "team       {} facts", status.team_facts)?;
    writeln!(out, "history    {} versions that have ended", status.ended_versions)?;
    if status.unembedded > 0 {
        writeln!(out, "waiting    {} facts have no vector yet", status.unembedded)?;
    }
    ensure!(
        status.embedder_status != "error",
        "the embedding model is not used: facts are found only by words until it is repaired"
    );
    Ok(())
}

fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    writeln!(stdout(), "{}", serde_json::to_string_pretty(value)?)?;
    Ok(())
}

fn print_facts(facts: &[Fact]) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    facts.iter().try_for_each(|fact| writeln!(out, "{}", line(fact)))?;
    Ok(())
}

fn print_saved(answer: &SaveResponse) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    for saved in &answer.saved {
        let status = match saved.status {
            SaveStatus::Saved => "saved",
            SaveStatus::AlreadySaved => "already saved",
        };
        writeln!(out, "{status}: {}  {:<7}  {}", saved.id, saved.scope.name(), one_line(&saved.content))?;
        for similar in &saved.similar {
            writeln!(out, "  {} {}: {}", similar.relation.name(), similar.id, one_line(&similar.content))?;
        }
    }
    if let Some(hint) = &answer.hint {
        writeln!(out, "{hint}")?;
    }
    Ok(())
}

fn print_changed(done: &FactResponse) -> anyhow::Result<()> {
    let how = if done.changed { "now" } else { "unchanged" };
    writeln!(stdout(), "{how}: {}", line(&done.fact))?;
    Ok(())
}

fn print_history(history: &History) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    for fact in &history.versions {
        let by = [&fact.source_agent, &fact.source_provider, &fact.created_via, &fact.conversation];
        let by: Vec<&str> = by.into_iter().filter(|part| !part.is_empty()).map(String::as_str).collect();
        writeln!(
            out,
            "{} version {}, {}, importance {}",
            fact.id,
            fact.version,
            fact.scope.name(),
            fact.importance
        )?;
        writeln!(out, "  {}", one_line(&fact.content))?;
        writeln!(out, "  stored {} by {}", date(fact.created_at), by.join(", "))?;
        let until = fact.invalid_at.map_or_else(|| "now".to_owned(), date);
        writeln!(out, "  so from {} until {until}", date(fact.valid_from))?;
        if !fact.reason.is_empty() {
            writeln!(out, "  because: {}", one_line(&fact.reason))?;
        }
        if let Some(ended) = &fact.ended {
            let into = if ended.merged_into.is_empty() {
                String::new()
            } else {
                format!(" into {}", ended.merged_into)
            };
            writeln!(out, "  {}{into} {} by {} {}", ended.how, date(ended.at), ended.agent, ended.via)?;
            if !ended.reason.is_empty() {
                writeln!(out, "  because: {}", one_line(&ended.reason))?;
            }
        }
    }
    Ok(())
}

fn line(fact: &Fact) -> String {
    format!("{}  {:<7}  {}", fact.id, fact.scope.name(), one_line(&fact.content))
}

/// A text from people or models on one line, without control characters for the terminal.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).collect()
}
