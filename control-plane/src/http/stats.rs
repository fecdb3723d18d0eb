//! `/stats`: what was counted, under the names of the original.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::App;
use super::error::Refusal;
use crate::clock::now_ms;
use crate::stats::Snapshot;

pub(super) async fn stats(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    let snapshot = Snapshot::read(app.store.as_ref(), now_ms()).await?;
    let counts = app.ledger.counts();
    let mut body = snapshot.to_json();
    body["reports"]["duplicate_records"] = counts.duplicates().into();
    body["reports"]["turned_away"] = counts.turned_away().into();
    body["reports"]["failures"] = counts.failures().into();
    body["reports"]["waiting"] = app.ledger.waiting().into();
    Ok(Json(body))
}
