//! `/metrics`: what this process has counted since it started, in the Prometheus text format.
//!
//! These are this process's own counts, not the store's: replicas that share a store must not each
//! export the same sum. Label values are bounded by the ledger's [`Labels`](crate::ledger::labels::Labels).

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use headroom_api::names::{MISS_REASONS, memory_context_name, miss_reason_name, prefix_change_name};
use headroom_api::v1::{PrefixChange, WebSocketSession};
use prometheus::{
    Counter, CounterVec, Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, Opts, Registry, TextEncoder,
};

use super::App;
use super::answer_metrics::AnswerMetrics;
use super::error::Refusal;
use super::original_metrics::OriginalMetrics;
use super::percentiles::Percentiles;
use super::registry::{counter, counters, register};
use super::session_metrics::SessionMetrics;
use crate::clock::now_ms;
use crate::ledger::contribution::{CountedRequest, stages};
use crate::ledger::labels::Dimension;
use crate::ledger::store::Vms;
use crate::ledger::sums::usd;
use crate::originals::store::OriginalSums;

/// Upper bounds in milliseconds for Headroom's own time.
const OWN_MS: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1000.0];
/// Upper bounds in milliseconds for a provider's time.
const PROVIDER_MS: &[f64] =
    &[1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 10e3, 30e3, 60e3, 120e3, 300e3];

/// Everything that `/metrics` shows.
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounter,
    failed: IntCounter,
    rate_limited: IntCounter,
    tokens_input: IntCounter,
    tokens_output: IntCounter,
    tokens_saved: IntCounter,
    by_dimension: Vec<(Dimension, IntCounterVec)>,
    mismatches: IntCounterVec,
    recovered: IntCounter,
    rounds: IntCounterVec,
    blocks: IntCounterVec,
    block_tokens_before: IntCounterVec,
    block_tokens_after: IntCounterVec,
    cache_read: IntCounterVec,
    cache_write: IntCounterVec,
    uncached: IntCounter,
    usage_reports: IntCounter,
    cache_hits: IntCounter,
    cache_readable: IntCounter,
    cache_rewritten: IntCounter,
    cache_misses: IntCounterVec,
    cache_lost: IntCounterVec,
    cache_lost_usd: CounterVec,
    saved_usd: Counter,
    saved_cached_usd: Counter,
    answers_saved_usd: Counter,
    whole: Vec<(&'static str, WithExtremes)>,
    stage: HistogramVec,
    percentiles: Percentiles,
    turned_away: IntCounter,
    duplicates: IntCounter,
    failures: IntCounter,
    lost_lines: IntCounter,
    waiting: IntGauge,
    store_errors: IntCounterVec,
    learned: IntCounterVec,
    sightings: IntCounter,
    memory_contexts: IntCounterVec,
    lost_records: IntGauge,
    originals: OriginalMetrics,
    answers: AnswerMetrics,
    sessions: SessionMetrics,
}

