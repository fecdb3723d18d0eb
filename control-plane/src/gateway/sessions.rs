//! Remembers the answers of sessions, so that they get the same answers again.
//!
//! The result for a row does not depend on the caller, so this matters only if something else changes in the middle
//! of a session: its settings, or an answer that was too late and returned the row unchanged.

use std::sync::{Arc, Mutex, MutexGuard};

use hashlink::LruCache;

use super::row::CompressedRow;

/// Approximate bytes of all sessions together; above this limit the least recently used session is removed.
const MAX_BYTES: usize = 64 << 20;
/// Bytes of a session without its texts and rows: the entry, and its links and slots in the table.
const SESSION_BYTES: usize = size_of::<(SessionKey, Session)>() + 64;

/// A tenant, and the name of a session.
type SessionKey = (String, String);

/// The sessions of all tenants.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<SessionTable>);

#[derive(Debug)]
struct SessionTable {
    sessions: LruCache<SessionKey, Session>,
    bytes: usize,
}

impl Default for SessionTable {
    fn default() -> Self {
        Self { sessions: LruCache::new_unbounded(), bytes: 0 }
    }
}

#[derive(Debug, Default)]
struct Session {
    rows: Vec<AnsweredRow>,
    /// Bytes of the rows' texts.
    texts: usize,
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
    fn new(row: &str, compressed: &CompressedRow) -> Self {
        let sent = blake3::hash(row.as_bytes());
        let text: Option<Arc<str>> = compressed.text.as_deref().map(Arc::from);
        let returned = text.as_ref().map_or(sent, |text| blake3::hash(text.as_bytes()));
        let CompressedRow { after, tool_after, .. } = *compressed;
        Self { sent, text, returned, after, tool_after }
    }

    fn text_bytes(&self) -> usize {
        self.text.as_ref().map_or(0, |text| text.len())
    }
}

impl Session {
    /// Replaces the rows from a place on.
    fn replace(&mut self, from: usize, rows: impl Iterator<Item = AnsweredRow>) {
        self.texts -= self.rows.drain(from..).map(|row| row.text_bytes()).sum::<usize>();
        self.rows.extend(rows);
        self.texts += self.rows.iter().skip(from).map(AnsweredRow::text_bytes).sum::<usize>();
    }

    fn bytes(&self, (tenant, id): &SessionKey) -> usize {
        let rows = self.rows.capacity() * size_of::<AnsweredRow>();
        SESSION_BYTES + tenant.len() + id.len() + rows + self.texts
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
        // hashing and copying long rows does not keep others from their sessions
        let (answered, compressed): (Vec<_>, Vec<_>) =
            rows.map(|(row, compressed)| (AnsweredRow::new(row, compressed), compressed)).unzip();
        let replayed = self.table().settle((tenant.to_owned(), id.to_owned()), &answered);
        for ((before, now), compressed) in replayed.iter().zip(&answered).zip(compressed) {
            if before.sent == now.sent {
                compressed.text = before.text.as_deref().map(str::to_owned);
                (compressed.after, compressed.tool_after) = (before.after, before.tool_after);
            } else {
                compressed.leave();
            }
        }
        replayed.len()
    }

    /// The number of answered rows of a session; `None`: there is no such session.
    pub(crate) fn rows(&self, tenant: &str, id: &str) -> Option<usize> {
        let table = self.table();
        table.sessions.peek(&(tenant.to_owned(), id.to_owned())).map(|session| session.rows.len())
    }

    fn table(&self) -> MutexGuard<'_, SessionTable> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl SessionTable {
    /// Remembers the rows of a session behind those that it has answered before, and returns what these became.
    fn settle(&mut self, key: SessionKey, answered: &[AnsweredRow]) -> Vec<AnsweredRow> {
        let mut session = self
            .sessions
            .remove(&key)
            .inspect(|session| self.bytes -= session.bytes(&key))
            .unwrap_or_default();
        let same = |(before, now): &(&AnsweredRow, &AnsweredRow)| {
            before.sent == now.sent || before.returned == now.sent
        };
        let known = session.rows.iter().zip(answered).take_while(same);
        let replayed: Vec<AnsweredRow> = known.map(|(before, _)| before.clone()).collect();
        if replayed.len() < answered.len() {
            session.replace(replayed.len(), answered.iter().skip(replayed.len()).cloned());
        }
        self.bytes += session.bytes(&key);
        self.sessions.insert(key, session);
        self.forget();
        replayed
    }

    /// Makes room, but keeps the session in use.
    fn forget(&mut self) {
        while self.bytes > MAX_BYTES && self.sessions.len() > 1 {
            let Some((key, session)) = self.sessions.remove_lru() else { return };
            self.bytes -= session.bytes(&key);
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

    #[test]
    fn sessions_without_rows_take_room_too_and_go_as_others_do() {
        let sessions = Sessions::default();
        let counted = || {
            let table = sessions.table();
            (table.sessions.len(), table.bytes)
        };
        for n in 0..100_000 {
            settle(&sessions, "t", &format!("{n:01000}"), &[]);
        }
        let (kept, bytes) = counted();
        assert!(bytes <= MAX_BYTES && kept * 1_000 <= bytes, "{kept} sessions, {bytes} bytes");
        // the room of rows that a session had is counted as long as it is there
        let many = vec![("a", "x"); 20_000];
        for n in 0..40 {
            settle(&sessions, "t", &n.to_string(), &many);
            settle(&sessions, "t", &n.to_string(), &[("b", "x")]);
        }
        let capacity: usize = sessions.table().sessions.iter().map(|(_, it)| it.rows.capacity()).sum();
        assert!(capacity * size_of::<AnsweredRow>() <= MAX_BYTES, "{capacity}");
        let counted_again: usize = sessions.table().sessions.iter().map(|(key, it)| it.bytes(key)).sum();
        assert_eq!(counted().1, counted_again);
    }
}
