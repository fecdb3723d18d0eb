//! Who gets the requests: providers, those of the table, and LiteLLM's proxy.

use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::bootstrap::Providers;
use crate::environment::Environment;
use crate::providers::{self, LOCAL, ServedProvider, Table};
use crate::up::args::UpArgs;
use crate::upstream::Upstream;

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

/// Where the providers are that every client may mean.
pub(super) fn providers(args: &UpArgs, env: Environment<'_>) -> anyhow::Result<Providers> {
    let defaults = Providers::default();
    Ok(Providers {
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
    })
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

/// The requested providers, and the table if those on this machine are to be found.
pub(super) fn served(
    args: &UpArgs,
    env: Environment<'_>,
) -> anyhow::Result<(Vec<ServedProvider>, Option<Table>)> {
    let table = providers::table(env)?;
    let mut told: Vec<String> = args.provider.clone();
    if told.is_empty() {
        let names = env.get("HEADROOM_PROVIDERS");
        told.extend(names.iter().flat_map(|names| names.split(',')).map(str::to_owned));
    }
    let mut served: Vec<ServedProvider> = Vec::new();
    let mut find_local = false;
    for text in told.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
        if text == LOCAL {
            find_local = true;
            continue;
        }
        let new = ServedProvider::asked(text, &table, env).context("--provider or HEADROOM_PROVIDERS")?;
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
                served.push(
                    ServedProvider::asked(&name, &table, env).context("--backend or HEADROOM_BACKEND")?,
                );
                served.len() - 1
            }
        };
        served[at].is_default = true;
    }
    Ok((served, find_local.then_some(table)))
}

/// The settings for LiteLLM's proxy, if it is requested.
pub(super) fn litellm(args: &UpArgs, env: Environment<'_>) -> Option<LiteLlm> {
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
