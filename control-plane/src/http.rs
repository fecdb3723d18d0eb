//! HTTP for people and Prometheus.

mod answer_metrics;
mod board;
mod budgets;
mod compress;
mod dashboard;
mod debug;
mod error;
mod events;
mod feed;
mod guard;
mod health;
mod memory;
mod metrics;
mod original_metrics;
mod percentiles;
mod purge;
mod recent;
mod registry;
mod retrieve;
mod session_metrics;
mod stats;
mod stats_cache;
mod stats_history;
mod telemetry;
mod toin;
mod tool_call;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Router, middleware};
use tower_http::timeout::TimeoutLayer;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub(crate) use self::board::Board;
pub(crate) use self::compress::Desk;
use self::error::Refusal;
pub(crate) use self::guard::Guard;
pub(crate) use self::health::Probes;
pub(crate) use self::metrics::Metrics;
pub(crate) use self::recent::Turnstile;

use crate::answers::Answers;
use crate::filters::Filters;
use crate::learn::{LearnCounts, StoredSightings};
use crate::ledger::contribution::Accounting;
use crate::ledger::store::LedgerStore;
use crate::ledger::writer::Ledger;
use crate::memory::Memory;
use crate::messages::Messages;
use crate::originals::keeper::Originals;
use crate::relevance::Scorer;
use crate::request_log::LostLines;
use crate::sessions::Sessions;
use crate::tasks::Tasks;
use crate::telemetry::Beacon;
use crate::text_model::TextModel;
use crate::warmup::Warmup;

/// Bytes of a request's body at most: the longest is a hash and a query.
const MAX_BODY_BYTES: usize = 64 << 10;
/// How long an answer may take before the caller is asked to retry.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The data that the endpoints read.
pub(crate) struct App {
    pub(crate) store: Arc<dyn LedgerStore>,
    pub(crate) ledger: Ledger,
    pub(crate) originals: Originals,
    pub(crate) answers: Answers,
    pub(crate) metrics: Arc<Metrics>,
    /// Lost lines of the log file.
    pub(crate) lost_lines: Arc<LostLines>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) filters: Arc<Filters>,
    pub(crate) messages: Arc<Messages>,
    pub(crate) memory: Memory,
    /// Who ranks stretches of originals, where a request does not say.
    pub(crate) scorer: Scorer,
    /// Of the learner.
    pub(crate) learning: Arc<LearnCounts>,
    pub(crate) learned: StoredSightings,
    pub(crate) board: Board,
    pub(crate) turnstile: Turnstile,
    pub(crate) accounting: Arc<Accounting>,
    pub(crate) desk: Desk,
    pub(crate) guard: Arc<Guard>,
    pub(crate) text_model: Arc<TextModel>,
    pub(crate) warmup: Warmup,
    pub(crate) probes: Probes,
    pub(crate) beacon: Arc<Beacon>,
    pub(crate) tasks: Tasks,
    pub(crate) stop: CancellationToken,
    pub(crate) listeners: Arc<Semaphore>,
    pub(crate) started: Instant,
    /// The values of `HEADROOM_DEPLOYMENT_*`.
    pub(crate) deployment: BTreeMap<String, Option<String>>,
}

/// The permits for listeners of `/events`.
pub(crate) fn listeners() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(events::MAX_LISTENERS))
}

/// Only `/metrics`, for a separate listener.
pub(crate) fn metrics_router(app: Arc<App>, guard: Arc<Guard>) -> Router {
    Router::new()
        .route("/metrics", get(metrics::metrics))
        .fallback(|| async { Refusal::NOT_FOUND })
        .method_not_allowed_fallback(|| async { Refusal::METHOD })
        .layer(middleware::from_fn_with_state(guard, guard::guard))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, ANSWER_TIMEOUT))
        .with_state(app)
}

/// Every endpoint.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/health", get(health::health))
        .route("/stats", get(stats::stats))
        .route("/stats-history", get(stats_history::stats_history))
        .route("/stats-cache", get(stats_cache::stats_cache))
        .route("/stats-conversations", get(recent::conversations))
        .route("/stats-recent", get(recent::recent))
        .route("/stats-budgets", get(budgets::budgets))
        .route("/v1/toin/stats", get(toin::stats))
        .route("/v1/toin/export", get(toin::export))
        .route("/transformations/feed", get(feed::feed))
        .route("/metrics", get(metrics::metrics))
        .route("/v1/retrieve", get(retrieve::get).post(retrieve::post))
        .route("/v1/retrieve/tool_call", post(tool_call::post))
        .route("/v1/retrieve/stats", get(retrieve::stats))
        .route("/v1/retrieve/{hash}", get(retrieve::get_hash))
        .route("/v1/usage", post(compress::usage))
        .route("/v1/purge", post(purge::post))
        .route("/cache/clear", post(purge::clear_answers))
        .route("/telemetry", get(telemetry::telemetry))
        .route("/events", get(events::events))
        .merge(memory::router())
        .merge(dashboard::router())
        .merge(debug::router())
        .fallback(|| async { Refusal::NOT_FOUND })
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, ANSWER_TIMEOUT))
        // it has its own deadline, and still answers after that
        .route("/v1/compress", post(compress::compress))
        .method_not_allowed_fallback(|| async { Refusal::METHOD })
        .layer(middleware::from_fn_with_state(Arc::clone(&app.guard), guard::guard))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(app)
}
