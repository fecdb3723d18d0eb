//! Which requests have an answer that may be given again.

use serde_json::{Map, Value};

use super::{ReplayableRequest, folded, says_something};
use crate::api::Api;

/// Members that make an answer depend on more than the request: tools of either side, and what the provider keeps.
const NEVER: [&str; 20] = [
    "agent",
    "agentid",
    "assistantid",
    "audio",
    "background",
    "cachedcontent",
    "connectors",
    "container",
    "conversation",
    "conversationid",
    "datasources",
    "functions",
    "mcpservers",
    "plugins",
    "previousresponseid",
    "prompt",
    "thread",
    "threadid",
    "tools",
    "webfetchoptions",
];

/// What is in the names of members with which providers look for more than they are given: `web_search_options`, `enable_search`,
/// `search_parameters`, `retrieval_options`.
const LOOKING: [&str; 4] = ["search", "retriev", "grounding", "webscraping"];

/// Members that name content which lies elsewhere, and may be another tomorrow.
const ELSEWHERE: [&str; 4] = ["fileid", "fileids", "fileuri", "vectorstoreids"];

/// Ends of the names of members with an address, which may hold the content itself: `image_url`, `document_url`.
const ADDRESSES: [&str; 2] = ["url", "uri"];

/// Models that search the web, whatever the request says.
const SEARCHING: [&str; 5] = ["search", "sonar", ":online", "-online", "compound"];

pub(super) fn is_replayable(asked: &ReplayableRequest, model: Option<&str>) -> bool {
    let ReplayableRequest { api, body } = asked;
    let members = || body.iter().map(|(name, value)| (folded(name), value));
    let is_stored = match (*api, body.get("store")) {
        // OpenAI keeps a response unless the request says no.
        (Api::OpenAiResponses, store) => store != Some(&Value::Bool(false)),
        (_, store) => store.is_some_and(says_something),
    };
    let named = body.get("model").and_then(Value::as_str).or(model).unwrap_or_default().to_ascii_lowercase();
    !is_stored
        && !SEARCHING.iter().any(|word| named.contains(word))
        && !members().any(|(name, value)| NEVER.contains(&name.as_str()) && asks_for_something(value))
        && !looks_elsewhere(body)
        && !is_for_more_than_text(body)
        && !body.values().any(lies_elsewhere)
}

/// Whether a request asks for chance itself.
pub(super) fn is_sampled(body: &Map<String, Value>) -> bool {
    levels(body).any(|members| {
        members.iter().any(|(name, value)| match folded(name).as_str() {
            "temperature" => value.as_f64().is_some_and(|temperature| temperature > 0.0),
            "n" | "candidatecount" => value.as_f64().is_some_and(|choices| choices > 1.0),
            _ => false,
        })
    })
}

/// As [`says_something`], and `{}` asks for what it stands for with all defaults: `"web_search_options": {}`.
fn asks_for_something(value: &Value) -> bool {
    value.is_object() || says_something(value)
}

/// Whether the provider is to look for more than it is given. Some have such members in an object of their own.
fn looks_elsewhere(body: &Map<String, Value>) -> bool {
    let nested = body.values().filter_map(Value::as_object);
    std::iter::once(body).chain(nested).flatten().any(|(name, value)| {
        let name = folded(name);
        LOOKING.iter().any(|word| name.contains(word)) && asks_for_something(value)
    })
}

/// An answer that is heard or seen.
fn is_for_more_than_text(body: &Map<String, Value>) -> bool {
    levels(body).any(|members| {
        members.iter().any(|(name, value)| {
            let kinds = match folded(name).as_str() {
                "modalities" | "responsemodalities" => value.as_array(),
                "speechconfig" | "imageconfig" => return says_something(value),
                _ => None,
            };
            let is_text = |kind: &Value| kind.as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("text"));
            kinds.is_some_and(|kinds| !kinds.iter().all(is_text))
        })
    })
}

/// Where parameters stand: beside the messages, and with Gemini one level down.
fn levels(body: &Map<String, Value>) -> impl Iterator<Item = &Map<String, Value>> {
    let nested = body.iter().filter(|(name, _)| folded(name) == "generationconfig");
    std::iter::once(body).chain(nested.filter_map(|(_, value)| value.as_object()))
}

