//! WebSocket sessions: frames pass and are counted, requests in them are compressed, each with a record.

use crate::exports::Action;
use headroom_api::v1::{RequestOutcome, RequestRecord, SessionEnd, WebSocketSession};
use headroom_compress::{Api, Config, Memo, Request, compress};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::frames::frame;
use crate::host::host;
use crate::proxy::{Plugin, Stream, calls};

pub(crate) const UPGRADE: [(&str, &str); 3] =
    [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-extensions", "permessage-deflate")];

pub(crate) const MASK: [u8; 4] = [7, 0, 255, 1];

pub(crate) fn said(text: &str) -> Vec<u8> {
    frame(0x81, text.as_bytes(), Some(MASK))
}

fn event(event: &Value) -> Vec<u8> {
    frame(0x81, event.to_string().as_bytes(), None)
}

/// The last event of an answer, with usage.
pub(crate) fn completed(model: &str, output_tokens: u32) -> Vec<u8> {
    event(
        &json!({"type": "response.completed", "response": {"model": model, "status": "completed", "usage": {
        "input_tokens": 120, "input_tokens_details": {"cached_tokens": 100}, "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": 3}}}}),
    )
}

/// A request in Codex's format for a session.
pub(crate) fn create(rows: usize) -> String {
    let rows: Vec<Value> = (0..rows).map(|n| json!({"id": n, "name": "same", "active": true})).collect();
    let output = Value::from(serde_json::to_string_pretty(&rows).unwrap());
    format!(
        r#"{{ "type":"response.create","model":"gpt-5-codex","store":false,"n":1.0,"input":[{{"role":"user","content":"go"}},
{{"type":"reasoning","summary":[],"encrypted_content":"gA\/"}},{{"type":"function_call","call_id":"c","name":"list","arguments":"{{}}"}},
{{"type":"function_call_output","call_id":"c","output":{output}}} ]}}"#
    )
}

fn shorter(text: &str) -> String {
    let request = Request::new(Api::OpenAiResponses);
    let outcome = compress(text.as_bytes(), &request, &Config::default(), &mut Memo::new(1 << 20));
    assert!(outcome.body.len() < text.len());
    String::from_utf8(outcome.body.into_owned()).unwrap()
}

/// A session that the provider has accepted.
pub(crate) fn open(plugin: &mut Plugin, path: &str, extra: &[(&str, &str)]) -> Stream {
    let mut stream = plugin.stream();
    stream.headers("GET", path, &[&UPGRADE, extra].concat(), false);
    assert!(!stream.paused());
    let answer = stream.respond("101", "", &[("upgrade", "websocket")]);
    assert!(answer.iter().all(|(name, _)| !name.starts_with("x-headroom-")));
    stream
}

/// The sessions of the latest report.
pub(crate) fn sessions(plugin: &Plugin) -> Vec<WebSocketSession> {
    plugin.tick_after(60_000);
    plugin.reports().pop().expect("a report").websocket_sessions
}

/// What leaves when the client sends this in a session, then the records and the session.
fn exchange(plugin: &mut Plugin, pieces: &[&[u8]]) -> (Vec<u8>, Vec<RequestRecord>, WebSocketSession) {
    let mut stream = open(plugin, "/v1/responses", &[]);
    for piece in pieces {
        stream.body(piece, false);
    }
    assert!(stream.actions.iter().all(|action| *action == Action::Continue), "it never waits in the host");
    let sent = stream.sent_body.clone();
    stream.finish();
    let records = plugin.records();
    let session = plugin.reports().pop().unwrap().websocket_sessions.pop().expect("a session");
    (sent, records, session)
}

