//! `/debug/*`: for whoever sits at this machine.
//!
//! Who that is, is decided by the socket's peer address alone: a header such as `X-Forwarded-For`
//! is the caller's own word. To everyone else these paths do not exist.

use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde_json::{Value, json};

use super::App;
use super::error::Refusal;
use crate::listen::Peer;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new().route("/debug/warmup", get(warmup)).route_layer(middleware::from_fn(loopback_only))
}

async fn loopback_only(ConnectInfo(peer): ConnectInfo<Peer>, request: Request, next: Next) -> Response {
    if peer.is_loopback() { next.run(request).await } else { Refusal::NOT_FOUND.into_response() }
}

async fn warmup(State(app): State<Arc<App>>) -> Json<Value> {
    let store = match app.store.check().await {
        Ok(()) => json!({"status": "loaded", "info": {"location": app.store.location()}}),
        Err(_) => json!({"status": "error"}),
    };
    let models = &app.accounting.models;
    Json(json!({
        "store": store,
        "models": {"status": "loaded", "info": {"prices_checked": models.checked()}},
        "memory_backend": {"status": null},
        "memory_embedder": {"status": null},
    }))
}
