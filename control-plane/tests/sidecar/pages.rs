//! The content of the pages.

use headroom_api::v1::{RateLimit, SessionEnd, WebSocketSession};
use serde_json::Value;

use crate::child::{Sidecar, client};
use crate::records::report;

#[tokio::test]
async fn an_unused_sidecar_answers_every_page() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let livez = sidecar.json("/livez").await;
    assert_eq!((&livez["service"], &livez["alive"]), (&"headroom-proxy".into(), &true.into()));
    let readyz =
        crate::health::ready_when(&sidecar, |page| page["checks"]["store"]["status"] == "healthy").await;
    assert_eq!(readyz["ready"], true);
    let bodies = &readyz["runtime"]["anthropic_pre_upstream"];
    assert_eq!((&bodies["enabled"], &bodies["source"]), (&true.into(), &"auto".into()), "{readyz}");
    let health = sidecar.json("/health").await;
    assert_eq!(health["config"]["pid"], sidecar.ready.pid);
    let stats = sidecar.json("/stats").await;
    assert_eq!(stats["requests"]["total"], 0);
    assert_eq!(stats["summary"]["primary_model"], Value::Null);
    assert_eq!(stats["tokens"]["savings_percent"], 0.0);
    let (status, text) = sidecar.get("/metrics").await;
    assert_eq!(status, 200);
    assert!(text.contains("headroom_requests_total 0"), "{text}");
}

#[tokio::test]
async fn stats_tell_what_happened_to_requests_and_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    sidecar.grpc().await.report(report("vm", 1..=4)).await.unwrap();
    let stats = sidecar.json("/stats").await;
    assert_eq!(stats["requests"]["by_provider"]["anthropic"], 4);
    assert_eq!(stats["requests"]["by_stack"]["wrap_claude"], 4);
    assert_eq!(stats["requests"]["by_outcome"]["compressed"], 4);
    assert_eq!(stats["tokens"]["total_before_compression"], 40_000);
    assert_eq!(stats["tokens"]["savings_percent"], 10.0);
    assert_eq!(stats["tokens"]["tool_outputs"]["json_minification_alone_percent"], 7.5);
    assert_eq!(stats["blocks"]["by_outcome"]["skipped:no_gain"]["from_memo"], 4);
    assert_eq!(stats["blocks"]["by_tool"]["Bash"]["tokens_saved"], 4_840, "in the tokens of their requests");
    assert_eq!(stats["overhead"]["p99_ms"], 0.8);
    assert_eq!(stats["cost"]["breakdown"]["compression_savings_list_usd"], 0.012);
    assert_eq!(stats["cost"]["breakdown"]["compression_savings_usd"], 0.012);
    let told = &stats["savings"]["side_by_side"];
    assert_eq!(
        (&told["per_request"]["tokens_not_sent"], &told["unique"]["tokens_not_sent"]),
        (&4_000.into(), &4_000.into())
    );
    assert_eq!(told["unique"]["tool_outputs"]["savings_percent"], 50.0);
    assert_eq!(told["unique"]["tool_outputs"]["json_minification_alone_percent"], 15.0);
    assert_eq!(told["requests_without_json_baseline"], 0);
    assert_eq!(stats["prefix_cache"]["totals"]["hit_rate"], 100.0);
    let recent = &stats["recent_requests"][0];
    assert_eq!((&recent["request_id"], &recent["tokens_saved"]), (&"hr_4".into(), &1000.into()));
    assert_eq!(recent["blocks"][0]["outcome"], "json_table");
    assert_eq!(
        (&recent["turn_id"], &recent["conversation_id"]),
        (&"fedcba9876543210".into(), &"0123456789abcdef".into())
    );
    assert_eq!(
        (&recent["stop_reason"], &recent["usage"]["reasoning_tokens"]),
        (&"end_turn".into(), &50.into())
    );
    assert_eq!((&recent["stages_ms"]["parse"], &recent["stages_ms"]["ttfb"]), (&0.1.into(), &300.0.into()));
    assert_eq!(recent["cost_usd"]["priced"], true);
    assert_eq!(stats["savings_history"][0][1], 4_000);
}

