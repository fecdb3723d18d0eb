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

A variable that holds only blanks counts as unset. An argument wins over its variable, a variable over config.toml in
HEADROOM_CONFIG_DIR (~/.headroom/config), and config.toml over the default.";

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
    /// Stop the Headroom that runs with this workspace, and start it again in the background with the same arguments
    Restart(DownArgs),
    /// Print the newest lines of the logs, and new lines as they arrive with --follow
    #[command(after_help = LOGS_EXAMPLES)]
    Logs(LogsArgs),
    /// Show, check or edit the configuration file
    #[command(after_help = CONFIG_EXAMPLES)]
    Config(ConfigArgs),
    /// Install or remove a systemd service that runs Headroom for this user from login on
    #[command(after_help = SERVICE_EXAMPLES)]
    Service(ServiceArgs),
    /// Run a coding agent behind Headroom, or edit its settings so that it uses Headroom from now on
    #[command(after_help = WRAP_EXAMPLES)]
    Wrap(Box<WrapArgs>),
    /// Undo the edits of `wrap`; a file that nobody has changed since is restored byte for byte
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
    /// Show what the providers' prompt caches cost, what was lost and why, and what to do about it
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
    /// Check every part on a request's way, and say how to repair what does not work
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Show what the telemetry beacon would send; it is off by default
    Telemetry(TelemetryArgs),
    /// Show how often models fetched what was left out, by tool, kind and form
    Toin(ToinArgs),
    /// Write configuration that keeps tool outputs whole where models often fetch what was left out
    Tune(TuneArgs),
    /// Print what a lossy replacement left out: the original that its marker points to
    #[command(after_help = RETRIEVE_EXAMPLES)]
    Retrieve(RetrieveArgs),
    /// Delete what Headroom has stored: everything, one tenant's, or what is older than a time
    #[command(after_help = PURGE_EXAMPLES)]
    Purge(PurgeArgs),
    /// Find in agents' session logs what fails in a project and what works instead
    #[command(after_help = LEARN_EXAMPLES)]
    Learn(LearnArgs),
    /// Read, correct, export and delete what agents remember
    #[command(after_help = MEMORY_EXAMPLES)]
    Memory(Box<MemoryArgs>),
    /// Serve headroom_compress, headroom_retrieve and headroom_stats, and with --memory the memory tools, to an MCP client
    #[command(after_help = MCP_EXAMPLES)]
    Mcp(McpArgs),
    /// Compress request bodies, or texts, offline
    #[command(after_help = COMPRESS_EXAMPLES)]
    Compress(CompressArgs),
    /// Count the tokens of a request or a text, with the provider's own counter and with Headroom's
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

