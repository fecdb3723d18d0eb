//! Budgets: the sidecar reports which are used up, and the filter answers instead of the provider.

use crate::exports;
use headroom_api::v1::{LimitsResponse, ReportResponse, RequestOutcome, UsedUp};
use prost::Message;
use serde_json::{Value, json};

use crate::host::{Refusal, host, metric, refusing, statuses};
use crate::proxy::{Plugin, calls, compressible};

const KEY: (&str, &str) = ("x-api-key", "sk-ant-secret");

/// A budget of a key or a team that is used up for the next hour.
fn used_up(key: &str, team: &str) -> LimitsResponse {
    let until_unix_ms = host(|host| host.now / 1_000_000) as i64 + 3_600_000;
    let (key, team) = (key.to_owned(), team.to_owned());
    let used_up = vec![UsedUp { key, team, until_unix_ms, message: "Budget exceeded.".to_owned() }];
    LimitsResponse { used_up, valid_for_ms: 60_000 }
}

/// The sidecar answers the latest question.
fn tell(limits: &LimitsResponse) {
    let token = calls("Limits").last().expect("a question").token;
    let message = limits.encode_to_vec();
    host(|host| {
        host.effective_context = 0;
        host.grpc_message = message.clone();
    });
    exports::proxy_on_grpc_receive(1, token, message.len());
}

/// The body of the answer that the filter itself has given; `None`: the request has left.
fn refused(plugin: &mut Plugin, headers: &[(&str, &str)]) -> Option<Value> {
    refused_at(plugin, "/v1/messages", headers)
}

fn refused_at(plugin: &mut Plugin, path: &str, headers: &[(&str, &str)]) -> Option<Value> {
    host(|host| host.answers.clear());
    let mut stream = plugin.stream();
    stream.headers("POST", path, headers, false);
    let answer = host(|host| host.answers.pop());
    assert_eq!(stream.paused(), answer.is_some());
    if answer.is_none() {
        stream.body(&compressible(), true);
        assert!(!stream.sent_body.is_empty());
    }
    stream.finish();
    answer.map(|(status, headers, body)| {
        assert_eq!(status, 429);
        assert!(headers.iter().any(|(name, value)| name == "retry-after" && value == b"3600"), "{headers:?}");
        serde_json::from_slice(&body).unwrap()
    })
}

#[test]
fn who_has_used_up_a_budget_is_answered_429_in_the_provider_s_words() {
    let mut plugin = Plugin::reporting();
    assert_eq!(refused(&mut plugin, &[KEY]), None);
    let record = plugin.records().pop().unwrap();
    assert_eq!(record.key.len(), 16);
    assert!(!format!("{record:?}").contains("secret"), "{record:?}");

    tell(&used_up(&record.key, ""));
    let answer = refused(&mut plugin, &[KEY]).expect("a refusal");
    assert_eq!(answer["error"], json!({"type": "rate_limit_error", "message": "Budget exceeded."}));
    assert!(refused(&mut plugin, &[KEY, ("x-headroom-bypass", "true")]).is_some(), "nobody goes round it");
    assert_eq!(refused(&mut plugin, &[("x-api-key", "sk-ant-other")]), None);

    plugin.acknowledge(1);
    let records = plugin.records();
    let outcomes: Vec<_> = records.iter().map(|record| (record.outcome(), record.status)).collect();
    assert_eq!(outcomes[..2], [(RequestOutcome::OverBudget, 429); 2]);
    assert_eq!(outcomes[2].0, RequestOutcome::Compressed);
}

#[test]
fn a_team_is_named_by_a_header_that_goes_nowhere() {
    let mut plugin = Plugin::reporting();
    plugin.tick_after(1_000);
    tell(&used_up("", "red"));
    assert!(refused(&mut plugin, &[("x-headroom-team", "red")]).is_some());
    assert_eq!(refused(&mut plugin, &[("x-headroom-team", "blue")]), None);
    let stream = plugin.post("/v1/messages", &[("x-headroom-team", "blue")], b"{}");
    assert_eq!(stream.sent_header("x-headroom-team"), None);
    stream.finish();
    assert!(plugin.records().iter().any(|record| record.team == "blue"));
}

#[test]
fn the_answer_to_a_report_says_it_too() {
    let mut plugin = Plugin::reporting();
    assert_eq!(refused(&mut plugin, &[("x-headroom-team", "red")]), None);
    plugin.tick_after(1_000);
    let said = ReportResponse {
        acknowledged_sequence: 1,
        limits: Some(used_up("", "red")),
        ..ReportResponse::default()
    };
    plugin.answer(&said.encode_to_vec());
    assert!(refused(&mut plugin, &[("x-headroom-team", "red")]).is_some());
    let over = ReportResponse { acknowledged_sequence: 2, limits: Some(LimitsResponse::default()), ..said };
    plugin.tick_after(1_000);
    plugin.answer(&over.encode_to_vec());
    assert_eq!(refused(&mut plugin, &[("x-headroom-team", "red")]), None, "the budget was raised");
}

