//! Bodies: how they arrive, how they are held, how they leave.

use crate::exports::Action;
use headroom_api::v1::RequestOutcome;
use serde_json::json;

use crate::host::{host, metric};
use crate::proxy::{Plugin, Stream, compressed, compressible, lossy};

const PATH: &str = "/v1/messages";

fn hold() -> Plugin {
    Plugin::new(json!({"body_mode": "hold", "control_plane": {"cluster": "c"}}))
}

/// A plugin in strip mode, then one in hold mode.
fn both_modes() -> impl Iterator<Item = Plugin> {
    [Plugin::reporting, hold].into_iter().map(|start| {
        host(|host| {
            host.grpc_calls.clear();
            host.metrics.clear();
        });
        start()
    })
}

fn outcome(plugin: &Plugin, stream: Stream) -> RequestOutcome {
    stream.finish();
    plugin.records().pop().unwrap().outcome()
}

#[test]
fn strip_mode_forwards_headers_at_once_without_a_length() {
    let body = compressible();
    let mut plugin = Plugin::reporting();
    let stream = plugin.post(PATH, &[("content-type", "application/json")], &body);
    assert_eq!(stream.actions, [Action::Continue, Action::Continue]);
    assert_eq!(stream.sent_header("content-length"), None);
    assert_eq!(stream.sent_header("content-type").as_deref(), Some("application/json"));
    assert_eq!(stream.sent_body, compressed(&body));
    assert_eq!(outcome(&plugin, stream), RequestOutcome::Compressed);
}

#[test]
fn hold_mode_forwards_headers_last_with_the_exact_length() {
    let body = compressible();
    let mut plugin = hold();
    let stream = plugin.post(PATH, &[], &body);
    assert_eq!(stream.actions, [Action::Pause, Action::Continue]);
    let compressed = compressed(&body);
    assert_eq!(stream.sent_header("content-length"), Some(compressed.len().to_string()));
    assert_eq!(stream.sent_body, compressed);
    assert_eq!(outcome(&plugin, stream), RequestOutcome::Compressed);
}

#[test]
fn a_body_in_300_small_frames_is_read_once() {
    let body = compressible();
    for mut plugin in both_modes() {
        let mut stream = plugin.stream();
        stream.headers("POST", PATH, &[], false);
        host(|host| host.calls.clear());
        for piece in body.chunks(body.len().div_ceil(300)) {
            stream.body(piece, false);
            assert!(stream.paused());
        }
        assert_eq!(host(|host| host.calls.len()), 0, "a frame must not cost a host call");
        stream.body(b"", true);
        assert_eq!(host(|host| host.calls.iter().filter(|call| **call == "get_buffer").count()), 1);
        assert_eq!(stream.sent_body, compressed(&body));
        stream.finish();
        plugin.delete();
    }
}

#[test]
fn the_end_of_the_body_may_be_known_only_from_the_trailers() {
    let body = compressible();
    for mut plugin in both_modes() {
        let mut stream = plugin.stream();
        stream.headers("POST", PATH, &[], false);
        stream.body(&body, false);
        assert!(stream.paused());
        stream.trailers();
        assert!(!stream.paused());
        assert_eq!(stream.sent_body, compressed(&body));
        stream.finish();
        plugin.delete();
    }
}

#[test]
fn a_body_that_is_announced_over_the_cap_is_never_held() {
    let body = compressible();
    for mode in ["strip", "hold"] {
        let mut plugin = Plugin::new(
            json!({"body_mode": mode, "max_body_bytes": body.len() - 1, "control_plane": {"cluster": "c"}}),
        );
        let stream = plugin.post(PATH, &[], &body);
        assert_eq!(stream.actions, [Action::Continue, Action::Continue]);
        assert_eq!(stream.sent_header("content-length"), Some(body.len().to_string()));
        assert_eq!(stream.sent_body, body);
        assert_eq!(outcome(&plugin, stream), RequestOutcome::TooLarge);
        plugin.delete();
    }
}

#[test]
fn a_body_that_grows_over_the_cap_is_let_go() {
    let body = compressible();
    for mode in ["strip", "hold"] {
        let mut plugin = Plugin::new(
            json!({"body_mode": mode, "max_body_bytes": body.len() - 1, "control_plane": {"cluster": "c"}}),
        );
        let mut stream = plugin.stream();
        stream.headers("POST", PATH, &[], false);
        let (head, tail) = body.split_at(body.len() / 2);
        stream.body(head, false);
        assert!(stream.paused());
        stream.body(tail, false);
        assert!(!stream.paused(), "what is over the cap must not pile up");
        stream.body(b" ", true);
        assert_eq!(stream.sent_body, [&body[..], b" "].concat());
        assert_eq!(outcome(&plugin, stream), RequestOutcome::TooLarge);
        plugin.delete();
    }
}

#[test]
fn a_body_of_exactly_the_cap_is_compressed() {
    let body = compressible();
    let mut plugin = Plugin::new(json!({"max_body_bytes": body.len()}));
    assert_eq!(plugin.post(PATH, &[], &body).sent_body, compressed(&body));
}

