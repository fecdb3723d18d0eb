//! Chooses which of many items to keep.
//!
//! The items come as a [`Survey`]: their text, and columns of numbers and of hashed values. Each rule
//! proposes items for one reason. [`choose`] adds them in the order of their worth, and stops at a number
//! that grows with the information in the items, not with how many there are. Every rule takes time linear in
//! the survey and depends on nothing else, so the choice is the same everywhere.

#![allow(
    clippy::indexing_slicing,
    reason = "items, columns and terms are numbered by the survey that they stand in, whose lists have one length"
)]

pub(crate) mod anomaly;
pub(crate) mod change;
pub(crate) mod diversity;
pub(crate) mod outlier;
pub(crate) mod relevance;
pub(crate) mod size;

use self::relevance::Terms;
use crate::config::Profile;

/// Items, with one column for each place in them.
#[derive(Debug, Default)]
pub(crate) struct Survey<'a> {
    /// Each item as it is spelled.
    pub(crate) texts: Vec<&'a str>,
    pub(crate) columns: Vec<Column>,
    /// A hash of each item's keys and types.
    pub(crate) shapes: Vec<u64>,
    /// For each item that reports an error, a hash of the kind of error; 0 for the others.
    pub(crate) errors: Vec<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Column {
    /// The name that a description may use.
    pub(crate) name: String,
    /// One per item; NaN if there is no number.
    pub(crate) numbers: Vec<f64>,
    /// One per item; 0 if there is no value.
    pub(crate) values: Vec<u64>,
    /// Items with a number.
    pub(crate) numeric: usize,
    /// Different values, counted up to [`Column::MANY`].
    pub(crate) distinct: usize,
}

impl Column {
    /// Beyond this many different values a column is no longer a category.
    pub(crate) const MANY: usize = 4096;

    /// Whether (nearly) every item has a number here.
    pub(crate) fn is_numeric(&self) -> bool {
        self.numeric * 10 >= self.values.len() * 9
    }
}

/// The most items that one reason may add, as shares of the whole budget in percent. Errors have no limit,
/// because readers look for them first.
const ANOMALIES: usize = 25;
const CHANGES: usize = 20;
const RELEVANT: usize = 30;

/// How the kept items will be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Layout {
    /// One per line with its number: any of them may be kept alone.
    Rows,
    /// In a row, where every gap costs as much as an item: few long stretches are better.
    Stretches,
}

/// The items to keep, in order: at most `most`, apart from those that report failures, are at the edges, or
/// stand out.
pub(crate) fn choose(
    survey: &Survey<'_>,
    terms: &Terms,
    profile: Profile,
    most: Option<usize>,
    layout: Layout,
) -> Vec<usize> {
    let items = survey.texts.len();
    let budget = size::budget(survey, profile).min(most.unwrap_or(usize::MAX));
    let mut kept = KeptItems { marks: vec![false; items], count: 0 };
    let share = |percent: usize| (budget * percent / 100).max(2);
    for item in outlier::errors(survey) {
        kept.add(item);
    }
    let edges = size::edges(budget, layout);
    for item in (0..edges.0).chain(items.saturating_sub(edges.1)..items) {
        kept.add(item);
    }
    for item in relevance::matches(survey, terms).into_iter().take(share(RELEVANT)) {
        kept.add(item);
    }
    for item in outlier::odd(survey).into_iter().take(share(ANOMALIES)) {
        kept.add(item);
    }
    if layout == Layout::Rows {
        for item in outlier::rare_sorts(survey).into_iter().take(share(ANOMALIES)) {
            kept.add(item);
        }
    }
    for item in anomaly::extremes(survey).into_iter().take(share(ANOMALIES)) {
        kept.add(item);
    }
    for item in change::points(survey).into_iter().take(share(CHANGES)) {
        kept.add(item);
    }
    let left = if layout == Layout::Rows { budget.saturating_sub(kept.count) } else { 0 };
    for item in diversity::representatives(survey, &kept.marks, left) {
        kept.add(item);
    }
    (0..items).filter(|&item| kept.marks[item]).collect()
}

