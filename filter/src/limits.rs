//! Budgets that are used up, as the sidecar has last reported: which requests are refused, and with which
//! message.
//!
//! A request is refused only if the sidecar has reported its budget, and each report expires after a while.
//! So a sidecar that is down, or too old to know budgets, stops no request (I1).

use headroom_api::v1::{LimitsResponse, UsedUp};
use headroom_providers::Api;

use crate::host::{self, NANOS_PER_MS};

/// The pause between two questions, if reports do not bring the answer. Requests that the VM lets through in
/// this time may overdraw a budget.
const POLL_NANOS: u64 = 5_000 * NANOS_PER_MS;
/// The pause after a failed question: a sidecar of an older version will not be updated soon.
const PAUSE_NANOS: u64 = 60_000 * NANOS_PER_MS;
/// The longest that a report counts, whatever it says: headroomd's count for a minute.
const MAX_VALID_NANOS: u64 = 600_000 * NANOS_PER_MS;
/// Further entries are ignored.
const MAX_ENTRIES: usize = 4_096;

/// What is known about budgets.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    used_up: Vec<UsedUp>,
    /// Nanoseconds; `used_up` counts until then.
    valid_until: u64,
    next_poll: u64,
    /// The question that waits for its answer.
    token: Option<u32>,
}

/// Who makes a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BudgetScope<'a> {
    /// All keys that the request shows. It is refused if one of them is over its budget.
    pub(crate) keys: &'a [String],
    pub(crate) team: &'a str,
    /// Whether it surely goes to a provider. If not, only the budget of its key can refuse it.
    pub(crate) is_providers: bool,
}

/// An answer that the filter gives instead of the provider.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct LocalReply {
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Limits {
    /// Takes what the sidecar has reported, in the answer to a report or to a question.
    pub(crate) fn heard(&mut self, mut said: LimitsResponse, now: u64) {
        said.used_up.truncate(MAX_ENTRIES);
        self.used_up = said.used_up;
        let valid_for = u64::from(said.valid_for_ms) * NANOS_PER_MS;
        self.valid_until = now.saturating_add(valid_for.min(MAX_VALID_NANOS));
        self.next_poll = now.saturating_add(POLL_NANOS);
    }

    /// Whether it is time to ask.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        now >= self.next_poll
    }

    /// Notes that a question was asked; `None`: the host refused.
    pub(crate) fn asked(&mut self, token: Option<u32>, now: u64) {
        self.token = token;
        self.next_poll = now.saturating_add(PAUSE_NANOS);
    }

    /// Whether an answer belongs to the last question; if so, that question is no longer open.
    pub(crate) fn is_answered_by(&mut self, token: u32) -> bool {
        self.token.take_if(|asked| *asked == token).is_some()
    }

    /// The refusal of a request whose budget is used up; `None`: it is not refused.
    pub(crate) fn refusal(&self, payer: BudgetScope<'_>, api: Api, now: u64) -> Option<LocalReply> {
        if now >= self.valid_until {
            return None;
        }
        let now_ms = now / NANOS_PER_MS;
        let until = |it: &UsedUp| u64::try_from(it.until_unix_ms).unwrap_or_default();
        let used_up = self
            .used_up
            .iter()
            .filter(|it| until(it) > now_ms && payer.is_meant_by(it))
            // The budget that is renewed last decides when a new attempt makes sense.
            .max_by_key(|it| until(it))?;
        let seconds = until(used_up).saturating_sub(now_ms).div_ceil(1_000);
        Some(refusal(api, &used_up.message, seconds))
    }
}

/// The status of a refusal.
pub(crate) const TOO_MANY_REQUESTS: u32 = 429;

impl LocalReply {
    /// Answers the current request with it.
    pub(crate) fn send(&self) -> host::Result<()> {
        let headers = self.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let headers: Vec<_> = headers.collect();
        host::answer(TOO_MANY_REQUESTS, "headroom_over_budget", &headers, &self.body)
    }
}

impl BudgetScope<'_> {
    fn is_meant_by(&self, used_up: &UsedUp) -> bool {
        match (used_up.key.as_str(), used_up.team.as_str()) {
            ("", "") => self.is_providers,
            (key, "") => self.keys.iter().any(|of| of == key),
            ("", team) => self.is_providers && team == self.team,
            _ => false,
        }
    }
}

