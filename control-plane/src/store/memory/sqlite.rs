//! Memory in an SQLite file.

#[path = "facts.rs"]
#[allow(clippy::duplicate_mod, reason = "it is compiled once for each database, over its own types")]
mod facts;

use std::path::Path;

use sqlx::Connection as _;
use sqlx::migrate::Migrator;

pub use self::facts::SqlMemory as SqliteMemory;
use super::{MIGRATIONS, columns, migrated, select};
use crate::store::database::connect_to_file;
use crate::store::open::{make_private, sqlite_pool};
use crate::trouble::StoreError;

type Db = sqlx::Sqlite;
/// A vector as it is stored.
type StoredVector = Vec<u8>;
/// Ordinals as one value.
type Ordinals = String;

/// Connections kept to the file.
const CONNECTIONS: u32 = 4;
/// Takes the write lock at once: taking it later would fail where another process wrote in between.
const BEGIN: &str = "BEGIN IMMEDIATE";
/// Facts with words: `$1` the words, `$2` how many, `$3` now, `$4` to `$6` the holders.
const MATCHING: &str = concat!(
    "SELECT ",
    columns!(),
    ", -m.fit AS fit FROM (
        SELECT rowid AS ordinal, bm25(memory_text, 0.0, 1.0) AS fit FROM memory_text
        WHERE memory_text MATCH $1 ORDER BY fit LIMIT $2
     ) m
     JOIN memory_fact f ON f.ordinal = m.ordinal JOIN memory_holder h ON h.id = f.holder
     WHERE f.expired_ms IS NULL AND (f.invalid_at_ms IS NULL OR f.invalid_at_ms > $3) AND f.holder IN ($4, $5, $6)
     ORDER BY m.fit"
);
/// Versions by their ordinals.
const BY_ORDINAL: &str = select!("WHERE f.ordinal IN (SELECT value FROM json_each($1))");
/// The version of a fact that holds, for a transaction that will end it: `$1` its id, `$2` to `$4` the holders.
const HOLDS: &str = select!("WHERE f.id = $1 AND f.expired_ms IS NULL AND f.holder IN ($2, $3, $4)");
/// The newest version of a fact, for a transaction that will begin another.
const NEWEST: &str = select!("WHERE f.id = $1 AND f.holder IN ($2, $3, $4) ORDER BY f.version DESC LIMIT 1");

/// Words for the text index. They are letters and digits alone.
fn words_query(holders: &[i64; 3], words: &[String]) -> String {
    let holders: Vec<String> = holders.iter().map(|holder| format!("\"h{holder}\"")).collect();
    let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    format!("holder : ({}) AND content : ({})", holders.join(" OR "), words.join(" OR "))
}

fn stored_vector(values: &[f32]) -> StoredVector {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn cosine(values: &[f32], stored: &StoredVector) -> f32 {
    let (stored, _) = stored.as_chunks::<4>();
    super::cosine(values, stored.iter().map(|bytes| f32::from_le_bytes(*bytes)))
}

fn ordinals(ordinals: &[i64]) -> Ordinals {
    let ordinals: Vec<String> = ordinals.iter().map(i64::to_string).collect();
    format!("[{}]", ordinals.join(","))
}

impl SqliteMemory {
    /// Opens the file, makes it if it is not there, and brings its tables up to date.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        make_private(path)?;
        sound(path).await?;
        let pool = sqlite_pool(path, CONNECTIONS).await?;
        let mut migrator: Migrator = sqlx::migrate!("src/store/memory/sqlite");
        migrator.dangerous_set_table_name(MIGRATIONS);
        let known = migrator.iter().map(|step| step.version).max().unwrap_or_default();
        // processes that start together on one file take turns at its tables: sqlx locks for PostgreSQL only
        let mut tx = pool.begin_with(BEGIN).await?;
        migrated(migrator.run_direct(None, &mut *tx, false).await, known)?;
        tx.commit().await?;
        Ok(Self { pool, location: path.display().to_string(), nearest: None })
    }
}

/// Refuses a file that is damaged, before anything is written to it.
async fn sound(path: &Path) -> Result<(), StoreError> {
    let mut conn = connect_to_file(path).await?;
    let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut conn).await?;
    conn.close().await?;
    match verdict.as_str() {
        "ok" => Ok(()),
        damage => Err(StoreError::Corrupt(format!("the file is damaged: {damage}"))),
    }
}