#[test]
fn a_request_in_a_session_is_compressed_and_everything_around_it_stays() {
    let mut plugin = Plugin::reporting();
    let (ping, text) = (frame(0x89, b"?", Some([1; 4])), create(80));
    let other = said(r#"{"type":"response.cancel","input":[]}"#);
    let bytes = [ping.clone(), said(&text), other.clone()].concat();
    let (sent, records, session) = exchange(&mut plugin, &[&bytes]);
    assert!(sent == [ping, said(&shorter(&text)), other].concat());
    let [record] = &records[..] else { panic!("{} records", records.len()) };
    assert_eq!(record.outcome(), RequestOutcome::Compressed);
    assert_eq!((record.model.as_str(), record.api.as_str()), ("gpt-5-codex", "openai_responses"));
    let tokens = record.tokens.as_ref().unwrap();
    assert!(tokens.after < tokens.before);
    assert!(!record.blocks.is_empty() && !record.turn_id.is_empty() && !record.conversation_id.is_empty());
    assert_eq!(record.body_bytes_before, text.len() as u64);
    assert_eq!(record.body_bytes_after, shorter(&text).len() as u64);
    assert_eq!((session.client_frames, session.requests, session.status), (3, 1, 101));
    assert_eq!(session.client_bytes, bytes.len() as u64, "as the client sent them");
    assert_eq!(session.saved_bytes, record.body_bytes_before - record.body_bytes_after);
    assert_eq!(record.session_id, session.session_id);
}

#[test]
fn what_a_handshakes_answer_says_of_the_allowance_is_told_of_once() {
    let headers = [("upgrade", "websocket"), ("x-codex-primary-used-percent", "42.5")];
    let used = |records: &[RequestRecord]| -> Vec<Vec<u32>> {
        records.iter().map(|record| record.rate_limits.iter().map(|limit| limit.used).collect()).collect()
    };
    let mut plugin = Plugin::reporting();
    let mut stream = plugin.stream();
    stream.headers("GET", "/v1/responses", &UPGRADE, false);
    stream.respond("101", "", &headers);
    for _ in 0..2 {
        stream.body(&said(&create(20)), false);
        stream.respond_body(&completed("gpt-5.2", 9), false);
    }
    stream.finish();
    assert_eq!(used(&plugin.records()), [vec![4_250], vec![]]);

    let mut plugin = Plugin::reporting();
    let mut refused = plugin.stream();
    refused.headers("GET", "/v1/responses", &UPGRADE, false);
    refused.respond("429", "application/json", &headers[1..]);
    refused.finish();
    assert_eq!(used(&plugin.records()), [vec![4_250]]);
}

#[test]
fn a_record_says_what_the_provider_answered() {
    let mut plugin =
        Plugin::new(json!({"tenant_from": "client", "control_plane": {"cluster": "headroom-cp"}}));
    let mut stream = open(&mut plugin, "/v1/responses?key=secret", &[("x-headroom-user-id", "ann")]);
    host(|host| host.now += 5_000_000);
    stream.body(&said(&create(20)), false);
    host(|host| host.now += 40_000_000);
    let created = event(&json!({"type": "response.created", "response": {"status": "in_progress"}}));
    stream.respond_body(&created, false);
    host(|host| host.now += 60_000_000);
    let last = [
        event(&json!({"type": "response.output_text.delta", "delta": "{\"type\":\"error\"}"})),
        completed("gpt-5.2", 9),
    ]
    .concat();
    for byte in last.chunks(1) {
        stream.respond_body(byte, false);
    }
    let record = plugin.records().pop().expect("it is told of before the session ends");
    assert_eq!((record.status, record.stop_reason.as_str()), (200, "completed"));
    assert_eq!((record.answered_model.as_str(), record.tenant.as_str()), ("gpt-5.2", "ann"));
    let usage = record.usage.unwrap();
    assert_eq!((usage.input_tokens, usage.cache_read_tokens), (20, 100));
    assert_eq!((usage.output_tokens, usage.reasoning_tokens), (9, 3));
    let timings = record.timings.unwrap();
    assert!((40_000..100_000).contains(&timings.first_byte_us), "{timings:?}");
    assert!((100_000..200_000).contains(&timings.total_us), "{timings:?}");
    assert!(timings.compress_us > 0 && timings.overhead_us >= timings.compress_us);
    plugin.acknowledge(1);

    let session = sessions(&plugin).pop().unwrap();
    assert_eq!((session.ended_unix_ms, session.end()), (0, SessionEnd::Unspecified), "it is open");
    assert_eq!((session.upstream.as_str(), session.tenant.as_str()), ("api/v1/responses", "ann"));
    assert_eq!(session.client, "127.0.0.1:4711");
    stream.body(&frame(0x88, &[0x03, 0xe8], Some(MASK)), false);
    stream.finish();
    plugin.acknowledge(1);
    let session = sessions(&plugin).pop().unwrap();
    assert_eq!(session.end(), SessionEnd::ResponseCompleted);
    assert_eq!((session.client_frames, session.server_frames, session.requests), (2, 3, 1));
    plugin.acknowledge(1);
    let told = plugin.reports().len();
    plugin.tick_after(60_000);
    assert_eq!(plugin.reports().len(), told, "what has ended and was acknowledged is not told of again");
}

#[test]
fn an_error_is_the_answer_of_the_request_that_it_ends() {
    let mut plugin = Plugin::reporting();
    let mut stream = open(&mut plugin, "/v1/responses", &[]);
    let errors = [
        json!({"type": "error", "status": 400, "error": {"type": "invalid_request_error", "code": "gone"}}),
        json!({"error": {"type": "usage_limit_reached"}, "status_code": 429, "type": "error"}),
        json!({"type": "response.failed", "response": {"status": "failed", "error": {"code": "server_error"}}}),
        json!({"type": "response.incomplete", "response": {"incomplete_details": {"reason": "max_output_tokens"}}}),
    ];
    for error in &errors {
        stream.body(&said(&create(10)), false);
        stream.respond_body(&event(error), false);
    }
    let records = plugin.records();
    let told: Vec<_> =
        records.iter().map(|it| (it.status, it.error_class.as_str(), it.stop_reason.as_str())).collect();
    assert_eq!(
        told,
        [
            (400, "invalid_request_error", ""),
            (429, "usage_limit_reached", ""),
            (200, "server_error", "failed"),
            (200, "", "max_output_tokens"),
        ]
    );
    stream.finish();
}

#[test]
fn a_request_that_continues_a_response_belongs_to_its_conversation_and_turn() {
    let mut plugin = Plugin::reporting();
    let mut stream = open(&mut plugin, "/v1/responses", &[]);
    let go_on = r#"{"type":"response.create","model":"m","previous_response_id":"r","input":[
        {"type":"function_call_output","call_id":"c","output":"ok"}]}"#;
    for text in [create(3), go_on.to_owned(), create(3).replace("\"go\"", "\"stop\"")] {
        stream.body(&said(&text), false);
        stream.respond_body(&completed("m", 1), false);
    }
    let records = plugin.records();
    let ids = |at: usize| (records[at].conversation_id.clone(), records[at].turn_id.clone());
    assert!(!ids(0).0.is_empty() && !ids(0).1.is_empty());
    assert_eq!(ids(1), ids(0));
    assert_ne!(ids(2).1, ids(0).1);
    stream.finish();
}

