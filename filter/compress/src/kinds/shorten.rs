//! Lines that repeat each other's wording, shortened without loss.
//!
//! ```text
//! [headroom: nothing left out. A line "A x y" is the wording A below with x, y for its *s; a time or date that is not
//! given is the last one that a line above begins with. 1 wording:]
//! A: <time> LabSZ sshd[*]: Received disconnect from *: 11: Bye Bye
//! Dec 10 11:00:22 LabSZ sshd[25246]: Received disconnect from 183.62.140.253: 11: Bye Bye
//! 11:00:24 A 25248 183.62.140.254
//! A 25249 183.62.140.254
//! ```
//!
//! A line of the result is one of
//!
//! * the original line;
//! * the original line without its lead (the text before its time), which is then that of the last line that
//!   has one;
//! * a tag and the words for the holes of the wording of that name, after the time if that differs from the
//!   time before.
//!
//! Values are never cut. Lines that report a failure stay as they were printed, with the lines that belong to
//! them. So do lines that stand for others. After such a line no time or date is taken over, because the
//! lines that it stands for have their own. The inverse in the tests restores every byte.

#![allow(clippy::indexing_slicing, reason = "lines and groups are numbered by the lists that they stand in")]

use headroom_providers::sort;

use super::clock::{self, Stamp};
use super::wording::{self, Group, Groups};
use super::{failure, fold};
use crate::earlier::looks_like_one;
use crate::lines;
use crate::work;

/// The explanation is not worth it for fewer lines.
const FEWEST_LINES: usize = 6;

/// A wording needs at least this many lines.
const FEWEST_USES: usize = 3;

/// Bytes that a wording has to save in addition to the cost of stating it.
const LEAST_GAIN: usize = 24;

/// A reader does not remember more wordings than this; the most useful ones are taken.
const MOST_WORDINGS: usize = 200;

/// Lines on either side of a failure that may belong to it: a stack, a diff.
const MOST_BELONGING: usize = 64;

/// The longest tag in letters, enough for [`MOST_WORDINGS`] whatever tags cannot be used.
const LONGEST_TAG: usize = 3;

/// A set for lookups only, never iterated.
type HashSet<T> = hashbrown::HashSet<T, foldhash::fast::FixedState>;

/// How explanations begin.
const EXPLANATION: &str = "[headroom: ";

/// Stands for the time in a wording.
const TIME: &str = "<time>";

/// Possible marks of a hole; the first one that no line contains is used.
const MARKS: &[&str] = &["*", "<>", "{}", "‹›"];

/// One line, split at its time.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) text: &'a str,
    pub(crate) stamp: Option<Stamp>,
    /// Whether it stands for other lines.
    of_others: bool,
}

impl<'a> Line<'a> {
    pub(crate) fn lead(&self) -> &'a str {
        self.stamp.map_or("", |s| self.text.get(..s.start).unwrap_or_default())
    }

    pub(crate) fn time(&self) -> &'a str {
        self.stamp.map_or("", |s| self.text.get(s.start..s.end).unwrap_or_default())
    }

    pub(crate) fn rest(&self) -> &'a str {
        self.stamp.map_or(self.text, |s| self.text.get(s.end..).unwrap_or_default())
    }
}

/// The shortened form of `text`, if its lines repeat wording. `fails` returns whether a line reports a
/// failure. `around`: what else stands beside the form.
pub(crate) fn shorten(text: &str, around: &str, fails: impl Fn(&str) -> bool) -> Option<String> {
    shortened(text, around, cut(text), fails, usize::MAX)
}

/// The same for a text that is not a log: times are ordinary words, and at most `most` wordings are used.
/// With more of them, a reader would have to look up every line.
pub(crate) fn shorten_plain(
    text: &str,
    around: &str,
    fails: impl Fn(&str) -> bool,
    most: usize,
) -> Option<String> {
    let of_others = |line: &str| line.starts_with('[') && (looks_like_one(line) || fold::is_mark(line));
    let lines =
        lines::split(text).map(|text| Line { text, stamp: None, of_others: of_others(text) }).collect();
    shortened(text, around, lines, fails, most)
}

