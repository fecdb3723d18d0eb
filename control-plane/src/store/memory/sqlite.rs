//! Memory in an SQLite file.

#[path = "contexts.rs"]
#[allow(clippy::duplicate_mod, reason = "it is compiled once for each database, over its own types")]
mod contexts;
#[path = "facts.rs"]
#[allow(clippy::duplicate_mod, reason = "as contexts")]
mod facts;
#[path = "nearest.rs"]
#[allow(clippy::duplicate_mod, reason = "it is compiled once for each database, over its own types")]
mod nearest;
#[path = "versions.rs"]
#[allow(clippy::duplicate_mod, reason = "as contexts")]
mod versions;

pub use self::facts::SqlMemory as SqliteMemory;
use super::packed::PackedVectors;
use super::{columns, select, unsuitable};
use crate::clock::UnixMs;
use crate::store::Database;
use crate::store::database::Pool;
use crate::store::open::OpenDatabase;
use crate::store::schema::MEMORY;
use crate::trouble::StoreError;

type Db = sqlx::Sqlite;
/// A vector as it is stored.
type StoredVector = Vec<u8>;
/// Ordinals as one value.
type Ordinals = String;

/// Takes the write lock at once: taking it later would fail if another process wrote in between.
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
/// Facts about entities whose names are in a range of bytes: `$1` the ordinal before which they are, `$2` how many, `$3` to `$5`
/// the holders, `$6` and `$7` the range.
const ABOUT_BELOW: &str = select!(
    "WHERE f.expired_ms IS NULL AND f.ordinal < $1 AND f.holder IN ($3, $4, $5) AND f.ordinal IN (
         SELECT e.fact FROM memory_entity e WHERE e.name >= $6 AND e.name < $7
     )
     ORDER BY f.ordinal DESC LIMIT $2"
);
/// Versions by their ordinals.
const BY_ORDINAL: &str = select!("WHERE f.ordinal IN (SELECT value FROM json_each($1))");
/// The current version of a fact, for a transaction that will end it: `$1` its id, `$2` to `$4` the holders.
const HOLDS: &str = select!("WHERE f.id = $1 AND f.expired_ms IS NULL AND f.holder IN ($2, $3, $4)");
/// The newest version of a fact, for a transaction that will begin another.
const NEWEST: &str = select!("WHERE f.id = $1 AND f.holder IN ($2, $3, $4) ORDER BY f.version DESC LIMIT 1");
/// A fact that a record is about to quote.
const STANDS: &str = "SELECT ordinal FROM memory_fact WHERE id = $1 AND expired_ms IS NULL";
/// Vectors of facts: `$1` their ordinals, `$2` the embedder, `$3` to `$5` the holders.
const VECTORS_OF: &str = "SELECT fact, vector FROM memory_vector
    WHERE fact IN (SELECT value FROM json_each($1)) AND embedder = $2 AND holder IN ($3, $4, $5)";

/// Words for the text index. They consist only of letters and digits.
fn words_query(holders: &[i64; 3], words: &[String]) -> String {
    let holders: Vec<String> = holders.iter().map(|holder| format!("\"h{holder}\"")).collect();
    let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    format!("holder : ({}) AND content : ({})", holders.join(" OR "), words.join(" OR "))
}

fn stored_vector(values: &[f32]) -> StoredVector {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn values(stored: &StoredVector) -> impl ExactSizeIterator<Item = f32> {
    let (stored, _) = stored.as_chunks::<4>();
    stored.iter().map(|bytes| f32::from_le_bytes(*bytes))
}

fn cosine(asked: &[f32], stored: &StoredVector) -> f32 {
    super::cosine(asked, values(stored))
}

fn ordinals(ordinals: &[i64]) -> Ordinals {
    let ordinals: Vec<String> = ordinals.iter().map(i64::to_string).collect();
    format!("[{}]", ordinals.join(","))
}

impl SqliteMemory {
    /// Opens the file, creates it if it does not exist, and updates its tables. With `damage`, or if it is found to be
    /// damaged, it is set aside, and the readable rows go into a new file.
    pub(in crate::store) async fn open_damaged(
        database: &Database,
        now: UnixMs,
        damage: Option<String>,
    ) -> Result<Self, StoreError> {
        let OpenDatabase { pool, location, set_aside } =
            OpenDatabase::open(database, &MEMORY, now, damage).await?;
        match pool {
            Pool::Sqlite(pool) => {
                Ok(Self { pool, location, nearest: None, packed: PackedVectors::default(), set_aside })
            }
            Pool::Postgres(_) | Pool::Lines(..) => Err(unsuitable()),
        }
    }
}
