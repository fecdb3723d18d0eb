//! The statements of memory. This file is compiled for SQLite and for PostgreSQL; the file that includes it has the
//! differences.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use headroom_api::memory::Scope;
use sqlx::{Pool, Transaction};

use super::contexts;
use super::versions::{
    Line, Match, TRIES, Version, end_version, holder_number, holder_of, insert, locked, stored, version,
    with_text,
};
use super::{
    ABOUT_BELOW, BEGIN, BY_ORDINAL, Db, HOLDS, MATCHING, NEWEST, Ordinals, ordinals, stored_vector,
    words_query,
};
use crate::clock::UnixMs;
use crate::memory::{
    ConversationContext, Draft, Ending, FactScope, Holder, MemoryStore, MemorySums, Origin, SaveOutcome,
    StoredFact, UpdateOutcome, Vector, fingerprint,
};
use crate::purge::Scope as Purge;
use crate::store::memory::packed::PackedVectors;
use crate::store::memory::select;
use crate::trouble::StoreError;

/// No holder has this number.
const NOBODY: i64 = -1;

/// Memory in one database.
#[derive(Debug)]
pub struct SqlMemory {
    pub(super) pool: Pool<Db>,
    pub(super) location: String,
    /// The statement that finds the nearest vectors, if the database supports that.
    pub(super) nearest: Option<&'static str>,
    pub(super) packed: PackedVectors,
    pub(super) set_aside: Option<PathBuf>,
}

impl SqlMemory {
    /// The path of a damaged file that was set aside when this store was opened.
    pub fn set_aside(&self) -> Option<&Path> {
        self.set_aside.as_deref()
    }
}

impl SqlMemory {
    async fn begin(&self) -> Result<Transaction<'_, Db>, StoreError> {
        Ok(self.pool.begin_with(BEGIN).await?)
    }

    /// The numbers of the holders within reach, of one scope if one is named.
    async fn holders(&self, reach: &FactScope, scope: Option<Scope>) -> Result<[i64; 3], StoreError> {
        let mut found = [NOBODY; 3];
        let scopes = [Scope::Project, Scope::User, Scope::Team];
        for (number, each) in found.iter_mut().zip(scopes) {
            let Some(holder) = reach.holder(each).filter(|_| scope.is_none_or(|wanted| wanted == each))
            else {
                continue;
            };
            let asked = sqlx::query_scalar(
                "SELECT id FROM memory_holder WHERE tenant = $1 AND scope = $2 AND owner = $3",
            );
            let asked = asked.bind(holder.tenant).bind(each.name()).bind(holder.owner);
            *number = asked.fetch_optional(&self.pool).await?.unwrap_or(NOBODY);
        }
        Ok(found)
    }

    async fn by_ordinal(&self, wanted: Ordinals) -> Result<Vec<StoredFact>, StoreError> {
        stored(sqlx::query_as(BY_ORDINAL).bind(wanted).fetch_all(&self.pool).await?)
    }
}

#[async_trait]
impl MemoryStore for SqlMemory {
    fn location(&self) -> &str {
        &self.location
    }

    async fn save(
        &self,
        holder: &Holder,
        drafts: &[Draft],
        now: UnixMs,
    ) -> Result<Vec<SaveOutcome>, StoreError> {
        let mut tx = self.begin().await?;
        let number = holder_number(&mut tx, holder).await?;
        let mut order: Vec<(String, usize)> =
            drafts.iter().enumerate().map(|(at, draft)| (fingerprint(&draft.content), at)).collect();
        // sorted, because two writers with different orders could deadlock
        order.sort_unstable();
        let mut saved: Vec<Option<SaveOutcome>> = drafts.iter().map(|_| None).collect();
        for (_, at) in order {
            let (Some(draft), Some(place)) = (drafts.get(at), saved.get_mut(at)) else { continue };
            for _ in 0..TRIES {
                let id = crate::store::memory::new_id();
                let new = Version { id: &id, number: 1, draft, apart: 0 };
                *place = match insert(&mut tx, number, &new, now).await? {
                    Some(ordinal) => Some(SaveOutcome::New(version(&mut tx, ordinal).await?)),
                    None => with_text(&mut tx, number, &draft.content).await?.map(SaveOutcome::Known),
                };
                if place.is_some() {
                    break;
                }
            }
        }
        let saved: Option<Vec<SaveOutcome>> = saved.into_iter().collect();
        let saved = saved.ok_or(StoreError::from(sqlx::Error::RowNotFound))?;
        tx.commit().await?;
        Ok(saved)
    }

