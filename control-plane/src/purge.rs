//! Deletion of stored data on request: everything, the data of one tenant, or data older than a time.

use headroom_api::pages::{PurgeRequest, Purged};

use crate::clock::UnixMs;

/// What to delete.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Scope {
    /// Everything.
    All,
    /// The data of one tenant.
    Tenant(String),
    /// Data from before a time.
    Before(UnixMs),
}

/// The deleted part of the ledger, or what a dry run would delete.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PurgedLedger {
    /// Individually stored requests.
    pub requests: u64,
    /// Sums over hours, days and minutes, and points of the history.
    pub sums: u64,
}

/// The deleted originals, or what a dry run would delete.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PurgedOriginals {
    /// Originals.
    pub originals: u64,
    /// Bytes that they took.
    pub bytes: i64,
}

/// The scope of a request; `None` if it has none, or more than one.
pub fn scope(request: &PurgeRequest, now: UnixMs) -> Option<Scope> {
    match (request.all, &request.tenant, request.older_than_seconds) {
        (true, None, None) => Some(Scope::All),
        (false, Some(tenant), None) => Some(Scope::Tenant(tenant.clone())),
        (false, None, Some(seconds)) => Some(Scope::Before(now - 1_000 * i64::from(seconds))),
        _ => None,
    }
}

/// The deleted parts of all stores, or what a dry run would delete.
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
