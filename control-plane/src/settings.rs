//! The sidecar's addresses, files and limits: arguments, then environment, then defaults.
//!
//! A variable that contains only blanks counts as unset.

mod args;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use headroom_api::llmlingua::{self, Rates};
use headroom_api::names::yes_or_no;

pub use self::args::{Args, Command, LogFormat};
use crate::memory::{Models, OpenAiSettings};
use crate::models::Sources;
use crate::originals::store::RetentionLimits;
use crate::relevance::Scorer;
use crate::store::Database;
use crate::telemetry::TelemetrySettings;
use crate::tenants::{Tenants, TenantsError};
use crate::text_model::TextModelSettings;
use crate::token::{Token, TokenError};

/// The default address for people and Prometheus.
pub const DEFAULT_HTTP: &str = "127.0.0.1:8788";
/// The default address for the filter.
pub const DEFAULT_GRPC: &str = "127.0.0.1:8789";

/// Seconds for which originals are kept by default: a working day and the night after it.
const DEFAULT_TTL_SECONDS: i64 = 24 * 3600;
/// Ten years: a larger number is a mistake.
const MAX_TTL_SECONDS: i64 = 10 * 365 * 24 * 3600;
/// Seconds within which a caller of `/v1/compress` is answered: well below the 45 and 60 that Kong and LiteLLM wait.
const DEFAULT_COMPRESSION_SECONDS: i64 = 10;
/// An hour: no caller waits longer.
const MAX_COMPRESSION_SECONDS: i64 = 3600;
/// Bytes of originals by default: some hundred thousand tool outputs.
const DEFAULT_MAX_BYTES: i64 = 1 << 30;
/// The same for originals in memory.
const DEFAULT_MAX_MEMORY: i64 = 64 << 20;

/// Bytes of stored answers: some ten thousand of them.
const DEFAULT_ANSWERS_BYTES: i64 = 64 << 20;
/// 64 GiB: a larger number is a mistake.
const MAX_ANSWERS_BYTES: i64 = 64 << 30;

/// Seconds after which an unused text model gives its memory back.
const DEFAULT_IDLE_SECONDS: i64 = 600;
/// A month: beyond it a number is a mistake.
const MAX_IDLE_SECONDS: i64 = 31 * 24 * 3600;

