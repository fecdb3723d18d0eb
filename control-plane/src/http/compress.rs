//! `POST /v1/compress` and `POST /v1/usage`: the endpoints for LiteLLM, Kong, Portkey and upstream's SDKs.
//!
//! The caller has its own request to forward, so every answer of 200 contains the messages. Where they could not be
//! compressed they are returned unchanged. Only invalid or forbidden calls are refused.

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
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::App;
use super::error::Refusal;
use super::retrieve::Tenant;
use crate::gateway::{Caller, CompressRequest, InvalidRequest, Service, session_id};
use crate::ledger::labels::is_stack;

/// Bytes of a body at most: the longest that the filter reads.
const MAX_BODY_BYTES: usize = 32 << 20;
/// Bytes that are read from a body that is too long.
const MAX_READ_BYTES: usize = 8 * MAX_BODY_BYTES;
/// Bytes of the bodies of all current calls, beside [`Room::lane`].
const MAX_BYTES: usize = 224 << 20;
/// Bytes per permit.
const UNIT: usize = 1 << 10;
/// How long a body may take to arrive, and how long it may wait for memory.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The service, and the memory for the bodies of its callers.
pub(crate) struct Desk {
    service: Service,
    space: Space,
}

/// The memory for bodies.
struct Space {
    /// For what has arrived, so that nobody holds memory that it does not fill.
    shared: Arc<Semaphore>,
    /// For one whole body: whoever has it waits for nobody else. Otherwise bodies that have arrived in part could hold
    /// everything, each waiting for more.
    lane: Arc<Semaphore>,
}

/// The memory that a body takes, until this is dropped.
#[derive(Default)]
struct Room {
    shared: Option<OwnedSemaphorePermit>,
    lane: Option<OwnedSemaphorePermit>,
}

impl Space {
    fn new() -> Self {
        Self { shared: Arc::new(Semaphore::new(MAX_BYTES / UNIT)), lane: Arc::new(Semaphore::new(1)) }
    }

    /// Makes room for so many bytes in all.
    async fn extend(&self, room: &mut Room, bytes: usize) -> Result<(), AcquireError> {
        let held = room.shared.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = u32::try_from((bytes / UNIT + 1).saturating_sub(held)).unwrap_or(u32::MAX);
        if more == 0 || room.lane.is_some() {
            return Ok(());
        }
        tokio::select! {
            biased;
            shared = Arc::clone(&self.shared).acquire_many_owned(more) => match &mut room.shared {
                Some(held) => held.merge(shared?),
                none => *none = Some(shared?),
            },
            lane = Arc::clone(&self.lane).acquire_owned() => room.lane = Some(lane?),
        }
        Ok(())
    }

    /// Reads a body to its end, and keeps it if it is not too long: many clients read an answer only after they have
    /// sent everything. Waits where there is no memory for it, which is released with the [`Room`].
    async fn read(&self, headers: &HeaderMap, mut body: Body) -> Result<(Vec<u8>, Room), Refusal> {
        let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let is_short = |length: usize| length <= MAX_BODY_BYTES;
        // `None`: it is too long
        let mut kept = declared.is_none_or(is_short).then(|| (Vec::new(), Room::default()));
        let mut length = 0;
        while length <= MAX_READ_BYTES
            && let Some(frame) = body.frame().await
        {
            let arrived =
                |_| Refusal::told(StatusCode::BAD_REQUEST, INVALID, "The body did not arrive.".to_owned());
            let Ok(data) = frame.map_err(arrived)?.into_data() else { continue };
            length += data.len();
            kept = kept.filter(|_| is_short(length));
            if let Some((bytes, room)) = &mut kept {
                self.extend(room, length).await.map_err(|_| Refusal::INTERNAL)?;
                bytes.extend_from_slice(&data);
            }
        }
        kept.ok_or_else(too_large)
    }
}

impl Desk {
    pub(crate) fn new(service: Service) -> Self {
        Self { service, space: Space::new() }
    }

