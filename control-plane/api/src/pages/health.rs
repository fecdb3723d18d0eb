//! `/livez`, `/readyz` and `/health`: whether headroomd lives, whether it can work, and what it consists of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The answer of the three; `/livez` has the least. Who shows no token sees the status alone.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Health {
    /// The name under which upstream answered; scripts look for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// `healthy`, `degraded` or `unhealthy`.
    pub status: String,
    /// True whenever there is an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alive: Option<bool>,
    /// The version of headroomd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When this was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// How long it has run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uptime_seconds: Option<f64>,
    /// Whether anything can be served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// The names of checks that are not well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degraded: Option<Vec<String>>,
    /// Each part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<BTreeMap<String, Check>>,
    /// How much the filter does at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
    /// What is switched on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Config>,
    /// What `HEADROOM_DEPLOYMENT_*` say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<BTreeMap<String, Option<String>>>,
}

/// How one part is.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Check {
    /// Whether it is switched on.
    pub enabled: bool,
    /// Whether it works.
    pub ready: bool,
    /// `healthy`, `degraded`, `unhealthy`, `warning` or `disabled`.
    pub status: String,
    /// What is wrong.
    pub error: Option<String>,
    /// What memory consists of.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryCheck>,
}

/// What memory consists of, under upstream's names.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct MemoryCheck {
    /// Where facts are kept.
    pub backend: Option<String>,
    /// Whether that is there.
    pub initialized: bool,
    /// What finds facts by meaning.
    pub embedder: Option<String>,
    /// `loading`, `loaded` or `error`.
    pub embedder_status: Option<String>,
}

/// How much the filter does at a time.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Runtime {
    /// Bodies in work in each worker of Envoy.
    pub anthropic_pre_upstream: Option<PreUpstream>,
}

/// How many bodies a worker may have in work.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct PreUpstream {
    /// Whether there is a bound.
    pub enabled: bool,
    /// The bound.
    pub resolved_concurrency: u32,
    /// Who has set it.
    pub source: String,
}

/// What is switched on, under upstream's names.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Config {
    /// Who forwards requests.
    pub backend: String,
    /// Whether requests are shortened.
    pub optimize: bool,
    /// Whether answers are cached.
    pub cache: bool,
    /// Whether requests are limited.
    pub rate_limit: bool,
    /// Whether there is a memory.
    pub memory: bool,
    /// Whether traffic is learnt from.
    pub learn: bool,
    /// Whether there is a graph of code.
    pub code_graph: bool,
    /// `sqlite` or `postgresql`.
    pub store: String,
    /// The process.
    pub pid: u32,
}
