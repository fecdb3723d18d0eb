//! One compressor per kind of content.
//!
//! Each module offers what its kind allows of
//!
//! * `lossless(text, context) -> Option<String>`: a form from which the text, or where the module
//!   says so its values, can be derived;
//! * `lossy(text, context) -> Option<Lossy>`: what to keep, and a description of the rest.
//!
//! They are pure, they take time linear in the text, they leave the comparison of token counts to
//! the pipeline, and they return `None` as soon as they see that the text is not theirs.

pub(crate) mod json;
pub(crate) mod numbered;

#[cfg(test)]
mod corpus;

mod clock;
mod diff;
pub(crate) mod fold;
pub(crate) mod history;
mod html;
mod keep;
mod listing;
mod log;
mod query;
pub(crate) mod search;
mod select;
mod shorten;
pub(crate) mod signal;
pub(crate) mod snapshot;
mod table;
mod test_build;
mod text;
mod wording;
mod words;

pub use select::relevance::relevant;

use std::borrow::Cow;

use self::json::{Documents, Forms};
use crate::block::{Context, Lossy};
use crate::clean;
use crate::outcome::{Compressor, Kind};

/// One lossless rewrite: its name for the report, and the function.
#[derive(Clone, Copy)]
struct Step {
    compressor: Compressor,
    form: fn(&str, &Context<'_>) -> Option<String>,
}

impl Step {
    /// The rewritten text, where the step applies and makes it shorter.
    fn form(&self, text: &str, cx: &Context<'_>) -> Option<String> {
        (self.form)(text, cx).filter(|form| form.len() < text.len())
    }
}

const LOG: Step = Step { compressor: Compressor::Log, form: log::lossless };

const TEST_BUILD: Step = Step { compressor: Compressor::TestBuild, form: test_build::lossless };

const DIFF: Step = Step { compressor: Compressor::Diff, form: diff::lossless };

const TABLE: Step = Step { compressor: Compressor::Table, form: table::lossless };

const LISTING: Step = Step { compressor: Compressor::Listing, form: listing::lossless };

/// A text after the lossless rewrites that are for its kind alone. `documents` are those in it, where they are
/// known; `took` hears of each compressor that made it shorter, and of the texts before and after.
pub(crate) fn lossless<'a>(
    kind: Kind,
    text: &'a str,
    documents: Option<Documents<'a>>,
    cx: &Context<'_>,
    mut took: impl FnMut(Compressor, &str, &str),
) -> Cow<'a, str> {
    let mut shown = Cow::Borrowed(text);
    let mut becomes = |shown: &mut Cow<'_, str>, compressor, form: String| {
        took(compressor, shown, &form);
        *shown = Cow::Owned(form);
    };
    if matches!(kind, Kind::Json | Kind::JsonLines) {
        let Forms { minified, tables } = match documents.or_else(|| json::find(text)) {
            Some(documents) => json::lossless(text, &documents, cx),
            None => Forms { minified: None, tables: json::lossless_cut(text, cx) },
        };
        for (compressor, form) in [(Compressor::JsonMinify, minified), (Compressor::JsonTable, tables)] {
            if let Some(form) = form {
                becomes(&mut shown, compressor, form);
            }
        }
    }
    for step in steps(kind) {
        if let Some(form) = step.form(&shown, cx) {
            becomes(&mut shown, step.compressor, form);
        }
    }
    shown
}

/// Whether lines that repeat are counted in texts of this kind.
pub(crate) fn folds(kind: Kind) -> bool {
    !matches!(kind, Kind::Json | Kind::JsonLines | Kind::Search | Kind::Short)
}

/// The lossless rewrites for a kind, in the order in which they are applied.
fn steps(kind: Kind) -> &'static [Step] {
    match kind {
        // nothing is rewritten there but the documents
        Kind::Json | Kind::JsonLines => &[],
        Kind::Search => &[SEARCH],
        Kind::Short => &[],
        Kind::Log => &[LINE_NUMBERS, LINE_ENDS, LOG],
        Kind::TestBuild => &[LINE_NUMBERS, LINE_ENDS, TEST_BUILD],
        Kind::Listing => &[LINE_NUMBERS, LINE_ENDS, LISTING],
        Kind::Table => &[LINE_NUMBERS, LINE_ENDS, TABLE],
        Kind::Html => &[LINE_NUMBERS, LINE_ENDS],
        Kind::Text | Kind::Mixed => &[LINE_NUMBERS, LINE_ENDS],
        Kind::Diff => &[LINE_NUMBERS, DIFF],
        Kind::Source => &[LINE_NUMBERS],
        Kind::History => &[LINE_ENDS, HISTORY],
        Kind::Snapshot => &[SNAPSHOT],
    }
}

const HISTORY: Step = Step { compressor: Compressor::History, form: history::lossless };

const SNAPSHOT: Step = Step { compressor: Compressor::Snapshot, form: snapshot::lossless };

const SEARCH: Step = Step { compressor: Compressor::Search, form: search::lossless };

const LINE_ENDS: Step = Step { compressor: Compressor::Clean, form: clean::line_ends };

const LINE_NUMBERS: Step = Step { compressor: Compressor::LineNumbers, form: numbered::lossless };

/// What to keep of a text of this kind; `None` where the kind is never lossy or nothing can go.
pub(crate) fn lossy(kind: Kind, text: &str, cx: &Context<'_>) -> Option<(Compressor, Lossy)> {
    match kind {
        Kind::Json | Kind::JsonLines => json::lossy(text, cx).map(|kept| (Compressor::JsonCrush, kept)),
        Kind::Log => log::lossy(text, cx).map(|kept| (Compressor::Log, kept)),
        Kind::Diff => diff::lossy(text, cx).map(|kept| (Compressor::Diff, kept)),
        Kind::Html => html::lossy(text, cx).map(|kept| (Compressor::Html, kept)),
        Kind::Table => table::lossy(text, cx).map(|kept| (Compressor::Table, kept)),
        Kind::Listing => listing::lossy(text, cx).map(|kept| (Compressor::Listing, kept)),
        Kind::TestBuild => test_build::lossy(text, cx).map(|kept| (Compressor::TestBuild, kept)),
        Kind::Search => search::lossy(text, cx).map(|kept| (Compressor::Search, kept)),
        Kind::Text => text::lossy(text, cx).map(|kept| (Compressor::Text, kept)),
        // an agent edits what it has read, clicks on what a page has, and looks for one commit of many
        Kind::Source | Kind::Snapshot | Kind::History => None,
        // a mixture is split into parts first
        Kind::Short | Kind::Mixed => None,
    }
}
