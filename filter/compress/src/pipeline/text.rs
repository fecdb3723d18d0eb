//! A text of a block: cleaned, compared with what was shown before, and cut into the parts that it consists of. The
//! texts in a value go the same way.

use super::{LeftOut, MAX_LINES, Replacement, is_worth_it};
use crate::block::Context;
use crate::ccr;
use crate::clean;
use crate::config::Policy;
use crate::detect;
use crate::earlier::{self, Earlier, Fidelity, TextPlace, Values, has_ours};
use crate::envelope::Envelope;
use crate::explain::{Attempts, Choice};
use crate::hint;
use crate::kinds;
use crate::kinds::code::Language;
use crate::lines::{self, Line};
use crate::mixed;
use crate::outcome::{Compressor, Kind};
use crate::work;

/// A text and what stands in for it.
pub(super) struct ReplacedText {
    pub(super) kind: Kind,
    pub(super) replacement: Replacement,
    /// The lines of the replacement, where they have been read.
    pub(super) lines: Option<Vec<Line>>,
    pub(super) gains: Gains,
    /// Some of it stayed because the configuration says so for its kind.
    pub(super) off: bool,
    pub(super) coded: Fidelity,
    pub(super) values: Values,
}

/// A text after everything that was allowed, before marker and token check.
pub(super) struct ShrunkText {
    pub(super) kind: Kind,
    pub(super) text: String,
    /// Its lines, where they have been read.
    pub(super) lines: Option<Vec<Line>>,
    /// What its marker has to say.
    pub(super) left_out: Vec<String>,
    /// What the markers inside its values say.
    pub(super) inside: Vec<LeftOut>,
    pub(super) gains: Gains,
    /// Some of it stays because the configuration says so for its kind.
    pub(super) off: bool,
    pub(super) coded: Fidelity,
    pub(super) values: Values,
}

/// Bytes that each compressor took out; decides whose name the block's outcome carries.
#[derive(Default)]
pub(super) struct Gains(pub(super) Vec<(Compressor, usize)>);

impl Gains {
    pub(super) fn add(&mut self, compressor: Compressor, before: usize, after: usize) {
        self.0.push((compressor, before.saturating_sub(after)));
    }

    /// The compressor with the largest gain, the first of them on a tie.
    pub(super) fn largest(&self) -> Option<Compressor> {
        self.0.iter().rev().max_by_key(|(_, saved)| *saved).map(|(compressor, _)| *compressor)
    }

    /// Whether a reference was made.
    pub(super) fn refer(&self) -> bool {
        self.0.iter().any(|(compressor, _)| *compressor == Compressor::Seen)
    }
}

/// Where a text stands in its block.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// So many values deep.
    pub(super) nesting: usize,
    /// What references call it, if it has a name.
    pub(super) name: Option<&'a str>,
    /// Whether references may stand in it.
    pub(super) refers: bool,
}

/// Where a part of a text stands.
#[derive(Clone, Copy)]
pub(super) struct PartPlace<'a> {
    pub(super) nesting: usize,
    /// Its lines in the text.
    pub(super) at: TextPlace<'a>,
    /// What [`kinds::beside`] finds in the text, if it has other parts.
    pub(super) around: &'a str,
    /// The part's kind, if it is known: of a text that is one part.
    pub(super) kind: Option<Kind>,
    /// What references call the value that the part may be, if it has a name.
    pub(super) value: Option<&'a str>,
    /// What the conversation has shown, where the part may refer to it.
    pub(super) earlier: Option<&'a Earlier>,
}

/// What stays the same over the texts of one block.
pub(super) struct Run<'r> {
    pub(super) cx: &'r Context<'r>,
    pub(super) earlier: &'r Earlier,
    pub(super) lossy: bool,
    /// The language of the file that the block shows, where bodies of functions may be left out.
    pub(super) code: Option<Language>,
    pub(super) attempts: Option<&'r Attempts>,
}

