//! Bytes that no client would send: nothing panics, and what came in goes out.

use headroom_api::v1::Usage;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::host::host;
use crate::proxy::Plugin;
use crate::retrieving;

/// Bytes that are often JSON, so that they pass the first check.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "1",
        "-",
        ".",
        "e",
        "null",
        "true",
        " ",
        "\n",
        "\u{e9}",
        "\"mode\"",
        "\"tools\"",
        "\"tool\"",
        "\"policy\"",
        "\"off\"",
        "\"control_plane\"",
        "\"cluster\"",
        "\"c\"",
        "\"messages\"",
        "\"role\"",
        "\"user\"",
        "\"content\"",
        "\"tool_result\"",
        "\"type\"",
        "\"usage\"",
        "\"message\"",
        "\"input_tokens\"",
        "\"output_tokens\"",
        "data:",
        "data: ",
        "event: x",
        "\n\n",
        "\r",
    ]);
    prop_oneof![
        prop::collection::vec(token, 0..60).prop_map(|tokens| tokens.concat().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..200),
    ]
}

/// A JSON document with usage in any place.
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<u32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z{}\\[\\]\",:\\\\é]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        let key = prop::sample::select(vec![
            "usage",
            "message",
            "response",
            "input_tokens",
            "output_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
            "input_tokens_details",
            "cached_tokens",
            "id",
            "a\"b\\\\c",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6).prop_map(|entries| Value::Object(
                entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}

/// The usage that a parser of the whole document finds, reading in the document's order.
fn usage_of(document: &Value) -> Option<Usage> {
    #[derive(Default)]
    struct FoundUsage {
        usage: Usage,
        cached: Option<u64>,
    }
    fn read(usage: &Value, found: &mut Option<FoundUsage>) {
        let Value::Object(entries) = usage else { return };
        for (key, value) in entries {
            if key == "input_tokens_details" {
                if let Some(cached) = value.get("cached_tokens").and_then(Value::as_u64) {
                    found.get_or_insert_default().cached = Some(cached);
                }
                continue;
            }
            let Some(figure) = value.as_u64() else { continue };
            match key.as_str() {
                "input_tokens" => found.get_or_insert_default().usage.input_tokens = figure,
                "output_tokens" => found.get_or_insert_default().usage.output_tokens = figure,
                "cache_read_input_tokens" => found.get_or_insert_default().usage.cache_read_tokens = figure,
                "cache_creation_input_tokens" => {
                    found.get_or_insert_default().usage.cache_write_tokens = figure
                }
                "cached_tokens" => found.get_or_insert_default().cached = Some(figure),
                _ => {}
            }
        }
    }
    let mut found = None;
    let roots = match document {
        Value::Array(items) => items.iter().collect(),
        other => vec![other],
    };
    for root in roots {
        let Value::Object(entries) = root else { continue };
        for (key, value) in entries {
            match key.as_str() {
                "usage" => read(value, &mut found),
                "message" | "response" => {
                    let Value::Object(entries) = value else { continue };
                    entries
                        .iter()
                        .filter(|(key, _)| *key == "usage")
                        .for_each(|(_, usage)| read(usage, &mut found));
                }
                _ => {}
            }
        }
    }
    // A provider that reports cached input also counts it as input.
    let FoundUsage { mut usage, cached } = found?;
    if let Some(cached) = cached {
        usage.cache_read_tokens = usage.cache_read_tokens.max(cached);
        usage.input_tokens =
            usage.input_tokens.saturating_sub(usage.cache_read_tokens + usage.cache_write_tokens);
    }
    Some(usage)
}

fn usage_read(content_type: &str, answer: &[u8], piece: usize) -> Option<Usage> {
    host(|host| host.grpc_calls.clear());
    let mut plugin = Plugin::reporting();
    let mut stream = plugin.post("/v1/messages", &[], b"{}");
    stream.respond("200", content_type, &[]);
    for bytes in answer.chunks(piece) {
        stream.respond_body(bytes, false);
    }
    stream.finish();
    let usage = plugin.records().pop().unwrap().usage;
    plugin.delete();
    usage
}

proptest! {
    #[test]
    fn no_configuration_is_rejected(configuration in nearly_json()) {
        let mut plugin = Plugin::start(1, &configuration);
        let stream = plugin.post("/other", &[], b"body");
        prop_assert_eq!(&*stream.sent_body, b"body");
    }

    #[test]
    fn a_body_that_cannot_be_read_leaves_as_it_came(body in nearly_json(), path in "/v1/(messages|chat/completions|responses)|/v1beta/models/m:generateContent") {
        let mut plugin = Plugin::new(json!({"body_mode": "hold"}));
        let stream = plugin.post(&path, &[], &body);
        prop_assert!(!stream.paused());
        prop_assert_eq!(&stream.sent_body, &body);
    }

    #[test]
    fn a_header_map_that_does_not_add_up_does_no_harm(serialized in prop::collection::vec(any::<u8>(), 0..64), pairs in 0u32..4) {
        for head in [serialized.clone(), [&pairs.to_le_bytes()[..], &[3, 0, 0, 0], &serialized].concat()] {
            host(|host| host.serialized_headers = Some(head));
            let mut plugin = Plugin::new(json!({}));
            let mut stream = plugin.post("/v1/messages", &[], b"body");
            stream.respond("200", "application/json", &[]);
            stream.respond_body(b"{}", true);
            prop_assert_eq!(&*stream.sent_body, b"body");
            stream.finish();
        }
    }

    #[test]
    fn an_answer_that_cannot_be_read_passes(answer in nearly_json(), piece in 1usize..20) {
        for content_type in ["application/json", "text/event-stream"] {
            usage_read(content_type, &answer, piece);
        }
    }

    #[test]
    fn an_answer_that_is_followed_and_cannot_be_read_passes(answer in nearly_json(), piece in 1usize..20, events: bool) {
        let mut plugin = retrieving::plugin();
        let (mut stream, _) = retrieving::sent(&mut plugin);
        stream.respond("200", if events { "text/event-stream" } else { "application/json" }, &[]);
        let answer = if events { [&b"data: "[..], &answer, b"\n\n"].concat() } else { answer };
        for piece in answer.chunks(piece) {
            stream.provider_sends(piece, false);
        }
        stream.provider_sends(b"", true);
        prop_assert_eq!(&stream.client, &answer);
        stream.finish();
        plugin.delete();
    }

    #[test]
    fn usage_is_what_a_parser_of_the_whole_document_finds(document in document(), piece in 1usize..40, pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) }.unwrap();
        let expected = usage_of(&document);
        prop_assert_eq!(usage_read("application/json", text.as_bytes(), piece), expected);
        let event = text.lines().map(|line| format!("data: {line}\r\n")).collect::<String>() + "\r\n";
        prop_assert_eq!(usage_read("text/event-stream", event.as_bytes(), piece), expected);
    }
}
