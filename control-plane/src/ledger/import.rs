//! The original's `proxy_savings.json`, schema 2, read into this ledger's terms.
//!
//! The file is only read. What it holds is kept beside what was counted here, under the file's path,
//! and replaced as a whole when the file has grown: importing it again cannot count anything twice.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::bucket::Unit;
use super::history::MAX_POINTS;
use super::sums::Sums;
use crate::clock::{DAY_MS, UnixMs, parse_iso};
use crate::ledger::history::Checkpoint;

/// Bytes read of the file: ten times what upstream's 5,000 points take.
const MAX_BYTES: u64 = 16 << 20;
/// The schemas that are understood.
const SCHEMAS: [u64; 2] = [1, 2];

/// Why a savings file was not imported. The sidecar runs without it.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is there, but cannot be read.
    #[error("the savings file cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// It is larger than any that upstream writes.
    #[error("the savings file is larger than {MAX_BYTES} bytes: not imported")]
    TooLarge,
    /// It is not JSON, for example because it was cut off.
    #[error("the savings file is not JSON ({0}): not imported")]
    NotJson(#[from] serde_json::Error),
    /// It is JSON, but of another kind or version.
    #[error(
        "the savings file: expected schema_version 1 or 2 and an object \"lifetime\", found {0}: not imported"
    )]
    Schema(String),
}

/// What a savings file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportedSavings {
    /// Its totals.
    pub lifetime: Sums,
    /// Its history, ascending.
    pub points: Vec<Checkpoint>,
    /// What its history adds to each bucket.
    pub rollups: BTreeMap<(Unit, UnixMs), Sums>,
    /// Points that could not be read.
    pub skipped_points: usize,
}

/// Reads a savings file; `None` when there is none.
pub fn read(path: &Path, now: UnixMs) -> Result<Option<ImportedSavings>, ImportError> {
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut text = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(ImportError::TooLarge);
    }
    parse(&text, now).map(Some)
}

/// Reads the text of a savings file.
pub fn parse(text: &[u8], now: UnixMs) -> Result<ImportedSavings, ImportError> {
    let file: Value = serde_json::from_slice(text)?;
    let schema = &file["schema_version"];
    if !schema.as_u64().is_some_and(|schema| SCHEMAS.contains(&schema)) {
        return Err(ImportError::Schema(format!("schema_version {schema}")));
    }
    if !file["lifetime"].is_object() {
        return Err(ImportError::Schema("no lifetime".to_owned()));
    }
    let mut lifetime = sums(&file["lifetime"], "tokens_saved");
    let given = file["history"].as_array().map_or(&[][..], Vec::as_slice);
    let mut points: BTreeMap<UnixMs, Sums> = BTreeMap::new();
    for point in given {
        let at = point["timestamp"].as_str().and_then(parse_iso);
        if let Some(at) = at.filter(|at| (0..=now + DAY_MS).contains(at)) {
            points.insert(at, sums(point, "total_tokens_saved"));
        }
    }
    let skipped_points = given.len() - points.len();
    let mut points: Vec<Checkpoint> =
        points.into_iter().map(|(at_ms, sums)| Checkpoint { at_ms, sums }).collect();
    points.drain(..points.len().saturating_sub(MAX_POINTS));
    make_cumulative(&mut points);
    if let Some(last) = points.last() {
        // totals that lag behind their own history were written by a process that was interrupted
        lifetime = at_least(lifetime, last.sums);
    }
    let rollups = rollups(&points, now);
    Ok(ImportedSavings { lifetime, points, rollups, skipped_points })
}

fn sums(object: &Value, tokens_saved: &str) -> Sums {
    // what a JSON number may hold beyond what a sum can believe in is cut off there
    const MOST: f64 = 1e15;
    let number =
        |name: &str| object[name].as_f64().filter(|it| it.is_finite()).unwrap_or(0.0).clamp(0.0, MOST);
    let count = |name: &str| number(name).round() as i64;
    let nano = |name: &str| (number(name).min(MOST / 1e6) * 1e9).round() as i64;
    let (saved, after) = (count(tokens_saved), count("total_input_tokens"));
    Sums {
        requests: count("requests"),
        tokens_saved: saved,
        tokens_after: after,
        tokens_before: after + saved,
        saved_nanousd: nano("compression_savings_usd"),
        input_nanousd: nano("total_input_cost_usd"),
        ..Sums::default()
    }
}

fn at_least(one: Sums, other: Sums) -> Sums {
    let mut values = one.values();
    for (value, other) in values.iter_mut().zip(other.values()) {
        *value = (*value).max(other);
    }
    Sums::from_values(values)
}

/// Totals never shrink; where a file says so it was edited or merged by hand.
fn make_cumulative(points: &mut [Checkpoint]) {
    let mut reached = Sums::default();
    for point in points {
        point.sums = at_least(point.sums, reached);
        reached = point.sums;
    }
}

