//! `/v1/retrieve`: originals for people and MCP, under upstream's names.
//!
//! Without a query it returns the whole text or the requested range, without a page limit; with a query, the part that
//! matches best, as the model would get it. There are originals only if a filter has `store_originals` on, which
//! `headroomctl up` sets. The model does not need them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use headroom_compress::excerpt::{Excerpt, PAGE_BYTES, Part, Unit, excerpt};
use headroom_compress::rounds::{self, PageRange, RetrieveArguments};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::App;
use super::error::Refusal;
use super::guard::Access;
use crate::clock::iso;
use crate::ledger::asked_back::retrieval;
use crate::originals::keeper::{FoundOriginal, RetrieveError};
use crate::originals::reading::ReadingRoom;
use crate::relevance::{RankedRange, Scorer, rank};
use crate::tenants::{MAX_NAME, is_name};

/// The request.
#[derive(Debug, Default, Deserialize)]
pub(super) struct RetrieveQuery {
    hash: String,
    #[serde(default)]
    query: Option<String>,
    #[serde(default)]
    lines: Option<String>,
    /// Who ranks: `bm25`, `embedding` or `hybrid`.
    #[serde(default)]
    scorer: Option<String>,
}

/// `POST /v1/retrieve`.
pub(super) async fn post(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    asked: Result<Json<RetrieveQuery>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Json(asked) = asked.map_err(|error| Refusal::query(error.body_text()))?;
    retrieve(&app, &tenant, asked).await
}

/// `GET /v1/retrieve?hash=…`.
pub(super) async fn get(
    State(app): State<Arc<App>>,
    tenant: Tenant,
    asked: Result<Query<RetrieveQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(asked) = asked.map_err(|error| Refusal::query(error.body_text()))?;
    retrieve(&app, &tenant, asked).await
}

/// `GET /v1/retrieve/{hash}`.
pub(super) async fn get_hash(
    State(app): State<Arc<App>>,
    Path(hash): Path<String>,
    tenant: Tenant,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(mut query) = query.map_err(|error| Refusal::query(error.body_text()))?;
    let [query, lines, scorer] = ["query", "lines", "scorer"].map(|name| query.remove(name));
    let asked = RetrieveQuery { hash, query, lines, scorer };
    retrieve(&app, &tenant, asked).await
}

async fn retrieve(app: &App, Tenant(tenant): &Tenant, asked: RetrieveQuery) -> Result<Response, Refusal> {
    let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let (query, lines, scorer) = (given(asked.query), given(asked.lines), given(asked.scorer));
    let scorer = match &scorer {
        None => app.scorer,
        Some(name) => Scorer::from_name(name)
            .ok_or_else(|| Refusal::query("scorer: expected bm25, embedding or hybrid".to_owned()))?,
    };
    if query.is_some() && lines.is_some() {
        return Err(Refusal::query("expected a query or lines, found both".to_owned()));
    }
    let noted = query.as_deref().or(lines.as_deref()).unwrap_or_default();
    let found = app.originals.retrieve(tenant, &asked.hash, noted).await?;
    let found = found.ok_or_else(|| Refusal::told(StatusCode::NOT_FOUND, "not_found", not_found(app)))?;
    let hash = asked.hash.trim().to_ascii_lowercase();
    let retrieval = {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let asked =
            RetrieveArguments { query: text(&query), lines: text(&lines), ..RetrieveArguments::default() };
        retrieval(&found.about, &asked)
    };
    let ranked = match &query {
        Some(query) => rank(scorer, app.memory.embedder(), &found.text, query)
            .await
            .map_err(|error| Refusal::told(StatusCode::UNPROCESSABLE_ENTITY, "scorer", error.to_string()))?,
        None => RankedRange::default(),
    };
    // looking through a long text takes milliseconds in which others are to be served
    let body = tokio::task::spawn_blocking(move || {
        let body = asked_of(&found, &hash, query.as_deref(), lines.as_deref(), &ranked)?;
        answer(body.into_bytes(), found.room)
    });
    let answer = body.await.map_err(|_| Refusal::INTERNAL)??;
    app.ledger.count_retrieval(retrieval);
    Ok(answer)
}

/// An answer, and its room until it is sent.
struct HeldAnswer {
    body: Vec<u8>,
    _room: ReadingRoom,
}

