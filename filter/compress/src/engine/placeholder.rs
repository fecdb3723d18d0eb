//! Results that the client's own tool could not give: the original is put in the place of the placeholder.

use std::borrow::Cow;
use std::hash::RandomState;
use std::sync::Arc;

use hashbrown::HashMap;
use headroom_providers::retrieve_tool::is_retrieve;
use headroom_providers::string;
use headroom_providers::walk::Output;
use memchr::memmem;

use super::calls::OutputCall;
use super::counts::FORMS;
use super::run::{Run, shown_text};
use crate::envelope;
use crate::epochs::FoldedOutput;
use crate::memo::Entry;
use crate::outcome::{Kind, Skip};
use crate::rounds::{PLACEHOLDER, RetrieveArguments, answer};

/// What a request's lossy forms leave out, and what of it is put back in the place of placeholders. It follows from
/// the blocks so far, whoever worked them out.
#[derive(Debug, Default)]
pub(super) struct RetrievableBlocks {
    /// The first block with each address.
    blocks: HashMap<Arc<str>, usize, RandomState>,
    /// Results of our own tool, for which an original may have been looked at.
    results: usize,
    /// Of the pages that were put back.
    bytes: usize,
}

/// Pages that are put back in one request: they would fill the windows of two million tokens.
const MAX_GIVEN_BYTES: usize = 8 << 20;

/// The length of an original's block times the number of results of our own tool so far. Each may cost a look at the
/// block, whether or not there is a page to put back.
const MAX_LOOKED_AT: usize = 512 << 20;

/// Longer arguments are not read: an output of two hundred bytes can ask for that.
const MAX_ARGUMENTS: usize = 16 << 10;

impl RetrievableBlocks {
    pub(super) fn add(&mut self, block: usize, entry: &Entry) {
        for address in entry.left_out.iter().flat_map(|it| &it.addresses) {
            self.blocks.entry(Arc::clone(address)).or_insert(block);
        }
        if is_retrieve(&entry.tool) {
            self.results += 1;
            let page = entry.replacement.as_ref().map_or(0, |page| page.len());
            self.bytes = self.bytes.saturating_add(page);
        }
    }

    pub(super) fn add_taken(&mut self, taken: &[Option<Arc<FoldedOutput>>]) {
        for (block, taken) in taken.iter().enumerate() {
            if let Some(taken) = taken {
                self.blocks.entry(Arc::clone(&taken.address)).or_insert(block);
            }
        }
    }

    pub(super) fn add_address(&mut self, block: usize, address: Arc<str>) {
        self.blocks.entry(address).or_insert(block);
    }

    fn has_room(&self, original: usize) -> bool {
        self.bytes < MAX_GIVEN_BYTES && original.saturating_mul(self.results) < MAX_LOOKED_AT
    }
}

impl Run<'_, '_> {
    /// The result of a call that the client's own tool could not answer: the filter puts the text there, from the
    /// request itself, once for each call.
    pub(super) fn requested(
        &self,
        output: &Output,
        block: usize,
        given: &RetrievableBlocks,
        call: &OutputCall,
    ) -> Option<(Entry, Cow<'_, str>)> {
        let body = self.walk.body;
        let arguments = output.call.and_then(|call| call.arguments).map_or(0, |span| span.range().len());
        if !output.is_retrieved(body) || arguments > MAX_ARGUMENTS {
            return None;
        }
        let text = output.span.text(body)?;
        let at = memmem::find(text.as_bytes(), PLACEHOLDER.as_bytes())?;
        let (before, after) = (text.get(..at)?, text.get(at + PLACEHOLDER.len()..)?);
        if self.is_further_part(output, block) {
            return None;
        }
        let asked = RetrieveArguments::read(&call.arguments);
        let left_out = self.walk.outputs.get(*given.blocks.get(&*asked.hash)?)?;
        if !given.has_room(left_out.span.range().len()) {
            return None;
        }
        let original = envelope::text_with_address(shown_text(left_out, body)?, &asked.hash)?;
        let page = answer(&original, &asked).text;
        // Some clients wrap what an MCP server gives into JSON of their own; there it is the whole of a string.
        let page = if before.ends_with('"') && after.starts_with('"') {
            let mut quoted = String::new();
            string::encode_into(&page, &mut quoted);
            quoted.get(1..quoted.len().checked_sub(1)?)?.to_owned()
        } else {
            page
        };
        let forwarded = [before, &page, after].concat();
        let mut escaped = String::new();
        string::encode_into(&forwarded, &mut escaped);
        let count = |text: &str| u32::try_from(FORMS.count(text)).unwrap_or(u32::MAX);
        let entry = Entry {
            tokens_after: count(&forwarded),
            replacement: Some(escaped.into_boxed_str()),
            ..Entry::skipped(&call.name, Kind::Text, Skip::Retrieved, count(&text))
        };
        Some((entry, Cow::Owned(forwarded)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_at_an_original_counts_whether_or_not_there_is_a_page() {
        let tool = Arc::from("headroom_retrieve");
        let result = |replacement: Option<&str>| Entry {
            replacement: replacement.map(Box::from),
            ..Entry::skipped(&tool, Kind::Text, Skip::Retrieved, 0)
        };
        for entry in [result(None), result(Some("page"))] {
            let mut blocks = RetrievableBlocks::default();
            let block = 1 << 20;
            for number in 0..MAX_LOOKED_AT / block {
                assert!(blocks.has_room(block));
                blocks.add(number, &entry);
            }
            assert!(!blocks.has_room(block) && blocks.has_room(block / 2));
        }
    }
}