fn shortened(
    text: &str,
    around: &str,
    lines: Vec<Line<'_>>,
    fails: impl Fn(&str) -> bool,
    most: usize,
) -> Option<String> {
    if lines.len() < FEWEST_LINES {
        return None;
    }
    let stamped = lines.iter().any(|line| line.stamp.is_some());
    let cut = lines.iter().map(|line| {
        let rest = if line.of_others { "" } else { line.rest() };
        (rest, u8::from(line.stamp.is_some()))
    });
    let groups = wording::group(cut, FEWEST_USES);
    let pays = |(id, group): (usize, &Group)| gain(&lines, &groups, id, group.count).is_some();
    // Checked before failures are searched, which costs much more.
    if !stamped && !groups.all().iter().enumerate().any(pays) {
        return None;
    }
    let mark = free_mark(text)?;
    if memchr::memmem::find(text.as_bytes(), TIME.as_bytes()).is_some() {
        return None;
    }
    let whole = whole_lines(&lines, fails);
    let tags = Tags::choose(&lines, around, &groups, &whole);
    if tags.order.len() > most || tags.order.is_empty() && !stamped || has_explanation(text) {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    explain(&mut out, &lines, &groups, &tags, mark, stamped);
    write_lines(&mut out, &lines, &groups, &tags, &whole);
    (out.len() < text.len() && !has_explanation(around)).then_some(out)
}

/// A mark for what differs that does not stand in a text.
pub(crate) fn free_mark(text: &str) -> Option<&'static str> {
    MARKS.iter().find(|mark| memchr::memmem::find(text.as_bytes(), mark.as_bytes()).is_none()).copied()
}

/// The lines of a text, with their times where leads repeat.
pub(crate) fn cut(text: &str) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> =
        lines::split(text).map(|text| Line { text, stamp: clock::stamp(text), of_others: false }).collect();
    for line in lines.iter_mut().filter(|line| line.text.starts_with('[')) {
        if looks_like_one(line.text) || fold::is_mark(line.text) {
            (line.stamp, line.of_others) = (None, true);
        }
    }
    let (mut stamped, mut changes, mut bare) = (0, 0, 0);
    let mut lead = None;
    for line in lines.iter().filter(|line| line.stamp.is_some()) {
        stamped += 1;
        bare += usize::from(line.lead().is_empty());
        if lead != Some(line.lead()) {
            changes += 1;
            lead = Some(line.lead());
        }
    }
    // A line with an empty lead could not be distinguished from one whose lead is left out, and leads that
    // always change cannot be left out.
    let mixed = bare > 0 && bare < stamped;
    if mixed || stamped < FEWEST_LINES || changes * 3 > stamped {
        for line in &mut lines {
            line.stamp = None;
        }
    }
    lines
}

