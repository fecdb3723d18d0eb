//! How WebSocket sessions end: by either side, by silence, cut off, or because a host refuses.

use crate::exports::{self, Action};
use headroom_api::v1::{RequestOutcome, SessionEnd};
use serde_json::json;

use crate::frames::frame;
use crate::host::{Refusal, host, metric, refusing, statuses};
use crate::proxy::{Plugin, Stream};
use crate::sessions::{MASK, UPGRADE, completed, create, open, said, sessions};

/// Ends a session, and returns the reported cause.
fn cause(end: impl FnOnce(&mut Stream)) -> SessionEnd {
    let mut plugin = Plugin::reporting();
    let mut stream = open(&mut plugin, "/v1/responses", &[]);
    stream.body(&said(&create(20)), false);
    assert_eq!(metric("headroom.websocket_sessions_active"), 1);
    end(&mut stream);
    stream.finish();
    let end = sessions(&plugin).pop().unwrap().end();
    assert_eq!(metric("headroom.websocket_sessions_active"), 0);
    let name = end.as_str_name().trim_start_matches("SESSION_END_").to_ascii_lowercase();
    assert_eq!(metric(&format!("headroom.websocket_sessions_ended.{name}")), 1);
    plugin.delete();
    host(|host| {
        *host = crate::host::Host { now: host.now, last_token: host.last_token, ..Default::default() }
    });
    end
}

#[test]
fn a_session_says_why_it_ended() {
    use SessionEnd::{ClientDisconnect, ClientError, ResponseCompleted, Unknown};
    use SessionEnd::{UpstreamDisconnect, UpstreamError};
    let closed = |code: u16| frame(0x88, &code.to_be_bytes(), None);
    let client_closed = |code: u16| frame(0x88, &code.to_be_bytes(), Some([9; 4]));
    assert_eq!(cause(|_| ()), Unknown);
    assert_eq!(cause(|it| it.body(&client_closed(1000), false)), ClientDisconnect);
    assert_eq!(cause(|it| it.body(&frame(0x88, b"", Some(MASK)), false)), ClientDisconnect);
    assert_eq!(cause(|it| it.body(&client_closed(1002), false)), ClientError);
    assert_eq!(cause(|it| it.body(&[0x81, 0xff], false)), Unknown, "a frame that never came");
    assert_eq!(cause(|it| it.body(&[0x89, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], false)), Unknown);
    assert_eq!(cause(|it| it.body(&[0x81, 0x05, b'h'], true)), ClientError, "it does not mask");
    assert_eq!(cause(|it| it.body(b"", true)), ClientDisconnect);
    assert_eq!(cause(|it| it.respond_body(&closed(1000), false)), UpstreamDisconnect);
    assert_eq!(cause(|it| it.respond_body(&closed(1011), false)), UpstreamError);
    assert_eq!(cause(|it| it.respond_body(b"", true)), UpstreamDisconnect);
    for end in [client_closed(1000), Vec::new()] {
        let ended = cause(|it| {
            it.respond_body(&completed("m", 1), false);
            it.body(&end, true);
        });
        assert_eq!(ended, ResponseCompleted);
    }
    // Envoy's response flags, if neither side sent a close frame.
    for (bit, expected) in [(14, ClientDisconnect), (4, UpstreamDisconnect), (6, UpstreamDisconnect)] {
        let ended = cause(|_| host(|host| host.response_flags = 1 << bit));
        assert_eq!(ended, expected, "bit {bit}");
    }
}

