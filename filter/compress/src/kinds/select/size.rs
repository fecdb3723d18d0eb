//! How many items are enough.

use super::{Layout, Survey};
use crate::config::Profile;

/// The budget grows with the square root of the number of items, because the use of a sample grows ever more
/// slowly. Chosen on the corpus so that a list of some hundred different items keeps about a fifth.
const FACTOR: f64 = 2.2;

/// The share of the budget for items that are all alike, compared to items that are all different.
const ALIKE: f64 = 0.35;

/// Keeping fewer items is not worth the loss.
const MIN_KEPT: usize = 8;

/// The number of items to aim at.
pub(crate) fn budget(survey: &Survey<'_>, profile: Profile) -> usize {
    let items = survey.texts.len();
    let scale = match profile {
        Profile::Lossless => return items,
        Profile::Conservative => 2.0,
        Profile::Balanced => 1.0,
        Profile::Aggressive => 0.5,
    };
    let diversity = ALIKE + (1.0 - ALIKE) * diversity(survey);
    let budget = (items as f64).sqrt() * FACTOR * scale * (0.5 + diversity);
    (budget as usize).max(MIN_KEPT).min(items)
}

/// How different the items are: 0 if all are the same, 1 if no two share a value. Columns in which every
/// value differs, such as ids, say little about content and count together as one column.
fn diversity(survey: &Survey<'_>) -> f64 {
    let items = survey.texts.len().max(1);
    let (mut sum, mut columns, mut unique) = (0.0, 0usize, false);
    for column in &survey.columns {
        if column.distinct * 10 >= items * 9 {
            unique = true;
        } else {
            sum += column.distinct as f64 / items as f64;
            columns += 1;
        }
    }
    if unique {
        sum += 1.0;
        columns += 1;
    }
    if columns == 0 { 1.0 } else { (sum / columns as f64).sqrt() }
}

/// How many of the first and of the last items are kept because of their place.
pub(crate) fn edges(budget: usize, layout: Layout) -> (usize, usize) {
    match layout {
        Layout::Rows => ((budget / 5).clamp(3, 10), (budget / 10).clamp(2, 6)),
        Layout::Stretches => ((budget / 2).max(3), (budget / 3).max(2)),
    }
}
