//! Request headers: what is matched, what is asked for, what is taken off.

use headroom_api::v1::RequestOutcome;
use headroom_filter::exports::Action;
use serde_json::json;

use crate::host::{host, metric};
use crate::proxy::{Plugin, compressed, compressible};

#[test]
fn a_request_that_is_not_ours_is_not_touched_and_not_recorded() {
    let body = compressible();
    let mut plugin = Plugin::reporting();
    for path in ["/v1/messages/batches", "/v1/embeddings", "/"] {
        let stream = plugin.post(path, &[("accept-encoding", "gzip")], &body);
        assert_eq!(stream.actions, [Action::Continue, Action::Continue]);
        assert_eq!(stream.sent_header("accept-encoding").as_deref(), Some("gzip"));
        assert_eq!(stream.sent_header("content-length"), Some(body.len().to_string()));
        assert_eq!(stream.sent_body, body);
        stream.finish();
    }
    plugin.tick_after(60_000);
    assert!(plugin.reports().is_empty());
}

#[test]
fn a_get_on_a_providers_path_is_not_ours() {
    let mut plugin = Plugin::reporting();
    let mut stream = plugin.stream();
    stream.headers("GET", "/v1/messages", &[], true);
    assert_eq!(stream.actions, [Action::Continue]);
    stream.finish();
    plugin.tick_after(60_000);
    assert!(plugin.reports().is_empty());
}

#[test]
fn our_request_headers_never_reach_the_provider() {
    let ours = [
        ("x-headroom-bypass", "true"),
        ("x-headroom-mode", "audit"),
        ("x-headroom-stack", "claude_code"),
        ("x-headroom-anything-else", "1"),
        ("x-headroom-anything-else", "2"),
        ("x_headroom_user_id", "3"),
        ("x-headroom_mode", "4"),
        ("x_headroom-team", "5"),
        ("x-not-headroom", "stays"),
    ];
    let body = compressible();
    for path in ["/v1/messages", "/v1/messages/count_tokens", "/other"] {
        let stream = Plugin::new(json!({})).post(path, &ours, &body);
        let left = stream.sent_headers.as_ref().unwrap();
        assert!(
            left.iter().all(|(name, _)| !name.replace('_', "-").starts_with("x-headroom-")),
            "{path}: {left:?}"
        );
        assert_eq!(stream.sent_header("x-not-headroom").as_deref(), Some("stays"));
        stream.finish();
    }
}

#[test]
fn a_request_can_ask_to_be_passed() {
    let asks = [
        ("x-headroom-bypass", "true"),
        ("x-headroom-bypass", " TRUE "),
        ("x-headroom-bypass", "1"),
        ("x-headroom-mode", "passthrough"),
        ("x-headroom-mode", "Off"),
    ];
    let body = compressible();
    let mut plugin = Plugin::new(json!({"body_mode": "hold", "control_plane": {"cluster": "c"}}));
    for ask in asks {
        let stream = plugin.post("/v1/messages", &[ask, ("accept-encoding", "gzip")], &body);
        assert_eq!(stream.actions, [Action::Continue, Action::Continue], "{ask:?}");
        assert_eq!(stream.sent_body, body);
        assert_eq!(stream.sent_header("accept-encoding").as_deref(), Some("gzip"));
        stream.finish();
    }
    let records = plugin.records();
    assert_eq!(records.len(), asks.len());
    assert!(records.iter().all(|record| record.outcome() == RequestOutcome::Bypassed));
    assert!(records.iter().all(|record| record.body_bytes_after == body.len() as u64));
    assert_eq!(metric("headroom.requests.bypassed"), asks.len() as u64);
}

#[test]
fn a_request_cannot_ask_for_more_than_the_configuration_allows() {
    let body = compressible();
    for (mode, expected) in [("off", RequestOutcome::Bypassed), ("audit", RequestOutcome::Audited)] {
        let mut plugin = Plugin::new(json!({"mode": mode, "control_plane": {"cluster": "c"}}));
        let asks = [("x-headroom-mode", "compress"), ("x-headroom-bypass", "false")];
        let stream = plugin.post("/v1/messages", &asks, &body);
        assert_eq!(stream.sent_body, body);
        stream.finish();
        assert_eq!(plugin.records().pop().unwrap().outcome(), expected);
        plugin.delete();
    }
}

