//! The number of tokens of a piece that is not a token itself: byte pair encoding.
//!
//! A piece begins as single bytes. Of all neighbours that form a token together, those with the lowest rank
//! are joined, the leftmost first, until none are left.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::layout::EMPTY;
use super::vocabulary::Vocabulary;

/// Pieces up to this length search for the lowest rank again after each merge. For few bytes this is faster
/// than keeping the ranks in order.
pub(super) const SHORT: usize = 64;

/// Longer pieces are counted in cuts of at most this many bytes: what merges are left takes many times the room of the
/// piece.
const LONGEST: usize = 64 << 10;

/// The tokens of a piece; off by two at most for each cut.
pub(super) fn count(piece: &[u8], vocabulary: &Vocabulary) -> usize {
    let (mut rest, mut tokens) = (piece, 0);
    while rest.len() > LONGEST {
        let (cut, behind) = rest.split_at(last_start(rest));
        tokens += count_long(cut, vocabulary);
        rest = behind;
    }
    tokens + if rest.len() > SHORT { count_long(rest, vocabulary) } else { count_short(rest, vocabulary) }
}

/// The last of the first [`LONGEST`] places at which a character starts.
fn last_start(piece: &[u8]) -> usize {
    let starts = |at: &usize| piece[*at] & 0xc0 != 0x80;
    (LONGEST - 3..=LONGEST).rev().find(starts).unwrap_or(LONGEST)
}

fn count_short(piece: &[u8], vocabulary: &Vocabulary) -> usize {
    // The start of each part, and the rank of that part joined with the next one.
    let mut starts: [usize; SHORT + 1] = std::array::from_fn(|at| at);
    let mut ranks = [EMPTY; SHORT + 1];
    let mut parts = piece.len();
    let rank = |starts: &[usize; SHORT + 1], at: usize, parts: usize| {
        if at + 2 > parts {
            return EMPTY;
        }
        vocabulary.rank(&piece[starts[at]..starts[at + 2]]).unwrap_or(EMPTY)
    };
    for (rank, pair) in ranks.iter_mut().zip(piece.windows(2)) {
        *rank = vocabulary.pair(pair[0], pair[1]);
    }
    loop {
        // The first one with the lowest rank.
        let lowest = ranks[..parts].iter().enumerate().min_by_key(|(_, rank)| **rank);
        let Some((at, _)) = lowest.filter(|(_, rank)| **rank != EMPTY) else { return parts };
        starts.copy_within(at + 2..=parts, at + 1);
        ranks.copy_within(at + 2..=parts, at + 1);
        parts -= 1;
        ranks[at] = rank(&starts, at, parts);
        if at > 0 {
            ranks[at - 1] = rank(&starts, at - 1, parts);
        }
    }
}

/// The same with the merges kept in order, so that the time is almost proportional to the length, except for
/// a logarithm.
fn count_long(piece: &[u8], vocabulary: &Vocabulary) -> usize {
    let len = piece.len();
    // For the part that starts at a byte: the starts of the next and the previous part. Parts that were
    // joined to the one before them have no end.
    let mut next: Vec<usize> = (1..=len + 1).collect();
    let mut previous: Vec<usize> = (0..=len).map(|at| at.wrapping_sub(1)).collect();
    let mut heap = BinaryHeap::new();
    let push = |heap: &mut BinaryHeap<_>, start: usize, end: usize| {
        if let Some(rank) = piece.get(start..end).and_then(|text| vocabulary.rank(text)) {
            heap.push(Reverse((rank, start, end)));
        }
    };
    for at in 0..len.saturating_sub(1) {
        push(&mut heap, at, at + 2);
    }
    let mut parts = len;
    while let Some(Reverse((_, start, end))) = heap.pop() {
        let middle = next[start];
        // One of the two has been joined to another part since.
        if middle >= len || next[middle] != end {
            continue;
        }
        next[start] = end;
        next[middle] = usize::MAX;
        if end < len {
            previous[end] = start;
            push(&mut heap, start, next[end]);
        }
        if start > 0 {
            push(&mut heap, previous[start], end);
        }
        parts -= 1;
    }
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tokens::vocabulary::{CL100K_BASE, O200K_BASE};

    #[test]
    fn a_piece_of_any_length_is_counted_in_cuts() {
        for unit in ["in", "inin\u{e9}", "\u{4e2d}\u{6587}", "\u{1f600}", "=-"] {
            let piece = unit.repeat(5 * LONGEST / 2 / unit.len());
            let exact = count_long(piece.as_bytes(), &O200K_BASE);
            let counted = count(piece.as_bytes(), &O200K_BASE);
            assert!(counted.abs_diff(exact) <= 4, "{unit}: {counted} for {exact}");
            let cut = last_start(piece.as_bytes());
            assert!(piece.is_char_boundary(cut) && (LONGEST - 3..=LONGEST).contains(&cut));
        }
    }

    proptest! {
        #[test]
        fn both_ways_of_merging_give_the_same(piece in "[a-e]{1,64}|[a-zA-Z]{1,64}|[=/-]{1,64}| {1,64}") {
            for vocabulary in [O200K_BASE, CL100K_BASE] {
                let piece = piece.as_bytes();
                prop_assert_eq!(count_short(piece, &vocabulary), count_long(piece, &vocabulary));
            }
        }
    }
}
