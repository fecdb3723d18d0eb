//! Rules of the configuration: requests that are treated differently.

use headroom_api::v1::RequestOutcome;
use serde_json::json;

use crate::host::host;
use crate::proxy::{Plugin, compressed, compressible, lossy, reversible};

type Case<'a> = (Option<&'static str>, &'a str, &'a [(&'a str, &'a str)], RequestOutcome);

/// Sends requests, each on a route of this name, and asserts how they are treated.
fn check(plugin: &mut Plugin, requests: &[Case<'_>]) {
    let body = compressible();
    for (route, path, headers, expected) in requests {
        host(|host| host.route_name = *route);
        let stream = plugin.post(path, headers, &body);
        let changed = stream.sent_body != body;
        assert_eq!(changed, *expected == RequestOutcome::Compressed, "{route:?} {path} {headers:?}");
        stream.finish();
    }
    let outcomes: Vec<_> = plugin.records().iter().map(|record| record.outcome()).collect();
    assert_eq!(outcomes, requests.iter().map(|(.., expected)| *expected).collect::<Vec<_>>());
}

#[test]
fn a_path_and_a_route_can_be_switched_off_or_only_measured() {
    let mut plugin = Plugin::new(json!({
        "path_prefixes": ["/a", "/b"],
        "rules": [
            {"path": "/a/*", "mode": "off"},
            {"route": "measured-*", "mode": "audit"},
            {"path": "/b/*", "route": "other", "mode": "off"},
        ],
        "control_plane": {"cluster": "c"},
    }));
    let cases: [Case<'_>; 5] = [
        (None, "/a/v1/messages?beta=true", &[], RequestOutcome::Bypassed),
        (None, "/b/v1/messages", &[], RequestOutcome::Compressed),
        (Some("measured-7"), "/b/v1/messages", &[], RequestOutcome::Audited),
        (Some("other"), "/b/v1/messages", &[], RequestOutcome::Bypassed),
        (Some("other"), "/v1/messages", &[], RequestOutcome::Compressed),
    ];
    check(&mut plugin, &cases);
}

#[test]
fn a_rule_can_switch_on_what_is_off_for_the_rest_and_a_header_cannot() {
    let mut plugin = Plugin::new(json!({
        "mode": "off",
        "rules": [{"path": "/v1/messages", "mode": "optimize"}],
        "path_prefixes": ["/a"],
        "control_plane": {"cluster": "c"},
    }));
    let cases: [Case<'_>; 5] = [
        (None, "/v1/messages", &[], RequestOutcome::Compressed),
        (None, "/a/v1/messages", &[("x-headroom-mode", "optimize")], RequestOutcome::Bypassed),
        (None, "/v1/messages", &[("x-headroom-mode", "AUDIT")], RequestOutcome::Audited),
        (None, "/v1/messages", &[("x-headroom-mode", "simulate")], RequestOutcome::Simulated),
        (None, "/v1/messages", &[("x-headroom-bypass", "1")], RequestOutcome::Bypassed),
    ];
    check(&mut plugin, &cases);
}

#[test]
fn a_rule_names_the_provider_behind_a_path_that_many_have() {
    let mut plugin = Plugin::new(json!({
        "path_prefixes": ["/groq/openai", "/vllm"],
        "rules": [{"path": "/groq/*", "provider": "groq"}],
        "control_plane": {"cluster": "c"},
    }));
    for path in ["/groq/openai/v1/chat/completions", "/vllm/v1/chat/completions"] {
        plugin.post(path, &[], b"{}").finish();
    }
    let providers: Vec<_> = plugin.records().into_iter().map(|record| record.provider).collect();
    assert_eq!(providers, ["groq", "openai"]);
}

#[test]
fn a_project_is_named_by_the_header_else_by_a_rule_the_configuration_or_the_agent() {
    let rules = json!([{"path": "/infra/*", "project": "infra"}]);
    let codex = ("x-codex-turn-metadata", r#"{"workspaces":{"/home/ann/my app":{}}}"#);
    let named = ("x-headroom-project", "shop");
    for (configured, path, headers, expected) in [
        ("", "/infra/v1/messages", &[named, codex][..], "shop"),
        ("all", "/infra/v1/messages", &[codex], "infra"),
        ("all", "/v1/messages", &[codex], "all"),
        ("", "/v1/messages", &[codex], "my app"),
        ("", "/v1/messages", &[("x-codex-turn-metadata", "{\"workspaces\":1")], ""),
        ("", "/v1/messages", &[("x-codex-turn-metadata", r#"{"workspaces":{"/a/sk-ant-key":{}}}"#)], ""),
    ] {
        let mut plugin = Plugin::new(json!({
            "path_prefixes": ["/infra"], "rules": rules, "project": configured, "control_plane": {"cluster": "c"},
        }));
        plugin.post(path, headers, b"{}").finish();
        assert_eq!(plugin.records().pop().unwrap().project, expected, "{path} {headers:?}");
    }
}

#[test]
fn an_agent_is_known_by_its_user_agent_unless_the_request_names_a_stack() {
    let mut plugin = Plugin::reporting();
    let claude = ("user-agent", "claude-cli/2.1.332 (external, cli)");
    for headers in
        [&[claude][..], &[claude, ("x-headroom-stack", "nightly")], &[("user-agent", "Mozilla/5.0 secret")]]
    {
        plugin.post("/v1/messages", headers, b"{}").finish();
    }
    let stacks: Vec<_> = plugin.records().into_iter().map(|record| record.stack).collect();
    assert_eq!(stacks, ["claude_code", "nightly", ""]);
}

#[test]
fn the_model_of_a_record_is_the_one_of_the_path_where_the_body_has_none() {
    let mut plugin = Plugin::reporting();
    let path = "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke";
    let mut body: serde_json::Value = serde_json::from_slice(&compressible()).unwrap();
    body["anthropic_version"] = "bedrock-2023-05-31".into();
    body.as_object_mut().unwrap().remove("model");
    let stream = plugin.post(path, &[], body.to_string().as_bytes());
    assert!(stream.sent_body.len() < body.to_string().len());
    stream.finish();
    let record = plugin.records().pop().unwrap();
    assert_eq!((record.provider.as_str(), record.api.as_str()), ("bedrock", "anthropic_bedrock"));
    assert_eq!(record.model, "us.anthropic.claude-sonnet-4-5-20250929-v1:0");
}

#[test]
fn a_profile_is_for_the_requests_of_its_rule_only() {
    let mut plugin = Plugin::new(json!({
        "reversible": true,
        "path_prefixes": ["/exact"],
        "rules": [{"path": "/exact/*", "profile": "lossless"}],
        "control_plane": {"cluster": "c"},
    }));
    let body = lossy(&[300]);
    let stream = plugin.post("/exact/v1/messages", &[], &body);
    assert_eq!(stream.sent_body, compressed(&body));
    stream.finish();
    let stream = plugin.post("/v1/messages", &[], &body);
    assert_eq!(stream.sent_body, reversible(&body));
    assert_ne!(reversible(&body), compressed(&body));
    stream.finish();
}
