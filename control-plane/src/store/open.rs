//! Opening a database: the folder, the connections, the schema, and setting a broken file aside.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::pool::PoolOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, PgPool, Row, SqliteConnection, SqlitePool};

use super::database::{BoxFuture, Database, PATIENCE, Pool, connect_to_file, file_options};
use super::salvage::{SalvageReport, salvage};
use super::schema::Schema;
use crate::clock::UnixMs;
use crate::trouble::{StoreError, Trouble};
use crate::url::without_secrets;

/// Connections kept to the database: one writes, and the others serve pages at the same time.
const CONNECTIONS: u32 = 5;
/// The size to which SQLite truncates its journal, in bytes.
const JOURNAL_BYTES: &str = "67108864";

/// Time between two looks at whether a damaged file is closed.
const CLOSE_POLL: Duration = Duration::from_millis(2);

/// A database with its tables up to date.
#[derive(Debug)]
pub(super) struct OpenDatabase {
    pub(super) pool: Pool,
    /// Its location, without credentials.
    pub(super) location: String,
    /// The new path of a damaged file that was set aside when this was opened.
    pub(super) set_aside: Option<PathBuf>,
}

impl OpenDatabase {
    /// Opens a database, creates it if it does not exist, and sets it aside if it is damaged, which the caller may
    /// already know.
    pub(super) fn open<'a>(
        database: &'a Database,
        schema: &'a Schema,
        now: UnixMs,
        known: Option<String>,
    ) -> BoxFuture<'a, Result<Self, StoreError>> {
        Box::pin(async move {
            match database {
                Database::Postgres(url) => {
                    let pool = up_to_date(Pool::Postgres(postgres_pool(url).await?), schema).await?;
                    Ok(Self { pool, location: without_secrets(url), set_aside: None })
                }
                Database::Lines(_) | Database::Memory => {
                    let pool = up_to_date(Pool::Sqlite(memory_pool().await?), schema).await?;
                    let location = match database {
                        Database::Lines(path) => path.display().to_string(),
                        _ => "memory".to_owned(),
                    };
                    Ok(Self { pool, location, set_aside: None })
                }
                Database::File(path) => {
                    make_private(path)?;
                    let damage = match known {
                        Some(damage) => Some(damage),
                        None => damage(path).await?,
                    };
                    let set_aside = match damage {
                        Some(damage) => {
                            until_closed(path).await;
                            let kept = set_aside(path, now, &damage)?;
                            make_private(path)?;
                            Some(kept)
                        }
                        None => None,
                    };
                    let pool =
                        up_to_date(Pool::Sqlite(sqlite_pool(path, CONNECTIONS).await?), schema).await?;
                    if let Some(damaged) = &set_aside {
                        save_from(path, damaged, schema).await;
                    }
                    Ok(Self { pool, location: path.display().to_string(), set_aside })
                }
            }
        })
    }
}

async fn up_to_date(pool: Pool, schema: &Schema) -> Result<Pool, StoreError> {
    let mut tx = pool.begin().await?;
    schema.migrate(&mut tx).await?;
    tx.commit().await?;
    Ok(pool)
}

/// `synchronous = FULL`: in WAL mode NORMAL survives the death of the process but may lose the last commits in a
/// power failure, and the filter has already forgotten acknowledged records. Reports are committed in groups,
/// outside of the path of requests, so the sync per commit delays no request.
pub(super) async fn sqlite_pool(path: &Path, connections: u32) -> Result<SqlitePool, StoreError> {
    let options = file_options(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("temp_store", "MEMORY")
        // deleted data is also overwritten in the file
        .pragma("secure_delete", "ON")
        .pragma("journal_size_limit", JOURNAL_BYTES);
    let pool = PoolOptions::new().max_connections(connections).acquire_timeout(PATIENCE);
    // When the disk is full, SQLite ends a transaction by itself, and sqlx does not notice: it would refuse
    // every later transaction on this connection.
    let pool = pool.test_before_acquire(false).after_release(|conn: &mut SqliteConnection, _| {
        Box::pin(async move {
            if conn.is_in_transaction() {
                // a dropped transaction is rolled back with the next command
                conn.ping().await?;
            }
            Ok(!conn.is_in_transaction())
        })
    });
    let start = Instant::now();
    loop {
        match pool.clone().connect_with(options.clone()).await.map_err(StoreError::from) {
            // SQLite lets nobody wait while another one that opened the new file at the same moment begins its journal.
            Err(error) if Trouble::of(&error) == Trouble::Busy && start.elapsed() < PATIENCE => {
                tokio::time::sleep(CLOSE_POLL).await;
            }
            opened => return opened,
        }
    }
}

/// One connection that lives as long as the pool, because the database is gone with it.
async fn memory_pool() -> Result<SqlitePool, StoreError> {
    let options = SqliteConnectOptions::new().in_memory(true).disable_statement_logging();
    let pool = PoolOptions::new().max_connections(1).min_connections(1).idle_timeout(None).max_lifetime(None);
    Ok(pool.acquire_timeout(PATIENCE).test_before_acquire(false).connect_with(options).await?)
}

pub(super) async fn postgres_pool(url: &str) -> Result<PgPool, StoreError> {
    let options: PgConnectOptions = url.parse()?;
    let pool = PoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
    // an idle connection may have died, so it is tested before each use
    let pool = pool.test_before_acquire(true).after_connect(|conn: &mut PgConnection, _| {
        Box::pin(async move {
            conn.execute("SET statement_timeout = '10s'").await?;
            conn.execute("SET lock_timeout = '5s'").await?;
            Ok(())
        })
    });
    Ok(pool.connect_with(options.disable_statement_logging()).await?)
}

/// The damage of a database's file; none if it has no file.
pub(super) fn damage_of(database: &Database) -> BoxFuture<'_, Result<Option<String>, StoreError>> {
    Box::pin(async move {
        match database {
            Database::File(path) => damage(path).await,
            Database::Postgres(_) | Database::Lines(_) | Database::Memory => Ok(None),
        }
    })
}

