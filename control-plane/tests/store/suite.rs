//! The guarantees of every store. Each test gets the same new store, opened twice.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use headroom_api::v1::{PrefixChange, RequestRecord};
use headroomd::clock::{DAY_MS, HOUR_MS, MINUTE_MS, UnixMs, now_ms};
use headroomd::ledger::bucket::Unit;
use headroomd::ledger::contribution::Accounting;
use headroomd::ledger::import::{ImportedSavings, parse};
use headroomd::ledger::labels::Dimension;
use headroomd::ledger::store::{AppendOutcome, Batch, LedgerStore, Slice};
use headroomd::ledger::sums::Sums;
use headroomd::purge::Scope;

pub(crate) use crate::cache::what_was_lost_is_counted_once_whoever_hears_of_it;
use crate::records::{SAVED, record, turn};

const SAVED_EACH: i64 = SAVED as i64;

pub(crate) fn batch(vm_id: &str, sequences: impl IntoIterator<Item = u64>) -> Batch {
    Batch {
        vm_id: vm_id.to_owned(),
        filter_version: "0.1.0".to_owned(),
        retrievals: Vec::new(),
        records: sequences.into_iter().map(record).collect(),
        dropped_records: 0,
        config_errors: 0,
        dropped_originals: 0,
        begun_records: 0,
        report_interval_ms: 0,
    }
}

async fn append_at(store: &dyn LedgerStore, batch: Batch, now: UnixMs) -> AppendOutcome {
    store.append(&[batch], &Accounting::default(), now).await.unwrap()
}

pub(crate) async fn report(
    store: &dyn LedgerStore,
    vm_id: &str,
    sequences: impl IntoIterator<Item = u64>,
) -> AppendOutcome {
    append_at(store, batch(vm_id, sequences), now_ms()).await
}

async fn total(store: &dyn LedgerStore) -> Sums {
    let tallies = store.tallies().await.unwrap();
    tallies.into_iter().find(|(dimension, _, _)| *dimension == Dimension::All).unwrap().2
}

pub(crate) async fn what_a_silent_vm_has_announced_and_not_handed_over_is_lost(
    store: &dyn LedgerStore,
    other: &dyn LedgerStore,
) {
    let begun = |vm: &str, begun_records, sequences: std::ops::RangeInclusive<u64>| Batch {
        begun_records,
        report_interval_ms: 1_000,
        ..batch(vm, sequences)
    };
    let now = now_ms();
    append_at(store, begun("killed", 9, 1..=3), now).await;
    append_at(store, Batch { dropped_records: 2, ..begun("killed", 12, 4..=5) }, now).await;
    append_at(store, begun("drained", 4, 1..=4), now).await;
    append_at(store, batch("of an older filter", 1..=4), now).await;
    let lost =
        async |at| (store.vms(at).await.unwrap().lost_records, other.vms(at).await.unwrap().lost_records);
    assert_eq!(lost(now + MINUTE_MS / 2).await, (0, 0), "it may be at work");
    assert_eq!(store.vms(now).await.unwrap().open_records, 5);
    assert_eq!(lost(now + 2 * MINUTE_MS).await, (5, 5), "12 announced, 5 came, 2 were dropped");
    assert_eq!(store.vms(now).await.unwrap().report_interval_ms, 1_000);
    // impossible counts do not break a page
    for vm in ["wild", "wilder"] {
        let wild =
            Batch { dropped_records: u64::MAX, dropped_originals: u64::MAX, ..begun(vm, u64::MAX, 1..=1) };
        append_at(store, wild, now).await;
    }
    assert_eq!(lost(now + 2 * MINUTE_MS).await, (5, 5));
    // it was only disconnected, or another VM has sent its remaining records
    append_at(store, begun("killed", 12, 6..=12), now + 2 * MINUTE_MS).await;
    assert_eq!(lost(now + 9 * MINUTE_MS).await, (0, 0));
}