#[test]
fn a_silent_sidecar_refuses_nobody() {
    let mut plugin = Plugin::reporting();
    plugin.tick_after(1_000);
    tell(&used_up("", "red"));
    host(|host| host.now += 60_000_000_000);
    assert_eq!(refused(&mut plugin, &[("x-headroom-team", "red")]), None);

    plugin.tick_after(60_000);
    let asked = calls("Limits");
    assert_eq!(asked.len(), 2, "it is asked again");
    exports::proxy_on_grpc_close(1, asked[1].token, 12);
    assert_eq!(refused(&mut plugin, &[("x-headroom-team", "red")]), None);
    plugin.tick_after(5_000);
    assert_eq!(calls("Limits").len(), 2, "less often than one that answers");
}

#[test]
fn a_host_that_cannot_answer_lets_the_request_through() {
    let mut plugin = Plugin::reporting();
    plugin.tick_after(1_000);
    tell(&used_up("", "red"));
    for status in statuses("send_local_response") {
        let refusal = Refusal { call: "send_local_response", status, after: 0 };
        assert_eq!(refusing(refusal, || refused(&mut plugin, &[("x-headroom-team", "red")])), None);
    }
}

/// The key in the record of a request.
fn key_of(plugin: &mut Plugin, path: &str, headers: &[(&str, &str)]) -> String {
    assert_eq!(refused_at(plugin, path, headers), None);
    let record = plugin.records().pop().unwrap();
    plugin.acknowledge(record.sequence);
    record.key
}

#[test]
fn a_decoy_or_another_spelling_goes_round_no_budget() {
    let mut plugin = Plugin::reporting();
    let key = key_of(&mut plugin, "/v1/chat/completions", &[("authorization", "Bearer sk-1")]);
    for headers in [
        &[("authorization", "bearer sk-1")][..],
        &[("x-api-key", "decoy"), ("authorization", "BEARER  sk-1")],
        &[("x-api-key", ""), ("api-key", "x"), ("x-goog-api-key", "y"), ("authorization", "Bearer sk-1")],
    ] {
        assert_eq!(key_of(&mut plugin, "/v1/chat/completions", headers), key, "{headers:?}");
    }
    for path in
        ["//v1/chat/completions", "/v1/chat/completions/", "/v1/chat/completions;x", "/v1/chat/./completions"]
    {
        assert_eq!(key_of(&mut plugin, path, &[("authorization", "Bearer sk-1")]), key, "{path}");
    }
    assert_eq!(
        key_of(&mut plugin, "/v1/messages", &[("x-api-key", " "), ("authorization", "bearer sk-1")]),
        key
    );

    tell(&used_up(&key, ""));
    for path in ["/v1/chat/completions", "/v1/messages", "/v1/completions", "/v1/files", "/anything"] {
        for headers in [
            &[("authorization", "bearer sk-1")][..],
            &[("x-api-key", "decoy"), ("authorization", "Bearer sk-1")],
        ] {
            let answer = refused_at(&mut plugin, path, headers);
            assert!(answer.is_some_and(|answer| answer["error"]["message"] == "Budget exceeded."), "{path}");
        }
        assert_eq!(refused_at(&mut plugin, path, &[("authorization", "Bearer sk-2")]), None, "{path}");
    }
    assert_eq!(metric("headroom.unrecognized_refused"), 6);
}

#[test]
fn who_is_not_known_to_be_a_provider_is_spared_the_budgets_of_teams() {
    let configuration = json!({"control_plane": {"cluster": "c"}, "providers": [{"cluster": "openai"}]});
    let mut plugin = Plugin::new(configuration);
    plugin.tick_after(1_000);
    tell(&used_up("", ""));
    assert_eq!(refused_at(&mut plugin, "/orders", &[]), None, "another service of the same mesh");
    host(|host| host.cluster = Some("openai"));
    assert!(refused_at(&mut plugin, "/v1/files", &[]).is_some());
    assert!(refused(&mut plugin, &[]).is_some());
}

#[test]
fn what_is_not_read_is_counted_by_path_and_the_paths_are_bounded() {
    let mut plugin = Plugin::new(json!({"providers": [{"cluster": "openai"}]}));
    host(|host| host.cluster = Some("openai"));
    for path in ["/v1/embeddings", "/v1/embeddings/?x=1", "/v1/files/file-1", "/v1/files/file-2"] {
        assert_eq!(refused_at(&mut plugin, path, &[]), None);
    }
    assert_eq!(metric("headroom.unrecognized./v1/embeddings"), 2);
    assert_eq!(metric("headroom.unrecognized./v1/files/*"), 2);
    let word = |n: u8| char::from(b'a' + n % 26).to_string().repeat(1 + usize::from(n / 26));
    for n in 0..200 {
        assert_eq!(refused_at(&mut plugin, &format!("/{}", word(n)), &[]), None);
    }
    let paths = host(|host| {
        host.metrics.iter().filter(|(name, _)| name.starts_with("headroom.unrecognized.")).count()
    });
    assert_eq!(paths, 65);
    assert_eq!(metric("headroom.unrecognized.other"), 200 - 62);
}
