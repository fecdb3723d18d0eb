//! `headroomctl wrap`: a coding agent behind Headroom, for one run or permanently.

mod background;
mod code_graph;
mod list;
mod passed;
mod run;
mod saved;

use std::ffi::OsString;
use std::io::{Write as _, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::agents::{self, Agent, Server, Setting};
use crate::edits::{Disk, InstallOutcome, Plan, Workspace, preview, unified};
use crate::environment::Environment;
use crate::misuse::Misuse;
use crate::unwrap::upstream;

pub(crate) use self::background::{is_wrapping, lease_file, targets, targets_file};
pub(crate) use self::passed::AgentConversations;
pub(crate) use self::run::{run_key, users_file};

/// Headroom's default address; `headroomctl mcp` uses the same.
const DEFAULT_URL: &str = "http://127.0.0.1:8787";

/// Runs a coding agent behind Headroom.
#[derive(Args, Clone, Debug, Default)]
pub struct WrapArgs {
    /// The agent: claude, codex, gemini, opencode, qwen, copilot, aider, continue, cline, goose, pi or openhands
    pub agent: Option<String>,
    /// Arguments for the agent
    #[arg(last = true, value_name = "ARGUMENTS")]
    pub arguments: Vec<OsString>,
    /// Edit the agent's settings instead, so that it uses Headroom from now on; `headroomctl unwrap` undoes it
    #[arg(long)]
    pub install: bool,
    /// Register `headroomctl mcp` with the agent, for this user, until it is unwrapped
    #[arg(long)]
    pub mcp: bool,
    /// As --mcp, with the tools of memory; and have the agent read what is known of a project when a session starts
    #[arg(long)]
    pub memory: bool,
    /// Index the project with the MCP server for code that is installed, and register it with the agent
    #[arg(long)]
    pub code_graph: bool,
    /// Learn from the agent's failing tool calls: while Headroom runs, and from its logs at the end of the run
    #[arg(long, conflicts_with = "install")]
    pub learn: bool,
    /// Codex: keep the provider's name, under which old conversations are listed
    #[arg(long)]
    pub keep_history: bool,
    /// Show every known agent: whether it is installed and wrapped, and how
    #[arg(long, conflicts_with_all = ["install", "agent"])]
    pub list: bool,
    /// With --list: as JSON, with the places of each agent's session logs, instructions and MCP servers
    #[arg(long, requires = "list")]
    pub json: bool,
    /// Show what would be set and edited, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// A Headroom that runs elsewhere [default: http://127.0.0.1 and --port, started for the run if none answers]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Headroom's port [env: HEADROOM_PORT] [default: 8787]
    #[arg(long, value_name = "PORT")]
    pub port: Option<String>,
    /// Folder for state, journals and logs [env: HEADROOM_WORKSPACE_DIR] [default: ~/.headroom]
    #[arg(long, value_name = "DIR")]
    pub workspace_dir: Option<PathBuf>,
}

/// The options that an agent's files are edited with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct WrapRequest {
    address: bool,
    mcp: bool,
    memory: bool,
    keep_history: bool,
    code_graph: Option<code_graph::Indexer>,
}

impl WrapRequest {
    fn to_json(&self) -> Value {
        json!({
            "address": self.address,
            "mcp": self.mcp,
            "memory": self.memory,
            "keep_history": self.keep_history,
            "code_graph": self.code_graph.as_ref().map(code_graph::Indexer::to_json),
        })
    }

    fn from_json(value: &Value) -> Self {
        let flag = |name: &str| value.get(name).and_then(Value::as_bool).unwrap_or_default();
        Self {
            address: flag("address"),
            mcp: flag("mcp"),
            memory: flag("memory"),
            keep_history: flag("keep_history"),
            code_graph: value.get("code_graph").and_then(code_graph::Indexer::from_json),
        }
    }

