//! The filter's own counters, gauges and histograms in Envoy's statistics.
//!
//! Envoy shows them as `wasmcustom.headroom.…`; all VMs of a process share them.

use std::cell::RefCell;
use std::collections::BTreeMap;

use headroom_api::forwarded_tokens;
use headroom_api::names::{memory_context_name, outcome_name, session_end_name};
use headroom_api::v1::{MemoryContext, RequestOutcome, RequestRecord, SessionEnd, TextModelRecord};
use headroom_compress::Strategy;
use proxy_wasm::types::MetricType;

use crate::host;
use crate::tool_loop::HiddenRounds;

/// Defined once per root context. A metric that the host refuses to define is not counted.
#[derive(Debug)]
pub(crate) struct Metrics {
    requests: Vec<(RequestOutcome, Option<u32>)>,
    tokens_before: Option<u32>,
    tokens_after: Option<u32>,
    tokens_saved: Option<u32>,
    overhead_us: Option<u32>,
    compress_us: Option<u32>,
    prefix_mismatches: Option<u32>,
    host_errors: Option<u32>,
    config_errors: Option<u32>,
    reports_sent: Option<u32>,
    reports_failed: Option<u32>,
    records_dropped: Option<u32>,
    copies: Option<u32>,
    copies_dropped: Option<u32>,
    rounds_traced: Option<u32>,
    rounds_withheld: Option<u32>,
    retrievals_restored: Option<u32>,
    recovered: Option<u32>,
    recoveries_failed: Option<u32>,
    undecoded: Option<u32>,
    rounds: Option<u32>,
    rounds_failed: Option<u32>,
    rounds_unsendable: Option<u32>,
    no_room: Option<u32>,
    originals_retrieved: Option<u32>,
    originals_missing: Option<u32>,
    memory_calls: Option<u32>,
    memory_calls_failed: Option<u32>,
    memory_contexts: [Option<u32>; 3],
    /// Outputs that it has shortened, that stay, and about which it said nothing in time.
    text_model: [Option<u32>; 3],
    sessions: Option<u32>,
    sessions_active: Option<u32>,
    sessions_ended: Vec<(SessionEnd, Option<u32>)>,
    session_ms: Option<u32>,
    work_paused: Option<u32>,
    work_waited: Option<u32>,
    work_unpaused: Option<u32>,
    unrecognized_refused: Option<u32>,
    breakpoints: Option<u32>,
    aligned_lines: Option<u32>,
    history_rewritten: Vec<(Strategy, Option<u32>)>,
    /// Requests on paths that are not read, by the path's shape; `None`: none are counted.
    unrecognized: Option<RefCell<BTreeMap<String, Option<u32>>>>,
}

/// The most paths with a counter of their own. Clients choose the paths, and Envoy never removes a metric.
const MAX_PATHS: usize = 64;
/// The name for all further paths.
const OTHER_PATHS: &str = "other";

/// Every outcome that a request can have.
const OUTCOMES: [RequestOutcome; 14] = [
    RequestOutcome::Compressed,
    RequestOutcome::Unchanged,
    RequestOutcome::Bypassed,
    RequestOutcome::Audited,
    RequestOutcome::Simulated,
    RequestOutcome::TooLarge,
    RequestOutcome::Encoded,
    RequestOutcome::NotUnderstood,
    RequestOutcome::HostError,
    RequestOutcome::Empty,
    RequestOutcome::Aborted,
    RequestOutcome::OverBudget,
    RequestOutcome::Extended,
    RequestOutcome::Cached,
];

/// Every way in which a WebSocket session can end.
const SESSION_ENDS: [SessionEnd; 7] = [
    SessionEnd::ClientDisconnect,
    SessionEnd::UpstreamDisconnect,
    SessionEnd::UpstreamError,
    SessionEnd::ClientError,
    SessionEnd::ResponseCompleted,
    SessionEnd::ClientTimeout,
    SessionEnd::Unknown,
];

/// What memory can put to the beginning of a conversation.
const MEMORY_CONTEXTS: [MemoryContext; 3] =
    [MemoryContext::Added, MemoryContext::Nothing, MemoryContext::Unanswered];

impl Metrics {
    /// Before there is a configuration: nothing is counted.
    pub(crate) fn none() -> Self {
        Self::with(|_, _| None)
    }

    pub(crate) fn define() -> Self {
        let defined = Self::with(|kind, name| host::define_metric(kind, name).ok());
        Self { unrecognized: Some(RefCell::default()), ..defined }
    }

