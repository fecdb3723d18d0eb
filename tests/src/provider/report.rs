//! The provider's report about a conversation.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::retrieval::is_exact;

/// The report so far of one name.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Report {
    /// Requests, including the filter's own.
    pub requests: usize,
    /// The reasons of those that were refused with status 400.
    pub refused: Vec<String>,
    /// Reasoning that was not given to the model because the text before it had changed, one line each.
    pub dropped: Vec<String>,
    /// Reasoning that was not given to the model because another model had made it.
    pub of_other_models: usize,
    /// Requests that had an earlier one in the same conversation.
    pub later_requests: usize,
    /// Those of them that did not begin like the previous one, and where they differ.
    pub rewritten: Vec<String>,
    /// Those of them that did not either, at boundaries where old turns are rewritten.
    pub at_boundaries: usize,
    /// Requests that are not what the engine makes of the client's conversation, where old turns are rewritten.
    pub unexpected: Vec<String>,
    /// Those of them that did as values, but not byte for byte: moving cache markers also cause this.
    pub respelled: usize,
    /// Ids of calls that this provider has not issued.
    pub foreign: Vec<String>,
    /// The model's calls of `headroom_retrieve`, and their results.
    pub retrievals: Vec<Retrieval>,
    /// The results of the filter's tools of memory.
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
    /// Its result; `None`: there was none.
    pub text: Option<String>,
}

impl Report {
    /// Problems, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let lists = [("refused", &self.refused), ("dropped", &self.dropped)];
        let more = [
            ("rewritten", &self.rewritten),
            ("not as the engine makes it", &self.unexpected),
            ("an unknown id", &self.foreign),
        ];
        lists
            .into_iter()
            .chain(more)
            .flat_map(|(what, list)| list.iter().map(move |it| format!("{what}: {it}")))
            .collect()
    }

    /// The number of retrievals with the exact original, or the exact requested range, as their result.
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
        self.at_boundaries += other.at_boundaries;
        self.unexpected.extend(other.unexpected);
        self.respelled += other.respelled;
        self.foreign.extend(other.foreign);
        self.remembered.extend(other.remembered);
        self.retrievals.extend(other.retrievals);
        self.asked_again += other.asked_again;
        self.beginnings.extend(other.beginnings);
    }
}

impl Retrieval {
    /// Whether the result is the requested part of one of these originals.
    pub fn is_exact(&self, originals: &[String]) -> bool {
        let hash = self.arguments["hash"].as_str().unwrap_or_default();
        let original = originals.iter().find(|original| headroom_compress::address(original) == hash);
        let (Some(original), Some(text)) = (original, &self.text) else { return false };
        is_exact(original, self.arguments["lines"].as_str().unwrap_or_default(), text)
    }
}
