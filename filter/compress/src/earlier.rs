//! What the conversation has shown before: lines that an earlier tool output still shows in full, or that
//! the model has written in the arguments of a call, are replaced by a reference to them, and so are lines
//! that stand further up in the same output.
//!
//! Only what is really shown is referred to: outputs are taken in as they are forwarded, and a
//! reference in one of them is nothing that another could refer to. Calls are forwarded as they are. Line numbers do not count; a file
//! read again after an edit has the same lines under other numbers. Lines are found by their
//! fingerprint and compared by their bytes.

mod label;
mod lines;
mod reference;
#[cfg(test)]
mod tests;
mod values;
mod written;

use std::cell::OnceCell;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

use crate::block::Call;
use crate::kinds::fold;
use crate::kinds::numbered::region::{self, Reader, Role};
use crate::kinds::signal::{self, Signal};
use crate::lines::Line;
use crate::outcome::Kind;
use crate::wire::tape::Tape;
use lines::{Lines, NO_LINE, Own, PLAIN, Run, Said as _};
use reference::{Here, OUTPUT, There, looks_like_one, reference};

/// A run has at least this many lines: fewer are quicker read than looked up.
const MIN_LINES: usize = 4;
/// A run is replaced when its bytes without indentation are this many times the reference's, in
/// percent. References have about as many tokens per byte as code has without its indentation; the
/// rest is what looking something up must be worth.
const MIN_GAIN_PERCENT: usize = 200;

/// The tool outputs of a request up to some point, as the model sees them, and what it wrote in its calls.
#[derive(Debug, Default)]
pub(crate) struct Earlier {
    /// All of it, one behind the other.
    text: String,
    lines: Lines,
    texts: Vec<Shown>,
    /// How many outputs have a label.
    outputs: HashMap<String, u32, FixedState>,
    /// How many calls have a label.
    calls: HashMap<String, u32, FixedState>,
    /// Whole outputs by fingerprint.
    wholes: HashMap<u64, usize, FixedState>,
    /// The last call, by fingerprints, with its label.
    label: Option<((u64, u64), String)>,
}

/// An output, or an argument of a call.
#[derive(Debug)]
struct Shown {
    /// The argument's name; of a text in a value that is an output, its place in the output.
    argument: Option<String>,
    /// It was shown by an output, not written in a call.
    output: bool,
    /// What the call is called.
    label: String,
    /// Which one of those with this label, from 1.
    nth: u32,
    /// Its lines in `Earlier::lines`.
    first: u32,
    /// Its bytes in `Earlier::text`.
    start: u32,
    end: u32,
    /// No line number occurs twice.
    numbers_rise: bool,
}

/// Bytes of a line, as tools print them: for how many lines there is to be room.
const LINE_BYTES: usize = 48;

