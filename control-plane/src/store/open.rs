//! Opening the store: the folder, the connections, the schema, and setting a broken file aside.

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::{fs, io};

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyPool, ConnectOptions, Connection, Executor, Row, Transaction};

use super::StoreError;
use super::dialect::Dialect;
use super::lines::Lines;
use super::salvage::{Salvaged, salvage};
use super::schema::{LEDGER, Schema};
use crate::clock::UnixMs;
use crate::settings::Database;

/// Connections kept to the database: one writes, the others answer pages meanwhile.
const CONNECTIONS: u32 = 5;

/// A database that lives as long as its connection.
const MEMORY: &str = "sqlite::memory:";

/// A store in SQLite or PostgreSQL.
#[derive(Debug)]
pub struct SqlStore {
    pub(super) pool: AnyPool,
    pub(super) dialect: Dialect,
    epoch: String,
    location: String,
    set_aside: Option<PathBuf>,
    /// Where the tables are in memory, what they are made from.
    lines: Option<Lines>,
}

impl SqlStore {
    /// Opens the store, makes it if it is not there, and brings its schema up to date.
    ///
    /// A file that is damaged is set aside under another name, never deleted; a new store begins with what can be
    /// read of it: reports that arrive meanwhile matter more than refusing to start.
    pub async fn open(database: &Database, now: UnixMs) -> Result<Self, StoreError> {
        Self::open_damaged(database, now, None).await
    }

    /// As [`SqlStore::open`], with what is known to be wrong with the file.
    pub(super) async fn open_damaged(
        database: &Database,
        now: UnixMs,
        damage: Option<String>,
    ) -> Result<Self, StoreError> {
        let opened = Opened::open(database, &LEDGER, now, damage).await?;
        let Opened { pool, dialect, location, mut set_aside } = opened;
        let lines = match database {
            Database::Lines(path) => {
                let (lines, aside) = Lines::open(path, &pool, now).await?;
                set_aside = aside;
                Some(lines)
            }
            _ => None,
        };
        let mut store = Self { pool, dialect, epoch: String::new(), location, set_aside, lines };
        store.epoch = store.lasting_epoch().await?;
        Ok(store)
    }

    /// Ends a transaction, which is durable then. With `anew`, nothing stays of what it has deleted.
    pub(super) async fn commit(
        &self,
        mut tx: Transaction<'static, Any>,
        anew: bool,
    ) -> Result<(), StoreError> {
        let Some(lines) = self.lines.clone() else { return Ok(tx.commit().await?) };
        // What was written counts, whoever has left meanwhile.
        let committed = tokio::spawn(async move {
            lines.write(&mut tx, anew).await?;
            Ok(tx.commit().await?)
        });
        committed.await.unwrap_or_else(|error| Err(StoreError::Corrupt(error.to_string())))
    }

    #[cfg(test)]
    pub(super) fn lines(&self) -> Option<&Lines> {
        self.lines.as_ref()
    }

    /// The epoch that a store is given when it is made.
    async fn lasting_epoch(&self) -> Result<String, StoreError> {
        let mut tx = self.pool.begin_with(self.dialect.begin()).await?;
        sqlx::query("INSERT INTO meta (name, value) VALUES ('epoch', $1) ON CONFLICT (name) DO NOTHING")
            .bind(random_hex())
            .execute(&mut *tx)
            .await?;
        let epoch = sqlx::query("SELECT value FROM meta WHERE name = 'epoch'").fetch_one(&mut *tx).await?;
        let epoch = epoch.try_get(0)?;
        self.commit(tx, false).await?;
        Ok(epoch)
    }

    /// Where a damaged file was put when this store was opened.
    pub fn set_aside(&self) -> Option<&Path> {
        self.set_aside.as_deref()
    }

    pub(super) fn epoch_str(&self) -> &str {
        &self.epoch
    }

    pub(super) fn location_str(&self) -> &str {
        &self.location
    }
}

