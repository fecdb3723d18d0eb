//! The statements of memory. This file is compiled for SQLite and for PostgreSQL; the file that includes it has the
//! differences.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use headroom_api::memory::{Ended, Fact, Scope};
use sqlx::{FromRow, Pool, Transaction};

use super::{
    BEGIN, BY_ORDINAL, Db, HOLDS, MATCHING, NEWEST, Ordinals, STANDS, ordinals, stored_vector, words_query,
};
use crate::clock::UnixMs;
use crate::memory::{
    ConversationContext, Draft, Ending, Holder, MemoryStore, MemorySums, Origin, Reach, Saved, StoredFact,
    Updated, Vector, fingerprint, likeness,
};
use crate::purge::Scope as Purge;
use crate::store::memory::packed::PackedVectors;
use crate::store::memory::select;
use crate::trouble::StoreError;

/// How often an operation is retried if the fact that it found has ended at the same moment.
const TRIES: usize = 5;
/// No holder has this number.
const NOBODY: i64 = -1;

/// What is recorded of a conversation.
const CONTEXT: &str = "SELECT text FROM memory_context WHERE tenant = $1 AND conversation = $2";

/// Ids as one text that each can be found in.
fn id_list(ids: &[String]) -> String {
    if ids.is_empty() { String::new() } else { format!(" {} ", ids.join(" ")) }
}

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

/// A version as read from the database.
#[derive(FromRow)]
struct Line {
    ordinal: i64,
    id: String,
    version: i64,
    tenant: String,
    scope: String,
    owner: String,
    content: String,
    importance: f64,
    entities: String,
    relationships: String,
    agent: String,
    provider: String,
    via: String,
    conversation: String,
    reason: String,
    created_ms: i64,
    valid_from_ms: i64,
    invalid_at_ms: Option<i64>,
    expired_ms: Option<i64>,
    ended: Option<String>,
    ended_agent: String,
    ended_via: String,
    ended_reason: String,
    merged_into: String,
}

/// A version that was found, and how well it matches.
#[derive(FromRow)]
struct Match {
    #[sqlx(flatten)]
    line: Line,
    fit: f64,
}

impl Line {
    fn stored(self) -> Result<StoredFact, StoreError> {
        let scope =
            [Scope::Project, Scope::User, Scope::Team].into_iter().find(|scope| scope.name() == self.scope);
        let corrupt = |what: &str| StoreError::Corrupt(format!("{what} of the fact {}", self.id));
        let ended = self.ended.zip(self.expired_ms).map(|(how, at)| Ended {
            how,
            at,
            agent: self.ended_agent,
            via: self.ended_via,
            reason: self.ended_reason,
            merged_into: self.merged_into,
        });
        let fact = Fact {
            scope: scope.ok_or_else(|| corrupt("the scope"))?,
            entities: serde_json::from_str(&self.entities).map_err(|_| corrupt("the entities"))?,
            relationships: serde_json::from_str(&self.relationships)
                .map_err(|_| corrupt("the relationships"))?,
            id: self.id,
            version: self.version,
            owner: self.owner,
            content: self.content,
            importance: self.importance,
            source_agent: self.agent,
            source_provider: self.provider,
            created_via: self.via,
            conversation: self.conversation,
            reason: self.reason,
            created_at: self.created_ms,
            valid_from: self.valid_from_ms,
            invalid_at: self.invalid_at_ms,
            ended,
        };
        Ok(StoredFact { ordinal: self.ordinal, tenant: self.tenant, fact })
    }
}

fn stored(lines: Vec<Line>) -> Result<Vec<StoredFact>, StoreError> {
    lines.into_iter().map(Line::stored).collect()
}

/// A version to be inserted.
struct Version<'a> {
    id: &'a str,
    number: i64,
    draft: &'a Draft,
    apart: i64,
}

impl SqlMemory {
    async fn begin(&self) -> Result<Transaction<'_, Db>, StoreError> {
        Ok(self.pool.begin_with(BEGIN).await?)
    }

    /// The numbers of the holders within reach, of one scope if one is named.
    async fn holders(&self, reach: &Reach, scope: Option<Scope>) -> Result<[i64; 3], StoreError> {
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

/// The number of a holder, which is created if it does not exist.
async fn holder_number(tx: &mut Transaction<'_, Db>, holder: &Holder) -> Result<i64, StoreError> {
    let key = |query: &'static str| {
        sqlx::query_scalar::<Db, i64>(query)
            .bind(holder.tenant.clone())
            .bind(holder.scope.name())
            .bind(holder.owner.clone())
    };
    let find = "SELECT id FROM memory_holder WHERE tenant = $1 AND scope = $2 AND owner = $3";
    if let Some(number) = key(find).fetch_optional(&mut **tx).await? {
        return Ok(number);
    }
    let make = "INSERT INTO memory_holder (tenant, scope, owner) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING id";
    match key(make).fetch_optional(&mut **tx).await? {
        Some(number) => Ok(number),
        None => Ok(key(find).fetch_one(&mut **tx).await?),
    }
}

