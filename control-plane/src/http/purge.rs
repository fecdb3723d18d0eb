//! `POST /v1/purge`: deletes what is stored.
//!
//! Not among the paths that Envoy hands over, and closed to tenants: who may ask for everything may delete it.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use super::App;
use super::error::Refusal;
use super::guard::Access;
use crate::clock::now_ms;
use crate::store::{PurgedLedger, PurgedOriginals, Scope};

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
    /// Versions of facts in memory. By age only those go that have ended.
    pub facts: u64,
    /// Requests whose messages were held.
    pub messages: usize,
    /// WebSocket sessions that had ended and were in memory.
    pub sessions: usize,
}

impl Wanted {
    /// What it asks for; `None` where it asks for nothing, or for two things.
    pub fn scope(&self, now: crate::clock::UnixMs) -> Option<Scope> {
        match (self.all, &self.tenant, self.older_than_seconds) {
            (true, None, None) => Some(Scope::All),
            (false, Some(tenant), None) => Some(Scope::Tenant(tenant.clone())),
            (false, None, Some(seconds)) => Some(Scope::Before(now - 1_000 * i64::from(seconds))),
            _ => None,
        }
    }
}

pub(super) async fn post(
    State(app): State<Arc<App>>,
    Extension(access): Extension<Access>,
    wanted: Result<Json<Wanted>, JsonRejection>,
) -> Result<Json<Purged>, Refusal> {
    if access != Access::Full {
        return Err(Refusal::TENANT);
    }
    let Json(wanted) = wanted.map_err(|error| Refusal::query(error.body_text()))?;
    let scope = wanted.scope(now_ms()).ok_or_else(|| {
        Refusal::query(
            "expected one of \"all\": true, \"tenant\": NAME and \"older_than_seconds\": N".to_owned(),
        )
    })?;
    let dry_run = wanted.dry_run;
    let purged = Purged {
        dry_run,
        originals: app.originals.purge(&scope, dry_run).await?,
        ledger: app.store.purge(&scope, dry_run).await?,
        facts: app.memory.purge(&scope, dry_run).await?,
        // they name no tenant, and are few
        messages: if dry_run { app.messages.count() } else { app.messages.forget() },
        sessions: app.sessions.forget_ended(dry_run, |session| match &scope {
            Scope::All => true,
            Scope::Tenant(tenant) => session.tenant == *tenant,
            Scope::Before(time) => session.ended_unix_ms < *time,
        }),
    };
    tracing::info!(message = "Purged on request.", ?purged);
    Ok(Json(purged))
}
