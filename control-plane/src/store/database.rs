//! SQLite or PostgreSQL: the location, connections, and statements with the same meaning in both.
//!
//! Each has its own typed pool. A [`Query`] is a text that both accept, with its values; it runs on a
//! [`Pool`] or in a [`Transaction`] of either database.

use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use super::lines::Lines;
use crate::trouble::StoreError;
use sqlx::postgres::PgRow;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{
    ConnectOptions, Decode, PgConnection, PgPool, Postgres, Row as _, SqlSafeStr, SqlStr, Sqlite,
    SqliteConnection, SqlitePool, Type,
};

/// How long to wait for a connection, or for SQLite's write lock.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What a store waits for. The compiler sees from the type that it is `Send`; of a future without a name it would look
/// through the database driver for that, again in each method of each store.
pub(super) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The place of state.
#[derive(Clone, Eq, PartialEq)]
pub enum Database {
    /// One SQLite file.
    File(PathBuf),
    /// A PostgreSQL URL, shared by replicas.
    Postgres(String),
    /// A file of JSON Lines, with everything in memory.
    Lines(PathBuf),
    /// Only memory, gone with the process.
    Memory,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({})", path.display()),
            // its URL contains a password
            Self::Postgres(_) => f.write_str("Postgres([redacted])"),
            Self::Lines(path) => write!(f, "Lines({})", path.display()),
            Self::Memory => f.write_str("Memory"),
        }
    }
}

/// Connections to a database.
#[derive(Clone, Debug)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
    /// In memory, and the file behind it.
    Lines(SqlitePool, Lines),
}

/// A transaction that is rolled back when it is dropped.
pub(super) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
    Lines(sqlx::Transaction<'static, Sqlite>, Lines),
}

/// The target of a query.
pub(super) enum Executor<'e> {
    SqlitePool(&'e SqlitePool),
    Sqlite(&'e mut SqliteConnection),
    PostgresPool(&'e PgPool),
    Postgres(&'e mut PgConnection),
}

/// A row of an answer.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// A value for a place in a query.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A text and the values for its places.
#[derive(Debug)]
pub(super) struct Query {
    text: SqlStr,
    values: Vec<Value>,
    persistent: bool,
}

/// A query without values yet.
pub(super) fn query(text: impl SqlSafeStr) -> Query {
    Query { text: text.into_sql_str(), values: Vec::new(), persistent: true }
}

/// Options for a file: its path, and how long to wait for SQLite's write lock.
pub(super) fn file_options(path: &Path) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    options.busy_timeout(PATIENCE).disable_statement_logging()
}

/// A separate connection to an SQLite file, because a pool would retry repeatedly.
pub(super) async fn connect_to_file(path: &Path) -> sqlx::Result<SqliteConnection> {
    file_options(path).connect().await
}

// === impl Pool ===

impl Pool {
    /// Begins a transaction that will write. SQLite takes the write lock at once: taking it later
    /// would fail if another process wrote in between.
    pub(super) fn begin(&self) -> BoxFuture<'_, sqlx::Result<Transaction>> {
        Box::pin(async move {
            Ok(match self {
                Self::Sqlite(pool) => Transaction::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
                Self::Postgres(pool) => Transaction::Postgres(pool.begin().await?),
                Self::Lines(pool, lines) => {
                    Transaction::Lines(pool.begin_with("BEGIN IMMEDIATE").await?, lines.clone())
                }
            })
        })
    }

    /// The suffix of a `SELECT` of rows that the transaction will write. In SQLite the transaction has the
    /// write lock from its beginning.
    pub(super) fn for_update(&self) -> &'static str {
        match self {
            Self::Sqlite(_) | Self::Lines(..) => "",
            Self::Postgres(_) => " FOR UPDATE",
        }
    }

    /// SQLite overwrites deleted data with zeros, first only in its journal. This writes them to the file.
    pub(super) fn empty_journal(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let emptied = match self {
                Self::Sqlite(pool) => {
                    let checkpoint = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(pool).await;
                    checkpoint.map(drop).map_err(StoreError::from)
                }
                Self::Postgres(_) => Ok(()),
                // Its lines still contain the deleted data.
                Self::Lines(pool, lines) => match pool.acquire().await {
                    Ok(mut conn) => lines.rewrite(&mut conn).await,
                    Err(error) => Err(error.into()),
                },
            };
            if let Err(error) = emptied {
                tracing::warn!(message = "What was deleted stays in the store's journal until that is rewritten.", %error);
            }
        })
    }

    pub(super) fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            match self {
                Self::Sqlite(pool) | Self::Lines(pool, _) => pool.close().await,
                Self::Postgres(pool) => pool.close().await,
            }
        })
    }
}

// === impl Transaction ===

