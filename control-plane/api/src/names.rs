//! The names of what the contract enumerates, as metrics, statistics, logs and response headers spell them.

use crate::v1::{AdmissionOutcome, PrefixChange, PrefixMismatchSource, RequestOutcome, SessionEnd};

/// The header with which Envoy's configuration marks what it hands on to headroomd from a listener that other
/// machines reach.
pub const REMOTE_HEADER: &str = "x-headroom-remote";

/// Why a WebSocket session ended, in the original's words; while it is open nobody knows.
#[must_use]
pub const fn session_end_name(end: SessionEnd) -> &'static str {
    match end {
        SessionEnd::ClientDisconnect => "client_disconnect",
        SessionEnd::UpstreamDisconnect => "upstream_disconnect",
        SessionEnd::UpstreamError => "upstream_error",
        SessionEnd::ClientError => "client_error",
        SessionEnd::ResponseCompleted => "response_completed",
        SessionEnd::ClientTimeout => "client_timeout",
        SessionEnd::Unspecified | SessionEnd::Unknown => "unknown",
    }
}

/// The name of what became of a request.
#[must_use]
pub const fn outcome_name(outcome: RequestOutcome) -> &'static str {
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
        RequestOutcome::OverBudget => "over_budget",
    }
}

/// The name of what became of a request's originals; `None` where nothing had to be stored.
#[must_use]
pub const fn admission_name(outcome: AdmissionOutcome) -> Option<&'static str> {
    Some(match outcome {
        AdmissionOutcome::Unspecified => return None,
        AdmissionOutcome::Stored => "stored",
        AdmissionOutcome::Acknowledged => "acknowledged",
        AdmissionOutcome::Timeout => "timeout",
        AdmissionOutcome::Error => "error",
        AdmissionOutcome::Incomplete => "incomplete",
        AdmissionOutcome::Breaker => "breaker",
    })
}

/// Whose change a prefix mismatch goes back to; `None` where there was none.
#[must_use]
pub const fn prefix_change_name(change: PrefixChange) -> Option<&'static str> {
    Some(match change {
        PrefixChange::Unspecified => return None,
        PrefixChange::Headroom => "headroom",
        PrefixChange::Client => "client",
        PrefixChange::Unseen => "unseen",
    })
}

/// How a prefix mismatch was seen; `None` where there was none.
#[must_use]
pub const fn prefix_mismatch_source_name(source: PrefixMismatchSource) -> Option<&'static str> {
    Some(match source {
        PrefixMismatchSource::Unspecified => return None,
        PrefixMismatchSource::InputTransformations => "input_transformations",
        PrefixMismatchSource::Refusal => "refusal",
    })
}
