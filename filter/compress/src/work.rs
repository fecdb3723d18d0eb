//! How much work a block takes (I7): counted in bytes that are read or written, never in time.
//!
//! Whatever reads a line, a cell or a text counts its bytes here, each time it does. A block may take
//! [`PER_BYTE`] of them for each of its own bytes; who finds that it is over stops, and the block is forwarded as
//! it came. The count is a function of the block alone, so that every replica stops at the same blocks (I3).
//!
//! Every path is meant to be linear. This is the net below those that are not, and what tests read to tell.

use std::cell::Cell;

/// Bytes of work for each byte of a block. Ordinary outputs of all kinds take 2 to 15, the worst shapes that the tests
/// know take 52: four times that is not a form, but a fault.
const PER_BYTE: u64 = 200;

/// Work that even the smallest block may take.
const BASE: u64 = 1 << 20;

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
}

/// The work that a block of so many bytes may take.
pub(crate) fn cap(bytes: usize) -> u64 {
    (bytes as u64).saturating_mul(PER_BYTE).saturating_add(BASE)
}

/// Starts counting for a block of so many bytes.
pub(crate) fn start(bytes: usize) {
    LEFT.set(cap(bytes));
}

/// Counts bytes that are read or written.
#[inline]
pub(crate) fn spend(bytes: usize) {
    LEFT.set(LEFT.get().saturating_sub(bytes as u64));
}

/// Whether the block at hand has had all that it may. What was made of it until then is not used.
#[inline]
pub(crate) fn is_over() -> bool {
    LEFT.get() == 0
}

#[cfg(test)]
mod tests;
