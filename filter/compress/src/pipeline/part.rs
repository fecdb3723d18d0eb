//! One part of a text: its lossless form, and only then what may be left out of it.

use std::borrow::Cow;

use super::text::{Gains, PartPlace, Run, ShrunkText};
use crate::block::{Context, Lossy};
use crate::config::Policy;
use crate::earlier::{Fidelity, Values};
use crate::envelope::{Envelope, MAX_NESTING, Spelling};
use crate::explain::Choice;
use crate::kinds::code::{self, Language};
use crate::kinds::signal::{self, Signal};
use crate::kinds::{self, fold, json};
use crate::lines::{self, Line};
use crate::mixed::Part;
use crate::outcome::{Compressor, Kind};
use crate::work;

impl Run<'_> {
    /// Appends the form of one part of `whole` to `out.text`. Returns the kind of the part, and the lines of what was
    /// appended, if they have been read.
    pub(super) fn shrink_part(
        &self,
        whole: &str,
        part: Part<'_>,
        place: PartPlace<'_>,
        out: &mut ShrunkText,
    ) -> (Kind, Option<Vec<Line>>) {
        let cx = self.cx;
        let text = whole.get(part.span).unwrap_or_default();
        if text.len() < cx.config.min_block_bytes {
            out.text.push_str(text);
            return (Kind::Short, None);
        }
        let mut kind = place.kind.unwrap_or_else(|| self.kind(text));
        let policy = cx.config.kind_policy(kind);
        if policy == Policy::Off {
            out.off = true;
            out.text.push_str(text);
            return (kind, None);
        }
        let envelope = if place.nesting < MAX_NESTING { self.envelope(text) } else { None };
        let mut taken = PartChanges { gains: Gains::default(), coded: Fidelity::No };
        let opened = envelope.as_ref().and_then(|envelope| self.open(envelope, place, &mut taken.gains));
        let is_python = envelope.as_ref().is_some_and(|envelope| envelope.spelling() == Spelling::Python);
        let (source, inside, values) = match opened {
            Some(opened) => {
                // JSON is a kind. What Python prints is not a kind: it has the kind of what it holds.
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
                // Only the texts change, and white space goes: a reference to one of their lines has to find it.
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
            taken.coded = if code::is_numbered(&kept.text) { Fidelity::Gaps } else { Fidelity::Partly };
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

    /// The form of a document after its own rewrites, `shown`. `changed`: texts in it were changed. Only lines as
    /// they were printed are compared.
    fn document<'t>(
        &self,
        shown: Cow<'t, str>,
        changed: bool,
        kind: Kind,
        place: PartPlace<'_>,
        taken: &mut PartChanges,
    ) -> (Cow<'t, str>, Option<Vec<Line>>) {
        if changed || matches!(shown, Cow::Owned(_)) {
            taken.coded = Fidelity::Document;
            return (shown, None);
        }
        let read = lines::read(&shown);
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
    fn seen(&self, kind: Kind, before: &str, form: &str, taken: &mut PartChanges) {
        taken.gains.add(Compressor::Seen, before.len(), form.len());
        self.tried(kind, (Compressor::Seen, false), before, form, Choice::Taken);
    }

    /// The lossless form of a text that is no JSON, and its lines where they have been read.
    fn shrink_lines<'t>(
        &self,
        text: &'t str,
        kind: Kind,
        place: PartPlace<'_>,
        taken: &mut PartChanges,
    ) -> (Cow<'t, str>, Option<Vec<Line>>) {
        let cx = &Context { around: place.around, ..*self.cx };
        let mut shown = kinds::lines(kind, text, cx, |compressor, before, after| {
            taken.gains.add(compressor, before.len(), after.len());
            self.tried(kind, (compressor, false), before, after, Choice::Taken);
        });
        let mut read = lines::read(&shown);
        if kinds::folds(kind)
            && let Some(form) = fold::lossless(&shown, &read).filter(|form| form.len() < shown.len())
        {
            taken.gains.add(Compressor::Fold, shown.len(), form.len());
            self.tried(kind, (Compressor::Fold, false), &shown, &form, Choice::Taken);
            shown = Cow::Owned(form);
            read = lines::read(&shown);
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
        taken: &mut PartChanges,
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
struct PartChanges {
    gains: Gains,
    coded: Fidelity,
}

/// Whether a document shows in JSON what an error looks like. A line that names one stays findable as it
/// is printed.
fn is_json_about_an_error(text: &str, kind: Kind) -> bool {
    matches!(kind, Kind::Json | Kind::JsonLines)
        && text.lines().any(|line| signal::classify(line) == Signal::Error)
}
