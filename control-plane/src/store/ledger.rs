//! The ledger's store in SQL: opening it, and reading sums.

mod append;
mod cache;
mod import;
mod maintain;
mod purge;
mod spent;
mod statement;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use headroom_api::v1::RequestRecord;
use prost::Message;
use sqlx::AssertSqlSafe;

use self::append::PROBE;
use self::statement::{
    GET_BLOCK_TALLIES, GET_CHECKPOINTS, GET_IMPORTED_CHECKPOINTS, GET_RECENT, GET_ROLLUP,
    GET_ROLLUP_BY_VALUE, GET_ROLLUP_OVER_VALUES, GET_SESSION, GET_TALLIES, block_sums, checkpoint_from,
    get_checkpoints_at, points, session_from, statement, sums,
};
use super::database::{Database, Pool, Row, query};
use super::lines::Lines;
use super::open::{OpenDatabase, random_hex};
use super::schema::LEDGER;
use crate::budget::{Account, Spending};
use crate::clock::{MINUTE_MS, UnixMs};
use crate::ledger::bucket::Unit;
use crate::ledger::contribution::{Accounting, CountedRequest};
use crate::ledger::history::Checkpoint;
use crate::ledger::import::ImportedSavings;
use crate::ledger::labels::Dimension;
use crate::ledger::session::DisplaySession;
use crate::ledger::store::{
    AppendOutcome, Batch, Bucket, CacheRange, CacheReason, CacheTime, ChangedLine, LedgerStore, Probe, Slice,
    Vms,
};
use crate::ledger::sums::{BlockSums, Sums, Timing};
use crate::purge::{PurgedLedger, Scope};
use crate::trouble::StoreError;

/// The ledger in SQLite or PostgreSQL.
#[derive(Debug)]
pub struct SqlLedger {
    pool: Pool,
    epoch: String,
    location: String,
    set_aside: Option<PathBuf>,
}

impl SqlLedger {
    /// Opens the store, creates it if it does not exist, and updates its schema.
    ///
    /// A damaged file is set aside under another name, never deleted; a new store begins with the rows that can
    /// be read from it. New reports matter more than refusing to start.
    pub async fn open(database: &Database, now: UnixMs) -> Result<Self, StoreError> {
        Self::open_damaged(database, now, None).await
    }

    /// As [`SqlLedger::open`], with the known damage of the file.
    pub(super) async fn open_damaged(
        database: &Database,
        now: UnixMs,
        damage: Option<String>,
    ) -> Result<Self, StoreError> {
        let OpenDatabase { mut pool, location, mut set_aside } =
            OpenDatabase::open(database, &LEDGER, now, damage).await?;
        if let (Database::Lines(path), Pool::Sqlite(tables)) = (database, &pool) {
            let (lines, aside) = Lines::open(path, tables, now).await?;
            set_aside = aside;
            pool = Pool::Lines(tables.clone(), lines);
        }
        let epoch = lasting_epoch(&pool).await?;
        Ok(Self { pool, epoch, location, set_aside })
    }

    #[cfg(test)]
    pub(super) fn lines(&self) -> Option<&Lines> {
        match &self.pool {
            Pool::Lines(_, lines) => Some(lines),
            _ => None,
        }
    }

    /// The path of a damaged file that was set aside when this store was opened.
    pub fn set_aside(&self) -> Option<&Path> {
        self.set_aside.as_deref()
    }
}

/// The epoch that a store gets when it is created.
async fn lasting_epoch(pool: &Pool) -> Result<String, StoreError> {
    let mut tx = pool.begin().await?;
    query("INSERT INTO meta (name, value) VALUES ('epoch', $1) ON CONFLICT (name) DO NOTHING")
        .bind(random_hex())
        .execute(&mut tx)
        .await?;
    let epoch = query("SELECT value FROM meta WHERE name = 'epoch'").fetch_one(&mut tx).await?;
    let epoch = epoch.try_get(0)?;
    tx.commit().await?;
    Ok(epoch)
}

/// A VM with open requests reports every twenty seconds, and after failures within forty. One that has been silent for
/// this long is gone.
const SILENT_MS: i64 = MINUTE_MS;

#[async_trait]
impl LedgerStore for SqlLedger {
    fn epoch(&self) -> String {
        self.epoch.clone()
    }

    fn location(&self) -> &str {
        &self.location
    }

