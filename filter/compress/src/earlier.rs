//! Replaces repeated lines by references. A run of lines is replaced if an earlier tool output still shows it
//! in full, if the model has written it in the arguments of a call, or if the same output already contains
//! it.
//!
//! References compare and name lines as the tool printed them, never lines of a form: the same letter or
//! abbreviation means something else in another output. They refer only to lines that are really shown: not
//! to a reference in an earlier output, and not to lines that a form left out. Calls are forwarded unchanged,
//! so their arguments count. Line numbers do not count: a file that is read again after an edit has the same
//! lines under other numbers. Lines are found by their fingerprint and compared by their bytes.

#![allow(clippy::indexing_slicing, reason = "lines and runs are numbered by the lists that they stand in")]

mod label;
mod lines;
mod printed;
mod reference;
#[cfg(test)]
mod tests;
mod values;
mod written;

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_128;

use crate::call::Call;
use crate::kinds::numbered::region::{self, Role};
use crate::kinds::signal;
use crate::kinds::{failure, fold};
use crate::lines::{Line, has_more_than, split};
use crate::outcome::Kind;
use crate::work;
use headroom_providers::tape::Tape;
use lines::{Lines, NO_LINE, OwnLines, Run, SearchedLines as _, counted, plain};
pub(crate) use printed::{Fidelity, ShownOutput, Values, has_ours};
use reference::{CurrentPlace, EarlierPlace, reference};
pub(crate) use reference::{OUTPUT, looks_like_one};
pub(crate) use values::name;

/// The fewest lines of a run: fewer lines are read faster than looked up.
const MIN_LINES: usize = 4;
/// A run is replaced if its bytes without indentation are at least this percentage of the reference's bytes.
/// References have about as many tokens per byte as code without its indentation; the rest is the price of
/// looking something up.
const MIN_GAIN_PERCENT: usize = 200;

/// The most lines on either side of a line that reports a failure that stay with it: where it happened, and
/// what was expected. A longer stack can be looked up. With eight lines, repeated stack traces on recorded
/// conversations lose half of what references save.
const MOST_BELONGING: usize = 3;

/// The tool outputs of a request up to some point, as the model sees them, and the texts in the model's
/// calls.
#[derive(Debug, Default)]
pub(crate) struct Earlier {
    /// All their texts, one after the other.
    text: String,
    lines: Lines,
    texts: Vec<ShownText>,
    /// The calls so far, by their number in the request; `None` for those that the model does not see.
    calls: Vec<Option<EarlierCall>>,
    /// How many calls have a label.
    labels: HashMap<String, u32, FixedState>,
    /// Outputs that are shown completely, by the fingerprint of what the tool printed.
    wholes: HashMap<u128, usize, FixedState>,
    /// The number of outputs with an unknown call.
    unknown: u32,
    /// The call whose output is being replaced: a reference to an earlier output cannot mean it.
    current: Option<usize>,
    /// The calls whose outputs it refers to, so far.
    referred: RefCell<Vec<usize>>,
}

/// A call.
#[derive(Debug)]
struct EarlierCall {
    label: Arc<str>,
    /// Its number among the calls with this label, from 1.
    nth: u32,
    /// How many texts its result has had so far.
    texts: usize,
}

/// The origin of a text of a result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    /// The number of the call that it answers, if known.
    pub(crate) call: Option<usize>,
    /// Whether the result has more texts than this one.
    pub(crate) several: bool,
}

/// A shown text: an output, or an argument of a call.
#[derive(Debug)]
struct ShownText {
    /// The argument's name. For a text inside an output that is a value: its place in the value. For one of
    /// several texts of a result: which of them it is.
    argument: Option<String>,
    /// The label of the call, and its number among the calls with this label, from 1.
    label: Arc<str>,
    nth: u32,
    /// The call, of an output of it.
    output_of: Option<usize>,
}

/// What an allocation takes beside its bytes.
const ALLOCATION_BYTES: usize = 16;

/// The label of an output whose call is not known.
const UNKNOWN: &str = "a tool";

/// The usual length of a line in bytes, to reserve room for lines.
const LINE_BYTES: usize = 48;

