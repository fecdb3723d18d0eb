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

use super::error::Refusal;
use super::{App, events};
use crate::listen::Peer;
use crate::tasks::TaskState;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/debug/tasks", get(tasks))
        .route("/debug/ws-sessions", get(ws_sessions))
        .route("/debug/warmup", get(warmup))
        .route_layer(middleware::from_fn(loopback_only))
}

async fn loopback_only(ConnectInfo(peer): ConnectInfo<Peer>, request: Request, next: Next) -> Response {
    if peer.is_loopback() { next.run(request).await } else { Refusal::NOT_FOUND.into_response() }
}

async fn tasks(State(app): State<Arc<App>>) -> Json<Value> {
    let task =
        |task: &TaskState| json!({"name": task.name, "age_seconds": task.age_seconds, "done": task.done});
    Json(app.tasks.list().iter().map(task).collect())
}

/// Sessions over WebSocket end in Envoy: there is none here, and never a list to show.
async fn ws_sessions() -> Json<Value> {
    Json(json!([]))
}

async fn warmup(State(app): State<Arc<App>>) -> Json<Value> {
    let mut body = app.warmup.to_json();
    body["runtime"] = json!({
        "listeners": events::MAX_LISTENERS - app.listeners.available_permits(),
        "reports_waiting": app.ledger.waiting(),
    });
    Json(body)
}
