//! What has happened in a conversation, as the provider saw it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::retrieval::is_exact;

/// What has happened so far under one name.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Report {
    /// Requests, those that the filter sends by itself included.
    pub requests: usize,
    /// Those that were refused with status 400, and why.
    pub refused: Vec<String>,
    /// Reasoning that was not given to the model because what stood before it had changed, one line each.
    pub dropped: Vec<String>,
    /// Reasoning that was not given to the model because another model had made it.
    pub of_other_models: usize,
    /// Requests of which another came before in the same conversation.
    pub later_requests: usize,
    /// Those of them that did not begin as the one before, and where they part.
    pub rewritten: Vec<String>,
    /// Those of them that did, as values, but not byte for byte: cache markers that move do that too.
    pub respelled: usize,
    /// Ids of calls that this provider has never given away.
    pub foreign: Vec<String>,
    /// What the model has asked `headroom_retrieve` for, and what it got.
    pub retrievals: Vec<Retrieval>,
    /// What it has got from the filter's tools of memory.
    pub remembered: Vec<String>,
    /// The first messages of the conversations under this name, each once.
    pub beginnings: Vec<String>,
    /// Calls of it behind calls of the client's tools that the next request did not have, so that the model had to ask
    /// once more.
    pub asked_again: usize,
}

/// A call of `headroom_retrieve`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Retrieval {
    /// The call's arguments.
    pub arguments: Value,
    /// What it was answered; `None`: it never was.
    pub text: Option<String>,
}

impl Report {
    /// Whatever should not have happened, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let lists = [("refused", &self.refused), ("dropped", &self.dropped)];
        let more = [("rewritten", &self.rewritten), ("an unknown id", &self.foreign)];
        lists
            .into_iter()
            .chain(more)
            .flat_map(|(what, list)| list.iter().map(move |it| format!("{what}: {it}")))
            .collect()
    }

    /// How many retrievals were answered with the exact original, or the exact range of it that was asked for.
    pub fn exact(&self, originals: &[String]) -> usize {
        self.retrievals.iter().filter(|retrieval| retrieval.is_exact(originals)).count()
    }

    /// Adds another conversation's.
    pub fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.refused.extend(other.refused);
        self.dropped.extend(other.dropped);
        self.of_other_models += other.of_other_models;
        self.later_requests += other.later_requests;
        self.rewritten.extend(other.rewritten);
        self.respelled += other.respelled;
        self.foreign.extend(other.foreign);
        self.remembered.extend(other.remembered);
        self.retrievals.extend(other.retrievals);
        self.asked_again += other.asked_again;
        self.beginnings.extend(other.beginnings);
    }
}

impl Retrieval {
    /// Whether what came is what was asked for, of one of these originals.
    pub fn is_exact(&self, originals: &[String]) -> bool {
        let hash = self.arguments["hash"].as_str().unwrap_or_default();
        let original = originals.iter().find(|original| headroom_compress::address(original) == hash);
        let (Some(original), Some(text)) = (original, &self.text) else { return false };
        is_exact(original, self.arguments["lines"].as_str().unwrap_or_default(), text)
    }
}
