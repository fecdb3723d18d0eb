//! The part of `/metrics` about originals.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry};

use super::registry::{counter, counters, register};
use crate::originals::counts::Counts;
use crate::originals::store::OriginalSums;

/// Counts of this process, and how much the store holds: the same on replicas that share one.
pub(super) struct OriginalMetrics {
    stored: IntCounter,
    stored_bytes: IntCounter,
    refreshed: IntCounter,
    refused: IntCounterVec,
    retrieved: IntCounterVec,
    evicted: IntCounter,
    expired: IntCounter,
    failures: IntCounter,
    entries: IntGauge,
    bytes: IntGauge,
}

impl OriginalMetrics {
    pub(super) fn register(r: &Registry) -> Self {
        let gauge = |name: &str, help: &str| register(r, IntGauge::new(name, help));
        Self {
            stored: counter(r, "headroom_ccr_stored_total", "Originals that were new."),
            stored_bytes: counter(r, "headroom_ccr_stored_bytes_total", "Bytes of those, compressed."),
            refreshed: counter(r, "headroom_ccr_refreshed_total", "Originals that came again."),
            refused: counters(
                r,
                "headroom_ccr_refused_total",
                "Originals that were not kept, because they did not match their hash or had no room. busy counts whole requests.",
                &["reason"],
            ),
            retrieved: counters(r, "headroom_ccr_retrievals_total", "Originals asked for.", &["outcome"]),
            evicted: counter(r, "headroom_ccr_evicted_total", "Originals removed early, to make room."),
            expired: counter(r, "headroom_ccr_expired_total", "Originals removed because they had expired."),
            failures: counter(
                r,
                "headroom_ccr_failures_total",
                "Groups of originals that the store did not take.",
            ),
            entries: gauge("headroom_ccr_entries", "Originals in the store."),
            bytes: gauge("headroom_ccr_bytes", "Bytes that the originals in the store take."),
        }
    }

    /// The counts are kept elsewhere; this copies them to the registry before it is read.
    pub(super) fn follow(&self, counts: &Counts) {
        for (metric, now) in [
            (&self.stored, counts.stored()),
            (&self.stored_bytes, counts.stored_bytes()),
            (&self.refreshed, counts.refreshed()),
            (&self.evicted, counts.evicted()),
            (&self.expired, counts.expired()),
            (&self.failures, counts.failures()),
        ] {
            catch_up(metric, now);
        }
        let reasons =
            counts.rejected().chain([("full", counts.refused_full()), ("busy", counts.turned_away())]);
        for (reason, now) in reasons {
            catch_up(&self.refused.with_label_values(&[reason]), now);
        }
        for (outcome, now) in [("found", counts.found()), ("not_found", counts.not_found())] {
            catch_up(&self.retrieved.with_label_values(&[outcome]), now);
        }
    }

    pub(super) fn set(&self, sums: &OriginalSums) {
        self.entries.set(sums.entries);
        self.bytes.set(sums.bytes);
    }
}

pub(super) fn catch_up(metric: &IntCounter, now: u64) {
    metric.inc_by(now.saturating_sub(metric.get()));
}
