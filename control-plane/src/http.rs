//! HTTP for people and Prometheus.

mod debug;
mod error;
mod feed;
mod health;
mod metrics;
mod stats;
mod stats_history;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::get;
use tower_http::timeout::TimeoutLayer;

use self::error::Refusal;
pub(crate) use self::metrics::Metrics;
use crate::ledger::contribution::Accounting;
use crate::ledger::writer::Ledger;
use crate::store::LedgerStore;

/// Bytes of a request's body at most; no endpoint here takes one.
const MAX_BODY_BYTES: usize = 64 << 10;
/// How long an answer may take before the caller is told to come back.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What the endpoints read from.
pub(crate) struct App {
    pub(crate) store: Arc<dyn LedgerStore>,
    pub(crate) ledger: Ledger,
    pub(crate) accounting: Arc<Accounting>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) started: Instant,
    pub(crate) deployment: health::Deployment,
}

impl App {
    pub(crate) fn new(
        store: Arc<dyn LedgerStore>,
        ledger: Ledger,
        accounting: Arc<Accounting>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let deployment = health::Deployment::from_env(|name| std::env::var(name).ok());
        Self { store, ledger, accounting, metrics, started: Instant::now(), deployment }
    }
}

/// Every endpoint.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/health", get(health::health))
        .route("/stats", get(stats::stats))
        .route("/stats-history", get(stats_history::stats_history))
        .route("/transformations/feed", get(feed::feed))
        .route("/metrics", get(metrics::metrics))
        .merge(debug::router())
        .fallback(|| async { Refusal::NOT_FOUND })
        .method_not_allowed_fallback(|| async { Refusal::METHOD })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, ANSWER_TIMEOUT))
        .with_state(app)
}
