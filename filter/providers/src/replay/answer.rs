//! Which answers are whole: they came to their end, and say nothing that is to be done.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{folded, says_something};
use crate::api::Api;
use crate::sse::{Piece, Pieces};

/// Whether an answer is complete, in words alone, and ended because the model had nothing more to say.
/// `is_stream`: it came as events.
pub fn is_whole(api: Api, is_stream: bool, body: &[u8]) -> bool {
    let Some(documents) = documents(is_stream, body) else { return false };
    match api {
        Api::AnthropicMessages if is_stream => anthropic_events(&documents),
        Api::AnthropicMessages => matches!(&*documents, [Document::Json(message)] if anthropic(message)),
        Api::OpenAiChat => chat(&documents, is_stream),
        Api::OpenAiResponses if is_stream => response_events(&documents),
        Api::OpenAiResponses => {
            matches!(&*documents, [Document::Json(response)] if response_is_whole(response))
        }
        Api::GeminiGenerateContent => gemini(&documents),
        _ => false,
    }
}

enum Document {
    Json(Value),
    /// The word with which OpenAI's streams end.
    Done,
}

/// The documents of an answer; `None`: one of them cannot be read, or the last event is not at its end.
fn documents(is_stream: bool, body: &[u8]) -> Option<Vec<Document>> {
    if !is_stream {
        return Some(vec![Document::Json(serde_json::from_slice(body).ok()?)]);
    }
    let (mut data, mut events) = (Vec::new(), Vec::new());
    Pieces::default().feed(body, |piece| match piece {
        Piece::Data(bytes) => data.extend_from_slice(bytes),
        Piece::End => events.push(std::mem::take(&mut data)),
    });
    if !data.is_empty() {
        return None;
    }
    events
        .iter()
        .map(|event| event.trim_ascii())
        .filter(|event| !event.is_empty())
        .map(|event| match event {
            b"[DONE]" => Some(Document::Done),
            event => Some(Document::Json(serde_json::from_slice(event).ok()?)),
        })
        .collect()
}

fn jsons(documents: &[Document]) -> impl Iterator<Item = &Value> {
    documents.iter().filter_map(|document| match document {
        Document::Json(value) => Some(value),
        Document::Done => None,
    })
}

fn kind(value: &Value) -> &str {
    value.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn says(value: &Value, member: &str) -> bool {
    value.get(member).is_some_and(says_something)
}

fn items<'v>(value: &'v Value, member: &str) -> &'v [Value] {
    value.get(member).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

// === Anthropic Messages ===

fn anthropic(message: &Value) -> bool {
    let content = items(message, "content");
    kind(message) == "message"
        && content.iter().all(anthropic_block)
        && content.iter().any(|block| kind(block) == "text" && says(block, "text"))
        && message.get("stop_reason").is_some_and(|reason| reason == "end_turn")
}

fn anthropic_block(block: &Value) -> bool {
    matches!(kind(block), "text" | "thinking" | "redacted_thinking")
}

fn anthropic_events(documents: &[Document]) -> bool {
    let (mut has_words, mut reason) = (false, None);
    for event in jsons(documents) {
        match kind(event) {
            "message_start" | "content_block_stop" | "ping" | "message_stop" => {}
            "content_block_delta" => has_words |= event.pointer("/delta/text").is_some_and(says_something),
            "content_block_start" => match event.get("content_block") {
                Some(block) if anthropic_block(block) => has_words |= says(block, "text"),
                _ => return false,
            },
            "message_delta" => {
                reason = event.pointer("/delta/stop_reason").and_then(Value::as_str).or(reason)
            }
            // An error, or an event that is not known.
            _ => return false,
        }
    }
    let ends = matches!(documents.last(), Some(Document::Json(event)) if kind(event) == "message_stop");
    ends && has_words && reason == Some("end_turn")
}

// === OpenAI Chat ===

/// Members of a choice's message that are words, or what the model has thought.
const CHAT_WORDS: [&str; 6] =
    ["content", "reasoning", "reasoning_content", "reasoning_details", "role", "thinking_blocks"];
/// Members of the answer with what the provider has found elsewhere.
const CHAT_FOUND: [&str; 3] = ["citations", "search_results", "related_questions"];

