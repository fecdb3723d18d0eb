//! The settings of `headroomctl up`: arguments, then variables, then the configuration file, then defaults.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use headroom_api::names;
use serde_json::{Map, Value};

use super::history;
use crate::bootstrap::{BodyMode, Endpoint, GRPC_CLUSTER, HTTP_CLUSTER, Providers};
use crate::config::sidecar;
use crate::environment::{CODE_AWARE, Environment};
use crate::profile::ProfileName;
use crate::providers::{self, LOCAL, Served, Table};
use crate::token;
use crate::upstream::Upstream;

/// Envoy's worker threads by default. Each has a VM with its own vocabulary and memo, and the agents of one
/// developer do not use two of them fully.
const DEFAULT_WORKERS: u32 = 2;

/// What becomes of old tool outputs.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum HistoryName {
    /// Old tool outputs stay as they were sent.
    Append,
    /// Old tool outputs are rewritten at boundaries of a conversation.
    Epochs,
}

/// `body_mode` in the way clap wants it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum BodyModeName {
    /// Forward without content-length
    Strip,
    /// Hold the headers and forward the exact content-length; needs Envoy 1.35
    Hold,
}

/// `mode` in the way clap wants it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum ModeName {
    /// Compress
    Optimize,
    /// Measure what that would save, and forward everything unchanged
    Audit,
    /// The same, and record for each request what would have been done
    Simulate,
    /// Forward everything unchanged
    Off,
}

/// `breakpoints` in the way clap wants it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum BreakpointsName {
    /// Set none
    Off,
    /// Set breakpoints that live for five minutes
    #[value(name = "5m")]
    FiveMinutes,
    /// Set breakpoints that live for an hour on Anthropic's own API, where writing costs more, and for five minutes elsewhere
    #[value(name = "1h")]
    OneHour,
}

/// `cache.mode` in the way clap wants it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum CacheName {
    /// Ask the provider each time
    Off,
    /// Answer an identical request from the cache, for ten minutes
    Exact,
    /// The same, and answer nearly identical questions without history; experimental
    Semantic,
}

/// The name of LiteLLM's proxy as a backend, of its route and in reports.
pub(crate) const LITELLM: &str = "litellm";

/// LiteLLM's proxy as a backend: the settings for it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LiteLlm {
    /// The program, if it is already installed.
    pub program: Option<PathBuf>,
    /// Its configuration: `model_list`, and LiteLLM's other settings.
    pub config: Option<PathBuf>,
}