#[test]
fn requests_that_are_sent_before_the_last_one_is_answered_are_answered_in_turn() {
    let mut plugin = Plugin::reporting();
    let mut stream = open(&mut plugin, "/v1/responses", &[]);
    let texts: Vec<String> = (0..3).map(|n| create(10 + n)).collect();
    stream.body(&texts.iter().map(|text| said(text)).collect::<Vec<_>>().concat(), false);
    stream.respond_body(&completed("m", 1), false);
    stream.respond_body(&completed("m", 2), false);
    stream.finish();
    let records = plugin.records();
    let told: Vec<_> = records
        .iter()
        .map(|it| {
            (it.body_bytes_before as usize, it.usage.as_ref().map(|usage| usage.output_tokens), it.status)
        })
        .collect();
    let sizes: Vec<usize> = texts.iter().map(String::len).collect();
    assert_eq!(told, [(sizes[0], Some(1), 200), (sizes[1], Some(2), 200), (sizes[2], None, 0)]);
    assert_eq!(sessions(&plugin).pop().unwrap().end(), SessionEnd::Unknown, "one has no answer");
}

#[test]
fn however_many_requests_wait_each_has_a_record() {
    let mut plugin = Plugin::reporting();
    let mut stream = open(&mut plugin, "/v1/responses", &[]);
    for _ in 0..100 {
        stream.body(&said(&create(1)), false);
    }
    stream.finish();
    assert_eq!(plugin.records().len(), 100);
}

