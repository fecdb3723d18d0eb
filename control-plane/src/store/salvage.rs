//! Copies the readable rows of a damaged SQLite file into its replacement.

use std::path::Path;

use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};

use super::database::connect_to_file;
use super::schema::Schema;
use crate::trouble::StoreError;

/// Maximum number of rows per statement, for a table that cannot be copied at once.
const MOST_ROWS: u64 = 4_096;

/// What was saved.
#[derive(Debug, Default)]
pub(super) struct SalvageReport {
    /// Rows in all tables.
    pub(super) rows: u64,
    /// Tables of which a part could not be read.
    pub(super) incomplete: Vec<String>,
}

/// Copies every table of `damaged` into the new store at `path`, reading from both ends.
pub(super) async fn salvage(
    path: &Path,
    damaged: &Path,
    schema: &Schema,
) -> Result<SalvageReport, StoreError> {
    let mut conn = connect_to_file(path).await?;
    let salvaged = copy_all(&mut conn, damaged, schema).await;
    conn.close().await?;
    salvaged
}

async fn copy_all(
    conn: &mut SqliteConnection,
    damaged: &Path,
    schema: &Schema,
) -> Result<SalvageReport, StoreError> {
    let damaged = damaged.display().to_string();
    sqlx::query("ATTACH DATABASE $1 AS damaged").bind(damaged).execute(&mut *conn).await?;
    // tables are copied in the order of their names, and referenced rows may be lost
    sqlx::query("PRAGMA foreign_keys = OFF").execute(&mut *conn).await?;
    let tables = sqlx::query(
        "SELECT name, wr FROM pragma_table_list
         WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
    );
    let mut salvaged = SalvageReport::default();
    for table in tables.fetch_all(&mut *conn).await? {
        let (name, without_rowid): (String, i64) = (table.try_get(0)?, table.try_get(1)?);
        if schema.is_about_tables(&name) {
            continue;
        }
        let order = if without_rowid == 0 { vec!["rowid".to_owned()] } else { key(conn, &name).await? };
        let whole = match shared_columns(conn, &name).await {
            Ok(columns) => copy(conn, &name, &columns, &order, &mut salvaged.rows).await,
            Err(_) => false,
        };
        if !whole {
            salvaged.incomplete.push(name);
        }
    }
    for statement in schema.after_salvage {
        if let Err(error) = sqlx::query(*statement).execute(&mut *conn).await {
            tracing::warn!(message = "A sum of the damaged store could not be worked out again.", %error);
        }
    }
    Ok(salvaged)
}

/// The columns of a table's primary key, in its order.
async fn key(conn: &mut SqliteConnection, table: &str) -> Result<Vec<String>, StoreError> {
    let rows = sqlx::query("SELECT name FROM pragma_table_info($1, 'main') WHERE pk > 0 ORDER BY pk")
        .bind(table.to_owned())
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// The columns that the damaged table also has; it may be older.
async fn shared_columns(conn: &mut SqliteConnection, table: &str) -> Result<String, StoreError> {
    let rows = sqlx::query(
        "SELECT name FROM pragma_table_info($1, 'main')
         WHERE name IN (SELECT name FROM pragma_table_info($1, 'damaged'))",
    )
    .bind(table.to_owned())
    .fetch_all(conn)
    .await?;
    let names: Result<Vec<String>, sqlx::Error> = rows.iter().map(|row| row.try_get(0)).collect();
    Ok(names?.join(", "))
}

/// True if the whole table could be read.
async fn copy(
    conn: &mut SqliteConnection,
    table: &str,
    columns: &str,
    order: &[String],
    rows: &mut u64,
) -> bool {
    if columns.is_empty() {
        return false;
    }
    let statement =
        format!("INSERT OR REPLACE INTO main.{table} ({columns}) SELECT {columns} FROM damaged.{table}");
    if let Ok(done) = sqlx::query(AssertSqlSafe(statement.clone())).execute(&mut *conn).await {
        *rows += done.rows_affected();
        return true;
    }
    for direction in ["ASC", "DESC"] {
        let order: Vec<String> = order.iter().map(|column| format!("{column} {direction}")).collect();
        let part = format!("{statement} ORDER BY {}", order.join(", "));
        // a statement that meets damage changes nothing, and is tried again with half of the rows
        let (mut read, mut wanted) = (0, 1);
        while wanted > 0 {
            let part = format!("{part} LIMIT {wanted} OFFSET {read}");
            match sqlx::query(AssertSqlSafe(part)).persistent(false).execute(&mut *conn).await {
                Ok(done) if done.rows_affected() == 0 => break,
                Ok(done) => {
                    read += done.rows_affected();
                    *rows += done.rows_affected();
                    wanted = (wanted * 2).min(MOST_ROWS);
                }
                Err(_) => wanted /= 2,
            }
        }
    }
    false
}
