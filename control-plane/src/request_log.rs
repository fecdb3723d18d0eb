//! `--log-file`: each request as a line of JSON, under upstream's names.
//!
//! A separate task writes a line after its request was counted. A slow or full disk can lose lines, which are counted,
//! but it never affects a report or a request.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use headroom_api::names::outcome_name;
use headroom_api::v1::RequestOutcome;
use headroom_private::rotation::{self, DAY, MOST_BYTES};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::clock::iso;
use crate::ledger::contribution::CountedRequest;
use crate::ledger::sums::percent;
use crate::messages::Messages;
use crate::upstream::savings::transforms_applied;

/// Groups of lines that may wait for the disk.
const QUEUE: usize = 1024;
/// Bytes that may wait for the disk.
const MAX_WAITING: usize = 16 << 20;
/// Time between two log messages about the same disk.
const QUIET: Duration = Duration::from_secs(60);

/// The number of lost lines, because the queue was full or the disk failed.
#[derive(Debug, Default)]
pub(crate) struct LostLines(AtomicU64);

impl LostLines {
    pub(crate) fn lines(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, lines: u64) {
        self.0.fetch_add(lines, Ordering::Relaxed);
    }
}

/// A request, with the names of upstream's `RequestLog`; the fields after `turn_id` are Headroom's own.
#[derive(Serialize)]
struct Line<'a> {
    request_id: &'a str,
    timestamp: String,
    provider: &'a str,
    model: &'a str,
    input_tokens_original: i64,
    input_tokens_optimized: i64,
    output_tokens: i64,
    tokens_saved: i64,
    savings_percent: f64,
    optimization_latency_ms: f64,
    total_latency_ms: f64,
    tags: BTreeMap<&'static str, &'a str>,
    /// Whether a cache of answers gave the answer.
    cache_hit: bool,
    transforms_applied: Vec<String>,
    waste_signals: Option<()>,
    request_messages: Option<Vec<Value>>,
    response_content: Option<String>,
    error: Option<&'a str>,
    turn_id: Option<&'a str>,
    api: &'a str,
    outcome: &'static str,
    status: u32,
    conversation_id: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn new(CountedRequest { record, sums, .. }: &'a CountedRequest, messages: &Messages) -> Self {
        let timings = record.timings.unwrap_or_default();
        let ms = |us: u32| f64::from(us) / 1e3;
        let said = messages.of(&record.request_id);
        let tags = [
            ("stack", &record.stack),
            ("project", &record.project),
            ("tenant", &record.tenant),
            ("team", &record.team),
        ];
        let tags = tags.into_iter().filter_map(|(name, value)| Some((name, set(value)?))).collect();
        Self {
            request_id: &record.request_id,
            timestamp: iso(record.started_unix_ms),
            provider: &record.provider,
            model: &record.model,
            input_tokens_original: sums.tokens_before,
            input_tokens_optimized: sums.tokens_after,
            output_tokens: sums.output_tokens,
            tokens_saved: sums.tokens_saved,
            savings_percent: percent(sums.tokens_saved, sums.tokens_before),
            optimization_latency_ms: ms(timings.overhead_us),
            total_latency_ms: ms(timings.total_us),
            tags,
            cache_hit: record.outcome() == RequestOutcome::Cached,
            transforms_applied: transforms_applied(record),
            waste_signals: None,
            request_messages: said.request_messages,
            response_content: said.response_content,
            error: set(&record.error_class),
            turn_id: set(&record.turn_id),
            api: &record.api,
            outcome: outcome_name(record.outcome()),
            status: record.status,
            conversation_id: set(&record.conversation_id),
        }
    }
}

fn set(value: &str) -> Option<&str> {
    (!value.is_empty()).then_some(value)
}

/// Lines that wait for the disk.
struct Group {
    lines: u64,
    text: Vec<u8>,
}

/// Takes stored requests, and never waits.
pub(crate) struct RequestLog {
    queue: mpsc::Sender<Group>,
    waiting: Arc<AtomicUsize>,
    lost: Arc<LostLines>,
    messages: Arc<Messages>,
}