impl AsRef<[u8]> for HeldAnswer {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// The answer with the part of an original that was asked for. `room` is that of the original.
pub(super) fn answer(mut body: Vec<u8>, room: ReadingRoom) -> Result<Response, Refusal> {
    body.shrink_to_fit();
    let held = HeldAnswer { _room: room.resized(body.len()).ok_or(RetrieveError::Busy)?, body };
    Ok(([(CONTENT_TYPE, "application/json")], Bytes::from_owner(held)).into_response())
}

/// The tenant whose originals are requested: that of the caller's token, else the one in `x-headroom-user-id`.
/// Behind Envoy the filter has set that header, and the client's own value is gone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Tenant(pub(super) String);

impl<S: Sync> FromRequestParts<S> for Tenant {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let named = named(&parts.headers)?;
        match parts.extensions.get() {
            Some(Access::Full) => Ok(Self(named.unwrap_or_default().to_owned())),
            Some(Access::Tenant(own)) if named.is_none_or(|named| named == own) => Ok(Self(own.clone())),
            Some(Access::Tenant(_)) => Err(Refusal::TENANT),
            Some(Access::Status) | None => Err(Refusal::TOKEN),
        }
    }
}

/// The tenant that a header names. A value that cannot be read is an error, and does not mean "no tenant".
fn named(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut values = headers.get_all("x-headroom-user-id").iter();
    let (first, second) = (values.next(), values.next());
    let Some(value) = first else { return Ok(None) };
    let name = value.to_str().ok().map(str::trim).filter(|_| second.is_none());
    match name {
        Some("") => Ok(None),
        Some(name) if is_name(name) => Ok(Some(name)),
        _ => Err(Refusal::query(format!(
            "x-headroom-user-id: expected one name of 1 to {MAX_NAME} visible ASCII characters"
        ))),
    }
}

/// The message if there is no original.
pub(super) fn not_found(app: &App) -> String {
    format!("Entry not found or expired (TTL: {})", duration(app.originals.keep().ttl_ms / 1_000))
}

/// The requested part of an original, as JSON.
pub(super) fn asked_of(
    found: &FoundOriginal,
    hash: &str,
    query: Option<&str>,
    lines: Option<&str>,
    ranked: &RankedRange,
) -> Result<String, Refusal> {
    match (query, lines) {
        (Some(query), _) => {
            let text = &found.text;
            let mut page =
                RetrieveArguments { query: query.trim().to_owned(), ..RetrieveArguments::default() };
            let mut part = Part::Query(query.trim());
            if let Some(range) = ranked.range {
                (page.lines, part) = (range.argument(), range.into());
            }
            let found = excerpt(text, None, part, PAGE_BYTES);
            let results = pieces(&found);
            let matches = Matches {
                hash,
                query,
                count: results.len(),
                results,
                matches: found.matches,
                scorer: ranked.scorer.name(),
                scorer_note: ranked.note.as_deref(),
                range: ExcerptPosition::of(&found),
                content: &found.text,
                original_content: rounds::answer(text, &page).text,
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
            let found = excerpt(&found.text, None, range.into(), usize::MAX);
            let range = ExcerptPosition::of(&found);
            let part = Range { hash, lines, range, content: &found.text };
            serde_json::to_string(&part).map_err(|_| Refusal::INTERNAL)
        }
        (None, None) => serde_json::to_string(&Whole::new(hash, found)).map_err(|_| Refusal::INTERNAL),
    }
}

/// The result of a query.
#[derive(Serialize)]
struct Matches<'t> {
    hash: &'t str,
    query: &'t str,
    /// The excerpt's rows as JSON, or its lines as strings.
    results: Vec<Piece<'t>>,
    count: usize,
    /// How many lines or rows of the whole text hold every word of the query, where words alone decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    matches: Option<usize>,
    /// Who has ranked, and why it is not the one that was asked for.
    scorer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scorer_note: Option<&'t str>,
    #[serde(flatten)]
    range: ExcerptPosition,
    content: &'t str,
    /// The model's answer to the same query: gateways forward it under this name.
    original_content: String,
}

/// A requested range.
#[derive(Serialize)]
struct Range<'t> {
    hash: &'t str,
    lines: &'t str,
    #[serde(flatten)]
    range: ExcerptPosition,
    content: &'t str,
}

