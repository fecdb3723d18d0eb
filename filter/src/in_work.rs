//! Which bodies a VM has in work, and which streams wait for that.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// Between two slices, while something waits: what Envoy has to do meanwhile comes first.
pub(crate) const TICK_MS: u32 = 1;

/// The bodies that a VM has in work, and those that wait for that.
#[derive(Debug, Default)]
pub(crate) struct InWork {
    places: Cell<u32>,
    /// Streams that have paused, in the order in which they go on.
    paused: RefCell<VecDeque<u32>>,
    /// Streams that wait for a place, in the order in which they came.
    waiting: RefCell<VecDeque<u32>>,
}

/// One of the places for bodies in work, given back when it is dropped: however its stream ends.
#[derive(Debug)]
pub(crate) struct Place(Rc<InWork>);

impl InWork {
    /// A place for one more, where fewer than `most` are taken; 0: there is always one. Who waits goes first.
    pub(crate) fn enter(self: &Rc<Self>, most: u32, waited: bool) -> Option<Place> {
        let is_free = most == 0 || self.places.get() < most;
        let in_turn = waited || self.waiting.borrow().is_empty();
        (is_free && in_turn).then(|| self.enter_now())
    }

    /// A place whoever else is in work, for what cannot go on in a tick.
    pub(crate) fn enter_now(self: &Rc<Self>) -> Place {
        self.places.set(self.places.get().saturating_add(1));
        Place(Rc::clone(self))
    }

    /// Has a stream wait for a place, behind all others or, where it `waited`, before them.
    pub(crate) fn wait(&self, stream: u32, waited: bool) {
        let mut waiting = self.waiting.borrow_mut();
        if waited { waiting.push_front(stream) } else { waiting.push_back(stream) }
    }

    /// Whether somebody waits, for a place or for a turn.
    pub(crate) fn has_any(&self) -> bool {
        !self.paused.borrow().is_empty() || !self.waiting.borrow().is_empty()
    }

    /// Whose turn it is: who waits for a place where there is one, else the next that has paused.
    pub(crate) fn next(&self, most: u32) -> Option<u32> {
        let is_free = most == 0 || self.places.get() < most;
        let waiting = is_free.then(|| self.waiting.borrow_mut().pop_front()).flatten();
        waiting.or_else(|| self.paused.borrow_mut().pop_front())
    }

    /// A turn that could not be taken comes again.
    pub(crate) fn put_back(&self, stream: u32) {
        self.paused.borrow_mut().push_back(stream);
    }

    /// Forgets a stream that has ended.
    pub(crate) fn forget(&self, stream: u32) {
        self.paused.borrow_mut().retain(|of| *of != stream);
        self.waiting.borrow_mut().retain(|of| *of != stream);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.places.set(self.0.places.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_in_order_and_given_back() {
        let in_work = Rc::<InWork>::default();
        let first = in_work.enter(2, false);
        let second = in_work.enter(2, false);
        assert!(first.is_some() && second.is_some() && in_work.enter(2, false).is_none());
        in_work.waiting.borrow_mut().extend([7, 8]);
        in_work.paused.borrow_mut().extend([5, 6]);
        assert_eq!(in_work.next(2), Some(5), "nobody who waits has a place");
        drop(first);
        assert!(in_work.enter(2, false).is_none(), "nobody goes before who waits");
        assert_eq!(in_work.next(2), Some(7));
        let third = in_work.enter(2, true);
        assert!(third.is_some());
        in_work.forget(8);
        assert_eq!([in_work.next(2), in_work.next(2)], [Some(6), None]);
        drop((second, third));
        assert_eq!(in_work.places.get(), 0);
        let many: Vec<_> = (0..100).map(|_| in_work.enter(0, false)).collect();
        assert!(many.iter().all(Option::is_some), "0: there is no bound");
    }
}