    fn with(define: impl Fn(MetricType, &str) -> Option<u32>) -> Self {
        let counter = |name: &str| define(MetricType::Counter, name);
        let histogram = |name: &str| define(MetricType::Histogram, name);
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
            prefix_mismatches: counter("headroom.prefix_mismatch"),
            host_errors: counter("headroom.host_errors"),
            config_errors: define(MetricType::Gauge, "headroom.config_errors"),
            reports_sent: counter("headroom.reports_sent"),
            reports_failed: counter("headroom.reports_failed"),
            records_dropped: counter("headroom.records_dropped"),
            copies: counter("headroom.originals_copied"),
            copies_dropped: counter("headroom.originals_dropped"),
            rounds_traced: counter("headroom.hidden_rounds.traced"),
            rounds_withheld: counter("headroom.hidden_rounds.withheld"),
            retrievals_restored: counter("headroom.retrievals_restored"),
            recovered: counter("headroom.recoveries.recovered"),
            recoveries_failed: counter("headroom.recoveries.failed"),
            undecoded: counter("headroom.bodies_undecoded"),
            rounds: counter("headroom.retrieve_rounds"),
            rounds_failed: counter("headroom.retrieve_rounds_failed"),
            rounds_unsendable: counter("headroom.retrieve_rounds_unsendable"),
            no_room: counter("headroom.no_room"),
            originals_retrieved: counter("headroom.originals_retrieved"),
            originals_missing: counter("headroom.originals_missing"),
            memory_calls: counter("headroom.memory_calls"),
            memory_calls_failed: counter("headroom.memory_calls_failed"),
            memory_contexts: MEMORY_CONTEXTS.map(|context| {
                memory_context_name(context)
                    .and_then(|name| counter(&format!("headroom.memory_context.{name}")))
            }),
            text_model: ["shortened", "plain", "unanswered"]
                .map(|word| counter(&format!("headroom.text_model.{word}"))),
            sessions: counter("headroom.websocket_sessions"),
            sessions_active: define(MetricType::Gauge, "headroom.websocket_sessions_active"),
            sessions_ended: SESSION_ENDS
                .into_iter()
                .map(|end| {
                    let cause = session_end_name(end);
                    (end, counter(&format!("headroom.websocket_sessions_ended.{cause}")))
                })
                .collect(),
            session_ms: histogram("headroom.websocket_session_ms"),
            work_paused: counter("headroom.work.paused"),
            work_waited: counter("headroom.work.waited"),
            work_unpaused: counter("headroom.work.not_paused"),
            unrecognized_refused: counter("headroom.unrecognized_refused"),
            breakpoints: counter("headroom.breakpoints_added"),
            aligned_lines: counter("headroom.lines_aligned"),
            history_rewritten: Strategy::REWRITING
                .into_iter()
                .map(|strategy| {
                    (strategy, counter(&format!("headroom.history_rewritten.{}", strategy.name())))
                })
                .collect(),
            unrecognized: None,
        }
    }

    /// Counts a finished request.
    pub(crate) fn request(&self, record: &RequestRecord) {
        let outcome = record.outcome();
        if let Some((_, id)) = self.requests.iter().find(|(of, _)| *of == outcome) {
            add(*id, 1);
        }
        add(self.prefix_mismatches, record.prefix_mismatches.into());
        for (context, id) in MEMORY_CONTEXTS.into_iter().zip(self.memory_contexts) {
            add(id, u64::from(record.memory_context() == context));
        }
        if let Some(TextModelRecord { shortened, plain, unanswered }) = record.text_model {
            for (id, outputs) in self.text_model.into_iter().zip([shortened, plain, unanswered]) {
                add(id, outputs.into());
            }
        }
        if let Some(tokens) = &record.tokens {
            // An audited or simulated request leaves as it came, whatever compression would have saved.
            let after = forwarded_tokens(outcome, tokens);
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

    /// Sets the number: every VM of the process reads the same configuration and sets the same one.
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

    /// Counts copies of originals that the store has taken.
    pub(crate) fn copied(&self, copies: u64) {
        add(self.copies, copies);
    }

    /// Counts copies that found no room, or that the store refused.
    pub(crate) fn copies_dropped(&self, copies: u64) {
        add(self.copies_dropped, copies);
    }

    /// Counts rounds of our own tools that the client has not seen.
    pub(crate) fn hidden(&self, hidden: HiddenRounds) {
        add(self.rounds_traced, hidden.traced.into());
        add(self.rounds_withheld, hidden.withheld.into());
    }

    /// Counts calls of our own tool that were put back into a request.
    pub(crate) fn restored(&self, retrievals: u32) {
        add(self.retrievals_restored, retrievals.into());
    }

    /// Counts a refused request that was sent once more, and whether that helped.
    pub(crate) fn recovered(&self, helped: bool) {
        add(if helped { self.recovered } else { self.recoveries_failed }, 1);
    }

    /// Counts a body whose encoding could not be read.
    pub(crate) fn undecoded(&self) {
        add(self.undecoded, 1);
    }

    /// Counts a request that cannot be sent again because one of its headers is not text.
    pub(crate) fn round_unsendable(&self) {
        add(self.rounds_unsendable, 1);
    }

    /// Counts a request, originals or an answer that was not kept because the memory budget is used up.
    pub(crate) fn no_room(&self) {
        add(self.no_room, 1);
    }

    /// Counts a request that asks the provider to go on after a call of our tools.
    pub(crate) fn round_begun(&self) {
        add(self.rounds, 1);
    }

    /// Counts such a request that could not be made, or was not answered.
    pub(crate) fn round_failed(&self) {
        add(self.rounds_failed, 1);
    }

    /// Counts a WebSocket session that the provider has accepted.
    pub(crate) fn session_opened(&self) {
        add(self.sessions, 1);
        add(self.sessions_active, 1);
    }

    /// Counts the end of a session, and notes how long it lasted.
    pub(crate) fn session_ended(&self, end: SessionEnd, milliseconds: u32) {
        if let Some(active) = self.sessions_active {
            // See `add`.
            let _ = host::increment_metric(active, -1);
        }
        if let Some((_, id)) = self.sessions_ended.iter().find(|(of, _)| *of == end) {
            add(*id, 1);
        }
        record_value(self.session_ms, milliseconds.into());
    }

    /// Counts a slice of work on a body that is not finished.
    pub(crate) fn work_paused(&self) {
        add(self.work_paused, 1);
    }

    /// Counts a body that waits until fewer are in work.
    pub(crate) fn work_waited(&self) {
        add(self.work_waited, 1);
    }

    /// Counts a body that should have paused, and was finished in one go.
    pub(crate) fn work_unpaused(&self) {
        add(self.work_unpaused, 1);
    }

    /// Counts a request on a provider's path that the filter does not read. It passes.
    pub(crate) fn unrecognized(&self, shape: &str) {
        let Some(paths) = &self.unrecognized else { return };
        let mut paths = paths.borrow_mut();
        let is_full = paths.len() >= MAX_PATHS && !paths.contains_key(shape);
        let name = if is_full { OTHER_PATHS } else { shape };
        let id = paths.entry(name.to_owned()).or_insert_with(|| {
            host::define_metric(MetricType::Counter, &format!("headroom.unrecognized.{name}")).ok()
        });
        add(*id, 1);
    }

    /// Counts such a request that is refused because a budget is used up.
    pub(crate) fn unrecognized_refused(&self) {
        add(self.unrecognized_refused, 1);
    }

    /// Counts a call of a memory tool, and whether the sidecar has answered it.
    pub(crate) fn memory_called(&self, answered: bool) {
        add(if answered { self.memory_calls } else { self.memory_calls_failed }, 1);
    }

    /// Old turns of a conversation were rewritten.
    pub(crate) fn history_rewritten(&self, strategy: Strategy) {
        let counter = self.history_rewritten.iter().find(|(known, _)| *known == strategy);
        add(counter.and_then(|(_, counter)| *counter), 1);
    }

    /// What was changed in a request for the provider's cache.
    pub(crate) fn cache_edited(&self, breakpoints: u32, aligned_lines: u32) {
        add(self.breakpoints, breakpoints.into());
        add(self.aligned_lines, aligned_lines.into());
    }

    /// Counts an original that the model has asked for.
    pub(crate) fn retrieved(&self, found: bool) {
        add(if found { self.originals_retrieved } else { self.originals_missing }, 1);
    }
}

fn add(id: Option<u32>, amount: u64) {
    // Envoy accepts only amounts above zero.
    if let (Some(id), Ok(amount @ 1..)) = (id, i64::try_from(amount)) {
        // If the host refuses, there is no other place to count it.
        let _ = host::increment_metric(id, amount);
    }
}

fn record_value(id: Option<u32>, value: u64) {
    if let Some(id) = id {
        // See `add`.
        let _ = host::record_metric(id, value);
    }
}
