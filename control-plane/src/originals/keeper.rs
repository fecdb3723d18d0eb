//! Stores originals and returns them.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use headroom_api::v1::AdmitRequest;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::counts::{Counts, UnwrittenCount};
use super::reading::{ReadingRoom, ReadingSpace};
use super::store::{DECISIONS_KEPT, OriginalSums, OriginalsStore, RetentionLimits, StoredOriginal};
use super::verify;
use super::writer::{AdmitError, Job, Receipt, Writer};
use crate::clock::{Clock, UnixMs, now_ms};
use crate::purge::{PurgedOriginals, Scope};
use crate::trouble::StoreError;

/// Requests that may wait to be written.
const QUEUE: usize = 1024;
/// Bytes of texts that are being checked or waiting to be written: a few of the largest requests,
/// thousands of usual ones. During the check texts are uncompressed in memory.
const WAITING_BYTES: u32 = 256 << 20;
/// Number of retrievals in the list.
const RECENT: usize = 20;

/// An original that was found.
#[derive(Debug)]
pub struct FoundOriginal {
    /// The whole text.
    pub text: String,
    /// Its metadata; `content` is empty.
    pub about: StoredOriginal,
    /// The room that it takes.
    pub room: ReadingRoom,
}

/// Why an original is not returned.
#[derive(Debug, thiserror::Error)]
pub enum RetrieveError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too many are being read.
    #[error("too many originals are being read: try again later")]
    Busy,
}

/// One retrieval in the list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Retrieval {
    /// When.
    pub at_ms: UnixMs,
    /// The tenant.
    pub tenant: String,
    /// The requested address.
    pub hash: String,
    /// The query.
    pub query: String,
    /// The tool that printed it; empty if nothing was found.
    pub tool: String,
    /// Whether it was found.
    pub found: bool,
}

/// Passes originals to the writer, and reads them.
#[derive(Clone)]
pub struct Originals {
    store: Arc<dyn OriginalsStore>,
    keep: RetentionLimits,
    clock: Clock,
    queue: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
    reading: Arc<ReadingSpace>,
    counts: Arc<Counts>,
    recent: Arc<Mutex<VecDeque<Retrieval>>>,
}

impl Originals {
    /// The keeper and its writer, which the caller must spawn. The writer ends after every clone of the
    /// keeper is gone and everything in the queue is written.
    pub fn new(
        store: Arc<dyn OriginalsStore>,
        keep: RetentionLimits,
        clock: Clock,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let counts = Arc::new(Counts::default());
        let writer = Writer {
            store: Arc::clone(&store),
            keep,
            clock: Arc::clone(&clock),
            counts: Arc::clone(&counts),
        };
        let room = Arc::new(Semaphore::new(WAITING_BYTES as usize));
        let reading = Arc::new(ReadingSpace::new());
        let recent = Arc::default();
        (Self { store, keep, clock, queue, room, reading, counts, recent }, writer.run(jobs))
    }

