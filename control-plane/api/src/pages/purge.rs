//! `POST /v1/purge`: deleting what is stored.

use serde::{Deserialize, Serialize};

/// What is to go: one of the first four.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PurgeRequest {
    /// Everything.
    pub all: bool,
    /// What is one tenant's.
    pub tenant: Option<String>,
    /// What is older.
    pub older_than_seconds: Option<u32>,
    /// Answers that would be given again, and nothing else. An older headroomd knows no such key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub answers: bool,
    /// Nothing is deleted, only counted.
    pub dry_run: bool,
}

/// What was deleted, or would be.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Purged {
    /// Whether nothing was deleted.
    pub dry_run: bool,
    /// Requests that were kept one by one.
    pub requests: u64,
    /// Sums over hours, days and minutes, and points of the history.
    pub sums: u64,
    /// Originals.
    pub originals: u64,
    /// Bytes that these took.
    pub bytes: i64,
    /// Versions of facts in memory. By age only those go that have ended.
    pub facts: u64,
    /// Calls from which the learner has learned.
    pub sightings: u64,
    /// Requests whose messages were held.
    pub messages: usize,
    /// WebSocket sessions that had ended and were in memory.
    pub sessions: usize,
    /// Answers that would have been given again; they are in memory.
    pub answers: u64,
    /// Bytes that these took.
    pub answer_bytes: u64,
}