impl RequestLog {
    /// Opens the file. The caller must spawn the returned future, which ends after the log is dropped and everything
    /// is written.
    pub(crate) fn open(
        path: &Path,
        messages: Arc<Messages>,
        lost: Arc<LostLines>,
    ) -> io::Result<(Self, impl Future<Output = ()> + Send + 'static)> {
        let file = LogFile::open(path)?;
        let (queue, groups) = mpsc::channel(QUEUE);
        let waiting = Arc::new(AtomicUsize::new(0));
        let writer = write(file, groups, Arc::clone(&waiting), Arc::clone(&lost));
        Ok((Self { queue, waiting, lost, messages }, writer))
    }

    /// Passes their lines to the writer.
    pub(crate) fn log(&self, landed: &[CountedRequest]) {
        let mut group = Group { lines: 0, text: Vec::new() };
        for request in landed {
            let before = group.text.len();
            if serde_json::to_writer(&mut group.text, &Line::new(request, &self.messages)).is_err() {
                group.text.truncate(before);
                self.lost.add(1);
                continue;
            }
            group.text.push(b'\n');
            group.lines += 1;
        }
        let (lines, bytes) = (group.lines, group.text.len());
        let room = self.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes <= MAX_WAITING;
        if !room || self.queue.try_send(group).is_err() {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.lost.add(lines);
        }
    }
}

/// Writes groups until there are no more.
async fn write(
    file: LogFile,
    mut groups: mpsc::Receiver<Group>,
    waiting: Arc<AtomicUsize>,
    lost: Arc<LostLines>,
) {
    let written = tokio::task::spawn_blocking(move || {
        let mut file = file;
        let mut complained: Option<Instant> = None;
        while let Some(group) = groups.blocking_recv() {
            waiting.fetch_sub(group.text.len(), Ordering::Relaxed);
            let Err(error) = file.append(&group.text) else { continue };
            lost.add(group.lines);
            if complained.is_none_or(|at| at.elapsed() > QUIET) {
                complained = Some(Instant::now());
                let path = file.path.display().to_string();
                tracing::warn!(message = "Requests are missing in the log file.", path, lost = lost.lines(), %error);
            }
        }
    });
    if let Err(error) = written.await {
        tracing::error!(message = "The log file's writer ended badly.", %error);
    }
}

