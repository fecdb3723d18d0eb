//! `/v1/memory/*`: facts that agents share, for MCP servers, gateways and the command line.
//!
//! Each is a `POST` of one JSON object; `headroom_api::memory` has the types. The tenant is determined as for
//! `/v1/retrieve`: by the tenant's token, or by `x-headroom-user-id`.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use axum::{Json, Router};
use headroom_api::memory::{
    Caller, FactRequest, FactResponse, History, ListRequest, ListResponse, MAX_CONTENT_BYTES, MAX_FACTS,
    SaveRequest, SaveResponse, SearchRequest, SearchResponse, Status, UpdateRequest,
};

use super::App;
use super::error::Refusal;
use super::retrieve::Tenant;

/// Bytes of a body at most: the maximum number of facts with the maximum length, and as much again for the rest.
const MAX_BODY_BYTES: usize = 2 * MAX_FACTS * MAX_CONTENT_BYTES;

type JsonBody<T> = Result<Json<T>, JsonRejection>;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/v1/memory/save", post(save))
        .route("/v1/memory/search", post(search))
        .route("/v1/memory/update", post(update))
        .route("/v1/memory/delete", post(delete))
        .route("/v1/memory/restore", post(restore))
        .route("/v1/memory/show", post(show))
        .route("/v1/memory/list", post(list))
        .route("/v1/memory/status", post(status))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
}

fn asked<T>(asked: JsonBody<T>) -> Result<T, Refusal> {
    asked.map(|Json(asked)| asked).map_err(|error| Refusal::query(error.body_text()))
}

async fn save(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    request: JsonBody<SaveRequest>,
) -> Result<Json<SaveResponse>, Refusal> {
    Ok(Json(app.memory.save(&tenant, &asked(request)?).await?))
}

async fn search(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    request: JsonBody<SearchRequest>,
) -> Result<Json<SearchResponse>, Refusal> {
    Ok(Json(app.memory.search(&tenant, &asked(request)?).await?))
}

async fn update(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    request: JsonBody<UpdateRequest>,
) -> Result<Json<FactResponse>, Refusal> {
    Ok(Json(app.memory.update(&tenant, &asked(request)?).await?))
}

async fn delete(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    request: JsonBody<FactRequest>,
) -> Result<Json<FactResponse>, Refusal> {
    Ok(Json(app.memory.delete(&tenant, &asked(request)?).await?))
}

async fn restore(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    request: JsonBody<FactRequest>,
) -> Result<Json<FactResponse>, Refusal> {
    Ok(Json(app.memory.restore(&tenant, &asked(request)?).await?))
}

async fn show(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    request: JsonBody<FactRequest>,
) -> Result<Json<History>, Refusal> {
    Ok(Json(app.memory.show(&tenant, &asked(request)?).await?))
}

async fn list(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    request: JsonBody<ListRequest>,
) -> Result<Json<ListResponse>, Refusal> {
    Ok(Json(app.memory.list(&tenant, &asked(request)?).await?))
}

async fn status(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    request: JsonBody<Caller>,
) -> Result<Json<Status>, Refusal> {
    Ok(Json(app.memory.status(&tenant, &asked(request)?).await?))
}
