//! Outputs inside outputs: texts that a tool, an SDK or a harness has put into a value.
//!
//! `{"stdout": "…", "exitCode": 0}`, the content of an MCP result, a JSON string, Python's print of a
//! dictionary: the value is an envelope, and its long strings are texts of their own. Each is decoded, goes
//! through the ordinary pipeline, and is written back in the spelling of its value. All other bytes stay
//! (I2), so a reader of the value finds the same members with the same values.
//!
//! ```text
//! {"stdout": "a.rs:1:use x;\na.rs:9:use y;\n", "exitCode": 0}
//! ```

mod json;
mod path;
pub(crate) mod python;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::{ControlFlow, Range};

use headroom_providers::string;

use crate::outcome::Original;
use crate::{ccr, clean, mixed};

/// Strings of at least this many bytes are texts if they have several lines or contain a value.
const MIN_TEXT: usize = 64;
/// Strings of at least this many bytes are always texts.
const MIN_LINE: usize = 256;
/// If texts make up more than this percentage of the bytes, the value is only their envelope; otherwise it is
/// a record with some long members.
const MOSTLY: usize = 50;

/// A value, and the texts in it.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    value: &'a str,
    spelling: Spelling,
    /// In the order of the value, not overlapping.
    texts: Vec<Text<'a>>,
}

/// A string of a value that is a text of its own.
#[derive(Debug)]
pub(crate) struct Text<'a> {
    /// Its place in the value, with its quotes.
    span: Range<usize>,
    /// The decoded text.
    pub(crate) text: Cow<'a, str>,
    /// Its path in the value, as programs write it: `stdout`, `content[0].text`. Empty if the value is the
    /// string itself, `None` if the path is too long or has a part without a name.
    pub(crate) path: Option<String>,
}

/// How a value spells its strings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Spelling {
    Json,
    Python,
}

impl<'a> Envelope<'a> {
    /// Reads a value and finds its texts; `None` if it is not a value or has no texts.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        Self::of_json(text).or_else(|| {
            let texts = python::texts(text)?;
            Self { value: text, spelling: Spelling::Python, texts }.filled()
        })
    }

    /// The same for values that can only be JSON.
    pub(crate) fn of_json(text: &'a str) -> Option<Self> {
        Self { value: text, spelling: Spelling::Json, texts: json::texts(text)? }.filled()
    }

    fn filled(self) -> Option<Self> {
        (!self.texts.is_empty()).then_some(self)
    }

    pub(crate) fn spelling(&self) -> Spelling {
        self.spelling
    }

    pub(crate) fn texts(&self) -> &[Text<'a>] {
        &self.texts
    }

    /// The texts, each with its path.
    pub(crate) fn into_texts(self) -> impl Iterator<Item = (Option<String>, Cow<'a, str>)> {
        self.texts.into_iter().map(|inner| (inner.path, inner.text))
    }

    /// Whether the texts make up most of the value.
    pub(crate) fn is_mostly_texts(&self) -> bool {
        let texts: usize = self.texts.iter().map(|text| text.span.len()).sum();
        texts * 100 > self.value.len() * MOSTLY
    }

    /// The value with replacements for some of its texts; `None` if there are none.
    pub(crate) fn with(&self, replacements: &[Option<String>]) -> Option<String> {
        let mut out: Option<String> = None;
        let mut from = 0;
        for (text, replacement) in self.texts.iter().zip(replacements) {
            let Some(replacement) = replacement else { continue };
            let out = out.get_or_insert_with(|| String::with_capacity(self.value.len()));
            out.push_str(self.value.get(from..text.span.start)?);
            match self.spelling {
                Spelling::Json => string::encode_into(replacement, out),
                Spelling::Python => {
                    python::encode_into(replacement, self.value.as_bytes().get(text.span.start), out)
                }
            }
            from = text.span.end;
        }
        let mut out = out?;
        out.push_str(self.value.get(from..)?);
        Some(out)
    }
}

/// How deep values in texts of values are read. Real ones have two levels.
pub(crate) const MAX_NESTING: usize = 3;

/// The text with this content address: a whole block, or a text in its values.
pub(crate) fn text_with_address<'b>(block: Cow<'b, str>, address: &str) -> Option<Cow<'b, str>> {
    if ccr::address(&block) == address {
        return Some(block);
    }
    inner_text(&block, address).map(Cow::Owned)
}

impl<'b> Original<'b> {
    /// The original that was left out: the decoded text of the block, or of the string in it with this
    /// address. It is decoded on demand, because few are ever asked for.
    pub fn text(&self) -> Cow<'b, str> {
        text_with_address(self.block_text(), &self.hash).unwrap_or_default()
    }

    /// Gives each of these originals with its text. Those of one block stand together, and each block is read once.
    /// Returns how many have no text.
    pub fn each_text(originals: &[&Self], mut each: impl FnMut(&Self, &str)) -> usize {
        let mut missing = 0;
        for originals in originals.chunk_by(|one, next| one.block == next.block) {
            let mut wanted: HashMap<&str, &Self> = originals.iter().map(|it| (&*it.hash, *it)).collect();
            let block = originals.first().map(|it| it.block_text()).unwrap_or_default();
            let mut give = |text: &str| {
                if let Some(original) = wanted.remove(&*ccr::address(text)) {
                    each(original, text);
                }
                if wanted.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            if give(&block).is_continue() && inner_texts(&block, 0, &mut give).is_continue() {
                missing += wanted.len();
            }
        }
        missing
    }

    fn block_text(&self) -> Cow<'b, str> {
        if self.span.is_string() {
            self.span.text(self.body).unwrap_or_default()
        } else {
            Cow::Borrowed(self.span.raw(self.body))
        }
    }
}

/// The text with this content address in the values of a block.
pub(crate) fn inner_text(block: &str, address: &str) -> Option<String> {
    let found = inner_texts(block, 0, &mut |text| {
        if ccr::address(text) == address {
            ControlFlow::Break(text.to_owned())
        } else {
            ControlFlow::Continue(())
        }
    });
    found.break_value()
}

/// The texts in the values of a text, as the pipeline finds them, until `each` has enough.
fn inner_texts<B>(
    text: &str,
    nesting: usize,
    each: &mut dyn FnMut(&str) -> ControlFlow<B>,
) -> ControlFlow<B> {
    if nesting == MAX_NESTING {
        return ControlFlow::Continue(());
    }
    // Each text is read as a terminal shows it, unless the tool reads files.
    let screened = clean::terminal(text);
    for text in [text].into_iter().chain(screened.as_deref()) {
        for part in mixed::split(text) {
            let Some(envelope) = text.get(part.span).and_then(Envelope::read) else { continue };
            for inner in &envelope.texts {
                each(&inner.text)?;
                inner_texts(&inner.text, nesting + 1, each)?;
            }
        }
    }
    ControlFlow::Continue(())
}

/// Whether a string is a text of its own.
fn is_text(text: &str) -> bool {
    text.len() >= MIN_LINE
        || text.len() >= MIN_TEXT && (text.contains('\n') || text.starts_with(['{', '[', '"']))
}