/// The most lines of a conversation that references can name. A body of 32 MiB has 700 thousand lines of
/// usual length. Of line feeds alone it would have 16 million, and a VM never gives their memory back.
const MOST_LINES: usize = 1 << 20;

impl Earlier {
    /// Drops the texts, so that nothing refers to them. The calls stay: the model sees them, and names count them.
    pub(crate) fn forget_texts(&mut self) {
        let Self { calls, labels, unknown, .. } = std::mem::take(self);
        *self = Self { calls, labels, unknown, ..Self::default() };
    }

    /// Reserves room for texts of this many bytes.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.text.reserve(bytes);
        self.lines.reserve(bytes / LINE_BYTES);
    }

    /// Gives back unused room if it is more than half: much is compressed away.
    pub(crate) fn shrink(&mut self) {
        if self.text.len() < self.text.capacity() / 2 {
            self.text.shrink_to_fit();
        }
        self.lines.shrink();
    }

    /// The bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        let named = self.texts.iter().filter_map(|shown| shown.argument.as_ref());
        let names = named.map(|name| name.capacity() + ALLOCATION_BYTES);
        // Each stands in its call and as a key of the counts.
        let labels = self.calls.iter().flatten().map(|made| 2 * (made.label.len() + ALLOCATION_BYTES));
        self.text.capacity()
            + self.lines.bytes()
            + self.texts.capacity() * size_of::<ShownText>()
            + self.calls.capacity() * size_of::<Option<EarlierCall>>()
            + self.labels.allocation_size()
            + self.wholes.allocation_size()
            + names.chain(labels).sum::<usize>()
    }

    /// Adds the next call, the `number`th of the request from 0, with the texts in its arguments.
    pub(crate) fn add_call(&mut self, number: usize, call: Call<'_>) {
        let tape = Tape::of(call.arguments.as_bytes()).ok();
        let arguments = label::members(tape.as_ref());
        let label: Arc<str> = label::label(call.name, &arguments).into();
        let nth = *self.labels.entry_ref(&*label).and_modify(|count| *count += 1).or_insert(1);
        self.calls.resize_with(number, || None);
        self.calls.push(Some(EarlierCall { label: Arc::clone(&label), nth, texts: 0 }));
        for (argument, text) in written::texts(&arguments) {
            let argument = Some(argument.to_owned());
            let shown = ShownText { argument, label: Arc::clone(&label), nth, output_of: None };
            let Some(base) = self.begin(&text, shown) else { return };
            let mut start = 0;
            for (count, line) in (1..).zip(split(&text)) {
                let is_plain = written::is_plain(line) && !is_ours(line);
                let end = start + line.len();
                let read = region::Line { start, end, content: start, role: Role::Plain };
                self.add_line(&Line::new(&text, read), if is_plain { plain(count) } else { NO_LINE }, base);
                start = end + 1;
            }
        }
    }

    /// The name in references of the next text: a whole output, or one of its texts.
    pub(crate) fn next_name(&self, source: Source) -> Cow<'static, str> {
        let texts = self.made(source).map_or(0, |made| made.texts);
        if source.several || texts > 0 { format!("text {}", texts + 1).into() } else { OUTPUT.into() }
    }

    /// Sets the output in which lines are replaced next.
    pub(crate) fn look_at(&mut self, source: Source) {
        self.current = source.call;
        self.referred.get_mut().clear();
    }

    /// The calls whose outputs the one that is looked at refers to; it may have more than it uses.
    pub(crate) fn referred(&self) -> Vec<usize> {
        let mut calls = self.referred.borrow().clone();
        calls.sort_unstable();
        calls.dedup();
        calls
    }

    /// Notes that something refers to a text.
    fn refer(&self, shown: &ShownText) {
        let mut referred = self.referred.borrow_mut();
        if let Some(call) = shown.output_of.filter(|call| referred.last() != Some(call)) {
            referred.push(call);
        }
    }

    fn made(&self, source: Source) -> Option<&EarlierCall> {
        self.calls.get(source.call?)?.as_ref()
    }

    /// Counts the next output. Unless it is added, nothing may refer to it.
    pub(crate) fn pass_over(&mut self, source: Source) {
        match source.call {
            Some(call) => {
                if let Some(Some(made)) = self.calls.get_mut(call) {
                    made.texts += 1;
                }
            }
            None => self.unknown += 1,
        }
    }

    /// Adds the next output, in the order of the request. `lines`: the lines of the forwarded text, if they
    /// have been read.
    pub(crate) fn add(&mut self, printed: ShownOutput<'_>, lines: Option<Vec<Line>>, source: Source) {
        let name = self.next_name(source);
        self.pass_over(source);
        let (label, nth) = match source.call {
            Some(call) => {
                let Some(Some(made)) = self.calls.get(call) else { return };
                (Arc::clone(&made.label), made.nth)
            }
            None => (UNKNOWN.into(), self.unknown),
        };
        self.add_values(printed, &name, (&label, nth, source.call));
        // Its layout is not what the model reads.
        if printed.structured {
            return;
        }
        let origin = printed.origin();
        let text = printed.lines_stand_in(origin);
        let is_output = name == OUTPUT;
        let argument = (!is_output).then(|| name.into_owned());
        let shown = ShownText { argument, label, nth, output_of: source.call };
        let Some(base) = self.begin(text, shown) else { return };
        if printed.is_whole() {
            self.wholes.insert(xxh3_128(printed.original.as_bytes()), self.texts.len() - 1);
        }
        // A number names a line of an output; other texts of the same result may have the same numbers.
        printed.each_line(origin, lines, is_output, |line, number| self.add_line(line, number, base));
    }

    /// Begins a text, and returns where its bytes start. `None`: there is no room for its numbers or its
    /// lines.
    fn begin(&mut self, text: &str, shown: ShownText) -> Option<usize> {
        let base = self.text.len();
        u32::try_from(base + text.len()).ok()?;
        let room = MOST_LINES.checked_sub(self.lines.len())?;
        if has_more_than(text, room) {
            return None;
        }
        u32::try_from(self.lines.len()).ok()?;
        u32::try_from(self.texts.len()).ok()?;
        self.text.push_str(text);
        self.texts.push(shown);
        Some(base)
    }

    /// Adds an output with its call, as a new call.
    #[cfg(test)]
    pub(crate) fn add_with_call(
        &mut self,
        printed: ShownOutput<'_>,
        lines: Option<Vec<Line>>,
        call: Call<'_>,
    ) {
        let number = self.calls.len();
        self.add_call(number, call);
        self.add(printed, lines, Source { call: Some(number), several: false });
    }

    fn add_line(&mut self, line: &Line, number: u32, base: usize) {
        self.lines.push(line, number, (self.texts.len() - 1) as u32, base);
        self.lines.index(self.lines.len() - 1);
    }

    /// The text of these lines, with references in place of lines that were shown before; `None` if there are
    /// no such lines. The lines are as the tool printed them, except that their numbers may be thinned.
    ///
    /// Lines that report a failure stay: the newest output has to say what went wrong, too.
    pub(crate) fn replace_seen(
        &self,
        text: &str,
        lines: &[Line],
        at: TextPlace<'_>,
        kind: Kind,
    ) -> Option<String> {
        u32::try_from(text.len()).ok()?;
        Text::of(text, lines, at, kind, self)?.replaced(self)
    }

    /// The reference for an output that equals a whole earlier one, compared as the tool printed them.
    pub(crate) fn whole(&self, original: &str, kind: Kind) -> Option<String> {
        let output = self.texts.get(*self.wholes.get(&xxh3_128(original.as_bytes()))?)?;
        if has_ours(original) || original.lines().any(|line| stays(line, kind)) {
            return None;
        }
        let there = EarlierPlace::Whole(output.argument.as_deref());
        let reference = reference(CurrentPlace::Whole, there, Some((self.nth(output)?, &output.label)));
        (original.len() > reference.len()).then(|| {
            self.refer(output);
            reference
        })
    }

    /// The number of its call, if several earlier calls have its label. `None`: that is not known.
    fn nth(&self, shown: &ShownText) -> Option<Option<u32>> {
        let Some(count) = self.labels.get(&*shown.label) else {
            return (self.unknown == 1).then_some(None);
        };
        let current = self.current.and_then(|call| self.calls.get(call)?.as_ref());
        let own = current.is_some_and(|made| made.label == shown.label && made.nth != shown.nth);
        Some((*count > 1 + u32::from(own)).then_some(shown.nth))
    }

    /// Whether a reference can name a text.
    fn can_name(&self, text: u32) -> bool {
        let shown = self.texts.get(text as usize);
        shown.is_some_and(|shown| shown.output_of.is_some() || self.nth(shown).is_some())
    }

    /// The reference for a run whose lines come earlier in the request.
    fn reference(&self, here: CurrentPlace, run: Run, quote: &str) -> Option<String> {
        let (first, last) = (self.lines.get(run.there)?, self.lines.get(run.there + run.count - 1)?);
        let shown = self.texts.get(first.text as usize)?;
        let there = match (counted(first.number), counted(last.number)) {
            (None, None) => EarlierPlace::Numbered(first.number, last.number),
            (Some(first), Some(last)) => {
                let what = shown.argument.as_deref().unwrap_or(OUTPUT);
                EarlierPlace::Counted(what, first as usize, last as usize, quote)
            }
            // A run is inside a region or completely outside of regions.
            _ => return None,
        };
        let reference = reference(here, there, Some((self.nth(shown)?, &shown.label)));
        self.refer(shown);
        Some(reference)
    }
}

