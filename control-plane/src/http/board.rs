//! The statistics as one text, rendered once for all concurrent requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headroom_api::pages::Stats;
use tokio::sync::{Mutex, watch};

use crate::answers::Answers;
use crate::clock::now_ms;
use crate::ledger::store::LedgerStore;
use crate::ledger::writer::Ledger;
use crate::originals::keeper::Originals;
use crate::stats::{Snapshot, cache};
use crate::subscriptions::Subscriptions;
use crate::trouble::StoreError;
use crate::upstream::savings::compression;

/// Makes the answer of `/stats`, and remembers the last.
pub(crate) struct Board {
    store: Arc<dyn LedgerStore>,
    ledger: Ledger,
    originals: Originals,
    answers: Answers,
    subscriptions: Arc<Subscriptions>,
    last: Mutex<Option<Arc<Answer>>>,
    landings: watch::Receiver<u64>,
}

/// An answer of `/stats`.
pub(crate) struct Answer {
    begun: Instant,
    pub(crate) page: Stats,
    /// The page as JSON.
    pub(crate) text: String,
}

impl Board {
    /// `landings` changes whenever this process has stored records.
    pub(crate) fn new(
        store: Arc<dyn LedgerStore>,
        ledger: Ledger,
        originals: Originals,
        answers: Answers,
        subscriptions: Arc<Subscriptions>,
        landings: watch::Receiver<u64>,
    ) -> Self {
        Self { store, ledger, originals, answers, subscriptions, last: Mutex::default(), landings }
    }

    /// The statistics, not older than `max_age` when this is called.
    pub(crate) async fn stats(&self, max_age: Duration) -> Result<Arc<Answer>, StoreError> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        // a caller that waited for the lock uses the answer that was started in the meantime
        if let Some(answer) = last.as_ref().filter(|answer| answer.begun + max_age >= asked) {
            return Ok(Arc::clone(answer));
        }
        let begun = Instant::now();
        let page = self.fresh().await?;
        let answer = Arc::new(Answer { begun, text: rendered(&page), page });
        *last = Some(Arc::clone(&answer));
        Ok(answer)
    }

    /// A receiver for every landing.
    pub(crate) fn landings(&self) -> watch::Receiver<u64> {
        self.landings.clone()
    }

    async fn fresh(&self) -> Result<Stats, StoreError> {
        let now = now_ms();
        let mut page = Snapshot::read(self.store.as_ref(), now).await?.page();
        let counts = self.ledger.counts();
        let reports = page.reports.get_or_insert_default();
        reports.duplicate_records = counts.duplicates();
        reports.turned_away = counts.turned_away();
        reports.failures = counts.failures();
        reports.waiting = self.ledger.waiting();
        page.prompt_cache = Some(cache::summary(self.store.as_ref(), now).await?);
        page.subscriptions.get_or_insert_default().accounts = self.subscriptions.list(now);
        page.subscription_window = self.subscriptions.anthropic(now);
        page.codex_rate_limits = self.subscriptions.codex(now);
        page.compression = Some(compression(&self.originals.sums().await?, self.originals.keep()));
        let (entries, bytes, max_bytes) = self.answers.size();
        let answers = page.answers.get_or_insert_default();
        (answers.entries, answers.bytes, answers.max_bytes) = (entries, bytes, max_bytes);
        Ok(page)
    }
}

/// The page as JSON.
pub(super) fn rendered(page: &Stats) -> String {
    // the keys of its maps are texts, so serialization cannot fail
    serde_json::to_string(page).unwrap_or_default()
}
