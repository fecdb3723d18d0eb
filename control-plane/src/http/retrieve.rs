//! `/v1/retrieve`: originals for people and MCP, under upstream's names.
//!
//! Without a query the whole text, or the range that was asked for, without a page's limit; with one the stretch
//! that matches best, as the model would get it. The tenant is the one that `x-headroom-user-id` names, as in a
//! request to a provider. There is something here only where a filter has `store_originals` on, as `headroomctl up`
//! has: the model needs none of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use headroom_compress::excerpt::{Excerpt, PAGE_BYTES, Part, Unit, excerpt};
use headroom_compress::rounds::PageRange;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::App;
use super::error::Refusal;
use crate::ccr::keeper::Found;
use crate::clock::iso;

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
            let found = excerpt(&found.text, None, Part::Query(query.trim()), PAGE_BYTES);
            let results = pieces(&found);
            let matches = Matches {
                hash,
                query,
                count: results.len(),
                results,
                matches: found.matches.unwrap_or_default(),
                range: Shown::of(&found),
                content: &found.text,
            };
            serde_json::to_string(&matches).map_err(|_| Refusal::INTERNAL)
        }
        (None, Some(lines)) => {
            let range = PageRange::read(lines).ok_or_else(|| {
                let found: String = lines.chars().take(40).collect();
                Refusal::query(format!(
                    "lines: expected a range such as 40-80, 40-, -20, rows 3-7 or characters 1-900, found {found:?}"
                ))
            })?;
            let found = excerpt(&found.text, None, range.part(), usize::MAX);
            let range = Shown::of(&found);
            let part = Range { hash, lines, range, content: &found.text };
            serde_json::to_string(&part).map_err(|_| Refusal::INTERNAL)
        }
        (None, None) => Ok(whole(hash, found).to_string()),
    }
}

/// What a query found.
#[derive(Serialize)]
struct Matches<'t> {
    hash: &'t str,
    query: &'t str,
    /// The stretch's rows as they are spelled, or its lines as strings.
    results: Vec<Piece<'t>>,
    count: usize,
    /// How many lines or rows of the whole text hold every word of the query.
    matches: usize,
    #[serde(flatten)]
    range: Shown,
    content: &'t str,
}

/// A range that was asked for.
#[derive(Serialize)]
struct Range<'t> {
    hash: &'t str,
    lines: &'t str,
    #[serde(flatten)]
    range: Shown,
    content: &'t str,
}

/// Where a stretch stands in the text.
#[derive(Serialize)]
struct Shown {
    unit: &'static str,
    /// The first and the last one; `None`: nothing was found.
    from: Option<usize>,
    to: Option<usize>,
    total: usize,
}

impl Shown {
    fn of(found: &Excerpt<'_>) -> Self {
        let shown = |number| Some(number).filter(|_| !found.text.is_empty());
        Self { unit: found.unit.name(), from: shown(found.from), to: shown(found.to), total: found.total }
    }
}

/// A row of JSON as it is spelled, or a line as a string.
#[derive(Serialize)]
#[serde(untagged)]
enum Piece<'t> {
    Row(&'t RawValue),
    Line(&'t str),
}

/// The rows or lines of a stretch.
fn pieces<'t>(found: &'t Excerpt<'_>) -> Vec<Piece<'t>> {
    let lines = || found.text.lines().map(Piece::Line).collect();
    match found.unit {
        Unit::Rows => {
            let rows: Result<Vec<&RawValue>, _> = rows(&found.text);
            rows.map_or_else(|_| lines(), |rows| rows.into_iter().map(Piece::Row).collect())
        }
        Unit::Lines | Unit::Characters => lines(),
    }
}

/// The documents in a stretch of a list or of JSON Lines.
fn rows(text: &str) -> Result<Vec<&RawValue>, serde_json::Error> {
    let mut rows = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_ascii_whitespace());
        if rest.is_empty() {
            return Ok(rows);
        }
        let mut documents = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
        match documents.next() {
            Some(row) => rows.push(row?),
            None => return Ok(rows),
        }
        rest = &rest[documents.byte_offset()..];
    }
}

fn whole(hash: &str, found: &Found) -> Value {
    json!({
        "hash": hash,
        "original_content": found.text,
        "original_tokens": found.about.tokens_before,
        "compressed_tokens": found.about.tokens_after,
        // Rows where it has some, otherwise lines.
        "original_item_count": excerpt(&found.text, None, Part::Rows(0, 0), usize::MAX).total,
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
    fn rows_come_as_they_are_spelled() {
        let spelled = |text| rows(text).map(|rows| rows.into_iter().map(RawValue::get).collect::<Vec<_>>());
        assert_eq!(spelled("{\"a\": 1.0 } ,[2]\n, \"x,y\"").unwrap(), ["{\"a\": 1.0 }", "[2]", "\"x,y\""]);
        assert_eq!(spelled("{\"a\":1}\n{\"a\":2}\n").unwrap(), ["{\"a\":1}", "{\"a\":2}"]);
        assert!(spelled(" \n").unwrap().is_empty());
        assert!(spelled("{\"a\":").is_err());
    }

    #[test]
    fn a_time_is_told_in_the_largest_unit_that_fits() {
        assert_eq!(duration(86_400), "24 hours");
        assert_eq!(duration(300), "5 minutes");
        assert_eq!(duration(61), "61 seconds");
    }
}