#[test]
fn a_session_that_the_provider_refuses_is_a_request_like_another() {
    let mut plugin = Plugin::reporting();
    let mut stream = plugin.stream();
    stream.headers("GET", "/v1/responses", &UPGRADE, false);
    stream.respond("426", "application/json", &[]);
    stream.respond_body(br#"{"error":{"type":"upgrade_refused"}}"#, true);
    stream.finish();
    let record = plugin.records().pop().unwrap();
    assert_eq!((record.status, record.outcome()), (426, RequestOutcome::Empty));
    assert_eq!(record.error_class, "upgrade_refused");
    let session = sessions(&plugin).pop().unwrap();
    assert_eq!((session.status, session.end()), (426, SessionEnd::UpstreamError));
    assert_eq!(metric("headroom.websocket_sessions"), 0, "it was never open");
}

#[test]
fn a_client_that_leaves_before_the_answer_to_its_handshake_has_a_record() {
    let mut plugin = Plugin::reporting();
    let mut stream = plugin.stream();
    stream.headers("GET", "/v1/responses", &UPGRADE, false);
    stream.finish();
    let record = plugin.records().pop().unwrap();
    assert_eq!((record.status, record.outcome()), (0, RequestOutcome::Empty));
}

#[test]
fn a_request_that_the_client_does_not_end_is_aborted_and_passes_as_far_as_it_came() {
    let bytes = said(&create(40));
    for end_is_announced in [true, false] {
        let mut plugin = Plugin::reporting();
        let mut stream = open(&mut plugin, "/v1/responses", &[]);
        stream.body(&bytes[..500], false);
        assert!(stream.sent_body.is_empty(), "it is held");
        if end_is_announced {
            stream.body(&[], true);
            assert!(stream.sent_body == bytes[..500]);
        }
        stream.finish();
        let record = plugin.records().pop().unwrap();
        assert_eq!((record.outcome(), record.status), (RequestOutcome::Aborted, 0));
        assert_eq!(record.model, "gpt-5-codex");
        plugin.delete();
    }
}

#[test]
fn where_it_is_off_not_even_half_a_header_waits() {
    let mut plugin = Plugin::reporting();
    let mut stream = open(&mut plugin, "/v1/responses", &[("x-headroom-mode", "off")]);
    let bytes = said(&create(3));
    for (at, byte) in bytes.iter().enumerate() {
        stream.body(&[*byte], false);
        assert_eq!(stream.sent_body.len(), at + 1);
    }
    assert!(stream.sent_body == bytes);
    stream.finish();
}

#[test]
fn what_is_cut_off_at_any_byte_has_passed_up_to_there() {
    let short = create(1);
    let (first, second) = short.as_bytes().split_at(130);
    let fragments = [frame(0x01, first, Some(MASK)), frame(0x80, second, Some([4; 4]))].concat();
    // Lengths of one, two and eight bytes.
    for bytes in [said("{\"type\":\"response.cancel\"}"), said(&short), fragments, said(&create(3_000))] {
        for cut in (0..bytes.len().min(1_200)).chain([bytes.len() - 1]) {
            let mut plugin = Plugin::reporting();
            let mut stream = open(&mut plugin, "/v1/responses", &[]);
            stream.body(&bytes[..cut], true);
            assert!(stream.sent_body == bytes[..cut], "at {cut} of {}", bytes.len());
            stream.finish();
            plugin.delete();
        }
    }
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

#[test]
fn a_silent_session_that_the_host_does_not_end_is_reported_once_and_passes_unread() {
    for status in statuses("close_stream") {
        let mut plugin =
            Plugin::new(json!({"first_frame_timeout_ms": 5_000, "control_plane": {"cluster": "c"}}));
        let errors = metric("headroom.host_errors");
        let mut silent = open(&mut plugin, "/v1/responses", &[]);
        let refusal = Refusal { call: "close_stream", status, after: 0 };
        refusing(refusal, || plugin.tick_after(6_000));
        assert!(host(|host| host.closed.is_empty()), "status {status}");
        assert_eq!(metric("headroom.host_errors"), errors + 1, "status {status}");
        assert_eq!(metric("headroom.websocket_sessions_active"), 0, "status {status}");
        let late = said(&create(40));
        silent.body(&late, false);
        assert!(silent.sent_body == late, "status {status}");
        plugin.tick_after(60_000);
        assert!(host(|host| host.closed.is_empty()), "status {status}");
        silent.finish();
        plugin.delete();
    }
}

#[test]
fn a_host_that_does_not_show_the_bytes_still_gets_them_through() {
    let mut plugin = Plugin::reporting();
    let mut stream = open(&mut plugin, "/v1/responses", &[]);
    let bytes = said(&create(40));
    let (first, rest) = bytes.split_at(500);
    stream.body(first, false);
    let (second, third) = rest.split_at(500);
    refusing(Refusal { call: "get_buffer", status: 2, after: 0 }, || stream.body(second, false));
    stream.body(third, false);
    assert!(stream.sent_body == bytes);
    stream.finish();
}

#[test]
fn a_host_that_does_not_take_a_shorter_request_gets_the_clients_and_so_does_the_record() {
    let mut plugin = Plugin::reporting();
    let mut stream = open(&mut plugin, "/v1/responses", &[]);
    let text = create(40);
    refusing(Refusal { call: "set_buffer", status: 2, after: 0 }, || stream.body(&said(&text), false));
    stream.body(&said(&text), false);
    assert!(stream.sent_body == [said(&text), said(&text)].concat(), "nothing is read after it");
    assert!(host(|host| host.closed.is_empty()));
    stream.finish();
    let records = plugin.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].outcome(), RequestOutcome::HostError);
    assert_eq!(records[0].body_bytes_after, text.len() as u64);
    assert_eq!(sessions(&plugin).pop().unwrap().saved_bytes, 0);
}

#[test]
fn a_session_ends_where_the_host_takes_back_what_it_had_let_go() {
    let mut plugin = Plugin::reporting();
    let mut stream = open(&mut plugin, "/v1/responses", &[]);
    let bytes = said(&create(40));
    stream.body(&bytes[..500], false);
    refusing(Refusal { call: "set_buffer", status: 2, after: 0 }, || stream.body(&bytes[500..], false));
    assert_eq!(host(|host| host.closed.len()), 1, "the first half could not be sent any more");
    stream.finish();
}
