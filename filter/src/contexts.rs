//! What a VM knows of how conversations begin: what the sidecar has recorded, and what it could not say.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

/// Conversations that are kept in mind. One that is forgotten is asked for again.
const MAX_CONVERSATIONS: usize = 1_024;
/// Bytes of what they begin with, together.
const MAX_BYTES: usize = 2 << 20;

/// What a VM knows of the beginnings of conversations.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    known: HashMap<String, Known>,
    /// In the order in which they came.
    order: VecDeque<String>,
    bytes: usize,
    /// No request waits patiently for what its conversation begins with before this time. Nanoseconds.
    pub(crate) not_before: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Known {
    /// It is recorded. Empty: nothing.
    Recorded(Rc<str>),
    /// This request was forwarded without, since its question got no answer: the sidecar does not know it yet.
    Unanswered(String),
}

impl Known {
    fn bytes(&self) -> usize {
        match self {
            Self::Recorded(text) => text.len(),
            Self::Unanswered(request) => request.len(),
        }
    }
}

impl Contexts {
    pub(crate) fn get(&self, conversation: &str) -> Option<&Known> {
        self.known.get(conversation)
    }

    /// Whether a question has had no answer a short while ago.
    pub(crate) fn pauses(&self, now: u64) -> bool {
        now < self.not_before
    }

    pub(crate) fn set(&mut self, conversation: &str, known: Known) {
        self.bytes = self.bytes.saturating_add(known.bytes());
        match self.known.insert(conversation.to_owned(), known) {
            Some(before) => self.bytes = self.bytes.saturating_sub(before.bytes()),
            None => self.order.push_back(conversation.to_owned()),
        }
        while (self.bytes > MAX_BYTES || self.order.len() > MAX_CONVERSATIONS)
            && let Some(oldest) = self.order.pop_front()
            && let Some(gone) = self.known.remove(&oldest)
        {
            self.bytes = self.bytes.saturating_sub(gone.bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_in_mind_is_bounded() {
        const LONG: usize = 8 << 10;
        let mut contexts = Contexts::default();
        for number in 0..3 * MAX_CONVERSATIONS {
            contexts.set(&number.to_string(), Known::Recorded("x".repeat(LONG).into()));
            contexts.set(&number.to_string(), Known::Unanswered("hr_1".to_owned()));
            contexts.set(&number.to_string(), Known::Recorded("x".repeat(LONG).into()));
        }
        assert_eq!((contexts.bytes, contexts.known.len()), (MAX_BYTES, MAX_BYTES / LONG));
        assert_eq!(contexts.order.len(), contexts.known.len());
        for number in 0..3 * MAX_CONVERSATIONS {
            contexts.set(&format!("small {number}"), Known::Recorded("".into()));
        }
        assert_eq!((contexts.known.len(), contexts.bytes), (MAX_CONVERSATIONS, 0));
    }
}
