//! Two sidecars on one PostgreSQL: either may die, and nothing is lost or counted twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::child::{PATIENCE, Sidecar};
use crate::facts::{nothing_is_lost_or_doubled, save, try_ask, wait_for_facts, work_until_killed};
use crate::records::{SAVED, report};
use crate::server::Postgres;

/// Records per report.
const BATCH: u64 = 10;
/// Records per VM.
const RECORDS: u64 = 300;

/// Reports as a filter does behind a load balancer: to either sidecar, and to the other one if the
/// first refuses.
async fn report_everything(replicas: [Arc<Sidecar>; 2], vm_id: String, landed: Arc<AtomicU64>) {
    let mut clients = Vec::new();
    for replica in &replicas {
        clients.push(replica.grpc().await);
    }
    let mut acknowledged = 0;
    let deadline = Instant::now() + PATIENCE;
    for turn in 0.. {
        if acknowledged >= RECORDS {
            return;
        }
        assert!(Instant::now() < deadline, "reports do not land");
        let batch = report(&vm_id, acknowledged + 1..=acknowledged + BATCH);
        if let Ok(answer) = clients[turn % 2].report(batch).await {
            let durable = answer.into_inner().acknowledged_sequence;
            landed.fetch_add(durable - acknowledged, Ordering::SeqCst);
            acknowledged = durable;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_one_of_two_under_load_loses_and_doubles_nothing() {
    let Some(postgres) = Postgres::start().await else { return };
    let url = postgres.database("replicas");
    let env = [("HEADROOM_DATABASE_URL", url.as_str())];
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, other) = tokio::join!(
        Sidecar::start_with(one.path(), &[], &env),
        Sidecar::start_with(other.path(), &[], &env)
    );
    let replicas = [Arc::new(one), Arc::new(other)];
    let landed = Arc::new(AtomicU64::new(0));
    let vms: Vec<_> = (0..4)
        .map(|vm| tokio::spawn(report_everything(replicas.clone(), format!("vm{vm}"), Arc::clone(&landed))))
        .collect();
    let deadline = Instant::now() + PATIENCE;
    while landed.load(Ordering::SeqCst) < RECORDS {
        assert!(Instant::now() < deadline, "reports do not land");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    replicas[0].kill_now();
    for vm in vms {
        vm.await.unwrap();
    }
    let stats = replicas[1].json("/stats").await;
    assert_eq!(stats["requests"]["total"], 4 * RECORDS);
    assert_eq!(stats["tokens"]["saved"], 4 * RECORDS * SAVED);
    assert_eq!(replicas[1].json("/health").await["config"]["store"], "postgresql");
    let shown = stats["persistent_savings"]["storage_path"].as_str().unwrap();
    assert!(!shown.contains('@'), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_either_under_load_loses_and_doubles_no_fact() {
    let Some(postgres) = Postgres::start().await else { return };
    let url = postgres.database("facts");
    let env = [("HEADROOM_DATABASE_URL", url.as_str())];
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, other) = tokio::join!(
        Sidecar::start_with(one.path(), &[], &env),
        Sidecar::start_with(other.path(), &[], &env)
    );
    let replicas = [Arc::new(one), Arc::new(other)];
    let shared: Vec<_> = replicas
        .iter()
        .map(|replica| {
            let replica = Arc::clone(replica);
            tokio::spawn(async move {
                let mut saved = BTreeMap::new();
                for n in 0..40 {
                    let content = format!("worker fact shared{n} of both");
                    let Some((200, answer)) = try_ask(&replica, "save", &save("/p", &content), &[]).await
                    else {
                        break;
                    };
                    saved.insert(answer["saved"][0]["id"].as_str().unwrap().to_owned(), Some(content));
                }
                saved
            })
        })
        .collect();
    let mut known = BTreeMap::new();
    for saved in shared {
        known.extend(saved.await.unwrap());
    }
    assert_eq!(known.len(), 40, "each text has one id, whoever has saved it");
    let workers: Vec<_> = replicas
        .iter()
        .cloned()
        .enumerate()
        .map(|(worker, replica)| {
            tokio::spawn(async move {
                let mut known = BTreeMap::new();
                work_until_killed(&replica, worker, 0, &mut known).await;
                known
            })
        })
        .collect();
    wait_for_facts(&replicas[1], 100).await;
    replicas[0].kill_now();
    wait_for_facts(&replicas[1], 160).await;
    replicas[1].kill_now();
    for worker in workers {
        known.extend(worker.await.unwrap());
    }
    let again = tempfile::tempdir().unwrap();
    let again = Sidecar::start_with(again.path(), &[], &env).await;
    nothing_is_lost_or_doubled(&again, &known).await;
}
