//! Originals in SQLite or PostgreSQL.
//!
//! Everything that writes first locks the row of the sums, so that replicas take turns and the sums are
//! exact.

use std::path::Path;

use async_trait::async_trait;
use sqlx::AssertSqlSafe;

use super::database::{Database, Row, Transaction, query};
use super::open::{OpenDatabase, random_hex};
use super::schema::ORIGINALS;
use crate::clock::UnixMs;
use crate::originals::store::{
    Admission, AdmissionOutcome, AdmitOutcome, HOLD_MS, OriginalSums, OriginalsStore, RetentionLimits,
    StoredOriginal, TextDecision,
};
use crate::purge::{PurgedOriginals, Scope};
use crate::trouble::{StoreError, Trouble};

/// Rows that are read or removed at once, so that the write lock is held only briefly.
const ROWS: i64 = 100;

/// Originals in a database.
#[derive(Debug)]
pub struct SqlOriginals(OpenDatabase);

impl SqlOriginals {
    /// Opens the store, creates it if it does not exist, and gives it a new epoch. A damaged file is set
    /// aside like the ledger's.
    pub async fn open(database: &Database, now: UnixMs) -> Result<Self, StoreError> {
        Self::open_damaged(database, now, None).await
    }

    /// As [`SqlOriginals::open`], with the known damage of the file.
    pub(super) async fn open_damaged(
        database: &Database,
        now: UnixMs,
        damage: Option<String>,
    ) -> Result<Self, StoreError> {
        let opened = OpenDatabase::open(database, &ORIGINALS, now, damage).await?;
        let replaced = query(
            "INSERT INTO meta (name, value) VALUES ('originals_epoch', $1)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        );
        let replaced = replaced.bind(random_hex()).execute(&opened.pool).await.map_err(StoreError::from);
        match replaced {
            // existing data can be read, and acknowledgements are still valid
            Err(error) if Trouble::of(&error) == Trouble::Full => {
                tracing::error!(message = "The originals cannot be written.", %error);
            }
            replaced => {
                replaced?;
            }
        }
        Ok(Self(opened))
    }

    /// The path of a damaged file that was set aside when this store was opened.
    pub fn set_aside(&self) -> Option<&Path> {
        self.0.set_aside.as_deref()
    }
}

#[async_trait]
impl OriginalsStore for SqlOriginals {
    fn location(&self) -> &str {
        &self.0.location
    }

    async fn epoch(&self) -> Result<String, StoreError> {
        let row =
            query("SELECT value FROM meta WHERE name = 'originals_epoch'").fetch_one(&self.0.pool).await?;
        Ok(row.try_get(0)?)
    }

    async fn admit(
        &self,
        admissions: &[Admission],
        keep: &RetentionLimits,
        now: UnixMs,
    ) -> Result<AdmitOutcome, StoreError> {
        let mut tx = self.0.pool.begin().await?;
        let (before, epoch) = lock_sums(&mut tx, self.0.pool.for_update()).await?;
        let mut sums = before;
        let mut admitted = AdmitOutcome { epoch, ..AdmitOutcome::default() };
        for admission in admissions {
            let fate = if refresh(&mut tx, admission, keep, now).await? {
                AdmissionOutcome::Refreshed
            } else if make_room(&mut tx, admission.bytes(), &mut sums, keep, now, &mut admitted).await? {
                insert(&mut tx, admission, keep, now).await?;
                sums.entries += 1;
                sums.bytes += admission.bytes();
                sums.tokens_before += admission.tokens_before;
                sums.tokens_after += admission.tokens_after;
                AdmissionOutcome::Stored
            } else {
                AdmissionOutcome::Refused
            };
            admitted.fates.push(fate);
        }
        if sums != before {
            write_sums(&mut tx, &sums).await?;
        }
        tx.commit().await?;
        Ok(admitted)
    }

