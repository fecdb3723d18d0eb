//! `/v1/toin/stats` and `/v1/toin/export`: what retrievals tell about forms.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use headroom_api::pages::ToinPage;
use serde_json::Value;

use super::App;
use super::error::Refusal;
use crate::toin;

pub(super) async fn stats(State(app): State<Arc<App>>) -> Result<Json<ToinPage>, Refusal> {
    Ok(Json(toin::now(&*app.store).await?))
}

pub(super) async fn export(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    Ok(Json(toin::export(&toin::now(&*app.store).await?)))
}
