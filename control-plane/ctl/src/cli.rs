//! The command line's grammar.

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::cache::CacheArgs;
use crate::compress::CompressArgs;
use crate::config::ConfigArgs;
use crate::count::CountArgs;
use crate::demo::DemoArgs;
use crate::doctor::DoctorArgs;
use crate::env::EnvArgs;
use crate::history::HistoryArgs;
use crate::learn::LearnArgs;
use crate::logs::LogsArgs;
use crate::mcp::McpArgs;
use crate::memory::MemoryArgs;
use crate::open::OpenArgs;
use crate::perf::PerfArgs;
use crate::providers::ProvidersArgs;
use crate::purge::PurgeArgs;
use crate::report::ReportArgs;
use crate::retrieve::RetrieveArgs;
use crate::service::ServiceArgs;
use crate::stats::StatsArgs;
use crate::status::{DownArgs, StatusArgs};
use crate::telemetry::TelemetryArgs;
use crate::tune::{ToinArgs, TuneArgs};
use crate::unwrap::UnwrapArgs;
use crate::up::UpArgs;
use crate::wrap::WrapArgs;

const EXIT_CODES: &str = "\
Exit codes: 0 done, or stopped by a signal; 1 something failed, and standard error says what; 2 the
command line cannot be understood.

A variable that is set to nothing but blanks counts as unset; an argument wins over its variable, a variable over
config.toml in HEADROOM_CONFIG_DIR (~/.headroom/config), and that over the default.";

/// Fewer input tokens for AI agents: runs Headroom, shows what it saved, and compresses offline.
#[derive(Debug, Parser)]
#[command(name = "headroomctl", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// See what Headroom does: a recorded agent run through Envoy, without a key, a repository or a network
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(DemoArgs),
    /// Run Envoy with the filter, and headroomd, until Ctrl-C, or in the background
    #[command(after_help = UP_EXAMPLES)]
    Up(Box<UpArgs>),
    /// Say whether Headroom runs, where, and in what state its parts are
    #[command(after_help = STATUS_EXAMPLES)]
    Status(StatusArgs),
    /// Stop the Headroom that runs with this workspace
    Down(DownArgs),
    /// Stop it and start it in the background, with the arguments that it had
    Restart(DownArgs),
    /// Print the newest lines of its logs, and those that come
    #[command(after_help = LOGS_EXAMPLES)]
    Logs(LogsArgs),
    /// Show, check or edit the configuration file
    #[command(after_help = CONFIG_EXAMPLES)]
    Config(ConfigArgs),
    /// Have systemd run Headroom for this user, from login on, or no longer
    #[command(after_help = SERVICE_EXAMPLES)]
    Service(ServiceArgs),
    /// Run a coding agent behind Headroom, or edit its settings so that it uses Headroom from now on
    #[command(after_help = WRAP_EXAMPLES)]
    Wrap(Box<WrapArgs>),
    /// Take back what `wrap` has edited, byte for byte where nobody has edited since
    #[command(after_help = UNWRAP_EXAMPLES)]
    Unwrap(UnwrapArgs),
    /// Print the exports that send clients through Headroom
    #[command(after_help = ENV_EXAMPLES)]
    Env(EnvArgs),
    /// Print the Envoy configuration that `up` with the same options would run
    Bootstrap(Box<UpArgs>),
    /// List the providers that Headroom knows by name, or print what other Envoys need for them
    #[command(after_help = PROVIDERS_EXAMPLES)]
    Providers(ProvidersArgs),
    /// Show what a running Headroom has saved
    #[command(after_help = STATS_EXAMPLES)]
    Stats(StatsArgs),
    /// Show what the providers' prompt caches cost, what they lost, to which cause, and what to do
    #[command(after_help = CACHE_EXAMPLES)]
    Cache(CacheArgs),
    /// Open the dashboard in the browser
    #[command(after_help = OPEN_EXAMPLES)]
    Open(OpenArgs),
    /// Show what was saved over time, by hour, day, week or month
    #[command(after_help = HISTORY_EXAMPLES)]
    History(HistoryArgs),
    /// Show what Headroom adds to a request, stage by stage
    Perf(PerfArgs),
    /// Write a report of what was saved and what is wasted, as one HTML page
    #[command(after_help = REPORT_EXAMPLES)]
    Report(ReportArgs),
    /// Check everything on a request's way, and say what to do where it is blocked
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Show what the beacon would send, which is off unless switched on
    Telemetry(TelemetryArgs),
    /// Show what models asked back of what was left out, by tool, kind and form
    Toin(ToinArgs),
    /// Write configuration that leaves nothing out where models ask too much of it back
    Tune(TuneArgs),
    /// Print what a lossy replacement left out: the original that its marker points to
    #[command(after_help = RETRIEVE_EXAMPLES)]
    Retrieve(RetrieveArgs),
    /// Delete what Headroom has stored: everything, one tenant's, or what is older than a time
    #[command(after_help = PURGE_EXAMPLES)]
    Purge(PurgeArgs),
    /// Learn from agents' session logs what fails in a project and what works instead
    #[command(after_help = LEARN_EXAMPLES)]
    Learn(LearnArgs),
    /// Read, correct, hand on and forget what agents remember
    #[command(after_help = MEMORY_EXAMPLES)]
    Memory(Box<MemoryArgs>),
    /// Serve headroom_compress, headroom_retrieve and headroom_stats, and with --memory the memory tools, to an MCP client
    #[command(after_help = MCP_EXAMPLES)]
    Mcp(McpArgs),
    /// Compress request bodies, or texts, offline
    #[command(after_help = COMPRESS_EXAMPLES)]
    Compress(CompressArgs),
    /// Ask a provider's own counter for the tokens of a request or a text, and count the same here
    #[command(after_help = COUNT_EXAMPLES)]
    Count(CountArgs),
    /// Print a script that completes this command line
    #[command(
        after_help = "Example:\n  headroomctl completions bash > ~/.local/share/bash-completion/completions/headroomctl"
    )]
    Completions {
        /// For which shell
        shell: Shell,
    },
}

