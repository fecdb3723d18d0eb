//! A part of an original, as a reader asks for it: lines, rows, characters, or what a query finds.
//!
//! Whatever is asked, the answer is one contiguous stretch that knows its unit and its range, so that the same
//! range asked again gives the same text. Nothing here has a state: the stretch is a function of the original
//! and of what was asked. Work is linear in the original, memory is that of one page and, where the text lies
//! as a string inside JSON, of that string.

mod query;
mod rows;
mod words;

use std::borrow::Cow;
use std::ops::Range;

use headroom_providers::arguments::Range as PageRange;
pub use headroom_providers::arguments::Unit;
use headroom_providers::string;

use self::rows::{Found, Rows};
use crate::outcome::Kind;

/// Bytes of an excerpt, unless the caller says otherwise: some 8,000 to 12,000 tokens, less than half of what
/// coding agents take of one tool result.
pub const PAGE_BYTES: usize = 32 << 10;

/// A page holds at least so many bytes, so that every excerpt of a text that is not empty shows something.
const LEAST_PAGE: usize = 64;

/// Lines shown before and after what a query finds, where there is room.
const CONTEXT: usize = 3;

/// JSON strings are opened this often: a text inside MCP's content inside a tool's own JSON.
const MAX_WRAPPERS: usize = 3;

/// What is asked for. Both ends of a range are part of it; an end beyond the text means its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part<'q> {
    /// The whole text, from its start.
    Whole,
    /// Lines, counted from 1. In a text of one line that has rows, these.
    Lines(usize, usize),
    /// Items of the list that a JSON document is about, or documents of JSON Lines, counted from 0, as the forms
    /// number them. In a text without rows: lines.
    Rows(usize, usize),
    /// Unicode characters, counted from 1: for lines and rows that are longer than a page.
    Characters(usize, usize),
    /// The stretch that matches these words best.
    Query(&'q str),
}

impl From<PageRange> for Part<'static> {
    fn from(range: PageRange) -> Self {
        let (from, to) = (range.from as usize, range.to as usize);
        match range.unit {
            Unit::Lines => Self::Lines(from, to),
            Unit::Rows => Self::Rows(from, to),
            Unit::Characters => Self::Characters(from, to),
        }
    }
}

/// A stretch of an original.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Excerpt<'t> {
    /// What `from`, `to` and `total` count.
    pub unit: Unit,
    /// The first one that is shown.
    pub from: usize,
    /// The last one that is shown.
    pub to: usize,
    /// How many there are in the original.
    pub total: usize,
    /// The stretch, byte for byte; empty where nothing was found or the range lies behind the end. Then `from`
    /// and `to` mean nothing.
    pub text: Cow<'t, str>,
    /// What was asked for and had no room, in the same unit: the next page.
    pub rest: Option<(usize, usize)>,
    /// Of a query: how many lines or rows of the original hold every word of it, wherever they stand. Where none
    /// does, the text is the stretch that comes closest, or empty.
    pub matches: Option<usize>,
}

/// The part of an original that is asked for, at most `page` bytes of it. `kind` is what the original contains,
/// where that is known: it says whether there are rows to look for.
pub fn excerpt<'t>(original: &'t str, kind: Option<Kind>, part: Part<'_>, page: usize) -> Excerpt<'t> {
    let page = page.max(LEAST_PAGE);
    let body = match part {
        Part::Characters(..) => Body::plain(original),
        Part::Whole if original.len() <= page => Body::plain(original),
        _ => Body::of(original, kind, page),
    };
    let found = body.stretch(part, page);
    let text = match body.text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(found.span).unwrap_or_default()),
        Cow::Owned(text) => Cow::Owned(text.get(found.span).unwrap_or_default().to_owned()),
    };
    Excerpt {
        unit: found.unit,
        from: found.from,
        to: found.to,
        total: found.total,
        text,
        rest: found.rest,
        matches: found.matches,
    }
}

/// Whether a text of this kind may have rows. In the others, what looks like JSON is content.
fn may_have_rows(kind: Option<Kind>) -> bool {
    matches!(kind, None | Some(Kind::Json | Kind::JsonLines | Kind::Mixed | Kind::Text | Kind::Short))
}

