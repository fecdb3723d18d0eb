//! `/stats-history`: what was saved over time, as JSON or CSV, of bounded size.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use headroom_api::pages::{
    Breakdown, BreakdownSums, CacheSummary, HistoryPoint, HistoryScope, HistorySummary, SeriesPoint,
    StatsHistory,
};

use super::App;
use super::error::Refusal;
use crate::clock::{DAY_MS, UnixMs, iso, now_ms, parse_iso};
use crate::ledger::bucket::Unit;
use crate::ledger::export;
use crate::ledger::history::{
    Checkpoint, HOURS_BROKEN_DOWN_DAYS, MAX_POINTS, MAX_RESPONSE_POINTS, compacted, merged,
};
use crate::ledger::labels::Dimension;
use crate::ledger::series::{Buckets, Point, Scope, Series};
use crate::ledger::session::{self, DisplaySession};
use crate::ledger::store::LedgerStore;
use crate::ledger::sums::{Sums, percent, usd};
use crate::stats::{cache, lifetime_of};
use crate::trouble::StoreError;
use crate::upstream::savings as upstream;

/// The schema of upstream's answer that this one follows.
const SCHEMA_VERSION: u32 = 2;

/// The query.
#[derive(Clone, Debug, Eq, PartialEq)]
struct HistoryQuery {
    csv: bool,
    /// In CSV, `None` means the history itself; in JSON, all series.
    series: Option<Series>,
    mode: Mode,
    scope: Option<(Dimension, String)>,
    /// The dimension of the breakdown.
    by: Option<Dimension>,
    from_ms: Option<UnixMs>,
    to_ms: Option<UnixMs>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    Compact,
    Full,
    None,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Full => "full",
            Self::None => "none",
        }
    }
}

pub(super) async fn stats_history(
    State(app): State<Arc<App>>,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::query(error.body_text()))?;
    let wanted = HistoryQuery::parse(&query).map_err(Refusal::query)?;
    let page = Page::read(app.store.as_ref(), &wanted, now_ms()).await?;
    Ok(if wanted.csv { page.csv(&wanted) } else { Json(page.json(&wanted)).into_response() })
}

impl HistoryQuery {
    /// Reads the query. Unknown names are ignored; invalid values are errors.
    fn parse(query: &BTreeMap<String, String>) -> Result<Self, String> {
        let get = |name: &str| query.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        let csv = one_of("format", get("format"), &[("json", false), ("csv", true)])?;
        let series = one_of(
            "series",
            get("series"),
            &[
                ("history", None),
                ("hourly", Some(Series::Hourly)),
                ("daily", Some(Series::Daily)),
                ("weekly", Some(Series::Weekly)),
                ("monthly", Some(Series::Monthly)),
            ],
        )?;
        let modes = [("compact", Mode::Compact), ("full", Mode::Full), ("none", Mode::None)];
        let mode = one_of("history_mode", get("history_mode"), &modes)?;
        let mut scope = None;
        for dimension in Dimension::ROLLED_UP {
            if let Some(value) = get(dimension.name()).filter(|_| dimension != Dimension::All) {
                if scope.is_some() {
                    return Err(
                        "expected one of project, model, provider and stack, found several".to_owned()
                    );
                }
                scope = Some((dimension, value.to_owned()));
            }
        }
        let dimensions = Dimension::ROLLED_UP.map(|dimension| (dimension.name(), dimension));
        let by = get("by").map(|name| one_of("by", Some(name), &dimensions[1..])).transpose()?;
        let time = |name: &str| get(name).map(|text| time(name, text)).transpose();
        Ok(Self { csv, series, mode, scope, by, from_ms: time("from")?, to_ms: time("to")? })
    }

    fn scope(&self) -> Scope<'_> {
        match &self.scope {
            Some((dimension, value)) => Scope { dimension: *dimension, value },
            None => Scope { dimension: Dimension::All, value: "" },
        }
    }
}

