//! Originals in SQLite or PostgreSQL.
//!
//! Everything that writes takes the row of the sums first, so that replicas take turns and the sums are
//! exact.

use std::path::Path;

use async_trait::async_trait;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::{Admission, Admitted, Fate, HOLD_MS, Keep, Kept, OriginalSums, OriginalsStore};
use crate::clock::UnixMs;
use crate::settings::Database;
use crate::store::dialect::Dialect;
use crate::store::open::{Opened, random_hex};
use crate::store::purge::empty_journal;
use crate::store::schema::Schema;
use crate::store::{PurgedOriginals, Scope, StoreError, Trouble};

const SCHEMA: Schema = Schema::new(
    "originals_schema",
    &[first],
    &["UPDATE main.original_sums SET
        entries = (SELECT COUNT(*) FROM main.original),
        bytes = (SELECT COALESCE(SUM(bytes), 0) FROM main.original),
        tokens_before = (SELECT COALESCE(SUM(tokens_before), 0) FROM main.original),
        tokens_after = (SELECT COALESCE(SUM(tokens_after), 0) FROM main.original)"],
);

/// Rows that are looked at or removed at once, so that nobody waits long for the write lock.
const ROWS: i64 = 100;

/// Originals in a database.
#[derive(Debug)]
pub struct SqlOriginals(Opened);

impl SqlOriginals {
    /// Opens the store, makes it if it is not there, and gives it a new epoch. A damaged file is set
    /// aside as the ledger's is.
    pub async fn open(database: &Database, now: UnixMs) -> Result<Self, StoreError> {
        Self::open_damaged(database, now, None).await
    }

    /// As [`SqlOriginals::open`], with what is known to be wrong with the file.
    pub(in crate::store) async fn open_damaged(
        database: &Database,
        now: UnixMs,
        damage: Option<String>,
    ) -> Result<Self, StoreError> {
        let opened = Opened::open(database, &SCHEMA, now, damage).await?;
        let replaced = sqlx::query(
            "INSERT INTO meta (name, value) VALUES ('originals_epoch', $1)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        );
        let replaced = replaced.bind(random_hex()).execute(&opened.pool).await.map_err(StoreError::from);
        match replaced {
            // what is there can be read, and is what was acknowledged
            Err(error) if Trouble::of(&error) == Trouble::Full => {
                tracing::error!(message = "The originals cannot be written.", %error);
            }
            replaced => {
                replaced?;
            }
        }
        Ok(Self(opened))
    }

    /// Where a damaged file was put when this store was opened.
    pub fn set_aside(&self) -> Option<&Path> {
        self.0.set_aside.as_deref()
    }
}

fn first(dialect: Dialect) -> Vec<String> {
    let bytes = dialect.bytes();
    vec![
        // the content last: what stands before it is read and written without it
        format!(
            "CREATE TABLE original (
                tenant TEXT NOT NULL,
                hash TEXT NOT NULL,
                admitted_ms BIGINT NOT NULL,
                touched_ms BIGINT NOT NULL,
                expires_ms BIGINT NOT NULL,
                bytes BIGINT NOT NULL,
                length BIGINT NOT NULL,
                tokens_before BIGINT NOT NULL,
                tokens_after BIGINT NOT NULL,
                retrievals BIGINT NOT NULL,
                tool TEXT NOT NULL,
                kind TEXT NOT NULL,
                conversation_id TEXT NOT NULL,
                content {bytes} NOT NULL,
                PRIMARY KEY (tenant, hash)
            )"
        ),
        "CREATE INDEX original_expires ON original (expires_ms)".to_owned(),
        "CREATE INDEX original_touched ON original (touched_ms)".to_owned(),
        "CREATE TABLE original_sums (
            name TEXT PRIMARY KEY,
            entries BIGINT NOT NULL,
            bytes BIGINT NOT NULL,
            tokens_before BIGINT NOT NULL,
            tokens_after BIGINT NOT NULL,
            retrievals BIGINT NOT NULL
        )"
        .to_owned(),
        "INSERT INTO original_sums VALUES ('all', 0, 0, 0, 0, 0)".to_owned(),
    ]
}