/// A histogram, and the extremes that upstream exported.
struct WithExtremes {
    histogram: Histogram,
    min: Gauge,
    max: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new();
        let r = &registry;
        let by_dimension = [
            (Dimension::Provider, "headroom_requests_by_provider", "provider", "Requests per provider."),
            (Dimension::Model, "headroom_requests_by_model", "model", "Requests per model."),
            (Dimension::Stack, "headroom_requests_by_stack", "stack", "Requests per client stack."),
            (Dimension::Project, "headroom_requests_by_project", "project", "Requests per project."),
            (Dimension::Api, "headroom_requests_by_api", "api", "Requests per wire format."),
            (Dimension::Outcome, "headroom_request_outcomes_total", "outcome", "Requests per outcome."),
        ];
        let whole = [
            ("latency", "Milliseconds from a request's headers to the end of its answer.", PROVIDER_MS),
            ("ttfb", "Milliseconds from forwarding a request to the first byte of its answer.", PROVIDER_MS),
            ("overhead", "Milliseconds for which the filter held a complete request.", OWN_MS),
        ];
        Self {
            requests: counter(r, "headroom_requests_total", "Requests."),
            failed: counter(
                r,
                "headroom_requests_failed_total",
                "Requests answered with 400 or more, or aborted.",
            ),
            rate_limited: counter(r, "headroom_requests_rate_limited_total", "Requests answered with 429."),
            tokens_input: counter(r, "headroom_tokens_input_total", "Input tokens as forwarded."),
            tokens_output: counter(
                r,
                "headroom_tokens_output_total",
                "Output tokens as providers report them.",
            ),
            tokens_saved: counter(
                r,
                "headroom_tokens_saved_total",
                "Input tokens not sent, of requests that got shorter.",
            ),
            by_dimension: by_dimension
                .into_iter()
                .map(|(dimension, name, label, help)| (dimension, counters(r, name, help, &[label])))
                .collect(),
            mismatches: mismatches(r),
            recovered: counter(
                r,
                "headroom_requests_recovered_total",
                "Requests that a provider refused for a changed prefix, sent once more so that it drops what does \
                 not fit.",
            ),
            rounds: counters(
                r,
                "headroom_tool_rounds_total",
                "Rounds of Headroom's own tools: hidden from clients, and put back into later requests.",
                &["round"],
            ),
            blocks: counters(r, "headroom_blocks_total", "Tool outputs per outcome.", &["outcome"]),
            block_tokens_before: counters(
                r,
                "headroom_block_tokens_before_total",
                "Tokens of tool outputs as clients sent them.",
                &["outcome"],
            ),
            block_tokens_after: counters(
                r,
                "headroom_block_tokens_after_total",
                "Tokens of tool outputs as forwarded.",
                &["outcome"],
            ),
            cache_read: counters(
                r,
                "headroom_cache_read_tokens_total",
                "Tokens read from the provider's cache.",
                &["provider"],
            ),
            cache_write: counters(
                r,
                "headroom_cache_write_tokens_total",
                "Tokens written to the provider's cache.",
                &["provider"],
            ),
            uncached: counter(
                r,
                "headroom_uncached_input_tokens_total",
                "Input tokens outside the provider's cache.",
            ),
            usage_reports: counter(
                r,
                "headroom_provider_cache_requests_total",
                "Requests whose answer reported usage.",
            ),
            cache_hits: counter(
                r,
                "headroom_provider_cache_hit_requests_total",
                "Requests of which a part was read from the provider's cache.",
            ),
            cache_readable: counter(
                r,
                "headroom_cache_readable_tokens_total",
                "Tokens that could have been read from the provider's cache.",
            ),
            cache_rewritten: counter(
                r,
                "headroom_cache_rewritten_tokens_total",
                "Tokens written to the provider's cache that an earlier request had written.",
            ),
            cache_misses: by_reason(counters(
                r,
                "headroom_cache_misses_total",
                "Requests that read less from the provider's cache than they could have, or had nothing to read.",
                &["reason"],
            )),
            cache_lost: by_reason(counters(
                r,
                "headroom_cache_lost_tokens_total",
                "Tokens that could have been read from the provider's cache and were not.",
                &["reason"],
            )),
            cache_lost_usd: lost_money(r),
            saved_usd: money(r, "headroom_saved_usd_total", "Saved tokens at the list price of input."),
            saved_cached_usd: money(
                r,
                "headroom_saved_cache_adjusted_usd_total",
                "Saved tokens at the price that they would have had, cache discount included.",
            ),
            whole: whole
                .into_iter()
                .map(|(stage, help, bounds)| (stage, WithExtremes::register(r, stage, help, bounds)))
                .collect(),
            stage: register(
                r,
                HistogramVec::new(
                    HistogramOpts::new("headroom_stage_timing_ms", "Milliseconds per stage.")
                        .buckets(OWN_MS.to_vec()),
                    &["path", "stage"],
                ),
            ),
            percentiles: Percentiles::register(r),
            turned_away: counter(
                r,
                "headroom_reports_turned_away_total",
                "Reports that found the ledger's queue full; their filters keep the records.",
            ),
            duplicates: counter(
                r,
                "headroom_records_duplicate_total",
                "Records that arrived again and were not counted again.",
            ),
            failures: counter(
                r,
                "headroom_ledger_failures_total",
                "Groups of reports that the store did not take.",
            ),
            lost_lines: counter(
                r,
                "headroom_log_file_lost_lines_total",
                "Requests that are missing in the log file: its disk was full or did not keep up.",
            ),
            learned: counters(
                r,
                "headroom_learn_requests_total",
                "Requests that the live learner was given: learned, or dropped because its queue was full.",
                &["outcome"],
            ),
            sightings: counter(
                r,
                "headroom_learn_sightings_total",
                "Calls that the live learner has learned something new from.",
            ),
            waiting: register(r, IntGauge::new("headroom_ledger_queue", "Reports that wait to be written.")),
            store_errors: counters(
                r,
                "headroom_store_errors_total",
                "Errors of the stores, per what went wrong: full, damaged, malformed, busy, unreachable, other.",
                &["store", "kind"],
            ),
            memory_contexts: counters(
                r,
                "headroom_memory_contexts_total",
                "Requests for which filters asked for notes of memory to begin the conversation with: added, nothing, unanswered.",
                &["result"],
            ),
            lost_records: register(
                r,
                IntGauge::new(
                    "headroom_records_lost",
                    "Records that filters announced and did not send before they fell silent, in the whole store: an Envoy was killed.",
                ),
            ),
            originals: OriginalMetrics::register(r),
            answers: AnswerMetrics::register(r),
            answers_saved_usd: money(
                r,
                "headroom_answers_saved_usd_total",
                "What the answers that came from the answer cache had cost the first time.",
            ),
            sessions: SessionMetrics::register(r),
            registry,
        }
    }
}