/// The position of an excerpt in the text.
#[derive(Serialize)]
struct ExcerptPosition {
    unit: &'static str,
    /// The first and the last one; `None`: nothing was found.
    from: Option<usize>,
    to: Option<usize>,
    total: usize,
}

impl ExcerptPosition {
    fn of(found: &Excerpt<'_>) -> Self {
        let shown = |number| Some(number).filter(|_| !found.text.is_empty());
        Self { unit: found.unit.name(), from: shown(found.from), to: shown(found.to), total: found.total }
    }
}

/// A row as raw JSON, or a line as a string.
#[derive(Serialize)]
#[serde(untagged)]
enum Piece<'t> {
    Row(&'t RawValue),
    Line(&'t str),
}

/// The rows or lines of an excerpt.
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

/// The documents in an excerpt of a list or of JSON Lines.
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

/// A whole text.
#[derive(Serialize)]
struct Whole<'t> {
    hash: &'t str,
    original_content: &'t str,
    original_tokens: i64,
    compressed_tokens: i64,
    /// Rows if it has some, otherwise lines.
    original_item_count: usize,
    /// The replacement is not stored, so its items cannot be counted.
    compressed_item_count: Option<usize>,
    tool_name: &'t str,
    kind: &'t str,
    retrieval_count: i64,
}

impl<'t> Whole<'t> {
    fn new(hash: &'t str, found: &'t FoundOriginal) -> Self {
        Self {
            hash,
            original_content: &found.text,
            original_tokens: found.about.tokens_before,
            compressed_tokens: found.about.tokens_after,
            original_item_count: excerpt(&found.text, None, Part::Rows(0, 0), usize::MAX).total,
            compressed_item_count: None,
            tool_name: &found.about.tool,
            kind: &found.about.kind,
            retrieval_count: found.about.retrievals + 1,
        }
    }
}

/// `GET /v1/retrieve/stats`: of one tenant if one is named, else of all.
pub(super) async fn stats(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
) -> Result<Json<Value>, Refusal> {
    let of_all = tenant.is_empty();
    let sums = match of_all {
        true => app.originals.sums().await?,
        false => app.originals.sums_of(&tenant).await?,
    };
    let counts = app.originals.counts();
    let keep = app.originals.keep();
    let backend = if app.originals.location().contains("://") { "postgresql" } else { "sqlite" };
    let recent: Vec<Value> = app
        .originals
        .recent()
        .into_iter()
        .filter(|retrieval| retrieval.tenant == tenant)
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
    let mut page = json!({
        "tenant": tenant,
        "store": {
            "entry_count": sums.entries,
            // limited by bytes, not by number
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
    });
    if !of_all {
        // these are not counted by tenant
        page["since_start"] = Value::Null;
    }
    Ok(Json(page))
}

/// A duration as text, in the largest unit without a remainder.
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
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_a_client_says_a_tenants_token_opens_that_tenant_alone(
            values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..3),
        ) {
            let mut request = axum::http::Request::builder();
            for value in &values {
                if let Ok(value) = axum::http::HeaderValue::from_bytes(value) {
                    request = request.header("x-headroom-user-id", value);
                }
            }
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            parts.extensions.insert(Access::Tenant("red".to_owned()));
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            if let Ok(tenant) = runtime.block_on(Tenant::from_request_parts(&mut parts, &())) {
                prop_assert_eq!(tenant, Tenant("red".to_owned()));
            }
        }
    }

    #[tokio::test]
    async fn an_answer_holds_its_room_until_it_is_sent() {
        use http_body_util::BodyExt as _;
        let (room, space) = ReadingRoom::alone(40);
        let all = space.available_permits() + 40;
        let answer = answer(b"{\"a\":1}".to_vec(), room).unwrap();
        assert_eq!(
            (space.available_permits(), answer.headers()[CONTENT_TYPE].as_bytes()),
            (all - 7, &b"application/json"[..])
        );
        // the connection has taken it over, and has not written it
        let sent = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!((space.available_permits(), sent.as_ref()), (all - 7, &b"{\"a\":1}"[..]));
        drop(sent);
        assert_eq!(space.available_permits(), all);
    }

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
