//! The part of `/metrics` about the cache of answers.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry};

use super::original_metrics::catch_up;
use super::registry::{counter, counters, register};
use crate::answers::Answers;

/// Counts of this process, and what it keeps.
pub(super) struct AnswerMetrics {
    lookups: IntCounterVec,
    waited: IntCounter,
    kept: IntCounter,
    refused: IntCounter,
    evicted: IntCounter,
    expired: IntCounter,
    entries: IntGauge,
    bytes: IntGauge,
}

impl AnswerMetrics {
    pub(super) fn register(r: &Registry) -> Self {
        let gauge = |name: &str, help: &str| register(r, IntGauge::new(name, help));
        Self {
            lookups: counters(
                r,
                "headroom_answer_lookups_total",
                "Lookups of filters in the answer cache: found, similar, missed.",
                &["result"],
            ),
            waited: counter(
                r,
                "headroom_answer_waits_total",
                "Lookups that waited for an identical request that was under way.",
            ),
            kept: counter(r, "headroom_answers_kept_total", "Answers that were stored in the answer cache."),
            refused: counter(
                r,
                "headroom_answers_refused_total",
                "Answers that were not stored, because a single one was larger than the answer cache.",
            ),
            evicted: counter(r, "headroom_answers_evicted_total", "Answers removed early, to make room."),
            expired: counter(
                r,
                "headroom_answers_expired_total",
                "Answers removed because they had expired.",
            ),
            entries: gauge("headroom_answers_entries", "Answers in the answer cache."),
            bytes: gauge("headroom_answers_bytes", "Bytes that the answers in the answer cache take."),
        }
    }

    /// The counts are kept elsewhere; this copies them to the registry before it is read.
    pub(super) fn follow(&self, answers: &Answers) {
        let counts = answers.counts().read();
        for (metric, now) in [
            (&self.waited, counts.waited),
            (&self.kept, counts.kept),
            (&self.refused, counts.refused),
            (&self.evicted, counts.evicted),
            (&self.expired, counts.expired),
        ] {
            catch_up(metric, now);
        }
        for (result, now) in [("found", counts.found), ("similar", counts.similar), ("missed", counts.missed)]
        {
            catch_up(&self.lookups.with_label_values(&[result]), now);
        }
        let (entries, bytes, _) = answers.size();
        self.entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
