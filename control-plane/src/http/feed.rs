//! `/transformations/feed`: the newest requests, and what was done to each.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use headroom_api::pages::{Feed, Request};

use super::App;
use super::error::Refusal;
use crate::ledger::contribution::CountedRequest;
use crate::messages::Messages;
use crate::recent::{AT_ONCE, RecentFilter, scan};
use crate::stats::request;
use crate::upstream::savings::transforms_applied;

/// Requests shown by default, as in upstream.
const DEFAULT: u32 = 20;
/// Requests shown at most, as in upstream.
const MOST: u32 = 100;

pub(super) async fn feed(
    State(app): State<Arc<App>>,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
) -> Result<Json<Feed>, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::query(error.body_text()))?;
    let limit = limit(&query, DEFAULT, MOST).map_err(Refusal::query)?;
    let wanted = RecentFilter::read(&query).map_err(Refusal::query)?;
    let before = before(&query).map_err(Refusal::query)?;
    // without a filter only the newest are needed, and the rest is not searched
    let (_turn, at_once) = match wanted.is_everything() {
        true => (None, limit + 1),
        false => (Some(app.turnstile.pass().await), AT_ONCE),
    };
    let mut transformations = Vec::new();
    let (mut next, mut last) = (None, None);
    let reach = scan(app.store.as_ref(), before.unwrap_or(i64::MAX), at_once, |landed| {
        if !wanted.matches(landed) {
            return ControlFlow::Continue(());
        }
        // one more than shown means that there are more
        if transformations.len() == limit as usize {
            next = last;
            return ControlFlow::Break(());
        }
        transformations.push(transformation(landed, &app.messages));
        last = Some(landed.ordinal);
        ControlFlow::Continue(())
    })
    .await?;
    Ok(Json(Feed { transformations, log_full_messages: app.messages.on(), next, reach: Some(reach) }))
}

/// The requested number, from 1 to `most`.
pub(super) fn limit(query: &BTreeMap<String, String>, default: u32, most: u32) -> Result<u32, String> {
    let asked = query.get("limit").map(|asked| asked.trim()).filter(|asked| !asked.is_empty());
    let Some(asked) = asked else { return Ok(default) };
    match asked.parse::<u32>() {
        Ok(limit) if limit > 0 => Ok(limit.min(most)),
        _ => Err(format!("limit: expected a number from 1 to {most}")),
    }
}

/// The position to continue from, taken from an earlier answer.
fn before(query: &BTreeMap<String, String>) -> Result<Option<i64>, String> {
    let asked = query.get("before").map(|asked| asked.trim()).filter(|asked| !asked.is_empty());
    let number =
        |asked: &str| asked.parse().map_err(|_| "before: expected the value of next in an answer".to_owned());
    asked.map(number).transpose()
}

/// The request as in `recent_requests`, with additional fields under upstream's names.
fn transformation(landed: &CountedRequest, messages: &Messages) -> Request {
    Request {
        transforms_applied: Some(transforms_applied(&landed.record)),
        messages: Some(messages.of(&landed.record.request_id)),
        ..request(landed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn a_limit_is_bounded_and_nonsense_is_refused() {
        let limit = |asked: &str| limit(&query("limit", asked), DEFAULT, MOST);
        assert_eq!(limit(""), Ok(DEFAULT));
        assert_eq!(limit("7"), Ok(7));
        assert_eq!(limit("4000000000"), Ok(MOST));
        for bad in ["0", "-1", "x", "1e9", "99999999999"] {
            assert!(limit(bad).is_err(), "{bad}");
        }
        assert_eq!(before(&query("before", " 12 ")), Ok(Some(12)));
        assert_eq!(before(&query("limit", "1")), Ok(None));
        assert!(before(&query("before", "x")).is_err());
    }
}
