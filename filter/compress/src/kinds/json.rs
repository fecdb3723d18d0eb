//! JSON: one document, several documents in a row, and documents with text around them.
//!
//! Lossless forms keep every value exactly (the spelling of numbers, key order, duplicate keys, lone
//! surrogates) and drop only layout: white space between the tokens of a document, escapes that no string
//! needs, and white space around the documents. Text before and after them stays as it is.

mod crush;
pub(crate) mod cut;
mod describe;
mod embedded;
#[cfg(test)]
mod exact;
#[cfg(test)]
mod inverse;
mod keys;
mod legend;
mod minify;
mod names;
mod notation;
mod parse;
mod place;
mod python;
mod report;
mod schema;
mod spell;
mod survey;
mod template;

use self::minify::MinifiedText;
use self::parse::Tree;
use crate::block::{Context, Lossy};

/// The most text around the documents, in thousandths of the whole. With more, the content is mixed and has
/// to be split first.
const MAX_SURROUNDINGS: usize = 400;

/// Tokens per thousand that the notation has to save over JSON, because every reader knows JSON.
const MIN_GAIN: usize = 30;

/// If the notation has at most this percentage of the bytes, it certainly saves enough, and nothing is
/// counted: on the corpus such forms have at most 88 % of the tokens.
const FEW_BYTES: usize = 75;

/// How many line starts are tried as the start of a document, if the text does not start with one.
const MAX_STARTS: usize = 4;

/// Documents, and the text around them: the status line of an HTTP client, the warnings of a package manager,
/// or nothing.
#[derive(Clone, Debug)]
pub(crate) struct Documents<'a> {
    pub(crate) before: &'a str,
    pub(crate) after: &'a str,
    tree: Tree<'a>,
}

/// The lossless forms of a text with documents.
pub(crate) struct Forms {
    /// The text with minified documents, which are still JSON, if that is shorter.
    pub(crate) minified: Option<String>,
    /// The text with its documents in the [notation], if that is sufficiently better than JSON.
    pub(crate) tables: Option<String>,
}

/// The forms of a text with these documents.
pub(crate) fn lossless(text: &str, documents: &Documents<'_>, cx: &Context<'_>) -> Forms {
    match documents.minified().filter(|minified| minified.text.len() < text.len()) {
        None => Forms { minified: None, tables: documents.tables(text, cx) },
        Some(MinifiedText { text, respelled }) => {
            // Strings are compared as they are spelled, so after a change of spelling they have to be read
            // again.
            let again = if respelled { find(&text) } else { None };
            let tables = again.as_ref().unwrap_or(documents).tables(&text, cx);
            Forms { minified: Some(text), tables }
        }
    }
}

/// The form of a text without whole documents: cut out of one, or printed by Python.
pub(crate) fn lossless_cut(text: &str, cx: &Context<'_>) -> Option<String> {
    printed(text, cx).or_else(|| cut::lossless(text, cx))
}

/// The notation of a value that Python printed.
fn printed(text: &str, cx: &Context<'_>) -> Option<String> {
    let json = python::as_json(text)?;
    let tables = find(&json)?.tables(&json, cx)?;
    Some([python::NOTE, &tables].concat())
}

/// The text with its documents minified.
pub(crate) fn without_layout(text: &str) -> Option<String> {
    Some(find(text)?.minified()?.text)
}

/// The text with items of its long lists left out.
pub(crate) fn lossy(text: &str, cx: &Context<'_>) -> Option<Lossy> {
    let found = find(text)?;
    let kept = crush::lossy(&found.tree, cx)?;
    Some(Lossy { text: found.within(kept.text), left_out: kept.left_out })
}

/// Whether a text that begins like JSON has more keys and values than are read.
pub(crate) fn has_more_values_than_are_read(text: &str) -> bool {
    // Every value except the first follows one of these, and takes at least one byte itself.
    let follow = |byte: &u8| matches!(byte, b',' | b':' | b'[' | b'{');
    let bytes = text.as_bytes();
    bytes.len() > parse::MAX_NODES
        && matches!(bytes.get(parse::spaces(bytes)), Some(b'{' | b'['))
        && bytes.iter().filter(|byte| follow(byte)).count() > parse::MAX_NODES
}

/// The documents in a text; `None`: there are none, or most of the text is around them.
pub(crate) fn find(text: &str) -> Option<Documents<'_>> {
    let bytes = text.as_bytes();
    let mut tried = 0;
    let mut line = 0;
    while tried < MAX_STARTS {
        let start = line + parse::spaces(bytes.get(line..).unwrap_or_default());
        if matches!(bytes.get(start), Some(b'{' | b'[')) {
            tried += 1;
            if let Some(tree) = Tree::read(text.get(start..).unwrap_or_default()) {
                let (before, after) = (
                    text.get(..start).unwrap_or_default(),
                    text.get(start + tree.text.len()..).unwrap_or_default(),
                );
                if (before.len() + after.len()) * 1000 <= text.len() * MAX_SURROUNDINGS {
                    return Some(Documents { before, after, tree });
                }
            }
        }
        if start * 1000 > text.len() * MAX_SURROUNDINGS {
            return None;
        }
        line = start + memchr::memchr(b'\n', bytes.get(start..).unwrap_or_default())? + 1;
    }
    None
}

/// Whether the notation is sufficiently better than the text as JSON.
fn gains(text: &str, tables: &str, cx: &Context<'_>) -> bool {
    if tables.len() >= text.len() {
        return false;
    }
    if tables.len() * 100 <= text.len() * FEW_BYTES {
        return true;
    }
    let most = cx.encoding.count(text).saturating_mul(1000 - MIN_GAIN) / 1000;
    cx.encoding.count(tables) <= most
}

impl Documents<'_> {
    /// The documents without the text around them.
    pub(crate) fn alone(self) -> Self {
        Self { before: "", after: "", ..self }
    }

    /// The documents without layout. `None`: the text would not change.
    fn minified(&self) -> Option<MinifiedText> {
        let bare = self.before.trim_start() == self.before && self.after.trim_end() == self.after;
        if bare && self.tree.layout.is_empty() {
            return None;
        }
        let MinifiedText { text, respelled } = minify::documents(&self.tree);
        Some(MinifiedText { text: self.within(text), respelled })
    }

    /// `text`, which contains these documents, with the [notation] in their place.
    fn tables(&self, text: &str, cx: &Context<'_>) -> Option<String> {
        let tables = self.within(notation::documents(&self.tree, cx.encoding));
        gains(text, &tables, cx).then_some(tables)
    }

    /// The text with `documents` in place of the documents.
    fn within(&self, documents: String) -> String {
        let (before, after) = (self.before.trim_start(), self.after.trim_end());
        if before.is_empty() && after.is_empty() { documents } else { [before, &documents, after].concat() }
    }
}
