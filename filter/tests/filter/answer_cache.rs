//! Answers that are given again: what the sidecar is asked, what the filter does with its reply, and which
//! answers it is sent.

use headroom_api::v1::{
    Answer, AnswerLookup, AnswerState, FindAnswerRequest, FindAnswerResponse, KeepAnswerRequest,
    RequestOutcome, RequestRecord,
};
use prost::Message;
use serde_json::{Value, json};

use crate::host::{GrpcCall, Refusal, host, metric, refusing};
use crate::proxy::{Plugin, Stream, calls, lossy};

const KEY: (&str, &str) = ("x-api-key", "sk-ant-s3cret");
const SECRET: &str = "a secret of the operator's";

fn plugin_with(cache: Value) -> Plugin {
    let mut section = json!({"mode": "exact", "secret": SECRET});
    section.as_object_mut().unwrap().extend(cache.as_object().unwrap().clone());
    Plugin::new(json!({"tenant": "t", "cache": section, "control_plane": {"cluster": "c"}}))
}

fn plugin() -> Plugin {
    plugin_with(json!({}))
}

fn body() -> Vec<u8> {
    br#"{"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "What is Envoy?"}]}"#
        .to_vec()
}

fn message() -> Vec<u8> {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "A proxy."}], "usage": {"input_tokens": 12, "output_tokens": 3}})
    .to_string()
    .into_bytes()
}

fn events() -> Vec<u8> {
    let events = [
        json!({"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 12, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "A proxy."}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}}),
        json!({"type": "message_stop"}),
    ];
    let lines =
        events.iter().map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()));
    lines.collect::<String>().into_bytes()
}

fn streaming() -> Vec<u8> {
    String::from_utf8(body()).unwrap().replacen('{', "{\"stream\": true, ", 1).into_bytes()
}

fn ask(plugin: &mut Plugin) -> Stream {
    plugin.post("/v1/messages", &[KEY], &body())
}

fn last(method: &str) -> GrpcCall {
    calls(method).pop().unwrap_or_else(|| panic!("no call of {method}"))
}

fn asked() -> FindAnswerRequest {
    FindAnswerRequest::decode(&*last("Find").message).unwrap()
}

fn kept() -> Vec<KeepAnswerRequest> {
    calls("Keep").iter().map(|call| KeepAnswerRequest::decode(&*call.message).unwrap()).collect()
}

fn says(stream: &mut Stream, state: AnswerState, answer: Option<Answer>) {
    let mut response = FindAnswerResponse { answer, age_ms: 7_900, ..FindAnswerResponse::default() };
    response.set_state(state);
    stream.sidecar_answers(last("Find").token, Some(&response.encode_to_vec()));
}

fn stored(content_type: &str, body: Vec<u8>) -> Option<Answer> {
    Some(Answer { content_type: content_type.to_owned(), body })
}

/// Status, headers and body.
type Replayed = (u32, Vec<(String, String)>, Vec<u8>);

/// The answer that the filter itself has given.
fn replayed() -> Option<Replayed> {
    let (status, headers, body) = host(|host| host.answers.pop())?;
    let text = |value: Vec<u8>| String::from_utf8(value).unwrap();
    Some((status, headers.into_iter().map(|(name, value)| (name, text(value))).collect(), body))
}

fn has_left(stream: &Stream, body: &[u8]) {
    assert!(!stream.paused());
    assert_eq!(String::from_utf8_lossy(&stream.sent_body), String::from_utf8_lossy(body));
    assert_eq!(replayed(), None);
}

fn record(plugin: &Plugin) -> RequestRecord {
    plugin.records().pop().expect("a record")
}

