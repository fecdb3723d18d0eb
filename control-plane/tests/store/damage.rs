//! A file that is damaged while the sidecar runs: it is set aside when that is found, and its readable rows stay.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;

use headroom_api::memory::Scope;
use headroomd::clock::now_ms;
use headroomd::ledger::contribution::Accounting;
use headroomd::ledger::labels::Dimension;
use headroomd::ledger::store::LedgerStore;
use headroomd::memory::{Ending, MemoryPlace, Origin};
use headroomd::originals::store::{OriginalsStore, RetentionLimits};
use headroomd::store::Database;
use headroomd::store::SqlOriginals;
use headroomd::store::{Renewing, SqlLedger};
use headroomd::trouble::{StoreWatch, Trouble};
use sqlx::Connection as _;

use crate::{memory, originals, suite};

const PAGE: u64 = 4_096;
const KEEP: RetentionLimits = RetentionLimits { ttl_ms: 86_400_000, max_bytes: 1 << 30 };

async fn open(path: &Path) -> Renewing<SqlLedger> {
    Renewing::open(&Database::File(path.to_owned()), Arc::new(now_ms)).await.unwrap()
}

/// Moves everything from the journal into the file, and overwrites a part of it without the store's connections.
async fn break_pages(path: &Path, pages: std::ops::Range<u64>) -> u64 {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut conn = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    // after this the caches of the store's connections are out of date
    sqlx::query("INSERT INTO meta VALUES ('broken', '1') ON CONFLICT (name) DO UPDATE SET value = '2'")
        .execute(&mut conn)
        .await
        .unwrap();
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    for page in pages.start..pages.end.min(length / PAGE) {
        file.seek(SeekFrom::Start(page * PAGE)).unwrap();
        file.write_all(&[0xa5; PAGE as usize]).unwrap();
    }
    file.sync_all().unwrap();
    length / PAGE
}

async fn requests(store: &impl LedgerStore) -> i64 {
    let tallies = store.tallies().await.unwrap();
    tallies
        .iter()
        .find(|(dimension, _, _)| *dimension == Dimension::All)
        .map_or(0, |(_, _, sums)| sums.requests)
}

#[tokio::test]
async fn a_page_damaged_anywhere_while_it_runs_costs_no_more_than_what_it_held() {
    let (mut set_aside, mut whole, mut unlisted, mut page) = (0, 0, 0, 1);
    loop {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("headroom.db");
        let store = open(&path).await;
        store.append(&[suite::batch("vm", 1..=20)], &Accounting::default(), now_ms()).await.unwrap();
        let pages = break_pages(&path, page..page + 1).await;
        if page >= pages {
            break;
        }
        for sequence in 21..=24 {
            let batch = suite::batch("vm", [sequence]);
            let appended = store.append(&[batch], &Accounting::default(), now_ms()).await.unwrap();
            assert_eq!(appended.acknowledged, [sequence], "page {page}");
        }
        let kept = store.recent(100).await.unwrap().len();
        let total = requests(&store).await;
        // if SQLite's list of tables is damaged, no table can be read
        unlisted += u32::from(total < 20);
        assert!(kept >= 4 || total < 20, "page {page}: {kept}, {total}");
        if let Some(aside) = store.watch().set_aside() {
            set_aside += 1;
            whole += usize::from(kept == 24 && total == 24);
            assert!(aside.exists());
            let damaged = store.watch().errors().find(|(trouble, _)| *trouble == Trouble::Damaged);
            assert!(damaged.unwrap().1 > 0);
        }
        store.close().await;
        // its replacement is sound
        let again = SqlLedger::open(&Database::File(path), now_ms()).await.unwrap();
        assert!(again.set_aside().is_none() || store.watch().set_aside().is_none(), "page {page}");
        page += 1;
    }
    assert!(set_aside >= 10, "{set_aside} of {page}");
    // the list of this many tables takes some pages
    assert!(unlisted <= 8, "{unlisted}");
    assert!(whole * 2 > set_aside, "{whole} of {set_aside} lost no request");
}

#[tokio::test]
async fn a_file_that_is_no_database_any_more_is_replaced_and_reports_land() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("headroom.db");
    let store = open(&path).await;
    store.append(&[suite::batch("vm", 1..=20)], &Accounting::default(), now_ms()).await.unwrap();
    break_pages(&path, 0..u64::MAX).await;
    let appended = store.append(&[suite::batch("vm", 21..=22)], &Accounting::default(), now_ms()).await;
    assert_eq!(appended.unwrap().acknowledged, [22]);
    assert!(store.watch().set_aside().is_some());
    assert_eq!(requests(&store).await, 2);
    // concurrent callers get an answer too
    let (one, other) = tokio::join!(store.check(), store.tallies());
    one.unwrap();
    other.unwrap();
}