impl Earlier {
    /// Makes room for texts of so many bytes.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.text.reserve(bytes);
        self.lines.reserve(bytes / LINE_BYTES);
    }

    /// Gives back the room that was not needed, where that is the larger part: much of what is compressed away.
    pub(crate) fn shrink(&mut self) {
        if self.text.len() < self.text.capacity() / 2 {
            self.text.shrink_to_fit();
        }
        self.lines.shrink();
    }

    /// Takes in what the model wrote in a call. It comes before the call's first output.
    pub(crate) fn add_call(&mut self, call: Call<'_>) {
        let tape = Tape::of(call.arguments.as_bytes()).ok();
        let arguments = label::members(tape.as_ref());
        let label = label::label(call.name, &arguments);
        self.label = Some((key(call), label.clone()));
        let nth = next(&mut self.calls, &label);
        for (argument, text) in written::texts(&arguments) {
            let argument = Some(argument.to_owned());
            let Some(base) = self.begin(&text, argument, false, &label, nth) else { return };
            let mut start = 0;
            for line in text.split('\n') {
                let plain = written::is_plain(line) && !is_ours(line);
                let end = start + line.len();
                let read = region::Line { start, end, content: start, role: Role::Plain };
                self.add_line(&Line::new(&text, read), if plain { PLAIN } else { NO_LINE }, base);
                start = end + 1;
            }
        }
    }

    /// Takes in the next output, in the order of the request. `shown` is the text that is forwarded:
    /// the replacement where there is one. `lines`: its lines, where they have been read.
    pub(crate) fn add(&mut self, shown: &str, lines: Option<Vec<Line>>, call: Call<'_>) {
        let label = self.label(call);
        let nth = next(&mut self.outputs, &label);
        let Some(base) = self.begin(shown, None, true, &label, nth) else { return };
        self.wholes.insert(xxh3_64(shown.as_bytes()), self.texts.len() - 1);
        self.add_lines(shown, lines, base);
        self.add_values(shown, &label, nth);
    }

    /// The lines of an output that was begun last.
    fn add_lines(&mut self, shown: &str, lines: Option<Vec<Line>>, base: usize) {
        let mut numbers_rise = true;
        let mut highest = None;
        let mut take_in = |line: &Line| {
            let number = match line.read.role {
                Role::Plain if is_ours(line.text(shown)) => NO_LINE,
                Role::Plain => PLAIN,
                Role::Numbered { number, .. } => {
                    numbers_rise &= highest.is_none_or(|highest| number > highest);
                    highest = Some(number);
                    number
                }
                Role::Header | Role::Reference { .. } | Role::Gap => NO_LINE,
            };
            self.add_line(line, number, base);
        };
        match lines {
            Some(lines) => lines.iter().for_each(take_in),
            None => Reader::new(shown).for_each(|read| take_in(&Line::new(shown, read))),
        }
        if let Some(output) = self.texts.last_mut() {
            output.numbers_rise = numbers_rise;
        }
    }

    /// What a call is called; the last one is remembered, as a call comes right before its output.
    fn label(&mut self, call: Call<'_>) -> String {
        let key = key(call);
        match &self.label {
            Some((last, label)) if *last == key => label.clone(),
            _ => {
                let tape = Tape::of(call.arguments.as_bytes()).ok();
                self.label.insert((key, label::label(call.name, &label::members(tape.as_ref())))).1.clone()
            }
        }
    }

    /// Begins a text: where its bytes start. `None` where there is no room for its numbers.
    fn begin(
        &mut self,
        text: &str,
        argument: Option<String>,
        output: bool,
        label: &str,
        nth: u32,
    ) -> Option<usize> {
        let base = self.text.len();
        let start = u32::try_from(base).ok()?;
        let end = start.checked_add(u32::try_from(text.len()).ok()?)?;
        let first = u32::try_from(self.lines.len()).ok()?;
        u32::try_from(self.texts.len()).ok()?;
        self.text.push_str(text);
        let label = label.to_owned();
        self.texts.push(Shown { argument, output, label, nth, first, start, end, numbers_rise: true });
        Some(base)
    }

    fn add_line(&mut self, line: &Line, number: u32, base: usize) {
        self.lines.push(line, number, (self.texts.len() - 1) as u32, base);
        self.lines.index(self.lines.len() - 1);
    }

    /// The text of these lines with what an earlier output shows replaced by references; `None` when there is
    /// nothing of that kind. Comes last of the lossless steps: references name lines as they are shown.
    ///
    /// Where words such as `error` may be a signal and not what was looked for, lines that have one
    /// stay: what went wrong is said in the newest output as well. Numbered lines are a file's.
    pub(crate) fn replace_seen(&self, text: &str, lines: &[Line], kind: Kind) -> Option<String> {
        u32::try_from(text.len()).ok()?;
        let signals = !matches!(kind, Kind::Diff | Kind::Search | Kind::Listing);
        if let Some(whole) = self.whole(text, signals) {
            return Some(whole);
        }
        Text::of(text, lines, signals, self)?.replaced(self)
    }

    /// The reference for a text that is a whole earlier output.
    fn whole(&self, text: &str, signals: bool) -> Option<String> {
        let output = self.texts.get(*self.wholes.get(&xxh3_64(text.as_bytes()))?)?;
        let stays = |line| looks_like_one(line) || signals && is_error(line);
        if &self.text[output.start as usize..output.end as usize] != text || text.lines().any(stays) {
            return None;
        }
        let reference = reference(Here::Whole, There::Whole, self.nth(output), &output.label);
        (text.len() > reference.len()).then_some(reference)
    }

    /// Which one it is, where several have its label.
    fn nth(&self, shown: &Shown) -> Option<u32> {
        let counts = if shown.output { &self.outputs } else { &self.calls };
        counts.get(&shown.label).is_some_and(|count| *count > 1).then_some(shown.nth)
    }

    fn said(&self) -> lines::Earlier<'_> {
        lines::Earlier { text: &self.text, lines: &self.lines }
    }

    /// The reference for a run that says what stands further up in the request.
    fn reference(&self, here: Here, run: Run, quote: &str) -> Option<String> {
        let (first, last) = (self.lines.get(run.there)?, self.lines.get(run.there + run.count - 1)?);
        let shown = self.texts.get(first.text as usize)?;
        let there = if first.number != PLAIN && shown.numbers_rise {
            There::Numbered(first.number, last.number)
        } else {
            let from = run.there - shown.first as usize + 1;
            There::Counted(shown.argument.as_deref().unwrap_or(OUTPUT), from, from + run.count - 1, quote)
        };
        Some(reference(here, there, self.nth(shown), &shown.label))
    }
}