    async fn get(&self, tenant: &str, hash: &str, now: UnixMs) -> Result<Option<StoredOriginal>, StoreError> {
        let row = query(
            "SELECT tool, kind, form, length, tokens_before, tokens_after, retrievals, content FROM original
             WHERE tenant = $1 AND hash = $2 AND expires_ms > $3",
        )
        .bind(tenant.to_owned())
        .bind(hash.to_owned())
        .bind(now)
        .fetch_optional(&self.0.pool)
        .await?;
        let kept = |row: Row| {
            Ok(StoredOriginal {
                tool: row.try_get(0)?,
                kind: row.try_get(1)?,
                form: row.try_get(2)?,
                length: row.try_get(3)?,
                tokens_before: row.try_get(4)?,
                tokens_after: row.try_get(5)?,
                retrievals: row.try_get(6)?,
                content: row.try_get(7)?,
            })
        };
        row.map(kept).transpose()
    }

    async fn length(&self, tenant: &str, hash: &str, now: UnixMs) -> Result<Option<i64>, StoreError> {
        let row = query("SELECT length FROM original WHERE tenant = $1 AND hash = $2 AND expires_ms > $3")
            .bind(tenant.to_owned())
            .bind(hash.to_owned())
            .bind(now)
            .fetch_optional(&self.0.pool)
            .await?;
        row.map(|row| Ok(row.try_get(0)?)).transpose()
    }

    async fn touch(
        &self,
        read: &[(String, String)],
        keep: &RetentionLimits,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let mut tx = self.0.pool.begin().await?;
        let (mut sums, _) = lock_sums(&mut tx, self.0.pool.for_update()).await?;
        for (tenant, hash) in read {
            let update = query(
                "UPDATE original SET retrievals = retrievals + 1,
                    touched_ms = CASE WHEN touched_ms > $3 THEN touched_ms ELSE $3 END,
                    expires_ms = CASE WHEN expires_ms > $4 THEN expires_ms ELSE $4 END
                 WHERE tenant = $1 AND hash = $2",
            );
            let update = update.bind(tenant.clone()).bind(hash.clone()).bind(now).bind(now + keep.ttl_ms);
            sums.retrievals += i64::try_from(update.execute(&mut tx).await?).unwrap_or(0);
        }
        write_sums(&mut tx, &sums).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn sweep(&self, now: UnixMs) -> Result<u64, StoreError> {
        let mut tx = self.0.pool.begin().await?;
        let (mut sums, _) = lock_sums(&mut tx, self.0.pool.for_update()).await?;
        let rows = query(
            "DELETE FROM original WHERE (tenant, hash) IN
                (SELECT tenant, hash FROM original WHERE expires_ms <= $1 ORDER BY expires_ms LIMIT $2)
             RETURNING bytes, tokens_before, tokens_after",
        )
        .bind(now)
        .bind(ROWS)
        .fetch_all(&mut tx)
        .await?;
        for row in &rows {
            subtract(&mut sums, row, 0)?;
        }
        write_sums(&mut tx, &sums).await?;
        tx.commit().await?;
        Ok(rows.len() as u64)
    }

    async fn decisions(&self, tenant: &str, hashes: &[String]) -> Result<Vec<TextDecision>, StoreError> {
        let mut tx = self.0.pool.begin().await?;
        let mut found = Vec::new();
        for hash in hashes {
            found.extend(decision(&mut tx, tenant, hash).await?);
        }
        tx.commit().await?;
        Ok(found)
    }

    async fn decide(
        &self,
        tenant: &str,
        request: &str,
        decisions: &[TextDecision],
        now: UnixMs,
    ) -> Result<Vec<TextDecision>, StoreError> {
        let mut tx = self.0.pool.begin().await?;
        let mut sorted: Vec<&TextDecision> = decisions.iter().collect();
        // in one order, so that two who decide on the same texts do not wait for each other
        sorted.sort_unstable();
        let mut standing = Vec::new();
        for TextDecision { hash, form } in sorted {
            query(
                "INSERT INTO text_decision (tenant, hash, decided_by, decided_ms, form)
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant, hash) DO NOTHING",
            )
            .bind(tenant.to_owned())
            .bind(hash.clone())
            .bind(request.to_owned())
            .bind(now)
            .bind(form.clone().unwrap_or_default())
            .execute(&mut tx)
            .await?;
            standing.extend(decision(&mut tx, tenant, hash).await?);
        }
        tx.commit().await?;
        Ok(standing)
    }

