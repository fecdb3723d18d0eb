//! Reading sums, and the [`LedgerStore`] of SQL databases as a whole.

use async_trait::async_trait;
use headroom_api::v1::RequestRecord;
use prost::Message;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::append::PROBE;
use super::statement::{
    GET_BLOCK_TALLIES, GET_CHECKPOINTS, GET_IMPORTED_CHECKPOINTS, GET_RECENT, GET_ROLLUP,
    GET_ROLLUP_BY_VALUE, GET_ROLLUP_OVER_VALUES, GET_SESSION, GET_TALLIES, block_sums, checkpoint_from,
    get_checkpoints_at, points, session_from, statement, sums,
};
use super::{
    Appended, Batch, Bucket, Checkpoint, DisplaySession, LedgerStore, Probe, PurgedLedger, Scope, Slice,
    SqlStore, StoreError, Vms,
};
use crate::budget::{Account, Spent};
use crate::clock::{MINUTE_MS, UnixMs};
use crate::ledger::bucket::Unit;
use crate::ledger::contribution::{Accounting, Landed};
use crate::ledger::import::Imported;
use crate::ledger::labels::Dimension;
use crate::ledger::sums::{BlockSums, Sums, Timing};

/// A VM with open requests reports every twenty seconds, and after failures within forty. One that has not for so long
/// is gone.
const SILENT_MS: i64 = MINUTE_MS;

#[async_trait]
impl LedgerStore for SqlStore {
    fn epoch(&self) -> String {
        self.epoch_str().to_owned()
    }

    fn location(&self) -> &str {
        self.location_str()
    }

    async fn append(
        &self,
        batches: &[Batch],
        accounting: &Accounting,
        now: UnixMs,
    ) -> Result<Appended, StoreError> {
        self.append_all(batches, accounting, now).await
    }

