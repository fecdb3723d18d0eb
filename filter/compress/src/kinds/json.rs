//! JSON: documents, several documents behind one another, and documents with text around them.
//!
//! Lossless forms keep every value exactly (numbers as they are spelled, key order, duplicate keys, lone
//! surrogates) and drop only layout: white space between the tokens of a document, escapes that no
//! string needs, and white space around the documents. Text before and after them stays as it is.

#[cfg(test)]
mod corpus;
mod crush;
mod describe;
mod embedded;
#[cfg(test)]
mod exact;
#[cfg(test)]
mod inverse;
mod legend;
mod minify;
mod names;
mod notation;
mod parse;
mod schema;
mod spell;
mod survey;
mod template;

use std::ops::Range;

use self::parse::Tree;
use crate::block::{Context, Lossy};

/// Text around the documents may be at most this many thousandths of the whole: with more, the content
/// is mixed and has to be taken apart first.
const MAX_SURROUNDINGS: usize = 400;

/// Tokens per thousand that the notation has to save over JSON: every reader knows JSON.
const MIN_GAIN: usize = 30;

/// Line starts at which a document is looked for when the text does not start with one.
const MAX_STARTS: usize = 4;

/// The text with its documents minified. They are JSON still.
pub(crate) fn minified(text: &str, _cx: &Context<'_>) -> Option<String> {
    without_layout(text)
}

/// As [`minified`].
pub(crate) fn without_layout(text: &str) -> Option<String> {
    let found = find(text)?;
    Some(found.within(&minify::documents(&found)))
}

/// The text with its documents in the [notation], where that is enough better than JSON.
pub(crate) fn tables(text: &str, cx: &Context<'_>) -> Option<String> {
    let tables = find(text).map(|found| found.within(&notation::documents(&found, cx.encoding)))?;
    let most = cx.encoding.count(text).saturating_mul(1000 - MIN_GAIN) / 1000;
    (cx.encoding.count(&tables) <= most).then_some(tables)
}

/// The text with items of its long lists left out.
pub(crate) fn lossy(text: &str, cx: &Context<'_>) -> Option<Lossy> {
    let found = find(text)?;
    let kept = crush::lossy(&found, cx)?;
    Some(Lossy { text: found.within(&kept.text), left_out: kept.left_out })
}

/// Where the documents are in a text that has something else around them, such as the status line of an
/// HTTP client or the warnings of a package manager; `None` when they are all of it, or none are there.
pub(crate) fn span(text: &str) -> Option<Range<usize>> {
    let found = find(text)?;
    let whole = text[..found.start].trim().is_empty() && text[found.end..].trim().is_empty();
    (!whole).then_some(found.start..found.end)
}

/// The length of the documents with which a text begins; `None`: it begins with something else, or what
/// follows them is most of it.
pub(crate) fn leading(text: &str) -> Option<usize> {
    find(text).filter(|found| found.start == 0).map(|found| found.end)
}

/// The documents in a text.
fn find(text: &str) -> Option<Tree<'_>> {
    let bytes = text.as_bytes();
    let mut tried = 0;
    let mut line = 0;
    while tried < MAX_STARTS {
        let start =
            line + bytes[line..].iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')).count();
        if matches!(bytes.get(start), Some(b'{' | b'[')) {
            tried += 1;
            if let Some(tree) = Tree::read(text, start) {
                let around = start + (text.len() - tree.end);
                if around * 1000 <= text.len() * MAX_SURROUNDINGS {
                    return Some(tree);
                }
            }
        }
        if start * 1000 > text.len() * MAX_SURROUNDINGS {
            return None;
        }
        line = start + memchr::memchr(b'\n', &bytes[start..])? + 1;
    }
    None
}

impl Tree<'_> {
    /// The text with `documents` in place of the documents.
    fn within(&self, documents: &str) -> String {
        let before = self.text[..self.start].trim_start();
        let after = self.text[self.end..].trim_end();
        let mut text = String::with_capacity(before.len() + documents.len() + after.len());
        text.push_str(before);
        text.push_str(documents);
        text.push_str(after);
        text
    }
}
