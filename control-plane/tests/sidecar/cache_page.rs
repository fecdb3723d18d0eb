//! `/stats-cache` over HTTP: the bill, the worst causes in words, and queries of any kind.

use headroom_api::v1::{
    Breakpoint, BreakpointPlace, CacheLayout, ReportRequest, RequestRecord, Usage, VolatileClass,
    VolatileToken,
};
use serde_json::{Value, json};

use crate::child::Sidecar;
use crate::records::{report, turn};

/// A turn of a conversation with Claude, with a breakpoint after its last message. The second line of its system
/// prompt contains a date.
fn cached(sequence: u64, date: u32, messages: u64, read: u64, written: u64) -> RequestRecord {
    let prefixes: Vec<u64> = (1..=messages).collect();
    let point = Breakpoint {
        place: BreakpointPlace::Messages.into(),
        message: u32::try_from(messages).unwrap(),
        block: u32::try_from(messages).unwrap() + 2,
        lifetime_seconds: 300,
    };
    let layout = CacheLayout {
        first_message: 7,
        tools_bytes: 1_000,
        system_bytes: 9_000,
        messages_bytes: 10_000,
        breakpoints: vec![point],
        blocks: point.block,
        first_line: 0xabc,
        system_lines: vec![1, 100 + date, 3, 4],
        volatile_tokens: vec![VolatileToken { class: VolatileClass::Date.into(), line: 2, offset: 10 }],
        ..CacheLayout::default()
    };
    let mut record = turn(sequence, &prefixes, &prefixes);
    for digests in [&mut record.client_prefix, &mut record.forwarded_prefix].into_iter().flatten() {
        digests.system = u64::from(date);
    }
    let usage = Usage {
        input_tokens: 100,
        output_tokens: 10,
        cache_read_tokens: read,
        cache_write_tokens: written,
        cache_write_5m_tokens: written,
        ..Usage::default()
    };
    // Each starts after the answer to the previous one.
    let started_unix_ms = record.started_unix_ms - 100_000 + 10_000 * i64::try_from(sequence).unwrap();
    RequestRecord {
        started_unix_ms,
        cache_layout: Some(layout),
        usage: Some(usage),
        tenant: "shop".to_owned(),
        ..record
    }
}

fn reported(records: Vec<RequestRecord>) -> ReportRequest {
    ReportRequest { records, ..report("cache", []) }
}

