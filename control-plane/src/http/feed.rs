//! `/transformations/feed`: the newest requests, and what was done to each.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use headroom_api::pages::{Feed, Request};

use super::App;
use super::error::Refusal;
use crate::ledger::contribution::Landed;
use crate::messages::Messages;
use crate::stats::request;
use crate::upstream::savings::transforms_applied;

/// Requests shown when the query does not say, as in upstream.
const DEFAULT: u32 = 20;
/// Requests shown at most, as in upstream.
const MOST: u32 = 100;

pub(super) async fn feed(
    State(app): State<Arc<App>>,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
) -> Result<Json<Feed>, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::query(error.body_text()))?;
    let limit = limit(query.get("limit").map(String::as_str)).map_err(Refusal::query)?;
    let requests = app.store.recent(limit).await?;
    Ok(Json(Feed {
        transformations: requests.iter().map(|request| transformation(request, &app.messages)).collect(),
        log_full_messages: app.messages.on(),
    }))
}

fn limit(asked: Option<&str>) -> Result<u32, String> {
    let Some(asked) = asked.map(str::trim).filter(|asked| !asked.is_empty()) else { return Ok(DEFAULT) };
    match asked.parse::<u32>() {
        Ok(limit) if limit > 0 => Ok(limit.min(MOST)),
        _ => Err(format!("limit: expected a number from 1 to {MOST}")),
    }
}

/// The request as `recent_requests` shows it, and under upstream's names what that lacks.
fn transformation(landed: &Landed, messages: &Messages) -> Request {
    Request {
        transforms_applied: Some(transforms_applied(&landed.record)),
        messages: Some(messages.of(&landed.record.request_id)),
        ..request(landed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_bounded_and_nonsense_is_refused() {
        assert_eq!(limit(None), Ok(DEFAULT));
        assert_eq!(limit(Some("7")), Ok(7));
        assert_eq!(limit(Some("4000000000")), Ok(MOST));
        for bad in ["0", "-1", "x", "1e9", "99999999999"] {
            assert!(limit(Some(bad)).is_err(), "{bad}");
        }
    }
}
