//! `/telemetry`: whether the beacon is on, and what it would send.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::App;
use super::error::Refusal;

pub(super) async fn telemetry(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    Ok(Json(app.beacon.shown().await?))
}