#[async_trait]
impl OriginalsStore for SqlOriginals {
    fn location(&self) -> &str {
        &self.0.location
    }

    async fn epoch(&self) -> Result<String, StoreError> {
        let row = sqlx::query("SELECT value FROM meta WHERE name = 'originals_epoch'")
            .fetch_one(&self.0.pool)
            .await?;
        Ok(row.try_get(0)?)
    }

    async fn admit(
        &self,
        admissions: &[Admission],
        keep: &Keep,
        now: UnixMs,
    ) -> Result<Admitted, StoreError> {
        let mut tx = self.0.pool.begin_with(self.0.dialect.begin()).await?;
        let (before, epoch) = lock_sums(&mut tx, self.0.dialect).await?;
        let mut sums = before;
        let mut admitted = Admitted { epoch, ..Admitted::default() };
        for admission in admissions {
            let fate = if refresh(&mut tx, admission, keep, now).await? {
                Fate::Refreshed
            } else if make_room(&mut tx, admission.bytes(), &mut sums, keep, now, &mut admitted).await? {
                insert(&mut tx, admission, keep, now).await?;
                sums.entries += 1;
                sums.bytes += admission.bytes();
                sums.tokens_before += admission.tokens_before;
                sums.tokens_after += admission.tokens_after;
                Fate::Stored
            } else {
                Fate::Refused
            };
            admitted.fates.push(fate);
        }
        if sums != before {
            write_sums(&mut tx, &sums).await?;
        }
        tx.commit().await?;
        Ok(admitted)
    }

    async fn get(&self, tenant: &str, hash: &str, now: UnixMs) -> Result<Option<Kept>, StoreError> {
        let row = sqlx::query(
            "SELECT tool, kind, length, tokens_before, tokens_after, retrievals, content FROM original
             WHERE tenant = $1 AND hash = $2 AND expires_ms > $3",
        )
        .bind(tenant.to_owned())
        .bind(hash.to_owned())
        .bind(now)
        .fetch_optional(&self.0.pool)
        .await?;
        let kept = |row: AnyRow| {
            Ok(Kept {
                tool: row.try_get(0)?,
                kind: row.try_get(1)?,
                length: row.try_get(2)?,
                tokens_before: row.try_get(3)?,
                tokens_after: row.try_get(4)?,
                retrievals: row.try_get(5)?,
                content: row.try_get(6)?,
            })
        };
        row.map(kept).transpose()
    }