fn chat(documents: &[Document], is_stream: bool) -> bool {
    let (message, ends) = match is_stream {
        true => ("delta", matches!(documents.last(), Some(Document::Done))),
        false => ("message", true),
    };
    let mut has_words = false;
    let mut choices: BTreeMap<u64, bool> = BTreeMap::new();
    for document in jsons(documents) {
        if says(document, "error") || CHAT_FOUND.iter().any(|member| says(document, member)) {
            return false;
        }
        for choice in items(document, "choices") {
            let said = choice.get(message).unwrap_or(&Value::Null);
            if says(choice, "error") || !chat_message(said) {
                return false;
            }
            has_words |= says(said, "content");
            let index = choice.get("index").and_then(Value::as_u64).unwrap_or_default();
            let is_over = choices.entry(index).or_default();
            match choice.get("finish_reason").and_then(Value::as_str) {
                Some("stop") => *is_over = true,
                Some(_) => return false,
                None => {}
            }
        }
    }
    ends && has_words && choices.values().all(|is_over| *is_over)
}

/// Whether a message, or a piece of one, is of words alone: what it calls, has run, cites or draws stands beside them.
fn chat_message(message: &Value) -> bool {
    let members = message.as_object().into_iter().flatten();
    let is_text = |part: &Value| matches!(kind(part), "text" | "output_text" | "thinking");
    members.into_iter().all(|(name, value)| match value {
        Value::Array(parts) if name == "content" => parts.iter().all(is_text),
        value => CHAT_WORDS.contains(&name.as_str()) || !holds_something(value),
    })
}

/// As [`says_something`], where an object of members that say nothing says nothing either.
fn holds_something(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.values().any(holds_something),
        value => says_something(value),
    }
}

// === OpenAI Responses ===

fn response_is_whole(response: &Value) -> bool {
    response.get("status").is_some_and(|status| status == "completed")
        && !says(response, "error")
        && !says(response, "incomplete_details")
        && items(response, "output").iter().all(response_item)
        && items(response, "output").iter().any(response_speaks)
}

fn response_speaks(item: &Value) -> bool {
    kind(item) == "message" && items(item, "content").iter().any(|part| says(part, "text"))
}

/// A message, of text that leans on nothing found elsewhere, or what the model has thought.
fn response_item(item: &Value) -> bool {
    match kind(item) {
        "reasoning" => true,
        "message" => items(item, "content")
            .iter()
            .all(|part| kind(part) == "output_text" && !says(part, "annotations")),
        _ => false,
    }
}

/// How the types of events begin that belong to words.
const RESPONSE_WORDS: [&str; 9] = [
    "keepalive",
    "ping",
    "response.content_part.",
    "response.created",
    "response.in_progress",
    "response.output_text.delta",
    "response.output_text.done",
    "response.queued",
    "response.reasoning",
];

fn response_events(documents: &[Document]) -> bool {
    let (mut is_over, mut has_words) = (false, false);
    for event in jsons(documents) {
        match kind(event) {
            "response.completed" => {
                let Some(response) = event.get("response") else { return false };
                // Some servers name the items in their events alone.
                let is_listed = !items(response, "output").is_empty();
                let is_completed = response.get("status").is_none_or(|status| status == "completed");
                if !is_completed || says(response, "error") || is_listed && !response_is_whole(response) {
                    return false;
                }
                is_over = true;
            }
            "response.output_item.added" | "response.output_item.done" => match event.get("item") {
                Some(item) if response_item(item) => has_words |= response_speaks(item),
                _ => return false,
            },
            kind if RESPONSE_WORDS.iter().any(|start| kind.starts_with(start)) => {}
            // An error, a refusal, a citation, a call, or an event that is not known.
            _ => return false,
        }
    }
    is_over && has_words
}

// === Gemini ===

