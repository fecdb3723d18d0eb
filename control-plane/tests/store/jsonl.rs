//! The suite on a file of JSON Lines, and damage to such a file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use headroomd::clock::{DAY_MS, now_ms};
use headroomd::ledger::store::LedgerStore;
use headroomd::purge::Scope;
use headroomd::store::{Database, SqlLedger, SqlOriginals};
use headroomd::trouble::StoreError;
use tokio::task::JoinSet;

use crate::{originals, suite};

fn path(dir: &Path) -> PathBuf {
    dir.join("deep").join("savings.jsonl")
}

async fn try_open(path: &Path) -> Result<SqlLedger, StoreError> {
    SqlLedger::open(&Database::Lines(path.to_owned()), now_ms()).await
}

async fn open(path: &Path) -> SqlLedger {
    try_open(path).await.unwrap()
}

/// Everything that a store contains.
async fn shown(store: &SqlLedger) -> String {
    let shown = (
        store.epoch(),
        store.tallies().await.unwrap(),
        store.block_tallies().await.unwrap(),
        store.timings().await.unwrap(),
        store.recent(1_000).await.unwrap(),
        store.checkpoints(1_000).await.unwrap(),
        store.display_session().await.unwrap(),
        store.vms(now_ms()).await.unwrap(),
        store.retention_time().await.unwrap(),
    );
    format!("{shown:#?}")
}

macro_rules! on_jsonl {
    ($($test:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $test() {
                let dir = tempfile::tempdir().unwrap();
                let path = path(dir.path());
                // only one process may open it, so both are the same
                let store = open(&path).await;
                suite::$test(&store, &store).await;
                let before = shown(&store).await;
                store.close().await;
                drop(store);
                assert_eq!(shown(&open(&path).await).await, before, "the file holds all of it");
            }
        )*
    };
}

on_jsonl!(
    records_are_counted_once_in_whatever_order_they_come,
    two_that_share_a_store_lose_and_double_nothing,
    every_breakdown_adds_up_to_the_whole,
    what_was_imported_is_replaced_and_never_added,
    what_is_too_old_or_too_much_is_dropped,
    an_hour_without_a_report_ends_the_session,
    a_mismatch_is_traced_through_earlier_requests,
    what_is_purged_is_gone_and_nothing_is_counted_twice,
    what_was_lost_is_counted_once_whoever_hears_of_it,
);

macro_rules! originals_in_memory {
    ($($test:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $test() {
                let store = SqlOriginals::open(&Database::Memory, now_ms()).await.unwrap();
                originals::$test(&store, &store).await;
            }
        )*
    };
}

mod of_originals {
    use super::*;

    originals_in_memory!(
        the_first_decision_on_a_text_stands_for_both,
        a_request_takes_back_what_it_has_decided_alone,
        an_original_is_had_back_by_its_tenant_alone,
        time_begins_anew_with_each_admission_and_each_reading,
        the_oldest_make_room_and_what_is_in_use_does_not,
        what_can_never_fit_is_refused_and_nothing_makes_room_for_it,
        two_that_share_the_originals_keep_each_once,
    );
}

/// A file with two reports, and the content of the store after each.
async fn two_reports(path: &Path) -> (usize, Vec<u8>) {
    let store = open(path).await;
    suite::report(&store, "vm", 1..=3).await;
    let first = fs::metadata(path).unwrap().len() as usize;
    suite::report(&store, "vm", 4..=5).await;
    store.close().await;
    (first, fs::read(path).unwrap())
}

async fn requests(store: &SqlLedger) -> usize {
    store.recent(100).await.unwrap().len()
}

#[tokio::test]
async fn a_report_is_in_the_file_as_a_whole_or_not_at_all_wherever_the_file_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (first, bytes) = two_reports(&path(dir.path())).await;
    let ends = (first..=bytes.len()).step_by(401).chain([bytes.len() - 1, bytes.len()]);
    // Some at a time: each waits for the disk.
    for ends in ends.collect::<Vec<_>>().chunks(8) {
        let cut =
            |end: &usize| a_file_that_ends(dir.path().join(format!("cut-{end}.jsonl")), bytes.clone(), *end);
        ends.iter().map(cut).collect::<JoinSet<()>>().join_all().await;
    }
}

