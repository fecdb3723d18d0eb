//! Answers callers: within a deadline, with at most one call per core at work, and with the caller's own messages
//! if compression is not possible.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use headroom_api::llmlingua::Rates;
use headroom_api::names::COMPRESS_API;
use headroom_api::v1::{AdmitRequest, BlockRecord, Original, RequestOutcome, RequestRecord, Timings, Tokens};
use headroom_compress::{Config, FORMS_VERSION, Memo};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

use super::answer::{Answer, ScorerAnswer, SkipReason, TextModelAnswer};
use super::focus::{FindEmbedder, Focuses};
use super::request::{CompressRequest, Mode};
use super::row::{CompressedRow, Conversation, Engine, Question, TEXT_MODEL};
use super::sessions::Sessions;
use crate::clock::now_ms;
use crate::ledger::store::Batch;
use crate::ledger::writer::Ledger;
use crate::originals::MAX_ORIGINALS;
use crate::originals::keeper::Originals;
use crate::originals::writer::AdmitError;
use crate::relevance::Scorer;
use crate::text_model::{Shorten, TextModel};

/// Calls that may wait for a core. More are answered with their own messages at once.
const MAX_WAITING: usize = 256;
/// Memory for remembered blocks per core. Bytes.
const MEMO_BYTES: usize = 32 << 20;
/// Maximum number of blocks of a record, as in the filter.
const MAX_BLOCKS: usize = 256;
/// Maximum number of hashes in rows that are looked up because this call did not create them.
const MAX_LOOKED_UP: usize = 64;
/// The text in a marker before the hash.
const MARKER: &str = "headroom_retrieve hash=";
/// Digits of a hash.
const HASH: usize = 24;

/// The caller.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    pub(crate) tenant: String,
    pub(crate) stack: String,
    pub(crate) project: String,
    /// Whether the messages are returned unchanged.
    pub(crate) bypass: bool,
}

/// Compresses for others.
pub(crate) struct Service {
    deadline: Duration,
    cores: Arc<Semaphore>,
    waiting: Semaphore,
    memos: Arc<Mutex<Vec<Memo>>>,
    sessions: Arc<Sessions>,
    originals: Originals,
    ledger: Ledger,
    text_model: Arc<TextModel>,
    focuses: Focuses,
    vm_id: String,
    sequence: AtomicU64,
    dropped: Arc<AtomicU64>,
}

/// Somebody who waits for a job. Once this is dropped, after the deadline or because the caller has left, the job ends.
#[derive(Default)]
struct Waits {
    late: Arc<AtomicBool>,
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.late.store(true, Ordering::Relaxed);
    }
}