/// The lines that stay whole: those that report a failure, and those that belong to one; in a log also the
/// lines without a time after it.
fn whole_lines(lines: &[Line<'_>], fails: impl Fn(&str) -> bool) -> Vec<bool> {
    let is_log = lines.iter().filter(|line| line.stamp.is_some()).count() * 2 > lines.len();
    let failures: Vec<bool> = lines.iter().map(|line| fails(line.text)).collect();
    let text = |line: usize| lines.get(line).map_or("", |line| line.text);
    let goes_on = |line: usize| {
        is_log && lines.get(line).is_some_and(|line| line.stamp.is_none() && !line.text.is_empty())
    };
    failure::with_belongings(&failures, text, goes_on, MOST_BELONGING)
}

/// The bytes that a wording saves with this many uses, if stating it is worth it. More uses never save less.
fn gain(lines: &[Line<'_>], groups: &Groups, id: usize, uses: usize) -> Option<usize> {
    if uses < FEWEST_USES {
        return None;
    }
    let first = lines[groups.all()[id].first].rest();
    let values: usize = groups.values(id, first).map(str::len).sum();
    // Per use, the wording's own bytes are saved, and a tag and a blank per hole are added.
    let saved = first.len().saturating_sub(values + groups.holes(id) + 1).saturating_mul(uses);
    saved.checked_sub(first.len() + LEAST_GAIN).filter(|gain| *gain > 0)
}

/// The wordings in use, by tag.
struct Tags {
    /// Groups in the order of their tags.
    order: Vec<usize>,
    names: Vec<String>,
    /// The position in `order` of each used group.
    of_group: Vec<Option<usize>>,
}

impl Tags {
    fn choose(lines: &[Line<'_>], around: &str, groups: &Groups, whole: &[bool]) -> Self {
        let mut uses = vec![0usize; groups.all().len()];
        for (number, _) in whole.iter().enumerate().filter(|(_, whole)| !**whole) {
            if let Some(group) = groups.of(number) {
                uses[group] += 1;
            }
        }
        let mut gains: Vec<(usize, usize)> = Vec::new();
        for (id, uses) in uses.iter().enumerate() {
            if let Some(gain) = gain(lines, groups, id, *uses) {
                gains.push((gain, id));
            }
        }
        sort::by(&mut gains, |a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        gains.truncate(MOST_WORDINGS);
        sort::by(&mut gains, |a, b| uses[b.1].cmp(&uses[a.1]).then(a.1.cmp(&b.1)));
        let order: Vec<usize> = gains.into_iter().map(|(_, id)| id).collect();
        let starts = lines.iter().flat_map(|line| [line.text, line.rest()]);
        let names = ReservedTags::of(starts, around).free(order.len());
        let mut of_group = vec![None; groups.all().len()];
        for (place, &id) in order.iter().enumerate() {
            of_group[id] = Some(place);
        }
        Self { order, names, of_group }
    }

    fn of_line(&self, groups: &Groups, number: usize) -> Option<(usize, &str)> {
        let group = groups.of(number)?;
        let place = self.of_group.get(group).copied().flatten()?;
        Some((group, self.names.get(place)?))
    }
}

/// `A` … `Z`, `AA` … `ZZ`, `AAA` …
fn tag(mut n: usize) -> String {
    let mut letters = Vec::new();
    loop {
        letters.push(b'A' + u8::try_from(n % 26).unwrap_or(0));
        n /= 26;
        if n == 0 {
            break;
        }
        n -= 1;
    }
    letters.iter().rev().map(|&b| char::from(b)).collect()
}

/// Tags that could be confused with a line's own words.
pub(crate) struct ReservedTags<'a>(pub(crate) HashSet<&'a str>);

/// This many tags with which no line of a text, and no line around it, begins.
pub(crate) fn free_tags(lines: &[&str], around: &str, count: usize) -> Vec<String> {
    ReservedTags::of(lines.iter().copied(), around).free(count)
}

/// Whether a text has a line that looks like the explanation of a form: a reader could not distinguish the two.
pub(crate) fn has_explanation(text: &str) -> bool {
    work::spend(text.len());
    text.starts_with(EXPLANATION)
        || memchr::memmem::find_iter(text.as_bytes(), EXPLANATION.as_bytes())
            .any(|at| at.checked_sub(1).and_then(|at| text.as_bytes().get(at)) == Some(&b'\n'))
}

impl<'a> ReservedTags<'a> {
    /// By what lines, and the lines around them, begin with.
    pub(crate) fn of(starts: impl Iterator<Item = &'a str>, around: &'a str) -> Self {
        work::spend(around.len());
        let mut taken = HashSet::default();
        for start in starts.chain(around.lines()) {
            let word = first_word(start.strip_prefix(' ').unwrap_or(start));
            let word = word.strip_suffix([':', ',']).unwrap_or(word);
            if !word.is_empty() && word.len() <= LONGEST_TAG && word.bytes().all(|b| b.is_ascii_uppercase()) {
                taken.insert(word);
            }
        }
        Self(taken)
    }

    /// The first tags that are not taken.
    fn free(&self, count: usize) -> Vec<String> {
        (0..).map(tag).filter(|tag| !self.0.contains(tag.as_str())).take(count).collect()
    }
}

fn first_word(text: &str) -> &str {
    text.find(char::is_whitespace).map_or(text, |end| text.get(..end).unwrap_or_default())
}

fn explain(out: &mut String, lines: &[Line<'_>], groups: &Groups, tags: &Tags, mark: &str, stamped: bool) {
    out.push_str("[headroom: nothing left out.");
    if let Some(name) = tags.names.first() {
        out.push_str(&format!(
            " A line \"{name} x y\" is the wording {name} below with x, y for its {mark}s"
        ));
        out.push_str(if stamped { "; a" } else { "." });
    } else {
        out.push_str(" A");
    }
    if stamped {
        out.push_str(" time or date that is not given is the last one that a line above begins with.");
    }
    match tags.order.len() {
        0 => {}
        1 => out.push_str(" 1 wording:"),
        n => out.push_str(&format!(" {n} wordings:")),
    }
    out.push_str("]\n");
    for (&group, name) in tags.order.iter().zip(&tags.names) {
        let line = lines[groups.all()[group].first];
        out.push_str(name);
        out.push_str(": ");
        if line.stamp.is_some() {
            out.push_str(TIME);
        }
        out.push_str(&groups.wording(group, line.rest(), mark));
        out.push('\n');
    }
}

fn write_lines(out: &mut String, lines: &[Line<'_>], groups: &Groups, tags: &Tags, whole: &[bool]) {
    let (mut lead, mut time) = (None, "");
    for (number, line) in lines.iter().enumerate() {
        if number > 0 {
            out.push('\n');
        }
        let stamped = line.stamp.is_some();
        let same_lead = !stamped || lead == Some(line.lead());
        match tags.of_line(groups, number) {
            _ if whole[number] || !same_lead => out.push_str(line.text),
            Some((group, name)) => {
                if stamped && time != line.time() {
                    out.push_str(line.time());
                    out.push(' ');
                }
                out.push_str(name);
                for value in groups.values(group, line.rest()) {
                    out.push(' ');
                    out.push_str(value);
                }
            }
            None => out.push_str(line.text.get(line.lead().len()..).unwrap_or_default()),
        }
        if stamped {
            (lead, time) = (Some(line.lead()), line.time());
        } else if line.of_others {
            (lead, time) = (None, "");
        }
    }
}

#[cfg(test)]
mod tests;
