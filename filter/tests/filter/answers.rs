//! Answers: they pass as they come, and their usage is read on the way.

use headroom_api::v1::Usage;
use serde_json::json;

use crate::host::host;
use crate::proxy::{Plugin, compressible};

const ANTHROPIC_EVENTS: &str = "event: message_start\r\n\
data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"usage\":{\"input_tokens\":25,\"cache_creation_input_tokens\":3,\"cache_read_input_tokens\":11,\"cache_creation\":{\"ephemeral_5m_input_tokens\":3},\"output_tokens\":1}}}\r\n\
\r\n\
: ping\n\
event: content_block_delta\n\
data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"\\\"usage\\\":{\\\"output_tokens\\\":999} naïve 😀 \\\\\"}}\n\
\n\
event: message_delta\n\
data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":42}}\n\
\n\
event: message_stop\n\
data: {\"type\":\"message_stop\"}\n\n";

const OPENAI_EVENTS: &str = "data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"content\":\"usage\"}}],\"usage\":null}\n\n\
data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":20,\"total_tokens\":120,\"prompt_tokens_details\":{\"cached_tokens\":64,\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":5}}}\n\n\
data: [DONE]\n\n";

const RESPONSES_EVENTS: &str = "event: response.completed\n\
data: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"output\":[{\"usage\":{\"input_tokens\":1}}],\"usage\":{\"input_tokens\":36,\"input_tokens_details\":{\"cached_tokens\":8},\"output_tokens\":87,\"total_tokens\":123}}}\n\n";

const GEMINI_ARRAY: &str = "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}],\"usageMetadata\":{\"promptTokenCount\":9}},\n\
{\"candidates\":[],\"usageMetadata\":{\"promptTokenCount\":9,\"candidatesTokenCount\":4,\"thoughtsTokenCount\":6,\"cachedContentTokenCount\":2}}]";

fn usage(input: u64, output: u64, cache_read: u64, cache_write: u64) -> Usage {
    Usage {
        input_tokens: input,
        output_tokens: output,
        cache_read_tokens: cache_read,
        cache_write_tokens: cache_write,
        ..Usage::default()
    }
}

/// The usage in the record of a request that got this answer in pieces of `piece` bytes.
fn read(content_type: &str, answer: &str, piece: usize) -> Option<Usage> {
    let mut plugin = Plugin::start(1, br#"{"control_plane":{"cluster":"c"}}"#);
    let mut stream = plugin.post("/v1/messages", &[], b"{\"messages\":[]}");
    stream.respond("200", content_type, &[]);
    for bytes in answer.as_bytes().chunks(piece) {
        stream.respond_body(bytes, false);
    }
    stream.respond_body(b"", true);
    stream.finish();
    let record = plugin.records().pop().unwrap();
    plugin.delete();
    host(|host| host.grpc_calls.clear());
    record.usage
}

#[test]
fn usage_is_read_from_every_providers_answer_wherever_the_network_cuts_it() {
    let anthropic = r#"{"id":"m","content":[{"type":"tool_use","input":{"usage":{"input_tokens":1}}}],
        "usage":{"input_tokens":10,"output_tokens":20,"cache_read_input_tokens":30,"cache_creation_input_tokens":40,
        "server_tool_use":{"input_tokens":5}}}"#;
    let chat = r#"{"choices":[{"message":{"content":"{\"usage\":{\"prompt_tokens\":1}}"}}],
        "usage":{"prompt_tokens":7,"completion_tokens":8,"prompt_tokens_details":{"cached_tokens":3}}}"#;
    let gemini = "data: {\"usageMetadata\":{\"promptTokenCount\":9,\"candidatesTokenCount\":4}}\r\n\r\n";
    let cases = [
        ("application/json", anthropic, usage(10, 20, 30, 40)),
        ("application/json; charset=utf-8", chat, usage(7, 8, 3, 0)),
        ("Application/JSON", GEMINI_ARRAY, usage(9, 10, 2, 0)),
        ("text/event-stream; charset=utf-8", ANTHROPIC_EVENTS, usage(25, 42, 11, 3)),
        ("text/event-stream", OPENAI_EVENTS, usage(100, 20, 64, 0)),
        ("text/event-stream", RESPONSES_EVENTS, usage(36, 87, 8, 0)),
        ("text/event-stream", gemini, usage(9, 4, 0, 0)),
    ];
    for (content_type, answer, expected) in cases {
        for piece in [1, 2, 3, 7, 64, usize::MAX] {
            let piece = piece.min(answer.len());
            assert_eq!(
                read(content_type, answer, piece),
                Some(expected),
                "{content_type} by {piece}: {answer}"
            );
        }
    }
}

