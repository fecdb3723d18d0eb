//! What is done again and again while the sidecar runs.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::answers::Answers;
use crate::ledger::store::LedgerStore;
use crate::originals::keeper::Originals;
use crate::retention::Retention;
use crate::trouble::StoreError;

/// Time between two rounds of maintenance; the store may exceed its limits by one round.
const MAINTENANCE: Duration = Duration::from_secs(3600);

/// Time between two removals of expired originals. They are not returned in the meantime.
const SWEEP: Duration = Duration::from_secs(300);

/// Keeps the store small while the sidecar runs.
pub(super) async fn maintain(
    store: Arc<dyn LedgerStore>,
    retention: Arc<Retention>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(MAINTENANCE) => {}
        }
        if let Err(error) = tidy(store.as_ref(), &retention).await {
            tracing::warn!(message = "The store was not tidied; it will be in an hour.", %error);
        }
    }
}

pub(super) async fn tidy(store: &dyn LedgerStore, retention: &Retention) -> Result<(), StoreError> {
    store.maintain(retention.surely_now()).await
}

/// Removes expired originals and stores the retention time, while the sidecar runs.
pub(super) async fn sweep(
    originals: Originals,
    store: Arc<dyn LedgerStore>,
    retention: Arc<Retention>,
    stop: CancellationToken,
) {
    loop {
        if let Err(error) = originals.sweep().await {
            tracing::warn!(message = "Expired originals were not removed.", %error);
        }
        let stopped = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(SWEEP) => false,
        };
        if let Err(error) = store.keep_retention_time(retention.now()).await {
            tracing::warn!(message = "The age of the originals was not stored.", %error);
        }
        if stopped {
            return;
        }
    }
}

/// Removes expired answers while the sidecar runs, because they contain what people asked.
pub(super) async fn sweep_answers(answers: Answers, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SWEEP) => answers.sweep(),
        }
    }
}
