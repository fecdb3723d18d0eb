//! Remembers the answers of sessions, so that they get the same answers again.
//!
//! The result for a row does not depend on the caller, so this matters only if something else changes in the middle
//! of a session: its settings, or an answer that was too late and returned the row unchanged.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::row::CompressedRow;

/// Approximate bytes of all sessions together; above this limit the least recently used session is removed.
const MAX_BYTES: usize = 64 << 20;
/// Bytes of a row in addition to its text.
const ROW_BYTES: usize = 96;

/// The sessions of all tenants.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<SessionTable>);

#[derive(Debug, Default)]
struct SessionTable {
    sessions: HashMap<(String, String), Session>,
    bytes: usize,
    /// Counts uses, to find the least recently used session.
    used: u64,
}

#[derive(Debug, Default)]
struct Session {
    rows: Vec<AnsweredRow>,
    bytes: usize,
    used: u64,
}

#[derive(Clone, Debug)]
struct AnsweredRow {
    /// The hash of the row as received.
    sent: blake3::Hash,
    /// The new text; `None`: unchanged.
    text: Option<Arc<str>>,
    returned: blake3::Hash,
    after: u64,
    tool_after: u64,
}

impl AnsweredRow {
    fn bytes(&self) -> usize {
        ROW_BYTES + self.text.as_ref().map_or(0, |text| text.len())
    }
}

impl Session {
    fn truncate(&mut self, rows: usize) -> usize {
        let freed = self.rows.drain(rows..).map(|row| row.bytes()).sum();
        self.bytes -= freed;
        freed
    }
}

impl Sessions {
    /// Replaces the current results with the earlier ones, for the leading rows that are the same as before, and
    /// remembers the other results. Returns the number of rows with an earlier answer.
    pub(super) fn settle<'r>(
        &self,
        tenant: &str,
        id: &str,
        rows: impl Iterator<Item = (&'r str, &'r mut CompressedRow)>,
    ) -> usize {
        let mut known = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        known.used += 1;
        let used = known.used;
        let key = (tenant.to_owned(), id.to_owned());
        let session = known.sessions.entry(key).or_default();
        session.used = used;
        let (mut replayed, mut freed, mut added) = (0, 0, 0);
        for (place, (row, compressed)) in rows.enumerate() {
            let sent = blake3::hash(row.as_bytes());
            if replayed == place
                && let Some(before) = session.rows.get(place)
            {
                if before.sent == sent {
                    compressed.text = before.text.as_deref().map(str::to_owned);
                    (compressed.after, compressed.tool_after) = (before.after, before.tool_after);
                    replayed += 1;
                    continue;
                }
                if before.returned == sent {
                    compressed.leave();
                    replayed += 1;
                    continue;
                }
                freed += session.truncate(place);
            }
            let returned = match &compressed.text {
                Some(text) => blake3::hash(text.as_bytes()),
                None => sent,
            };
            let text = compressed.text.as_deref().map(Arc::from);
            let CompressedRow { after, tool_after, .. } = *compressed;
            let answered = AnsweredRow { sent, text, returned, after, tool_after };
            session.bytes += answered.bytes();
            added += answered.bytes();
            session.rows.push(answered);
        }
        known.bytes = known.bytes + added - freed;
        known.forget(used);
        replayed
    }

    /// The number of answered rows of a session; `None`: there is no such session.
    pub(crate) fn rows(&self, tenant: &str, id: &str) -> Option<usize> {
        let known = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        known.sessions.get(&(tenant.to_owned(), id.to_owned())).map(|session| session.rows.len())
    }
}

impl SessionTable {
    /// Makes room, but keeps the session in use.
    fn forget(&mut self, now: u64) {
        while self.bytes > MAX_BYTES {
            let oldest = self.sessions.iter().filter(|(_, session)| session.used != now);
            let Some(key) = oldest.min_by_key(|(_, session)| session.used).map(|(key, _)| key.clone()) else {
                return;
            };
            if let Some(session) = self.sessions.remove(&key) {
                self.bytes -= session.bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compressed(text: &str) -> CompressedRow {
        CompressedRow { text: Some(text.to_owned()), before: 9, after: 1, ..CompressedRow::default() }
    }

    fn settle(sessions: &Sessions, tenant: &str, id: &str, rows: &[(&str, &str)]) -> (usize, Vec<String>) {
        let mut answers: Vec<CompressedRow> = rows.iter().map(|(_, text)| compressed(text)).collect();
        let sent = rows.iter().map(|(row, _)| *row).zip(&mut answers);
        let replayed = sessions.settle(tenant, id, sent);
        let texts =
            rows.iter().zip(answers).map(|((row, _), answer)| answer.text.unwrap_or((*row).to_owned()));
        (replayed, texts.collect())
    }

    #[test]
    fn what_was_answered_is_answered_again_until_the_caller_changes_it() {
        let sessions = Sessions::default();
        assert_eq!(settle(&sessions, "t", "s", &[("a", "A"), ("b", "B")]).0, 0);
        let (replayed, texts) = settle(&sessions, "t", "s", &[("a", "x"), ("b", "y"), ("c", "C")]);
        assert_eq!((replayed, texts), (2, ["A", "B", "C"].map(str::to_owned).to_vec()));
        // the caller sends back the answer
        let (replayed, texts) = settle(&sessions, "t", "s", &[("A", "x"), ("b", "y"), ("C", "z")]);
        assert_eq!((replayed, texts), (3, ["A", "B", "C"].map(str::to_owned).to_vec()));
        // it edits its history
        let (replayed, texts) = settle(&sessions, "t", "s", &[("a", "x"), ("changed", "N"), ("c", "M")]);
        assert_eq!((replayed, texts), (1, ["A", "N", "M"].map(str::to_owned).to_vec()));
        assert_eq!(
            settle(&sessions, "t", "s", &[("a", "x"), ("b", "O")]).1[1],
            "O",
            "what came behind is gone"
        );
    }

    #[test]
    fn sessions_of_others_are_others() {
        let sessions = Sessions::default();
        settle(&sessions, "t", "s", &[("a", "secret")]);
        assert_eq!(settle(&sessions, "u", "s", &[("a", "own")]), (0, vec!["own".to_owned()]));
        assert_eq!(settle(&sessions, "t", "r", &[("a", "own")]), (0, vec!["own".to_owned()]));
        assert_eq!((sessions.rows("t", "s"), sessions.rows("v", "s")), (Some(1), None));
    }

    #[test]
    fn sessions_take_no_more_than_their_share_and_the_oldest_goes_first() {
        let sessions = Sessions::default();
        let long = "x".repeat(MAX_BYTES / 4);
        for id in ["1", "2", "3", "1", "4"] {
            settle(&sessions, "t", id, &[("a", &long)]);
        }
        assert_eq!(
            ["1", "2", "3", "4"].map(|id| sessions.rows("t", id).is_some()),
            [true, false, true, true]
        );
        assert!(sessions.0.lock().unwrap().bytes <= MAX_BYTES);
    }
}
