//! Rounds of our own tool that the client has never seen, put back into its conversation.
//!
//! When the model calls `headroom_retrieve`, the filter answers and lets the model go on, so the client
//! receives one answer. The client's history then lacks that round, and the model's later thinking is bound
//! to it. If the turn ends with a call of a client's tool, the id of that call carries a [trace]: from it the
//! next request rebuilds where the round was and what it returned. Nothing is remembered: the text comes from
//! the tool output in the same request.
//!
//! A suffix that does not fit, is cut, or has another author proves nothing: it is removed from the id if the
//! rest is still unique, and no round is put back. If a message cannot be read, the rounds before it are put
//! back and none after it: an answer to a request with such a message was never given a trace.

pub(crate) mod ids;
pub(crate) mod trace;
mod written;

use std::borrow::Cow;
use std::hash::RandomState;
use std::ops::Range;

use hashbrown::HashSet;

use crate::arguments;
use crate::sort;
use crate::splice::splice;
use crate::tape::Span;
use crate::walk::Walk;

use ids::Ids;
pub use trace::{HiddenCall, IdRules, MARK, MAX_ID_BYTES, TraceInput, id_with_trace};
pub(crate) use written::call_id;
pub use written::{Retrieval, object_with_member, quote};

/// Gives the texts of rounds. The engine decides about addresses and pages.
pub trait Pages {
    /// The content address of a text.
    fn address(&self, text: &str) -> String;

    /// The page of a text that a range names; `None`: there is no such page.
    fn page(&self, text: &str, range: Option<arguments::Range>) -> Option<String>;
}

/// The most bytes that a request may grow by. Honest traces add a few pages.
const MAX_RESTORED_BYTES: usize = 32 << 20;

/// The most bytes of texts that are read for it. More retrievals than this do not fit into any model's
/// window: one page of 2 MB of text, 256 times.
const MAX_READ_BYTES: usize = 512 << 20;

/// A request with its hidden rounds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RestoredBody {
    /// The body.
    pub body: Vec<u8>,
    /// Calls of our own tool that were put back.
    pub retrievals: u32,
}

/// Whether a trace is possible: rounds that have ended must stand before the call that carries it.
pub(crate) fn ends_before(steps: &[HiddenCall], carrier: usize) -> bool {
    let ended = steps.iter().rposition(|step| step.ends_round).map_or(0, |last| last + 1);
    steps.iter().take(ended).all(|step| step.place as usize <= carrier)
}

/// The tool outputs of the request as the client sent it, without results of our own tool.
pub(crate) struct Outputs<'b> {
    body: &'b str,
    spans: Vec<Span>,
    /// The address of each, once it was asked for; `Some(None)`: it is no text.
    addresses: Vec<Option<Option<String>>>,
}

impl<'b> Outputs<'b> {
    /// The outputs that a walk has found.
    pub(crate) fn new(walk: &Walk<'b>) -> Self {
        let theirs = walk.outputs.iter().filter(|output| !output.is_retrieved(walk.body));
        let spans: Vec<Span> = theirs.map(|output| output.span).collect();
        let addresses = vec![None; spans.len()];
        Self { body: walk.body, spans, addresses }
    }

    /// The text of an output that is before `place` in the body.
    fn text(&self, number: u32, place: usize) -> Option<Cow<'b, str>> {
        let span = self.spans.get(usize::try_from(number).ok()?)?;
        if span.range().end <= place { span.text(self.body) } else { None }
    }

    /// The address of that text, which is read once for it.
    fn address(&mut self, number: u32, place: usize, pages: &dyn Pages) -> Option<String> {
        let at = usize::try_from(number).ok()?;
        let span = self.spans.get(at).filter(|span| span.range().end <= place)?;
        let read = || span.text(self.body).map(|text| pages.address(&text));
        self.addresses.get_mut(at)?.get_or_insert_with(read).clone()
    }

    fn bytes(&self, number: u32) -> usize {
        let span = usize::try_from(number).ok().and_then(|at| self.spans.get(at));
        span.map_or(0, |span| span.range().len())
    }
}

/// A turn of the model that carries a trace.
pub(crate) struct Turn<'a> {
    /// Where it begins in the body.
    pub(crate) start: usize,
    /// The number of calls of the client's tools before it.
    pub(crate) calls: usize,
    /// What the turn contains before the last position.
    pub(crate) before: &'a TraceInput,
}

/// The changes to a body.
pub(crate) struct Editor<'b> {
    body: &'b str,
    rules: IdRules,
    pages: &'b dyn Pages,
    ids: Ids,
    /// Ids whose rounds have been put back.
    restored: HashSet<String, RandomState>,
    edits: Vec<(Range<usize>, String)>,
    grown: usize,
    /// Bytes of the texts from which pages were taken.
    read: usize,
    retrievals: u32,
}