/// Writes a version with its entities and its vector. `None`: its holder has a fact with the same text.
async fn insert(
    tx: &mut Transaction<'_, Db>,
    holder: i64,
    version: &Version<'_>,
    now: UnixMs,
) -> Result<Option<i64>, StoreError> {
    let draft = version.draft;
    let json = |error: serde_json::Error| StoreError::Corrupt(error.to_string());
    let ordinal: Option<i64> = sqlx::query_scalar(
        "INSERT INTO memory_fact (id, version, holder, content, fingerprint, likeness, importance, entities,
             relationships, agent, provider, via, conversation, reason, created_ms, valid_from_ms, invalid_at_ms, apart)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
         ON CONFLICT (holder, fingerprint) WHERE expired_ms IS NULL DO NOTHING RETURNING ordinal",
    )
    .bind(version.id)
    .bind(version.number)
    .bind(holder)
    .bind(&draft.content)
    .bind(fingerprint(&draft.content))
    .bind(likeness(&draft.content))
    .bind(draft.importance)
    .bind(serde_json::to_string(&draft.entities).map_err(json)?)
    .bind(serde_json::to_string(&draft.relationships).map_err(json)?)
    .bind(&draft.origin.agent)
    .bind(&draft.origin.provider)
    .bind(&draft.origin.via)
    .bind(&draft.origin.conversation)
    .bind(&draft.origin.reason)
    .bind(now)
    .bind(draft.valid_from)
    .bind(draft.invalid_at)
    .bind(version.apart)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(ordinal) = ordinal else { return Ok(None) };
    for name in draft.entity_names() {
        let entity = sqlx::query("INSERT INTO memory_entity (name, fact) VALUES ($1, $2)");
        entity.bind(name).bind(ordinal).execute(&mut **tx).await?;
    }
    if let Some(Vector { embedder, values }) = &draft.vector {
        let vector =
            sqlx::query("INSERT INTO memory_vector (holder, fact, embedder, vector) VALUES ($1, $2, $3, $4)");
        let vector = vector.bind(holder).bind(ordinal).bind(embedder).bind(stored_vector(values));
        vector.execute(&mut **tx).await?;
    }
    Ok(Some(ordinal))
}

/// The current fact of a holder with a text.
async fn with_text(
    tx: &mut Transaction<'_, Db>,
    holder: i64,
    text: &str,
) -> Result<Option<StoredFact>, StoreError> {
    let found: Option<Line> =
        sqlx::query_as(select!("WHERE f.holder = $1 AND f.fingerprint = $2 AND f.expired_ms IS NULL"))
            .bind(holder)
            .bind(fingerprint(text))
            .fetch_optional(&mut **tx)
            .await?;
    found.map(Line::stored).transpose()
}

async fn version(tx: &mut Transaction<'_, Db>, ordinal: i64) -> Result<StoredFact, StoreError> {
    let line: Line =
        sqlx::query_as(select!("WHERE f.ordinal = $1")).bind(ordinal).fetch_one(&mut **tx).await?;
    line.stored()
}

/// The version of a fact, from one of the statements for changes. PostgreSQL returns none if another transaction has
/// replaced the version at this moment; the next statement then sees the new one.
async fn locked(
    tx: &mut Transaction<'_, Db>,
    statement: &'static str,
    id: &str,
    holders: &[i64; 3],
) -> Result<Option<StoredFact>, StoreError> {
    for _ in 0..TRIES {
        let query = sqlx::query_as::<Db, Line>(statement).bind(id.to_owned());
        let query = holders.iter().fold(query, |query, holder| query.bind(*holder));
        if let Some(line) = query.fetch_optional(&mut **tx).await? {
            return Ok(Some(line.stored()?));
        }
    }
    Ok(None)
}

