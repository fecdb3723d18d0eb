//! Items that differ from the others: errors, rare shapes, rare values where one value dominates.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::Survey;

/// Up to this many errors are all kept; of more, one per kind and this many in total. A long list is read for
/// its errors, and this is a page of rows.
const ALL_ERRORS: usize = 100;

/// The most kinds of errors that are distinguished.
const MAX_ERROR_KINDS: usize = 200;

/// The items with one shape are odd if they are at most this many per thousand.
const RARE_SHAPE: usize = 50;

/// A value dominates a column if at least this many per thousand have it, and is rare if at most
/// [`RARE_VALUE`] have it.
const DOMINANT: usize = 800;
const RARE_VALUE: usize = 50;

/// Items that report an error: all of them if they are few, otherwise one of each kind first.
pub(crate) fn errors(survey: &Survey<'_>) -> Vec<usize> {
    let all: Vec<usize> = (0..survey.errors.len()).filter(|&item| survey.errors[item] != 0).collect();
    if all.len() <= ALL_ERRORS {
        return all;
    }
    let mut seen: HashMap<u64, (), FixedState> = HashMap::with_hasher(FixedState::default());
    let mut kept: Vec<usize> = Vec::new();
    let mut rest: Vec<usize> = Vec::new();
    for item in all {
        let fresh = seen.len() < MAX_ERROR_KINDS && seen.insert(survey.errors[item], ()).is_none();
        if fresh { &mut kept } else { &mut rest }.push(item);
    }
    let more = ALL_ERRORS.saturating_sub(kept.len());
    kept.extend(rest.into_iter().take(more));
    kept
}

/// Items with a rare shape or a rare value, the rarest first.
pub(crate) fn odd(survey: &Survey<'_>) -> Vec<usize> {
    let items = survey.texts.len();
    let mut odd: Vec<(usize, usize)> = rare(&survey.shapes, items, RARE_SHAPE);
    for column in survey.columns.iter().filter(|c| c.distinct > 1 && c.distinct * 4 <= items) {
        let counts = count(&column.values);
        let most = counts.values().copied().max().unwrap_or(0);
        if most * 1000 >= items * DOMINANT {
            odd.extend(rare(&column.values, items, RARE_VALUE));
        }
    }
    odd.sort_unstable();
    odd.into_iter().map(|(_, item)| item).collect()
}

/// For items with a rare value: how often the value occurs, and the item.
fn rare(values: &[u64], items: usize, limit: usize) -> Vec<(usize, usize)> {
    let counts = count(values);
    values
        .iter()
        .enumerate()
        .map(|(item, value)| (counts[value], item))
        .filter(|&(count, _)| count * 1000 <= items * limit)
        .collect()
}

fn count(values: &[u64]) -> HashMap<u64, usize, FixedState> {
    let mut counts: HashMap<u64, usize, FixedState> = HashMap::with_hasher(FixedState::default());
    for &value in values {
        *counts.entry(value).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::super::tests::survey;
    use super::*;

    #[test]
    fn rare_values_count_only_where_one_dominates() {
        let mut items: Vec<(f64, &str)> = vec![(1.0, "running"); 100];
        items[55].1 = "evicted";
        assert_eq!(odd(&survey(&items)), [55]);
        let words = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        let mixed: Vec<(f64, &str)> = (0..100).map(|n| (1.0, words[n * n % 10])).collect();
        assert!(odd(&survey(&mixed)).is_empty());
    }

    #[test]
    fn of_many_errors_every_kind_stays() {
        let mut survey = survey(&vec![(1.0, "x"); 1000]);
        for item in 0..500 {
            survey.errors[item] = 1;
        }
        survey.errors[900] = 2;
        let kept = errors(&survey);
        assert!(kept.contains(&0) && kept.contains(&900));
        assert_eq!(kept.len(), ALL_ERRORS);
    }
}
