//! Whatever status the host returns for whatever call: nothing panics, and the request goes through.

use crate::exports;
use serde_json::json;

use crate::host::{Refusal, host, metric, statuses};
use crate::proxy::{Plugin, Stream, compressed, compressible};

const CALLS: [&str; 17] = [
    "get_current_time",
    "set_tick_period",
    "get_buffer",
    "set_buffer",
    "get_header_map_pairs",
    "replace_header",
    "remove_header",
    "get_property",
    "set_property",
    "define_metric",
    "increment_metric",
    "record_metric",
    "set_effective_context",
    "get_shared_data",
    "set_shared_data",
    "continue_stream",
    "grpc_call",
];

/// A request with everything that the filter does for it, and its answer.
fn exchange(body_mode: &str, body: &[u8], refusal: Option<Refusal>) -> Stream {
    host(|host| host.refusal = refusal);
    let configuration =
        json!({"body_mode": body_mode, "control_plane": {"cluster": "c"}, "no_such_key": 1}).to_string();
    let mut plugin = Plugin::start(1, configuration.as_bytes());
    let headers = [("x-headroom-stack", "s"), ("accept-encoding", "gzip")];
    let mut stream = plugin.post("/v1/messages", &headers, body);
    let answer = stream.respond("200", "application/json", &[]);
    assert_eq!(answer[0], (":status".to_owned(), b"200".to_vec()));
    stream.respond_body(br#"{"usage":{"input_tokens":1}}"#, true);
    assert!(exports::proxy_on_done(stream.context));
    exports::proxy_on_delete(stream.context);
    plugin.tick_after(60_000);
    // The crate sets the context before it passes an answer on, and Envoy refuses that only for contexts that
    // are gone.
    if refusal.is_some_and(|it| it.call == "set_effective_context") {
        host(|host| host.refusal = None);
    }
    if !plugin.reports().is_empty() {
        plugin.acknowledge(1);
        plugin.fail();
    }
    plugin.delete();
    stream
}

/// A request whose headers are held although the host cannot do that, until a tick releases it.
fn stuck(refusal: Option<Refusal>) {
    host(|host| host.refusal = refusal);
    let body = compressible();
    let mut plugin = Plugin::start(1, br#"{"body_mode":"hold"}"#);
    let mut stream = plugin.stream();
    stream.headers("POST", "/v1/messages", &[], false);
    plugin.tick_after(2_000);
    stream.body(&body, true);
    assert!(!stream.paused(), "{refusal:?}");
    assert!(stream.sent_body == body || stream.sent_body == compressed(&body), "{refusal:?}");
    stream.finish();
    plugin.delete();
}

fn check(body_mode: &str, refusal: Refusal) {
    let body = compressible();
    let stream = exchange(body_mode, &body, Some(refusal));
    let context = format!("{body_mode}: {refusal:?}");
    assert!(!stream.paused(), "{context}");
    assert!(
        stream.sent_body == body || stream.sent_body == compressed(&body),
        "{context}: the body is neither the client's nor the engine's"
    );
    if let Some(length) = stream.sent_header("content-length") {
        assert_eq!(length, stream.sent_body.len().to_string(), "{context}: the length is not the body's");
    }
}

#[test]
fn every_status_to_every_call_leaves_the_request_whole() {
    for body_mode in ["strip", "hold"] {
        for call in CALLS {
            for status in statuses(call) {
                check(body_mode, Refusal { call, status, after: 0 });
                stuck(Some(Refusal { call, status, after: 0 }));
            }
        }
    }
}

#[test]
fn a_refusal_in_the_middle_leaves_the_request_whole() {
    for body_mode in ["strip", "hold"] {
        for call in CALLS {
            for after in 1..8 {
                let status = statuses(call)[0];
                check(body_mode, Refusal { call, status, after });
                stuck(Some(Refusal { call, status, after }));
            }
        }
    }
}

#[test]
fn the_exchange_makes_every_call_that_can_be_refused() {
    exchange("hold", &compressible(), None);
    exchange("strip", &compressible(), None);
    stuck(None);
    let made = host(|host| host.calls.clone());
    for call in CALLS {
        assert!(made.contains(&call), "{call} is never made, so refusing it proves nothing");
    }
    for call in made {
        assert!(CALLS.contains(&call), "{call} is not refused in any test");
    }
}

#[test]
fn refusals_are_counted_and_the_log_stays_short() {
    let mut plugin = Plugin::new(json!({}));
    host(|host| host.refusal = Some(Refusal { call: "get_current_time", status: 10, after: 0 }));
    for _ in 0..100 {
        plugin.post("/other", &[], b"x").finish();
    }
    assert_eq!(metric("headroom.host_errors"), 100);
    let lines = host(|host| host.log.iter().filter(|line| line.contains("internal failure")).count());
    assert!((1..10).contains(&lines), "{lines} lines");
}

#[test]
fn without_the_length_off_the_headers_a_body_is_not_rewritten() {
    let body = compressible();
    let refusal = Refusal { call: "remove_header", status: 2, after: 1 };
    let stream = exchange("strip", &body, Some(refusal));
    assert_eq!(stream.sent_body, body);
    assert_eq!(metric("headroom.requests.host_error"), 1);
}

#[test]
fn a_length_that_was_announced_for_a_body_that_was_not_taken_is_put_right() {
    let body = compressible();
    let stream = exchange("hold", &body, Some(Refusal { call: "set_buffer", status: 10, after: 0 }));
    assert_eq!(stream.sent_body, body);
    assert_eq!(stream.sent_header("content-length"), Some(body.len().to_string()));
    assert_eq!(metric("headroom.tokens_saved"), 0);
}
