//! What the conversation has shown before: lines that an earlier tool output still shows in full are
//! replaced by a reference to it.
//!
//! Only what is really shown is referred to: outputs are taken in as they are forwarded, and a
//! reference in one of them is nothing that another could refer to. Line numbers do not count; a file
//! read again after an edit has the same lines under other numbers. Lines are found by their
//! fingerprint and compared by their bytes.

mod label;
mod reference;
#[cfg(test)]
mod tests;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

use crate::block::Call;
use crate::kinds::numbered::region::{Line, Reader, Role};
use crate::kinds::signal::{self, Signal};
use crate::outcome::Kind;
use reference::{Here, There, looks_like_one, reference};

/// Places of one line that are tried, the newest first. Lines that stand in more places than this are
/// no good start for a run; a rarer neighbour finds it and extends it backwards.
const MAX_CANDIDATES: usize = 12;
/// Bytes without indentation from which on a line may start a run: closing braces and the like stand
/// everywhere.
const MIN_START: usize = 8;
/// Lines that a run is extended backwards at most. Bounds the work per line; what lies further back has
/// had its chance to start the run.
const MAX_BACKWARDS: usize = 64;
/// A run has at least this many lines: fewer are quicker read than looked up.
const MIN_LINES: usize = 4;
/// A run is replaced when its bytes without indentation are this many times the reference's, in
/// percent. References have about as many tokens per byte as code has without its indentation; the
/// rest is what looking something up must be worth.
const MIN_GAIN_PERCENT: usize = 200;

/// The tool outputs of a request up to some point, as the model sees them.
#[derive(Debug, Default)]
pub(crate) struct Earlier {
    /// All outputs, one behind the other.
    text: String,
    lines: Vec<Shown>,
    outputs: Vec<Output>,
    /// How many outputs have a label.
    labels: HashMap<String, u32, FixedState>,
    /// Whole outputs by fingerprint.
    wholes: HashMap<u64, u32, FixedState>,
    /// The newest line with a fingerprint.
    newest: HashMap<u64, u32, FixedState>,
}

#[derive(Debug)]
struct Output {
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

/// A line of an earlier output.
#[derive(Clone, Copy, Debug)]
struct Shown {
    /// What it says, without its number, in `Earlier::text`.
    start: u32,
    len: u32,
    /// [`PLAIN`] outside regions, [`NO_LINE`] for what is no line of the original.
    number: u32,
    output: u32,
    /// The next older line with the same fingerprint; [`NONE`] where there is none.
    older: u32,
}

const PLAIN: u32 = u32::MAX;
const NO_LINE: u32 = u32::MAX - 1;
const NONE: u32 = u32::MAX;

impl Earlier {
    /// Takes in the next output, in the order of the request. `shown` is the text that is forwarded:
    /// the replacement where there is one.
    pub(crate) fn add(&mut self, shown: &str, call: Call<'_>) {
        let (Ok(start), Ok(first), Ok(output)) = (
            u32::try_from(self.text.len()),
            u32::try_from(self.lines.len()),
            u32::try_from(self.outputs.len()),
        ) else {
            return;
        };
        let Some(end) = u32::try_from(shown.len()).ok().and_then(|len| start.checked_add(len)) else {
            return;
        };
        self.text.push_str(shown);
        self.wholes.insert(xxh3_64(shown.as_bytes()), output);
        let mut numbers_rise = true;
        let mut highest = None;
        for line in Reader::new(shown) {
            let number = match line.role {
                Role::Plain if looks_like_one(&shown[line.start..line.end]) => NO_LINE,
                Role::Plain => PLAIN,
                Role::Numbered { number, .. } => {
                    numbers_rise &= highest.is_none_or(|highest| number > highest);
                    highest = Some(number);
                    number
                }
                Role::Header | Role::Reference { .. } | Role::Gap => NO_LINE,
            };
            self.add_line(shown, line, number, start, output);
        }
        let label = label::label(call);
        let nth = self.labels.entry_ref(label.as_str()).or_insert(0);
        *nth += 1;
        self.outputs.push(Output { label, nth: *nth, first, start, end, numbers_rise });
    }

