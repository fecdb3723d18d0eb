//! Deletes data of the ledger.

use headroom_api::v1::RequestRecord;
use prost::Message as _;
use sqlx::AssertSqlSafe;

use super::cache;
use crate::clock::UnixMs;
use crate::ledger::bucket::Unit;
use crate::ledger::sums::Sums;
use crate::purge::{PurgedLedger, Scope};
use crate::store::database::{Pool, Transaction, query};
use crate::trouble::StoreError;

/// The sequence numbers of VMs stay, so that nothing is counted twice afterwards. Only the sums over the cache have a
/// tenant, so a tenant's share of other sums stays.
pub(super) async fn purge(pool: &Pool, scope: &Scope, dry_run: bool) -> Result<PurgedLedger, StoreError> {
    let mut tx = pool.begin().await?;
    let mut purged = PurgedLedger::default();
    match scope {
        Scope::All => {
            purged.requests = delete(&mut tx, "DELETE FROM request", None).await?;
            for table in ["rollup", "checkpoint", "spent"] {
                purged.sums += delete(&mut tx, &format!("DELETE FROM {table}"), None).await?;
            }
            for table in ["tally", "block_tally", "timing"] {
                delete(&mut tx, &format!("DELETE FROM {table}"), None).await?;
            }
            query("INSERT INTO tally (dimension, value) VALUES ('all', '')").execute(&mut tx).await?;
            let zeros: Vec<String> = Sums::COLUMNS.iter().map(|column| format!("{column} = 0")).collect();
            let session = format!(
                "UPDATE display_session SET started_ms = 0, last_activity_ms = 0, {}",
                zeros.join(", ")
            );
            delete(&mut tx, &session, None).await?;
        }
        Scope::Tenant(tenant) => {
            purged.requests = delete_requests(&mut tx, |record| record.tenant == *tenant).await?;
        }
        Scope::Before(time) => {
            purged.requests = delete_requests(&mut tx, |record| record.started_unix_ms < *time).await?;
            for unit in [Unit::Minute, Unit::Hour, Unit::Day] {
                let text = format!("DELETE FROM rollup WHERE unit = '{}' AND bucket_ms < $1", unit.name());
                purged.sums += delete(&mut tx, &text, Some(unit.start(*time))).await?;
            }
            for text in ["DELETE FROM checkpoint WHERE at_ms < $1", "DELETE FROM spent WHERE bucket_ms < $1"]
            {
                purged.sums += delete(&mut tx, text, Some(*time)).await?;
            }
        }
    }
    purged.sums += cache::purge(&mut tx, scope).await?;
    if dry_run {
        tx.rollback().await?;
        return Ok(purged);
    }
    tx.commit().await?;
    pool.empty_journal().await;
    Ok(purged)
}

async fn delete(tx: &mut Transaction, text: &str, before: Option<UnixMs>) -> Result<u64, StoreError> {
    // it consists only of constants
    let query = query(AssertSqlSafe(text.to_owned())).once();
    let query = match before {
        Some(before) => query.bind(before),
        None => query,
    };
    Ok(query.execute(tx).await?)
}

/// The tenant is inside the stored record, so each record is read. Unreadable records are deleted too.
async fn delete_requests(
    tx: &mut Transaction,
    goes: impl Fn(&RequestRecord) -> bool,
) -> Result<u64, StoreError> {
    const AT_ONCE: i64 = 500;
    let (mut deleted, mut last) = (0, i64::MIN);
    loop {
        let rows = query("SELECT ordinal, record FROM request WHERE ordinal > $1 ORDER BY ordinal LIMIT $2")
            .bind(last)
            .bind(AT_ONCE)
            .fetch_all(&mut *tx)
            .await?;
        let Some(newest) = rows.last() else { return Ok(deleted) };
        last = newest.try_get(0)?;
        for row in &rows {
            let (ordinal, bytes): (i64, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
            if RequestRecord::decode(bytes.as_slice()).is_ok_and(|record| !goes(&record)) {
                continue;
            }
            let query = query("DELETE FROM request WHERE ordinal = $1").bind(ordinal);
            deleted += query.execute(&mut *tx).await?;
        }
    }
}
