//! Prose that no form has shortened, and about which a text model may be asked.
//!
//! The model is asked by the caller, who knows that it says the same of a text for ever. Which outputs these are follows
//! from the request and the configuration alone. No later output refers to one of them, whatever was said of it: what the
//! model sees of it is not known here (I8).

use std::sync::Arc;

use headroom_providers::string;
use headroom_providers::walk::{Output, Walk};

use super::Steps;
use super::counts::{FORMS, count_text};
use super::run::Run;
use crate::ccr;
use crate::config::{Config, Policy};
use crate::epochs::FoldedOutput;
use crate::memo::{Entry, Memo};
use crate::outcome::{BlockOutcome, Compressor, Kind, Skip};
use crate::tool;

/// An output about which a text model may be asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Prose {
    /// The index of its block in the outcome's blocks.
    pub block: usize,
    /// The address of its text.
    pub hash: Arc<str>,
    /// Whether it comes after the model's last message: no provider has seen it in this conversation before.
    pub new: bool,
}

/// A form has at most this share of the text's tokens: what is not quite a text any more is harder to read.
const KEEPS_AT_MOST_PERCENT: u64 = 90;

/// From how many tokens on the model may be asked in a request; `None`: not at all. What is bound to what stands before it
/// must not wait for somebody's word, and what the provider keeps or clears is not there to be had back.
pub(super) fn least_tokens(config: &Config, walk: &Walk<'_>, lossy_blocks: usize) -> Option<u32> {
    config.text_model.filter(|_| !walk.may_reason && !walk.clears_outputs && lossy_blocks > 0)
}

impl Run<'_, '_> {
    /// Whether a text model may be asked about an output.
    pub(super) fn is_prose(&self, block: usize, output: &Output, entry: &Entry) -> bool {
        self.text_model.is_some_and(|least| entry.tokens_before >= least)
            && entry.outcome == BlockOutcome::Skipped(Skip::NoGain)
            && entry.kind == Kind::Text
            && output.span.is_string()
            && block < self.lossy_blocks
            && self.config.kind_policy(Kind::Text) == Policy::Lossy
            && tool::policy(self.config, &entry.tool, tool::Class::of(&entry.tool)) == Policy::Lossy
    }
}

impl Steps<'_> {
    pub(super) fn prose(&self) -> Vec<Prose> {
        let Some(blocks) = &self.blocks else { return Vec::new() };
        // One that was left out since is not there to be shortened.
        let staying = blocks.prose.iter().filter(|(block, _)| blocks.taken(*block).is_none());
        staying
            .map(|(block, hash)| Prose {
                block: *block,
                hash: Arc::clone(hash),
                new: *block >= self.walk.answered,
            })
            .collect()
    }

    pub(super) fn shorten(&mut self, block: usize, form: &str, memo: &mut Memo) -> bool {
        let prose = self.prose();
        let Some(blocks) = &self.blocks else { return false };
        let (Some(Prose { hash, .. }), Some((entry, _)), Some(figures)) = (
            prose.iter().find(|prose| prose.block == block),
            blocks.entries.get(block),
            self.figures.get_mut(block),
        ) else {
            return false;
        };
        let Some(description) = ccr::marked(form, hash) else { return false };
        let tokens = u32::try_from(FORMS.count(form)).unwrap_or(u32::MAX);
        if u64::from(tokens) * 100 > u64::from(entry.tokens_before) * KEEPS_AT_MOST_PERCENT {
            return false;
        }
        figures.1 = count_text(form, self.counting.encoding, memo);
        let mut replacement = String::new();
        string::encode_into(form, &mut replacement);
        let shortened = FoldedOutput {
            compressor: Compressor::TextModel,
            replacement: replacement.into_boxed_str(),
            description: description.into(),
            address: Arc::clone(hash),
            tokens,
        };
        self.shortened.insert(block, shortened);
        true
    }
}
