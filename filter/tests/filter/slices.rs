//! Bodies that are worked on in slices: paused, and continued in a tick, with the same bytes as in one go.

use crate::exports::Action;
use headroom_api::v1::RequestOutcome;
use serde_json::json;

use crate::host::{Refusal, host, metric, refusing};
use crate::proxy::{Plugin, Stream, compressed, compressible, lossy, reversible};

/// From now on every step takes as long as a whole slice.
fn slow() {
    host(|host| host.call_takes = 20_000_000);
}

fn fast() {
    host(|host| host.call_takes = 1_000);
}

/// Runs ticks until the stream goes on. Returns their number.
fn tick(plugin: &Plugin, stream: &mut Stream) -> usize {
    for ticks in 1..1_000 {
        plugin.tick_after(1);
        stream.look();
        if !stream.paused() {
            return ticks;
        }
    }
    panic!("the request hangs");
}

#[test]
fn a_paused_body_goes_on_in_ticks_and_is_the_same() {
    let body = lossy(&[60, 80, 70]);
    for mode in ["strip", "hold"] {
        let mut plugin = Plugin::new(json!({"body_mode": mode, "reversible": true}));
        slow();
        let mut stream = plugin.post("/v1/messages", &[], &body);
        assert!(stream.paused() && host(|host| host.tick_period) == 1);
        assert!(tick(&plugin, &mut stream) > 2);
        fast();
        assert_eq!(stream.sent_body, reversible(&body));
        let length = (mode == "hold").then(|| stream.sent_body.len().to_string());
        assert_eq!(stream.sent_header("content-length"), length);
        assert_eq!(host(|host| host.effective_context), 1, "the root's");
        stream.finish();
        plugin.tick_after(1);
        assert_ne!(host(|host| host.tick_period), 1, "nobody waits any more");
        plugin.delete();
    }
    assert!(metric("headroom.work.paused") > 4);
    assert_eq!(metric("headroom.work.not_paused"), 0);
}

#[test]
fn trailers_wait_for_the_body() {
    let body = compressible();
    let mut plugin = Plugin::new(json!({}));
    let mut stream = plugin.stream();
    stream.headers("POST", "/v1/messages", &[], false);
    stream.body(&body, false);
    slow();
    stream.trailers();
    assert_eq!(stream.actions.last(), Some(&Action::Pause));
    tick(&plugin, &mut stream);
    fast();
    assert_eq!(stream.sent_body, compressed(&body));
}

#[test]
fn without_ticks_a_body_is_done_in_one_go() {
    let body = compressible();
    let mut plugin = Plugin::new(json!({}));
    slow();
    let stream = refusing(Refusal { call: "set_tick_period", status: 12, after: 0 }, || {
        plugin.post("/v1/messages", &[], &body)
    });
    fast();
    assert_eq!(stream.sent_body, compressed(&body));
    assert_eq!(metric("headroom.work.not_paused"), 1);
}

#[test]
fn a_client_that_leaves_gives_its_place_back() {
    let body = compressible();
    let mut plugin = Plugin::new(json!({"bodies_in_work": 1, "control_plane": {"cluster": "c"}}));
    slow();
    let first = plugin.post("/v1/messages", &[], &body);
    assert!(first.paused());
    let waiting = plugin.post("/v1/messages", &[], &body);
    assert!(waiting.paused());
    assert_eq!(metric("headroom.work.waited"), 1);
    waiting.finish();
    first.finish();
    fast();
    let next = plugin.post("/v1/messages", &[], &body);
    assert_eq!(next.sent_body, compressed(&body), "there is a place, and nobody before it");
    next.finish();
    let outcomes: Vec<_> = plugin.records().iter().map(|record| record.outcome()).collect();
    assert_eq!(outcomes[..2], [RequestOutcome::Aborted; 2]);
}

#[test]
fn who_finds_no_place_goes_on_when_there_is_one() {
    let body = compressible();
    let mut plugin = Plugin::new(json!({"bodies_in_work": 1}));
    slow();
    let mut first = plugin.post("/v1/messages", &[], &body);
    let mut second = plugin.post("/v1/messages", &[], &body);
    assert_eq!((first.paused(), second.paused()), (true, true));
    tick(&plugin, &mut first);
    second.look();
    assert!(second.paused());
    first.finish();
    // The host of these tests has one buffer for bodies.
    host(|host| host.request_body = body.clone());
    tick(&plugin, &mut second);
    fast();
    assert_eq!(second.sent_body, compressed(&body));
}

#[test]
fn a_host_that_refuses_a_replacement_in_a_tick_lets_the_body_go_as_it_came() {
    let body = compressible();
    let mut plugin = Plugin::new(json!({}));
    slow();
    let mut stream = plugin.post("/v1/messages", &[], &body);
    refusing(Refusal { call: "set_buffer", status: 2, after: 0 }, || tick(&plugin, &mut stream));
    fast();
    assert_eq!(stream.sent_body, body);
}
