//! Memory as the endpoints use it: who asks, what may be stored, what is found.

use std::borrow::Cow;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use headroom_api::memory::{
    Caller, DEFAULT_IMPORTANCE, DEFAULT_LIMIT, DEFAULT_TOP_K, Entity, FactRequest, FactResponse, FoundFact,
    History, ListRequest, ListResponse, MAX_CONTENT_BYTES, MAX_FACTS, MAX_LIMIT, MAX_TOP_K, NewFact,
    Relationship, SaveRequest, SaveResponse, SaveStatus, SavedFact, Scope, SearchRequest, SearchResponse,
    Similar, Status, UpdateRequest,
};
use headroom_private::secrets::scrub;
use tokio::sync::Notify;

use super::compare::{ComparedText, relation};
use super::embedder::{Detection, EmbedError, Embedder, Models};
use super::fact::{Draft, Ending, FactScope, Origin, Vector};
use super::search::{MatchedFact, fuse, query_words};
use super::store::{MemoryPlace, MemoryStore, SaveOutcome, UpdateOutcome};
use crate::clock::{UnixMs, now_ms};
use crate::purge::Scope as Purge;
use crate::trouble::{StoreError, StoreWatch, Trouble};

/// Candidates by words, and as many by meaning, from which a search takes the best.
const CANDIDATES: u32 = 50;
/// Stored facts that the answer to a save names.
const SIMILAR: usize = 5;
/// The cosine below which a fact that shares no word with the query is left out. Between facts that have nothing to do
/// with each other it goes up to 0.31, and eight of ten right answers are above 0.3.
const FLOOR: f64 = 0.2;
/// Bytes of a name, a reason, or what else stands beside a fact.
const MAX_NAME_BYTES: usize = 1 << 10;
/// How long a question may wait for its vector.
const QUESTION: Duration = Duration::from_secs(2);
/// Entities, and relationships, of one fact, and entities of a search.
const MAX_LINKS: usize = 50;

/// Why memory did not do it.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The store could not be opened.
    #[error("memory is not there: {0}")]
    NotLoaded(String),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The embedder did not do it.
    #[error("facts were not embedded: {0}")]
    Embed(#[from] EmbedError),
    /// There is no such fact within reach.
    #[error("there is no fact {0:?} here: it was forgotten, merged, or belongs to another project")]
    NotFound(String),
}

/// What memory consists of at the moment.
#[derive(Clone, Debug)]
pub(super) enum Part<T> {
    Loading,
    Absent,
    Loaded(T),
    Failed(String),
}

impl<T> Part<T> {
    /// As `/debug/warmup` says it. What is absent is `null` there.
    fn status(&self) -> Option<&'static str> {
        match self {
            Self::Loading => Some("loading"),
            Self::Absent => None,
            Self::Loaded(_) => Some("loaded"),
            Self::Failed(_) => Some("error"),
        }
    }

    fn error(&self) -> Option<&str> {
        if let Self::Failed(error) = self { Some(error) } else { None }
    }
}

/// One part, as people see it.
#[derive(Clone, Debug)]
pub(crate) struct PartState {
    /// `loading`, `loaded`, `error`; `None`: there is none.
    pub(crate) status: Option<&'static str>,
    pub(crate) error: Option<String>,
    /// Where the store is, or which embedder.
    pub(crate) info: Option<String>,
}

/// Memory, shared by everyone who asks.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Inner>);