/// An address to listen on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Bind {
    /// An IP address and a port; port 0 takes any free one.
    Tcp(SocketAddr),
    /// A Unix socket, only for this user.
    Unix(PathBuf),
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Everything decided before the sidecar starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For people and Prometheus.
    pub http: Bind,
    /// For the filter.
    pub grpc: Bind,
    /// Only for `/metrics`, without a token.
    pub metrics: Option<Bind>,
    /// State.
    pub workspace_dir: PathBuf,
    /// Read-mostly files.
    pub config_dir: PathBuf,
    /// The database of the ledger.
    pub database: Database,
    /// The database of originals: the same PostgreSQL, or a separate file. Its writes do not wait for those
    /// of other stores, and its loss does not lose history.
    pub originals: Database,
    /// Their limits on size and time.
    pub keep: RetentionLimits,
    /// The database of memory: the same PostgreSQL, or a separate file, which can be copied and passed on.
    pub memory: Database,
    /// The possible embedders.
    pub memory_models: Models,
    /// The user who started this: the owner of memory if no user is named.
    pub user: String,
    /// Maximum bytes of stored answers, in memory.
    pub answers_max_bytes: usize,
    /// How long a call of `/v1/compress` may take.
    pub compress_within: Duration,
    /// Upstream's savings file, imported if it exists.
    pub savings_path: PathBuf,
    /// The file for allowances of subscriptions.
    pub subscription_state_path: PathBuf,
    /// The sources of the operator's own context limits and prices.
    pub models: Sources,
    /// `HEADROOM_BUDGETS`: JSON, or the path of a file.
    pub budgets: Option<String>,
    /// The log of requests.
    pub log_file: Option<PathBuf>,
    /// Who ranks stretches of originals, where a request does not say.
    pub scorer: Scorer,
    /// Where what models ask back is exported to.
    pub toin_path: Option<PathBuf>,
    /// What agents' tools fail at is learned from.
    pub learn: bool,
    /// Whether lessons are also written into files that are shared through git, and not only proposed.
    pub learn_writes_tracked: bool,
    /// The database of the learner's sightings.
    pub learned: Database,
    /// Whether texts of requests and answers are kept and shown.
    pub log_messages: bool,
    /// Whether the filter is configured to leave bodies of functions out of source files.
    pub code_aware: bool,
    /// The text model.
    pub text_model: TextModelSettings,
    /// Demanded from everyone when set, and needed to listen beyond loopback.
    pub token: Option<Token>,
    /// The tokens of callers who may read one tenant's originals.
    pub tenants: Tenants,
    /// Host names that may be used without a token, in addition to `localhost` and addresses.
    pub allowed_hosts: Vec<String>,
    /// A file that is written after the addresses are bound.
    pub ready_file: Option<PathBuf>,
    /// The beacon.
    pub telemetry: TelemetrySettings,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Neither an address nor a socket.
    #[error("{name}: expected ip:port or unix:/path, found {found:?}")]
    Address {
        /// Which setting.
        name: &'static str,
        /// Its value.
        found: String,
    },
    /// No home folder to derive the default from.
    #[error("no workspace: set --workspace-dir, HEADROOM_WORKSPACE_DIR or HOME")]
    NoHome,
    /// Not a scorer.
    #[error("HEADROOM_RELEVANCE_SCORER: expected bm25, embedding or hybrid, found {0:?}")]
    Scorer(String),
    /// Not a number within its bounds.
    #[error("{name}: expected a whole number from 1 to {highest}, found {found:?}")]
    Number {
        /// Which setting.
        name: &'static str,
        /// The highest allowed value.
        highest: i64,
        /// Its value.
        found: String,
    },
    /// Neither yes nor no.
    #[error("{name}: expected 1, true, on, yes, 0, false, off or no, found {found:?}")]
    Flag {
        /// Which setting.
        name: &'static str,
        /// Its value.
        found: String,
    },
    /// The URL is not one of PostgreSQL's.
    #[error(
        "HEADROOM_DATABASE_URL: expected postgres://…, postgresql://… or jsonl:PATH; without it state goes to SQLite"
    )]
    DatabaseUrl,
    /// The text model cannot be used so.
    #[error("{name}: {problem}")]
    TextModel {
        /// Which setting.
        name: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The token file cannot be read.
    #[error("{}: the token file cannot be read: {error}", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// An empty token, or one that a header cannot carry.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The tokens of tenants.
    #[error(transparent)]
    Tenants(#[from] TenantsError),
    /// Other machines could reach it, and there is no token.
    #[error(
        "{name} {addr} is not a loopback address: set HEADROOM_TOKEN or HEADROOM_TOKEN_FILE, which every client must then send as a bearer token"
    )]
    Open {
        /// Which setting.
        name: &'static str,
        /// The address.
        addr: SocketAddr,
    },
}

