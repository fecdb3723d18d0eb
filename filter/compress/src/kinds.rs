//! One compressor per kind of content.
//!
//! Each module offers what its kind allows:
//!
//! * `lossless(text, context) -> Option<String>`: a form from which the text can be derived, or, where the
//!   module says so, its values;
//! * `lossy(text, context) -> Option<Lossy>`: what to keep, and a description of the rest.
//!
//! They are pure functions and take time linear in the text. The pipeline compares the token counts. They
//! return `None` as soon as they see that the text is not of their kind.

#[deny(clippy::string_slice)]
pub(crate) mod code;
pub(crate) mod json;
pub(crate) mod numbered;

#[cfg(test)]
mod hostile;

mod clock;
mod diff;
pub(crate) mod failure;
pub(crate) mod fold;
pub(crate) mod history;
mod html;
mod keep;
mod listing;
mod log;
mod order;
#[deny(clippy::string_slice)]
mod payload;
mod query;
pub(crate) mod search;
mod select;
mod shorten;
pub(crate) mod signal;
mod sink;
pub(crate) mod snapshot;
mod table;
pub(crate) mod test_build;
mod text;
mod verdict;
mod wording;
mod words;

use std::borrow::Cow;

use headroom_providers::sort;

use self::json::{Documents, Forms};
use self::signal::floor_char_boundary;
use crate::block::{Context, Lossy};
use crate::clean;
use crate::earlier::{Fidelity, has_ours};
use crate::lines;
use crate::outcome::{Compressor, Kind};
use crate::work;

/// One lossless rewrite: its name in reports, and its function.
#[derive(Clone, Copy)]
struct Step {
    compressor: Compressor,
    form: fn(&str, &Context<'_>) -> Option<String>,
}

impl Step {
    /// The rewritten text, if the step applies and makes it shorter.
    fn form(&self, text: &str, cx: &Context<'_>) -> Option<String> {
        (self.form)(text, cx).filter(|form| form.len() < text.len())
    }
}

const LOG: Step = Step { compressor: Compressor::Log, form: log::lossless };

const TEST_BUILD: Step = Step { compressor: Compressor::TestBuild, form: test_build::lossless };

const DIFF: Step = Step { compressor: Compressor::Diff, form: diff::lossless };

const TABLE: Step = Step { compressor: Compressor::Table, form: table::lossless };

const LISTING: Step = Step { compressor: Compressor::Listing, form: listing::lossless };

const HISTORY: Step = Step { compressor: Compressor::History, form: history::lossless };

const SNAPSHOT: Step = Step { compressor: Compressor::Snapshot, form: snapshot::lossless };

const SEARCH: Step = Step { compressor: Compressor::Search, form: search::lossless };

const TEXT: Step = Step { compressor: Compressor::Text, form: text::lossless };

const LINE_ENDS: Step = Step { compressor: Compressor::Clean, form: clean::line_ends };

const LINE_NUMBERS: Step = Step { compressor: Compressor::LineNumbers, form: numbered::lossless };

/// A text that is JSON, after the rewrites of its documents. `documents`: those in it, if they are known.
/// `took` is called with each compressor that made it shorter, and with the texts before and after.
pub(crate) fn documents<'a>(
    text: &'a str,
    documents: Option<Documents<'a>>,
    cx: &Context<'_>,
    mut took: impl FnMut(Compressor, &str, &str),
) -> Cow<'a, str> {
    let mut shown = Cow::Borrowed(text);
    let Forms { minified, tables } = match documents.or_else(|| json::find(text)) {
        Some(documents) => json::lossless(text, &documents, cx),
        None => Forms { minified: None, tables: json::lossless_cut(text, cx) },
    };
    for (compressor, form) in [(Compressor::JsonMinify, minified), (Compressor::JsonTable, tables)] {
        if let Some(form) = form {
            took(compressor, &shown, &form);
            shown = Cow::Owned(form);
        }
    }
    shown
}

/// A text with the same lines, in which only things that are not content have changed: numbers that a tool
/// put before them, and white space at their ends.
pub(crate) fn lines<'a>(
    kind: Kind,
    text: &'a str,
    cx: &Context<'_>,
    mut took: impl FnMut(Compressor, &str, &str),
) -> Cow<'a, str> {
    let mut shown = Cow::Borrowed(text);
    for step in plain_steps(kind) {
        if let Some(form) = step.form(&shown, cx) {
            took(step.compressor, &shown, &form);
            shown = Cow::Owned(form);
        }
    }
    shown
}

/// What matters of a text for the forms of its parts: what its lines begin with, as far as a form could be mistaken for
/// them, each of it once.
pub(crate) fn beside(text: &str) -> String {
    /// Longer than all that a line is searched for.
    const START: usize = 80;
    work::spend(text.len());
    // Most lines are not looked at beyond their first two bytes.
    let first = |line: &str, is: fn(&u8) -> bool| line.as_bytes().first().is_some_and(is);
    let lines = || lines::split(text).map(|line| line.strip_suffix('\r').unwrap_or(line));
    let tagged = lines().filter(|line| first(line.strip_prefix(' ').unwrap_or(line), u8::is_ascii_uppercase));
    let mut starts: Vec<&str> = shorten::ReservedTags::of(tagged, "").0.into_iter().collect();
    sort::ascending(&mut starts);
    starts
        .extend(lines().find(|line| first(line, u8::is_ascii_hexdigit) && history::starts_with_commit(line)));
    starts.extend(lines().find(|line| first(line, |byte| *byte == b'[') && shorten::has_explanation(line)));
    let starts =
        starts.into_iter().map(|line| line.get(..floor_char_boundary(line, START)).unwrap_or_default());
    starts.collect::<Vec<_>>().join("\n")
}

