//! The conversation stays true through the whole filter: retrieval from the request, hidden rounds that are
//! put back, copies for the store, and recovery if a provider refuses a changed prefix.

use headroom_api::v1::AdmitRequest;
use prost::Message as _;
use serde_json::{Value, json};

use crate::host::{HttpCall, host, metric};
use crate::proxy::{Plugin, Stream, calls, lossy, reversible};

fn plugin() -> Plugin {
    Plugin::new(json!({"reversible": true}))
}

/// The hash in a request's first marker.
fn hash(body: &[u8]) -> String {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let (_, rest) = body.split_once("hash=").expect("a marker");
    rest[..24].to_owned()
}

fn parse(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

fn message(content: &Value) -> String {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "content": content, "stop_reason": "tool_use",
        "usage": {"input_tokens": 1, "output_tokens": 1}})
    .to_string()
}

fn last_call() -> HttpCall {
    host(|host| host.http_calls.last().cloned()).expect("a request to the provider")
}

fn retrieve(hash: &str) -> Value {
    json!({"type": "tool_use", "id": "toolu_r", "name": "headroom_retrieve", "input": {"hash": hash, "lines": "1-1"}})
}

fn thinking(text: &str) -> Value {
    json!({"type": "thinking", "thinking": text, "signature": format!("sig-{text}")})
}

/// A turn in which the model asks for an original and then calls the client's tool. Returns the last request
/// to the provider, and the client's answer.
fn turn(stream: &mut Stream) -> (Value, Value) {
    let ours = retrieve(&hash(&stream.sent_body));
    stream.respond("200", "application/json", &[]);
    stream.provider_sends(message(&json!([thinking("one"), ours])).as_bytes(), true);
    assert!(stream.answer_paused);
    let sent = parse(&last_call().body);
    let theirs = json!({"type": "tool_use", "id": "toolu_01B", "name": "list", "input": {"a": 1}});
    let second = message(&json!([thinking("two"), theirs]));
    stream.provider_goes_on(Some(("200", "application/json", second.as_bytes())));
    assert!(!stream.answer_paused);
    (sent, parse(&stream.client))
}

/// The client's next request.
fn next(body: &[u8], answer: &Value) -> Vec<u8> {
    let mut request = parse(body);
    let messages = request["messages"].as_array_mut().unwrap();
    let id = answer["content"].as_array().unwrap().last().unwrap()["id"].clone();
    messages.push(json!({"role": "assistant", "content": answer["content"]}));
    messages.push(json!({"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": id, "content": "short"}]}));
    request.to_string().into_bytes()
}

