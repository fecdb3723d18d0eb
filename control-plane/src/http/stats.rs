//! `/stats`: the counters, under upstream's names.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use headroom_api::names::yes_or_no;
use headroom_api::pages::Stats;

use super::App;
use super::board::rendered;
use super::error::Refusal;
use crate::messages::Messages;

/// How old the answer to `?cached=1` may be, as in upstream.
const CACHED: Duration = Duration::from_secs(5);

pub(super) async fn stats(
    State(app): State<Arc<App>>,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::query(error.body_text()))?;
    let cached = query.get("cached").is_some_and(|value| yes_or_no(value) == Some(true));
    let answer = app.board.stats(if cached { CACHED } else { Duration::ZERO }).await?;
    let text =
        if app.messages.on() { with_messages(&answer.page, &app.messages) } else { answer.text.clone() };
    Ok(([(CONTENT_TYPE, "application/json")], text).into_response())
}

/// Messages are added only here, because `/events` sends the rest to every dashboard every second.
fn with_messages(page: &Stats, messages: &Messages) -> String {
    let mut page = Stats { log_full_messages: true, ..page.clone() };
    for request in &mut page.recent_requests {
        request.messages = Some(messages.of(&request.request_id));
    }
    rendered(&page)
}
