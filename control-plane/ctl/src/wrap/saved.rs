//! The savings of a run: the difference of two answers of `/stats`.

use headroom_api::pages::Stats;

use crate::number::{grouped, saved};
use crate::running::Running;

/// The figures that a run changes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Figures {
    requests: u64,
    of_stack: u64,
    before: u64,
    saved: u64,
}

impl Figures {
    /// The current figures; `None` if Headroom does not answer.
    pub(super) async fn now(running: &Running, stack: &str) -> Option<Self> {
        Some(Self::from_stats(running.page("/stats", &[]).await.ok()?, stack))
    }

    fn from_stats(stats: Stats, stack: &str) -> Self {
        let figure = |figure: i64| u64::try_from(figure).unwrap_or_default();
        let requests = stats.requests.unwrap_or_default();
        let tokens = stats.tokens.unwrap_or_default();
        Self {
            requests: figure(requests.total),
            of_stack: figure(requests.by_stack.get(stack).copied().unwrap_or_default()),
            before: figure(tokens.total_before_compression),
            saved: figure(tokens.saved),
        }
    }

    /// Whether a request has passed since `earlier`.
    pub(super) fn has_more_than(self, earlier: Self) -> bool {
        self.requests > earlier.requests
    }

    /// One line about what came after `earlier`.
    pub(super) fn since(self, earlier: Self) -> String {
        let requests = self.requests.saturating_sub(earlier.requests);
        let of_stack = self.of_stack.saturating_sub(earlier.of_stack);
        if requests == 0 {
            return "no request that Headroom can read went through it".to_owned();
        }
        let before = self.before.saturating_sub(earlier.before);
        let tokens = self.saved.saturating_sub(earlier.saved);
        let share = saved(before, before.saturating_sub(tokens));
        let others =
            if of_stack > 0 && of_stack < requests { ", including those of other clients" } else { "" };
        let noun = if requests == 1 { "request" } else { "requests" };
        format!(
            "saved {} of {} input tokens ({share}) in {requests} {noun}{others}",
            grouped(tokens),
            grouped(before)
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn figures(requests: u64, of_stack: u64, before: u64, saved: u64) -> Figures {
        let stats = json!({
            "requests": {"total": requests, "by_stack": {"wrap_pi": of_stack}},
            "tokens": {"total_before_compression": before, "saved": saved},
        });
        Figures::from_stats(serde_json::from_value(stats).unwrap(), "wrap_pi")
    }

    #[test]
    fn a_run_is_told_in_one_line() {
        let line = |after: Figures| after.since(figures(10, 2, 1000, 100));
        assert_eq!(
            line(figures(14, 6, 21_000, 5100)),
            "saved 5,000 of 20,000 input tokens (25.0 %) in 4 requests"
        );
        assert!(line(figures(11, 3, 1001, 100)).ends_with("in 1 request"));
        assert!(line(figures(14, 3, 2000, 100)).ends_with("including those of other clients"));
        assert_eq!(line(figures(10, 2, 1000, 100)), "no request that Headroom can read went through it");
        assert_eq!(line(Figures::default()), "no request that Headroom can read went through it");
    }
}
