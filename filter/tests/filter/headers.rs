//! Request headers: what is matched, what they ask for, what is removed.

use crate::exports::Action;
use headroom_api::v1::RequestOutcome;
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
        ("x-headroom-project", "shop"),
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
fn the_record_says_which_project_it_is_for() {
    let body = compressible();
    let mut plugin = Plugin::new(json!({"project": "p", "control_plane": {"cluster": "c"}}));
    let long = "x".repeat(129);
    let asked = [" My shop 2 ", "", "sk-ant-secret", "eyJhbGciOi", &long, "a\tb", "caf\u{e9}"];
    for project in asked {
        plugin.post("/v1/messages", &[("x-headroom-project", project)], &body).finish();
    }
    plugin.post("/v1/messages", &[], &body).finish();
    let projects: Vec<String> = plugin.records().into_iter().map(|record| record.project).collect();
    assert_eq!(projects, ["My shop 2", "p", "p", "p", "p", "p", "p", "p"]);
}

#[test]
fn the_record_says_whether_a_subscription_pays() {
    let body = compressible();
    let mut plugin = Plugin::reporting();
    let oauth = ("authorization", "Bearer sk-ant-oat01-xyz");
    let account = ("chatgpt-account-id", "acc-0000");
    type Case<'c> = (&'c str, &'c [(&'c str, &'c str)], bool);
    let cases: [Case<'_>; 8] = [
        ("/v1/messages", &[oauth], true),
        ("/v1/messages", &[("authorization", "bearer  sk-ant-oat01-xyz")], true),
        ("/v1/messages", &[("authorization", "Bearer sk-ant-api03-xyz")], false),
        ("/v1/messages", &[("x-api-key", "sk-ant-oat01-xyz")], false),
        ("/v1/responses", &[account], true),
        ("/backend-api/codex/responses", &[], true),
        ("/chat/completions", &[("copilot-integration-id", "vscode-chat")], true),
        ("/v1/chat/completions", &[("authorization", "Bearer sk-proj-1")], false),
    ];
    for (path, headers, _) in cases {
        plugin.post(path, headers, &body).finish();
    }
    let records = plugin.records();
    let paid: Vec<bool> = records.iter().map(|record| record.subscription).collect();
    assert_eq!(paid, cases.map(|(_, _, paid)| paid));
    assert_eq!(records[4].account.len(), 16);
    assert!(records.iter().enumerate().all(|(n, record)| n == 4 || record.account.is_empty()));
    assert!(records.iter().all(|record| !format!("{record:?}").contains("xyz")), "no credential");
}

#[test]
fn the_allowance_of_a_subscription_is_read_from_the_answers_headers() {
    let body = compressible();
    let mut plugin = Plugin::reporting();
    let mut stream = plugin.post("/v1/messages", &[("authorization", "Bearer sk-ant-oat01-xyz")], &body);
    let headers = [
        ("anthropic-ratelimit-unified-5h-utilization", "0.37"),
        ("anthropic-ratelimit-unified-5h-reset", "1785182400"),
        ("anthropic-ratelimit-unified-5h-status", "allowed"),
        ("anthropic-ratelimit-unified-7d-utilization", "0.5"),
    ];
    // A refusal has them too, and its figures matter most.
    stream.respond("429", "application/json", &headers);
    stream.finish();
    let record = plugin.records().pop().unwrap();
    let limits: Vec<_> = record.rate_limits.iter().map(|limit| (limit.window.as_str(), limit.used)).collect();
    assert_eq!((record.status, limits), (429, vec![("5h", 3_700), ("7d", 5_000)]));
    assert_eq!(record.rate_limits[0].resets_unix_ms, 1_785_182_400_000);
}

#[test]
fn a_probe_of_the_doctor_is_reported_and_not_counted() {
    let body = compressible();
    let mut plugin = Plugin::reporting();
    let stack = ("x-headroom-stack", "headroom_doctor");
    plugin.post("/v1/messages", &[stack], &body).finish();
    assert_eq!(metric("headroom.requests.compressed"), 0);
    assert_eq!(metric("headroom.tokens_saved"), 0);
    plugin.post("/v1/messages", &[stack, ("x-api-key", "k")], &body).finish();
    assert_eq!(metric("headroom.requests.compressed"), 1, "whoever has a key is counted");
    assert_eq!(plugin.records().len(), 2);
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