/// A database with its tables up to date.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) pool: AnyPool,
    pub(super) dialect: Dialect,
    /// Where it is, without credentials.
    pub(super) location: String,
    /// A file that could not be read when this was opened, under its new name.
    pub(super) set_aside: Option<PathBuf>,
}

impl Opened {
    /// Opens a database, makes it if it is not there, sets it aside if it is damaged, which may be known already.
    pub(super) async fn open(
        database: &Database,
        schema: &Schema,
        now: UnixMs,
        known: Option<String>,
    ) -> Result<Self, StoreError> {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(sqlx::any::install_default_drivers);
        match database {
            Database::Postgres(url) => {
                Self::connect(url, Dialect::Postgres, schema, without_credentials(url)).await
            }
            Database::Lines(path) => {
                Self::connect(MEMORY, Dialect::Sqlite, schema, path.display().to_string()).await
            }
            Database::Memory => Self::connect(MEMORY, Dialect::Sqlite, schema, "memory".to_owned()).await,
            Database::File(path) => {
                make_private(path)?;
                let url = sqlite_url(path)?;
                let location = path.display().to_string();
                let damage = match known {
                    Some(damage) => Some(damage),
                    None => damage(&url).await?,
                };
                let aside = damage.map(|damage| set_aside(path, now, &damage)).transpose()?;
                if aside.is_some() {
                    make_private(path)?;
                }
                let mut store = Self::connect(&url, Dialect::Sqlite, schema, location).await?;
                if let Some(damaged) = &aside {
                    save_from(&url, damaged, schema).await;
                }
                store.set_aside = aside;
                Ok(store)
            }
        }
    }

    async fn connect(
        url: &str,
        dialect: Dialect,
        schema: &Schema,
        location: String,
    ) -> Result<Self, StoreError> {
        let options: AnyConnectOptions = url.parse()?;
        let pool =
            if url == MEMORY { one_connection() } else { AnyPoolOptions::new().max_connections(CONNECTIONS) };
        let pool = pool
            .test_before_acquire(dialect.may_disconnect())
            .acquire_timeout(std::time::Duration::from_secs(5))
            .after_connect(move |conn, _| {
                Box::pin(async move {
                    for statement in dialect.on_connect() {
                        conn.execute(*statement).await?;
                    }
                    Ok(())
                })
            })
            // SQLite ends a transaction by itself when the disk is full, and sqlx does not notice: it would
            // refuse every later one on this connection
            .after_release(|conn, _| {
                Box::pin(async move {
                    if conn.is_in_transaction() {
                        // what was dropped is rolled back with the next command
                        conn.ping().await?;
                    }
                    Ok(!conn.is_in_transaction())
                })
            })
            .connect_with(options.disable_statement_logging())
            .await?;
        let mut tx = pool.begin_with(dialect.begin()).await?;
        if let Some(lock) = dialect.lock_schema() {
            sqlx::query(lock).execute(&mut *tx).await?;
        }
        schema.migrate(&mut tx, dialect).await?;
        tx.commit().await?;
        Ok(Self { pool, dialect, location, set_aside: None })
    }
}

/// The only one there is, for as long as there is a pool.
fn one_connection() -> AnyPoolOptions {
    AnyPoolOptions::new().max_connections(1).min_connections(1).idle_timeout(None).max_lifetime(None)
}

/// What is wrong with a database's file; nothing where it has none.
pub(super) async fn damage_of(database: &Database) -> Result<Option<String>, StoreError> {
    match database {
        Database::File(path) => damage(&sqlite_url(path)?).await,
        Database::Postgres(_) | Database::Lines(_) | Database::Memory => Ok(None),
    }
}