/// Runs Envoy with the filter, and headroomd beside it, until Ctrl-C.
#[derive(Args, Clone, Debug, Default)]
pub struct UpArgs {
    /// Address that clients connect to [env: HEADROOM_HOST] [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    pub host: Option<String>,
    /// Port that clients connect to; 0 takes free ports for everything [env: HEADROOM_PORT] [default: 8787]
    #[arg(long, value_name = "PORT")]
    pub port: Option<String>,
    /// A host name that clients may use, in addition to localhost and IP addresses; repeat it, or separate names by commas [env: HEADROOM_ALLOWED_HOSTS]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub allow_host: Vec<String>,
    /// Anthropic's base URL [env: ANTHROPIC_TARGET_API_URL] [default: https://api.anthropic.com]
    #[arg(long, value_name = "URL")]
    pub anthropic_api_url: Option<String>,
    /// OpenAI's base URL [env: OPENAI_TARGET_API_URL] [default: https://api.openai.com]
    #[arg(long, value_name = "URL")]
    pub openai_api_url: Option<String>,
    /// Gemini's base URL [env: GEMINI_TARGET_API_URL] [default: https://generativelanguage.googleapis.com]
    #[arg(long, value_name = "URL")]
    pub gemini_api_url: Option<String>,
    /// What happens to requests [env: HEADROOM_MODE] [default: optimize]
    #[arg(long, value_enum)]
    pub mode: Option<ModeName>,
    /// Base URL for Codex with a ChatGPT login [env: CHATGPT_TARGET_API_URL] [default: https://chatgpt.com]
    #[arg(long, value_name = "URL")]
    pub chatgpt_api_url: Option<String>,
    /// Base URL for Gemini CLI with a Google login [env: CODE_ASSIST_TARGET_API_URL] [default: https://cloudcode-pa.googleapis.com]
    #[arg(long, value_name = "URL")]
    pub code_assist_api_url: Option<String>,
    /// Base URL for clients of GitHub Copilot [env: COPILOT_TARGET_API_URL] [default: https://api.githubcopilot.com]
    #[arg(long, value_name = "URL")]
    pub copilot_api_url: Option<String>,
    /// Serve a provider under /NAME/, such as groq; with =KEY_ENV, the key in that variable is added to its requests; `local` means the servers found on this machine. Repeat it, or separate names by commas [env: HEADROOM_PROVIDERS]
    #[arg(long, value_name = "NAME[=KEY_ENV]", value_delimiter = ',')]
    pub provider: Vec<String>,
    /// The provider for requests whose path names none: its name; `anyllm`: that of --anyllm-provider; `litellm`: LiteLLM's proxy, which `up` starts [env: HEADROOM_BACKEND] [default: the provider of the request's format]
    #[arg(long, value_name = "NAME")]
    pub backend: Option<String>,
    /// The provider that --backend anyllm means [env: HEADROOM_ANYLLM_PROVIDER] [default: openai]
    #[arg(long, value_name = "NAME")]
    pub anyllm_provider: Option<String>,
    /// A LiteLLM that is installed, for --backend litellm [env: HEADROOM_LITELLM] [default: one that `up` installs in the workspace]
    #[arg(long, value_name = "FILE")]
    pub litellm: Option<PathBuf>,
    /// LiteLLM's configuration, with its model_list [env: HEADROOM_LITELLM_CONFIG] [default: litellm.yaml in the configuration folder, else every model under its provider's name]
    #[arg(long, value_name = "FILE")]
    pub litellm_config: Option<PathBuf>,
    /// How strongly tool outputs may be shortened [env: HEADROOM_PROFILE] [default: balanced]
    #[arg(long, value_enum)]
    pub profile: Option<ProfileName>,
    /// Leave out bodies of functions of source files that are read as a whole [env: HEADROOM_CODE_AWARE_ENABLED]
    #[arg(long)]
    pub code_aware: bool,
    /// Press new tool outputs harder as a conversation passes 90,000, 180,000 and 260,000 tokens [env: HEADROOM_PRESSURE]
    #[arg(long)]
    pub pressure: bool,
    /// Whether old tool outputs change: `epochs` rewrites them at boundaries of a conversation where that pays [env: HEADROOM_HISTORY] [default: append]
    #[arg(long, value_enum)]
    pub history: Option<HistoryName>,
    /// With --history epochs, the number of tokens that a conversation should stay below [env: HEADROOM_HISTORY_WINDOW] [default: 100000]
    #[arg(long, value_name = "TOKENS")]
    pub history_window: Option<u32>,
    /// With --history epochs, keep reads of files that were edited or read again later [env: HEADROOM_NO_READ_LIFECYCLE]
    #[arg(long)]
    pub no_read_lifecycle: bool,
    /// With --history epochs, drop nothing when the window is full [env: HEADROOM_NO_INTELLIGENT_CONTEXT]
    #[arg(long)]
    pub no_intelligent_context: bool,
    /// Set breakpoints of Anthropic's prompt cache in requests whose client sets none, with this lifetime [env: HEADROOM_BREAKPOINTS] [default: off]
    #[arg(long, value_enum)]
    pub breakpoints: Option<BreakpointsName>,
    /// Rules that move lines of system prompts to their ends, as `headroomctl cache suggest` writes them [env: HEADROOM_ALIGN]
    #[arg(long, value_name = "FILE")]
    pub align: Option<PathBuf>,
    /// Answer cache: which requests without tools are answered from it [env: HEADROOM_CACHE] [default: off]
    #[arg(long, value_enum)]
    pub cache: Option<CacheName>,
    /// How the filter forwards a body whose length has changed [env: HEADROOM_BODY_MODE] [default: strip]
    #[arg(long, value_enum)]
    pub body_mode: Option<BodyModeName>,
    /// Write each request to FILE as a line of JSON; with --log-messages including its text [env: HEADROOM_LOG_FILE]
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// Show the text of requests and answers in /transformations/feed; kept in memory only [env: HEADROOM_LOG_MESSAGES]
    #[arg(long)]
    pub log_messages: bool,
    /// Begin conversations that ask for no reasoning with what memory knows about the user's first words [env: HEADROOM_MEMORY_CONTEXT]
    #[arg(long)]
    pub memory_context: bool,
    /// Learn from failing tool calls as requests pass; reads what --log-messages shows, and switches that on [env: HEADROOM_LEARN]
    #[arg(long)]
    pub learn: bool,
    /// Shorten prose with a text model, LLMLingua-2, for callers of /v1/compress who ask for it; needs a headroomd with the feature llmlingua [env: HEADROOM_LLMLINGUA]
    #[arg(long)]
    pub llmlingua: bool,
    /// Folder of the text model, or its name on the Hugging Face hub [env: HEADROOM_LLMLINGUA_MODEL] [default: llmlingua in the configuration folder]
    #[arg(long, value_name = "DIR|OWNER/NAME")]
    pub llmlingua_model: Option<String>,
    /// Where the text model runs: auto or cpu [env: HEADROOM_LLMLINGUA_DEVICE] [default: auto]
    #[arg(long, value_name = "DEVICE")]
    pub llmlingua_device: Option<String>,
    /// The share of prose that is kept: a number; or text=0.3,json=0.35,code=0.4, or auto for these [env: HEADROOM_LLMLINGUA_RATE] [default: 0.3]
    #[arg(long, value_name = "RATE")]
    pub llmlingua_rate: Option<String>,
    /// Bodies that a worker processes at a time; others wait in order; 0 or less: no limit [env: HEADROOM_ANTHROPIC_PRE_UPSTREAM_CONCURRENCY] [default: the number of processors, from 2 to 8]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub anthropic_pre_upstream_concurrency: Option<String>,
    /// JSON file with more of the filter's configuration; its keys win over the options above
    #[arg(long, value_name = "FILE")]
    pub filter_config: Option<PathBuf>,
    /// Envoy's worker threads [env: HEADROOM_WORKERS] [default: 2]
    #[arg(long, value_name = "N")]
    pub workers: Option<u32>,
    /// Folder for state and logs [env: HEADROOM_WORKSPACE_DIR] [default: ~/.headroom]
    #[arg(long, value_name = "DIR")]
    pub workspace_dir: Option<PathBuf>,
    /// Address of headroomd's HTTP server [env: HEADROOM_HTTP] [default: 127.0.0.1, the port after --port]
    #[arg(long, value_name = "IP:PORT")]
    pub http: Option<String>,
    /// Address of headroomd's gRPC server [env: HEADROOM_GRPC] [default: 127.0.0.1, two after --port]
    #[arg(long, value_name = "IP:PORT")]
    pub grpc: Option<String>,
    /// The filter module [env: HEADROOM_MODULE] [default: where make and the image put it]
    #[arg(long, value_name = "FILE")]
    pub module: Option<PathBuf>,
    /// The sidecar's program [env: HEADROOMD] [default: next to this one, or on PATH]
    #[arg(long, value_name = "FILE")]
    pub headroomd: Option<PathBuf>,
    /// Start it in the background, and return once it is ready
    #[arg(long, short = 'd')]
    pub detach: bool,
    /// Run in the background in a new session, as `--detach` and `restart` start it
    #[arg(long, hide = true)]
    pub detached: bool,
    /// The same, until no wrapped agent runs, as `wrap` starts it
    #[arg(long, hide = true)]
    pub while_wrapped: bool,
    /// Envoy's program [env: ENVOY] [default: what make installed, or on PATH]
    #[arg(long, value_name = "FILE")]
    pub envoy: Option<PathBuf>,
}

