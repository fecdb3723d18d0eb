//! The statistics as one text, made once for all who ask at the same time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};

use crate::clock::now_ms;
use crate::ledger::store::LedgerStore;
use crate::ledger::writer::Ledger;
use crate::originals::keeper::Originals;
use crate::stats::Snapshot;
use crate::subscriptions::Subscriptions;
use crate::trouble::StoreError;

/// Makes the answer of `/stats`, and remembers the last.
pub(crate) struct Board {
    store: Arc<dyn LedgerStore>,
    ledger: Ledger,
    originals: Originals,
    subscriptions: Arc<Subscriptions>,
    last: Mutex<Option<Made>>,
    landings: watch::Receiver<u64>,
}

#[derive(Clone)]
struct Made {
    begun: Instant,
    text: Arc<str>,
}

impl Board {
    /// `landings` changes whenever records have landed here.
    pub(crate) fn new(
        store: Arc<dyn LedgerStore>,
        ledger: Ledger,
        originals: Originals,
        subscriptions: Arc<Subscriptions>,
        landings: watch::Receiver<u64>,
    ) -> Self {
        Self { store, ledger, originals, subscriptions, last: Mutex::default(), landings }
    }

    /// The statistics as JSON, not older than `max_age` when this is called.
    pub(crate) async fn stats(&self, max_age: Duration) -> Result<Arc<str>, StoreError> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        // who waited for the lock takes what was begun meanwhile
        if let Some(made) = last.as_ref().filter(|made| made.begun + max_age >= asked) {
            return Ok(Arc::clone(&made.text));
        }
        let begun = Instant::now();
        let text: Arc<str> = self.fresh().await?.to_string().into();
        *last = Some(Made { begun, text: Arc::clone(&text) });
        Ok(text)
    }

    /// Told of every landing.
    pub(crate) fn landings(&self) -> watch::Receiver<u64> {
        self.landings.clone()
    }

    async fn fresh(&self) -> Result<Value, StoreError> {
        let now = now_ms();
        let snapshot = Snapshot::read(self.store.as_ref(), now).await?;
        let counts = self.ledger.counts();
        let mut body = snapshot.to_json();
        body["reports"]["duplicate_records"] = counts.duplicates().into();
        body["reports"]["turned_away"] = counts.turned_away().into();
        body["reports"]["failures"] = counts.failures().into();
        body["reports"]["waiting"] = self.ledger.waiting().into();
        body["subscriptions"]["accounts"] = self.subscriptions.list(now);
        // under the original's names
        body["subscription_window"] = self.subscriptions.anthropic(now);
        body["codex_rate_limits"] = self.subscriptions.codex(now);
        let originals = self.originals.sums().await?;
        body["compression"] = json!({
            "ccr_entries": originals.entries,
            "ccr_bytes": originals.bytes,
            "ccr_max_bytes": self.originals.keep().max_bytes,
            "original_tokens_cached": originals.tokens_before,
            "compressed_tokens_cached": originals.tokens_after,
            "ccr_retrievals": originals.retrievals,
        });
        Ok(body)
    }
}
