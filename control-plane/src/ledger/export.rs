//! History as CSV, with upstream's columns.

use std::fmt::Write;

use super::series::Point;
use super::sums::usd;
use crate::clock::iso;
use crate::ledger::history::Checkpoint;

/// The columns of a history.
pub const HISTORY_COLUMNS: &str =
    "timestamp,total_tokens_saved,compression_savings_usd,total_input_tokens,total_input_cost_usd";
/// The columns of a series.
pub const SERIES_COLUMNS: &str = "timestamp,tokens_saved,compression_savings_usd_delta,total_tokens_saved,\
compression_savings_usd,total_input_tokens_delta,total_input_tokens,total_input_cost_usd_delta,total_input_cost_usd";

/// Checkpoints, one a line.
pub fn history(points: &[Checkpoint]) -> String {
    let mut csv = format!("{HISTORY_COLUMNS}\n");
    for Checkpoint { at_ms, sums } in points {
        // writing to a String cannot fail
        let _ = writeln!(
            csv,
            "{},{},{},{},{}",
            iso(*at_ms),
            sums.tokens_saved,
            usd(sums.saved_nanousd),
            sums.tokens_after,
            usd(sums.input_nanousd),
        );
    }
    csv
}

/// Buckets, one a line.
pub fn series(points: &[Point]) -> String {
    let mut csv = format!("{SERIES_COLUMNS}\n");
    for Point { start_ms, added, total } in points {
        let _ = writeln!(
            csv,
            "{},{},{},{},{},{},{},{},{}",
            iso(*start_ms),
            added.tokens_saved,
            usd(added.saved_nanousd),
            total.tokens_saved,
            usd(total.saved_nanousd),
            added.tokens_after,
            total.tokens_after,
            usd(added.input_nanousd),
            usd(total.input_nanousd),
        );
    }
    csv
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::sums::Sums;

    #[test]
    fn every_line_has_as_many_fields_as_the_header() {
        let sums = Sums { tokens_saved: 3, saved_nanousd: 1_500, tokens_after: 9, ..Sums::default() };
        let point = Point { start_ms: 0, added: sums, total: sums };
        for csv in [history(&[Checkpoint { at_ms: 0, sums }]), series(&[point])] {
            let fields: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
            assert_eq!(fields.len(), 2);
            assert_eq!(fields[0], fields[1]);
        }
        let csv = history(&[Checkpoint { at_ms: 0, sums }]);
        assert!(csv.ends_with("1970-01-01T00:00:00.000000Z,3,0.0000015,9,0\n"), "{csv}");
    }
}
