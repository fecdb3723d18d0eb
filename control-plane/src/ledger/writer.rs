//! The one task that writes: reports wait in a bounded queue and are committed in groups.
//!
//! A report that finds the queue full is turned away, not dropped: its VM keeps the records and
//! comes again. Nothing is acknowledged before its group is durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use headroom_api::v1::Retrieval;
use tokio::sync::{mpsc, oneshot};

use super::contribution::{Accounting, CountedRequest};
use crate::clock::now_ms;
use crate::ledger::store::{AppendOutcome, Batch, LedgerStore};
use crate::trouble::StoreError;

/// Reports that may wait: a minute's worth of sixteen proxies that flush four times a second.
const QUEUE: usize = 4096;
/// Records in one transaction at most; a group is closed by the report that reaches it.
const MAX_GROUP_RECORDS: usize = 2_000;

/// Why a report was not counted. The VM may send it again.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReportError {
    /// More reports wait than the queue holds.
    #[error("the ledger's queue is full: report again later")]
    Busy,
    /// The store did not take it.
    #[error("the store did not take the report: report again later")]
    Store,
    /// The sidecar is stopping.
    #[error("the sidecar is stopping: report again later")]
    Stopping,
}

/// What the writer has met since the process started.
#[derive(Debug, Default)]
pub struct WriterCounts {
    turned_away: AtomicU64,
    duplicates: AtomicU64,
    failures: AtomicU64,
    unwritten: AtomicU64,
}

impl WriterCounts {
    /// Records that were taken in and are neither durable nor refused yet.
    pub fn unwritten(&self) -> u64 {
        self.unwritten.load(Ordering::SeqCst)
    }

    /// Reports turned away because the queue was full.
    pub fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }

    /// Records that had been counted before.
    pub fn duplicates(&self) -> u64 {
        self.duplicates.load(Ordering::Relaxed)
    }

    /// Groups of reports that the store did not take.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

struct Job {
    batch: Batch,
    answer: oneshot::Sender<Result<u64, ReportError>>,
}

type OnLanded = Box<dyn Fn(&[CountedRequest]) + Send + Sync>;

/// Hands reports to the writer.
#[derive(Clone, Debug)]
pub struct Ledger {
    queue: mpsc::Sender<Job>,
    counts: Arc<WriterCounts>,
}

impl Ledger {
    /// The ledger and its writer, which is to be spawned. It ends, with everything that was queued
    /// written, once every clone of the ledger is gone. `landed` is notified of each group after it is durable.
    pub fn new(
        store: Arc<dyn LedgerStore>,
        accounting: Arc<Accounting>,
        landed: impl Fn(&[CountedRequest]) + Send + Sync + 'static,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let counts = Arc::new(WriterCounts::default());
        let writer = Writer { store, accounting, counts: Arc::clone(&counts), landed: Box::new(landed) };
        (Self { queue, counts }, writer.run(jobs))
    }

    /// Counts a batch, and gives the highest durable sequence of its VM.
    pub async fn report(&self, batch: Batch) -> Result<u64, ReportError> {
        let (answer, answered) = oneshot::channel();
        let records = batch.records.len() as u64;
        self.counts.unwritten.fetch_add(records, Ordering::SeqCst);
        self.queue.try_send(Job { batch, answer }).map_err(|error| {
            self.counts.unwritten.fetch_sub(records, Ordering::SeqCst);
            match error {
                mpsc::error::TrySendError::Full(_) => {
                    self.counts.turned_away.fetch_add(1, Ordering::Relaxed);
                    ReportError::Busy
                }
                mpsc::error::TrySendError::Closed(_) => ReportError::Stopping,
            }
        })?;
        answered.await.unwrap_or(Err(ReportError::Stopping))
    }

