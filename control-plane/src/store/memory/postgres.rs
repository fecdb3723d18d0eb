//! Memory in a PostgreSQL database, which replicas share.

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

pub use self::facts::SqlMemory as PostgresMemory;
use super::packed::PackedVectors;
use super::{columns, select, unsuitable};
use crate::clock::UnixMs;
use crate::store::Database;
use crate::store::database::Pool;
use crate::store::open::OpenDatabase;
use crate::store::schema::MEMORY;
use crate::trouble::StoreError;

type Db = sqlx::Postgres;
/// A vector as it is stored.
type StoredVector = Vec<f32>;
/// Ordinals as one value.
type Ordinals = Vec<i64>;

const BEGIN: &str = "BEGIN";
/// Facts with words: `$1` the words, `$2` how many, `$3` now, `$4` to `$6` the holders.
const MATCHING: &str = concat!(
    "SELECT ",
    columns!(),
    ", CAST(ts_rank(f.words, asked, 2) AS DOUBLE PRECISION) AS fit
     FROM to_tsquery('english', $1) asked, memory_fact f JOIN memory_holder h ON h.id = f.holder
     WHERE numnode(asked) > 0 AND f.words @@ (CAST(format('''h%s'' | ''h%s'' | ''h%s''', $4, $5, $6) AS TSQUERY) && asked) AND f.expired_ms IS NULL AND (f.invalid_at_ms IS NULL OR f.invalid_at_ms > $3)
       AND f.holder IN ($4, $5, $6)
     ORDER BY fit DESC, f.ordinal DESC LIMIT $2"
);
/// Facts about entities whose names are in a range of bytes: `$1` the ordinal before which they are, `$2` how many, `$3` to `$5`
/// the holders, `$6` and `$7` the range.
const ABOUT_BELOW: &str = select!(
    "WHERE f.expired_ms IS NULL AND f.ordinal < $1 AND f.holder IN ($3, $4, $5) AND f.ordinal IN (
         SELECT e.fact FROM memory_entity e WHERE e.name COLLATE \"C\" >= $6 AND e.name COLLATE \"C\" < $7
     )
     ORDER BY f.ordinal DESC LIMIT $2"
);
/// Versions by their ordinals.
const BY_ORDINAL: &str = select!("WHERE f.ordinal = ANY($1)");
/// The current version of a fact, for a transaction that will end it: `$1` its id, `$2` to `$4` the holders.
const HOLDS: &str =
    select!("WHERE f.id = $1 AND f.expired_ms IS NULL AND f.holder IN ($2, $3, $4) FOR UPDATE OF f");
/// The newest version of a fact, for a transaction that will begin another.
const NEWEST: &str =
    select!("WHERE f.id = $1 AND f.holder IN ($2, $3, $4) ORDER BY f.version DESC LIMIT 1 FOR UPDATE OF f");
/// The nearest facts, by pgvector: `$1` the vector, `$2` the embedder, `$3` how many, `$4` to `$6` the holders.
const NEAREST: &str = "
    SELECT v.fact, CAST(1 - (CAST(v.vector AS vector) <=> CAST(CAST($1 AS REAL[]) AS vector)) AS REAL)
    FROM memory_vector v WHERE v.embedder = $2 AND v.holder IN ($4, $5, $6)
    ORDER BY CAST(v.vector AS vector) <=> CAST(CAST($1 AS REAL[]) AS vector) LIMIT $3";
/// A fact that a record is about to quote. It cannot be ended or deleted before the record is there, and then the record
/// is changed too.
const STANDS: &str = "SELECT ordinal FROM memory_fact WHERE id = $1 AND expired_ms IS NULL FOR SHARE";
/// Vectors of facts: `$1` their ordinals, `$2` the embedder, `$3` to `$5` the holders.
const VECTORS_OF: &str = "SELECT fact, vector FROM memory_vector
    WHERE fact = ANY($1) AND embedder = $2 AND holder IN ($3, $4, $5)";

/// Words for the text index. They consist only of letters and digits.
fn words_query(_: &[i64; 3], words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    words.join(" | ")
}

fn stored_vector(values: &[f32]) -> StoredVector {
    values.to_vec()
}

fn values(stored: &StoredVector) -> impl ExactSizeIterator<Item = f32> {
    stored.iter().copied()
}

fn cosine(asked: &[f32], stored: &StoredVector) -> f32 {
    super::cosine(asked, values(stored))
}

fn ordinals(ordinals: &[i64]) -> Ordinals {
    ordinals.to_vec()
}

impl PostgresMemory {
    /// Connects, and updates the tables. There is no file that could be damaged.
    pub(in crate::store) async fn open_damaged(
        database: &Database,
        now: UnixMs,
        damage: Option<String>,
    ) -> Result<Self, StoreError> {
        let OpenDatabase { pool, location, set_aside } =
            OpenDatabase::open(database, &MEMORY, now, damage).await?;
        let Pool::Postgres(pool) = pool else { return Err(unsuitable()) };
        let has_pgvector: Option<i32> =
            sqlx::query_scalar("SELECT 1 FROM pg_extension WHERE extname = 'vector'")
                .fetch_optional(&pool)
                .await?;
        let nearest = has_pgvector.map(|_| NEAREST);
        Ok(Self { pool, location, nearest, packed: PackedVectors::default(), set_aside })
    }
}
