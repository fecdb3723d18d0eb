//! Lines that can be compared: those of the texts shown so far, and those of the text in which lines are
//! replaced.

use std::cell::Cell;

use super::{Earlier, MIN_LINES};
use crate::lines::{self, NewestLines};
use crate::work;

/// How many places of one line are tried, the newest first. A line that occurs more often is a poor start for
/// a run; a rarer line next to it finds the run and extends it backwards.
const MAX_CANDIDATES: usize = 12;
/// Bytes without indentation from which on a line may start a run: closing braces and the like are
/// everywhere.
const MIN_START: usize = 8;
/// The most lines by which a run is extended backwards. Limits the work per line; earlier lines have already
/// been tried as the start of a run.
const MAX_BACKWARDS: usize = 64;

/// Added to the number of a line outside regions, which is its number in the printed output. Numbers in
/// regions have at most nine digits.
const PLAIN: u32 = 1 << 31;
/// Instead of a number: this line cannot be referred to or replaced.
pub(super) const NO_LINE: u32 = u32::MAX - 1;
const NONE: u32 = u32::MAX;

/// The number for the `count`th line of its output, from 1, outside regions.
pub(super) fn plain(count: usize) -> u32 {
    // Bodies have far fewer lines.
    PLAIN + u32::try_from(count).unwrap_or(u32::MAX).min(PLAIN / 2)
}

/// Which line of its output a line outside regions is, from 1.
pub(super) fn counted(number: u32) -> Option<u32> {
    (number != NO_LINE).then(|| number.checked_sub(PLAIN)).flatten()
}

/// A line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Where its content, without its number, starts in the text.
    pub(super) start: u32,
    pub(super) len: u32,
    /// Its number in a region, a number from [`plain`], or [`NO_LINE`].
    pub(super) number: u32,
    /// The number of its text.
    pub(super) text: u32,
    /// The next older line with the same hash; [`NONE`] if there is none.
    older: u32,
    /// The bytes of its content without indentation.
    bare: u32,
    hash: u64,
}

impl Line {
    #[inline]
    fn new(line: &lines::Line, number: u32, text: u32, base: usize, older: u32) -> Self {
        let (start, len) = ((base + line.read.content) as u32, (line.read.end - line.read.content) as u32);
        Self { start, len, number, text, older, bare: line.bare as u32, hash: line.hash }
    }

    /// Whether it may be the start of a run.
    fn may_start(&self) -> bool {
        self.number != NO_LINE && self.bare as usize >= MIN_START
    }
}

/// Lines with an index by their content.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: Vec<Line>,
    /// The newest line with each hash.
    newest: NewestLines,
}

/// The lines of the text in which lines are replaced.
#[derive(Debug)]
pub(super) struct OwnLines<'a> {
    text: &'a str,
    read: &'a [lines::Line],
    /// The number of each line, as in [`Line`].
    numbers: Vec<u32>,
    /// The next older line with the same hash, as in [`Line`].
    older: Vec<u32>,
    /// The number of each line in the output, from 1.
    counts: Vec<u32>,
}

/// Lines in which runs are searched.
pub(super) trait SearchedLines {
    fn line(&self, line: usize) -> Option<Line>;

    fn content(&self, line: usize) -> &str;

    /// This line or, if it has [`NO_LINE`], the next older line with its hash. The `older` of such a line is
    /// always a real one, so this takes a single step.
    fn candidate(&self, line: u32) -> u32;

    /// Whether a reference can name the text of a line.
    fn has_name(&self, line: usize) -> bool;

    /// Whether a line directly follows the one before it in what the tool printed: in the same region, or
    /// both outside.
    fn behind(&self, line: usize) -> bool {
        let (Some(above), Some(line)) = (line.checked_sub(1).and_then(|i| self.line(i)), self.line(line))
        else {
            return false;
        };
        above.text == line.text && above.number != NO_LINE && line.number == above.number + 1
    }
}

/// A run of lines with equal content in two places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Its first line in the text in which lines are replaced.
    pub(super) at: usize,
    /// Its first line at the earlier place.
    pub(super) there: usize,
    pub(super) count: usize,
    /// Its bytes without indentation.
    pub(super) bytes: usize,
}

