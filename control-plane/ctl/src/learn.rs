//! `headroomctl learn`: lessons about a project from agents' session logs, written where the agents read
//! them.

use std::io::{Write as _, stderr, stdout};
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use headroom_learn::analyzers::{Report, sessions::lessons};
use headroom_learn::apply::{self, Plan};
use headroom_learn::gather;
use headroom_learn::lesson::Lesson;
use headroom_learn::merge;
use headroom_learn::model::Session;
use headroom_learn::plugins::Home;
use headroom_learn::project::Roots;
use serde_json::json;

mod ask;
pub mod digest;
mod inbox;
mod run;

pub use self::inbox::InboxArgs;
pub(crate) use self::run::after_run;

use self::digest::Digest;
use crate::environment::Environment;
use crate::misuse::Misuse;
use crate::progress::Spinner;

/// The default number of threads: with more of them the disk is the limit.
const WORKERS: usize = 8;
/// The number of places that are shown for one lesson.
const SHOWN: usize = 5;
/// The agent whose command line is asked by default.
const LEARN_CLI: &str = "HEADROOM_LEARN_CLI";

/// Learns from session logs.
#[derive(Args, Clone, Debug, Default)]
#[command(args_conflicts_with_subcommands = true)]
pub struct LearnArgs {
    /// What to do instead
    #[command(subcommand)]
    pub command: Option<LearnCommand>,
    /// The project [default: that of the working folder]
    #[arg(long, value_name = "DIR", conflicts_with = "all")]
    pub project: Option<PathBuf>,
    /// All projects in the logs
    #[arg(long)]
    pub all: bool,
    /// Whose logs to read: auto for every agent's, or the name of one agent
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub agent: String,
    /// Log files, or folders of log files, to read instead of the agents' own
    #[arg(long, value_name = "PATH")]
    pub logs: Vec<PathBuf>,
    /// Write into the agents' files; without it nothing is written
    #[arg(long)]
    pub apply: bool,
    /// Let a provider's model look for more lessons; the request goes through the Headroom that runs here
    #[arg(long, value_name = "NAME", conflicts_with = "cli")]
    pub model: Option<String>,
    /// Let an agent's own command line look for more: claude, codex, gemini or qwen [env: HEADROOM_LEARN_CLI]
    #[arg(long, value_name = "NAME")]
    pub cli: Option<String>,
    /// Number of failures that a lesson needs
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    pub min_evidence: u32,
    /// Threads that read logs [default: one per core, at most 8]
    #[arg(short = 'j', long = "workers", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub workers: Option<u32>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `learn` does besides.
#[derive(Clone, Debug, Subcommand)]
pub enum LearnCommand {
    /// Lessons of `up --learn` for files that git shares: list, accept, reject
    Inbox(InboxArgs),
}

/// A project with what was learned.
struct LearnedProject {
    project: String,
    sessions: Vec<(Session, Report)>,
    lessons: Vec<Lesson>,
    plan: Plan,
}

/// Reads the logs, prints the lessons, and writes them to files if requested.
pub fn learn(args: &LearnArgs) -> anyhow::Result<()> {
    let env = Environment::of_process();
    if let Some(LearnCommand::Inbox(args)) = &args.command {
        return inbox::inbox(args, env);
    }
    let wanted = wanted(args).map_err(Misuse::of)?;
    let home = Home::new(|name| env.get(name), wanted.clone().map(PathBuf::from))?;
    let plugins = gather::plugins(env.get("PATH").as_deref());
    let selected = gather::select(&plugins, &args.agent).map_err(Misuse::of)?;
    let cores = available_parallelism().map_or(1, std::num::NonZeroUsize::get).min(WORKERS);
    let workers = args.workers.map_or(cores, |workers| workers as usize);
    let doing = Spinner::now("reading session logs");
    let gathered = gather::gather(&selected, &args.logs, &home, workers)?;
    drop(doing);
    for warning in &gathered.warnings {
        writeln!(stderr(), "headroomctl: {warning}")?;
    }
    let date = jiff::Zoned::now().date().to_string();
    let mut learned = Vec::new();
    for (project, sessions) in gathered.projects {
        if wanted.as_ref().is_some_and(|wanted| !is_inside(&project, wanted)) {
            continue;
        }
        let mut lessons = lessons(&sessions, args.min_evidence as usize);
        let prior = apply::prior(Path::new(&project), &sessions, &selected, &home);
        lessons.extend(asked(args, env, &sessions, &prior, &lessons)?);
        let plan = apply::plan(Path::new(&project), &lessons, &sessions, &selected, &home, &date)?;
        learned.push(LearnedProject { project, sessions, lessons, plan });
    }
    if learned.is_empty() {
        let of = wanted.map(|project| format!(" of {project}")).unwrap_or_default();
        let names: Vec<&str> = selected.iter().map(|plugin| plugin.name()).collect();
        let names = names.join(", ");
        match (gathered.logs, args.logs.is_empty()) {
            (0, true) => bail!("no session logs were found; looked for those of {names}"),
            (0, false) => bail!("no session logs were found in what --logs names"),
            (1, _) => {
                bail!("no conversation{of} with tool calls was found in one session log; looked for {names}")
            }
            (logs, _) => bail!(
                "no conversation{of} with tool calls was found in {logs} session logs; looked for {names}"
            ),
        }
    }
    if args.json {
        print_json(&learned)?
    } else {
        print(&learned, args.apply)?
    }
    if args.apply {
        let plans: Vec<Plan> = learned.into_iter().map(|learned| learned.plan).collect();
        apply::write(&plans)?;
        for merge in plans.iter().flat_map(|plan| &plan.merges) {
            writeln!(stderr(), "headroomctl: wrote {}", merge.path.display())?;
        }
    }
    Ok(())
}

/// The lessons that a model adds, if one is to be asked.
fn asked(
    args: &LearnArgs,
    env: Environment<'_>,
    sessions: &[(Session, Report)],
    prior: &[String],
    known: &[Lesson],
) -> anyhow::Result<Vec<Lesson>> {
    // an explicit model has priority over the variable
    let cli = if args.model.is_some() { None } else { env.or(args.cli.as_ref(), LEARN_CLI) };
    let digest = Digest::new(sessions, prior, known, args.min_evidence as usize);
    if digest.is_empty() || (cli.is_none() && args.model.is_none()) {
        return Ok(Vec::new());
    }
    let doing = Spinner::now("asking a model");
    let answer = match (&args.model, cli) {
        (Some(model), _) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(ask::model(model, &digest.text, env))?
        }
        (None, cli) => ask::cli(&cli.unwrap_or_default(), &digest.text)?,
    };
    drop(doing);
    let (mut lessons, refused) = digest.check(&answer)?;
    for why in refused {
        writeln!(stderr(), "headroomctl: a rule of the model is rejected: {why}")?;
    }
    let subjects: Vec<&str> = known.iter().map(|lesson| merge::subject(&lesson.text)).collect();
    lessons.retain(|lesson| !subjects.contains(&merge::subject(&lesson.text)));
    Ok(lessons)
}