impl Service {
    /// A service whose answers take no longer than `deadline`.
    pub(crate) fn new(
        deadline: Duration,
        originals: Originals,
        ledger: Ledger,
        text_model: Arc<TextModel>,
        embedder: FindEmbedder,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            deadline,
            cores: Arc::new(Semaphore::new(cores)),
            waiting: Semaphore::new(MAX_WAITING),
            memos: Arc::default(),
            sessions: Arc::default(),
            originals,
            ledger,
            text_model,
            focuses: Focuses::new(embedder),
            vm_id: format!("compress-{}", random_hex()),
            sequence: AtomicU64::new(0),
            dropped: Arc::default(),
        }
    }

    /// The known sessions.
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Answers a call. The call's record is stored later; the answer does not wait for that.
    pub(crate) async fn answer(&self, asked: CompressRequest, caller: &Caller) -> Result<String, JoinError> {
        let (started, started_unix_ms) = (Instant::now(), now_ms());
        let asked = Arc::new(asked);
        let (shortener, error) = match self.shortener(&asked, caller, started).await {
            None => (None, None),
            Some(Ok(shortener)) => (Some(shortener), None),
            Some(Err(error)) => (None, Some(error)),
        };
        let (mut rows, mut skipped) = match self.compressed(&asked, caller, shortener, started).await {
            Ok(rows) => (rows, None),
            Err(skipped) => (vec![CompressedRow::default(); asked.rows().len()], Some(skipped)),
        };
        let scored = match asked.scorer.filter(|_| asked.is_lossy() && skipped.is_none()) {
            Some(scorer) => Some(self.focus(&asked, caller, scorer, &mut rows, started).await),
            None => None,
        };
        let compress_us = micros(started);
        if asked.mode == Mode::Ccr && skipped.is_none() {
            let kept = tokio::time::timeout(self.left(started), self.keep(caller, &mut rows)).await;
            skipped = match kept {
                Ok(Ok(())) => None,
                Ok(Err(_)) => Some(SkipReason::NotKept),
                Err(_) => Some(SkipReason::Timeout),
            };
            if skipped.is_some() {
                rows.fill(CompressedRow::default());
            }
        }
        let settled = {
            let (sessions, asked, caller) = (Arc::clone(&self.sessions), Arc::clone(&asked), caller.clone());
            spawn_blocking(move || settle(&sessions, &asked, &caller, rows)).await?
        };
        let hashes = self.hashes(&caller.tenant, &settled).await;
        let text_model = asked.text_model.map(|_| {
            let blocks = settled.rows.iter().flat_map(|row| &row.blocks);
            TextModelAnswer {
                shortened: blocks.filter(|told| told.record.outcome == TEXT_MODEL).count(),
                error,
            }
        });
        let caller = caller.clone();
        let (body, mut record) = spawn_blocking(move || {
            let SettledRows { rows, replayed, .. } = &settled;
            let replayed = *replayed;
            let answer = Answer { asked: &asked, rows, hashes, replayed, skipped, text_model, scored };
            let mut record = record(&asked, &caller, rows, replayed, skipped);
            record.body_bytes_before = asked.len() as u64;
            (answer.json(), record)
        })
        .await?;
        let timings = Timings { compress_us, overhead_us: micros(started), ..Timings::default() };
        record.started_unix_ms = started_unix_ms;
        record.timings = Some(timings);
        record.body_bytes_after = body.len() as u64;
        self.count(record);
        Ok(body)
    }

    fn left(&self, started: Instant) -> Duration {
        self.deadline.saturating_sub(started.elapsed())
    }

    /// The text model, where the caller wants it. It has four fifths of the time: what it cannot do by then stays plain.
    async fn shortener(
        &self,
        asked: &CompressRequest,
        caller: &Caller,
        started: Instant,
    ) -> Option<Result<(Box<dyn Shorten>, Rates), String>> {
        let rates = asked.text_model.filter(|_| !caller.bypass)?;
        let rates = rates.unwrap_or_else(|| self.text_model.rates());
        let shortener = self.text_model.shortener(started + self.deadline / 5 * 4).await;
        Some(shortener.map(|shortener| (Box::new(shortener) as Box<dyn Shorten>, rates)))
    }

    /// What becomes of each row.
    async fn compressed(
        &self,
        asked: &Arc<CompressRequest>,
        caller: &Caller,
        shortener: Option<(Box<dyn Shorten>, Rates)>,
        started: Instant,
    ) -> Result<Vec<CompressedRow>, SkipReason> {
        if caller.bypass {
            return Err(SkipReason::Bypass);
        }
        let asked = Arc::clone(asked);
        self.on_a_core(started, move |memo, late| {
            let shortener = shortener.as_ref().map(|(shortener, rates)| (&**shortener, *rates));
            compress(&asked, memo, shortener, late)
        })
        .await
    }

    /// Compresses those rows again of which something is left out, now that it is known what their reader looks for.
    async fn focus(
        &self,
        asked: &Arc<CompressRequest>,
        caller: &Caller,
        scorer: Scorer,
        rows: &mut [CompressedRow],
        started: Instant,
    ) -> ScorerAnswer {
        let answered = asked.session.as_deref().and_then(|id| self.sessions.rows(&caller.tenant, id));
        // what a session has been answered stays
        let new = rows.iter_mut().enumerate().skip(answered.unwrap_or(0));
        let questions: Vec<(usize, Question)> =
            new.filter_map(|(row, compressed)| Some((row, compressed.question.take()?))).collect();
        let found = self.focuses.find(scorer, &questions, self.left(started) / 2).await;
        let (focuses, mut answer) = (found.by_row, found.answer);
        if focuses.is_empty() {
            return answer;
        }
        let asked = Arc::clone(asked);
        let again = self.on_a_core(started, move |memo, late| refocus(&asked, memo, &focuses, late)).await;
        match again {
            Ok(again) => again.into_iter().for_each(|(row, compressed)| {
                if let Some(place) = rows.get_mut(row) {
                    *place = compressed;
                }
            }),
            Err(skipped) => {
                let why = skipped.reason().unwrap_or_default();
                answer.scorer_note = Some(format!("{}: it had no effect ({why})", answer.scorer));
            }
        }
        answer
    }

    /// Does something with a memo when a core is free.
    async fn on_a_core<T: Send + 'static>(
        &self,
        started: Instant,
        job: impl FnOnce(&mut Memo, &AtomicBool) -> T + Send + 'static,
    ) -> Result<T, SkipReason> {
        let core = {
            let _waits = self.waiting.try_acquire().map_err(|_| SkipReason::Busy)?;
            let core = Arc::clone(&self.cores).acquire_owned();
            let core =
                tokio::time::timeout(self.left(started), core).await.map_err(|_| SkipReason::Timeout)?;
            core.map_err(|_| SkipReason::Internal)?
        };
        let waits = Waits::default();
        let work = {
            let (memos, late) = (Arc::clone(&self.memos), Arc::clone(&waits.late));
            spawn_blocking(move || {
                let mut memo = lock(&memos).pop().unwrap_or_else(new_memo);
                let done = job(&mut memo, &late);
                lock(&memos).push(memo);
                // The worker returns the permit, even if the caller has stopped waiting.
                drop(core);
                done
            })
        };
        match tokio::time::timeout(self.left(started), work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                tracing::error!(message = "Messages could not be compressed: they went back as they came.", %error);
                Err(SkipReason::Internal)
            }
            Err(_) => Err(SkipReason::Timeout),
        }
    }

    /// Stores what was left out, before the answer mentions it.
    async fn keep(&self, caller: &Caller, rows: &mut [CompressedRow]) -> Result<(), AdmitError> {
        let mut seen = HashSet::new();
        let mut originals: Vec<Original> =
            rows.iter_mut().flat_map(|row| std::mem::take(&mut row.originals)).collect();
        originals.retain(|original| seen.insert(original.hash.clone()));
        while !originals.is_empty() {
            let rest = originals.split_off(originals.len().min(MAX_ORIGINALS));
            let sent = originals.len();
            let request =
                AdmitRequest { tenant: caller.tenant.clone(), originals, ..AdmitRequest::default() };
            if self.originals.admit(request).await?.stored.len() < sent {
                return Err(AdmitError::Store);
            }
            originals = rest;
        }
        Ok(())
    }

    /// The retrievable hashes in the answer's messages: those of this call, and old ones.
    async fn hashes(&self, tenant: &str, settled: &SettledRows) -> Vec<String> {
        let mut hashes: Vec<String> = settled.own.iter().cloned().collect();
        for hash in &settled.named {
            if self.originals.holds(tenant, hash).await {
                hashes.push(hash.clone());
            }
        }
        hashes
    }

    /// Sends a record to the ledger.
    fn count(&self, mut record: RequestRecord) {
        record.sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let batch = Batch {
            vm_id: self.vm_id.clone(),
            filter_version: env!("CARGO_PKG_VERSION").to_owned(),
            records: vec![record],
            dropped_records: self.dropped.load(Ordering::Relaxed),
            ..Batch::default()
        };
        let (ledger, dropped) = (self.ledger.clone(), Arc::clone(&self.dropped));
        tokio::spawn(async move {
            if let Err(error) = ledger.report(batch).await {
                dropped.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(message = "A call of /v1/compress was not counted.", %error);
            }
        });
    }
}

