//! `POST /v1/purge`: deleting what is stored.

use serde::{Deserialize, Serialize};

/// What to delete: one of the first four.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PurgeRequest {
    /// Everything.
    pub all: bool,
    /// Everything of one tenant.
    pub tenant: Option<String>,
    /// Everything older than this.
    pub older_than_seconds: Option<u32>,
    /// Only stored answers. An older headroomd does not know this key.
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
    /// Versions of facts in memory. A purge by age deletes only those that have ended.
    pub facts: u64,
    /// Calls that the learner has stored.
    pub sightings: u64,
    /// Requests whose messages were held.
    pub messages: usize,
    /// WebSocket sessions that had ended and were in memory.
    pub sessions: usize,
    /// Stored answers; they are in memory.
    pub answers: u64,
    /// Bytes that these took.
    pub answer_bytes: u64,
}