    fn add_line(&mut self, shown: &str, line: Line, number: u32, base: u32, output: u32) {
        let content = &shown[line.content..line.end];
        let mut older = NONE;
        if number != NO_LINE && may_start(content) {
            // The caller has checked that every position fits.
            let index = self.lines.len() as u32;
            older = self.newest.insert(xxh3_64(content.as_bytes()), index).unwrap_or(NONE);
        }
        let start = base + line.content as u32;
        self.lines.push(Shown { start, len: content.len() as u32, number, output, older });
    }

    /// The text with what an earlier output shows replaced by references; `None` when there is
    /// nothing of that kind. Comes last of the lossless steps: references name lines as they are shown.
    ///
    /// Where words such as `error` may be a signal and not what was looked for, lines that have one
    /// stay: what went wrong is said in the newest output as well. Numbered lines are a file's.
    pub(crate) fn replace_seen(&self, text: &str, kind: Kind) -> Option<String> {
        if self.outputs.is_empty() {
            return None;
        }
        let signals = !matches!(kind, Kind::Diff | Kind::Search | Kind::Listing);
        if let Some(whole) = self.whole(text, signals) {
            return Some(whole);
        }
        let mut lines = Vec::new();
        for mut line in Reader::new(text) {
            let whole = &text[line.start..line.end];
            if signals && line.role == Role::Plain && is_error(whole) {
                line.role = Role::Gap;
            }
            if matches!(line.role, Role::Reference { .. })
                || line.role == Role::Plain && looks_like_one(whole)
            {
                return None;
            }
            lines.push(line);
        }
        let mut out = String::new();
        let mut copied = 0;
        let mut floor = 0;
        let mut at = 0;
        while at < lines.len() {
            let run = self.longest(text, &lines, at, floor);
            let Some((run, reference)) = run.and_then(|run| Some((run, self.worth_it(text, &lines, run)?)))
            else {
                at += 1;
                continue;
            };
            out.push_str(&text[copied..lines[run.at].start]);
            out.push_str(&reference);
            at = run.at + run.count;
            floor = at;
            copied = lines[at - 1].end;
        }
        if copied == 0 {
            return None;
        }
        out.push_str(&text[copied..]);
        Some(out)
    }

    /// The reference for a text that is a whole earlier output.
    fn whole(&self, text: &str, signals: bool) -> Option<String> {
        let output = &self.outputs[*self.wholes.get(&xxh3_64(text.as_bytes()))? as usize];
        let stays = |line| looks_like_one(line) || signals && is_error(line);
        if &self.text[output.start as usize..output.end as usize] != text || text.lines().any(stays) {
            return None;
        }
        let reference = reference(Here::Whole, There::Whole, self.nth(output), &output.label);
        (text.len() > reference.len()).then_some(reference)
    }

    fn nth(&self, output: &Output) -> Option<u32> {
        self.labels.get(&output.label).is_some_and(|count| *count > 1).then_some(output.nth)
    }

    /// The longest run of shown lines that contains line `at` and starts at or behind line `floor`.
    fn longest(&self, text: &str, lines: &[Line], at: usize, floor: usize) -> Option<Run> {
        number_of(&lines[at])?;
        let content = &text[lines[at].content..lines[at].end];
        if !may_start(content) {
            return None;
        }
        let mut candidate = *self.newest.get(&xxh3_64(content.as_bytes()))?;
        let mut best: Option<Run> = None;
        for _ in 0..MAX_CANDIDATES {
            let mut run = Run { at, there: candidate as usize, count: 0, bytes: 0 };
            while self.same(text, lines, run.at + run.count, run.there + run.count, run.count > 0) {
                run.bytes += weight(text, &lines[run.at + run.count]);
                run.count += 1;
            }
            if run.count > 0 {
                while run.at > floor
                    && run.there > 0
                    && at - run.at < MAX_BACKWARDS
                    && self.joined(lines, run.at, run.there)
                    && self.same(text, lines, run.at - 1, run.there - 1, false)
                {
                    run.at -= 1;
                    run.there -= 1;
                    run.count += 1;
                    run.bytes += weight(text, &lines[run.at]);
                }
                let number = |run: &Run| number_of(&lines[run.at]) == Some(self.lines[run.there].number);
                if best.is_none_or(|best| (run.bytes, number(&run)) > (best.bytes, number(&best))) {
                    best = Some(run);
                }
            }
            candidate = self.lines[candidate as usize].older;
            if candidate == NONE {
                break;
            }
        }
        best
    }

