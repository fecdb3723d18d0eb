//! `/stats`: what was counted, under the names of the original.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::App;
use super::error::Refusal;

/// How old the answer to `?cached=1` may be, as in the original.
const CACHED: Duration = Duration::from_secs(5);

pub(super) async fn stats(
    State(app): State<Arc<App>>,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::query(error.body_text()))?;
    let cached = query.get("cached").is_some_and(|value| matches!(value.as_str(), "1" | "true" | "yes"));
    let text = app.board.stats(if cached { CACHED } else { Duration::ZERO }).await?;
    Ok(([(CONTENT_TYPE, "application/json")], text.to_string()).into_response())
}
