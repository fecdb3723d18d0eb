//! The keys of the configuration file: the variable, the option and the default of each.

use std::net::{IpAddr, SocketAddr};

use toml_edit::Value;

use crate::upstream::Upstream;

/// The type of a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Any text.
    Text,
    /// Text that may hold a password.
    Secret,
    /// A file or a folder; `~/` is the home folder.
    Path,
    Bool,
    Port,
    /// A whole number of at least this size.
    Count(i64),
    /// An IP address.
    Host,
    /// An IP address and a port.
    Address,
    /// A provider's base URL.
    Url,
    /// Names, one or a list.
    Names,
    OneOf(&'static [&'static str]),
}

/// A key.
#[derive(Debug)]
pub(super) struct Key {
    /// The section; empty at the top of the file.
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    /// The variable that means the same and wins over the file.
    pub(super) variable: &'static str,
    /// The option of `headroomctl up` that wins over both.
    pub(super) option: Option<&'static str>,
    pub(super) kind: Kind,
    /// The default.
    pub(super) default: &'static str,
}

impl Key {
    /// The whole name: `upstreams.anthropic`.
    pub(super) fn path(&self) -> String {
        if self.section.is_empty() { self.name.to_owned() } else { format!("{}.{}", self.section, self.name) }
    }
}