/// What is answered, and the hashes that it names.
struct SettledRows {
    rows: Vec<CompressedRow>,
    /// The number of rows with an earlier answer in the session.
    replayed: usize,
    /// The hashes of this call.
    own: BTreeSet<String>,
    /// Others, of which it is to be seen whether they can be had.
    named: Vec<String>,
}

/// Gives the rows what their session has been answered, and finds the hashes in them.
fn settle(
    sessions: &Sessions,
    asked: &CompressRequest,
    caller: &Caller,
    mut rows: Vec<CompressedRow>,
) -> SettledRows {
    let replayed = match &asked.session {
        Some(id) if asked.mode != Mode::Simulate && !caller.bypass => {
            sessions.settle(&caller.tenant, id, asked.rows().zip(&mut rows))
        }
        _ => 0,
    };
    if caller.bypass || asked.mode == Mode::Simulate {
        return SettledRows { rows, replayed, own: BTreeSet::new(), named: Vec::new() };
    }
    let own: BTreeSet<String> = rows.iter().flat_map(|row| &row.hashes).cloned().collect();
    let texts = asked.rows().zip(&rows).map(|(row, answer)| answer.text.as_deref().unwrap_or(row));
    let named: BTreeSet<&str> = texts.flat_map(named).filter(|hash| !own.contains(*hash)).collect();
    let named = named.into_iter().take(MAX_LOOKED_UP).map(str::to_owned).collect();
    SettledRows { rows, replayed, own, named }
}