/// The file, which is rotated by size and by age.
struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    begun: Instant,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a file"));
        }
        if let Some(folder) =
            path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        {
            headroom_private::folder(folder)?;
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        headroom_private::file(path)?;
        let mut bytes = file.metadata()?.len();
        if bytes > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            // A cut line stays on its own line.
            if last != *b"\n" {
                file.write_all(b"\n")?;
                bytes += 1;
            }
        }
        Ok(Self { path: path.to_owned(), file, bytes, begun: Instant::now() })
    }

    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        // Another process may have emptied it.
        self.bytes = self.file.metadata()?.len();
        let full = self.bytes.saturating_add(text.len() as u64) > MOST_BYTES || self.begun.elapsed() >= DAY;
        if full && self.bytes > 0 {
            rotation::set_aside(&self.path)?;
            rotation::remove_old(&self.path);
        }
        // The path now leads to another file, or to none.
        if !self.is_there()? {
            *self = Self::open(&self.path)?;
        }
        self.file.write_all(text).inspect_err(|_| {
            // Removes a partial line if possible.
            self.file.set_len(self.bytes).ok();
        })
    }

    fn is_there(&self) -> io::Result<bool> {
        let open = self.file.metadata()?;
        Ok(fs::metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == (open.dev(), open.ino())))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use headroom_api::v1::{BlockRecord, LoggedMessages, RequestOutcome, RequestRecord, Timings, Tokens};

    use serde_json::json;

    use super::*;
    use crate::clock::now_ms;
    use crate::ledger::contribution::{Accounting, Contribution};

    fn landed(id: &str) -> CountedRequest {
        let mut record = RequestRecord {
            request_id: id.to_owned(),
            model: "gpt-5\n\"x\"".to_owned(),
            provider: "openai".to_owned(),
            stack: "ci".to_owned(),
            error_class: "overloaded_error".to_owned(),
            turn_id: "0123456789abcdef".to_owned(),
            tokens: Some(Tokens { before: 1_000, after: 400, ..Tokens::default() }),
            timings: Some(Timings { overhead_us: 2_500, total_us: 1_000_000, ..Timings::default() }),
            blocks: ["log", "skipped:no_gain", "log"]
                .map(|outcome| BlockRecord { outcome: outcome.to_owned(), ..BlockRecord::default() })
                .to_vec(),
            ..RequestRecord::default()
        };
        record.set_outcome(RequestOutcome::Compressed);
        let landed = Contribution::of([("vm", &record)], &Accounting::default(), now_ms()).requests;
        landed.into_iter().next().unwrap()
    }

    fn log(path: &Path, messages: Messages) -> (RequestLog, impl Future<Output = ()> + Send + 'static) {
        RequestLog::open(path, Arc::new(messages), Arc::default()).unwrap()
    }

    fn lines(path: &Path) -> Vec<Value> {
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or(Value::Null)).collect()
    }

    #[tokio::test]
    async fn a_line_has_upstreams_fields_and_says_nothing_of_messages_unless_they_are_logged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/requests.jsonl");
        for on in [false, true] {
            let messages = Messages::new(on);
            let said = LoggedMessages {
                request_id: "hr_1".to_owned(),
                request_messages: vec!["{\"role\":\"user\"}".to_owned()],
                response_content: "secret".to_owned(),
                ..LoggedMessages::default()
            };
            messages.keep(vec![said]);
            let (log, writer) = log(&path, messages);
            log.log(&[landed("hr_1")]);
            drop(log);
            writer.await;
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let [without, with] = &lines(&path)[..] else { panic!("two lines") };
        assert_eq!(
            (&without["request_messages"], &without["response_content"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(
            (&with["request_messages"][0]["role"], &with["response_content"]),
            (&json!("user"), &json!("secret"))
        );
        for (field, value) in [
            ("input_tokens_original", json!(1_000)),
            ("input_tokens_optimized", json!(400)),
            ("tokens_saved", json!(600)),
            ("savings_percent", json!(60.0)),
            ("optimization_latency_ms", json!(2.5)),
            ("transforms_applied", json!(["log"])),
            ("tags", json!({"stack": "ci"})),
            ("error", json!("overloaded_error")),
            ("model", json!("gpt-5_\"x\"")),
            ("cache_hit", json!(false)),
        ] {
            assert_eq!(without[field], value, "{field}");
        }
    }

    #[test]
    fn a_log_makes_room_and_goes_on_where_somebody_has_moved_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.jsonl");
        let mut file = LogFile::open(&path).unwrap();
        file.append(b"1\n").unwrap();
        file.file.set_len(MOST_BYTES).unwrap();
        file.append(b"2\n").unwrap();
        assert_eq!(fs::metadata(rotation::earlier(&path, 1)).unwrap().len(), MOST_BYTES);
        assert_eq!(fs::read_to_string(&path).unwrap(), "2\n");
        file.begun = Instant::now().checked_sub(DAY).unwrap();
        file.append(b"3\n").unwrap();
        assert_eq!(fs::read_to_string(rotation::earlier(&path, 1)).unwrap(), "2\n");
        fs::rename(&path, folder.path().join("moved")).unwrap();
        file.append(b"4\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "4\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_line_that_was_cut_off_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.jsonl");
        fs::write(&path, "{\"whole\":1}\n{\"cut").unwrap();
        LogFile::open(&path).unwrap().append(b"{\"next\":1}\n").unwrap();
        assert_eq!(lines(&path), [json!({"whole": 1}), Value::Null, json!({"next": 1})]);
    }

    #[tokio::test]
    async fn a_full_disk_costs_lines_which_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.jsonl");
        let lost = Arc::new(LostLines::default());
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut file = LogFile::open(&path).unwrap();
        // the file at that path is the open one
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        file.file = full;
        let (queue, groups) = mpsc::channel(2);
        queue.send(Group { lines: 3, text: b"x\n".to_vec() }).await.unwrap();
        drop(queue);
        write(file, groups, Arc::new(AtomicUsize::new(2)), Arc::clone(&lost)).await;
        assert_eq!(lost.lines(), 3);
    }

    #[tokio::test]
    async fn a_disk_that_does_not_keep_up_costs_lines_and_no_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.jsonl");
        let (log, writer) = log(&path, Messages::new(false));
        // nothing is written until the writer runs
        for _ in 0..QUEUE + 5 {
            log.log(&[landed("hr_1")]);
        }
        assert_eq!(log.lost.lines(), 5);
        drop(log);
        writer.await;
        assert_eq!(lines(&path).len(), QUEUE);
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(LogFile::open(folder.path()).is_err());
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(LogFile::open(&socket).is_err());
        assert!(LogFile::open(&socket.join("x")).is_err());
    }
}