struct KeptItems {
    marks: Vec<bool>,
    count: usize,
}

impl KeptItems {
    fn add(&mut self, item: usize) {
        if let Some(mark) = self.marks.get_mut(item)
            && !*mark
        {
            *mark = true;
            self.count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Items with a number and a category each.
    pub(super) fn survey(items: &[(f64, &'static str)]) -> Survey<'static> {
        let hash = |text: &str| xxhash_rust::xxh3::xxh3_64(text.as_bytes()) | 1;
        let distinct = |values: &[u64]| values.iter().collect::<std::collections::BTreeSet<_>>().len();
        let numbers: Vec<f64> = items.iter().map(|item| item.0).collect();
        let bits: Vec<u64> = numbers.iter().map(|n| n.to_bits() | 1).collect();
        let names: Vec<u64> = items.iter().map(|item| hash(item.1)).collect();
        let (a, b) = (distinct(&bits), distinct(&names));
        Survey {
            texts: items.iter().map(|item| item.1).collect(),
            columns: vec![
                Column { name: "n".into(), numeric: numbers.len(), numbers, values: bits, distinct: a },
                Column {
                    name: "name".into(),
                    numeric: 0,
                    numbers: vec![f64::NAN; items.len()],
                    values: names,
                    distinct: b,
                },
            ],
            shapes: vec![1; items.len()],
            errors: vec![0; items.len()],
        }
    }

    #[test]
    fn edges_errors_anomalies_and_changes_are_kept() {
        let mut items: Vec<(f64, &str)> = (0..400).map(|n| (f64::from(n % 5), "ok")).collect();
        items[117].0 = 9_000.0;
        for item in &mut items[300..] {
            item.1 = "draining";
        }
        let mut survey = survey(&items);
        survey.errors[42] = 7;
        let kept = choose(&survey, &Terms::of([""]), Profile::Balanced, None, Layout::Rows);
        for item in [0, 399, 117, 300, 42] {
            assert!(kept.contains(&item), "{item} is not in {kept:?}");
        }
        assert!(kept.len() < 60, "{}", kept.len());
        assert!(kept.is_sorted());
    }

    #[test]
    fn what_the_query_names_is_kept() {
        let names: Vec<String> = (0..400).map(|n| format!("user-{:05} plain", n * 7919 % 99_999)).collect();
        let mut survey = survey(&vec![(1.0, "x"); 400]);
        survey.texts = names.iter().map(String::as_str).collect();
        let kept = choose(
            &survey,
            &Terms::of([&format!("what about {}?", &names[233][..10])]),
            Profile::Aggressive,
            None,
            Layout::Rows,
        );
        assert!(kept.contains(&233), "{kept:?}");
    }

    #[test]
    fn a_profile_that_keeps_more_keeps_no_fewer() {
        let items: Vec<(f64, &str)> = (0..500).map(|n| (f64::from(n * n % 97), "ok")).collect();
        let survey = survey(&items);
        let count = |profile| choose(&survey, &Terms::of([""]), profile, None, Layout::Rows).len();
        assert!(count(Profile::Conservative) > count(Profile::Balanced));
        assert!(count(Profile::Balanced) > count(Profile::Aggressive));
    }
    #[test]
    fn a_bound_keeps_no_more_than_that_but_what_must_stay() {
        let items: Vec<(f64, &str)> = (0..500).map(|n| (f64::from(n * n % 97), "ok")).collect();
        let mut survey = survey(&items);
        survey.errors[42] = 7;
        let keep = |most| choose(&survey, &Terms::of([""]), Profile::Balanced, most, Layout::Rows);
        let (free, bound) = (keep(None), keep(Some(12)));
        assert!(bound.len() < free.len() && bound.len() <= 24, "{} of {}", bound.len(), free.len());
        for item in [0, 42, 499] {
            assert!(bound.contains(&item) && keep(Some(1)).contains(&item), "{item}");
        }
        assert_eq!(keep(Some(10_000)), free, "it asks for less, never for more");
    }
}
