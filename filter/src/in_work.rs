//! Which bodies a VM has in work, and which streams wait for their turn.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// The pause between two slices while something waits, so that Envoy's other work comes first.
pub(crate) const TICK_MS: u32 = 1;

/// The bodies that a VM has in work, and those that wait.
#[derive(Debug, Default)]
pub(crate) struct InWork {
    places: Cell<u32>,
    /// Streams that have paused, in the order in which they will go on.
    paused: RefCell<VecDeque<u32>>,
    /// Streams that wait for a place, in order of arrival.
    waiting: RefCell<VecDeque<u32>>,
}

/// One of the places for bodies in work. Dropping it gives it back, however its stream ends.
#[derive(Debug)]
pub(crate) struct Place(Rc<InWork>);

impl InWork {
    /// A place, if fewer than `most` are taken; 0: no limit. A stream that already waits goes before a new
    /// one.
    pub(crate) fn enter(self: &Rc<Self>, most: u32, waited: bool) -> Option<Place> {
        let is_free = most == 0 || self.places.get() < most;
        let in_turn = waited || self.waiting.borrow().is_empty();
        (is_free && in_turn).then(|| self.enter_now())
    }

    /// A place in any case, for a body that cannot go on in a tick.
    pub(crate) fn enter_now(self: &Rc<Self>) -> Place {
        self.places.set(self.places.get().saturating_add(1));
        Place(Rc::clone(self))
    }

    /// Makes a stream wait for a place: after all others or, if it has `waited`, before them.
    pub(crate) fn wait(&self, stream: u32, waited: bool) {
        let mut waiting = self.waiting.borrow_mut();
        if waited { waiting.push_front(stream) } else { waiting.push_back(stream) }
    }

    /// Whether a stream waits, for a place or for a turn.
    pub(crate) fn has_any(&self) -> bool {
        !self.paused.borrow().is_empty() || !self.waiting.borrow().is_empty()
    }

    /// The stream whose turn it is: one that waits for a place, if there is a free one, else the next paused
    /// one.
    pub(crate) fn next(&self, most: u32) -> Option<u32> {
        let is_free = most == 0 || self.places.get() < most;
        let waiting = is_free.then(|| self.waiting.borrow_mut().pop_front()).flatten();
        waiting.or_else(|| self.paused.borrow_mut().pop_front())
    }

    /// Puts back a stream whose turn could not be taken.
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
