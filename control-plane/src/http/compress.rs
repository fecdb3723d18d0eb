//! `POST /v1/compress` and `POST /v1/usage`: the endpoints for LiteLLM, Kong, Portkey and upstream's SDKs.
//!
//! The caller has its own request to forward, so every answer of 200 contains the messages. After an internal error
//! they are returned unchanged. Only invalid or forbidden calls are refused.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::App;
use super::error::Refusal;
use super::retrieve::Tenant;
use crate::gateway::{Caller, CompressRequest, InvalidRequest, Service, session_id};
use crate::ledger::labels::is_stack;

/// Bytes of a body at most: the longest that the filter reads.
const MAX_BODY_BYTES: usize = 32 << 20;
/// Bytes that are read from a body that is too long.
const MAX_READ_BYTES: usize = 8 * MAX_BODY_BYTES;
/// Bytes of the bodies of all current calls.
const MAX_BYTES: usize = 256 << 20;
/// Bytes per permit.
const UNIT: usize = 1 << 10;
/// How long a body may take to arrive, and how long it may wait for memory.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The service, and the memory for the bodies of its callers.
pub(crate) struct Desk {
    service: Service,
    room: Arc<Semaphore>,
}

impl Desk {
    pub(crate) fn new(service: Service) -> Self {
        Self { service, room: Arc::new(Semaphore::new(MAX_BYTES / UNIT)) }
    }

    /// Reads a body when there is memory for it. The memory is released with the permit.
    async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<(Vec<u8>, OwnedSemaphorePermit), Refusal> {
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        // a body that is too long needs no permit, because it is not kept
        let bytes =
            length.map_or(MAX_BODY_BYTES, |length: usize| if length > MAX_BODY_BYTES { 0 } else { length });
        let permits = u32::try_from(bytes / UNIT + 1).unwrap_or(u32::MAX);
        let read = async {
            let room = Arc::clone(&self.room).acquire_many_owned(permits).await;
            Ok((read(body).await?, room.map_err(|_| Refusal::INTERNAL)?))
        };
        tokio::time::timeout(READ_TIMEOUT, read).await.unwrap_or_else(|_| {
            let message = "The body did not arrive in time, or there was no room for it: try again later.";
            Err(Refusal::told(StatusCode::SERVICE_UNAVAILABLE, "busy", message.to_owned()))
        })
    }
}

/// Reads a body to its end, and keeps it if it is not too long: many clients read an answer only after they have sent
/// everything.
async fn read(mut body: Body) -> Result<Vec<u8>, Refusal> {
    let (mut bytes, mut length) = (Vec::new(), 0);
    while length <= MAX_READ_BYTES
        && let Some(frame) = body.frame().await
    {
        let arrived =
            |_| Refusal::told(StatusCode::BAD_REQUEST, INVALID, "The body did not arrive.".to_owned());
        let Ok(data) = frame.map_err(arrived)?.into_data() else { continue };
        length += data.len();
        if length <= MAX_BODY_BYTES {
            bytes.extend_from_slice(&data);
        } else {
            bytes = Vec::new();
        }
    }
    if length <= MAX_BODY_BYTES { Ok(bytes) } else { Err(too_large()) }
}

const INVALID: &str = "invalid_request";

fn too_large() -> Refusal {
    let message = format!("The body is too long: expected at most {MAX_BODY_BYTES} bytes.");
    Refusal::told(StatusCode::PAYLOAD_TOO_LARGE, INVALID, message)
}

impl From<InvalidRequest> for Refusal {
    fn from(bad: InvalidRequest) -> Self {
        Self::told(StatusCode::BAD_REQUEST, INVALID, bad.0)
    }
}