impl<'b> Editor<'b> {
    /// For a body with these ids, without changes so far.
    pub(crate) fn new(body: &'b str, rules: IdRules, ids: Ids, pages: &'b dyn Pages) -> Self {
        Self {
            body,
            rules,
            pages,
            ids,
            restored: HashSet::default(),
            edits: Vec::new(),
            grown: 0,
            read: 0,
            retrievals: 0,
        }
    }

    /// The body with its rounds, and with ids without traces everywhere else. `None`: nothing changes.
    pub(crate) fn finish(self) -> Option<RestoredBody> {
        let Editor { body, ids, mut edits, retrievals, .. } = self;
        let rewritten: Vec<Range<usize>> = edits.iter().map(|(span, _)| span.clone()).collect();
        let outside = |span: &Range<usize>| {
            let at = rewritten.partition_point(|edit| edit.end <= span.start);
            rewritten.get(at).is_none_or(|edit| span.end <= edit.start)
        };
        let alone: Vec<_> = ids.edits().filter(|(span, _)| outside(span)).collect();
        edits.extend(alone);
        if edits.is_empty() {
            return None;
        }
        // Insertions at the same position keep their order.
        sort::by_key(&mut edits, |(span, _)| span.start);
        let edits: Vec<(Range<usize>, &str)> =
            edits.iter().map(|(span, text)| (span.clone(), &**text)).collect();
        let body = splice(body, &edits)?.into_bytes();
        Some(RestoredBody { body, retrievals })
    }

    pub(crate) fn edit(&mut self, span: Range<usize>, text: String) {
        self.edits.push((span, text));
    }

    /// A part of the body, with traces removed.
    pub(crate) fn raw(&self, span: Range<usize>) -> String {
        let whole = self.body.get(span.clone()).unwrap_or_default();
        let inside = self.ids.edits_in(&span).map(|(edit, text)| {
            (edit.start.saturating_sub(span.start)..edit.end.saturating_sub(span.start), &**text)
        });
        splice(whole, &inside.collect::<Vec<_>>()).unwrap_or_else(|| whole.to_owned())
    }

    /// The retrievals in a trace, if it is valid.
    pub(crate) fn retrievals(
        &mut self,
        id: &str,
        steps: &[HiddenCall],
        outputs: &mut Outputs<'_>,
        turn: &Turn<'_>,
    ) -> Option<Vec<Retrieval>> {
        let Turn { start: place, calls, before } = *turn;
        let found: Vec<String> = steps
            .iter()
            .map(|step| outputs.address(step.output, place, self.pages))
            .collect::<Option<_>>()?;
        let addresses: Vec<&str> = found.iter().map(String::as_str).collect();
        if !trace::holds(id, &addresses, before) {
            return None;
        }
        let mut retrievals = Vec::with_capacity(steps.len());
        let mut grown = self.grown;
        for (ordinal, (step, address)) in steps.iter().zip(&found).enumerate() {
            self.read = self.read.saturating_add(outputs.bytes(step.output));
            if self.read > MAX_READ_BYTES {
                return None;
            }
            let result = self.pages.page(&outputs.text(step.output, place)?, step.range)?;
            grown = grown.checked_add(result.len()).filter(|grown| *grown <= MAX_RESTORED_BYTES)?;
            retrievals.push(Retrieval {
                id: call_id(self.rules, calls, ordinal, address, step.range),
                hash: address.clone(),
                range: step.range,
                result,
            });
        }
        // An id names one call. Only some servers of OpenAI's format restart their ids in each turn.
        if !self.restored.insert(id.to_owned()) && !self.rules.begin_anew {
            return None;
        }
        self.grown = grown;
        self.retrievals = self.retrievals.saturating_add(u32::try_from(steps.len()).unwrap_or(u32::MAX));
        Some(retrievals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct CountedPages(std::cell::Cell<usize>);

    impl Pages for CountedPages {
        fn address(&self, text: &str) -> String {
            self.0.set(self.0.get() + 1);
            text.to_owned()
        }

        fn page(&self, _text: &str, _range: Option<arguments::Range>) -> Option<String> {
            None
        }
    }

    #[test]
    fn an_output_is_read_once_whether_or_not_it_is_a_text() {
        let body = r#"{"messages":[{"role":"user","content":[
            {"type":"tool_result","tool_use_id":"a","content":"a\u0041"},
            {"type":"tool_result","tool_use_id":"b","content":"a\ud800"}]}]}"#;
        let walk = crate::Api::AnthropicMessages.walk(body.as_bytes()).unwrap();
        let mut outputs = Outputs::new(&walk);
        let pages = CountedPages::default();
        for _ in 0..3 {
            assert_eq!(outputs.address(0, body.len(), &pages).as_deref(), Some("aA"));
            assert_eq!(outputs.address(1, body.len(), &pages), None);
            assert_eq!(outputs.addresses, [Some(Some("aA".to_owned())), Some(None)]);
        }
        assert_eq!(pages.0.get(), 1);
    }
}
