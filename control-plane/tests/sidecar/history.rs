//! History: exported, imported, bounded.

use serde_json::{Value, json};

use crate::child::{Sidecar, client};
use crate::records::{SAVED, report};

const HEADER: &str =
    "timestamp,total_tokens_saved,compression_savings_usd,total_input_tokens,total_input_cost_usd";

fn savings_file(saved: u64) -> Value {
    json!({
        "schema_version": 2,
        "lifetime": {"requests": 40, "tokens_saved": saved, "compression_savings_usd": 1.5,
                     "total_input_tokens": 80_000, "total_input_cost_usd": 0.25},
        "display_session": {},
        "history": [
            {"timestamp": "2026-01-05T10:00:00Z", "total_tokens_saved": 1_000, "compression_savings_usd": 0.5,
             "total_input_tokens": 30_000, "total_input_cost_usd": 0.1},
            {"timestamp": "2026-01-06T10:00:00Z", "total_tokens_saved": saved, "compression_savings_usd": 1.5,
             "total_input_tokens": 80_000, "total_input_cost_usd": 0.25},
        ],
    })
}

#[tokio::test]
async fn history_has_the_shape_of_the_original() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mut report = report("vm", 1..=5);
    // three of the five requests have no new tool output
    for tokens in report.records.iter_mut().skip(2).filter_map(|record| record.tokens.as_mut()) {
        (tokens.tool_outputs_new_before, tokens.tool_outputs_new_after) = (0, 0);
    }
    sidecar.grpc().await.report(report).await.unwrap();
    let page = sidecar.json("/stats-history").await;
    assert_eq!(page["schema_version"], 2);
    assert_eq!(page["lifetime"]["tokens_saved"], 5 * SAVED);
    assert_eq!(page["display_session"]["savings_percent"], 10.0);
    assert_eq!(page["display_session_policy"]["rollover_inactivity_minutes"], 60);
    assert_eq!(page["history"][0]["total_tokens_saved"], 5 * SAVED);
    for series in ["hourly", "daily", "weekly", "monthly"] {
        let points = page["series"][series].as_array().unwrap();
        let sum = |name: &str| points.iter().map(|point| point[name].as_u64().unwrap()).sum::<u64>();
        assert_eq!(sum("tokens_saved"), 5 * SAVED, "{series}");
        assert_eq!(sum("unique_tokens_saved"), 2 * SAVED, "{series}");
        assert_eq!(points.last().unwrap()["total_tokens_saved"], 5 * SAVED);
    }
    assert_eq!(page["exports"]["available_series"].as_array().unwrap().len(), 5);
    assert_eq!(page["retention"]["max_history_points"], 5000);
    let summary = json!({"mode": "compact", "stored_points": 1, "returned_points": 1, "compacted": false});
    assert_eq!(page["history_summary"], summary);
    let none = sidecar.json("/stats-history?history_mode=none").await;
    assert_eq!(none["history"], json!([]));
}

#[tokio::test]
async fn a_series_can_be_had_for_one_model_or_project_and_as_csv() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mut grpc = sidecar.grpc().await;
    grpc.report(report("vm", 1..=5)).await.unwrap();
    let mut other = report("vm", 6..=7);
    for record in &mut other.records {
        record.model = "gpt-5".to_owned();
        record.project = "elsewhere".to_owned();
    }
    grpc.report(other).await.unwrap();
    for (query, requests) in
        [("model=gpt-5", 2), ("project=demo", 5), ("stack=wrap_claude", 7), ("provider=x", 0)]
    {
        let page = sidecar.json(&format!("/stats-history?{query}")).await;
        let points = page["series"]["daily"].as_array().unwrap();
        let found: u64 = points.iter().map(|point| point["requests"].as_u64().unwrap()).sum();
        assert_eq!(found, requests, "{query}");
    }
    let (status, csv) = sidecar.get("/stats-history?format=csv").await;
    assert_eq!((status, csv.lines().next()), (200, Some(HEADER)));
    let url = format!("http://{}/stats-history?format=csv&series=weekly", sidecar.ready.http);
    let answer = client().get(url).send().await.unwrap();
    let disposition = answer.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert_eq!(disposition, "attachment; filename=\"headroom-stats-history-weekly.csv\"");
    let csv = answer.text().await.unwrap();
    assert_eq!(csv.lines().next().unwrap().split(',').count(), 9);
    assert!(csv.lines().last().unwrap().contains(",7000,"), "{csv}");
}

#[tokio::test]
async fn nonsense_in_a_query_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    for query in [
        "format=xml",
        "series=%00",
        "history_mode=1",
        "from=soon",
        "model=a&stack=b",
        "to=99999999999999999999",
    ] {
        let (status, body) = sidecar.get(&format!("/stats-history?{query}")).await;
        assert_eq!(status, 400, "{query}");
        assert!(serde_json::from_str::<Value>(&body).unwrap()["error"]["message"].is_string());
    }
    let long = "m".repeat(20_000);
    assert_eq!(sidecar.get(&format!("/stats-history?model={long}")).await.0, 200);
}

#[tokio::test]
async fn an_imported_history_is_added_once_and_follows_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("old.json");
    let env = [("HEADROOM_SAVINGS_PATH", file.to_str().unwrap())];
    std::fs::write(&file, savings_file(3_000).to_string()).unwrap();
    for round in 1..=3 {
        let sidecar = Sidecar::start_with(dir.path(), &[], &env).await;
        sidecar.grpc().await.report(report("vm", [round])).await.unwrap();
        let page = sidecar.json("/stats-history").await;
        assert_eq!(page["lifetime"]["tokens_saved"], 3_000 + round * SAVED);
        assert_eq!(page["lifetime"]["requests"], 40 + round);
        let january = &page["series"]["monthly"][0];
        assert_eq!(
            (&january["tokens_saved"], &january["total_tokens_saved"]),
            (&json!(3_000), &json!(3_000))
        );
        let last = page["history"].as_array().unwrap().last().unwrap();
        assert_eq!(last["total_tokens_saved"], 3_000 + round * SAVED);
        assert_eq!(
            sidecar.json("/stats").await["requests"]["total"],
            round,
            "imported requests were not ours"
        );
        assert_eq!(sidecar.terminate().await, Some(0));
    }
    std::fs::write(&file, savings_file(4_000).to_string()).unwrap();
    let grown = Sidecar::start_with(dir.path(), &[], &env).await;
    assert_eq!(grown.json("/stats-history").await["lifetime"]["tokens_saved"], 4_000 + 3 * SAVED);
    drop(grown);
    std::fs::write(&file, savings_file(2_000).to_string()).unwrap();
    let shrunk = Sidecar::start_with(dir.path(), &[], &env).await;
    assert_eq!(shrunk.json("/stats-history").await["lifetime"]["tokens_saved"], 4_000 + 3 * SAVED);
}

#[tokio::test]
async fn a_broken_savings_file_is_left_out_said_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("proxy_savings.json");
    for broken in ["", "{\"schema_version\": 2, \"lifetime\"", "[]", "{\"schema_version\": 77}"] {
        std::fs::write(&file, broken).unwrap();
        let sidecar = Sidecar::start(dir.path()).await;
        let ready = sidecar.json("/readyz").await;
        assert_eq!(ready["ready"], true);
        assert_eq!(ready["checks"]["savings_import"]["status"], "degraded", "{broken}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), broken);
    }
}