/// Whether something in a value is only named there. The depth is that to which serde_json reads.
fn lies_elsewhere(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(lies_elsewhere),
        Value::Object(members) => members.iter().any(|(name, value)| {
            let name = folded(name);
            let is_address = ADDRESSES.iter().any(|end| name.ends_with(end))
                && value.as_str().is_some_and(|address| !address.trim_start().starts_with("data:"));
            is_address || ELSEWHERE.contains(&name.as_str()) && says_something(value) || lies_elsewhere(value)
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A request of each format that may be answered again.
    fn plain(api: Api) -> Value {
        match api {
            Api::OpenAiResponses => json!({"model": "m", "store": false, "input": "What is Envoy?"}),
            Api::GeminiGenerateContent => {
                json!({"contents": [{"role": "user", "parts": [{"text": "What is Envoy?"}]}]})
            }
            _ => json!({"model": "m", "messages": [{"role": "user", "content": "What is Envoy?"}]}),
        }
    }

    fn is_asked(api: Api, body: &Value) -> bool {
        ReplayableRequest::read(api, body.to_string().as_bytes(), None, false).is_some()
    }

    #[test]
    fn formats_whose_answers_are_not_read_have_none() {
        for api in Api::ALL {
            assert_eq!(is_asked(api, &plain(api)), super::super::is_known(api), "{api:?}");
        }
    }

    #[test]
    fn what_depends_on_more_than_the_request_is_asked_of_the_provider() {
        let chat = Api::OpenAiChat;
        let tool = json!([{"type": "function", "function": {"name": "f"}}]);
        let image = |url: &str| json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]);
        for (api, name, value) in [
            (chat, "tools", tool.clone()),
            (chat, "functions", json!([{"name": "f"}])),
            (chat, "web_search_options", json!({"search_context_size": "low"})),
            (chat, "search_parameters", json!({"mode": "auto"})),
            (chat, "web_search_options", json!({})),
            (chat, "enable_search", json!(true)),
            (chat, "web_search", json!({"enable": true})),
            (chat, "venice_parameters", json!({"enable_web_search": "on"})),
            (chat, "agent_id", json!("ag:1")),
            (chat, "model", json!("groq/compound-mini")),
            (chat, "store", json!(true)),
            (chat, "temperature", json!(0.2)),
            (chat, "n", json!(2)),
            (chat, "modalities", json!(["text", "audio"])),
            (chat, "audio", json!({"voice": "alloy"})),
            (chat, "model", json!("gpt-4o-search-preview")),
            (chat, "model", json!("meta-llama/llama-4:online")),
            (chat, "messages", image("https://example.com/a.png")),
            (
                chat,
                "messages",
                json!([{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]),
            ),
            (
                chat,
                "messages",
                json!([{"role": "user", "content": [{"type": "document_url", "document_url": "https://x/"}]}]),
            ),
            (Api::OpenAiResponses, "store", json!(true)),
            (Api::OpenAiResponses, "store", json!(null)),
            (Api::OpenAiResponses, "previous_response_id", json!("resp_1")),
            (Api::OpenAiResponses, "conversation", json!({"id": "conv_1"})),
            (Api::OpenAiResponses, "background", json!(true)),
            (Api::OpenAiResponses, "prompt", json!({"id": "pmpt_1"})),
            (Api::OpenAiResponses, "tools", json!([{"type": "web_search"}])),
            (Api::AnthropicMessages, "mcp_servers", json!([{"url": "data:"}])),
            (Api::AnthropicMessages, "container", json!("c")),
            (Api::AnthropicMessages, "thread", json!("t")),
            (
                Api::AnthropicMessages,
                "messages",
                json!([{"role": "user", "content": [{"type": "document", "source": {"type": "url", "url": "https://x/"}}]}]),
            ),
            (Api::GeminiGenerateContent, "cachedContent", json!("cachedContents/1")),
            (Api::GeminiGenerateContent, "cached_content", json!("cachedContents/1")),
            (Api::GeminiGenerateContent, "tools", json!([{"googleSearch": {}}])),
            (Api::GeminiGenerateContent, "generationConfig", json!({"temperature": 1})),
            (Api::GeminiGenerateContent, "generation_config", json!({"candidate_count": 2})),
            (Api::GeminiGenerateContent, "generationConfig", json!({"responseModalities": ["IMAGE"]})),
            (
                Api::GeminiGenerateContent,
                "contents",
                json!([{"parts": [{"fileData": {"fileUri": "gs://a/b"}}]}]),
            ),
        ] {
            let mut body = plain(api);
            assert!(is_asked(api, &body));
            body[name] = value.clone();
            assert!(!is_asked(api, &body), "{api:?} {name} {value}");
        }
    }

    #[test]
    fn what_says_nothing_and_what_is_in_the_request_itself_is_no_reason() {
        let image = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]}]);
        for (name, value) in [
            ("tools", json!([])),
            ("tools", json!(null)),
            ("store", json!(false)),
            ("temperature", json!(0)),
            ("n", json!(1)),
            ("modalities", json!(["text"])),
            ("enable_search", json!(false)),
            (
                "response_format",
                json!({"type": "json_schema", "json_schema": {"schema": {"properties": {"url": {"type": "string"}}}}}),
            ),
            ("messages", image),
        ] {
            let mut body = plain(Api::OpenAiChat);
            body[name] = value.clone();
            assert!(is_asked(Api::OpenAiChat, &body), "{name} {value}");
        }
        let mut sampled = plain(Api::OpenAiChat);
        sampled["temperature"] = json!(1);
        assert!(
            ReplayableRequest::read(Api::OpenAiChat, sampled.to_string().as_bytes(), None, true).is_some()
        );
        let search = Some("sonar-pro");
        assert!(
            ReplayableRequest::read(
                Api::GeminiGenerateContent,
                plain(Api::GeminiGenerateContent).to_string().as_bytes(),
                search,
                true
            )
            .is_none()
        );
    }

    #[test]
    fn what_is_no_request_has_none() {
        let deep = "[".repeat(10_000);
        for body in ["", "[]", "{", "{\"messages\":", "\"x\"", &deep, "{\"a\":1}x"] {
            assert!(
                ReplayableRequest::read(Api::OpenAiChat, body.as_bytes(), None, true).is_none(),
                "{:.20}",
                body
            );
        }
    }
}