/// The place of a text in its output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextPlace<'a> {
    /// The name, in references, of the text in which its lines are counted: [`OUTPUT`], or the place of a
    /// text in a value. `None`: it has no name.
    pub(crate) name: Option<&'a str>,
    /// How many lines of that text come before it.
    pub(crate) before: usize,
    /// For each line of that text, whether its form differs from what was printed; empty if no line does.
    /// Such lines only look the same, so references must not call them the same.
    pub(crate) cleaned: &'a [bool],
}

/// A text in which lines are replaced.
struct Text<'a> {
    text: &'a str,
    /// The name of the text in which its lines are counted.
    name: Option<&'a str>,
    /// Its lines as they were read.
    read: &'a [Line],
    own: OwnLines<'a>,
    /// For each line, the newest equal line of earlier outputs.
    newest: Vec<u32>,
    kind: Kind,
    /// Which lines must stay; worked out where it is needed.
    stay: RefCell<Vec<Option<bool>>>,
    /// How many lines from the first on have rising numbers, so that a number names exactly one of them.
    rising: usize,
}

impl<'a> Text<'a> {
    /// `None` if there is nothing to replace, or if the text itself has a line like a reference, which could
    /// not be distinguished from ours.
    fn of(text: &'a str, read: &'a [Line], at: TextPlace<'a>, kind: Kind, earlier: &Earlier) -> Option<Self> {
        let TextPlace { name, before, cleaned } = at;
        let newest = earlier.lines.newest_of_each(read)?;
        let mut own = OwnLines::new(text, read);
        let mut count = before;
        let (mut highest, mut rising) = (None, None);
        for (at, line) in read.iter().enumerate() {
            let mark = if line.read.role == Role::Plain { fold::lines_of(line.text(text)) } else { None };
            let number = match line.read.role {
                Role::Plain if looks_like_one(line.text(text)) => return None,
                Role::Reference { .. } => return None,
                Role::Plain if mark.is_some() => NO_LINE,
                Role::Plain | Role::Numbered { .. } if cleaned.get(count).is_some_and(|is| *is) => NO_LINE,
                // There is no line after the last line end.
                Role::Plain if line.read.start == text.len() => NO_LINE,
                Role::Plain => plain(count + 1),
                Role::Numbered { number, ruled, .. } => {
                    if highest.is_some_and(|highest| number <= highest) {
                        rising.get_or_insert(at);
                    }
                    highest = Some(number);
                    if ruled { number } else { NO_LINE }
                }
                Role::Header | Role::Gap => NO_LINE,
            };
            own.push(number, count + 1);
            count += match line.read.role {
                Role::Header => 0,
                _ => mark.unwrap_or(1),
            };
        }
        let stay = RefCell::new(vec![None; read.len()]);
        // A number names a line of an output; other texts in its values may have the same numbers.
        let rising = if name == Some(OUTPUT) { rising.unwrap_or(read.len()) } else { 0 };
        Some(Self { text, name, read, own, newest, kind, stay, rising })
    }

