//! The names of the contract's enumerations in metrics, statistics, logs and response headers.

use crate::v1::{
    AnswerLookup, MemoryContext, MissReason, PrefixChange, PrefixMismatchSource, RequestOutcome,
    RequestRecord, SessionEnd, VolatileClass,
};

/// The header that Envoy's configuration adds to requests for headroomd from a listener that other machines
/// can reach.
pub const REMOTE_HEADER: &str = "x-headroom-remote";

/// The `api` of a record for a call of `/v1/compress`, which is not a request to a provider.
pub const COMPRESS_API: &str = "compress";

/// The stack of the test request of `headroomctl doctor`.
pub const DOCTOR_STACK: &str = "headroom_doctor";

/// Why a request read less from the provider's cache than it could have: the name, and what it means.
pub const MISS_REASONS: [(&str, &str); 13] = [
    ("first_request", "nothing had been written before"),
    ("lifetime_lapsed", "what had been written had expired"),
    ("model_changed", "another model, or another route to it"),
    ("tools_changed", "the tool list was different"),
    ("system_changed", "the system prompt was different"),
    ("history_edited_by_client", "the client had changed an earlier message"),
    ("history_edited_by_headroom", "Headroom had changed an earlier message"),
    ("below_minimum", "shorter than the provider caches"),
    ("no_breakpoint", "no breakpoint was set where the provider wants one"),
    ("look_back_missed", "the last breakpoint that was written lay further back than the provider looks"),
    ("provider_missed", "nothing had changed, but the provider did not find it"),
    ("unknown", "no record of what was written is kept"),
    ("parameters_changed", "thinking, the choice of a tool or the format of the answer was different"),
];

/// The name of a reason, as [`MISS_REASONS`] has it; `None` if nothing was missed.
#[must_use]
pub fn miss_reason_name(reason: MissReason) -> Option<&'static str> {
    let at = usize::try_from(reason as i32).ok()?.checked_sub(1)?;
    MISS_REASONS.get(at).map(|(name, _)| *name)
}

/// What changes in a line of a system prompt; `None` if unknown.
#[must_use]
pub const fn volatile_class_name(class: VolatileClass) -> Option<&'static str> {
    Some(match class {
        VolatileClass::Unspecified => return None,
        VolatileClass::Date => "date",
        VolatileClass::Time => "time",
        VolatileClass::Uuid => "uuid",
        VolatileClass::Number => "number",
        VolatileClass::Listing => "listing",
    })
}

/// Whether a record is of such a test request, which is not counted. It has no credential and no team, so no one
/// can use its name to avoid a budget.
#[must_use]
pub fn is_probe(record: &RequestRecord) -> bool {
    record.stack == DOCTOR_STACK && record.key.is_empty() && record.team.is_empty()
}

/// Why a WebSocket session ended, in upstream's words; while it is open this is unknown.
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

/// The name of a request's outcome.
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
        RequestOutcome::Extended => "extended",
        RequestOutcome::Simulated => "simulated",
        RequestOutcome::Cached => "cached",
    }
}

/// What the cache of answers had for a request; `None` if there was no lookup.
#[must_use]
pub const fn answer_lookup_name(lookup: AnswerLookup) -> Option<&'static str> {
    Some(match lookup {
        AnswerLookup::Unspecified => return None,
        AnswerLookup::Miss => "miss",
        AnswerLookup::Hit => "hit",
        AnswerLookup::Similar => "semantic",
        AnswerLookup::Failed => "failed",
        AnswerLookup::Refresh => "refresh",
    })
}

/// What memory has put to the beginning of a conversation; `None` where it was not asked.
#[must_use]
pub const fn memory_context_name(context: MemoryContext) -> Option<&'static str> {
    Some(match context {
        MemoryContext::Unspecified => return None,
        MemoryContext::Added => "added",
        MemoryContext::Nothing => "nothing",
        MemoryContext::Unanswered => "unanswered",
    })
}

/// Whose change caused a prefix mismatch; `None` if there was no mismatch.
#[must_use]
pub const fn prefix_change_name(change: PrefixChange) -> Option<&'static str> {
    Some(match change {
        PrefixChange::Unspecified => return None,
        PrefixChange::Headroom => "headroom",
        PrefixChange::Client => "client",
        PrefixChange::Unseen => "unseen",
    })
}

/// How a prefix mismatch was detected; `None` if there was none.
#[must_use]
pub const fn prefix_mismatch_source_name(source: PrefixMismatchSource) -> Option<&'static str> {
    Some(match source {
        PrefixMismatchSource::Unspecified => return None,
        PrefixMismatchSource::InputTransformations => "input_transformations",
        PrefixMismatchSource::Refusal => "refusal",
    })
}

/// Reads the value of a variable or a query as yes or no; `None` if it is neither.
#[must_use]
pub fn yes_or_no(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "on" | "yes" => Some(true),
        "0" | "false" | "off" | "no" => Some(false),
        _ => None,
    }
}

/// The variable that limits the bodies that a worker of Envoy processes at a time.
pub const PRE_UPSTREAM_VARIABLE: &str = "HEADROOM_ANTHROPIC_PRE_UPSTREAM_CONCURRENCY";

/// How many bodies a worker of Envoy may process at a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PreUpstream {
    /// 0: no limit.
    pub resolved: u32,
    /// `auto` or `configured`.
    pub source: &'static str,
}

/// Reads the value of the argument or of [`PRE_UPSTREAM_VARIABLE`]. Without one, it is the number of processors, from
/// 2 to 8. `None`: the value is not a number.
pub fn pre_upstream(text: Option<&str>) -> Option<PreUpstream> {
    match text.map(str::trim).filter(|text| !text.is_empty()) {
        Some(text) => {
            let number: i64 = text.parse().ok()?;
            let resolved = u32::try_from(number.clamp(0, 10_000)).ok()?;
            Some(PreUpstream { resolved, source: "configured" })
        }
        None => {
            let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
            let resolved = u32::try_from(processors.clamp(2, 8)).ok()?;
            Some(PreUpstream { resolved, source: "auto" })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_in_work_are_bounded_unless_it_is_said_otherwise() {
        let resolved = |text| pre_upstream(text).map(|it| it.resolved);
        for (text, expected) in [("3", 3), ("0", 0), ("-1", 0), (" 12 ", 12), ("99999999", 10_000)] {
            assert_eq!(resolved(Some(text)), Some(expected), "{text}");
        }
        assert_eq!(resolved(Some("many")), None);
        for nothing in [None, Some(""), Some(" ")] {
            let auto = pre_upstream(nothing).unwrap();
            assert!((2..=8).contains(&auto.resolved) && auto.source == "auto");
        }
    }
}
