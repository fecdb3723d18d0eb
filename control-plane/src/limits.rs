//! Which budgets are used up, for the filters that ask: read from the store, at most once a second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headroom_api::v1::LimitsResponse;
use tokio::sync::Mutex;

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
    latest: Arc<Mutex<Option<(Instant, LimitsResponse)>>>,
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
        let mut latest = self.latest.lock().await;
        if let Some((at, answer)) = &*latest
            && at.elapsed() < FRESH
        {
            return Some(answer.clone());
        }
        match self.read(budgets).await {
            Ok(answer) => {
                *latest = Some((Instant::now(), answer.clone()));
                Some(answer)
            }
            Err(error) => {
                tracing::warn!(message = "What was used of the budgets cannot be read; no request is refused.", %error);
                None
            }
        }
    }

    async fn read(&self, budgets: &Budgets) -> Result<LimitsResponse, StoreError> {
        let mut spent = Vec::new();
        for (unit, bucket_ms) in budgets.windows(now_ms()) {
            spent.extend(self.store.spent(unit, bucket_ms).await?);
        }
        Ok(budgets.used_up(&spent))
    }
}