/// Everything decided before anything starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where clients connect.
    pub listen: Endpoint,
    /// headroomd's HTTP server.
    pub http: SocketAddr,
    /// headroomd's gRPC server.
    pub grpc: SocketAddr,
    /// Host names that clients may use, in addition to `localhost` and addresses; in lower case.
    pub allow_hosts: Vec<String>,
    /// The token that headroomd requires, if configured.
    pub token: Option<String>,
    /// The providers.
    pub providers: Providers,
    /// Providers of the table, each under `/NAME/`.
    pub served: Vec<Served>,
    /// LiteLLM's proxy, if it is the backend.
    pub litellm: Option<LiteLlm>,
    /// Additional to the variables that Envoy inherits.
    pub envoy_variables: Vec<(&'static str, String)>,
    /// The table, if servers on this machine are to be found.
    pub find_local: Option<Table>,
    /// How the filter forwards a body whose length has changed.
    pub body_mode: BodyMode,
    /// The filter's configuration.
    pub plugin_config: Value,
    /// The log of requests.
    pub log_file: Option<PathBuf>,
    /// Whether the texts of requests and answers are shown.
    pub log_messages: bool,
    /// Whether headroomd learns from failures of agents' tools.
    pub learn: bool,
    /// Bodies that a worker processes at a time, if configured.
    pub pre_upstream: Option<String>,
    /// Whether bodies of functions are left out of source files.
    pub code_aware: bool,
    /// Envoy's worker threads.
    pub workers: u32,
    /// The certificates that Envoy trusts, if configured.
    pub certificates: Option<PathBuf>,
    /// The variables for headroomd.
    pub sidecar_variables: Vec<(&'static str, String)>,
    /// Variables of this process that neither inherits.
    pub not_inherited: Vec<String>,
    /// The folder for state and logs.
    pub workspace_dir: PathBuf,
}

impl UpArgs {
    /// The value of an option, as text.
    pub(crate) fn told(&self, option: &str) -> Option<String> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let flag = |is_set: bool| is_set.then(|| "true".to_owned());
        fn name<T: ValueEnum>(choice: Option<T>) -> Option<String> {
            Some(choice?.to_possible_value()?.get_name().to_owned())
        }
        match option {
            "--host" => self.host.clone(),
            "--port" => self.port.clone(),
            "--allow-host" => Some(self.allow_host.join(",")).filter(|names| !names.is_empty()),
            "--provider" => Some(self.provider.join(",")).filter(|names| !names.is_empty()),
            "--backend" => self.backend.clone(),
            "--litellm" => path(&self.litellm),
            "--litellm-config" => path(&self.litellm_config),
            "--anyllm-provider" => self.anyllm_provider.clone(),
            "--mode" => name(self.mode),
            "--profile" => name(self.profile),
            "--cache" => name(self.cache),
            "--body-mode" => name(self.body_mode),
            "--breakpoints" => name(self.breakpoints),
            "--align" => path(&self.align),
            "--code-aware" => flag(self.code_aware),
            "--pressure" => flag(self.pressure),
            "--history" => name(self.history),
            "--history-window" => self.history_window.map(|tokens| tokens.to_string()),
            "--no-read-lifecycle" => flag(self.no_read_lifecycle),
            "--no-intelligent-context" => flag(self.no_intelligent_context),
            "--log-messages" => flag(self.log_messages),
            "--memory-context" => flag(self.memory_context),
            "--learn" => flag(self.learn),
            "--llmlingua" => flag(self.llmlingua),
            "--llmlingua-model" => self.llmlingua_model.clone(),
            "--llmlingua-device" => self.llmlingua_device.clone(),
            "--llmlingua-rate" => self.llmlingua_rate.clone(),
            "--workers" => self.workers.map(|workers| workers.to_string()),
            "--anthropic-pre-upstream-concurrency" => self.anthropic_pre_upstream_concurrency.clone(),
            "--workspace-dir" => path(&self.workspace_dir),
            "--module" => path(&self.module),
            "--headroomd" => path(&self.headroomd),
            "--envoy" => path(&self.envoy),
            "--anthropic-api-url" => self.anthropic_api_url.clone(),
            "--openai-api-url" => self.openai_api_url.clone(),
            "--gemini-api-url" => self.gemini_api_url.clone(),
            "--chatgpt-api-url" => self.chatgpt_api_url.clone(),
            "--code-assist-api-url" => self.code_assist_api_url.clone(),
            "--copilot-api-url" => self.copilot_api_url.clone(),
            "--http" => self.http.clone(),
            "--grpc" => self.grpc.clone(),
            _ => None,
        }
    }
}