#[test]
fn a_miss_goes_to_the_provider_and_its_answer_is_handed_over_for_the_next_one() {
    for (request, content_type, answer) in [
        (body(), "application/json; charset=utf-8", message()),
        (streaming(), "text/event-stream; charset=utf-8", events()),
    ] {
        let mut plugin = plugin();
        let mut first = plugin.post("/v1/messages", &[KEY], &request);
        assert!(first.paused(), "it waits for what the sidecar says");
        let call = last("Find");
        assert_eq!(call.timeout_ms, 50);
        for secret in ["s3cret", "operator", "Envoy"] {
            assert!(!String::from_utf8_lossy(&call.message).contains(secret), "{secret} has left the filter");
        }
        let question = asked();
        assert_eq!((question.tenant.as_str(), question.key.len(), question.wait_ms), ("t", 32, 0));
        says(&mut first, AnswerState::None, None);
        has_left(&first, &request);
        first.respond("200", content_type, &[]);
        for piece in answer.chunks(7) {
            first.respond_body(piece, false);
        }
        assert!(kept().is_empty(), "before its end it is no answer");
        first.respond_body(b"", true);
        let handed = kept().pop().expect("the answer");
        assert_eq!(handed.answer, stored(content_type, answer.clone()));
        assert_eq!((handed.tenant.as_str(), handed.ttl_seconds), ("t", 600));
        assert_eq!(handed.key, question.key);
        first.finish();

        let mut second = plugin.post("/v1/messages", &[("user-agent", "other"), KEY], &request);
        assert_eq!(asked().key, question.key);
        says(&mut second, AnswerState::Found, stored(content_type, answer.clone()));
        let (status, headers, given) = replayed().expect("an answer");
        assert_eq!(status, 200);
        let header = |of: &str| headers.iter().find(|(name, _)| name == of).map(|(_, value)| value.as_str());
        assert_eq!(header("content-type"), Some(content_type));
        assert_eq!((header("x-headroom-cached"), header("age")), (Some("hit"), Some("7")));
        assert_eq!(given, answer);
        assert!(second.paused() && second.sent_body.is_empty(), "no provider is asked");
        // The host does this with an answer of the filter's own.
        let headers = second.respond("200", content_type, &[]);
        assert!(headers.iter().any(|(name, value)| name == "x-headroom-outcome" && value == b"cached"));
        second.respond_body(&given, true);
        second.finish();
        assert_eq!(kept().len(), 1, "what was given again is not kept anew");

        let records = plugin.records();
        let outcomes: Vec<_> =
            records.iter().map(|it| (it.outcome(), it.answer_lookup(), it.answer_kept)).collect();
        assert_eq!(outcomes[0], (RequestOutcome::Unchanged, AnswerLookup::Miss, true));
        assert_eq!(outcomes[1], (RequestOutcome::Cached, AnswerLookup::Hit, false));
        assert_eq!(records[1].answer_age_ms, 7_900);
        assert_eq!(records[1].usage.unwrap().output_tokens, 3);
        assert_eq!(metric("headroom.requests.cached"), 1);
        host(|host| {
            host.grpc_calls.clear();
            host.metrics.clear();
        });
    }
}

#[test]
fn a_sidecar_that_is_silent_changes_nothing_and_is_left_alone_for_a_while() {
    let mut plugin = plugin();
    let mut first = ask(&mut plugin);
    first.sidecar_answers(last("Find").token, None);
    has_left(&first, &body());
    first.respond("200", "application/json", &[]);
    first.respond_body(&message(), true);
    first.finish();
    let handed = kept().pop().expect("it may have been told to fetch the answer");
    assert_eq!((handed.key.len(), handed.answer), (32, stored("application/json", message())));
    let second = ask(&mut plugin);
    has_left(&second, &body());
    second.finish();
    assert_eq!(calls("Find").len(), 1, "nobody waits for it again so soon");
    host(|host| host.now += 1_000_000_000);
    let third = ask(&mut plugin);
    assert!(third.paused());
    third.finish();
    assert_eq!(calls("Find").len(), 2);
    assert_eq!(kept().len(), 2, "who was told to wait for the third is to go on");
    host(|host| host.now -= 3_600_000_000_000);
    let fourth = ask(&mut plugin);
    assert!(fourth.paused(), "the clock was set back, which is no reason to wait");
    fourth.finish();
    let lookups: Vec<_> = plugin.records().iter().map(RequestRecord::answer_lookup).collect();
    assert_eq!(lookups[..2], [AnswerLookup::Failed; 2]);
}