/// The rows through the engine, until it is too late.
fn compress(
    asked: &CompressRequest,
    memo: &mut Memo,
    text_model: Option<(&dyn Shorten, Rates)>,
    late: &AtomicBool,
) -> Vec<CompressedRow> {
    let config = config(asked);
    let mut engine = Engine { text_model, ask: asked.scorer.is_some(), ..Engine::new(asked, &config, memo) };
    let mut conversation = Conversation::default();
    let rows = asked.rows().enumerate().take_while(|_| !late.load(Ordering::Relaxed));
    rows.map(|(place, row)| engine.compress(row, &mut conversation, place < asked.frozen, "")).collect()
}

/// The rows through the engine that have a focus, with their places.
fn refocus(
    asked: &CompressRequest,
    memo: &mut Memo,
    focuses: &HashMap<usize, String>,
    late: &AtomicBool,
) -> Vec<(usize, CompressedRow)> {
    let config = config(asked);
    let mut engine = Engine::new(asked, &config, memo);
    let mut conversation = Conversation::default();
    let mut again = Vec::new();
    for (place, row) in asked.rows().enumerate().take_while(|_| !late.load(Ordering::Relaxed)) {
        match focuses.get(&place) {
            Some(focus) => again.push((place, engine.compress(row, &mut conversation, false, focus))),
            None => {
                conversation.read(row, asked.input);
            }
        }
    }
    again
}

fn config(asked: &CompressRequest) -> Config {
    Config { profile: asked.profile, max_items: asked.max_items, ..Config::default() }
}

/// The hashes in the markers of a row.
fn named(row: &str) -> impl Iterator<Item = &str> {
    row.split(MARKER).skip(1).filter_map(|rest| {
        let hash = rest.get(..HASH)?;
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        hash.bytes().all(digit).then_some(hash)
    })
}

/// The record of a call. No provider was called, so it has no cost.
fn record(
    asked: &CompressRequest,
    caller: &Caller,
    rows: &[CompressedRow],
    replayed: usize,
    skipped: Option<SkipReason>,
) -> RequestRecord {
    let sum = |count: fn(&CompressedRow) -> u64| rows.iter().map(count).sum::<u64>();
    // The rows after the model's last message; unknown for parts of a conversation.
    let behind_the_model = || rows.iter().rposition(|row| row.by_model).map_or(rows.len(), |last| last + 1);
    let first_new = if asked.session.is_some() { replayed } else { behind_the_model() };
    let (new_before, new_after) = rows
        .iter()
        .skip(first_new)
        .fold((0, 0), |(before, after), row| (before + row.tool_before, after + row.tool_after));
    let compressed = rows.iter().any(|row| row.text.is_some());
    let outcome = match skipped {
        Some(SkipReason::Bypass) => RequestOutcome::Bypassed,
        None if asked.mode == Mode::Simulate => RequestOutcome::Simulated,
        None if compressed => RequestOutcome::Compressed,
        _ => RequestOutcome::Unchanged,
    };
    let blocks = rows.iter().enumerate().flat_map(|(place, row)| {
        row.blocks.iter().map(move |told| BlockRecord { new: place >= first_new, ..told.record.clone() })
    });
    let left_out = blocks.clone().count().saturating_sub(MAX_BLOCKS);
    let counted = rows.first();
    let mut record = RequestRecord {
        request_id: format!("hr_{}", random_hex()),
        api: COMPRESS_API.to_owned(),
        model: asked.model.clone(),
        stack: caller.stack.clone(),
        tenant: caller.tenant.clone(),
        project: caller.project.clone(),
        conversation_id: asked.session.as_deref().map(conversation).unwrap_or_default(),
        tokens: Some(Tokens {
            encoding: counted.map(|row| row.encoding.to_owned()).unwrap_or_default(),
            estimate: counted.is_some_and(|row| row.estimate),
            before: sum(|row| row.before),
            after: sum(|row| row.after),
            tool_outputs_before: sum(|row| row.tool_before),
            tool_outputs_after: sum(|row| row.tool_after),
            tool_outputs_new_before: new_before,
            tool_outputs_new_after: new_after,
            ..Tokens::default()
        }),
        blocks: blocks.take(MAX_BLOCKS).collect(),
        blocks_left_out: u32::try_from(left_out).unwrap_or(u32::MAX),
        error_class: skipped.and_then(SkipReason::reason).unwrap_or_default().to_owned(),
        forms_version: FORMS_VERSION,
        ..RequestRecord::default()
    };
    record.set_outcome(outcome);
    record
}

/// A session's name in records.
fn conversation(session: &str) -> String {
    blake3::hash(session.as_bytes()).to_hex()[..16].to_owned()
}