impl Settings {
    /// Decides all settings. Errors name the option or variable that cannot be used.
    pub fn resolve(args: &UpArgs, env: Environment<'_>) -> anyhow::Result<Self> {
        let host = env.or(args.host.as_ref(), "HEADROOM_HOST").unwrap_or_else(|| "127.0.0.1".to_owned());
        let host: IpAddr = match host.as_str() {
            "localhost" => IpAddr::from([127, 0, 0, 1]),
            text => text.trim_matches(['[', ']']).parse().with_context(|| {
                format!("--host: {text:?} is no IP address, such as 127.0.0.1 or 0.0.0.0")
            })?,
        };
        let port = env.port(args.port.as_ref())?;
        // 0 for a port that the system chooses.
        let after = |steps: u16| if port == 0 { 0 } else { port.checked_add(steps).unwrap_or(0) };
        let body_mode = match choice(args.body_mode, env, "HEADROOM_BODY_MODE")? {
            None | Some(BodyModeName::Strip) => BodyMode::Strip,
            Some(BodyModeName::Hold) => BodyMode::Hold,
        };
        let mode = choice(args.mode, env, "HEADROOM_MODE")?;
        let profile = choice(args.profile, env, "HEADROOM_PROFILE")?.unwrap_or(ProfileName::Balanced);

        let mut plugin_config = Map::new();
        if let Some(mode) = mode.and_then(|mode| Some(mode.to_possible_value()?.get_name().to_owned())) {
            plugin_config.insert("mode".to_owned(), mode.into());
        }
        plugin_config.insert("body_mode".to_owned(), body_mode.name().into());
        plugin_config.insert("profile".to_owned(), profile.name().into());
        if args.code_aware || env.flag(CODE_AWARE)? {
            plugin_config.insert("code_aware".to_owned(), true.into());
        }
        if args.pressure || env.flag("HEADROOM_PRESSURE")? {
            plugin_config.insert("pressure".to_owned(), true.into());
        }
        if let Some(HistoryName::Epochs) = choice(args.history, env, "HEADROOM_HISTORY")? {
            let window = args.history_window.map(|tokens| tokens.to_string());
            let window = env.or(window.as_ref(), "HEADROOM_HISTORY_WINDOW");
            let keeps_reads = args.no_read_lifecycle || env.flag("HEADROOM_NO_READ_LIFECYCLE")?;
            let keeps_all = args.no_intelligent_context || env.flag("HEADROOM_NO_INTELLIGENT_CONTEXT")?;
            plugin_config.insert("history".to_owned(), "epochs".into());
            plugin_config
                .insert("epochs".to_owned(), history::epochs(window.as_deref(), !keeps_reads, !keeps_all)?);
        }
        let breakpoints = choice(args.breakpoints, env, "HEADROOM_BREAKPOINTS")?;
        if let Some(breakpoints) = breakpoints.and_then(|it| it.to_possible_value()) {
            plugin_config.insert("breakpoints".to_owned(), breakpoints.get_name().into());
        }
        if let Some(file) = args.align.clone().or_else(|| env.get("HEADROOM_ALIGN").map(PathBuf::from)) {
            plugin_config.insert("align".to_owned(), align(&file)?);
        }
        if let Some(cache) = choice(args.cache, env, "HEADROOM_CACHE")?.and_then(|it| it.to_possible_value())
        {
            plugin_config.insert("cache".to_owned(), serde_json::json!({ "mode": cache.get_name() }));
        }
        // The sidecar that `up` starts keeps the originals.
        plugin_config.insert("reversible".to_owned(), true.into());
        plugin_config.insert("store_originals".to_owned(), true.into());
        if host.is_loopback() {
            // Every client that reaches this belongs to the one user of this machine.
            plugin_config.insert("tenant_from".to_owned(), "client".into());
        }
        let concurrency =
            env.or(args.anthropic_pre_upstream_concurrency.as_ref(), names::PRE_UPSTREAM_VARIABLE);
        let bodies = names::pre_upstream(concurrency.as_deref()).with_context(|| {
            format!("--anthropic-pre-upstream-concurrency: {concurrency:?} is not a number")
        })?;
        plugin_config.insert("bodies_in_work".to_owned(), bodies.resolved.into());
        if args.memory_context || env.flag("HEADROOM_MEMORY_CONTEXT")? {
            plugin_config.insert("memory_context".to_owned(), true.into());
        }
        let mut control_plane = serde_json::json!({ "cluster": GRPC_CLUSTER, "http_cluster": HTTP_CLUSTER });
        let learn = args.learn || env.flag("HEADROOM_LEARN")?;
        let log_messages = args.log_messages || env.flag("HEADROOM_LOG_MESSAGES")?;
        if log_messages || learn {
            control_plane["log_messages"] = true.into();
        }
        plugin_config.insert("control_plane".to_owned(), control_plane);
        if let Some(file) = env.file() {
            for (name, value) in file.filter() {
                merge(&mut plugin_config, name, value);
            }
        }
        if let Some(file) = &args.filter_config {
            plugin_config.append(&mut filter_config(file)?);
        }

        let (served, find_local) = served(args, env)?;
        let litellm = litellm(args, env);
        if litellm.is_some() && !host.is_loopback() {
            bail!(
                "--backend litellm: it uses keys of this machine, and other machines can reach {host}: run \
                 LiteLLM with keys for its users, and name it with --openai-api-url and --anthropic-api-url"
            );
        }
        if let Some(it) = served.iter().find(|it| it.key.is_some() && !host.is_loopback()) {
            bail!(
                "--provider {}=…: keys of this machine are added only to requests of this machine, and other \
                 machines can reach {host}: let clients bring their own keys",
                it.name
            );
        }
        let code_aware = plugin_config.get("code_aware") == Some(&Value::Bool(true));
        let defaults = Providers::default();
        Ok(Self {
            listen: Endpoint { host: host.to_string(), port },
            http: address(env, args.http.as_ref(), "--http", "HEADROOM_HTTP", after(1))?,
            grpc: address(env, args.grpc.as_ref(), "--grpc", "HEADROOM_GRPC", after(2))?,
            allow_hosts: allow_hosts(args, env)?,
            token: token::configured(env)?,
            providers: Providers {
                anthropic: upstream(
                    env,
                    args.anthropic_api_url.as_ref(),
                    "--anthropic-api-url",
                    "ANTHROPIC_TARGET_API_URL",
                    defaults.anthropic,
                )?,
                openai: upstream(
                    env,
                    args.openai_api_url.as_ref(),
                    "--openai-api-url",
                    "OPENAI_TARGET_API_URL",
                    defaults.openai,
                )?,
                gemini: upstream(
                    env,
                    args.gemini_api_url.as_ref(),
                    "--gemini-api-url",
                    "GEMINI_TARGET_API_URL",
                    defaults.gemini,
                )?,
                chatgpt: upstream(
                    env,
                    args.chatgpt_api_url.as_ref(),
                    "--chatgpt-api-url",
                    "CHATGPT_TARGET_API_URL",
                    defaults.chatgpt,
                )?,
                code_assist: upstream(
                    env,
                    args.code_assist_api_url.as_ref(),
                    "--code-assist-api-url",
                    "CODE_ASSIST_TARGET_API_URL",
                    defaults.code_assist,
                )?,
                copilot: upstream(
                    env,
                    args.copilot_api_url.as_ref(),
                    "--copilot-api-url",
                    "COPILOT_TARGET_API_URL",
                    defaults.copilot,
                )?,
            },
            served,
            litellm,
            envoy_variables: Vec::new(),
            find_local,
            body_mode,
            plugin_config: Value::Object(plugin_config),
            pre_upstream: concurrency,
            log_file: args.log_file.clone().or_else(|| env.get("HEADROOM_LOG_FILE").map(PathBuf::from)),
            log_messages,
            learn,
            code_aware,
            workers: workers(args, env)?,
            certificates: env.get("SSL_CERT_FILE").map(PathBuf::from),
            sidecar_variables: [sidecar::variables(env), text_model(args, env)?].concat(),
            not_inherited: Vec::new(),
            workspace_dir: env.workspace_dir(args.workspace_dir.as_ref()).context(
                "there is no folder for state: set HEADROOM_WORKSPACE_DIR or HOME, or give --workspace-dir",
            )?,
        })
    }
}