    /// Stores the valid originals of a request, and returns their addresses when they are durable.
    pub async fn admit(&self, request: AdmitRequest) -> Result<Receipt, AdmitError> {
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(weight(&request)) else {
            self.counts.turned_away.fetch_add(1, Ordering::Relaxed);
            return Err(AdmitError::Busy);
        };
        // hashing and compressing a large request takes milliseconds and must not block other requests
        let (admissions, rejects) = tokio::task::spawn_blocking(move || verify::verified(request))
            .await
            .map_err(|_| AdmitError::Stopping)?;
        for reject in rejects {
            self.counts.reject(reject);
        }
        if admissions.is_empty() {
            return Ok(Receipt { stored: Vec::new(), epoch: self.epoch().await? });
        }
        let (answer, answered) = oneshot::channel();
        let unwritten = UnwrittenCount::new(&self.counts, admissions.len());
        let job = Job::Admit { admissions, answer, _room: room, _unwritten: unwritten };
        self.queue.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                self.counts.turned_away.fetch_add(1, Ordering::Relaxed);
                AdmitError::Busy
            }
            mpsc::error::TrySendError::Closed(_) => AdmitError::Stopping,
        })?;
        answered.await.unwrap_or(Err(AdmitError::Stopping))
    }

    /// The epoch of acknowledgements: see [`originals::store`](crate::originals::store).
    pub async fn epoch(&self) -> Result<String, AdmitError> {
        self.store.epoch().await.map_err(|error| {
            tracing::error!(message = "The originals' epoch cannot be read.", %error);
            AdmitError::Store
        })
    }

    /// The text at an address; `None` if it was never admitted for this tenant or has expired.
    /// `query` is for the list of retrievals.
    pub async fn retrieve(
        &self,
        tenant: &str,
        hash: &str,
        query: &str,
    ) -> Result<Option<FoundOriginal>, RetrieveError> {
        let hash = hash.trim().to_ascii_lowercase();
        let found = match is_address(&hash) {
            true => self.read(tenant, &hash).await?,
            false => None,
        };
        let count = if found.is_some() { &self.counts.found } else { &self.counts.not_found };
        count.fetch_add(1, Ordering::Relaxed);
        self.note(tenant, &hash, query, found.as_ref());
        if found.is_some() {
            // the answer does not wait for it; if the queue is full, only its expiry is not renewed
            self.queue.try_send(Job::Read { tenant: tenant.to_owned(), hash }).ok();
        }
        Ok(found)
    }

    /// Whether an address has an original. This does not count as a retrieval.
    pub async fn holds(&self, tenant: &str, hash: &str) -> bool {
        self.store.length(tenant, hash, (self.clock)()).await.is_ok_and(|length| length.is_some())
    }

    async fn read(&self, tenant: &str, hash: &str) -> Result<Option<FoundOriginal>, RetrieveError> {
        let Some(length) = self.store.length(tenant, hash, (self.clock)()).await? else { return Ok(None) };
        let room = self.reading.room(tenant, length).await.ok_or(RetrieveError::Busy)?;
        let Some(mut kept) = self.store.get(tenant, hash, (self.clock)()).await? else { return Ok(None) };
        let address = hash.to_owned();
        let opened = tokio::task::spawn_blocking(move || {
            let content = std::mem::take(&mut kept.content);
            let length = usize::try_from(kept.length).ok()?;
            let text = String::from_utf8(verify::decompressed(&content, length)?).ok()?;
            // The room goes with the text, since a caller that leaves does not end this.
            (headroom_compress::address(&text) == address).then_some(FoundOriginal {
                text,
                about: kept,
                room,
            })
        });
        match opened.await {
            Ok(Some(found)) => Ok(Some(found)),
            // better no answer than a wrong one
            Ok(None) => Err(StoreError::Corrupt(format!("original {hash} is not what was stored")).into()),
            Err(error) => Err(StoreError::Corrupt(error.to_string()).into()),
        }
    }

    fn note(&self, tenant: &str, hash: &str, query: &str, found: Option<&FoundOriginal>) {
        const SHOWN: usize = 100;
        let mut recent = self.recent.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        recent.truncate(RECENT - 1);
        recent.push_front(Retrieval {
            at_ms: now_ms(),
            tenant: tenant.to_owned(),
            hash: hash.chars().take(SHOWN).collect(),
            query: query.chars().take(SHOWN).collect(),
            tool: found.map(|found| found.about.tool.clone()).unwrap_or_default(),
            found: found.is_some(),
        });
    }

    /// The last retrievals of this process, newest first.
    pub fn recent(&self) -> Vec<Retrieval> {
        let recent = self.recent.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        recent.iter().cloned().collect()
    }

    /// Deletes the originals in a scope, and removes them from the list of retrievals.
    pub async fn purge(&self, scope: &Scope, dry_run: bool) -> Result<PurgedOriginals, StoreError> {
        let purged = self.store.purge(scope, dry_run).await?;
        if !dry_run {
            let mut recent = self.recent.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            recent.retain(|retrieval| match scope {
                Scope::All => false,
                Scope::Tenant(tenant) => retrieval.tenant != *tenant,
                Scope::Before(time) => retrieval.at_ms >= *time,
            });
        }
        Ok(purged)
    }

    /// Removes expired originals, and old decisions on texts. The caller runs this at intervals.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let (kept_ms, most) = DECISIONS_KEPT;
        self.store.forget_decisions((self.clock)().saturating_sub(kept_ms), most).await?;
        loop {
            let removed = self.store.sweep((self.clock)()).await?;
            self.counts.expired.fetch_add(removed, Ordering::Relaxed);
            if removed == 0 {
                return Ok(());
            }
        }
    }

    /// Sums over the stored originals.
    pub async fn sums(&self) -> Result<OriginalSums, StoreError> {
        self.store.sums().await
    }

    /// Sums over the stored originals of one tenant.
    pub async fn sums_of(&self, tenant: &str) -> Result<OriginalSums, StoreError> {
        self.store.sums_of(tenant).await
    }

    /// Whether the store answers and can be written.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.store.check().await
    }

    /// The counts so far.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// The limits on size and time.
    pub fn keep(&self) -> RetentionLimits {
        self.keep
    }

    /// The store's location, without credentials.
    pub fn location(&self) -> &str {
        self.store.location()
    }
}