/// A memo whose keys no caller can compute: it serves all tenants.
fn new_memo() -> Memo {
    Memo::new(MEMO_BYTES).seeded(random())
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    if getrandom::fill(&mut bytes).is_err() {
        bytes = now_ms().to_le_bytes();
    }
    u64::from_le_bytes(bytes)
}

fn random_hex() -> String {
    format!("{:016x}", random())
}

fn micros(started: Instant) -> u32 {
    u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX)
}

fn lock(memos: &Mutex<Vec<Memo>>) -> std::sync::MutexGuard<'_, Vec<Memo>> {
    memos.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::ledger::store::LedgerStore;
    use crate::originals::store::RetentionLimits;
    use crate::store::Database;
    use crate::store::SqlLedger;
    use crate::store::SqlOriginals;

    async fn service(dir: &tempfile::TempDir, deadline: Duration) -> Service {
        let keep = RetentionLimits { ttl_ms: 1_000_000, max_bytes: 1 << 20 };
        let store = SqlOriginals::open(&Database::File(dir.path().join("originals")), 0).await.unwrap();
        let (originals, writer) = Originals::new(Arc::new(store), keep, Arc::new(now_ms));
        tokio::spawn(writer);
        let store = SqlLedger::open(&Database::File(dir.path().join("db")), now_ms()).await.unwrap();
        let store: Arc<dyn LedgerStore> = Arc::new(store);
        let (ledger, writer) = Ledger::new(store, Arc::default(), |_| {});
        tokio::spawn(writer);
        let text_model = crate::text_model::TextModelSettings {
            enabled: false,
            model: None,
            folder: dir.path().join("llmlingua"),
            cache: dir.path().join("models"),
            rates: Rates::default(),
            idle: Duration::from_secs(1),
        };
        Service::new(deadline, originals, ledger, TextModel::new(&text_model), Arc::new(|| None))
    }

    fn asked(session: &str, text: &str) -> CompressRequest {
        let config = json!({"session_id": session, "mode": "ccr"});
        let rows = json!([{"role": "tool", "tool_call_id": "c", "content": text}]);
        CompressRequest::read(
            json!({"model": "m", "messages": rows, "config": config}).to_string().as_bytes(),
        )
        .unwrap()
    }

    fn text() -> String {
        (0..2_000)
            .map(|n| format!("2026-01-01T00:00:{:02}Z INFO worker {n} finished job {}\n", n % 60, n * 31))
            .collect()
    }

    async fn answer(service: &Service, session: &str) -> Value {
        let answer = service.answer(asked(session, &text()), &Caller::default()).await.unwrap();
        serde_json::from_str(&answer).unwrap()
    }

    #[tokio::test]
    async fn what_is_late_goes_back_as_it_came_and_stays_so_for_its_session() {
        let dir = tempfile::tempdir().unwrap();
        let mut service = service(&dir, Duration::ZERO).await;
        let late = answer(&service, "s").await;
        assert_eq!(
            (&late["skip_reason"], &late["compression_skipped"]),
            (&json!("compression_timeout"), &json!(true))
        );
        assert_eq!((&late["messages"][0]["content"], &late["tokens_before"]), (&json!(text()), &json!(0)));
        service.deadline = Duration::from_secs(60);
        assert_eq!(
            answer(&service, "s").await["messages"],
            late["messages"],
            "what was sent on is not changed"
        );
        assert_ne!(answer(&service, "t").await["messages"], late["messages"]);
    }

    #[tokio::test]
    async fn what_finds_no_place_in_the_queue_is_answered_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let service = service(&dir, Duration::from_secs(60)).await;
        let places = service.waiting.acquire_many(MAX_WAITING as u32).await.unwrap();
        let busy = answer(&service, "s").await;
        assert_eq!((&busy["skip_reason"], &busy["messages"][0]["content"]), (&json!("busy"), &json!(text())));
        drop(places);
        assert!(answer(&service, "t").await["skip_reason"].is_null());
    }

    #[test]
    fn no_two_memos_have_the_same_keys() {
        assert_ne!(format!("{:?}", new_memo()), format!("{:?}", new_memo()));
    }

    #[test]
    fn only_what_begins_as_a_marker_does_names_a_hash() {
        let hash = "0123456789abcdef01234567";
        let text = format!("{MARKER}{hash}] {MARKER}0123 {MARKER}{} {MARKER}", "G".repeat(24));
        assert_eq!(named(&text).collect::<Vec<_>>(), [hash]);
        assert_eq!(named(&format!("{MARKER}{}", "é".repeat(20))).count(), 0);
    }
}
