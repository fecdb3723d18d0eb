//! Which budgets are used up, for the filters that ask: read from the store, at most once a second.

use std::sync::Arc;
use std::time::Duration;

use headroom_api::v1::LimitsResponse;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::budget::Budgets;
use crate::clock::now_ms;
use crate::ledger::contribution::Accounting;
use crate::ledger::store::LedgerStore;
use crate::trouble::StoreError;

/// Answers younger than this are reused, because every worker of every Envoy asks.
const FRESH: Duration = Duration::from_secs(1);

/// Reads the use of budgets.
#[derive(Clone)]
pub(crate) struct Limits {
    store: Arc<dyn LedgerStore>,
    accounting: Arc<Accounting>,
    latest: Arc<Latest>,
}

/// The latest answer; `None` in it: the store has not given one.
#[derive(Default)]
struct Latest(Mutex<Option<(Instant, Option<LimitsResponse>)>>);

impl Latest {
    /// An answer that is fresh, or what is read now. Those who ask meanwhile wait for it, whatever it will be.
    async fn or_read(&self, read: impl Future<Output = Option<LimitsResponse>>) -> Option<LimitsResponse> {
        let mut latest = self.0.lock().await;
        if let Some((at, answer)) = &*latest
            && at.elapsed() < FRESH
        {
            return answer.clone();
        }
        let answer = read.await;
        *latest = Some((Instant::now(), answer.clone()));
        answer
    }
}

impl Limits {
    pub(crate) fn new(store: Arc<dyn LedgerStore>, accounting: Arc<Accounting>) -> Self {
        Self { store, accounting, latest: Arc::default() }
    }

    /// Which budgets are used up now. `None`: there are no budgets, or their use is unknown; then no
    /// request is refused.
    pub(crate) async fn now(&self) -> Option<LimitsResponse> {
        let budgets = &self.accounting.budgets;
        if budgets.is_empty() {
            return None;
        }
        let read = async {
            let read = self.read(budgets).await;
            if let Err(error) = &read {
                tracing::warn!(message = "What was used of the budgets cannot be read; no request is refused.", %error);
            }
            read.ok()
        };
        self.latest.or_read(read).await
    }

    async fn read(&self, budgets: &Budgets) -> Result<LimitsResponse, StoreError> {
        let mut spent = Vec::new();
        for (unit, bucket_ms) in budgets.windows(now_ms()) {
            spent.extend(self.store.spent(unit, bucket_ms).await?);
        }
        Ok(budgets.used_up(&spent))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_store_that_fails_is_asked_once_a_second_however_many_wait() {
        let (latest, reads) = (Latest::default(), AtomicU32::new(0));
        let ask = async || {
            let read = async {
                reads.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_secs(5)).await;
                None
            };
            assert_eq!(latest.or_read(read).await, None);
        };
        let begun = Instant::now();
        tokio::join!(ask(), ask(), ask(), ask());
        assert_eq!((reads.load(Ordering::Relaxed), begun.elapsed().as_secs()), (1, 5));
        tokio::time::advance(FRESH).await;
        ask().await;
        assert_eq!(reads.load(Ordering::Relaxed), 2);
    }
}
