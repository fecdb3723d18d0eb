//! The names of what the contract enumerates, as metrics, statistics, logs and response headers spell them.

use crate::v1::{AdmissionOutcome, RequestOutcome};

/// Why WebSocket sessions end, in the original's words. The last is for what is none of the others.
pub const SESSION_ENDS: [&str; 7] = [
    "client_disconnect",
    "upstream_disconnect",
    "upstream_error",
    "client_error",
    "response_completed",
    "client_timeout",
    "unknown",
];

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
