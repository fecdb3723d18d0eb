//! The request for each counter, and the position of the count in its response.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use headroom_retry::Retry;
use headroom_retry::https::{Https, Key, Service};
use hyper::header::{AUTHORIZATION, HeaderName};
use serde_json::{Value, json};

use super::{Content, CounterName};
use crate::environment::Environment;
use crate::misuse::Misuse;

/// The service for calls of a counter.
pub(super) const SERVICE: Service =
    Service { name: "the counter", setting: "--url", timeout: Duration::from_secs(30), retry: Retry::FAR };
/// Characters that Cohere accepts at once.
const COHERE_CHARACTERS: usize = 65_536;
/// Fields of a request that its counter does not accept.
const NOT_COUNTED: [&str; 9] = [
    "max_tokens",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "metadata",
    "service_tier",
    "container",
];

/// The address of the provider's own counter.
pub(super) fn default_url(provider: CounterName) -> &'static str {
    match provider {
        CounterName::Anthropic => "https://api.anthropic.com",
        CounterName::Google => "https://generativelanguage.googleapis.com",
        CounterName::Cohere => "https://api.cohere.com",
        CounterName::Litellm => "http://127.0.0.1:4000",
        CounterName::Mistral => "",
    }
}

/// The user's key, from the variable that the provider's own SDK reads.
pub(super) fn key(provider: CounterName, env: Environment<'_>) -> anyhow::Result<Option<Key>> {
    let (variables, header, scheme): (&[&str], _, _) = match provider {
        CounterName::Anthropic => (&["ANTHROPIC_API_KEY"], HeaderName::from_static("x-api-key"), ""),
        CounterName::Google => {
            (&["GEMINI_API_KEY", "GOOGLE_API_KEY"], HeaderName::from_static("x-goog-api-key"), "")
        }
        CounterName::Cohere => (&["COHERE_API_KEY", "CO_API_KEY"], AUTHORIZATION, "Bearer "),
        CounterName::Litellm => (&["LITELLM_API_KEY"], AUTHORIZATION, "Bearer "),
        CounterName::Mistral => return Ok(None),
    };
    match variables.iter().find_map(|name| env.get(name)) {
        Some(key) => Ok(Some(Key { header, scheme, key })),
        // A proxy may need no key.
        None if provider == CounterName::Litellm => Ok(None),
        None => Err(Misuse::of(anyhow::anyhow!("{} is not set", variables.join(" or ")))),
    }
}

/// The count in a response.
fn number(answer: &Value, place: &str) -> anyhow::Result<u64> {
    match answer.pointer(place).and_then(Value::as_u64) {
        Some(tokens) => Ok(tokens),
        None => bail!("the counter's answer has no number at {place}"),
    }
}

/// The counter's result, and a remark about it.
pub(super) async fn ask(
    provider: CounterName,
    https: &Https,
    content: &Content,
    model: &str,
) -> anyhow::Result<(u64, Option<String>)> {
    let tokens = match provider {
        CounterName::Anthropic => {
            let headers = [("anthropic-version", "2023-06-01")];
            let answer =
                https.post("/v1/messages/count_tokens", &headers, &anthropic(content, model)?).await?;
            number(&answer, "/input_tokens")?
        }
        CounterName::Google => {
            let name = model.strip_prefix("models/").unwrap_or(model);
            ensure!(is_name(name), "--model: {name:?} is not the name of a model");
            let path = format!("/v1beta/models/{name}:countTokens");
            number(&https.post(&path, &[], &google(content, name)?).await?, "/totalTokens")?
        }
        CounterName::Cohere => return cohere(https, content, model).await,
        CounterName::Litellm => {
            let answer =
                https.post("/utils/token_counter?call_endpoint=true", &[], &litellm(content, model)).await?;
            if answer.get("error") == Some(&Value::Bool(true)) {
                let said =
                    answer.get("error_message").and_then(Value::as_str).unwrap_or("it does not say why");
                bail!("LiteLLM could not count: {said}");
            }
            let by =
                answer.get("tokenizer_type").and_then(Value::as_str).map(|by| format!("counted by {by}"));
            return Ok((number(&answer, "/total_tokens")?, by));
        }
        CounterName::Mistral => bail!("Mistral's tokenizer is not asked"),
    };
    Ok((tokens, None))
}

