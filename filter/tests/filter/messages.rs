//! The texts of requests and answers, for the feed: collected only if the configuration asks for them.

use headroom_api::v1::LoggedMessages;
use serde_json::json;

use crate::proxy::{Plugin, compressible};

const BODY: &[u8] =
    br#"{"model":"m","system":"be kind","messages":[{"role":"user","content":"hi"},{"role":"user","content":"ho"}]}"#;
const ANSWER: &[u8] = br#"{"content":"hey","usage":{"input_tokens":1,"output_tokens":1}}"#;

fn plugin(control_plane: serde_json::Value) -> Plugin {
    let mut section = json!({"cluster": "headroom-cp"});
    section.as_object_mut().unwrap().extend(control_plane.as_object().unwrap().clone());
    Plugin::new(json!({"control_plane": section}))
}

/// One request with its answer in two pieces, and what was reported of them.
fn exchange(plugin: &mut Plugin, headers: &[(&str, &str)], content_type: &str) -> Vec<LoggedMessages> {
    let mut stream = plugin.post("/v1/messages", headers, BODY);
    stream.respond("200", content_type, &[]);
    stream.respond_body(&ANSWER[..9], false);
    stream.respond_body(&ANSWER[9..], true);
    stream.finish();
    plugin.tick_after(1_000);
    plugin.reports().pop().unwrap().logged_messages
}

#[test]
fn without_a_word_no_message_leaves() {
    let mut plugin = Plugin::reporting();
    assert_eq!(exchange(&mut plugin, &[], "application/json"), []);
}

#[test]
fn messages_and_answer_go_with_the_record_and_no_header_does() {
    let mut plugin = plugin(json!({"log_messages": true}));
    let logged =
        exchange(&mut plugin, &[("x-api-key", "sk-secret"), ("x-anything", "else")], "application/json");
    let request_id = plugin.reports().pop().unwrap().records[0].request_id.clone();
    let expected = LoggedMessages {
        request_id,
        request_messages: [r#"{"role":"user","content":"hi"}"#, r#"{"role":"user","content":"ho"}"#]
            .map(str::to_owned)
            .to_vec(),
        request_messages_left_out: 0,
        response_content: String::from_utf8(ANSWER.to_vec()).unwrap(),
        response_content_cut: false,
        blocks: Vec::new(),
    };
    assert_eq!(logged, [expected]);
}

#[test]
fn they_are_bounded() {
    let mut plugin = plugin(json!({"log_messages": true, "log_bytes": 31}));
    let logged = exchange(&mut plugin, &[], "application/json").remove(0);
    assert_eq!(logged.request_messages, ["{", r#"{"role":"user","content":"ho"}"#]);
    assert_eq!(logged.response_content.as_bytes(), &ANSWER[..31]);
    assert!(logged.response_content_cut);
}

#[test]
fn what_the_client_wants_passed_is_not_looked_at_and_what_is_no_text_is_left_out() {
    let mut plugin = plugin(json!({"log_messages": true, "read_usage": false}));
    assert_eq!(exchange(&mut plugin, &[("x-headroom-bypass", "true")], "application/json"), []);
    plugin.acknowledge(1);
    let logged = exchange(&mut plugin, &[], "application/octet-stream").remove(0);
    assert_eq!((logged.request_messages.len(), logged.response_content.as_str()), (2, ""));
    plugin.acknowledge(2);
    let logged = exchange(&mut plugin, &[], "text/event-stream").remove(0);
    assert_eq!(logged.response_content.as_bytes(), ANSWER);
}

#[test]
fn they_never_cost_a_record() {
    let config =
        json!({"log_messages": true, "log_bytes": 262_144, "queue_records": 1000, "queue_bytes": 4096});
    let mut plugin = plugin(config);
    let body = format!(r#"{{"model":"m","messages":["{}"]}}"#, "x".repeat(300_000));
    for _ in 0..8 {
        plugin.post("/v1/messages", &[], body.as_bytes()).finish();
    }
    plugin.tick_after(1_000);
    let report = plugin.reports().pop().unwrap();
    assert_eq!((report.records.len(), report.dropped_records), (8, 0));
    // The newest ones, as many as there is room for.
    let ids: Vec<_> = report.logged_messages.iter().map(|it| it.request_id.clone()).collect();
    assert_eq!(ids, report.records[5..].iter().map(|it| it.request_id.clone()).collect::<Vec<_>>());
    plugin.acknowledge(8);
    plugin.post("/v1/messages", &[], BODY).finish();
    plugin.tick_after(1_000);
    assert_eq!(plugin.reports().pop().unwrap().logged_messages.len(), 1);
}

#[test]
fn tool_outputs_are_told_as_they_came_and_as_they_left() {
    let mut plugin = plugin(json!({"log_messages": true}));
    let body = compressible();
    let stream = plugin.post("/v1/messages", &[], &body);
    let sent = String::from_utf8(stream.sent_body.clone()).unwrap();
    stream.finish();
    plugin.tick_after(1_000);
    let report = plugin.reports().pop().unwrap();
    let (record, logged) = (&report.records[0], &report.logged_messages[0]);
    let block = &logged.blocks[0];
    assert!(!record.blocks[block.index as usize].outcome.starts_with("skipped:"));
    let text = |text: &str| serde_json::to_string(text).unwrap();
    assert!(
        block.before_cut && String::from_utf8_lossy(&body).contains(text(&block.before).trim_matches('"'))
    );
    assert!(!block.after.is_empty() && sent.contains(text(&block.after).trim_matches('"')));
}

#[test]
fn tool_outputs_have_a_bound_of_their_own_and_one_that_stays_has_no_other_text() {
    let mut plugin = plugin(json!({"log_messages": true, "log_bytes": 40}));
    let result = |text: &str| json!({"type": "tool_result", "tool_use_id": "t", "content": text});
    let results: Vec<_> =
        ["first of them", "second of them", "third of them", "fourth of them", "last"].map(result).into();
    let body = json!({"model": "m", "messages": [{"role": "user", "content": results}]}).to_string();
    plugin.post("/v1/messages", &[], body.as_bytes()).finish();
    plugin.tick_after(1_000);
    let logged = plugin.reports().pop().unwrap().logged_messages.remove(0);
    let told: Vec<_> = logged
        .blocks
        .iter()
        .map(|it| (it.index, it.before.as_str(), it.before_cut, it.after.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (4, "last", false, ""),
            (3, "fourth of ", true, ""),
            (2, "third of t", true, ""),
            (1, "second of ", true, ""),
            (0, "first ", true, "")
        ]
    );
}