/// SQLite's last connection to a file looks whether the file has moved, writes and syncs what the journal holds, and
/// then removes the journal by its name: by then that could be the journal of the replacement.
#[tokio::test]
async fn a_damaged_file_is_not_replaced_while_a_connection_to_it_closes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("headroom.db");
    let store = Arc::new(open(&path).await);
    store.append(&[suite::batch("vm", 1..=20)], &Accounting::default(), now_ms()).await.unwrap();
    break_pages(&path, 0..0).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut late = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("SELECT name FROM meta").fetch_all(&mut late).await.unwrap();
    break_pages(&path, 1..u64::MAX).await;
    let appending = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            let batch = suite::batch("vm", 21..=22);
            store.append(&[batch], &Accounting::default(), now_ms()).await.unwrap().acknowledged
        }
    });
    while store.watch().errors().all(|(_, count)| count == 0) {
        tokio::task::yield_now().await;
    }
    // longer than a replacement takes, and shorter than the patience with such a connection
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(store.watch().set_aside(), None);
    late.close().await.unwrap();
    assert_eq!(appending.await.unwrap(), [22]);
    assert!(store.watch().set_aside().is_some());
    assert_eq!(requests(&*store).await, 2);
    let again = SqlLedger::open(&Database::File(path), now_ms()).await.unwrap();
    assert_eq!(again.recent(100).await.unwrap().len(), 2);
}

#[tokio::test]
async fn originals_that_can_be_read_outlive_the_damage_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("originals.db");
    let store: Renewing<SqlOriginals> =
        Renewing::open(&Database::File(path.clone()), Arc::new(now_ms)).await.unwrap();
    let all: Vec<_> = (0..200).map(|n| originals::original("t", n)).collect();
    let now = now_ms();
    store.admit(&all, &KEEP, now).await.unwrap();
    let epoch = store.epoch().await.unwrap();
    let pages = break_pages(&path, 0..0).await;
    break_pages(&path, pages / 2..pages / 2 + 1).await;
    let mut found = 0;
    for original in &all {
        found += usize::from(store.get("t", &original.hash, now).await.is_ok_and(|kept| kept.is_some()));
    }
    // an admission walks the indexes, where the damage may be
    store.admit(&[originals::original("t", 1_000)], &KEEP, now).await.unwrap();
    store.sweep(now).await.unwrap();
    assert!(found >= 100, "{found}");
    let sums = store.sums().await.unwrap();
    assert!(sums.entries >= 100, "{}", sums.entries);
    if store.watch().set_aside().is_some() {
        assert_ne!(store.epoch().await.unwrap(), epoch, "what was acknowledged may be gone");
        assert_eq!(store.sums_of("t").await.unwrap().entries, sums.entries);
    }
}

#[tokio::test]
async fn facts_that_can_be_read_outlive_the_damage_of_others_and_are_found_by_their_words() {
    let (mut set_aside, mut whole, mut unheard, mut page) = (0, 0, 0, 1);
    loop {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("memory.db");
        let watch = Arc::new(StoreWatch::default());
        let store = MemoryPlace::open(&Database::File(path.clone()), Arc::clone(&watch)).await.unwrap();
        let me = memory::reach("", "me", "/p");
        let holder = me.holder(Scope::Project).unwrap();
        let drafts: Vec<_> =
            (0..60).map(|n| memory::draft(&format!("Service {n} listens on port {n}"))).collect();
        let now = now_ms();
        store.save(&holder, &drafts, now).await.unwrap();
        let first = store.list(&me, None, None, 1).await.unwrap().remove(0);
        store.end(&me, &first.fact.id, Ending::Deleted, &Origin::default(), now).await.unwrap().unwrap();
        let pages = break_pages(&path, page..page + 1).await;
        if page >= pages {
            break;
        }
        let added = store.save(&holder, &[memory::draft("A new fact about the theme")], now).await;
        added.unwrap_or_else(|error| panic!("page {page}: {error}"));
        // reading alone may find the damage
        let kept = store.list(&me, None, None, 100).await.unwrap();
        let theme = store.matching(&me, &["theme".to_owned()], now, 9).await.unwrap();
        if watch.set_aside().is_some() {
            set_aside += 1;
            whole += usize::from(kept.len() == 60);
            let damaged = watch.errors().find(|(trouble, _)| *trouble == Trouble::Damaged);
            assert!(damaged.unwrap().1 > 0);
            let found = store.matching(&me, &["listens".to_owned()], now, 100).await.unwrap();
            let kept = store.list(&me, None, None, 100).await.unwrap();
            assert!(found.len() + 1 >= kept.len(), "page {page}: the index holds what the table holds");
            assert!(found.iter().all(|(stored, _)| stored.fact.ended.is_none()));
        } else {
            assert_eq!(kept.len(), 60, "page {page}");
            // SQLite does not notice the damage in some pages of the text index
            unheard += usize::from(theme.is_empty());
        }
        store.close().await;
        page += 1;
    }
    assert!(set_aside >= 5, "{set_aside} of {page}");
    assert!(whole * 2 > set_aside, "{whole} of {set_aside} lost no fact");
    assert!(unheard <= 2, "{unheard} of {page}");
}
