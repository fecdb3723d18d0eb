//! `/livez`, `/readyz` and `/health`: whether headroomd lives, whether it can work, and what it consists of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The answer of the three; `/livez` has the least. Without a token a caller sees only the status.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Health {
    /// The name that upstream gives; scripts look for it.
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
    /// How many bodies the filter processes at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
    /// What is switched on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Config>,
    /// The values of `HEADROOM_DEPLOYMENT_*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<BTreeMap<String, Option<String>>>,
}

/// The state of one part.
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
    /// Whether that is available.
    pub initialized: bool,
    /// What finds facts by meaning.
    pub embedder: Option<String>,
    /// `loading`, `loaded` or `error`.
    pub embedder_status: Option<String>,
}

/// How many bodies the filter processes at a time.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Runtime {
    /// Bodies that each worker of Envoy processes at a time.
    pub anthropic_pre_upstream: Option<PreUpstream>,
}

/// How many bodies a worker may process at a time.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct PreUpstream {
    /// Whether there is a limit.
    pub enabled: bool,
    /// The limit.
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
    /// Whether the learner is on.
    pub learn: bool,
    /// Whether there is a code graph.
    pub code_graph: bool,
    /// `sqlite` or `postgresql`.
    pub store: String,
    /// The process.
    pub pid: u32,
}
