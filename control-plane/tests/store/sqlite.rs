//! The suite on SQLite, and tests of damage that only a file can have.

use std::path::Path;

use headroomd::clock::now_ms;
use headroomd::ledger::store::LedgerStore;
use headroomd::originals::store::OriginalsStore;
use headroomd::store::Database;
use headroomd::store::SqlLedger;
use headroomd::store::SqlOriginals;

use sqlx::Connection as _;

use crate::{memory, originals, suite};

async fn open(dir: &Path) -> SqlLedger {
    SqlLedger::open(&Database::File(dir.join("deep").join("er?#%.db")), now_ms()).await.unwrap()
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
    what_a_silent_vm_has_announced_and_not_handed_over_is_lost,
    two_that_share_a_store_lose_and_double_nothing,
    every_breakdown_adds_up_to_the_whole,
    what_was_imported_is_replaced_and_never_added,
    what_is_too_old_or_too_much_is_dropped,
    an_hour_without_a_report_ends_the_session,
    a_mismatch_is_traced_through_earlier_requests,
    what_is_purged_is_gone_and_nothing_is_counted_twice,
    what_was_lost_is_counted_once_whoever_hears_of_it,
);

/// What version 2 added.
const SECOND: [&str; 8] = [
    "unique_tokens_saved",
    "unique_saved_nanousd",
    "new_tool_tokens_before",
    "new_tool_tokens_after",
    "new_tool_tokens_minified",
    "unminified",
    "cache_write_1h_tokens",
    "reasoning_tokens",
];
/// What version 4 added.
const FOURTH: [&str; 6] = [
    "mismatches_headroom",
    "mismatches_client",
    "mismatches_unseen",
    "recovered",
    "hidden_rounds",
    "restored_rounds",
];
/// What version 5 added.
const FIFTH: [&str; 2] = ["subscription_requests", "subscription_tokens_saved"];
/// What version 7 added.
const SEVENTH: [&str; 3] = ["cache_shelf", "cache_rollup", "cache_line"];
/// What version 8 added.
const EIGHTH: [&str; 7] = [
    "answers_found",
    "answers_similar",
    "answers_missed",
    "answers_kept",
    "answers_input_tokens",
    "answers_output_tokens",
    "answers_saved_nanousd",
];

#[tokio::test]
async fn a_store_of_an_earlier_version_keeps_what_it_has_and_counts_on() {
    for version in 1..=4 {
        keeps_what_it_has_and_counts_on(version).await;
    }
}

async fn keeps_what_it_has_and_counts_on(version: u32) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    suite::report(&store, "vm", 1..=3).await;
    let before = store.tallies().await.unwrap();
    store.close().await;

    let file = dir.path().join("deep").join("er?#%.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file);
    let mut conn = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    for table in ["tally", "display_session", "checkpoint", "rollup", "request"] {
        let second = if version < 2 { &SECOND[..] } else { &[] };
        let fourth = if version < 4 { &FOURTH[..] } else { &[] };
        for column in second.iter().chain(fourth).chain(&FIFTH).chain(&EIGHTH) {
            let drop = format!("ALTER TABLE {table} DROP COLUMN {column}");
            sqlx::query(sqlx::AssertSqlSafe(drop)).execute(&mut conn).await.unwrap();
        }
    }
    let fourth = [
        "DROP INDEX request_conversation",
        "ALTER TABLE request DROP COLUMN conversation",
        "ALTER TABLE vm DROP COLUMN dropped_originals",
    ];
    for drop in fourth.into_iter().filter(|_| version < 4) {
        sqlx::query(drop).execute(&mut conn).await.unwrap();
    }
    for column in ["begun", "received", "report_interval_ms"] {
        let drop = format!("ALTER TABLE vm DROP COLUMN {column}");
        sqlx::query(sqlx::AssertSqlSafe(drop)).execute(&mut conn).await.unwrap();
    }
    for table in SEVENTH {
        let drop = format!("DROP TABLE {table}");
        sqlx::query(sqlx::AssertSqlSafe(drop)).execute(&mut conn).await.unwrap();
    }
    if version < 3 {
        sqlx::query("DROP TABLE spent").execute(&mut conn).await.unwrap();
    }
    // they kept only the number
    sqlx::query("DROP TABLE ledger_migrations").execute(&mut conn).await.unwrap();
    sqlx::query("UPDATE meta SET value = $1 WHERE name = 'schema'")
        .bind(version.to_string())
        .execute(&mut conn)
        .await
        .unwrap();
    conn.close().await.unwrap();

    let store = open(dir.path()).await;
    let now = store.tallies().await.unwrap();
    for ((dimension, value, old), (_, _, new)) in before.iter().zip(&now) {
        assert_eq!(
            (old.requests, old.tokens_saved),
            (new.requests, new.tokens_saved),
            "{dimension:?} {value}"
        );
    }
    suite::report(&store, "vm", 4..=5).await;
    assert_eq!(store.recent(10).await.unwrap().len(), 5);
}

