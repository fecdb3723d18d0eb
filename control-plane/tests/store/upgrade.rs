//! Upgrades databases of version 0.2.0 without loss.
//!
//! `upgrade/` has them as SQL, and in `ledger.txt` and `originals.txt` the content that 0.2.0 read from them.

use std::fmt::Write as _;
use std::path::Path;

use headroom_api::memory::Scope;
use headroomd::clock::{DAY_MS, HOUR_MS, UnixMs, now_ms};
use headroomd::ledger::bucket::Unit;
use headroomd::ledger::labels::Dimension;
use headroomd::ledger::store::{LedgerStore, Slice};
use headroomd::ledger::sums::{BlockSums, Sums};
use headroomd::memory::ConversationContext;
use headroomd::originals::store::{AdmissionOutcome, OriginalsStore, RetentionLimits};
use headroomd::store::{Database, SqlLedger, SqlOriginals};
use headroomd::trouble::StoreError;
use prost::Message as _;

use sqlx::{AssertSqlSafe, Connection as _};

use crate::memory::{draft, reach};
use crate::originals::original;
use crate::server::Postgres;
use crate::suite;

/// When the databases were written.
const NOW: UnixMs = 1_790_000_000_000;
const KEEP: RetentionLimits = RetentionLimits { ttl_ms: DAY_MS, max_bytes: 1 << 20 };

fn named<const N: usize>(columns: &[&str], values: [i64; N]) -> String {
    let sums = columns.iter().zip(values).filter(|(_, value)| *value != 0);
    sums.map(|(column, value)| format!("{column}={value}")).collect::<Vec<_>>().join(" ")
}

fn sums(sums: &Sums) -> String {
    named(Sums::COLUMNS, sums.values())
}

/// Everything that can be read of a ledger, as text.
async fn read_ledger(store: &impl LedgerStore) -> String {
    let mut text = String::new();
    for (dimension, value, tally) in store.tallies().await.unwrap() {
        writeln!(text, "tally {dimension:?} {value:?}: {}", sums(&tally)).unwrap();
    }
    for (dimension, value, tally) in store.block_tallies().await.unwrap() {
        let tally = named(BlockSums::COLUMNS, tally.values());
        writeln!(text, "blocks {dimension:?} {value:?}: {tally}").unwrap();
    }
    for (stage, timing) in store.timings().await.unwrap() {
        writeln!(text, "timing {stage}: {timing:?}").unwrap();
    }
    for unit in [Unit::Hour, Unit::Day, Unit::Month] {
        for (account, spent) in store.spent(unit, unit.start(NOW)).await.unwrap() {
            writeln!(text, "spent {account:?}: {spent:?}").unwrap();
        }
    }
    let session = store.display_session().await.unwrap();
    let (started, last) = (session.started_ms, session.last_activity_ms);
    writeln!(text, "session {started} {last}: {}", sums(&session.sums)).unwrap();
    for request in store.recent(100).await.unwrap() {
        let record = request.record.encode_to_vec();
        let (ordinal, vm, id) = (request.ordinal, &request.vm_id, &request.record.request_id);
        let kept = headroom_compress::address(&format!("{record:?}"));
        writeln!(text, "request {ordinal} {vm} {id} {kept}: {}", sums(&request.sums)).unwrap();
    }
    writeln!(text, "overheads {:?}", store.recent_overheads_us(100).await.unwrap()).unwrap();
    for point in store.checkpoints(100).await.unwrap() {
        writeln!(text, "checkpoint {}: {}", point.at_ms, sums(&point.sums)).unwrap();
    }
    for point in store.imported_checkpoints().await.unwrap().concat() {
        writeln!(text, "imported {}: {}", point.at_ms, sums(&point.sums)).unwrap();
    }
    for unit in [Unit::Minute, Unit::Hour, Unit::Day] {
        for dimension in [Dimension::All, Dimension::Model, Dimension::Import] {
            let slice = Slice { unit, dimension, value: None, from_ms: 0, to_ms: UnixMs::MAX, limit: 1_000 };
            for bucket in store.rollup(&slice).await.unwrap() {
                let added = sums(&bucket.sums);
                writeln!(text, "rollup {unit:?} {dimension:?} {}: {added}", bucket.start_ms).unwrap();
            }
        }
    }
    // the fields that 0.2.0 had
    let vms = store.vms(now_ms()).await.unwrap();
    writeln!(
        text,
        "Vms {{ count: {}, dropped_records: {}, config_errors: {}, dropped_originals: {}, filter_version: {:?} }}",
        vms.count, vms.dropped_records, vms.config_errors, vms.dropped_originals, vms.filter_version
    )
    .unwrap();
    writeln!(text, "{:?}", store.probe().await.unwrap()).unwrap();
    writeln!(text, "retention {:?}", store.retention_time().await.unwrap()).unwrap();
    text
}