#[test]
fn a_request_without_a_body_passes() {
    let mut plugin = hold();
    let mut stream = plugin.stream();
    stream.headers("POST", PATH, &[("content-length", "0")], true);
    assert_eq!(stream.actions, [Action::Continue]);
    assert_eq!(stream.sent_header("content-length").as_deref(), Some("0"));
    assert_eq!(outcome(&plugin, stream), RequestOutcome::Empty);
}

#[test]
fn a_body_that_turns_out_empty_passes() {
    for last in ["data", "trailers"] {
        let mut plugin = hold();
        let mut stream = plugin.stream();
        stream.headers("POST", PATH, &[], false);
        if last == "data" {
            stream.body(b"", true)
        } else {
            stream.trailers()
        }
        assert!(!stream.paused());
        assert_eq!(outcome(&plugin, stream), RequestOutcome::Empty);
        plugin.delete();
    }
}

#[test]
fn a_body_in_an_encoding_that_is_not_read_passes() {
    let body = compressible();
    let mut plugin = hold();
    let stream = plugin.post(PATH, &[("content-encoding", "br")], &body);
    assert_eq!(stream.actions, [Action::Continue, Action::Continue]);
    assert_eq!(stream.sent_header("content-length"), Some(body.len().to_string()));
    assert_eq!(stream.sent_body, body);
    assert_eq!(outcome(&plugin, stream), RequestOutcome::Encoded);
}

#[test]
fn an_identity_encoding_is_none() {
    let body = compressible();
    let stream = Plugin::reporting().post(PATH, &[("content-encoding", "Identity")], &body);
    assert_eq!(stream.sent_body, compressed(&body));
}

#[test]
fn a_body_that_is_not_what_the_path_promises_leaves_byte_for_byte() {
    for body in [&b"{"[..], b"not json", b"[]", b"\xff\xfe", b"{\"messages\":7}"] {
        for mut plugin in both_modes() {
            let stream = plugin.post(PATH, &[], body);
            assert_eq!(stream.sent_body, body);
            assert_eq!(outcome(&plugin, stream), RequestOutcome::NotUnderstood, "{body:?}");
            plugin.delete();
        }
    }
}

#[test]
fn nothing_to_gain_means_the_same_bytes_and_in_hold_mode_the_same_length() {
    let body = br#"{ "model":"m", "messages":[{"role":"user","content":"hi"}] }"#;
    let mut plugin = hold();
    let stream = plugin.post(PATH, &[], body);
    assert_eq!(stream.sent_body, body);
    assert_eq!(stream.sent_header("content-length"), Some(body.len().to_string()));
    assert_eq!(outcome(&plugin, stream), RequestOutcome::Unchanged);
}

#[test]
fn a_client_that_leaves_before_its_body_is_complete_is_recorded_as_aborted() {
    for mut plugin in both_modes() {
        let mut stream = plugin.stream();
        stream.headers("POST", PATH, &[], false);
        stream.body(b"{\"model\"", false);
        assert_eq!(outcome(&plugin, stream), RequestOutcome::Aborted);
        assert_eq!(metric("headroom.requests.aborted"), 1);
        plugin.delete();
    }
}

#[test]
fn a_body_that_overflows_the_hosts_buffer_is_recorded_and_explained() {
    let mut plugin = hold();
    let mut stream = plugin.stream();
    stream.headers("POST", PATH, &[], false);
    stream.body(b"{\"model\"", false);
    stream.respond("413", "text/plain", &[]);
    assert_eq!(outcome(&plugin, stream), RequestOutcome::TooLarge);
    assert!(host(|host| host.log.iter().any(|line| line.contains("per_connection_buffer_limit_bytes"))));
}

#[test]
fn a_host_that_gives_fewer_bytes_than_announced_gets_its_body_back_untouched() {
    let body = compressible();
    let mut plugin = Plugin::reporting();
    let mut stream = plugin.stream();
    stream.headers("POST", PATH, &[], false);
    stream.body(&body, false);
    host(|host| host.request_body.truncate(100));
    stream.trailers();
    assert_eq!(stream.sent_body, &body[..100]);
    assert_eq!(outcome(&plugin, stream), RequestOutcome::HostError);
}

#[test]
fn the_same_body_again_is_answered_from_the_memo() {
    let body = compressible();
    let mut plugin = Plugin::reporting();
    for _ in 0..2 {
        let stream = plugin.post(PATH, &[], &body);
        assert_eq!(stream.sent_body, compressed(&body));
        stream.finish();
    }
    let memo: Vec<bool> =
        plugin.records().iter().flat_map(|record| &record.blocks).map(|block| block.memo).collect();
    assert_eq!(memo, [false, true]);
}

