//! The ledger without a database: its tables are in memory, and a file of JSON Lines has the data to rebuild them.
//!
//! Triggers record each row that a transaction changes. Before the commit, these rows are appended to the file, with a
//! line that ends the transaction, and synced. So data that could not be written is not counted, and acknowledged data
//! is in the file. A line contains the whole row, so reading them in order restores the tables. The file is rewritten,
//! one line per row, when most of it is old.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::FlockOperation;
use serde::Deserialize;
use serde_json::value::RawValue;
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection, SqlitePool};
use tokio_stream::StreamExt as _;

use crate::clock::UnixMs;
use crate::trouble::StoreError;

/// The next ordinal comes from the sums, because rows may be missing.
pub(super) const NEXT_ORDINAL: &str =
    "UPDATE main.tally SET requests = (SELECT MAX(ordinal) FROM main.request)
     WHERE dimension = 'all' AND requests < (SELECT COALESCE(MAX(ordinal), 0) FROM main.request)";
/// The first line of the file.
const HEADER: &str = "{\"headroom_savings\":1}\n";
/// A file of up to this many bytes is never rewritten.
const SMALL: u64 = 16 << 20;
/// How many times a file may grow after it was rewritten.
const GROWTH: u64 = 4;
/// Bytes of a line at most: a report has 4 MiB, and its bytes are spelled in hexadecimal.
const MAX_LINE: u64 = 32 << 20;
/// Rows per transaction in a rewritten file.
const ROWS: u64 = 1_000;
/// Bytes that are written at once.
const CHUNK: usize = 1 << 20;

/// A table, and the SQL that writes and reads its rows.
#[derive(Debug)]
struct Table {
    name: String,
    /// `SELECT` of all rows as lines.
    lines: String,
    /// A new or changed row, as a line.
    put_in: String,
    /// The key of a deleted row, as a line.
    taken_out: String,
    /// Inserts the row in `$1`, or replaces the row with its key.
    put: String,
    /// Removes the row with the key of `$1`.
    remove: String,
}

/// A line of the file. Numbers, names and texts are the same as in the tables, bytes are in hexadecimal, and zeros are
/// left out.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(default)]
    headroom_savings: Option<u64>,
    #[serde(default)]
    table: Option<&'a str>,
    #[serde(borrow, default)]
    row: Option<&'a RawValue>,
    #[serde(borrow, default)]
    gone: Option<&'a RawValue>,
    /// Ends a transaction: the rows before it belong together.
    #[serde(default)]
    commit: Option<u64>,
}

/// The file behind tables in memory.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    file: Arc<Mutex<LineFile>>,
    tables: Arc<[Table]>,
}

#[derive(Debug)]
struct LineFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// The length at which it is rewritten.
    limit: u64,
    /// Held while the file is open: only one process writes to it.
    _lock: File,
}

/// The result of reading a file.
struct LoadResult {
    /// Up to the end of the last whole transaction.
    bytes: u64,
    /// A line before that end that could not be read.
    damage: Option<String>,
}

impl Lines {
    /// Reads the file into empty tables, and then starts to record changes. If some lines cannot be read, the file
    /// is set aside and the other lines are used. Data after the last whole transaction was never acknowledged and
    /// is dropped.
    pub(super) async fn open(
        path: &Path,
        pool: &SqlitePool,
        now: UnixMs,
    ) -> Result<(Self, Option<PathBuf>), StoreError> {
        let failed = |error| StoreError::Folder { path: path.display().to_string(), error };
        let lock = lock(path).map_err(failed)?;
        headroom_private::file(path).map_err(failed)?;
        let tables = tables(pool).await?;
        let loaded = load(path, pool, &tables).await?;
        watch(pool, &tables).await?;
        let mut file = open_file(path).map_err(failed)?;
        let mut aside = None;
        if let Some(damage) = &loaded.damage {
            let names = (now..).map(|at| PathBuf::from(format!("{}.damaged-{at}", path.display())));
            let kept = names.into_iter().find(|name| !name.exists()).unwrap_or_default();
            fs::rename(path, &kept).map_err(failed)?;
            file = open_file(path).map_err(failed)?;
            tracing::error!(message = "The savings file is damaged and was set aside; a new one begins with what can be read of it.", damage, kept = %kept.display());
            aside = Some(kept);
        }
        let bytes = if aside.is_some() { 0 } else { loaded.bytes };
        file.set_len(bytes).map_err(failed)?;
        let lined = LineFile { path: path.to_owned(), file, bytes, limit: SMALL, _lock: lock };
        let lines = Self { file: Arc::new(Mutex::new(lined)), tables: tables.into() };
        if bytes == 0 {
            // Includes the initial rows of a new store.
            let mut conn = pool.acquire().await?;
            lines.rewrite(&mut conn).await?;
        }
        Ok((lines, aside))
    }

