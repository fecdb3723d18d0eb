//! The nearest vectors where the database has no index for them. This file is compiled for SQLite and for PostgreSQL, as
//! `facts.rs`.

use std::sync::Arc;

use tokio_stream::StreamExt as _;

use super::facts::SqlMemory;
use super::{Db, StoredVector, VECTORS_OF, cosine, ordinals, values};
use crate::memory::Vector;
use crate::store::memory::Nearest;
use crate::store::memory::packed::{HolderVectors, VectorSetDigest};
use crate::trouble::StoreError;

/// Candidates for each vector that is wanted: bytes tell apart what differs by a hundredth.
const CANDIDATES: u32 = 4;

impl SqlMemory {
    /// The nearest vectors of some holders, compared as they are stored.
    pub(super) async fn nearest_vectors(
        &self,
        holders: &[i64; 3],
        vector: &Vector,
        limit: u32,
    ) -> Result<Vec<(i64, f32)>, StoreError> {
        let mut nearest = Nearest::new(limit);
        let mut candidates: Vec<i64> = Vec::new();
        // numbers begin with 1: a smaller one belongs to no holder
        for holder in holders.iter().filter(|holder| **holder > 0) {
            match self.packed(*holder, vector).await? {
                Some(packed) => {
                    let near = packed.nearest(&vector.values, limit.saturating_mul(CANDIDATES));
                    candidates.extend(near.found.into_iter().map(|(ordinal, _)| ordinal));
                }
                None => {
                    self.each(*holder, &vector.embedder, 0, |ordinal, stored| {
                        nearest.add(ordinal, cosine(&vector.values, stored));
                    })
                    .await?;
                }
            }
        }
        let [project, user, team] = holders;
        let exact = sqlx::query_as::<Db, (i64, StoredVector)>(VECTORS_OF)
            .bind(ordinals(&candidates))
            .bind(&vector.embedder);
        for (ordinal, stored) in exact.bind(project).bind(user).bind(team).fetch_all(&self.pool).await? {
            nearest.add(ordinal, cosine(&vector.values, &stored));
        }
        Ok(nearest.found)
    }

    /// A holder's vectors, as they are now; `None`: they have no room.
    async fn packed(&self, holder: i64, vector: &Vector) -> Result<Option<Arc<HolderVectors>>, StoreError> {
        let Vector { embedder, values: asked } = vector;
        let held = sqlx::query_as(
            "SELECT COUNT(*), CAST(COALESCE(SUM(fact), 0) AS BIGINT) FROM memory_vector
             WHERE holder = $1 AND embedder = $2",
        );
        let (count, sum) = held.bind(holder).bind(embedder).fetch_one(&self.pool).await?;
        let held = VectorSetDigest { count, sum };
        if !HolderVectors::has_room_for(held, asked.len()) {
            return Ok(None);
        }
        let known = self.packed.get(holder, embedder).filter(|known| known.dimensions() == asked.len());
        if let Some(known) = known {
            if known.held() == held {
                return Ok(Some(known));
            }
            // facts that were saved since then stand behind those that are known
            let mut more = HolderVectors::clone(&known);
            self.read(&mut more, holder, embedder).await?;
            if more.held() == held {
                return Ok(Some(self.keep(holder, embedder, more)));
            }
        }
        let mut all = HolderVectors::new(asked.len());
        self.read(&mut all, holder, embedder).await?;
        Ok(Some(self.keep(holder, embedder, all)))
    }

    fn keep(&self, holder: i64, embedder: &str, vectors: HolderVectors) -> Arc<HolderVectors> {
        let vectors = Arc::new(vectors);
        self.packed.keep(holder, embedder, Arc::clone(&vectors));
        vectors
    }

    async fn read(&self, packed: &mut HolderVectors, holder: i64, embedder: &str) -> Result<(), StoreError> {
        let mut row = Vec::with_capacity(packed.dimensions());
        self.each(holder, embedder, packed.last(), |ordinal, stored| {
            row.clear();
            row.extend(values(stored));
            packed.push(ordinal, &row);
        })
        .await
    }

    /// The vectors of a holder behind an ordinal, one after the other.
    async fn each(
        &self,
        holder: i64,
        embedder: &str,
        after: i64,
        mut take: impl FnMut(i64, &StoredVector),
    ) -> Result<(), StoreError> {
        let query = sqlx::query_as::<Db, (i64, StoredVector)>(
            "SELECT fact, vector FROM memory_vector WHERE holder = $1 AND embedder = $2 AND fact > $3 ORDER BY fact",
        );
        let mut rows = query.bind(holder).bind(embedder).bind(after).fetch(&self.pool);
        while let Some(row) = rows.next().await {
            let (ordinal, stored) = row?;
            take(ordinal, &stored);
        }
        Ok(())
    }
}
