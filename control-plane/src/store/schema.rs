//! The tables: SQL files under `migrations/`, and the update of an older store.
//!
//! Stores may share a PostgreSQL, so each has its own table of applied steps. Version 0.2.0 kept only the number of
//! the newest step, in `meta`. The number is still kept there: steps up to it are not applied again, and a program
//! with fewer steps refuses the store.

use sqlx::migrate::{Migrate, MigrateError, Migrator};

use super::database::{Transaction, query};
use super::lines::NEXT_ORDINAL;
use crate::trouble::StoreError;

/// Makes processes that start together on one PostgreSQL take turns with its schema: even `CREATE TABLE IF NOT
/// EXISTS` fails if two run it at the same time. The number is arbitrary. In SQLite the transaction has the write
/// lock.
const TURN: &str = "SELECT pg_advisory_xact_lock(7283946150)";

/// The tables of one store.
pub(super) struct Schema {
    /// The name of the newest step in `meta`.
    version: &'static str,
    /// The table of applied steps.
    applied: &'static str,
    sqlite: fn() -> Migrator,
    postgres: fn() -> Migrator,
    /// Statements that rebuild derived data from salvaged rows. The damaged file is attached as `damaged`.
    pub(super) after_salvage: &'static [&'static str],
}

/// The ledger's tables.
pub(super) const LEDGER: Schema = Schema {
    version: "schema",
    applied: "ledger_migrations",
    sqlite: || sqlx_macros::migrate!("migrations/ledger/sqlite"),
    postgres: || sqlx_macros::migrate!("migrations/ledger/postgres"),
    after_salvage: &[
        NEXT_ORDINAL,
        "INSERT OR REPLACE INTO main.meta (name, value)
         SELECT name, value FROM damaged.meta WHERE name = 'retention_ms'",
    ],
};

/// The tables of originals.
pub(super) const ORIGINALS: Schema = Schema {
    version: "originals_schema",
    applied: "originals_migrations",
    sqlite: || sqlx_macros::migrate!("migrations/originals/sqlite"),
    postgres: || sqlx_macros::migrate!("migrations/originals/postgres"),
    after_salvage: &["UPDATE main.original_sums SET
        entries = (SELECT COUNT(*) FROM main.original),
        bytes = (SELECT COALESCE(SUM(bytes), 0) FROM main.original),
        tokens_before = (SELECT COALESCE(SUM(tokens_before), 0) FROM main.original),
        tokens_after = (SELECT COALESCE(SUM(tokens_after), 0) FROM main.original)"],
};

/// The tables of memory.
pub(super) const MEMORY: Schema = Schema {
    version: "memory_schema",
    applied: "memory_migrations",
    sqlite: || sqlx_macros::migrate!("migrations/memory/sqlite"),
    postgres: || sqlx_macros::migrate!("migrations/memory/postgres"),
    // The index has all data of a holder. If a holder cannot be read there either, its facts are deleted. The text
    // index is built again.
    after_salvage: &[
        "INSERT OR IGNORE INTO main.memory_holder (id, tenant, scope, owner)
         SELECT id, tenant, scope, owner FROM damaged.memory_holder INDEXED BY sqlite_autoindex_memory_holder_1",
        "DELETE FROM main.memory_fact WHERE holder NOT IN (SELECT id FROM main.memory_holder)",
        "DELETE FROM main.memory_entity
         WHERE fact NOT IN (SELECT ordinal FROM main.memory_fact WHERE expired_ms IS NULL)",
        "DELETE FROM main.memory_vector
         WHERE fact NOT IN (SELECT ordinal FROM main.memory_fact WHERE expired_ms IS NULL)",
        "DELETE FROM main.memory_text",
        "INSERT INTO main.memory_text (rowid, holder, content)
         SELECT ordinal, 'h' || holder, content FROM main.memory_fact WHERE expired_ms IS NULL",
    ],
};

/// The tables of the live learner.
pub(super) const LEARN: Schema = Schema {
    version: "learn_schema",
    applied: "learn_migrations",
    sqlite: || sqlx_macros::migrate!("migrations/learn/sqlite"),
    postgres: || sqlx_macros::migrate!("migrations/learn/postgres"),
    after_salvage: &[],
};

impl Schema {
    /// Whether a table only describes the schema.
    pub(super) fn is_about_tables(&self, table: &str) -> bool {
        table == "meta" || table == self.applied
    }

    /// Updates the store to the newest schema. If there is nothing to do, it writes nothing, so that a store on
    /// a full disk can still be read.
    pub(super) async fn migrate(&self, tx: &mut Transaction) -> Result<(), StoreError> {
        if let Transaction::Postgres(_) = tx {
            query(TURN).fetch_all(&mut *tx).await?;
        }
        query("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
            .execute(&mut *tx)
            .await?;
        let found = self.found(tx).await?;
        let newest = match tx {
            Transaction::Sqlite(conn) | Transaction::Lines(conn, _) => {
                self.apply((self.sqlite)(), &mut **conn, found).await?
            }
            Transaction::Postgres(conn) => self.apply((self.postgres)(), &mut **conn, found).await?,
        };
        if found != newest {
            query(
                "INSERT INTO meta (name, value) VALUES ($1, $2)
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            )
            .bind(self.version)
            .bind(newest.to_string())
            .execute(&mut *tx)
            .await?;
        }
        Ok(())
    }

    /// The newest step that the store has; 0 for a new one.
    async fn found(&self, tx: &mut Transaction) -> Result<i64, StoreError> {
        let row =
            query("SELECT value FROM meta WHERE name = $1").bind(self.version).fetch_optional(tx).await?;
        let Some(row) = row else { return Ok(0) };
        let text: String = row.try_get(0)?;
        text.parse().map_err(|_| StoreError::Corrupt(format!("{} {text:?}", self.version)))
    }

    /// Applies missing steps, and returns the number of the newest one.
    async fn apply(
        &self,
        mut migrator: Migrator,
        conn: &mut impl Migrate,
        found: i64,
    ) -> Result<i64, StoreError> {
        // this transaction already holds the lock
        migrator.set_locking(false).dangerous_set_table_name(self.applied);
        let known = migrator.iter().map(|step| step.version).max().unwrap_or(0);
        if found > known {
            return Err(StoreError::Newer { found, known });
        }
        let refused = |error| match error {
            MigrateError::VersionMissing(found) => StoreError::Newer { found, known },
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            error => StoreError::from(sqlx::Error::from(error)),
        };
        if found > 0 {
            migrator.run_direct(Some(found), conn, true).await.map_err(refused)?;
        }
        migrator.run_direct(None, conn, false).await.map_err(refused)?;
        Ok(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::sums::Sums;

    #[test]
    fn both_databases_have_the_same_steps_and_these_make_every_column() {
        for schema in [LEDGER, ORIGINALS, MEMORY, LEARN] {
            let steps = |migrator: Migrator| {
                migrator.iter().map(|step| (step.version, step.description.clone())).collect::<Vec<_>>()
            };
            assert_eq!(steps((schema.sqlite)()), steps((schema.postgres)()));
        }
        for migrator in [(LEDGER.sqlite)(), (LEDGER.postgres)()] {
            let text: String = migrator.iter().map(|step| step.sql.as_str()).collect();
            for column in Sums::COLUMNS {
                let named = text.matches(&format!(" {column} BIGINT NOT NULL DEFAULT 0")).count();
                assert!(named >= 5, "{column}: {named}");
            }
        }
    }
}