/// The damage of an SQLite file: `None` if it is sound or does not exist.
async fn damage(path: &Path) -> Result<Option<String>, StoreError> {
    let checked = async {
        let mut conn = connect_to_file(path).await?;
        let row = sqlx::query("PRAGMA quick_check(1)").fetch_one(&mut conn).await;
        // A dropped connection is closed later by its own thread, which removes the journal. By then that could be
        // the journal of a file that was set aside.
        conn.close().await?;
        let verdict: String = row?.try_get(0)?;
        Ok::<_, StoreError>(verdict)
    };
    match checked.await {
        Ok(verdict) if verdict == "ok" => Ok(None),
        Ok(verdict) => Ok(Some(verdict)),
        Err(error) if Trouble::of(&error) == Trouble::Damaged => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}

/// History and originals belong to this user only. SQLite gives its additional files the permissions of the
/// database, so the database file is created before SQLite does it.
pub(super) fn make_private(path: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::Folder { path: path.display().to_string(), error };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        headroom_private::folder(folder).map_err(failed)?;
    }
    headroom_private::database(path).map_err(failed)
}

/// Waits until this process has closed the file. sqlx leaves the closing of a connection that could not be opened to
/// the connection's own thread. SQLite's last connection to a file looks whether the file has moved, syncs it, and then
/// removes the journal by its name: by then that could be the journal of the replacement.
async fn until_closed(path: &Path) {
    let start = Instant::now();
    while is_open(path) {
        if start.elapsed() > PATIENCE {
            let path = path.display();
            tracing::error!(message = "A damaged store is still open while it is set aside.", %path);
            return;
        }
        tokio::time::sleep(CLOSE_POLL).await;
    }
}

/// True if this process holds the file open. The file is not opened for it: closing it again would end all locks
/// that SQLite has on it.
#[cfg(unix)]
fn is_open(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(file) = fs::metadata(path) else { return false };
    let Ok(descriptors) = fs::read_dir("/dev/fd") else { return false };
    descriptors.flatten().any(|descriptor| {
        fs::metadata(descriptor.path()).is_ok_and(|open| (open.dev(), open.ino()) == (file.dev(), file.ino()))
    })
}

/// Elsewhere an open file cannot be renamed.
#[cfg(not(unix))]
fn is_open(_path: &Path) -> bool {
    false
}

/// Renames the file and SQLite's additional files, so that they still belong together.
fn set_aside(path: &Path, now: UnixMs, damage: &str) -> Result<PathBuf, StoreError> {
    let failed = |error| StoreError::Folder { path: path.display().to_string(), error };
    let beside = |path: &Path, suffix: &str| PathBuf::from(format!("{}{suffix}", path.display()));
    let names = (now..).map(|at| beside(path, &format!(".damaged-{at}")));
    let Some(kept) = names.into_iter().find(|name| !name.exists()) else { unreachable!("names do not end") };
    for suffix in ["-wal", "-shm"] {
        match fs::rename(beside(path, suffix), beside(&kept, suffix)) {
            // SQLite's last connection removes them
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            renamed => renamed.map_err(failed)?,
        }
    }
    fs::rename(path, &kept).map_err(failed)?;
    tracing::error!(message = "A store is damaged and was set aside; a new one begins.", damage, kept = %kept.display());
    Ok(kept)
}

/// Copies the readable rows. An error here does not affect the new store.
async fn save_from(path: &Path, damaged: &Path, schema: &Schema) {
    match salvage(path, damaged, schema).await {
        Ok(SalvageReport { rows, incomplete }) => tracing::warn!(
            message = "What can be read of the damaged store is in the new one.",
            rows,
            incomplete = incomplete.join(", "),
        ),
        Err(error) => tracing::error!(message = "Nothing can be read of the damaged store.", %error),
    }
}

/// 128 random bits in hexadecimal.
pub(super) fn random_hex() -> String {
    let mut bytes = [0u8; 16];
    // The operating system's generator does not fail on the supported systems. If it did, the zero epoch
    // would still work; only it could not be distinguished from another such store.
    if let Err(error) = getrandom::fill(&mut bytes) {
        tracing::error!(message = "No random numbers for the store's epoch.", %error);
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
