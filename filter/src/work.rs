//! A body in work. A long one is worked on in slices, so that the other streams of its worker can go on
//! meanwhile.
//!
//! A worker of Envoy has one thread, and everything waits for what a filter does on it. So a request pauses
//! after a while, before its next tool output, and goes on in a tick, in turns with others. The forwarded
//! bytes are the same as without pauses (I3). If a request should pause, but there is no room to keep it or
//! no tick to go on in, it is finished at once.

use std::rc::Rc;

use headroom_compress::{Compression, Opening, ParsedBody, Prose};
use headroom_providers::route::Purpose;

use crate::body::Body;
use crate::exchange::{Exchange, micros};
use crate::host::NANOS_PER_MS;
use crate::in_work::Place;
use crate::memory::Room;
use crate::rewrite::{self, Rewrite};

/// The length of one slice. Tool outputs of usual length take less than a tenth of it.
const SLICE_NANOS: u64 = 10 * NANOS_PER_MS;

/// `None` once it is finished.
type OpenCompression<'b> = Option<Compression<'b>>;

self_cell::self_cell!(
    /// A compression and the bytes that it reads.
    struct Job {
        owner: Rc<Vec<u8>>,
        #[not_covariant]
        dependent: OpenCompression,
    }
);

/// A body in work.
pub(crate) struct Work {
    body: Body,
    /// The body, with hidden rounds put back if `is_restored`.
    bytes: Rc<Vec<u8>>,
    is_restored: bool,
    job: Job,
    place: Option<Place>,
    /// Memory for the copy, once the work has paused.
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
    /// There is more to do, and room to keep it until then.
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
        Self { body, bytes, is_restored, job, place: Some(place), room: None }
    }

    /// Works for one slice.
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

    /// The outputs about which the text model may be asked, once all is done.
    pub(crate) fn prose(&mut self) -> Vec<Prose> {
        if self.body.route.purpose != Purpose::Answer {
            return Vec::new();
        }
        let job = &mut self.job;
        job.with_dependent_mut(|_, compression| compression.as_ref().map(Compression::prose))
            .unwrap_or_default()
    }

    /// The text of one of them.
    pub(crate) fn text(&self, block: usize) -> Option<String> {
        self.job.with_dependent(|_, compression| Some(compression.as_ref()?.text(block)?.into_owned()))
    }

    /// Puts the text model's form into the place of one of them. False: it cannot stand there.
    pub(crate) fn shorten(&mut self, exchange: &Exchange, block: usize, form: &str) -> bool {
        let memo = &mut exchange.settings.memo.borrow_mut();
        self.job.with_dependent_mut(|_, compression| {
            compression.as_mut().is_some_and(|compression| compression.shorten(block, form, memo))
        })
    }

    /// Gives back its place while it waits for somebody. False: there is no room to keep it.
    pub(crate) fn rest(&mut self, exchange: &Exchange) -> bool {
        if self.room.is_none() {
            self.room = exchange.settings.requests.memory.room(self.bytes.len());
        }
        if self.room.is_some() {
            self.place = None;
        }
        self.room.is_some()
    }

    /// The result, once all is done.
    pub(crate) fn finish(self, exchange: &mut Exchange) -> EngineOutput {
        let Self { body, bytes, is_restored, mut job, place, room } = self;
        let rewrite = job.with_dependent_mut(|_, compression| {
            let outcome = compression.take()?.finish(&mut exchange.settings.memo.borrow_mut());
            Some(Rewrite::new(exchange, outcome, body.treatment.mode))
        });
        drop((job, place, room));
        EngineOutput { body, bytes, is_restored, rewrite }
    }
}

/// A body and the engine's result for it.
pub(crate) struct EngineOutput {
    pub(crate) body: Body,
    pub(crate) bytes: Rc<Vec<u8>>,
    pub(crate) is_restored: bool,
    pub(crate) rewrite: Option<Rewrite>,
}

impl EngineOutput {
    /// How the conversation begins, and the folder in which its agent works; `None`: nothing can be added there.
    pub(crate) fn opening(&self) -> Option<(&Opening, &str)> {
        let rewrite = self.rewrite.as_ref()?;
        Some((rewrite.opening.as_ref()?, rewrite.working_directory.as_deref().unwrap_or_default()))
    }

    /// Adds a text there. False: there is no such place.
    pub(crate) fn add(&mut self, text: &str) -> bool {
        let Some(rewrite) = &mut self.rewrite else { return false };
        let Some(opening) = &rewrite.opening else { return false };
        let body = rewrite.replacement.as_deref().unwrap_or(&self.bytes);
        let Some(added) = opening.extended(body, text) else { return false };
        rewrite.replacement = Some(added);
        true
    }
}
