//! Which sequence numbers of one VM were counted: ranges, so that a number is counted once however
//! often and in whatever order it arrives.

use std::fmt;
use std::str::FromStr;

/// The sequence numbers seen so far.
///
/// Gaps come only from a full queue and from reports that overtake one another, so there are few.
/// Beyond [`SeenSequences::MAX_RANGES`] the lowest gap is closed: a number in it that arrives after all
/// counts as seen, which errs towards not counting.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SeenSequences {
    /// Inclusive, ascending, neither overlapping nor touching.
    ranges: Vec<(u64, u64)>,
}

/// A text that does not hold ranges.
#[derive(Debug, thiserror::Error)]
#[error("expected ascending ranges like 1-10,12-20, found {0:?}")]
pub struct InvalidRanges(String);

impl SeenSequences {
    /// Ranges kept per VM: at most 41 bytes each, 10 KB in all.
    pub const MAX_RANGES: usize = 256;

    /// Takes a number in. False when it was seen before.
    pub fn insert(&mut self, sequence: u64) -> bool {
        let at = self.ranges.partition_point(|&(_, last)| last < sequence);
        if self.ranges.get(at).is_some_and(|&(first, _)| first <= sequence) {
            return false;
        }
        let touches_previous =
            at.checked_sub(1).is_some_and(|before| self.ranges[before].1.checked_add(1) == Some(sequence));
        let touches_next =
            self.ranges.get(at).is_some_and(|&(first, _)| sequence.checked_add(1) == Some(first));
        match (touches_previous, touches_next) {
            (true, true) => {
                self.ranges[at - 1].1 = self.ranges[at].1;
                self.ranges.remove(at);
            }
            (true, false) => self.ranges[at - 1].1 = sequence,
            (false, true) => self.ranges[at].0 = sequence,
            (false, false) => self.ranges.insert(at, (sequence, sequence)),
        }
        if self.ranges.len() > Self::MAX_RANGES {
            let (first, _) = self.ranges.remove(0);
            self.ranges[0].0 = first;
        }
        true
    }

    /// How many numbers were seen.
    pub fn count(&self) -> u64 {
        let lengths = self.ranges.iter().map(|&(first, last)| (last - first).saturating_add(1));
        lengths.fold(0, u64::saturating_add)
    }

    /// The highest number seen; 0 before the first.
    pub fn highest(&self) -> u64 {
        self.ranges.last().map_or(0, |&(_, last)| last)
    }
}

impl fmt::Display for SeenSequences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{first}-{last}")?;
        }
        Ok(())
    }
}

impl FromStr for SeenSequences {
    type Err = InvalidRanges;

    fn from_str(text: &str) -> Result<Self, InvalidRanges> {
        let range = |part: &str| -> Option<(u64, u64)> {
            let (first, last) = part.split_once('-')?;
            let range = (first.parse().ok()?, last.parse().ok()?);
            (range.0 <= range.1).then_some(range)
        };
        let parts = text.split(',').filter(|part| !part.is_empty());
        let ranges: Option<Vec<_>> = parts.map(range).collect();
        ranges
            .filter(|ranges| ranges.windows(2).all(|pair| pair[0].1 < pair[1].0))
            .map(|ranges| Self { ranges })
            .ok_or_else(|| InvalidRanges(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn many_gaps_close_from_the_lowest() {
        let mut seen = SeenSequences::default();
        for sequence in (2..).step_by(2).take(SeenSequences::MAX_RANGES + 1) {
            assert!(seen.insert(sequence));
        }
        assert!(!seen.insert(3), "the lowest gap was closed");
        assert!(seen.insert(5));
        assert!(seen.ranges.len() <= SeenSequences::MAX_RANGES);
    }

    #[test]
    fn the_ends_of_the_range_do_not_overflow() {
        let mut seen = SeenSequences::default();
        assert!(seen.insert(u64::MAX) && seen.insert(0) && seen.insert(u64::MAX - 1));
        assert!(!seen.insert(u64::MAX));
        assert_eq!(seen.highest(), u64::MAX);
    }

    proptest! {
        #[test]
        fn each_number_is_new_exactly_once(sequences in prop::collection::vec(0u64..200, 0..400)) {
            let mut seen = SeenSequences::default();
            let mut oracle = BTreeSet::new();
            for sequence in sequences {
                prop_assert_eq!(seen.insert(sequence), oracle.insert(sequence));
                prop_assert_eq!(seen.highest(), *oracle.last().unwrap());
                prop_assert_eq!(seen.count(), oracle.len() as u64);
            }
            prop_assert_eq!(seen.to_string().parse::<SeenSequences>().unwrap(), seen);
        }

        #[test]
        fn any_text_is_ranges_or_an_error(text in "[0-9,-]{0,40}") {
            if let Ok(seen) = text.parse::<SeenSequences>() {
                prop_assert_eq!(seen.to_string().parse::<SeenSequences>().unwrap(), seen);
            }
        }
    }
}
