//! The WebSocket sessions of a VM, for the next report: open ones, and those that have ended since.

use std::collections::BTreeMap;

use headroom_api::v1::WebSocketSession;

/// The most sessions in a report; further ones are counted by Envoy only. A report of all is a quarter of a
/// megabyte.
const MAX_SESSIONS: usize = 1_024;
/// While sessions are open they are reported at least this often. Otherwise the sidecar takes them for dead.
const EVERY_NS: u64 = 10_000_000_000;

/// The sessions that the sidecar has to know.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    latest: BTreeMap<String, WebSocketSession>,
    /// Whether a session has been opened or has ended since the last report.
    news: bool,
    sent_at: u64,
    /// Ended sessions in the report that is under way.
    on_their_way: Vec<String>,
}

impl Sessions {
    /// Takes the current state of a session.
    pub(crate) fn note(&mut self, session: WebSocketSession) {
        let known = self.latest.contains_key(&session.session_id);
        if !known && self.latest.len() >= MAX_SESSIONS {
            return;
        }
        self.news |= !known || session.ended_unix_ms != 0;
        self.latest.insert(session.session_id.clone(), session);
    }

    /// Whether there is something to report.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        self.news || !self.latest.is_empty() && now.saturating_sub(self.sent_at) >= EVERY_NS
    }

    /// All sessions, for a report.
    pub(crate) fn send(&mut self, now: u64) -> Vec<WebSocketSession> {
        self.news = false;
        self.sent_at = now;
        let sessions: Vec<_> = self.latest.values().cloned().collect();
        let ended = sessions.iter().filter(|session| session.ended_unix_ms != 0);
        self.on_their_way = ended.map(|session| session.session_id.clone()).collect();
        sessions
    }

    /// The report has arrived: ended sessions in it are dropped.
    pub(crate) fn arrived(&mut self) {
        for id in self.on_their_way.drain(..) {
            self.latest.remove(&id);
        }
    }

    /// The report has not arrived.
    pub(crate) fn lost(&mut self) {
        self.news |= !self.on_their_way.is_empty();
        self.on_their_way.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: &str, ended: i64) -> WebSocketSession {
        WebSocketSession { session_id: id.to_owned(), ended_unix_ms: ended, ..WebSocketSession::default() }
    }

    #[test]
    fn a_session_that_has_ended_is_told_of_until_the_report_arrives() {
        let mut sessions = Sessions::default();
        assert!(!sessions.is_due(0));
        sessions.note(session("a", 0));
        sessions.note(session("b", 0));
        assert!(sessions.is_due(0));
        assert_eq!(sessions.send(1).len(), 2);
        assert!(!sessions.is_due(2));
        assert!(sessions.is_due(1 + EVERY_NS), "open ones are told of from time to time");

        sessions.note(session("a", 7));
        assert_eq!(sessions.send(3).len(), 2);
        sessions.lost();
        assert!(sessions.is_due(4));
        assert_eq!(sessions.send(4).len(), 2);
        sessions.arrived();
        assert_eq!(sessions.send(5), [session("b", 0)]);
    }

    #[test]
    fn there_is_a_bound_on_how_many_are_kept() {
        let mut sessions = Sessions::default();
        for n in 0..MAX_SESSIONS + 10 {
            sessions.note(session(&n.to_string(), 0));
        }
        assert_eq!(sessions.send(0).len(), MAX_SESSIONS);
    }
}