impl Settings {
    /// Decides every setting from the arguments and from the variables in `env`.
    pub fn resolve(args: Args, env: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let env = |name: &str| env(name).filter(|value| !value.trim().is_empty());
        let env_path = |name: &str| env(name).map(PathBuf::from);
        let http = http_address(&args, env)?;
        let home = || env_path("HOME").map(|home| home.join(".headroom"));

        let workspace_dir = args
            .workspace_dir
            .or_else(|| env_path("HEADROOM_WORKSPACE_DIR"))
            .or_else(home)
            .ok_or(SettingsError::NoHome)?;
        let config_dir = args
            .config_dir
            .or_else(|| env_path("HEADROOM_CONFIG_DIR"))
            .or_else(|| home().map(|home| home.join("config")))
            .unwrap_or_else(|| workspace_dir.join("config"));
        let database = match args.database_url.or_else(|| env("HEADROOM_DATABASE_URL")) {
            None => Database::File(workspace_dir.join("headroom.db")),
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Database::Postgres(url)
            }
            Some(url) => match url.strip_prefix("jsonl:").map(str::trim) {
                Some(path) if !path.is_empty() => Database::Lines(PathBuf::from(path)),
                _ => return Err(SettingsError::DatabaseUrl),
            },
        };
        let originals = match &database {
            Database::File(_) => Database::File(workspace_dir.join("originals.db")),
            Database::Postgres(url) => Database::Postgres(url.clone()),
            Database::Lines(_) | Database::Memory => Database::Memory,
        };
        let memory = match &database {
            Database::Postgres(url) => Database::Postgres(url.clone()),
            // facts outlive the process, even if the savings do not
            Database::File(_) | Database::Lines(_) | Database::Memory => {
                Database::File(workspace_dir.join("memory.db"))
            }
        };
        let learned = match &database {
            Database::Postgres(url) => Database::Postgres(url.clone()),
            Database::File(_) | Database::Lines(_) | Database::Memory => {
                Database::File(workspace_dir.join("learn.db"))
            }
        };
        let memory_model_dir = args
            .memory_model_dir
            .or_else(|| env_path("HEADROOM_MEMORY_MODEL_DIR"))
            .unwrap_or_else(|| config_dir.join("embedder"));
        let openai = env("HEADROOM_MEMORY_OPENAI_API_KEY").map(|key| OpenAiSettings {
            key: key.trim().to_owned(),
            base_url: env("HEADROOM_MEMORY_OPENAI_BASE_URL").map(|url| url.trim().to_owned()),
            model: env("HEADROOM_MEMORY_OPENAI_MODEL").map(|model| model.trim().to_owned()),
        });
        let ttl = args.ccr_ttl_seconds.or_else(|| env("HEADROOM_CCR_TTL_SECONDS"));
        let max_bytes = args.ccr_max_bytes.or_else(|| env("HEADROOM_CCR_MAX_BYTES"));
        let default_max_bytes =
            if originals == Database::Memory { DEFAULT_MAX_MEMORY } else { DEFAULT_MAX_BYTES };
        let keep = RetentionLimits {
            ttl_ms: 1_000 * number("HEADROOM_CCR_TTL_SECONDS", ttl, DEFAULT_TTL_SECONDS, MAX_TTL_SECONDS)?,
            max_bytes: number("HEADROOM_CCR_MAX_BYTES", max_bytes, default_max_bytes, i64::MAX / 2)?,
        };
        let answers = args.answers_max_bytes.or_else(|| env("HEADROOM_ANSWERS_MAX_BYTES"));
        let answers =
            number("HEADROOM_ANSWERS_MAX_BYTES", answers, DEFAULT_ANSWERS_BYTES, MAX_ANSWERS_BYTES)?;
        let compression =
            args.compression_timeout_seconds.or_else(|| env("HEADROOM_COMPRESSION_TIMEOUT_SECONDS"));
        let compression = number(
            "HEADROOM_COMPRESSION_TIMEOUT_SECONDS",
            compression,
            DEFAULT_COMPRESSION_SECONDS,
            MAX_COMPRESSION_SECONDS,
        )?;
        let wrong = |name| move |problem| SettingsError::TextModel { name, problem };
        let enabled = args.llmlingua || flag("HEADROOM_LLMLINGUA", env("HEADROOM_LLMLINGUA"))?;
        if enabled && !cfg!(feature = "llmlingua") {
            return Err(wrong("--llmlingua")(llmlingua::NOT_BUILT.to_owned()));
        }
        if let Some(device) = args.llmlingua_device.or_else(|| env("HEADROOM_LLMLINGUA_DEVICE")) {
            llmlingua::device(&device).map_err(wrong("--llmlingua-device"))?;
        }
        let rates = args.llmlingua_rate.or_else(|| env("HEADROOM_LLMLINGUA_RATE"));
        let rates = rates.map(|rates| Rates::parse(&rates)).transpose().map_err(wrong("--llmlingua-rate"))?;
        let idle = args.llmlingua_idle_seconds.or_else(|| env("HEADROOM_LLMLINGUA_IDLE_SECONDS"));
        let idle = number("HEADROOM_LLMLINGUA_IDLE_SECONDS", idle, DEFAULT_IDLE_SECONDS, MAX_IDLE_SECONDS)?;
        let text_model = TextModelSettings {
            enabled,
            model: args.llmlingua_model.or_else(|| env("HEADROOM_LLMLINGUA_MODEL")),
            folder: config_dir.join(llmlingua::FOLDER),
            cache: workspace_dir.join("models"),
            rates: rates.unwrap_or_default(),
            idle: Duration::from_secs(idle.unsigned_abs()),
        };
        let token_file = args.token_file.or_else(|| env_path("HEADROOM_TOKEN_FILE"));
        let token = match (env("HEADROOM_TOKEN"), token_file) {
            (Some(token), _) => Some(Token::new(&token)?),
            (None, Some(path)) => Some(read_token(&path)?),
            (None, None) => None,
        };
        let tenants = args.tenant_tokens_file.or_else(|| env_path("HEADROOM_TENANT_TOKENS_FILE"));
        let tenants = tenants.map(|path| Tenants::read(&path)).transpose()?.unwrap_or_default();
        let grpc = bind("grpc", args.grpc.or_else(|| env("HEADROOM_GRPC")), DEFAULT_GRPC)?;
        let metrics = args.metrics_addr.or_else(|| env("HEADROOM_METRICS_ADDR"));
        let metrics = metrics.map(|address| bind("metrics", Some(address), "")).transpose()?;
        for (name, bind) in [("http", &http), ("grpc", &grpc)] {
            if let Bind::Tcp(addr) = *bind
                && token.is_none()
                && !is_loopback(addr.ip())
            {
                return Err(SettingsError::Open { name, addr });
            }
        }
        let models = Sources {
            limits: env("HEADROOM_MODEL_LIMITS"),
            files: [&config_dir, &workspace_dir].map(|folder| folder.join("models.json")).to_vec(),
        };
        Ok(Self {
            http,
            grpc,
            metrics,
            subscription_state_path: args
                .subscription_state_path
                .or_else(|| env_path("HEADROOM_SUBSCRIPTION_STATE_PATH"))
                .unwrap_or_else(|| workspace_dir.join("subscription_state.json")),
            savings_path: args
                .savings_path
                .or_else(|| env_path("HEADROOM_SAVINGS_PATH"))
                .unwrap_or_else(|| workspace_dir.join("proxy_savings.json")),
            workspace_dir,
            config_dir,
            database,
            originals,
            keep,
            memory,
            memory_models: Models { folder: memory_model_dir, openai },
            user: env("USER")
                .or_else(|| env("LOGNAME"))
                .map_or_else(|| "default".to_owned(), |user| user.trim().to_owned()),
            answers_max_bytes: usize::try_from(answers).unwrap_or(usize::MAX),
            compress_within: Duration::from_secs(compression.unsigned_abs()),
            models,
            budgets: env("HEADROOM_BUDGETS"),
            code_aware: args.code_aware
                || flag("HEADROOM_CODE_AWARE_ENABLED", env("HEADROOM_CODE_AWARE_ENABLED"))?,
            scorer: match env("HEADROOM_RELEVANCE_SCORER") {
                None => Scorer::default(),
                Some(name) => Scorer::from_name(&name).ok_or(SettingsError::Scorer(name))?,
            },
            toin_path: env_path("HEADROOM_TOIN_PATH"),
            log_file: args.log_file.or_else(|| env_path("HEADROOM_LOG_FILE")),
            learn: args.learn || flag("HEADROOM_LEARN", env("HEADROOM_LEARN"))?,
            learn_writes_tracked: flag("HEADROOM_LEARN_WRITE_TRACKED", env("HEADROOM_LEARN_WRITE_TRACKED"))?,
            learned,
            log_messages: args.log_messages || flag("HEADROOM_LOG_MESSAGES", env("HEADROOM_LOG_MESSAGES"))?,
            text_model,
            token,
            tenants,
            allowed_hosts: hosts(args.allowed_hosts.or_else(|| env("HEADROOM_ALLOWED_HOSTS"))),
            ready_file: args.ready_file,
            telemetry: TelemetrySettings::from_env(env),
        })
    }
}

