//! What a fact is made of.

use headroom_api::memory::{Entity, Fact, Relationship, Scope};

use crate::clock::UnixMs;

/// Whose a fact is: the key under which it is stored.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Holder {
    /// The tenant; empty where there is but one.
    pub tenant: String,
    /// Who of the tenant may find it.
    pub scope: Scope,
    /// The project or the user; empty for a team's.
    pub owner: String,
}

/// Which facts a caller may find: those of one tenant, and of it the team's, the user's, and the project's.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct FactScope {
    /// The tenant; empty where there is but one.
    pub tenant: String,
    /// The user.
    pub user: String,
    /// The project; empty where it is not known, and then no project's facts are found.
    pub project: String,
}

impl FactScope {
    /// The holder of one scope; `None` for the project's where the project is not known.
    pub fn holder(&self, scope: Scope) -> Option<Holder> {
        let owner = match scope {
            Scope::Project if self.project.is_empty() => return None,
            Scope::Project => self.project.clone(),
            Scope::User => self.user.clone(),
            Scope::Team => String::new(),
        };
        Some(Holder { tenant: self.tenant.clone(), scope, owner })
    }

    /// Whether a holder is within it.
    pub fn holds(&self, holder: &Holder) -> bool {
        self.holder(holder.scope).as_ref() == Some(holder)
    }
}

/// Who did something to a fact, and how.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Origin {
    /// The agent.
    pub agent: String,
    /// The provider of its model.
    pub provider: String,
    /// How it came: `mcp`, `cli`, `import`, `upkeep`.
    pub via: String,
    /// In which conversation.
    pub conversation: String,
    /// Why.
    pub reason: String,
}

/// An embedding, and whose it is: vectors of two embedders are not compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector {
    /// The embedder's name.
    pub embedder: String,
    /// Of length 1.
    pub values: Vec<f32>,
}

impl Vector {
    /// How near two texts are, 1 at most; `None`: they were not embedded by the same model.
    pub fn cosine(&self, other: &Self) -> Option<f32> {
        let is_same = self.embedder == other.embedder && self.values.len() == other.values.len();
        is_same.then(|| cosine(&self.values, &other.values))
    }
}

/// The cosine of two vectors of length 1 and of the same dimension.
pub(crate) fn cosine(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

/// What a conversation begins with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ConversationContext {
    /// Whose conversation it is.
    pub tenant: String,
    /// Which.
    pub conversation: String,
    /// What its first message ends with; empty: nothing.
    pub text: String,
    /// The ids of the facts in it.
    pub facts: Vec<String>,
    /// The request whose question has decided.
    pub decided_by: String,
}

/// A version of a fact on its way into the store. It holds no credentials any more.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// What it says.
    pub content: String,
    /// What it is about.
    pub entities: Vec<Entity>,
    /// How those belong together.
    pub relationships: Vec<Relationship>,
    /// How much it matters, from 0 to 1.
    pub importance: f64,
    /// Since when it is true.
    pub valid_from: UnixMs,
    /// From when on it is no longer true.
    pub invalid_at: Option<UnixMs>,
    /// Who says it.
    pub origin: Origin,
    /// Its embedding, where there is an embedder.
    pub vector: Option<Vector>,
}

impl Draft {
    /// The names by which it is found, folded.
    pub fn entity_names(&self) -> Vec<String> {
        let ends = self.relationships.iter().flat_map(|link| [&link.source, &link.destination]);
        let named = self.entities.iter().map(|entity| &entity.entity).chain(ends);
        let mut names: Vec<String> =
            named.map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// How a version ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// Another version takes its place.
    Updated,
    /// It is to be forgotten.
    Deleted,
    /// Another fact says the same.
    Merged,
}

impl Ending {
    /// Its name in the store and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::Merged => "merged",
        }
    }
}

/// A version as it is stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredFact {
    /// Its place in the order in which versions were stored.
    pub ordinal: i64,
    /// The tenant whose it is.
    pub tenant: String,
    /// What people and models see of it.
    pub fact: Fact,
}

impl StoredFact {
    /// Whose it is.
    pub fn holder(&self) -> Holder {
        Holder { tenant: self.tenant.clone(), scope: self.fact.scope, owner: self.fact.owner.clone() }
    }
}
