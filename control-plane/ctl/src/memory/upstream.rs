//! The `memory.db` of upstream: an SQLite file with a table `memories`, whose columns differ by version.

use std::collections::HashSet;
use std::path::Path;

use anyhow::ensure;
use headroom_api::memory::{Entity, NewFact, Scope};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

/// The columns that are read; missing ones count as `NULL`.
const COLUMNS: [&str; 8] = [
    "content",
    "importance",
    "created_at",
    "valid_from",
    "valid_until",
    "superseded_by",
    "entity_refs",
    "metadata",
];

/// The current facts, oldest first. Superseded ones stay in the old file.
pub(super) async fn read(file: &Path) -> anyhow::Result<Vec<(Option<Scope>, NewFact)>> {
    let options = SqliteConnectOptions::new().filename(file).read_only(true).disable_statement_logging();
    let mut conn = options.connect().await?;
    let known: HashSet<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info('memories')")
        .fetch_all(&mut conn)
        .await?
        .into_iter()
        .collect();
    ensure!(known.contains("content"), "it has no table of memories");
    // only our own names, so no text of the file gets into the statement
    let columns: Vec<String> = COLUMNS
        .iter()
        .map(|name| if known.contains(*name) { format!("CAST({name} AS TEXT)") } else { "NULL".to_owned() })
        .collect();
    let statement = format!("SELECT {} FROM memories ORDER BY rowid", columns.join(", "));
    let rows = sqlx::query(AssertSqlSafe(statement)).fetch_all(&mut conn).await?;
    conn.close().await?;
    let mut facts = Vec::new();
    for row in rows {
        let text = |at: usize| row.try_get::<Option<String>, _>(at).ok().flatten().unwrap_or_default();
        if text(0).trim().is_empty() || !text(5).is_empty() {
            continue;
        }
        let metadata: Value = serde_json::from_str(&text(7)).unwrap_or_default();
        let said = |name: &str| metadata[name].as_str().unwrap_or_default().to_owned();
        let entities: Vec<String> = serde_json::from_str(&text(6)).unwrap_or_default();
        let entity = |entity| Entity { entity, entity_type: String::new() };
        let new = NewFact {
            content: text(0),
            importance: text(1).parse().ok().filter(|value| (0.0..=1.0).contains(value)),
            entities: entities.into_iter().map(entity).collect(),
            relationships: Vec::new(),
            valid_from: time(&text(3)).or_else(|| time(&text(2))),
            invalid_at: time(&text(4)),
            source_agent: said("source_agent"),
            source_provider: said("source_provider"),
        };
        facts.push((None, new));
    }
    Ok(facts)
}

/// A time as Python writes it: ISO 8601, in UTC where it has no offset, or seconds since 1970.
fn time(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        let ms = (seconds * 1_000.0).round();
        return (ms.abs() < 1e15).then_some(ms as i64);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at.as_millisecond());
    }
    let civil: DateTime = text.parse().ok()?;
    Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_python_writes_them() {
        assert_eq!(time("2026-01-31T08:15:00.042000"), Some(1_769_847_300_042));
        assert_eq!(time("2026-01-31T08:15:00.042+00:00"), Some(1_769_847_300_042));
        assert_eq!(time("2026-01-31 08:15:00"), Some(1_769_847_300_000));
        assert_eq!(time("1769847300.042"), Some(1_769_847_300_042));
        for none in ["", "soon", "1e300", "NaN"] {
            assert_eq!(time(none), None, "{none}");
        }
    }

    #[tokio::test]
    async fn facts_that_hold_are_read_whatever_columns_a_file_has() {
        let dir = tempfile::tempdir().unwrap();
        let old = dir.path().join("old.db");
        let open = |path: &Path| SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let mut conn = open(&old).connect().await.unwrap();
        for statement in [
            "CREATE TABLE memories (id TEXT PRIMARY KEY, content TEXT, user_id TEXT, created_at TEXT, valid_from TEXT,
             valid_until TEXT, importance REAL, superseded_by TEXT, entity_refs TEXT, embedding BLOB, metadata TEXT)",
            "INSERT INTO memories VALUES ('1', 'The port is 8787', 'me', '2026-01-31T08:15:00', NULL, NULL, 0.8, NULL,
             '[\"API\"]', x'00', '{\"source_agent\": \"claude\", \"source_provider\": \"anthropic\"}')",
            "INSERT INTO memories VALUES ('2', 'The port is 80', 'me', '2026-01-30', NULL, NULL, 7, '1', 'not json', NULL, '[')",
        ] {
            sqlx::query(statement).execute(&mut conn).await.unwrap();
        }
        conn.close().await.unwrap();
        let facts = read(&old).await.unwrap();
        let expected = NewFact {
            content: "The port is 8787".to_owned(),
            importance: Some(0.8),
            entities: vec![Entity { entity: "API".to_owned(), entity_type: String::new() }],
            valid_from: Some(1_769_847_300_000),
            source_agent: "claude".to_owned(),
            source_provider: "anthropic".to_owned(),
            ..NewFact::default()
        };
        assert_eq!(facts, [(None, expected)]);

        let bare = dir.path().join("bare.db");
        let mut conn = open(&bare).connect().await.unwrap();
        sqlx::query("CREATE TABLE memories (content)").execute(&mut conn).await.unwrap();
        sqlx::query("INSERT INTO memories VALUES ('alone'), (NULL), (x'ff')")
            .execute(&mut conn)
            .await
            .unwrap();
        conn.close().await.unwrap();
        assert_eq!(read(&bare).await.unwrap()[0].1.content, "alone");

        let strange = dir.path().join("strange.db");
        let mut conn = open(&strange).connect().await.unwrap();
        sqlx::query("CREATE TABLE x (y)").execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
        assert!(read(&strange).await.unwrap_err().to_string().contains("no table of memories"));
    }
}
