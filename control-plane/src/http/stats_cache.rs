//! `/stats-cache`: what the providers' prompt caches read, what they could have read, and the causes of the losses.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use headroom_api::pages::Cache;

use super::App;
use super::error::Refusal;
use crate::clock::{DAY_MS, HOUR_MS, MINUTE_MS, UnixMs, now_ms, parse_iso};
use crate::ledger::labels::Dimension;
use crate::stats::cache::{self, CacheQuery};

/// The default range.
const DEFAULT_MS: i64 = 7 * DAY_MS;
/// The year 9999, the last that ISO 8601 writes with four digits.
const MAX_TIME_MS: UnixMs = 253_402_300_799_999;

pub(super) async fn stats_cache(
    State(app): State<Arc<App>>,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
) -> Result<Json<Cache>, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::query(error.body_text()))?;
    let now = now_ms();
    let wanted = parse(&query, now).map_err(Refusal::query)?;
    Ok(Json(cache::page(app.store.as_ref(), &wanted, now).await?))
}

/// Reads the query. Unknown names are ignored; invalid values are errors.
fn parse(query: &BTreeMap<String, String>, now: UnixMs) -> Result<CacheQuery, String> {
    let get = |name: &str| query.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
    let time = |name: &str| get(name).map(|text| time(name, text, now)).transpose();
    let until_ms = time("until")?.unwrap_or(now);
    let since_ms = time("since")?.unwrap_or(until_ms.saturating_sub(DEFAULT_MS));
    if since_ms >= until_ms {
        return Err("since: expected a time before until".to_owned());
    }
    let scope = match (get("by"), get("value")) {
        (None, None) => None,
        (Some(by), Some(value)) => Some((dimension(by)?, value.to_owned())),
        _ => return Err("expected both by and value, or neither".to_owned()),
    };
    Ok(CacheQuery { since_ms, until_ms, scope })
}

fn dimension(name: &str) -> Result<Dimension, String> {
    let known = Dimension::OF_CACHE.into_iter().filter(|dimension| *dimension != Dimension::All);
    let found = known.clone().find(|dimension| dimension.name() == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = known.map(Dimension::name).collect();
        format!("by: expected {}, found {}", names.join(", "), shown(name))
    })
}

fn time(name: &str, text: &str, now: UnixMs) -> Result<UnixMs, String> {
    let at = ago(text)
        .map(|ms| now.saturating_sub(ms))
        .or_else(|| text.parse::<UnixMs>().ok())
        .or_else(|| parse_iso(text));
    at.filter(|at| (0..=MAX_TIME_MS).contains(at)).ok_or_else(|| {
        format!(
            "{name}: expected a time ago (90m, 24h, 7d, 4w), an ISO 8601 time with an offset, or milliseconds since \
             1970, found {}",
            shown(text)
        )
    })
}

/// Milliseconds of `90m`, `24h`, `7d`, `4w`.
fn ago(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "m" => MINUTE_MS,
        "h" => HOUR_MS,
        "d" => DAY_MS,
        "w" => 7 * DAY_MS,
        _ => return None,
    };
    i64::from(number.parse::<u32>().ok()?).checked_mul(unit)
}

/// A value, shortened for a message.
fn shown(text: &str) -> String {
    const MOST: usize = 40;
    format!("{:?}", text.chars().take(MOST).collect::<String>())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMs = 1_790_000_000_000;

    fn read(query: &[(&str, &str)]) -> Result<CacheQuery, String> {
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        parse(&query.collect(), NOW)
    }

    #[test]
    fn a_range_is_told_in_three_ways() {
        let range =
            |query: &[(&str, &str)]| read(query).map(|it| (NOW - it.since_ms, NOW - it.until_ms)).unwrap();
        assert_eq!(range(&[]), (7 * DAY_MS, 0));
        assert_eq!(range(&[("since", "24h")]), (DAY_MS, 0));
        assert_eq!(range(&[("since", "4w"), ("until", "7d")]), (28 * DAY_MS, 7 * DAY_MS));
        assert_eq!(range(&[("until", "90m")]), (7 * DAY_MS + 90 * MINUTE_MS, 90 * MINUTE_MS));
        let iso = crate::clock::iso(NOW - 5);
        assert_eq!(range(&[("since", &iso)]), (5, 0));
        assert_eq!(range(&[("since", &(NOW - 9).to_string())]), (9, 0));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for query in [
            &[("since", "yesterday")][..],
            &[("since", "-1")],
            &[("since", "999999999999w")],
            &[("since", "1h"), ("until", "2h")],
            &[("by", "model")],
            &[("value", "x")],
            &[("by", "provider"), ("value", "x")],
            &[("by", "all"), ("value", "")],
        ] {
            assert!(read(query).is_err(), "{query:?}");
        }
        let scope = read(&[("by", "stack"), ("value", "claude")]).unwrap().scope;
        assert_eq!(scope, Some((Dimension::Stack, "claude".to_owned())));
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused_in_short(name in "since|until|by|value", value in "\\PC{0,300}") {
            if let Err(error) = read(&[(&name, &value)]) {
                prop_assert!(error.len() < 800, "{}", error.len());
            }
        }
    }
}
