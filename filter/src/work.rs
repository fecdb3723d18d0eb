//! A body in work: a long one is worked on in slices, so that the other streams of its worker flow meanwhile.
//!
//! A worker of Envoy has one thread, and what a filter does on it everybody waits for. So a request pauses after a
//! while, before its next tool output, and goes on in a tick, in turns with others. What is forwarded is the same
//! as in one go: neither the pauses nor what happens in them have a part in it (I3). A request that would have to
//! pause and cannot, because there is no room to keep it or no tick to go on in, is done in one go.

use std::rc::Rc;

use headroom_compress::{Compression, ParsedBody};

use crate::body::Body;
use crate::exchange::{Exchange, micros};
use crate::host::NANOS_PER_MS;
use crate::in_work::Place;
use crate::memory::Room;
use crate::rewrite::{self, Rewrite};

/// A request works for so long at a time. Tool outputs of usual length take less than a tenth of it.
const SLICE_NANOS: u64 = 10 * NANOS_PER_MS;

/// `None` once it is finished.
type OpenCompression<'b> = Option<Compression<'b>>;

self_cell::self_cell!(
    /// A compression with the bytes that it is of.
    struct Job {
        owner: Rc<Vec<u8>>,
        #[not_covariant]
        dependent: OpenCompression,
    }
);

/// A body in work.
pub(crate) struct Work {
    body: Body,
    /// With hidden rounds put back, where `is_restored`.
    bytes: Rc<Vec<u8>>,
    is_restored: bool,
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
pub(crate) enum Slice {
    Done,
    /// There is more to do, and room to keep it meanwhile.
    Paused,
}

impl Work {
    /// Reads a body, which is `bytes`.
    pub(crate) fn begin(
        exchange: &mut Exchange,
        body: Body,
        bytes: Rc<Vec<u8>>,
        is_restored: bool,
        place: Place,
    ) -> Self {
        let settings = Rc::clone(&exchange.settings);
        let started = settings.now();
        let job = {
            let engine = settings.config.engine(body.treatment);
            let request = rewrite::engine_request(&settings.config, &body, body.treatment);
            Job::new(Rc::clone(&bytes), |bytes| {
                Some(ParsedBody::new(bytes, body.route.api, &engine).begin(&request))
            })
        };
        let spent = micros(started, settings.now());
        exchange.clock.parse_us = exchange.clock.parse_us.saturating_add(spent);
        exchange.clock.compress_us = exchange.clock.compress_us.saturating_add(spent);
        Self { body, bytes, is_restored, job, _place: place, room: None }
    }

    /// Works on it for a while.
    pub(crate) fn slice(&mut self, exchange: &mut Exchange) -> Slice {
        let settings = &exchange.settings;
        let started = settings.now();
        let mut until = started.saturating_add(SLICE_NANOS);
        let engine = settings.config.engine(self.body.treatment);
        let slice = loop {
            let more = self.job.with_dependent_mut(|_, compression| {
                let memo = &mut settings.memo.borrow_mut();
                compression.as_mut().is_some_and(|compression| compression.step(&engine, memo))
            });
            if !more {
                break Slice::Done;
            }
            if settings.now() < until {
                continue;
            }
            if self.room.is_none() {
                self.room = settings.requests.memory.room(self.bytes.len());
            }
            if self.room.is_some() && settings.hurry() {
                settings.metrics.work_paused();
                break Slice::Paused;
            }
            settings.metrics.work_unpaused();
            until = u64::MAX;
        };
        drop(engine);
        let spent = micros(started, settings.now());
        exchange.clock.compress_us = exchange.clock.compress_us.saturating_add(spent);
        slice
    }

    /// What has become of it, once all is done.
    pub(crate) fn finish(self, exchange: &mut Exchange) -> EngineOutput {
        let Self { body, bytes, is_restored, mut job, _place, room } = self;
        let rewrite = job.with_dependent_mut(|_, compression| {
            let outcome = compression.take()?.finish(&mut exchange.settings.memo.borrow_mut());
            Some(Rewrite::new(exchange, outcome, body.treatment.mode))
        });
        drop((job, room));
        EngineOutput { body, bytes, is_restored, rewrite }
    }
}

/// A body with what the engine has made of it.
pub(crate) struct EngineOutput {
    pub(crate) body: Body,
    pub(crate) bytes: Rc<Vec<u8>>,
    pub(crate) is_restored: bool,
    pub(crate) rewrite: Option<Rewrite>,
}