    async fn withdraw(
        &self,
        tenant: &str,
        request: &str,
        hashes: &[String],
        now: UnixMs,
    ) -> Result<(), StoreError> {
        let mut tx = self.0.pool.begin().await?;
        let mut sorted: Vec<&String> = hashes.iter().collect();
        sorted.sort_unstable();
        for hash in sorted {
            query(
                "INSERT INTO text_decision (tenant, hash, decided_by, decided_ms, form)
                 VALUES ($1, $2, $3, $4, '') ON CONFLICT (tenant, hash) DO UPDATE SET form = ''
                 WHERE text_decision.decided_by = excluded.decided_by",
            )
            .bind(tenant.to_owned())
            .bind(hash.clone())
            .bind(request.to_owned())
            .bind(now)
            .execute(&mut tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    async fn forget_decisions(&self, before: UnixMs, most: i64) -> Result<u64, StoreError> {
        let forget = query(
            "DELETE FROM text_decision WHERE decided_ms < $1 OR decided_ms <= COALESCE(
                (SELECT decided_ms FROM text_decision ORDER BY decided_ms DESC LIMIT 1 OFFSET $2), $1 - 1)",
        );
        Ok(forget.bind(before).bind(most).execute(&self.0.pool).await?)
    }

    async fn purge(&self, scope: &Scope, dry_run: bool) -> Result<PurgedOriginals, StoreError> {
        let mut tx = self.0.pool.begin().await?;
        let (before, _) = lock_sums(&mut tx, self.0.pool.for_update()).await?;
        let delete = match scope {
            Scope::All => query("DELETE FROM original"),
            Scope::Tenant(tenant) => query("DELETE FROM original WHERE tenant = $1").bind(tenant.clone()),
            Scope::Before(time) => query("DELETE FROM original WHERE admitted_ms < $1").bind(*time),
        };
        let originals = delete.execute(&mut tx).await?;
        let decisions = match scope {
            Scope::All => query("DELETE FROM text_decision"),
            Scope::Tenant(tenant) => {
                query("DELETE FROM text_decision WHERE tenant = $1").bind(tenant.clone())
            }
            Scope::Before(time) => query("DELETE FROM text_decision WHERE decided_ms < $1").bind(*time),
        };
        decisions.execute(&mut tx).await?;
        let left = query(
            "SELECT COUNT(*), CAST(COALESCE(SUM(bytes), 0) AS BIGINT),
                CAST(COALESCE(SUM(tokens_before), 0) AS BIGINT),
                CAST(COALESCE(SUM(tokens_after), 0) AS BIGINT), CAST(COALESCE(SUM(retrievals), 0) AS BIGINT)
             FROM original",
        );
        let left = sums_from(&left.fetch_one(&mut tx).await?)?;
        let purged = PurgedOriginals { originals, bytes: before.bytes - left.bytes };
        if dry_run {
            tx.rollback().await?;
            return Ok(purged);
        }
        let retrievals = if *scope == Scope::All { 0 } else { before.retrievals };
        write_sums(&mut tx, &OriginalSums { retrievals, ..left }).await?;
        // acknowledged originals may be gone
        query("UPDATE meta SET value = $1 WHERE name = 'originals_epoch'")
            .bind(random_hex())
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        self.0.pool.empty_journal().await;
        Ok(purged)
    }

    async fn sums(&self) -> Result<OriginalSums, StoreError> {
        let row = query(
            "SELECT entries, bytes, tokens_before, tokens_after, retrievals FROM original_sums
             WHERE name = 'all'",
        )
        .fetch_one(&self.0.pool)
        .await?;
        sums_from(&row)
    }

    async fn sums_of(&self, tenant: &str) -> Result<OriginalSums, StoreError> {
        // a sum of BIGINT is NUMERIC in PostgreSQL
        let row = query(
            "SELECT COUNT(*), CAST(COALESCE(SUM(bytes), 0) AS BIGINT),
                CAST(COALESCE(SUM(tokens_before), 0) AS BIGINT),
                CAST(COALESCE(SUM(tokens_after), 0) AS BIGINT), CAST(COALESCE(SUM(retrievals), 0) AS BIGINT)
             FROM original WHERE tenant = $1",
        )
        .bind(tenant.to_owned())
        .fetch_one(&self.0.pool)
        .await?;
        sums_from(&row)
    }

    async fn check(&self) -> Result<(), StoreError> {
        let mut tx = self.0.pool.begin().await?;
        query("UPDATE original_sums SET entries = entries WHERE name = 'all'").execute(&mut tx).await?;
        // a rolled-back transaction never reaches the disk
        tx.commit().await?;
        Ok(())
    }

    async fn close(&self) {
        self.0.pool.close().await;
    }
}

/// What was decided on a text.
async fn decision(
    tx: &mut Transaction,
    tenant: &str,
    hash: &str,
) -> Result<Option<TextDecision>, StoreError> {
    let row = query("SELECT form FROM text_decision WHERE tenant = $1 AND hash = $2")
        .bind(tenant.to_owned())
        .bind(hash.to_owned())
        .fetch_optional(&mut *tx)
        .await?;
    let kept = |row: Row| {
        let form = Some(row.try_get::<String>(0)?).filter(|form| !form.is_empty());
        Ok(TextDecision { hash: hash.to_owned(), form })
    };
    row.map(kept).transpose()
}

/// The sums and the epoch, with the sums locked.
async fn lock_sums(tx: &mut Transaction, for_update: &str) -> Result<(OriginalSums, String), StoreError> {
    let text = format!(
        "SELECT entries, bytes, tokens_before, tokens_after, retrievals,
            (SELECT value FROM meta WHERE name = 'originals_epoch')
         FROM original_sums WHERE name = 'all'{for_update}"
    );
    // it consists only of constants
    let row = query(AssertSqlSafe(text)).fetch_one(&mut *tx).await?;
    Ok((sums_from(&row)?, row.try_get(5)?))
}

async fn write_sums(tx: &mut Transaction, sums: &OriginalSums) -> Result<(), StoreError> {
    query(
        "UPDATE original_sums SET entries = $1, bytes = $2, tokens_before = $3, tokens_after = $4,
            retrievals = $5 WHERE name = 'all'",
    )
    .bind(sums.entries)
    .bind(sums.bytes)
    .bind(sums.tokens_before)
    .bind(sums.tokens_after)
    .bind(sums.retrievals)
    .execute(&mut *tx)
    .await?;
    Ok(())
}

fn sums_from(row: &Row) -> Result<OriginalSums, StoreError> {
    Ok(OriginalSums {
        entries: row.try_get(0)?,
        bytes: row.try_get(1)?,
        tokens_before: row.try_get(2)?,
        tokens_after: row.try_get(3)?,
        retrievals: row.try_get(4)?,
    })
}

/// Subtracts a removed row from the sums; its figures begin at column `from`.
fn subtract(sums: &mut OriginalSums, row: &Row, from: usize) -> Result<(), StoreError> {
    sums.entries -= 1;
    sums.bytes -= row.try_get::<i64>(from)?;
    sums.tokens_before -= row.try_get::<i64>(from + 1)?;
    sums.tokens_after -= row.try_get::<i64>(from + 2)?;
    Ok(())
}

/// Renews the expiry of an original; false if it is not stored. An expired one that was not removed yet is
/// still valid. The form that left it out last is the one that is asked about.
async fn refresh(
    tx: &mut Transaction,
    admission: &Admission,
    keep: &RetentionLimits,
    now: UnixMs,
) -> Result<bool, StoreError> {
    let update = query(
        "UPDATE original SET
            touched_ms = CASE WHEN touched_ms > $3 THEN touched_ms ELSE $3 END,
            expires_ms = CASE WHEN expires_ms > $4 THEN expires_ms ELSE $4 END,
            form = CASE WHEN $5 = '' THEN form ELSE $5 END
         WHERE tenant = $1 AND hash = $2",
    );
    let update = update.bind(admission.tenant.clone()).bind(admission.hash.clone());
    let update = update.bind(now).bind(now + keep.ttl_ms).bind(admission.form.clone());
    let changed = update.execute(&mut *tx).await?;
    Ok(changed > 0)
}

async fn insert(
    tx: &mut Transaction,
    admission: &Admission,
    keep: &RetentionLimits,
    now: UnixMs,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO original (tenant, hash, admitted_ms, touched_ms, expires_ms, bytes, length,
            tokens_before, tokens_after, retrievals, tool, kind, form, conversation_id, content)
         VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8, 0, $9, $10, $11, $12, $13)",
    )
    .bind(admission.tenant.clone())
    .bind(admission.hash.clone())
    .bind(now)
    .bind(now + keep.ttl_ms)
    .bind(admission.bytes())
    .bind(admission.length)
    .bind(admission.tokens_before)
    .bind(admission.tokens_after)
    .bind(admission.tool.clone())
    .bind(admission.kind.clone())
    .bind(admission.form.clone())
    .bind(admission.conversation_id.clone())
    .bind(admission.content.clone())
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// Removes the oldest until `bytes` more fit; false if they do not fit even then.
async fn make_room(
    tx: &mut Transaction,
    bytes: i64,
    sums: &mut OriginalSums,
    keep: &RetentionLimits,
    now: UnixMs,
    admitted: &mut AdmitOutcome,
) -> Result<bool, StoreError> {
    if bytes > keep.max_bytes {
        return Ok(false);
    }
    while sums.bytes + bytes > keep.max_bytes {
        let oldest = query(
            "SELECT bytes, tokens_before, tokens_after, tenant, hash, touched_ms, expires_ms
             FROM original ORDER BY touched_ms, tenant, hash LIMIT $1",
        )
        .bind(ROWS)
        .fetch_all(&mut *tx)
        .await?;
        let mut removed = false;
        for row in &oldest {
            let (touched, expires): (UnixMs, UnixMs) = (row.try_get(5)?, row.try_get(6)?);
            let over = expires <= now;
            if sums.bytes + bytes <= keep.max_bytes || (!over && touched > now - HOLD_MS) {
                break;
            }
            query("DELETE FROM original WHERE tenant = $1 AND hash = $2")
                .bind(row.try_get::<String>(3)?)
                .bind(row.try_get::<String>(4)?)
                .execute(&mut *tx)
                .await?;
            subtract(sums, row, 0)?;
            *if over { &mut admitted.expired } else { &mut admitted.evicted } += 1;
            removed = true;
        }
        if !removed {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_transaction_that_the_database_ended_by_itself_spoils_no_later_one() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqlOriginals::open(&Database::File(dir.path().join("db")), 0).await.unwrap();
        let keep = RetentionLimits { ttl_ms: 1_000, max_bytes: 1 << 20 };
        for n in 0..20 {
            // the same as SQLite does if the disk is full
            let mut tx = store.0.pool.begin().await.unwrap();
            query("ROLLBACK").execute(&mut tx).await.unwrap();
            tx.commit().await.unwrap_err();
            let admission = Admission { hash: format!("{n:024x}"), ..Admission::default() };
            let admitted = store.admit(&[admission], &keep, n).await.unwrap();
            assert_eq!(admitted.fates, [AdmissionOutcome::Stored]);
        }
    }
}
