//! Calendar buckets, in UTC.

use jiff::{Timestamp, tz::TimeZone};

use crate::clock::{DAY_MS, HOUR_MS, MINUTE_MS, UnixMs};

/// The length of a roll-up's buckets.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Unit {
    /// From the full minute.
    Minute,
    /// From the full hour.
    Hour,
    /// From midnight.
    Day,
    /// From Monday's midnight.
    Week,
    /// From the first's midnight.
    Month,
}

impl Unit {
    /// The start of the bucket that a time falls into.
    pub fn start(self, at: UnixMs) -> UnixMs {
        match self {
            Self::Minute => at - at.rem_euclid(MINUTE_MS),
            Self::Hour => at - at.rem_euclid(HOUR_MS),
            Self::Day => at - at.rem_euclid(DAY_MS),
            Self::Week => {
                // day 0 of the Unix epoch was a Thursday, three days after a Monday
                let day = at.div_euclid(DAY_MS);
                (day - (day + 3).rem_euclid(7)) * DAY_MS
            }
            Self::Month => Timestamp::from_millisecond(at)
                .ok()
                .and_then(|at| {
                    let first = at.to_zoned(TimeZone::UTC).date().first_of_month();
                    first.to_zoned(TimeZone::UTC).ok().map(|first| first.timestamp().as_millisecond())
                })
                .unwrap_or_else(|| Self::Day.start(at)),
        }
    }

    /// The name under which buckets of this length are stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::parse_iso;

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        let at = parse_iso("2026-03-01T23:59:59Z").unwrap();
        let start = |unit: Unit| unit.start(at);
        assert_eq!(start(Unit::Hour), parse_iso("2026-03-01T23:00:00Z").unwrap());
        assert_eq!(start(Unit::Day), parse_iso("2026-03-01T00:00:00Z").unwrap());
        assert_eq!(start(Unit::Week), parse_iso("2026-02-23T00:00:00Z").unwrap());
        assert_eq!(start(Unit::Month), parse_iso("2026-03-01T00:00:00Z").unwrap());
        assert_eq!(Unit::Week.start(0), parse_iso("1969-12-29T00:00:00Z").unwrap());
    }

    proptest! {
        #[test]
        fn a_bucket_starts_at_or_before_its_times_and_is_its_own_start(
            at in -60_000_000_000_000i64..250_000_000_000_000,
        ) {
            for unit in [Unit::Minute, Unit::Hour, Unit::Day, Unit::Week, Unit::Month] {
                let start = unit.start(at);
                prop_assert!(start <= at);
                prop_assert_eq!(unit.start(start), start);
            }
        }
    }
}