    /// Writes the changes of a transaction. Call this right before the commit.
    pub(super) async fn write(&self, conn: &mut SqliteConnection) -> Result<(), StoreError> {
        let (mut text, mut count) = (String::new(), 0_u64);
        {
            let mut rows = sqlx::query("SELECT line FROM journal ORDER BY id").fetch(&mut *conn);
            while let Some(row) = rows.next().await {
                text.push_str(row?.try_get(0)?);
                text.push('\n');
                count += 1;
            }
        }
        sqlx::query("DELETE FROM journal").execute(&mut *conn).await?;
        if count == 0 {
            return Ok(());
        }
        text.push_str(&end(count));
        let (bytes, limit) = self.on_disk(move |file| file.append(text.as_bytes())).await?;
        if bytes > limit
            && let Err(error) = self.rewrite(conn).await
        {
            tracing::warn!(message = "The savings file could not be rewritten; it is used unchanged.", %error);
            self.on_disk(move |file| {
                file.limit = bytes.saturating_mul(2);
                Ok((file.bytes, file.limit))
            })
            .await?;
        }
        Ok(())
    }

    /// Writes one line for each row, into a new file that then replaces the old one.
    pub(super) async fn rewrite(&self, conn: &mut SqliteConnection) -> Result<(), StoreError> {
        let path = lock_file(&self.file).path.clone();
        let partial = PathBuf::from(format!("{}.partial", path.display()));
        let failed = |error| StoreError::Folder { path: path.display().to_string(), error };
        let create = partial.clone();
        let made = tokio::task::spawn_blocking(move || {
            fs::remove_file(&create).ok();
            open_file(&create)
        });
        let mut new = made.await.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(failed)?;
        let (mut text, mut count, mut bytes) = (HEADER.to_owned(), 0_u64, 0_u64);
        for table in self.tables.iter() {
            let query = sqlx::query(AssertSqlSafe(table.lines.clone())).persistent(false);
            let mut rows = query.fetch(&mut *conn);
            while let Some(row) = rows.next().await {
                text.push_str(row?.try_get(0)?);
                text.push('\n');
                count += 1;
                if count == ROWS {
                    text.push_str(&end(count));
                    count = 0;
                }
                if text.len() >= CHUNK {
                    bytes += text.len() as u64;
                    new = written(new, std::mem::take(&mut text)).await.map_err(failed)?;
                }
            }
        }
        text.push_str(&end(count));
        bytes += text.len() as u64;
        let new = written(new, text).await.map_err(failed)?;
        self.on_disk(move |file| file.replace(new, &partial, bytes)).await
    }

    /// Runs an operation on the file, which may take a while.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut LineFile) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let file = Arc::clone(&self.file);
        let done = tokio::task::spawn_blocking(move || work(&mut lock_file(&file)));
        done.await.unwrap_or_else(|error| Err(StoreError::Corrupt(error.to_string())))
    }
}

fn lock_file(file: &Mutex<LineFile>) -> std::sync::MutexGuard<'_, LineFile> {
    file.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LineFile {
    /// Appends and syncs; returns the length of the file and its limit. After an error the file is unchanged.
    fn append(&mut self, text: &[u8]) -> Result<(u64, u64), StoreError> {
        let written = self.file.write_all(text).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            self.file.set_len(self.bytes).ok();
            return Err(StoreError::Folder { path: self.path.display().to_string(), error });
        }
        self.bytes = self.bytes.saturating_add(text.len() as u64);
        Ok((self.bytes, self.limit))
    }

    fn replace(&mut self, new: File, partial: &Path, bytes: u64) -> Result<(), StoreError> {
        let replaced = new.sync_all().and_then(|()| fs::rename(partial, &self.path)).and_then(|()| {
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        });
        replaced.map_err(|error| StoreError::Folder { path: self.path.display().to_string(), error })?;
        self.file = new;
        self.bytes = bytes;
        self.limit = SMALL.max(bytes.saturating_mul(GROWTH));
        Ok(())
    }
}

fn end(count: u64) -> String {
    format!("{{\"commit\":{count}}}\n")
}

async fn written(mut file: File, text: String) -> io::Result<File> {
    let written = tokio::task::spawn_blocking(move || file.write_all(text.as_bytes()).map(|()| file));
    written.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

/// A separate lock file, because the file itself is replaced.
fn lock(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a file"));
    }
    // An existing folder may have other users and is not changed.
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        headroom_private::folder(folder)?;
    }
    let lock = open_file(&PathBuf::from(format!("{}.lock", path.display())))?;
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        io::Error::new(io::ErrorKind::ResourceBusy, "another headroomd has it open; several need PostgreSQL")
    })?;
    Ok(lock)
}