    async fn append(
        &self,
        batches: &[Batch],
        accounting: &Accounting,
        now: UnixMs,
    ) -> Result<AppendOutcome, StoreError> {
        append::append(&self.pool, batches, accounting, now).await
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
        let rows = query("SELECT stage, count, sum_us, min_us, max_us FROM timing ORDER BY stage")
            .fetch_all(&self.pool)
            .await?;
        let timing = |row: &Row| {
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

    async fn spent(&self, unit: Unit, bucket_ms: UnixMs) -> Result<Vec<(Account, Spending)>, StoreError> {
        spent::get(&self.pool, unit, bucket_ms).await
    }

    async fn display_session(&self) -> Result<DisplaySession, StoreError> {
        session_from(&statement(&GET_SESSION).fetch_one(&self.pool).await?)
    }

    async fn recent_before(&self, ordinal: i64, limit: u32) -> Result<Vec<CountedRequest>, StoreError> {
        let query = statement(&GET_RECENT).bind(ordinal).bind(i64::from(limit));
        let rows = query.fetch_all(&self.pool).await?;
        rows.iter().map(landed).collect()
    }

    async fn recent_overheads_us(&self, limit: u32) -> Result<Vec<i64>, StoreError> {
        let rows = query("SELECT overhead_us FROM request ORDER BY ordinal DESC LIMIT $1")
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
        let row = query(
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
        // each text differs, so it is not cached: it would only evict texts that are used again
        let query = query(AssertSqlSafe(get_checkpoints_at(times))).once();
        checkpoints(&query.fetch_one(&self.pool).await?)
    }

    async fn imported_checkpoints(&self) -> Result<Vec<Vec<Checkpoint>>, StoreError> {
        let rows = statement(&GET_IMPORTED_CHECKPOINTS).fetch_all(&self.pool).await?;
        let mut sources: Vec<Vec<Checkpoint>> = Vec::new();
        for row in &rows {
            let point = checkpoint_from(row)?;
            match sources.last_mut() {
                // times ascend within a source, so a smaller time starts the next source
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

    async fn cache_by_reason(
        &self,
        range: CacheRange,
        dimension: Dimension,
        value: Option<&str>,
    ) -> Result<Vec<CacheReason>, StoreError> {
        cache::by_reason(&self.pool, range, dimension, value).await
    }

    async fn cache_by_time(
        &self,
        range: CacheRange,
        dimension: Dimension,
        value: &str,
    ) -> Result<Vec<CacheTime>, StoreError> {
        cache::by_time(&self.pool, range, dimension, value).await
    }

    async fn cache_lines(&self, range: CacheRange, limit: u32) -> Result<Vec<ChangedLine>, StoreError> {
        cache::lines(&self.pool, range, limit).await
    }

    async fn cache_tenants(&self) -> Result<Vec<String>, StoreError> {
        cache::tenants(&self.pool).await
    }

    async fn import(&self, source: &str, imported: &ImportedSavings) -> Result<bool, StoreError> {
        import::import(&self.pool, source, imported).await
    }

    async fn maintain(&self, now: UnixMs) -> Result<(), StoreError> {
        maintain::maintain(&self.pool, now).await
    }

    async fn probe(&self) -> Result<Option<Probe>, StoreError> {
        let row =
            query("SELECT value FROM meta WHERE name = $1").bind(PROBE).fetch_optional(&self.pool).await?;
        let Some(row) = row else { return Ok(None) };
        let text: String = row.try_get(0)?;
        serde_json::from_str(&text).map(Some).map_err(|error| StoreError::Corrupt(format!("probe: {error}")))
    }

    async fn purge(&self, scope: &Scope, dry_run: bool) -> Result<PurgedLedger, StoreError> {
        purge::purge(&self.pool, scope, dry_run).await
    }

    async fn retention_time(&self) -> Result<Option<UnixMs>, StoreError> {
        let row =
            query("SELECT value FROM meta WHERE name = 'retention_ms'").fetch_optional(&self.pool).await?;
        let text: Option<String> = row.map(|row| row.try_get(0)).transpose()?;
        Ok(text.and_then(|text| text.parse().ok()))
    }

    async fn keep_retention_time(&self, at: UnixMs) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        query(
            "INSERT INTO meta (name, value) VALUES ('retention_ms', $1)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )
        .bind(at.to_string())
        .execute(&mut tx)
        .await?;
        tx.commit().await
    }

    async fn vms(&self, now: UnixMs) -> Result<Vms, StoreError> {
        // a sum of BIGINT is NUMERIC in PostgreSQL; every VM of an Envoy reports the same configuration
        let row = query(
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
        let newest = query("SELECT filter_version FROM vm ORDER BY last_report_ms DESC, vm_id LIMIT 1")
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
        let mut tx = self.pool.begin().await?;
        query("UPDATE meta SET value = value WHERE name = 'epoch'").execute(&mut tx).await?;
        // a rolled-back transaction never reaches the disk
        tx.commit().await?;
        Ok(())
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

fn checkpoints(row: &Row) -> Result<Vec<Checkpoint>, StoreError> {
    Ok(points(row)?.into_iter().map(|(at_ms, sums)| Checkpoint { at_ms, sums }).collect())
}

fn dimension(row: &Row) -> Result<Dimension, StoreError> {
    let name: String = row.try_get(0)?;
    Dimension::from_name(&name).ok_or_else(|| StoreError::Corrupt(format!("dimension {name:?}")))
}

fn landed(row: &Row) -> Result<CountedRequest, StoreError> {
    let bytes: Vec<u8> = row.try_get(2)?;
    let record = RequestRecord::decode(bytes.as_slice())
        .map_err(|error| StoreError::Corrupt(format!("a request record: {error}")))?;
    Ok(CountedRequest {
        ordinal: row.try_get(0)?,
        vm_id: row.try_get(1)?,
        record,
        sums: sums(row, 3)?,
        counted_as: Vec::new(),
        blocks: Vec::new(),
    })
}