    async fn touch(&self, read: &[(String, String)], keep: &Keep, now: UnixMs) -> Result<(), StoreError> {
        let mut tx = self.0.pool.begin_with(self.0.dialect.begin()).await?;
        let (mut sums, _) = lock_sums(&mut tx, self.0.dialect).await?;
        for (tenant, hash) in read {
            let update = sqlx::query(
                "UPDATE original SET retrievals = retrievals + 1,
                    touched_ms = CASE WHEN touched_ms > $3 THEN touched_ms ELSE $3 END,
                    expires_ms = CASE WHEN expires_ms > $4 THEN expires_ms ELSE $4 END
                 WHERE tenant = $1 AND hash = $2",
            );
            let update = update.bind(tenant.clone()).bind(hash.clone()).bind(now).bind(now + keep.ttl_ms);
            sums.retrievals += i64::try_from(update.execute(&mut *tx).await?.rows_affected()).unwrap_or(0);
        }
        write_sums(&mut tx, &sums).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn sweep(&self, now: UnixMs) -> Result<u64, StoreError> {
        let mut tx = self.0.pool.begin_with(self.0.dialect.begin()).await?;
        let (mut sums, _) = lock_sums(&mut tx, self.0.dialect).await?;
        let rows = sqlx::query(
            "DELETE FROM original WHERE (tenant, hash) IN
                (SELECT tenant, hash FROM original WHERE expires_ms <= $1 ORDER BY expires_ms LIMIT $2)
             RETURNING bytes, tokens_before, tokens_after",
        )
        .bind(now)
        .bind(ROWS)
        .fetch_all(&mut *tx)
        .await?;
        for row in &rows {
            subtract(&mut sums, row, 0)?;
        }
        write_sums(&mut tx, &sums).await?;
        tx.commit().await?;
        Ok(rows.len() as u64)
    }

    async fn purge(&self, scope: &Scope, dry_run: bool) -> Result<PurgedOriginals, StoreError> {
        let mut tx = self.0.pool.begin_with(self.0.dialect.begin()).await?;
        let (before, _) = lock_sums(&mut tx, self.0.dialect).await?;
        let delete = match scope {
            Scope::All => sqlx::query("DELETE FROM original"),
            Scope::Tenant(tenant) => {
                sqlx::query("DELETE FROM original WHERE tenant = $1").bind(tenant.clone())
            }
            Scope::Before(time) => sqlx::query("DELETE FROM original WHERE admitted_ms < $1").bind(*time),
        };
        let originals = delete.execute(&mut *tx).await?.rows_affected();
        let left = sqlx::query(
            "SELECT COUNT(*), CAST(COALESCE(SUM(bytes), 0) AS BIGINT),
                CAST(COALESCE(SUM(tokens_before), 0) AS BIGINT),
                CAST(COALESCE(SUM(tokens_after), 0) AS BIGINT), CAST(COALESCE(SUM(retrievals), 0) AS BIGINT)
             FROM original",
        );
        let left = sums_from(&left.fetch_one(&mut *tx).await?)?;
        let purged = PurgedOriginals { originals, bytes: before.bytes - left.bytes };
        if dry_run {
            tx.rollback().await?;
            return Ok(purged);
        }
        let retrievals = if *scope == Scope::All { 0 } else { before.retrievals };
        write_sums(&mut tx, &OriginalSums { retrievals, ..left }).await?;
        // what was acknowledged may be gone
        sqlx::query("UPDATE meta SET value = $1 WHERE name = 'originals_epoch'")
            .bind(random_hex())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        empty_journal(&self.0.pool, self.0.dialect).await;
        Ok(purged)
    }

    async fn sums(&self) -> Result<OriginalSums, StoreError> {
        let row = sqlx::query(
            "SELECT entries, bytes, tokens_before, tokens_after, retrievals FROM original_sums
             WHERE name = 'all'",
        )
        .fetch_one(&self.0.pool)
        .await?;
        sums_from(&row)
    }

    async fn sums_of(&self, tenant: &str) -> Result<OriginalSums, StoreError> {
        // a sum of BIGINT is NUMERIC in PostgreSQL
        let row = sqlx::query(
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
        let mut tx = self.0.pool.begin_with(self.0.dialect.begin()).await?;
        sqlx::query("UPDATE original_sums SET entries = entries WHERE name = 'all'")
            .execute(&mut *tx)
            .await?;
        // what is rolled back never reaches the disk
        tx.commit().await?;
        Ok(())
    }

    async fn close(&self) {
        self.0.pool.close().await;
    }
}

/// The sums and the epoch, with the sums locked.
async fn lock_sums(conn: &mut AnyConnection, dialect: Dialect) -> Result<(OriginalSums, String), StoreError> {
    let query = format!(
        "SELECT entries, bytes, tokens_before, tokens_after, retrievals,
            (SELECT value FROM meta WHERE name = 'originals_epoch')
         FROM original_sums WHERE name = 'all'{}",
        dialect.for_update()
    );
    // made of constants alone
    let row = sqlx::query(AssertSqlSafe(query)).fetch_one(&mut *conn).await?;
    Ok((sums_from(&row)?, row.try_get(5)?))
}

async fn write_sums(conn: &mut AnyConnection, sums: &OriginalSums) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE original_sums SET entries = $1, bytes = $2, tokens_before = $3, tokens_after = $4,
            retrievals = $5 WHERE name = 'all'",
    )
    .bind(sums.entries)
    .bind(sums.bytes)
    .bind(sums.tokens_before)
    .bind(sums.tokens_after)
    .bind(sums.retrievals)
    .execute(&mut *conn)
    .await?;
    Ok(())
}