/// The requested project; `None` for all. Logs given by path are not filtered.
fn wanted(args: &LearnArgs) -> anyhow::Result<Option<String>> {
    if args.all || (args.project.is_none() && !args.logs.is_empty()) {
        return Ok(None);
    }
    let folder = args.project.clone().unwrap_or_else(|| PathBuf::from("."));
    let folder =
        folder.canonicalize().with_context(|| format!("--project: {} cannot be found", folder.display()))?;
    if !folder.is_dir() {
        bail!("--project: {} is not a folder", folder.display());
    }
    Ok(Some(Roots::default().checkout(&folder.to_string_lossy()).project.to_string()))
}

/// Whether a project is the requested one or a folder in it.
fn is_inside(project: &str, wanted: &str) -> bool {
    !project.is_empty() && Path::new(project).starts_with(wanted)
}

fn agents(sessions: &[(Session, Report)]) -> String {
    let mut agents: Vec<&str> = sessions.iter().map(|(session, _)| &*session.agent).collect();
    agents.sort_unstable();
    agents.dedup();
    agents.join(", ")
}

fn print(learned: &[LearnedProject], apply: bool) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    for one in learned {
        let calls: u64 = one.sessions.iter().map(|(_, report)| report.calls).sum();
        let failures: u64 = one.sessions.iter().map(|(_, report)| report.failures).sum();
        let name = if one.project.is_empty() { "(logs that do not name their folder)" } else { &one.project };
        writeln!(out, "{name}")?;
        writeln!(
            out,
            "  {} conversations ({}), {calls} tool calls, {failures} failed, {} lessons",
            one.sessions.len(),
            agents(&one.sessions),
            one.lessons.len()
        )?;
        let mut section = "";
        for lesson in &one.lessons {
            if lesson.section != section {
                section = &lesson.section;
                writeln!(out, "\n  {section}")?;
            }
            writeln!(out, "  - {}", lesson.text)?;
            for place in lesson.evidence.iter().take(SHOWN) {
                writeln!(out, "      {place}")?;
            }
            if lesson.evidence.len() > SHOWN {
                writeln!(out, "      and {} more", lesson.evidence.len() - SHOWN)?;
            }
        }
        for note in &one.plan.notes {
            writeln!(out, "\n  Note: {note}.")?;
        }
        for merge in &one.plan.merges {
            let verb = if apply { "Writes" } else { "Dry run: --apply would write" };
            writeln!(out, "\n  {verb} {}", merge.path.display())?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn print_json(learned: &[LearnedProject]) -> anyhow::Result<()> {
    let lesson = |lesson: &Lesson| {
        json!({
            "section": lesson.section,
            "text": lesson.text,
            "sessions": lesson.sessions,
            "evidence": lesson.evidence.iter().map(|place| json!({
                "file": place.file.to_string_lossy(), "call": place.call, "result": place.result,
            })).collect::<Vec<_>>(),
        })
    };
    let project = |one: &LearnedProject| {
        json!({
            "project": one.project,
            "agents": agents(&one.sessions).split(", ").collect::<Vec<_>>(),
            "sessions": one.sessions.len(),
            "lessons": one.lessons.iter().map(lesson).collect::<Vec<_>>(),
            "files": one.plan.merges.iter().map(|merge| merge.path.to_string_lossy().into_owned()).collect::<Vec<_>>(),
            "notes": one.plan.notes,
        })
    };
    let document: Vec<_> = learned.iter().map(project).collect();
    writeln!(stdout(), "{:#}", serde_json::Value::from(document))?;
    Ok(())
}
