//! Memory: facts that agents share, each with where it came from, since when it holds, and everything that was ever
//! done to it.
//!
//! A fact belongs to a tenant, and within it to a project, a user, or everyone ([`Holder`]). Nothing is overwritten: an
//! update ends a version and begins the next, a deletion ends the last. What is ended stays in the history until it is
//! purged, and is found by no search.

mod compare;
mod context;
mod embedder;
mod fact;
mod files;
mod place;
mod search;
mod service;
mod store;
mod tools;
mod upkeep;

pub use self::compare::{fingerprint, likeness};
pub use self::context::ContextQuestion;
#[cfg(all(test, feature = "embedder"))]
pub(crate) use self::embedder::of_words;
pub use self::embedder::{Detection, EmbedError, Embedder, Models, OpenAiSettings, detect};
pub(crate) use self::fact::cosine;
pub use self::fact::{ConversationContext, Draft, Ending, FactScope, Holder, Origin, StoredFact, Vector};
pub use self::search::{MatchedFact, query_words};
pub use self::service::{Memory, MemoryError};
pub use self::store::{MemoryPlace, MemoryStore, MemorySums, SaveOutcome, UpdateOutcome};
pub use self::tools::ToolCall;
