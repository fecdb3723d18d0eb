//! What a request has shown so far, which references may name.

use std::borrow::Cow;
use std::sync::Arc;

use headroom_providers::string;
use headroom_providers::walk::Output;

use super::STEP_BYTES;
use super::run::{Run, is_seen, shown_text};
use crate::call::Call;
use crate::earlier::{Earlier, ShownOutput, Source};
use crate::lines::Line;
use crate::memo::{Entry, Memo};
use crate::outcome::BlockOutcome;

/// What the request has shown so far, and the provider still gives to the model.
#[derive(Debug, Default)]
pub(super) struct ShownContent {
    pub(super) earlier: Earlier,
    /// How many blocks are in it.
    pub(super) blocks: usize,
    /// How many of the request's calls have been looked at.
    made: usize,
    pub(super) bytes: usize,
    /// Where the last compaction ends.
    since: usize,
    /// Where it ends, or behind it the last boundary at which something was rewritten.
    from: usize,
}

impl ShownContent {
    /// Drops what stands before a compaction that ends here, and texts before such a boundary.
    pub(super) fn forget_before(&mut self, since: usize, from: usize) {
        if self.since != since {
            self.earlier = Earlier::default();
        } else if self.from != from {
            self.earlier.forget_texts();
        }
        (self.since, self.from) = (since, from);
    }
}

impl Run<'_, '_> {
    /// Brings `shown` nearer to the blocks that have an entry. False: it is there.
    pub(super) fn catch_up(
        &self,
        shown: &mut ShownContent,
        (keys, sinces): (&[u128], &[usize]),
        entries: &[(Arc<Entry>, bool)],
        memo: &mut Memo,
    ) -> bool {
        if shown.blocks == 0 {
            // The last request of this conversation left what it had shown under its last block.
            let known = keys.iter().take(entries.len()).enumerate().rev();
            if let Some((at, earlier)) =
                known.filter_map(|(at, key)| Some((at, memo.take_earlier(*key)?))).next()
            {
                let bytes = self.walk.outputs.iter().take(at + 1).map(|output| output.span.range().len());
                let made = self.walk.outputs.get(at).map_or(0, |output| output.made);
                let from = sinces.get(at).copied().unwrap_or_default();
                let since = self.walk.outputs.get(at).map_or(0, |output| output.since);
                *shown = ShownContent { earlier, blocks: at + 1, made, bytes: bytes.sum(), since, from };
            }
            let rest = self.walk.outputs.iter().skip(shown.blocks);
            shown.earlier.reserve(rest.map(|output| output.span.range().len()).sum());
        }
        let enough = shown.bytes.saturating_add(STEP_BYTES);
        for (block, (entry, _)) in entries.iter().enumerate().skip(shown.blocks) {
            let Some((output, since)) = self.walk.outputs.get(block).zip(sinces.get(block)) else {
                return false;
            };
            if shown.bytes >= enough {
                return true;
            }
            shown.forget_before(output.since, *since);
            self.add_calls(shown, output);
            let text = match &entry.replacement {
                Some(value) if !output.span.is_string() => Some(Cow::Borrowed(&**value)),
                Some(replacement) => string::text(replacement),
                None => shown_text(output, self.walk.body),
            };
            self.add(shown, (output, self.source(output, block)), entry, text.as_deref(), None);
        }
        false
    }

    /// Takes in the next block: `text` is what is forwarded, where it is a text, with its lines where they have been
    /// read.
    pub(super) fn add(
        &self,
        shown: &mut ShownContent,
        (output, source): (&Output, Source),
        entry: &Entry,
        text: Option<&str>,
        lines: Option<Vec<Line>>,
    ) {
        let may_be_shortened = self.is_prose(shown.blocks, output, entry);
        shown.blocks += 1;
        let Some(text) = text else { return };
        shown.bytes += text.len();
        // Nobody knows here which of its words the model will see.
        if may_be_shortened {
            return shown.earlier.pass_over(source);
        }
        // What the provider may take out is nothing that could be referred to, and neither is what it gives to a
        // program instead of the model.
        if self.walk.clears_outputs || output.call.is_some_and(|call| call.by_program) {
            return;
        }
        // Of a result that the filter has filled in, what is shown is what it says.
        let compressed = matches!(entry.outcome, BlockOutcome::Compressed { .. });
        let original = if compressed { shown_text(output, self.walk.body) } else { None };
        let printed = ShownOutput {
            original: original.as_deref().unwrap_or(text),
            shown: text,
            coded: entry.coded,
            values: entry.values,
            structured: output.structured,
        };
        shown.earlier.add(printed, lines, source);
    }

    /// Takes in the calls before an output that are new and that the model is given.
    pub(super) fn add_calls(&self, shown: &mut ShownContent, output: &Output) {
        let new = self.walk.made.get(shown.made..output.made).unwrap_or_default();
        shown.made = shown.made.max(output.made);
        for call in new.iter().filter(|call| !self.walk.clears_outputs && is_seen(call, output)) {
            let [name, arguments] = call.texts(self.walk.body);
            shown.bytes += name.len() + arguments.len();
            if let Some(number) = call.number {
                shown.earlier.add_call(number, Call { name: &name, arguments: &arguments });
            }
        }
    }
}
