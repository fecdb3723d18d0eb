//! What the streams of a configuration share for the cache: the keys, and how the sidecar has answered.

use std::cell::Cell;

use super::key::Keys;
use crate::config::Config;
use crate::host::NANOS_PER_MS;

/// After a question that got no answer in time, no request asks for this long.
const PAUSE_NANOS: u64 = 1_000 * NANOS_PER_MS;

/// The sidecar, as far as answers go.
#[derive(Debug)]
pub(crate) struct AnswerSidecar {
    keys: Option<Keys>,
    /// No question before this time. Nanoseconds.
    not_before: Cell<u64>,
}

impl AnswerSidecar {
    pub(crate) fn new(config: &Config) -> Self {
        Self { keys: Keys::new(config), not_before: Cell::new(0) }
    }

    /// `None`: no answer is given again.
    pub(crate) fn keys(&self) -> Option<&Keys> {
        self.keys.as_ref()
    }

    /// Whether it may be asked. A rest that is longer than the pause does not count: the clock was set back.
    pub(crate) fn is_asked(&self, now: u64) -> bool {
        !(1..=PAUSE_NANOS).contains(&self.not_before.get().saturating_sub(now))
    }

    /// It has not answered.
    pub(crate) fn failed(&self, now: u64) {
        self.not_before.set(now.saturating_add(PAUSE_NANOS));
    }
}
