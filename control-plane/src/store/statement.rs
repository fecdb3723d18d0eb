//! The statements over sums, whose columns come from [`Sums::COLUMNS`], built once.

use std::sync::{Arc, LazyLock};

use sqlx::any::AnyRow;
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, Row, any::AnyArguments};

use super::{Checkpoint, DisplaySession, StoreError};
use crate::clock::UnixMs;
use crate::ledger::sums::{BlockSums, Sums};

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
    let sums = Sums::COLUMNS.join(", ");
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
    let keys = ["ordinal", "vm_id", "overhead_us", "record"];
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
    select("ordinal, vm_id, record", Sums::COLUMNS, "request ORDER BY ordinal DESC LIMIT $1")
});
pub(super) static GET_CHECKPOINTS: Text = LazyLock::new(|| {
    select("at_ms", Sums::COLUMNS, "checkpoint WHERE source = '' ORDER BY at_ms DESC LIMIT $1")
});
pub(super) static GET_IMPORTED_CHECKPOINTS: Text =
    LazyLock::new(|| select("at_ms", Sums::COLUMNS, "checkpoint WHERE source <> '' ORDER BY source, at_ms"));
pub(super) static GET_ROLLUP: Text = LazyLock::new(|| {
    let rest = "rollup WHERE unit = $1 AND dimension = $2 AND value = $3
        AND bucket_ms >= $4 AND bucket_ms <= $5 ORDER BY bucket_ms DESC LIMIT $6";
    select("bucket_ms", Sums::COLUMNS, rest)
});
pub(super) static GET_ROLLUP_OVER_VALUES: Text = LazyLock::new(|| {
    format!(
        "SELECT bucket_ms, {} FROM rollup WHERE unit = $1 AND dimension = $2
         AND bucket_ms >= $3 AND bucket_ms <= $4 GROUP BY bucket_ms ORDER BY bucket_ms DESC LIMIT $5",
        added_up(Sums::COLUMNS)
    )
    .into()
});
pub(super) static GET_ROLLUP_BY_VALUE: Text = LazyLock::new(|| {
    format!(
        "SELECT value, {} FROM rollup WHERE unit = $1 AND dimension = $2
         AND bucket_ms >= $3 AND bucket_ms <= $4 GROUP BY value ORDER BY value",
        added_up(Sums::COLUMNS)
    )
    .into()
});
pub(super) static GET_IMPORTED: Text =
    LazyLock::new(|| select("value", Sums::COLUMNS, "tally WHERE dimension = 'import' AND value = $1"));

/// The statement for the checkpoints at these times. They are numbers, so none can end its place.
pub(super) fn get_checkpoints_at(times: &[UnixMs]) -> String {
    let times: Vec<String> = times.iter().map(UnixMs::to_string).collect();
    let rest = format!("checkpoint WHERE source = '' AND at_ms IN ({}) ORDER BY at_ms", times.join(", "));
    select("at_ms", Sums::COLUMNS, &rest).to_string()
}

/// A query for one of the statements above. They are made of constants alone.
pub(super) fn statement(text: &Text) -> Query<'static, Any, AnyArguments> {
    sqlx::query(AssertSqlSafe(Arc::clone(text)))
}

fn select(keys: &str, sums: &[&str], rest: &str) -> Arc<str> {
    format!("SELECT {keys}, {} FROM {rest}", sums.join(", ")).into()
}

/// A sum of BIGINT is NUMERIC in PostgreSQL.
fn added_up(columns: &[&str]) -> String {
    columns.iter().map(|column| format!("CAST(SUM({column}) AS BIGINT)")).collect::<Vec<_>>().join(", ")
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

/// Binds sums in the order of their columns.
pub(super) fn bind(
    query: Query<'_, Any, AnyArguments>,
    values: impl IntoIterator<Item = i64>,
) -> Query<'_, Any, AnyArguments> {
    values.into_iter().fold(query, Query::bind)
}

/// Sums from a row's columns, beginning at `from`.
pub(super) fn sums(row: &AnyRow, from: usize) -> Result<Sums, StoreError> {
    let mut values = [0; Sums::COLUMNS.len()];
    for (index, value) in values.iter_mut().enumerate() {
        *value = row.try_get(from + index)?;
    }
    Ok(Sums::from_values(values))
}

/// Sums over blocks from a row's columns, beginning at `from`.
pub(super) fn block_sums(row: &AnyRow, from: usize) -> Result<BlockSums, StoreError> {
    let mut values = [0; BlockSums::COLUMNS.len()];
    for (index, value) in values.iter_mut().enumerate() {
        *value = row.try_get(from + index)?;
    }
    Ok(BlockSums::from_values(values))
}

/// The session from a row of [`GET_SESSION`].
pub(super) fn session_from(row: &AnyRow) -> Result<DisplaySession, StoreError> {
    Ok(DisplaySession { started_ms: row.try_get(0)?, last_activity_ms: row.try_get(1)?, sums: sums(row, 2)? })
}

/// A checkpoint from a row of [`GET_CHECKPOINTS`].
pub(super) fn checkpoint_from(row: &AnyRow) -> Result<Checkpoint, StoreError> {
    Ok(Checkpoint { at_ms: row.try_get(0)?, sums: sums(row, 1)? })
}