async fn open_originals(dir: &Path) -> SqlOriginals {
    SqlOriginals::open(&Database::File(dir.join("originals.db")), now_ms()).await.unwrap()
}

macro_rules! originals_on_sqlite {
    ($($test:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $test() {
                let dir = tempfile::tempdir().unwrap();
                let (one, other) = (open_originals(dir.path()).await, open_originals(dir.path()).await);
                originals::$test(&one, &other).await;
            }
        )*
    };
}

macro_rules! memory_on_sqlite {
    ($($test:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $test() {
                let dir = tempfile::tempdir().unwrap();
                let database = Database::File(dir.path().join("memory.db"));
                let (one, other) =
                    tokio::join!(headroomd::store::memory::open(&database), headroomd::store::memory::open(&database));
                memory::$test(&*one.unwrap(), &*other.unwrap()).await;
            }
        )*
    };
}

memory_on_sqlite!(
    a_fact_is_found_changed_and_forgotten_and_its_history_stays,
    a_text_is_kept_once_by_whoever_saves_it,
    two_that_change_one_fact_lose_and_double_nothing,
    duplicates_are_merged_into_the_older_and_can_be_had_back,
    what_is_purged_is_gone_and_age_takes_only_what_has_ended,
    what_is_near_follows_what_others_save_embed_and_forget,
    what_has_no_vector_is_embedded_and_facts_of_another_time_are_not_found,
);

originals_on_sqlite!(
    the_first_decision_on_a_text_stands_for_both,
    a_request_takes_back_what_it_has_decided_alone,
    an_original_is_had_back_by_its_tenant_alone,
    time_begins_anew_with_each_admission_and_each_reading,
    the_oldest_make_room_and_what_is_in_use_does_not,
    what_can_never_fit_is_refused_and_nothing_makes_room_for_it,
    two_that_share_the_originals_keep_each_once,
);

#[tokio::test]
async fn the_epoch_of_originals_changes_whenever_they_are_opened() {
    let dir = tempfile::tempdir().unwrap();
    let one = open_originals(dir.path()).await;
    let before = one.epoch().await.unwrap();
    assert_eq!(one.epoch().await.unwrap(), before);
    let other = open_originals(dir.path()).await;
    let after = other.epoch().await.unwrap();
    assert_ne!(after, before);
    assert_eq!(one.epoch().await.unwrap(), after, "those that share a store never disagree");
}

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
        let store = SqlLedger::open(&database, now_ms()).await.unwrap();
        suite::report(&store, "vm", 1..=20).await;
        store.close().await;
        let mut bytes = std::fs::read(&path).unwrap();
        let end = (at + 700).min(bytes.len());
        if at >= end {
            break;
        }
        bytes[at..end].fill(0xa5);
        std::fs::write(&path, &bytes).unwrap();
        let again = SqlLedger::open(&database, now_ms()).await.unwrap();
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
    let store = SqlLedger::open(&database, now_ms()).await.unwrap();
    suite::report(&store, "vm", 1..=20).await;
    store.close().await;
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let again = SqlLedger::open(&database, now_ms()).await.unwrap();
    assert!(again.set_aside().is_some());
    suite::report(&again, "vm", 1..=1).await;
}
