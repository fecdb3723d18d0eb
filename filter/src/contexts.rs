//! What a VM knows of how conversations begin: what the sidecar has recorded, and what it could not say. In the same way
//! it knows what was decided on texts, by tenant and address in the place of a conversation's name.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use crate::host;

/// Conversations that are kept in mind. One that is forgotten is asked for again.
const MAX_CONVERSATIONS: usize = 1_024;
/// Bytes of what they begin with, together.
const MAX_BYTES: usize = 2 << 20;

/// Digits of a conversation's name that choose its place among what the VMs of a process share: 256 places, each for the
/// newest. Shared data is never given back to the host.
const PLACE_DIGITS: usize = 2;

/// What a VM knows of the beginnings of conversations.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    known: HashMap<String, KnownContext>,
    /// In the order in which they came.
    order: VecDeque<String>,
    bytes: usize,
    /// Before this time no request waits long for what its conversation begins with. Nanoseconds.
    pub(crate) not_before: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum KnownContext {
    /// It is recorded. Empty: nothing.
    Recorded(Rc<str>),
    /// This request was forwarded without notes, since its question got no answer: the sidecar does not know it yet.
    Unanswered(String),
}

impl KnownContext {
    fn bytes(&self) -> usize {
        match self {
            Self::Recorded(text) => text.len(),
            Self::Unanswered(request) => request.len(),
        }
    }
}

impl Contexts {
    pub(crate) fn get(&self, conversation: &str) -> Option<&KnownContext> {
        self.known.get(conversation)
    }

    /// Whether a question has had no answer a short while ago.
    pub(crate) fn pauses(&self, now: u64) -> bool {
        now < self.not_before
    }

    pub(crate) fn set(&mut self, conversation: &str, known: KnownContext) {
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

/// Shares with the other VMs of this process that a conversation has begun with nothing, and by which request.
pub(crate) fn share_unanswered(conversation: &str, request: &str) -> host::Result<()> {
    host::share(&place(conversation), format!("{conversation} {request}").as_bytes(), 0).map(drop)
}

/// What another VM of this process has said of it.
pub(crate) fn shared(conversation: &str) -> host::Result<Option<KnownContext>> {
    let Some((value, _)) = host::shared(&place(conversation))? else { return Ok(None) };
    let text = String::from_utf8_lossy(&value);
    let of = text.split_once(' ').filter(|(of, _)| *of == conversation);
    Ok(of.map(|(_, request)| KnownContext::Unanswered(request.to_owned())))
}

fn place(conversation: &str) -> String {
    format!("headroom.begun.{}", conversation.get(..PLACE_DIGITS).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_in_mind_is_bounded() {
        const LONG: usize = 8 << 10;
        let mut contexts = Contexts::default();
        for number in 0..3 * MAX_CONVERSATIONS {
            contexts.set(&number.to_string(), KnownContext::Recorded("x".repeat(LONG).into()));
            contexts.set(&number.to_string(), KnownContext::Unanswered("hr_1".to_owned()));
            contexts.set(&number.to_string(), KnownContext::Recorded("x".repeat(LONG).into()));
        }
        assert_eq!((contexts.bytes, contexts.known.len()), (MAX_BYTES, MAX_BYTES / LONG));
        assert_eq!(contexts.order.len(), contexts.known.len());
        for number in 0..3 * MAX_CONVERSATIONS {
            contexts.set(&format!("small {number}"), KnownContext::Recorded("".into()));
        }
        assert_eq!((contexts.known.len(), contexts.bytes), (MAX_CONVERSATIONS, 0));
    }
}
