//! The part of `/metrics` about WebSocket sessions.

use headroom_api::v1::WebSocketSession;
use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use super::registry::{counter, counters, register};
use crate::sessions::{Sessions, cause};

/// Upper bounds in milliseconds: OpenAI ends a session after an hour.
const SESSION_MS: &[f64] = &[100.0, 1e3, 10e3, 60e3, 300e3, 900e3, 1_800e3, 3_600e3];

/// Sessions over WebSocket. Labels are the seven causes.
pub(super) struct SessionMetrics {
    active: IntGauge,
    ended: IntCounterVec,
    duration: HistogramVec,
    longest: GaugeVec,
    requests: IntCounter,
    client_frames: IntCounter,
    client_bytes: IntCounter,
    server_frames: IntCounter,
    server_bytes: IntCounter,
    saved_bytes: IntCounter,
}

impl SessionMetrics {
    pub(super) fn register(r: &Registry) -> Self {
        let duration = "headroom_ws_session_duration_ms";
        let help = "Milliseconds from the request for a WebSocket session to its end.";
        Self {
            active: register(
                r,
                IntGauge::new("headroom_active_ws_sessions", "WebSocket sessions that are open."),
            ),
            ended: counters(
                r,
                "headroom_ws_sessions_total",
                "WebSocket sessions that have ended.",
                &["cause"],
            ),
            duration: register(
                r,
                HistogramVec::new(
                    HistogramOpts::new(duration, help).buckets(SESSION_MS.to_vec()),
                    &["cause"],
                ),
            ),
            longest: register(
                r,
                GaugeVec::new(Opts::new(format!("{duration}_max"), format!("{help} (max)")), &["cause"]),
            ),
            requests: counter(
                r,
                "headroom_ws_requests_total",
                "Requests made in WebSocket sessions that have ended.",
            ),
            client_frames: counter(r, "headroom_ws_client_frames_total", "Frames that clients sent."),
            client_bytes: counter(r, "headroom_ws_client_bytes_total", "Bytes that clients sent."),
            server_frames: counter(r, "headroom_ws_server_frames_total", "Frames that providers sent."),
            server_bytes: counter(r, "headroom_ws_server_bytes_total", "Bytes that providers sent."),
            saved_bytes: counter(
                r,
                "headroom_ws_saved_bytes_total",
                "Bytes of clients that were not forwarded because requests were compressed.",
            ),
        }
    }

    /// Counts a session that has ended.
    pub(super) fn ended(&self, session: &WebSocketSession) {
        let cause = cause(session);
        let ms = session.ended_unix_ms.saturating_sub(session.started_unix_ms).max(0) as f64;
        self.ended.with_label_values(&[cause]).inc();
        self.duration.with_label_values(&[cause]).observe(ms);
        raise(&self.longest.with_label_values(&[cause]), ms);
        for (metric, count) in [
            (&self.requests, session.requests),
            (&self.client_frames, session.client_frames),
            (&self.client_bytes, session.client_bytes),
            (&self.server_frames, session.server_frames),
            (&self.server_bytes, session.server_bytes),
            (&self.saved_bytes, session.saved_bytes),
        ] {
            metric.inc_by(count);
        }
    }

    pub(super) fn follow(&self, sessions: &Sessions) {
        self.active.set(i64::try_from(sessions.open()).unwrap_or(i64::MAX));
    }
}

/// Raises a maximum. Concurrent calls may lose a maximum, but never a count.
fn raise(gauge: &Gauge, value: f64) {
    if value > gauge.get() {
        gauge.set(value);
    }
}
