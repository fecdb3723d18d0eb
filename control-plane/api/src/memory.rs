//! Requests and answers of `/v1/memory/*`: JSON over `POST`. Times are milliseconds since 1970, UTC.

pub mod notes;
pub mod tools;

use serde::{Deserialize, Serialize};

/// Maximum length of one fact, in bytes. A fact is a sentence or a few.
pub const MAX_CONTENT_BYTES: usize = 8 << 10;
/// Maximum number of facts in one request.
pub const MAX_FACTS: usize = 100;
/// Maximum number of facts in a search result.
pub const MAX_TOP_K: u32 = 50;
/// Number of facts in a search result by default.
pub const DEFAULT_TOP_K: u32 = 10;
/// Maximum number of facts in a list.
pub const MAX_LIMIT: u32 = 100;
/// Number of facts in a list by default.
pub const DEFAULT_LIMIT: u32 = 10;
/// Importance of a fact by default.
pub const DEFAULT_IMPORTANCE: f64 = 0.5;

/// Who may find a fact.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Everyone who works in the project.
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

/// Who asks, and from where. Unknown values are empty.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Caller {
    /// The project: the root of its repository, or a name. Empty: unknown.
    pub project: String,
    /// The user. Empty: the tenant's name, or the user who started headroomd.
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

/// A person or thing that a fact is about.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Entity {
    /// Its name.
    pub entity: String,
    /// What it is: person, organization, technology, location, project, concept.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub entity_type: String,
}

/// How two entities are related.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Relationship {
    /// The first entity.
    pub source: String,
    /// Its relation to the second.
    #[serde(alias = "relation")]
    pub relationship: String,
    /// The second entity.
    #[serde(alias = "target")]
    pub destination: String,
}

/// A fact to be saved.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct NewFact {
    /// The fact itself.
    pub content: String,
    /// How much it matters, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub importance: Option<f64>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<Entity>,
    /// How those are related.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relationships: Vec<Relationship>,
    /// Since when it is true; now if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<i64>,
    /// When it stops being true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_at: Option<i64>,
    /// The agent that stated it, if another one saves it.
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
    /// Who may find the facts. By default the project, if it is known, else the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// The facts. Either all of them are stored, or none.
    pub facts: Vec<NewFact>,
}

/// What happened to one fact.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum SaveStatus {
    /// It is new.
    #[serde(rename = "saved")]
    Saved,
    /// It was already stored; the id is that of the stored fact.
    #[serde(rename = "already saved")]
    AlreadySaved,
}

/// How a stored fact relates to another.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// It says the same.
    Same,
    /// They cannot both be true, judging by their words.
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
    /// Its relation to the new one.
    pub relation: Relation,
}

/// One fact's part of the answer to a save.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SavedFact {
    /// The fact's id.
    pub id: String,
    /// What happened to it.
    pub status: SaveStatus,
    /// Who may find it.
    pub scope: Scope,
    /// Its text as it is stored: without credentials.
    pub content: String,
    /// Stored facts close to it. They were not changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub similar: Vec<Similar>,
}

/// The answer to a save.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct SaveResponse {
    /// In the order of the request.
    pub saved: Vec<SavedFact>,
    /// Advice for the caller.
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
    /// The project or user that owns it; empty if the scope is the team.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub owner: String,
    /// The fact itself.
    pub content: String,
    /// How much it matters, from 0 to 1.
    pub importance: f64,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<Entity>,
    /// How those are related.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relationships: Vec<Relationship>,
    /// The agent that stated it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_agent: String,
    /// The provider of that agent's model.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source_provider: String,
    /// How it arrived.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub created_via: String,
    /// The conversation that it came from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub conversation: String,
    /// Why this version was made.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When it was stored.
    pub created_at: i64,
    /// Since when it is true.
    pub valid_from: i64,
    /// When it stops being true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_at: Option<i64>,
    /// How this version ended; `None`: it is current.
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
    /// What to look for.
    pub query: String,
    /// Only facts about one of these.
    #[serde(default)]
    pub entities: Vec<String>,
    /// Also return facts about the same entities as the facts found.
    #[serde(default)]
    pub include_related: bool,
    /// Maximum number of results: 10 by default, at most 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
}

/// A fact that was found.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct FoundFact {
    /// The fact.
    #[serde(flatten)]
    pub fact: Fact,
    /// How well it matches, from 0 to 1: the cosine where an embedder runs, else the share of the best text
    /// match.
    pub relevance: f64,
    /// Whether its entities led to it, and not the query.
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
    /// The new text, complete.
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
    /// For `/delete`: deletes all versions from the store. This cannot be undone.
    #[serde(default)]
    pub purge: bool,
}

/// The newest version of a fact that was changed, deleted or restored.
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
    /// Only facts of this scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Maximum number of results: 10 by default, at most 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Where the previous page ended.
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

/// `POST /v1/memory/status`: the parts of memory, and how many facts the caller can find.
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
    /// The user as headroomd understood it.
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
