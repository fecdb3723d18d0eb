//! Places where a column changes permanently: a step in the level of its numbers, or the end of a long run of
//! one value.

use headroom_providers::sort;

use super::Survey;

/// The most columns that are examined.
const MAX_COLUMNS: usize = 32;

/// A column of values changes rarely if its runs of one value have at least this length on average.
const MIN_RUN: usize = 10;

/// A step has to be this many times as large as the deviation of the numbers on either side.
const STEP: f64 = 3.0;

/// The first items after a change, those of the largest steps first.
pub(crate) fn points(survey: &Survey<'_>) -> Vec<usize> {
    let items = survey.texts.len();
    let mut steps: Vec<(f64, usize)> = Vec::new();
    let mut runs: Vec<usize> = Vec::new();
    for column in survey.columns.iter().filter(|c| c.distinct > 1).take(MAX_COLUMNS) {
        let changes = column.values.windows(2).filter(|w| w[0] != w[1]).count();
        if changes > 0 && changes * MIN_RUN <= items {
            runs.extend((1..items).filter(|&at| column.values[at - 1] != column.values[at]));
        } else if column.is_numeric() {
            steps.extend(level_steps(&column.numbers));
        }
    }
    sort::by(&mut steps, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    runs.into_iter().chain(steps.into_iter().map(|(_, item)| item)).collect()
}

/// Steps in the mean over a window before and after, measured in deviations inside the windows; only the
/// largest of neighbouring steps.
fn level_steps(numbers: &[f64]) -> Vec<(f64, usize)> {
    let window = (numbers.len() / 16).max(5);
    if numbers.len() < 3 * window {
        return Vec::new();
    }
    // Sums from the start give every window's mean and deviation at once.
    let (mut sum, mut squares) = (vec![0.0], vec![0.0]);
    let (mut s, mut q) = (0.0, 0.0);
    let shift = numbers.iter().copied().find(|n| n.is_finite()).unwrap_or(0.0);
    for n in numbers {
        let n = if n.is_finite() { n - shift } else { 0.0 };
        s += n;
        q += n * n;
        sum.push(s);
        squares.push(q);
    }
    let count = window as f64;
    let side = |from: usize| {
        let mean = (sum[from + window] - sum[from]) / count;
        let variance = (squares[from + window] - squares[from]) / count - mean * mean;
        (mean, variance.max(0.0))
    };
    let mut found: Vec<(f64, usize)> = Vec::new();
    for at in window..=numbers.len() - window {
        let ((before, v), (after, w)) = (side(at - window), side(at));
        let (step, deviation) = ((after - before).abs(), ((v + w) / 2.0).sqrt());
        let size = step / deviation.max(step * 1e-6).max(f64::MIN_POSITIVE);
        if size < STEP {
            continue;
        }
        match found.last_mut() {
            Some(last) if at - last.1 < window => {
                if size > last.0 {
                    *last = (size, at);
                }
            }
            _ => found.push((size, at)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::survey;
    use super::*;

    #[test]
    fn the_item_after_a_step_or_a_run_is_found() {
        let items: Vec<(f64, &str)> = (0..100)
            .map(|n| (f64::from(n % 3) + if n < 60 { 10.0 } else { 50.0 }, if n < 80 { "a" } else { "b" }))
            .collect();
        let points = points(&survey(&items));
        assert_eq!(points, [80, 60]);
    }

    #[test]
    fn noise_has_no_steps() {
        let items: Vec<(f64, &str)> = (0..100).map(|n| (f64::from(n * 37 % 11), "a")).collect();
        assert!(points(&survey(&items)).is_empty());
    }
}
