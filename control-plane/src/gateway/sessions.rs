//! What sessions were answered, so that they are answered the same again.
//!
//! Rows become what they become whoever asks, so this matters only where something else has changed in the middle of
//! a session: its settings, or an answer that came too late and held the row as it was.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::row::Compressed;

/// Bytes of all sessions together, about; beyond them the one that was used longest ago is forgotten.
const MAX_BYTES: usize = 64 << 20;
/// Bytes of a row beside its text.
const ROW_BYTES: usize = 96;

/// The sessions of all tenants.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    sessions: HashMap<(String, String), Session>,
    bytes: usize,
    /// Counts uses, which tells which session was used longest ago.
    used: u64,
}

#[derive(Debug, Default)]
struct Session {
    rows: Vec<Answered>,
    bytes: usize,
    used: u64,
}

#[derive(Clone, Debug)]
struct Answered {
    /// Of the row as it came.
    sent: blake3::Hash,
    /// What it became; `None`: it stayed.
    text: Option<Arc<str>>,
    returned: blake3::Hash,
    after: u64,
    tool_after: u64,
}

impl Answered {
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
    /// Puts what was answered before in the place of what would be answered now, for as many rows from the first as
    /// are the same as then, and remembers the others. Gives how many were answered before.
    pub(super) fn settle<'r>(
        &self,
        tenant: &str,
        id: &str,
        rows: impl Iterator<Item = (&'r str, &'r mut Compressed)>,
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
            let Compressed { after, tool_after, .. } = *compressed;
            let answered = Answered { sent, text, returned, after, tool_after };
            session.bytes += answered.bytes();
            added += answered.bytes();
            session.rows.push(answered);
        }
        known.bytes = known.bytes + added - freed;
        known.forget(used);
        replayed
    }

    /// How many rows a session was answered; `None`: there is no such session.
    pub(crate) fn rows(&self, tenant: &str, id: &str) -> Option<usize> {
        let known = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        known.sessions.get(&(tenant.to_owned(), id.to_owned())).map(|session| session.rows.len())
    }
}

impl Known {
    /// Makes room, but for the session that was used now.
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

    fn compressed(text: &str) -> Compressed {
        Compressed { text: Some(text.to_owned()), before: 9, after: 1, ..Compressed::default() }
    }

    fn settle(sessions: &Sessions, tenant: &str, id: &str, rows: &[(&str, &str)]) -> (usize, Vec<String>) {
        let mut answers: Vec<Compressed> = rows.iter().map(|(_, text)| compressed(text)).collect();
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
        // the caller sends back what it was given
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
