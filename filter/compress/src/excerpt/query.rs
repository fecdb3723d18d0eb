//! The range of a text that answers a query. The query's words are weighed by how rare they are (BM25), and
//! the result is the window in which the lines or rows with them are closest together.
//!
//! A word of the query is a run of tokens that must also be a run in the line: `feat/2` does not find `2
//! feat`, and `conclusion=success` finds `"conclusion": "success"`, whatever marks are between them. All
//! computation is in whole numbers, so that every machine gives the same result. The text is read a few
//! times, no line is kept, and the work per byte does not depend on the query.

use std::collections::VecDeque;
use std::ops::Range;

use super::words::{Scan, Words};
use crate::kinds::signal;

/// How many bytes of a query are read.
const QUERY_BYTES: usize = 1_000;

/// A longer line or row is weighed in pieces of this size.
const PIECE: usize = 2 << 10;

/// How many bytes without a match the best window may bridge.
const REACH: i64 = 4 << 10;

/// The weight of the best match.
const FULL: i64 = 1 << 20;

/// The result of a search.
pub(super) struct BestMatch {
    /// Lines or rows of the text.
    pub(super) total: usize,
    /// Lines or rows with every word of the query.
    pub(super) matches: usize,
    /// `None`: no line contains any word.
    pub(super) window: Option<Window>,
}

pub(super) struct Window {
    /// The matching range, in bytes.
    pub(super) span: Range<usize>,
    /// Its first and last line or row, counted from 0.
    pub(super) units: (usize, usize),
}

/// The best range of at most `page` bytes. `units` returns the lines or rows of the text, and may be called
/// several times; the first of them may be a `header`. `None` if the query has no words.
pub(super) fn best<I: Iterator<Item = Range<usize>>>(
    text: &str,
    query: &str,
    page: usize,
    header: bool,
    units: impl Fn() -> I,
) -> Option<BestMatch> {
    let query = query.get(..signal::floor_char_boundary(query, QUERY_BYTES)).unwrap_or_default();
    let pieces = || pieces(text, units(), page.min(PIECE));
    let mut words = Words::of(query)?;
    let mut counts = Counts::of(text, &words, pieces());
    if words.drop_names(counts.found) {
        counts = Counts::of(text, &words, pieces());
    }
    if counts.found == 0
        && let Some(parts) = words.as_parts()
    {
        // In the middle of words, or in a script without blanks.
        words = parts;
        counts = Counts::of(text, &words, pieces());
    }
    let weights = Weights::of(&words, &counts, header);
    let score = |piece: &Piece| weights.score(words.scan(piece.text(text)));
    let top = pieces().map(|piece| score(&piece)).max().unwrap_or(0);
    let window = if top == 0 {
        None
    } else {
        window(pieces(), page, |piece| {
            let share = i64::try_from(score(piece) * 1024 / top).unwrap_or(1024);
            // A line with half of the best line's score is much less than half as good.
            ((share * share * share) >> 10, share == 1024)
        })
    };
    Some(BestMatch { total: counts.total, matches: counts.matches, window })
}

/// A line or row, or a piece of a long one.
struct Piece {
    unit: usize,
    span: Range<usize>,
}

impl Piece {
    fn text<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.span.clone()).unwrap_or_default()
    }
}

fn pieces<'t>(
    text: &'t str,
    units: impl Iterator<Item = Range<usize>> + 't,
    most: usize,
) -> impl Iterator<Item = Piece> + 't {
    units.enumerate().flat_map(move |(unit, whole)| {
        let mut at = whole.start;
        std::iter::from_fn(move || {
            if at >= whole.end {
                return None;
            }
            let mut end = whole.end;
            if end - at > most {
                end = signal::floor_char_boundary(text, at + most);
            }
            let span = at..end;
            at = end;
            Some(Piece { unit, span })
        })
    })
}

/// How common the words are.
struct Counts {
    total: usize,
    matches: usize,
    /// For each bit, how many lines or rows have its word or token.
    having: [u64; 64],
    having_token: [u64; 64],
    /// Words that occur at all, and words that occur after the first line.
    found: u64,
    found_later: u64,
    tokens: u64,
}

impl Counts {
    fn of(text: &str, words: &Words, pieces: impl Iterator<Item = Piece>) -> Self {
        let mut counts = Self {
            total: 0,
            matches: 0,
            having: [0; 64],
            having_token: [0; 64],
            found: 0,
            found_later: 0,
            tokens: 0,
        };
        let mut of_unit = Scan::default();
        let mut unit = 0;
        for piece in pieces {
            if piece.unit != unit {
                counts.add(std::mem::take(&mut of_unit), unit, words);
                unit = piece.unit;
            }
            let scan = words.scan(piece.text(text));
            of_unit.found |= scan.found;
            of_unit.seen |= scan.seen;
            of_unit.length += scan.length;
            counts.total = unit + 1;
        }
        counts.add(of_unit, unit, words);
        counts
    }

