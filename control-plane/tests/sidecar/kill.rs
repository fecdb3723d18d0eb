//! `kill -9` at any moment loses nothing acknowledged and counts nothing twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::child::{PATIENCE, Sidecar};
use crate::records::{SAVED, report};

/// Records per report.
const BATCH: u64 = 50;
/// Number of times that the sidecar is killed.
const KILLS: u64 = 8;
/// Records that are stored before the last kill: `HEADROOM_KILL_RECORDS`, or enough for a quick run.
const RECORDS: u64 = 5_000;

/// Reports as a filter does: one at a time, from the first sequence that is not acknowledged.
async fn report_until_refused(sidecar: &Sidecar, vm_id: &str, acknowledged: &AtomicU64, landed: &AtomicU64) {
    let mut client = sidecar.grpc().await;
    loop {
        let from = acknowledged.load(Ordering::SeqCst) + 1;
        match client.report(report(vm_id, from..from + BATCH)).await {
            Ok(answer) => {
                let durable = answer.into_inner().acknowledged_sequence;
                landed.fetch_add(durable + 1 - from, Ordering::SeqCst);
                acknowledged.store(durable, Ordering::SeqCst);
            }
            Err(_) => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_it_again_and_again_under_load_loses_and_doubles_nothing() {
    let records = std::env::var("HEADROOM_KILL_RECORDS").map_or(RECORDS, |records| records.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let acknowledged: [Arc<AtomicU64>; 3] = std::array::from_fn(|_| Arc::new(AtomicU64::new(0)));
    for round in 0..KILLS {
        let sidecar = Arc::new(Sidecar::start(dir.path()).await);
        let landed = Arc::new(AtomicU64::new(0));
        let vms: Vec<_> = acknowledged
            .iter()
            .enumerate()
            .map(|(vm, acknowledged)| {
                let (sidecar, acknowledged, landed) =
                    (Arc::clone(&sidecar), Arc::clone(acknowledged), Arc::clone(&landed));
                tokio::spawn(async move {
                    report_until_refused(&sidecar, &format!("vm{vm}"), &acknowledged, &landed).await;
                })
            })
            .collect();
        // in the middle of a report, at a different point in each round
        let enough = records / KILLS + 7 * round;
        let (mut deadline, mut before) = (Instant::now() + PATIENCE, 0);
        while landed.load(Ordering::SeqCst) < enough {
            let now = landed.load(Ordering::SeqCst);
            if now > before {
                (deadline, before) = (Instant::now() + PATIENCE, now);
            }
            assert!(Instant::now() < deadline, "nothing lands");
            tokio::time::sleep(Duration::from_micros(100 + 37 * round)).await;
        }
        sidecar.kill_now();
        for vm in vms {
            vm.await.unwrap();
        }
    }

    let sidecar = Sidecar::start(dir.path()).await;
    let mut client = sidecar.grpc().await;
    let mut durable = 0;
    for (vm, acknowledged) in acknowledged.iter().enumerate() {
        let answer = client.report(report(&format!("vm{vm}"), [])).await.unwrap().into_inner();
        let promised = acknowledged.load(Ordering::SeqCst);
        assert!(answer.acknowledged_sequence >= promised, "an acknowledged record is gone");
        assert!(answer.acknowledged_sequence <= promised + BATCH, "more is durable than was sent");
        durable += answer.acknowledged_sequence;
    }
    let stats = sidecar.json("/stats").await;
    assert!(durable >= records);
    assert_eq!(stats["requests"]["total"], durable);
    assert_eq!(stats["tokens"]["saved"], durable * SAVED);
    assert_eq!(stats["persistent_savings"]["lifetime"]["tokens_saved"], durable * SAVED);
    let blocks = &stats["blocks"]["by_outcome"];
    assert_eq!(blocks["json_table"]["blocks"], durable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_stop_under_load_loses_no_acknowledged_record() {
    let dir = tempfile::tempdir().unwrap();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let landed = Arc::new(AtomicU64::new(0));
    let sidecar = Sidecar::start(dir.path()).await;
    let client = sidecar.grpc().await;
    let reporting = {
        let (acknowledged, landed) = (Arc::clone(&acknowledged), Arc::clone(&landed));
        let mut client = client.clone();
        tokio::spawn(async move {
            loop {
                let from = acknowledged.load(Ordering::SeqCst) + 1;
                let Ok(answer) = client.report(report("vm", from..from + BATCH)).await else { return };
                acknowledged.store(answer.into_inner().acknowledged_sequence, Ordering::SeqCst);
                landed.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    let deadline = Instant::now() + PATIENCE;
    while landed.load(Ordering::SeqCst) < 5 {
        assert!(Instant::now() < deadline, "nothing lands");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(sidecar.terminate().await, Some(0));
    drop(client);
    reporting.await.unwrap();

    let again = Sidecar::start(dir.path()).await;
    let stats = again.json("/stats").await;
    let total = stats["requests"]["total"].as_u64().unwrap();
    assert!(total >= acknowledged.load(Ordering::SeqCst));
    assert_eq!(stats["tokens"]["saved"], total * SAVED);
}