const UP_EXAMPLES: &str = "\
Examples:
  headroomctl up                                  # then: ANTHROPIC_BASE_URL=http://127.0.0.1:8787 claude
  headroomctl up --detach                         # in the background; then: status, logs, restart, down
  headroomctl up --port 0                         # free ports, printed
  headroomctl up --provider groq --provider zai   # then: OPENAI_BASE_URL=http://127.0.0.1:8787/groq/v1
  headroomctl up --provider openrouter=OPENROUTER_API_KEY --provider local
  headroomctl up --profile lossless --body-mode hold
  headroomctl up --mode audit                     # measure only
  headroomctl up --host 0.0.0.0 --allow-host headroom.internal

Files under the workspace folder, for its owner alone: logs/{headroomd,envoy,access}.log (a new one after 16 MB, a day,
or a start; the three before it are .1 to .3, for a week),
run/envoy.yaml, run/envoy.sock (Envoy's admin interface), token (with --host beyond loopback).

When headroomd dies it is started again, and Envoy serves on meanwhile.

Exit codes: 0 stopped by Ctrl-C, SIGTERM or SIGHUP, or ready in the background; 1 could not start, or Envoy died; 2 bad
options.";

const PROVIDERS_EXAMPLES: &str = "\
Examples:
  headroomctl providers
  headroomctl providers groq zai
  headroomctl providers --kubernetes groq mistral > providers.yaml
  headroomctl providers --envoy groq

Exit codes: 0 printed; 1 something failed; 2 bad options, or a name that is not known.";

const STATUS_EXAMPLES: &str = "\
Examples:
  headroomctl status
  headroomctl status --json | jq .serves

Exit codes: 0 requests are served; 1 they are not; 2 bad options.";

const LOGS_EXAMPLES: &str = "\
Examples:
  headroomctl logs
  headroomctl logs envoy -n 100
  headroomctl logs access --follow

Exit codes: 0 printed; 1 there is no such log; 2 bad options.";

const CONFIG_EXAMPLES: &str = "\
The file is config.toml in HEADROOM_CONFIG_DIR, by default ~/.headroom/config. An argument wins over a variable, that over
the file, and that over the default.

Examples:
  headroomctl config show
  headroomctl config show --port 9000             # as `up --port 9000` would have it
  headroomctl config check
  EDITOR=nano headroomctl config edit

Exit codes: 0 done, or sound; 1 not sound; 2 bad options.";

const SERVICE_EXAMPLES: &str = "\
Writes ~/.config/systemd/user/headroom.service, which runs `headroomctl up` with the options that are given here, and has
systemd start it now and at every login.

Examples:
  headroomctl service install
  headroomctl service install -- --port 9000 --profile lossless
  headroomctl service install --dry-run           # the unit, printed
  headroomctl service uninstall

Exit codes: 0 done; 1 systemd refuses, or a file cannot be written; 2 bad options.";

const WRAP_EXAMPLES: &str = "\
A run sets what the agent needs for itself alone and edits nothing that stays. Headroom is started where none runs, and
ends with the last wrapped run; its log is logs/up.log in the workspace folder. Where it cannot be started, the agent
runs without it, and a line says so. At the end one line says what was saved.

Examples:
  headroomctl wrap claude
  headroomctl wrap codex -- exec 'fix the failing test'
  headroomctl wrap gemini --install --mcp           # from now on; Headroom has to run: headroomctl up
  headroomctl wrap opencode --install --dry-run     # the edits, as a diff
  headroomctl wrap --list

Exit codes: that of the agent; 128 and the signal where one ended it; 1 something failed before; 2 bad options.";

const UNWRAP_EXAMPLES: &str = "\
A file that nobody has edited since becomes what it was, byte for byte. From one that was edited, only what is
Headroom's is taken out, and what stands in its place is named. What the Python Headroom's `wrap codex` has left is
taken back as well. Without a wrap nothing is done.

Example:
  headroomctl unwrap claude

Exit codes: 0 nothing of it is left; 1 a file cannot be read or written; 2 bad options.";

const ENV_EXAMPLES: &str = "\
Examples:
  eval \"$(headroomctl env)\"
  eval \"$(headroomctl env --unset)\"
  headroomctl env aider --shell fish | source

Exit codes: 0 printed; 1 something failed; 2 bad options.";

const COMPRESS_EXAMPLES: &str = "\
Each line is answered by one line, in order and at once. A line that is no request body comes back as it was.
The bytes are those that the filter would send under the same configuration. Files are never written.

Examples:
  headroomctl compress < bodies.jsonl > compressed.jsonl
  headroomctl compress request.json more-requests.jsonl
  headroomctl compress --simulate request.json       # tokens before and after, and each tool output's form and diff
  headroomctl compress --diff --profile lossless request.json
  headroomctl compress --text build.log
  headroomctl compress --explain --profile lossless < bodies.jsonl > /dev/null
  headroomctl compress --envelope --report blocks.jsonl < requests.jsonl > compressed.jsonl

Exit codes: 0 all was read to its end, or nobody reads the answers any more; 1 a file is not there, is no text, or
cannot be read or written; 2 bad options.";

const COUNT_EXAMPLES: &str = "\
A file that holds a JSON object with messages, contents or input is a request; any other is a text, and for Cohere and
Mistral all are. The key goes to the counter and nowhere else.

Examples:
  headroomctl count --provider anthropic request.json
  headroomctl count --provider google --model gemini-2.5-pro notes.txt
  headroomctl count --provider cohere --model command-a-03-2025 build.log
  headroomctl count --provider mistral --tokenizer tekken.json build.log
  headroomctl count --provider litellm --url http://127.0.0.1:4000 --model gpt-4o request.json --json

Exit codes: 0 all was counted; 1 a file cannot be read, or the counter gave no count; 2 bad options, or no key.";

const RETRIEVE_EXAMPLES: &str = "\
Examples:
  headroomctl retrieve 9f86d081884c7d659a2feaa0 > original.txt
  headroomctl retrieve 9f86d081884c7d659a2feaa0 --lines 40-80
  headroomctl retrieve 9f86d081884c7d659a2feaa0 --query 'connection refused'

Exit codes: 0 printed; 1 it is not there, nothing matches, or nothing answers; 2 bad options.";

const PURGE_EXAMPLES: &str = "\
Deletes originals, records, messages, and what is known of sessions, in SQLite or PostgreSQL, and beside it damaged
files that were set aside and logs. The settings of agents, and the token, stay. Nothing is deleted unanswered: it asks,
or takes --yes.

Examples:
  headroomctl purge --all --dry-run
  headroomctl purge --tenant research --yes
  headroomctl purge --older-than 30d

Exit codes: 0 deleted, or counted with --dry-run; 1 something failed, or the answer was no; 2 bad options.";

const MCP_EXAMPLES: &str = "\
Examples:
  claude mcp add headroom -- headroomctl mcp --memory
  headroomctl mcp --http 127.0.0.1:8791              # then: claude mcp add -t http headroom http://127.0.0.1:8791/mcp

Exit codes: 0 the client has gone, or a signal came; 1 something failed; 2 bad options.";

const MEMORY_EXAMPLES: &str = "\
Facts belong to a project (the repository of this folder), to the user, or to the team. headroomd keeps them, and has to
run. What is edited or forgotten stays in the history until `headroomctl purge`, or `forget --purge`.

Examples:
  headroomctl memory add 'Staging deploys happen every Tuesday at 10:00 UTC'
  headroomctl memory search 'when do we deploy?'
  headroomctl memory forget 3f9a1c0d5e7b2468 --reason 'no longer so'
  headroomctl memory export > memory.md
  headroomctl memory import .headroom/memory.db        # of the Python Headroom

Exit codes: 0 done; 1 nothing answers, or it says no; 2 bad options.";

const LEARN_EXAMPLES: &str = "\
Reads what agents keep of their conversations, here and offline, and shows what failed, what worked instead, and the
lines of the logs that say so. With --apply it goes into a marked block of the agents' own files; all else in them stays.

Examples:
  headroomctl learn                                  # the project of this folder; nothing is written
  headroomctl learn --apply
  headroomctl learn --all --agent codex -j 4
  headroomctl learn --logs ~/old-logs --min-evidence 1 --json
  headroomctl learn inbox                            # what was learned unasked, for files that git shares
  headroomctl learn inbox accept 3f9a1c0d

Exit codes: 0 printed, and written where asked; 1 no logs, or a file cannot be merged, and then none is written;
2 bad options.";

const HISTORY_EXAMPLES: &str = "\
Examples:
  headroomctl history --last 30d
  headroomctl history --series monthly --project billing
  headroomctl history --series hourly --last 24h --csv > savings.csv

Exit codes: 0 printed; 1 nothing answers there, or not with figures; 2 bad options.";

const REPORT_EXAMPLES: &str = "\
Example:
  headroomctl report --html report.html

Exit codes: 0 written, and the file's name printed; 1 nothing answers there, or the file cannot be written; 2 bad
options.";

const DOCTOR_EXAMPLES: &str = "\
Checks that headroomd answers and is ready; that Envoy runs, with V8, the filter, room for its bodies and routes to
providers; that all are of one version; and that a request gets through and is reported. The test request carries no
key, so the provider refuses it and charges nothing; it is in none of the figures.

Examples:
  headroomctl doctor
  headroomctl doctor --url http://127.0.0.1:9100 --admin /run/headroom/admin.sock
  headroomctl doctor --json --no-request

Exit codes: 0 nothing failed; 1 a check failed; 2 bad options.";

const DEMO_EXAMPLES: &str = "\
Starts headroomd and Envoy on free ports with a folder of their own, and a provider in this program that plays the
recorded answers back; shows each turn's tokens and bill, with and without Headroom, and one tool output before and after;
stops everything and removes the folder. A Headroom that runs here already is not touched.

Examples:
  headroomctl demo
  headroomctl demo --no-envoy                     # the engine alone, where there is no Envoy

Exit codes: 0 played, or stopped by a signal; 1 something failed; 2 bad options.";

const CACHE_EXAMPLES: &str = "\
Providers read the beginning of a prompt from a cache, at a part of the price, where an earlier request has begun with
the same. What could have been read and was not is lost; headroomd keeps why, from every request and its usage.

Examples:
  headroomctl cache
  headroomctl cache --since 7d
  headroomctl cache --by stack
  headroomctl cache --by line                     # lines of system prompts that change, by number; never their text
  headroomctl cache --json | jq .causes

Exit codes: 0 printed; 1 nothing answers there, or not with figures; 2 bad options.";

const OPEN_EXAMPLES: &str = "\
Where headroomd asks for a token, the browser gets it through a file that nobody else can read and that is removed after
some seconds; no command line shows it.

Examples:
  headroomctl open
  headroomctl open --print                        # the address alone
  headroomctl open --url http://127.0.0.1:9000

Exit codes: 0 printed, and opened where there is a browser; 1 nothing answers there; 2 bad options.";

const STATS_EXAMPLES: &str = "\
One screen by default. Dollars are what Headroom saved at the price that the tokens would have had, the provider's cache
included.

Examples:
  headroomctl stats
  headroomctl stats --since 24h
  headroomctl stats --by project --since 7d --top 5
  headroomctl stats --by tool
  headroomctl stats --all                         # every table
  headroomctl stats --watch                       # stays in place; Ctrl-C ends it
  headroomctl stats --url http://127.0.0.1:41587
  headroomctl stats --json | jq .tokens

Exit codes: 0 printed; 1 nothing answers there, or not with figures; 2 bad options.";