/// Bytes of memory that checking a request may take.
fn weight(request: &AdmitRequest) -> u32 {
    let came: u64 = request.originals.iter().map(|original| original.content.len() as u64).sum();
    let said = request.originals.iter().fold(0, |sum: u64, original| sum.saturating_add(original.length));
    let bytes = came.saturating_add(said.min(verify::MAX_TOTAL as u64));
    u32::try_from(bytes).unwrap_or(u32::MAX).min(WAITING_BYTES)
}

pub(crate) fn is_address(hash: &str) -> bool {
    hash.len() == 24 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use headroom_api::v1::{ContentEncoding, Original};

    use super::*;
    use crate::clock::HOUR_MS;
    use crate::store::Database;
    use crate::store::SqlOriginals;

    const KEEP: RetentionLimits = RetentionLimits { ttl_ms: 2 * HOUR_MS, max_bytes: 1 << 20 };

    async fn store(dir: &tempfile::TempDir) -> Arc<SqlOriginals> {
        Arc::new(SqlOriginals::open(&Database::File(dir.path().join("db")), 0).await.unwrap())
    }

    /// A clock that changes only when it is set.
    fn clock() -> (Arc<AtomicI64>, Clock) {
        let time = Arc::new(AtomicI64::new(1_790_000_000_000));
        let shown = Arc::clone(&time);
        (time, Arc::new(move || shown.load(Ordering::SeqCst)))
    }

    fn request(text: &str) -> AdmitRequest {
        let original = Original {
            hash: headroom_compress::address(text),
            content: text.as_bytes().to_vec(),
            encoding: ContentEncoding::Identity.into(),
            length: text.len() as u64,
            ..Original::default()
        };
        AdmitRequest { originals: vec![original], ..AdmitRequest::default() }
    }

    async fn is_there(originals: &Originals, text: &str) -> bool {
        let found = originals.retrieve("", &headroom_compress::address(text), "").await.unwrap();
        found.is_some_and(|found| found.text == text)
    }

    #[tokio::test]
    async fn an_original_is_gone_when_its_time_is_over_and_can_come_again() {
        let dir = tempfile::tempdir().unwrap();
        let (time, clock) = clock();
        let (originals, writer) = Originals::new(store(&dir).await, KEEP, clock);
        let writer = tokio::spawn(writer);
        originals.admit(request("text")).await.unwrap();
        time.fetch_add(KEEP.ttl_ms - 1, Ordering::SeqCst);
        assert!(is_there(&originals, "text").await);
        // the reading is written before what is admitted after it
        originals.admit(request("other")).await.unwrap();
        originals.admit(request("another")).await.unwrap();
        time.fetch_add(KEEP.ttl_ms - 1, Ordering::SeqCst);
        assert!(is_there(&originals, "text").await, "its time began anew when it was read");
        originals.admit(request("other")).await.unwrap();
        originals.admit(request("another")).await.unwrap();
        time.fetch_add(KEEP.ttl_ms, Ordering::SeqCst);
        assert!(!is_there(&originals, "text").await);
        originals.sweep().await.unwrap();
        assert_eq!(originals.sums().await.unwrap().entries, 0);
        assert_eq!(originals.counts().expired(), 3);
        originals.admit(request("text")).await.unwrap();
        assert!(is_there(&originals, "text").await);
        assert_eq!((originals.counts().found(), originals.counts().not_found()), (3, 1));
        assert!(!originals.recent()[1].found && originals.recent()[0].found);
        drop(originals);
        writer.await.unwrap();
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]

        #[test]
        fn a_tenant_finds_its_own_originals_and_no_others(
            steps in proptest::collection::vec((0usize..4, 0usize..5, 0u8..6), 1..40),
        ) {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                // names that differ in case, that share a prefix, and the empty name
                const TENANTS: [&str; 4] = ["", "a", "A", "ab"];
                let dir = tempfile::tempdir().unwrap();
                let (originals, writer) = Originals::new(store(&dir).await, KEEP, clock().1);
                let writer = tokio::spawn(writer);
                let mut kept = std::collections::BTreeSet::new();
                for (tenant, text, what) in steps {
                    let (name, text) = (TENANTS[tenant], format!("text {text}"));
                    match what {
                        0..=2 => {
                            let admit = AdmitRequest { tenant: name.to_owned(), ..request(&text) };
                            originals.admit(admit).await.unwrap();
                            kept.insert((name, text));
                        }
                        3 => {
                            originals.purge(&Scope::Tenant(name.to_owned()), false).await.unwrap();
                            kept.retain(|(owner, _)| *owner != name);
                        }
                        _ => {
                            let hash = headroom_compress::address(&text);
                            let found = originals.retrieve(name, &hash, "").await.unwrap();
                            assert_eq!(found.is_some(), kept.contains(&(name, text)));
                        }
                    }
                }
                for name in TENANTS {
                    let own = kept.iter().filter(|(owner, _)| *owner == name).count() as i64;
                    assert_eq!(originals.sums_of(name).await.unwrap().entries, own);
                }
                assert_eq!(originals.sums().await.unwrap().entries, kept.len() as i64);
                drop(originals);
                writer.await.unwrap();
            });
        }
    }

    #[tokio::test]
    async fn a_clock_that_is_days_wrong_loses_no_original() {
        use crate::clock::DAY_MS;
        use crate::retention::Retention;
        for by in [-20 * DAY_MS, -2 * DAY_MS, 2 * DAY_MS, 20 * DAY_MS] {
            let dir = tempfile::tempdir().unwrap();
            let ((wall, wall_clock), (steady, steady_clock)) = (clock(), clock());
            let pass = |ms: i64| {
                wall.fetch_add(ms, Ordering::SeqCst);
                steady.fetch_add(ms, Ordering::SeqCst);
            };
            let store = store(&dir).await;
            let mut kept = None;
            // the clock is wrong in the second run, and right again in the third
            for set in [0, by, -by] {
                wall.fetch_add(set, Ordering::SeqCst);
                let retention =
                    Arc::new(Retention::new(kept, Arc::clone(&wall_clock), Arc::clone(&steady_clock)));
                let aging = Arc::clone(&retention);
                let (originals, writer) =
                    Originals::new(Arc::clone(&store) as _, KEEP, Arc::new(move || aging.now()));
                let writer = tokio::spawn(writer);
                if set == 0 {
                    originals.admit(request("text")).await.unwrap();
                }
                originals.sweep().await.unwrap();
                pass(10 * crate::clock::MINUTE_MS);
                originals.sweep().await.unwrap();
                assert!(is_there(&originals, "text").await, "{by}, {set}");
                // and during the run
                wall.fetch_add(by, Ordering::SeqCst);
                originals.sweep().await.unwrap();
                assert!(is_there(&originals, "text").await, "{by}, {set}");
                wall.fetch_add(-by, Ordering::SeqCst);
                kept = Some(retention.now());
                drop(originals);
                writer.await.unwrap();
            }
            // it expires nevertheless
            let late = kept.unwrap() + KEEP.ttl_ms;
            assert_eq!(store.sweep(late).await.unwrap(), 1, "{by}");
        }
    }

    #[tokio::test]
    async fn who_has_given_up_is_left_out_and_the_others_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (originals, writer) = Originals::new(store(&dir).await, KEEP, clock().1);
        let mut waiting: Vec<_> = (0..20)
            .map(|n| {
                let originals = originals.clone();
                tokio::spawn(async move { originals.admit(request(&format!("text {n}"))).await })
            })
            .collect();
        // nothing is written until the writer runs
        while originals.queue.max_capacity() - originals.queue.capacity() < 20 {
            tokio::task::yield_now().await;
        }
        for gone in waiting.drain(..5) {
            gone.abort();
            gone.await.unwrap_err();
        }
        tokio::spawn(writer);
        for (n, caller) in waiting.into_iter().enumerate() {
            let receipt = caller.await.unwrap().unwrap();
            assert_eq!(receipt.stored, [headroom_compress::address(&format!("text {}", n + 5))]);
        }
        assert_eq!((originals.counts().stored(), originals.sums().await.unwrap().entries), (15, 15));
        assert!(!is_there(&originals, "text 4").await && is_there(&originals, "text 5").await);
    }

    #[tokio::test]
    async fn what_the_store_did_not_take_is_not_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let closed = store(&dir).await;
        closed.close().await;
        let (originals, writer) = Originals::new(closed, KEEP, clock().1);
        let writer = tokio::spawn(writer);
        assert_eq!(originals.admit(request("text")).await, Err(AdmitError::Store));
        assert_eq!(originals.counts().failures(), 1);
        assert_eq!(originals.epoch().await, Err(AdmitError::Store));
        writer.abort();
        writer.await.unwrap_err();
        assert_eq!(originals.admit(request("text")).await, Err(AdmitError::Stopping));
    }

    #[tokio::test]
    async fn more_than_may_wait_is_turned_away() {
        let dir = tempfile::tempdir().unwrap();
        let (originals, _writer) = Originals::new(store(&dir).await, KEEP, clock().1);
        let all = originals.room.clone().try_acquire_many_owned(WAITING_BYTES - 10).unwrap();
        assert_eq!(originals.admit(request("ten bytes and more")).await, Err(AdmitError::Busy));
        assert_eq!(originals.counts().turned_away(), 1);
        drop(all);
    }
}
