//! Memory in SQLite or PostgreSQL.
//!
//! Both use almost the same SQL, over pools of different types: `facts.rs`, `versions.rs` and `contexts.rs` are compiled
//! once for each, with the differences in a separate file. Triggers keep the text index and clean up after a version that ends, in the
//! transaction of the row.

mod packed;
mod postgres;
mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::postgres::PostgresMemory;
pub use self::sqlite::SqliteMemory;
use crate::clock::now_ms;
use crate::memory::{MemoryPlace, MemoryStore};
use crate::store::{Database, Renewing};
use crate::trouble::{StoreError, StoreWatch};

/// Opens memory, creates it if it does not exist, and updates its tables.
pub async fn open(database: &Database) -> Result<Arc<dyn MemoryStore>, StoreError> {
    MemoryPlace::open(database, Arc::default()).await
}

#[async_trait]
impl MemoryPlace for Database {
    async fn open(&self, watch: Arc<StoreWatch>) -> Result<Arc<dyn MemoryStore>, StoreError> {
        let clock = Arc::new(now_ms);
        Ok(match self {
            Self::File(_) => Arc::new(Renewing::<SqliteMemory>::open_watched(self, clock, watch).await?),
            Self::Postgres(_) => {
                Arc::new(Renewing::<PostgresMemory>::open_watched(self, clock, watch).await?)
            }
            Self::Lines(_) | Self::Memory => return Err(unsuitable()),
        })
    }
}

fn unsuitable() -> StoreError {
    sqlx::Error::Configuration("facts are kept in a file of SQLite or in PostgreSQL".into()).into()
}

/// An id for a new fact: 64 random bits in hexadecimal. The store refuses an id that is in use.
fn new_id() -> String {
    super::open::random_hex().chars().take(16).collect()
}

/// The nearest so far: a bounded list, the nearest first.
#[derive(Debug)]
struct Nearest {
    limit: usize,
    found: Vec<(i64, f32)>,
}

impl Nearest {
    fn new(limit: u32) -> Self {
        Self { limit: limit as usize, found: Vec::new() }
    }

    fn add(&mut self, ordinal: i64, cosine: f32) {
        let full = self.found.len() == self.limit;
        if full && self.found.last().is_none_or(|(_, last)| *last >= cosine) {
            return;
        }
        let at = self.found.partition_point(|(_, other)| *other >= cosine);
        self.found.insert(at, (ordinal, cosine));
        self.found.truncate(self.limit);
    }
}

/// The cosine of two vectors of length 1; 0 if their dimensions differ.
fn cosine(one: &[f32], other: impl ExactSizeIterator<Item = f32>) -> f32 {
    if one.len() != other.len() {
        return 0.0;
    }
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

/// The columns of a version, in the order of the fields of `Line`.
macro_rules! columns {
    () => {
        "f.ordinal, f.id, f.version, h.tenant, h.scope, h.owner, f.content, f.importance, f.entities, f.relationships,
         f.agent, f.provider, f.via, f.conversation, f.reason, f.created_ms, f.valid_from_ms, f.invalid_at_ms,
         f.expired_ms, f.ended, f.ended_agent, f.ended_via, f.ended_reason, f.merged_into"
    };
}

/// A statement for versions of facts.
macro_rules! select {
    ($rest:expr) => {
        concat!(
            "SELECT ",
            crate::store::memory::columns!(),
            " FROM memory_fact f JOIN memory_holder h ON h.id = f.holder ",
            $rest
        )
    };
}

use {columns, select};
