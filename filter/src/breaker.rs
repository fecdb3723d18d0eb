//! A circuit breaker: whoever has failed several times in a row is left alone for a while.

use crate::host::NANOS_PER_MS;

/// The longest pause between two trials. Milliseconds.
const LONGEST_PAUSE_MS: u64 = 30_000;

/// The state of one neighbour.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// Failures since the last success.
    failures: u32,
    /// Trials since it opened.
    trials: u32,
    /// No call before this time; 0 while it is closed.
    open_until: u64,
}

/// When it opens and for how long at first. The pause doubles with every trial that fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Limits {
    pub(crate) failures: u32,
    pub(crate) pause_ms: u32,
}

impl Breaker {
    /// Whether a call may be made now. Once open, one call after each pause.
    pub(crate) fn allows(&mut self, limits: Limits, now: u64) -> bool {
        if self.open_until == 0 {
            return true;
        }
        if now < self.open_until {
            return false;
        }
        self.trials = self.trials.saturating_add(1);
        self.open(limits, now);
        true
    }

    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Says whether it has opened with this failure.
    pub(crate) fn failed(&mut self, limits: Limits, now: u64) -> bool {
        self.failures = self.failures.saturating_add(1);
        // Calls that were under way together fail together; only the first of them opens it.
        let opens = self.open_until == 0 && self.failures >= limits.failures;
        if opens {
            self.open(limits, now);
        }
        opens
    }

    fn open(&mut self, limits: Limits, now: u64) {
        let pause = u64::from(limits.pause_ms).saturating_mul(1 << self.trials.min(20));
        let pause = pause.min(LONGEST_PAUSE_MS.max(limits.pause_ms.into()));
        self.open_until = now.saturating_add(pause.saturating_mul(NANOS_PER_MS)).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { failures: 3, pause_ms: 10 };
    const MS: u64 = NANOS_PER_MS;

    #[test]
    fn it_opens_after_failures_in_a_row_and_only_then() {
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            assert!(!breaker.failed(LIMITS, MS) && !breaker.failed(LIMITS, MS));
            assert!(breaker.allows(LIMITS, MS));
            breaker.succeeded();
        }
        let opened: Vec<bool> = (0..5).map(|_| breaker.failed(LIMITS, MS)).collect();
        assert_eq!(opened, [false, false, true, false, false]);
        assert!(!breaker.allows(LIMITS, MS));
    }

    #[test]
    fn one_call_after_each_pause_tries_again_and_pauses_grow_to_a_limit() {
        let mut breaker = Breaker::default();
        (0..3).for_each(|_| _ = breaker.failed(LIMITS, 0));
        let (mut now, mut pauses, mut last) = (0, Vec::new(), 0);
        while pauses.len() < 16 {
            now += MS;
            if breaker.allows(LIMITS, now) {
                assert!(!breaker.allows(LIMITS, now), "one trial at a time");
                breaker.failed(LIMITS, now);
                pauses.push((now - last) / MS);
                last = now;
            }
        }
        assert_eq!(pauses[..4], [10, 20, 40, 80]);
        assert_eq!(*pauses.last().unwrap(), LONGEST_PAUSE_MS);
        breaker.succeeded();
        assert!(breaker.allows(LIMITS, now) && breaker.allows(LIMITS, now));
    }
}
