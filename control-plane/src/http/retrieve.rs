//! `/v1/retrieve`: originals for people and MCP, under the names of the original.
//!
//! Without a query the whole text, or the lines that were asked for; with one the best matches. The
//! tenant is the one that `x-headroom-user-id` names, as in a request to a provider.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::App;
use super::error::Refusal;
use crate::ccr::keeper::Found;
use crate::ccr::part;
use crate::clock::iso;

/// Matches that are given at most, as in the original.
const MATCHES: usize = 20;

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    hash: String,
    #[serde(default)]
    query: Option<String>,
    #[serde(default)]
    lines: Option<String>,
}

/// `POST /v1/retrieve`.
pub(super) async fn post(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    asked: Result<Json<Asked>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Json(asked) = asked.map_err(|error| Refusal::query(error.body_text()))?;
    retrieve(&app, &headers, asked).await
}

/// `GET /v1/retrieve?hash=…`.
pub(super) async fn get(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(asked) = asked.map_err(|error| Refusal::query(error.body_text()))?;
    retrieve(&app, &headers, asked).await
}

/// `GET /v1/retrieve/{hash}`.
pub(super) async fn get_hash(
    State(app): State<Arc<App>>,
    Path(hash): Path<String>,
    headers: HeaderMap,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(mut query) = query.map_err(|error| Refusal::query(error.body_text()))?;
    let asked = Asked { hash, query: query.remove("query"), lines: query.remove("lines") };
    retrieve(&app, &headers, asked).await
}

async fn retrieve(app: &App, headers: &HeaderMap, asked: Asked) -> Result<Response, Refusal> {
    let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let (query, lines) = (given(asked.query), given(asked.lines));
    if query.is_some() && lines.is_some() {
        return Err(Refusal::query("expected a query or lines, found both".to_owned()));
    }
    let noted = query.as_deref().or(lines.as_deref()).unwrap_or_default();
    let found = app.originals.retrieve(tenant(headers), &asked.hash, noted).await?;
    let found = found.ok_or_else(|| Refusal::told(StatusCode::NOT_FOUND, "not_found", not_found(app)))?;
    let hash = asked.hash.trim().to_ascii_lowercase();
    // looking through a long text takes milliseconds in which others are to be served
    let body =
        tokio::task::spawn_blocking(move || asked_of(&found, &hash, query.as_deref(), lines.as_deref()));
    let body = body.await.map_err(|_| Refusal::INTERNAL)??;
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

/// Whose originals are asked for.
pub(super) fn tenant(headers: &HeaderMap) -> &str {
    headers.get("x-headroom-user-id").and_then(|value| value.to_str().ok()).unwrap_or_default().trim()
}

/// What is said where there is no original.
pub(super) fn not_found(app: &App) -> String {
    format!("Entry not found or expired (TTL: {})", duration(app.originals.keep().ttl_ms / 1_000))
}

/// What was asked for of an original, as JSON.
pub(super) fn asked_of(
    found: &Found,
    hash: &str,
    query: Option<&str>,
    lines: Option<&str>,
) -> Result<String, Refusal> {
    match (query, lines) {
        (Some(query), _) => {
            let results = part::best(&found.text, query, MATCHES).into_iter().map(Match::of);
            let results: Vec<Match<'_>> = results.collect();
            let matches = Matches { hash, query, count: results.len(), results };
            serde_json::to_string(&matches).map_err(|_| Refusal::INTERNAL)
        }
        (None, Some(lines)) => part::lines_of(&found.text, lines)
            .map(|content| json!({"hash": hash, "lines": lines, "content": content}).to_string())
            .map_err(|error| Refusal::query(error.to_string())),
        (None, None) => Ok(whole(hash, found).to_string()),
    }
}

#[derive(Serialize)]
struct Matches<'t> {
    hash: &'t str,
    query: &'t str,
    results: Vec<Match<'t>>,
    count: usize,
}

/// An element of JSON as it is spelled, or a line as a string.
#[derive(Serialize)]
#[serde(untagged)]
enum Match<'t> {
    Element(&'t RawValue),
    Line(&'t str),
}

impl<'t> Match<'t> {
    fn of(item: &'t str) -> Self {
        match serde_json::from_str::<&RawValue>(item) {
            Ok(element) if item.starts_with(['{', '[', '"']) => Self::Element(element),
            _ => Self::Line(item),
        }
    }
}

fn whole(hash: &str, found: &Found) -> Value {
    json!({
        "hash": hash,
        "original_content": found.text,
        "original_tokens": found.about.tokens_before,
        "compressed_tokens": found.about.tokens_after,
        "original_item_count": part::count(&found.text),
        // what stands in its place is not kept, so its items cannot be counted
        "compressed_item_count": null,
        "tool_name": found.about.tool,
        "kind": found.about.kind,
        "retrieval_count": found.about.retrievals + 1,
    })
}

/// `GET /v1/retrieve/stats`.
pub(super) async fn stats(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    let sums = app.originals.sums().await?;
    let counts = app.originals.counts();
    let keep = app.originals.keep();
    let backend = if app.originals.location().contains("://") { "postgresql" } else { "sqlite" };
    let recent: Vec<Value> = app
        .originals
        .recent()
        .into_iter()
        .map(|retrieval| {
            json!({
                "hash": retrieval.hash,
                "query": retrieval.query,
                "tool_name": retrieval.tool,
                "found": retrieval.found,
                "timestamp": iso(retrieval.at_ms),
            })
        })
        .collect();
    Ok(Json(json!({
        "store": {
            "entry_count": sums.entries,
            // bounded by bytes, not by number
            "max_entries": null,
            "max_bytes": keep.max_bytes,
            "ttl_seconds": keep.ttl_ms / 1_000,
            "total_original_tokens": sums.tokens_before,
            "total_compressed_tokens": sums.tokens_after,
            "total_retrievals": sums.retrievals,
            "event_count": recent.len(),
            "backend": {
                "backend_type": backend,
                "entry_count": sums.entries,
                "bytes_used": sums.bytes,
            },
        },
        "since_start": {
            "stored": counts.stored(),
            "refreshed": counts.refreshed(),
            "rejected": counts.rejected().collect::<BTreeMap<_, _>>(),
            "refused_full": counts.refused_full(),
            "turned_away": counts.turned_away(),
            "failures": counts.failures(),
            "evicted": counts.evicted(),
            "expired": counts.expired(),
            "found": counts.found(),
            "not_found": counts.not_found(),
        },
        "recent_retrievals": recent,
    })))
}

/// As people say it: in the largest unit that it is a multiple of.
fn duration(seconds: i64) -> String {
    for (unit, name) in [(3_600, "hours"), (60, "minutes")] {
        if seconds % unit == 0 {
            return format!("{} {name}", seconds / unit);
        }
    }
    format!("{seconds} seconds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_the_largest_unit_that_fits() {
        assert_eq!(duration(86_400), "24 hours");
        assert_eq!(duration(300), "5 minutes");
        assert_eq!(duration(61), "61 seconds");
    }
}