/// The address for people and Prometheus, which is all that a health check needs.
pub fn http_address(args: &Args, env: impl Fn(&str) -> Option<String>) -> Result<Bind, SettingsError> {
    let set = || env("HEADROOM_HTTP").filter(|value| !value.trim().is_empty());
    bind("http", args.http.clone().or_else(set), DEFAULT_HTTP)
}

/// Whether an address is this machine's own: `127.0.0.0/8`, `::1`, or `127.0.0.0/8` mapped into IPv6.
pub fn is_loopback(ip: std::net::IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

fn bind(name: &'static str, value: Option<String>, default: &str) -> Result<Bind, SettingsError> {
    let value = value.unwrap_or_else(|| default.to_owned());
    let value = value.trim();
    if let Some(path) = value.strip_prefix("unix:").filter(|path| !path.is_empty()) {
        return Ok(Bind::Unix(PathBuf::from(path)));
    }
    let address = match value.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => value.to_owned(),
    };
    address.parse().map(Bind::Tcp).map_err(|_| SettingsError::Address { name, found: value.to_owned() })
}

fn number(
    name: &'static str,
    value: Option<String>,
    default: i64,
    highest: i64,
) -> Result<i64, SettingsError> {
    let Some(found) = value else { return Ok(default) };
    let number = found.trim().parse().ok().filter(|number| (1..=highest).contains(number));
    number.ok_or(SettingsError::Number { name, highest, found })
}

