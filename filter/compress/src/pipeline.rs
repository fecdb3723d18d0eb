//! One block, from detection to its replacement.
//!
//! The order is: what the configuration allows for this tool, what the text contains, what the conversation has
//! shown before, the lossless forms of the rest, and only then, where the caller can store the original and the
//! kind permits it, what may be left out. References come before the forms, because they are made of lines as the
//! tool printed them. Forms are compared by their tokens, and none is used that saves too little (I4).

use std::borrow::Cow;

use crate::block::{Context, Lossy};
use crate::ccr;
use crate::clean;
use crate::config::{Policy, Profile};
use crate::detect;
use crate::earlier::{Coded, Earlier, has_ours};
use crate::kinds::signal::{self, Signal};
use crate::kinds::{self, fold};
use crate::lines::{self, Line};
use crate::mixed::{self, Part};
use crate::outcome::{BlockOutcome, Compressor, Kind, Skip};
use crate::tool;
use crate::work;

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
    /// How the replacement shows the lines of the block.
    pub(crate) coded: Coded,
}

/// A form that saves fewer tokens than this and less than this share of the block, in percent, is not used: it
/// costs the reader more than it saves.
const FEWEST_SAVED_TOKENS: usize = 20;
const FEWEST_SAVED_PERCENT: usize = 3;

/// The text that stands in for a block.
#[derive(Clone, Debug)]
pub(crate) struct Replacement {
    pub(crate) text: String,
    /// Present when something was left out: what the marker says of it, and the original's address.
    pub(crate) left_out: Option<(String, String)>,
}

/// Compresses the text of one block.
///
/// `earlier` holds what the request's earlier tool outputs show, as they are forwarded.
pub(crate) fn compress_block(text: &str, cx: &Context<'_>, earlier: &Earlier) -> Verdict {
    let class = tool::Class::of(cx.call.name);
    let policy = tool::policy(cx.config, cx.call.name, class);
    let tokens_before = cx.encoding.count(text);
    let skip = |kind, skip| Verdict {
        kind,
        outcome: BlockOutcome::Skipped(skip),
        replacement: None,
        tokens_before: saturating_u32(tokens_before),
        tokens_after: saturating_u32(tokens_before),
        lines: None,
        coded: Coded::No,
    };
    if class == tool::Class::Retrieve {
        return skip(Kind::Text, Skip::Retrieved);
    }
    if text.len() < cx.config.min_block_bytes {
        return skip(Kind::Short, Skip::TooSmall);
    }
    if text.len() > cx.config.max_block_bytes {
        return skip(Kind::Text, Skip::TooLarge);
    }
    if policy == Policy::Off {
        return skip(Kind::Text, Skip::PolicyOff);
    }
    let lossy = policy == Policy::Lossy && cx.reversible && cx.config.profile != Profile::Lossless;
    work::start(text.len());
    let shrunk = shrink(text, cx, earlier, lossy);
    if work::is_over() {
        return skip(shrunk.kind, Skip::TooCostly);
    }
    let Some(compressor) = shrunk.gains.largest() else {
        let lines = shrunk.lines.filter(|_| shrunk.text == text);
        return Verdict { lines, ..skip(shrunk.kind, Skip::NoGain) };
    };
    let mut replacement = Replacement { text: shrunk.text, left_out: None };
    if !shrunk.left_out.is_empty() {
        let address = ccr::address(text);
        let left_out = shrunk.left_out.join("; ");
        ccr::append_marker(&mut replacement.text, &left_out, &address);
        replacement.left_out = Some((left_out, address));
    }
    let tokens_after = cx.encoding.count(&replacement.text);
    let saved = tokens_before.saturating_sub(tokens_after);
    if saved == 0
        || saved < FEWEST_SAVED_TOKENS && saved * 100 < tokens_before.saturating_mul(FEWEST_SAVED_PERCENT)
    {
        return skip(shrunk.kind, Skip::NoGain);
    }
    Verdict {
        kind: shrunk.kind,
        outcome: BlockOutcome::Compressed { compressor, lossy: replacement.left_out.is_some() },
        replacement: Some(replacement),
        tokens_before: saturating_u32(tokens_before),
        tokens_after: saturating_u32(tokens_after),
        lines: shrunk.lines.filter(|_| shrunk.left_out.is_empty()),
        coded: if shrunk.left_out.is_empty() { shrunk.coded } else { Coded::Partly },
    }
}