impl Transaction {
    pub(super) fn commit(self) -> BoxFuture<'static, Result<(), StoreError>> {
        Box::pin(async move {
            match self {
                Self::Sqlite(tx) => Ok(tx.commit().await?),
                Self::Postgres(tx) => Ok(tx.commit().await?),
                Self::Lines(mut tx, lines) => {
                    // A write is committed even if the caller has gone in the meantime.
                    let committed = tokio::spawn(async move {
                        lines.write(&mut tx).await?;
                        Ok(tx.commit().await?)
                    });
                    committed.await.unwrap_or_else(|error| Err(StoreError::Corrupt(error.to_string())))
                }
            }
        })
    }

    pub(super) fn rollback(self) -> BoxFuture<'static, sqlx::Result<()>> {
        Box::pin(async move {
            match self {
                Self::Sqlite(tx) | Self::Lines(tx, _) => tx.rollback().await,
                Self::Postgres(tx) => tx.rollback().await,
            }
        })
    }
}

// === impl Executor ===

impl<'e> From<&'e Pool> for Executor<'e> {
    fn from(pool: &'e Pool) -> Self {
        match pool {
            Pool::Sqlite(pool) | Pool::Lines(pool, _) => Self::SqlitePool(pool),
            Pool::Postgres(pool) => Self::PostgresPool(pool),
        }
    }
}

impl<'e> From<&'e mut Transaction> for Executor<'e> {
    fn from(tx: &'e mut Transaction) -> Self {
        match tx {
            Transaction::Sqlite(tx) | Transaction::Lines(tx, _) => Self::Sqlite(tx),
            Transaction::Postgres(tx) => Self::Postgres(tx),
        }
    }
}

// === impl Row ===

impl Row {
    /// The value of a column.
    pub(super) fn try_get<'r, T>(&'r self, at: usize) -> sqlx::Result<T>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(at),
            Self::Postgres(row) => row.try_get(at),
        }
    }
}

// === impl Value ===

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

// === impl Query ===

/// The query for one of the drivers.
macro_rules! typed {
    ($query:ident) => {
        $query.values.into_iter().fold(
            sqlx::query($query.text).persistent($query.persistent),
            |query, value| match value {
                Value::Integer(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::Bytes(value) => query.bind(value),
            },
        )
    };
}

impl Query {
    /// Binds a value to the next placeholder.
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Binds values to the next placeholders.
    pub(super) fn bind_all(mut self, values: impl IntoIterator<Item = i64>) -> Self {
        self.values.extend(values.into_iter().map(Value::Integer));
        self
    }

    /// The text will not be used again, so it is not cached: it would only evict texts that are.
    pub(super) fn once(mut self) -> Self {
        self.persistent = false;
        self
    }

    /// Runs it, and returns the number of changed rows.
    pub(super) fn execute<'e>(self, on: impl Into<Executor<'e>>) -> BoxFuture<'e, sqlx::Result<u64>> {
        self.execute_on(on.into())
    }

    fn execute_on(self, on: Executor<'_>) -> BoxFuture<'_, sqlx::Result<u64>> {
        Box::pin(async move {
            Ok(match on {
                Executor::SqlitePool(pool) => typed!(self).execute(pool).await?.rows_affected(),
                Executor::Sqlite(conn) => typed!(self).execute(conn).await?.rows_affected(),
                Executor::PostgresPool(pool) => typed!(self).execute(pool).await?.rows_affected(),
                Executor::Postgres(conn) => typed!(self).execute(conn).await?.rows_affected(),
            })
        })
    }

    /// Its rows.
    pub(super) fn fetch_all<'e>(self, on: impl Into<Executor<'e>>) -> BoxFuture<'e, sqlx::Result<Vec<Row>>> {
        self.fetch_on(on.into())
    }

    fn fetch_on(self, on: Executor<'_>) -> BoxFuture<'_, sqlx::Result<Vec<Row>>> {
        let sqlite = |rows: Vec<SqliteRow>| rows.into_iter().map(Row::Sqlite).collect();
        let postgres = |rows: Vec<PgRow>| rows.into_iter().map(Row::Postgres).collect();
        Box::pin(async move {
            Ok(match on {
                Executor::SqlitePool(pool) => sqlite(typed!(self).fetch_all(pool).await?),
                Executor::Sqlite(conn) => sqlite(typed!(self).fetch_all(conn).await?),
                Executor::PostgresPool(pool) => postgres(typed!(self).fetch_all(pool).await?),
                Executor::Postgres(conn) => postgres(typed!(self).fetch_all(conn).await?),
            })
        })
    }

    /// The row of a query with at most one row.
    pub(super) async fn fetch_optional(self, on: impl Into<Executor<'_>>) -> sqlx::Result<Option<Row>> {
        Ok(self.fetch_on(on.into()).await?.into_iter().next())
    }

    /// The row of a query that always has one.
    pub(super) async fn fetch_one(self, on: impl Into<Executor<'_>>) -> sqlx::Result<Row> {
        self.fetch_optional(on).await?.ok_or(sqlx::Error::RowNotFound)
    }
}
