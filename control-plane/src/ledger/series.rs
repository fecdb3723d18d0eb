//! Savings by hour, day, week and month, each bucket with the totals that had been reached by its end.

use std::collections::BTreeMap;

use super::bucket::Unit;
use super::labels::Dimension;
use super::sums::Sums;
use crate::clock::{DAY_MS, HOUR_MS, UnixMs};
use crate::ledger::store::{Bucket, LedgerStore, Slice};
use crate::trouble::StoreError;

/// Buckets that a store may hold of one unit and value: more than a year of hours or ten of days.
const ALL_KEPT: u32 = 10_000;

/// A series, as queries and files name it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Series {
    /// By hour.
    Hourly,
    /// By day.
    Daily,
    /// By week, from Monday.
    Weekly,
    /// By month.
    Monthly,
}

/// One bucket of a series.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Point {
    /// Where the bucket starts.
    pub start_ms: UnixMs,
    /// What was added in it.
    pub added: Sums,
    /// What had been reached by its end.
    pub total: Sums,
}

/// What a series is over: everything, or one value of one dimension.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Scope<'a> {
    /// What sums are broken down by.
    pub dimension: Dimension,
    /// The value looked at; empty for [`Dimension::All`].
    pub value: &'a str,
}

impl Series {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Hourly, Self::Daily, Self::Weekly, Self::Monthly];

    /// The name in queries, answers and file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
        }
    }

    /// The length of the buckets.
    pub fn unit(self) -> Unit {
        match self {
            Self::Hourly => Unit::Hour,
            Self::Daily => Unit::Day,
            Self::Weekly => Unit::Week,
            Self::Monthly => Unit::Month,
        }
    }

    /// How far back a compact answer goes: 500 hours, a year of days, two of weeks, ten of months.
    /// Together these are about as many buckets as upstream's limit of points for one history.
    pub fn compact_reach_ms(self) -> i64 {
        match self {
            Self::Hourly => 499 * HOUR_MS,
            Self::Daily => 365 * DAY_MS,
            Self::Weekly => 104 * 7 * DAY_MS,
            Self::Monthly => 3_652 * DAY_MS,
        }
    }

    /// Weeks and months are added up from days.
    fn stored_unit(self) -> Unit {
        match self {
            Self::Hourly => Unit::Hour,
            Self::Daily | Self::Weekly | Self::Monthly => Unit::Day,
        }
    }
}

/// The buckets of a scope from which every series can be added up, read once each.
#[derive(Clone, Debug, Default)]
pub struct Buckets {
    hours: Vec<Bucket>,
    days: Vec<Bucket>,
}

impl Buckets {
    /// Reads what the wanted series need, each from its own time on.
    ///
    /// Totals are counted back from now, so everything after that time is read, whatever is shown.
    pub async fn read(
        store: &dyn LedgerStore,
        scope: Scope<'_>,
        wanted: &[(Series, UnixMs)],
    ) -> Result<Self, StoreError> {
        let mut buckets = Self::default();
        for (unit, found) in [(Unit::Hour, &mut buckets.hours), (Unit::Day, &mut buckets.days)] {
            let of_unit = wanted.iter().filter(|(series, _)| series.stored_unit() == unit);
            let Some(from_ms) = of_unit.map(|(series, from)| series.unit().start(*from)).min() else {
                continue;
            };
            let slice = Slice {
                unit,
                dimension: scope.dimension,
                value: Some(scope.value),
                from_ms,
                to_ms: UnixMs::MAX,
                limit: ALL_KEPT,
            };
            *found = store.rollup(&slice).await?;
            if scope.dimension == Dimension::All {
                let imported = Slice { dimension: Dimension::Import, value: None, ..slice };
                found.extend(store.rollup(&imported).await?);
            }
        }
        Ok(buckets)
    }

    /// The buckets of a series that start in a range, ascending. `lifetime` is what the scope has
    /// reached now.
    pub fn points(&self, series: Series, lifetime: Sums, from_ms: UnixMs, to_ms: UnixMs) -> Vec<Point> {
        let stored = match series.stored_unit() {
            Unit::Hour => &self.hours,
            _ => &self.days,
        };
        let first = series.unit().start(from_ms);
        let mut points = with_totals(series.unit(), stored, lifetime);
        points.retain(|point| (first..=to_ms).contains(&point.start_ms));
        points
    }
}

fn with_totals(unit: Unit, buckets: &[Bucket], lifetime: Sums) -> Vec<Point> {
    let mut added: BTreeMap<UnixMs, Sums> = BTreeMap::new();
    for bucket in buckets {
        *added.entry(unit.start(bucket.start_ms)).or_default() += bucket.sums;
    }
    let mut total = lifetime;
    let mut points: Vec<Point> = Vec::with_capacity(added.len());
    for (start_ms, added) in added.into_iter().rev() {
        points.push(Point { start_ms, added, total });
        total = total.minus(added);
    }
    points.reverse();
    points
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bucket(start_ms: UnixMs, tokens_saved: i64) -> Bucket {
        Bucket { start_ms, sums: Sums { tokens_saved, ..Sums::default() } }
    }

    #[test]
    fn days_add_up_to_weeks_and_totals_end_at_the_lifetime() {
        let monday = crate::clock::parse_iso("2026-03-02T00:00:00Z").unwrap();
        let buckets = [bucket(monday - DAY_MS, 5), bucket(monday, 7), bucket(monday + 6 * DAY_MS, 1)];
        let lifetime = Sums { tokens_saved: 100, ..Sums::default() };
        let weeks = with_totals(Unit::Week, &buckets, lifetime);
        let shown: Vec<_> =
            weeks.iter().map(|it| (it.start_ms, it.added.tokens_saved, it.total.tokens_saved)).collect();
        assert_eq!(shown, [(monday - 7 * DAY_MS, 5, 92), (monday, 8, 100)]);
    }

    proptest! {
        #[test]
        fn each_total_is_the_one_before_and_what_was_added(
            added in prop::collection::vec((0i64..100_000, 0i64..1_000), 1..60),
        ) {
            let buckets: Vec<_> = added.iter().map(|(hour, saved)| bucket(hour * HOUR_MS, *saved)).collect();
            let all: i64 = added.iter().map(|(_, saved)| saved).sum();
            let lifetime = Sums { tokens_saved: all, ..Sums::default() };
            for unit in [Unit::Hour, Unit::Day, Unit::Week, Unit::Month] {
                let points = with_totals(unit, &buckets, lifetime);
                prop_assert_eq!(points[0].added.tokens_saved, points[0].total.tokens_saved);
                for pair in points.windows(2) {
                    prop_assert!(pair[0].start_ms < pair[1].start_ms);
                    prop_assert_eq!(
                        pair[0].total.tokens_saved + pair[1].added.tokens_saved,
                        pair[1].total.tokens_saved
                    );
                }
                prop_assert_eq!(points.last().unwrap().total, lifetime);
            }
        }
    }
}