pub(crate) async fn records_are_counted_once_in_whatever_order_they_come(
    store: &dyn LedgerStore,
    other: &dyn LedgerStore,
) {
    // a fixed sequence of overlapping reports, generated so that it covers overtaking and repeating
    let mut state = 12_345_u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut sent = BTreeSet::new();
    let mut landed = 0;
    for _ in 0..60 {
        let vm = format!("vm{}", next(3));
        let first = 1 + next(80);
        let sequences: Vec<u64> = (first..=first + next(12)).collect();
        sent.extend(sequences.iter().map(|sequence| (vm.clone(), *sequence)));
        let store = if next(2) == 0 { store } else { other };
        let appended = report(store, &vm, sequences.iter().copied()).await;
        landed += appended.landed.len();
        let highest = sent.iter().filter(|(found, _)| *found == vm).map(|(_, sequence)| *sequence).max();
        assert_eq!(appended.acknowledged, [highest.unwrap()]);
    }
    assert_eq!(landed, sent.len());
    assert_eq!(total(store).await.requests, sent.len() as i64);
    let recent = store.recent(1_000).await.unwrap();
    let ordinals: Vec<i64> = recent.iter().map(|request| request.ordinal).collect();
    assert_eq!(ordinals, (1..=sent.len() as i64).rev().collect::<Vec<_>>());
}

pub(crate) async fn two_that_share_a_store_lose_and_double_nothing(
    one: &dyn LedgerStore,
    other: &dyn LedgerStore,
) {
    let landed = AtomicU64::new(0);
    let work = async |store: &dyn LedgerStore, vm: &str| {
        for round in 0..15 {
            // both also send the shared VM's records, like a filter that retries
            let batches =
                [batch(vm, round * 4 + 1..=round * 4 + 4), batch("shared", round * 2 + 1..=round * 2 + 2)];
            let appended = store.append(&batches, &Accounting::default(), now_ms()).await.unwrap();
            landed.fetch_add(appended.landed.len() as u64, Ordering::SeqCst);
        }
    };
    tokio::join!(work(one, "a"), work(other, "b"), work(one, "c"), work(other, "d"));
    let expected = 4 * 15 * 4 + 15 * 2;
    assert_eq!(landed.load(Ordering::SeqCst), expected);
    let total = total(other).await;
    assert_eq!((total.requests, total.tokens_saved), (expected as i64, expected as i64 * SAVED_EACH));
}

pub(crate) async fn every_breakdown_adds_up_to_the_whole(store: &dyn LedgerStore, _: &dyn LedgerStore) {
    for (n, model) in ["claude-opus-5-5", "gpt-5", "", "acme"].into_iter().enumerate() {
        let mut batch = batch(&format!("vm{n}"), 1..=5);
        for record in &mut batch.records {
            record.model = model.to_owned();
        }
        append_at(store, batch, now_ms()).await;
    }
    let whole = total(store).await;
    assert_eq!(whole.requests, 20);
    let tallies = store.tallies().await.unwrap();
    for dimension in
        [Dimension::Provider, Dimension::Model, Dimension::Api, Dimension::Outcome, Dimension::Stack]
    {
        let mut sums = Sums::default();
        tallies.iter().filter(|(found, _, _)| *found == dimension).for_each(|(_, _, tally)| sums += *tally);
        assert_eq!(sums, whole, "{dimension:?}");
    }
    for unit in [Unit::Hour, Unit::Day] {
        for (dimension, value) in
            [(Dimension::All, Some("")), (Dimension::Model, None), (Dimension::Project, Some("demo"))]
        {
            let slice = Slice { unit, dimension, value, from_ms: 0, to_ms: UnixMs::MAX, limit: 100 };
            let mut sums = Sums::default();
            store.rollup(&slice).await.unwrap().iter().for_each(|bucket| sums += bucket.sums);
            assert_eq!(sums, whole, "{unit:?} {dimension:?}");
        }
    }
    let blocks = store.block_tallies().await.unwrap();
    let of = |dimension: Dimension| blocks.iter().filter(move |(found, _, _)| *found == dimension);
    assert_eq!(of(Dimension::Tool).map(|(_, _, sums)| sums.blocks).sum::<i64>(), 40);
    assert_eq!(of(Dimension::BlockOutcome).map(|(_, _, sums)| sums.memo).sum::<i64>(), 20);
    let timings = store.timings().await.unwrap();
    let overhead = timings.iter().find(|(stage, _)| stage == "overhead").unwrap().1;
    assert_eq!((overhead.count, overhead.sum_us, overhead.min_us, overhead.max_us), (20, 16_000, 800, 800));
    assert_eq!(store.checkpoints(10).await.unwrap().last().unwrap().sums, whole);
}