#[test]
fn what_is_no_ask_to_be_passed_changes_nothing() {
    let body = compressible();
    for ask in [("x-headroom-bypass", "false"), ("x-headroom-bypass", ""), ("x-headroom-mode", "token")] {
        assert_eq!(Plugin::new(json!({})).post("/v1/messages", &[ask], &body).sent_body, compressed(&body));
    }
}

#[test]
fn the_answers_encoding_is_kept_readable_unless_configured_otherwise() {
    let body = compressible();
    let asked = [("accept-encoding", "gzip, br")];
    let stream = Plugin::new(json!({})).post("/v1/messages", &asked, &body);
    assert_eq!(stream.sent_header("accept-encoding").as_deref(), Some("identity"));
    let stream = Plugin::new(json!({"accept_encoding": "keep"})).post("/v1/messages", &asked, &body);
    assert_eq!(stream.sent_header("accept-encoding").as_deref(), Some("gzip, br"));
}

#[test]
fn a_configured_prefix_matches_and_stays_in_the_path() {
    let body = compressible();
    let mut plugin = Plugin::new(json!({"path_prefixes": ["/anthropic"]}));
    let stream = plugin.post("/anthropic/v1/messages?beta=true", &[], &body);
    assert_eq!(stream.sent_body, compressed(&body));
    assert_eq!(stream.sent_header(":path").as_deref(), Some("/anthropic/v1/messages?beta=true"));
}

#[test]
fn the_record_says_who_asked() {
    let body = compressible();
    let mut plugin = Plugin::new(
        json!({"tenant": "team", "tenant_from": "client", "project": "p", "control_plane": {"cluster": "c"}}),
    );
    let asked = [
        [("x-headroom-stack", " Claude_Code "), ("x-headroom-user-id", "ada@example.com")],
        [("x-headroom-stack", "7up; drop"), ("x-headroom-user-id", "sk-ant-secret")],
        [("x-headroom-stack", ""), ("x-headroom-user-id", "two words")],
    ];
    for headers in asked {
        plugin.post("/v1/messages", &headers, &body).finish();
    }
    let who: Vec<(String, String, String)> =
        plugin.records().into_iter().map(|record| (record.stack, record.tenant, record.project)).collect();
    let of = |stack: &str, tenant: &str| (stack.to_owned(), tenant.to_owned(), "p".to_owned());
    assert_eq!(who, [of("claude_code", "ada@example.com"), of("", "team"), of("", "team")]);
}

#[test]
fn headers_that_are_not_utf_8_pass() {
    let body = compressible();
    let mut plugin = Plugin::new(json!({}));
    let mut stream = plugin.stream();
    let headers = [
        (":method", &b"POST"[..]),
        (":path", b"/v1/messages"),
        ("x-name", b"\xff\xfe\x80"),
        ("x-headroom-stack", b"\xff"),
        ("x-headroom-user-id", b"\xc3"),
        ("content-length", b"\xff"),
    ];
    stream.raw_headers(headers.map(|(name, value)| (name.to_owned(), value.to_vec())).to_vec(), false);
    stream.body(&body, true);
    assert_eq!(stream.sent_body, compressed(&body));
}

#[test]
fn access_logs_see_what_was_saved() {
    let body = compressible();
    let stream = Plugin::new(json!({})).post("/v1/messages", &[], &body);
    let number = |name: &str| -> u64 {
        String::from_utf8(host(|host| host.properties[name].clone())).unwrap().parse().unwrap()
    };
    assert_eq!(host(|host| host.properties["headroom.outcome"].clone()), b"compressed");
    let (before, after) = (number("headroom.tokens_before"), number("headroom.tokens_after"));
    assert!(after < before);
    assert_eq!(number("headroom.tokens_saved"), before - after);
    stream.finish();
    assert_eq!(metric("headroom.tokens_saved"), before - after);
    assert_eq!(metric("headroom.requests.compressed"), 1);
    assert!(metric("headroom.overhead_us") > 0);
}
