//! Numbers as people read them.

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The share of `before` that was saved in `after`, in percent with one decimal; `–` if `before` is 0.
pub(crate) fn saved(before: u64, after: u64) -> String {
    if before == 0 {
        return "–".to_owned();
    }
    format!("{:.1} %", (before as f64 - after as f64) / before as f64 * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_share_of_nothing_is_a_dash() {
        assert_eq!((saved(200, 150).as_str(), saved(0, 0).as_str()), ("25.0 %", "–"));
        assert_eq!(saved(100, 110), "-10.0 %");
    }
}
