//! An output as the tool printed it and as it is forwarded: which of its lines can be referred to.

use hashbrown::HashMap;

use foldhash::fast::FixedState;

use super::lines::{NO_LINE, plain};
use super::{is_ours, looks_like_one};
use crate::clean;
use crate::kinds::code;
use crate::kinds::fold;
use crate::kinds::numbered::region::{self, MARK, Reader, Role};
use crate::lines::Line;

/// How what is forwarded shows the lines of an output. The later ones say less of single lines.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Coded {
    /// Lines stand as they were printed, at most with their numbers thinned, or a reference or a count stands for
    /// them.
    #[default]
    No,
    /// Each line can be read off one line, by rules that the text states.
    Lines,
    /// All of it can be read, but not line by line.
    Document,
    /// Lines of a file were left out; the others stand as they were printed, with their numbers thinned.
    Gaps,
    /// Something was left out.
    Partly,
}

/// How what is forwarded shows the texts in the values of an output.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Values {
    /// At most so.
    pub(crate) coded: Coded,
    /// A reference stands in one of them.
    pub(crate) refer: bool,
}

impl Values {
    /// Adds what is so of other texts.
    pub(crate) fn add(&mut self, other: Self) {
        self.coded = self.coded.max(other.coded);
        self.refer |= other.refer;
    }
}

/// An output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printed<'a> {
    /// What the tool printed.
    pub(crate) original: &'a str,
    /// What is forwarded.
    pub(crate) shown: &'a str,
    pub(crate) coded: Coded,
    pub(crate) values: Values,
    /// It is a JSON value of the request, and no text.
    pub(crate) structured: bool,
}

/// How the lines of an output are found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Source {
    /// All of them from what is forwarded.
    Shown,
    /// All of them from what was printed.
    Original,
    /// Those that stand in both, in the same order.
    Common,
}

impl<'a> Printed<'a> {
    /// A text without others in it.
    pub(crate) fn text(original: &'a str, shown: &'a str, coded: Coded) -> Self {
        Self { original, shown, coded, values: Values::default(), structured: false }
    }

    fn source(&self) -> Source {
        match self.coded {
            // What looks like our own counts for nothing, and could not be told from it.
            Coded::No | Coded::Gaps if has_ours(self.original) => Source::Common,
            // A line that is not shown as it was printed is nothing that another could be the same as.
            Coded::No if self.is_cleaned() => Source::Common,
            Coded::No | Coded::Gaps => Source::Shown,
            Coded::Lines if !has_ours(self.shown) && !has_ours(self.original) => Source::Original,
            Coded::Lines | Coded::Document | Coded::Partly => Source::Common,
        }
    }

    /// Whether lines are shown otherwise than they were printed, as far as that is white space or what a terminal would
    /// not show.
    fn is_cleaned(&self) -> bool {
        self.original.len() != self.shown.len() && clean::marked(self.original) != clean::marked(self.shown)
    }

    /// The text in which the lines stand that [`Self::each_line`] gives.
    pub(super) fn lines_stand_in(&self) -> &str {
        if self.source() == Source::Original { self.original } else { self.shown }
    }

    /// Whether all of the output is shown here, and nothing of it by a reference to another place.
    pub(super) fn is_whole(&self) -> bool {
        self.coded < Coded::Gaps
            && self.values.coded < Coded::Gaps
            && !self.values.refer
            && !has_ours(self.original)
            && !has_references(self.shown)
    }

