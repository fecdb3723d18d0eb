//! One block, from detection to its replacement.
//!
//! The order is: what the configuration allows for this tool, what the text contains, the lossless
//! forms of that, what the conversation has shown before, and only then, where the caller can store
//! the original and the kind permits it, what may be left out. Forms are compared by their tokens,
//! and none is used that does not save any (I4).

use std::borrow::Cow;

use crate::block::{Context, Lossy};
use crate::ccr;
use crate::clean;
use crate::config::{Policy, Profile};
use crate::detect;
use crate::earlier::Earlier;
use crate::envelope::{Envelope, MAX_NESTING, Spelling};
use crate::explain::{Attempts, Choice};
use crate::hint;
use crate::kinds::signal::{self, Signal};
use crate::kinds::{self, fold, json};
use crate::lines::{self, Line};
use crate::mixed::{self, Part};
use crate::outcome::{BlockOutcome, Compressor, Kind, Skip};
use crate::tool;
use crate::wire::string;

/// What became of one block.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) kind: Kind,
    pub(crate) outcome: BlockOutcome,
    /// Present exactly when `outcome` is [`BlockOutcome::Compressed`].
    pub(crate) replacement: Option<Replacement>,
    pub(crate) tokens_before: u32,
    pub(crate) tokens_after: u32,
    /// The lines of the text that is forwarded, where they have been read.
    pub(crate) lines: Option<Vec<Line>>,
}

/// The text that stands in for a block.
#[derive(Clone, Debug)]
pub(crate) struct Replacement {
    pub(crate) text: String,
    /// What was left out, one for each marker in the text.
    pub(crate) left_out: Vec<LeftOut>,
}

/// What a marker names.
#[derive(Clone, Debug)]
pub(crate) struct LeftOut {
    /// What the marker says of it.
    pub(crate) description: String,
    /// The original's address.
    pub(crate) address: String,
}

/// Compresses the text of one block.
#[cfg(test)]
pub(crate) fn compress_block(text: &str, cx: &Context<'_>, earlier: &Earlier) -> Verdict {
    compress(text, Form::Text, cx, earlier, None)
}

/// What a block may become.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    /// Any text.
    Text,
    /// The same JSON value, but for the texts in it.
    Value,
}

/// Compresses one block. `earlier` holds what the request's earlier tool outputs show, as they are forwarded;
/// `attempts` hears of each form that is tried.
pub(crate) fn compress(
    text: &str,
    form: Form,
    cx: &Context<'_>,
    earlier: &Earlier,
    attempts: Option<&Attempts>,
) -> Verdict {
    let class = tool::Class::of(cx.call.name);
    let policy = tool::policy(cx.config, cx.call.name, class);
    let count = |text: &str| match form {
        Form::Text => cx.encoding.count(text),
        Form::Value => cx.encoding.count(&string::without_layout(text)),
    };
    let tokens_before = count(text);
    let skip = |kind, skip| Verdict {
        kind,
        outcome: BlockOutcome::Skipped(skip),
        replacement: None,
        tokens_before: saturating_u32(tokens_before),
        tokens_after: saturating_u32(tokens_before),
        lines: None,
    };
    let unread = if form == Form::Text { Kind::Text } else { Kind::Json };
    if class == tool::Class::Retrieve {
        return skip(unread, Skip::Retrieved);
    }
    if text.len() < cx.config.min_block_bytes {
        return skip(Kind::Short, Skip::TooSmall);
    }
    if text.len() > cx.config.max_block_bytes {
        return skip(unread, Skip::TooLarge);
    }
    if policy == Policy::Off {
        return skip(unread, Skip::PolicyOff);
    }
    let lossy = policy == Policy::Lossy && cx.reversible && cx.config.profile != Profile::Lossless;
    let run = Run { cx, earlier, lossy, attempts };
    let replaced = match form {
        Form::Text => run.replace(text, 0),
        Form::Value => match Envelope::of_json(text) {
            Some(envelope) => run.replace_value(text, &envelope),
            None => return skip(Kind::Json, Skip::NotText),
        },
    };
    let Some(compressor) = replaced.gains.largest() else {
        let lines = replaced.lines.filter(|_| replaced.replacement.text == text);
        let why = if replaced.off { Skip::PolicyOff } else { Skip::NoGain };
        return Verdict { lines, ..skip(replaced.kind, why) };
    };
    let tokens_after = count(&replaced.replacement.text);
    if tokens_after >= tokens_before {
        return skip(replaced.kind, Skip::NoGain);
    }
    let lossy = !replaced.replacement.left_out.is_empty();
    Verdict {
        kind: replaced.kind,
        outcome: BlockOutcome::Compressed { compressor, lossy },
        replacement: Some(replaced.replacement),
        tokens_before: saturating_u32(tokens_before),
        tokens_after: saturating_u32(tokens_after),
        lines: replaced.lines.filter(|_| !lossy),
    }
}

