//! Numbers that stand out: far from the middle of their column, measured by the range of the middle half,
//! which the anomalies themselves cannot change.

use headroom_providers::sort;

use super::Survey;

/// A number is an anomaly from this distance to the nearer quartile on, measured in ranges of the middle
/// half. 1.5 is the whisker of a box plot; 3, Tukey's "far out", accepts the long tails of counts and prices.
const FAR_OUT: f64 = 3.0;

/// With more anomalies than this share of the items (per thousand), they are usual for the column.
const RARE: usize = 50;

/// The most columns that are examined.
const MAX_COLUMNS: usize = 32;

/// Items with an anomalous number, the farthest first, then the smallest and largest of each column.
pub(crate) fn extremes(survey: &Survey<'_>) -> Vec<usize> {
    let mut anomalies: Vec<(f64, usize)> = Vec::new();
    let mut ends: Vec<usize> = Vec::new();
    for column in survey.columns.iter().filter(|c| c.is_numeric() && c.distinct > 2).take(MAX_COLUMNS) {
        let numbers = &column.numbers;
        let mut sorted: Vec<f64> = numbers.iter().copied().filter(|n| n.is_finite()).collect();
        if sorted.len() < 8 || steps_evenly(numbers) {
            continue;
        }
        let (low, high) = quartiles(&mut sorted);
        let spread = (high - low).max(f64::MIN_POSITIVE);
        let out: Vec<(f64, usize)> = numbers
            .iter()
            .enumerate()
            .map(|(item, &n)| ((low - n).max(n - high) / spread, item))
            .filter(|&(distance, _)| distance > FAR_OUT)
            .collect();
        if out.len() * 1000 <= numbers.len() * RARE {
            anomalies.extend(out);
        }
        let finite = || numbers.iter().enumerate().filter(|(_, n)| n.is_finite());
        ends.extend(finite().max_by(|a, b| a.1.total_cmp(b.1)).map(|(item, _)| item));
        ends.extend(finite().min_by(|a, b| a.1.total_cmp(b.1)).map(|(item, _)| item));
    }
    sort::by(&mut anomalies, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    anomalies.into_iter().map(|(_, item)| item).chain(ends).collect()
}

/// The limits of the middle half of the numbers.
fn quartiles(numbers: &mut [f64]) -> (f64, f64) {
    let (low, high) = (numbers.len() / 4, numbers.len() * 3 / 4);
    let low = *numbers.select_nth_unstable_by(low, f64::total_cmp).1;
    let high = *numbers.select_nth_unstable_by(high, f64::total_cmp).1;
    (low, high)
}

/// Whether the numbers only count up or down, as ids and indexes do.
fn steps_evenly(numbers: &[f64]) -> bool {
    let rising = numbers.windows(2).filter(|w| w[1] > w[0]).count();
    let falling = numbers.windows(2).filter(|w| w[1] < w[0]).count();
    let steps = numbers.len().saturating_sub(1).max(1);
    let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { return true };
    let mean = (last - first) / steps as f64;
    let even = numbers.windows(2).filter(|w| ((w[1] - w[0]) - mean).abs() <= mean.abs() * 3.0).count();
    rising.max(falling) == steps && even * 10 >= steps * 9
}

#[cfg(test)]
mod tests {
    use super::super::tests::survey;
    use super::*;

    #[test]
    fn a_number_far_out_comes_first_and_counters_are_left_alone() {
        let mut items: Vec<(f64, &str)> = (0..100).map(|n| (f64::from(n % 7), "x")).collect();
        items[31].0 = -500.0;
        assert_eq!(extremes(&survey(&items))[0], 31);
        let counter: Vec<(f64, &str)> = (0..100).map(|n| (f64::from(n), "x")).collect();
        assert!(extremes(&survey(&counter)).is_empty());
    }
}
