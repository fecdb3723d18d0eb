//! `/stats`: what was counted, under upstream's names.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use serde_json::Value;

use super::App;
use super::error::Refusal;
use crate::messages::Messages;

/// How old the answer to `?cached=1` may be, as in upstream.
const CACHED: Duration = Duration::from_secs(5);

pub(super) async fn stats(
    State(app): State<Arc<App>>,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::query(error.body_text()))?;
    let cached = query.get("cached").is_some_and(|value| matches!(value.as_str(), "1" | "true" | "yes"));
    let text = app.board.stats(if cached { CACHED } else { Duration::ZERO }).await?;
    let text = if app.messages.on() { with_messages(&text, &app.messages) } else { text.to_string() };
    Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
}

/// `/events` sends the rest of it to every dashboard every second, so messages are added here.
fn with_messages(stats: &str, messages: &Messages) -> String {
    let mut body: Value = serde_json::from_str(stats).unwrap_or_default();
    body["log_full_messages"] = true.into();
    for request in body["recent_requests"].as_array_mut().into_iter().flatten() {
        messages.add_to(request);
    }
    body.to_string()
}