impl Lines {
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    pub(super) fn get(&self, line: usize) -> Option<&Line> {
        self.lines.get(line)
    }

    /// Reserves room for this many lines in the index.
    pub(super) fn reserve(&mut self, lines: usize) {
        let hash_of = |line: u32| self.lines[line as usize].hash;
        self.newest.reserve(lines, hash_of);
        self.lines.reserve(lines);
    }

    /// Gives back unused room if it is more than half.
    pub(super) fn shrink(&mut self) {
        if self.lines.len() < self.lines.capacity() / 2 {
            self.lines.shrink_to_fit();
            let hash_of = |line: u32| self.lines[line as usize].hash;
            self.newest.shrink(hash_of);
        }
    }

    /// The bytes that they hold.
    pub(super) fn bytes(&self) -> usize {
        self.lines.capacity() * size_of::<Line>() + self.newest.bytes()
    }

    /// Adds a line of text `text`, which starts at `base`. The caller has checked that the numbers of lines
    /// and bytes fit a `u32`.
    pub(super) fn push(&mut self, line: &lines::Line, number: u32, text: u32, base: usize) {
        self.lines.push(Line::new(line, number, text, base, NONE));
    }

    /// Adds a line to the index.
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

    /// For each of these lines, the newest line here that may start a run with it; [`NONE`] if there is none.
    /// `None` if fewer than [`MIN_LINES`] in a row could be repetitions.
    pub(super) fn newest_of_each(&self, lines: &[lines::Line]) -> Option<Vec<u32>> {
        let (mut in_a_row, mut starts, mut enough) = (0, false, false);
        let newest = lines.iter().map(|line| {
            let long = line.bare >= MIN_START;
            let newest = if long { self.newest(line.hash).unwrap_or(NONE) } else { NONE };
            let start = long && (newest != NONE || line.before.is_some());
            // Short lines are not looked up, so they count as possible repetitions.
            (in_a_row, starts) = if start || !long { (in_a_row + 1, starts || start) } else { (0, false) };
            enough |= starts && in_a_row >= MIN_LINES;
            newest
        });
        let newest = newest.collect();
        enough.then_some(newest)
    }
}

impl SearchedLines for Earlier {
    #[inline]
    fn line(&self, line: usize) -> Option<Line> {
        self.lines.get(line).copied()
    }

    fn has_name(&self, line: usize) -> bool {
        self.lines.get(line).is_some_and(|line| self.can_name(line.text))
    }

    fn content(&self, line: usize) -> &str {
        let Some(line) = self.lines.get(line) else { return "" };
        let from = line.start as usize;
        self.text.get(from..from + line.len as usize).unwrap_or_default()
    }

    #[inline]
    fn candidate(&self, line: u32) -> u32 {
        line
    }
}

impl SearchedLines for OwnLines<'_> {
    #[inline]
    fn line(&self, line: usize) -> Option<Line> {
        let (read, number, older) = (self.read.get(line)?, *self.numbers.get(line)?, *self.older.get(line)?);
        Some(Line::new(read, number, 0, 0, older))
    }

    fn has_name(&self, _: usize) -> bool {
        true
    }

    fn content(&self, line: usize) -> &str {
        self.read
            .get(line)
            .map_or("", |line| self.text.get(line.read.content..line.read.end).unwrap_or_default())
    }

    #[inline]
    fn candidate(&self, line: u32) -> u32 {
        match self.numbers.get(line as usize) {
            Some(&NO_LINE) => self.older[line as usize],
            _ => line,
        }
    }
}

impl<'a> OwnLines<'a> {
    /// The lines of a text, before they have numbers.
    pub(super) fn new(text: &'a str, read: &'a [lines::Line]) -> Self {
        let vec = || Vec::with_capacity(read.len());
        Self { text, read, numbers: vec(), older: vec(), counts: vec() }
    }

    /// Numbers the next line, which is the `count`th of the output.
    pub(super) fn push(&mut self, number: u32, count: usize) {
        self.counts.push(u32::try_from(count).unwrap_or(u32::MAX));
        let before = self.read.get(self.numbers.len()).and_then(|line| line.before).unwrap_or(NONE);
        self.older.push(if number == NO_LINE { self.candidate(before) } else { before });
        self.numbers.push(number);
    }

