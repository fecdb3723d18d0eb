//! Times in which a log has no lines.

use headroom_providers::sort;

use crate::kinds::shorten::Line;

/// The most holes that are shown.
const MOST_HOLES: usize = 2;

/// A hole is at least this many times as long as most pauses between two lines, and at least this many
/// seconds.
const TIMES: u64 = 20;
const LEAST: u64 = 60;

const DAY: u64 = 24 * 60 * 60;

/// The lines on either side of the longest times without a line.
pub(super) fn around_gaps(lines: &[Line<'_>]) -> Vec<usize> {
    let stamped = lines.iter().enumerate().filter_map(|(at, line)| Some((at, line.lead(), seconds(line)?)));
    let stamped: Vec<(usize, &str, u64)> = stamped.collect();
    let mut gaps: Vec<(u64, usize, usize)> = Vec::with_capacity(stamped.len());
    for pair in stamped.windows(2) {
        let [(before, day, from), (behind, next, to)] = pair else { continue };
        // Another date is at least a day later; a time that goes back on the same date is not a hole.
        let to = if day == next { *to } else { to + DAY };
        gaps.push((to.saturating_sub(*from), *before, *behind));
    }
    sort::by(&mut gaps, |a, b| b.cmp(a));
    let usual = gaps.get(gaps.len() / 2).map_or(0, |gap| gap.0);
    let least = (usual * TIMES).max(LEAST);
    gaps.iter().take(MOST_HOLES).filter(|gap| gap.0 >= least).flat_map(|gap| [gap.1, gap.2]).collect()
}

/// The time of day of a line, in seconds.
fn seconds(line: &Line<'_>) -> Option<u64> {
    let mut parts = line.time().split(|c: char| !c.is_ascii_digit()).map(str::parse::<u64>);
    let mut part = || parts.next()?.ok();
    let (hours, minutes, seconds) = (part()?, part()?, part()?);
    (hours < 24 && minutes < 60 && seconds <= 60).then(|| (hours * 60 + minutes) * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::shorten;

    fn holes(text: &str) -> Vec<usize> {
        around_gaps(&shorten::cut(text))
    }

    #[test]
    fn the_lines_around_a_long_silence_are_found() {
        let line =
            |hour: usize, i: usize| format!("2026-11-29T{hour:02}:{:02}:{:02}Z tick {i}\n", i / 60, i % 60);
        let even: String = (0..200).map(|i| line(10, i)).collect();
        assert!(holes(&even).is_empty());
        let late: String = (0..200).map(|i| line(if i < 70 { 10 } else { 13 }, i)).collect();
        assert_eq!(holes(&late), [69, 70]);
        let next_day: String =
            (0..200).map(|i| line(10, i).replace("11-29", if i < 70 { "11-29" } else { "11-30" })).collect();
        assert_eq!(holes(&next_day), [69, 70]);
        assert!(holes("no time\n").is_empty());
    }
}