/// Ends a version. False where it had ended before.
async fn end_version(
    tx: &mut Transaction<'_, Db>,
    ordinal: i64,
    ending: Ending,
    origin: &Origin,
    merged_into: &str,
    now: UnixMs,
) -> Result<bool, StoreError> {
    // an updated fact is no longer true; a deleted or merged one may still be
    let invalid = (ending == Ending::Updated).then_some(now);
    let ended = sqlx::query(
        "UPDATE memory_fact SET expired_ms = $2, ended = $3, ended_agent = $4, ended_via = $5, ended_reason = $6,
             merged_into = $7, invalid_at_ms = CASE
                 WHEN $8 IS NOT NULL AND (invalid_at_ms IS NULL OR invalid_at_ms > $8) THEN $8
                 ELSE invalid_at_ms
             END
         WHERE ordinal = $1 AND expired_ms IS NULL",
    )
    .bind(ordinal)
    .bind(now)
    .bind(ending.name())
    .bind(&origin.agent)
    .bind(&origin.via)
    .bind(&origin.reason)
    .bind(merged_into.to_owned())
    .bind(invalid)
    .execute(&mut **tx)
    .await?;
    Ok(ended.rows_affected() == 1)
}

async fn holder_of(tx: &mut Transaction<'_, Db>, ordinal: i64) -> Result<i64, StoreError> {
    let holder = sqlx::query_scalar("SELECT holder FROM memory_fact WHERE ordinal = $1");
    Ok(holder.bind(ordinal).fetch_one(&mut **tx).await?)
}

#[async_trait]
impl MemoryStore for SqlMemory {
    fn location(&self) -> &str {
        &self.location
    }

    async fn save(&self, holder: &Holder, drafts: &[Draft], now: UnixMs) -> Result<Vec<Saved>, StoreError> {
        let mut tx = self.begin().await?;
        let number = holder_number(&mut tx, holder).await?;
        let mut order: Vec<(String, usize)> =
            drafts.iter().enumerate().map(|(at, draft)| (fingerprint(&draft.content), at)).collect();
        // sorted, because two writers with different orders could deadlock
        order.sort_unstable();
        let mut saved: Vec<Option<Saved>> = drafts.iter().map(|_| None).collect();
        for (_, at) in order {
            let (Some(draft), Some(place)) = (drafts.get(at), saved.get_mut(at)) else { continue };
            for _ in 0..TRIES {
                let id = crate::store::memory::new_id();
                let new = Version { id: &id, number: 1, draft, apart: 0 };
                *place = match insert(&mut tx, number, &new, now).await? {
                    Some(ordinal) => Some(Saved::New(version(&mut tx, ordinal).await?)),
                    None => with_text(&mut tx, number, &draft.content).await?.map(Saved::Known),
                };
                if place.is_some() {
                    break;
                }
            }
        }
        let saved: Option<Vec<Saved>> = saved.into_iter().collect();
        let saved = saved.ok_or(StoreError::from(sqlx::Error::RowNotFound))?;
        tx.commit().await?;
        Ok(saved)
    }

    async fn update(
        &self,
        reach: &Reach,
        id: &str,
        draft: &Draft,
        now: UnixMs,
    ) -> Result<Updated, StoreError> {
        let holders = self.holders(reach, None).await?;
        let mut tx = self.begin().await?;
        let Some(before) = locked(&mut tx, HOLDS, id, &holders).await? else { return Ok(Updated::NotFound) };
        if fingerprint(&before.fact.content) == fingerprint(&draft.content) {
            return Ok(Updated::Unchanged(before));
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
            return Ok(Updated::Merged(other));
        }
        end_version(&mut tx, before.ordinal, Ending::Updated, &draft.origin, "", now).await?;
        let ordinal = insert(&mut tx, holder, &next, now).await?;
        // another caller has saved the same text at this moment, so the operation is retried
        let ordinal = ordinal.ok_or(StoreError::from(sqlx::Error::RowNotFound))?;
        let changed = version(&mut tx, ordinal).await?;
        tx.commit().await?;
        Ok(Updated::Changed(changed))
    }

    async fn end(
        &self,
        reach: &Reach,
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
        reach: &Reach,
        id: &str,
        origin: &Origin,
        now: UnixMs,
    ) -> Result<Updated, StoreError> {
        let holders = self.holders(reach, None).await?;
        let mut tx = self.begin().await?;
        let Some(last) = locked(&mut tx, NEWEST, id, &holders).await? else { return Ok(Updated::NotFound) };
        if last.fact.ended.is_none() {
            return Ok(Updated::Unchanged(last));
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
            Some(ordinal) => Updated::Changed(version(&mut tx, ordinal).await?),
            None => match with_text(&mut tx, holder, &draft.content).await? {
                Some(other) => Updated::Merged(other),
                None => return Err(StoreError::from(sqlx::Error::RowNotFound)),
            },
        };
        tx.commit().await?;
        Ok(restored)
    }