/// Everything that can be read of originals, as text.
async fn read_originals(store: &impl OriginalsStore) -> String {
    let mut text = format!("{:?}\n", store.sums().await.unwrap());
    for tenant in ["", "red"] {
        writeln!(text, "{tenant:?}: {:?}", store.sums_of(tenant).await.unwrap()).unwrap();
        for n in 0..6 {
            let hash = original(tenant, n).hash;
            let kept = store.get(tenant, &hash, NOW + HOUR_MS).await.unwrap();
            let kept = kept.map(|kept| (kept.tool, kept.length, kept.retrievals, kept.content.len()));
            writeln!(text, "{tenant:?} {n}: {kept:?}").unwrap();
        }
    }
    text
}

/// An SQLite file made by the SQL.
async fn file(dir: &Path, name: &str, sql: &'static str) -> Database {
    let path = dir.join(name);
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut conn = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    Database::File(path)
}

/// A PostgreSQL database made by the SQL.
async fn database(postgres: &Postgres, name: &str, sql: &'static str) -> Database {
    let url = postgres.database(name);
    let mut conn = sqlx::PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    Database::Postgres(url)
}

async fn open(ledger: &Database, originals: &Database) -> (SqlLedger, SqlOriginals) {
    (SqlLedger::open(ledger, NOW).await.unwrap(), SqlOriginals::open(originals, NOW).await.unwrap())
}

/// The content is the same as in version 0.2.0, also after a second start, and counting continues.
async fn nothing_is_lost(ledger: &Database, originals: &Database) {
    for _ in 0..2 {
        let (ledger, originals) = open(ledger, originals).await;
        assert_eq!(read_ledger(&ledger).await, include_str!("upgrade/ledger.txt"));
        assert_eq!(read_originals(&originals).await, include_str!("upgrade/originals.txt"));
        ledger.close().await;
        originals.close().await;
    }
    let (ledger, originals) = open(ledger, originals).await;
    // the last sequences that this VM had sent are 5 and 7
    let appended = suite::report(&ledger, "vm-a", 1..=9).await;
    assert_eq!((appended.duplicates, appended.landed.len()), (4, 5));
    let admitted = originals.admit(&[original("", 0), original("", 9)], &KEEP, NOW).await.unwrap();
    assert_eq!(admitted.fates, [AdmissionOutcome::Refreshed, AdmissionOutcome::Stored]);
    ledger.close().await;
    originals.close().await;
}

/// One step more than this version knows, as a later version would leave it.
async fn is_refused(ledger: &Database, originals: &Database) {
    for error in [
        SqlLedger::open(ledger, NOW).await.unwrap_err(),
        SqlOriginals::open(originals, NOW).await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
        assert!(error.to_string().contains("has schema 99, this version knows up to"), "{error}");
    }
}