/// The text that ranges count in: the original, or the text that a JSON document is little more than a wrapper of.
struct Body<'t> {
    text: Cow<'t, str>,
    rows: Option<Rows>,
    /// The first line may name columns.
    header: bool,
}

/// Where an excerpt stands in its body.
struct Stretch {
    unit: Unit,
    from: usize,
    to: usize,
    total: usize,
    span: Range<usize>,
    rest: Option<(usize, usize)>,
    matches: Option<usize>,
}

impl<'t> Body<'t> {
    /// The original as it is. Characters always count in it.
    fn plain(original: &'t str) -> Self {
        Self { text: Cow::Borrowed(original), rows: None, header: false }
    }

    fn of(original: &'t str, kind: Option<Kind>, page: usize) -> Self {
        let mut text = Cow::Borrowed(original);
        let header = kind == Some(Kind::Table);
        if !may_have_rows(kind) {
            return Self { text, rows: None, header };
        }
        for _ in 0..=MAX_WRAPPERS {
            let inner = match rows::find(&text) {
                None => return Self { text, rows: None, header },
                Some(Found::Rows(rows)) => {
                    // characters of a longer row could only be named in the original
                    let fit =
                        matches!(text, Cow::Borrowed(_)) || rows.spans(&text).all(|row| row.len() <= page);
                    return Self { text, rows: fit.then_some(rows), header };
                }
                Some(Found::Text(quoted)) => text.get(quoted).and_then(string::text).map(Cow::into_owned),
            };
            // a string without lines of its own is read where it stands
            match inner {
                Some(inner)
                    if lines(&inner).nth(1).is_some() && lines(&inner).all(|line| line.len() <= page) =>
                {
                    text = Cow::Owned(inner);
                }
                Some(inner) => match rows::find(&inner) {
                    Some(Found::Rows(rows)) if rows.spans(&inner).all(|row| row.len() <= page) => {
                        return Self { text: Cow::Owned(inner), rows: Some(rows), header };
                    }
                    _ => return Self { text, rows: None, header },
                },
                None => return Self { text, rows: None, header },
            }
        }
        Self { text, rows: None, header }
    }

    fn stretch(&self, part: Part<'_>, page: usize) -> Stretch {
        let natural = if self.rows.is_some() { Unit::Rows } else { Unit::Lines };
        match part {
            Part::Whole if self.text.len() <= page => self.whole(),
            Part::Whole => self.range(natural, natural.first(), usize::MAX, page),
            Part::Rows(from, to) => self.range(natural, from, to, page),
            Part::Lines(from, to) if self.rows.is_some() && self.has_one_line() => {
                self.range(Unit::Rows, from, to, page)
            }
            Part::Lines(from, to) => self.range(Unit::Lines, from, to, page),
            Part::Characters(from, to) => self.characters(from, to, page),
            Part::Query(query) => self.best(query, natural, page),
        }
    }

    fn has_one_line(&self) -> bool {
        lines(&self.text).nth(1).is_none()
    }

