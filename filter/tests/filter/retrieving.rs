//! Calls of `headroom_retrieve` are answered on the way, and whatever goes wrong, the client gets a complete
//! answer.

use headroom_api::v1::{RetrieveRequest, RetrieveResponse};
use prost::Message;
use serde_json::{Value, json};

use crate::exports;
use crate::host::{HttpCall, Refusal, host, metric, refusing, statuses};
use crate::proxy::{Plugin, Stream, calls, lossy};

const HASH: &str = "0123456789abcdef01234567";
const CREDENTIAL: &str = "sk-ant-s3cret";
const ORIGINAL: &str = "line 1\nline \"2\"";

pub(crate) fn plugin() -> Plugin {
    Plugin::new(json!({
        "reversible": true,
        "tenant": "t",
        "providers": [{"cluster": "the provider's", "authority": "api.example.com", "path_prefix": "/base"}],
        "control_plane": {"cluster": "c"},
    }))
}

/// A request with our tool on its way to the provider, and its forwarded body.
pub(crate) fn sent(plugin: &mut Plugin) -> (Stream, Vec<u8>) {
    let headers = [
        ("x-api-key", CREDENTIAL),
        ("idempotency-key", "once"),
        ("x-initiator", "user"),
        ("x-headroom-stack", "s"),
        ("accept-encoding", "gzip"),
    ];
    let stream = plugin.post("/v1/messages?beta=true", &headers, &lossy(&[400]));
    let body = stream.sent_body.clone();
    assert!(String::from_utf8_lossy(&body).contains(r#"{"name":"headroom_retrieve""#));
    (stream, body)
}

pub(crate) fn message(content: Value, reason: &str) -> String {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "content": content, "stop_reason": reason,
        "usage": {"input_tokens": 100, "output_tokens": 7}})
    .to_string()
}

fn call(hash: &str) -> Value {
    json!({"type": "tool_use", "id": "toolu_1", "name": "headroom_retrieve", "input": {"hash": hash, "lines": "1-2"}})
}

pub(crate) fn events(content: &[Value], reason: &str) -> String {
    let usage = json!({"input_tokens": 100, "output_tokens": 1});
    let mut events = vec![json!({"type": "message_start", "message": {"id": "msg_1", "usage": usage}})];
    for (index, block) in content.iter().enumerate() {
        let (start, delta) = match block["type"].as_str().unwrap() {
            "text" => {
                (json!({"type": "text", "text": ""}), json!({"type": "text_delta", "text": block["text"]}))
            }
            _ => {
                let mut start = block.clone();
                start["input"] = json!({});
                (start, json!({"type": "input_json_delta", "partial_json": block["input"].to_string()}))
            }
        };
        events.push(json!({"type": "content_block_start", "index": index, "content_block": start}));
        events.push(json!({"type": "content_block_delta", "index": index, "delta": delta}));
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    let usage = json!({"output_tokens": 7});
    events.push(json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}));
    events.push(json!({"type": "message_stop"}));
    let lines =
        events.iter().map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()));
    lines.collect()
}

pub(crate) fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

/// Sends an answer that calls the tool.
fn asks(stream: &mut Stream, streamed: bool) {
    let content = [text("I look. "), call(HASH)];
    let (kind, body) = if streamed {
        ("text/event-stream; charset=utf-8", events(&content, "tool_use"))
    } else {
        ("application/json", message(json!(content), "tool_use"))
    };
    let headers = stream.respond("200", kind, &[("content-length", "700")]);
    assert!(headers.iter().all(|(name, _)| name != "content-length"));
    for piece in body.as_bytes().chunks(50) {
        stream.provider_sends(piece, false);
    }
    stream.provider_sends(b"", true);
}

/// Lets the sidecar return the original, or none.
fn gives(stream: &mut Stream, found: bool) -> RetrieveRequest {
    let call = calls("Retrieve").pop().expect("a call for the original");
    let content = if found { ORIGINAL.to_owned() } else { String::new() };
    let answer = RetrieveResponse { found, content, length: 15 };
    stream.sidecar_answers(call.token, Some(&answer.encode_to_vec()));
    RetrieveRequest::decode(&*call.message).unwrap()
}

