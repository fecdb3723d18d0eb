//! The filter's own counters, gauges and histograms in Envoy's statistics.
//!
//! Envoy shows them as `wasmcustom.headroom.…`; all VMs of a process add to the same ones.

use headroom_api::v1::{RequestOutcome, RequestRecord};

use crate::host::{self, MetricKind};

/// Defined once per root context. A metric that the host would not define is not counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: Vec<(RequestOutcome, Option<u32>)>,
    tokens_before: Option<u32>,
    tokens_after: Option<u32>,
    tokens_saved: Option<u32>,
    overhead_us: Option<u32>,
    compress_us: Option<u32>,
    host_errors: Option<u32>,
    config_errors: Option<u32>,
    reports_sent: Option<u32>,
    reports_failed: Option<u32>,
    records_dropped: Option<u32>,
}

/// Every outcome that a request can have.
const OUTCOMES: [RequestOutcome; 10] = [
    RequestOutcome::Compressed,
    RequestOutcome::Unchanged,
    RequestOutcome::Bypassed,
    RequestOutcome::Audited,
    RequestOutcome::TooLarge,
    RequestOutcome::Encoded,
    RequestOutcome::NotUnderstood,
    RequestOutcome::HostError,
    RequestOutcome::Empty,
    RequestOutcome::Aborted,
];

/// The name of an outcome in metrics, filter state and response headers.
pub(crate) fn outcome_name(outcome: RequestOutcome) -> &'static str {
    match outcome {
        RequestOutcome::Unspecified => "unspecified",
        RequestOutcome::Compressed => "compressed",
        RequestOutcome::Unchanged => "unchanged",
        RequestOutcome::Bypassed => "bypassed",
        RequestOutcome::Audited => "audited",
        RequestOutcome::TooLarge => "too_large",
        RequestOutcome::Encoded => "encoded",
        RequestOutcome::NotUnderstood => "not_understood",
        RequestOutcome::HostError => "host_error",
        RequestOutcome::Empty => "empty",
        RequestOutcome::Aborted => "aborted",
    }
}

impl Metrics {
    /// Before there is a configuration: nothing is counted.
    pub(crate) fn none() -> Self {
        Self::with(|_, _| None)
    }

    pub(crate) fn define() -> Self {
        Self::with(|kind, name| host::define_metric(kind, name).ok())
    }

    fn with(define: impl Fn(MetricKind, &str) -> Option<u32>) -> Self {
        let counter = |name: &str| define(MetricKind::Counter, name);
        let histogram = |name: &str| define(MetricKind::Histogram, name);
        Self {
            requests: OUTCOMES
                .into_iter()
                .map(|outcome| (outcome, counter(&format!("headroom.requests.{}", outcome_name(outcome)))))
                .collect(),
            tokens_before: counter("headroom.tokens_before"),
            tokens_after: counter("headroom.tokens_after"),
            tokens_saved: counter("headroom.tokens_saved"),
            overhead_us: histogram("headroom.overhead_us"),
            compress_us: histogram("headroom.compress_us"),
            host_errors: counter("headroom.host_errors"),
            config_errors: define(MetricKind::Gauge, "headroom.config_errors"),
            reports_sent: counter("headroom.reports_sent"),
            reports_failed: counter("headroom.reports_failed"),
            records_dropped: counter("headroom.records_dropped"),
        }
    }

    /// Counts a finished request.
    pub(crate) fn request(&self, record: &RequestRecord) {
        let outcome = record.outcome();
        if let Some((_, id)) = self.requests.iter().find(|(of, _)| *of == outcome) {
            add(*id, 1);
        }
        if let Some(tokens) = &record.tokens {
            // An audited request leaves as it came, whatever compressing it would have saved.
            let after = if outcome == RequestOutcome::Compressed { tokens.after } else { tokens.before };
            add(self.tokens_before, tokens.before);
            add(self.tokens_after, after);
            add(self.tokens_saved, tokens.before.saturating_sub(after));
        }
        if let Some(timings) = record.timings.filter(|_| record.tokens.is_some()) {
            record_value(self.overhead_us, timings.overhead_us.into());
            record_value(self.compress_us, timings.compress_us.into());
        }
    }

    /// Counts a call that the host refused.
    pub(crate) fn host_error(&self) {
        add(self.host_errors, 1);
    }

    /// Every VM of the process reads the same configuration and sets the same number.
    pub(crate) fn config_errors(&self, errors: u64) {
        record_value(self.config_errors, errors);
    }

    pub(crate) fn report_sent(&self) {
        add(self.reports_sent, 1);
    }

    pub(crate) fn report_failed(&self) {
        add(self.reports_failed, 1);
    }

    pub(crate) fn records_dropped(&self, records: u64) {
        add(self.records_dropped, records);
    }
}

fn add(id: Option<u32>, amount: u64) {
    // Envoy's increment wants more than zero.
    if let (Some(id), Ok(amount @ 1..)) = (id, i64::try_from(amount)) {
        // A statistic that the host refuses has no other place to be counted in.
        let _ = host::increment_metric(id, amount);
    }
}

fn record_value(id: Option<u32>, value: u64) {
    if let Some(id) = id {
        // As in `add`.
        let _ = host::record_metric(id, value);
    }
}
