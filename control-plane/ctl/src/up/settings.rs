//! The settings of `headroomctl up`: arguments, then variables, then the configuration file, then defaults.

mod filter;
mod upstreams;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::ValueEnum;
use headroom_api::names;
use serde_json::Value;

use self::filter::{Common, plugin_config};
pub(super) use self::upstreams::LITELLM;
pub use self::upstreams::LiteLlm;
use self::upstreams::{litellm, served};
use super::args::UpArgs;
use crate::bootstrap::{BodyMode, Endpoint, Providers};
use crate::config::sidecar;
use crate::environment::Environment;
use crate::providers::{ServedProvider, Table};
use crate::token;

/// Envoy's worker threads by default. Each has a VM with its own vocabulary and memo, and the agents of one
/// developer do not use two of them fully.
const DEFAULT_WORKERS: u32 = 2;

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
    pub served: Vec<ServedProvider>,
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
        let body_mode = choice(args.body_mode, env, "HEADROOM_BODY_MODE")?.unwrap_or_default();

        let pre_upstream =
            env.or(args.anthropic_pre_upstream_concurrency.as_ref(), names::PRE_UPSTREAM_VARIABLE);
        let learn = args.learn || env.flag("HEADROOM_LEARN")?;
        let log_messages = args.log_messages || env.flag("HEADROOM_LOG_MESSAGES")?;
        let common = Common {
            body_mode,
            is_loopback: host.is_loopback(),
            pre_upstream: pre_upstream.as_deref(),
            log_messages: log_messages || learn,
        };
        let plugin_config = plugin_config(args, env, &common)?;

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
        Ok(Self {
            listen: Endpoint { host: host.to_string(), port },
            http: address(env, args.http.as_ref(), "--http", "HEADROOM_HTTP", after(1))?,
            grpc: address(env, args.grpc.as_ref(), "--grpc", "HEADROOM_GRPC", after(2))?,
            allow_hosts: allow_hosts(args, env)?,
            token: token::configured(env)?,
            providers: upstreams::providers(args, env)?,
            served,
            litellm,
            envoy_variables: Vec::new(),
            find_local,
            body_mode,
            plugin_config: Value::Object(plugin_config),
            pre_upstream,
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

/// The settings of the text model, for headroomd.
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

/// A choice by an argument, else by a variable.
fn choice<T: ValueEnum>(
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

#[cfg(test)]
mod tests;