/// A text after everything that was allowed, before marker and token check.
struct Shrunk {
    kind: Kind,
    text: String,
    /// Its lines, where they have been read.
    lines: Option<Vec<Line>>,
    left_out: Vec<String>,
    gains: Gains,
    coded: Coded,
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

fn shrink(text: &str, cx: &Context<'_>, earlier: &Earlier, lossy: bool) -> Shrunk {
    let original = text;
    // Before anything looks at it: an escape sequence at a line's start hides what the line is.
    let screen = clean::screen(text, cx);
    let text = screen.as_deref().unwrap_or(text);
    let parts = mixed::split(text);
    let mut out = Shrunk {
        kind: if parts.len() > 1 { Kind::Mixed } else { Kind::Text },
        text: String::with_capacity(text.len()),
        lines: None,
        left_out: Vec::new(),
        gains: Gains::default(),
        coded: Coded::No,
    };
    let kind = match parts.as_slice() {
        [part] => detect::kind(&text[part.span.clone()]),
        _ => Kind::Mixed,
    };
    if let Some(form) = earlier.whole(original, kind) {
        out.gains.add(Compressor::Seen, original.len(), form.len());
        return Shrunk { kind, text: form, ..out };
    }
    if text.len() < original.len() {
        out.gains.add(Compressor::Clean, original.len(), text.len());
    }
    // Lines that look like references of ours could not be told from them.
    let refers = !has_ours(original);
    let whole = parts.len() == 1;
    let (mut from, mut before) = (0, 0);
    for part in parts {
        out.text.push_str(&text[from..part.span.start]);
        before += line_ends(&text[from..part.span.start]);
        let (start, end) = (part.span.start, part.span.end);
        let place = Place { before, earlier: Some(earlier).filter(|_| refers) };
        let (kind, lines) = shrink_part(text, part, cx, place, lossy, &mut out);
        if whole {
            out.kind = kind;
        }
        if start == 0 && end == text.len() {
            out.lines = lines;
        }
        before += line_ends(&text[start..end]);
        from = end;
    }
    out.text.push_str(&text[from..]);
    out
}

fn line_ends(text: &str) -> usize {
    memchr::memchr_iter(b'\n', text.as_bytes()).count()
}

/// Where a part stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// So many lines of the output stand before it.
    before: usize,
    /// What the conversation has shown, where the part may refer to it.
    earlier: Option<&'a Earlier>,
}

/// Appends what becomes of one part of `whole` to `out.text`. The kind of the part, and the lines of what was
/// appended, where they have been read.
fn shrink_part(
    whole: &str,
    part: Part<'_>,
    cx: &Context<'_>,
    place: Place<'_>,
    lossy: bool,
    out: &mut Shrunk,
) -> (Kind, Option<Vec<Line>>) {
    let text = &whole[part.span];
    if text.len() < cx.config.min_block_bytes {
        out.text.push_str(text);
        return (Kind::Short, None);
    }
    let kind = detect::kind(text);
    let mut taken = Taken { gains: Gains::default(), coded: Coded::No };
    let (mut shown, mut lines) = if matches!(kind, Kind::Json | Kind::JsonLines) {
        let shown = if part.fenced && is_json_about_an_error(text, kind) {
            Cow::Borrowed(text)
        } else {
            kinds::documents(text, part.documents, cx, |compressor, before, after| {
                taken.gains.add(compressor, before, after);
            })
        };
        if taken.gains.largest().is_some() {
            taken.coded = Coded::Document;
            (shown, None)
        } else {
            let (read, form) = referred(&shown, kind, place);
            taken.seen(&shown, form.as_deref());
            let lines = if form.is_some() { None } else { Some(read) };
            (form.map_or(shown, Cow::Owned), lines)
        }
    } else {
        shrink_lines(text, kind, cx, place, &mut taken)
    };
    if lossy
        && !work::is_over()
        && let Some((compressor, mut kept)) = crush(kind, text, &shown, cx)
    {
        // what follows, a closing fence perhaps, stands on a line of its own
        if text.ends_with('\n') && !kept.text.ends_with('\n') {
            kept.text.push('\n');
        }
        taken.gains.add(compressor, shown.len(), kept.text.len());
        out.left_out.push(kept.left_out);
        shown = Cow::Owned(kept.text);
        lines = None;
    }
    out.text.push_str(&shown);
    out.coded = out.coded.max(taken.coded);
    out.gains.0.append(&mut taken.gains.0);
    (kind, lines)
}

