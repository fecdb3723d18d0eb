//! Broken parts are named, and the other parts continue to work.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::Connection as _;

use crate::child::{PATIENCE, Sidecar};
use crate::records::report;

/// The answer of `/readyz` after a condition becomes true.
pub(crate) async fn ready_when(sidecar: &Sidecar, holds: impl Fn(&Value) -> bool) -> Value {
    answer_when(sidecar, "/readyz", holds).await
}

/// The answer of a path after a condition becomes true. A store that a slow disk holds up for a moment is degraded.
pub(crate) async fn answer_when(sidecar: &Sidecar, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = sidecar.json(path).await;
        if holds(&page) {
            return page;
        }
        assert!(Instant::now() < deadline, "{page}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_written_is_degraded_and_named_and_pages_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    sidecar.grpc().await.report(report("vm", 1..=3)).await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.path().join("headroom.db"));
    let mut other = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();

    let page = ready_when(&sidecar, |page| {
        page["degraded"] == serde_json::json!(["store"])
            && page["checks"]["store"]["error"] == "it cannot be written: it is busy"
    })
    .await;
    assert_eq!((&page["ready"], &page["status"]), (&true.into(), &"degraded".into()));
    assert_eq!(page["checks"]["originals"]["status"], "healthy");
    assert_eq!(sidecar.json("/stats").await["requests"]["total"], 3, "what can be read is read");

    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    let page = ready_when(&sidecar, |page| page["status"] == "healthy").await;
    assert_eq!(page["degraded"], serde_json::json!([]));
}

#[tokio::test]
async fn a_store_that_breaks_while_it_runs_is_set_aside_and_reports_land() {
    let dir = tempfile::tempdir().unwrap();
    let sidecar = Sidecar::start(dir.path()).await;
    let mut client = sidecar.grpc().await;
    client.report(report("vm", 1..=3)).await.unwrap();
    let path = dir.path().join("headroom.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut other = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("UPDATE meta SET value = value").execute(&mut other).await.unwrap();
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.write_all(&vec![0xa5; usize::try_from(length).unwrap()]).unwrap();

    let answer = client.report(report("vm", 4..=5)).await.unwrap().into_inner();
    assert_eq!(answer.acknowledged_sequence, 5);
    let page = ready_when(&sidecar, |page| {
        page["checks"]["store"]["error"].as_str().is_some_and(|it| it.starts_with("damaged and set aside as"))
    })
    .await;
    assert_eq!(page["status"], "degraded");
    let (_, metrics) = sidecar.get("/metrics").await;
    let line = "headroom_store_errors_total{kind=\"damaged\",store=\"ledger\"}";
    let count = metrics.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    assert!(count.trim().parse::<u32>().unwrap() > 0);
    assert_eq!(sidecar.terminate().await, Some(0));

    let again = Sidecar::start(dir.path()).await;
    assert!(again.json("/stats").await["requests"]["total"].as_u64().unwrap() >= 2);
    ready_when(&again, |page| page["status"] == "healthy").await;
}