impl Metrics {
    /// Counts records that have become durable.
    pub(crate) fn observe(&self, landed: &[CountedRequest]) {
        for request in landed {
            self.observe_one(request);
        }
    }

    /// Counts WebSocket sessions that have ended.
    pub(crate) fn sessions_ended(&self, sessions: &[WebSocketSession]) {
        for session in sessions {
            self.sessions.ended(session);
        }
    }

    fn observe_one(&self, request: &CountedRequest) {
        let sums = &request.sums;
        for (metric, added) in [
            (&self.requests, sums.requests),
            (&self.failed, sums.failed),
            (&self.rate_limited, sums.rate_limited),
            (&self.tokens_input, sums.tokens_after),
            (&self.tokens_output, sums.output_tokens),
            (&self.tokens_saved, sums.tokens_saved),
            (&self.uncached, sums.uncached_input_tokens),
            (&self.usage_reports, sums.usage_reports),
            (&self.cache_hits, sums.cache_hits),
            (&self.recovered, sums.recovered),
        ] {
            metric.inc_by(u64::try_from(added).unwrap_or(0));
        }
        if let Some(result) = memory_context_name(request.record.memory_context()) {
            self.memory_contexts.with_label_values(&[result]).inc();
        }
        if let Some(told) = &request.record.cache_verdict {
            self.cache_readable.inc_by(told.readable_tokens);
            self.cache_rewritten.inc_by(told.rewritten_tokens);
            if let Some(reason) = miss_reason_name(told.reason()) {
                self.cache_misses.with_label_values(&[reason]).inc();
                self.cache_lost.with_label_values(&[reason]).inc_by(told.lost_tokens);
                self.cache_lost_usd.with_label_values(&[reason]).inc_by(usd(told.lost_nanousd.max(0)));
            }
        }
        self.saved_usd.inc_by(usd(sums.saved_nanousd.max(0)));
        self.saved_cached_usd.inc_by(usd(sums.saved_cached_nanousd.max(0)));
        self.answers_saved_usd.inc_by(usd(sums.answers_saved_nanousd.max(0)));
        let value = |dimension: Dimension| {
            request.counted_as.iter().find(|(found, _)| *found == dimension).map(|(_, value)| value.as_str())
        };
        for (dimension, metric) in &self.by_dimension {
            if let Some(value) = value(*dimension) {
                metric.with_label_values(&[value]).inc();
            }
        }
        if let Some(provider) = value(Dimension::Provider) {
            for (metric, tokens) in
                [(&self.cache_read, sums.cache_read_tokens), (&self.cache_write, sums.cache_write_tokens)]
            {
                metric.with_label_values(&[provider]).inc_by(u64::try_from(tokens).unwrap_or(0));
            }
        }
        if let (Some(provider), Some(whose)) =
            (value(Dimension::Provider), prefix_change_name(request.record.prefix_change()))
        {
            let blocks = u64::try_from(sums.mismatches()).unwrap_or(0);
            self.mismatches.with_label_values(&[provider, whose]).inc_by(blocks);
        }
        for (round, count) in [("hidden", sums.hidden_rounds), ("restored", sums.restored_rounds)] {
            self.rounds.with_label_values(&[round]).inc_by(u64::try_from(count).unwrap_or(0));
        }
        for (outcome, sums) in &request.blocks {
            for (metric, added) in [
                (&self.blocks, sums.blocks),
                (&self.block_tokens_before, sums.tokens_before),
                (&self.block_tokens_after, sums.tokens_after),
            ] {
                metric.with_label_values(&[outcome]).inc_by(u64::try_from(added).unwrap_or(0));
            }
        }
        let path = value(Dimension::Api).unwrap_or_default();
        for (stage, us) in stages(&request.record) {
            let ms = f64::from(us) / 1_000.0;
            match self.whole.iter().find(|(whole, _)| *whole == stage) {
                Some((_, metric)) => {
                    metric.observe(ms);
                    self.percentiles.observe("", stage, us);
                }
                None => {
                    self.stage.with_label_values(&[path, stage]).observe(ms);
                    self.percentiles.observe(path, stage, us);
                }
            }
        }
    }

