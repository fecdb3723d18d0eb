//! Checkpoints thinned, sampled and merged, so that history stays small however long it gets.

use std::collections::BTreeMap;

use crate::clock::UnixMs;
use crate::ledger::sums::Sums;

/// Checkpoints that are kept at most, as in upstream.
pub const MAX_POINTS: usize = 5_000;
/// Checkpoints older than this are dropped, as in upstream.
pub const MAX_AGE_DAYS: i64 = 365;
/// How long buckets of an hour are kept that are broken down by something: long enough for a month's
/// chart, and a hundred values each are a hundred times the rows.
pub(crate) const HOURS_BROKEN_DOWN_DAYS: i64 = 35;
/// Points of one compact answer, as in upstream.
pub const MAX_RESPONSE_POINTS: usize = 500;
/// Share of a compact answer that goes to the newest points, as in upstream: a third.
const RECENT_SHARE: usize = 3;
/// Newest points that are never sampled, however few a compact answer may have.
const LEAST_RECENT: usize = 50;

/// The totals at a point in time.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Checkpoint {
    /// When.
    pub at_ms: UnixMs,
    /// Lifetime sums then.
    pub sums: Sums,
}

/// At most `max` of the ascending points or their times: the newest third as they are, the rest sampled evenly.
/// The first and the last are always among them.
pub fn compacted<T: Copy>(points: &[T], max: usize) -> Vec<T> {
    if points.len() <= max {
        return points.to_vec();
    }
    let recent = (max / RECENT_SHARE).max(LEAST_RECENT).min(max);
    let (older, newest) = points.split_at(points.len() - recent);
    let wanted = max - recent;
    let mut kept: Vec<T> = match wanted {
        0 => Vec::new(),
        1 => older[..1].to_vec(),
        // fewer are wanted than there are, so no index comes twice
        _ => (0..wanted).map(|n| older[n * (older.len() - 1) / (wanted - 1)]).collect(),
    };
    kept.extend_from_slice(newest);
    kept
}

/// Which of the ascending times to drop so that there is room again: every second one of the older
/// half. Done again and again this leaves a resolution that halves with each doubling of the age.
pub fn superfluous(times: &[UnixMs]) -> Vec<UnixMs> {
    let older = &times[..times.len() / 2];
    older.iter().skip(1).step_by(2).copied().collect()
}

/// Two cumulative histories as one: at each time of either, the sum of what both had reached.
/// A history contributes nothing before its first point.
pub fn merged(one: &[Checkpoint], other: &[Checkpoint]) -> Vec<Checkpoint> {
    let mut steps: BTreeMap<UnixMs, [Option<Sums>; 2]> = BTreeMap::new();
    for (side, points) in [one, other].into_iter().enumerate() {
        for point in points {
            steps.entry(point.at_ms).or_default()[side] = Some(point.sums);
        }
    }
    let mut reached = [Sums::default(); 2];
    let mut all = Vec::with_capacity(steps.len());
    for (at_ms, step) in steps {
        for (reached, step) in reached.iter_mut().zip(step) {
            *reached = step.unwrap_or(*reached);
        }
        let mut sums = reached[0];
        sums += reached[1];
        all.push(Checkpoint { at_ms, sums });
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn points(times: impl IntoIterator<Item = UnixMs>) -> Vec<Checkpoint> {
        let point = |at_ms| Checkpoint { at_ms, sums: Sums { tokens_saved: at_ms, ..Sums::default() } };
        times.into_iter().map(point).collect()
    }

    #[test]
    fn a_compact_history_is_dense_at_its_end_and_even_before() {
        let all = points(0..5_000);
        let kept = compacted(&all, MAX_RESPONSE_POINTS);
        assert_eq!(kept.len(), 500);
        assert_eq!(kept[500 - 166..], all[5_000 - 166..]);
        let older = &kept[..500 - 166];
        let gaps: Vec<i64> = older.windows(2).map(|pair| pair[1].at_ms - pair[0].at_ms).collect();
        assert!(gaps.iter().all(|gap| (14..=15).contains(gap)), "{gaps:?}");
    }

    proptest! {
        #[test]
        fn a_compact_history_is_bounded_and_in_order(len in 0usize..3_000, max in 0usize..700) {
            let all = points((0..len as i64).map(|n| n * 3));
            let kept = compacted(&all, max);
            prop_assert_eq!(kept.len(), len.min(max));
            prop_assert!(kept.windows(2).all(|pair| pair[0].at_ms < pair[1].at_ms));
            if max > 0 {
                prop_assert_eq!(kept.last(), all.last());
            }
            if max > LEAST_RECENT {
                prop_assert_eq!(kept.first(), all.first());
            }
        }

        #[test]
        fn thinning_keeps_the_newer_half_and_the_first(len in 0usize..400) {
            let times: Vec<i64> = (0..len as i64).collect();
            let dropped = superfluous(&times);
            prop_assert_eq!(dropped.len(), len / 4);
            prop_assert!(dropped.iter().all(|at| *at > 0 && *at < (len / 2) as i64));
        }

        #[test]
        fn merged_histories_grow_and_end_at_the_sum(
            mut one in prop::collection::vec(0i64..1_000, 0..40),
            mut other in prop::collection::vec(0i64..1_000, 0..40),
        ) {
            for times in [&mut one, &mut other] {
                times.sort_unstable();
                times.dedup();
            }
            let (one, other) = (points(one), points(other));
            let all = merged(&one, &other);
            prop_assert!(all.windows(2).all(|pair| pair[0].sums.tokens_saved <= pair[1].sums.tokens_saved));
            let end = |points: &[Checkpoint]| points.last().map_or(0, |point| point.sums.tokens_saved);
            prop_assert_eq!(end(&all), end(&one) + end(&other));
        }
    }
}