pub(crate) async fn what_was_imported_is_replaced_and_never_added(
    one: &dyn LedgerStore,
    other: &dyn LedgerStore,
) {
    let file = |saved: i64| -> ImportedSavings {
        let text = serde_json::json!({
            "schema_version": 2,
            "lifetime": {"requests": 3, "tokens_saved": saved},
            "history": [{"timestamp": "2026-02-03T04:05:06Z", "total_tokens_saved": saved}],
        });
        parse(text.to_string().as_bytes(), now_ms()).unwrap()
    };
    let (first, again) = (file(10), file(10));
    let both = tokio::join!(one.import("f", &first), other.import("f", &again));
    assert_eq!([both.0.unwrap(), both.1.unwrap()].iter().filter(|news| **news).count(), 1);
    assert!(one.import("f", &file(15)).await.unwrap());
    assert!(!one.import("f", &file(12)).await.unwrap());
    assert!(one.import("g", &file(1)).await.unwrap());
    let tallies = other.tallies().await.unwrap();
    let imported = tallies.iter().filter(|(dimension, _, _)| *dimension == Dimension::Import);
    assert_eq!(imported.map(|(_, _, sums)| sums.tokens_saved).collect::<Vec<_>>(), [15, 1]);
    assert_eq!(other.imported_checkpoints().await.unwrap().len(), 2);
    assert_eq!(total(other).await, Sums::default());
}

pub(crate) async fn what_is_too_old_or_too_much_is_dropped(store: &dyn LedgerStore, _: &dyn LedgerStore) {
    let (recent, long_ago) = (now_ms(), now_ms() - 400 * DAY_MS);
    for n in 0..40 {
        let now = if n < 20 { long_ago } else { recent } + n as i64 * MINUTE_MS;
        let mut batch = batch("vm", [n + 1]);
        batch.records[0].started_unix_ms = now;
        append_at(store, batch, now).await;
    }
    let now = recent + HOUR_MS;
    store.maintain(now).await.unwrap();
    let points = store.checkpoints(100).await.unwrap();
    let times = store.checkpoint_times().await.unwrap();
    assert_eq!(times, points.iter().map(|point| point.at_ms).collect::<Vec<_>>());
    assert_eq!(store.checkpoints_at(&times).await.unwrap(), points);
    assert_eq!(store.checkpoints_at(&times[..1]).await.unwrap(), points[..1]);
    assert_eq!(store.checkpoints_at(&[]).await.unwrap(), []);
    assert_eq!(points.len(), 20);
    assert_eq!(points.last().unwrap().sums.requests, 40);
    let oldest = |dimension, unit| Slice {
        unit,
        dimension,
        value: None,
        from_ms: 0,
        to_ms: UnixMs::MAX,
        limit: 10_000,
    };
    let hours = store.rollup(&oldest(Dimension::All, Unit::Hour)).await.unwrap();
    assert_eq!(hours.iter().map(|bucket| bucket.sums.requests).sum::<i64>(), 20);
    let days = store.rollup(&oldest(Dimension::Model, Unit::Day)).await.unwrap();
    assert_eq!(days.iter().map(|bucket| bucket.sums.requests).sum::<i64>(), 40, "days are kept for years");
    assert_eq!(store.vms(now_ms()).await.unwrap().count, 1);
    store.maintain(now + 31 * DAY_MS).await.unwrap();
    assert_eq!(store.vms(now_ms()).await.unwrap().count, 0);
}

pub(crate) async fn an_hour_without_a_report_ends_the_session(store: &dyn LedgerStore, _: &dyn LedgerStore) {
    let start = now_ms();
    for (sequence, now) in [(1, start), (2, start + HOUR_MS), (3, start + 3 * HOUR_MS)] {
        append_at(store, batch("vm", [sequence]), now).await;
    }
    let session = store.display_session().await.unwrap();
    assert_eq!((session.started_ms, session.sums.requests), (start + 3 * HOUR_MS, 1));
}