fn one_of<T: Copy>(name: &str, found: Option<&str>, known: &[(&str, T)]) -> Result<T, String> {
    let Some(found) = found else { return Ok(known[0].1) };
    known.iter().find(|(known, _)| *known == found).map(|(_, it)| *it).ok_or_else(|| {
        let known: Vec<&str> = known.iter().map(|(known, _)| *known).collect();
        format!("{name}: expected {}, found {}", known.join(", "), shown(found))
    })
}

fn time(name: &str, text: &str) -> Result<UnixMs, String> {
    let at =
        text.parse::<UnixMs>().ok().filter(|ms| (0..=MAX_TIME_MS).contains(ms)).or_else(|| parse_iso(text));
    at.ok_or_else(|| {
        let found = shown(text);
        format!("{name}: expected an ISO 8601 time with an offset, or milliseconds since 1970, found {found}")
    })
}

/// The year 9999, the last that ISO 8601 writes with four digits.
const MAX_TIME_MS: UnixMs = 253_402_300_799_999;

/// A value, shortened for a message.
fn shown(text: &str) -> String {
    const MOST: usize = 40;
    format!("{:?}", text.chars().take(MOST).collect::<String>())
}

/// All data of an answer.
struct Page {
    at_ms: UnixMs,
    location: String,
    lifetime: Sums,
    session: DisplaySession,
    stored_points: usize,
    history: Vec<Checkpoint>,
    series: Vec<(Series, Vec<Point>)>,
    breakdown: Option<(Dimension, Vec<(String, Sums)>)>,
    prompt_cache: Option<CacheSummary>,
}

impl Page {
    async fn read(store: &dyn LedgerStore, wanted: &HistoryQuery, now: UnixMs) -> Result<Self, StoreError> {
        let tallies = store.tallies().await?;
        let lifetime = lifetime_of(tallies.iter().map(|(dimension, _, sums)| (*dimension, sums)));
        let scope = wanted.scope();
        let reached = match scope.dimension {
            Dimension::All => lifetime,
            _ => tallies
                .iter()
                .find(|(dimension, value, _)| *dimension == scope.dimension && value == scope.value)
                .map_or_else(Sums::default, |(_, _, sums)| *sums),
        };
        let to = wanted.to_ms.unwrap_or(UnixMs::MAX);
        let from = |series: Series| {
            let reach = match wanted.mode {
                Mode::Full => 0,
                Mode::Compact | Mode::None => now.saturating_sub(series.compact_reach_ms()),
            };
            wanted.from_ms.unwrap_or(reach)
        };
        let is_shown = |series: &Series| wanted.series.map_or(!wanted.csv, |only| only == *series);
        let shown = Series::ALL.into_iter().filter(is_shown);
        let shown: Vec<(Series, UnixMs)> = shown.map(|series| (series, from(series))).collect();
        let buckets = Buckets::read(store, scope, &shown).await?;
        let points = |(series, from): (Series, UnixMs)| (series, buckets.points(series, reached, from, to));
        let all = shown.into_iter().map(points).collect();
        // a CSV is of a series or of the checkpoints
        let (stored_points, history) = if wanted.csv && wanted.series.is_some() {
            (0, Vec::new())
        } else {
            history(store, wanted).await?
        };
        Ok(Self {
            at_ms: now,
            location: store.location().to_owned(),
            lifetime,
            session: session::shown(store.display_session().await?, now),
            stored_points,
            history,
            series: all,
            breakdown: breakdown(store, wanted, now).await?,
            prompt_cache: prompt_cache(store, wanted, now).await?,
        })
    }

    fn csv(&self, wanted: &HistoryQuery) -> Response {
        let (name, csv) = match wanted.series {
            None => ("history", export::history(&self.history)),
            Some(series) => {
                let found = self.series.iter().find(|(found, _)| *found == series);
                (series.name(), export::series(found.map_or(&[], |(_, points)| points)))
            }
        };
        let file = format!("attachment; filename=\"headroom-stats-history-{name}.csv\"");
        ([(CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), (CONTENT_DISPOSITION, file)], csv)
            .into_response()
    }

