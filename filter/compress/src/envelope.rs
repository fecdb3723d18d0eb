//! Outputs inside outputs: a text that a tool, an SDK or a harness has put into a value.
//!
//! `{"stdout": "…", "exitCode": 0}`, the content of an MCP result, a JSON string, what Python prints of a
//! dictionary: the value is an envelope, and its long strings are texts of their own. Each is decoded, goes
//! through the ordinary pipeline, and is written back in the spelling of its value. Every byte beside them
//! stays (I2), so whoever reads the value finds the same members with the same values.
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
use std::ops::Range;

use headroom_providers::string;

use crate::outcome::Original;
use crate::{ccr, clean, mixed};

/// Strings of at least so many bytes are texts, where they have several lines or hold a value.
const MIN_TEXT: usize = 64;
/// Strings of at least so many bytes are texts, whatever they hold.
const MIN_LINE: usize = 256;
/// Where the texts have more than this share of the bytes, in percent, the value is nothing but their
/// envelope; where they have less, it is a record with some long members.
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
    /// Where it stands in the value, with its quotes.
    span: Range<usize>,
    /// What it says.
    pub(crate) text: Cow<'a, str>,
    /// Where it is found in the value, as programs write it: `stdout`, `content[0].text`; empty for a value
    /// that is the string itself, `None` where it cannot be written shortly.
    pub(crate) path: Option<String>,
}

/// How a value spells its strings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Spelling {
    Json,
    Python,
}

impl<'a> Envelope<'a> {
    /// Reads a value and finds the texts in it; `None` where it is no value, or one without texts.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        Self::of_json(text).or_else(|| {
            let texts = python::texts(text)?;
            Self { value: text, spelling: Spelling::Python, texts }.filled()
        })
    }

    /// The same for what can only be JSON.
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

    /// The texts, each with its place in the value.
    pub(crate) fn into_texts(self) -> impl Iterator<Item = (Option<String>, Cow<'a, str>)> {
        self.texts.into_iter().map(|inner| (inner.path, inner.text))
    }

    /// Whether there is little in the value beside its texts.
    pub(crate) fn is_mostly_texts(&self) -> bool {
        let texts: usize = self.texts.iter().map(|text| text.span.len()).sum();
        texts * 100 > self.value.len() * MOSTLY
    }

    /// The value with new texts in the place of those that have one; `None` where none has.
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

/// Values in the texts of values in texts: deeper ones are taken as they are. Real ones end at two.
pub(crate) const MAX_NESTING: usize = 3;

/// The text with this content address: a whole block, or a text in its values.
pub(crate) fn text_with_address<'b>(block: Cow<'b, str>, address: &str) -> Option<Cow<'b, str>> {
    if ccr::address(&block) == address {
        return Some(block);
    }
    inner_text(&block, address).map(Cow::Owned)
}

impl<'b> Original<'b> {
    /// The text that was left out: the decoded text of the block, or of the string in it that has this
    /// address. It is decoded on demand: hardly any is ever asked for.
    pub fn text(&self) -> Cow<'b, str> {
        let block = if self.span.is_string() {
            self.span.text(self.body).unwrap_or_default()
        } else {
            Cow::Borrowed(self.span.raw(self.body))
        };
        text_with_address(block, &self.hash).unwrap_or_default()
    }
}

/// The text with this content address in the values of a block.
fn inner_text(block: &str, address: &str) -> Option<String> {
    let screened = clean::terminal(block);
    inner_text_at(block, address, 0).or_else(|| inner_text_at(screened.as_deref()?, address, 0))
}

fn inner_text_at(text: &str, address: &str, nesting: usize) -> Option<String> {
    if nesting == MAX_NESTING {
        return None;
    }
    mixed::split(text).into_iter().find_map(|part| {
        let envelope = Envelope::read(text.get(part.span)?)?;
        envelope.texts.iter().find_map(|inner| {
            if ccr::address(&inner.text) == address {
                Some(inner.text.to_string())
            } else {
                inner_text_at(&inner.text, address, nesting + 1)
            }
        })
    })
}

/// Whether a string is a text of its own.
fn is_text(text: &str) -> bool {
    text.len() >= MIN_LINE
        || text.len() >= MIN_TEXT && (text.contains('\n') || text.starts_with(['{', '[', '"']))
}