    async fn update(
        &self,
        reach: &FactScope,
        id: &str,
        draft: &Draft,
        now: UnixMs,
    ) -> Result<UpdateOutcome, StoreError> {
        let holders = self.holders(reach, None).await?;
        let mut tx = self.begin().await?;
        let Some(before) = locked(&mut tx, HOLDS, id, &holders).await? else {
            return Ok(UpdateOutcome::NotFound);
        };
        if fingerprint(&before.fact.content) == fingerprint(&draft.content) {
            return Ok(UpdateOutcome::Unchanged(before));
        }
        let mut draft = draft.clone();
        if draft.entities.is_empty() && draft.relationships.is_empty() {
            draft.entities.clone_from(&before.fact.entities);
            draft.relationships.clone_from(&before.fact.relationships);
        }
        let holder = holder_of(&mut tx, before.ordinal).await?;
        let next = Version { id, number: before.fact.version + 1, draft: &draft, apart: 0 };
        if let Some(other) = with_text(&mut tx, holder, &draft.content).await? {
            end_version(&mut tx, before.ordinal, Ending::Merged, &draft.origin, &other.fact.id, now).await?;
            tx.commit().await?;
            return Ok(UpdateOutcome::Merged(other));
        }
        end_version(&mut tx, before.ordinal, Ending::Updated, &draft.origin, "", now).await?;
        let ordinal = insert(&mut tx, holder, &next, now).await?;
        // another caller has saved the same text at this moment, so the operation is retried
        let ordinal = ordinal.ok_or(StoreError::from(sqlx::Error::RowNotFound))?;
        let changed = version(&mut tx, ordinal).await?;
        tx.commit().await?;
        Ok(UpdateOutcome::Changed(changed))
    }

    async fn end(
        &self,
        reach: &FactScope,
        id: &str,
        ending: Ending,
        origin: &Origin,
        now: UnixMs,
    ) -> Result<Option<StoredFact>, StoreError> {
        let holders = self.holders(reach, None).await?;
        let mut tx = self.begin().await?;
        let Some(found) = locked(&mut tx, HOLDS, id, &holders).await? else { return Ok(None) };
        end_version(&mut tx, found.ordinal, ending, origin, "", now).await?;
        let ended = version(&mut tx, found.ordinal).await?;
        tx.commit().await?;
        Ok(Some(ended))
    }

    async fn restore(
        &self,
        reach: &FactScope,
        id: &str,
        origin: &Origin,
        now: UnixMs,
    ) -> Result<UpdateOutcome, StoreError> {
        let holders = self.holders(reach, None).await?;
        let mut tx = self.begin().await?;
        let Some(last) = locked(&mut tx, NEWEST, id, &holders).await? else {
            return Ok(UpdateOutcome::NotFound);
        };
        if last.fact.ended.is_none() {
            return Ok(UpdateOutcome::Unchanged(last));
        }
        let fact = &last.fact;
        let draft = Draft {
            content: fact.content.clone(),
            entities: fact.entities.clone(),
            relationships: fact.relationships.clone(),
            importance: fact.importance,
            valid_from: fact.valid_from,
            invalid_at: fact.invalid_at,
            origin: origin.clone(),
            vector: None,
        };
        let holder = holder_of(&mut tx, last.ordinal).await?;
        let again = Version { id, number: fact.version + 1, draft: &draft, apart: 1 };
        let restored = match insert(&mut tx, holder, &again, now).await? {
            Some(ordinal) => UpdateOutcome::Changed(version(&mut tx, ordinal).await?),
            None => match with_text(&mut tx, holder, &draft.content).await? {
                Some(other) => UpdateOutcome::Merged(other),
                None => return Err(StoreError::from(sqlx::Error::RowNotFound)),
            },
        };
        tx.commit().await?;
        Ok(restored)
    }