    fn json(&self, wanted: &HistoryQuery) -> StatsHistory {
        StatsHistory {
            schema_version: SCHEMA_VERSION,
            generated_at: iso(self.at_ms),
            storage_path: self.location.clone(),
            lifetime: upstream::lifetime(&self.lifetime),
            display_session: upstream::display_session(&self.session),
            display_session_policy: upstream::display_session_policy(),
            scope: wanted.scope.as_ref().map(|(dimension, value)| HistoryScope {
                by: dimension.name().to_owned(),
                value: value.clone(),
            }),
            history: self.history.iter().map(history_point).collect(),
            series: self
                .series
                .iter()
                .map(|(series, points)| (series.name().to_owned(), buckets(points)))
                .collect(),
            exports: upstream::exports(),
            retention: upstream::retention(),
            history_summary: HistorySummary {
                mode: wanted.mode.name().to_owned(),
                stored_points: self.stored_points,
                returned_points: self.history.len(),
                compacted: self.history.len() < self.stored_points && wanted.mode == Mode::Compact,
            },
            breakdown: self.breakdown.as_ref().map(|(by, values)| Breakdown {
                by: by.name().to_owned(),
                values: values.iter().map(|(value, sums)| (value.clone(), broken_down(sums))).collect(),
            }),
            prompt_cache: self.prompt_cache.clone(),
        }
    }
}

fn history_point(Checkpoint { at_ms, sums }: &Checkpoint) -> HistoryPoint {
    HistoryPoint {
        timestamp: iso(*at_ms),
        total_tokens_saved: sums.tokens_saved,
        compression_savings_usd: usd(sums.saved_nanousd),
        compression_savings_cache_adjusted_usd: usd(sums.saved_cached_nanousd),
        total_input_tokens: sums.tokens_after,
        total_input_cost_usd: usd(sums.input_nanousd),
    }
}

fn buckets(points: &[Point]) -> Vec<SeriesPoint> {
    points.iter().map(series_point).collect()
}

fn series_point(Point { start_ms, added, total }: &Point) -> SeriesPoint {
    SeriesPoint {
        timestamp: iso(*start_ms),
        requests: added.requests,
        tokens_saved: added.tokens_saved,
        tokens_before: added.tokens_before,
        compression_savings_usd_delta: usd(added.saved_nanousd),
        compression_savings_cache_adjusted_usd_delta: usd(added.saved_cached_nanousd),
        unique_tokens_saved: added.unique_tokens_saved,
        unique_savings_cache_adjusted_usd_delta: usd(added.unique_saved_nanousd),
        total_tokens_saved: total.tokens_saved,
        compression_savings_usd: usd(total.saved_nanousd),
        total_input_tokens_delta: added.tokens_after,
        total_input_tokens: total.tokens_after,
        total_input_cost_usd_delta: usd(added.input_nanousd),
        total_input_cost_usd: usd(total.input_nanousd),
    }
}

/// The range's sums per value, from hours if they are kept for all of it, else from whole days.
async fn breakdown(
    store: &dyn LedgerStore,
    wanted: &HistoryQuery,
    now: UnixMs,
) -> Result<Option<(Dimension, Vec<(String, Sums)>)>, StoreError> {
    let Some(by) = wanted.by else { return Ok(None) };
    let from = wanted.from_ms.unwrap_or(0);
    let unit = if from >= now - HOURS_BROKEN_DOWN_DAYS * DAY_MS { Unit::Hour } else { Unit::Day };
    let to = wanted.to_ms.unwrap_or(UnixMs::MAX);
    Ok(Some((by, store.rollup_by_value(unit, by, unit.start(from), to).await?)))
}