#[test]
fn what_a_sidecar_says_that_cannot_be_an_answer_is_none() {
    let json = "application/json";
    let cut = message()[..40].to_vec();
    let calls_a_tool = json!({"type": "message", "stop_reason": "tool_use",
        "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]});
    let long = json!({"type": "message", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "a".repeat(1 << 20)}]});
    for (state, answer) in [
        (AnswerState::Unspecified, None),
        (AnswerState::Found, None),
        (AnswerState::Found, stored(json, Vec::new())),
        (AnswerState::Found, stored(json, cut)),
        (AnswerState::Found, stored(json, calls_a_tool.to_string().into_bytes())),
        (AnswerState::Found, stored(json, long.to_string().into_bytes())),
        (AnswerState::Found, stored("text/event-stream", events())),
        (AnswerState::Found, stored("text/html", message())),
        (AnswerState::Found, stored("application/json;\r\nset-cookie: a=b", message())),
        (AnswerState::Found, stored("application/json; ü", message())),
        (AnswerState::Found, stored(&format!("application/json; a={}", "b".repeat(300)), message())),
        (AnswerState::Similar, stored(json, message())),
    ] {
        let mut plugin = plugin();
        let mut stream = ask(&mut plugin);
        says(&mut stream, state, answer.clone());
        has_left(&stream, &body());
        stream.finish();
        assert_eq!(record(&plugin).answer_lookup(), AnswerLookup::Failed, "{state:?}");
        plugin.delete();
    }
    for garbage in [&b"\x0a\xff\xff\xff\x7f"[..], b"\xff", &[0x12; 1_000]] {
        let mut plugin = plugin();
        let mut stream = ask(&mut plugin);
        stream.sidecar_answers(last("Find").token, Some(garbage));
        has_left(&stream, &body());
        stream.finish();
        plugin.delete();
    }
}