    async fn history(&self, reach: &Reach, id: &str) -> Result<Vec<StoredFact>, StoreError> {
        let holders = self.holders(reach, None).await?;
        let query = sqlx::query_as::<Db, Line>(select!(
            "WHERE f.id = $1 AND f.holder IN ($2, $3, $4) ORDER BY f.version"
        ));
        let query = holders.iter().fold(query.bind(id.to_owned()), |query, holder| query.bind(*holder));
        stored(query.fetch_all(&self.pool).await?)
    }

    async fn list(
        &self,
        reach: &Reach,
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

    async fn matching(
        &self,
        reach: &Reach,
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
        reach: &Reach,
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
        reach: &Reach,
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
        let text = sqlx::query_scalar(CONTEXT).bind(tenant.to_owned()).bind(conversation.to_owned());
        Ok(text.fetch_optional(&self.pool).await?)
    }

    async fn decide_context(&self, context: &ConversationContext, now: UnixMs) -> Result<String, StoreError> {
        let mut tx = self.begin().await?;
        let (mut text, mut facts) = (context.text.as_str(), id_list(&context.facts));
        for id in &context.facts {
            // one that was deleted since it was found would stay in the record
            let stands = sqlx::query_scalar::<Db, i64>(STANDS).bind(id).fetch_optional(&mut *tx).await?;
            if stands.is_none() {
                (text, facts) = ("", String::new());
                break;
            }
        }
        let decide = sqlx::query(
            "INSERT INTO memory_context (tenant, conversation, text, facts, decided_by, created_ms)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, conversation) DO NOTHING",
        );
        let decide = decide.bind(&context.tenant).bind(&context.conversation).bind(text);
        let decide = decide.bind(facts).bind(&context.decided_by).bind(now);
        decide.execute(&mut *tx).await?;
        let decided = sqlx::query_scalar(CONTEXT).bind(&context.tenant).bind(&context.conversation);
        let decided = decided.fetch_one(&mut *tx).await?;
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
        let withdraw = sqlx::query(
            "INSERT INTO memory_context (tenant, conversation, text, facts, decided_by, created_ms)
             VALUES ($1, $2, '', '', $3, $4) ON CONFLICT (tenant, conversation) DO UPDATE SET text = '', facts = ''
             WHERE memory_context.decided_by = excluded.decided_by",
        );
        let withdraw = withdraw.bind(tenant.to_owned()).bind(conversation.to_owned());
        withdraw.bind(request.to_owned()).bind(now).execute(&self.pool).await?;
        Ok(())
    }

    async fn forget_contexts(&self, before: UnixMs) -> Result<u64, StoreError> {
        let forget = sqlx::query("DELETE FROM memory_context WHERE created_ms < $1").bind(before);
        Ok(forget.execute(&self.pool).await?.rows_affected())
    }

    async fn forget(&self, reach: &Reach, id: &str) -> Result<bool, StoreError> {
        let holders = self.holders(reach, None).await?;
        let mut tx = self.begin().await?;
        let query = sqlx::query("DELETE FROM memory_fact WHERE id = $1 AND holder IN ($2, $3, $4)");
        let query = holders.iter().fold(query.bind(id.to_owned()), |query, holder| query.bind(*holder));
        let is_gone = query.execute(&mut *tx).await?.rows_affected() > 0;
        if is_gone {
            let contexts = sqlx::query(
                "UPDATE memory_context SET text = '', facts = ''
                 WHERE tenant = $1 AND facts LIKE '% ' || $2 || ' %'",
            );
            contexts.bind(reach.tenant.clone()).bind(id.to_owned()).execute(&mut *tx).await?;
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
        match scope {
            Purge::All => {
                for all in ["DELETE FROM memory_holder", "DELETE FROM memory_context"] {
                    sqlx::query(all).execute(&mut *tx).await?;
                }
            }
            Purge::Tenant(tenant) => {
                for theirs in [
                    "DELETE FROM memory_holder WHERE tenant = $1",
                    "DELETE FROM memory_context WHERE tenant = $1",
                ] {
                    sqlx::query(theirs).bind(tenant).execute(&mut *tx).await?;
                }
            }
            // what ended before then is in none that began later
            Purge::Before(time) => {
                let contexts = sqlx::query("DELETE FROM memory_context WHERE created_ms < $1");
                contexts.bind(*time).execute(&mut *tx).await?;
            }
        }
        if !dry_run {
            tx.commit().await?;
        }
        Ok(gone.rows_affected())
    }

    async fn sums(&self, reach: &Reach, embedder: Option<&str>) -> Result<MemorySums, StoreError> {
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
