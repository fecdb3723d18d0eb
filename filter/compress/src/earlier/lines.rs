//! Lines that can be compared: those of the texts shown so far, and those of a text that is looked
//! through.

use super::MIN_LINES;
use crate::lines::{self, Newest};

/// Places of one line that are tried, the newest first. Lines that stand in more places than this are
/// no good start for a run; a rarer neighbour finds it and extends it backwards.
const MAX_CANDIDATES: usize = 12;
/// Bytes without indentation from which on a line may start a run: closing braces and the like stand
/// everywhere.
const MIN_START: usize = 8;
/// Lines that a run is extended backwards at most. Bounds the work per line; what lies further back has
/// had its chance to start the run.
const MAX_BACKWARDS: usize = 64;

/// The number of a line outside regions.
pub(super) const PLAIN: u32 = u32::MAX;
/// In place of a number: this is no line that could be referred to or replaced.
pub(super) const NO_LINE: u32 = u32::MAX - 1;
const NONE: u32 = u32::MAX;

/// A line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// What it says, without its number, in the text.
    pub(super) start: u32,
    pub(super) len: u32,
    /// Its number, [`PLAIN`] or [`NO_LINE`].
    pub(super) number: u32,
    /// Which text it belongs to.
    pub(super) text: u32,
    /// The next older line with the same hash; [`NONE`] where there is none.
    older: u32,
    /// The bytes of what it says without indentation.
    bare: u32,
    hash: u64,
}

impl Line {
    /// Whether a run may be looked for by this line.
    fn may_start(&self) -> bool {
        self.number != NO_LINE && self.bare as usize >= MIN_START
    }
}

/// Lines with an index by what they say.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: Vec<Line>,
    /// The newest line with each hash.
    newest: Newest,
}

/// Lines with the text that they stand in.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    pub(super) text: &'a str,
    pub(super) lines: &'a Lines,
}

/// Lines that say the same in two places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// The first one in the text that is looked through.
    pub(super) at: usize,
    /// The first one where they stood before.
    pub(super) there: usize,
    pub(super) count: usize,
    /// Without indentation.
    pub(super) bytes: usize,
}

impl Lines {
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    pub(super) fn get(&self, line: usize) -> Option<&Line> {
        self.lines.get(line)
    }

    /// No lines yet, and room for some, which will not be looked for.
    pub(super) fn with_capacity(lines: usize) -> Self {
        Self { lines: Vec::with_capacity(lines), newest: Newest::default() }
    }

    /// Takes in a line of text `text`, which starts at `base`. The caller has checked that there are fewer lines
    /// and bytes than a `u32` counts.
    pub(super) fn push(&mut self, line: &lines::Line, number: u32, text: u32, base: usize) {
        let (start, len) = ((base + line.read.content) as u32, (line.read.end - line.read.content) as u32);
        let (bare, hash) = (line.bare as u32, line.hash);
        self.lines.push(Line { start, len, number, text, older: NONE, bare, hash });
    }

    /// Takes in the next line of the only text, in which it knows the last one like it.
    pub(super) fn push_own(&mut self, line: &lines::Line, number: u32) {
        let before = line.before.unwrap_or(NONE);
        let older = if number == NO_LINE { self.candidate(before) } else { before };
        self.push(line, number, 0, 0);
        if let Some(line) = self.lines.last_mut() {
            line.older = older;
        }
    }

    /// Lets a line be found.
    pub(super) fn index(&mut self, line: usize) {
        let Self { lines, newest } = self;
        if lines.get(line).is_some_and(Line::may_start) {
            let older = newest.replace(line as u32, |line| lines[line as usize].hash);
            lines[line].older = older.unwrap_or(NONE);
        }
    }

    /// The newest line with a hash.
    fn newest(&self, hash: u64) -> Option<u32> {
        self.newest.get(hash, |line| self.lines[line as usize].hash)
    }

    /// A line, or where it is none the next older one with its hash that is. What is no line has one that is
    /// for its older one, so that this is a single step.
    fn candidate(&self, line: u32) -> u32 {
        self.get(line as usize).filter(|line| line.number == NO_LINE).map_or(line, |line| line.older)
    }

    /// Makes it no line any more: something else stands in its place. In the order of the lines.
    pub(super) fn remove(&mut self, line: usize) {
        let Some(older) = self.get(line).map(|line| self.candidate(line.older)) else { return };
        if let Some(line) = self.lines.get_mut(line) {
            line.number = NO_LINE;
            line.older = older;
        }
    }

