//! Latencies with the filter and without it, measured in turn.

use std::time::Duration;

/// Pairs of measurements, request to first byte of the answer.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    with: Vec<Duration>,
    without: Vec<Duration>,
}

impl Latencies {
    /// Adds one pair.
    pub fn add(&mut self, with: Duration, without: Duration) {
        self.with.push(with);
        self.without.push(without);
    }

    /// Adds all pairs of another.
    pub fn extend(&mut self, other: &Self) {
        self.with.extend(&other.with);
        self.without.extend(&other.without);
    }

    /// How many pairs there are.
    pub fn pairs(&self) -> usize {
        self.with.len()
    }

    /// A percentile with the filter, in milliseconds.
    pub fn with(&self, percent: usize) -> f64 {
        percentile(&self.with, percent)
    }

    /// A percentile without the filter, in milliseconds.
    pub fn without(&self, percent: usize) -> f64 {
        percentile(&self.without, percent)
    }

    /// The difference of the two percentiles, in milliseconds. Below zero only by noise.
    pub fn added(&self, percent: usize) -> f64 {
        self.with(percent) - self.without(percent)
    }
}

/// A percentile in milliseconds, by nearest rank; 0 of nothing.
pub fn percentile(durations: &[Duration], percent: usize) -> f64 {
    let mut sorted = durations.to_vec();
    sorted.sort();
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).map_or(0.0, |duration| duration.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_nearest_rank() {
        let mut latencies = Latencies::default();
        for n in (1..=200).rev() {
            latencies.add(Duration::from_millis(n), Duration::from_millis(n / 2));
        }
        assert_eq!((latencies.with(50), latencies.with(99)), (100.0, 198.0));
        assert_eq!(latencies.added(50), 50.0);
        assert_eq!(Latencies::default().with(50), 0.0);
    }
}
