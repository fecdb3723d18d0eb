//! Drops data beyond the limits of age and number, so that the store stays small.

use super::cache;
use crate::clock::{DAY_MS, HOUR_MS, UnixMs};
use crate::ledger::bucket::Unit;
use crate::ledger::history::{HOURS_BROKEN_DOWN_DAYS, MAX_AGE_DAYS, MAX_POINTS, superfluous};
use crate::store::database::{Pool, Transaction, query};
use crate::trouble::StoreError;

/// How long buckets of a minute are kept: twice the range of the live view.
const MINUTES_HOURS: i64 = 2;
/// How long buckets of an hour over everything are kept: a year and a day.
const HOURS_DAYS: i64 = 366;
/// How long buckets of a day are kept: ten years.
const DAYS_DAYS: i64 = 3_653;
/// How long the use of accounts is kept: longer than a month.
const SPENT_DAYS: i64 = 40;
/// How long a silent VM is remembered. A filter gives up on records after minutes.
const VM_DAYS: i64 = 30;
/// VMs remembered at most; each Envoy worker is one, and a reload begins a new one.
const MAX_VMS: i64 = 20_000;
/// The number of checkpoints at which they are thinned: between two rounds of maintenance at most
/// sixty are added.
const THIN_AT: usize = MAX_POINTS - 100;

/// Drops data beyond the limits of age and number.
pub(super) async fn maintain(pool: &Pool, now: UnixMs) -> Result<(), StoreError> {
    let mut tx = pool.begin().await?;
    let days_ago = |days: i64| now - days * DAY_MS;
    for (text, before) in [
        (
            "DELETE FROM rollup WHERE unit = 'minute' AND bucket_ms < $1",
            Unit::Minute.start(now - MINUTES_HOURS * HOUR_MS),
        ),
        (
            "DELETE FROM rollup WHERE unit = 'hour' AND dimension NOT IN ('all', 'import') AND bucket_ms < $1",
            Unit::Hour.start(days_ago(HOURS_BROKEN_DOWN_DAYS)),
        ),
        ("DELETE FROM rollup WHERE unit = 'hour' AND bucket_ms < $1", Unit::Hour.start(days_ago(HOURS_DAYS))),
        ("DELETE FROM rollup WHERE unit = 'day' AND bucket_ms < $1", Unit::Day.start(days_ago(DAYS_DAYS))),
        ("DELETE FROM spent WHERE bucket_ms < $1", days_ago(SPENT_DAYS)),
        ("DELETE FROM vm WHERE last_report_ms < $1", days_ago(VM_DAYS)),
        ("DELETE FROM checkpoint WHERE at_ms < $1", days_ago(MAX_AGE_DAYS)),
    ] {
        query(text).bind(before).execute(&mut tx).await?;
    }
    query(
        "DELETE FROM vm WHERE vm_id NOT IN (SELECT vm_id FROM vm ORDER BY last_report_ms DESC, vm_id LIMIT $1)",
    )
    .bind(MAX_VMS)
    .execute(&mut tx)
    .await?;
    thin_checkpoints(&mut tx).await?;
    cache::maintain(&mut tx, now, DAYS_DAYS).await?;
    tx.commit().await?;
    Ok(())
}

async fn thin_checkpoints(tx: &mut Transaction) -> Result<(), StoreError> {
    loop {
        let rows = query("SELECT at_ms FROM checkpoint WHERE source = '' ORDER BY at_ms")
            .fetch_all(&mut *tx)
            .await?;
        if rows.len() <= THIN_AT {
            return Ok(());
        }
        let times: Vec<UnixMs> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        for at in superfluous(&times) {
            query("DELETE FROM checkpoint WHERE source = '' AND at_ms = $1")
                .bind(at)
                .execute(&mut *tx)
                .await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::store::LedgerStore as _;
    use crate::store::{Database, SqlLedger};

    const NOW: UnixMs = 1_790_000_000_000;

    #[tokio::test]
    async fn checkpoints_are_thinned_until_there_is_room_and_the_newest_stay() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqlLedger::open(&Database::File(dir.path().join("db")), NOW).await.unwrap();
        let minutes_ago = |n: i64| NOW - n * crate::clock::MINUTE_MS;
        let mut tx = store.pool.begin().await.unwrap();
        for n in 0..3 * MAX_POINTS as i64 {
            let insert = query("INSERT INTO checkpoint (source, at_ms, requests) VALUES ('', $1, $2)");
            insert.bind(minutes_ago(n)).bind(1 - n).execute(&mut tx).await.unwrap();
        }
        tx.commit().await.unwrap();
        store.maintain(NOW).await.unwrap();
        let points = store.checkpoints(u32::MAX).await.unwrap();
        assert!((MAX_POINTS / 2..=THIN_AT).contains(&points.len()), "{}", points.len());
        assert_eq!(points.last().unwrap().at_ms, NOW);
        assert_eq!(points[0].at_ms, minutes_ago(3 * MAX_POINTS as i64 - 1), "the first stays");
        let newest: Vec<UnixMs> = points[points.len() - 100..].iter().map(|point| point.at_ms).collect();
        assert_eq!(newest, (0..100).rev().map(minutes_ago).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_clock_that_is_days_wrong_drops_no_hour() {
        use std::sync::Arc;

        use crate::ledger::contribution::Accounting;
        use crate::ledger::labels::Dimension;
        use crate::ledger::store::{Batch, Slice};
        use crate::retention::Retention;

        let dir = tempfile::tempdir().unwrap();
        let store = SqlLedger::open(&Database::File(dir.path().join("db")), NOW).await.unwrap();
        let record = headroom_api::v1::RequestRecord {
            sequence: 1,
            started_unix_ms: NOW,
            provider: "anthropic".to_owned(),
            ..Default::default()
        };
        let batch = Batch { vm_id: "vm".to_owned(), records: vec![record], ..Batch::default() };
        // the sidecar's clock is behind the filter's: the record stays in its hour
        store.append(&[batch], &Accounting::default(), NOW - 5 * DAY_MS).await.unwrap();
        let hours = async || {
            let slice = Slice {
                unit: Unit::Hour,
                dimension: Dimension::Provider,
                value: Some("anthropic"),
                from_ms: 0,
                to_ms: i64::MAX,
                limit: 10,
            };
            store.rollup(&slice).await.unwrap()
        };
        assert_eq!(hours().await.first().map(|bucket| bucket.start_ms), Some(Unit::Hour.start(NOW)));
        for days in [-400, -40, 40, 400] {
            let retention = Retention::new(Some(NOW), Arc::new(move || NOW + days * DAY_MS), Arc::new(|| 0));
            store.maintain(retention.surely_now()).await.unwrap();
            assert_eq!(hours().await.len(), 1, "{days}");
        }
        store.maintain(NOW + 40 * DAY_MS).await.unwrap();
        assert!(hours().await.is_empty());
    }
}
