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
use headroom_api::v1::RequestRecord;
use serde_json::{Value, json};

use super::error::Refusal;
use super::{App, events};
use crate::clock::iso;
use crate::listen::Peer;
use crate::sessions::{cause, duration_ms};
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

/// The last sessions over WebSocket that have ended, the last first. Open ones are the filter's: it counts them
/// in Envoy's statistics and tells of each at its end.
async fn ws_sessions(State(app): State<Arc<App>>) -> Json<Value> {
    let session = |record: &RequestRecord| {
        let session = record.websocket.clone().unwrap_or_default();
        json!({
            "session_id": record.request_id,
            "started": iso(record.started_unix_ms),
            "age_seconds": duration_ms(record) / 1_000.0,
            "provider": record.provider,
            "tenant": record.tenant,
            "stack": record.stack,
            "status": record.status,
            "opened": session.opened,
            "requests": session.requests,
            "client_frames": session.client_frames,
            "client_bytes": session.client_bytes,
            "server_frames": session.server_frames,
            "server_bytes": session.server_bytes,
            "termination_cause": cause(record),
        })
    };
    Json(app.sessions.list().iter().map(session).collect())
}

async fn warmup(State(app): State<Arc<App>>) -> Json<Value> {
    let mut body = app.warmup.to_json();
    body["runtime"] = json!({
        "listeners": events::MAX_LISTENERS - app.listeners.available_permits(),
        "reports_waiting": app.ledger.waiting(),
    });
    Json(body)
}