    async fn tallies(&self) -> Result<Vec<(Dimension, String, Sums)>, StoreError> {
        let rows = statement(&GET_TALLIES).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((dimension(row)?, row.try_get(1)?, sums(row, 2)?))).collect()
    }

    async fn block_tallies(&self) -> Result<Vec<(Dimension, String, BlockSums)>, StoreError> {
        let rows = statement(&GET_BLOCK_TALLIES).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((dimension(row)?, row.try_get(1)?, block_sums(row, 2)?))).collect()
    }

    async fn timings(&self) -> Result<Vec<(String, Timing)>, StoreError> {
        let rows = sqlx::query("SELECT stage, count, sum_us, min_us, max_us FROM timing ORDER BY stage")
            .fetch_all(&self.pool)
            .await?;
        let timing = |row: &AnyRow| {
            let timing = Timing {
                count: row.try_get(1)?,
                sum_us: row.try_get(2)?,
                min_us: row.try_get(3)?,
                max_us: row.try_get(4)?,
            };
            Ok((row.try_get(0)?, timing))
        };
        rows.iter().map(timing).collect()
    }

    async fn spent(&self, unit: Unit, bucket_ms: UnixMs) -> Result<Vec<(Account, Spent)>, StoreError> {
        self.spent_in(unit, bucket_ms).await
    }

    async fn display_session(&self) -> Result<DisplaySession, StoreError> {
        session_from(&statement(&GET_SESSION).fetch_one(&self.pool).await?)
    }

    async fn recent(&self, limit: u32) -> Result<Vec<Landed>, StoreError> {
        let rows = statement(&GET_RECENT).bind(i64::from(limit)).fetch_all(&self.pool).await?;
        rows.iter().map(landed).collect()
    }

    async fn recent_overheads_us(&self, limit: u32) -> Result<Vec<i64>, StoreError> {
        let rows = sqlx::query("SELECT overhead_us FROM request ORDER BY ordinal DESC LIMIT $1")
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    async fn checkpoints(&self, limit: u32) -> Result<Vec<Checkpoint>, StoreError> {
        let row = statement(&GET_CHECKPOINTS).bind(i64::from(limit)).fetch_one(&self.pool).await?;
        checkpoints(&row)
    }

    async fn checkpoint_times(&self) -> Result<Vec<UnixMs>, StoreError> {
        // one row instead of thousands
        let row = sqlx::query(
            "SELECT COALESCE(string_agg(CAST(at_ms AS TEXT), ',' ORDER BY at_ms), '')
             FROM checkpoint WHERE source = ''",
        )
        .fetch_one(&self.pool)
        .await?;
        let text: &str = row.try_get(0)?;
        let time = |time: &str| time.parse().map_err(|_| StoreError::Corrupt(format!("a time {time:?}")));
        text.split(',').filter(|time| !time.is_empty()).map(time).collect()
    }

    async fn checkpoints_at(&self, times: &[UnixMs]) -> Result<Vec<Checkpoint>, StoreError> {
        if times.is_empty() {
            return Ok(Vec::new());
        }
        // each text differs, so remembering it would only push out those that come again
        let query = sqlx::query(AssertSqlSafe(get_checkpoints_at(times))).persistent(false);
        checkpoints(&query.fetch_one(&self.pool).await?)
    }

    async fn imported_checkpoints(&self) -> Result<Vec<Vec<Checkpoint>>, StoreError> {
        let rows = statement(&GET_IMPORTED_CHECKPOINTS).fetch_all(&self.pool).await?;
        let mut sources: Vec<Vec<Checkpoint>> = Vec::new();
        for row in &rows {
            let point = checkpoint_from(row)?;
            match sources.last_mut() {
                // times ascend within a source, so one that does not begins the next
                Some(points) if points.last().is_some_and(|last| last.at_ms < point.at_ms) => {
                    points.push(point)
                }
                _ => sources.push(vec![point]),
            }
        }
        Ok(sources)
    }

    async fn rollup(&self, slice: &Slice<'_>) -> Result<Vec<Bucket>, StoreError> {
        let text = if slice.value.is_some() { &GET_ROLLUP } else { &GET_ROLLUP_OVER_VALUES };
        let mut query = statement(text).bind(slice.unit.name()).bind(slice.dimension.name());
        if let Some(value) = slice.value {
            query = query.bind(value.to_owned());
        }
        let query = query.bind(slice.from_ms).bind(slice.to_ms).bind(i64::from(slice.limit));
        let points = points(&query.fetch_one(&self.pool).await?)?;
        Ok(points.into_iter().map(|(start_ms, sums)| Bucket { start_ms, sums }).collect())
    }

    async fn rollup_by_value(
        &self,
        unit: Unit,
        dimension: Dimension,
        from_ms: UnixMs,
        to_ms: UnixMs,
    ) -> Result<Vec<(String, Sums)>, StoreError> {
        let query = statement(&GET_ROLLUP_BY_VALUE).bind(unit.name()).bind(dimension.name());
        let rows = query.bind(from_ms).bind(to_ms).fetch_all(&self.pool).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, sums(row, 1)?))).collect()
    }

    async fn import(&self, source: &str, imported: &Imported) -> Result<bool, StoreError> {
        self.import_from(source, imported).await
    }

    async fn maintain(&self, now: UnixMs) -> Result<(), StoreError> {
        self.drop_surplus(now).await
    }

    async fn probe(&self) -> Result<Option<Probe>, StoreError> {
        let row = sqlx::query("SELECT value FROM meta WHERE name = $1")
            .bind(PROBE)
            .fetch_optional(&self.pool)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let text: String = row.try_get(0)?;
        serde_json::from_str(&text).map(Some).map_err(|error| StoreError::Corrupt(format!("probe: {error}")))
    }

    async fn purge(&self, scope: &Scope, dry_run: bool) -> Result<PurgedLedger, StoreError> {
        self.purge_ledger(scope, dry_run).await
    }

    async fn retention_time(&self) -> Result<Option<UnixMs>, StoreError> {
        let row = sqlx::query("SELECT value FROM meta WHERE name = 'retention_ms'")
            .fetch_optional(&self.pool)
            .await?;
        let text: Option<String> = row.map(|row| row.try_get(0)).transpose()?;
        Ok(text.and_then(|text| text.parse().ok()))
    }

    async fn keep_retention_time(&self, at: UnixMs) -> Result<(), StoreError> {
        let mut tx = self.pool.begin_with(self.dialect.begin()).await?;
        sqlx::query(
            "INSERT INTO meta (name, value) VALUES ('retention_ms', $1)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(at.to_string())
        .execute(&mut *tx)
        .await?;
        self.commit(tx, false).await
    }

    async fn vms(&self, now: UnixMs) -> Result<Vms, StoreError> {
        // a sum of BIGINT is NUMERIC in PostgreSQL; every VM of an Envoy tells of the same configuration
        let row = sqlx::query(
            "SELECT COUNT(*), CAST(COALESCE(SUM(dropped_records), 0) AS BIGINT),
                COALESCE(MAX(config_errors), 0),
                CAST(COALESCE(SUM(dropped_originals), 0) AS BIGINT),
                CAST(COALESCE(SUM(CASE WHEN last_report_ms < $1 AND begun > received + dropped_records
                    THEN begun - received - dropped_records ELSE 0 END), 0) AS BIGINT),
                COALESCE(MAX(report_interval_ms), 0),
                CAST(COALESCE(SUM(CASE WHEN last_report_ms >= $1 AND begun > received + dropped_records
                    THEN begun - received - dropped_records ELSE 0 END), 0) AS BIGINT) FROM vm",
        )
        .bind(now - SILENT_MS)
        .fetch_one(&self.pool)
        .await?;
        let newest = sqlx::query("SELECT filter_version FROM vm ORDER BY last_report_ms DESC, vm_id LIMIT 1")
            .fetch_optional(&self.pool)
            .await?;
        Ok(Vms {
            count: row.try_get(0)?,
            dropped_records: row.try_get(1)?,
            config_errors: row.try_get(2)?,
            dropped_originals: row.try_get(3)?,
            lost_records: row.try_get(4)?,
            report_interval_ms: row.try_get(5)?,
            open_records: row.try_get(6)?,
            filter_version: newest.map(|row| row.try_get(0)).transpose()?,
        })
    }

    async fn check(&self) -> Result<(), StoreError> {
        let mut tx = self.pool.begin_with(self.dialect.begin()).await?;
        sqlx::query("UPDATE meta SET value = value WHERE name = 'epoch'").execute(&mut *tx).await?;
        // what is rolled back never reaches the disk
        self.commit(tx, false).await
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

fn checkpoints(row: &AnyRow) -> Result<Vec<Checkpoint>, StoreError> {
    Ok(points(row)?.into_iter().map(|(at_ms, sums)| Checkpoint { at_ms, sums }).collect())
}

fn dimension(row: &AnyRow) -> Result<Dimension, StoreError> {
    let name: String = row.try_get(0)?;
    Dimension::from_name(&name).ok_or_else(|| StoreError::Corrupt(format!("dimension {name:?}")))
}

fn landed(row: &AnyRow) -> Result<Landed, StoreError> {
    let bytes: Vec<u8> = row.try_get(2)?;
    let record = RequestRecord::decode(bytes.as_slice())
        .map_err(|error| StoreError::Corrupt(format!("a request record: {error}")))?;
    Ok(Landed {
        ordinal: row.try_get(0)?,
        vm_id: row.try_get(1)?,
        record,
        sums: sums(row, 3)?,
        counted_as: Vec::new(),
        blocks: Vec::new(),
    })
}
