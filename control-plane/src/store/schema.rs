//! The tables, and how an older store is brought up to date.

use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::StoreError;
use super::dialect::Dialect;
use crate::ledger::sums::BlockSums;

/// The tables of one store.
pub(super) struct Schema {
    /// The name under which the version is kept: stores may share a database.
    version: &'static str,
    /// One step per version: only ever appended to.
    steps: &'static [fn(Dialect) -> Vec<String>],
    /// What is worked out again from rows that were saved out of a damaged file, which is attached as `damaged`.
    after_salvage: &'static [&'static str],
}

/// The ledger's tables.
pub(super) const LEDGER: Schema = Schema {
    version: "schema",
    steps: &[first, second, third, fourth, fifth, sixth],
    after_salvage: &[
        // the next ordinal follows from it
        "UPDATE main.tally SET requests = (SELECT MAX(ordinal) FROM main.request)
         WHERE dimension = 'all' AND requests < (SELECT COALESCE(MAX(ordinal), 0) FROM main.request)",
        "INSERT OR REPLACE INTO main.meta (name, value)
         SELECT name, value FROM damaged.meta WHERE name = 'retention_ms'",
    ],
};

impl Schema {
    /// Tables of a store other than the ledger.
    pub(super) const fn new(
        version: &'static str,
        steps: &'static [fn(Dialect) -> Vec<String>],
        after_salvage: &'static [&'static str],
    ) -> Self {
        Self { version, steps, after_salvage }
    }

    /// What is worked out again after rows were saved out of a damaged file.
    pub(super) fn after_salvage(&self) -> &'static [&'static str] {
        self.after_salvage
    }

    /// Brings the store to the newest schema, whatever it has; safe to run in several processes at once.
    pub(super) async fn migrate(&self, conn: &mut AnyConnection, dialect: Dialect) -> Result<(), StoreError> {
        sqlx::query("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
            .execute(&mut *conn)
            .await?;
        sqlx::query("INSERT INTO meta (name, value) VALUES ($1, '0') ON CONFLICT (name) DO NOTHING")
            .bind(self.version)
            .execute(&mut *conn)
            .await?;
        // nothing is written where nothing is to be done: a full disk keeps nobody from what can be read
        let row =
            sqlx::query("SELECT value FROM meta WHERE name = $1").bind(self.version).fetch_one(&mut *conn);
        if row.await?.try_get::<String, _>(0)? == self.steps.len().to_string() {
            return Ok(());
        }
        // the update takes the row's lock, so that two processes that start together take turns
        let row = sqlx::query("UPDATE meta SET value = value WHERE name = $1 RETURNING value")
            .bind(self.version)
            .fetch_one(&mut *conn)
            .await?;
        let text: String = row.try_get(0)?;
        let found: i64 =
            text.parse().map_err(|_| StoreError::Corrupt(format!("{} {text:?}", self.version)))?;
        let known = self.steps.len() as i64;
        if found > known {
            return Err(StoreError::Newer { found, known });
        }
        for step in self.steps.iter().skip(usize::try_from(found).unwrap_or(0)) {
            for statement in step(dialect) {
                sqlx::query(AssertSqlSafe(statement)).execute(&mut *conn).await?;
            }
        }
        sqlx::query("UPDATE meta SET value = $2 WHERE name = $1")
            .bind(self.version)
            .bind(known.to_string())
            .execute(&mut *conn)
            .await?;
        Ok(())
    }
}

/// The sums that version 1 kept.
const FIRST_SUMS: &[&str] = &[
    "requests",
    "compressed",
    "failed",
    "rate_limited",
    "unpriced",
    "tokens_before",
    "tokens_after",
    "tokens_saved",
    "tool_tokens_before",
    "tool_tokens_after",
    "tool_tokens_minified",
    "usage_reports",
    "cache_hits",
    "uncached_input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "saved_nanousd",
    "saved_cached_nanousd",
    "cache_nanousd",
    "input_nanousd",
    "output_nanousd",
];
/// Those that version 2 added.
const SECOND_SUMS: &[&str] = &[
    "unique_tokens_saved",
    "unique_saved_nanousd",
    "new_tool_tokens_before",
    "new_tool_tokens_after",
    "new_tool_tokens_minified",
    "unminified",
    "cache_write_1h_tokens",
    "reasoning_tokens",
];

/// Those that version 4 added.
const FOURTH_SUMS: &[&str] = &[
    "mismatches_headroom",
    "mismatches_client",
    "mismatches_unseen",
    "recovered",
    "hidden_rounds",
    "restored_rounds",
];

/// Those that version 5 added.
const FIFTH_SUMS: &[&str] = &["subscription_requests", "subscription_tokens_saved"];