#[test]
fn a_request_may_come_in_any_pieces_and_in_fragments() {
    let text = create(60);
    let (first, second) = text.as_bytes().split_at(text.len() / 3);
    let fragments = [frame(0x01, first, Some([3; 4])), frame(0x80, second, Some([4; 4]))].concat();
    for bytes in [said(&text), fragments] {
        for piece in [1, 7, 1000] {
            let mut plugin = Plugin::reporting();
            let pieces: Vec<&[u8]> = bytes.chunks(piece).collect();
            let (sent, records, _) = exchange(&mut plugin, &pieces);
            let mask = [bytes[4], bytes[5], bytes[6], bytes[7]];
            assert!(sent == frame(0x81, shorter(&text).as_bytes(), Some(mask)), "pieces of {piece}");
            assert_eq!(records[0].outcome(), RequestOutcome::Compressed);
            plugin.delete();
        }
    }
}

#[test]
fn a_ping_does_not_wait_for_the_message_that_it_stands_in() {
    let mut plugin = Plugin::reporting();
    let mut stream = open(&mut plugin, "/v1/responses", &[]);
    let text = create(60);
    let (first, second) = text.as_bytes().split_at(900);
    let ping = frame(0x89, b"?", Some([1; 4]));
    stream.body(&frame(0x01, first, Some(MASK)), false);
    stream.body(&ping, false);
    assert!(stream.sent_body == ping);
    stream.body(&frame(0x80, second, Some(MASK)), false);
    assert!(stream.sent_body == [ping, said(&shorter(&text))].concat());
    stream.finish();
}

#[test]
fn what_is_no_plain_request_passes_byte_for_byte() {
    let text = create(40);
    let mut cut = text.clone();
    cut.truncate(text.len() - 1);
    for (bytes, outcome) in [
        (frame(0xc1, text.as_bytes(), Some([1; 4])), None),
        (frame(0x81, text.as_bytes(), None), None),
        (frame(0x82, text.as_bytes(), Some([1; 4])), None),
        (said(&cut), Some(RequestOutcome::NotUnderstood)),
        (said("hello"), None),
        (said(&text.replace("response.create", "response.other")), None),
        (
            said(r#"{"type":"response.create","generate":false,"model":"m"}"#),
            Some(RequestOutcome::NotUnderstood),
        ),
        (
            said(r#"{"type":"response.create","generate":false,"model":"m","input":[]}"#),
            Some(RequestOutcome::Unchanged),
        ),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), None),
    ] {
        let mut plugin = Plugin::reporting();
        let (sent, records, session) = exchange(&mut plugin, &[&bytes]);
        assert!(sent == bytes);
        let told: Vec<_> = records.iter().map(RequestRecord::outcome).collect();
        assert_eq!(told, outcome.into_iter().collect::<Vec<_>>(), "{}", String::from_utf8_lossy(&bytes));
        assert_eq!(session.requests, records.len() as u64);
        plugin.delete();
    }
}

