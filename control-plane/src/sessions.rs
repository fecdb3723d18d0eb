//! WebSocket sessions, from the filters' reports: the open ones, and the last ones that have ended.
//!
//! Only in memory: a session is of interest while it is open and for a while after, and its requests are in
//! the ledger.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use headroom_api::names::session_end_name;
use headroom_api::v1::{SessionEnd, WebSocketSession};

use crate::ledger::labels::tidy;

/// Maximum number of open sessions. A filter reports at most 1,024 per worker.
const MAX_OPEN: usize = 16_384;
/// Maximum number of ended sessions. They also identify repeated reports.
const MAX_ENDED: usize = 4_096;
/// A filter reports its open sessions every ten seconds. A session without a report for this long is gone.
const GONE_AFTER: Duration = Duration::from_secs(60);

/// The sessions of all filters that report here.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    open: BTreeMap<String, (WebSocketSession, Instant)>,
    ended: BTreeMap<String, WebSocketSession>,
    /// The ids in `ended`, oldest first.
    order: VecDeque<String>,
}

impl Sessions {
    /// Takes a report, and returns the sessions that it is the first to report as ended.
    pub(crate) fn heard(&self, sessions: Vec<WebSocketSession>) -> Vec<WebSocketSession> {
        self.heard_at(sessions, Instant::now())
    }

    fn heard_at(&self, sessions: Vec<WebSocketSession>, now: Instant) -> Vec<WebSocketSession> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut news = Vec::new();
        for mut session in sessions {
            for text in [
                &mut session.session_id,
                &mut session.provider,
                &mut session.stack,
                &mut session.tenant,
                &mut session.project,
                &mut session.upstream,
                &mut session.client,
            ] {
                *text = tidy(text);
            }
            if session.session_id.is_empty() || state.ended.contains_key(&session.session_id) {
                continue;
            }
            if session.ended_unix_ms != 0 {
                state.open.remove(&session.session_id);
                news.push(session.clone());
                state.end(session);
            } else if state.open.len() < MAX_OPEN || state.open.contains_key(&session.session_id) {
                state.open.insert(session.session_id.clone(), (session, now));
            }
        }
        news.extend(state.forget(now));
        news
    }

    /// Sessions without a report for too long, which have ended for an unknown reason.
    pub(crate) fn gone(&self) -> Vec<WebSocketSession> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).forget(Instant::now())
    }

    /// How many are open.
    pub(crate) fn open(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).open.len()
    }

    /// Forgets the chosen ended sessions, and returns their number. With `dry_run` they stay.
    pub(crate) fn forget_ended(&self, dry_run: bool, chosen: impl Fn(&WebSocketSession) -> bool) -> usize {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut forgotten = 0;
        for session in state.ended.values_mut().filter(|it| it.ended_unix_ms != 0 && chosen(it)) {
            forgotten += 1;
            if !dry_run {
                // the id identifies a repeated report
                let session_id = std::mem::take(&mut session.session_id);
                *session = WebSocketSession { session_id, ..WebSocketSession::default() };
            }
        }
        forgotten
    }

    /// The open ones, oldest first, and then the ended ones, newest first.
    pub(crate) fn list(&self) -> Vec<WebSocketSession> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open: Vec<_> = state.open.values().map(|(session, _)| session.clone()).collect();
        open.sort_by_key(|session| session.started_unix_ms);
        let ended = state.order.iter().rev().filter_map(|id| state.ended.get(id));
        // forgotten ones have only an id left
        let ended = ended.filter(|session| session.ended_unix_ms != 0).cloned();
        open.into_iter().chain(ended).collect()
    }
}

impl State {
    fn end(&mut self, session: WebSocketSession) {
        if self.order.len() >= MAX_ENDED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ended.remove(&oldest);
        }
        self.order.push_back(session.session_id.clone());
        self.ended.insert(session.session_id.clone(), session);
    }

    fn forget(&mut self, now: Instant) -> Vec<WebSocketSession> {
        let gone = |heard: Instant| now.saturating_duration_since(heard) >= GONE_AFTER;
        let gone: Vec<_> = self.open.extract_if(.., |_, (_, heard)| gone(*heard)).collect();
        let mut sessions = Vec::new();
        for (_, (mut session, _)) in gone {
            session.ended_unix_ms = session.active_unix_ms;
            session.set_end(SessionEnd::Unknown);
            sessions.push(session.clone());
            self.end(session);
        }
        sessions
    }
}

/// The name of a cause, in metrics and lists.
pub(crate) fn cause(session: &WebSocketSession) -> &'static str {
    session_end_name(session.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: &str, end: SessionEnd) -> WebSocketSession {
        let ended_unix_ms = if end == SessionEnd::Unspecified { 0 } else { 7 };
        WebSocketSession {
            session_id: id.to_owned(),
            ended_unix_ms,
            end: end.into(),
            ..WebSocketSession::default()
        }
    }

    #[test]
    fn the_end_of_a_session_is_news_once() {
        let sessions = Sessions::default();
        assert!(sessions.heard(vec![session("a", SessionEnd::Unspecified)]).is_empty());
        assert_eq!(sessions.open(), 1);
        let ended = session("a", SessionEnd::ClientError);
        assert_eq!(sessions.heard(vec![ended.clone()]), vec![ended.clone()]);
        assert!(sessions.heard(vec![ended.clone()]).is_empty(), "the report is repeated");
        assert!(sessions.heard(vec![session("a", SessionEnd::Unspecified)]).is_empty(), "and overtaken");
        assert_eq!((sessions.open(), sessions.list()), (0, vec![ended]));
    }

    #[test]
    fn a_session_of_a_filter_that_is_gone_ends_nobody_knows_how() {
        let sessions = Sessions::default();
        let now = Instant::now();
        sessions.heard_at(vec![session("a", SessionEnd::Unspecified)], now);
        let news = sessions.heard_at(vec![session("b", SessionEnd::Unspecified)], now + GONE_AFTER);
        assert_eq!(news.iter().map(cause).collect::<Vec<_>>(), ["unknown"]);
        assert_eq!(sessions.open(), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let sessions = Sessions::default();
        for n in 0..MAX_ENDED + 5 {
            sessions.heard(vec![session(&n.to_string(), SessionEnd::Unknown)]);
        }
        let list = sessions.list();
        assert_eq!(list.len(), MAX_ENDED);
        assert_eq!(list[0].session_id, (MAX_ENDED + 4).to_string(), "the last first");
    }
}
