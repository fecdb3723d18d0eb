//! The statements over sums, whose columns come from [`Sums::COLUMNS`], built once.

use std::sync::{Arc, LazyLock};

use sqlx::AssertSqlSafe;

use crate::clock::UnixMs;
use crate::ledger::history::Checkpoint;
use crate::ledger::session::DisplaySession;
use crate::ledger::sums::{BlockSums, CacheSums, Sums};
use crate::store::database::{Query, Row, query};
use crate::trouble::StoreError;

/// A statement text that is built once and shared.
pub(super) type Text = LazyLock<Arc<str>>;

pub(super) static ADD_TALLY: Text =
    LazyLock::new(|| upsert("tally", &["dimension", "value"], Sums::COLUMNS, true));
pub(super) static ADD_BLOCK_TALLY: Text =
    LazyLock::new(|| upsert("block_tally", &["dimension", "value"], BlockSums::COLUMNS, true));
pub(super) static ADD_ROLLUP: Text =
    LazyLock::new(|| upsert("rollup", &["unit", "dimension", "value", "bucket_ms"], Sums::COLUMNS, true));
pub(super) static SET_CHECKPOINT: Text =
    LazyLock::new(|| upsert("checkpoint", &["source", "at_ms"], Sums::COLUMNS, false));
pub(super) static ADD_TOTAL: Text = LazyLock::new(|| {
    let sets = assignments(Sums::COLUMNS, |column, n| format!("{column} = {column} + ${n}"));
    let sums = packed(Sums::COLUMNS);
    format!("UPDATE tally SET {sets} WHERE dimension = 'all' AND value = '' RETURNING {sums}").into()
});
pub(super) static SET_SESSION: Text = LazyLock::new(|| {
    let sets = assignments(Sums::COLUMNS, |column, n| format!("{column} = ${}", n + 2));
    format!(
        "UPDATE display_session SET started_ms = $1, last_activity_ms = $2, {sets} WHERE name = 'current'"
    )
    .into()
});
pub(super) static INSERT_REQUEST: Text = LazyLock::new(|| {
    let keys = ["ordinal", "vm_id", "overhead_us", "conversation", "record"];
    let (columns, places) = lists(&keys, Sums::COLUMNS);
    format!("INSERT INTO request ({columns}) VALUES ({places})").into()
});

pub(super) static GET_TALLIES: Text =
    LazyLock::new(|| select("dimension, value", Sums::COLUMNS, "tally ORDER BY dimension, value"));
pub(super) static GET_BLOCK_TALLIES: Text =
    LazyLock::new(|| select("dimension, value", BlockSums::COLUMNS, "block_tally ORDER BY dimension, value"));
pub(super) static GET_SESSION: Text =
    LazyLock::new(|| select("started_ms, last_activity_ms", Sums::COLUMNS, "display_session"));
pub(super) static GET_RECENT: Text = LazyLock::new(|| {
    select(
        "ordinal, vm_id, record",
        Sums::COLUMNS,
        "request WHERE ordinal < $1 ORDER BY ordinal DESC LIMIT $2",
    )
});
pub(super) static GET_CHECKPOINTS: Text = LazyLock::new(|| {
    gathered("at_ms", Sums::COLUMNS, "checkpoint WHERE source = '' ORDER BY at_ms DESC LIMIT $1")
});
pub(super) static GET_IMPORTED_CHECKPOINTS: Text =
    LazyLock::new(|| select("at_ms", Sums::COLUMNS, "checkpoint WHERE source <> '' ORDER BY source, at_ms"));
pub(super) static GET_ROLLUP: Text = LazyLock::new(|| {
    let rest = "rollup WHERE unit = $1 AND dimension = $2 AND value = $3
        AND bucket_ms >= $4 AND bucket_ms <= $5 ORDER BY bucket_ms DESC LIMIT $6";
    gathered("bucket_ms", Sums::COLUMNS, rest)
});
pub(super) static GET_ROLLUP_OVER_VALUES: Text = LazyLock::new(|| {
    let rest = "rollup WHERE unit = $1 AND dimension = $2
        AND bucket_ms >= $3 AND bucket_ms <= $4 GROUP BY bucket_ms ORDER BY bucket_ms DESC LIMIT $5";
    gathered("bucket_ms", &added_up(Sums::COLUMNS), rest)
});
pub(super) static GET_ROLLUP_BY_VALUE: Text = LazyLock::new(|| {
    let rest = "rollup WHERE unit = $1 AND dimension = $2
        AND bucket_ms >= $3 AND bucket_ms <= $4 GROUP BY value ORDER BY value";
    select("value", &added_up(Sums::COLUMNS), rest)
});
pub(super) static GET_IMPORTED: Text =
    LazyLock::new(|| select("value", Sums::COLUMNS, "tally WHERE dimension = 'import' AND value = $1"));

pub(super) static ADD_CACHE: Text = LazyLock::new(|| {
    let keys = ["unit", "dimension", "value", "reason", "bucket_ms"];
    upsert("cache_rollup", &keys, CacheSums::COLUMNS, true)
});
pub(super) static GET_CACHE_BY_REASON: Text = LazyLock::new(|| {
    let rest = "cache_rollup WHERE unit = $1 AND dimension = $2 AND bucket_ms >= $3 AND bucket_ms < $4
        GROUP BY value, reason ORDER BY value, reason";
    select("value, reason", &added_up(CacheSums::COLUMNS), rest)
});
pub(super) static GET_CACHE_OF_VALUE: Text = LazyLock::new(|| {
    let rest = "cache_rollup WHERE unit = $1 AND dimension = $2 AND bucket_ms >= $3 AND bucket_ms < $4
        AND value = $5 GROUP BY value, reason ORDER BY reason";
    select("value, reason", &added_up(CacheSums::COLUMNS), rest)
});
pub(super) static GET_CACHE_BY_TIME: Text = LazyLock::new(|| {
    let rest = "cache_rollup WHERE unit = $1 AND dimension = $2 AND bucket_ms >= $3 AND bucket_ms < $4
        AND value = $5 GROUP BY bucket_ms ORDER BY bucket_ms";
    select("bucket_ms", &added_up(CacheSums::COLUMNS), rest)
});

