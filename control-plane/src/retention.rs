//! The time that decides the age of stored data. A wrong system clock does not change it.
//!
//! While the sidecar runs, this time passes at the speed of a steady clock that cannot be set, independent of the wall
//! clock. It is stored. At the next start it is behind, either by the time that the sidecar did not run or by the error
//! of the wall clock, and these cannot be distinguished. So it catches up at double speed, and at once after the wall
//! clock has run for an hour without being set. It never goes back.

use std::sync::Mutex;

use crate::clock::{Clock, HOUR_MS, MINUTE_MS, UnixMs};

/// How long the wall clock must run without being set before it is trusted. A machine with a time server sets its
/// clock within minutes after its start.
const BELIEVED_AFTER_MS: i64 = HOUR_MS;
/// A clock that is slewed changes by less than this between two checks.
const STEP_MS: i64 = MINUTE_MS;

/// The clock for the age of data.
pub struct Retention {
    wall: Clock,
    steady: Clock,
    state: Mutex<State>,
}

struct State {
    now: UnixMs,
    /// The time that is still to catch up.
    behind: i64,
    wall: UnixMs,
    steady: i64,
    /// When the wall clock was last set, in time of the steady one.
    set_at: i64,
}

impl Retention {
    /// Continues from the stored time, or starts with that of the wall clock. `steady` is in
    /// milliseconds from any point in time, and cannot be set.
    pub fn new(kept: Option<UnixMs>, wall: Clock, steady: Clock) -> Self {
        let (wall_now, steady_now) = (wall(), steady());
        let now = kept.unwrap_or(wall_now);
        let behind = wall_now.saturating_sub(now).max(0);
        let state = State { now, behind, wall: wall_now, steady: steady_now, set_at: steady_now };
        Self { wall, steady, state: Mutex::new(state) }
    }

    /// The time now.
    pub fn now(&self) -> UnixMs {
        let mut state = self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        state.pass((self.wall)(), (self.steady)());
        state.now
    }

    /// Data older than this is also old by the wall clock. Only such data is dropped from the ledger, whose times
    /// come from the wall clocks of its filters.
    pub fn surely_now(&self) -> UnixMs {
        self.now().min((self.wall)())
    }
}

impl State {
    fn pass(&mut self, wall: UnixMs, steady: i64) {
        let passed = (steady - self.steady).max(0);
        let step = wall.saturating_sub(self.wall).saturating_sub(passed);
        (self.wall, self.steady) = (wall, steady);
        self.now += passed;
        if step.saturating_abs() > STEP_MS {
            self.set_at = steady;
            // a clock that was wrong at the start is right now; if it was right, there is nothing to catch up
            if self.behind > 0 {
                self.behind = wall.saturating_sub(self.now).max(0);
            }
        }
        let believed = steady - self.set_at >= BELIEVED_AFTER_MS;
        let made_up = if believed { self.behind } else { self.behind.min(passed) };
        self.now += made_up;
        self.behind -= made_up;
    }
}

/// Milliseconds since the machine started, including sleep.
#[cfg(target_os = "linux")]
pub(crate) fn steady_ms() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}

/// Milliseconds since the first call. Sleep of the machine may be missing.
#[cfg(not(target_os = "linux"))]
pub(crate) fn steady_ms() -> i64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let start = START.get_or_init(std::time::Instant::now);
    i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::clock::DAY_MS;

    const START: UnixMs = 1_790_000_000_000;

    /// A machine whose clock can be set.
    struct Machine {
        wall: Arc<AtomicI64>,
        steady: Arc<AtomicI64>,
    }

    impl Machine {
        fn at(wall: UnixMs) -> Self {
            Self { wall: Arc::new(AtomicI64::new(wall)), steady: Arc::new(AtomicI64::new(5)) }
        }

        fn start(&self, kept: Option<UnixMs>) -> Retention {
            let (wall, steady) = (Arc::clone(&self.wall), Arc::clone(&self.steady));
            let read = |clock: Arc<AtomicI64>| -> Clock { Arc::new(move || clock.load(Ordering::SeqCst)) };
            Retention::new(kept, read(wall), read(steady))
        }

        fn set(&self, by: i64) {
            self.wall.fetch_add(by, Ordering::SeqCst);
        }

        /// Lets time pass in steps, with a check after each.
        fn run(&self, retention: &Retention, ms: i64) -> UnixMs {
            for _ in 0..ms / MINUTE_MS {
                self.wall.fetch_add(MINUTE_MS, Ordering::SeqCst);
                self.steady.fetch_add(MINUTE_MS, Ordering::SeqCst);
                retention.now();
            }
            retention.now()
        }
    }

    #[test]
    fn a_clock_that_is_set_while_the_sidecar_runs_ages_nothing() {
        for by in [-400 * DAY_MS, -3 * DAY_MS, -1, 1, 3 * DAY_MS, 400 * DAY_MS] {
            let machine = Machine::at(START);
            let retention = machine.start(None);
            assert_eq!(machine.run(&retention, HOUR_MS), START + HOUR_MS);
            machine.set(by);
            assert_eq!(machine.run(&retention, 2 * DAY_MS), START + HOUR_MS + 2 * DAY_MS, "{by}");
            machine.set(-by);
            assert_eq!(machine.run(&retention, HOUR_MS), START + 2 * HOUR_MS + 2 * DAY_MS, "{by}");
        }
    }

    #[test]
    fn a_start_with_a_wrong_clock_ages_nothing_before_it_is_set_right() {
        let machine = Machine::at(START + 5 * DAY_MS);
        let retention = machine.start(Some(START));
        assert_eq!(retention.now(), START);
        assert_eq!(machine.run(&retention, 10 * MINUTE_MS), START + 20 * MINUTE_MS, "double speed");
        machine.set(-5 * DAY_MS);
        let then = machine.run(&retention, 10 * DAY_MS);
        assert!((START + 10 * DAY_MS..START + 10 * DAY_MS + HOUR_MS).contains(&then), "{}", then - START);
    }

    #[test]
    fn time_in_which_nothing_ran_counts_once_the_clock_has_run_for_an_hour() {
        let machine = Machine::at(START + 3 * DAY_MS);
        let retention = machine.start(Some(START));
        let before = machine.run(&retention, 59 * MINUTE_MS);
        assert_eq!(before, START + 118 * MINUTE_MS);
        assert_eq!(machine.run(&retention, MINUTE_MS), START + 3 * DAY_MS + HOUR_MS);
        assert_eq!(machine.run(&retention, DAY_MS), START + 4 * DAY_MS + HOUR_MS);
    }

    #[test]
    fn a_clock_that_is_behind_what_was_kept_takes_nothing_back() {
        let machine = Machine::at(START - 9 * DAY_MS);
        let retention = machine.start(Some(START));
        assert_eq!(machine.run(&retention, HOUR_MS), START + HOUR_MS);
        assert_eq!(retention.surely_now(), START - 9 * DAY_MS + HOUR_MS, "and nothing is dropped too early");
        for odd in [i64::MIN, i64::MAX] {
            let machine = Machine::at(odd);
            let retention = machine.start(Some(START));
            machine.steady.fetch_add(1, Ordering::SeqCst);
            assert!(retention.now() >= START);
        }
    }

    #[test]
    fn the_steady_clock_moves_on() {
        let first = steady_ms();
        assert!(steady_ms() >= first);
    }
}