fn gemini(documents: &[Document]) -> bool {
    let mut has_words = false;
    let mut candidates: BTreeMap<u64, bool> = BTreeMap::new();
    for document in jsons(documents) {
        if says(document, "error")
            || document.pointer("/promptFeedback/blockReason").is_some_and(says_something)
        {
            return false;
        }
        for candidate in items(document, "candidates") {
            let leans = ["groundingMetadata", "urlContextMetadata", "citationMetadata"];
            if leans.iter().any(|member| says(candidate, member)) {
                return false;
            }
            let parts = candidate.get("content").map_or(&[][..], |content| items(content, "parts"));
            if !parts.iter().all(gemini_part) {
                return false;
            }
            has_words |= parts.iter().any(|part| says(part, "text") && !says(part, "thought"));
            let index = candidate.get("index").and_then(Value::as_u64).unwrap_or_default();
            let is_over = candidates.entry(index).or_default();
            match candidate.get("finishReason").and_then(Value::as_str) {
                Some("STOP") => *is_over = true,
                Some(_) => return false,
                None => {}
            }
        }
    }
    has_words && candidates.values().all(|is_over| *is_over)
}

fn gemini_part(part: &Value) -> bool {
    let Some(members) = part.as_object() else { return false };
    members.keys().all(|name| matches!(folded(name).as_str(), "text" | "thought" | "thoughtsignature"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn events(events: &[Value]) -> Vec<u8> {
        events.iter().map(|event| format!("data: {event}\n\n")).collect::<String>().into_bytes()
    }

    fn message(content: Value, reason: &str) -> Vec<u8> {
        json!({"type": "message", "content": content, "stop_reason": reason}).to_string().into_bytes()
    }

    fn streamed(content: Value, reason: &str) -> Vec<u8> {
        events(&[
            json!({"type": "message_start", "message": {"content": [], "stop_reason": null}}),
            json!({"type": "content_block_start", "index": 0, "content_block": content}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": {"stop_reason": reason}}),
            json!({"type": "message_stop"}),
        ])
    }

    #[test]
    fn an_answer_of_anthropic_is_whole_when_the_model_had_nothing_more_to_say() {
        let text = json!({"type": "text", "text": "a"});
        let call = json!({"type": "tool_use", "id": "t", "name": "f", "input": {}});
        let thought = json!({"type": "thinking", "thinking": "b", "signature": "c"});
        let whole = |is_stream, body: &[u8]| is_whole(Api::AnthropicMessages, is_stream, body);
        assert!(whole(false, &message(json!([thought, text]), "end_turn")));
        assert!(whole(true, &streamed(text.clone(), "end_turn")));
        for reason in ["max_tokens", "tool_use", "refusal", "pause_turn", "model_context_window_exceeded"] {
            assert!(!whole(false, &message(json!([text]), reason)), "{reason}");
            assert!(!whole(true, &streamed(text.clone(), reason)), "{reason}");
        }
        for other in [call, json!({"type": "server_tool_use"}), json!({})] {
            assert!(!whole(false, &message(json!([other]), "end_turn")), "{other}");
            assert!(!whole(true, &streamed(other.clone(), "end_turn")), "{other}");
        }
        assert!(!whole(false, &message(json!([]), "end_turn")), "nothing is said");
        let mut broken = streamed(text.clone(), "end_turn");
        broken.extend(events(&[json!({"type": "error", "error": {"type": "overloaded_error"}})]));
        assert!(!whole(true, &broken));
        assert!(!whole(false, br#"{"type":"error","error":{"type":"overloaded_error"}}"#));
    }

    /// What may be missing at the end of a stream is less than an event, a blank line: it is cut everywhere else.
    #[test]
    fn a_stream_that_was_cut_is_not_whole() {
        let anthropic = streamed(json!({"type": "text", "text": ""}), "end_turn");
        let mut chat = events(&[
            json!({"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": null}]}),
            json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
        ]);
        chat.extend(b"data: [DONE]\n\n");
        let item = json!({"type": "message", "content": [{"type": "output_text", "text": "a"}]});
        let responses = events(&[
            json!({"type": "response.output_item.added", "item": {"type": "message", "content": []}}),
            json!({"type": "response.output_item.done", "item": item}),
            json!({"type": "response.completed", "response": {"status": "completed", "output": [item]}}),
        ]);
        let gemini = events(&[
            json!({"candidates": [{"content": {"parts": [{"text": "a"}]}}]}),
            json!({"candidates": [{"content": {"parts": [{"text": "b"}]}, "finishReason": "STOP"}]}),
        ]);
        for (api, whole) in [
            (Api::AnthropicMessages, anthropic),
            (Api::OpenAiChat, chat),
            (Api::OpenAiResponses, responses),
            (Api::GeminiGenerateContent, gemini),
        ] {
            assert!(is_whole(api, true, &whole), "{api:?}");
            for end in 0..whole.len() - 1 {
                assert!(!is_whole(api, true, &whole[..end]), "{api:?} {end}");
            }
        }
    }

    #[test]
    fn an_answer_of_chat_is_whole_when_every_choice_has_stopped() {
        let answer = |message: Value, reason: Value| {
            let choices = json!([
                {"index": 0, "message": {"content": "a"}, "finish_reason": "stop"},
                {"index": 1, "message": message, "finish_reason": reason},
            ]);
            is_whole(Api::OpenAiChat, false, json!({"choices": choices}).to_string().as_bytes())
        };
        assert!(answer(json!({"content": "b", "refusal": null, "annotations": []}), json!("stop")));
        for reason in [json!("length"), json!("tool_calls"), json!("content_filter"), json!(null)] {
            assert!(!answer(json!({"content": "b"}), reason.clone()), "{reason}");
        }
        for (member, value) in [
            ("tool_calls", json!([{"id": "c"}])),
            ("function_call", json!({"name": "f"})),
            ("refusal", json!("I cannot.")),
            ("audio", json!({"id": "a"})),
            ("annotations", json!([{"type": "url_citation"}])),
            ("executed_tools", json!([{"type": "search"}])),
            ("content", json!([{"type": "tool_reference"}])),
            ("a_member_of_tomorrow", json!({"a": 1})),
        ] {
            assert!(!answer(json!({member: value}), json!("stop")), "{member}");
        }
        for said in [
            json!({"content": "b", "reasoning_content": "c", "provider_specific_fields": {"refusal": null}}),
            json!({"content": [{"type": "text", "text": "b"}], "tool_calls": null, "prefix": false}),
        ] {
            assert!(answer(said.clone(), json!("stop")), "{said}");
        }
        let cites = br#"{"citations": ["https://a"], "choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}"#;
        assert!(!is_whole(Api::OpenAiChat, false, cites));
        assert!(!is_whole(Api::OpenAiChat, false, br#"{"choices":[]}"#));
        assert!(!is_whole(Api::OpenAiChat, false, br#"{"error":{"message":"x"}}"#));
    }

    #[test]
    fn an_answer_of_responses_is_whole_when_it_is_completed_and_only_says_something() {
        let answer = |status: &str, output: Value| {
            let body = json!({"status": status, "error": null, "incomplete_details": null, "output": output});
            is_whole(Api::OpenAiResponses, false, body.to_string().as_bytes())
        };
        let text =
            json!({"type": "message", "content": [{"type": "output_text", "text": "a", "annotations": []}]});
        assert!(answer("completed", json!([{"type": "reasoning"}, text])));
        for status in ["incomplete", "in_progress", "failed", "queued"] {
            assert!(!answer(status, json!([text])), "{status}");
        }
        for item in [
            json!({"type": "function_call"}),
            json!({"type": "web_search_call"}),
            json!({"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}),
        ] {
            assert!(!answer("completed", json!([text, item])), "{item}");
        }
        assert!(!answer("completed", json!([])));
    }

    #[test]
    fn an_answer_of_gemini_is_whole_when_it_has_stopped_and_leans_on_nothing() {
        let answer = |candidate: Value| {
            is_whole(
                Api::GeminiGenerateContent,
                false,
                json!({"candidates": [candidate]}).to_string().as_bytes(),
            )
        };
        let text = json!({"parts": [{"text": "a", "thoughtSignature": "s"}]});
        assert!(answer(json!({"content": text, "finishReason": "STOP"})));
        for candidate in [
            json!({"content": text, "finishReason": "MAX_TOKENS"}),
            json!({"content": text, "finishReason": "SAFETY"}),
            json!({"content": text}),
            json!({"content": {"parts": [{"functionCall": {"name": "f"}}]}, "finishReason": "STOP"}),
            json!({"content": {"parts": [{"inlineData": {"data": ""}}]}, "finishReason": "STOP"}),
            json!({"content": text, "finishReason": "STOP", "groundingMetadata": {"webSearchQueries": ["q"]}}),
        ] {
            assert!(!answer(candidate.clone()), "{candidate}");
        }
        assert!(!is_whole(
            Api::GeminiGenerateContent,
            false,
            br#"{"promptFeedback":{"blockReason":"SAFETY"}}"#
        ));
        assert!(!is_whole(Api::GeminiGenerateContent, false, br#"[{"candidates":[]}]"#));
    }

    #[test]
    fn an_answer_without_a_word_is_none() {
        let chat = |content: Value| json!({"choices": [{"index": 0, "message": {"content": content}, "finish_reason": "stop"}]});
        let chat_stream = |content: Value| {
            let delta = json!({"index": 0, "delta": {"content": content}, "finish_reason": "stop"});
            [events(&[json!({"choices": [delta]})]), b"data: [DONE]\n\n".to_vec()].concat()
        };
        let item =
            |text: &str| json!({"type": "message", "content": [{"type": "output_text", "text": text}]});
        let response = |text: &str| json!({"status": "completed", "output": [item(text)]});
        let response_stream = |text: &str| {
            events(&[
                json!({"type": "response.output_item.done", "item": item(text)}),
                json!({"type": "response.completed", "response": {"status": "completed", "output": []}}),
            ])
        };
        let gemini =
            |part: Value| json!({"candidates": [{"content": {"parts": [part]}, "finishReason": "STOP"}]});
        let bytes = |value: Value| value.to_string().into_bytes();
        let text = |text: &str| json!({"type": "text", "text": text});
        let anthropic_stream = |delta: &str| {
            let events = streamed(text(""), "end_turn");
            String::from_utf8(events).unwrap().replace("\"text\":\"a\"", delta).into_bytes()
        };
        for (api, is_stream, silent, speaking) in [
            (
                Api::AnthropicMessages,
                false,
                message(json!([text("")]), "end_turn"),
                message(json!([text("a")]), "end_turn"),
            ),
            (
                Api::AnthropicMessages,
                true,
                anthropic_stream("\"text\":\"\""),
                anthropic_stream("\"text\":\"a\""),
            ),
            (Api::OpenAiChat, false, bytes(chat(json!(""))), bytes(chat(json!("a")))),
            (Api::OpenAiChat, false, bytes(chat(json!(null))), bytes(chat(json!("a")))),
            (Api::OpenAiChat, true, chat_stream(json!("")), chat_stream(json!("a"))),
            (Api::OpenAiResponses, false, bytes(response("")), bytes(response("a"))),
            (Api::OpenAiResponses, true, response_stream(""), response_stream("a")),
            (
                Api::GeminiGenerateContent,
                false,
                bytes(gemini(json!({"text": "a", "thought": true}))),
                bytes(gemini(json!({"text": "a"}))),
            ),
        ] {
            assert!(!is_whole(api, is_stream, &silent), "{api:?} {}", String::from_utf8_lossy(&silent));
            assert!(is_whole(api, is_stream, &speaking), "{api:?} {}", String::from_utf8_lossy(&speaking));
        }
    }

    #[test]
    fn an_event_that_is_not_known_makes_a_stream_of_responses_none() {
        let item = json!({"type": "message", "content": [{"type": "output_text", "text": "a"}]});
        let stream = |kind: &str| {
            let completed = json!({"status": "completed", "output": [item]});
            is_whole(
                Api::OpenAiResponses,
                true,
                &events(&[
                    json!({"type": kind, "item": item}),
                    json!({"type": "response.completed", "response": completed}),
                    json!({"type": "response.output_item.done", "item": item}),
                ]),
            )
        };
        assert!(stream("response.output_text.delta"));
        assert!(stream("response.reasoning_summary_text.delta"));
        for kind in
            ["response.web_search_call.searching", "response.output_text.annotation.added", "error", ""]
        {
            assert!(!stream(kind), "{kind}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_looked_at(bytes in prop::collection::vec(any::<u8>(), 0..200), is_stream: bool) {
            for api in Api::ALL {
                prop_assert!(!is_whole(api, is_stream, &bytes));
            }
        }
    }
}
