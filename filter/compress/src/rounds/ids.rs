//! The ids of calls in a request, and what is left of those that carry a trace.

use std::borrow::Cow;
use std::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use super::trace;
use super::written::quote;
use crate::wire::Api;
use crate::wire::tape::Value;

/// The members in which formats name a call.
const MEMBERS: [&str; 7] =
    ["id", "tool_use_id", "tool_call_id", "call_id", "toolUseId", "tool_calls", "functionCall"];

/// The ids with a trace, in the body's order, and the ids that stay.
#[derive(Debug, Default)]
pub(super) struct Ids {
    edits: Vec<(Range<usize>, String)>,
}

impl Ids {
    /// Reads the ids of calls and results wherever they stand in messages. An id loses its suffix unless two
    /// calls would share what is left.
    pub(super) fn of(api: Api, root: Value<'_, '_>) -> Self {
        let list = match api {
            Api::OpenAiResponses => "input",
            Api::GeminiGenerateContent => "contents",
            _ => "messages",
        };
        let mut found = Vec::new();
        if let Ok([Some(messages)]) = root.pick([list]) {
            for message in messages.elements() {
                collect(message, 0, &mut found);
            }
        }
        let whole: HashSet<&str, FixedState> = found.iter().map(|(_, id)| id.as_ref()).collect();
        let mut owners: HashMap<&str, &str, FixedState> = HashMap::default();
        let mut shared: HashSet<&str, FixedState> = HashSet::default();
        for id in whole.iter().copied() {
            if let Some(own) = trace::without_suffix(id)
                && (whole.contains(own) || owners.insert(own, id).is_some_and(|other| other != id))
            {
                shared.insert(own);
            }
        }
        let edits = found.iter().filter_map(|(span, id)| {
            let own = trace::without_suffix(id).filter(|own| !shared.contains(own))?;
            Some((span.clone(), quote(own)))
        });
        let edits = edits.collect();
        Self { edits }
    }

    /// The changes, in the body's order.
    pub(super) fn edits(&self) -> impl Iterator<Item = (Range<usize>, String)> {
        self.edits.iter().cloned()
    }

    /// Those inside a part of the body.
    pub(super) fn edits_in(&self, span: &Range<usize>) -> impl Iterator<Item = &(Range<usize>, String)> {
        let from = self.edits.partition_point(|(edit, _)| edit.start < span.start);
        let end = span.end;
        self.edits.iter().skip(from).take_while(move |(edit, _)| edit.end <= end)
    }
}

/// Ids stand in a message, in its parts, and in the calls of either.
const MAX_DEPTH: usize = 3;

fn collect<'b>(value: Value<'_, 'b>, depth: usize, found: &mut Vec<(Range<usize>, Cow<'b, str>)>) {
    for (key, member) in value.members() {
        let Some(key) = key.text() else { continue };
        if member.is_string() {
            if MEMBERS.contains(&&*key)
                && let Some(id) = member.text().filter(|id| id.contains(trace::MARK))
            {
                found.push((member.span().range(), id));
            } else if MEMBERS.contains(&&*key)
                && let Some(id) = member.text()
            {
                found.push((member.span().range(), id));
            }
        } else if depth < MAX_DEPTH && matches!(&*key, "content" | "tool_calls" | "parts") {
            for element in member.elements() {
                collect(element, depth + 1, found);
            }
        } else if depth < MAX_DEPTH
            && matches!(&*key, "functionCall" | "functionResponse" | "toolUse" | "toolResult")
        {
            collect(member, depth + 1, found);
        }
    }
}
