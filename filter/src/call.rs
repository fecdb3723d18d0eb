//! One call of the sidecar. Its owner has at most one call at a time.

use crate::host::NANOS_PER_MS;

/// A call is given up when its answer is late by this factor. The root context that made it may be gone, and
/// then the answer reaches no context.
const LOST_AFTER_TIMEOUTS: u64 = 3;

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Call {
    #[default]
    None,
    /// The host was asked. No answer comes before it has given a token: Envoy defers answers.
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
        let (Self::Starting { lost_at }, Some(token)) = (*self, token) else { return false };
        *self = Self::Waiting { token, lost_at };
        true
    }

    /// Whether an answer with this token can be the awaited one.
    pub(crate) fn awaits(self, token: u32) -> bool {
        matches!(self, Self::Waiting { token: waiting, .. } if waiting == token)
    }

    /// Whether it should have been answered long ago.
    pub(crate) fn is_lost(self, now: u64) -> bool {
        match self {
            Self::None => false,
            Self::Starting { lost_at } | Self::Waiting { lost_at, .. } => now >= lost_at,
        }
    }
}
