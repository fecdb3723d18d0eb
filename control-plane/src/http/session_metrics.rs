//! The part of `/metrics` that tells of WebSocket sessions that have ended.

use headroom_api::v1::RequestRecord;
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use super::metrics::{counter, counters, register};
use crate::sessions::{cause, duration_ms};

/// Upper bounds in milliseconds: OpenAI ends a session after an hour.
const SESSION_MS: &[f64] = &[100.0, 1e3, 10e3, 60e3, 300e3, 900e3, 1_800e3, 3_600e3];

/// The only label is the cause, of which there are seven.
pub(super) struct SessionMetrics {
    ended: IntCounterVec,
    duration: HistogramVec,
    longest: GaugeVec,
    requests: IntCounter,
    client_frames: IntCounter,
    client_bytes: IntCounter,
    server_frames: IntCounter,
    server_bytes: IntCounter,
}

impl SessionMetrics {
    pub(super) fn register(r: &Registry) -> Self {
        let duration = "headroom_ws_session_duration_ms";
        let help = "Milliseconds from the request for a WebSocket session to its end.";
        Self {
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
            requests: counter(r, "headroom_ws_requests_total", "Requests made in WebSocket sessions."),
            client_frames: counter(r, "headroom_ws_client_frames_total", "Frames that clients sent."),
            client_bytes: counter(r, "headroom_ws_client_bytes_total", "Bytes that clients sent."),
            server_frames: counter(r, "headroom_ws_server_frames_total", "Frames that providers sent."),
            server_bytes: counter(r, "headroom_ws_server_bytes_total", "Bytes that providers sent."),
        }
    }

    /// Counts a session; does nothing for a record of something else.
    pub(super) fn observe(&self, record: &RequestRecord) {
        let (Some(cause), Some(session)) = (cause(record), &record.websocket) else { return };
        let ms = duration_ms(record);
        self.ended.with_label_values(&[cause]).inc();
        self.duration.with_label_values(&[cause]).observe(ms);
        let longest = self.longest.with_label_values(&[cause]);
        // only the ledger's one writer observes, so reading and setting cannot interleave
        longest.set(longest.get().max(ms));
        for (metric, count) in [
            (&self.requests, u64::from(session.requests)),
            (&self.client_frames, session.client_frames),
            (&self.client_bytes, session.client_bytes),
            (&self.server_frames, session.server_frames),
            (&self.server_bytes, session.server_bytes),
        ] {
            metric.inc_by(count);
        }
    }
}
