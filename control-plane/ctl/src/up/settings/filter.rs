//! The filter's configuration, as `up` writes it into Envoy's.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::ValueEnum;
use headroom_api::names;
use serde_json::{Map, Value};

use super::choice;
use crate::bootstrap::{BodyMode, GRPC_CLUSTER, HTTP_CLUSTER};
use crate::environment::{CODE_AWARE, Environment};
use crate::profile::ProfileName;
use crate::up::args::{HistoryName, UpArgs};
use crate::up::history;

/// Settings that concern more than the filter.
pub(super) struct Common<'a> {
    pub(super) body_mode: BodyMode,
    /// Whether this machine alone reaches Envoy.
    pub(super) is_loopback: bool,
    /// Bodies that a worker processes at a time, if configured.
    pub(super) pre_upstream: Option<&'a str>,
    /// Whether the sidecar is to see the texts of requests and answers.
    pub(super) log_messages: bool,
}

/// The filter's configuration.
pub(super) fn plugin_config(
    args: &UpArgs,
    env: Environment<'_>,
    common: &Common<'_>,
) -> anyhow::Result<Map<String, Value>> {
    let mode = choice(args.mode, env, "HEADROOM_MODE")?;
    let profile = choice(args.profile, env, "HEADROOM_PROFILE")?.unwrap_or(ProfileName::Balanced);
    let mut plugin_config = Map::new();
    if let Some(mode) = mode.and_then(|mode| Some(mode.to_possible_value()?.get_name().to_owned())) {
        plugin_config.insert("mode".to_owned(), mode.into());
    }
    plugin_config.insert("body_mode".to_owned(), common.body_mode.name().into());
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
    if let Some(text_model) = text_model(args, env)? {
        plugin_config.insert("text_model".to_owned(), text_model);
    }
    let breakpoints = choice(args.breakpoints, env, "HEADROOM_BREAKPOINTS")?;
    if let Some(breakpoints) = breakpoints.and_then(|it| it.to_possible_value()) {
        plugin_config.insert("breakpoints".to_owned(), breakpoints.get_name().into());
    }
    if let Some(file) = args.align.clone().or_else(|| env.get("HEADROOM_ALIGN").map(PathBuf::from)) {
        plugin_config.insert("align".to_owned(), align(&file)?);
    }
    if let Some(cache) = choice(args.cache, env, "HEADROOM_CACHE")?.and_then(|it| it.to_possible_value()) {
        plugin_config.insert("cache".to_owned(), serde_json::json!({ "mode": cache.get_name() }));
    }
    // The sidecar that `up` starts keeps the originals.
    plugin_config.insert("reversible".to_owned(), true.into());
    plugin_config.insert("store_originals".to_owned(), true.into());
    if common.is_loopback {
        // Every client that reaches this belongs to the one user of this machine.
        plugin_config.insert("tenant_from".to_owned(), "client".into());
    }
    let bodies = names::pre_upstream(common.pre_upstream).with_context(|| {
        format!("--anthropic-pre-upstream-concurrency: {:?} is not a number", common.pre_upstream)
    })?;
    plugin_config.insert("bodies_in_work".to_owned(), bodies.resolved.into());
    if args.memory_context || env.flag("HEADROOM_MEMORY_CONTEXT")? {
        plugin_config.insert("memory_context".to_owned(), true.into());
    }
    let mut control_plane = serde_json::json!({ "cluster": GRPC_CLUSTER, "http_cluster": HTTP_CLUSTER });
    if common.log_messages {
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
    Ok(plugin_config)
}

/// What the filter is told of the text model, if it is to ask for it.
fn text_model(args: &UpArgs, env: Environment<'_>) -> anyhow::Result<Option<Value>> {
    if !(args.llmlingua_in_filter || env.flag("HEADROOM_LLMLINGUA_IN_FILTER")?) {
        return Ok(None);
    }
    if !(args.llmlingua || env.flag("HEADROOM_LLMLINGUA")?) {
        bail!("--llmlingua-in-filter: there is no text model without --llmlingua");
    }
    let mut text_model = serde_json::json!({ "mode": "on" });
    let timeout = args.llmlingua_timeout_ms.map(|ms| ms.to_string());
    if let Some(text) = env.or(timeout.as_ref(), "HEADROOM_LLMLINGUA_TIMEOUT_MS") {
        let ms: Option<u32> = text.parse().ok().filter(|ms| (1..=MAX_TIMEOUT_MS).contains(ms));
        let ms = ms.with_context(|| {
            format!(
                "--llmlingua-timeout-ms: expected milliseconds from 1 to {MAX_TIMEOUT_MS}, found {text:?}"
            )
        })?;
        text_model["timeout_ms"] = ms.into();
    }
    Ok(Some(text_model))
}

/// The longest time that the filter lets a request wait.
const MAX_TIMEOUT_MS: u32 = 60_000;

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