    async fn read(&self, headers: &HeaderMap, body: Body) -> Result<(Vec<u8>, Room), Refusal> {
        let read = tokio::time::timeout(READ_TIMEOUT, self.space.read(headers, body)).await;
        read.unwrap_or_else(|_| {
            let message = "The body did not arrive in time, or there was no room for it: try again later.";
            Err(Refusal::told(StatusCode::SERVICE_UNAVAILABLE, "busy", message.to_owned()))
        })
    }
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
    let (body, room) = app.desk.read(&headers, body).await?;
    // Parsing a long body takes milliseconds and must not block other requests.
    let asked =
        tokio::task::spawn_blocking(move || CompressRequest::read(&body).map(|asked| asked.holding(room)));
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

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use tokio_stream::StreamExt as _;

    use super::*;

    type Piece = Result<Bytes, std::io::Error>;

    fn piece(bytes: usize) -> Piece {
        Ok(Bytes::from(vec![b'x'; bytes]))
    }

    /// A body of these pieces that does not end.
    fn unfinished(pieces: Vec<Piece>) -> Body {
        Body::from_stream(tokio_stream::iter(pieces).chain(tokio_stream::pending()))
    }

    fn free(space: &Space) -> (usize, usize) {
        (space.shared.available_permits() * UNIT, space.lane.available_permits())
    }

    #[tokio::test]
    async fn a_body_takes_the_room_of_what_has_arrived() {
        let space = Space::new();
        let declared = HeaderMap::from_iter([(CONTENT_LENGTH, MAX_BODY_BYTES.into())]);
        let mut reads: Vec<_> = (0..100)
            .map(|n| {
                let headers = if n % 2 == 0 { declared.clone() } else { HeaderMap::new() };
                let space = &space;
                Box::pin(async move { space.read(&headers, unfinished(vec![piece(10)])).await.map(|_| ()) })
            })
            .collect();
        for read in &mut reads {
            assert!(tokio::time::timeout(Duration::ZERO, read).await.is_err(), "it waits for the rest");
        }
        assert_eq!(free(&space), (MAX_BYTES - 100 * UNIT, 1));
        drop(reads);
        assert_eq!(free(&space).0, MAX_BYTES);
        let (bytes, room) = space.read(&HeaderMap::new(), Body::from("{}")).await.unwrap();
        assert_eq!((bytes.as_slice(), free(&space).0), (&b"{}"[..], MAX_BYTES - UNIT));
        drop(room);
        assert_eq!(free(&space).0, MAX_BYTES);
    }

    #[tokio::test]
    async fn a_body_that_is_declared_too_long_takes_no_room() {
        let space = Space::new();
        let headers = HeaderMap::from_iter([(CONTENT_LENGTH, (MAX_BODY_BYTES + 1).into())]);
        let read = space.read(&headers, unfinished(vec![piece(8 << 20)]));
        assert!(
            tokio::time::timeout(Duration::from_millis(10), read).await.is_err(),
            "it waits for the rest"
        );
        assert_eq!(free(&space), (MAX_BYTES, 1));
        let whole = space.read(&headers, Body::from(vec![b'x'; MAX_BODY_BYTES + 1])).await;
        assert_eq!(whole.map(|_| ()).unwrap_err(), too_large());
    }

    #[tokio::test]
    async fn bodies_that_wait_for_each_other_all_arrive() {
        let space = Space::new();
        // each has half of its bytes when there is no room left
        let half = piece(12 << 20).unwrap();
        let pieces = || [half.clone(), half.clone()].map(Ok::<_, std::io::Error>);
        let reads: Vec<_> = (0..24)
            .map(|_| {
                let body = Body::from_stream(tokio_stream::iter(pieces()).then(async |piece| {
                    tokio::task::yield_now().await;
                    piece
                }));
                let space = &space;
                async move { space.read(&HeaderMap::new(), body).await.map(|(bytes, _)| bytes.len()) }
            })
            .collect();
        let all = reads.into_iter().map(Box::pin);
        let mut all: Vec<_> = all.collect();
        let deadline = std::time::Instant::now() + READ_TIMEOUT;
        while !all.is_empty() {
            assert!(std::time::Instant::now() < deadline, "{} bodies did not arrive", all.len());
            let mut waiting = Vec::new();
            for mut read in all {
                match tokio::time::timeout(Duration::ZERO, &mut read).await {
                    Ok(read) => assert_eq!(read, Ok(24 << 20)),
                    Err(_) => waiting.push(read),
                }
            }
            all = waiting;
        }
        assert_eq!(free(&space), (MAX_BYTES, 1));
    }
}