    fn encode(
        &self,
        app: &App,
        originals: Option<OriginalSums>,
        vms: Option<Vms>,
    ) -> Result<String, prometheus::Error> {
        let counts = app.ledger.counts();
        // the counts are kept elsewhere; this copies them to the registry before it is read
        for (metric, now) in [
            (&self.turned_away, counts.turned_away()),
            (&self.duplicates, counts.duplicates()),
            (&self.failures, counts.failures()),
            (&self.lost_lines, app.lost_lines.lines()),
            (&self.sightings, app.learning.sightings()),
        ] {
            metric.inc_by(now.saturating_sub(metric.get()));
        }
        for (outcome, now) in [("learned", app.learning.requests()), ("dropped", app.learning.dropped())] {
            let metric = self.learned.with_label_values(&[outcome]);
            metric.inc_by(now.saturating_sub(metric.get()));
        }
        self.waiting.set(i64::try_from(app.ledger.waiting()).unwrap_or(i64::MAX));
        for (store, watch) in app.probes.watches() {
            for (trouble, now) in watch.errors() {
                let metric = self.store_errors.with_label_values(&[store, trouble.name()]);
                metric.inc_by(now.saturating_sub(metric.get()));
            }
        }
        self.originals.follow(app.originals.counts());
        self.percentiles.follow();
        self.answers.follow(&app.answers);
        self.sessions_ended(&app.sessions.gone());
        self.sessions.follow(&app.sessions);
        if let Some(sums) = originals {
            self.originals.set(&sums);
        }
        if let Some(vms) = vms {
            self.lost_records.set(vms.lost_records);
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

impl WithExtremes {
    fn register(registry: &Registry, stage: &str, help: &str, bounds: &[f64]) -> Self {
        let name = format!("headroom_{stage}_ms");
        let gauge = |which: &str| {
            register(registry, Gauge::new(format!("{name}_{which}"), format!("{help} ({which})")))
        };
        Self {
            histogram: register(
                registry,
                Histogram::with_opts(HistogramOpts::new(&name, help).buckets(bounds.to_vec())),
            ),
            min: gauge("min"),
            max: gauge("max"),
        }
    }

    fn observe(&self, ms: f64) {
        // only the ledger's one writer observes, so reading and setting cannot interleave
        if self.histogram.get_sample_count() == 0 || ms < self.min.get() {
            self.min.set(ms);
        }
        if ms > self.max.get() {
            self.max.set(ms);
        }
        self.histogram.observe(ms);
    }
}

/// Starts at 0 instead of missing, because an alert needs a value to compare with.
fn lost_money(registry: &Registry) -> CounterVec {
    let opts = Opts::new(
        "headroom_cache_lost_usd_total",
        "Extra cost of tokens that could have been read from the provider's cache and were not.",
    );
    let metric = register(registry, CounterVec::new(opts, &["reason"]));
    for (reason, _) in MISS_REASONS {
        metric.with_label_values(&[reason]);
    }
    metric
}

/// Creates a series for every reason, so that an alert does not miss the first event.
fn by_reason(metric: IntCounterVec) -> IntCounterVec {
    for (reason, _) in MISS_REASONS {
        metric.with_label_values(&[reason]);
    }
    metric
}

fn mismatches(registry: &Registry) -> IntCounterVec {
    let metric = counters(
        registry,
        "headroom_prefix_mismatch_total",
        "Blocks of reasoning that a provider did not use because something before them had changed, and who had \
         changed it: headroom, client, or unseen where no record shows it. Has to stay 0 for headroom.",
        &["provider", "whose"],
    );
    for provider in ["anthropic", "bedrock", "openai"] {
        for whose in [PrefixChange::Headroom, PrefixChange::Client, PrefixChange::Unseen] {
            metric.with_label_values(&[provider, prefix_change_name(whose).unwrap_or_default()]);
        }
    }
    metric
}

fn money(registry: &Registry, name: &str, help: &str) -> Counter {
    register(registry, Counter::new(name, help))
}

/// The text format, version 0.0.4, which every Prometheus reads.
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Refusal> {
    // without the store the counts of this process are still shown
    let originals = app.originals.sums().await.ok();
    let vms = app.store.vms(now_ms()).await.ok();
    let text = app.metrics.encode(&app, originals, vms).map_err(|error| {
        tracing::error!(message = "Metrics could not be encoded.", %error);
        Refusal::INTERNAL
    })?;
    Ok(([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response())
}