    /// Whether a line must stay: it reports a failure, or belongs to a line that does.
    fn stays(&self, line: usize) -> bool {
        let mut stay = self.stay.borrow_mut();
        if let Some(known) = stay.get(line).copied().flatten() {
            return known;
        }
        let text = |line: usize| self.read.get(line).map_or("", |line| line.text(self.text));
        // Numbered lines belong to a file, and do not report what the tool did.
        let fails = |line: usize| {
            self.read.get(line).is_some_and(|read| read.read.role == Role::Plain)
                && stays(text(line), self.kind)
        };
        let (among, decided) = failure::surroundings(line, self.read.len(), text);
        let failures: Vec<bool> = among.clone().map(fails).collect();
        let text = |line| text(among.start + line);
        let stays = failure::with_belongings(&failures, text, |_| false, MOST_BELONGING);
        for line in decided {
            stay[line] = Some(stays[line - among.start]);
        }
        stay.get(line).copied().flatten().unwrap_or(false)
    }

    fn replaced(mut self, earlier: &Earlier) -> Option<String> {
        let mut out = String::new();
        let (mut at, mut floor, mut copied) = (0, 0, 0);
        while at < self.read.len() {
            if work::is_over() {
                return None;
            }
            let Some((run, reference)) = self.run(at, floor, earlier) else {
                at += 1;
                continue;
            };
            out.push_str(self.text.get(copied..self.read[run.at].read.start).unwrap_or_default());
            out.push_str(&reference);
            at = run.at + run.count;
            floor = at;
            copied = self.read[at - 1].read.end;
            (run.at..at).for_each(|line| self.own.remove(line));
        }
        if copied == 0 {
            return None;
        }
        out.push_str(self.text.get(copied..).unwrap_or_default());
        Some(out)
    }