    fn plan(&self, agent: &dyn Agent, at: &Setting<'_>) -> anyhow::Result<Plan> {
        let at = &Setting { keep_history: self.keep_history, ..at.clone() };
        let mut plan = if self.address { agent.install(at)? } else { Plan::default() };
        let mut servers = Vec::new();
        servers.extend((self.mcp || self.memory).then(|| headroom_server(at, self.memory)));
        servers.extend(self.code_graph.as_ref().map(code_graph::Indexer::server));
        for server in servers {
            match agent.register(at, &server) {
                Some(change) => plan.changes.push(change),
                None => plan.remarks.push(format!(
                    "{} takes no MCP servers: {} is not registered",
                    agent.title(),
                    server.name
                )),
            }
        }
        if self.memory {
            match agent.at_start(at, &notes_command(at)) {
                Some(change) => plan.changes.push(change),
                None => plan.remarks.push(format!(
                    "{} runs nothing when a session starts: its model asks memory itself",
                    agent.title()
                )),
            }
        }
        Ok(plan)
    }
}

/// The command for this program. If it is on PATH, the command is only its name.
fn own_program(at: &Setting<'_>) -> String {
    let on_path = agents::find_program(at.env, &["headroomctl"]).is_some();
    let own = std::env::current_exe().ok().and_then(|path| path.to_str().map(str::to_owned));
    own.filter(|_| !on_path).unwrap_or_else(|| "headroomctl".to_owned())
}

/// The shell command that prints the notes for a new session.
fn notes_command(at: &Setting<'_>) -> String {
    let quoted = |word: &str| format!("'{}'", word.replace('\'', r"'\''"));
    let program = own_program(at);
    let program = if program == "headroomctl" { program } else { quoted(&program) };
    let url = if at.url == DEFAULT_URL { String::new() } else { format!(" --url {}", quoted(&at.url)) };
    format!("{program}{}{url}", agents::NOTES_COMMAND)
}

/// Headroom's own tools. The program uses the Headroom that runs at the time of a call.
fn headroom_server(at: &Setting<'_>, memory: bool) -> Server {
    let command = own_program(at);
    let mut arguments = vec!["mcp".to_owned()];
    if memory {
        arguments.push("--memory".to_owned());
    }
    if at.url != DEFAULT_URL {
        arguments.extend(["--url".to_owned(), at.url.clone()]);
        // `up` puts the sidecar's gRPC server two ports after Envoy's.
        let local = at.url.strip_prefix("http://127.0.0.1:").and_then(|port| port.parse::<u16>().ok());
        if let Some(grpc) = local.and_then(|port| port.checked_add(2)) {
            arguments.extend(["--grpc".to_owned(), format!("127.0.0.1:{grpc}")]);
        }
    }
    Server { name: "headroom", command, arguments }
}

/// The workspace folder; an error if there is none.
pub(crate) fn workspace_dir(explicit: Option<&PathBuf>, env: Environment<'_>) -> anyhow::Result<PathBuf> {
    env.workspace_dir(explicit)
        .context("there is no folder for state: set HEADROOM_WORKSPACE_DIR or HOME, or give --workspace-dir")
}

/// The agent of that name, or why there is none.
pub(crate) fn agent_called(name: &str) -> anyhow::Result<&'static dyn Agent> {
    if let Some(agent) = agents::find(name) {
        return Ok(agent);
    }
    if let Some(reason) = agents::unreachable::reason(name) {
        return Err(Misuse::of(anyhow::anyhow!("{reason}. `headroomctl wrap --list` shows what can be")));
    }
    let names: Vec<&str> = agents::ALL.iter().map(|agent| agent.name()).collect();
    Err(Misuse::of(anyhow::anyhow!("{name:?} is not a known agent; expected one of {}", names.join(", "))))
}

