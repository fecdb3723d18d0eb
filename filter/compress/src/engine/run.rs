//! What stays the same over the blocks of one request, and what can be said of a block by its place alone.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::sync::Arc;

use headroom_providers::string;
use headroom_providers::walk::{self, Output, Walk};

use super::counts::{FORMS, count_span, count_text};
use crate::config::Config;
use crate::earlier::Source;
use crate::epochs::{FoldedOutput, Scene};
use crate::explain::Explanation;
use crate::memo::{Entry, Memo};
use crate::surroundings::Files;
use crate::tokens::Encoding;

/// Outputs of one call that are known to belong together.
const MAX_PARTS: usize = 64;

/// What stays the same over the blocks of one request.
pub(super) struct Run<'w, 'b> {
    pub(super) walk: &'w Walk<'b>,
    pub(super) config: &'w Config,
    pub(super) lossy_blocks: usize,
    pub(super) edits_by_line: bool,
    /// From how many tokens on a text model may be asked about prose; `None`: it is not asked in this request.
    pub(super) text_model: Option<u32>,
    /// The files that the calls name, once it was asked; `None` where nobody may ask.
    pub(super) files: Option<&'w OnceCell<Files>>,
    /// Where somebody wants to know, what led to the outcome of each block so far.
    pub(super) explanations: Option<&'w Explanations>,
}

pub(super) type Explanations = RefCell<Vec<Option<Explanation>>>;

impl<'b> Run<'_, 'b> {
    /// What is read for old outputs.
    pub(super) fn scene<'s>(&'s self, entries: &'s [(Arc<Entry>, bool)]) -> Scene<'s, 'b> {
        Scene {
            walk: self.walk,
            lossy_blocks: self.lossy_blocks,
            entries,
            count_span: |span, body, memo| count_span(span, body, FORMS, memo),
            count_text: |text, memo| count_text(text, FORMS, memo),
        }
    }

    /// Begins the explanation of the next block. One that the memo knows gets no more.
    pub(super) fn begin_explanation(&self) {
        if let Some(explanations) = self.explanations {
            explanations.borrow_mut().push(None);
        }
    }

    /// The tokens of a block before and after, by the request's own tokenizer.
    pub(super) fn figures(
        &self,
        output: &Output,
        entry: &Entry,
        taken: Option<&FoldedOutput>,
        encoding: Encoding,
        memo: &mut Memo,
    ) -> (u32, u32) {
        if encoding == FORMS {
            return (entry.tokens_before, taken.map_or(entry.tokens_after, |taken| taken.tokens));
        }
        let before = count_span(output.span, self.walk.body, encoding, memo);
        let replacement = taken.map(|taken| &*taken.replacement).or(entry.replacement.as_deref());
        let after = replacement.and_then(|spliced| match output.span.is_string() {
            true => string::text(spliced),
            false => Some(string::without_layout(spliced)),
        });
        (before, after.map_or(before, |text| count_text(&text, encoding, memo)))
    }

    /// Whether a call has had an output before this one.
    pub(super) fn is_further_part(&self, output: &Output, block: usize) -> bool {
        let Some(call) = output.call else { return false };
        let before = self.walk.outputs.get(block.saturating_sub(MAX_PARTS)..block).unwrap_or_default();
        before.iter().any(|other| {
            other.call.is_some_and(|other| other.number.is_some() && other.number == call.number)
        })
    }

    /// Where a block comes from. Texts of one result stand behind one another.
    pub(super) fn source(&self, output: &Output, block: usize) -> Source {
        let number = |output: &Output| output.call.and_then(|call| call.number);
        let call = number(output);
        let is_next = self.walk.outputs.get(block + 1).is_some_and(|next| number(next) == call);
        Source { call, several: call.is_some() && is_next }
    }
}

/// What a block is compressed as: the text of a string, structured data as it is written. `None` for what stays
/// as it is: other values, and strings that are no text.
pub(super) fn shown_text<'b>(output: &Output, body: &'b str) -> Option<Cow<'b, str>> {
    if output.structured { Some(Cow::Borrowed(output.span.raw(body))) } else { output.span.text(body) }
}

/// Whether the model is given a call that stands before an output: no compaction stands between them, and it is not a
/// program's.
pub(super) fn is_seen(call: &walk::Call, output: &Output) -> bool {
    !call.by_program && call.start().is_some_and(|start| start >= output.since)
}