/// A text and what stands in for it.
struct Replaced {
    kind: Kind,
    replacement: Replacement,
    /// The lines of the replacement, where they have been read.
    lines: Option<Vec<Line>>,
    gains: Gains,
    /// Some of it stayed because the configuration says so for its kind.
    off: bool,
}

/// A text after everything that was allowed, before marker and token check.
struct Shrunk {
    kind: Kind,
    text: String,
    /// Its lines, where they have been read.
    lines: Option<Vec<Line>>,
    /// What its marker has to say.
    left_out: Vec<String>,
    /// What the markers inside its values say.
    inside: Vec<LeftOut>,
    gains: Gains,
    /// Some of it stays because the configuration says so for its kind.
    off: bool,
}

/// Bytes that each compressor took out; decides whose name the block's outcome carries.
#[derive(Default)]
struct Gains(Vec<(Compressor, usize)>);

impl Gains {
    fn add(&mut self, compressor: Compressor, before: usize, after: usize) {
        self.0.push((compressor, before.saturating_sub(after)));
    }

    /// The compressor with the largest gain, the first of them on a tie.
    fn largest(&self) -> Option<Compressor> {
        self.0.iter().rev().max_by_key(|(_, saved)| *saved).map(|(compressor, _)| *compressor)
    }
}

fn saturating_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// What stays the same over the texts of one block.
struct Run<'r> {
    cx: &'r Context<'r>,
    earlier: &'r Earlier,
    lossy: bool,
    attempts: Option<&'r Attempts>,
}

