//! Stable sorting with one copy of its code.
//!
//! The standard library's sort is compiled for each type and comparison. In the module, 34 of them were 250 KB, a
//! twelfth of the code that V8 compiles at each start. Here the numbers of the items are sorted, by one function for
//! all. Numbers and other plain values are sorted by the standard library, which has one copy for each such type.

#![allow(clippy::indexing_slicing, reason = "every index is below the number of items")]

use std::cmp::Ordering;

/// Up to this number, items are inserted one by one: that needs no memory.
const FEW: usize = 16;

/// Sorts by a comparison; equal items keep their order.
pub fn by<T>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    if items.len() <= FEW {
        for at in 1..items.len() {
            let mut here = at;
            while here > 0 && compare(&items[here - 1], &items[here]).is_gt() {
                items.swap(here - 1, here);
                here -= 1;
            }
        }
        return;
    }
    let mut places = places(items.len(), &|a, b| compare(&items[a], &items[b]));
    for at in 0..items.len() {
        while places[at] != at {
            let place = places[at];
            items.swap(at, place);
            places.swap(at, place);
        }
    }
}

/// Sorts by a key; items with equal keys keep their order.
pub fn by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    by(items, |a, b| key(a).cmp(&key(b)));
}

/// Sorts by the items' own order; equal items keep theirs.
pub fn ascending<T: Ord>(items: &mut [T]) {
    by(items, T::cmp);
}

/// The place of each item in their order.
#[inline(never)]
fn places(items: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..items).collect();
    order.sort_by(|&a, &b| compare(a, b));
    let mut places = vec![0; items];
    for (place, item) in order.into_iter().enumerate() {
        places[item] = place;
    }
    places
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn items_are_sorted_as_the_standard_library_sorts_them(
            items in prop::collection::vec((0..20u8, any::<u16>()), 0..100)
        ) {
            let (mut own, mut expected) = (items.clone(), items.clone());
            by_key(&mut own, |item| item.0);
            expected.sort_by_key(|item| item.0);
            prop_assert_eq!(&own, &expected);

            ascending(&mut own);
            expected.sort();
            prop_assert_eq!(&own, &expected);

            let (mut own, mut expected) = (items.clone(), items);
            by(&mut own, |a, b| b.0.cmp(&a.0));
            expected.sort_by_key(|item| std::cmp::Reverse(item.0));
            prop_assert_eq!(own, expected);
        }
    }
}