pub(crate) async fn a_mismatch_is_traced_through_earlier_requests(
    one: &dyn LedgerStore,
    other: &dyn LedgerStore,
) {
    let mismatched = |mut record: RequestRecord| {
        record.prefix_mismatches = 2;
        record
    };
    let reported = |vm: &str, records: Vec<RequestRecord>| Batch { records, ..batch(vm, []) };
    // Through one filter, then through another one that reports to another sidecar.
    append_at(one, reported("a", vec![turn(1, &[11, 12], &[11, 22])]), now_ms()).await;
    let ours = mismatched(turn(1, &[11, 12, 13], &[11, 23, 24]));
    let landed = append_at(other, reported("b", vec![ours]), now_ms()).await.landed;
    assert_eq!(landed[0].record.prefix_change(), PrefixChange::Headroom);
    assert_eq!((landed[0].sums.mismatches_headroom, landed[0].sums.mismatches()), (2, 2));
    // Both turns in one report, and an unknown conversation.
    let mut stranger = mismatched(turn(4, &[1, 2], &[1, 2]));
    stranger.conversation_id = "another".to_owned();
    let mut unnamed = mismatched(record(5));
    unnamed.conversation_id = String::new();
    let mut first = turn(2, &[31, 32], &[31, 32]);
    let mut second = mismatched(turn(3, &[31, 39, 33], &[31, 39, 33]));
    for record in [&mut first, &mut second] {
        record.conversation_id = "a third".to_owned();
    }
    let landed = append_at(one, reported("a", vec![first, second, stranger, unnamed]), now_ms()).await.landed;
    let changes: Vec<_> = landed.iter().map(|request| request.record.prefix_change()).collect();
    let expected =
        [PrefixChange::Unspecified, PrefixChange::Client, PrefixChange::Unseen, PrefixChange::Unseen];
    assert_eq!(changes, expected);
    let total = total(other).await;
    let by = (total.mismatches_headroom, total.mismatches_client, total.mismatches_unseen);
    assert_eq!((by, total.mismatches()), ((2, 2, 4), 8));
}

pub(crate) async fn what_is_purged_is_gone_and_nothing_is_counted_twice(
    store: &dyn LedgerStore,
    other: &dyn LedgerStore,
) {
    let now = now_ms();
    let mut old = batch("vm", 1..=3);
    for record in &mut old.records {
        record.started_unix_ms = now - 40 * DAY_MS;
        record.tenant = "red".to_owned();
    }
    append_at(store, old, now).await;
    append_at(store, batch("vm", 4..=8), now).await;
    let before = Scope::Before(now - 30 * DAY_MS);
    for (scope, requests, left) in [
        (Scope::Tenant("nobody".to_owned()), 0, 8),
        (Scope::Tenant("red".to_owned()), 3, 8),
        (before.clone(), 3, 8),
    ] {
        let purged = store.purge(&scope, true).await.unwrap();
        assert_eq!((purged.requests, other.recent(100).await.unwrap().len()), (requests, left), "{scope:?}");
    }
    let hours = async || {
        let slice = Slice {
            unit: Unit::Hour,
            dimension: Dimension::All,
            value: Some(""),
            from_ms: 0,
            to_ms: i64::MAX,
            limit: 100,
        };
        store.rollup(&slice).await.unwrap().len()
    };
    let hours_before = hours().await;
    let purged = store.purge(&before, false).await.unwrap();
    assert!(purged.requests == 3 && purged.sums > 0, "{purged:?}");
    assert!(hours().await < hours_before);
    assert_eq!(total(other).await.requests, 8, "what was ever saved stays");
    let purged = store.purge(&Scope::All, false).await.unwrap();
    assert_eq!((purged.requests, total(other).await.requests, hours().await), (5, 0, 0));
    let appended = append_at(store, batch("vm", 1..=10), now).await;
    assert_eq!((appended.duplicates, total(other).await.requests), (8, 2));
}
