//! Whether providers use the reasoning that conversations send back.
//!
//! If something before a block of reasoning has changed, a provider drops the block or refuses the request.
//! Headroom must never change what it has sent before, so the figure has to be 0.

use headroom_api::pages::{Reasoning, ReasoningSums, Stats};

use super::Check;
use crate::running::Running;

const NAME: &str = "reasoning";

/// What to do where Headroom has changed a prefix.
const OURS: &str = "after an update, a changed configuration, or a start in front of running conversations \
    this happens once for each of them, and never in new ones. If it happens again: set `profile: lossless`, and \
    report it with the request ids that /stats shows as changed by headroom";
const CLIENTS: &str = "clients edit what they have sent before: recent_requests in /stats shows which clients. \
    This costs cache and reasoning without Headroom as well";
const UNSEEN: &str = "no record shows who changed something: these conversations began before Headroom, or \
    some of their requests did not go through it. If it happens in new conversations, report it with the request ids that /stats shows";

pub(super) async fn check(running: &Running) -> Check {
    match running.page::<Stats>("/stats", &[]).await {
        Ok(stats) => verdict(stats.reasoning.as_ref()),
        Err(error) => Check::skipped(NAME, error.to_string()),
    }
}

fn verdict(reasoning: Option<&Reasoning>) -> Check {
    let Some((all, session)) = reasoning.and_then(|it| Some((it.totals.as_ref()?, &it.display_session)))
    else {
        return Check::skipped(NAME, "this headroomd does not count lost reasoning");
    };
    let found = |of: &ReasoningSums, when: &str| {
        format!(
            "providers did not use {} blocks of reasoning {when} because something before them had changed: by \
             Headroom {}, by clients {}, unseen {}",
            of.prefix_mismatches, of.by_headroom, of.by_client, of.unseen,
        )
    };
    if all.prefix_mismatches == 0 {
        return Check::ok(NAME, "no provider has refused or dropped any for a changed prefix");
    }
    if session.by_headroom > 0 {
        return Check::failed(NAME, found(session, "in this session"), OURS);
    }
    let remedy = match (all.by_headroom, all.by_client) {
        (1.., _) => OURS,
        (_, 1..) => CLIENTS,
        _ => UNSEEN,
    };
    Check::warning(NAME, found(all, "so far"), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    fn of(all: [i64; 3], session: [i64; 3]) -> Check {
        let figures = |[ours, clients, unseen]: [i64; 3]| ReasoningSums {
            prefix_mismatches: ours + clients + unseen,
            by_headroom: ours,
            by_client: clients,
            unseen,
            ..ReasoningSums::default()
        };
        verdict(Some(&Reasoning {
            totals: Some(figures(all)),
            display_session: figures(session),
            ..Reasoning::default()
        }))
    }

    #[test]
    fn what_headroom_changed_now_fails_and_the_rest_warns() {
        assert_eq!(of([0; 3], [0; 3]).verdict, Verdict::Ok);
        let ours = of([3, 1, 0], [2, 0, 0]);
        assert_eq!((ours.verdict, ours.remedy.as_str()), (Verdict::Failed, OURS));
        assert!(
            ours.found.contains("did not use 2 blocks") && ours.found.contains("Headroom 2"),
            "{}",
            ours.found
        );
        for (all, remedy) in [([3, 1, 0], OURS), ([0, 1, 5], CLIENTS), ([0, 0, 5], UNSEEN)] {
            let check = of(all, [0, 1, 0]);
            assert_eq!((check.verdict, check.remedy.as_str()), (Verdict::Warning, remedy));
        }
        assert_eq!(verdict(None).verdict, Verdict::Skipped, "an older headroomd");
    }
}
