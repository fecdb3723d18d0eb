//! Percentiles of each stage, accurate to 1 %. The buckets of `/metrics` are too wide for that, and narrow ones would
//! each need a series.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use hdrhistogram::Histogram;
use prometheus::{GaugeVec, Opts, Registry};

use super::registry::register;

/// The percentiles that are shown, as labels and as shares.
const SHOWN: [(&str, f64); 3] = [("0.5", 0.5), ("0.9", 0.9), ("0.99", 0.99)];
/// Longer durations count as this one. Microseconds: an hour.
const LONGEST_US: u64 = 3_600_000_000;
/// Significant digits that are kept: 13 kB per stage.
const DIGITS: u8 = 2;

/// Durations since this process started, by wire format and stage.
pub(super) struct Percentiles {
    gauges: GaugeVec,
    durations: Mutex<BTreeMap<(String, &'static str), Histogram<u32>>>,
}

impl Percentiles {
    pub(super) fn register(registry: &Registry) -> Self {
        let about = "Milliseconds that this share of the requests did not exceed, per stage, since this \
                     process started. Stages without a path cover all formats.";
        let gauges =
            GaugeVec::new(Opts::new("headroom_stage_quantile_ms", about), &["path", "stage", "quantile"]);
        Self { gauges: register(registry, gauges), durations: Mutex::default() }
    }

    pub(super) fn observe(&self, path: &str, stage: &'static str, us: u32) {
        let mut durations = self.durations.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (path.to_owned(), stage);
        if !durations.contains_key(&key) {
            // The bounds are constants that it takes.
            let Ok(empty) = Histogram::new_with_bounds(1, LONGEST_US, DIGITS) else { return };
            durations.insert(key.clone(), empty);
        }
        if let Some(histogram) = durations.get_mut(&key) {
            histogram.saturating_record(u64::from(us));
        }
    }

    /// Updates the exported values.
    pub(super) fn follow(&self) {
        let durations = self.durations.lock().unwrap_or_else(PoisonError::into_inner);
        for ((path, stage), histogram) in durations.iter() {
            for (label, share) in SHOWN {
                let us = histogram.value_at_quantile(share);
                self.gauges.with_label_values(&[path.as_str(), *stage, label]).set(us as f64 / 1e3);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(percentiles: &Percentiles, quantile: &str) -> f64 {
        percentiles.follow();
        percentiles.gauges.with_label_values(&["", "overhead", quantile]).get()
    }

    proptest! {
        #[test]
        fn a_percentile_is_within_a_hundredth_of_the_value_that_occurred(
            mut durations in proptest::collection::vec(1_u32..600_000_000, 1..300)
        ) {
            let percentiles = Percentiles::register(&Registry::new());
            for us in &durations {
                percentiles.observe("", "overhead", *us);
            }
            durations.sort_unstable();
            for (label, share) in SHOWN {
                let rank = ((durations.len() as f64 * share).ceil() as usize).max(1) - 1;
                let exact = f64::from(durations[rank]) / 1e3;
                let found = shown(&percentiles, label);
                // The resolution is one microsecond.
                prop_assert!((found - exact).abs() <= exact * 0.01 + 0.001, "{label}: {found} for {exact}");
            }
        }
    }

    #[test]
    fn a_duration_beyond_an_hour_and_none_at_all_are_counted() {
        let percentiles = Percentiles::register(&Registry::new());
        percentiles.observe("", "overhead", 0);
        assert_eq!(shown(&percentiles, "0.5"), 0.0);
        percentiles.observe("", "overhead", u32::MAX);
        percentiles.observe("", "overhead", u32::MAX);
        assert!((3.5e6..4.4e6).contains(&shown(&percentiles, "0.99")), "{}", shown(&percentiles, "0.99"));
    }
}
