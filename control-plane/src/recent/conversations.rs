//! Sums by conversation.

use std::collections::{BTreeMap, BTreeSet};

use headroom_api::pages::Conversation;

use super::{RecentFilter, shown};
use crate::clock::{UnixMs, iso};
use crate::ledger::contribution::CountedRequest;
use crate::ledger::sums::Sums;

/// Maximum number of models of a conversation.
const MAX_MODELS: usize = 8;
/// The outcome of a block that the model got with the client's own retrieve tool.
const RETRIEVED: &str = "skipped:retrieved";

/// The conversations so far. Requests come newest first.
#[derive(Debug, Default)]
pub(crate) struct ByConversation {
    conversations: BTreeMap<String, State>,
    requests_of_none: i64,
}

#[derive(Debug, Default)]
struct State {
    shown: Conversation,
    /// Whether one of its requests matches.
    is_meant: bool,
    started_ms: UnixMs,
    last_ms: UnixMs,
    turns: BTreeSet<String>,
    sums: Sums,
}

impl ByConversation {
    /// Adds a request, older than the previous ones.
    pub(crate) fn add(&mut self, landed: &CountedRequest, wanted: &RecentFilter) {
        let record = &landed.record;
        let is_meant = wanted.matches(landed);
        if record.conversation_id.is_empty() {
            self.requests_of_none += i64::from(is_meant);
            return;
        }
        let state = self.conversations.entry(record.conversation_id.clone()).or_insert_with(|| State {
            started_ms: UnixMs::MAX,
            shown: Conversation {
                status: record.status,
                error_class: record.error_class.clone(),
                ..Conversation::default()
            },
            ..State::default()
        });
        state.is_meant |= is_meant;
        let took = record.timings.map_or(0, |timings| i64::from(timings.total_us / 1_000));
        state.started_ms = state.started_ms.min(record.started_unix_ms);
        state.last_ms = state.last_ms.max(record.started_unix_ms.saturating_add(took));
        let shown = &mut state.shown;
        for (name, value) in [
            (&mut shown.stack, &record.stack),
            (&mut shown.project, &record.project),
            (&mut shown.tenant, &record.tenant),
        ] {
            if name.is_empty() {
                name.clone_from(value);
            }
        }
        if !record.model.is_empty()
            && shown.models.len() < MAX_MODELS
            && !shown.models.contains(&record.model)
        {
            shown.models.push(record.model.clone());
        }
        if !record.turn_id.is_empty() {
            state.turns.insert(record.turn_id.clone());
        }
        let asked = record.blocks.iter().filter(|block| block.new && block.outcome == RETRIEVED).count();
        shown.retrievals += i64::from(record.hidden_rounds) + asked as i64;
        state.sums += landed.sums;
    }

    /// The number of matches, the conversations with the newest requests, and the number of
    /// requests without a conversation.
    pub(crate) fn page(self, limit: usize) -> (usize, Vec<Conversation>, i64) {
        let mut meant: Vec<_> = self.conversations.into_iter().filter(|(_, state)| state.is_meant).collect();
        let total = meant.len();
        meant.sort_by(|(a, x), (b, y)| y.last_ms.cmp(&x.last_ms).then_with(|| a.cmp(b)));
        meant.truncate(limit);
        (total, meant.into_iter().map(|(id, state)| state.page(id)).collect(), self.requests_of_none)
    }
}

impl State {
    fn page(self, conversation_id: String) -> Conversation {
        Conversation {
            conversation_id,
            started: iso(self.started_ms),
            last: iso(self.last_ms),
            lifetime_ms: self.last_ms.saturating_sub(self.started_ms),
            turns: self.turns.len(),
            sums: shown(&self.sums),
            ..self.shown
        }
    }
}
