//! A provider that plays back the model's answers and charges as Anthropic does: text that an earlier request
//! wrote to the cache is read from it, and the rest is written.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use headroom_compress::{Api, Config, Memo, Profile, Request, compress};
use headroom_prices::Price;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::conversation::Conversation;

/// Shorter prompts are not cached: Anthropic's minimum for Claude Opus 4.5. Tokens.
const MINIMUM: u64 = 4096;

/// A provider's counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Usage {
    pub(super) input: u64,
    pub(super) read: u64,
    pub(super) written: u64,
    pub(super) output: u64,
}

impl Usage {
    /// All of the prompt.
    pub(super) fn prompt(&self) -> u64 {
        self.input + self.read + self.written
    }

    /// Dollars.
    pub(super) fn cost(&self, price: Price) -> f64 {
        let price = price.for_prompt(self.prompt());
        let usd = |tokens: u64, per_million: f64| tokens as f64 * per_million / 1e6;
        usd(self.input, price.input)
            + usd(self.read, price.cached_read)
            + usd(self.written, price.cached_write)
            + usd(self.output, price.output)
    }
}

/// A request, and its charge.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) body: Value,
    pub(super) usage: Usage,
}

/// An entry of the cache: the prompt and its length.
#[derive(Clone, Debug)]
struct CacheEntry {
    tools: Value,
    messages: Vec<Value>,
    tokens: u64,
}

/// One account at the provider.
#[derive(Clone, Debug, Default)]
pub(super) struct Provider {
    written: Vec<CacheEntry>,
}

impl Provider {
    /// Charges a request with this answer.
    pub(super) fn exchange(&mut self, body: &str, answer: &Value) -> anyhow::Result<Exchange> {
        let body: Value = serde_json::from_str(body).context("the provider got what is no JSON")?;
        let messages: Vec<Value> =
            body["messages"].as_array().into_iter().flatten().map(without_marks).collect();
        let tools = body["tools"].clone();
        let tokens = count(&body);
        let starts = |it: &&CacheEntry| it.tools == tools && messages.starts_with(&it.messages);
        let read = self.written.iter().filter(starts).map(|it| it.tokens).max().unwrap_or(0).min(tokens);
        let rest = tokens - read;
        let is_cached = tokens >= MINIMUM;
        if is_cached {
            self.written.push(CacheEntry { tools, messages, tokens });
        }
        let (input, written) = if is_cached { (0, rest) } else { (rest, 0) };
        let output = count(&json!({"messages": [{"role": "assistant", "content": answer}]}));
        Ok(Exchange { body, usage: Usage { input, read, written, output } })
    }
}

/// A message reduced to what has tokens: marks have none, and a text may be alone or in a block.
fn without_marks(message: &Value) -> Value {
    let mut message = message.clone();
    if let Some(text) = message["content"].as_str() {
        message["content"] = json!([{"type": "text", "text": text}]);
    }
    for block in message["content"].as_array_mut().into_iter().flatten() {
        if let Some(block) = block.as_object_mut() {
            block.remove("cache_control");
        }
    }
    message
}

/// Tokens of everything that a model reads in a request, as the engine counts them.
pub(super) fn count(body: &Value) -> u64 {
    let body = body.to_string();
    let config = Config { profile: Profile::Lossless, max_body_bytes: usize::MAX, ..Config::default() };
    let request = Request::new(Api::AnthropicMessages);
    compress(body.as_bytes(), &request, &config, &mut Memo::new(1 << 20)).tokens.before
}

/// The provider on a port of this machine, until it is dropped.
#[derive(Debug)]
pub(super) struct DemoProvider {
    pub(super) url: String,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
    server: JoinHandle<()>,
}

impl DemoProvider {
    /// The newest request.
    pub(super) fn last(&self) -> Option<Exchange> {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner).last().cloned()
    }
}

impl Drop for DemoProvider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Clone)]
struct DemoState {
    conversation: Arc<Conversation>,
    provider: Arc<Mutex<Provider>>,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
}

/// Listens on loopback.
pub(super) async fn serve(conversation: Conversation) -> anyhow::Result<DemoProvider> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no port is free")?;
    let url = format!("http://{}", listener.local_addr()?);
    let exchanges = Arc::default();
    let playing = DemoState {
        conversation: Arc::new(conversation),
        provider: Arc::default(),
        exchanges: Arc::clone(&exchanges),
    };
    let router = Router::new().route("/v1/messages", post(messages)).with_state(playing);
    let server = tokio::spawn(async move {
        // It ends with the demo.
        let _ = axum::serve(listener, router).await;
    });
    Ok(DemoProvider { url, exchanges, server })
}

async fn messages(State(playing): State<DemoState>, body: String) -> Response {
    match answer(&playing, &body) {
        Ok(answer) => ([(CONTENT_TYPE, "application/json")], answer.to_string()).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error:#}")).into_response(),
    }
}

fn answer(playing: &DemoState, body: &str) -> anyhow::Result<Value> {
    let request: Value = serde_json::from_str(body).context("expected JSON")?;
    let messages = request["messages"].as_array().context("expected messages")?;
    let turn = messages.iter().filter(|message| message["role"] == "assistant").count();
    let content = playing.conversation.answer(turn);
    let exchange = playing.provider.lock().unwrap_or_else(PoisonError::into_inner).exchange(body, content)?;
    let usage = exchange.usage;
    playing.exchanges.lock().unwrap_or_else(PoisonError::into_inner).push(exchange);
    let calls = content.as_array().into_iter().flatten().any(|block| block["type"] == "tool_use");
    Ok(json!({
        "id": format!("msg_demo_{turn}"), "type": "message", "role": "assistant",
        "model": playing.conversation.model(), "content": content,
        "stop_reason": if calls { "tool_use" } else { "end_turn" }, "stop_sequence": null,
        "usage": {
            "input_tokens": usage.input, "cache_read_input_tokens": usage.read,
            "cache_creation_input_tokens": usage.written, "output_tokens": usage.output,
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(texts: &[&str]) -> String {
        let messages: Vec<Value> =
            texts.iter().map(|text| json!({"role": "user", "content": text})).collect();
        json!({"model": "claude-opus-4-5", "max_tokens": 1, "messages": messages}).to_string()
    }

    #[test]
    fn a_prompt_is_read_up_to_where_an_earlier_one_ended_and_short_ones_are_not_cached() {
        let mut provider = Provider::default();
        let mut usage = |texts: &[&str]| provider.exchange(&body(texts), &Value::Null).unwrap().usage;
        let short = usage(&["hello"]);
        assert_eq!((short.read, short.written), (0, 0));
        assert!(short.input > 0);
        let long = "several words of a long text\n".repeat(1000);
        let first = usage(&[&long]);
        assert!(first.written >= MINIMUM && first.read == 0 && first.input == 0, "{first:?}");
        let second = usage(&[&long, "and more"]);
        assert_eq!(second.read, first.written);
        assert!(second.written > 0 && second.written < 20, "{second:?}");
        let changed = usage(&["another beginning", &long]);
        assert_eq!(changed.read, 0);
        assert!(provider.exchange("no json", &Value::Null).is_err());
    }
}