impl Run<'_> {
    /// Notes a form that was tried.
    fn tried(&self, kind: Kind, form: (Compressor, bool), before: &str, after: &str, verdict: Choice) {
        if let Some(attempts) = self.attempts {
            attempts.add(kind, form, before, after, verdict);
        }
    }

    /// What becomes of a text that stands so many values deep in its block.
    fn replace(&self, text: &str, nesting: usize) -> Replaced {
        let mut shrunk = self.shrink(text, nesting);
        let mut left_out = shrunk.inside;
        if !shrunk.left_out.is_empty() {
            let address = ccr::address(text);
            let description = shrunk.left_out.join("; ");
            ccr::append_marker(&mut shrunk.text, &description, &address);
            left_out.push(LeftOut { description, address });
        }
        let Shrunk { kind, text, lines, gains, off, .. } = shrunk;
        Replaced { kind, replacement: Replacement { text, left_out }, lines, gains, off }
    }

    /// What becomes of a value in whose envelope only the texts may change.
    fn replace_value(&self, value: &str, envelope: &Envelope<'_>) -> Replaced {
        let mut gains = Gains::default();
        let opened = self.open(envelope, 0, &mut gains);
        let (text, left_out) = match opened {
            Some(opened) => (opened.value, opened.left_out),
            None => (value.to_owned(), Vec::new()),
        };
        Replaced {
            kind: Kind::Json,
            replacement: Replacement { text, left_out },
            lines: None,
            gains,
            off: false,
        }
    }

    /// The value with its texts compressed; `None` where none of them becomes shorter.
    fn open(&self, envelope: &Envelope<'_>, nesting: usize, gains: &mut Gains) -> Option<Opened> {
        let mut left_out = Vec::new();
        let mut largest = (0, Kind::Text);
        let mut replacements = Vec::with_capacity(envelope.texts().len());
        for inner in envelope.texts() {
            let replaced = self.replace(&inner.text, nesting + 1);
            if inner.text.len() > largest.0 {
                largest = (inner.text.len(), replaced.kind);
            }
            let count = |text: &str| self.cx.encoding.count(text);
            let shorter = replaced.gains.largest().is_some()
                && !replaced.replacement.text.trim().is_empty()
                && count(&replaced.replacement.text) < count(&inner.text);
            if !shorter && let Some(compressor) = replaced.gains.largest() {
                let lossy = !replaced.replacement.left_out.is_empty();
                let form = &replaced.replacement.text;
                self.tried(replaced.kind, (compressor, lossy), &inner.text, form, Choice::NoGain);
            }
            replacements.push(shorter.then(|| {
                gains.0.extend(replaced.gains.0);
                left_out.extend(replaced.replacement.left_out);
                replaced.replacement.text
            }));
        }
        Some(Opened { value: envelope.with(&replacements)?, kind: largest.1, left_out })
    }

    fn shrink(&self, text: &str, nesting: usize) -> Shrunk {
        // Before anything looks at it: an escape sequence at a line's start hides what the line is.
        let screen = clean::screen(text, self.cx);
        let (before, text) = (text.len(), screen.as_deref().unwrap_or(text));
        let parts = mixed::split(text);
        let mut out = Shrunk {
            kind: if parts.len() > 1 { Kind::Mixed } else { Kind::Text },
            text: String::with_capacity(text.len()),
            lines: None,
            left_out: Vec::new(),
            inside: Vec::new(),
            gains: Gains::default(),
            off: false,
        };
        if text.len() < before {
            out.gains.add(Compressor::Clean, before, text.len());
        }
        let whole = parts.len() == 1;
        let mut from = 0;
        for part in parts {
            out.text.push_str(&text[from..part.span.start]);
            from = part.span.end;
            let all = part.span == (0..text.len());
            let (kind, lines) = self.shrink_part(text, part, nesting, &mut out);
            if whole {
                out.kind = kind;
            }
            if all {
                out.lines = lines;
            }
        }
        out.text.push_str(&text[from..]);
        out
    }

    /// Appends what becomes of one part of `whole` to `out.text`. The kind of the part, and the lines of what was
    /// appended, where they have been read.
    fn shrink_part(
        &self,
        whole: &str,
        part: Part<'_>,
        nesting: usize,
        out: &mut Shrunk,
    ) -> (Kind, Option<Vec<Line>>) {
        let cx = self.cx;
        let text = &whole[part.span];
        if text.len() < cx.config.min_block_bytes {
            out.text.push_str(text);
            return (Kind::Short, None);
        }
        let envelope = if nesting < MAX_NESTING { Envelope::read(text) } else { None };
        let mut kind = hint::kind(detect::kind(text), cx.call);
        let policy = cx.config.kind_policy(kind);
        if policy == Policy::Off {
            out.off = true;
            out.text.push_str(text);
            return (kind, None);
        }
        let opened = envelope.as_ref().and_then(|envelope| self.open(envelope, nesting, &mut out.gains));
        let (value, inside) = match opened {
            Some(opened) => {
                // JSON is a kind; what Python prints is none, and is what it holds.
                if envelope.as_ref().is_some_and(|envelope| envelope.spelling() == Spelling::Python) {
                    kind = opened.kind;
                }
                (Some(opened.value), opened.left_out)
            }
            None => (None, Vec::new()),
        };
        let documents = if value.is_none() { part.documents } else { None };
        let source = value.as_deref().unwrap_or(text);
        let gains = &mut out.gains;
        let mut took = |compressor, before: &str, after: &str| {
            gains.add(compressor, before.len(), after.len());
            self.tried(kind, (compressor, false), before, after, Choice::Taken);
        };
        let mut shown = match &envelope {
            // Only the texts change, and white space goes: whoever refers to a line of them has to find it.
            Some(envelope) if envelope.is_mostly_texts() => {
                envelope_form(source, envelope.spelling(), &mut took)
            }
            _ if part.fenced && is_json_about_an_error(text, kind) => Cow::Borrowed(source),
            _ => kinds::lossless(kind, source, documents, cx, took),
        };
        let mut read = lines::of(&shown);
        if kinds::folds(kind)
            && envelope.is_none()
            && let Some(form) = fold::lossless(&shown, &read).filter(|form| form.len() < shown.len())
        {
            out.gains.add(Compressor::Fold, shown.len(), form.len());
            self.tried(kind, (Compressor::Fold, false), &shown, &form, Choice::Taken);
            shown = Cow::Owned(form);
            read = lines::of(&shown);
        }
        let seen = self.earlier.replace_seen(&shown, &read, kind);
        let mut lines = Some(read);
        if let Some(form) = seen {
            out.gains.add(Compressor::Seen, shown.len(), form.len());
            self.tried(kind, (Compressor::Seen, false), &shown, &form, Choice::Taken);
            shown = Cow::Owned(form);
            lines = None;
        }
        let whole_kind = if envelope.is_some() { Kind::Json } else { kind };
        if self.lossy
            && policy == Policy::Lossy
            && !envelope.as_ref().is_some_and(|envelope| envelope.spelling() == Spelling::Python)
            && let Some((compressor, kept)) = self.crush(whole_kind, text, &shown)
        {
            out.gains.add(compressor, shown.len(), kept.text.len());
            out.left_out.push(kept.left_out);
            shown = Cow::Owned(kept.text);
            lines = None;
        } else {
            out.inside.extend(inside);
        }
        out.text.push_str(&shown);
        (kind, lines)
    }
}