#[tokio::test]
async fn subscriptions_are_counted_in_tokens_and_their_allowances_shown_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("elsewhere/allowances.json");
    let env = [("HEADROOM_SUBSCRIPTION_STATE_PATH", file.to_str().unwrap())];
    let sidecar = Sidecar::start_with(dir.path(), &[], &env).await;
    let resets = headroomd::clock::now_ms() + 3_600_000;
    let limit = |window: &str, used, minutes| RateLimit {
        window: window.to_owned(),
        used,
        resets_unix_ms: resets,
        minutes,
        status: "allowed".to_owned(),
    };
    let mut report = report("vm", 1..=3);
    report.records[0].subscription = true;
    report.records[0].rate_limits = vec![limit("5h", 3_725, 300), limit("7d", u32::MAX, 10_080)];
    report.records[1].subscription = true;
    report.records[1].provider = "chatgpt".to_owned();
    report.records[1].account = "a".repeat(500);
    report.records[1].rate_limits = vec![limit("primary", 4_250, 300); 100];
    sidecar.grpc().await.report(report).await.unwrap();

    let shown =
        |stats: &Value| (stats["subscriptions"].clone(), stats["subscription_window"]["latest"].clone());
    let stats = sidecar.json("/stats").await;
    assert_eq!(stats["subscriptions"]["requests"], 2);
    assert_eq!(stats["subscriptions"]["tokens_saved"], 2_000);
    assert_eq!(
        stats["cost"]["breakdown"]["compression_savings_list_usd"], 0.003,
        "of the third request alone"
    );
    assert_eq!(stats["cost"]["unpriced_requests"], 0);
    let accounts = stats["subscriptions"]["accounts"].as_array().unwrap();
    assert_eq!(accounts.len(), 2);
    let claude = accounts.iter().find(|account| account["provider"] == "anthropic").unwrap();
    assert_eq!(claude["windows"][0]["used_percent"], 37.25);
    assert_eq!(claude["windows"][1]["used_percent"], 10_000.0, "what cannot be believed is bounded");
    assert_eq!(stats["codex_rate_limits"]["primary"]["used_percent"], 42.5);
    assert_eq!(stats["subscription_window"]["latest"]["five_hour"]["utilization_pct"], 37.25);
    let paid = |stats: &Value| -> Vec<bool> {
        let requests = stats["recent_requests"].as_array().unwrap();
        requests
            .iter()
            .map(|request| request["savings_usd"].is_null() && request["cost_usd"]["input"].is_null())
            .collect()
    };
    assert_eq!(paid(&stats), [false, true, true]);
    assert_eq!(sidecar.terminate().await, Some(0));

    let written: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(written["latest"]["seven_day"]["utilization_pct"], 10_000.0);
    let again = Sidecar::start_with(dir.path(), &[], &env).await;
    let after = again.json("/stats").await;
    let (subscriptions, mut window) = shown(&after);
    let (before, mut window_before) = shown(&stats);
    assert_eq!(subscriptions, before);
    for latest in [&mut window, &mut window_before] {
        latest["five_hour"]["seconds_to_reset"].take();
        latest["seven_day"]["seconds_to_reset"].take();
    }
    assert_eq!(window, window_before);
}

