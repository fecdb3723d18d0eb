//! `numpy.percentile` with its default method, so that thresholds are those of the Python package to the last bit.

/// The value below which `percent` of the values are, between two of them in proportion. `None` of no values.
pub(crate) fn percentile(values: &mut [f64], percent: u32) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let place = last as f64 * (f64::from(percent) / 100.0);
    // `percent` is 100 at most, so it is no larger than `last`
    let below = (place.floor() as usize).min(last);
    let (&low, &high) = (values.get(below)?, values.get((below + 1).min(last))?);
    let part = place - below as f64;
    let difference = high - low;
    Some(if part >= 0.5 { high - difference * (1.0 - part) } else { low + difference * part })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_numpy_s() {
        // numpy.percentile([.1, .7, .2, .9, .4], q)
        let values = [0.1, 0.7, 0.2, 0.9, 0.4];
        for (percent, expected) in
            [(0, 0.1), (1, 0.104), (33, 0.264), (50, 0.4), (51, 0.412), (71, 0.652), (99, 0.892), (100, 0.9)]
        {
            let found = percentile(&mut values.clone(), percent).unwrap();
            assert!((found - expected).abs() < 1e-15, "{percent}: {found}");
        }
        assert_eq!(percentile(&mut [0.3], 66), Some(0.3));
        assert_eq!(percentile(&mut [], 50), None);
        assert_eq!(percentile(&mut [1.0, 1.0, 1.0], 37), Some(1.0), "equal neighbours give themselves");
    }
}
