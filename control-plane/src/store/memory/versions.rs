//! The versions of facts as rows: read, inserted and ended, in a transaction of the caller. Compiled once for each
//! database, as `facts.rs` is.

use headroom_api::memory::{Ended, Fact, Scope};
use sqlx::{FromRow, Row as _, Transaction};

use super::{Db, stored_vector};
use crate::clock::UnixMs;
use crate::memory::{Draft, Ending, Holder, Origin, StoredFact, Vector, fingerprint, likeness};
use crate::store::memory::select;
use crate::trouble::StoreError;

type Row = <Db as sqlx::Database>::Row;

/// How often an operation is retried if the fact that it found has ended at the same moment.
pub(super) const TRIES: usize = 5;

/// A version as read from the database.
pub(super) struct Line {
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
pub(super) struct Match {
    pub(super) line: Line,
    pub(super) fit: f64,
}

impl FromRow<'_, Row> for Line {
    fn from_row(row: &Row) -> sqlx::Result<Self> {
        Ok(Self {
            ordinal: row.try_get("ordinal")?,
            id: row.try_get("id")?,
            version: row.try_get("version")?,
            tenant: row.try_get("tenant")?,
            scope: row.try_get("scope")?,
            owner: row.try_get("owner")?,
            content: row.try_get("content")?,
            importance: row.try_get("importance")?,
            entities: row.try_get("entities")?,
            relationships: row.try_get("relationships")?,
            agent: row.try_get("agent")?,
            provider: row.try_get("provider")?,
            via: row.try_get("via")?,
            conversation: row.try_get("conversation")?,
            reason: row.try_get("reason")?,
            created_ms: row.try_get("created_ms")?,
            valid_from_ms: row.try_get("valid_from_ms")?,
            invalid_at_ms: row.try_get("invalid_at_ms")?,
            expired_ms: row.try_get("expired_ms")?,
            ended: row.try_get("ended")?,
            ended_agent: row.try_get("ended_agent")?,
            ended_via: row.try_get("ended_via")?,
            ended_reason: row.try_get("ended_reason")?,
            merged_into: row.try_get("merged_into")?,
        })
    }
}

impl FromRow<'_, Row> for Match {
    fn from_row(row: &Row) -> sqlx::Result<Self> {
        Ok(Self { line: Line::from_row(row)?, fit: row.try_get("fit")? })
    }
}

impl Line {
    pub(super) fn stored(self) -> Result<StoredFact, StoreError> {
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

pub(super) fn stored(lines: Vec<Line>) -> Result<Vec<StoredFact>, StoreError> {
    lines.into_iter().map(Line::stored).collect()
}

/// A version to be inserted.
pub(super) struct Version<'a> {
    pub(super) id: &'a str,
    pub(super) number: i64,
    pub(super) draft: &'a Draft,
    pub(super) apart: i64,
}

/// The number of a holder, which is created if it does not exist.
pub(super) async fn holder_number(tx: &mut Transaction<'_, Db>, holder: &Holder) -> Result<i64, StoreError> {
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
pub(super) async fn insert(
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
pub(super) async fn with_text(
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

pub(super) async fn version(tx: &mut Transaction<'_, Db>, ordinal: i64) -> Result<StoredFact, StoreError> {
    let line: Line =
        sqlx::query_as(select!("WHERE f.ordinal = $1")).bind(ordinal).fetch_one(&mut **tx).await?;
    line.stored()
}

/// The version of a fact, from one of the statements for changes. PostgreSQL returns none if another transaction has
/// replaced the version at this moment; the next statement then sees the new one.
pub(super) async fn locked(
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
pub(super) async fn end_version(
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

pub(super) async fn holder_of(tx: &mut Transaction<'_, Db>, ordinal: i64) -> Result<i64, StoreError> {
    let holder = sqlx::query_scalar("SELECT holder FROM memory_fact WHERE ordinal = $1");
    Ok(holder.bind(ordinal).fetch_one(&mut **tx).await?)
}
