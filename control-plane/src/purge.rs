//! Deleting what is stored because somebody asks for it: everything, one tenant's, or what is older than a time.

use serde::{Deserialize, Serialize};

use crate::clock::UnixMs;

/// What is to go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Scope {
    /// Everything.
    All,
    /// What is kept for one tenant.
    Tenant(String),
    /// What came before a time.
    Before(UnixMs),
}

/// What was deleted of the ledger, or would have been.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct PurgedLedger {
    /// Requests that were kept one by one.
    pub requests: u64,
    /// Sums over hours, days and minutes, and points of the history.
    pub sums: u64,
}

/// What was deleted of the originals, or would have been.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct PurgedOriginals {
    /// Originals.
    pub originals: u64,
    /// Bytes that they took.
    pub bytes: i64,
}

/// What is to go: one of the three.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wanted {
    /// Everything.
    pub all: bool,
    /// What is one tenant's.
    pub tenant: Option<String>,
    /// What is older.
    pub older_than_seconds: Option<u32>,
    /// Nothing is deleted, only counted.
    pub dry_run: bool,
}

/// What was deleted, or would be.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Purged {
    /// Whether nothing was deleted.
    pub dry_run: bool,
    /// Of the ledger.
    #[serde(flatten)]
    pub ledger: PurgedLedger,
    /// Of the originals.
    #[serde(flatten)]
    pub originals: PurgedOriginals,
    /// Requests whose messages were in memory.
    pub messages: usize,
    /// WebSocket sessions that had ended and were in memory.
    pub sessions: usize,
}

impl Wanted {
    /// What it asks for; `None` where it asks for nothing, or for two things.
    pub fn scope(&self, now: UnixMs) -> Option<Scope> {
        match (self.all, &self.tenant, self.older_than_seconds) {
            (true, None, None) => Some(Scope::All),
            (false, Some(tenant), None) => Some(Scope::Tenant(tenant.clone())),
            (false, None, Some(seconds)) => Some(Scope::Before(now - 1_000 * i64::from(seconds))),
            _ => None,
        }
    }
}
