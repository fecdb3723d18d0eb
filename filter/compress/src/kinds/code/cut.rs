//! Which lines of a function's body are left out: whole statements, unless something in them deals with
//! failure.

use std::ops::RangeInclusive;

use super::outline::{Block, Outline, Statement};

/// Fewer lines are not worth a gap.
const FEWEST_LINES: usize = 3;
/// A statement that deals with failure stays whole up to this many lines; in a longer one its blocks are cut.
const SHORT_STATEMENT: usize = 5;
/// A statement without blocks that deals with failure stays up to this many lines.
const LONG_STATEMENT: usize = 12;
/// From this many lines on, the inside of a docstring is left out.
const LONG_DOCSTRING: usize = 6;
/// Deeper nested blocks stay.
const MOST_DEPTH: usize = 40;

/// Lines that are left out, counted from 0.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Gap {
    pub(super) lines: RangeInclusive<usize>,
    /// The line whose indentation the gap's line gets.
    pub(super) like: usize,
    /// Whether they are the inside of a string.
    pub(super) text: bool,
}

/// The gaps of a body, in order.
pub(super) fn gaps(outline: &Outline, block: usize) -> Vec<Gap> {
    let mut gaps = Vec::new();
    cut(outline, block, 0, &mut gaps);
    if outline.whole && !is_whole(outline, block, &gaps) {
        gaps.clear();
    }
    gaps
}

/// Whether all statements of a block are left out.
fn is_whole(outline: &Outline, block: usize, gaps: &[Gap]) -> bool {
    let Some(block) = outline.blocks.get(block) else { return false };
    match (gaps, block.statements.first(), block.statements.last()) {
        ([gap], Some(first), Some(last)) => {
            gap.lines.contains(&first.first) && gap.lines.contains(&last.last)
        }
        _ => false,
    }
}

/// Statements that share lines: they stay or are left out together.
struct Group<'o> {
    first: usize,
    last: usize,
    statements: &'o [Statement],
}

fn groups(block: &Block) -> impl Iterator<Item = Group<'_>> {
    let mut rest = block.statements.as_slice();
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let (mut last, mut count) = (first.last, 1);
        while let Some(next) = rest.get(count).filter(|next| next.first <= last) {
            last = last.max(next.last);
            count += 1;
        }
        let (statements, behind) = rest.split_at(count);
        rest = behind;
        Some(Group { first: first.first, last, statements })
    })
}

fn cut(outline: &Outline, block: usize, depth: usize, gaps: &mut Vec<Gap>) {
    let Some(block) = outline.blocks.get(block) else { return };
    let Some(close) = block.close else { return };
    // `nonlocal` needs a variable that another statement binds.
    if block.statements.iter().any(|statement| statement.keeps) {
        return;
    }
    // The last line that stays, and the range of the statements after it.
    let mut kept = block.open;
    let mut going: Option<(usize, usize)> = None;
    for group in groups(block) {
        let bound = group.first <= block.open || group.last >= close;
        let goes = !bound && goes(outline, &group);
        if goes {
            let first = going.map_or(group.first, |(first, _)| first);
            going = Some((first, group.last));
            continue;
        }
        close_gap(outline, kept, going.take(), gaps);
        if let [statement] = group.statements {
            if statement.documents && !bound && group.last - group.first + 1 >= LONG_DOCSTRING {
                let lines = group.first + 1..=group.last - 1;
                gaps.push(Gap { lines, like: group.first, text: true });
            } else if statement.raises && group.last - group.first >= SHORT_STATEMENT && depth < MOST_DEPTH {
                for block in &statement.blocks {
                    cut(outline, *block, depth + 1, gaps);
                }
            }
        }
        kept = group.last;
    }
    close_gap(outline, kept, going, gaps);
}

/// Whether statements may be left out as a whole.
fn goes(outline: &Outline, group: &Group<'_>) -> bool {
    let lines = group.last - group.first + 1;
    let directive =
        outline.directives.get(group.first..=group.last).is_none_or(|lines| lines.contains(&true));
    !directive
        && group.statements.iter().all(|statement| {
            let cuttable = !statement.blocks.is_empty() || lines <= LONG_STATEMENT;
            let raises = statement.raises && !outline.whole;
            let stays = statement.documents || raises && cuttable;
            !stays
        })
}

/// Adds the gap for the statements on these lines, with the comments between them and the last line that
/// stays.
fn close_gap(outline: &Outline, kept: usize, going: Option<(usize, usize)>, gaps: &mut Vec<Gap>) {
    let Some((statement, last)) = going else { return };
    // A comment that begins after a statement that stays has to end there, or the gap begins with the next
    // statement.
    let clean = |first: usize| {
        !outline.is_inside(first)
            && outline.directives.get(first..=last).is_some_and(|lines| !lines.contains(&true))
    };
    let Some(first) = [kept + 1, statement].into_iter().find(|first| clean(*first)) else { return };
    if outline.is_inside(last + 1) || last + 1 < first + FEWEST_LINES {
        return;
    }
    gaps.push(Gap { lines: first..=last, like: statement, text: false });
}