#[tokio::test]
async fn a_request_of_the_doctor_is_acknowledged_and_counts_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    assert_eq!(sidecar.json("/stats").await["probe"], Value::Null);
    let mut report = report("vm", 1..=2);
    for record in &mut report.records {
        record.stack = "headroom_doctor".to_owned();
    }
    let answer = sidecar.grpc().await.report(report.clone()).await.unwrap().into_inner();
    assert_eq!(answer.acknowledged_sequence, 2);
    assert_eq!(sidecar.grpc().await.report(report).await.unwrap().into_inner().acknowledged_sequence, 2);
    let stats = sidecar.json("/stats").await;
    assert_eq!(stats["requests"]["total"], 0);
    assert_eq!(stats["requests"]["by_stack"], serde_json::json!({}));
    assert_eq!(
        (&stats["probe"]["request_id"], &stats["probe"]["outcome"]),
        (&"hr_2".into(), &"compressed".into())
    );
    assert_eq!(
        (&stats["probe"]["tokens_before"], &stats["probe"]["tokens_after"]),
        (&10_000.into(), &9_000.into())
    );
    let (_, text) = sidecar.get("/metrics").await;
    assert!(text.contains("headroom_requests_total 0"), "{text}");
    // The newest record comes first.
    sidecar.grpc().await.report(crate::records::report("vm", 3..=3)).await.unwrap();
    assert_eq!(sidecar.json("/stats").await["requests"]["total"], 1);
}

#[tokio::test]
async fn metrics_count_what_landed() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mut client = sidecar.grpc().await;
    client.report(report("vm", 1..=4)).await.unwrap();
    client.report(report("vm", 1..=4)).await.unwrap();
    let (_, text) = sidecar.get("/metrics").await;
    let parsed = prometheus_parse::Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap();
    let overhead = parsed.samples.iter().find(|sample| sample.metric == "headroom_overhead_ms").unwrap();
    let prometheus_parse::Value::Histogram(buckets) = &overhead.value else { panic!("{overhead:?}") };
    assert!(buckets.windows(2).all(|pair| pair[0].count <= pair[1].count));
    assert_eq!(buckets.last().map(|last| (last.less_than, last.count)), Some((f64::INFINITY, 4.0)));
    for line in [
        "headroom_requests_total 4",
        "headroom_tokens_saved_total 4000",
        "headroom_requests_by_stack{stack=\"wrap_claude\"} 4",
        "headroom_overhead_ms_count 4",
        "headroom_overhead_ms_bucket{le=\"1\"} 4",
        "headroom_overhead_ms_max 0.8",
        "headroom_blocks_total{outcome=\"json_table\"} 4",
        "headroom_records_duplicate_total 4",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn an_unknown_path_or_method_is_refused_as_json() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let (status, body) = sidecar.get("/nothing").await;
    assert_eq!(status, 404);
    assert!(body.contains("\"type\":\"not_found\""), "{body}");
    let url = format!("http://{}/stats", sidecar.ready.http);
    let answer = client().post(url).body("x").send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 405);
}

fn session(id: &str, end: SessionEnd) -> WebSocketSession {
    let ended = end != SessionEnd::Unspecified;
    WebSocketSession {
        session_id: id.to_owned(),
        started_unix_ms: 1_000,
        active_unix_ms: 3_000,
        ended_unix_ms: if ended { 5_000 } else { 0 },
        end: end.into(),
        upstream: "api.openai.com/v1/responses\n".repeat(1_000),
        status: 101,
        client_frames: 3,
        requests: 2,
        ..WebSocketSession::default()
    }
}