#[test]
fn a_request_over_the_cap_is_not_waited_for() {
    let (long, short) = (create(300), create(20));
    let mut plugin =
        Plugin::new(json!({"max_body_bytes": long.len() / 2, "control_plane": {"cluster": "c"}}));
    let mut stream = open(&mut plugin, "/v1/responses", &[]);
    let bytes = said(&long);
    stream.body(&bytes[..20], false);
    assert!(stream.sent_body == bytes[..20]);
    stream.body(&bytes[20..], false);
    stream.body(&said(&short), false);
    assert!(stream.sent_body == [bytes, said(&shorter(&short))].concat());
    stream.finish();
    let records = plugin.records();
    let told: Vec<_> = records.iter().map(|it| (it.outcome(), it.body_bytes_after as usize)).collect();
    let shortened = shorter(&short).len();
    assert_eq!(told, [(RequestOutcome::TooLarge, long.len()), (RequestOutcome::Compressed, shortened)]);
    assert_eq!(records[0].model, "gpt-5-codex");
}

#[test]
fn a_session_that_is_off_or_audited_leaves_as_it_came() {
    let text = create(40);
    for (mode, outcome) in [
        ("off", RequestOutcome::Bypassed),
        ("audit", RequestOutcome::Audited),
        ("simulate", RequestOutcome::Simulated),
    ] {
        let mut plugin = Plugin::reporting();
        let mut stream = open(&mut plugin, "/v1/responses", &[("x-headroom-mode", mode)]);
        let (first, rest) = (&said(&text)[..200], &said(&text)[200..]);
        stream.body(first, false);
        assert_eq!(stream.sent_body.len(), if mode == "off" { 200 } else { 0 }, "off: nothing is held");
        stream.body(rest, false);
        assert!(stream.sent_body == said(&text));
        assert_eq!(stream.sent_header("sec-websocket-extensions").is_some(), mode == "off");
        stream.respond_body(&completed("m", 8), false);
        stream.finish();
        let record = plugin.records().pop().unwrap();
        assert_eq!((record.outcome(), record.status), (outcome, 200));
        assert_eq!(
            (record.body_bytes_before, record.body_bytes_after),
            (text.len() as u64, text.len() as u64)
        );
        assert_eq!(record.usage.unwrap().output_tokens, 8);
        plugin.delete();
    }
}