    async fn history(&self, reach: &FactScope, id: &str) -> Result<Vec<StoredFact>, StoreError> {
        let holders = self.holders(reach, None).await?;
        let query = sqlx::query_as::<Db, Line>(select!(
            "WHERE f.id = $1 AND f.holder IN ($2, $3, $4) ORDER BY f.version"
        ));
        let query = holders.iter().fold(query.bind(id.to_owned()), |query, holder| query.bind(*holder));
        stored(query.fetch_all(&self.pool).await?)
    }

    async fn list(
        &self,
        reach: &FactScope,
        scope: Option<Scope>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<StoredFact>, StoreError> {
        let holders = self.holders(reach, scope).await?;
        let query = sqlx::query_as::<Db, Line>(select!(
            "WHERE f.expired_ms IS NULL AND f.ordinal < $1 AND f.holder IN ($3, $4, $5)
             ORDER BY f.ordinal DESC LIMIT $2"
        ));
        let query = query.bind(before.unwrap_or(i64::MAX)).bind(i64::from(limit));
        let query = holders.iter().fold(query, |query, holder| query.bind(*holder));
        stored(query.fetch_all(&self.pool).await?)
    }

    async fn about_below(
        &self,
        reach: &FactScope,
        folder: &str,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<StoredFact>, StoreError> {
        let holders = self.holders(reach, None).await?;
        let query = sqlx::query_as::<Db, Line>(ABOUT_BELOW);
        let query = query.bind(before.unwrap_or(i64::MAX)).bind(i64::from(limit));
        let query = holders.iter().fold(query, |query, holder| query.bind(*holder));
        // `0` is the byte after the slash
        let query = query.bind(format!("{folder}/")).bind(format!("{folder}0"));
        stored(query.fetch_all(&self.pool).await?)
    }

    async fn matching(
        &self,
        reach: &FactScope,
        words: &[String],
        now: UnixMs,
        limit: u32,
    ) -> Result<Vec<(StoredFact, f64)>, StoreError> {
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let holders = self.holders(reach, None).await?;
        let query = sqlx::query_as::<Db, Match>(MATCHING);
        let query = query.bind(words_query(&holders, words)).bind(i64::from(limit)).bind(now);
        let query = holders.iter().fold(query, |query, holder| query.bind(*holder));
        let found = query.fetch_all(&self.pool).await?;
        found.into_iter().map(|found| Ok((found.line.stored()?, found.fit))).collect()
    }

    async fn nearest(
        &self,
        reach: &FactScope,
        vector: &Vector,
        now: UnixMs,
        limit: u32,
    ) -> Result<Vec<(StoredFact, f32)>, StoreError> {
        let holders = self.holders(reach, None).await?;
        let near: Vec<(i64, f32)> = if let Some(statement) = self.nearest {
            let query = sqlx::query_as::<Db, (i64, f32)>(statement);
            let query =
                query.bind(stored_vector(&vector.values)).bind(&vector.embedder).bind(i64::from(limit));
            holders.iter().fold(query, |query, holder| query.bind(*holder)).fetch_all(&self.pool).await?
        } else {
            self.nearest_vectors(&holders, vector, limit).await?
        };
        // a vector of zeros has no angle to any other
        let near: Vec<(i64, f32)> = near.into_iter().filter(|(_, cosine)| cosine.is_finite()).collect();
        let wanted: Vec<i64> = near.iter().map(|(ordinal, _)| *ordinal).collect();
        let mut facts = self.by_ordinal(ordinals(&wanted)).await?;
        facts.retain(|found| {
            reach.holds(&found.holder())
                && found.fact.ended.is_none()
                && found.fact.invalid_at.is_none_or(|until| until > now)
        });
        let with_cosine = near.into_iter().filter_map(|(ordinal, cosine)| {
            let at = facts.iter().position(|found| found.ordinal == ordinal)?;
            Some((facts.swap_remove(at), cosine))
        });
        Ok(with_cosine.collect())
    }

    async fn about(
        &self,
        reach: &FactScope,
        entities: &[String],
        now: UnixMs,
        limit: u32,
    ) -> Result<Vec<StoredFact>, StoreError> {
        let holders = self.holders(reach, None).await?;
        let mut found: Vec<StoredFact> = Vec::new();
        for entity in entities {
            let query = sqlx::query_as::<Db, Line>(select!(
                "JOIN memory_entity e ON e.fact = f.ordinal
                 WHERE e.name = $1 AND f.expired_ms IS NULL AND (f.invalid_at_ms IS NULL OR f.invalid_at_ms > $3)
                   AND f.holder IN ($4, $5, $6)
                 ORDER BY f.ordinal DESC LIMIT $2"
            ));
            let query = query.bind(entity).bind(i64::from(limit)).bind(now);
            let query = holders.iter().fold(query, |query, holder| query.bind(*holder));
            found.extend(stored(query.fetch_all(&self.pool).await?)?);
        }
        found.sort_unstable_by_key(|found| std::cmp::Reverse(found.ordinal));
        found.dedup_by_key(|found| found.ordinal);
        found.truncate(limit as usize);
        Ok(found)
    }

    async fn newest(&self) -> Result<i64, StoreError> {
        let newest = sqlx::query_scalar("SELECT COALESCE(MAX(ordinal), 0) FROM memory_fact");
        Ok(newest.fetch_one(&self.pool).await?)
    }

    async fn unembedded(
        &self,
        embedder: &str,
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredFact>, StoreError> {
        let query = sqlx::query_as(select!(
            "LEFT JOIN memory_vector v ON v.fact = f.ordinal AND v.embedder = $1
             WHERE f.ordinal > $2 AND f.expired_ms IS NULL AND v.fact IS NULL ORDER BY f.ordinal LIMIT $3"
        ));
        let query = query.bind(embedder.to_owned()).bind(after).bind(i64::from(limit));
        stored(query.fetch_all(&self.pool).await?)
    }

    async fn embed(&self, embedder: &str, vectors: &[(i64, Vec<f32>)]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for (ordinal, values) in vectors {
            let vector = sqlx::query(
                "INSERT INTO memory_vector (holder, fact, embedder, vector)
                 SELECT holder, ordinal, $2, $3 FROM memory_fact WHERE ordinal = $1 AND expired_ms IS NULL
                 ON CONFLICT (holder, fact) DO UPDATE SET embedder = excluded.embedder, vector = excluded.vector",
            );
            let vector = vector.bind(*ordinal).bind(embedder.to_owned()).bind(stored_vector(values));
            vector.execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    async fn duplicates(&self, after: i64, limit: u32) -> Result<Vec<(StoredFact, StoredFact)>, StoreError> {
        let pairs: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT MIN(older.ordinal), newer.ordinal FROM memory_fact newer
             JOIN memory_fact older ON older.holder = newer.holder AND older.likeness = newer.likeness
                 AND older.ordinal < newer.ordinal AND older.expired_ms IS NULL AND older.apart = 0
             WHERE newer.ordinal > $1 AND newer.expired_ms IS NULL AND newer.apart = 0
             GROUP BY newer.ordinal ORDER BY newer.ordinal LIMIT $2",
        )
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        let wanted: Vec<i64> = pairs.iter().flat_map(|(older, newer)| [*older, *newer]).collect();
        let facts = self.by_ordinal(ordinals(&wanted)).await?;
        let find = |ordinal: i64| facts.iter().find(|found| found.ordinal == ordinal).cloned();
        Ok(pairs.into_iter().filter_map(|(older, newer)| Some((find(older)?, find(newer)?))).collect())
    }

    async fn merge(
        &self,
        older: &StoredFact,
        newer: &StoredFact,
        origin: &Origin,
        now: UnixMs,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        // the older one is written too, so that no other transaction ends it at the same moment
        let both =
            sqlx::query("UPDATE memory_fact SET apart = apart WHERE ordinal = $1 AND expired_ms IS NULL");
        let holds = both.bind(older.ordinal).execute(&mut *tx).await?.rows_affected() == 1;
        let merged =
            holds && end_version(&mut tx, newer.ordinal, Ending::Merged, origin, &older.fact.id, now).await?;
        tx.commit().await?;
        Ok(merged)
    }

    async fn context(&self, tenant: &str, conversation: &str) -> Result<Option<String>, StoreError> {
        contexts::find(&self.pool, tenant, conversation).await
    }

    async fn decide_context(&self, context: &ConversationContext, now: UnixMs) -> Result<String, StoreError> {
        let mut tx = self.begin().await?;
        let decided = contexts::decide(&mut tx, context, now).await?;
        tx.commit().await?;
        Ok(decided)
    }

    async fn withdraw_context(
        &self,
        tenant: &str,
        conversation: &str,
        request: &str,
        now: UnixMs,
    ) -> Result<(), StoreError> {
        contexts::withdraw(&self.pool, tenant, conversation, request, now).await
    }

    async fn forget_contexts(&self, before: UnixMs) -> Result<u64, StoreError> {
        contexts::forget(&self.pool, before).await
    }

    async fn forget(&self, reach: &FactScope, id: &str) -> Result<bool, StoreError> {
        let holders = self.holders(reach, None).await?;
        let mut tx = self.begin().await?;
        let query = sqlx::query("DELETE FROM memory_fact WHERE id = $1 AND holder IN ($2, $3, $4)");
        let query = holders.iter().fold(query.bind(id.to_owned()), |query, holder| query.bind(*holder));
        let is_gone = query.execute(&mut *tx).await?.rows_affected() > 0;
        if is_gone {
            contexts::empty_with(&mut tx, &reach.tenant, id).await?;
        }
        tx.commit().await?;
        Ok(is_gone)
    }

    async fn purge(&self, scope: &Purge, dry_run: bool) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let gone = match scope {
            Purge::All => sqlx::query("DELETE FROM memory_fact").execute(&mut *tx).await?,
            Purge::Tenant(tenant) => {
                let facts = sqlx::query(
                    "DELETE FROM memory_fact WHERE holder IN (SELECT id FROM memory_holder WHERE tenant = $1)",
                );
                facts.bind(tenant).execute(&mut *tx).await?
            }
            Purge::Before(time) => {
                let ended = sqlx::query("DELETE FROM memory_fact WHERE expired_ms < $1");
                ended.bind(*time).execute(&mut *tx).await?
            }
        };
        let holders = match scope {
            Purge::All => Some(sqlx::query("DELETE FROM memory_holder")),
            Purge::Tenant(tenant) => {
                Some(sqlx::query("DELETE FROM memory_holder WHERE tenant = $1").bind(tenant))
            }
            Purge::Before(_) => None,
        };
        if let Some(holders) = holders {
            holders.execute(&mut *tx).await?;
        }
        contexts::purge(&mut tx, scope).await?;
        if !dry_run {
            tx.commit().await?;
        }
        Ok(gone.rows_affected())
    }

    async fn sums(&self, reach: &FactScope, embedder: Option<&str>) -> Result<MemorySums, StoreError> {
        let holders = self.holders(reach, None).await?;
        let mut sums = MemorySums::default();
        let counts = [&mut sums.project, &mut sums.user, &mut sums.team];
        for (count, holder) in counts.into_iter().zip(holders) {
            let holding = sqlx::query_scalar(
                "SELECT COUNT(*) FROM memory_fact WHERE holder = $1 AND expired_ms IS NULL",
            );
            *count = holding.bind(holder).fetch_one(&self.pool).await?;
            let ended = sqlx::query_scalar::<Db, i64>(
                "SELECT COUNT(*) FROM memory_fact WHERE holder = $1 AND expired_ms IS NOT NULL",
            );
            sums.ended += ended.bind(holder).fetch_one(&self.pool).await?;
            if let Some(embedder) = embedder {
                let seen = sqlx::query_scalar::<Db, i64>(
                    "SELECT COUNT(*) FROM memory_vector WHERE holder = $1 AND embedder = $2",
                );
                let seen = seen.bind(holder).bind(embedder.to_owned()).fetch_one(&self.pool).await?;
                sums.unembedded += *count - seen;
            }
        }
        Ok(sums)
    }

    async fn check(&self) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE memory_check SET value = value WHERE name = 'writes'").execute(&mut *tx).await?;
        // a rolled-back transaction never reaches the disk
        tx.commit().await?;
        Ok(())
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}