fn first(dialect: Dialect) -> Vec<String> {
    let sums = columns(FIRST_SUMS);
    let blocks = columns(BlockSums::COLUMNS);
    let clustered = dialect.clustered();
    let bytes = dialect.bytes();
    vec![
        "CREATE TABLE vm (
            vm_id TEXT PRIMARY KEY,
            filter_version TEXT NOT NULL,
            seen TEXT NOT NULL,
            dropped_records BIGINT NOT NULL,
            config_errors BIGINT NOT NULL,
            last_report_ms BIGINT NOT NULL
        )"
        .to_owned(),
        format!(
            "CREATE TABLE tally (
                dimension TEXT NOT NULL, value TEXT NOT NULL, {sums},
                PRIMARY KEY (dimension, value)
            ) {clustered}"
        ),
        "INSERT INTO tally (dimension, value) VALUES ('all', '')".to_owned(),
        format!(
            "CREATE TABLE block_tally (
                dimension TEXT NOT NULL, value TEXT NOT NULL, {blocks},
                PRIMARY KEY (dimension, value)
            ) {clustered}"
        ),
        "CREATE TABLE timing (
            stage TEXT PRIMARY KEY,
            count BIGINT NOT NULL, sum_us BIGINT NOT NULL, min_us BIGINT NOT NULL, max_us BIGINT NOT NULL
        )"
        .to_owned(),
        format!(
            "CREATE TABLE display_session (
                name TEXT PRIMARY KEY, started_ms BIGINT NOT NULL, last_activity_ms BIGINT NOT NULL, {sums}
            )"
        ),
        "INSERT INTO display_session (name, started_ms, last_activity_ms) VALUES ('current', 0, 0)"
            .to_owned(),
        format!(
            "CREATE TABLE checkpoint (
                source TEXT NOT NULL, at_ms BIGINT NOT NULL, {sums},
                PRIMARY KEY (source, at_ms)
            ) {clustered}"
        ),
        format!(
            "CREATE TABLE rollup (
                unit TEXT NOT NULL, dimension TEXT NOT NULL, value TEXT NOT NULL, bucket_ms BIGINT NOT NULL,
                {sums},
                PRIMARY KEY (unit, dimension, value, bucket_ms)
            ) {clustered}"
        ),
        format!(
            "CREATE TABLE request (
                ordinal BIGINT PRIMARY KEY,
                vm_id TEXT NOT NULL,
                overhead_us BIGINT NOT NULL,
                record {bytes} NOT NULL,
                {sums}
            )"
        ),
    ]
}

fn second(_: Dialect) -> Vec<String> {
    added(SECOND_SUMS)
}

fn added(sums: &[&str]) -> Vec<String> {
    let tables = ["tally", "display_session", "checkpoint", "rollup", "request"];
    let columns = tables.iter().flat_map(|table| sums.iter().map(move |column| (table, column)));
    columns
        .map(|(table, column)| format!("ALTER TABLE {table} ADD COLUMN {column} BIGINT NOT NULL DEFAULT 0"))
        .collect()
}

fn third(dialect: Dialect) -> Vec<String> {
    let clustered = dialect.clustered();
    vec![format!(
        "CREATE TABLE spent (
            unit TEXT NOT NULL, bucket_ms BIGINT NOT NULL, per TEXT NOT NULL, owner TEXT NOT NULL,
            tokens BIGINT NOT NULL, nanousd BIGINT NOT NULL,
            PRIMARY KEY (unit, bucket_ms, per, owner)
        ) {clustered}"
    )]
}

fn fourth(_: Dialect) -> Vec<String> {
    let mut steps = added(FOURTH_SUMS);
    steps.extend([
        "ALTER TABLE vm ADD COLUMN dropped_originals BIGINT NOT NULL DEFAULT 0".to_owned(),
        // empty where a request has no digests: nobody looks for it by its conversation
        "ALTER TABLE request ADD COLUMN conversation TEXT NOT NULL DEFAULT ''".to_owned(),
        "CREATE INDEX request_conversation ON request (conversation, ordinal) WHERE conversation <> ''"
            .to_owned(),
    ]);
    steps
}

fn fifth(_: Dialect) -> Vec<String> {
    added(FIFTH_SUMS)
}

fn sixth(_: Dialect) -> Vec<String> {
    let columns = ["begun", "received", "report_interval_ms"];
    columns.map(|column| format!("ALTER TABLE vm ADD COLUMN {column} BIGINT NOT NULL DEFAULT 0")).into()
}

fn columns(names: &[&str]) -> String {
    let column = |name: &&str| format!("{name} BIGINT NOT NULL DEFAULT 0");
    names.iter().map(column).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::sums::Sums;

    #[test]
    fn the_steps_together_make_every_column() {
        let mut made = [FIRST_SUMS, SECOND_SUMS, FOURTH_SUMS, FIFTH_SUMS].concat();
        made.sort_unstable();
        let mut wanted = Sums::COLUMNS.to_vec();
        wanted.sort_unstable();
        assert_eq!(made, wanted);
    }
}