/// What lies between one point and the next belongs to the next one's bucket. What lies before the
/// first point belongs there as well, unless upstream had already dropped older points.
fn rollups(points: &[Checkpoint], now: UnixMs) -> BTreeMap<(Unit, UnixMs), Sums> {
    let trimmed = points.len() >= MAX_POINTS
        || points
            .first()
            .is_some_and(|first| first.at_ms < now - (super::history::MAX_AGE_DAYS - 1) * DAY_MS);
    let mut before = match points.first() {
        Some(first) if trimmed => first.sums,
        _ => Sums::default(),
    };
    let mut rollups: BTreeMap<(Unit, UnixMs), Sums> = BTreeMap::new();
    for point in points {
        let mut added = point.sums.values();
        for (value, before) in added.iter_mut().zip(before.values()) {
            *value -= before;
        }
        for unit in [Unit::Hour, Unit::Day] {
            *rollups.entry((unit, unit.start(point.at_ms))).or_default() += Sums::from_values(added);
        }
        before = point.sums;
    }
    rollups
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOW: UnixMs = 1_790_000_000_000;

    fn file() -> Value {
        json!({
            "schema_version": 2,
            "lifetime": {"requests": 7, "tokens_saved": 900, "compression_savings_usd": 0.0027,
                         "total_input_tokens": 10_000, "total_input_cost_usd": 0.03},
            "display_session": {"requests": 1},
            "history": [
                {"timestamp": "2026-09-01T10:00:00Z", "total_tokens_saved": 100,
                 "compression_savings_usd": 0.0003, "total_input_tokens": 1_000, "total_input_cost_usd": 0.003},
                {"timestamp": "2026-09-01T10:30:00.5+00:00", "total_tokens_saved": 300},
                {"timestamp": "2026-09-02T00:00:00Z", "total_tokens_saved": 800},
            ],
        })
    }

    fn parsed(file: &Value) -> ImportedSavings {
        parse(file.to_string().as_bytes(), NOW).unwrap()
    }

    #[test]
    fn totals_and_history_become_sums_checkpoints_and_buckets() {
        let imported = parsed(&file());
        assert_eq!((imported.lifetime.requests, imported.lifetime.saved_nanousd), (7, 2_700_000));
        assert_eq!(imported.points.len(), 3);
        let saved = |unit, at: &str| imported.rollups[&(unit, parse_iso(at).unwrap())].tokens_saved;
        assert_eq!(saved(Unit::Hour, "2026-09-01T10:00:00Z"), 300);
        assert_eq!(saved(Unit::Day, "2026-09-01T00:00:00Z"), 300);
        assert_eq!(saved(Unit::Day, "2026-09-02T00:00:00Z"), 500);
    }

    #[test]
    fn what_a_trimmed_history_had_before_its_first_point_falls_into_no_bucket() {
        let mut old = file();
        old["history"][0]["timestamp"] = json!("2025-01-01T00:00:00Z");
        let imported = parsed(&old);
        let by_day: i64 = imported
            .rollups
            .iter()
            .filter(|((unit, _), _)| *unit == Unit::Day)
            .map(|(_, sums)| sums.tokens_saved)
            .sum();
        assert_eq!(by_day, 700);
    }

    #[test]
    fn a_file_cut_off_anywhere_is_refused() {
        let text = file().to_string();
        for end in 0..text.len() {
            assert!(matches!(parse(&text.as_bytes()[..end], NOW), Err(ImportError::NotJson(_))), "{end}");
        }
    }

    #[test]
    fn another_kind_of_file_is_refused_with_what_was_found() {
        for (other, found) in [
            (json!({"schema_version": 3, "lifetime": {}}), "schema_version 3"),
            (json!([1, 2]), "schema_version null"),
            (json!({"schema_version": 2}), "no lifetime"),
        ] {
            let error = parse(other.to_string().as_bytes(), NOW).unwrap_err().to_string();
            assert!(error.contains(found), "{error}");
        }
    }

    #[test]
    fn absurd_values_are_skipped_or_cut_off() {
        let mut absurd = file();
        absurd["lifetime"]["tokens_saved"] = json!(-1e300);
        absurd["lifetime"]["total_input_tokens"] = json!("many");
        absurd["history"][1]["total_tokens_saved"] = json!(5);
        absurd["history"][2]["timestamp"] = json!("9999-01-01T00:00:00Z");
        let imported = parsed(&absurd);
        assert_eq!(imported.skipped_points, 1);
        assert_eq!(imported.points[1].sums.tokens_saved, 100, "totals do not shrink");
        assert_eq!(imported.lifetime.tokens_saved, 100);
    }

    #[test]
    fn no_file_is_nothing_and_a_folder_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(&dir.path().join("none"), NOW).unwrap().is_none());
        assert!(matches!(read(dir.path(), NOW), Err(ImportError::Read(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(parse(&bytes, NOW).is_err());
        }

        #[test]
        fn any_history_becomes_growing_totals(
            totals in prop::collection::vec((any::<f64>(), any::<f64>(), 0i64..2_000_000_000), 0..30),
        ) {
            let history: Vec<Value> = totals.iter().map(|(tokens, usd, at)| json!({
                "timestamp": crate::clock::iso(at * 1_000),
                "total_tokens_saved": tokens, "compression_savings_usd": usd,
            })).collect();
            let file = json!({"schema_version": 2, "lifetime": {}, "history": history});
            let imported = parsed(&file);
            let grows = |pair: &[Checkpoint]| {
                pair[0].at_ms < pair[1].at_ms && pair[0].sums.tokens_saved <= pair[1].sums.tokens_saved
            };
            prop_assert!(imported.points.windows(2).all(grows));
            prop_assert!(imported.rollups.values().all(|sums| sums.tokens_saved >= 0));
        }
    }
}