impl Run<'_> {
    /// Notes a form that was tried.
    pub(super) fn tried(
        &self,
        kind: Kind,
        form: (Compressor, bool),
        before: &str,
        after: &str,
        verdict: Choice,
    ) {
        if let Some(attempts) = self.attempts {
            attempts.add(kind, form, before, after, verdict);
        }
    }

    /// What a text contains.
    pub(super) fn kind(&self, text: &str) -> Kind {
        hint::kind(detect::kind(text), || self.cx.hint())
    }

    /// The replacement for a text.
    pub(super) fn replace(&self, text: &str, place: Place<'_>) -> ReplacedText {
        let mut shrunk = self.shrink(text, place);
        let mut left_out = shrunk.inside;
        if !left_out.is_empty() {
            shrunk.values.coded = Fidelity::Partly;
        }
        if !shrunk.left_out.is_empty() {
            let address = ccr::address(text);
            let description = shrunk.left_out.join("; ");
            ccr::append_marker(&mut shrunk.text, &description, &address);
            left_out.push(LeftOut { description, address });
            if shrunk.coded != Fidelity::Gaps {
                shrunk.coded = Fidelity::Partly;
            }
        }
        let ShrunkText { kind, text, lines, gains, off, coded, values, .. } = shrunk;
        ReplacedText { kind, replacement: Replacement { text, left_out }, lines, gains, off, coded, values }
    }

    /// The replacement for a value in whose envelope only the texts may change.
    pub(super) fn replace_value(&self, value: &str, envelope: &Envelope<'_>) -> ReplacedText {
        let mut gains = Gains::default();
        let place = PartPlace {
            nesting: 0,
            at: TextPlace { name: None, before: 0, cleaned: &[] },
            value: Some(self.cx.name),
            earlier: Some(self.earlier),
            around: "",
            kind: None,
        };
        let opened = self.open(envelope, place, &mut gains);
        let coded = if opened.is_some() { Fidelity::Document } else { Fidelity::No };
        let CompressedValue { value, left_out, values, .. } = opened.unwrap_or_else(|| CompressedValue {
            value: value.to_owned(),
            kind: Kind::Json,
            left_out: Vec::new(),
            values: Values::default(),
        });
        ReplacedText {
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
    pub(super) fn open(
        &self,
        envelope: &Envelope<'_>,
        place: PartPlace<'_>,
        gains: &mut Gains,
    ) -> Option<CompressedValue> {
        let mut left_out = Vec::new();
        let mut values = Values::default();
        let mut largest = (0, Kind::Text);
        let mut replacements = Vec::with_capacity(envelope.texts().len());
        // A text that looks like a reference in one text could not be distinguished from ours in another.
        let refers = place.earlier.is_some() && !envelope.texts().iter().any(|inner| has_ours(&inner.text));
        for inner in envelope.texts() {
            // Its line ends are escaped in the block, where they do not count.
            if work::is_over() || lines::has_more_than(&inner.text, MAX_LINES) {
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
                let coded = if whole { replaced.coded } else { Fidelity::Partly };
                values.add(Values { coded, refer: replaced.gains.refer() });
                gains.0.extend(replaced.gains.0);
                left_out.extend(replaced.replacement.left_out);
                replaced.replacement.text
            }));
        }
        Some(CompressedValue { value: envelope.with(&replacements)?, kind: largest.1, left_out, values })
    }

    fn shrink(&self, text: &str, place: Place<'_>) -> ShrunkText {
        let original = text;
        // Before anything looks at it: an escape sequence at a line's start hides what the line is.
        let screen = clean::screen(text, self.cx);
        let text = screen.as_deref().unwrap_or(text);
        let parts = mixed::split(text);
        let mut out = ShrunkText {
            kind: if parts.len() > 1 { Kind::Mixed } else { Kind::Text },
            text: String::with_capacity(text.len()),
            lines: None,
            left_out: Vec::new(),
            inside: Vec::new(),
            gains: Gains::default(),
            off: false,
            coded: Fidelity::No,
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
            return ShrunkText { kind, text: form, ..out };
        }
        if text.len() < original.len() {
            out.gains.add(Compressor::Clean, original.len(), text.len());
        }
        // Lines that look like references of ours could not be distinguished from them.
        let refers = place.refers && !has_ours(original);
        let cleaned = if refers { clean::changed_lines(original, self.cx) } else { Vec::new() };
        let whole = parts.len() == 1;
        // Each of its parts reads this.
        let beside = match parts.as_slice() {
            [part] if part.span == (0..text.len()) => String::new(),
            _ => kinds::beside(text),
        };
        let (mut from, mut before) = (0, 0);
        for part in parts {
            out.text.push_str(text.get(from..part.span.start).unwrap_or_default());
            before += line_ends(text.get(from..part.span.start).unwrap_or_default());
            let (start, end) = (part.span.start, part.span.end);
            let place = PartPlace {
                nesting: place.nesting,
                at: TextPlace { name: place.name, before, cleaned: &cleaned },
                around: &beside,
                kind: whole.then_some(kind),
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
}

/// A value whose texts are compressed.
pub(super) struct CompressedValue {
    pub(super) value: String,
    /// Of the longest text.
    pub(super) kind: Kind,
    pub(super) left_out: Vec<LeftOut>,
    /// How the texts are shown.
    pub(super) values: Values,
}

fn line_ends(text: &str) -> usize {
    memchr::memchr_iter(b'\n', text.as_bytes()).count()
}