pub(super) struct Inner {
    pub(super) place: Box<dyn MemoryPlace>,
    pub(super) models: Models,
    /// Who has started headroomd: the user if no other is named.
    user: String,
    watch: Arc<StoreWatch>,
    pub(super) store: RwLock<Part<Arc<dyn MemoryStore>>>,
    pub(super) embedder: RwLock<Part<Arc<Embedder>>>,
    /// There is something to embed or to merge.
    pub(super) work: Notify,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Memory {
    /// Opens the store. If it cannot be opened, everything else works: [`Memory::keep`] tries again, which
    /// looks for an embedder as well.
    pub async fn open(place: impl MemoryPlace, models: impl Into<Models>, user: String) -> Self {
        let memory = Self(Arc::new(Inner {
            place: Box::new(place),
            models: models.into(),
            user,
            watch: Arc::default(),
            store: RwLock::new(Part::Loading),
            embedder: RwLock::new(Part::Loading),
            work: Notify::new(),
        }));
        memory.open_store().await;
        memory
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    pub(super) async fn open_store(&self) {
        let opened = match self.0.place.open(Arc::clone(&self.0.watch)).await {
            Ok(store) => Part::Loaded(store),
            Err(error) => {
                tracing::error!(message = "Memory cannot be opened; it is tried again.", %error);
                // what the database says may name hosts and users: it goes to the log only
                Part::Failed(Trouble::of(&error).sentence().to_owned())
            }
        };
        *write(&self.0.store) = opened;
    }

    /// Sets what embeds from now on.
    pub(super) fn set_embedder(&self, found: Result<Detection, EmbedError>) {
        let embedder = match found {
            Ok(Detection::Nothing) => Part::Absent,
            Ok(Detection::Model(embedder)) => {
                tracing::info!(message = "Memory finds facts by meaning, too.", embedder = embedder.name());
                Part::Loaded(embedder)
            }
            Err(error) => {
                tracing::error!(message = "The embedding model is not used; facts are found by words.", %error);
                Part::Failed(error.to_string())
            }
        };
        *write(&self.0.embedder) = embedder;
    }

    pub(super) fn store(&self) -> Result<Arc<dyn MemoryStore>, MemoryError> {
        match &*read(&self.0.store) {
            Part::Loaded(store) => Ok(Arc::clone(store)),
            Part::Failed(error) => Err(MemoryError::NotLoaded(error.clone())),
            Part::Loading | Part::Absent => Err(MemoryError::NotLoaded("it is being opened".to_owned())),
        }
    }

    pub(crate) fn embedder(&self) -> Option<Arc<Embedder>> {
        if let Part::Loaded(embedder) = &*read(&self.0.embedder) { Some(Arc::clone(embedder)) } else { None }
    }

    /// What is seen of the store.
    pub(crate) fn watch(&self) -> Arc<StoreWatch> {
        Arc::clone(&self.0.watch)
    }

    /// The store.
    pub(crate) fn backend_state(&self) -> PartState {
        let part = read(&self.0.store);
        let info = if let Part::Loaded(store) = &*part { Some(store.location().to_owned()) } else { None };
        PartState { status: part.status(), error: part.error().map(str::to_owned), info }
    }

    /// The embedder.
    pub(crate) fn embedder_state(&self) -> PartState {
        let part = read(&self.0.embedder);
        let info = if let Part::Loaded(model) = &*part { Some(model.name().to_owned()) } else { None };
        PartState { status: part.status(), error: part.error().map(str::to_owned), info }
    }

    /// Whether the store answers and can be written.
    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        self.opened()?.check().await
    }

    /// Whether the store can be read.
    pub(crate) async fn read(&self) -> Result<(), StoreError> {
        self.opened()?.sums(&FactScope::default(), None).await.map(drop)
    }

    fn opened(&self) -> Result<Arc<dyn MemoryStore>, StoreError> {
        self.store().map_err(|_| StoreError::from(sqlx::Error::PoolClosed))
    }

    /// Deletes for good what is in the scope, and returns the number of versions of facts.
    pub async fn purge(&self, scope: &Purge, dry_run: bool) -> Result<u64, MemoryError> {
        match self.store() {
            Ok(store) => Ok(store.purge(scope, dry_run).await?),
            Err(error) => Err(error),
        }
    }

    /// Gives everything up in order.
    pub(crate) async fn close(&self) {
        if let Ok(store) = self.store() {
            store.close().await;
        }
    }

    /// Whose facts a caller may find.
    pub(super) fn reach(&self, tenant: &str, caller: &Caller) -> Result<FactScope, MemoryError> {
        for (name, value) in [("project", &caller.project), ("user", &caller.user)] {
            if value.len() > MAX_NAME_BYTES {
                return Err(MemoryError::Invalid(format!("{name}: expected {MAX_NAME_BYTES} bytes at most")));
            }
        }
        let named = [caller.user.trim(), tenant, self.0.user.as_str()];
        let user = named.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        Ok(FactScope { tenant: tenant.to_owned(), user: plain(user), project: plain(caller.project.trim()) })
    }

    /// The embedding of a question, where there is an embedder that gives it in time. Words find facts otherwise.
    pub(crate) async fn embedding(&self, text: &str) -> Option<Vector> {
        let embedder = self.embedder()?;
        let embedded = tokio::time::timeout(QUESTION, embedder.embed(vec![text.to_owned()])).await;
        match embedded {
            Ok(Ok(mut vectors)) => {
                Some(Vector { embedder: embedder.name().to_owned(), values: vectors.pop()? })
            }
            Ok(Err(error)) => {
                tracing::warn!(message = "A text was not embedded.", %error);
                None
            }
            Err(_) => {
                tracing::warn!(message = "A text was not embedded in time.", embedder = embedder.name());
                None
            }
        }
    }

    /// The embedding of a fact that is saved. A save does not wait for a service: facts get the embedding afterwards.
    async fn vector_now(&self, text: &str) -> Option<Vector> {
        if self.embedder()?.is_local() { self.embedding(text).await } else { None }
    }

    /// Stores facts, and says of each what stands close to it.
    pub async fn save(&self, tenant: &str, asked: &SaveRequest) -> Result<SaveResponse, MemoryError> {
        let store = self.store()?;
        let reach = self.reach(tenant, &asked.caller)?;
        let mut hints = Vec::new();
        let wanted = asked.scope.unwrap_or_default();
        let holder = reach.holder(wanted).or_else(|| {
            hints.push(
                "the project is not known here, so this is kept for the user, in every project; name the project to \
                 keep it there",
            );
            reach.holder(Scope::User)
        });
        let holder = holder.ok_or_else(|| MemoryError::Invalid("scope: expected one".to_owned()))?;
        if asked.facts.is_empty() || asked.facts.len() > MAX_FACTS {
            return Err(MemoryError::Invalid(format!(
                "facts: expected 1 to {MAX_FACTS}, found {}",
                asked.facts.len()
            )));
        }
        let now = now_ms();
        let mut drafts = Vec::new();
        for new in &asked.facts {
            let mut draft = draft(new, &asked.caller, now)?;
            if draft.content != storable(new.content.trim()) {
                hints.push("a credential was taken out of the text");
            }
            draft.vector = self.vector_now(&draft.content).await;
            drafts.push(draft);
            tokio::task::yield_now().await;
        }
        hints.dedup();
        let mut answers = Vec::new();
        let outcomes = store.save(&holder, &drafts, now).await?;
        for (saved, draft) in outcomes.into_iter().zip(&drafts) {
            let (status, similar) = match &saved {
                SaveOutcome::New(stored) => {
                    let similar = self.similar(&*store, &reach, &stored.fact.id, draft, now).await?;
                    (SaveStatus::Saved, similar)
                }
                SaveOutcome::Known(_) => (SaveStatus::AlreadySaved, Vec::new()),
            };
            let fact = &saved.stored().fact;
            answers.push(SavedFact {
                id: fact.id.clone(),
                status,
                scope: fact.scope,
                content: fact.content.clone(),
                similar,
            });
        }
        self.0.work.notify_one();
        Ok(SaveResponse { saved: answers, hint: Some(hints.join("; ")).filter(|hint| !hint.is_empty()) })
    }

    async fn similar(
        &self,
        store: &dyn MemoryStore,
        reach: &FactScope,
        id: &str,
        draft: &Draft,
        now: UnixMs,
    ) -> Result<Vec<Similar>, MemoryError> {
        let content = ComparedText::new(&draft.content);
        let matches = matches(store, reach, &draft.content, draft.vector.as_ref(), now).await?;
        let mut close = Vec::new();
        for found in matches.into_iter().filter(|found| found.stored.fact.id != id) {
            let cosine = draft.vector.as_ref().map(|_| found.relevance as f32);
            let fact = found.stored.fact;
            if let Some(relation) = relation(&content, &ComparedText::new(&fact.content), cosine) {
                close.push(Similar { id: fact.id, content: fact.content, relation });
            }
            if close.len() == SIMILAR {
                break;
            }
            // others are served between two comparisons
            tokio::task::yield_now().await;
        }
        Ok(close)
    }

    /// Finds facts.
    pub async fn search(&self, tenant: &str, asked: &SearchRequest) -> Result<SearchResponse, MemoryError> {
        let store = self.store()?;
        let reach = self.reach(tenant, &asked.caller)?;
        let entities = searched(&asked.entities)?;
        let top_k = asked.top_k.unwrap_or(DEFAULT_TOP_K).clamp(1, MAX_TOP_K) as usize;
        let now = now_ms();
        let query = cut(&asked.query, MAX_CONTENT_BYTES);
        let vector = self.embedding(query).await;
        let mut matches = matches(&*store, &reach, query, vector.as_ref(), now).await?;
        matches.retain(|found| found.by_words || found.relevance >= FLOOR);
        if !entities.is_empty() {
            matches.retain(|found| is_about(found, &entities));
        }
        matches.truncate(top_k);
        let mut found: Vec<FoundFact> = matches
            .into_iter()
            .map(|found| FoundFact { relevance: found.relevance, fact: found.stored.fact, related: false })
            .collect();
        if asked.include_related {
            let mut names: Vec<String> =
                found.iter().flat_map(|found| names_of(&found.fact)).chain(entities).collect();
            names.sort_unstable();
            names.dedup();
            names.truncate(MAX_LINKS);
            for stored in store.about(&reach, &names, now, CANDIDATES).await? {
                if found.len() == top_k {
                    break;
                }
                if found.iter().all(|other| other.fact.id != stored.fact.id) {
                    found.push(FoundFact { fact: stored.fact, relevance: 0.0, related: true });
                }
            }
        }
        Ok(SearchResponse { found })
    }

    /// Replaces a fact by what is so now.
    pub async fn update(&self, tenant: &str, asked: &UpdateRequest) -> Result<FactResponse, MemoryError> {
        let store = self.store()?;
        let reach = self.reach(tenant, &asked.caller)?;
        let now = now_ms();
        let history = store.history(&reach, asked.memory_id.trim()).await?;
        let before = history.last().ok_or_else(|| MemoryError::NotFound(asked.memory_id.clone()))?;
        let new = NewFact {
            content: asked.new_content.clone(),
            importance: Some(before.fact.importance),
            ..NewFact::default()
        };
        let mut draft = draft(&new, &asked.caller, now)?;
        draft.origin.reason = short(&asked.reason)?;
        draft.vector = self.vector_now(&draft.content).await;
        let updated = store.update(&reach, asked.memory_id.trim(), &draft, now).await?;
        self.0.work.notify_one();
        response(updated, &asked.memory_id)
    }

    /// Forgets a fact: it stays in the history, and is found no more. With `purge` all of it goes.
    pub async fn delete(&self, tenant: &str, asked: &FactRequest) -> Result<FactResponse, MemoryError> {
        let store = self.store()?;
        let reach = self.reach(tenant, &asked.caller)?;
        let id = asked.memory_id.trim();
        let not_found = || MemoryError::NotFound(asked.memory_id.clone());
        if asked.purge {
            let last = store.history(&reach, id).await?.pop().ok_or_else(not_found)?;
            let changed = store.forget(&reach, id).await?;
            return Ok(FactResponse { fact: last.fact, changed });
        }
        let origin = Origin { reason: short(&asked.reason)?, ..origin(&asked.caller)? };
        match store.end(&reach, id, Ending::Deleted, &origin, now_ms()).await? {
            Some(stored) => Ok(FactResponse { fact: stored.fact, changed: true }),
            // repeating a deletion is not an error
            None => {
                let last = store.history(&reach, id).await?.pop().ok_or_else(not_found)?;
                Ok(FactResponse { fact: last.fact, changed: false })
            }
        }
    }

    /// Takes a deletion or a merge back.
    pub async fn restore(&self, tenant: &str, asked: &FactRequest) -> Result<FactResponse, MemoryError> {
        let reach = self.reach(tenant, &asked.caller)?;
        let origin = Origin { reason: short(&asked.reason)?, ..origin(&asked.caller)? };
        let restored = self.store()?.restore(&reach, asked.memory_id.trim(), &origin, now_ms()).await?;
        self.0.work.notify_one();
        response(restored, &asked.memory_id)
    }

    /// All versions of a fact.
    pub async fn show(&self, tenant: &str, asked: &FactRequest) -> Result<History, MemoryError> {
        let reach = self.reach(tenant, &asked.caller)?;
        let versions = self.store()?.history(&reach, asked.memory_id.trim()).await?;
        if versions.is_empty() {
            return Err(MemoryError::NotFound(asked.memory_id.clone()));
        }
        Ok(History { versions: versions.into_iter().map(|stored| stored.fact).collect() })
    }

    /// The newest facts.
    pub async fn list(&self, tenant: &str, asked: &ListRequest) -> Result<ListResponse, MemoryError> {
        let reach = self.reach(tenant, &asked.caller)?;
        let limit = asked.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
        let stored = self.store()?.list(&reach, asked.scope, asked.before, limit).await?;
        let next = stored.last().filter(|_| stored.len() == limit as usize).map(|last| last.ordinal);
        Ok(ListResponse { facts: stored.into_iter().map(|stored| stored.fact).collect(), next })
    }

    /// What there is.
    pub async fn status(&self, tenant: &str, caller: &Caller) -> Result<Status, MemoryError> {
        let store = self.store()?;
        let reach = self.reach(tenant, caller)?;
        let embedder = self.embedder();
        let state = self.embedder_state();
        let sums = store.sums(&reach, embedder.as_ref().map(|embedder| embedder.name())).await?;
        let none = || format!("no model in {}", self.0.models.folder.display());
        Ok(Status {
            store: store.location().to_owned(),
            embedder_status: state.status.unwrap_or("none").to_owned(),
            embedder: state.info.or(state.error).unwrap_or_else(none),
            project: reach.project,
            user: reach.user,
            project_facts: sums.project,
            user_facts: sums.user,
            team_facts: sums.team,
            ended_versions: sums.ended,
            unembedded: sums.unembedded,
        })
    }
}

/// Facts by words, and by meaning where there is a vector to compare theirs with.
async fn matches(
    store: &dyn MemoryStore,
    reach: &FactScope,
    query: &str,
    vector: Option<&Vector>,
    now: UnixMs,
) -> Result<Vec<MatchedFact>, MemoryError> {
    let by_words = store.matching(reach, &query_words(query), now, CANDIDATES).await?;
    let near = match vector {
        Some(vector) => Some(store.nearest(reach, vector, now, CANDIDATES).await?),
        None => None,
    };
    Ok(fuse(by_words, near))
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn response(updated: UpdateOutcome, id: &str) -> Result<FactResponse, MemoryError> {
    match updated {
        UpdateOutcome::Changed(stored) | UpdateOutcome::Merged(stored) => {
            Ok(FactResponse { fact: stored.fact, changed: true })
        }
        UpdateOutcome::Unchanged(stored) => Ok(FactResponse { fact: stored.fact, changed: false }),
        UpdateOutcome::NotFound => Err(MemoryError::NotFound(id.to_owned())),
    }
}

/// A text as it is stored: without credentials, and without what PostgreSQL cannot keep.
fn plain(text: &str) -> String {
    storable(&scrub(text.trim()))
}

/// A text without what PostgreSQL cannot keep.
fn storable(text: &str) -> String {
    text.replace('\0', "")
}

/// A name or a reason as it is stored.
fn short(text: &str) -> Result<String, MemoryError> {
    if text.len() > MAX_NAME_BYTES {
        let found: Cow<'_, str> = cut(text, 40).into();
        return Err(MemoryError::Invalid(format!(
            "expected {MAX_NAME_BYTES} bytes at most, found {found:?}…"
        )));
    }
    Ok(plain(text))
}

/// As much of a text as has room.
fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

fn origin(caller: &Caller) -> Result<Origin, MemoryError> {
    Ok(Origin {
        agent: short(&caller.agent)?,
        provider: short(&caller.provider)?,
        via: short(&caller.via)?,
        conversation: short(&caller.conversation)?,
        reason: String::new(),
    })
}

/// The names that a search is about, folded.
fn searched(names: &[String]) -> Result<Vec<String>, MemoryError> {
    if names.len() > MAX_LINKS || names.iter().any(|name| name.len() > MAX_NAME_BYTES) {
        return Err(MemoryError::Invalid(format!(
            "entities: expected {MAX_LINKS} at most, of {MAX_NAME_BYTES} bytes at most"
        )));
    }
    Ok(names.iter().map(|name| name.trim().to_lowercase()).collect())
}

fn check_length(content: &str) -> Result<(), MemoryError> {
    match content.len() {
        1..=MAX_CONTENT_BYTES => Ok(()),
        found => Err(MemoryError::Invalid(format!(
            "content: expected 1 to {MAX_CONTENT_BYTES} bytes, found {found}"
        ))),
    }
}

fn draft(new: &NewFact, caller: &Caller, now: UnixMs) -> Result<Draft, MemoryError> {
    check_length(new.content.trim())?;
    let content = plain(&new.content);
    check_length(&content)?;
    let importance = new.importance.unwrap_or(DEFAULT_IMPORTANCE);
    if !(0.0..=1.0).contains(&importance) {
        return Err(MemoryError::Invalid(format!("importance: expected 0 to 1, found {importance}")));
    }
    if new.entities.len() > MAX_LINKS || new.relationships.len() > MAX_LINKS {
        return Err(MemoryError::Invalid(format!("expected {MAX_LINKS} entities and relationships at most")));
    }
    let mut origin = origin(caller)?;
    if !new.source_agent.is_empty() {
        origin.agent = short(&new.source_agent)?;
        origin.provider = short(&new.source_provider)?;
    }
    let entity = |entity: &Entity| {
        Ok(Entity { entity: short(&entity.entity)?, entity_type: short(&entity.entity_type)? })
    };
    let relationship = |link: &Relationship| {
        Ok(Relationship {
            source: short(&link.source)?,
            relationship: short(&link.relationship)?,
            destination: short(&link.destination)?,
        })
    };
    Ok(Draft {
        content,
        entities: new.entities.iter().map(entity).collect::<Result<_, MemoryError>>()?,
        relationships: new.relationships.iter().map(relationship).collect::<Result<_, MemoryError>>()?,
        importance,
        valid_from: new.valid_from.unwrap_or(now),
        invalid_at: new.invalid_at,
        origin,
        vector: None,
    })
}

fn names_of(fact: &headroom_api::memory::Fact) -> Vec<String> {
    let draft = Draft {
        entities: fact.entities.clone(),
        relationships: fact.relationships.clone(),
        ..Draft::default()
    };
    draft.entity_names()
}

fn is_about(found: &MatchedFact, entities: &[String]) -> bool {
    let content = found.stored.fact.content.to_lowercase();
    let names = names_of(&found.stored.fact);
    entities.iter().any(|entity| names.contains(entity) || content.contains(entity.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_fact_is_refused_with_what_was_expected() {
        let draft_of = |content: &str, importance| {
            let new = NewFact { content: content.to_owned(), importance, ..NewFact::default() };
            draft(&new, &Caller::default(), 0)
        };
        assert_eq!(draft_of(" a\0b ", None).unwrap().content, "ab");
        assert_eq!(draft_of("key sk-0123456789abcdefgh", Some(1.0)).unwrap().content, "key [secret]");
        for (content, importance) in [("", None), ("\0", None), ("x", Some(1.5)), ("x", Some(f64::NAN))] {
            let error = draft_of(content, importance).unwrap_err().to_string();
            assert!(error.contains("expected"), "{error}");
        }
        assert!(draft_of(&"x".repeat(MAX_CONTENT_BYTES + 1), None).is_err());
        let secrets = "key sk-0123456789abcdefgh ".repeat(MAX_CONTENT_BYTES / 20);
        assert!(
            draft_of(&secrets, None).is_err(),
            "the length counts before anything is looked for in the text"
        );
    }

    #[tokio::test]
    async fn a_search_is_about_as_many_things_as_a_fact_at_most() {
        let folder = tempfile::tempdir().unwrap();
        let place = crate::store::Database::File(folder.path().join("memory.db"));
        let memory = Memory::open(place, std::path::PathBuf::from("/nowhere"), "me".to_owned()).await;
        let search = async |entities: Vec<String>| {
            let asked = SearchRequest { query: "port".to_owned(), entities, ..SearchRequest::default() };
            memory.search("", &asked).await.map_err(|error| error.to_string())
        };
        assert!(search(vec!["x".repeat(MAX_NAME_BYTES); MAX_LINKS]).await.is_ok());
        for entities in [vec!["x".to_owned(); MAX_LINKS + 1], vec!["x".repeat(MAX_NAME_BYTES + 1)]] {
            assert!(search(entities).await.unwrap_err().contains("expected 50 at most"));
        }
    }
}
