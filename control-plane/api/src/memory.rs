//! What `/v1/memory/*` is asked and answers: JSON over `POST`. Times are milliseconds since 1970, UTC.

pub mod notes;
pub mod tools;

use serde::{Deserialize, Serialize};

/// Bytes of one fact at most. A fact is a sentence or a few.
pub const MAX_CONTENT_BYTES: usize = 8 << 10;
/// Facts in one request at most.
pub const MAX_FACTS: usize = 100;
/// Facts that a search gives at most.
pub const MAX_TOP_K: u32 = 50;
/// Facts that a search gives where nobody says how many.
pub const DEFAULT_TOP_K: u32 = 10;
/// Facts in a list at most.
pub const MAX_LIMIT: u32 = 100;
/// Facts in a list where nobody says how many.
pub const DEFAULT_LIMIT: u32 = 10;
/// How much a fact matters where nobody says it.
pub const DEFAULT_IMPORTANCE: f64 = 0.5;

/// Who may find a fact.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Whoever works in the project.
    #[default]
    Project,
    /// The user, in every project.
    User,
    /// Every user of the tenant, in every project.
    Team,
}

impl Scope {
    /// Its name in JSON and in the store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::User => "user",
            Self::Team => "team",
        }
    }
}

/// Who asks, and from where. What is not known is empty.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Caller {
    /// The project: the root of its repository, or a name. Empty: it could not be found out.
    pub project: String,
    /// The user. Empty: the tenant's name, or who has started headroomd.
    pub user: String,
    /// The agent that asks, such as `claude-code`.
    pub agent: String,
    /// The provider of its model.
    pub provider: String,
    /// How it asks: `mcp`, `filter`, `cli`, `import`.
    pub via: String,
    /// Its conversation.
    pub conversation: String,
}

/// Somebody or something that a fact is about.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Entity {
    /// Its name.
    pub entity: String,
    /// What it is: person, organization, technology, location, project, concept.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub entity_type: String,
}

/// How two entities belong together.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Relationship {
    /// The one.
    pub source: String,
    /// What it is to the other.
    #[serde(alias = "relation")]
    pub relationship: String,
    /// The other.
    #[serde(alias = "target")]
    pub destination: String,
}

/// A fact on its way into memory.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct NewFact {
    /// What is so.
    pub content: String,
    /// How much it matters, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importance: Option<f64>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<Entity>,
    /// How those belong together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relationships: Vec<Relationship>,
    /// Since when it is so; now where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<i64>,
    /// From when on it is so no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_at: Option<i64>,
    /// The agent that said it, where another brings it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_agent: String,
    /// The provider of that agent's model.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_provider: String,
}

/// `POST /v1/memory/save`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct SaveRequest {
    /// Who asks.
    #[serde(flatten)]
    pub caller: Caller,
    /// Who may find the facts; the project's where it is known, else the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// The facts: all of them are stored, or none.
    pub facts: Vec<NewFact>,
}

/// What became of one fact.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum SaveStatus {
    /// It is new.
    #[serde(rename = "saved")]
    Saved,
    /// It was there; the id is that of the fact which was.
    #[serde(rename = "already saved")]
    AlreadySaved,
}

/// How a stored fact stands to another.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// It says the same.
    Same,
    /// Both cannot be so, as far as their words tell.
    Contradicts,
    /// It is about the same things.
    Related,
}

impl Relation {
    /// Its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Contradicts => "contradicts",
            Self::Related => "related",
        }
    }
}

/// A stored fact that is close to one that was saved.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Similar {
    /// Its id.
    pub id: String,
    /// Its text.
    pub content: String,
    /// How it stands to the new one.
    pub relation: Relation,
}

/// One fact's part of the answer to a save.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SavedFact {
    /// The fact's id.
    pub id: String,
    /// What became of it.
    pub status: SaveStatus,
    /// Who may find it.
    pub scope: Scope,
    /// Its text as it is stored: without credentials.
    pub content: String,
    /// Stored facts close to it. Nothing was done about them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub similar: Vec<Similar>,
}