    /// Whether line `at` says what the earlier line `there` says. `joined`: and both stand right behind
    /// their predecessors.
    fn same(&self, text: &str, lines: &[Line], at: usize, there: usize, joined: bool) -> bool {
        let (Some(line), Some(shown)) = (lines.get(at), self.lines.get(there)) else { return false };
        let content = &text.as_bytes()[line.content..line.end];
        number_of(line).is_some()
            && shown.number != NO_LINE
            && shown.len as usize == content.len()
            && &self.text.as_bytes()[shown.start as usize..][..content.len()] == content
            && (!joined || self.joined(lines, at, there))
    }

    /// Whether line `at` and the earlier line `there` both stand right behind their predecessors, in
    /// the same region or both outside.
    fn joined(&self, lines: &[Line], at: usize, there: usize) -> bool {
        let behind = |before: u32, number: u32| match before {
            PLAIN => number == PLAIN,
            NO_LINE => false,
            before => number == before + 1,
        };
        let (Some(line), Some(before)) = (number_of(&lines[at]), number_of(&lines[at - 1])) else {
            return false;
        };
        let (shown, above) = (self.lines[there], self.lines[there - 1]);
        behind(before, line) && shown.output == above.output && behind(above.number, shown.number)
    }

    /// The reference for a run, where it saves enough.
    fn worth_it(&self, text: &str, lines: &[Line], run: Run) -> Option<String> {
        if run.count < MIN_LINES {
            return None;
        }
        let (first, last) = (&lines[run.at], &lines[run.at + run.count - 1]);
        let here = match (number_of(first)?, number_of(last)?) {
            (PLAIN, _) => Here::Plain(run.count),
            (first, last) => Here::Numbered(first, last),
        };
        let (shown, shown_last) = (&self.lines[run.there], &self.lines[run.there + run.count - 1]);
        let output = &self.outputs[shown.output as usize];
        let there = if shown.number != PLAIN && output.numbers_rise {
            There::Numbered(shown.number, shown_last.number)
        } else {
            let from = run.there - output.first as usize + 1;
            let mut texts =
                lines[run.at..run.at + run.count].iter().map(|line| text[line.content..line.end].trim());
            There::Counted(
                from,
                from + run.count - 1,
                texts.find(|text| !text.is_empty()).unwrap_or_default(),
            )
        };
        let reference = reference(here, there, self.nth(output), &output.label);
        (run.bytes * 100 >= reference.len() * MIN_GAIN_PERCENT).then_some(reference)
    }
}

/// Lines of a text that an earlier output shows.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// The first one in the text.
    at: usize,
    /// The first one in `Earlier::lines`.
    there: usize,
    count: usize,
    /// Without indentation.
    bytes: usize,
}

fn is_error(line: &str) -> bool {
    signal::of(line) == Signal::Error
}

fn may_start(content: &str) -> bool {
    content.len() >= MIN_START && content.trim_ascii_start().len() >= MIN_START
}

fn weight(text: &str, line: &Line) -> usize {
    text[line.content..line.end].trim_ascii_start().len() + 1
}

/// The number of a line that a reference may stand for, [`PLAIN`] outside regions.
fn number_of(line: &Line) -> Option<u32> {
    match line.role {
        Role::Plain => Some(PLAIN),
        Role::Numbered { number, ruled: true, .. } => Some(number),
        _ => None,
    }
}