/// What was kept of memory before conversations could begin with it: everything but the newest step.
const WITHOUT_CONTEXTS: &str = "DROP TABLE memory_context;
    DELETE FROM memory_migrations WHERE version = 3;
    UPDATE meta SET value = '2' WHERE name = 'memory_schema'";

/// Facts stay, and conversations can begin with them. `earlier` takes the store back to what it was before that.
async fn contexts_are_added_to_memory(memory: &Database, earlier: impl AsyncFnOnce()) {
    let store = headroomd::store::memory::open(memory).await.unwrap();
    let holder = reach("", "me", "/p").holder(Scope::Project).unwrap();
    let saved = store.save(&holder, &[draft("The port is 8787")], NOW).await.unwrap();
    store.close().await;
    earlier().await;
    for text in ["The port is 8787", "something else"] {
        let store = headroomd::store::memory::open(memory).await.unwrap();
        let found = store.list(&reach("", "me", "/p"), None, None, 10).await.unwrap();
        assert_eq!(found, [saved[0].stored().clone()]);
        let context = ConversationContext {
            conversation: "c".to_owned(),
            text: text.to_owned(),
            facts: vec![found[0].fact.id.clone()],
            ..ConversationContext::default()
        };
        assert_eq!(store.decide_context(&context, NOW).await.unwrap(), "The port is 8787");
        store.close().await;
    }
}

#[tokio::test]
async fn a_file_of_memory_without_contexts_is_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("memory.db");
    contexts_are_added_to_memory(&Database::File(path.clone()), async || {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
        let mut conn = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(WITHOUT_CONTEXTS).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_postgresql_with_memory_without_contexts_is_brought_up_to_date() {
    let Some(postgres) = Postgres::start().await else { return };
    let url = postgres.database("memory_upgrade");
    contexts_are_added_to_memory(&Database::Postgres(url.clone()), async || {
        let mut conn = sqlx::PgConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(WITHOUT_CONTEXTS).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    })
    .await;
}

/// What a later version does to a store, as far as this one depends on it.
const LATER: [&str; 2] = [
    "UPDATE meta SET value = '99' WHERE name IN ('schema', 'originals_schema')",
    // one that keeps its number only with the steps
    "UPDATE meta SET value = '1' WHERE name IN ('schema', 'originals_schema');
     INSERT INTO {table} (version, description, success, checksum, execution_time) VALUES (99, '', TRUE, '', 0)",
];

#[tokio::test]
async fn a_file_of_0_2_0_is_brought_up_to_date_and_a_newer_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = file(dir.path(), "headroom.db", include_str!("upgrade/headroom.sql")).await;
    let originals = file(dir.path(), "originals.db", include_str!("upgrade/originals.sql")).await;
    nothing_is_lost(&ledger, &originals).await;
    for later in LATER {
        for (file, table) in [("headroom.db", "ledger_migrations"), ("originals.db", "originals_migrations")]
        {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.path().join(file));
            let mut conn = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
            let later = AssertSqlSafe(later.replace("{table}", table));
            sqlx::raw_sql(later).execute(&mut conn).await.unwrap();
            conn.close().await.unwrap();
        }
        is_refused(&ledger, &originals).await;
    }
}

#[tokio::test]
async fn a_postgresql_of_0_2_0_is_brought_up_to_date_and_a_newer_one_is_refused() {
    let Some(postgres) = Postgres::start().await else { return };
    let shared = database(&postgres, "upgrade", include_str!("upgrade/postgres.sql")).await;
    nothing_is_lost(&shared, &shared).await;
    let Database::Postgres(url) = &shared else { unreachable!() };
    let mut conn = sqlx::PgConnection::connect(url).await.unwrap();
    for later in LATER {
        for table in ["ledger_migrations", "originals_migrations"] {
            let later = AssertSqlSafe(later.replace("{table}", table));
            sqlx::raw_sql(later).execute(&mut conn).await.unwrap();
        }
        is_refused(&shared, &shared).await;
    }
}