    /// Whether a line stands right behind the one before it: in the same region, or both outside.
    fn behind(&self, line: usize) -> bool {
        let (Some(above), Some(line)) = (line.checked_sub(1).and_then(|i| self.get(i)), self.get(line))
        else {
            return false;
        };
        above.text == line.text
            && match above.number {
                PLAIN => line.number == PLAIN,
                NO_LINE => false,
                number => line.number == number + 1,
            }
    }
}

impl<'a> View<'a> {
    pub(super) fn content(&self, line: &Line) -> &'a str {
        &self.text[line.start as usize..][..line.len as usize]
    }

    /// The longest run of [`MIN_LINES`] or more that says what lines of `shown` say, contains line `at` and starts
    /// at or behind line `floor`. Lines for which `stays` holds are in none. `own`: `shown` are the lines of this very
    /// text, and a run must not reach into itself.
    pub(super) fn longest(
        &self,
        shown: &View<'_>,
        at: usize,
        floor: usize,
        stays: impl Fn(usize) -> bool,
        own: bool,
    ) -> Option<Run> {
        let line = self.lines.get(at).filter(|line| line.may_start())?;
        let mut candidate = if own { line.older } else { shown.lines.newest(line.hash)? };
        let mut best: Option<Run> = None;
        for _ in 0..MAX_CANDIDATES {
            candidate = shown.lines.candidate(candidate);
            if candidate == NONE {
                break;
            }
            let mut run = self.extended(shown, at, candidate as usize, floor, |_| false, own);
            if run.count >= MIN_LINES && (run.at..run.at + run.count).any(&stays) {
                run = self.extended(shown, at, candidate as usize, floor, &stays, own);
            }
            let number = |run: &Run| {
                self.lines.get(run.at).map(|line| line.number)
                    == shown.lines.get(run.there).map(|line| line.number)
            };
            if run.count >= MIN_LINES
                && best.is_none_or(|best| (run.bytes, number(&run)) > (best.bytes, number(&best)))
            {
                best = Some(run);
            }
            candidate = shown.lines.get(candidate as usize)?.older;
        }
        best.filter(|run| self.says_the_same(shown, run))
    }

    /// Whether a run says what it is found to say: what has the same hash may still differ.
    fn says_the_same(&self, shown: &View<'_>, run: &Run) -> bool {
        (0..run.count).all(|line| match (self.lines.get(run.at + line), shown.lines.get(run.there + line)) {
            (Some(line), Some(other)) => {
                #[cfg(test)]
                COMPARED.set(COMPARED.get() + 1 + line.len as usize);
                self.content(line) == shown.content(other)
            }
            _ => false,
        })
    }

    /// The run around line `at` and the line `there` of `shown`, by the hashes of their lines; empty if the two
    /// do not say the same.
    fn extended(
        &self,
        shown: &View<'_>,
        at: usize,
        there: usize,
        floor: usize,
        stays: impl Fn(usize) -> bool,
        own: bool,
    ) -> Run {
        let mut run = Run { at, there, count: 0, bytes: 0 };
        #[cfg(test)]
        COMPARED.set(COMPARED.get() + 1);
        let same = |at: usize, there: usize| match (self.lines.get(at), shown.lines.get(there)) {
            (Some(line), Some(other)) if line.number != NO_LINE && other.number != NO_LINE => {
                #[cfg(test)]
                COMPARED.set(COMPARED.get() + 1);
                (line.hash == other.hash && line.len == other.len && !stays(at))
                    .then_some(line.bare as usize + 1)
            }
            _ => None,
        };
        let joined = |at: usize, there: usize| self.lines.behind(at) && shown.lines.behind(there);
        while (run.count == 0 || joined(at + run.count, there + run.count))
            && !(own && there + run.count >= at)
        {
            let Some(bytes) = same(at + run.count, there + run.count) else { break };
            run.bytes += bytes;
            run.count += 1;
        }
        let end = there + run.count;
        while run.count > 0
            && run.at > floor
            && at - run.at < MAX_BACKWARDS
            && joined(run.at, run.there)
            && !(own && end >= run.at)
        {
            let Some(bytes) = same(run.at - 1, run.there - 1) else { break };
            run.at -= 1;
            run.there -= 1;
            run.count += 1;
            run.bytes += bytes;
        }
        run
    }
}

#[cfg(test)]
thread_local! {
    /// Work done: lines tried, and bytes compared.
    pub(super) static COMPARED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}