/// The bill over the range. It is not kept by provider, and it is not in a CSV.
async fn prompt_cache(
    store: &dyn LedgerStore,
    wanted: &HistoryQuery,
    now: UnixMs,
) -> Result<Option<CacheSummary>, StoreError> {
    let is_kept = wanted.scope.as_ref().is_none_or(|(dimension, _)| Dimension::OF_CACHE.contains(dimension));
    if wanted.csv || !is_kept {
        return Ok(None);
    }
    let (since_ms, until_ms) = (wanted.from_ms.unwrap_or(0), wanted.to_ms.unwrap_or(now));
    let range = cache::CacheQuery { since_ms, until_ms, scope: wanted.scope.clone() };
    cache::summary_of(store, &range, now).await.map(Some)
}

/// How many checkpoints there are in the range asked for, and those to show.
async fn history(
    store: &dyn LedgerStore,
    wanted: &HistoryQuery,
) -> Result<(usize, Vec<Checkpoint>), StoreError> {
    let range = wanted.from_ms.unwrap_or(0)..=wanted.to_ms.unwrap_or(UnixMs::MAX);
    let most = match wanted.mode {
        Mode::Compact => MAX_RESPONSE_POINTS,
        Mode::Full => MAX_POINTS,
        Mode::None => 0,
    };
    let sources = store.imported_checkpoints().await?;
    if sources.is_empty() && wanted.mode != Mode::Full {
        // most checkpoints are not shown, so only their times are read
        let mut times = store.checkpoint_times().await?;
        times.retain(|at_ms| range.contains(at_ms));
        return Ok((times.len(), store.checkpoints_at(&compacted(&times, most)).await?));
    }
    let mut points = store.checkpoints(MAX_POINTS as u32).await?;
    for imported in sources {
        points = merged(&imported, &points);
    }
    points.retain(|point| range.contains(&point.at_ms));
    Ok((points.len(), compacted(&points, most)))
}

fn broken_down(sums: &Sums) -> BreakdownSums {
    BreakdownSums {
        requests: sums.requests,
        tokens_before: sums.tokens_before,
        tokens_after: sums.tokens_after,
        tokens_saved: sums.tokens_saved,
        savings_percent: percent(sums.tokens_saved, sums.tokens_before),
        compression_savings_usd: usd(sums.saved_nanousd),
        compression_savings_cache_adjusted_usd: usd(sums.saved_cached_nanousd),
        unpriced_requests: sums.unpriced,
        subscription_requests: sums.subscription_requests,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(query: &[(&str, &str)]) -> Result<HistoryQuery, String> {
        HistoryQuery::parse(
            &query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        )
    }

    #[test]
    fn without_a_query_it_is_compact_json_of_everything() {
        let wanted = parse(&[]).unwrap();
        assert!(
            !wanted.csv && wanted.series.is_none() && wanted.mode == Mode::Compact && wanted.scope.is_none()
        );
    }

    #[test]
    fn a_value_that_is_not_known_is_refused_with_those_that_are() {
        for (name, found, expected) in [
            ("format", "xml", "json, csv"),
            ("series", "yearly", "history, hourly"),
            ("history_mode", "some", "compact, full, none"),
            ("by", "all", "provider, model"),
            ("from", "yesterday", "ISO 8601"),
            ("to", "-5", "ISO 8601"),
        ] {
            let error = parse(&[(name, found)]).unwrap_err();
            assert!(error.starts_with(name) && error.contains(expected), "{error}");
        }
        assert!(parse(&[("model", "a"), ("project", "b")]).is_err());
        assert_eq!(parse(&[("model", "a")]).unwrap().scope, Some((Dimension::Model, "a".to_owned())));
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused_in_short(name in "format|series|history_mode|from|to|model", value in "\\PC{0,300}") {
            if let Err(error) = parse(&[(&name, &value)]) {
                prop_assert!(error.len() < 800, "{}", error.len());
            }
        }
    }
}
