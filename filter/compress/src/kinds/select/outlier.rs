//! Items that differ from the others: errors, rare shapes, rare values where one value dominates.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use headroom_providers::sort;

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

/// A column with at most this many values says what sort an item is of. A value that at most this many per
/// thousand items have is rare, and so many items of each rare value are shown.
const MAX_SORTS: usize = 16;
const RARE_SORT: usize = 20;
const SHOWN_OF_SORT: usize = 3;

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
    in_order(odd)
}

/// The first items with each rare value of columns of few values, the rarest first.
pub(crate) fn rare_sorts(survey: &Survey<'_>) -> Vec<usize> {
    let words = survey.columns.iter().filter(|column| column.numeric * 2 < column.values.len());
    let rare = words.filter(|column| column.distinct <= MAX_SORTS).flat_map(|column| few(&column.values));
    in_order(rare.collect())
}

/// For the first items with each rare value, if there are few different values: how often the value occurs,
/// and the item.
pub(crate) fn few(values: &[u64]) -> Vec<(usize, usize)> {
    let mut counts = count(values);
    if !(2..=MAX_SORTS).contains(&counts.len()) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let most = (values.len() * RARE_SORT / 1000).max(1);
    counts.retain(|_, count| *count <= most);
    let mut shown: HashMap<u64, usize, FixedState> = HashMap::with_hasher(FixedState::default());
    for (item, value) in values.iter().enumerate() {
        if let Some(&count) = counts.get(value) {
            let shown = shown.entry(*value).or_insert(0);
            *shown += 1;
            if *shown <= SHOWN_OF_SORT {
                found.push((count, item));
            }
        }
    }
    found
}

/// The items with the rarest values first.
pub(crate) fn in_order(mut found: Vec<(usize, usize)>) -> Vec<usize> {
    sort::ascending(&mut found);
    found.into_iter().map(|(_, item)| item).collect()
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
    fn rare_sorts_count_where_no_value_dominates() {
        let mut items: Vec<(f64, &str)> =
            (0..300).map(|n| (1.0, ["done", "queued", "running"][n % 3])).collect();
        for item in [40, 80, 120, 160] {
            items[item].1 = "lagging";
        }
        items[222].1 = "purged";
        assert_eq!(rare_sorts(&survey(&items)), [222, 40, 80, 120]);
        items.truncate(41);
        assert_eq!(rare_sorts(&survey(&items)), [40]);
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