async fn a_file_that_ends(path: PathBuf, bytes: Vec<u8>, end: usize) {
    fs::write(&path, &bytes[..end]).unwrap();
    let store = open(&path).await;
    assert!(store.set_aside().is_none(), "a crash is no damage");
    let whole = end == bytes.len();
    assert_eq!(requests(&store).await, if whole { 5 } else { 3 }, "{end}");
    // it is sent again, because it was not acknowledged
    assert_eq!(suite::report(&store, "vm", 4..=5).await.landed.len(), if whole { 0 } else { 2 });
    store.close().await;
    drop(store);
    assert_eq!(requests(&open(&path).await).await, 5);
}

#[tokio::test]
async fn a_damaged_line_costs_its_row_and_the_file_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (first, bytes) = two_reports(&path(dir.path())).await;
    for (n, at) in [30, first / 2, first - 30].into_iter().enumerate() {
        let path = dir.path().join(format!("damaged-{n}.jsonl"));
        let mut damaged = bytes.clone();
        damaged[at..at + 12].fill(0xa5);
        fs::write(&path, &damaged).unwrap();
        let store = open(&path).await;
        let kept = store.set_aside().unwrap().to_owned();
        assert_eq!(fs::read(kept).unwrap(), damaged);
        assert!(requests(&store).await >= 4, "one row is lost at most");
        suite::report(&store, "vm", 6..=7).await;
        let now = requests(&store).await;
        store.close().await;
        drop(store);
        let store = open(&path).await;
        assert_eq!((requests(&store).await, store.set_aside()), (now, None), "it was written anew");
    }
}

#[tokio::test]
async fn a_file_that_is_another_programs_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("other.jsonl");
    for content in
        ["{\"request_id\":\"hr_1\"}\n", "notes\n", "notes", "{\"headroom_savings\":2}\n{}\n", "[]\n\n"]
    {
        fs::write(&path, content).unwrap();
        assert!(try_open(&path).await.is_err(), "{content}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    assert!(try_open(dir.path()).await.is_err());
}

#[tokio::test]
async fn rows_that_make_no_sense_keep_no_store_from_opening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hostile.jsonl");
    let deep = format!("{{\"table\":\"vm\",\"row\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    for row in [
        r#"{"table":"sqlite_master","row":{"name":"x"}}"#,
        r#"{"table":"vm","row":{"vm_id":null}}"#,
        r#"{"table":"vm","row":7}"#,
        r#"{"table":"vm"}"#,
        r#"{"table":"request","row":{"ordinal":"x","vm_id":"a","overhead_us":1e999,"record":"zz"}}"#,
        r#"{"table":"tally","gone":{"dimension":"' OR 1=1 --"}}"#,
        deep.as_str(),
        "{\"table\":\"vm\",\"row\":{},\"row\":{}}",
    ] {
        fs::write(&path, format!("{{\"headroom_savings\":1}}\n{row}\n{{\"commit\":1}}\n")).unwrap();
        let store = open(&path).await;
        assert_eq!(suite::report(&store, "vm", 1..=2).await.landed.len(), 2, "{row}");
        store.close().await;
        drop(store);
        assert_eq!(requests(&open(&path).await).await, 2, "{row}");
    }
}

#[tokio::test]
async fn a_file_has_one_process_and_is_its_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let beside = dir.path().join("beside.jsonl");
    open(&beside).await;
    assert_eq!(fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o755, "others use it, too");
    let path = path(dir.path());
    let store = open(&path).await;
    let error = try_open(&path).await.unwrap_err().to_string();
    assert!(error.contains("another headroomd has it open"), "{error}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(store);
    open(&path).await;
}

#[tokio::test]
async fn what_is_purged_is_no_longer_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = path(dir.path());
    let store = open(&path).await;
    suite::report(&store, "a-name-to-forget", 1..=3).await;
    store.maintain(now_ms() + 40 * DAY_MS).await.unwrap();
    store.purge(&Scope::All, false).await.unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains("a-name-to-forget"), "{text}");
    store.close().await;
    drop(store);
    let store = open(&path).await;
    assert_eq!((requests(&store).await, store.set_aside()), (0, None));
}

#[tokio::test]
async fn a_file_that_is_mostly_old_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = path(dir.path());
    let store = open(&path).await;
    suite::report(&store, "vm", 1..=3).await;
    let (mut longest, mut length, mut sequence) = (0, fs::metadata(&path).unwrap().len(), 4);
    // until it gets shorter, with a bound in case that it never does
    while length >= longest && sequence < 6_000 {
        longest = length;
        suite::report(&store, "vm", [sequence]).await;
        sequence += 1;
        length = fs::metadata(&path).unwrap().len();
    }
    assert!(length < longest, "{length} after {longest}");
    let before = shown(&store).await;
    store.close().await;
    drop(store);
    assert_eq!(shown(&open(&path).await).await, before);
}