    /// Removes a line, which was replaced. Called in the order of the lines.
    pub(super) fn remove(&mut self, line: usize) {
        let older = self.candidate(self.older[line]);
        self.numbers[line] = NO_LINE;
        self.older[line] = older;
    }

    /// The longest run of [`MIN_LINES`] or more lines whose content is also in `said`, that contains line
    /// `at` and starts at line `floor` or later. `newest`: the last line of `said` with the hash of line
    /// `at`. Lines for which `stays` holds are in no run. `own`: `said` is this same text, and a run must not
    /// overlap itself.
    pub(super) fn longest(
        &self,
        said: &impl SearchedLines,
        newest: u32,
        at: usize,
        floor: usize,
        stays: impl Fn(usize) -> bool,
        own: bool,
    ) -> Option<Run> {
        if newest == NONE || !self.line(at)?.may_start() {
            return None;
        }
        let mut candidate = newest;
        let mut best: Option<Run> = None;
        for _ in 0..MAX_CANDIDATES {
            candidate = said.candidate(candidate);
            if candidate == NONE {
                break;
            }
            let there = candidate as usize;
            candidate = said.line(there)?.older;
            // What would be refused is not read: a run may be as long as the text, and the next line starts another one.
            if !said.has_name(there) {
                continue;
            }
            // Whether a line stays follows from its words, which are not read for a run that is too short.
            let read = Cell::new(0);
            let enough = |_| read.replace(read.get() + 1) >= MIN_LINES;
            if self.extended(said, at, there, floor, enough, own).count < MIN_LINES {
                continue;
            }
            let run = self.extended(said, at, there, floor, &stays, own);
            let number = |run: &Run| {
                self.line(run.at).map(|line| line.number) == said.line(run.there).map(|line| line.number)
            };
            if run.count >= MIN_LINES
                && best.is_none_or(|best| (run.bytes, number(&run)) > (best.bytes, number(&best)))
            {
                best = Some(run);
            }
        }
        best.filter(|run| self.says_the_same(said, run))
    }

    /// Its number in the output, from 1.
    pub(super) fn count(&self, line: usize) -> u32 {
        self.counts.get(line).copied().unwrap_or_default()
    }

    /// The newest earlier line with its hash.
    pub(super) fn above(&self, line: usize) -> u32 {
        self.older.get(line).copied().unwrap_or(NONE)
    }

    /// Whether the content of a run really is equal: equal hashes may belong to different lines.
    fn says_the_same(&self, said: &impl SearchedLines, run: &Run) -> bool {
        (0..run.count).all(|line| {
            let (own, other) = (self.content(run.at + line), said.content(run.there + line));
            work::spend(own.len());
            #[cfg(test)]
            COMPARED.set(COMPARED.get() + 1 + own.len());
            own == other
        })
    }

    /// The run around line `at` and line `there` of `said`, compared by hashes; empty if those two lines
    /// differ.
    fn extended(
        &self,
        said: &impl SearchedLines,
        at: usize,
        there: usize,
        floor: usize,
        stays: impl Fn(usize) -> bool,
        own: bool,
    ) -> Run {
        let mut run = Run { at, there, count: 0, bytes: 0 };
        #[cfg(test)]
        COMPARED.set(COMPARED.get() + 1);
        let same = |at: usize, there: usize| match (self.line(at), said.line(there)) {
            (Some(line), Some(other)) if line.number != NO_LINE && other.number != NO_LINE => {
                #[cfg(test)]
                COMPARED.set(COMPARED.get() + 1);
                (line.hash == other.hash && line.len == other.len && !stays(at))
                    .then_some(line.bare as usize + 1)
            }
            _ => None,
        };
        let joined = |at: usize, there: usize| self.behind(at) && said.behind(there);
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
        work::spend(run.count);
        run
    }
}

#[cfg(test)]
thread_local! {
    /// The work done: lines tried, and bytes compared.
    pub(super) static COMPARED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}