fn flag(name: &'static str, value: Option<String>) -> Result<bool, SettingsError> {
    let Some(found) = value else { return Ok(false) };
    yes_or_no(&found).ok_or(SettingsError::Flag { name, found })
}

fn hosts(list: Option<String>) -> Vec<String> {
    let list = list.unwrap_or_default();
    list.split(',').map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty()).collect()
}

fn read_token(path: &Path) -> Result<Token, SettingsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| SettingsError::TokenFile { path: path.to_owned(), error })?;
    Ok(Token::new(&text)?)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    fn resolve(args: &[&str], env: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let args = Args::parse_from(std::iter::once(&"headroomd").chain(args));
        Settings::resolve(args, |name| {
            env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn every_option_is_defined_without_contradiction() {
        Args::command().debug_assert();
    }

    #[test]
    fn defaults_are_loopback_and_the_home_folder() {
        let settings = resolve(&[], &[("HOME", "/h")]).unwrap();
        assert_eq!(settings.http, Bind::Tcp(DEFAULT_HTTP.parse().unwrap()));
        assert_eq!(settings.grpc, Bind::Tcp(DEFAULT_GRPC.parse().unwrap()));
        assert_eq!(settings.database, Database::File("/h/.headroom/headroom.db".into()));
        assert_eq!(settings.savings_path, PathBuf::from("/h/.headroom/proxy_savings.json"));
        assert_eq!(settings.config_dir, PathBuf::from("/h/.headroom/config"));
    }

    #[test]
    fn messages_are_shown_only_when_somebody_says_so() {
        let shown = |args: &[&str], value: &str| {
            let env = [("HOME", "/h"), ("HEADROOM_LOG_MESSAGES", value)];
            resolve(args, &env).map(|settings| settings.log_messages)
        };
        for off in ["", " ", "0", "off", "False"] {
            assert!(!shown(&[], off).unwrap(), "{off:?}");
        }
        assert!(
            shown(&[], "1").unwrap()
                && shown(&[], "TRUE").unwrap()
                && shown(&["--log-messages"], "0").unwrap()
        );
        assert!(shown(&[], "perhaps").unwrap_err().to_string().contains("HEADROOM_LOG_MESSAGES"));
    }

    #[test]
    fn the_text_model_is_off_and_says_what_it_cannot_do() {
        let home = ("HOME", "/h");
        let settings = resolve(&[], &[home]).unwrap().text_model;
        assert!(!settings.enabled && settings.rates == Rates::default());
        assert_eq!(settings.folder, PathBuf::from("/h/.headroom/config/llmlingua"));
        for (args, variables, said) in [
            (
                &["--llmlingua-device", "cuda"][..],
                vec![],
                "--llmlingua-device: the text model runs on the CPU",
            ),
            (&["--llmlingua-rate", "2"][..], vec![], "--llmlingua-rate: expected auto"),
            (&[][..], vec![("HEADROOM_LLMLINGUA_RATE", "text=x")], "--llmlingua-rate: expected auto"),
            (
                &[][..],
                vec![("HEADROOM_LLMLINGUA_IDLE_SECONDS", "0")],
                "HEADROOM_LLMLINGUA_IDLE_SECONDS: expected",
            ),
            (&[][..], vec![("HEADROOM_LLMLINGUA", "perhaps")], "HEADROOM_LLMLINGUA: expected"),
        ] {
            let error = resolve(args, &[vec![home], variables].concat()).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
        let wanted = resolve(&["--llmlingua", "--llmlingua-model", "a/b"], &[home]);
        if cfg!(feature = "llmlingua") {
            assert!(wanted.unwrap().text_model.enabled);
        } else {
            let error = wanted.unwrap_err().to_string();
            assert!(error.contains("--features headroomd/llmlingua"), "{error}");
        }
    }

    #[test]
    fn an_argument_wins_over_the_variable_and_a_blank_variable_counts_as_unset() {
        let env = [("HOME", "/h"), ("HEADROOM_WORKSPACE_DIR", "/w"), ("HEADROOM_SAVINGS_PATH", "  ")];
        let settings = resolve(&["--workspace-dir", "/a"], &env).unwrap();
        assert_eq!(settings.workspace_dir, PathBuf::from("/a"));
        assert_eq!(settings.savings_path, PathBuf::from("/a/proxy_savings.json"));
        assert_eq!(resolve(&[], &env).unwrap().workspace_dir, PathBuf::from("/w"));
    }

    #[test]
    fn an_address_beyond_loopback_needs_a_token() {
        let home = ("HOME", "/h");
        let error = resolve(&["--http", "0.0.0.0:0"], &[home]).unwrap_err();
        assert!(matches!(error, SettingsError::Open { name: "http", .. }), "{error}");
        assert!(resolve(&["--http", "0.0.0.0:0"], &[home, ("HEADROOM_TOKEN", "t0ken")]).is_ok());
        assert!(resolve(&["--http", "[::ffff:127.0.0.1]:0"], &[home]).is_ok());
        assert!(matches!(
            resolve(&["--http", "0.0.0.0:0"], &[home, ("HEADROOM_TOKEN", "two words")]),
            Err(SettingsError::Token(_))
        ));
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_its_name() {
        for bad in ["8788", "unix:", "example.com:80", "127.0.0.1:99999", "127.0.0.1"] {
            let error = resolve(&["--grpc", bad], &[("HOME", "/h")]).unwrap_err();
            assert!(error.to_string().starts_with("grpc: expected"), "{error}");
        }
        let settings = resolve(&["--grpc", "unix:/run/h.sock"], &[("HOME", "/h")]).unwrap();
        assert_eq!(settings.grpc, Bind::Unix("/run/h.sock".into()));
    }

    #[test]
    fn originals_have_a_file_of_their_own_and_bounds_that_are_numbers() {
        let home = ("HOME", "/h");
        let settings = resolve(&[], &[home]).unwrap();
        assert_eq!(settings.originals, Database::File("/h/.headroom/originals.db".into()));
        assert_eq!(settings.memory, Database::File("/h/.headroom/memory.db".into()));
        assert_eq!(settings.memory_models.folder, PathBuf::from("/h/.headroom/config/embedder"));
        assert_eq!(settings.keep, RetentionLimits { ttl_ms: 86_400_000, max_bytes: 1 << 30 });
        let short = resolve(&["--ccr-max-bytes", "5"], &[home, ("HEADROOM_CCR_TTL_SECONDS", "60")]).unwrap();
        assert_eq!(short.keep, RetentionLimits { ttl_ms: 60_000, max_bytes: 5 });
        for bad in ["0", "-1", "1h", "1e3", "99999999999"] {
            let error = resolve(&[], &[home, ("HEADROOM_CCR_TTL_SECONDS", bad)]).unwrap_err();
            assert!(error.to_string().starts_with("HEADROOM_CCR_TTL_SECONDS: expected"), "{error}");
        }
    }

    #[test]
    fn only_a_postgres_url_is_a_database_url() {
        let url = [("HOME", "/h"), ("HEADROOM_DATABASE_URL", "mysql://x")];
        assert!(matches!(resolve(&[], &url), Err(SettingsError::DatabaseUrl)));
    }
}