#[tokio::test]
async fn sessions_are_listed_while_they_are_open_and_counted_by_cause_when_they_end() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let causes = [SessionEnd::ClientTimeout, SessionEnd::ResponseCompleted, SessionEnd::ClientTimeout];
    let mut reported = report("vm", 1..=1);
    reported.records[0].session_id = "s9".to_owned();
    reported.websocket_sessions =
        causes.into_iter().enumerate().map(|(n, end)| session(&format!("s{n}"), end)).collect();
    reported.websocket_sessions[1].end = 99;
    reported.websocket_sessions.push(session("s9", SessionEnd::Unspecified));
    let mut grpc = sidecar.grpc().await;
    grpc.report(reported.clone()).await.unwrap();
    grpc.report(reported).await.unwrap();
    let listed = sidecar.json("/debug/ws-sessions").await;
    let listed: Vec<_> = listed.as_array().unwrap().iter().collect();
    let causes: Vec<_> = listed.iter().map(|it| it["termination_cause"].clone()).collect();
    assert_eq!(
        causes,
        [Value::Null, "client_timeout".into(), "unknown".into(), "client_timeout".into()],
        "an end of a later filter is unknown"
    );
    let open = listed[0];
    assert_eq!(
        (&open["session_id"], &open["requests"], &open["status"]),
        (&"s9".into(), &2.into(), &101.into())
    );
    let upstream = open["upstream_url"].as_str().unwrap();
    assert!(upstream.starts_with("api.openai.com") && upstream.len() < 1_000 && !upstream.contains('\n'));
    assert_eq!((&listed[1]["age_seconds"], &listed[1]["idle_seconds"]), (&4.0.into(), &2.0.into()));
    let feed = sidecar.json("/transformations/feed").await;
    assert_eq!(feed["transformations"][0]["session_id"], "s9");
    let url = format!("http://{}/metrics", sidecar.ready.http);
    let metrics = client().get(url).send().await.unwrap().text().await.unwrap();
    for line in [
        "headroom_active_ws_sessions 1",
        "headroom_ws_sessions_total{cause=\"client_timeout\"} 2",
        "headroom_ws_sessions_total{cause=\"unknown\"} 1",
        "headroom_ws_session_duration_ms_sum{cause=\"client_timeout\"} 8000",
        "headroom_ws_client_frames_total 9",
        "headroom_ws_requests_total 6",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}

#[tokio::test]
async fn the_feed_shows_the_newest_first_and_no_more_than_asked() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    sidecar.grpc().await.report(report("vm", 1..=150)).await.unwrap();
    for (query, shown) in [("", 20), ("?limit=3", 3), ("?limit=5000", 100)] {
        let feed = sidecar.json(&format!("/transformations/feed{query}")).await;
        let entries = feed["transformations"].as_array().unwrap();
        assert_eq!(entries.len(), shown);
        assert_eq!(entries[0]["request_id"], "hr_96");
        assert_eq!(entries[0]["transforms_applied"], serde_json::json!(["json_table"]));
        assert_eq!(entries[0]["savings_percent"], 10.0);
    }
    assert_eq!(sidecar.get("/transformations/feed?limit=none").await.0, 400);
}

#[tokio::test]
async fn cached_statistics_may_be_a_little_old() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let total = async |path: &str| sidecar.json(path).await["requests"]["total"].as_u64().unwrap();
    assert_eq!(total("/stats?cached=1").await, 0);
    sidecar.grpc().await.report(report("vm", 1..=4)).await.unwrap();
    assert!(total("/stats?cached=1").await <= 4);
    assert_eq!(total("/stats").await, 4);
    assert_eq!(total("/stats?cached=1").await, 4);
}

#[tokio::test]
async fn debug_pages_answer_on_loopback_whatever_a_header_claims() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let no_import = r#""savings_import":{"error":null,"info":null,"status":null}"#;
    let no_scanners = r#""code_aware":{"error":null,"info":null,"status":null}"#;
    let pages = [
        ("tasks", "ledger_writer"),
        ("ws-sessions", "[]"),
        ("warmup", "\"loaded\""),
        ("warmup", no_import),
        ("warmup", no_scanners),
        ("warmup", r#""status":"disabled""#),
        ("warmup", r#""tree_sitter":{"status":null}"#),
    ];
    for (page, shows) in pages {
        let url = format!("http://{}/debug/{page}", sidecar.ready.http);
        let request = client().get(url).header("x-forwarded-for", "8.8.8.8");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200);
        let body = answer.text().await.unwrap();
        assert!(body.contains(shows), "{page}: {body}");
    }
}