pub(crate) fn last_call() -> HttpCall {
    host(|host| host.http_calls.last().cloned()).expect("a request to go on")
}

/// Sends the second round, which ends the answer.
pub(crate) fn ends(stream: &mut Stream, streamed: bool) {
    let content = [text("It is 2.")];
    if streamed {
        let body = events(&content, "end_turn");
        stream.provider_goes_on(Some(("200", "text/event-stream", body.as_bytes())));
    } else {
        let body = message(json!(content), "end_turn");
        stream.provider_goes_on(Some(("200", "application/json", body.as_bytes())));
    }
}

/// What the client reads: texts, names of calls, and the stop reason.
pub(crate) fn read(stream: &Stream, streamed: bool) -> (String, Vec<String>, String) {
    let body = String::from_utf8(stream.client.clone()).unwrap();
    let name = |value: &Value| value["name"].as_str().map(str::to_owned);
    if !streamed {
        let whole: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("no JSON: {body}"));
        let blocks = whole["content"].as_array().unwrap();
        let text = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
        let reason = whole["stop_reason"].as_str().unwrap().to_owned();
        return (text, blocks.iter().filter_map(name).collect(), reason);
    }
    let events: Vec<Value> = body
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let text = events.iter().filter_map(|event| event["delta"]["text"].as_str()).collect();
    let calls = events.iter().filter_map(|event| name(&event["content_block"])).collect();
    let reason = events.iter().find_map(|event| event["delta"]["stop_reason"].as_str()).unwrap_or_default();
    assert_eq!(events.last().unwrap()["type"], "message_stop", "{body}");
    (text, calls, reason.to_owned())
}

