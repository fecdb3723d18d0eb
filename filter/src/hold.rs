//! Whether the host can hold headers.
//!
//! Without `allow_on_headers_stop_iteration` a host that has to hold the headers never shows the body, so
//! every request would hang. Istio's WasmPlugin cannot set that option, so the mistake is easy to make. Until
//! the first held request has shown its body, a held request without a body is released after a while. From
//! then on `content-length` is removed instead.

use std::cell::Cell;

/// Applies only until the first body was seen: a client with a longer pause between headers and body loses
/// only the savings of its request.
pub(crate) const GRACE_MS: u32 = 1_000;
pub(crate) const GRACE_NS: u64 = GRACE_MS as u64 * 1_000_000;

/// What is known about the host.
#[derive(Debug, Default)]
pub(crate) struct HoldSupport(Cell<State>);

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    Untried,
    Proven,
    Unsupported,
}

impl HoldSupport {
    /// A held request has shown its body.
    pub(crate) fn proven(&self) {
        self.0.set(State::Proven);
    }

    /// A held request has shown no body.
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
