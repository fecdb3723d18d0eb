//! Work in the background: loads the model, gives vectors to facts without one, merges duplicates.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::embedder::{Embedder, detect};
use super::fact::Origin;
use super::service::{Memory, MemoryError};
use super::store::MemoryStore;
use crate::clock::{UnixMs, now_ms};

/// Time between two checks if nothing is saved here: another replica may have saved.
const PAUSE: Duration = Duration::from_secs(60);
/// How long it is kept what a conversation began with: 180 days.
const CONVERSATION_MS: UnixMs = 180 * 24 * 3_600 * 1_000;
/// Facts that are embedded, or pairs that are merged, in one transaction.
const BATCH: u32 = 64;

impl Memory {
    /// Keeps memory for as long as the sidecar runs.
    pub async fn keep(self, stop: CancellationToken) {
        self.load_embedder().await;
        let mut tidied = 0;
        loop {
            if self.store().is_err() {
                self.open_store().await;
            }
            // a service may answer another time; a folder does not change by itself
            if self.embedder_state().error.is_some() && self.inner().models.openai.is_some() {
                self.load_embedder().await;
            }
            match self.tidy(tidied, &stop).await {
                Ok(newest) => tidied = newest,
                Err(error) => {
                    tracing::warn!(message = "Memory was not tidied; it will be in a minute.", %error);
                }
            }
            if let Err(error) = self.forget_old_contexts().await {
                tracing::warn!(message = "Records of old conversations were not deleted.", %error);
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.inner().work.notified() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Such old conversations are not continued.
    async fn forget_old_contexts(&self) -> Result<(), MemoryError> {
        let Ok(store) = self.store() else { return Ok(()) };
        store.forget_contexts(now_ms().saturating_sub(CONVERSATION_MS)).await?;
        Ok(())
    }

    async fn load_embedder(&self) {
        let found = detect(&self.inner().models).await;
        self.set_embedder(found);
    }

    /// Embeds what has no vector and merges what says the same, behind an ordinal, and says up to where that was done.
    async fn tidy(&self, after: i64, stop: &CancellationToken) -> Result<i64, MemoryError> {
        let Ok(store) = self.store() else { return Ok(after) };
        let newest = store.newest().await?;
        if newest == after {
            return Ok(after);
        }
        while !stop.is_cancelled() && merge_some(&*store, after).await? {}
        if let Some(embedder) = self.embedder() {
            while !stop.is_cancelled() && embed_some(&*store, &embedder, after).await? {}
        }
        Ok(if stop.is_cancelled() { after } else { newest })
    }

    /// Merges facts that say the same into the oldest of them.
    pub async fn merge_duplicates(&self) -> Result<(), MemoryError> {
        let store = self.store()?;
        while merge_some(&*store, 0).await? {}
        Ok(())
    }
}

/// True where there may be more.
async fn embed_some(
    store: &dyn MemoryStore,
    embedder: &Arc<Embedder>,
    after: i64,
) -> Result<bool, MemoryError> {
    let waiting = store.unembedded(embedder.name(), after, BATCH).await?;
    if waiting.is_empty() {
        return Ok(false);
    }
    let (ordinals, texts): (Vec<i64>, Vec<String>) =
        waiting.into_iter().map(|stored| (stored.ordinal, stored.fact.content)).unzip();
    let vectors = embedder.embed(texts).await?;
    let vectors: Vec<(i64, Vec<f32>)> = ordinals.into_iter().zip(vectors).collect();
    store.embed(embedder.name(), &vectors).await?;
    Ok(true)
}

/// True where there may be more.
async fn merge_some(store: &dyn MemoryStore, after: i64) -> Result<bool, MemoryError> {
    let pairs = store.duplicates(after, BATCH).await?;
    let origin = Origin {
        via: "upkeep".to_owned(),
        reason: "it says the same as an older fact, word for word".to_owned(),
        ..Origin::default()
    };
    let mut merged = 0;
    for (older, newer) in &pairs {
        if store.merge(older, newer, &origin, now_ms()).await? {
            merged += 1;
        }
    }
    if merged > 0 {
        tracing::info!(message = "Facts that say the same were merged; they stay in the history.", merged);
    }
    Ok(merged > 0)
}