/// In the format that the provider's own SDKs understand.
fn refusal(api: Api, message: &str, seconds: u64) -> LocalReply {
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        ("retry-after", seconds.to_string()),
        // Without it the SDKs of Anthropic and OpenAI would retry at once.
        ("x-should-retry", "false".to_owned()),
    ];
    let headroom_providers::Refusal { header, body } = api.refusal(message);
    headers.extend(header.map(|(name, value)| (name, value.to_owned())));
    LocalReply { headers, body: body.into_bytes() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000 * NANOS_PER_MS;

    fn used_up(key: &str, team: &str, until_s: i64) -> UsedUp {
        let message = format!("Budget of {key}{team} until {until_s}.");
        UsedUp { key: key.to_owned(), team: team.to_owned(), until_unix_ms: until_s * 1_000, message }
    }

    fn limits(used_up: Vec<UsedUp>) -> Limits {
        let mut limits = Limits::default();
        limits.heard(LimitsResponse { used_up, valid_for_ms: 60_000 }, 100 * SECOND);
        limits
    }

    fn refused(limits: &Limits, key: &str, team: &str, at: u64) -> Option<String> {
        let payer = BudgetScope { keys: &[key.to_owned()], team, is_providers: true };
        let refusal = limits.refusal(payer, Api::CohereChat, at)?;
        let body: serde_json::Value = serde_json::from_slice(&refusal.body).unwrap();
        Some(body["message"].as_str().unwrap().to_owned())
    }

    #[test]
    fn who_is_meant_is_refused_until_the_budget_begins_anew() {
        let limits = limits(vec![used_up("k", "", 120), used_up("", "t", 130)]);
        let at = 110 * SECOND;
        assert!(refused(&limits, "k", "", at).is_some() && refused(&limits, "other", "t", at).is_some());
        assert_eq!(refused(&limits, "other", "", at), None);
        assert_eq!(refused(&limits, "k", "", 120 * SECOND), None);
        assert!(refused(&limits, "k", "t", 120 * SECOND).unwrap().contains("130"));
        let everybody = super::tests::limits(vec![used_up("", "", 120)]);
        assert!(refused(&everybody, "anyone", "", at).is_some());
    }

    #[test]
    fn a_report_counts_for_ten_minutes_at_most() {
        let mut limits = limits(vec![]);
        let used_up = vec![used_up("k", "", 1_000_000)];
        limits.heard(LimitsResponse { used_up, valid_for_ms: u32::MAX }, 100 * SECOND);
        assert!(refused(&limits, "k", "", 699 * SECOND).is_some());
        assert_eq!(refused(&limits, "k", "", 700 * SECOND), None);
    }

    #[test]
    fn what_may_go_elsewhere_is_refused_for_its_key_alone() {
        let limits = limits(vec![used_up("k", "", 120), used_up("", "t", 130), used_up("", "", 140)]);
        let keys = ["other".to_owned(), "k".to_owned()];
        let refused = |keys: &[String], is_providers| {
            let payer = BudgetScope { keys, team: "t", is_providers };
            limits.refusal(payer, Api::OpenAiChat, 110 * SECOND).is_some()
        };
        assert!(refused(&keys, false) && refused(&[], true));
        assert!(!refused(&keys[..1], false));
    }

    #[test]
    fn the_word_of_a_sidecar_that_is_silent_is_forgotten() {
        let limits = limits(vec![used_up("k", "", 10_000)]);
        assert!(refused(&limits, "k", "", 159 * SECOND).is_some());
        assert_eq!(refused(&limits, "k", "", 160 * SECOND), None);
        assert_eq!(refused(&Limits::default(), "k", "", 0), None);
    }

    #[test]
    fn a_question_is_asked_now_and_then_and_less_often_of_who_does_not_answer() {
        let mut limits = Limits::default();
        assert!(limits.is_due(0));
        limits.asked(Some(7), 0);
        assert!(!limits.is_due(PAUSE_NANOS - 1) && !limits.is_answered_by(8));
        assert!(limits.is_answered_by(7) && !limits.is_answered_by(7));
        limits.heard(LimitsResponse::default(), SECOND);
        assert!(!limits.is_due(SECOND) && limits.is_due(SECOND + POLL_NANOS));
    }

    #[test]
    fn a_refusal_is_an_error_of_the_provider_s() {
        let body = |api| -> serde_json::Value {
            let refusal = refusal(api, "No.", 90);
            assert!(refusal.headers.contains(&("retry-after", "90".to_owned())));
            serde_json::from_slice(&refusal.body).unwrap()
        };
        assert_eq!(body(Api::AnthropicMessages)["error"]["type"], "rate_limit_error");
        assert_eq!(body(Api::OpenAiResponses)["error"]["code"], "budget_exceeded");
        assert_eq!(body(Api::GeminiGenerateContent)["error"]["status"], "RESOURCE_EXHAUSTED");
        for api in Api::ALL {
            let body = body(api);
            let message = body.pointer("/error/message").or_else(|| body.get("message"));
            assert_eq!(message, Some(&"No.".into()), "{api:?}");
        }
    }
}
