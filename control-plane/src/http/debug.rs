//! `/debug/*`: for users of this machine.
//!
//! Only the socket's peer address decides this: a header such as `X-Forwarded-For` can be forged. For
//! everyone else these paths do not exist.

use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use headroom_api::v1::WebSocketSession;
use serde_json::{Value, json};

use super::error::Refusal;
use super::{App, events};
use crate::clock::{iso, now_ms};
use crate::listen::Peer;
use crate::sessions::cause;
use crate::tasks::TaskState;

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/debug/tasks", get(tasks))
        .route("/debug/ws-sessions", get(ws_sessions))
        .route("/debug/warmup", get(warmup))
        .route("/debug/llmlingua/unload", post(unload))
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

/// Open sessions over WebSocket, oldest first, and then the recently ended ones, newest first.
async fn ws_sessions(State(app): State<Arc<App>>) -> Json<Value> {
    app.metrics.sessions_ended(&app.sessions.gone());
    let now = now_ms();
    let seconds = |from: i64, to: i64| to.saturating_sub(from).max(0) as f64 / 1_000.0;
    let session = |session: &WebSocketSession| {
        let ended = session.ended_unix_ms != 0;
        let until = if ended { session.ended_unix_ms } else { now };
        json!({
            "session_id": session.session_id,
            "client_addr": session.client,
            "upstream_url": session.upstream,
            "provider": session.provider,
            "stack": session.stack,
            "tenant": session.tenant,
            "project": session.project,
            "started": iso(session.started_unix_ms),
            "age_seconds": seconds(session.started_unix_ms, until),
            "idle_seconds": seconds(session.active_unix_ms, until),
            "status": session.status,
            "requests": session.requests,
            "client_frames": session.client_frames,
            "client_bytes": session.client_bytes,
            "server_frames": session.server_frames,
            "server_bytes": session.server_bytes,
            "saved_bytes": session.saved_bytes,
            "termination_cause": ended.then(|| cause(session)),
        })
    };
    Json(app.sessions.list().iter().map(session).collect())
}

async fn warmup(State(app): State<Arc<App>>) -> Json<Value> {
    let mut body = app.warmup.to_json();
    for (name, part) in
        [("memory_backend", app.memory.backend_state()), ("memory_embedder", app.memory.embedder_state())]
    {
        body[name] = json!({"status": part.status, "error": part.error, "info": part.info});
    }
    body["llmlingua"] = app.text_model.state().to_json();
    body["runtime"] = json!({
        "listeners": events::MAX_LISTENERS - app.listeners.available_permits(),
        "reports_waiting": app.ledger.waiting(),
    });
    Json(body)
}

/// Gives the text model's memory back; it is loaded again for the next text.
async fn unload(State(app): State<Arc<App>>) -> Json<Value> {
    app.text_model.unload();
    Json(app.text_model.state().to_json())
}
