//! `/telemetry`: whether the beacon is on, and its payload.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use headroom_api::pages::Telemetry;

use super::App;
use super::error::Refusal;

pub(super) async fn telemetry(State(app): State<Arc<App>>) -> Result<Json<Telemetry>, Refusal> {
    Ok(Json(app.beacon.page().await?))
}