/// The existing tables. The names come from this program's own schema.
async fn tables(pool: &SqlitePool) -> Result<Vec<Table>, StoreError> {
    let names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE '%_migrations' ORDER BY name";
    let mut tables = Vec::new();
    for row in sqlx::query(names).fetch_all(pool).await? {
        let name: String = row.try_get(0)?;
        let columns = format!(
            "SELECT name, type, COALESCE(dflt_value, '') = '0', pk > 0 FROM pragma_table_info('{name}') ORDER BY cid"
        );
        let columns = sqlx::query(AssertSqlSafe(columns)).persistent(false).fetch_all(pool).await?;
        let columns = columns.iter().map(|row| {
            let (name, kind): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let (zero, key): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
            Ok(Column { name, kind, zero: zero != 0, key: key != 0 })
        });
        tables.push(Table::new(name, &columns.collect::<Result<Vec<_>, sqlx::Error>>()?));
    }
    Ok(tables)
}

struct Column {
    name: String,
    kind: String,
    /// Whether its default is 0.
    zero: bool,
    key: bool,
}

impl Column {
    /// The column's value as JSON.
    fn spelled(&self, row: &str) -> String {
        let Self { name, .. } = self;
        match (self.kind.as_str(), self.zero) {
            ("BLOB", _) => format!("hex({row}.{name})"),
            (_, true) => format!("nullif({row}.{name}, 0)"),
            _ => format!("{row}.{name}"),
        }
    }

    /// The same value from `$1`.
    fn read(&self) -> String {
        let value = format!("json_extract($1, '$.{}')", self.name);
        match (self.kind.as_str(), self.zero) {
            ("BLOB", _) => format!("unhex({value})"),
            (_, true) => format!("CAST(COALESCE({value}, 0) AS INTEGER)"),
            ("TEXT", _) => format!("CAST({value} AS TEXT)"),
            _ => format!("CAST({value} AS INTEGER)"),
        }
    }
}

impl Table {
    fn new(name: String, columns: &[Column]) -> Self {
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let values: Vec<String> = columns.iter().map(Column::read).collect();
        let keys = columns.iter().filter(|column| column.key);
        let keys: Vec<String> = keys.map(|key| format!("{} = {}", key.name, key.read())).collect();
        let key_values = columns.iter().filter(|column| column.key);
        let key_values: Vec<String> = key_values.map(|key| format!("'{0}', OLD.{0}", key.name)).collect();
        Self {
            lines: format!("SELECT {} FROM {name}", Self::line(&name, columns, &name)),
            put_in: Self::line(&name, columns, "NEW"),
            taken_out: format!(
                "json_object('table', '{name}', 'gone', json_object({}))",
                key_values.join(", ")
            ),
            put: format!("INSERT OR REPLACE INTO {name} ({}) SELECT {}", names.join(", "), values.join(", ")),
            remove: format!("DELETE FROM {name} WHERE {}", keys.join(" AND ")),
            name,
        }
    }

    fn line(table: &str, columns: &[Column], row: &str) -> String {
        let fields: Vec<String> =
            columns.iter().map(|column| format!("'{}', {}", column.name, column.spelled(row))).collect();
        // A JSON merge drops null values.
        format!(
            "json_object('table', '{table}', 'row', json_patch('{{}}', json_object({})))",
            fields.join(", ")
        )
    }
}

/// Creates the triggers that record each change.
async fn watch(pool: &SqlitePool, tables: &[Table]) -> Result<(), StoreError> {
    let mut statements = vec!["CREATE TABLE journal (id INTEGER PRIMARY KEY, line TEXT NOT NULL)".to_owned()];
    for Table { name, put_in, taken_out, .. } in tables {
        for (change, line) in [("INSERT", put_in), ("UPDATE", put_in), ("DELETE", taken_out)] {
            statements.push(format!(
                "CREATE TRIGGER journal_{name}_{change} AFTER {change} ON {name}
                 BEGIN INSERT INTO journal (line) VALUES ({line}); END"
            ));
        }
    }
    for statement in statements {
        sqlx::query(AssertSqlSafe(statement)).persistent(false).execute(pool).await?;
    }
    Ok(())
}

