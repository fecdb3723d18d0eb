//! Counts since the process started.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::verify::OriginalError;

/// Counts since the process started.
#[derive(Debug, Default)]
pub struct Counts {
    pub(super) stored: AtomicU64,
    pub(super) stored_bytes: AtomicU64,
    pub(super) refreshed: AtomicU64,
    pub(super) refused_full: AtomicU64,
    pub(super) rejected: [AtomicU64; OriginalError::ALL.len()],
    pub(super) turned_away: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) evicted: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) found: AtomicU64,
    pub(super) not_found: AtomicU64,
    pub(super) unwritten: AtomicU64,
}

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        impl Counts {
            $($(#[$doc])* pub fn $name(&self) -> u64 { self.$name.load(Ordering::Relaxed) })*
        }
    };
}

counts! {
    /// Originals that were new.
    stored,
    /// Bytes of those, compressed.
    stored_bytes,
    /// Originals that arrived again.
    refreshed,
    /// Originals refused because there was no room.
    refused_full,
    /// Requests refused because too much was waiting.
    turned_away,
    /// Groups that the store did not accept.
    failures,
    /// Originals removed before their time.
    evicted,
    /// Originals removed because they had expired.
    expired,
    /// Retrievals that found their original.
    found,
    /// Retrievals that did not.
    not_found,
    /// Originals that were received and are neither durable nor refused yet.
    unwritten,
}

impl Counts {
    /// Rejected originals, per reason.
    pub fn rejected(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counted = OriginalError::ALL.iter().zip(&self.rejected);
        counted.map(|(reject, count)| (reject.name(), count.load(Ordering::Relaxed)))
    }

    pub(super) fn reject(&self, reject: OriginalError) {
        if let Some((_, count)) = OriginalError::ALL.iter().zip(&self.rejected).find(|(it, _)| **it == reject)
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Counts originals while they wait to be written.
pub(super) struct UnwrittenCount(Arc<Counts>, u64);

impl UnwrittenCount {
    pub(super) fn new(counts: &Arc<Counts>, originals: usize) -> Self {
        counts.unwritten.fetch_add(originals as u64, Ordering::SeqCst);
        Self(Arc::clone(counts), originals as u64)
    }
}

impl Drop for UnwrittenCount {
    fn drop(&mut self) {
        self.0.unwritten.fetch_sub(self.1, Ordering::SeqCst);
    }
}