/// What headroomd is told of the text model.
fn text_model(args: &UpArgs, env: Environment<'_>) -> anyhow::Result<Vec<(&'static str, String)>> {
    let enabled = args.llmlingua || env.flag("HEADROOM_LLMLINGUA")?;
    let enabled = enabled.then(|| ("HEADROOM_LLMLINGUA", "true".to_owned()));
    let others = [
        ("HEADROOM_LLMLINGUA_MODEL", &args.llmlingua_model),
        ("HEADROOM_LLMLINGUA_DEVICE", &args.llmlingua_device),
        ("HEADROOM_LLMLINGUA_RATE", &args.llmlingua_rate),
    ];
    let others = others.into_iter().filter_map(|(name, told)| Some((name, env.or(told.as_ref(), name)?)));
    Ok(enabled.into_iter().chain(others).collect())
}

impl Settings {
    /// Whether other machines can reach any part of it, so that headroomd must require a token.
    pub fn is_open(&self) -> bool {
        let local = |address: &SocketAddr| address.ip().to_canonical().is_loopback();
        !(self.listen.is_loopback() && local(&self.http) && local(&self.grpc))
    }

    /// What happens to requests, if they are not compressed.
    pub fn mode_line(&self) -> Option<&'static str> {
        match self.plugin_config.get("mode").and_then(Value::as_str) {
            Some("audit") => Some("audit: requests are measured and leave as they came; nothing is saved"),
            Some("simulate") => {
                Some("simulate: requests are planned and leave as they came; nothing is saved")
            }
            Some("off") => Some("off: requests pass untouched"),
            _ => None,
        }
    }

    /// The folder for the files of one run.
    pub fn run_dir(&self) -> PathBuf {
        self.workspace_dir.join("run")
    }

    /// The socket of Envoy's admin interface.
    pub fn admin(&self) -> PathBuf {
        let path = self.run_dir().join("envoy.sock");
        // Envoy and `doctor` may run in other folders than this process.
        std::path::absolute(&path).unwrap_or(path)
    }
}

/// The requested providers, and the table if those on this machine are to be found.
fn served(args: &UpArgs, env: Environment<'_>) -> anyhow::Result<(Vec<Served>, Option<Table>)> {
    let table = providers::table(env)?;
    let mut told: Vec<String> = args.provider.clone();
    if told.is_empty() {
        let names = env.get("HEADROOM_PROVIDERS");
        told.extend(names.iter().flat_map(|names| names.split(',')).map(str::to_owned));
    }
    let mut served: Vec<Served> = Vec::new();
    let mut find_local = false;
    for text in told.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
        if text == LOCAL {
            find_local = true;
            continue;
        }
        let new = Served::asked(text, &table, env).context("--provider or HEADROOM_PROVIDERS")?;
        if served.iter().any(|it| it.name == new.name) {
            bail!("--provider or HEADROOM_PROVIDERS: {} is named twice", new.name);
        }
        served.push(new);
    }
    if let Some(name) = backend(args, env) {
        let known = served.iter().position(|it| table.find(&name).is_some_and(|(found, _)| it.name == found));
        let at = match known {
            Some(at) => at,
            None => {
                served.push(Served::asked(&name, &table, env).context("--backend or HEADROOM_BACKEND")?);
                served.len() - 1
            }
        };
        served[at].is_default = true;
    }
    Ok((served, find_local.then_some(table)))
}

/// The settings for LiteLLM's proxy, if it is requested.
fn litellm(args: &UpArgs, env: Environment<'_>) -> Option<LiteLlm> {
    let backend = env.or(args.backend.as_ref(), "HEADROOM_BACKEND")?;
    let path = |told: &Option<PathBuf>, variable: &str| {
        told.clone().or_else(|| env.get(variable).map(PathBuf::from))
    };
    backend.eq_ignore_ascii_case(LITELLM).then(|| LiteLlm {
        program: path(&args.litellm, "HEADROOM_LITELLM"),
        config: path(&args.litellm_config, "HEADROOM_LITELLM_CONFIG").or_else(|| {
            env.config_dir().map(|folder| folder.join("litellm.yaml")).filter(|file| file.is_file())
        }),
    })
}

/// The provider for requests that name none, if configured. `anthropic` is upstream's word for no particular one.
fn backend(args: &UpArgs, env: Environment<'_>) -> Option<String> {
    let name = env.or(args.backend.as_ref(), "HEADROOM_BACKEND")?;
    match name.to_ascii_lowercase().as_str() {
        "anthropic" | LITELLM => None,
        "anyllm" | "any-llm" => Some(
            env.or(args.anyllm_provider.as_ref(), "HEADROOM_ANYLLM_PROVIDER")
                .unwrap_or_else(|| "openai".to_owned()),
        ),
        _ => Some(name),
    }
}