/// What was done to a part.
struct Taken {
    gains: Gains,
    coded: Coded,
}

impl Taken {
    fn seen(&mut self, before: &str, form: Option<&str>) {
        if let Some(form) = form {
            self.gains.add(Compressor::Seen, before.len(), form.len());
        }
    }
}

/// The lines of a text, and the text with references.
fn referred(text: &str, kind: Kind, place: Place<'_>) -> (Vec<Line>, Option<String>) {
    let read = lines::of(text);
    let form = place.earlier.and_then(|earlier| earlier.replace_seen(text, &read, place.before, kind));
    (read, form)
}

/// The lossless form of a text that is no JSON, and its lines where they have been read.
fn shrink_lines<'t>(
    text: &'t str,
    kind: Kind,
    cx: &Context<'_>,
    place: Place<'_>,
    taken: &mut Taken,
) -> (Cow<'t, str>, Option<Vec<Line>>) {
    let mut shown =
        kinds::lines(kind, text, cx, |compressor, before, after| taken.gains.add(compressor, before, after));
    let mut read = lines::of(&shown);
    if kinds::folds(kind)
        && let Some(form) = fold::lossless(&shown, &read).filter(|form| form.len() < shown.len())
    {
        taken.gains.add(Compressor::Fold, shown.len(), form.len());
        shown = Cow::Owned(form);
        read = lines::of(&shown);
    }
    let seen = place.earlier.and_then(|earlier| earlier.replace_seen(&shown, &read, place.before, kind));
    let coded = kinds::coded(kind, &shown, cx);
    // The rest of a text with references may be worth a form as well; or the form alone is shorter.
    let both = seen.as_deref().and_then(|seen| kinds::coded(kind, seen, cx));
    let length = |form: &Option<kinds::Form>| form.as_ref().map_or(usize::MAX, |form| form.text.len());
    let seen_length = seen.as_ref().map_or(usize::MAX, String::len);
    let (mut form, mut unchanged) = (coded, true);
    if seen_length.min(length(&both)) < length(&form).min(shown.len()) {
        taken.seen(&shown, seen.as_deref());
        shown = seen.map_or(shown, Cow::Owned);
        (form, unchanged) = (both, false);
    }
    if let Some(form) = form {
        taken.gains.add(form.compressor, shown.len(), form.text.len());
        taken.coded = form.coded;
        return (Cow::Owned(form.text), None);
    }
    (shown, unchanged.then_some(read))
}

/// Whether a document shows in JSON what an error looks like. A line that names one stays findable as it
/// is printed.
fn is_json_about_an_error(text: &str, kind: Kind) -> bool {
    matches!(kind, Kind::Json | Kind::JsonLines) && text.lines().any(|line| signal::of(line) == Signal::Error)
}

/// The lossy form of a part, where it is so much smaller than the lossless one that leaving something
/// out is worth it.
fn crush(kind: Kind, text: &str, lossless: &str, cx: &Context<'_>) -> Option<(Compressor, Lossy)> {
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
    (after <= most).then_some((compressor, kept))
}
