//! What a store of memory promises.
//!
//! Each call is one transaction: a version, its words in the text index, its entities and its vector are there
//! together or not at all, and when a call returns they are durable. A search sees no version that has ended.

use std::sync::Arc;

use async_trait::async_trait;

use super::fact::{ConversationContext, Draft, Ending, FactScope, Holder, Origin, StoredFact};
use crate::clock::UnixMs;
use crate::purge::Scope;
use crate::trouble::{StoreError, StoreWatch};

/// The result of saving a draft.
#[derive(Clone, Debug, PartialEq)]
pub enum SaveOutcome {
    /// It is a fact now.
    New(StoredFact),
    /// Its holder has a fact with the same text.
    Known(StoredFact),
}

impl SaveOutcome {
    /// The fact.
    pub fn stored(&self) -> &StoredFact {
        match self {
            Self::New(stored) | Self::Known(stored) => stored,
        }
    }
}

/// The result of a change.
#[derive(Clone, Debug, PartialEq)]
pub enum UpdateOutcome {
    /// The newest version, which is new.
    Changed(StoredFact),
    /// The fact said this already: nothing was done.
    Unchanged(StoredFact),
    /// Another fact of the holder says just that: this one was merged into it.
    Merged(StoredFact),
    /// There is no such fact within reach, or it has ended.
    NotFound,
}

/// What there is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MemorySums {
    /// The project's facts.
    pub project: i64,
    /// The user's facts.
    pub user: i64,
    /// The team's facts.
    pub team: i64,
    /// Versions of theirs that have ended.
    pub ended: i64,
    /// Facts of theirs without a vector of the embedder that was named.
    pub unembedded: i64,
}

/// Where facts are kept, before it is open.
#[async_trait]
pub trait MemoryPlace: std::fmt::Debug + Send + Sync + 'static {
    /// Opens it, makes it if it is not there, and brings its tables up to date. What goes wrong, then and later, is noted
    /// in `watch`.
    async fn open(&self, watch: Arc<StoreWatch>) -> Result<Arc<dyn MemoryStore>, StoreError>;
}

/// Where memory is kept.
#[async_trait]
pub trait MemoryStore: Send + Sync + 'static {
    /// Where it is, without credentials.
    fn location(&self) -> &str;
    /// Stores drafts of one holder, all or none. The outcomes are in their order.
    async fn save(
        &self,
        holder: &Holder,
        drafts: &[Draft],
        now: UnixMs,
    ) -> Result<Vec<SaveOutcome>, StoreError>;
    /// Ends the version of a fact that holds, and begins the next. The draft's entities and links are those of the
    /// version before where it has none.
    async fn update(
        &self,
        reach: &FactScope,
        id: &str,
        draft: &Draft,
        now: UnixMs,
    ) -> Result<UpdateOutcome, StoreError>;
    /// Ends a fact. `None`: there is none within reach that holds.
    async fn end(
        &self,
        reach: &FactScope,
        id: &str,
        ending: Ending,
        origin: &Origin,
        now: UnixMs,
    ) -> Result<Option<StoredFact>, StoreError>;
    /// Begins a deleted or merged fact again, as it was.
    async fn restore(
        &self,
        reach: &FactScope,
        id: &str,
        origin: &Origin,
        now: UnixMs,
    ) -> Result<UpdateOutcome, StoreError>;
    /// All versions of a fact, the oldest first; none where it is not within reach.
    async fn history(&self, reach: &FactScope, id: &str) -> Result<Vec<StoredFact>, StoreError>;
    /// Facts that hold, the newest first, from before an ordinal; of one scope where one is named.
    async fn list(
        &self,
        reach: &FactScope,
        scope: Option<headroom_api::memory::Scope>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<StoredFact>, StoreError>;
    /// Facts about an entity whose name is a path below a folder, from before an ordinal, the newest first. The folder is
    /// folded.
    async fn about_below(
        &self,
        reach: &FactScope,
        folder: &str,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<StoredFact>, StoreError>;
    /// Facts with one of these words, the best first, each with how well it fits; at `now` they hold in the world.
    async fn matching(
        &self,
        reach: &FactScope,
        words: &[String],
        now: UnixMs,
        limit: u32,
    ) -> Result<Vec<(StoredFact, f64)>, StoreError>;
    /// The facts whose vectors are nearest to one, by cosine, the nearest first.
    async fn nearest(
        &self,
        reach: &FactScope,
        vector: &super::Vector,
        now: UnixMs,
        limit: u32,
    ) -> Result<Vec<(StoredFact, f32)>, StoreError>;
    /// Facts about one of these entities, the newest first. Names are folded.
    async fn about(
        &self,
        reach: &FactScope,
        entities: &[String],
        now: UnixMs,
        limit: u32,
    ) -> Result<Vec<StoredFact>, StoreError>;
    /// The ordinal of the newest version of all facts.
    async fn newest(&self) -> Result<i64, StoreError>;
    /// Facts of everyone behind an ordinal that have no vector of this embedder, the oldest first.
    async fn unembedded(&self, embedder: &str, after: i64, limit: u32)
    -> Result<Vec<StoredFact>, StoreError>;
    /// Keeps vectors of facts that still hold, by their ordinals.
    async fn embed(&self, embedder: &str, vectors: &[(i64, Vec<f32>)]) -> Result<(), StoreError>;
    /// Pairs of facts of one holder that say the same, the older first, of which the newer stands behind an ordinal.
    async fn duplicates(&self, after: i64, limit: u32) -> Result<Vec<(StoredFact, StoredFact)>, StoreError>;
    /// Merges a fact into an older one of its holder that says the same. False where one of them does not hold any more.
    async fn merge(
        &self,
        older: &StoredFact,
        newer: &StoredFact,
        origin: &Origin,
        now: UnixMs,
    ) -> Result<bool, StoreError>;
    /// What is recorded that a conversation begins with; empty: nothing. `None`: it is not decided.
    async fn context(&self, tenant: &str, conversation: &str) -> Result<Option<String>, StoreError>;
    /// Records what a conversation begins with, unless that is decided, and says what is recorded then.
    async fn decide_context(&self, context: &ConversationContext, now: UnixMs) -> Result<String, StoreError>;
    /// Records that a conversation begins with nothing, unless another request's question has decided.
    async fn withdraw_context(
        &self,
        tenant: &str,
        conversation: &str,
        request: &str,
        now: UnixMs,
    ) -> Result<(), StoreError>;
    /// Deletes what is recorded of conversations that began before a time, and says how many these are.
    async fn forget_contexts(&self, before: UnixMs) -> Result<u64, StoreError>;
    /// Deletes all versions of a fact for good, and conversations begin with it no more. False where there is none
    /// within reach.
    async fn forget(&self, reach: &FactScope, id: &str) -> Result<bool, StoreError>;
    /// Deletes what is in the scope, for good, and returns the number of versions. By age only versions go that
    /// have ended: a fact does not become untrue by growing old.
    async fn purge(&self, scope: &Scope, dry_run: bool) -> Result<u64, StoreError>;
    /// What there is within reach.
    async fn sums(&self, reach: &FactScope, embedder: Option<&str>) -> Result<MemorySums, StoreError>;
    /// Whether the store answers and can be written.
    async fn check(&self) -> Result<(), StoreError>;
    /// Gives everything up in order.
    async fn close(&self);
}