/// A choice by an argument, else by a variable.
pub(super) fn choice<T: ValueEnum>(
    explicit: Option<T>,
    env: Environment<'_>,
    variable: &str,
) -> anyhow::Result<Option<T>> {
    if explicit.is_some() {
        return Ok(explicit);
    }
    let Some(text) = env.get(variable) else { return Ok(None) };
    let Ok(found) = T::from_str(&text, true) else {
        let names = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
        let names: Vec<String> = names.map(|value| value.get_name().to_owned()).collect();
        bail!("{variable}: expected one of {}, found {text:?}", names.join(", "));
    };
    Ok(Some(found))
}

fn workers(args: &UpArgs, env: Environment<'_>) -> anyhow::Result<u32> {
    if let Some(workers) = args.workers {
        return Ok(workers.max(1));
    }
    match env.get("HEADROOM_WORKERS") {
        None => Ok(DEFAULT_WORKERS),
        Some(text) => {
            let workers = text.parse().ok().filter(|workers| *workers > 0);
            workers.with_context(|| format!("HEADROOM_WORKERS: expected a number of threads, found {text:?}"))
        }
    }
}

/// Puts a key of the configuration file into the filter's configuration. Existing entries of an object stay unless the
/// file sets them.
fn merge(config: &mut Map<String, Value>, name: &str, value: &Value) {
    match (config.get_mut(name), value) {
        (Some(Value::Object(there)), Value::Object(new)) => there.extend(new.clone()),
        _ => {
            config.insert(name.to_owned(), value.clone());
        }
    }
}

fn allow_hosts(args: &UpArgs, env: Environment<'_>) -> anyhow::Result<Vec<String>> {
    let mut told: Vec<String> = args.allow_host.clone();
    if told.is_empty() {
        told.extend(
            env.get("HEADROOM_ALLOWED_HOSTS").iter().flat_map(|names| names.split(',')).map(str::to_owned),
        );
    }
    let mut names = Vec::new();
    for name in told.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if !name.bytes().all(plain) {
            bail!(
                "--allow-host or HEADROOM_ALLOWED_HOSTS: expected a host's name without a port, such as \
                 headroom.internal, found {name:?}"
            );
        }
        names.push(name.to_ascii_lowercase());
    }
    Ok(names)
}

/// The rules in a file whose only key they are.
fn align(file: &Path) -> anyhow::Result<Value> {
    let mut rules = filter_config_of(file, "--align")?;
    match (rules.remove("align"), rules.is_empty()) {
        (Some(Value::Array(rules)), true) => Ok(rules.into()),
        _ => bail!(
            "--align: {} does not hold what `headroomctl cache suggest` writes: one key, align, with a list",
            file.display()
        ),
    }
}

fn filter_config(file: &Path) -> anyhow::Result<Map<String, Value>> {
    filter_config_of(file, "--filter-config")
}

fn filter_config_of(file: &Path, option: &str) -> anyhow::Result<Map<String, Value>> {
    let text = std::fs::read(file).with_context(|| format!("{option}: {} cannot be read", file.display()))?;
    match serde_json::from_slice(&text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => bail!("{option}: {} holds JSON, but not an object", file.display()),
        Err(error) => bail!("{option}: {} is not JSON: {error}", file.display()),
    }
}

fn address(
    env: Environment<'_>,
    explicit: Option<&String>,
    option: &str,
    variable: &str,
    port: u16,
) -> anyhow::Result<SocketAddr> {
    match env.or(explicit, variable) {
        None => Ok(SocketAddr::from(([127, 0, 0, 1], port))),
        Some(text) => text.parse().with_context(|| {
            format!("{option} or {variable}: {text:?} is not ip:port, such as 127.0.0.1:8788")
        }),
    }
}