#[test]
fn requests_whose_answers_are_not_given_again_are_not_asked_for() {
    let with = |member: &str, value: Value| {
        let mut request: Value = serde_json::from_slice(&body()).unwrap();
        request[member] = value;
        request.to_string().into_bytes()
    };
    let long = with("messages", json!([{"role": "user", "content": "a".repeat(1 << 20)}]));
    let none: &[(&str, &str)] = &[];
    for (path, headers, request) in [
        ("/v1/messages", none, with("tools", json!([{"name": "f", "input_schema": {"type": "object"}}]))),
        ("/v1/messages", none, with("temperature", json!(0.7))),
        ("/v1/messages", none, lossy(&[400])),
        ("/v1/messages", none, long),
        ("/v1/messages", none, b"{".to_vec()),
        ("/v1/messages", &[("cache-control", "no-store")], body()),
        ("/v1/messages", &[("x-headroom-cache", "off")], body()),
        ("/v1/messages", &[("x-headroom-bypass", "true")], body()),
        ("/v1/messages", &[("x-headroom-mode", "audit")], body()),
        ("/v1/messages/count_tokens", none, body()),
        ("/v1/embeddings", none, body()),
        ("/v1/responses", none, br#"{"model": "m", "input": "a"}"#.to_vec()),
        (
            "/v1/responses",
            none,
            br#"{"model": "m", "store": false, "previous_response_id": "r", "input": "a"}"#.to_vec(),
        ),
    ] {
        let mut plugin = plugin();
        let stream = plugin.post(path, headers, &request);
        assert!(!stream.paused(), "{path} {headers:?}");
        assert!(calls("Find").is_empty(), "{path} {headers:?}");
        stream.finish();
        plugin.delete();
    }
    for configuration in [
        json!({"control_plane": {"cluster": "c"}}),
        json!({"control_plane": {"cluster": "c"}, "cache": {"mode": "exact"}}),
        json!({"control_plane": {"cluster": "c"}, "cache": {"mode": "exact", "secret": "short"}}),
        json!({"control_plane": {"cluster": "c"}, "cache": {"mode": "exakt", "secret": SECRET}}),
        json!({"cache": {"mode": "exact", "secret": SECRET}}),
        json!({"control_plane": {"cluster": "c"}, "cache": {"mode": "exact", "secret": SECRET},
            "rules": [{"path": "/v1/messages", "cache": "off"}]}),
        json!({"control_plane": {"cluster": "c"}, "cache": {"secret": SECRET},
            "rules": [{"path": "/v1/chat/*", "cache": "exact"}]}),
    ] {
        let mut plugin = Plugin::new(configuration.clone());
        let stream = ask(&mut plugin);
        has_left(&stream, &body());
        assert!(calls("Find").is_empty(), "{configuration}");
        stream.finish();
        plugin.delete();
    }
    let mut plugin = Plugin::new(json!({"control_plane": {"cluster": "c"}, "cache": {"secret": SECRET},
        "rules": [{"path": "/v1/messages", "cache": "exact"}]}));
    assert!(ask(&mut plugin).paused(), "a rule alone can ask for it");
}

#[test]
fn only_an_answer_that_is_whole_is_handed_over_and_who_waits_for_another_is_told() {
    let refusal = br#"{"type": "error", "error": {"type": "overloaded_error"}}"#.to_vec();
    let cut: Value = {
        let mut answer: Value = serde_json::from_slice(&message()).unwrap();
        answer["stop_reason"] = json!("max_tokens");
        answer
    };
    let no: &[(&str, &str)] = &[];
    let long_type = format!("application/json; a={}", "b".repeat(300));
    for (status, content_type, headers, answer) in [
        ("529", "application/json", no, refusal.clone()),
        ("200", "application/json", no, refusal),
        ("200", "application/json", no, cut.to_string().into_bytes()),
        ("200", "application/json", &[("content-encoding", "gzip")], message()),
        ("200", "text/event-stream", no, events()),
        ("200", "application/json", no, vec![b' '; (1 << 20) + 1]),
        ("200", &long_type, no, message()),
    ] {
        let mut plugin = plugin();
        let mut stream = ask(&mut plugin);
        says(&mut stream, AnswerState::None, None);
        stream.respond(status, content_type, headers);
        stream.respond_body(&answer, true);
        stream.finish();
        let told = kept();
        assert_eq!(told.len(), 1, "{status} {content_type} {headers:?}");
        assert_eq!((told[0].answer.as_ref(), told[0].key.len()), (None, 32));
        assert!(!record(&plugin).answer_kept);
        host(|host| host.grpc_calls.clear());
        plugin.delete();
    }
    // The connection breaks after a complete answer whose end was never announced.
    let mut plugin = plugin();
    let mut stream = ask(&mut plugin);
    says(&mut stream, AnswerState::None, None);
    stream.respond("200", "application/json", &[]);
    stream.respond_body(&message(), false);
    stream.finish();
    assert_eq!(kept().pop().unwrap().answer, None);
}

#[test]
fn a_request_waits_for_the_answer_to_an_equal_one_that_is_under_way() {
    let mut plugin = plugin_with(json!({"wait_ms": 5_000}));
    let mut stream = ask(&mut plugin);
    says(&mut stream, AnswerState::UnderWay, None);
    assert!(stream.paused());
    assert_eq!((asked().wait_ms, last("Find").timeout_ms), (5_000, 5_050));
    says(&mut stream, AnswerState::Found, stored("application/json", message()));
    assert_eq!(replayed().unwrap().2, message());
    stream.finish();

    let mut stream = ask(&mut plugin);
    says(&mut stream, AnswerState::UnderWay, None);
    says(&mut stream, AnswerState::UnderWay, None);
    has_left(&stream, &body());
    stream.finish();

    let mut impatient = plugin_with(json!({"wait_ms": 0}));
    let mut stream = ask(&mut impatient);
    says(&mut stream, AnswerState::UnderWay, None);
    has_left(&stream, &body());
    stream.finish();
}

#[test]
fn a_client_that_wants_a_new_answer_gets_one_and_it_takes_the_place_of_the_old() {
    let mut plugin = plugin();
    let mut stream = plugin.post("/v1/messages", &[KEY, ("cache-control", "no-cache")], &body());
    assert!(!stream.paused() && calls("Find").is_empty());
    stream.respond("200", "application/json", &[]);
    stream.respond_body(&message(), true);
    stream.finish();
    assert_eq!(kept().pop().unwrap().answer.unwrap().body, message());
    let young = plugin.post("/v1/messages", &[KEY, ("cache-control", "max-age=30")], &body());
    assert_eq!(asked().max_age_ms, 30_000);
    young.finish();
    assert_eq!(plugin.records()[0].answer_lookup(), AnswerLookup::Refresh);
}

#[test]
fn a_question_goes_along_only_where_answers_to_similar_ones_are_wanted() {
    let mut plugin = plugin_with(json!({"mode": "semantic", "similarity": 97}));
    let mut stream = ask(&mut plugin);
    let question = asked().question.expect("a question");
    assert_eq!(
        (question.text.as_str(), question.scope.len(), question.similarity),
        ("What is Envoy?", 32, 97)
    );
    says(&mut stream, AnswerState::Similar, stored("application/json", message()));
    let (_, headers, _) = replayed().expect("an answer");
    assert!(headers.contains(&("x-headroom-cached".to_owned(), "semantic".to_owned())));
    stream.finish();
    let scope = |request: Value, headers: &[(&str, &str)]| {
        let stream = plugin_with(json!({"mode": "semantic"}));
        let mut plugin = stream;
        plugin.post("/v1/messages", headers, request.to_string().as_bytes()).finish();
        asked().question.map(|question| question.scope)
    };
    let request = |text: &str, system: &str| json!({"model": "m", "max_tokens": 9, "system": system, "messages": [{"role": "user", "content": text}]});
    let one = scope(request("a", "s"), &[KEY]);
    assert!(one.is_some());
    assert_eq!(one, scope(request("b", "s"), &[KEY]));
    assert_ne!(one, scope(request("a", "another system prompt"), &[KEY]));
    assert_ne!(one, scope(request("a", "s"), &[("x-api-key", "sk-ant-other")]));
    let long = "a ".repeat(300);
    assert_eq!(scope(request(&long, "s"), &[KEY]), None, "an embedder would read its beginning alone");
    let history = json!({"model": "m", "messages": [{"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]});
    assert_eq!(scope(history, &[KEY]), None);
}

#[test]
fn a_request_leaves_where_the_host_refuses_and_where_nobody_is_told_of_the_answer() {
    let mut plugin = plugin();
    let refused = Refusal { call: "grpc_call", status: 10, after: 0 };
    let stream = refusing(refused, || ask(&mut plugin));
    has_left(&stream, &body());
    stream.finish();

    let mut stream = ask(&mut plugin);
    let refused = Refusal { call: "send_local_response", status: 2, after: 0 };
    refusing(refused, || says(&mut stream, AnswerState::Found, stored("application/json", message())));
    has_left(&stream, &body());
    stream.finish();
    assert_eq!(plugin.records()[1].outcome(), RequestOutcome::Unchanged);

    let mut stream = ask(&mut plugin);
    plugin.tick_after(1_000);
    stream.look();
    assert!(stream.paused(), "the host still has its own deadline to keep");
    plugin.tick_after(2_000);
    stream.look();
    has_left(&stream, &body());
    stream.finish();
}

#[test]
fn a_client_that_leaves_while_the_sidecar_is_asked_harms_nobody() {
    let mut plugin = plugin();
    let stream = ask(&mut plugin);
    let token = last("Find").token;
    stream.finish();
    let released = kept().pop().expect("nobody is to wait for the answer that it will not fetch");
    assert_eq!((released.key.len(), released.answer), (32, None));
    let mut other = ask(&mut plugin);
    other.sidecar_answers(token, Some(b""));
    assert!(other.paused(), "the answer was for the one that has left");
    says(&mut other, AnswerState::None, None);
    has_left(&other, &body());
    other.finish();
    assert_eq!(plugin.records()[0].outcome(), RequestOutcome::Aborted);
}

#[test]
fn where_a_request_goes_and_which_certificate_was_shown_are_in_the_key() {
    let key = |change: fn(&mut crate::host::Host)| {
        let mut plugin = plugin();
        host(|host| (host.cluster, host.route_name, host.peer) = (None, None, None));
        host(change);
        ask(&mut plugin).finish();
        let key = asked().key;
        plugin.delete();
        key
    };
    let plain = key(|_| {});
    assert_eq!(plain, key(|_| {}));
    // Routes may have no name, and be chosen by a header that is in no key.
    assert_ne!(plain, key(|host| host.cluster = Some("another provider")));
    assert_ne!(plain, key(|host| host.route_name = Some("faq")));
    assert_ne!(plain, key(|host| host.peer = Some("agent.example")));
}

#[test]
fn a_provider_that_answers_before_it_has_the_body_is_not_contradicted() {
    let mut plugin = plugin();
    let mut stream = ask(&mut plugin);
    let token = last("Find").token;
    stream.respond("401", "application/json", &[]);
    stream.look();
    has_left(&stream, &body());
    let found = FindAnswerResponse {
        state: AnswerState::Found.into(),
        answer: stored("application/json", message()),
        ..FindAnswerResponse::default()
    };
    stream.sidecar_answers(token, Some(&found.encode_to_vec()));
    assert_eq!(replayed(), None);
    stream.respond_body(b"{}", true);
    stream.finish();
    assert_eq!(record(&plugin).status, 401);
}

#[test]
fn held_headers_and_encoded_bodies_make_no_difference() {
    let mut plugin =
        Plugin::new(json!({"body_mode": "hold", "tenant": "t", "control_plane": {"cluster": "c"},
        "cache": {"mode": "exact", "secret": SECRET}}));
    let mut stream = ask(&mut plugin);
    let key = asked().key;
    assert!(stream.paused() && stream.sent_headers.is_none(), "the provider has not seen anything of it");
    says(&mut stream, AnswerState::None, None);
    has_left(&stream, &body());
    stream.finish();
    let encoded = zstd::encode_all(&*body(), 1).unwrap();
    let mut stream = plugin.post("/v1/messages", &[KEY, ("content-encoding", "zstd")], &encoded);
    assert_eq!(asked().key, key);
    says(&mut stream, AnswerState::None, None);
    assert_eq!(stream.sent_body, encoded);
    stream.finish();
}
