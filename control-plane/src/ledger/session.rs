//! The display session: what was saved since work was last taken up.

use crate::clock::{MINUTE_MS, UnixMs};
use crate::ledger::sums::Sums;

/// Inactivity after which the next report begins a new session, as in upstream.
pub const ROLLOVER_MINUTES: i64 = 60;

/// Sums since the last hour of inactivity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DisplaySession {
    /// Of the first report in it; 0 before the first ever.
    pub started_ms: UnixMs,
    /// Of the last report.
    pub last_activity_ms: UnixMs,
    /// What was added in between.
    pub sums: Sums,
}

/// The session after a report that adds `added` at `now`.
pub fn extended(session: DisplaySession, added: Sums, now: UnixMs) -> DisplaySession {
    let mut session = if is_over(&session, now) {
        DisplaySession { started_ms: now, ..DisplaySession::default() }
    } else {
        session
    };
    // a clock that is set back must not make the session seem idle
    session.last_activity_ms = session.last_activity_ms.max(now);
    session.sums += added;
    session
}

/// The session to show at `now`: an empty one when the last is over.
pub fn shown(session: DisplaySession, now: UnixMs) -> DisplaySession {
    if is_over(&session, now) { DisplaySession::default() } else { session }
}

fn is_over(session: &DisplaySession, now: UnixMs) -> bool {
    session.started_ms == 0 || now - session.last_activity_ms > ROLLOVER_MINUTES * MINUTE_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixMs = 1_790_000_000_000;
    const IDLE: i64 = ROLLOVER_MINUTES * MINUTE_MS;

    fn after(session: DisplaySession, now: UnixMs) -> DisplaySession {
        extended(session, Sums { requests: 1, ..Sums::default() }, now)
    }

    #[test]
    fn an_hour_of_inactivity_begins_a_new_session_and_no_less() {
        let first = after(DisplaySession::default(), START);
        assert_eq!((first.started_ms, first.sums.requests), (START, 1));
        let second = after(first, START + IDLE);
        assert_eq!((second.started_ms, second.sums.requests), (START, 2));
        let third = after(second, START + 2 * IDLE + 1);
        assert_eq!((third.started_ms, third.sums.requests), (START + 2 * IDLE + 1, 1));
    }

    #[test]
    fn a_clock_set_back_keeps_the_session() {
        let first = after(DisplaySession::default(), START);
        let second = after(first, START - 10 * IDLE);
        assert_eq!((second.last_activity_ms, second.sums.requests), (START, 2));
    }

    #[test]
    fn a_session_that_is_over_is_not_shown() {
        let first = after(DisplaySession::default(), START);
        assert_eq!(shown(first, START + IDLE).sums.requests, 1);
        assert_eq!(shown(first, START + IDLE + 1), DisplaySession::default());
    }
}