fn upstream(
    env: Environment<'_>,
    explicit: Option<&String>,
    option: &str,
    variable: &str,
    default: Upstream,
) -> anyhow::Result<Upstream> {
    match env.or(explicit, variable) {
        None => Ok(default),
        Some(url) => url.parse().with_context(|| format!("{option} or {variable}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(args: &UpArgs, variables: &[(&str, &str)]) -> anyhow::Result<Settings> {
        let lookup = |name: &str| {
            let value = variables.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
            value.or((name == "HOME").then_some("/home/me")).map(str::to_owned)
        };
        Settings::resolve(args, Environment::new(&lookup))
    }

    #[test]
    fn without_a_word_everything_is_on_loopback_at_the_documented_ports() {
        let settings = resolve(&UpArgs::default(), &[]).unwrap();
        assert_eq!(settings.listen, Endpoint::loopback(8787));
        assert_eq!(settings.http.to_string(), "127.0.0.1:8788");
        assert_eq!(settings.grpc.to_string(), "127.0.0.1:8789");
        assert_eq!(settings.admin(), PathBuf::from("/home/me/.headroom/run/envoy.sock"));
        assert!(!settings.is_open() && settings.token.is_none() && settings.allow_hosts.is_empty());
        assert_eq!(settings.providers.openai.authority(), "api.openai.com");
        assert_eq!(settings.workspace_dir, PathBuf::from("/home/me/.headroom"));
        let mut plugin = settings.plugin_config;
        let bodies = plugin["bodies_in_work"].take();
        assert!(bodies.as_u64().is_some_and(|bodies| (2..=8).contains(&bodies)), "{bodies}");
        assert_eq!(
            plugin.to_string(),
            r#"{"bodies_in_work":null,"body_mode":"strip","control_plane":{"cluster":"headroom","http_cluster":"headroomd_http"},"profile":"balanced","reversible":true,"store_originals":true,"tenant_from":"client"}"#
        );
    }

    #[test]
    fn bodies_in_work_are_said_by_an_argument_or_a_variable_and_tenants_beyond_loopback_by_nobody() {
        let bodies = |args: &UpArgs, vars: &[(&str, &str)]| {
            resolve(args, vars).map(|settings| settings.plugin_config["bodies_in_work"].clone())
        };
        let args = |text: &str| UpArgs {
            anthropic_pre_upstream_concurrency: Some(text.to_owned()),
            ..UpArgs::default()
        };
        assert_eq!(bodies(&args("-1"), &[]).unwrap(), 0);
        assert_eq!(bodies(&args("3"), &[(names::PRE_UPSTREAM_VARIABLE, "5")]).unwrap(), 3);
        assert_eq!(bodies(&UpArgs::default(), &[(names::PRE_UPSTREAM_VARIABLE, "5")]).unwrap(), 5);
        assert!(bodies(&args("many"), &[]).is_err());
        let open = UpArgs { host: Some("0.0.0.0".to_owned()), ..UpArgs::default() };
        let open = resolve(&open, &[("HEADROOM_TOKEN", "t")]).unwrap();
        assert_eq!(open.plugin_config.get("tenant_from"), None);
    }

    #[test]
    fn an_argument_wins_over_its_variable_and_a_blank_one_counts_as_unset() {
        let args = UpArgs { port: Some("9000".to_owned()), ..UpArgs::default() };
        let variables = [("HEADROOM_PORT", "9100"), ("OPENAI_TARGET_API_URL", "http://127.0.0.1:1/v1")];
        let settings = resolve(&args, &variables).unwrap();
        assert_eq!(settings.listen.port, 9000);
        assert_eq!(settings.http.port(), 9001);
        assert_eq!(settings.providers.openai.authority(), "127.0.0.1:1");

        let settings = resolve(&UpArgs::default(), &[("HEADROOM_PORT", "9100")]).unwrap();
        assert_eq!((settings.listen.port, settings.grpc.port()), (9100, 9102));

        let blank = [("HEADROOM_PORT", " "), ("OPENAI_TARGET_API_URL", "")];
        let settings = resolve(&UpArgs::default(), &blank).unwrap();
        assert_eq!(settings.listen.port, 8787);
        assert_eq!(settings.providers.openai.authority(), "api.openai.com");
    }

    #[test]
    fn port_zero_frees_all_ports_but_those_that_are_given() {
        let args = UpArgs {
            port: Some("0".to_owned()),
            grpc: Some("127.0.0.1:7000".to_owned()),
            ..UpArgs::default()
        };
        let settings = resolve(&args, &[]).unwrap();
        assert_eq!((settings.listen.port, settings.http.port()), (0, 0));
        assert_eq!(settings.grpc.port(), 7000);
        let last = UpArgs { port: Some("65535".to_owned()), ..UpArgs::default() };
        assert_eq!(resolve(&last, &[]).unwrap().http.port(), 0);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (args, variables, name) in [
            (UpArgs { port: Some("http".to_owned()), ..UpArgs::default() }, vec![], "--port"),
            (UpArgs::default(), vec![("HEADROOM_PORT", "70000")], "HEADROOM_PORT"),
            (UpArgs::default(), vec![("HEADROOM_LOG_MESSAGES", "maybe")], "HEADROOM_LOG_MESSAGES"),
            (UpArgs::default(), vec![("HEADROOM_CODE_AWARE_ENABLED", "2")], "HEADROOM_CODE_AWARE_ENABLED"),
            (UpArgs::default(), vec![("ANTHROPIC_TARGET_API_URL", "anthropic")], "ANTHROPIC_TARGET_API_URL"),
            (UpArgs::default(), vec![("HEADROOM_HTTP", "unix:/run/x")], "HEADROOM_HTTP"),
            (UpArgs::default(), vec![("HEADROOM_MODE", "audti")], "HEADROOM_MODE"),
            (UpArgs::default(), vec![("HEADROOM_PROFILE", "hard")], "HEADROOM_PROFILE"),
            (UpArgs::default(), vec![("HEADROOM_BODY_MODE", "x")], "HEADROOM_BODY_MODE"),
            (UpArgs::default(), vec![("HEADROOM_WORKERS", "0")], "HEADROOM_WORKERS"),
            (UpArgs::default(), vec![("HEADROOM_ALLOWED_HOSTS", "a.b, .*")], "HEADROOM_ALLOWED_HOSTS"),
            (UpArgs { allow_host: vec!["a:80".to_owned()], ..UpArgs::default() }, vec![], "--allow-host"),
            (UpArgs::default(), vec![("HEADROOM_TOKEN_FILE", "/nowhere/token")], "HEADROOM_TOKEN_FILE"),
            (UpArgs { host: Some("example.com".to_owned()), ..UpArgs::default() }, vec![], "--host"),
        ] {
            let error = format!("{:#}", resolve(&args, &variables).unwrap_err());
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn whatever_other_machines_reach_makes_it_open() {
        for (args, variables) in [
            (UpArgs { host: Some("0.0.0.0".to_owned()), ..UpArgs::default() }, vec![]),
            (UpArgs::default(), vec![("HEADROOM_HOST", "10.1.2.3")]),
            (UpArgs { http: Some("[::]:1".to_owned()), ..UpArgs::default() }, vec![]),
            (UpArgs::default(), vec![("HEADROOM_GRPC", "0.0.0.0:1")]),
        ] {
            assert!(resolve(&args, &variables).unwrap().is_open(), "{args:?} {variables:?}");
        }
        let local = UpArgs {
            host: Some("[::1]".to_owned()),
            http: Some("127.0.0.2:1".to_owned()),
            ..UpArgs::default()
        };
        assert!(!resolve(&local, &[("HEADROOM_TOKEN", "t")]).unwrap().is_open());
    }

    #[test]
    fn mode_and_names_are_taken_from_options_then_from_variables() {
        let variables = [("HEADROOM_MODE", "Audit"), ("HEADROOM_ALLOWED_HOSTS", "A.example, b")];
        let settings = resolve(&UpArgs::default(), &variables).unwrap();
        assert_eq!(settings.plugin_config["mode"], "audit");
        assert_eq!(settings.allow_hosts, ["a.example", "b"]);
        let args =
            UpArgs { mode: Some(ModeName::Off), allow_host: vec!["c".to_owned()], ..UpArgs::default() };
        let settings = resolve(&args, &variables).unwrap();
        assert_eq!(
            (&settings.plugin_config["mode"], settings.allow_hosts),
            (&"off".into(), vec!["c".to_owned()])
        );
    }

    #[test]
    fn conversations_begin_with_facts_where_an_option_or_a_variable_says_so() {
        let asked = UpArgs { memory_context: true, ..UpArgs::default() };
        for (args, variables, expected) in [
            (UpArgs::default(), vec![], None),
            (UpArgs::default(), vec![("HEADROOM_MEMORY_CONTEXT", "0")], None),
            (UpArgs::default(), vec![("HEADROOM_MEMORY_CONTEXT", "yes")], Some(&Value::Bool(true))),
            (asked, vec![], Some(&Value::Bool(true))),
        ] {
            let settings = resolve(&args, &variables).unwrap();
            assert_eq!(settings.plugin_config.get("memory_context"), expected, "{variables:?}");
        }
    }

    #[test]
    fn messages_are_logged_by_filter_and_sidecar_alike_or_by_neither() {
        let asked = UpArgs { log_messages: true, ..UpArgs::default() };
        for (args, variables, expected) in [
            (UpArgs::default(), vec![], false),
            (UpArgs::default(), vec![("HEADROOM_LOG_MESSAGES", "off")], false),
            (UpArgs::default(), vec![("HEADROOM_LOG_MESSAGES", "1")], true),
            (asked, vec![], true),
        ] {
            let settings = resolve(&args, &variables).unwrap();
            assert_eq!((settings.log_messages, settings.learn), (expected, false));
            assert_eq!(settings.plugin_config["control_plane"]["log_messages"] == true, expected);
        }
    }

    #[test]
    fn providers_are_said_by_name_with_or_without_a_key_and_upstreams_words_mean_the_same() {
        let args = |names: &[&str]| UpArgs {
            provider: names.iter().map(|name| (*name).to_owned()).collect(),
            ..UpArgs::default()
        };
        let names = |settings: &Settings| {
            settings.served.iter().map(|it| (it.name.clone(), it.is_default)).collect::<Vec<_>>()
        };
        let groq = |is_default: bool| ("groq".to_owned(), is_default);
        let settings = resolve(&args(&["groq", "kimi=K"]), &[("K", "k")]).unwrap();
        assert_eq!(names(&settings), [groq(false), ("moonshot".to_owned(), false)]);
        assert_eq!(settings.served[1].key.as_ref().unwrap().variable, "K");
        assert!(settings.find_local.is_none());
        assert!(resolve(&args(&["local"]), &[]).unwrap().find_local.is_some());
        let upstreams = UpArgs {
            backend: Some("anyllm".to_owned()),
            anyllm_provider: Some("groq".to_owned()),
            ..UpArgs::default()
        };
        assert_eq!(names(&resolve(&upstreams, &[]).unwrap()), [groq(true)]);
        let both = UpArgs { provider: vec!["groq".to_owned()], ..upstreams };
        assert_eq!(names(&resolve(&both, &[]).unwrap()), [groq(true)]);
        let variables = [("HEADROOM_PROVIDERS", "groq, xai"), ("HEADROOM_BACKEND", "groq")];
        assert_eq!(names(&resolve(&UpArgs::default(), &variables).unwrap())[0], groq(true));
        assert!(resolve(&UpArgs::default(), &[("HEADROOM_BACKEND", "anthropic")]).unwrap().served.is_empty());
        for (args, word) in [
            (args(&["groqq"]), "groqq"),
            (args(&["groq", "groq"]), "twice"),
            (args(&["groq=K"]), "K is not set"),
            (UpArgs { backend: Some("vertx".to_owned()), ..UpArgs::default() }, "vertx"),
        ] {
            let error = format!("{:#}", resolve(&args, &[]).unwrap_err());
            assert!(error.contains(word), "{error}");
        }
        let open = UpArgs { host: Some("0.0.0.0".to_owned()), ..args(&["groq=K"]) };
        assert!(resolve(&open, &[("K", "k")]).unwrap_err().to_string().contains("of this machine"));
    }

    #[test]
    fn rules_of_the_aligner_come_from_a_file_and_breakpoints_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("align.json");
        let path = file.display().to_string();
        let variables = [("HEADROOM_ALIGN", path.as_str()), ("HEADROOM_BREAKPOINTS", "5m")];
        assert!(resolve(&UpArgs::default(), &variables).unwrap_err().to_string().contains("--align"));
        std::fs::write(&file, r#"{"align":[{"prompt":"0123456789abcdef"}]}"#).unwrap();
        let settings = resolve(&UpArgs::default(), &variables).unwrap();
        assert_eq!(settings.plugin_config["breakpoints"], "5m");
        assert_eq!(settings.plugin_config["align"][0]["prompt"], "0123456789abcdef");
        let args = UpArgs {
            align: Some(file.clone()),
            breakpoints: Some(BreakpointsName::OneHour),
            ..UpArgs::default()
        };
        assert_eq!(resolve(&args, &[]).unwrap().plugin_config["breakpoints"], "1h");
        assert!(resolve(&UpArgs::default(), &[("HEADROOM_BREAKPOINTS", "10m")]).is_err());
        for other in ["[]", "{}", r#"{"align":{}}"#, r#"{"align":[],"mode":"off"}"#, "x"] {
            std::fs::write(&file, other).unwrap();
            assert!(resolve(&args, &[]).unwrap_err().to_string().contains("--align"), "{other}");
        }
    }

    #[test]
    fn the_filter_config_file_wins_over_the_options() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("filter.json");
        std::fs::write(&file, r#"{"profile":"lossless","tenant":"t"}"#).unwrap();
        let args = UpArgs {
            filter_config: Some(file.clone()),
            profile: Some(ProfileName::Aggressive),
            body_mode: Some(BodyModeName::Hold),
            ..UpArgs::default()
        };
        let settings = resolve(&args, &[]).unwrap();
        assert_eq!(settings.plugin_config["profile"], "lossless");
        assert_eq!(settings.plugin_config["tenant"], "t");
        assert_eq!(settings.plugin_config["body_mode"], "hold");

        std::fs::write(&file, "[]").unwrap();
        assert!(resolve(&args, &[]).unwrap_err().to_string().contains("not an object"));
    }
}