/// The setting in which an agent would run now.
pub(crate) fn setting(url: String, env: Environment<'static>) -> anyhow::Result<Setting<'static>> {
    let home = env.get("HOME").context("HOME is not set, so there are no settings of agents")?;
    let folder = std::env::current_dir().context("the working folder is gone")?;
    Ok(Setting { env, home: home.into(), folder, url, keep_history: false })
}

/// Runs the command. The exit code is the agent's, if one ran.
pub async fn wrap(args: &WrapArgs) -> anyhow::Result<ExitCode> {
    let env = Environment::of_process();
    let workspace = workspace_dir(args.workspace_dir.as_ref(), env)?;
    let address = background::Address::of(args, env).map_err(Misuse::of)?;
    let mut at = setting(address.url().to_owned(), env)?;
    at.keep_history = args.keep_history;
    if args.list {
        list::print(&at, &workspace, args.json).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(name) = &args.agent else {
        return Err(Misuse::of(anyhow::anyhow!(
            "name an agent: `headroomctl wrap --list` shows the known ones"
        )));
    };
    let agent = agent_called(name)?;
    let journals = Workspace::new(&workspace, Disk::default());
    let before = journals.record(agent.name())?.map(|record| WrapRequest::from_json(&record.asked));
    let before = before.unwrap_or_default();
    let mut asked = WrapRequest {
        address: args.install || before.address,
        mcp: args.mcp || before.mcp,
        memory: args.memory || before.memory,
        keep_history: args.keep_history || before.keep_history && !args.install,
        code_graph: before.code_graph.clone(),
    };
    if args.code_graph {
        let indexed = code_graph::Indexer::find(env, before.code_graph.as_ref()).and_then(|indexer| {
            if !args.dry_run {
                indexer.index(&at.folder)?;
            }
            Ok(indexer)
        });
        match indexed {
            Ok(indexer) => asked.code_graph = Some(indexer),
            // Everything else works without it.
            Err(missing) => say(&format!("{missing:#}"))?,
        }
    }
    let has_edits = args.install || args.mcp || args.memory || args.code_graph && asked.code_graph.is_some();
    if args.dry_run {
        dry_run(agent, &at, args, &asked, has_edits)?;
        return Ok(ExitCode::SUCCESS);
    }
    if has_edits {
        install(agent, &at, &journals, &asked, args.install || args.memory)?;
    }
    if args.install {
        if !args.arguments.is_empty() {
            bail!("--install starts no agent: give its arguments without --install");
        }
        if address.answers().await {
            say("Headroom answers there now")?;
        } else {
            say(&format!(
                "nothing answers at {} now, and {} needs it from now on: keep `headroomctl up` running, or unwrap",
                at.url,
                agent.title()
            ))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    run::run(agent, &at, &address, &workspace, args).await
}

fn install(
    agent: &dyn Agent,
    at: &Setting<'_>,
    journals: &Workspace,
    asked: &WrapRequest,
    with_remarks: bool,
) -> anyhow::Result<()> {
    let left = upstream::take_off(agent.name(), &agent.places(at), &Disk::default())?;
    left.iter().try_for_each(|line| say(line))?;
    let plan = asked.plan(agent, at)?;
    let installed = journals.install(agent.name(), &at.url, asked.to_json(), &plan)?;
    let title = agent.title();
    say(&match installed {
        InstallOutcome::Already => format!("{title} is wrapped already: nothing was changed"),
        InstallOutcome::Nothing => format!("there is nothing to edit for {title}"),
        InstallOutcome::Now => {
            let record = journals.record(agent.name())?;
            let files: Vec<String> = record
                .iter()
                .flat_map(|record| record.paths())
                .map(|path| path.display().to_string())
                .collect();
            format!(
                "edited for {title}: {}. `headroomctl unwrap {}` undoes it",
                files.join(", "),
                agent.name()
            )
        }
    })?;
    if with_remarks {
        plan.remarks.iter().try_for_each(|remark| say(remark))?;
    }
    Ok(())
}

fn dry_run(
    agent: &dyn Agent,
    at: &Setting<'_>,
    args: &WrapArgs,
    asked: &WrapRequest,
    has_edits: bool,
) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    let mut remarks = Vec::new();
    if has_edits {
        let plan = asked.plan(agent, at)?;
        for file in preview(&plan)? {
            write!(out, "{}", unified(&file.path, file.before(), Some(file.after())))?;
        }
        remarks = plan.remarks;
    }
    if !args.install {
        let launch = agent.launch(at, &args.arguments)?;
        for (name, value) in &launch.variables {
            writeln!(out, "{name}={}", value.replace('\n', "\\n"))?;
        }
        for file in preview(&launch.edits)? {
            write!(out, "{}", unified(&file.path, file.before(), Some(file.after())))?;
        }
        let words = launch.arguments.iter().chain(launch.replaced.as_ref().unwrap_or(&args.arguments));
        let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        writeln!(out, "{}", [vec![agent.programs()[0].to_owned()], words].concat().join(" "))?;
        remarks.extend(launch.remarks);
    }
    out.flush()?;
    remarks.iter().try_for_each(|remark| say(remark))
}

/// Prints a line for the user on standard error, apart from an agent's output.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(stderr(), "headroomctl: {line}")?)
}
