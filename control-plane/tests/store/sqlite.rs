//! The suite on SQLite, and what only a file can suffer.

use std::path::Path;

use headroomd::clock::now_ms;
use headroomd::settings::Database;
use headroomd::store::{LedgerStore, SqlStore};

use crate::suite;

async fn open(dir: &Path) -> SqlStore {
    SqlStore::open(&Database::File(dir.join("deep").join("er?#%.db")), now_ms()).await.unwrap()
}

macro_rules! on_sqlite {
    ($($test:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $test() {
                let dir = tempfile::tempdir().unwrap();
                suite::$test(&open(dir.path()).await, &open(dir.path()).await).await;
            }
        )*
    };
}

on_sqlite!(
    records_are_counted_once_in_whatever_order_they_come,
    two_that_share_a_store_lose_and_double_nothing,
    every_breakdown_adds_up_to_the_whole,
    what_was_imported_is_replaced_and_never_added,
    what_is_too_old_or_too_much_is_dropped,
    an_hour_without_a_report_ends_the_session,
);

#[tokio::test]
async fn the_store_and_its_epoch_outlive_the_process_that_made_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let epoch = store.epoch().to_owned();
    store.close().await;
    assert_eq!(open(dir.path()).await.epoch(), epoch);
}

#[tokio::test]
async fn a_file_damaged_anywhere_is_set_aside_or_read() {
    for at in (0..40).map(|part| part * 1_000) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("headroom.db");
        let database = Database::File(path.clone());
        let store = SqlStore::open(&database, now_ms()).await.unwrap();
        suite::report(&store, "vm", 1..=20).await;
        store.close().await;
        let mut bytes = std::fs::read(&path).unwrap();
        let end = (at + 700).min(bytes.len());
        if at >= end {
            break;
        }
        bytes[at..end].fill(0xa5);
        std::fs::write(&path, &bytes).unwrap();
        let again = SqlStore::open(&database, now_ms()).await.unwrap();
        suite::report(&again, "vm", 21..=22).await;
        if let Some(kept) = again.set_aside() {
            assert_eq!(std::fs::read(kept).unwrap(), bytes, "what was damaged is kept as it was");
        }
    }
}

#[tokio::test]
async fn a_file_cut_short_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("headroom.db");
    let database = Database::File(path.clone());
    let store = SqlStore::open(&database, now_ms()).await.unwrap();
    suite::report(&store, "vm", 1..=20).await;
    store.close().await;
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let again = SqlStore::open(&database, now_ms()).await.unwrap();
    assert!(again.set_aside().is_some());
    suite::report(&again, "vm", 1..=1).await;
}
