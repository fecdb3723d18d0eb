//! An output as it was printed and as it is forwarded: decides which of its lines references can name.

use hashbrown::HashMap;

use foldhash::fast::FixedState;

use super::lines::{NO_LINE, plain};
use super::{is_ours, looks_like_one};
use crate::clean;
use crate::kinds::code;
use crate::kinds::fold;
use crate::kinds::numbered::region::{self, MARK, Reader, Role};
use crate::lines::{self, Line};

/// How the forwarded text shows the lines of an output, from most to least exact.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Fidelity {
    /// Lines are as they were printed, except that their numbers may be thinned, or that a reference or a
    /// count stands for them.
    #[default]
    No,
    /// Each printed line follows from one forwarded line, by rules that the text states.
    Lines,
    /// The whole output follows from the text, but not line by line.
    Document,
    /// Lines of a file were left out; the others are as they were printed, with thinned numbers.
    Gaps,
    /// Something was left out.
    Partly,
}

/// How the forwarded text shows the texts in the values of an output.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Values {
    /// The least exact of them.
    pub(crate) coded: Fidelity,
    /// Whether one of them contains a reference.
    pub(crate) refer: bool,
}

impl Values {
    /// Adds the state of other texts.
    pub(crate) fn add(&mut self, other: Self) {
        self.coded = self.coded.max(other.coded);
        self.refer |= other.refer;
    }
}

/// An output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShownOutput<'a> {
    /// What the tool printed.
    pub(crate) original: &'a str,
    /// What is forwarded.
    pub(crate) shown: &'a str,
    pub(crate) coded: Fidelity,
    pub(crate) values: Values,
    /// Whether it is a JSON value of the request, not a text.
    pub(crate) structured: bool,
}

/// Where the lines of an output come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Origin {
    /// All from the forwarded text.
    Shown,
    /// All from the printed text.
    Original,
    /// Only lines that are in both, in the same order.
    Common,
}

impl<'a> ShownOutput<'a> {
    /// A text without texts inside.
    pub(crate) fn text(original: &'a str, shown: &'a str, coded: Fidelity) -> Self {
        Self { original, shown, coded, values: Values::default(), structured: false }
    }

    /// Where its lines come from.
    pub(super) fn origin(&self) -> Origin {
        match self.coded {
            // Lines that look like ours do not count, because they could not be distinguished from ours.
            Fidelity::No | Fidelity::Gaps if has_ours(self.original) => Origin::Common,
            // References cannot name a line that is not shown as it was printed.
            Fidelity::No if self.is_cleaned() => Origin::Common,
            Fidelity::No | Fidelity::Gaps => Origin::Shown,
            Fidelity::Lines if !has_ours(self.shown) && !has_ours(self.original) => Origin::Original,
            Fidelity::Lines | Fidelity::Document | Fidelity::Partly => Origin::Common,
        }
    }

    /// Whether some lines differ from what was printed, in white space or in characters that a terminal would
    /// not show.
    fn is_cleaned(&self) -> bool {
        self.original.len() != self.shown.len() && clean::marked(self.original) != clean::marked(self.shown)
    }

    /// The text that contains the lines of [`Self::each_line`].
    pub(super) fn lines_stand_in(&self, origin: Origin) -> &str {
        if origin == Origin::Original { self.original } else { self.shown }
    }

    /// Whether the whole output is shown here, and no part of it by a reference.
    pub(super) fn is_whole(&self) -> bool {
        self.coded < Fidelity::Gaps
            && self.values.coded < Fidelity::Gaps
            && !self.values.refer
            && !has_ours(self.original)
            && !has_references(self.shown)
    }

    /// Calls `each` with every line of [`Self::lines_stand_in`] and its number. `read`: the lines of the
    /// forwarded text, if they are known. `by_number`: a line is named by the number that a tool gave it, if
    /// no number occurs twice.
    pub(super) fn each_line(
        &self,
        origin: Origin,
        read: Option<Vec<Line>>,
        by_number: bool,
        mut each: impl FnMut(&Line, u32),
    ) {
        match origin {
            Origin::Shown => self.each_shown(read, by_number, each),
            Origin::Original => {
                for (count, line) in (1..).zip(plain_lines(self.original)) {
                    each(&line, plain(count));
                }
            }
            Origin::Common => {
                let mut places: HashMap<&str, Vec<usize>, FixedState> = HashMap::default();
                for (count, line) in (1..).zip(lines::split(self.original)) {
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
                // The line that replaces left out lines is not one of them.
                Role::Numbered { .. } if self.coded == Fidelity::Gaps && self.is_gap(line) => (NO_LINE, 1),
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

/// Whether the numbers of numbered lines are unique, so that each names its line.
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

/// The lines of a text, without their roles.
fn plain_lines(text: &str) -> impl Iterator<Item = Line> {
    let mut start = 0;
    lines::split(text).map(move |line| {
        let end = start + line.len();
        let read = region::Line { start, end, content: start, role: Role::Plain };
        start = end + 1;
        Line::new(text, read)
    })
}

/// Whether the text has a line that is ours, or looks like ours: a reference, a count of repetitions, the
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
