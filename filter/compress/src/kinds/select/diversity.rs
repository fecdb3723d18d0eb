//! Representatives: one of each group of similar items, and the rest of the budget spread evenly.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use headroom_providers::sort;

use super::Survey;

/// Columns with at most this many different values decide about an item's group.
const MAX_CATEGORIES: usize = 12;

/// Up to `wanted` items that are not `kept` yet: the first of each group of items with equal categories, the
/// largest groups first, then items at even distances.
pub(crate) fn representatives(survey: &Survey<'_>, kept: &[bool], wanted: usize) -> Vec<usize> {
    let items = kept.len();
    let mut groups: HashMap<u64, (usize, usize, bool), FixedState> =
        HashMap::with_hasher(FixedState::default());
    for (item, kept) in kept.iter().enumerate() {
        let group = groups.entry(group(survey, item)).or_insert((0, item, false));
        group.0 += 1;
        group.2 |= kept;
    }
    let mut firsts: Vec<(usize, usize)> =
        groups.values().filter(|group| !group.2).map(|&(size, first, _)| (size, first)).collect();
    sort::by(&mut firsts, |a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    // Groups may take half: if every item is its own group, the first ones are no better than others.
    let mut chosen: Vec<usize> = firsts.iter().map(|&(_, first)| first).take(wanted.div_ceil(2)).collect();
    let mut taken = kept.to_vec();
    for &item in &chosen {
        taken[item] = true;
    }
    let free: Vec<usize> = (0..items).filter(|&item| !taken[item]).collect();
    let more = wanted.saturating_sub(chosen.len()).min(free.len());
    chosen.extend((0..more).map(|n| free[(2 * n + 1) * free.len() / (2 * more)]));
    chosen
}

fn group(survey: &Survey<'_>, item: usize) -> u64 {
    let categories = survey.columns.iter().filter(|c| c.distinct > 1 && c.distinct <= MAX_CATEGORIES);
    categories.fold(survey.shapes[item], |hash, column| {
        (hash ^ column.values[item]).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23)
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::survey;
    use super::*;

    #[test]
    fn every_group_is_represented_and_the_rest_is_spread() {
        let mut items: Vec<(f64, &str)> = vec![(1.0, "a"); 90];
        items.extend(vec![(1.0, "b"); 10]);
        let chosen = representatives(&survey(&items), &[false; 100], 10);
        assert!(chosen.contains(&0) && chosen.contains(&90));
        assert_eq!(chosen.len(), 10);
        assert!(chosen.iter().any(|&item| (40..60).contains(&item)));
    }
}
