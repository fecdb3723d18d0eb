//! One call of the sidecar. Its owner has at most one call at a time.

use crate::host::NANOS_PER_MS;

/// A call is given up when its answer is late by this factor. The root context that made it may be gone, and
/// then the answer reaches no context.
const LOST_AFTER_TIMEOUTS: u64 = 3;

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Call {
    #[default]
    None,
    /// The host was asked and has not given a token yet.
    Starting {
        lost_at: u64,
    },
    Waiting {
        token: u32,
        lost_at: u64,
    },
}

impl Call {
    /// Before the host is asked.
    pub(crate) fn starting(now: u64, timeout_ms: u32) -> Self {
        let patience = u64::from(timeout_ms).saturating_mul(LOST_AFTER_TIMEOUTS * NANOS_PER_MS);
        Self::Starting { lost_at: now.saturating_add(patience) }
    }

    /// Notes the host's reaction. `false`: it refused.
    pub(crate) fn started(&mut self, token: Option<u32>) -> bool {
        match (*self, token) {
            (Self::Starting { lost_at }, Some(token)) => *self = Self::Waiting { token, lost_at },
            (Self::Starting { .. }, None) => return false,
            // The answer came before the host returned.
            _ => {}
        }
        true
    }

    /// Whether an answer with this token can be the awaited one.
    pub(crate) fn awaits(self, token: u32) -> bool {
        match self {
            Self::None => false,
            Self::Starting { .. } => true,
            Self::Waiting { token: waiting, .. } => waiting == token,
        }
    }

    /// Whether it should have been answered long ago.
    pub(crate) fn is_lost(self, now: u64) -> bool {
        match self {
            Self::None => false,
            Self::Starting { lost_at } | Self::Waiting { lost_at, .. } => now >= lost_at,
        }
    }
}