#[test]
fn the_model_gets_the_original_and_the_client_one_answer() {
    for streamed in [false, true] {
        let mut plugin = plugin();
        let (mut stream, body) = sent(&mut plugin);
        asks(&mut stream, streamed);
        assert!(stream.answer_paused);
        if streamed {
            let so_far = String::from_utf8(stream.client.clone()).unwrap();
            assert!(so_far.contains("I look. ") && !so_far.contains("headroom"), "{so_far}");
        }
        let asked = gives(&mut stream, true);
        assert_eq!((asked.tenant.as_str(), asked.hash.as_str(), asked.lines.as_str()), ("t", HASH, "1-2"));

        let call = last_call();
        assert_eq!(call.cluster, "the provider's");
        let header = |name: &str| {
            let values: Vec<_> =
                call.headers.iter().filter(|(of, _)| of == name).map(|(_, v)| v.clone()).collect();
            assert!(values.len() <= 1, "{name}");
            values.first().map(|value| String::from_utf8(value.clone()).unwrap())
        };
        assert_eq!(header(":path").unwrap(), "/base/v1/messages?beta=true");
        assert_eq!(header(":authority").unwrap(), "api.example.com");
        assert_eq!(header(":method").unwrap(), "POST");
        assert_eq!(header("x-api-key").unwrap(), CREDENTIAL);
        assert_eq!(header("accept-encoding").unwrap(), "identity");
        assert_eq!(header("x-initiator").unwrap(), "agent", "nobody has asked anew");
        for name in ["content-length", "idempotency-key", "x-headroom-stack", ":scheme"] {
            assert_eq!(header(name), None);
        }
        let continued = String::from_utf8(call.body).unwrap();
        let body = String::from_utf8(body).unwrap();
        let (messages, rest) = body.split_once(r#"],"model""#).unwrap();
        assert!(
            continued.starts_with(messages) && continued.ends_with(rest),
            "what was sent stays as it was"
        );
        let value: Value = serde_json::from_str(&continued).unwrap();
        let turn = value["messages"].as_array().unwrap();
        assert_eq!(turn[turn.len() - 1]["content"][0]["content"], ORIGINAL);
        assert_eq!(turn[turn.len() - 2]["content"][1], self::call(HASH));

        ends(&mut stream, streamed);
        assert!(!stream.answer_paused);
        let expected = ("I look. It is 2.".to_owned(), vec![], "end_turn".to_owned());
        assert_eq!(read(&stream, streamed), expected);
        stream.finish();
        let usage = plugin.records().pop().unwrap().usage.unwrap();
        assert_eq!((usage.input_tokens, usage.output_tokens), (200, 14), "of both rounds");
        plugin.delete();
    }
    assert_eq!((metric("headroom.retrieve_rounds"), metric("headroom.originals_retrieved")), (2, 2));
}

#[test]
fn the_newest_answer_tells_what_is_used_of_the_allowance() {
    let mut plugin = plugin();
    let used = |hundredths: &'static str| ("anthropic-ratelimit-unified-5h-utilization", hundredths);
    for (last, expected) in [(Some(used("0.39")), 3_900), (None, 3_700)] {
        let (mut stream, _) = sent(&mut plugin);
        let body = message(json!([call(HASH)]), "tool_use");
        stream.respond("200", "application/json", &[used("0.37")]);
        stream.provider_sends(body.as_bytes(), true);
        gives(&mut stream, true);
        let body = message(json!([text("It is 2.")]), "end_turn");
        let more: Vec<_> = last.into_iter().collect();
        stream.provider_goes_on_with(Some(("200", "application/json", body.as_bytes())), &more);
        stream.finish();
        let record = plugin.records().pop().unwrap();
        let limits: Vec<u32> = record.rate_limits.iter().map(|limit| limit.used).collect();
        assert_eq!((limits, record.subscription), (vec![expected], true));
        let acknowledged = plugin.reports().len();
        plugin.acknowledge(acknowledged as u64);
    }
}

#[test]
fn credentials_go_to_the_provider_only() {
    let mut plugin = plugin();
    let (mut stream, _) = sent(&mut plugin);
    asks(&mut stream, true);
    gives(&mut stream, true);
    ends(&mut stream, true);
    stream.finish();
    plugin.tick_after(2000);
    host(|host| {
        let holds = |bytes: &[u8]| bytes.windows(CREDENTIAL.len()).any(|it| it == CREDENTIAL.as_bytes());
        assert!(host.grpc_calls.len() >= 3);
        assert!(!host.grpc_calls.iter().any(|call| holds(&call.message)));
        assert!(!host.log.iter().any(|line| holds(line.as_bytes())));
        assert!(!host.properties.values().any(|value| holds(value)));
    });
}

#[test]
fn an_original_that_cannot_be_had_is_said_to_the_model_not_to_the_client() {
    for fails in [false, true] {
        let mut plugin = plugin();
        let (mut stream, _) = sent(&mut plugin);
        asks(&mut stream, false);
        if fails {
            let token = calls("Retrieve").pop().unwrap().token;
            stream.sidecar_answers(token, None);
        } else {
            gives(&mut stream, false);
        }
        assert!(String::from_utf8(last_call().body).unwrap().contains("there is no text with this hash"));
        ends(&mut stream, false);
        assert_eq!(read(&stream, false).0, "I look. It is 2.");
        stream.finish();
        plugin.delete();
    }
    assert_eq!(metric("headroom.originals_missing"), 2);
}

#[test]
fn a_provider_that_does_not_go_on_leaves_a_whole_answer() {
    let whole = events(&[text("It is 2.")], "end_turn");
    let answers: [Option<(&str, &str, &[u8])>; 7] = [
        None,
        Some(("500", "application/json", b"{}")),
        Some(("429", "text/event-stream", whole.as_bytes())),
        Some(("200", "text/html", b"<html>")),
        Some(("200", "text/event-stream", whole.as_bytes().split_at(whole.len() / 2).0)),
        Some(("200", "text/event-stream", b"")),
        Some(("200", "application/json", b"{\"type\":\"error\"}")),
    ];
    for streamed in [false, true] {
        for answer in answers {
            let mut plugin = plugin();
            let (mut stream, _) = sent(&mut plugin);
            asks(&mut stream, streamed);
            gives(&mut stream, true);
            stream.provider_goes_on(answer);
            assert!(!stream.answer_paused, "{streamed} {answer:?}");
            let (text, calls, reason) = read(&stream, streamed);
            assert!(text.starts_with("I look. [headroom: "), "{streamed} {answer:?}: {text}");
            assert_eq!((calls.len(), reason.as_str()), (0, "end_turn"), "{streamed} {answer:?}");
            stream.finish();
            plugin.delete();
        }
    }
}

/// The crate accepts only header maps that are text.
#[test]
fn a_request_with_a_header_that_is_no_text_is_not_continued() {
    let mut plugin = plugin();
    let mut stream = plugin.stream();
    let body = lossy(&[400]);
    let headers = [
        (":method", &b"POST"[..]),
        (":path", b"/v1/messages"),
        (":authority", b"api"),
        ("x-name", b"J\xfcrgen"),
        ("content-length", body.len().to_string().as_bytes()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_vec()));
    stream.raw_headers(headers.to_vec(), false);
    stream.body(&body, true);
    asks(&mut stream, true);
    if stream.answer_paused {
        gives(&mut stream, true);
    }
    assert!(!stream.answer_paused);
    assert!(host(|host| host.http_calls.is_empty()));
    assert_eq!(metric("headroom.retrieve_rounds_unsendable"), 1);
    assert!(read(&stream, true).0.starts_with("I look. "));
}

#[test]
fn a_model_that_keeps_asking_is_stopped_after_three_rounds() {
    let mut plugin = plugin();
    let (mut stream, _) = sent(&mut plugin);
    asks(&mut stream, true);
    let mut rounds = 0;
    while stream.answer_paused {
        rounds += 1;
        gives(&mut stream, true);
        let again = events(&[text("Again. "), call(HASH)], "tool_use");
        stream.provider_goes_on(Some(("200", "text/event-stream", again.as_bytes())));
    }
    assert_eq!((rounds, host(|host| host.http_calls.len())), (3, 3));
    let grows = host(|host| host.http_calls.windows(2).all(|pair| pair[0].body.len() < pair[1].body.len()));
    assert!(grows, "each round has the ones before");
    assert!(read(&stream, true).0.starts_with("I look. Again. Again. Again. [headroom: "));
}

#[test]
fn the_rounds_share_one_deadline() {
    let mut plugin = plugin();
    let (mut stream, _) = sent(&mut plugin);
    asks(&mut stream, true);
    gives(&mut stream, true);
    let first = last_call().timeout_ms;
    host(|host| host.now += 100_000_000_000);
    let again = events(&[call(HASH)], "tool_use");
    stream.provider_goes_on(Some(("200", "text/event-stream", again.as_bytes())));
    gives(&mut stream, true);
    assert!(last_call().timeout_ms <= first - 100_000, "{first} then {}", last_call().timeout_ms);
    host(|host| host.now += 200_000_000_000);
    stream.provider_goes_on(Some(("200", "text/event-stream", again.as_bytes())));
    gives(&mut stream, true);
    assert!(!stream.answer_paused);
    assert_eq!(host(|host| host.http_calls.len()), 2);
    assert_eq!(read(&stream, true).2, "end_turn");
}

#[test]
fn an_answer_without_our_call_passes_as_it_came_and_when_it_came() {
    let answer = events(
        &[text("Hello. "), json!({"type": "tool_use", "id": "t", "name": "Bash", "input": {"a": 1}})],
        "tool_use",
    );
    let mut plugin = plugin();
    let (mut stream, _) = sent(&mut plugin);
    stream.respond("200", "text/event-stream", &[]);
    for event in answer.split_inclusive("\n\n") {
        stream.provider_sends(event.as_bytes(), false);
        assert!(stream.client.ends_with(event.as_bytes()), "{event} is held");
    }
    stream.provider_sends(b"", true);
    assert_eq!(stream.client, answer.as_bytes());
    assert!(host(|host| host.http_calls.is_empty()));
    stream.finish();
    for (status, kind, encoding) in
        [("400", "application/json", ""), ("200", "text/plain", ""), ("200", "application/json", "gzip")]
    {
        let (mut stream, _) = sent_again(&mut plugin);
        let headers =
            stream.respond(status, kind, &[("content-length", "8"), ("content-encoding", encoding)]);
        let kept = headers.iter().any(|(name, _)| name == "content-length");
        assert_eq!(
            kept,
            !encoding.is_empty() || status != "200" || kind != "application/json",
            "{status} {kind}"
        );
        stream.provider_sends(b"whatever", true);
        assert_eq!(stream.client, b"whatever");
        stream.finish();
    }
}

/// As [`sent`], with the originals already stored.
fn sent_again(plugin: &mut Plugin) -> (Stream, Vec<u8>) {
    let stream = plugin.post("/v1/messages", &[], &lossy(&[400]));
    assert!(!stream.paused());
    let body = stream.sent_body.clone();
    (stream, body)
}

#[test]
fn an_answer_that_ends_with_trailers_is_followed_too() {
    for streamed in [false, true] {
        let mut plugin = plugin();
        let (mut stream, _) = sent(&mut plugin);
        let content = [text("I look. "), call(HASH)];
        let (kind, body) = if streamed {
            ("text/event-stream", events(&content, "tool_use"))
        } else {
            ("application/json", message(json!(content), "tool_use"))
        };
        stream.respond("200", kind, &[]);
        for piece in body.as_bytes().chunks(64) {
            stream.provider_sends(piece, false);
        }
        stream.provider_sends_trailers();
        assert!(stream.answer_paused);
        gives(&mut stream, true);
        ends(&mut stream, streamed);
        assert_eq!(read(&stream, streamed).0, "I look. It is 2.");
        stream.finish();
        plugin.delete();
    }
}

#[test]
fn a_client_that_leaves_at_any_point_of_the_loop_is_forgotten() {
    for stage in 0..4 {
        let mut plugin = plugin();
        let (mut stream, _) = sent(&mut plugin);
        if stage > 0 {
            asks(&mut stream, true);
        }
        if stage > 1 {
            gives(&mut stream, true);
        }
        let got = stream.client.clone();
        assert!(exports::proxy_on_done(stream.context));
        if stage > 2 {
            exports::proxy_on_delete(stream.context);
        }
        let retrieve = calls("Retrieve").pop().map_or(5, |call| call.token);
        stream.sidecar_answers(retrieve, Some(b""));
        stream.sidecar_answers(retrieve, None);
        if stage > 1 {
            ends(&mut stream, true);
        }
        assert_eq!(stream.client, got, "{stage}");
        exports::proxy_on_delete(stream.context);
        plugin.delete();
    }
}

#[test]
fn every_status_to_every_call_of_the_loop_leaves_the_client_an_answer() {
    let calls =
        ["http_call", "grpc_call", "get_property", "get_buffer", "get_header_map_pairs", "get_current_time"];
    for streamed in [false, true] {
        for call in calls {
            for status in statuses(call) {
                for after in 0..3 {
                    let mut plugin = plugin();
                    let (mut stream, _) = sent(&mut plugin);
                    stream.respond(
                        "200",
                        if streamed { "text/event-stream" } else { "application/json" },
                        &[],
                    );
                    let content = [text("I look. "), self::call(HASH)];
                    let body = if streamed {
                        events(&content, "tool_use")
                    } else {
                        message(json!(content), "tool_use")
                    };
                    refusing(Refusal { call, status, after }, || {
                        stream.provider_sends(body.as_bytes(), true);
                        if stream.answer_paused && host(|host| host.http_calls.is_empty()) {
                            gives(&mut stream, true);
                        }
                        if stream.answer_paused {
                            ends(&mut stream, streamed);
                        }
                    });
                    assert!(!stream.answer_paused, "{call} {status} {after}");
                    let (text, ..) = read(&stream, streamed);
                    assert!(text.starts_with("I look. "), "{call} {status} {after}: {text}");
                    stream.finish();
                    plugin.delete();
                    host(|host| host.http_calls.clear());
                }
            }
        }
    }
}

#[test]
fn an_answer_whose_length_cannot_be_taken_off_is_not_changed() {
    let mut plugin = plugin();
    let (mut stream, _) = sent(&mut plugin);
    let body = message(json!([call(HASH)]), "tool_use");
    host(|host| host.refusal = Some(Refusal { call: "remove_header", status: 2, after: 0 }));
    stream.respond("200", "application/json", &[("content-length", "700")]);
    stream.provider_sends(body.as_bytes(), true);
    assert_eq!(stream.client, body.as_bytes());
}
