//! `--log-file`, and a headroomd without a database.

use serde_json::Value;

use crate::child::Sidecar;
use crate::records::{SAVED, report};

#[tokio::test]
async fn each_request_is_a_line_and_savings_in_lines_outlive_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("requests.jsonl");
    let savings = format!("jsonl:{}", dir.path().join("savings.jsonl").display());
    let arguments = ["--log-file", log.to_str().unwrap(), "--database-url", &savings];
    let sidecar = Sidecar::start_with(dir.path(), &arguments, &[]).await;
    sidecar.grpc().await.report(report("vm", 1..=5)).await.unwrap();
    sidecar.kill_now();
    drop(sidecar);
    let sidecar = Sidecar::start_with(dir.path(), &arguments, &[]).await;
    // acknowledged records are there, and repeated ones are not counted again
    sidecar.grpc().await.report(report("vm", 4..=6)).await.unwrap();
    let stats = sidecar.json("/stats").await;
    assert_eq!((&stats["requests"]["total"], &stats["tokens"]["saved"]), (&6.into(), &(6 * SAVED).into()));
    assert_eq!(
        stats["persistent_savings"]["storage_path"],
        dir.path().join("savings.jsonl").to_str().unwrap()
    );
    assert!(!dir.path().join("headroom.db").exists() && !dir.path().join("originals.db").exists());
    assert_eq!(sidecar.terminate().await, Some(0));
    let lines = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!lines.is_empty() && lines.len() <= 6, "{lines:?}");
    assert!(lines.iter().all(|line| line["tokens_saved"] == SAVED && line["request_messages"].is_null()));
}