/// Reads the file into the tables, which contain the initial rows of a new store.
async fn load(path: &Path, pool: &SqlitePool, tables: &[Table]) -> Result<LoadResult, StoreError> {
    let failed = |error| StoreError::Folder { path: path.display().to_string(), error };
    let mut reader = BufReader::new(File::open(path).map_err(failed)?);
    let mut loaded = LoadResult { bytes: 0, damage: None };
    let (mut at, mut number, mut broken) = (0_u64, 0_u64, None);
    let mut line = Vec::new();
    let mut tx = pool.begin().await?;
    let mut pending: Vec<String> = Vec::new();
    loop {
        line.clear();
        let read = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(failed)?;
        if read == 0 || line.last() != Some(&b'\n') && (read as u64) < MAX_LINE {
            break;
        }
        (at, number) = (at + read as u64, number + 1);
        let text = std::str::from_utf8(&line).ok();
        let parsed = text.and_then(|text| serde_json::from_str::<Line<'_>>(text).ok());
        if number == 1 {
            match parsed.and_then(|line| line.headroom_savings) {
                Some(1) => {
                    loaded.bytes = at;
                    continue;
                }
                Some(found) => {
                    let found = i64::try_from(found).unwrap_or(i64::MAX);
                    return Err(StoreError::Newer { found, known: 1 });
                }
                None => return Err(not_savings(path)),
            }
        }
        match parsed {
            Some(Line { commit: Some(count), .. }) => {
                if count != pending.len() as u64 && broken.is_none() {
                    broken =
                        Some(format!("line {number} ends {count} rows, and {} are there", pending.len()));
                }
                for line in pending.drain(..) {
                    if let Err(error) = apply(&mut tx, &line, tables).await {
                        broken.get_or_insert(format!("a row before line {number}: {error}"));
                    }
                }
                loaded.bytes = at;
                // Damage after the last complete transaction was never acknowledged.
                if loaded.damage.is_none() {
                    loaded.damage = broken.take();
                }
            }
            Some(Line { table: Some(_), .. }) => pending.push(text.unwrap_or_default().to_owned()),
            _ => {
                broken.get_or_insert(format!("line {number}"));
            }
        }
    }
    if loaded.bytes == 0 && !HEADER.as_bytes().starts_with(&line) {
        return Err(not_savings(path));
    }
    if loaded.damage.is_some() {
        sqlx::query(NEXT_ORDINAL).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(loaded)
}

/// The error for another program's file, which is not changed.
fn not_savings(path: &Path) -> StoreError {
    StoreError::Corrupt(format!(
        "{}: expected a file of savings, which begins with {}",
        path.display(),
        HEADER.trim()
    ))
}

async fn apply(conn: &mut SqliteConnection, line: &str, tables: &[Table]) -> Result<(), StoreError> {
    let unreadable = || StoreError::Corrupt(format!("{:?}", line.chars().take(80).collect::<String>()));
    let line: Line<'_> = serde_json::from_str(line).map_err(|_| unreadable())?;
    let table = tables.iter().find(|table| Some(table.name.as_str()) == line.table).ok_or_else(unreadable)?;
    let (statement, values) = match (line.row, line.gone) {
        (Some(row), None) => (&table.put, row),
        (None, Some(key)) => (&table.remove, key),
        _ => return Err(unreadable()),
    };
    // The tables have this program's schema, even if an older version wrote the file.
    if table.name == "meta" && values.get().contains("\"schema\"") {
        return Ok(());
    }
    let query = sqlx::query(AssertSqlSafe(statement.clone())).bind(values.get().to_owned());
    query.execute(conn).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use headroom_api::v1::RequestRecord;

    use super::*;
    use crate::clock::now_ms;
    use crate::ledger::contribution::Accounting;
    use crate::ledger::store::{Batch, LedgerStore};
    use crate::store::{Database, SqlLedger};
    use crate::trouble::Trouble;

    fn batch(sequence: u64) -> Batch {
        let records = vec![RequestRecord { sequence, ..RequestRecord::default() }];
        Batch { vm_id: "vm".to_owned(), records, ..Batch::default() }
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_not_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.jsonl");
        let store = SqlLedger::open(&Database::Lines(path.clone()), now_ms()).await.unwrap();
        let append =
            async |sequence| store.append(&[batch(sequence)], &Accounting::default(), now_ms()).await;
        append(1).await.unwrap();
        let before = fs::read(&path).unwrap();
        let file = Arc::clone(&store.lines().unwrap().file);
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let real = std::mem::replace(&mut lock_file(&file).file, full);
        for _ in 0..2 {
            let error = append(2).await.unwrap_err();
            assert_eq!(Trouble::of(&error), Trouble::Full, "{error}");
        }
        assert!(store.check().await.is_err(), "it says so");
        assert_eq!((store.recent(9).await.unwrap().len(), fs::read(&path).unwrap()), (1, before));
        lock_file(&file).file = real;
        assert_eq!(append(2).await.unwrap().landed.len(), 1);
        store.close().await;
        drop((store, file));
        let store = SqlLedger::open(&Database::Lines(path), now_ms()).await.unwrap();
        assert_eq!((store.recent(9).await.unwrap().len(), store.set_aside()), (2, None));
    }
}