#[test]
fn an_answer_without_usage_has_none() {
    let deep = "[".repeat(100_000);
    let cases = [
        ("application/json", r#"{"type":"error","error":{"message":"usage"}}"#),
        ("application/json", r#"{"usage":null}"#),
        ("application/json", r#"{"usage":{"input_tokens":"7"}}"#),
        ("application/json", r#"{"usage":{"input_tokens":1.5,"output_tokens":1e3}}"#),
        ("application/json", r#"{"usage":{"input_tokens":99999999999999999999999}}"#),
        ("application/json", r#"{"usage":{"other":{"input_tokens":7}}}"#),
        ("application/json", "}}}}]]]]\"\\"),
        ("application/json", &deep),
        ("text/event-stream", "datum: {\"usage\":{\"input_tokens\":1}}\n\nid: 7\n\n"),
        ("text/html", r#"{"usage":{"input_tokens":7}}"#),
    ];
    for (content_type, answer) in cases {
        assert_eq!(read(content_type, answer, 5), None, "{answer:.80}");
    }
}

#[test]
fn an_encoded_answer_is_left_alone() {
    let mut plugin = Plugin::reporting();
    let mut stream = plugin.post("/v1/messages", &[], b"{\"messages\":[]}");
    stream.respond("200", "application/json", &[("content-encoding", "gzip")]);
    host(|host| host.calls.clear());
    stream.respond_body(br#"{"usage":{"input_tokens":7}}"#, true);
    assert_eq!(host(|host| host.calls.len()), 0);
    stream.finish();
    assert_eq!(plugin.records().pop().unwrap().usage, None);
}

#[test]
fn usage_is_not_read_when_it_is_switched_off() {
    let mut plugin = Plugin::new(json!({"read_usage": false, "control_plane": {"cluster": "c"}}));
    let mut stream = plugin.post("/v1/messages", &[], b"{\"messages\":[]}");
    stream.respond("200", "application/json", &[]);
    stream.respond_body(br#"{"usage":{"input_tokens":7}}"#, true);
    stream.finish();
    let record = plugin.records().pop().unwrap();
    assert_eq!((record.status, record.usage), (200, None));
}

#[test]
fn the_client_is_told_what_was_saved() {
    let mut plugin = Plugin::new(json!({}));
    let mut stream = plugin.post("/v1/messages", &[], &compressible());
    let headers = stream.respond("200", "application/json", &[("x-request-id", "provider's")]);
    let value = |name: &str| {
        let found = headers.iter().find(|(of, _)| of == name).unwrap_or_else(|| panic!("no {name}"));
        String::from_utf8(found.1.clone()).unwrap()
    };
    let number = |name: &str| -> u64 { value(name).parse().unwrap() };
    let (before, after) = (number("x-headroom-tokens-before"), number("x-headroom-tokens-after"));
    assert!(after < before);
    assert_eq!(number("x-headroom-tokens-saved"), before - after);
    assert_eq!(value("x-headroom-outcome"), "compressed");
    assert_eq!(value("x-headroom-model"), "claude-sonnet-4-5");
    assert!(!value("x-headroom-transforms").is_empty());
    assert!(value("x-headroom-request-id").starts_with("hr_"));
    assert_eq!(value("x-request-id"), "provider's");
}

#[test]
fn a_model_name_that_is_no_header_value_is_not_made_one() {
    let mut plugin = Plugin::new(json!({}));
    let body = br#"{"model":"a\r\nset-cookie: x=1","messages":[{"role":"user","content":"hi"}]}"#;
    let mut stream = plugin.post("/v1/messages", &[], body);
    let headers = stream.respond("200", "application/json", &[]);
    assert!(headers.iter().any(|(name, _)| name == "x-headroom-outcome"));
    assert!(headers.iter().all(|(name, value)| name != "x-headroom-model" || !value.contains(&b'\n')));
}

#[test]
fn the_client_is_told_nothing_when_that_is_switched_off_or_the_request_is_not_ours() {
    for (configuration, path) in [(json!({"response_headers": false}), "/v1/messages"), (json!({}), "/other")]
    {
        let mut stream = Plugin::new(configuration).post(path, &[], &compressible());
        let headers = stream.respond("200", "application/json", &[]);
        assert!(headers.iter().all(|(name, _)| !name.starts_with("x-headroom-")), "{headers:?}");
        stream.finish();
    }
}
