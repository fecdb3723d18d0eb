//! Each report is counted exactly once.

use crate::child::Sidecar;
use crate::records::{SAVED, record, report};

#[tokio::test]
async fn a_report_is_counted_once_however_often_it_arrives() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mut client = sidecar.grpc().await;
    for _ in 0..3 {
        let answer = client.report(report("vm1", 1..=5)).await.unwrap().into_inner();
        assert_eq!(answer.acknowledged_sequence, 5);
    }
    let overlapping = client.report(report("vm1", 4..=7)).await.unwrap().into_inner();
    assert_eq!(overlapping.acknowledged_sequence, 7);
    client.report(report("vm2", 1..=1)).await.unwrap();

    let stats = sidecar.json("/stats").await;
    assert_eq!(stats["requests"]["total"], 8);
    assert_eq!(stats["tokens"]["saved"], 8 * SAVED);
    assert_eq!(stats["reports"]["duplicate_records"], 12);
    assert_eq!(stats["reports"]["vms"], 2);
}

#[tokio::test]
async fn reports_that_overtake_one_another_are_both_counted() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mut client = sidecar.grpc().await;
    client.report(report("vm", 11..=20)).await.unwrap();
    client.report(report("vm", 1..=10)).await.unwrap();
    assert_eq!(sidecar.json("/stats").await["requests"]["total"], 20);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_stop_and_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let epoch = sidecar.grpc().await.report(report("vm", 1..=3)).await.unwrap().into_inner().epoch;
    let before = sidecar.json("/stats").await;
    assert_eq!(sidecar.terminate().await, Some(0));

    let again = Sidecar::start(dir.path()).await;
    let after = again.json("/stats").await;
    for key in ["requests", "tokens", "blocks", "cost", "persistent_savings", "overhead", "recent_requests"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    let answer = again.grpc().await.report(report("vm", 1..=4)).await.unwrap().into_inner();
    assert_eq!(answer.acknowledged_sequence, 4);
    assert_ne!(answer.epoch, epoch, "what was admitted before a start is to be admitted again");
    assert_eq!(again.json("/stats").await["requests"]["total"], 4);
}

#[tokio::test]
async fn an_empty_report_is_a_question_about_what_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mut client = sidecar.grpc().await;
    assert_eq!(client.report(report("vm", [])).await.unwrap().into_inner().acknowledged_sequence, 0);
    client.report(report("vm", [3])).await.unwrap();
    assert_eq!(client.report(report("vm", [])).await.unwrap().into_inner().acknowledged_sequence, 3);
}

#[tokio::test]
async fn counters_of_a_vm_never_go_back() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mut client = sidecar.grpc().await;
    for (sequence, dropped) in [(1, 7), (2, 3)] {
        let mut report = report("vm", [sequence]);
        report.dropped_records = dropped;
        client.report(report).await.unwrap();
    }
    assert_eq!(sidecar.json("/stats").await["reports"]["dropped_records"], 7);
}

#[tokio::test]
async fn a_hundred_reports_at_once_are_all_counted() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let client = sidecar.grpc().await;
    let reports = (0..100u64).map(|n| {
        let mut client = client.clone();
        tokio::spawn(async move { client.report(report(&format!("vm{}", n % 7), [n + 1])).await.unwrap() })
    });
    for report in reports.collect::<Vec<_>>() {
        report.await.unwrap();
    }
    let stats = sidecar.json("/stats").await;
    assert_eq!(stats["requests"]["total"], 100);
    assert_eq!(stats["requests"]["by_model"][&record(1).model], 100);
}
