//! Deleting what is stored because somebody asks for it: everything, one tenant's, or what is older than a time.

use headroom_api::pages::{PurgeRequest, Purged};

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
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PurgedLedger {
    /// Requests that were kept one by one.
    pub requests: u64,
    /// Sums over hours, days and minutes, and points of the history.
    pub sums: u64,
}

/// What was deleted of the originals, or would have been.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PurgedOriginals {
    /// Originals.
    pub originals: u64,
    /// Bytes that they took.
    pub bytes: i64,
}

/// What a request asks for; `None` where it asks for nothing, or for two things.
pub fn scope(request: &PurgeRequest, now: UnixMs) -> Option<Scope> {
    match (request.all, &request.tenant, request.older_than_seconds) {
        (true, None, None) => Some(Scope::All),
        (false, Some(tenant), None) => Some(Scope::Tenant(tenant.clone())),
        (false, None, Some(seconds)) => Some(Scope::Before(now - 1_000 * i64::from(seconds))),
        _ => None,
    }
}

/// What was deleted of the stores, or would have been.
pub fn purged(ledger: PurgedLedger, originals: PurgedOriginals, facts: u64, dry_run: bool) -> Purged {
    Purged {
        dry_run,
        requests: ledger.requests,
        sums: ledger.sums,
        originals: originals.originals,
        bytes: originals.bytes,
        facts,
        ..Purged::default()
    }
}