    fn add(&mut self, unit: Scan, number: usize, words: &Words) {
        self.tokens += unit.length;
        self.matches += usize::from(unit.found == words.ends);
        self.found |= unit.found;
        if number > 0 {
            self.found_later |= unit.found;
        }
        for (bits, counts) in [(unit.found, &mut self.having), (unit.seen, &mut self.having_token)] {
            let mut bits = bits;
            while bits != 0 {
                if let Some(count) = counts.get_mut(bits.trailing_zeros() as usize) {
                    *count += 1;
                }
                bits &= bits - 1;
            }
        }
    }
}

/// The weight of each word and token.
struct Weights {
    word: [u64; 64],
    token: [u64; 64],
    /// The average number of tokens in a line.
    mean: u64,
}

impl Weights {
    fn of(words: &Words, counts: &Counts, header: bool) -> Self {
        let total = counts.total as u64;
        let mut weights = Self { word: [0; 64], token: [0; 64], mean: (counts.tokens / total.max(1)).max(1) };
        // A name of a column occurs only in the first line, but the query asks for rows.
        let silent = if header && counts.found_later != 0 { counts.found & !counts.found_later } else { 0 };
        let mut bit = 1u64;
        for word in &words.words {
            for at in 0..word.tokens.len() {
                let place = bit.trailing_zeros() as usize;
                let rarity =
                    |counts: &[u64; 64]| counts.get(place).map_or(0, |having| rarity(total, *having));
                if at + 1 == word.tokens.len()
                    && bit & silent == 0
                    && let Some(weight) = weights.word.get_mut(place)
                {
                    *weight = 4 * rarity(&counts.having);
                }
                // A part of what was asked for.
                if word.tokens.len() > 1
                    && let Some(weight) = weights.token.get_mut(place)
                {
                    *weight = rarity(&counts.having_token);
                }
                bit = bit.wrapping_shl(1);
            }
        }
        weights
    }

    /// BM25 with words that count once, k1 = 1.2 and b = 0.75, in whole numbers.
    fn score(&self, scan: Scan) -> u64 {
        let sum = |bits: u64, weights: &[u64; 64]| {
            let (mut bits, mut sum) = (bits, 0);
            while bits != 0 {
                sum += weights.get(bits.trailing_zeros() as usize).copied().unwrap_or(0);
                bits &= bits - 1;
            }
            sum
        };
        let all = sum(scan.found, &self.word) + sum(scan.seen, &self.token);
        all * 22 * 16 * self.mean / (13 * self.mean + 9 * scan.length)
    }
}

/// `log2(1 + (total - having + ½) / (having + ½))`, in 256ths.
fn rarity(total: u64, having: u64) -> u64 {
    let ratio = ((2 * total + 2) << 16) / (2 * having + 1);
    let whole = u64::from(ratio.max(1).ilog2());
    // The fraction by repeated squaring, of a number between 1 and 2 with 31 bits after the point.
    let mut rest = (ratio << (63 - whole)) >> 32;
    let mut fraction = 0;
    for _ in 0..8 {
        rest = (rest * rest) >> 31;
        fraction <<= 1;
        if rest >> 32 != 0 {
            rest >>= 1;
            fraction |= 1;
        }
    }
    ((whole << 8) + fraction).saturating_sub(16 << 8)
}

/// A possible start of the window: the worth of all pieces before it, minus their cost.
#[derive(Clone, Copy)]
struct Start {
    worth: i64,
    at: usize,
    unit: usize,
}

/// The window of at most `page` bytes with the highest worth that contains one of the best pieces. `value`
/// returns the worth of a piece, and whether it is one of the best.
fn window(
    pieces: impl Iterator<Item = Piece>,
    page: usize,
    value: impl Fn(&Piece) -> (i64, bool),
) -> Option<Window> {
    // Both are sorted by worth, lowest first. The waiting ones have no best piece after them yet.
    let mut starts: VecDeque<Start> = VecDeque::new();
    let mut waiting: VecDeque<Start> = VecDeque::new();
    let (mut worth, mut best) = (0i64, None::<(i64, Window)>);
    for piece in pieces {
        push(&mut waiting, Start { worth, at: piece.span.start, unit: piece.unit });
        let (value, is_best) = value(&piece);
        if is_best {
            waiting.drain(..).for_each(|start| push(&mut starts, start));
        }
        let length = i64::try_from(piece.span.len()).unwrap_or(i64::MAX);
        worth += value - length * FULL / REACH;
        for starts in [&mut starts, &mut waiting] {
            while starts.front().is_some_and(|start| piece.span.end - start.at > page) {
                starts.pop_front();
            }
        }
        if let Some(start) = starts.front()
            && best.as_ref().is_none_or(|(most, _)| worth - start.worth > *most)
        {
            let window = Window { span: start.at..piece.span.end, units: (start.unit, piece.unit) };
            best = Some((worth - start.worth, window));
        }
    }
    best.map(|(_, window)| window)
}

fn push(starts: &mut VecDeque<Start>, start: Start) {
    while starts.back().is_some_and(|last| last.worth >= start.worth) {
        starts.pop_back();
    }
    starts.push_back(start);
}