    /// The run that contains line `at`, and its reference, if one is worth it.
    fn run(&self, at: usize, floor: usize, earlier: &Earlier) -> Option<(Run, String)> {
        let lines = &self.own;
        let stays = |line| self.stays(line);
        let before = lines.longest(earlier, self.newest[at], at, floor, stays, false);
        let above = self.name.and_then(|_| lines.longest(lines, lines.above(at), at, floor, stays, true));
        let own = above.is_some_and(|above| before.is_none_or(|before| above.bytes >= before.bytes));
        let run = if own { above? } else { before? };
        let last = lines.line(run.at + run.count - 1)?.number;
        let here = match lines.line(run.at)?.number {
            first if counted(first).is_some() => CurrentPlace::Plain(run.count),
            first => CurrentPlace::Numbered(first, last),
        };
        let mut texts = (run.at..run.at + run.count).map(|line| lines.content(line).trim());
        let quote = texts.find(|text| !text.is_empty())?;
        let reference = if own {
            reference(here, self.above(run, quote)?, None)
        } else {
            earlier.reference(here, run, quote)?
        };
        work::spend(reference.len());
        (run.bytes * 100 >= reference.len() * MIN_GAIN_PERCENT).then_some((run, reference))
    }

    /// The place of a run earlier in the same text.
    fn above<'q>(&'q self, run: Run, quote: &'q str) -> Option<EarlierPlace<'q>> {
        let last = run.there + run.count - 1;
        let (first_number, last_number) = (self.own.line(run.there)?.number, self.own.line(last)?.number);
        if counted(first_number).is_none() && run.at < self.rising {
            return Some(EarlierPlace::Numbered(first_number, last_number));
        }
        let (first, last) = (self.own.count(run.there), self.own.count(last));
        Some(EarlierPlace::Counted(self.name?, first as usize, last as usize, quote))
    }
}

/// Whether a line is one of ours that stands for other lines.
fn is_ours(line: &str) -> bool {
    looks_like_one(line) || fold::is_mark(line)
}

/// Whether a line of an output of this kind stays, even if an earlier output shows it. Where words such as `error`
/// may be what was looked for, only what the tool itself reports does.
pub(crate) fn stays(line: &str, kind: Kind) -> bool {
    match kind {
        Kind::Diff => false,
        Kind::Search => signal::is_diagnostic(line),
        // `find: '/root': Permission denied`, not a file's name
        Kind::Listing => line.contains(": ") && signal::reports_failure(line),
        _ => signal::reports_failure(line),
    }
}
