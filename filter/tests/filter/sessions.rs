//! WebSocket sessions: frames pass and are counted, requests in them are compressed.

use headroom_api::v1::{RequestOutcome, RequestRecord};
use headroom_compress::{Api, Config, Memo, Request, compress};
use headroom_filter::exports::{self, Action};
use serde_json::{Value, json};

use crate::frames::frame;
use crate::host::{host, metric};
use crate::proxy::{Plugin, Stream};

const UPGRADE: [(&str, &str); 3] =
    [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-extensions", "permessage-deflate")];

fn said(text: &str) -> Vec<u8> {
    frame(0x81, text.as_bytes(), Some([7, 0, 255, 1]))
}

/// A request as Codex puts it into a session.
fn create(rows: usize) -> String {
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

/// A session that the provider has agreed to.
fn open(plugin: &mut Plugin, path: &str, extra: &[(&str, &str)]) -> Stream {
    let mut stream = plugin.stream();
    stream.headers("GET", path, &[&UPGRADE, extra].concat(), false);
    assert!(!stream.paused());
    stream.respond("101", "", &[("upgrade", "websocket")]);
    stream
}

/// What the client sends leaves like this, and the record of the session says so.
fn exchange(plugin: &mut Plugin, pieces: &[&[u8]]) -> (Vec<u8>, RequestRecord) {
    let mut stream = open(plugin, "/v1/responses", &[]);
    for piece in pieces {
        stream.body(piece, false);
    }
    let sent = stream.sent_body.clone();
    stream.finish();
    (sent, plugin.records().pop().unwrap())
}

#[test]
fn a_request_in_a_session_is_compressed_and_everything_around_it_stays() {
    let mut plugin = Plugin::reporting();
    let (ping, text) = (frame(0x89, b"?", Some([1; 4])), create(80));
    let other = said(r#"{"type":"response.cancel","input":[]}"#);
    let bytes = [ping.clone(), said(&text), other.clone()].concat();
    let (sent, record) = exchange(&mut plugin, &[&bytes]);
    assert!(sent == [ping, said(&shorter(&text)), other].concat());
    assert_eq!(record.outcome(), RequestOutcome::Compressed);
    assert_eq!((record.model.as_str(), record.api.as_str()), ("gpt-5-codex", "openai_responses"));
    let tokens = record.tokens.unwrap();
    assert!(tokens.after < tokens.before);
    assert_eq!(record.body_bytes_before, text.len() as u64);
    assert_eq!(record.body_bytes_after, shorter(&text).len() as u64);
    let session = record.websocket.unwrap();
    assert_eq!((session.opened, session.client_frames, session.requests), (true, 3, 1));
    assert_eq!(session.client_bytes, bytes.len() as u64, "as the client sent them");
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
            let (sent, record) = exchange(&mut plugin, &pieces);
            let mask = [bytes[4], bytes[5], bytes[6], bytes[7]];
            assert!(sent == frame(0x81, shorter(&text).as_bytes(), Some(mask)), "pieces of {piece}");
            assert_eq!(record.outcome(), RequestOutcome::Compressed);
            plugin.delete();
        }
    }
}

#[test]
fn the_tokens_of_a_session_are_those_of_all_its_requests() {
    let mut plugin = Plugin::reporting();
    let one = exchange(&mut plugin, &[&said(&create(40))]).1.tokens.unwrap();
    plugin.delete();
    let mut plugin = Plugin::reporting();
    let (_, record) = exchange(&mut plugin, &[&said(&create(40)), &said(&create(40))]);
    let both = record.tokens.unwrap();
    assert_eq!((both.before, both.after), (2 * one.before, 2 * one.after));
    assert_eq!(record.websocket.unwrap().requests, 2);
}

#[test]
fn what_is_not_understood_passes_byte_for_byte() {
    let text = create(40);
    let mut cut = text.clone();
    cut.truncate(text.len() - 1);
    for bytes in [
        frame(0xc1, text.as_bytes(), Some([1; 4])),
        frame(0x81, text.as_bytes(), None),
        frame(0x82, text.as_bytes(), Some([1; 4])),
        said(&cut),
        said("hello"),
        said(&text.replace("response.create", "response.other")),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ] {
        let mut plugin = Plugin::reporting();
        let (sent, record) = exchange(&mut plugin, &[&bytes]);
        assert!(sent == bytes);
        assert_ne!(record.outcome(), RequestOutcome::Compressed);
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
    assert!(!stream.paused());
    stream.body(&bytes[20..], false);
    stream.body(&said(&short), false);
    assert!(stream.sent_body == [bytes, said(&shorter(&short))].concat());
    stream.finish();
}

#[test]
fn a_session_that_is_off_or_audited_leaves_as_it_came() {
    let text = create(40);
    for (mode, outcome) in [("off", RequestOutcome::Bypassed), ("audit", RequestOutcome::Audited)] {
        let mut plugin = Plugin::reporting();
        let mut stream = open(&mut plugin, "/v1/responses", &[("x-headroom-mode", mode)]);
        stream.body(&said(&text), false);
        assert!(stream.sent_body == said(&text));
        assert_eq!(stream.sent_header("sec-websocket-extensions").is_some(), mode == "off");
        stream.finish();
        let record = plugin.records().pop().unwrap();
        assert_eq!(record.outcome(), outcome);
        assert_eq!(record.websocket.unwrap().client_frames, 1);
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

/// Ends a session in some way and gives the cause that its record names.
fn cause(end: impl FnOnce(&mut Stream)) -> String {
    let mut plugin = Plugin::reporting();
    let mut stream = open(&mut plugin, "/v1/responses", &[]);
    stream.body(&said(&create(20)), false);
    assert_eq!(metric("headroom.websocket_sessions_active"), 1);
    end(&mut stream);
    stream.finish();
    let cause = plugin.records().pop().unwrap().websocket.unwrap().termination_cause;
    assert_eq!(metric("headroom.websocket_sessions_active"), 0);
    assert_eq!(metric(&format!("headroom.websocket_sessions_ended.{cause}")), 1);
    plugin.delete();
    host(|host| *host = crate::host::Host { now: host.now, ..Default::default() });
    cause
}

#[test]
fn a_session_says_why_it_ended() {
    let event = |kind: &str| frame(0x81, format!(r#"{{"type":"{kind}"}}"#).as_bytes(), None);
    let closed = |code: u16| frame(0x88, &code.to_be_bytes(), None);
    let client_closed = |code: u16| frame(0x88, &code.to_be_bytes(), Some([9; 4]));
    assert_eq!(cause(|_| ()), "unknown");
    assert_eq!(cause(|it| it.body(&client_closed(1000), false)), "client_disconnect");
    assert_eq!(cause(|it| it.body(&client_closed(1002), false)), "client_error");
    assert_eq!(cause(|it| it.body(&[0x81, 0xff], false)), "unknown", "a frame that never came");
    assert_eq!(cause(|it| it.body(&[0x89, 0xff], false)), "client_error");
    assert_eq!(cause(|it| it.body(b"", true)), "client_disconnect");
    assert_eq!(cause(|it| it.respond_body(&closed(1000), false)), "upstream_disconnect");
    assert_eq!(cause(|it| it.respond_body(&closed(1011), false)), "upstream_error");
    assert_eq!(cause(|it| it.respond_body(b"", true)), "upstream_disconnect");
    let error = [event("error"), closed(1000)].concat();
    assert_eq!(cause(|it| it.respond_body(&error, true)), "upstream_error");
    let done = [event("response.created"), event("response.completed")].concat();
    for end in [client_closed(1000), Vec::new()] {
        let ended = cause(|it| {
            it.respond_body(&done, false);
            it.body(&end, true);
        });
        assert_eq!(ended, "response_completed");
    }
}

#[test]
fn a_session_that_the_provider_refuses_is_reported_with_its_status() {
    let mut plugin = Plugin::reporting();
    let mut stream = plugin.stream();
    stream.headers("GET", "/v1/responses", &UPGRADE, false);
    stream.respond("426", "application/json", &[]);
    stream.respond_body(b"{\"error\":{}}", true);
    stream.finish();
    let record = plugin.records().pop().unwrap();
    assert_eq!(record.status, 426);
    let session = record.websocket.unwrap();
    assert_eq!((session.opened, session.termination_cause.as_str()), (false, "upstream_error"));
}

#[test]
fn a_silent_session_is_ended_and_one_that_speaks_is_not() {
    let mut plugin = Plugin::new(json!({"first_frame_timeout_ms": 5_000}));
    let silent = open(&mut plugin, "/v1/responses", &[]);
    assert_eq!(host(|host| host.tick_period), 1_000, "without reports too");
    plugin.tick_after(4_000);
    assert!(host(|host| host.closed.is_empty()));
    let mut speaking = open(&mut plugin, "/v1/responses", &[]);
    speaking.body(&said("hi"), false);
    plugin.tick_after(2_000);
    plugin.tick_after(60_000);
    assert_eq!(host(|host| host.closed.clone()), [silent.context]);
    assert_eq!(metric("headroom.websocket_sessions_ended.client_timeout"), 1);
    silent.finish();
    assert_eq!(metric("headroom.websocket_sessions_active"), 1);
    assert_eq!(exports::proxy_on_request_body(speaking.context, 0, false), Action::Continue);
    speaking.finish();
    assert_eq!(metric("headroom.websocket_sessions_active"), 0);
}