    /// Calls `each` with every line of [`Self::lines_stand_in`] and its number. `read`: the lines of what is forwarded,
    /// where they are known. `by_number`: a number that a tool gave a line names it, where none comes twice.
    pub(super) fn each_line(
        &self,
        read: Option<Vec<Line>>,
        by_number: bool,
        mut each: impl FnMut(&Line, u32),
    ) {
        match self.source() {
            Source::Shown => self.each_shown(read, by_number, each),
            Source::Original => {
                for (count, line) in (1..).zip(plain_lines(self.original)) {
                    each(&line, plain(count));
                }
            }
            Source::Common => {
                let mut places: HashMap<&str, Vec<usize>, FixedState> = HashMap::default();
                for (count, line) in (1..).zip(self.original.split('\n')) {
                    places.entry(line).or_default().push(count);
                }
                let mut next = 1;
                for line in plain_lines(self.shown) {
                    let text = line.text(self.shown);
                    let known = places.get(text).filter(|_| !is_ours(text));
                    let found = known.and_then(|counts| {
                        counts.get(counts.partition_point(|count| *count < next)).copied()
                    });
                    next = found.map_or(next, |count| count + 1);
                    each(&line, found.map_or(NO_LINE, plain));
                }
            }
        }
    }

    fn is_gap(&self, line: &Line) -> bool {
        self.shown.get(line.read.content..line.read.end).is_some_and(code::is_gap)
    }

    fn each_shown(&self, read: Option<Vec<Line>>, by_number: bool, mut each: impl FnMut(&Line, u32)) {
        let line_of = |read| Line::new(self.shown, read);
        let lines = read.unwrap_or_else(|| Reader::new(self.shown).map(line_of).collect());
        let rising = by_number && numbers_rise(&lines);
        let mut count = 0;
        for line in &lines {
            let text = line.text(self.shown);
            let here = plain(count + 1);
            let (number, stands_for) = match line.read.role {
                Role::Plain => match lines_behind(text) {
                    Some(lines) => (NO_LINE, lines),
                    None => (here, 1),
                },
                // what stands for lines that were left out is none of them
                Role::Numbered { .. } if self.coded == Coded::Gaps && self.is_gap(line) => (NO_LINE, 1),
                Role::Numbered { number, .. } => (if rising { number } else { here }, 1),
                Role::Header => (NO_LINE, 0),
                Role::Reference { first, last } => (NO_LINE, (last - first) as usize + 1),
                Role::Gap => (NO_LINE, 1),
            };
            count += stands_for;
            each(line, number);
        }
    }
}

/// Whether no number of a numbered line comes twice, so that it names the line.
fn numbers_rise(lines: &[Line]) -> bool {
    let mut numbers = lines.iter().filter_map(|line| match line.read.role {
        Role::Numbered { number, .. } => Some(number),
        _ => None,
    });
    let Some(mut last) = numbers.next() else { return true };
    numbers.all(|number| number > std::mem::replace(&mut last, number))
}

/// How many lines a reference or a count outside regions stands for.
fn lines_behind(line: &str) -> Option<usize> {
    if let Some(lines) = fold::lines_of(line) {
        return Some(lines);
    }
    if !looks_like_one(line) {
        return None;
    }
    let digits = line.trim_start_matches('[').split(' ').next()?;
    Some(digits.parse().unwrap_or(1))
}

/// The lines of a text without a look at what they are.
fn plain_lines(text: &str) -> impl Iterator<Item = Line> {
    let mut start = 0;
    text.split('\n').map(move |line| {
        let end = start + line.len();
        let read = region::Line { start, end, content: start, role: Role::Plain };
        start = end + 1;
        Line::new(text, read)
    })
}

/// Whether a line of the text is one of ours, or cannot be told from them: a reference, a count of repetitions, the
/// header of a region.
pub(crate) fn has_ours(text: &str) -> bool {
    has_line(text, |line| is_ours(line) || line.starts_with(MARK))
}

/// Whether a line of the text refers to others.
pub(super) fn has_references(text: &str) -> bool {
    has_line(text, looks_like_one)
}

fn has_line(text: &str, is: impl Fn(&str) -> bool) -> bool {
    let bracket = |at: &usize| *at == 0 || text.as_bytes().get(at - 1) == Some(&b'\n');
    memchr::memchr_iter(b'[', text.as_bytes()).filter(bracket).any(|at| {
        let end = memchr::memchr(b'\n', text.as_bytes().get(at..).unwrap_or_default())
            .map_or(text.len(), |len| at + len);
        is(text.get(at..end).unwrap_or_default())
    })
}
