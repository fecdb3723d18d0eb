//! What is done behind everyone's back: the model is loaded, facts without a vector get one, duplicates are merged.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::embedder::{Embedder, detect};
use super::fact::Origin;
use super::service::{Memory, MemoryError};
use super::store::MemoryStore;
use crate::clock::now_ms;

/// Time between two looks where nobody saves: another replica may have.
const PAUSE: Duration = Duration::from_secs(60);
/// Facts that are embedded, or pairs that are merged, in one transaction.
const BATCH: u32 = 64;

impl Memory {
    /// Keeps memory for as long as the sidecar runs.
    pub async fn keep(self, stop: CancellationToken) {
        let folder = self.inner().models.clone();
        match tokio::task::spawn_blocking(move || detect(&folder)).await {
            Ok(found) => self.set_embedder(found),
            Err(error) => {
                let problem = format!("it could not be loaded: {error}");
                self.set_embedder(Err(super::EmbedError::Run(problem)));
            }
        }
        loop {
            if self.store().is_err() {
                self.open_store().await;
            }
            if let Err(error) = self.tidy(&stop).await {
                tracing::warn!(message = "Memory was not tidied; it will be in a minute.", %error);
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.inner().work.notified() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Embeds what has no vector, and merges what says the same.
    async fn tidy(&self, stop: &CancellationToken) -> Result<(), MemoryError> {
        let Ok(store) = self.store() else { return Ok(()) };
        if let Some(embedder) = self.embedder() {
            while !stop.is_cancelled() && embed_some(&*store, &embedder).await? {}
        }
        if stop.is_cancelled() { Ok(()) } else { self.merge_duplicates().await }
    }

    /// Merges facts that say the same into the oldest of them.
    pub async fn merge_duplicates(&self) -> Result<(), MemoryError> {
        let store = self.store()?;
        while merge_some(&*store).await? {}
        Ok(())
    }
}

/// True where there may be more.
async fn embed_some(store: &dyn MemoryStore, embedder: &Arc<Embedder>) -> Result<bool, MemoryError> {
    let waiting = store.unembedded(embedder.name(), BATCH).await?;
    if waiting.is_empty() {
        return Ok(false);
    }
    let model = Arc::clone(embedder);
    let texts: Vec<(i64, String)> =
        waiting.into_iter().map(|stored| (stored.ordinal, stored.fact.content)).collect();
    let embed = move || {
        let vector = |(ordinal, text): &(i64, String)| Some((*ordinal, model.embed(text).ok()?));
        texts.iter().map(vector).collect::<Option<Vec<_>>>()
    };
    let vectors = tokio::task::spawn_blocking(embed).await;
    // a text that the model refuses is found by its words; the rest is not held up for ever by it
    let Ok(Some(vectors)) = vectors else {
        tracing::warn!(message = "Facts were not embedded: the model does not run.");
        return Ok(false);
    };
    store.embed(embedder.name(), &vectors).await?;
    Ok(true)
}

/// True where there may be more.
async fn merge_some(store: &dyn MemoryStore) -> Result<bool, MemoryError> {
    let pairs = store.duplicates(BATCH).await?;
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