/// The name becomes a part of a path.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn anthropic(content: &Content, model: &str) -> anyhow::Result<Value> {
    let mut body = match content {
        Content::Text(text) => json!({"messages": [{"role": "user", "content": text}]}),
        Content::Request(body) => body.clone(),
    };
    let fields = body.as_object_mut().filter(|fields| fields.contains_key("messages"));
    let fields = fields.context("expected a body of /v1/messages, with messages")?;
    fields.retain(|name, _| !NOT_COUNTED.contains(&name.as_str()));
    fields.insert("model".to_owned(), model.into());
    Ok(body)
}

fn google(content: &Content, model: &str) -> anyhow::Result<Value> {
    let mut request = match content {
        Content::Text(text) => json!({"contents": [{"role": "user", "parts": [{"text": text}]}]}),
        Content::Request(body) => body.clone(),
    };
    let fields = request.as_object_mut().filter(|fields| fields.contains_key("contents"));
    let fields = fields.context("expected a body of :generateContent, with contents")?;
    fields.insert("model".to_owned(), format!("models/{model}").into());
    Ok(json!({"generateContentRequest": request}))
}

fn litellm(content: &Content, model: &str) -> Value {
    match content {
        Content::Text(text) => json!({"model": model, "prompt": text}),
        Content::Request(body) => {
            let mut asked = json!({"model": model});
            for name in ["messages", "contents", "tools", "system"] {
                if let Some(value) = body.get(name) {
                    asked[name] = value.clone();
                }
            }
            asked
        }
    }
}

/// Cohere accepts a text only in parts. At the edges of a part it may count a token or two more than in the
/// whole text.
async fn cohere(https: &Https, content: &Content, model: &str) -> anyhow::Result<(u64, Option<String>)> {
    let Content::Text(text) = content else { bail!("Cohere counts texts") };
    let parts = parts(text);
    let mut tokens = 0;
    for part in &parts {
        let answer = https.post("/v1/tokenize", &[], &json!({"model": model, "text": part})).await?;
        let list = answer.get("tokens").and_then(Value::as_array);
        tokens += list.context("the counter's answer has no tokens")?.len() as u64;
    }
    let note = (parts.len() > 1).then(|| format!("counted in {} parts", parts.len()));
    Ok((tokens, note))
}

/// Parts that Cohere accepts by their length. They end at the end of a line if possible.
fn parts(mut text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    while !text.is_empty() {
        let end = text.char_indices().nth(COHERE_CHARACTERS).map_or(text.len(), |(at, _)| at);
        let line = text[..end].rfind('\n').map(|at| at + 1).filter(|_| end < text.len());
        let (part, rest) = text.split_at(line.unwrap_or(end));
        parts.push(part);
        text = rest;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_text_are_the_text() {
        let lines = "größe\n".repeat(30_000);
        for text in ["", "a", &lines, &"ß".repeat(3 * COHERE_CHARACTERS + 1)] {
            let parts = parts(text);
            assert_eq!(parts.concat(), text);
            assert!(parts.iter().all(|part| part.chars().count() <= COHERE_CHARACTERS));
        }
        assert!(parts(&lines)[0].ends_with('\n'));
    }

    #[test]
    fn a_request_is_asked_for_without_what_its_counter_refuses() {
        let body = json!({"model": "a", "max_tokens": 9, "stream": true, "messages": [], "system": "s"});
        let asked = anthropic(&Content::Request(body), "b").unwrap();
        assert_eq!(asked, json!({"model": "b", "messages": [], "system": "s"}));
        assert!(anthropic(&Content::Request(json!({"contents": []})), "b").is_err());
        let asked = google(&Content::Request(json!({"contents": [], "tools": []})), "g").unwrap();
        let request = json!({"model": "models/g", "contents": [], "tools": []});
        assert_eq!(asked, json!({"generateContentRequest": request}));
        assert!(google(&Content::Request(json!({"messages": []})), "g").is_err());
        assert!(!is_name("../x") && !is_name("a b") && !is_name("") && is_name("gemini-2.5-pro"));
    }
}