    /// Counts what headroomd was asked for outside of any request. Nobody waits for it, so what finds the queue full is
    /// not counted.
    pub fn count_retrieval(&self, retrieval: Retrieval) {
        let (answer, _) = oneshot::channel();
        let batch = Batch { retrievals: vec![retrieval], ..Batch::default() };
        if self.queue.try_send(Job { batch, answer }).is_err() {
            self.counts.turned_away.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What the writer has met so far.
    pub fn counts(&self) -> &Arc<WriterCounts> {
        &self.counts
    }

    /// Reports that wait.
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }
}

struct Writer {
    store: Arc<dyn LedgerStore>,
    accounting: Arc<Accounting>,
    counts: Arc<WriterCounts>,
    landed: OnLanded,
}

impl Writer {
    async fn run(self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.recv().await {
            let mut records = first.batch.records.len();
            let (mut batches, mut answers) = (vec![first.batch], vec![first.answer]);
            while records < MAX_GROUP_RECORDS
                && let Ok(job) = jobs.try_recv()
            {
                records += job.batch.records.len();
                batches.push(job.batch);
                answers.push(job.answer);
            }
            let appended = self.append(&batches).await;
            let done: usize = batches.iter().map(|batch| batch.records.len()).sum();
            self.counts.unwritten.fetch_sub(done as u64, Ordering::SeqCst);
            for (index, answer) in answers.into_iter().enumerate() {
                let result = match &appended {
                    Ok(appended) => appended.acknowledged.get(index).copied().ok_or(ReportError::Store),
                    Err(_) => Err(ReportError::Store),
                };
                // the caller may have left; what is durable stays counted
                answer.send(result).ok();
            }
        }
    }

    async fn append(&self, batches: &[Batch]) -> Result<AppendOutcome, StoreError> {
        let appended = self.store.append(batches, &self.accounting, now_ms()).await;
        match &appended {
            Ok(appended) => {
                self.counts.duplicates.fetch_add(appended.duplicates, Ordering::Relaxed);
                if !appended.landed.is_empty() {
                    (self.landed)(&appended.landed);
                }
            }
            Err(error) => {
                self.counts.failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(message = "Reports were not counted; their VMs keep them.", %error);
            }
        }
        appended
    }
}

#[cfg(test)]
mod tests {
    use headroom_api::v1::RequestRecord;

    use super::*;
    use crate::store::Database;
    use crate::store::SqlLedger;

    async fn store(dir: &tempfile::TempDir) -> Arc<SqlLedger> {
        let database = Database::File(dir.path().join("db"));
        Arc::new(SqlLedger::open(&database, now_ms()).await.unwrap())
    }

    fn batch(sequence: u64) -> Batch {
        let records = vec![RequestRecord { sequence, ..RequestRecord::default() }];
        Batch { vm_id: "vm".to_owned(), records, ..Batch::default() }
    }

    #[tokio::test]
    async fn a_full_queue_turns_reports_away_and_what_is_in_it_lands() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir).await;
        let landed = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&landed);
        let (ledger, writer) = Ledger::new(Arc::clone(&store) as _, Arc::default(), move |group| {
            counted.fetch_add(group.len() as u64, Ordering::SeqCst);
        });
        // nothing is written until the writer runs
        let mut waiting = Vec::new();
        for sequence in 1..=QUEUE as u64 {
            let ledger = ledger.clone();
            waiting.push(tokio::spawn(async move { ledger.report(batch(sequence)).await }));
        }
        while ledger.waiting() < QUEUE {
            tokio::task::yield_now().await;
        }
        assert_eq!(ledger.report(batch(1_000_000)).await, Err(ReportError::Busy));
        assert_eq!(ledger.counts().turned_away(), 1);
        assert_eq!(ledger.counts().unwritten(), QUEUE as u64);
        let counts = Arc::clone(ledger.counts());
        drop(ledger);
        writer.await;
        assert_eq!(counts.unwritten(), 0);
        for report in waiting {
            assert!(report.await.unwrap().is_ok());
        }
        assert_eq!(landed.load(Ordering::SeqCst), QUEUE as u64);
    }

    #[tokio::test]
    async fn what_the_store_did_not_take_is_not_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let closed = store(&dir).await;
        closed.close().await;
        let (ledger, writer) = Ledger::new(closed, Arc::default(), |_| panic!("nothing landed"));
        let writer = tokio::spawn(writer);
        assert_eq!(ledger.report(batch(1)).await, Err(ReportError::Store));
        assert_eq!(ledger.counts().failures(), 1);
        drop(ledger);
        writer.await.unwrap();

        let (ledger, writer) = Ledger::new(store(&dir).await, Arc::default(), |_| {});
        let writer = tokio::spawn(writer);
        assert_eq!(ledger.report(batch(1)).await, Ok(1));
        writer.abort();
        writer.await.unwrap_err();
        assert_eq!(ledger.report(batch(2)).await, Err(ReportError::Stopping));
    }
}