Files in the workspace folder, which only their owner can read: logs/{headroomd,envoy,access}.log (a new file begins
after 16 MB, a day, or a start; three earlier ones, .1 to .3, are kept for a week), run/envoy.yaml, run/envoy.sock
(Envoy's admin interface), token (with --host beyond loopback).

If headroomd dies, it is started again, and Envoy keeps serving meanwhile.

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
The file is config.toml in HEADROOM_CONFIG_DIR, by default ~/.headroom/config. An argument wins over a variable, a
variable over the file, and the file over the default.

Examples:
  headroomctl config show
  headroomctl config show --port 9000             # as `up --port 9000` would have it
  headroomctl config check
  EDITOR=nano headroomctl config edit

Exit codes: 0 done, or no error in the file; 1 the file has an error; 2 bad options.";

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
A run changes settings for this run only; nothing stays edited. If no Headroom runs, it is started, and it ends with
the last wrapped run; its log is logs/up.log in the workspace folder. If it cannot be started, the agent runs without
it, and one line says so. At the end one line says what was saved.

Examples:
  headroomctl wrap claude
  headroomctl wrap codex -- exec 'fix the failing test'
  headroomctl wrap gemini --install --mcp           # from now on; Headroom has to run: headroomctl up
  headroomctl wrap opencode --install --dry-run     # the edits, as a diff
  headroomctl wrap --list

Exit codes: that of the agent; 128 plus the signal's number if a signal ended it; 1 something failed before; 2 bad
options.";

const UNWRAP_EXAMPLES: &str = "\
A file that nobody has edited since is restored byte for byte. From a file that was edited, only Headroom's entries are
removed, and each place that was changed is named. What the Python Headroom's `wrap` has left for Codex, Claude Code and
OpenCode is removed as well. If the agent is not wrapped, nothing is done.

Example:
  headroomctl unwrap claude

Exit codes: 0 nothing of the wrap is left; 1 a file cannot be read or written; 2 bad options.";

const ENV_EXAMPLES: &str = "\
Examples:
  eval \"$(headroomctl env)\"
  eval \"$(headroomctl env --unset)\"
  headroomctl env aider --shell fish | source

Exit codes: 0 printed; 1 something failed; 2 bad options.";

const COMPRESS_EXAMPLES: &str = "\
Each line of input gives one line of output, in order and at once. A line that is not a request body comes back
unchanged. The bytes are those that the filter would send with the same configuration. Input files are never changed.

Examples:
  headroomctl compress < bodies.jsonl > compressed.jsonl
  headroomctl compress request.json more-requests.jsonl
  headroomctl compress --simulate request.json       # tokens before and after, and each tool output's form and diff
  headroomctl compress --diff --profile lossless request.json
  headroomctl compress --text build.log
  headroomctl compress --explain --profile lossless < bodies.jsonl > /dev/null
  headroomctl compress --envelope --report blocks.jsonl < requests.jsonl > compressed.jsonl

Exit codes: 0 all input was read, or the reader of the output has ended; 1 a file does not exist, is not text, or
cannot be read or written; 2 bad options.";

const COUNT_EXAMPLES: &str = "\
A file that holds a JSON object with messages, contents or input is a request; any other file is a text. For Cohere and
Mistral every file is a text. The key is sent to the counter and to nobody else.

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

Exit codes: 0 printed; 1 it was not found, nothing matches, or nothing answers; 2 bad options.";

const PURGE_EXAMPLES: &str = "\
Deletes originals, records, messages, memory, and what is known of sessions, in SQLite or PostgreSQL, and also logs and
damaged files that were set aside. The settings of agents and the token stay. It asks before it deletes, unless --yes is
given.

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
Facts belong to a project (the repository of this folder), to the user, or to the team. headroomd keeps them, so it has
to run. Earlier texts and forgotten facts stay in the history until `headroomctl purge`, or `forget --purge`.

Examples:
  headroomctl memory add 'Staging deploys happen every Tuesday at 10:00 UTC'
  headroomctl memory search 'when do we deploy?'
  headroomctl memory forget 3f9a1c0d5e7b2468 --reason 'no longer true'
  headroomctl memory export > memory.md
  headroomctl memory import .headroom/memory.db        # of the Python Headroom

Exit codes: 0 done; 1 headroomd does not answer, or refuses; 2 bad options.";

const LEARN_EXAMPLES: &str = "\
Reads the session logs that agents keep on this machine, offline, and shows what failed, what worked instead, and the
lines of the logs that prove it. With --apply the lessons go into a marked block of the agents' own files; everything
else in these files stays.

Examples:
  headroomctl learn                                  # the project of this folder; nothing is written
  headroomctl learn --apply
  headroomctl learn --all --agent codex -j 4
  headroomctl learn --logs ~/old-logs --min-evidence 1 --json
  headroomctl learn inbox                            # lessons of `up --learn`, for files that git shares
  headroomctl learn inbox accept 3f9a1c0d

Exit codes: 0 printed, and written with --apply; 1 there are no logs, or a file cannot be merged, and then none is
written; 2 bad options.";

const HISTORY_EXAMPLES: &str = "\
Examples:
  headroomctl history --last 30d
  headroomctl history --series monthly --project billing
  headroomctl history --series hourly --last 24h --csv > savings.csv

Exit codes: 0 printed; 1 nothing answers there, or the answer has no figures; 2 bad options.";

const REPORT_EXAMPLES: &str = "\
Example:
  headroomctl report --html report.html

Exit codes: 0 written, and the file's name printed; 1 nothing answers there, or the file cannot be written; 2 bad
options.";

const DOCTOR_EXAMPLES: &str = "\
Checks that headroomd answers and is ready; that Envoy runs, with V8, the filter, large enough buffers and routes to
providers; that all parts have one version; and that a request gets through and is reported. The test request carries no
key, so the provider refuses it and charges nothing; no figure counts it.

Examples:
  headroomctl doctor
  headroomctl doctor --url http://127.0.0.1:9100 --admin /run/headroom/admin.sock
  headroomctl doctor --json --no-request

Exit codes: 0 nothing failed; 1 a check failed; 2 bad options.";

const DEMO_EXAMPLES: &str = "\
Starts headroomd and Envoy on free ports with a temporary folder, and a provider in this program that plays the recorded
answers back. Shows each turn's tokens and bill, with and without Headroom, and one tool output before and after. Then
stops everything and removes the folder. A Headroom that already runs here is not touched.

Examples:
  headroomctl demo
  headroomctl demo --no-envoy                     # only the engine, if there is no Envoy

Exit codes: 0 played, or stopped by a signal; 1 something failed; 2 bad options.";

const CACHE_EXAMPLES: &str = "\
If an earlier request began in the same way, the provider reads that beginning from its cache, at a fraction of the
price. Tokens that it could have read and did not are lost. headroomd records the reason, from each request's usage.

Examples:
  headroomctl cache
  headroomctl cache --since 7d
  headroomctl cache --by stack
  headroomctl cache --by line                     # lines of system prompts that change, by number; never their text
  headroomctl cache --json | jq .causes

Exit codes: 0 printed; 1 nothing answers there, or the answer has no figures; 2 bad options.";

const OPEN_EXAMPLES: &str = "\
If headroomd asks for a token, the browser gets it through a file that only its owner can read and that is removed after
some seconds; no command line shows the token.

Examples:
  headroomctl open
  headroomctl open --print                        # only the address
  headroomctl open --url http://127.0.0.1:9000

Exit codes: 0 printed, and opened where there is a browser; 1 nothing answers there; 2 bad options.";

const STATS_EXAMPLES: &str = "\
One screen by default. Dollars are what Headroom saved, at the price that the tokens would have had with the provider's
cache.

Examples:
  headroomctl stats
  headroomctl stats --since 24h
  headroomctl stats --by project --since 7d --top 5
  headroomctl stats --by tool
  headroomctl stats --all                         # every table
  headroomctl stats --watch                       # stays in place; Ctrl-C ends it
  headroomctl stats --url http://127.0.0.1:41587
  headroomctl stats --json | jq .tokens

Exit codes: 0 printed; 1 nothing answers there, or the answer has no figures; 2 bad options.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_is_defined_without_contradiction() {
        Cli::command().debug_assert();
    }
}