#[test]
fn a_hidden_round_is_answered_from_the_request_and_comes_back_without_any_sidecar() {
    let body = lossy(&[400]);
    let mut plugin = plugin();
    let mut stream = plugin.post("/v1/messages", &[], &body);
    let first = parse(&stream.sent_body);
    let (sent, answer) = turn(&mut stream);
    stream.finish();
    assert!(calls("Retrieve").is_empty() && calls("Admit").is_empty());
    let given = &sent["messages"].as_array().unwrap().last().unwrap()["content"][0]["content"];
    assert!(given.as_str().unwrap().contains("\n[headroom: "), "a page that says what it is: {given}");
    assert_eq!(answer["content"][0], thinking("one"));
    assert_eq!(answer["content"][1], thinking("two"));
    assert!(answer["content"][2]["id"].as_str().unwrap().starts_with("toolu_01B_hr1_"));

    let again = next(&body, &answer);
    for (path, headers) in [
        ("/v1/messages", vec![]),
        ("/v1/messages/count_tokens", vec![]),
        ("/v1/messages", vec![("x-headroom-bypass", "true")]),
        ("/v1/messages", vec![("x-headroom-mode", "audit")]),
    ] {
        // Another VM, which remembers nothing.
        let mut other = Plugin::start(7, json!({"reversible": true, "memo_bytes": 0}).to_string().as_bytes());
        let stream = other.post(path, &headers, &again);
        let forwarded = parse(&stream.sent_body);
        assert!(
            !String::from_utf8(stream.sent_body.clone()).unwrap().contains("_hr1_"),
            "{path} {headers:?}"
        );
        if headers.is_empty() {
            let (sent, now) =
                (sent["messages"].as_array().unwrap(), forwarded["messages"].as_array().unwrap());
            assert_eq!(&now[..sent.len()], sent.as_slice(), "{path}");
            assert_eq!(forwarded["tools"], first["tools"], "{path}");
            assert_eq!(forwarded["tools"][0]["name"], "headroom_retrieve");
        }
        let last = forwarded["messages"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(last["content"][0]["tool_use_id"], "toolu_01B", "{path} {headers:?}");
        stream.finish();
        other.delete();
    }
    plugin.delete();
}

#[test]
fn copies_go_to_the_store_after_the_request_and_only_where_somebody_may_ask_for_them() {
    let with_tool = |body: &[u8]| {
        let mut body = parse(body);
        body["tools"][0]["name"] = "mcp__headroom__headroom_retrieve".into();
        body.to_string().into_bytes()
    };
    let body = lossy(&[400]);
    for (store, body, expected) in [
        (json!(null), body.clone(), 0),
        (json!(null), with_tool(&body), 1),
        (json!(true), body.clone(), 1),
        (json!(false), with_tool(&body), 0),
    ] {
        let mut configuration = json!({"reversible": true, "control_plane": {"cluster": "c"}});
        if !store.is_null() {
            configuration["store_originals"] = store.clone();
        }
        let before = calls("Admit").len();
        let mut plugin = Plugin::new(configuration);
        let stream = plugin.post("/v1/messages", &[], &body);
        assert!(!stream.paused(), "nothing waits for the sidecar");
        assert_eq!(calls("Admit").len(), before);
        plugin.tick_after(2_000);
        let sent = calls("Admit").split_off(before);
        assert_eq!(sent.len(), expected, "{store}");
        if let Some(call) = sent.first() {
            let request = AdmitRequest::decode(&*call.message).unwrap();
            assert_eq!(request.originals[0].hash, hash(&stream.sent_body));
            // The sidecar's answer changes nothing; a copy that it did not take is sent once more when it
            // comes again.
            let mut stream = stream;
            stream.sidecar_answers(call.token, None);
            stream.finish();
            let again = plugin.post("/v1/messages", &[], &body);
            plugin.tick_after(2_000);
            assert_eq!(calls("Admit").len(), before + 2);
            again.finish();
        }
        plugin.delete();
    }
}

/// A request with thinking, which an earlier version of the forms has changed.
fn with_thinking(rows: usize) -> Vec<u8> {
    let mut body = parse(&lossy(&[rows]));
    body["thinking"] = json!({"type": "enabled", "budget_tokens": 1_024});
    let content = body["messages"][1]["content"].as_array_mut().unwrap();
    content.insert(0, thinking("bound"));
    body.to_string().into_bytes()
}

const REFUSAL: &str = r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages.1.content.0: Invalid `signature` in `thinking` block. The block is bound to a different conversation"}}"#;

#[test]
fn a_request_that_is_refused_for_its_prefix_is_sent_once_more_and_the_client_sees_one_answer() {
    for stream_body in [false, true] {
        let mut plugin = Plugin::new(json!({"reversible": true, "control_plane": {"cluster": "c"}}));
        let mut stream = plugin.post("/v1/messages", &[("anthropic-beta", "a-1")], &with_thinking(400));
        stream.refused_headers("400", "application/json");
        assert!(stream.answer_paused);
        // The client asked for an encoding, and the refusal uses it.
        host(|host| {
            let headers = host.response_headers.as_mut().expect("headers that are held");
            headers.push(("content-encoding".into(), "gzip".into()));
        });
        let call = last_call();
        let beta = call.headers.iter().find(|(name, _)| name == "anthropic-beta").unwrap();
        assert_eq!(beta.1, b"a-1,thinking-binding-controls-2026-08-01");
        let again = parse(&call.body);
        assert_eq!(again["thinking"]["block_binding"]["prefix_mismatch_behavior"], "drop_block");
        assert_eq!(again["messages"], parse(&stream.sent_body)["messages"]);
        if stream_body {
            // A host that passes the body while the headers wait.
            stream.provider_sends(REFUSAL.as_bytes(), true);
            assert!(stream.answer_paused);
        }
        let answer = message(&json!([{"type": "text", "text": "Well."}]));
        stream.provider_goes_on(Some(("200", "application/json", answer.as_bytes())));
        assert!(!stream.answer_paused);
        if !stream_body {
            stream.provider_sends(REFUSAL.as_bytes(), true);
        }
        assert_eq!(stream.client, answer.as_bytes());
        let headers = stream.answer_headers();
        assert_eq!(headers.iter().find(|(name, _)| name == ":status").unwrap().1, b"200");
        assert!(headers.iter().all(|(name, _)| name != "content-encoding"));
        stream.finish();
        let record = plugin.records().pop().unwrap();
        assert!(record.recovered && record.status == 200, "{record:?}");

        // Its next turn asks for that at once.
        let stream = plugin.post("/v1/messages", &[], &with_thinking(400));
        let sent = parse(&stream.sent_body);
        assert_eq!(sent["thinking"]["block_binding"]["prefix_mismatch_behavior"], "drop_block");
        let beta = stream.sent_header("anthropic-beta").unwrap();
        assert_eq!(beta, "thinking-binding-controls-2026-08-01");
        stream.finish();
        plugin.delete();
    }
    assert_eq!(metric("headroom.recoveries.recovered"), 2);
}

/// As in Envoy: if no piece of a body has come, there is no buffer to write to.
#[test]
fn a_refusal_of_trailers_alone_is_never_an_empty_answer() {
    let answer = message(&json!([{"type": "text", "text": "Well."}]));
    for second_comes_first in [false, true] {
        let mut plugin = Plugin::new(json!({"reversible": true, "control_plane": {"cluster": "c"}}));
        let mut stream = plugin.post("/v1/messages", &[], &with_thinking(400));
        stream.refused_headers("400", "application/json");
        if second_comes_first {
            stream.provider_goes_on(Some(("200", "application/json", answer.as_bytes())));
        }
        stream.provider_sends_trailers();
        let closed = host(|host| std::mem::take(&mut host.closed));
        assert_eq!(closed.len(), usize::from(second_comes_first));
        if !second_comes_first {
            assert!(!stream.answer_paused);
            // This comes too late.
            stream.provider_goes_on(Some(("200", "application/json", answer.as_bytes())));
            let headers = stream.answer_headers();
            assert_eq!(headers.iter().find(|(name, _)| name == ":status").unwrap().1, b"400");
        }
        assert!(stream.client.is_empty());
        stream.finish();
        assert_eq!(plugin.records().pop().unwrap().recovered, second_comes_first);
        plugin.delete();
    }
}

#[test]
fn a_refusal_that_is_not_ours_or_that_stays_goes_to_the_client() {
    let own = |change: fn(&mut Value)| {
        let mut body = parse(&with_thinking(400));
        change(&mut body);
        body.to_string().into_bytes()
    };
    let kept = own(|body| body["thinking"]["block_binding"] = json!({"prefix_mismatch_behavior": "error"}));
    let unchanged = json!({"thinking": {"type": "adaptive"}, "messages": [
        {"role": "assistant", "content": [thinking("x")]}, {"role": "user", "content": "hi"}]})
    .to_string()
    .into_bytes();
    for body in [kept, unchanged, lossy(&[400])] {
        let mut plugin = plugin();
        let mut stream = plugin.post("/v1/messages", &[], &body);
        stream.respond("400", "application/json", &[]);
        stream.provider_sends(REFUSAL.as_bytes(), true);
        assert_eq!(stream.client, REFUSAL.as_bytes());
        stream.finish();
        plugin.delete();
    }
    assert!(host(|host| host.http_calls.is_empty()));
    for answer in
        [None, Some(("400", "application/json", REFUSAL.as_bytes())), Some(("200", "text/html", b"x"))]
    {
        for body_comes_first in [false, true] {
            let mut plugin = Plugin::new(json!({"reversible": true, "control_plane": {"cluster": "c"}}));
            let mut stream = plugin.post("/v1/messages", &[], &with_thinking(400));
            stream.refused_headers("400", "application/json");
            if body_comes_first {
                stream.provider_sends(REFUSAL.as_bytes(), true);
            }
            stream.provider_goes_on(answer);
            assert!(!stream.answer_paused);
            if !body_comes_first {
                stream.provider_sends(REFUSAL.as_bytes(), true);
            }
            assert_eq!(stream.client, REFUSAL.as_bytes());
            let told = stream.answer_headers().iter().any(|(name, _)| name == "x-headroom-outcome");
            assert!(told, "the client is told what was done");
            stream.finish();
            let record = plugin.records().pop().unwrap();
            assert_eq!((record.status, record.prefix_mismatches), (400, 1), "{answer:?} {body_comes_first}");
            assert!(!record.recovered);
            plugin.delete();
        }
    }
}

#[test]
fn forms_do_not_depend_on_what_a_vm_remembers_or_the_sidecar_says() {
    let body = lossy(&[400, 300, 200]);
    let expected = reversible(&body);
    for configuration in [
        json!({"reversible": true}),
        json!({"reversible": true, "memo_bytes": 0}),
        json!({"reversible": true, "control_plane": {"cluster": "c"}}),
        json!({"reversible": true, "store_originals": true, "control_plane": {"cluster": "c"}}),
    ] {
        let mut plugin = Plugin::new(configuration.clone());
        for model in ["claude-sonnet-4-5", "claude-opus-5-5", "gpt-4"] {
            let mut request = parse(&body);
            request["model"] = model.into();
            let stream = plugin.post("/v1/messages", &[], request.to_string().as_bytes());
            let (mut sent, mut expected) = (parse(&stream.sent_body), parse(&expected));
            (sent["model"], expected["model"]) = (json!(0), json!(0));
            assert_eq!(sent, expected, "{configuration} {model}");
            stream.finish();
        }
        plugin.delete();
    }
}