#[test]
fn an_audited_request_is_measured_and_leaves_as_it_came() {
    let body = compressible();
    let mut plugin =
        Plugin::new(json!({"mode": "audit", "body_mode": "hold", "control_plane": {"cluster": "c"}}));
    let stream = plugin.post(PATH, &[], &body);
    assert_eq!(stream.actions, [Action::Continue, Action::Continue]);
    assert_eq!(stream.sent_header("content-length"), Some(body.len().to_string()));
    assert_eq!(stream.sent_body, body);
    stream.finish();
    let record = plugin.records().pop().unwrap();
    let tokens = record.tokens.clone().unwrap();
    assert_eq!(record.outcome(), RequestOutcome::Audited);
    assert!(tokens.after < tokens.before);
    assert_eq!((record.body_bytes_before, record.body_bytes_after), (body.len() as u64, body.len() as u64));
    assert_eq!(metric("headroom.tokens_saved"), 0);
    assert_eq!(host(|host| host.properties["headroom.tokens_saved"].clone()), b"0");
}

#[test]
fn a_simulated_request_leaves_as_it_came_and_its_plan_is_what_optimize_would_do() {
    let body = lossy(&[400]);
    let plan = |mode: &str| {
        let rules = json!([{"path": "/v1/*", "mode": mode}]);
        let mut plugin =
            Plugin::new(json!({"reversible": true, "rules": rules, "control_plane": {"cluster": "c"}}));
        let mut stream = plugin.post(PATH, &[], &body);
        let headers = stream.respond("200", "application/json", &[]);
        let header = |name: &str| {
            let value = headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
            value.map(|value| String::from_utf8(value).unwrap())
        };
        let told = ["outcome", "tokens-saved", "transforms", "plan-tokens-after", "plan-transforms"]
            .map(|name| header(&format!("x-headroom-{name}")));
        let sent = stream.sent_body.clone();
        stream.finish();
        let record = plugin.records().pop().unwrap();
        let saved = metric("headroom.tokens_saved");
        plugin.delete();
        (sent, told, record, saved)
    };
    let (sent, [outcome, saved, used, after, transforms], simulated, counted) = plan("simulate");
    assert!(sent == body);
    assert_eq!(
        (outcome.as_deref(), saved.as_deref(), used, counted),
        (Some("simulated"), Some("0"), None, 0)
    );
    assert_eq!(simulated.outcome(), RequestOutcome::Simulated);
    assert_eq!(simulated.body_bytes_after, body.len() as u64);
    let [block] = simulated.blocks.as_slice() else { panic!("{:?}", simulated.blocks) };
    assert!(block.lossy && !block.left_out.is_empty(), "{block:?}");

    let (sent, [.., used, _, _], real, _) = plan("optimize");
    let marker = serde_json::to_string(&block.left_out).unwrap();
    let sent = String::from_utf8(sent).unwrap();
    assert!(sent.contains(marker.trim_matches('"')), "what the model would read: {marker}");
    assert_eq!(after, Some(real.tokens.unwrap().after.to_string()));
    assert_eq!((transforms, used.as_ref()), (used.clone(), Some(&block.outcome)));
    assert_eq!((real.blocks[0].lossy, real.blocks[0].left_out.as_str()), (true, ""));

    let (sent, [outcome, _, _, after, _], audited, _) = plan("audit");
    assert!(sent == body);
    assert_eq!((outcome.as_deref(), after, audited.blocks[0].left_out.as_str()), (Some("audited"), None, ""));
}

#[test]
fn a_host_that_cannot_hold_headers_gets_them_back_and_is_not_asked_again() {
    let body = compressible();
    let mut plugin = Plugin::new(json!({"body_mode": "hold"}));
    assert_eq!(host(|host| host.tick_period), 1_000, "without reports too");
    let mut stuck = plugin.stream();
    stuck.headers("POST", PATH, &[], false);
    plugin.tick_after(500);
    assert_eq!(host(|host| host.continued.clone()), [] as [u32; 0], "too early to tell");
    plugin.tick_after(600);
    assert_eq!(host(|host| host.continued.clone()), [stuck.context]);
    stuck.body(&body, true);
    assert_eq!(stuck.sent_body, body);
    stuck.finish();
    assert_eq!(metric("headroom.requests.host_error"), 1);
    assert!(host(|host| host.log.iter().any(|line| line.contains("allow_on_headers_stop_iteration"))));

    let next = plugin.post(PATH, &[], &body);
    assert_eq!(next.actions, [Action::Continue, Action::Continue]);
    assert_eq!(next.sent_header("content-length"), None);
    assert_eq!(next.sent_body, compressed(&body));
}

#[test]
fn a_slow_client_is_not_mistaken_for_a_host_that_cannot_hold_headers() {
    let body = compressible();
    let mut plugin = Plugin::new(json!({"body_mode": "hold"}));
    plugin.post(PATH, &[], &body).finish();
    let mut slow = plugin.stream();
    slow.headers("POST", PATH, &[], false);
    plugin.tick_after(60_000);
    assert_eq!(host(|host| host.continued.clone()), [] as [u32; 0]);
    slow.body(&body, true);
    assert_eq!(slow.sent_body, compressed(&body));
}
