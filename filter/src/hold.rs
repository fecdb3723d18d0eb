//! Whether the host can hold headers.
//!
//! A host without `allow_on_headers_stop_iteration` that is told to hold the headers never shows the
//! body: every request would hang. Istio's WasmPlugin cannot set that option, so the mistake is easy to
//! make. Until a first held request has shown its body, one that shows none for a while is let go, and
//! from then on lengths are stripped instead.

use std::cell::Cell;

/// Only before the first body was seen: a client that takes longer between headers and body costs no
/// more than the savings of its request.
pub(crate) const GRACE_MS: u32 = 1_000;
pub(crate) const GRACE_NS: u64 = GRACE_MS as u64 * 1_000_000;

/// What is known about the host.
#[derive(Debug, Default)]
pub(crate) struct Hold(Cell<State>);

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    Untried,
    Proven,
    Unsupported,
}

impl Hold {
    /// A held request has shown its body.
    pub(crate) fn proven(&self) {
        self.0.set(State::Proven);
    }

    /// A held request has shown nothing.
    pub(crate) fn unsupported(&self) {
        self.0.set(State::Unsupported);
    }

    pub(crate) fn is_proven(&self) -> bool {
        self.0.get() == State::Proven
    }

    pub(crate) fn usable(&self) -> bool {
        self.0.get() != State::Unsupported
    }
}