fn sums_from(row: &AnyRow) -> Result<OriginalSums, StoreError> {
    Ok(OriginalSums {
        entries: row.try_get(0)?,
        bytes: row.try_get(1)?,
        tokens_before: row.try_get(2)?,
        tokens_after: row.try_get(3)?,
        retrievals: row.try_get(4)?,
    })
}

/// Takes a row that was removed out of the sums; its figures begin at column `from`.
fn subtract(sums: &mut OriginalSums, row: &AnyRow, from: usize) -> Result<(), StoreError> {
    sums.entries -= 1;
    sums.bytes -= row.try_get::<i64, _>(from)?;
    sums.tokens_before -= row.try_get::<i64, _>(from + 1)?;
    sums.tokens_after -= row.try_get::<i64, _>(from + 2)?;
    Ok(())
}

/// Begins the time of an original anew; false when it is not there. One whose time was over but that
/// was not removed yet is as good as any.
async fn refresh(
    conn: &mut AnyConnection,
    admission: &Admission,
    keep: &Keep,
    now: UnixMs,
) -> Result<bool, StoreError> {
    let update = sqlx::query(
        "UPDATE original SET
            touched_ms = CASE WHEN touched_ms > $3 THEN touched_ms ELSE $3 END,
            expires_ms = CASE WHEN expires_ms > $4 THEN expires_ms ELSE $4 END
         WHERE tenant = $1 AND hash = $2",
    );
    let update = update.bind(admission.tenant.clone()).bind(admission.hash.clone());
    let result = update.bind(now).bind(now + keep.ttl_ms).execute(&mut *conn).await?;
    Ok(result.rows_affected() > 0)
}

async fn insert(
    conn: &mut AnyConnection,
    admission: &Admission,
    keep: &Keep,
    now: UnixMs,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO original (tenant, hash, admitted_ms, touched_ms, expires_ms, bytes, length,
            tokens_before, tokens_after, retrievals, tool, kind, conversation_id, content)
         VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8, 0, $9, $10, $11, $12)",
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
    .bind(admission.conversation_id.clone())
    .bind(admission.content.clone())
    .execute(&mut *conn)
    .await?;
    Ok(())
}

/// Removes the oldest until `bytes` more fit; false when they do not, whatever may be removed.
async fn make_room(
    conn: &mut AnyConnection,
    bytes: i64,
    sums: &mut OriginalSums,
    keep: &Keep,
    now: UnixMs,
    admitted: &mut Admitted,
) -> Result<bool, StoreError> {
    if bytes > keep.max_bytes {
        return Ok(false);
    }
    while sums.bytes + bytes > keep.max_bytes {
        let oldest = sqlx::query(
            "SELECT bytes, tokens_before, tokens_after, tenant, hash, touched_ms, expires_ms
             FROM original ORDER BY touched_ms, tenant, hash LIMIT $1",
        )
        .bind(ROWS)
        .fetch_all(&mut *conn)
        .await?;
        let mut removed = false;
        for row in &oldest {
            let (touched, expires): (UnixMs, UnixMs) = (row.try_get(5)?, row.try_get(6)?);
            let over = expires <= now;
            if sums.bytes + bytes <= keep.max_bytes || (!over && touched > now - HOLD_MS) {
                break;
            }
            sqlx::query("DELETE FROM original WHERE tenant = $1 AND hash = $2")
                .bind(row.try_get::<String, _>(3)?)
                .bind(row.try_get::<String, _>(4)?)
                .execute(&mut *conn)
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
        let keep = Keep { ttl_ms: 1_000, max_bytes: 1 << 20 };
        for n in 0..20 {
            // as SQLite does when the disk is full
            let mut tx = store.0.pool.begin_with(store.0.dialect.begin()).await.unwrap();
            sqlx::query("ROLLBACK").execute(&mut *tx).await.unwrap();
            tx.commit().await.unwrap_err();
            let admission = Admission { hash: format!("{n:024x}"), ..Admission::default() };
            let admitted = store.admit(&[admission], &keep, n).await.unwrap();
            assert_eq!(admitted.fates, [Fate::Stored]);
        }
    }
}