#[tokio::test]
async fn the_bill_and_the_worst_causes_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let empty = sidecar.json("/stats-cache").await;
    assert_eq!((&empty["totals"]["requests"], &empty["losses"]), (&json!(0), &json!([])));
    let records = vec![
        cached(1, 28, 1, 0, 5_000),
        cached(2, 28, 3, 5_000, 1_000),
        cached(3, 29, 5, 0, 7_000),
        cached(4, 30, 7, 0, 8_000),
    ];
    sidecar.grpc().await.report(reported(records.clone())).await.unwrap();
    // A repeated report is not counted.
    sidecar.grpc().await.report(reported(records)).await.unwrap();
    let page = sidecar.json("/stats-cache?since=24h").await;
    assert_eq!(page["totals"]["requests"], 4);
    assert_eq!(page["totals"]["missed_requests"], 2);
    assert_eq!(page["totals"]["read_tokens"], 5_000);
    assert_eq!(page["totals"]["rewritten_tokens"], 6_000 + 7_000);
    let [loss] = page["losses"].as_array().unwrap().as_slice() else { panic!("{page:#}") };
    assert_eq!((&loss["reason"], &loss["tokens"]), (&json!("system_changed"), &json!(13_000)));
    let bill = &page["bill"];
    let usd = |name: &str| bill[name].as_f64().unwrap();
    assert!(
        (usd("total_usd") - usd("read_usd") - usd("write_usd") - usd("input_usd") - usd("output_usd")).abs()
            < 1e-9
    );
    assert!((usd("total_usd") - usd("perfect_cache_usd") - loss["lost_usd"].as_f64().unwrap()).abs() < 1e-9);
    assert!((usd("without_headroom_usd") - usd("total_usd") - usd("saved_usd")).abs() < 1e-9);
    let cause = &page["causes"][0];
    let what = cause["what"].as_str().unwrap();
    assert!(
        what.starts_with(
            "Line 2 of the system prompt of stack wrap_claude holds a date and changed in 2 requests: $"
        ),
        "{what}"
    );
    assert!(what.ends_with(" in 24 hours."), "{what}");
    assert!(cause["advice"].as_str().unwrap().contains("first user message"));
    let line = &page["volatile_lines"][0];
    assert_eq!(
        (&line["line"], &line["prompt"], &line["classes"]),
        (&json!(2), &json!("0000000000000abc"), &json!(["date"]))
    );
    let names: Vec<&Value> = page["what_if"].as_array().unwrap().iter().map(|what| &what["name"]).collect();
    assert_eq!(names, ["one_hour_lifetime", "breakpoints", "keep_alive"]);
    for (by, value) in [("stack", "wrap_claude"), ("tenant", "shop")] {
        let scoped = sidecar.json(&format!("/stats-cache?by={by}&value={value}")).await;
        assert_eq!(scoped["totals"], page["totals"], "{by}");
        assert_eq!(scoped["groups"][0]["worst_reason"], "system_changed");
        assert_eq!(scoped["volatile_lines"][0]["requests"], 2);
        let other = sidecar.json(&format!("/stats-cache?by={by}&value=nobody")).await;
        assert_eq!((&other["totals"]["requests"], &other["causes"]), (&json!(0), &json!([])));
    }
    assert_eq!(sidecar.json("/stats").await["prompt_cache"]["losses"][0]["reason"], "system_changed");
    for scope in ["", "?stack=wrap_claude", "?from=0"] {
        let history = sidecar.json(&format!("/stats-history{scope}")).await;
        assert_eq!(history["prompt_cache"]["bill"], page["bill"], "{scope}");
        assert_eq!(history["prompt_cache"]["losses"], page["losses"], "{scope}");
    }
    let of_provider = sidecar.json("/stats-history?provider=anthropic").await;
    assert_eq!(of_provider["prompt_cache"], Value::Null);
    let feed = sidecar.json("/transformations/feed").await;
    let newest = &feed["transformations"][0];
    assert_eq!(
        (&newest["cache_reason"], &newest["cache_readable_tokens"]),
        (&json!("system_changed"), &json!(7_000))
    );
    assert_eq!(newest["cache_detail"], "line 2 of the system prompt (date)");
    assert!(newest["cache_lost_usd"].as_f64().unwrap() > 0.0);
    let oldest = &feed["transformations"][3];
    assert_eq!((&oldest["cache_reason"], &oldest["cache_lost_usd"]), (&json!("first_request"), &json!(0.0)));
    let (_, text) = sidecar.get("/metrics").await;
    for line in [
        "headroom_cache_misses_total{reason=\"system_changed\"} 2",
        "headroom_cache_lost_tokens_total{reason=\"system_changed\"} 13000",
        "headroom_cache_misses_total{reason=\"history_edited_by_headroom\"} 0",
        "headroom_cache_rewritten_tokens_total 13000",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert_eq!(sidecar.terminate().await, Some(0));
    // The figures are in the store: another process shows the same, and continues from there.
    let sidecar = Sidecar::start(dir.path()).await;
    assert_eq!(sidecar.json("/stats-cache?since=24h").await["totals"], page["totals"]);
    sidecar.grpc().await.report(reported(vec![cached(5, 30, 9, 8_000, 500)])).await.unwrap();
    let after = sidecar.json("/stats-cache").await;
    assert_eq!((&after["totals"]["requests"], &after["totals"]["missed_requests"]), (&json!(5), &json!(2)));
}

#[tokio::test]
async fn what_no_filter_sends_and_nobody_asks_breaks_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mut wild = cached(1, 1, 3, u64::MAX, u64::MAX);
    if let Some(layout) = &mut wild.cache_layout {
        layout.system_lines = vec![1; 100_000];
        layout.volatile_tokens = vec![VolatileToken { class: 99, line: u32::MAX, offset: u32::MAX }; 5_000];
        layout.breakpoints =
            vec![Breakpoint { place: 77, lifetime_seconds: u32::MAX, block: u32::MAX, message: 9 }; 900];
        layout.prefix_bytes = vec![u32::MAX; 9_000];
        (layout.tools_bytes, layout.messages_bytes) = (0, 0);
        layout.system_bytes = 0;
    }
    let mut again = wild.clone();
    again.sequence = 2;
    again.cache_layout.as_mut().unwrap().system_lines = vec![2; 100_000];
    again.forwarded_prefix.as_mut().unwrap().system = 99;
    again.usage.as_mut().unwrap().cache_read_tokens = 0;
    again.cache_verdict =
        Some(headroom_api::v1::CacheVerdict { reason: 77, lost_nanousd: i64::MIN, ..Default::default() });
    sidecar.grpc().await.report(reported(vec![wild, again])).await.unwrap();
    let page = sidecar.json("/stats-cache").await;
    assert_eq!(page["totals"]["requests"], 2);
    assert!(page["bill"]["total_usd"].as_f64().unwrap() < 10_000.0, "{page:#}");
    for query in [
        "since=x",
        "until=-1",
        "by=model",
        "by=nothing&value=x",
        "since=1h&until=2h",
        "since=99999999999999999999d",
        "by=stack&value=",
    ] {
        let (status, body) = sidecar.get(&format!("/stats-cache?{query}")).await;
        assert_eq!(status, 400, "{query}: {body}");
        assert!(body.len() < 1_000);
    }
    let long = "x".repeat(5_000);
    assert_eq!(sidecar.get(&format!("/stats-cache?by=model&value={long}")).await.0, 200);
    assert_eq!(sidecar.get("/stats-cache?since=0&until=253402300799999").await.0, 200);
}