/// The answer to a save.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct SaveResponse {
    /// In the order of the request.
    pub saved: Vec<SavedFact>,
    /// What the caller should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A stored fact, in one of its versions.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Fact {
    /// Its id, the same for all versions.
    pub id: String,
    /// The version, from 1.
    pub version: i64,
    /// Who may find it.
    pub scope: Scope,
    /// The project or the user whose it is; empty for a team's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub owner: String,
    /// What is so.
    pub content: String,
    /// How much it matters, from 0 to 1.
    pub importance: f64,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<Entity>,
    /// How those belong together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relationships: Vec<Relationship>,
    /// The agent that said it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_agent: String,
    /// The provider of that agent's model.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_provider: String,
    /// How it came.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub created_via: String,
    /// In which conversation.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub conversation: String,
    /// Why this version was made.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When it was stored.
    pub created_at: i64,
    /// Since when it is so.
    pub valid_from: i64,
    /// From when on it is so no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_at: Option<i64>,
    /// How this version ended; `None`: it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// How a version of a fact ended. It stays in the history.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Ended {
    /// `updated`, `deleted` or `merged`.
    pub how: String,
    /// When.
    pub at: i64,
    /// By which agent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub agent: String,
    /// How that agent asked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub via: String,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The fact that says the same, where it was merged.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub merged_into: String,
}

/// `POST /v1/memory/search`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SearchRequest {
    /// Who asks.
    #[serde(flatten)]
    pub caller: Caller,
    /// What is looked for.
    pub query: String,
    /// Only facts about one of these.
    #[serde(default)]
    pub entities: Vec<String>,
    /// Facts about the same entities as those that were found, too.
    #[serde(default)]
    pub include_related: bool,
    /// How many at most: 10 where it is not said, 50 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
}

/// A fact that was found.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct FoundFact {
    /// The fact.
    #[serde(flatten)]
    pub fact: Fact,
    /// How well it fits, from 0 to 1: the cosine where an embedder runs, else the share of the best text match.
    pub relevance: f64,
    /// Whether it was found by its entities, and not by the query.
    #[serde(default)]
    pub related: bool,
}

/// The answer to a search: the best first.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct SearchResponse {
    /// The facts.
    pub found: Vec<FoundFact>,
}

/// `POST /v1/memory/update`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct UpdateRequest {
    /// Who asks.
    #[serde(flatten)]
    pub caller: Caller,
    /// Which fact.
    pub memory_id: String,
    /// What is so now, whole.
    pub new_content: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// `POST /v1/memory/delete`, `/restore` and `/show`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct FactRequest {
    /// Who asks.
    #[serde(flatten)]
    pub caller: Caller,
    /// Which fact.
    pub memory_id: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// For `/delete`: all versions go from the store, and cannot be had back.
    #[serde(default)]
    pub purge: bool,
}

/// What became of a fact that was changed, deleted or restored: its newest version.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct FactResponse {
    /// The fact.
    pub fact: Fact,
    /// Whether something was changed.
    pub changed: bool,
}

/// `POST /v1/memory/list`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ListRequest {
    /// Who asks.
    #[serde(flatten)]
    pub caller: Caller,
    /// Of this scope only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// How many at most: 10 where it is not said, 100 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where the page before has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,
}

/// Facts, the newest first.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct ListResponse {
    /// The facts.
    pub facts: Vec<Fact>,
    /// Where the next page begins; `None`: this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
}

/// All versions of a fact, the oldest first.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct History {
    /// The versions.
    pub versions: Vec<Fact>,
}

/// `POST /v1/memory/status`: what memory consists of, and what of it the caller can find.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Status {
    /// Where it is kept, without credentials.
    pub store: String,
    /// `loading`, `loaded`, `none` or `error`.
    pub embedder_status: String,
    /// The embedder's name, or why there is none.
    pub embedder: String,
    /// The project as the caller named it.
    pub project: String,
    /// The user as it was understood.
    pub user: String,
    /// The project's facts.
    pub project_facts: i64,
    /// The user's facts.
    pub user_facts: i64,
    /// The team's facts.
    pub team_facts: i64,
    /// Versions that have ended and are kept.
    pub ended_versions: i64,
    /// Facts that the embedder has not seen yet.
    pub unembedded: i64,
}