/// A text that is looked through.
struct Text<'a> {
    text: &'a str,
    /// Its lines as they were read.
    read: &'a [Line],
    own: Own<'a>,
    /// The newest earlier line like each of them.
    newest: Vec<u32>,
    /// Whether lines that say what went wrong stay, even if an earlier output shows them.
    signals: bool,
    /// Which lines do, as far as it was asked.
    errors: Vec<OnceCell<bool>>,
    /// The line of the result in which each line stands that was passed.
    shown_at: Vec<usize>,
}

impl<'a> Text<'a> {
    /// `None` where nothing could be found, and where the text has what looks like a reference: it could not be told
    /// from ours.
    fn of(text: &'a str, read: &'a [Line], signals: bool, earlier: &Earlier) -> Option<Self> {
        let newest = earlier.lines.newest_of_each(read)?;
        let mut own = Own::new(text, read);
        for line in read {
            own.push(match line.read.role {
                Role::Plain if looks_like_one(line.text(text)) => return None,
                Role::Plain if fold::is_mark(line.text(text)) => NO_LINE,
                Role::Reference { .. } => return None,
                Role::Plain => PLAIN,
                Role::Numbered { number, ruled: true, .. } => number,
                Role::Numbered { .. } | Role::Header | Role::Gap => NO_LINE,
            });
        }
        let errors = vec![OnceCell::new(); read.len()];
        Some(Self { text, read, own, newest, signals, errors, shown_at: Vec::with_capacity(read.len()) })
    }

    fn stays(&self, line: usize) -> bool {
        let plain = || self.own.line(line).is_some_and(|line| line.number == PLAIN);
        let text = || self.read[line].text(self.text);
        self.signals && plain() && *self.errors[line].get_or_init(|| is_error(text()))
    }

    fn replaced(mut self, earlier: &Earlier) -> Option<String> {
        let mut out = String::new();
        let (mut at, mut floor, mut copied) = (0, 0, 0);
        // The line of the result that line `floor` has.
        let mut shown = 0;
        while at < self.read.len() {
            let Some((run, reference)) = self.run(at, floor, shown, earlier) else {
                self.shown_at.push(shown + at - floor);
                at += 1;
                continue;
            };
            out.push_str(&self.text[copied..self.read[run.at].read.start]);
            out.push_str(&reference);
            shown += run.at - floor + 1;
            at = run.at + run.count;
            floor = at;
            copied = self.read[at - 1].read.end;
            (run.at..at).for_each(|line| self.own.remove(line));
            self.shown_at.resize(at, 0);
        }
        if copied == 0 {
            return None;
        }
        out.push_str(&self.text[copied..]);
        Some(out)
    }

    /// The run that contains line `at` and the reference that stands for it, where one is worth it.
    fn run(&self, at: usize, floor: usize, shown: usize, earlier: &Earlier) -> Option<(Run, String)> {
        let lines = &self.own;
        let before =
            lines.longest(&earlier.said(), self.newest[at], at, floor, |line| self.stays(line), false);
        let above = lines.longest(lines, lines.above(at), at, floor, |_| false, true);
        let own = above.is_some_and(|above| before.is_none_or(|before| above.bytes >= before.bytes));
        let run = if own { above? } else { before? };
        let last = lines.line(run.at + run.count - 1)?.number;
        let here = match (lines.line(run.at)?.number, last) {
            (PLAIN, _) => Here::Plain(run.count),
            (first, last) => Here::Numbered(first, last),
        };
        let mut texts = (run.at..run.at + run.count).map(|line| lines.content(line).trim());
        let quote = texts.find(|text| !text.is_empty())?;
        let reference = if own {
            let up = shown + run.at - floor - self.shown_at[run.there];
            reference(here, There::Above(up, quote), None, "")
        } else {
            earlier.reference(here, run, quote)?
        };
        (run.bytes * 100 >= reference.len() * MIN_GAIN_PERCENT).then_some((run, reference))
    }
}

/// Tells calls apart.
fn key(call: Call<'_>) -> (u64, u64) {
    (xxh3_64(call.name.as_bytes()), xxh3_64(call.arguments.as_bytes()))
}

/// The number of the next one with this label.
fn next(counts: &mut HashMap<String, u32, FixedState>, label: &str) -> u32 {
    *counts.entry_ref(label).and_modify(|count| *count += 1).or_insert(1)
}

/// Whether a line of an output stands for other lines.
fn is_ours(line: &str) -> bool {
    looks_like_one(line) || fold::is_mark(line)
}

fn is_error(line: &str) -> bool {
    signal::of(line) == Signal::Error
}
