//! Restarts the processes behind Envoy when they die, as long as Envoy serves.

use std::io::{Write as _, stderr};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::child::Child;

/// The pause before the first restart; it doubles with every attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After it has run for this long, the next death is reported again.
const STEADY: Duration = Duration::from_secs(60);

/// How often and how soon something is tried again.
#[derive(Debug)]
pub(super) struct BackOff {
    next: Duration,
    /// Its death has been reported, and it has not run long enough since for another report.
    death_told: bool,
    /// Its recovery has been reported as well.
    recovery_told: bool,
}

impl Default for BackOff {
    fn default() -> Self {
        Self { next: FIRST_PAUSE, death_told: false, recovery_told: false }
    }
}

impl BackOff {
    /// After a death: the pause before the next start, and whether to report the death. `ran_for` is how long it had
    /// been ready; zero if the start failed.
    pub(super) fn died(&mut self, ran_for: Duration) -> (Duration, bool) {
        if ran_for >= STEADY {
            *self = Self::default();
        }
        let pause = self.next;
        self.next = LONGEST_PAUSE.min(pause * 2);
        (pause, !std::mem::replace(&mut self.death_told, true))
    }

    /// After a start: whether to report it.
    pub(super) fn recovered(&mut self) -> bool {
        !std::mem::replace(&mut self.recovery_told, true)
    }
}

/// How to start the supervised process again.
pub(super) trait Start {
    /// Its name.
    fn name(&self) -> &'static str {
        "headroomd"
    }

    /// The consequence while it does not run.
    fn meanwhile(&self) -> &'static str {
        "Envoy keeps serving, without originals and figures"
    }

    /// Starts it again and waits until it is ready. The process is in `place` as soon as it runs.
    async fn start(&self, place: &mut Option<Child>) -> anyhow::Result<()>;
}

/// Waits for deaths, and restarts the process after each. Never returns.
pub(super) async fn keep_running(place: &mut Option<Child>, start: &impl Start) {
    let name = start.name();
    let mut back_off = BackOff::default();
    let mut ready_since = Some(Instant::now());
    loop {
        let end = match place {
            Some(child) => match child.ended().await {
                Ok(status) => format!("{name} died ({status})"),
                Err(error) => format!("{name} is lost ({error:#})"),
            },
            None => format!("{name} could not be started again"),
        };
        let tail = match place.take() {
            Some(mut child) => {
                let tail = format!(" Its log, {}, ends:\n{}", child.log.display(), child.tail());
                // Ends the leash, which would signal the process id: another process may soon have it.
                child.stop(Duration::ZERO).await.ok();
                tail
            }
            None => String::new(),
        };
        let (pause, news) = back_off.died(ready_since.map_or(Duration::ZERO, |since| since.elapsed()));
        if news {
            say(&format!("{end}. {}, and {name} is started again until it runs.{tail}", start.meanwhile()));
        }
        sleep(pause).await;
        ready_since = start.start(place).await.is_ok().then(Instant::now);
        if ready_since.is_none() {
            // A process that runs but is not ready is stopped too.
            if let Some(mut child) = place.take() {
                child.stop(Duration::ZERO).await.ok();
            }
        } else if back_off.recovered() {
            say(&format!("{name} runs again."));
        }
    }
}

/// Prints a sentence for the user. A closed output is not an error.
pub(super) fn say(sentence: &str) {
    let _ = writeln!(stderr(), "{sentence}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_a_series_of_deaths_is_told_once() {
        let mut back_off = BackOff::default();
        let deaths: Vec<(u64, bool)> = (0..9)
            .map(|_| back_off.died(Duration::from_secs(1)))
            .map(|(pause, news)| (pause.as_millis().try_into().unwrap(), news))
            .collect();
        assert_eq!(deaths[0], (500, true));
        assert_eq!(deaths[1..4], [(1_000, false), (2_000, false), (4_000, false)]);
        assert_eq!(deaths[8], (30_000, false));
        assert!(back_off.recovered() && !back_off.recovered());
        assert_eq!(back_off.died(STEADY), (FIRST_PAUSE, true), "after a steady run it begins anew");
        assert!(back_off.recovered());
    }
}