/// A text in a code whose rules it states.
pub(crate) struct Form {
    pub(crate) compressor: Compressor,
    pub(crate) text: String,
    pub(crate) coded: Fidelity,
}

/// The text in the code for its kind, if that makes it shorter. Lines that stand for others
/// ([`earlier::looks_like_one`](crate::earlier::looks_like_one)) stay as they are.
pub(crate) fn coded(kind: Kind, text: &str, cx: &Context<'_>) -> Option<Form> {
    let step = code(kind)?;
    // A form over several lines has no place for a line that stands for others.
    if matches!(kind, Kind::History | Kind::Snapshot) && has_ours(text) {
        return None;
    }
    let form = step.form(text, cx)?;
    let by_line = match kind {
        Kind::Listing => listing::is_by_line(&form),
        Kind::Text => text::is_by_line(&form),
        Kind::History | Kind::Snapshot => false,
        _ => true,
    };
    let coded = if by_line { Fidelity::Lines } else { Fidelity::Document };
    Some(Form { compressor: step.compressor, text: form, coded })
}

/// Whether repeated lines are counted in texts of this kind.
pub(crate) fn folds(kind: Kind) -> bool {
    !matches!(kind, Kind::Json | Kind::JsonLines | Kind::Search | Kind::Short)
}

/// The rewrites of a kind that keep its lines as they are, in the order in which they are applied.
fn plain_steps(kind: Kind) -> &'static [Step] {
    match kind {
        Kind::Json | Kind::JsonLines | Kind::Search | Kind::Short | Kind::Snapshot => &[],
        Kind::Diff | Kind::Source => &[LINE_NUMBERS],
        Kind::History => &[LINE_ENDS],
        Kind::Log | Kind::TestBuild | Kind::Listing | Kind::Table | Kind::Html | Kind::Text | Kind::Mixed => {
            &[LINE_NUMBERS, LINE_ENDS]
        }
    }
}

/// The code for the lines of a kind.
fn code(kind: Kind) -> Option<Step> {
    match kind {
        Kind::Search => Some(SEARCH),
        Kind::Log => Some(LOG),
        Kind::TestBuild => Some(TEST_BUILD),
        Kind::Listing => Some(LISTING),
        Kind::Table => Some(TABLE),
        Kind::Diff => Some(DIFF),
        Kind::History => Some(HISTORY),
        Kind::Snapshot => Some(SNAPSHOT),
        Kind::Text => Some(TEXT),
        Kind::Json | Kind::JsonLines | Kind::Short | Kind::Html | Kind::Mixed | Kind::Source => None,
    }
}

/// What to keep of a text of this kind; `None` if the kind is never lossy or nothing can be left out.
pub(crate) fn lossy(kind: Kind, text: &str, cx: &Context<'_>) -> Option<(Compressor, Lossy)> {
    match kind {
        Kind::JsonLines if test_build::events::are_in(text) => {
            test_build::events::lossy(text, cx).map(|kept| (Compressor::TestBuild, kept))
        }
        Kind::Json | Kind::JsonLines => json::lossy(text, cx).map(|kept| (Compressor::JsonCrush, kept)),
        Kind::Log => log::lossy(text, cx).map(|kept| (Compressor::Log, kept)),
        Kind::Diff => diff::lossy(text, cx).map(|kept| (Compressor::Diff, kept)),
        Kind::Html => html::lossy(text, cx).map(|kept| (Compressor::Html, kept)),
        Kind::Table => table::lossy(text, cx).map(|kept| (Compressor::Table, kept)),
        // Encoded data looks like paths.
        Kind::Listing => payload::lossy(text, cx)
            .map(|kept| (Compressor::Text, kept))
            .or_else(|| listing::lossy(text, cx).map(|kept| (Compressor::Listing, kept))),
        Kind::TestBuild => test_build::lossy(text, cx).map(|kept| (Compressor::TestBuild, kept)),
        Kind::Search => search::lossy(text, cx).map(|kept| (Compressor::Search, kept)),
        Kind::Text => {
            payload::lossy(text, cx).or_else(|| text::lossy(text, cx)).map(|kept| (Compressor::Text, kept))
        }
        // An agent edits what it has read, but not encoded data or a packed program.
        Kind::Source => payload::lossy(text, cx).map(|kept| (Compressor::Text, kept)),
        // An agent clicks on what a page shows, and looks for one commit among many.
        Kind::Snapshot | Kind::History => None,
        // A mixture is split into parts first.
        Kind::Short | Kind::Mixed => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_matters_of_a_text_for_its_parts_is_found_once_each(
            lines in prop::collection::vec(
                "( |  )?(A|ZZ[:,]?|ABC|ABCD|B\\t|é|3b1f6c2|3b1f6cx|[0-9a-f]{64,66}|\\[headroom: |\\[head)( .{0,90}|x|\r)?",
                0..8,
            )
        ) {
            let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
            let beside = beside(&text);
            let tags = |text| shorten::ReservedTags::of(str::lines(text), "").0;
            prop_assert_eq!(tags(&beside), tags(&text));
            prop_assert_eq!(shorten::has_explanation(&beside), shorten::has_explanation(&text));
            let has_commit = |text: &str| text.lines().any(history::starts_with_commit);
            prop_assert_eq!(has_commit(&beside), has_commit(&text));
            prop_assert_eq!(super::beside(&text.repeat(9)), beside);
        }
    }
}