/// The statement for the checkpoints at these times. They are numbers, so this cannot inject SQL.
pub(super) fn get_checkpoints_at(times: &[UnixMs]) -> String {
    let times: Vec<String> = times.iter().map(UnixMs::to_string).collect();
    let rest = format!("checkpoint WHERE source = '' AND at_ms IN ({}) ORDER BY at_ms", times.join(", "));
    gathered("at_ms", Sums::COLUMNS, &rest).to_string()
}

/// A query for one of the statements above. They consist only of constants.
pub(super) fn statement(text: &Text) -> Query {
    query(AssertSqlSafe(Arc::clone(text)))
}

fn select(keys: &str, sums: &[impl AsRef<str>], rest: &str) -> Arc<str> {
    format!("SELECT {keys}, {} FROM {rest}", packed(sums)).into()
}

/// Returns all rows of a time and sums as one text. The driver passes rows one by one between threads, which
/// takes longer than reading them, and much longer if the cores are busy.
fn gathered(time: &str, sums: &[impl AsRef<str>], rest: &str) -> Arc<str> {
    let line = format!("SELECT {time} || ',' || {} AS line FROM {rest}", packed(sums));
    format!("SELECT COALESCE(string_agg(line, ';'), '') FROM ({line}) AS lines").into()
}

/// Sums as one column: the driver copies name, type and value of each column of each row.
fn packed(columns: &[impl AsRef<str>]) -> String {
    let columns: Vec<&str> = columns.iter().map(AsRef::as_ref).collect();
    format!("concat_ws(',', {})", columns.join(", "))
}

fn added_up(columns: &[&str]) -> Vec<String> {
    columns.iter().map(|column| format!("SUM({column})")).collect()
}

fn lists(keys: &[&str], sums: &[&str]) -> (String, String) {
    let columns = [keys, sums].concat();
    let places: Vec<String> = (1..=columns.len()).map(|n| format!("${n}")).collect();
    (columns.join(", "), places.join(", "))
}

fn assignments(columns: &[&str], one: impl Fn(&str, usize) -> String) -> String {
    let all: Vec<String> = columns.iter().enumerate().map(|(index, column)| one(column, index + 1)).collect();
    all.join(", ")
}

fn upsert(table: &str, keys: &[&str], sums: &[&str], add: bool) -> Arc<str> {
    let (columns, places) = lists(keys, sums);
    let updates = assignments(sums, |column, _| {
        if add {
            format!("{column} = {table}.{column} + excluded.{column}")
        } else {
            format!("{column} = excluded.{column}")
        }
    });
    let keys = keys.join(", ");
    format!("INSERT INTO {table} ({columns}) VALUES ({places}) ON CONFLICT ({keys}) DO UPDATE SET {updates}")
        .into()
}

/// Sums from a row's column.
pub(super) fn sums(row: &Row, at: usize) -> Result<Sums, StoreError> {
    unpacked(row, at).map(Sums::from_values)
}

/// Sums over the cache from a row's column.
pub(super) fn cache_sums(row: &Row, at: usize) -> Result<CacheSums, StoreError> {
    unpacked(row, at).map(CacheSums::from_values)
}

/// Sums over blocks from a row's column.
pub(super) fn block_sums(row: &Row, at: usize) -> Result<BlockSums, StoreError> {
    unpacked(row, at).map(BlockSums::from_values)
}

/// The times and sums of a statement that gathers them, ascending.
pub(super) fn points(row: &Row) -> Result<Vec<(UnixMs, Sums)>, StoreError> {
    let text: &str = row.try_get(0)?;
    let point = |line: &str| {
        let time = line.split_once(',').and_then(|(time, sums)| Some((time.parse().ok()?, sums)));
        let (time, sums) = time.ok_or_else(|| StoreError::Corrupt(format!("a time and sums {line:?}")))?;
        Ok((time, Sums::from_values(numbers(sums)?)))
    };
    let lines = text.split(';').filter(|line| !line.is_empty());
    let mut points = lines.map(point).collect::<Result<Vec<_>, StoreError>>()?;
    points.sort_unstable_by_key(|(time, _)| *time);
    Ok(points)
}

fn unpacked<const N: usize>(row: &Row, at: usize) -> Result<[i64; N], StoreError> {
    numbers(row.try_get(at)?)
}

fn numbers<const N: usize>(text: &str) -> Result<[i64; N], StoreError> {
    let mut values = [0; N];
    let mut parts = text.split(',');
    for value in &mut values {
        let part = parts.next().and_then(|part| part.parse().ok());
        *value = part.ok_or_else(|| StoreError::Corrupt(format!("sums {text:?}")))?;
    }
    Ok(values)
}

/// The session from a row of [`GET_SESSION`].
pub(super) fn session_from(row: &Row) -> Result<DisplaySession, StoreError> {
    Ok(DisplaySession { started_ms: row.try_get(0)?, last_activity_ms: row.try_get(1)?, sums: sums(row, 2)? })
}

/// A checkpoint from a row of [`GET_IMPORTED_CHECKPOINTS`].
pub(super) fn checkpoint_from(row: &Row) -> Result<Checkpoint, StoreError> {
    Ok(Checkpoint { at_ms: row.try_get(0)?, sums: sums(row, 1)? })
}
