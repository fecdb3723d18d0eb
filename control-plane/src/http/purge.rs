//! `POST /v1/purge`: deletes what is stored.
//!
//! Envoy does not forward this path, and tenants may not use it: a caller who may read everything may delete it.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::{Extension, Json};
use headroom_api::pages::{PurgeRequest, Purged};

use super::App;
use super::error::Refusal;
use super::guard::Access;
use crate::clock::now_ms;
use crate::purge::{Scope, purged, scope};

pub(super) async fn post(
    State(app): State<Arc<App>>,
    Extension(access): Extension<Access>,
    wanted: Result<Json<PurgeRequest>, JsonRejection>,
) -> Result<Json<Purged>, Refusal> {
    if access != Access::Full {
        return Err(Refusal::TENANT);
    }
    let Json(wanted) = wanted.map_err(|error| Refusal::query(error.body_text()))?;
    if wanted.answers {
        if wanted.all || wanted.tenant.is_some() || wanted.older_than_seconds.is_some() {
            return Err(Refusal::query("\"answers\" cannot be combined with the others".to_owned()));
        }
        return Ok(Json(answers_alone(&app, wanted.dry_run)));
    }
    let scope = scope(&wanted, now_ms()).ok_or_else(|| {
        Refusal::query(
            "expected one of \"all\": true, \"answers\": true, \"tenant\": NAME and \"older_than_seconds\": N".to_owned(),
        )
    })?;
    let dry_run = wanted.dry_run;
    let originals = app.originals.purge(&scope, dry_run).await?;
    let ledger = app.store.purge(&scope, dry_run).await?;
    let facts = app.memory.purge(&scope, dry_run).await?;
    let sightings = app.learned.purge(&scope, dry_run).await?;
    let answers = app.answers.purge(&scope, dry_run);
    let purged = Purged {
        sightings,
        answers: answers.answers,
        answer_bytes: answers.bytes,
        // they have no tenant, and are few
        messages: if dry_run { app.messages.count() } else { app.messages.forget() },
        sessions: app.sessions.forget_ended(dry_run, |session| match &scope {
            Scope::All => true,
            Scope::Tenant(tenant) => session.tenant == *tenant,
            Scope::Before(time) => session.ended_unix_ms < *time,
        }),
        ..purged(ledger, originals, facts, dry_run)
    };
    // earlier sums still contain the deleted requests
    *app.turnstile.pass().await = None;
    tracing::info!(message = "Purged on request.", ?purged);
    Ok(Json(purged))
}

/// `POST /cache/clear`: deletes all stored answers, and nothing else. Like all requests that change
/// something it must be JSON, which a web page cannot send here.
pub(super) async fn clear_answers(
    State(app): State<Arc<App>>,
    Extension(access): Extension<Access>,
    wanted: Result<Json<PurgeRequest>, JsonRejection>,
) -> Result<Json<Purged>, Refusal> {
    if access != Access::Full {
        return Err(Refusal::TENANT);
    }
    let Json(wanted) = wanted.map_err(|error| Refusal::query(error.body_text()))?;
    Ok(Json(answers_alone(&app, wanted.dry_run)))
}

fn answers_alone(app: &App, dry_run: bool) -> Purged {
    let answers = app.answers.purge(&Scope::All, dry_run);
    let purged =
        Purged { dry_run, answers: answers.answers, answer_bytes: answers.bytes, ..Purged::default() };
    tracing::info!(message = "Answers were purged on request.", ?purged);
    purged
}
