//! `headroomctl count`: the count of a provider's own counter for a file, and Headroom's count, side by side.

mod provider;
mod tekken;

use std::io::{Write as _, stdout};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use headroom_compress::{Api, Config, Memo, Profile, Request, compress};
use headroom_retry::https::Https;
use serde::Serialize;
use serde_json::{Value, json};

use self::tekken::Tekken;
use crate::compress::{Format, Input};
use crate::environment::Environment;
use crate::figures::table;
use crate::misuse::Misuse;
use crate::number::grouped;

/// Whose counter to use.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum CounterName {
    /// Anthropic's /v1/messages/count_tokens; the key is ANTHROPIC_API_KEY
    Anthropic,
    /// Gemini's :countTokens; the key is GEMINI_API_KEY or GOOGLE_API_KEY
    Google,
    /// Cohere's /v1/tokenize, which counts texts; the key is COHERE_API_KEY or CO_API_KEY
    Cohere,
    /// Mistral's Tekken, here and offline, by the tokenizer's file
    Mistral,
    /// A LiteLLM proxy's /utils/token_counter; the key, if it asks for one, is LITELLM_API_KEY
    Litellm,
}

/// Asks a provider's own counter, and counts the same here.
#[derive(Args, Clone, Debug)]
pub struct CountArgs {
    /// Request bodies in the provider's format, or texts; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Whose counter to use
    #[arg(long, value_enum)]
    pub provider: CounterName,
    /// The model, if a file does not name it
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Where the counter is [default: the provider's; LiteLLM: http://127.0.0.1:4000]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Mistral's tekken.json
    #[arg(long, value_name = "FILE")]
    pub tokenizer: Option<PathBuf>,
    /// Print JSON, a line for each file
    #[arg(long)]
    pub json: bool,
}

/// The content of a file.
#[derive(Debug)]
enum Content {
    /// A request body.
    Request(Value),
    Text(String),
}

impl Content {
    /// A request is a JSON object with a conversation in it; all else is text.
    fn read(text: String) -> Self {
        let request = serde_json::from_str::<Value>(&text).ok();
        let has_conversation =
            |body: &Value| ["messages", "contents", "input"].iter().any(|name| body.get(name).is_some());
        match request.filter(has_conversation) {
            Some(body) => Self::Request(body),
            None => Self::Text(text),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Request(_) => "request",
            Self::Text(_) => "text",
        }
    }

    fn model(&self) -> Option<&str> {
        match self {
            Self::Request(body) => body.get("model")?.as_str(),
            Self::Text(_) => None,
        }
    }
}

/// Both counts of a file.
#[derive(Debug, Serialize)]
struct FileCounts {
    file: String,
    counted_as: &'static str,
    model: Option<String>,
    provider_tokens: u64,
    local_tokens: u64,
    local_encoding: &'static str,
    /// The provider's tokenizer is not public, and the local count is scaled.
    local_estimate: bool,
    /// How much more the local count is, in percent.
    difference_percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Counts each file.
pub async fn count(args: &CountArgs) -> anyhow::Result<()> {
    let env = Environment::of_process();
    let counter = Counter::new(args, env)?;
    let mut counted = Vec::new();
    for path in &args.files {
        let text = Input::open(path)?.text()?;
        let file = path.display().to_string();
        // Some counters count only texts; for them every file is a text.
        let content = if args.provider.counts_texts() { Content::Text(text) } else { Content::read(text) };
        counted.push(counter.count(&file, &content, args.model.as_deref()).await.context(file)?);
    }
    print(&counted, args.json)
}

impl CounterName {
    fn counts_texts(self) -> bool {
        matches!(self, Self::Cohere | Self::Mistral)
    }
}

/// A counter that can be called.
enum Counter {
    Remote(CounterName, Box<Https>),
    Mistral(Box<Tekken>),
}

impl Counter {
    fn new(args: &CountArgs, env: Environment<'_>) -> anyhow::Result<Self> {
        if args.provider == CounterName::Mistral {
            let path = args.tokenizer.as_ref().context(
                "--tokenizer: Mistral has no counter to ask; give the tekken.json of the model, from its page at Hugging Face or the package mistral-common",
            );
            let path = path.map_err(Misuse::of)?;
            return Ok(Self::Mistral(Box::new(Tekken::read(path)?)));
        }
        let key = provider::key(args.provider, env)?;
        let url = args.url.as_deref().unwrap_or(provider::default_url(args.provider));
        Ok(Self::Remote(args.provider, Box::new(Https::new(provider::SERVICE, url, key)?)))
    }

    async fn count(&self, file: &str, content: &Content, model: Option<&str>) -> anyhow::Result<FileCounts> {
        let model = model.or(content.model());
        let (tokens, note) = match self {
            Self::Mistral(tekken) => {
                let Content::Text(text) = content else { bail!("Mistral's tokenizer counts texts") };
                (tekken.count(text) as u64, None)
            }
            Self::Remote(provider, https) => {
                let model = model.context("--model: the file names no model").map_err(Misuse::of)?;
                provider::ask(*provider, https, content, model).await?
            }
        };
        let local = local(content, model);
        let difference = |tokens: u64| (local.before as f64 / tokens as f64 - 1.0) * 100.0;
        Ok(FileCounts {
            file: file.to_owned(),
            counted_as: content.name(),
            model: model.map(str::to_owned),
            provider_tokens: tokens,
            local_tokens: local.before,
            local_encoding: local.encoding.name(),
            local_estimate: local.estimate,
            difference_percent: (tokens > 0).then(|| (difference(tokens) * 10.0).round() / 10.0),
            note,
        })
    }
}

/// The engine's count of the texts that the model reads.
fn local(content: &Content, model: Option<&str>) -> headroom_compress::Tokens {
    let body = match content {
        Content::Request(body) => body.to_string(),
        Content::Text(text) => json!({"messages": [{"role": "user", "content": text}]}).to_string(),
    };
    let api = Format::detect(&body).map_or(Api::OpenAiChat, Api::from);
    let config = Config { profile: Profile::Lossless, max_body_bytes: usize::MAX, ..Config::default() };
    let request = Request { model, ..Request::new(api) };
    compress(body.as_bytes(), &request, &config, &mut Memo::new(1 << 20)).tokens
}

fn print(counted: &[FileCounts], as_json: bool) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    if as_json {
        for counted in counted {
            writeln!(out, "{}", serde_json::to_string(counted)?)?;
        }
        return Ok(());
    }
    let mut table = table(&["file", "as", "", "provider", "here", "difference"], 3);
    for counted in counted {
        let difference =
            counted.difference_percent.map_or("–".to_owned(), |percent| format!("{percent:+.1} %"));
        let estimate = if counted.local_estimate { ", an estimate" } else { "" };
        let note = counted.note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
        table.add_row([
            counted.file.clone(),
            counted.counted_as.to_owned(),
            format!("here {}{estimate}{note}", counted.local_encoding),
            grouped(counted.provider_tokens),
            grouped(counted.local_tokens),
            difference,
        ]);
    }
    writeln!(out, "{table}")?;
    Ok(())
}