    /// The stretches of the text that a unit counts, in order.
    fn units(&self, unit: Unit) -> Box<dyn Iterator<Item = Range<usize>> + '_> {
        match &self.rows {
            Some(rows) if unit == Unit::Rows => Box::new(rows.spans(&self.text)),
            _ => Box::new(lines(&self.text)),
        }
    }

    /// All of it.
    fn whole(&self) -> Stretch {
        let (unit, span) = (Unit::Lines, 0..self.text.len());
        let total = self.units(unit).count();
        match rows::find(&self.text) {
            // lines of these are taken for those of the text inside, or for rows
            Some(Found::Text(_)) => return self.characters(1, usize::MAX, self.text.len()),
            Some(Found::Rows(_)) if total == 1 => return self.characters(1, usize::MAX, self.text.len()),
            _ => {}
        }
        Stretch { unit, from: 1, to: total.max(1), total, span, rest: None, matches: None }
    }

    /// As much of a range as fits. Where not even its first line or row does: as many of the characters of that.
    fn range(&self, unit: Unit, from: usize, to: usize, page: usize) -> Stretch {
        let from = from.max(unit.first());
        let (mut span, mut shown, mut total, mut long) = (0..0, None, 0, None);
        for (number, place) in (unit.first()..).zip(self.units(unit)) {
            total += 1;
            if number < from || number > to {
                continue;
            }
            if number == from {
                if place.len() > page {
                    long = Some(place);
                } else {
                    (span, shown) = (place, Some(number));
                }
            } else if shown == Some(number - 1) && place.end - span.start <= page {
                (span.end, shown) = (place.end, Some(number));
            }
        }
        if let Some(long) = long {
            let first = self.text.get(..long.start).unwrap_or_default().chars().count() + 1;
            let last = first + self.text.get(long).unwrap_or_default().chars().count() - 1;
            return self.characters(first, last, page);
        }
        let last = to.min((unit.first() + total).saturating_sub(1));
        let rest = shown.filter(|shown| *shown < last).map(|shown| (shown + 1, last));
        Stretch { unit, from, to: shown.unwrap_or(from), total, span, rest, matches: None }
    }

    fn characters(&self, from: usize, to: usize, page: usize) -> Stretch {
        let from = from.max(1);
        let (mut total, mut span, mut shown) = (0, 0..0, 0);
        for (number, (at, c)) in (1usize..).zip(self.text.char_indices()) {
            total = number;
            if number == from {
                span = at..at;
            }
            let end = at + c.len_utf8();
            if (from..=to).contains(&number) && end - span.start <= page {
                (span.end, shown) = (end, number);
            }
        }
        let last = to.min(total);
        let rest = (shown > 0 && shown < last).then_some((shown + 1, last));
        Stretch { unit: Unit::Characters, from, to: shown.max(from), total, span, rest, matches: None }
    }

    /// The stretch that matches a query best. Where no row does, what stands around the rows may.
    fn best(&self, query: &str, natural: Unit, page: usize) -> Stretch {
        let mut best = self.best_of(query, natural, page);
        // characters are those of the original: a line of a text inside it has none that could be named
        let nameable = !self.has_one_line() || matches!(self.text, Cow::Borrowed(_));
        if natural == Unit::Rows && best.span.is_empty() && nameable {
            let around = self.best_of(query, Unit::Lines, page);
            if !around.span.is_empty() {
                best = Stretch { matches: best.matches, ..around };
            }
        }
        best
    }

    fn best_of(&self, query: &str, unit: Unit, page: usize) -> Stretch {
        let none = |total, matches| {
            let from = unit.first();
            Stretch { unit, from, to: from, total, span: 0..0, rest: None, matches }
        };
        let found =
            query::best(&self.text, query, page, self.header && unit == Unit::Lines, || self.units(unit));
        let query::Best { total, matches, window } = match found {
            Some(found) => found,
            None => return none(self.units(unit).count(), Some(0)),
        };
        let Some(window) = window else { return none(total, Some(matches)) };
        let (first, last) = (unit.first() + window.units.0, unit.first() + window.units.1);
        let whole = self.range(unit, first, last, page);
        let is_taken_for_rows = unit == Unit::Lines && self.rows.is_some() && self.has_one_line();
        if whole.rest.is_some() && matches!(self.text, Cow::Owned(_)) {
            // each line of a text inside a string fits a page, and the window ends with one that matches
            let last = self.range(unit, last, last, page);
            return Stretch { matches: Some(matches), rest: None, ..last };
        }
        if whole.unit != unit || whole.rest.is_some() || is_taken_for_rows {
            // the stretch lies inside lines that are longer than a page, or whose number means a row
            let from = self.text.get(..window.span.start).unwrap_or_default().chars().count() + 1;
            let shown = self.text.get(window.span).unwrap_or_default().chars().count();
            let part = self.characters(from, from + shown.max(1) - 1, page);
            return Stretch { matches: Some(matches), rest: None, ..part };
        }
        let context = if unit == Unit::Lines { CONTEXT } else { 0 };
        let wider = self.range(unit, first.saturating_sub(context), last + context, page);
        let shown = if wider.unit == unit && wider.rest.is_none() { wider } else { whole };
        Stretch { matches: Some(matches), rest: None, ..shown }
    }
}

/// The lines of a text with their ends.
fn lines(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.as_bytes().get(at..).filter(|rest| !rest.is_empty())?;
        let end = memchr::memchr(b'\n', rest).map_or(text.len(), |place| at + place + 1);
        let line = at..end;
        at = end;
        Some(line)
    })
}

#[cfg(test)]
mod tests;
