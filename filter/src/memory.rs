//! The memory of a VM. Everything that it keeps for requests, apart from the body in work, shares one budget:
//! bodies until their answers are over, collected answers, copies for the store, messages of WebSocket
//! sessions. The memory of the memo and of a body in work is reserved first, so that no mix of requests can
//! exceed the VM's memory.

use std::cell::Cell;
use std::rc::Rc;

use crate::config::Config;

/// Envoy's limit for a VM. It ends a VM that asks for more.
const VM_BYTES: usize = 1 << 30;
/// A body in work takes up to this many times its length. A VM works on one at a time.
const WORK_FACTOR: usize = 5;
/// The budget, unless the memo or the longest body leave less.
const MOST_BYTES: usize = 256 << 20;
/// The budget is never smaller.
const LEAST_BYTES: usize = 8 << 20;

/// The budget.
#[derive(Debug)]
pub(crate) struct Memory {
    used: Cell<usize>,
    limit: Cell<usize>,
}

/// A share of the budget. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Room {
    of: Rc<Memory>,
    bytes: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self { used: Cell::default(), limit: Cell::new(MOST_BYTES) }
    }
}

impl Memory {
    /// Sets the budget to what a configuration leaves for it.
    pub(crate) fn configure(&self, config: &Config) {
        let work = config.engine.max_body_bytes.saturating_mul(WORK_FACTOR);
        let left = VM_BYTES.saturating_sub(work).saturating_sub(config.memo_bytes);
        self.limit.set(left.clamp(LEAST_BYTES, MOST_BYTES));
    }

    /// A share of this many bytes; `None`: there is no room.
    pub(crate) fn room(self: &Rc<Self>, bytes: usize) -> Option<Room> {
        let mut room = self.no_room();
        room.resize(bytes).then_some(room)
    }

    /// An empty share.
    pub(crate) fn no_room(self: &Rc<Self>) -> Room {
        Room { of: Rc::clone(self), bytes: 0 }
    }

    /// Gives back some bytes and takes others that are already in use.
    pub(crate) fn exchange(&self, back: usize, taken: usize) {
        self.used.set(self.used.get().saturating_sub(back).saturating_add(taken));
    }

    /// The bytes in use.
    pub(crate) fn used(&self) -> usize {
        self.used.get()
    }
}

impl Room {
    /// Grows or shrinks to this many bytes. False: there is no room to grow, and it stays as it is.
    pub(crate) fn resize(&mut self, bytes: usize) -> bool {
        let others = self.of.used.get().saturating_sub(self.bytes);
        if bytes > self.bytes && others.saturating_add(bytes) > self.of.limit.get() {
            return false;
        }
        self.hold(bytes);
        true
    }

    /// As [`Room::resize`], for bytes that are already in use.
    pub(crate) fn hold(&mut self, bytes: usize) {
        self.of.exchange(self.bytes, bytes);
        self.bytes = bytes;
    }

    /// Grows by this many bytes. False: there is no room.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        self.resize(self.bytes.saturating_add(bytes))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.of.exchange(self.bytes, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_given_back() {
        let memory = Rc::new(Memory::default());
        let mut first = memory.room(MOST_BYTES - 10).unwrap();
        let mut second = memory.room(10).unwrap();
        assert!(memory.room(1).is_none() && memory.room(usize::MAX).is_none());
        assert!(!second.grow(1) && !first.resize(MOST_BYTES - 9) && first.resize(1));
        assert!(second.grow(1) && second.bytes() == 11);
        assert_eq!(memory.used(), 12);
        drop((first, second));
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn what_the_memo_and_a_body_in_work_may_take_is_set_aside() {
        let memory = Rc::new(Memory::default());
        let limit = |max_body_bytes: usize, memo_bytes: usize| {
            let mut config = Config { memo_bytes, ..Config::default() };
            config.engine.max_body_bytes = max_body_bytes;
            memory.configure(&config);
            memory.limit.get()
        };
        assert_eq!(limit(32 << 20, 32 << 20), MOST_BYTES);
        assert_eq!(limit(128 << 20, 256 << 20), 128 << 20);
        assert_eq!(limit(128 << 20, 512 << 20), LEAST_BYTES);
        // The budget is now smaller than what is in use: what is kept stays, and nothing is added.
        memory.exchange(0, 9 << 20);
        assert!(memory.room(1).is_none() && memory.room(0).is_some());
    }
}