/// A request with an output that would mostly be left out if the model could ask for it.
fn lossy(tool: &str) -> String {
    let rows: Vec<Value> = (0..400)
        .map(|n| {
            json!({"id": 7919 * (n + 1), "status": if n == 40 { "failed" } else { "ok" },
                "name": format!("deployment-{n}"), "region": "eu-central-1"})
        })
        .collect();
    json!({"type": "response.create", "model": "gpt-5-codex",
    "tools": [{"type": "function", "name": tool, "parameters": {}}],
    "input": [
        {"role": "user", "content": "Which deployments failed?"},
        {"type": "function_call", "call_id": "c", "name": "list", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": json!(rows).to_string()},
    ]})
    .to_string()
}

#[test]
fn nothing_is_left_out_of_a_request_in_a_session_and_no_tool_is_added() {
    for tool in ["list", "headroom_retrieve", "mcp__headroom__headroom_retrieve"] {
        let text = lossy(tool);
        let stateless = text.replacen('{', r#"{"store":false,"#, 1);
        let configuration = json!({"reversible": true, "control_plane": {"cluster": "headroom-cp"}});
        let mut plugin = Plugin::new(configuration.clone());
        let leaves_out = |plugin: &mut Plugin, body: &str| {
            let stream = plugin.post("/v1/responses", &[], body.as_bytes());
            let left_out = String::from_utf8(stream.sent_body.clone()).unwrap().contains("left out");
            stream.finish();
            left_out
        };
        assert!(leaves_out(&mut plugin, &stateless), "a body of its own");
        assert!(!leaves_out(&mut plugin, &text), "one that the provider keeps");
        plugin.delete();
        host(|host| host.grpc_calls.clear());

        let mut plugin = Plugin::new(configuration);
        let (sent, records, _) = exchange(&mut plugin, &[&said(&text)]);
        assert!(sent == said(&shorter(&text)), "the lossless form, without the tool");
        assert!(!shorter(&text).contains("hash="), "which has no marker");
        assert_eq!(records[0].admission, 0, "nothing had to be stored");
        assert!(calls("Admit").is_empty());
        plugin.delete();
    }
}

#[test]
fn another_upgrade_is_none_of_ours() {
    let mut plugin = Plugin::reporting();
    for (path, upgrade) in
        [("/v1/realtime", "websocket"), ("/v1/responses", "h2c"), ("/v1/messages", "websocket")]
    {
        let mut stream = plugin.stream();
        stream.headers("GET", path, &[("connection", "upgrade"), ("upgrade", upgrade)], false);
        stream.body(&said(&create(40)), false);
        assert!(stream.sent_body == said(&create(40)));
        stream.finish();
    }
    plugin.tick_after(60_000);
    assert!(plugin.reports().is_empty());
}

/// Frames as a client might send them, valid and unusual.
fn bytes_of_a_client() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop::collection::vec(any::<u8>(), 0..300);
    let odd = (any::<u8>(), payload, prop::option::weighted(0.9, any::<[u8; 4]>()))
        .prop_map(|(first, payload, mask)| frame(first, &payload, mask));
    let request = (0..40usize, any::<[u8; 4]>())
        .prop_map(|(rows, mask)| frame(0x81, create(rows).as_bytes(), Some(mask)));
    let fragments = (0..20usize, 1..900usize, any::<bool>()).prop_map(|(rows, size, pings)| {
        let text = create(rows);
        let count = text.len().div_ceil(size);
        let mut bytes = Vec::new();
        for (at, part) in text.as_bytes().chunks(size).enumerate() {
            let first = if at == 0 { 0x01 } else { 0 } | if at + 1 == count { 0x80 } else { 0 };
            bytes.extend(frame(first, part, Some(MASK)));
            if pings && at + 1 < count {
                bytes.extend(frame(0x89, b"p", Some(MASK)));
            }
        }
        bytes
    });
    let noise = prop::collection::vec(any::<u8>(), 0..20);
    prop::collection::vec(prop_oneof![4 => request, 3 => fragments, 2 => odd, 1 => noise], 0..6)
        .prop_map(|it| it.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_leaves_is_the_same_wherever_the_bytes_are_cut_and_all_of_it_where_nothing_is_compressed(
        bytes in bytes_of_a_client(), cuts in prop::collection::vec(1usize..2000, 1..20), end: bool,
    ) {
        let run = |mode: &str, pieces: &[&[u8]]| {
            let mut plugin = Plugin::reporting();
            let mut stream = open(&mut plugin, "/v1/responses", &[("x-headroom-mode", mode)]);
            for piece in pieces {
                stream.body(piece, false);
            }
            if end {
                stream.body(&[], true);
            }
            let sent = stream.sent_body.clone();
            stream.finish();
            plugin.tick_after(60_000);
            let report = plugin.reports().pop().unwrap();
            plugin.delete();
            let session = report.websocket_sessions.last().unwrap().clone();
            (sent, report.records.len() as u64, session.client_frames, session.requests)
        };
        let mut pieces = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        let cut = run("", &pieces);
        prop_assert!(cut == run("", &[&bytes]));
        prop_assert!(cut.1 == cut.3, "a record for each request");
        let off = run("off", &pieces);
        prop_assert!(off.0 == bytes);
        prop_assert!((off.1, off.2, off.3) == (cut.1, cut.2, cut.3), "it reads the same");
        // Pings overtake what is held; apart from that, an audited session leaves byte for byte as it came.
        let audited = run("audit", &pieces).0;
        let sorted = |bytes: &[u8]| { let mut bytes = bytes.to_vec(); bytes.sort_unstable(); bytes };
        if end {
            prop_assert!(sorted(&audited) == sorted(&bytes));
        }
    }
}
