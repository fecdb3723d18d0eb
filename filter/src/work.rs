//! Bodies in work: a long one is worked on in slices, so that the other streams of its worker flow meanwhile.
//!
//! A worker of Envoy has one thread, and what a filter does on it everybody waits for. So a request pauses after a
//! while, before its next tool output, and goes on in a tick, in turns with others. What is forwarded is the same
//! as in one go: neither the pauses nor what happens in them have a part in it (I3). A request that would have to
//! pause and cannot, because there is no room to keep it or no tick to go on in, is done in one go.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use headroom_compress::{Compression, Read};

use crate::host::{self, Action, NANOS_PER_MS};
use crate::memory::Room;
use crate::request::Body;
use crate::stream::{Phase, Stream, micros};

/// A request works for so long at a time. Tool outputs of usual length take less than a tenth of it.
const SLICE_NANOS: u64 = 10 * NANOS_PER_MS;
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
    fn enter(self: &Rc<Self>, most: u32, waited: bool) -> Option<Place> {
        let is_free = most == 0 || self.places.get() < most;
        let in_turn = waited || self.waiting.borrow().is_empty();
        (is_free && in_turn).then(|| {
            self.places.set(self.places.get().saturating_add(1));
            Place(Rc::clone(self))
        })
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
    fn forget(&self, stream: u32) {
        self.paused.borrow_mut().retain(|of| *of != stream);
        self.waiting.borrow_mut().retain(|of| *of != stream);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.places.set(self.0.places.get().saturating_sub(1));
    }
}

/// `None` once it is finished.
type Begun<'b> = Option<Compression<'b>>;

self_cell::self_cell!(
    /// A compression with the bytes that it is of.
    struct Job {
        owner: Rc<Vec<u8>>,
        #[not_covariant]
        dependent: Begun,
    }
);

/// A body in work.
pub(crate) struct Work {
    pub(crate) body: Body,
    /// With hidden rounds put back, where `is_restored`.
    pub(crate) bytes: Rc<Vec<u8>>,
    pub(crate) is_restored: bool,
    job: Job,
    _place: Place,
    /// For the copy, once it has paused.
    room: Option<Room>,
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").field("body", &self.body).finish_non_exhaustive()
    }
}

/// How far a slice got.
enum Slice {
    Done,
    /// There is more to do, and room to keep it meanwhile.
    Paused,
}

impl Stream {
    /// Works on a complete body, or has it wait for a place.
    pub(crate) fn enter_work(&mut self, body: Body) -> Action {
        let most = self.settings.config.bodies_in_work;
        let in_work = Rc::clone(&self.settings.requests.in_work);
        // What cannot go on in a tick has to be done now, whoever else is in work.
        if let Some(place) = in_work.enter(most, false) {
            return self.begin_work(body, place);
        }
        if !self.settings.hurry() {
            in_work.places.set(in_work.places.get().saturating_add(1));
            return self.begin_work(body, Place(in_work));
        }
        self.settings.metrics.work_waited();
        in_work.waiting.borrow_mut().push_back(self.id);
        self.phase = Phase::Waiting(body);
        Action::Pause
    }

    fn begin_work(&mut self, body: Body, place: Place) -> Action {
        match self.prepare(&body) {
            Ok(None) => self.forwarded_body(),
            Ok(Some((bytes, is_restored))) => {
                let started = self.settings.now();
                let job = {
                    let engine = self.settings.config.engine(body.treatment.profile);
                    let request = self.engine_request(&body, body.treatment);
                    Job::new(Rc::clone(&bytes), |bytes| {
                        Some(Read::new(bytes, body.route.api, &engine).begin(&request))
                    })
                };
                let spent = micros(started, self.settings.now());
                self.clock.parse_us = self.clock.parse_us.saturating_add(spent);
                self.clock.compress_us = self.clock.compress_us.saturating_add(spent);
                self.go_on(Work { body, bytes, is_restored, job, _place: place, room: None })
            }
            Err(refused) => self.give_up_body(refused),
        }
    }

    /// Works on a body for a while.
    fn go_on(&mut self, mut work: Work) -> Action {
        if let Slice::Paused = self.slice(&mut work) {
            self.settings.requests.in_work.put_back(self.id);
            self.phase = Phase::Working(Box::new(work));
            return Action::Pause;
        }
        let Work { body, bytes, is_restored, mut job, _place, room } = work;
        let rewrite = job.with_dependent_mut(|_, compression| {
            let outcome = compression.take()?.finish(&mut self.settings.memo.borrow_mut());
            Some(self.rewritten(outcome, body.treatment.mode))
        });
        drop((job, room));
        let Some(rewrite) = rewrite else { return self.forwarded_body() };
        match self.forward(&body, bytes, is_restored, rewrite) {
            Ok(()) => self.forwarded_body(),
            Err(refused) => self.give_up_body(refused),
        }
    }

    fn slice(&mut self, work: &mut Work) -> Slice {
        let started = self.settings.now();
        let mut until = started.saturating_add(SLICE_NANOS);
        let engine = self.settings.config.engine(work.body.treatment.profile);
        let slice = loop {
            let more = work.job.with_dependent_mut(|_, compression| {
                let memo = &mut self.settings.memo.borrow_mut();
                compression.as_mut().is_some_and(|compression| compression.step(&engine, memo))
            });
            if !more {
                break Slice::Done;
            }
            if self.settings.now() < until {
                continue;
            }
            if work.room.is_none() {
                work.room = self.settings.requests.memory.room(work.bytes.len());
            }
            if work.room.is_some() && self.settings.hurry() {
                self.settings.metrics.work_paused();
                break Slice::Paused;
            }
            self.settings.metrics.work_unpaused();
            until = u64::MAX;
        };
        drop(engine);
        self.clock.compress_us = self.clock.compress_us.saturating_add(micros(started, self.settings.now()));
        slice
    }

    /// The turn of a request that has waited. False: it does not wait.
    pub(crate) fn take_turn(&mut self) -> bool {
        let action = match std::mem::replace(&mut self.phase, Phase::Passing) {
            Phase::Working(work) => self.go_on(*work),
            Phase::Waiting(body) => {
                let in_work = Rc::clone(&self.settings.requests.in_work);
                match in_work.enter(self.settings.config.bodies_in_work, true) {
                    Some(place) => self.begin_work(body, place),
                    None => {
                        in_work.waiting.borrow_mut().push_front(self.id);
                        self.phase = Phase::Waiting(body);
                        return true;
                    }
                }
            }
            other => {
                self.phase = other;
                return false;
            }
        };
        if action == Action::Continue
            && let Err(refused) = host::continue_request()
        {
            self.settings.refused(refused);
        }
        true
    }

    /// The end of a stream that may have waited.
    pub(crate) fn leave_work(&self) {
        if matches!(self.phase, Phase::Working(_) | Phase::Waiting(_)) {
            self.settings.requests.in_work.forget(self.id);
        }
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