impl Run<'_> {
    /// The lossy form of a part, where it is so much smaller than the lossless one that leaving something
    /// out is worth it.
    fn crush(&self, kind: Kind, text: &str, lossless: &str) -> Option<(Compressor, Lossy)> {
        let cx = self.cx;
        let limits = cx.config.profile.limits();
        if text.len() < limits.min_lossy_bytes {
            return None;
        }
        let before = cx.encoding.count(lossless);
        if before < limits.min_lossy_tokens {
            return None;
        }
        let (compressor, kept) = kinds::lossy(kind, text, cx)?;
        let after = cx.encoding.count(&kept.text);
        let most = before.saturating_mul(limits.lossy_keeps_at_most_percent) / 100;
        let verdict = if after <= most { Choice::Taken } else { Choice::KeepsTooMuch };
        self.tried(kind, (compressor, true), lossless, &kept.text, verdict);
        (after <= most).then_some((compressor, kept))
    }
}

/// A value whose texts are compressed.
struct Opened {
    value: String,
    /// Of the longest text.
    kind: Kind,
    left_out: Vec<LeftOut>,
}

/// A value that is mostly texts: the value itself, JSON without its layout.
fn envelope_form<'v>(
    value: &'v str,
    spelling: Spelling,
    took: &mut impl FnMut(Compressor, &str, &str),
) -> Cow<'v, str> {
    let minified = if spelling == Spelling::Json { json::without_layout(value) } else { None };
    match minified.filter(|minified| minified.len() < value.len()) {
        Some(minified) => {
            took(Compressor::JsonMinify, value, &minified);
            Cow::Owned(minified)
        }
        None => Cow::Borrowed(value),
    }
}

/// Whether a document shows in JSON what an error looks like. A line that names one stays findable as it
/// is printed.
fn is_json_about_an_error(text: &str, kind: Kind) -> bool {
    matches!(kind, Kind::Json | Kind::JsonLines) && text.lines().any(|line| signal::of(line) == Signal::Error)
}
