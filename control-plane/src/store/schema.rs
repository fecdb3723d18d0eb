//! The tables: SQL files under `migrations/`, and the update of an older store.
//!
//! Stores may share a PostgreSQL, so each has its own table of applied steps. Version 0.2.0 kept only the number of
//! the newest step, in `meta`. The number is still kept there: steps up to it are not applied again, and a program
//! with fewer steps refuses the store.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};

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
    steps: &'static [Step],
    /// Statements that rebuild derived data from salvaged rows. The damaged file is attached as `damaged`.
    pub(super) after_salvage: &'static [&'static str],
}

/// One step, for each database.
struct Step {
    /// Its number and its name, as its files are named.
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

/// The steps of a folder under `migrations/`. Written out, since sqlx's macro for it compiles half of sqlx a second time.
macro_rules! steps {
    ($folder:literal: $($name:literal)*) => {
        &[$(Step {
            name: $name,
            sqlite: include_str!(concat!("../../migrations/", $folder, "/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("../../migrations/", $folder, "/postgres/", $name, ".sql")),
        }),*]
    };
}

/// The ledger's tables.
pub(super) const LEDGER: Schema = Schema {
    version: "schema",
    applied: "ledger_migrations",
    steps: steps!("ledger":
        "1_sums" "2_unique_savings" "3_budgets" "4_mismatches" "5_subscriptions" "6_announced" "7_cache" "8_answers"
    ),
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
    steps: steps!("originals": "1_originals" "2_text_decisions" "3_forms"),
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
    steps: steps!("memory": "1_memory" "2_holders" "3_contexts" "4_vectors"),
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
    steps: steps!("learn": "1_sightings"),
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
                self.apply(self.migrator(|step| step.sqlite), &mut **conn, found).await?
            }
            Transaction::Postgres(conn) => {
                self.apply(self.migrator(|step| step.postgres), &mut **conn, found).await?
            }
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

    /// All steps in the SQL of one database.
    fn migrator(&self, sql: fn(&Step) -> &'static str) -> Migrator {
        let steps = self.steps.iter().zip(1..).map(|(step, number)| {
            let name =
                step.name.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_').replace('_', " ");
            Migration::new(number, name.into(), MigrationType::Simple, sql(step).into_sql_str(), false)
        });
        Migrator::with_migrations(steps.collect())
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
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::ledger::sums::Sums;

    #[test]
    fn each_file_is_a_step_of_both_databases_in_the_order_of_their_numbers() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        for (name, schema) in
            [("ledger", LEDGER), ("originals", ORIGINALS), ("memory", MEMORY), ("learn", LEARN)]
        {
            for (step, number) in schema.steps.iter().zip(1..) {
                assert_eq!(step.name.split_once('_').map(|(number, _)| number), Some(&*number.to_string()));
            }
            let steps: BTreeSet<String> =
                schema.steps.iter().map(|step| step.name.to_owned() + ".sql").collect();
            for database in ["sqlite", "postgres"] {
                let files = folder.join(name).join(database).read_dir().unwrap();
                let files: BTreeSet<String> =
                    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
                assert_eq!(files, steps, "{name}, {database}");
            }
        }
    }

    #[test]
    fn the_steps_make_every_column() {
        for sql in [|step: &Step| step.sqlite, |step: &Step| step.postgres] {
            let text: String = LEDGER.steps.iter().map(sql).collect();
            for column in Sums::COLUMNS {
                let named = text.matches(&format!(" {column} BIGINT NOT NULL DEFAULT 0")).count();
                assert!(named >= 5, "{column}: {named}");
            }
        }
    }

    /// A store notes the digest of each step that it has, and refuses one that has changed since.
    #[test]
    fn a_step_has_the_digest_and_the_name_that_stores_have() {
        let first = &LEDGER.migrator(|step| step.sqlite).migrations[1];
        assert_eq!((first.version, &*first.description), (2, "unique savings"));
        let digest: String = first.checksum.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, "0182cd81");
    }
}
