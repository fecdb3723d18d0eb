//! The ids of calls in a request, with traces removed.

use std::borrow::Cow;
use std::hash::RandomState;
use std::ops::Range;

use hashbrown::{HashMap, HashSet};

use super::trace::{self, IdRules};
use super::written::quote;
use crate::tape::Value;

/// The members in which formats put the id of a call.
const MEMBERS: [&str; 7] =
    ["id", "tool_use_id", "tool_call_id", "call_id", "toolUseId", "tool_calls", "functionCall"];

/// The ids with a trace, in the body's order, and the ids that stay.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    edits: Vec<(Range<usize>, String)>,
}

impl Ids {
    /// Reads the ids of calls and results everywhere in messages. An id loses its suffix unless two calls
    /// would then have the same id.
    pub(crate) fn new(rules: IdRules, messages: Option<Value<'_, '_>>) -> Self {
        let mut edits = Vec::new();
        let mut found = Vec::new();
        for message in messages.into_iter().flat_map(Value::elements) {
            // A result belongs to the turn before it, so an id of a later turn has no influence on an earlier
            // one (I3).
            if rules.begin_anew && is_models(message) {
                strip(&mut found, &mut edits);
            }
            collect(rules, message, 0, &mut found);
        }
        strip(&mut found, &mut edits);
        Self { edits }
    }

    /// The changes, in the body's order.
    pub(crate) fn edits(&self) -> impl Iterator<Item = (Range<usize>, String)> {
        self.edits.iter().cloned()
    }

    /// The changes inside a part of the body.
    pub(crate) fn edits_in(&self, span: &Range<usize>) -> impl Iterator<Item = &(Range<usize>, String)> {
        let from = self.edits.partition_point(|(edit, _)| edit.start < span.start);
        let end = span.end;
        self.edits.iter().skip(from).take_while(move |(edit, _)| edit.end <= end)
    }
}

fn is_models(message: Value<'_, '_>) -> bool {
    message.is_object() && matches!(message.pick(["role"]), Ok([Some(role)]) if role.is("assistant"))
}

/// An id and its position.
type LocatedId<'b> = (Range<usize>, Cow<'b, str>);

/// Adds the changes for these ids, and clears them.
fn strip(found: &mut Vec<LocatedId<'_>>, edits: &mut Vec<(Range<usize>, String)>) {
    if found.iter().any(|(_, id)| id.contains(trace::MARK)) {
        let whole: HashSet<&str, RandomState> = found.iter().map(|(_, id)| id.as_ref()).collect();
        let mut owners: HashMap<&str, &str, RandomState> = HashMap::default();
        let mut shared: HashSet<&str, RandomState> = HashSet::default();
        for id in found.iter().map(|(_, id)| id.as_ref()) {
            if let Some(own) = trace::without_suffix(id)
                && (whole.contains(own) || owners.insert(own, id).is_some_and(|other| other != id))
            {
                shared.insert(own);
            }
        }
        edits.extend(found.iter().filter_map(|(span, id)| {
            let own = trace::without_suffix(id).filter(|own| !shared.contains(own))?;
            Some((span.clone(), quote(own)))
        }));
    }
    found.clear();
}

/// Ids are found in a message, in its parts, and in the calls of either.
const MAX_DEPTH: usize = 3;

fn collect<'b>(rules: IdRules, value: Value<'_, 'b>, depth: usize, found: &mut Vec<LocatedId<'b>>) {
    for (key, member) in value.members() {
        let Some(key) = key.text() else { continue };
        if member.is_string() {
            let is_items = rules.items_have_ids && &*key == "id";
            if MEMBERS.contains(&&*key)
                && !is_items
                && let Some(id) = member.text()
            {
                found.push((member.span().range(), id));
            }
        } else if depth < MAX_DEPTH && matches!(&*key, "content" | "tool_calls" | "parts") {
            for element in member.elements() {
                collect(rules, element, depth + 1, found);
            }
        } else if depth < MAX_DEPTH
            && matches!(&*key, "functionCall" | "functionResponse" | "toolUse" | "toolResult")
        {
            collect(rules, member, depth + 1, found);
        }
    }
}
