//! The conversations that have needed a recovery.

use std::collections::{HashSet, VecDeque};

/// The most conversations that are remembered.
const MAX_CONVERSATIONS: usize = 4_096;

/// The conversations of a VM that have needed a recovery. A forgotten one costs one more refusal.
#[derive(Debug, Default)]
pub(crate) struct Recoveries {
    known: HashSet<String>,
    order: VecDeque<String>,
}

impl Recoveries {
    pub(crate) fn has_any(&self) -> bool {
        !self.known.is_empty()
    }

    pub(crate) fn has(&self, conversation: &str) -> bool {
        self.known.contains(conversation)
    }

    pub(crate) fn add(&mut self, conversation: &str) {
        if conversation.is_empty() || !self.known.insert(conversation.to_owned()) {
            return;
        }
        self.order.push_back(conversation.to_owned());
        if self.order.len() > MAX_CONVERSATIONS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}
