//! A part of an original that a reader asks for: lines, rows, characters, or the matches of a query.
//!
//! The answer is always one contiguous range, with its unit. Asking for the same range again gives the same
//! text. Nothing here has a state: the excerpt depends only on the original and the request. The work is
//! linear in the original. The memory is one page and, if the text is a string inside JSON, that string.

mod query;
mod rows;
mod words;

use std::borrow::Cow;
use std::ops::Range;

use headroom_providers::arguments::Range as PageRange;
pub use headroom_providers::arguments::Unit;
use headroom_providers::string;

use self::rows::{MainContent, Rows};
use crate::outcome::Kind;

/// Bytes of an excerpt, unless the caller sets another size: some 8,000 to 12,000 tokens, less than half of
/// what coding agents accept as one tool result.
pub const PAGE_BYTES: usize = 32 << 10;

/// A page has at least this many bytes, so that every excerpt of a text that is not empty shows something.
const LEAST_PAGE: usize = 64;

/// Lines before and after a match of a query, if there is room.
const CONTEXT: usize = 3;

/// How many levels of JSON strings are opened: a text inside MCP's content inside a tool's own JSON.
const MAX_WRAPPERS: usize = 3;

/// The requested part. Ranges include both ends; an end beyond the text means the end of the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part<'q> {
    /// The whole text, from its start.
    Whole,
    /// Lines, counted from 1. In a text of one line that has rows: rows.
    Lines(usize, usize),
    /// Items of the main list of a JSON document, or documents of JSON Lines, counted from 0, as in the
    /// forms. In a text without rows: lines.
    Rows(usize, usize),
    /// Unicode characters, counted from 1: for lines and rows that are longer than a page.
    Characters(usize, usize),
    /// The range that best matches these words.
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

/// A range of an original.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Excerpt<'t> {
    /// The unit of `from`, `to` and `total`.
    pub unit: Unit,
    /// The first one that is shown.
    pub from: usize,
    /// The last one that is shown.
    pub to: usize,
    /// How many there are in the original.
    pub total: usize,
    /// The text of the range, byte for byte. Empty if nothing was found or the range is beyond the end; then
    /// `from` and `to` have no meaning.
    pub text: Cow<'t, str>,
    /// The part of the requested range that had no room, in the same unit: the next page.
    pub rest: Option<(usize, usize)>,
    /// For a query: how many lines or rows of the original contain all its words. If none does, the text is
    /// the closest range, or empty.
    pub matches: Option<usize>,
}

/// The requested part of an original, at most `page` bytes of it. `kind` is what the original contains, if
/// known: it says whether there may be rows.
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

/// Whether a text of this kind may have rows. In other kinds JSON is ordinary content.
fn may_have_rows(kind: Option<Kind>) -> bool {
    matches!(kind, None | Some(Kind::Json | Kind::JsonLines | Kind::Mixed | Kind::Text | Kind::Short))
}

/// The text in which ranges are counted: the original, or the text that a JSON document only wraps.
struct Body<'t> {
    text: Cow<'t, str>,
    rows: Option<Rows>,
    /// Whether the first line may name columns.
    header: bool,
}

/// The place of an excerpt in its body.
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
    /// The original itself. Characters are always counted in it.
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
                Some(MainContent::Rows(rows)) => {
                    // Characters of a longer row could only be named in the original.
                    let fit =
                        matches!(text, Cow::Borrowed(_)) || rows.spans(&text).all(|row| row.len() <= page);
                    return Self { text, rows: fit.then_some(rows), header };
                }
                Some(MainContent::Text(quoted)) => {
                    text.get(quoted).and_then(string::text).map(Cow::into_owned)
                }
            };
            // A string without several lines is read in its document.
            match inner {
                Some(inner)
                    if lines(&inner).nth(1).is_some() && lines(&inner).all(|line| line.len() <= page) =>
                {
                    text = Cow::Owned(inner);
                }
                Some(inner) => match rows::find(&inner) {
                    Some(MainContent::Rows(rows)) if rows.fit(&inner, page) => {
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

    /// The ranges of the units of the text, in order.
    fn units(&self, unit: Unit) -> Box<dyn Iterator<Item = Range<usize>> + '_> {
        match &self.rows {
            Some(rows) if unit == Unit::Rows => Box::new(rows.spans(&self.text)),
            _ => Box::new(lines(&self.text)),
        }
    }

    /// The whole text.
    fn whole(&self) -> Stretch {
        let (unit, span) = (Unit::Lines, 0..self.text.len());
        let total = self.units(unit).count();
        match rows::find(&self.text) {
            // Their lines would be taken for lines of the inner text, or for rows.
            Some(MainContent::Text(_)) => return self.characters(1, usize::MAX, self.text.len()),
            Some(MainContent::Rows(_)) if total == 1 => {
                return self.characters(1, usize::MAX, self.text.len());
            }
            _ => {}
        }
        Stretch { unit, from: 1, to: total.max(1), total, span, rest: None, matches: None }
    }

    /// As much of a range as fits. If not even its first line or row fits: some of its characters.
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
            // Characters are counted in the original, rows also in a text inside of it.
            if unit == Unit::Lines
                && matches!(self.text, Cow::Owned(_))
                && let Some((from, to)) = self.rows.as_ref().and_then(|rows| rows.inside(&self.text, &long))
            {
                return self.range(Unit::Rows, from, to, page);
            }
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

    /// The range that best matches a query. If no row matches, the text around the rows may.
    fn best(&self, query: &str, natural: Unit, page: usize) -> Stretch {
        let mut best = self.best_of(query, natural, page);
        // Characters are those of the original, so characters of a line of an inner text cannot be named.
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
        let query::BestMatch { total, matches, window } = match found {
            Some(found) => found,
            None => return none(self.units(unit).count(), Some(0)),
        };
        let Some(window) = window else { return none(total, Some(matches)) };
        let (first, last) = (unit.first() + window.units.0, unit.first() + window.units.1);
        let whole = self.range(unit, first, last, page);
        let is_taken_for_rows = unit == Unit::Lines && self.rows.is_some() && self.has_one_line();
        if whole.rest.is_some() && matches!(self.text, Cow::Owned(_)) {
            // Each line of an inner text fits into a page, and the window ends with a matching line.
            let last = self.range(unit, last, last, page);
            return Stretch { matches: Some(matches), rest: None, ..last };
        }
        if whole.unit != unit || whole.rest.is_some() || is_taken_for_rows {
            // The range is inside lines that are longer than a page, or whose number means a row.
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
