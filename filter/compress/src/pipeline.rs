//! One block, from detection to its replacement.
//!
//! The order is: what the configuration allows for this tool, what the text contains, the texts in its values,
//! which go the same way, what the conversation has shown before, the lossless forms of the rest, and only then,
//! where the caller can store the original and the kind permits it, what may be left out. References come before
//! the forms, because they are made of lines as the tool printed them. Forms are compared by their tokens, and none
//! is used that saves too little (I4).

use std::borrow::Cow;
use std::cell::OnceCell;

use headroom_providers::string;

use crate::block::{Context, Lossy};
use crate::ccr;
use crate::clean;
use crate::config::{Policy, Profile};
use crate::detect;
use crate::earlier::{self, At, Coded, Earlier, Values, has_ours};
use crate::envelope::{Envelope, MAX_NESTING, Spelling};
use crate::explain::{Attempts, Choice};
use crate::hint;
use crate::kinds::code::{self, Language};
use crate::kinds::signal::{self, Signal};
use crate::kinds::{self, fold, json};
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
    /// How it shows the texts in its values.
    pub(crate) values: Values,
}

/// A form that saves fewer tokens than this and less than this share of the text, in percent, is not used: it
/// costs the reader more than it saves.
const FEWEST_SAVED_TOKENS: usize = 20;
const FEWEST_SAVED_PERCENT: usize = 3;

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

/// Each line takes about a hundred bytes while the block is in work, however short it is, and a VM does not give memory
/// back. Eight megabytes of ordinary lines, of forty bytes, are 200 thousand.
const MAX_LINES: usize = 1 << 19;

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
        coded: Coded::No,
        values: Values::default(),
    };
    let unread = if form == Form::Text { Kind::Text } else { Kind::Json };
    if class == tool::Class::Retrieve {
        return skip(unread, Skip::Retrieved);
    }
    if text.len() < cx.config.min_block_bytes {
        return skip(Kind::Short, Skip::TooSmall);
    }
    let is_too_large = text.len() > cx.config.max_block_bytes
        || lines::has_more_than(text, MAX_LINES)
        || json::has_more_values_than_are_read(text);
    if is_too_large {
        return skip(unread, Skip::TooLarge);
    }
    if policy == Policy::Off {
        return skip(unread, Skip::PolicyOff);
    }
    let lossy = policy == Policy::Lossy && cx.reversible && cx.config.profile != Profile::Lossless;
    work::start(text.len());
    let code = cx.code.filter(|_| tool::may_cut_code(cx.config, cx.call.name, class) && cx.reversible);
    let run = Run { cx, earlier, lossy, code, attempts, hint: OnceCell::new() };
    let replaced = match form {
        Form::Text => run.replace(text, Place { nesting: 0, name: Some(cx.name), refers: true }),
        Form::Value => match Envelope::of_json(text) {
            Some(envelope) => run.replace_value(text, &envelope),
            None => return skip(Kind::Json, Skip::NotText),
        },
    };
    if work::is_over() {
        return skip(replaced.kind, Skip::TooCostly);
    }
    let Some(compressor) = replaced.gains.largest() else {
        let lines = replaced.lines.filter(|_| replaced.replacement.text == text);
        let why = if replaced.off { Skip::PolicyOff } else { Skip::NoGain };
        return Verdict { lines, ..skip(replaced.kind, why) };
    };
    let tokens_after = count(&replaced.replacement.text);
    if !is_worth_it(tokens_before, tokens_after) {
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
        coded: replaced.coded,
        values: replaced.values,
    }
}

/// Whether a form of so many tokens saves enough.
fn is_worth_it(before: usize, after: usize) -> bool {
    let saved = before.saturating_sub(after);
    saved > 0 && (saved >= FEWEST_SAVED_TOKENS || saved * 100 >= before.saturating_mul(FEWEST_SAVED_PERCENT))
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
    coded: Coded,
    values: Values,
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
    coded: Coded,
    values: Values,
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

    /// Whether a reference was made.
    fn refer(&self) -> bool {
        self.0.iter().any(|(compressor, _)| *compressor == Compressor::Seen)
    }
}

fn saturating_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Where a text stands in its block.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// So many values deep.
    nesting: usize,
    /// What references call it, if it has a name.
    name: Option<&'a str>,
    /// Whether references may stand in it.
    refers: bool,
}

/// Where a part of a text stands.
#[derive(Clone, Copy)]
struct PartPlace<'a> {
    nesting: usize,
    /// Its lines in the text.
    at: At<'a>,
    /// What references call the value that the part may be, if it has a name.
    value: Option<&'a str>,
    /// What the conversation has shown, where the part may refer to it.
    earlier: Option<&'a Earlier>,
}

