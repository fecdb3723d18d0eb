//! OpenCode: a SQLite database, and before that a folder of JSON files, one for each message and each part.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Row as _};
use tokio_stream::StreamExt as _;

use super::{Home, Plugin, Read, Target, Targets, finish, has_extension, text};
use crate::lines::{LIMIT, LineCounts};
use crate::model::Unit;
use crate::project::Roots;
use crate::recorder::Recorder;
use crate::value::Verdict;

/// Calls with their conversation, in order. A conversation without its row is of an older version.
const PARTS: &str = "
    SELECT part.session_id, part.data, coalesce(message.data, '{}'), coalesce(session.directory, '')
    FROM part LEFT JOIN message ON message.id = part.message_id LEFT JOIN session ON session.id = part.session_id
    WHERE length(part.data) <= ? AND length(coalesce(message.data, '')) <= ?
    ORDER BY part.session_id, part.time_created, part.id";
/// The same without a table of conversations.
const PARTS_ALONE: &str = "
    SELECT part.session_id, part.data, coalesce(message.data, '{}'), ''
    FROM part LEFT JOIN message ON message.id = part.message_id
    WHERE length(part.data) <= ? AND length(coalesce(message.data, '')) <= ?
    ORDER BY part.session_id, part.time_created, part.id";

#[derive(Debug)]
pub(super) struct OpenCode;

impl Plugin for OpenCode {
    fn name(&self) -> &str {
        "opencode"
    }

    fn title(&self) -> &str {
        "OpenCode"
    }

    fn logs(&self, home: &Home) -> Vec<PathBuf> {
        let folder = home.folder("XDG_DATA_HOME", ".local/share").join("opencode");
        let mut logs: Vec<PathBuf> =
            Some(folder.join("opencode.db")).into_iter().filter(|path| path.is_file()).collect();
        let sessions = fs::read_dir(folder.join("storage/message")).into_iter().flatten().flatten();
        let mut older: Vec<PathBuf> = sessions.filter_map(|session| first_message(&session.path())).collect();
        older.sort();
        logs.extend(older);
        logs
    }

    /// In the folder of JSON files, the first message of a conversation represents all of it.
    fn recognizes(&self, path: &Path, beginning: &str) -> bool {
        if beginning.starts_with("SQLite format 3") {
            return path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("opencode"));
        }
        let is_message = path.ancestors().nth(2).is_some_and(|folder| folder.ends_with("storage/message"));
        is_message && path.parent().and_then(first_message).as_deref() == Some(path)
    }

    fn read(&self, log: &Path, roots: &Roots) -> io::Result<Read> {
        if has_extension(log, "json") {
            return Ok(read_folder(self.name(), log, roots));
        }
        let mut recorder = Recorder::new(self.name(), log, Unit::Row, roots);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let outcome = runtime.block_on(read_database(log, &mut recorder)).map_err(io::Error::other);
        Ok(finish(recorder, outcome))
    }

    fn targets(&self, project: &Path, _: &Home) -> Targets {
        // a new AGENTS.md would hide the CLAUDE.md that the agent falls back to
        let own = project.join("AGENTS.md");
        let fallback = project.join("CLAUDE.md");
        let context = if !own.exists() && fallback.exists() { fallback } else { own };
        Targets { context: Target::whole(context), memory: None }
    }
}

/// Opens the database without changing it. With a write-ahead log it is opened in parallel to its writer,
/// else as an immutable file, so that nothing is created next to it.
async fn open(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let has_wal = fs::metadata(wal).is_ok_and(|about| about.len() > 0);
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(!has_wal)
        .busy_timeout(Duration::from_secs(5));
    options.connect().await
}

async fn read_database(path: &Path, recorder: &mut Recorder<'_>) -> Result<LineCounts, sqlx::Error> {
    let mut database = open(path).await?;
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'session'")
            .fetch_one(&mut database)
            .await?;
    let query = if tables > 0 { PARTS } else { PARTS_ALONE };
    let limit = i64::try_from(LIMIT).unwrap_or(i64::MAX);
    let mut rows = sqlx::query(query).bind(limit).bind(limit).fetch(&mut database);
    let mut passed = LineCounts::default();
    while let Some(row) = rows.next().await {
        let row = row?;
        passed.read += 1;
        let column = |index: usize| row.try_get::<String, _>(index);
        let (Ok(part), Ok(message)) =
            (serde_json::from_str::<Value>(&column(1)?), serde_json::from_str::<Value>(&column(2)?))
        else {
            passed.foreign += 1;
            continue;
        };
        recorder.begin(&column(0)?);
        recorder.cwd(&column(3)?);
        read_part(recorder, passed.read, &message, &part);
    }
    Ok(passed)
}

fn read_part(recorder: &mut Recorder<'_>, number: u64, message: &Value, part: &Value) {
    recorder.cwd(text(message, "/path/cwd"));
    recorder.root(text(message, "/path/root"));
    recorder.time(message.pointer("/time/created"));
    match text(part, "/type") {
        "text" if text(message, "/role") == "user" => recorder.said(text(part, "/text")),
        "tool" => {
            let state = part.get("state").unwrap_or(&Value::Null);
            let id = text(part, "/callID");
            recorder.call(id, text(part, "/tool"), state.get("input").unwrap_or(&Value::Null), number);
            let status = text(state, "/status");
            if matches!(status, "completed" | "error") {
                let output = if status == "error" { text(state, "/error") } else { text(state, "/output") };
                let exit_code = state.pointer("/metadata/exit").and_then(Value::as_i64);
                let verdict = Verdict { failed: Some(status == "error"), exit_code, refused: false };
                recorder.result(id, verdict, output, number);
            }
        }
        _ => {}
    }
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| has_extension(path, "json"))
        .collect();
    files.sort();
    files
}

fn first_message(session: &Path) -> Option<PathBuf> {
    sorted(session).into_iter().next()
}

fn document(path: &Path) -> Option<Value> {
    let file = File::open(path).ok()?;
    serde_json::from_reader(BufReader::new(file.take(LIMIT as u64))).ok()
}

/// Reads the conversation of a message file. A file that cannot be read is counted.
fn read_folder(agent: &str, first: &Path, roots: &Roots) -> Read {
    let mut recorder = Recorder::new(agent, first, Unit::Line, roots);
    let mut passed = LineCounts::default();
    let Some(folder) = first.parent() else { return Read::default() };
    let Some(storage) = folder.ancestors().nth(2) else { return Read::default() };
    let id = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    recorder.begin(&id);
    for project in fs::read_dir(storage.join("session")).into_iter().flatten().flatten() {
        if let Some(session) = document(&project.path().join(format!("{id}.json"))) {
            recorder.cwd(text(&session, "/directory"));
        }
    }
    let mut messages: Vec<(i64, Value)> = Vec::new();
    for path in sorted(folder) {
        passed.read += 1;
        match document(&path) {
            Some(message) => {
                let time = message.pointer("/time/created").and_then(Value::as_i64).unwrap_or(0);
                messages.push((time, message));
            }
            None => passed.foreign += 1,
        }
    }
    messages.sort_by_key(|(time, _)| *time);
    for (_, message) in messages {
        let parts =
            storage.join("part").join(Path::new(text(&message, "/id")).file_name().unwrap_or_default());
        for path in sorted(&parts) {
            passed.read += 1;
            match document(&path) {
                Some(part) => {
                    recorder.file(&path);
                    read_part(&mut recorder, 1, &message, &part);
                }
                None => passed.foreign += 1,
            }
        }
    }
    finish(recorder, Ok(passed))
}
