//! The bytes that a VM keeps for requests beside the one that it works on: bodies until their answers are over,
//! answers that are collected, copies for the store, messages of WebSocket sessions. One budget for all of them,
//! so that no mix of requests outgrows the VM.

use std::cell::Cell;
use std::rc::Rc;

/// A VM has 1 GiB. A body of 32 MiB in work takes up to five times its length, and the memo has room of its own.
const KEPT_BYTES: usize = 256 << 20;

/// The budget.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    used: Cell<usize>,
}

/// A share of it, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    of: Rc<Memory>,
    bytes: usize,
}

impl Memory {
    /// Room for so many bytes; `None`: there is none.
    pub(crate) fn room(self: &Rc<Self>, bytes: usize) -> Option<Room> {
        let used = self.used.get().checked_add(bytes).filter(|used| *used <= KEPT_BYTES)?;
        self.used.set(used);
        Some(Room { of: Rc::clone(self), bytes })
    }

    /// Gives some bytes back and takes others, which are there already.
    pub(crate) fn exchange(&self, back: usize, taken: usize) {
        self.used.set(self.used.get().saturating_sub(back).saturating_add(taken));
    }

    /// The bytes in use.
    pub(crate) fn used(&self) -> usize {
        self.used.get()
    }
}

impl Room {
    /// Grows or shrinks to so many bytes. False: there is no room, and it stays as it is.
    pub(crate) fn resize(&mut self, bytes: usize) -> bool {
        let others = self.of.used.get().saturating_sub(self.bytes);
        let Some(used) = others.checked_add(bytes).filter(|used| *used <= KEPT_BYTES) else { return false };
        self.of.used.set(used);
        self.bytes = bytes;
        true
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.of.used.set(self.of.used.get().saturating_sub(self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_given_back() {
        let memory = Rc::new(Memory::default());
        let mut first = memory.room(KEPT_BYTES - 10).unwrap();
        let second = memory.room(10).unwrap();
        assert!(memory.room(1).is_none() && memory.room(usize::MAX).is_none());
        assert!(!first.resize(KEPT_BYTES - 9) && first.resize(1));
        assert_eq!(memory.used(), 11);
        drop((first, second));
        assert_eq!(memory.used(), 0);
    }
}