/// What stays the same over the texts of one block.
struct Run<'r> {
    cx: &'r Context<'r>,
    earlier: &'r Earlier,
    lossy: bool,
    /// The language of the file that the block shows, where bodies of functions may be left out.
    code: Option<Language>,
    attempts: Option<&'r Attempts>,
    /// What the call says of its output, once it was asked.
    hint: OnceCell<Option<Kind>>,
}

impl Run<'_> {
    /// Notes a form that was tried.
    fn tried(&self, kind: Kind, form: (Compressor, bool), before: &str, after: &str, verdict: Choice) {
        if let Some(attempts) = self.attempts {
            attempts.add(kind, form, before, after, verdict);
        }
    }

    /// What a text contains.
    fn kind(&self, text: &str) -> Kind {
        hint::kind(detect::kind(text), || *self.hint.get_or_init(|| hint::of_call(self.cx.call)))
    }

    /// What becomes of a text.
    fn replace(&self, text: &str, place: Place<'_>) -> Replaced {
        let mut shrunk = self.shrink(text, place);
        let mut left_out = shrunk.inside;
        if !left_out.is_empty() {
            shrunk.values.coded = Coded::Partly;
        }
        if !shrunk.left_out.is_empty() {
            let address = ccr::address(text);
            let description = shrunk.left_out.join("; ");
            ccr::append_marker(&mut shrunk.text, &description, &address);
            left_out.push(LeftOut { description, address });
            if shrunk.coded != Coded::Gaps {
                shrunk.coded = Coded::Partly;
            }
        }
        let Shrunk { kind, text, lines, gains, off, coded, values, .. } = shrunk;
        Replaced { kind, replacement: Replacement { text, left_out }, lines, gains, off, coded, values }
    }

    /// What becomes of a value in whose envelope only the texts may change.
    fn replace_value(&self, value: &str, envelope: &Envelope<'_>) -> Replaced {
        let mut gains = Gains::default();
        let place = PartPlace {
            nesting: 0,
            at: At { name: None, before: 0, cleaned: &[] },
            value: Some(self.cx.name),
            earlier: Some(self.earlier),
        };
        let opened = self.open(envelope, place, &mut gains);
        let coded = if opened.is_some() { Coded::Document } else { Coded::No };
        let Opened { value, left_out, values, .. } = opened.unwrap_or_else(|| Opened {
            value: value.to_owned(),
            kind: Kind::Json,
            left_out: Vec::new(),
            values: Values::default(),
        });
        Replaced {
            kind: Kind::Json,
            replacement: Replacement { text: value, left_out },
            lines: None,
            gains,
            off: false,
            coded,
            values,
        }
    }

    /// The value with its texts compressed; `None` where none of them becomes shorter.
    fn open(&self, envelope: &Envelope<'_>, place: PartPlace<'_>, gains: &mut Gains) -> Option<Opened> {
        let mut left_out = Vec::new();
        let mut values = Values::default();
        let mut largest = (0, Kind::Text);
        let mut replacements = Vec::with_capacity(envelope.texts().len());
        // What looks like a reference in one text could not be told from ours in another.
        let refers = place.earlier.is_some() && !envelope.texts().iter().any(|inner| has_ours(&inner.text));
        for inner in envelope.texts() {
            if work::is_over() {
                replacements.push(None);
                continue;
            }
            let name = place.value.zip(inner.path.as_deref()).map(|(outer, path)| earlier::name(outer, path));
            let inner_place = Place { nesting: place.nesting + 1, name: name.as_deref(), refers };
            let replaced = self.replace(&inner.text, inner_place);
            if inner.text.len() > largest.0 {
                largest = (inner.text.len(), replaced.kind);
            }
            let count = |text: &str| self.cx.encoding.count(text);
            let shorter = replaced.gains.largest().is_some()
                && !replaced.replacement.text.trim().is_empty()
                && is_worth_it(count(&inner.text), count(&replaced.replacement.text));
            if !shorter && let Some(compressor) = replaced.gains.largest() {
                let lossy = !replaced.replacement.left_out.is_empty();
                let form = &replaced.replacement.text;
                self.tried(replaced.kind, (compressor, lossy), &inner.text, form, Choice::NoGain);
            }
            replacements.push(shorter.then(|| {
                let whole = replaced.replacement.left_out.is_empty();
                let coded = if whole { replaced.coded } else { Coded::Partly };
                values.add(Values { coded, refer: replaced.gains.refer() });
                gains.0.extend(replaced.gains.0);
                left_out.extend(replaced.replacement.left_out);
                replaced.replacement.text
            }));
        }
        Some(Opened { value: envelope.with(&replacements)?, kind: largest.1, left_out, values })
    }

    fn shrink(&self, text: &str, place: Place<'_>) -> Shrunk {
        let original = text;
        // Before anything looks at it: an escape sequence at a line's start hides what the line is.
        let screen = clean::screen(text, self.cx);
        let text = screen.as_deref().unwrap_or(text);
        let parts = mixed::split(text);
        let mut out = Shrunk {
            kind: if parts.len() > 1 { Kind::Mixed } else { Kind::Text },
            text: String::with_capacity(text.len()),
            lines: None,
            left_out: Vec::new(),
            inside: Vec::new(),
            gains: Gains::default(),
            off: false,
            coded: Coded::No,
            values: Values::default(),
        };
        let kind = match parts.as_slice() {
            [part] => self.kind(text.get(part.span.clone()).unwrap_or_default()),
            _ => Kind::Mixed,
        };
        if place.refers
            && self.cx.config.kind_policy(kind) != Policy::Off
            && let Some(form) = self.earlier.whole(original, kind)
        {
            out.gains.add(Compressor::Seen, original.len(), form.len());
            self.tried(kind, (Compressor::Seen, false), original, &form, Choice::Taken);
            return Shrunk { kind, text: form, ..out };
        }
        if text.len() < original.len() {
            out.gains.add(Compressor::Clean, original.len(), text.len());
        }
        // Lines that look like references of ours could not be told from them.
        let refers = place.refers && !has_ours(original);
        let cleaned = if refers { clean::changed_lines(original, self.cx) } else { Vec::new() };
        let whole = parts.len() == 1;
        let (mut from, mut before) = (0, 0);
        for part in parts {
            out.text.push_str(text.get(from..part.span.start).unwrap_or_default());
            before += line_ends(text.get(from..part.span.start).unwrap_or_default());
            let (start, end) = (part.span.start, part.span.end);
            let place = PartPlace {
                nesting: place.nesting,
                at: At { name: place.name, before, cleaned: &cleaned },
                // Of several values, a place does not say in which it is.
                value: place.name.filter(|_| whole),
                earlier: Some(self.earlier).filter(|_| refers),
            };
            let (kind, lines) = self.shrink_part(text, part, place, &mut out);
            if whole {
                out.kind = kind;
            }
            if start == 0 && end == text.len() {
                out.lines = lines;
            }
            before += line_ends(text.get(start..end).unwrap_or_default());
            from = end;
        }
        out.text.push_str(text.get(from..).unwrap_or_default());
        out
    }

    /// Appends what becomes of one part of `whole` to `out.text`. The kind of the part, and the lines of what was
    /// appended, where they have been read.
    fn shrink_part(
        &self,
        whole: &str,
        part: Part<'_>,
        place: PartPlace<'_>,
        out: &mut Shrunk,
    ) -> (Kind, Option<Vec<Line>>) {
        let cx = self.cx;
        let text = whole.get(part.span).unwrap_or_default();
        if text.len() < cx.config.min_block_bytes {
            out.text.push_str(text);
            return (Kind::Short, None);
        }
        let mut kind = self.kind(text);
        let policy = cx.config.kind_policy(kind);
        if policy == Policy::Off {
            out.off = true;
            out.text.push_str(text);
            return (kind, None);
        }
        let envelope = if place.nesting < MAX_NESTING { self.envelope(text) } else { None };
        let mut taken = Taken { gains: Gains::default(), coded: Coded::No };
        let opened = envelope.as_ref().and_then(|envelope| self.open(envelope, place, &mut taken.gains));
        let is_python = envelope.as_ref().is_some_and(|envelope| envelope.spelling() == Spelling::Python);
        let (source, inside, values) = match opened {
            Some(opened) => {
                // JSON is a kind; what Python prints is none, and is what it holds.
                if is_python {
                    kind = opened.kind;
                }
                (Cow::Owned(opened.value), opened.left_out, opened.values)
            }
            None => (Cow::Borrowed(text), Vec::new(), Values::default()),
        };
        let changed = matches!(source, Cow::Owned(_));
        let (mut shown, mut lines) = match &envelope {
            Some(envelope) if envelope.is_mostly_texts() || changed && is_python => {
                // Only the texts change, and white space goes: whoever refers to a line of them has to find it.
                let shown = self.envelope_form(&source, envelope.spelling(), kind, &mut taken);
                self.document(shown, changed, kind, place, &mut taken)
            }
            _ if matches!(kind, Kind::Json | Kind::JsonLines) => {
                let shown = if part.fenced && is_json_about_an_error(text, kind) {
                    Cow::Borrowed(&*source)
                } else {
                    let documents = if changed { None } else { part.documents };
                    kinds::documents(&source, documents, cx, |compressor, before, after| {
                        taken.gains.add(compressor, before.len(), after.len());
                        self.tried(kind, (compressor, false), before, after, Choice::Taken);
                    })
                };
                self.document(shown, changed, kind, place, &mut taken)
            }
            _ if changed => self.document(Cow::Borrowed(&*source), changed, kind, place, &mut taken),
            _ => self.shrink_lines(&source, kind, place, &mut taken),
        };
        if policy == Policy::Lossy
            && kind == Kind::Source
            && whole.len() == text.len()
            && !work::is_over()
            && let Some(language) = self.code
            && let Some((compressor, kept)) = self.cut_code(language, text, &shown)
        {
            taken.gains.add(compressor, shown.len(), kept.text.len());
            out.left_out.push(kept.left_out);
            // Lines without numbers could not be named behind a gap.
            taken.coded = if code::is_numbered(&kept.text) { Coded::Gaps } else { Coded::Partly };
            shown = Cow::Owned(kept.text);
            lines = None;
        }
        let whole_kind = if envelope.is_some() { Kind::Json } else { kind };
        if self.lossy
            && policy == Policy::Lossy
            && !is_python
            && !work::is_over()
            && let Some((compressor, mut kept)) = self.crush(whole_kind, text, &shown, place.at.before)
        {
            // what follows, a closing fence perhaps, stands on a line of its own
            if text.ends_with('\n') && !kept.text.ends_with('\n') {
                kept.text.push('\n');
            }
            taken.gains.add(compressor, shown.len(), kept.text.len());
            out.left_out.push(kept.left_out);
            shown = Cow::Owned(kept.text);
            lines = None;
        } else {
            out.inside.extend(inside);
        }
        out.values.add(values);
        out.text.push_str(&shown);
        out.coded = out.coded.max(taken.coded);
        out.gains.0.append(&mut taken.gains.0);
        (kind, lines)
    }

    /// The value that a text is, where it has texts in it.
    fn envelope<'t>(&self, text: &'t str) -> Option<Envelope<'t>> {
        work::spend(text.len());
        Envelope::read(text)
    }

    /// What becomes of a document after its own rewrites: `shown`. `changed`: texts in it have been. Only lines as
    /// they were printed are compared.
    fn document<'t>(
        &self,
        shown: Cow<'t, str>,
        changed: bool,
        kind: Kind,
        place: PartPlace<'_>,
        taken: &mut Taken,
    ) -> (Cow<'t, str>, Option<Vec<Line>>) {
        if changed || matches!(shown, Cow::Owned(_)) {
            taken.coded = Coded::Document;
            return (shown, None);
        }
        let read = lines::of(&shown);
        let form = place.earlier.and_then(|earlier| earlier.replace_seen(&shown, &read, place.at, kind));
        match form {
            Some(form) => {
                self.seen(kind, &shown, &form, taken);
                (Cow::Owned(form), None)
            }
            None => (shown, Some(read)),
        }
    }

    /// Notes that references stand in a text now.
    fn seen(&self, kind: Kind, before: &str, form: &str, taken: &mut Taken) {
        taken.gains.add(Compressor::Seen, before.len(), form.len());
        self.tried(kind, (Compressor::Seen, false), before, form, Choice::Taken);
    }

    /// The lossless form of a text that is no JSON, and its lines where they have been read.
    fn shrink_lines<'t>(
        &self,
        text: &'t str,
        kind: Kind,
        place: PartPlace<'_>,
        taken: &mut Taken,
    ) -> (Cow<'t, str>, Option<Vec<Line>>) {
        let cx = self.cx;
        let mut shown = kinds::lines(kind, text, cx, |compressor, before, after| {
            taken.gains.add(compressor, before.len(), after.len());
            self.tried(kind, (compressor, false), before, after, Choice::Taken);
        });
        let mut read = lines::of(&shown);
        if kinds::folds(kind)
            && let Some(form) = fold::lossless(&shown, &read).filter(|form| form.len() < shown.len())
        {
            taken.gains.add(Compressor::Fold, shown.len(), form.len());
            self.tried(kind, (Compressor::Fold, false), &shown, &form, Choice::Taken);
            shown = Cow::Owned(form);
            read = lines::of(&shown);
        }
        let seen = place.earlier.and_then(|earlier| earlier.replace_seen(&shown, &read, place.at, kind));
        let coded = kinds::coded(kind, &shown, cx);
        // The rest of a text with references may be worth a form as well; or the form alone is shorter.
        let both = seen.as_deref().and_then(|seen| kinds::coded(kind, seen, cx));
        let length = |form: &Option<kinds::Form>| form.as_ref().map_or(usize::MAX, |form| form.text.len());
        let seen_length = seen.as_ref().map_or(usize::MAX, String::len);
        let (mut form, mut unchanged) = (coded, true);
        if seen_length.min(length(&both)) < length(&form).min(shown.len())
            && let Some(seen) = seen
        {
            self.seen(kind, &shown, &seen, taken);
            shown = Cow::Owned(seen);
            (form, unchanged) = (both, false);
        }
        if let Some(form) = form {
            taken.gains.add(form.compressor, shown.len(), form.text.len());
            self.tried(kind, (form.compressor, false), &shown, &form.text, Choice::Taken);
            taken.coded = form.coded;
            return (Cow::Owned(form.text), None);
        }
        (shown, unchanged.then_some(read))
    }

    /// A value that is mostly texts: the value itself, JSON without its layout.
    fn envelope_form<'v>(
        &self,
        value: &'v str,
        spelling: Spelling,
        kind: Kind,
        taken: &mut Taken,
    ) -> Cow<'v, str> {
        let minified = if spelling == Spelling::Json { json::without_layout(value) } else { None };
        match minified.filter(|minified| minified.len() < value.len()) {
            Some(minified) => {
                taken.gains.add(Compressor::JsonMinify, value.len(), minified.len());
                self.tried(kind, (Compressor::JsonMinify, false), value, &minified, Choice::Taken);
                Cow::Owned(minified)
            }
            None => Cow::Borrowed(value),
        }
    }

    /// A source file without bodies of functions, where that is as much smaller as leaving something out has to be.
    fn cut_code(&self, language: Language, text: &str, lossless: &str) -> Option<(Compressor, Lossy)> {
        let cx = self.cx;
        let limits = cx.config.profile.limits().pressed(cx.pressure);
        let before = cx.encoding.count(lossless);
        if before < limits.min_lossy_tokens {
            return None;
        }
        let kept = code::lossy(text, language, cx)?;
        let after = cx.encoding.count(&kept.text);
        let most = before.saturating_mul(limits.lossy_keeps_at_most_percent) / 100;
        let verdict = if after <= most { Choice::Taken } else { Choice::KeepsTooMuch };
        self.tried(Kind::Source, (Compressor::Code, true), lossless, &kept.text, verdict);
        (after <= most).then_some((Compressor::Code, kept))
    }

    /// The lossy form of a part, where it is so much smaller than the lossless one that leaving something
    /// out is worth it.
    fn crush(
        &self,
        kind: Kind,
        text: &str,
        lossless: &str,
        lines_before: usize,
    ) -> Option<(Compressor, Lossy)> {
        let cx = self.cx;
        let limits = cx.config.profile.limits().pressed(cx.pressure);
        if text.len() < limits.min_lossy_bytes {
            return None;
        }
        let before = cx.encoding.count(lossless);
        if before < limits.min_lossy_tokens {
            return None;
        }
        let (compressor, kept) = kinds::lossy(kind, text, &Context { lines_before, ..*cx })?;
        let after = cx.encoding.count(&kept.text);
        let most = before.saturating_mul(limits.lossy_keeps_at_most_percent) / 100;
        let verdict = if after <= most { Choice::Taken } else { Choice::KeepsTooMuch };
        self.tried(kind, (compressor, true), lossless, &kept.text, verdict);
        (after <= most).then_some((compressor, kept))
    }
}

/// What was done to a part.
struct Taken {
    gains: Gains,
    coded: Coded,
}

/// A value whose texts are compressed.
struct Opened {
    value: String,
    /// Of the longest text.
    kind: Kind,
    left_out: Vec<LeftOut>,
    /// How the texts are shown.
    values: Values,
}

fn line_ends(text: &str) -> usize {
    memchr::memchr_iter(b'\n', text.as_bytes()).count()
}

/// Whether a document shows in JSON what an error looks like. A line that names one stays findable as it
/// is printed.
fn is_json_about_an_error(text: &str, kind: Kind) -> bool {
    matches!(kind, Kind::Json | Kind::JsonLines) && text.lines().any(|line| signal::of(line) == Signal::Error)
}
