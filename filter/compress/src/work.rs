//! How much work a block may cost (I7): counted in bytes that are read or written, never in time.
//!
//! All code that reads a line, a cell or a text counts its bytes here, every time. A block may cost
//! [`PER_BYTE`] of them for each of its own bytes. Code that finds the limit exceeded stops, and the block is
//! forwarded as it came. The count depends on the block alone, so every replica stops at the same blocks
//! (I3).
//!
//! Every path should be linear. This limit catches those that are not, and tests read the count to find them.

use std::cell::Cell;

/// Bytes of work for each byte of a block. Ordinary outputs of all kinds cost 2 to 15, the worst known shapes
/// in the tests 52. Four times that must be a bug.
const PER_BYTE: u64 = 200;

/// The work that even the smallest block may cost.
const BASE: u64 = 1 << 20;

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
}

/// The work that a block of this many bytes may cost.
pub(crate) fn cap(bytes: usize) -> u64 {
    (bytes as u64).saturating_mul(PER_BYTE).saturating_add(BASE)
}

/// Starts counting for a block of this many bytes.
pub(crate) fn start(bytes: usize) {
    LEFT.set(cap(bytes));
}

/// Lifts the limit, for tests of what runs inside a block.
#[cfg(test)]
pub(crate) fn unlimited() {
    LEFT.set(u64::MAX);
}

/// The work that a block of this many bytes has cost so far.
#[cfg(test)]
pub(crate) fn spent(bytes: usize) -> u64 {
    cap(bytes) - LEFT.get()
}

/// Counts bytes that are read or written.
#[inline]
pub(crate) fn spend(bytes: usize) {
    LEFT.set(LEFT.get().saturating_sub(bytes as u64));
}

/// Whether the current block has used up its limit. Its results so far are then discarded.
#[inline]
pub(crate) fn is_over() -> bool {
    LEFT.get() == 0
}

// as WASM the counts are the same
#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;