/// What is wrong with an SQLite file: `None` when it is sound, or not there yet.
///
/// Asked over a connection of its own: a pool would try again and again.
async fn damage(url: &str) -> Result<Option<String>, StoreError> {
    let options: AnyConnectOptions = url.parse()?;
    let mut conn = options.disable_statement_logging().connect().await?;
    let checked = async {
        sqlx::query("PRAGMA busy_timeout = 5000").execute(&mut conn).await?;
        sqlx::query("PRAGMA quick_check(1)").fetch_one(&mut conn).await?.try_get::<String, _>(0)
    };
    let verdict = match checked.await {
        Ok(verdict) if verdict == "ok" => None,
        Ok(verdict) => Some(verdict),
        Err(error) if names_damage(&error) => Some(error.to_string()),
        Err(error) => return Err(error.into()),
    };
    conn.close().await?;
    Ok(verdict)
}

/// SQLITE_CORRUPT or SQLITE_NOTADB; anything else, such as a lock or a full disk, passes.
fn names_damage(error: &sqlx::Error) -> bool {
    let text = error.to_string();
    text.contains("database disk image is malformed") || text.contains("file is not a database")
}

/// History and originals are this user's alone. SQLite gives the files that it keeps beside a database the
/// permissions of the database, which is why that one is made before SQLite makes it.
fn make_private(path: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::Folder { path: path.display().to_string(), error };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        headroom_private::folder(folder).map_err(failed)?;
    }
    headroom_private::database(path).map_err(failed)
}

fn sqlite_url(path: &Path) -> Result<String, StoreError> {
    let path = std::path::absolute(path)
        .map_err(|error| StoreError::Folder { path: path.display().to_string(), error })?;
    let text = path.to_str().ok_or_else(|| StoreError::Folder {
        path: path.display().to_string(),
        error: io::Error::new(io::ErrorKind::InvalidInput, "the path is not UTF-8"),
    })?;
    // what would end or alter the path inside a URL
    let escaped = text.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    Ok(format!("sqlite://{escaped}?mode=rwc"))
}

/// Gives the file and what SQLite keeps beside it another name, under which they still belong together.
fn set_aside(path: &Path, now: UnixMs, damage: &str) -> Result<PathBuf, StoreError> {
    let failed = |error| StoreError::Folder { path: path.display().to_string(), error };
    let beside = |path: &Path, suffix: &str| PathBuf::from(format!("{}{suffix}", path.display()));
    let names = (now..).map(|at| beside(path, &format!(".damaged-{at}")));
    let Some(kept) = names.into_iter().find(|name| !name.exists()) else { unreachable!("names do not end") };
    for suffix in ["-wal", "-shm"] {
        let from = beside(path, suffix);
        if from.exists() {
            fs::rename(&from, beside(&kept, suffix)).map_err(failed)?;
        }
    }
    fs::rename(path, &kept).map_err(failed)?;
    tracing::error!(message = "A store is damaged and was set aside; a new one begins.", damage, kept = %kept.display());
    Ok(kept)
}

/// Nothing that goes wrong here keeps the new store from working.
async fn save_from(url: &str, damaged: &Path, schema: &Schema) {
    match salvage(url, damaged, schema).await {
        Ok(Salvaged { rows, incomplete }) => tracing::warn!(
            message = "What can be read of the damaged store is in the new one.",
            rows,
            incomplete = incomplete.join(", "),
        ),
        Err(error) => tracing::error!(message = "Nothing can be read of the damaged store.", %error),
    }
}

fn without_credentials(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let rest = rest.split('?').next().unwrap_or_default();
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}/{database}")
}

/// 128 random bits in hexadecimal.
pub(super) fn random_hex() -> String {
    let mut bytes = [0u8; 16];
    // the operating system's generator does not fail on the systems that we run on; were it to, the
    // zero epoch still works, it only cannot be told apart from another such store
    if let Err(error) = getrandom::fill(&mut bytes) {
        tracing::error!(message = "No random numbers for the store's epoch.", %error);
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_shows_no_credentials() {
        assert_eq!(without_credentials("postgres://u:p%40@h:5/d?password=x"), "postgres://h:5/d");
        assert_eq!(without_credentials("postgres:///d?host=/run&user=u"), "postgres:///d");
    }
}
