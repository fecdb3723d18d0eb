//! The command line of headroomd.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};

/// The Headroom sidecar: savings history, statistics, originals.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "headroomd", version)]
pub struct Args {
    /// Address for HTTP: ip:port (port 0: any free one) or unix:/path [env: HEADROOM_HTTP] [default: 127.0.0.1:8788]
    #[arg(long, value_name = "ADDR")]
    pub http: Option<String>,
    /// Address for gRPC: ip:port (port 0: any free one) or unix:/path [env: HEADROOM_GRPC] [default: 127.0.0.1:8789]
    #[arg(long, value_name = "ADDR")]
    pub grpc: Option<String>,
    /// A separate address for /metrics, without a token: ip:port or unix:/path [env: HEADROOM_METRICS_ADDR] [default: none]
    #[arg(long, value_name = "ADDR")]
    pub metrics_addr: Option<String>,
    /// Folder for state [env: HEADROOM_WORKSPACE_DIR] [default: ~/.headroom]
    #[arg(long, value_name = "DIR")]
    pub workspace_dir: Option<PathBuf>,
    /// Folder for read-mostly files such as models.json [env: HEADROOM_CONFIG_DIR] [default: ~/.headroom/config]
    #[arg(long, value_name = "DIR")]
    pub config_dir: Option<PathBuf>,
    /// PostgreSQL instead of SQLite: postgres://…, or a file of JSON Lines, with originals only in memory: jsonl:PATH [env: HEADROOM_DATABASE_URL]
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// A proxy_savings.json of upstream Headroom, read at every start [env: HEADROOM_SAVINGS_PATH] [default: WORKSPACE/proxy_savings.json]
    #[arg(long, value_name = "FILE")]
    pub savings_path: Option<PathBuf>,
    /// Where allowances of subscriptions are kept [env: HEADROOM_SUBSCRIPTION_STATE_PATH] [default: WORKSPACE/subscription_state.json]
    #[arg(long, value_name = "FILE")]
    pub subscription_state_path: Option<PathBuf>,
    /// Seconds for which originals are kept after they were last stored or read [env: HEADROOM_CCR_TTL_SECONDS] [default: 86400]
    #[arg(long, value_name = "SECONDS")]
    pub ccr_ttl_seconds: Option<String>,
    /// Bytes that originals may take, compressed; above that the oldest are removed [env: HEADROOM_CCR_MAX_BYTES] [default: 1073741824, in memory 67108864]
    #[arg(long, value_name = "BYTES")]
    pub ccr_max_bytes: Option<String>,
    /// Bytes of memory for the answer cache; the answer that was not used for the longest time is removed first [env: HEADROOM_ANSWERS_MAX_BYTES] [default: 67108864]
    #[arg(long, value_name = "BYTES")]
    pub answers_max_bytes: Option<String>,
    /// Seconds within which /v1/compress answers; after that it returns the messages unchanged [env: HEADROOM_COMPRESSION_TIMEOUT_SECONDS] [default: 10]
    #[arg(long, value_name = "SECONDS")]
    pub compression_timeout_seconds: Option<String>,
    /// Write each request to FILE as a line of JSON; with --log-messages including its text [env: HEADROOM_LOG_FILE] [default: none]
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// Show the text of requests and answers, from filters that send it; kept in memory only [env: HEADROOM_LOG_MESSAGES]
    #[arg(long)]
    pub log_messages: bool,
    /// Learn from failing tool calls in the texts that filters send (control_plane.log_messages), and write lessons into agents' files of projects on this machine [env: HEADROOM_LEARN]
    #[arg(long)]
    pub learn: bool,
    /// Show in /debug/warmup that the filter leaves bodies of functions out of source files; the filter's own configuration decides whether it does [env: HEADROOM_CODE_AWARE_ENABLED]
    #[arg(long)]
    pub code_aware: bool,
    /// Folder of an embedding model, with which memory finds facts by meaning: tokenizer.json next to model.onnx or a .safetensors file [env: HEADROOM_MEMORY_MODEL_DIR] [default: CONFIG/embedder]
    #[arg(long, value_name = "DIR")]
    pub memory_model_dir: Option<PathBuf>,
    /// Shorten prose with a text model, LLMLingua-2, for callers of /v1/compress who ask for it; needs a build with the feature llmlingua [env: HEADROOM_LLMLINGUA]
    #[arg(long)]
    pub llmlingua: bool,
    /// Folder of the text model, or its name on the Hugging Face hub, from where it is then downloaded once [env: HEADROOM_LLMLINGUA_MODEL] [default: CONFIG/llmlingua]
    #[arg(long, value_name = "DIR|OWNER/NAME")]
    pub llmlingua_model: Option<String>,
    /// Where the text model runs: auto or cpu [env: HEADROOM_LLMLINGUA_DEVICE] [default: auto]
    #[arg(long, value_name = "DEVICE")]
    pub llmlingua_device: Option<String>,
    /// The share of prose that is kept if a caller names none: a number, or text=0.3,json=0.35,code=0.4, or auto for these [env: HEADROOM_LLMLINGUA_RATE] [default: 0.3]
    #[arg(long, value_name = "RATE")]
    pub llmlingua_rate: Option<String>,
    /// Seconds after which an unused text model is unloaded [env: HEADROOM_LLMLINGUA_IDLE_SECONDS] [default: 600]
    #[arg(long, value_name = "SECONDS")]
    pub llmlingua_idle_seconds: Option<String>,
    /// File that holds the bearer token; HEADROOM_TOKEN holds the token itself [env: HEADROOM_TOKEN_FILE]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// File with a tenant's name and token on each line, which opens that tenant's originals and memory only [env: HEADROOM_TENANT_TOKENS_FILE]
    #[arg(long, value_name = "FILE")]
    pub tenant_tokens_file: Option<PathBuf>,
    /// Host names, separated by commas, that requests without a token may use; localhost and IP addresses are always allowed [env: HEADROOM_ALLOWED_HOSTS]
    #[arg(long, value_name = "NAMES")]
    pub allowed_hosts: Option<String>,
    /// A file that is written when the addresses are bound: one JSON object {"pid","http","grpc"}
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
    /// What to log, as in tracing's EnvFilter [env: HEADROOM_LOG] [default: info]
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
    /// How to write log lines, on standard error [env: HEADROOM_LOG_FORMAT] [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What to do instead of serving
    #[command(subcommand)]
    pub command: Option<Command>,
}

impl Args {
    /// Any free loopback ports, and a folder for state: for a program that starts its own sidecar.
    pub fn on_free_ports(workspace_dir: &Path) -> Self {
        let free = || Some("127.0.0.1:0".to_owned());
        Self { http: free(), grpc: free(), workspace_dir: Some(workspace_dir.to_owned()), ..Self::default() }
    }
}

/// What to do instead of serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Ask the headroomd of this machine whether it is ready: exit code 0, or 1 and why not
    Healthcheck,
    /// Delete what is stored while no headroomd runs, and print how much as JSON; `headroomctl purge` asks a running headroomd
    Purge {
        /// Delete everything
        #[arg(long, conflicts_with_all = ["tenant", "older_than_seconds"])]
        all: bool,
        /// Delete only this tenant's data
        #[arg(long, value_name = "NAME", conflicts_with = "older_than_seconds")]
        tenant: Option<String>,
        /// Delete only what is older
        #[arg(long, value_name = "SECONDS")]
        older_than_seconds: Option<u32>,
        /// Count only, and delete nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