/// `POST /v1/compress`.
pub(super) async fn compress(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    json_alone(&headers)?;
    let (body, _room) = app.desk.read(&headers, body).await?;
    // Parsing a long body takes milliseconds and must not block other requests.
    let asked = tokio::task::spawn_blocking(move || CompressRequest::read(&body));
    let asked = asked.await.map_err(|_| Refusal::INTERNAL)??;
    let answer = app.desk.service.answer(asked, &caller(tenant, &headers)).await;
    let answer = answer.map_err(|_| Refusal::INTERNAL)?;
    Ok(([(CONTENT_TYPE, "application/json")], answer).into_response())
}

/// Accepts only JSON, because a page of another origin can send JSON only after a CORS preflight.
fn json_alone(headers: &HeaderMap) -> Result<(), Refusal> {
    let unsupported =
        |message: &str| Err(Refusal::told(StatusCode::UNSUPPORTED_MEDIA_TYPE, INVALID, message.to_owned()));
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.trim_start().to_ascii_lowercase().starts_with("application/json") {
        return unsupported("Expected the header \"Content-Type: application/json\".");
    }
    if headers.contains_key(CONTENT_ENCODING) {
        return unsupported("Expected a body that is not compressed.");
    }
    Ok(())
}

fn caller(Tenant(tenant): Tenant, headers: &HeaderMap) -> Caller {
    let text = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.trim().to_owned()
    };
    Caller {
        tenant,
        stack: Some(text("x-headroom-stack")).filter(|stack| is_stack(stack)).unwrap_or_default(),
        project: text("x-headroom-project"),
        bypass: text("x-headroom-bypass").eq_ignore_ascii_case("true"),
    }
}

/// `POST /v1/usage`: the provider's report about its cache. It has no effect here, because the result for a row does
/// not depend on the cache.
pub(super) async fn usage(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    told: Result<Json<Value>, JsonRejection>,
) -> Result<Json<Value>, Refusal> {
    let invalid = |message: &str| Refusal::told(StatusCode::BAD_REQUEST, INVALID, message.to_owned());
    let Json(told) = told.map_err(|_| invalid("Invalid JSON in request body."))?;
    let session = told.get("session_id").and_then(session_id).ok_or_else(|| {
        invalid("Missing or invalid session_id: expected a non-empty string of at most 256 characters.")
    })?;
    let usage = told.get("usage").filter(|usage| usage.is_object());
    let usage = usage.ok_or_else(|| invalid("Missing or invalid usage: expected an object."))?;
    let signal = signal(usage).map_err(invalid)?;
    let rows = app.desk.service.sessions().rows(&tenant, session).ok_or_else(|| {
        let shown: String = session.chars().take(64).collect();
        let message = format!("There is no session {shown:?} here: it was never seen, or is over.");
        Refusal::told(StatusCode::NOT_FOUND, "unknown_session", message)
    })?;
    let mut answer = json!({"session_id": session, "frozen_message_count": rows, "applied": signal});
    if !signal {
        answer["reason"] = json!("no_cache_signal");
    }
    Ok(Json(answer))
}

/// Whether a report says something about the cache. A single 0 does not: some providers always send it.
fn signal(usage: &Value) -> Result<bool, &'static str> {
    let read = [
        &usage["cache_read_input_tokens"],
        &usage["prompt_tokens_details"]["cached_tokens"],
        &usage["cached_tokens"],
    ];
    let read = read.into_iter().find(|count| !count.is_null());
    let created = Some(&usage["cache_creation_input_tokens"]).filter(|count| !count.is_null());
    if [read, created].into_iter().flatten().any(|count| !count.is_u64()) {
        return Err(
            "usage: expected non-negative integers in cache_read_input_tokens, cache_creation_input_tokens and cached_tokens.",
        );
    }
    match (read.and_then(Value::as_u64), created) {
        (None, None) => Err(
            "usage: expected cache_read_input_tokens, cache_creation_input_tokens or cached_tokens; without one it says nothing about the cache.",
        ),
        (Some(0), None) => Ok(false),
        _ => Ok(true),
    }
}