const fn key(
    [section, name, variable]: [&'static str; 3],
    option: Option<&'static str>,
    kind: Kind,
    default: &'static str,
) -> Key {
    Key { section, name, variable, option, kind, default }
}

const UP: &str = "";
const UPSTREAMS: &str = "upstreams";
/// The section of values that headroomd reads from its variables.
pub(super) const SIDECAR: &str = "sidecar";
/// The section whose keys are the filter's own.
pub(super) const FILTER: &str = "filter";
const PROFILES: Kind = Kind::OneOf(&["lossless", "conservative", "balanced", "aggressive"]);

/// Every key but those of [`FILTER`].
pub(super) const KEYS: &[Key] = &[
    key([UP, "host", "HEADROOM_HOST"], Some("--host"), Kind::Host, "127.0.0.1"),
    key([UP, "port", "HEADROOM_PORT"], Some("--port"), Kind::Port, "8787"),
    key([UP, "allow_hosts", "HEADROOM_ALLOWED_HOSTS"], Some("--allow-host"), Kind::Names, ""),
    key([UP, "providers", "HEADROOM_PROVIDERS"], Some("--provider"), Kind::Names, ""),
    key(
        [UP, "backend", "HEADROOM_BACKEND"],
        Some("--backend"),
        Kind::Text,
        "the provider of the request's format",
    ),
    key([UP, "anyllm_provider", "HEADROOM_ANYLLM_PROVIDER"], Some("--anyllm-provider"), Kind::Text, "openai"),
    key(
        [UP, "litellm", "HEADROOM_LITELLM"],
        Some("--litellm"),
        Kind::Path,
        "one that up installs in the workspace",
    ),
    key(
        [UP, "litellm_config", "HEADROOM_LITELLM_CONFIG"],
        Some("--litellm-config"),
        Kind::Path,
        "litellm.yaml next to this file",
    ),
    key(
        [UP, "mode", "HEADROOM_MODE"],
        Some("--mode"),
        Kind::OneOf(&["optimize", "audit", "off"]),
        "optimize",
    ),
    key([UP, "profile", "HEADROOM_PROFILE"], Some("--profile"), PROFILES, "balanced"),
    key(
        [UP, "body_mode", "HEADROOM_BODY_MODE"],
        Some("--body-mode"),
        Kind::OneOf(&["strip", "hold"]),
        "strip",
    ),
    key([UP, "code_aware", "HEADROOM_CODE_AWARE_ENABLED"], Some("--code-aware"), Kind::Bool, "false"),
    key([UP, "pressure", "HEADROOM_PRESSURE"], Some("--pressure"), Kind::Bool, "false"),
    key([UP, "history", "HEADROOM_HISTORY"], Some("--history"), Kind::OneOf(&["append", "epochs"]), "append"),
    key(
        [UP, "history_window", "HEADROOM_HISTORY_WINDOW"],
        Some("--history-window"),
        Kind::Count(1_000),
        "100000",
    ),
    key(
        [UP, "no_read_lifecycle", "HEADROOM_NO_READ_LIFECYCLE"],
        Some("--no-read-lifecycle"),
        Kind::Bool,
        "false",
    ),
    key(
        [UP, "no_intelligent_context", "HEADROOM_NO_INTELLIGENT_CONTEXT"],
        Some("--no-intelligent-context"),
        Kind::Bool,
        "false",
    ),
    key(
        [UP, "breakpoints", "HEADROOM_BREAKPOINTS"],
        Some("--breakpoints"),
        Kind::OneOf(&["off", "5m", "1h"]),
        "off",
    ),
    key([UP, "align", "HEADROOM_ALIGN"], Some("--align"), Kind::Path, "none"),
    key([UP, "cache", "HEADROOM_CACHE"], Some("--cache"), Kind::OneOf(&["off", "exact", "semantic"]), "off"),
    key([UP, "log_messages", "HEADROOM_LOG_MESSAGES"], Some("--log-messages"), Kind::Bool, "false"),
    key([UP, "memory_context", "HEADROOM_MEMORY_CONTEXT"], Some("--memory-context"), Kind::Bool, "false"),
    key([UP, "learn", "HEADROOM_LEARN"], Some("--learn"), Kind::Bool, "false"),
    key(
        [UP, "llmlingua_in_filter", "HEADROOM_LLMLINGUA_IN_FILTER"],
        Some("--llmlingua-in-filter"),
        Kind::Bool,
        "false",
    ),
    key(
        [UP, "llmlingua_timeout_ms", "HEADROOM_LLMLINGUA_TIMEOUT_MS"],
        Some("--llmlingua-timeout-ms"),
        Kind::Count(1),
        "10000",
    ),
    key([UP, "workers", "HEADROOM_WORKERS"], Some("--workers"), Kind::Count(1), "2"),
    key(
        [UP, "bodies_in_work", "HEADROOM_ANTHROPIC_PRE_UPSTREAM_CONCURRENCY"],
        Some("--anthropic-pre-upstream-concurrency"),
        Kind::Count(0),
        "the number of processors, from 2 to 8",
    ),
    key([UP, "workspace_dir", "HEADROOM_WORKSPACE_DIR"], Some("--workspace-dir"), Kind::Path, "~/.headroom"),
    key([UP, "module", "HEADROOM_MODULE"], Some("--module"), Kind::Path, "where make and the image put it"),
    key([UP, "headroomd", "HEADROOMD"], Some("--headroomd"), Kind::Path, "next to headroomctl, or on PATH"),
    key([UP, "envoy", "ENVOY"], Some("--envoy"), Kind::Path, "what make installed, or on PATH"),
    key([UP, "certificates", "SSL_CERT_FILE"], None, Kind::Path, "the system's trusted certificates"),
    key(
        [UPSTREAMS, "anthropic", "ANTHROPIC_TARGET_API_URL"],
        Some("--anthropic-api-url"),
        Kind::Url,
        "https://api.anthropic.com",
    ),
    key(
        [UPSTREAMS, "openai", "OPENAI_TARGET_API_URL"],
        Some("--openai-api-url"),
        Kind::Url,
        "https://api.openai.com",
    ),
    key(
        [UPSTREAMS, "gemini", "GEMINI_TARGET_API_URL"],
        Some("--gemini-api-url"),
        Kind::Url,
        "https://generativelanguage.googleapis.com",
    ),
    key(
        [UPSTREAMS, "chatgpt", "CHATGPT_TARGET_API_URL"],
        Some("--chatgpt-api-url"),
        Kind::Url,
        "https://chatgpt.com",
    ),
    key(
        [UPSTREAMS, "code_assist", "CODE_ASSIST_TARGET_API_URL"],
        Some("--code-assist-api-url"),
        Kind::Url,
        "https://cloudcode-pa.googleapis.com",
    ),
    key(
        [UPSTREAMS, "copilot", "COPILOT_TARGET_API_URL"],
        Some("--copilot-api-url"),
        Kind::Url,
        "https://api.githubcopilot.com",
    ),
    key(
        [SIDECAR, "http", "HEADROOM_HTTP"],
        Some("--http"),
        Kind::Address,
        "127.0.0.1, the port after `port`",
    ),
    key([SIDECAR, "grpc", "HEADROOM_GRPC"], Some("--grpc"), Kind::Address, "127.0.0.1, two after `port`"),
    key([SIDECAR, "metrics", "HEADROOM_METRICS_ADDR"], None, Kind::Address, "none"),
    key([SIDECAR, "database_url", "HEADROOM_DATABASE_URL"], None, Kind::Secret, "SQLite in the workspace"),
    key([SIDECAR, "token_file", "HEADROOM_TOKEN_FILE"], None, Kind::Path, "none on loopback"),
    key([SIDECAR, "tenant_tokens_file", "HEADROOM_TENANT_TOKENS_FILE"], None, Kind::Path, "none"),
    key([SIDECAR, "originals_seconds", "HEADROOM_CCR_TTL_SECONDS"], None, Kind::Count(1), "86400"),
    key([SIDECAR, "originals_bytes", "HEADROOM_CCR_MAX_BYTES"], None, Kind::Count(1), "1073741824"),
    key(
        [SIDECAR, "compression_timeout_seconds", "HEADROOM_COMPRESSION_TIMEOUT_SECONDS"],
        None,
        Kind::Count(1),
        "10",
    ),
    key([SIDECAR, "answers_bytes", "HEADROOM_ANSWERS_MAX_BYTES"], None, Kind::Count(1), "67108864"),
    key([SIDECAR, "budgets", "HEADROOM_BUDGETS"], None, Kind::Path, "budgets.json next to this file"),
    key(
        [SIDECAR, "model_limits", "HEADROOM_MODEL_LIMITS"],
        None,
        Kind::Path,
        "models.json next to this file",
    ),
    key([SIDECAR, "llmlingua", "HEADROOM_LLMLINGUA"], Some("--llmlingua"), Kind::Bool, "false"),
    key(
        [SIDECAR, "llmlingua_model", "HEADROOM_LLMLINGUA_MODEL"],
        Some("--llmlingua-model"),
        Kind::Text,
        "llmlingua next to this file",
    ),
    key(
        [SIDECAR, "llmlingua_device", "HEADROOM_LLMLINGUA_DEVICE"],
        Some("--llmlingua-device"),
        Kind::OneOf(&["auto", "cpu"]),
        "auto",
    ),
    key([SIDECAR, "llmlingua_rate", "HEADROOM_LLMLINGUA_RATE"], Some("--llmlingua-rate"), Kind::Text, "0.3"),
    key([SIDECAR, "llmlingua_idle_seconds", "HEADROOM_LLMLINGUA_IDLE_SECONDS"], None, Kind::Count(1), "600"),
    key([SIDECAR, "log", "HEADROOM_LOG"], None, Kind::Text, "info"),
    key([SIDECAR, "log_format", "HEADROOM_LOG_FORMAT"], None, Kind::OneOf(&["text", "json"]), "text"),
];

/// The filter's keys that have one of their own at the top of the file.
pub(super) const FILTERS_OWN_ELSEWHERE: [&str; 9] = [
    "mode",
    "profile",
    "body_mode",
    "code_aware",
    "pressure",
    "history",
    "breakpoints",
    "align",
    "memory_context",
];

/// The keys of the filter's configuration that may stand in [`FILTER`].
pub(super) const FILTER_KEYS: [&str; 26] = [
    "accept_encoding",
    "bodies_in_work",
    "cache",
    "control_plane",
    "epochs",
    "first_frame_timeout_ms",
    "kinds",
    "max_block_bytes",
    "max_body_bytes",
    "memo_bytes",
    "min_block_bytes",
    "own_tools",
    "path_prefixes",
    "project",
    "providers",
    "read_usage",
    "response_headers",
    "retrieve_tool",
    "reversible",
    "rules",
    "store_originals",
    "team_header",
    "tenant",
    "tenant_from",
    "text_model",
    "tools",
];

impl Kind {
    /// The value in the spelling of its variable, or what was expected.
    pub(super) fn text(self, value: &Value) -> Result<String, String> {
        let text = || value.as_str().map(str::trim).filter(|text| !text.is_empty());
        let one_of = |names: &[&str]| text().filter(|text| names.contains(text)).map(str::to_owned);
        let number = |least: i64, most: i64| {
            value.as_integer().filter(|number| (least..=most).contains(number)).map(|it| it.to_string())
        };
        let found = match self {
            Self::Text | Self::Secret => text().map(str::to_owned),
            Self::Path => text().map(in_home),
            Self::Bool => value.as_bool().map(|flag| flag.to_string()),
            Self::Port => number(0, u16::MAX.into()),
            Self::Count(least) => number(least, i64::MAX),
            Self::Host => text()
                .filter(|text| *text == "localhost" || text.parse::<IpAddr>().is_ok())
                .map(str::to_owned),
            Self::Address => text().filter(|text| text.parse::<SocketAddr>().is_ok()).map(str::to_owned),
            Self::Url => match text().map(|text| (text, text.parse::<Upstream>())) {
                Some((text, Ok(_))) => Some(text.to_owned()),
                Some((_, Err(error))) => return Err(error.to_string()),
                None => None,
            },
            Self::Names => match value.as_array() {
                Some(names) => names
                    .iter()
                    .map(|name| name.as_str())
                    .collect::<Option<Vec<_>>>()
                    .map(|names| names.join(",")),
                None => text().map(str::to_owned),
            },
            Self::OneOf(names) => one_of(names),
        };
        found.ok_or_else(|| format!("expected {}, found {}", self.expected(), value.to_string().trim()))
    }

    fn expected(self) -> String {
        match self {
            Self::Text | Self::Secret => "text".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Port => "a number from 0 to 65535".to_owned(),
            Self::Count(least) => format!("a whole number of at least {least}"),
            Self::Host => "an IP address, such as \"127.0.0.1\"".to_owned(),
            Self::Address => "an IP address and a port, such as \"127.0.0.1:8788\"".to_owned(),
            Self::Url => "a base URL, such as \"https://api.example.com\"".to_owned(),
            Self::Names => "names: [\"a\", \"b\"]".to_owned(),
            Self::OneOf(names) => format!("one of {}", names.join(", ")),
        }
    }
}

/// Replaces `~/` in a path with the home folder.
fn in_home(path: &str) -> String {
    match (path.strip_prefix("~/"), std::env::var("HOME")) {
        (Some(rest), Ok(home)) => format!("{home}/{rest}"),
        _ => path.to_owned(),
    }
}

impl Key {
    /// The right side of a line in the template.
    pub(super) fn example(&self) -> String {
        match self.kind {
            Kind::Bool | Kind::Port => self.default.to_owned(),
            Kind::Count(least) => self.default.parse::<i64>().unwrap_or(least.max(4)).to_string(),
            Kind::Names => "[\"headroom.internal\"]".to_owned(),
            Kind::Address => "\"127.0.0.1:8788\"".to_owned(),
            Kind::Secret => "\"postgres://user@host/headroom\"".to_owned(),
            Kind::Path if !self.default.starts_with('~') => "\"/path/to/it\"".to_owned(),
            _ => format!("{:?}", self.default),
        }
    }
}
