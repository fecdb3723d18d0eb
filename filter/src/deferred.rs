//! What a record needs and its request does not: worked out after the request has left.
//!
//! The turn's id and the baseline of plain minification need one more pass over the body. The body is kept
//! until a tick has time for it. If the request ends before that, its record waits too: Envoy writes the last
//! bytes of an answer only after the VM has finished its work at the end of the stream.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use headroom_api::v1::{CacheLayout, PrefixDigests, RequestRecord};
use headroom_compress::{Api, Appendix, Block, Memo, Request, appendix};

use crate::memory::{Memory, Room};
use crate::prefix;
use crate::report::PendingRecord;
use crate::system_lines::Prompts;

/// How many bytes of bodies are kept for this. A request that finds no room is reported without these values.
const KEPT_BYTES: usize = 64 << 20;
/// Above this, ticks do not keep up: a request that ends does its own work at once.
const BEHIND_BYTES: usize = KEPT_BYTES / 2;
/// Time between two ticks, at most, in milliseconds.
pub(crate) const TICK_MS: u32 = 50;
/// How long one tick works, in nanoseconds: a tenth of a worker's time. Other events wait meanwhile. What is
/// left is done in the next tick.
const PATIENCE_NANOS: u64 = 5_000_000;

/// Where a record is sent when it is complete.
pub(crate) trait Outlet {
    /// What the VM remembers.
    fn memo(&self) -> &RefCell<Memo>;

    /// Takes the record of a request that has ended.
    fn report(&self, told: PendingRecord);

    /// The number of its queue: equal numbers are the same queue.
    fn queue(&self) -> usize;
}

/// The deferred work of a VM.
#[derive(Default)]
pub(crate) struct Deferred {
    /// Work for requests that have not ended.
    open: RefCell<VecDeque<Weak<RefCell<Work>>>>,
    ended: RefCell<VecDeque<EndedRequest>>,
    kept_bytes: Cell<usize>,
    memory: Rc<Memory>,
    prompts: RefCell<Prompts>,
}

/// A request that has ended. They are kept in the order of their ends.
struct EndedRequest {
    told: PendingRecord,
    /// The body from which the rest is worked out.
    original: Option<(Original, Room)>,
    turn: Option<Turn>,
    outlet: Rc<dyn Outlet>,
}

/// The turn's id for requests that carry only what is new: the id of the last earlier request that gave one.
pub(crate) type Turn = Rc<RefCell<String>>;

/// The work for one record.
pub(crate) struct DeferredWork {
    work: Rc<RefCell<Work>>,
    of: Rc<Deferred>,
    turn: Option<Turn>,
}

enum Work {
    Waiting(Original, Room),
    Done(Findings),
}

/// The results.
#[derive(Default)]
struct Findings {
    appendix: Appendix,
    client_prefix: Option<PrefixDigests>,
    forwarded_prefix: Option<PrefixDigests>,
    cache_layout: Option<CacheLayout>,
}

/// A request as the client sent it.
pub(crate) struct Original {
    pub(crate) body: Rc<Vec<u8>>,
    /// The body that was forwarded; `None`: the client's own.
    pub(crate) forwarded: Option<Rc<Vec<u8>>>,
    pub(crate) api: Api,
    pub(crate) model: Option<String>,
    pub(crate) blocks: Vec<Block>,
}

impl Deferred {
    pub(crate) fn new(memory: Rc<Memory>) -> Self {
        Self { memory, ..Self::default() }
    }

    /// Keeps a body for later. `None`: there is no room.
    pub(crate) fn add(self: &Rc<Self>, original: Original) -> Option<DeferredWork> {
        let kept = self.kept_bytes.get().checked_add(original.bytes()).filter(|kept| *kept <= KEPT_BYTES)?;
        let room = self.memory.room(original.bytes())?;
        self.kept_bytes.set(kept);
        let work = Rc::new(RefCell::new(Work::Waiting(original, room)));
        self.open.borrow_mut().push_back(Rc::downgrade(&work));
        Some(DeferredWork { work, of: Rc::clone(self), turn: None })
    }

    /// Takes the record of a request that has ended. Returns it if no work is left for it or for an earlier
    /// one.
    pub(crate) fn end(
        &self,
        mut told: PendingRecord,
        later: Option<DeferredWork>,
        outlet: Rc<dyn Outlet>,
    ) -> Option<PendingRecord> {
        let (mut original, mut turn) = (None, None);
        if let Some(mut later) = later {
            if self.kept_bytes.get() > BEHIND_BYTES {
                self.finish(&later.work, outlet.memo());
            }
            turn = later.turn.take();
            match later.work.replace(Work::Done(Findings::default())) {
                Work::Waiting(waiting, room) => original = Some((waiting, room)),
                Work::Done(findings) => append(&mut told.record, findings, turn.as_ref()),
            }
        }
        if original.is_none() && self.ended.borrow().is_empty() {
            return Some(told);
        }
        self.ended.borrow_mut().push_back(EndedRequest { told, original, turn, outlet });
        None
    }

    /// How many records of ended requests wait here for this queue.
    pub(crate) fn ended(&self, queue: usize) -> usize {
        self.ended.borrow().iter().filter(|ended| ended.outlet.queue() == queue).count()
    }

    /// Works until `PATIENCE_NANOS` are over. Returns the records that are complete now, each with its
    /// outlet.
    pub(crate) fn work(
        &self,
        memo: &RefCell<Memo>,
        now: impl Fn() -> u64,
    ) -> Vec<(Rc<dyn Outlet>, PendingRecord)> {
        let until = now().saturating_add(PATIENCE_NANOS);
        let mut complete = Vec::new();
        loop {
            match self.complete_next() {
                Some(ended) => complete.push(ended),
                None if self.prepare_next(memo) => {}
                None => return complete,
            }
            if now() >= until {
                return complete;
            }
        }
    }

    /// Completes the record of the request that ended first.
    fn complete_next(&self) -> Option<(Rc<dyn Outlet>, PendingRecord)> {
        let EndedRequest { mut told, original, turn, outlet } = self.ended.borrow_mut().pop_front()?;
        if let Some((original, _room)) = original {
            self.release(&original);
            append(&mut told.record, original.findings(outlet.memo(), &self.prompts), turn.as_ref());
        }
        Some((outlet, told))
    }

    fn prepare_next(&self, memo: &RefCell<Memo>) -> bool {
        let next = self.open.borrow_mut().pop_front();
        if let Some(work) = next.as_ref().and_then(Weak::upgrade) {
            self.finish(&work, memo);
        }
        next.is_some()
    }

    fn finish(&self, work: &RefCell<Work>, memo: &RefCell<Memo>) {
        let mut work = work.borrow_mut();
        if let Work::Waiting(original, _) = &*work {
            self.release(original);
            *work = Work::Done(original.findings(memo, &self.prompts));
        }
    }

    fn release(&self, original: &Original) {
        self.kept_bytes.set(self.kept_bytes.get().saturating_sub(original.bytes()));
    }
}

impl Original {
    fn bytes(&self) -> usize {
        self.body.len().saturating_add(self.forwarded.as_ref().map_or(0, |forwarded| forwarded.len()))
    }

    fn findings(&self, memo: &RefCell<Memo>, prompts: &RefCell<Prompts>) -> Findings {
        let request = Request { model: self.model.as_deref(), ..Request::new(self.api) };
        let forwarded = self.forwarded.as_ref().unwrap_or(&self.body);
        let prefix = prefix::read(self.api, forwarded, &mut prompts.borrow_mut());
        let (forwarded_prefix, cache_layout) = prefix.map(|prefix| (prefix.digests, prefix.layout)).unzip();
        let client_prefix = match &self.forwarded {
            Some(_) => prefix::digests(self.api, &self.body),
            None => forwarded_prefix.clone(),
        };
        Findings {
            appendix: appendix(&self.body, &request, &self.blocks, &mut memo.borrow_mut()),
            client_prefix,
            forwarded_prefix,
            cache_layout,
        }
    }
}

impl DeferredWork {
    /// The turn of this request and of those after it, unless the request itself gives one.
    pub(crate) fn within(&mut self, turn: &Turn) {
        self.turn = Some(Rc::clone(turn));
    }
}

impl Drop for DeferredWork {
    fn drop(&mut self) {
        if let Work::Waiting(original, _) = &*self.work.borrow() {
            self.of.release(original);
        }
    }
}

fn append(record: &mut RequestRecord, findings: Findings, turn: Option<&Turn>) {
    let Findings { appendix, client_prefix, forwarded_prefix, cache_layout } = findings;
    record.cache_layout = cache_layout;
    record.client_prefix = client_prefix;
    record.forwarded_prefix = forwarded_prefix;
    record.turn_id = match (&appendix.turn_id, turn) {
        (None, None) => String::new(),
        (None, Some(turn)) => turn.borrow().clone(),
        (Some(own), turn) => {
            turn.inspect(|turn| own.clone_into(&mut turn.borrow_mut()));
            own.clone()
        }
    };
    if let Some(tokens) = &mut record.tokens {
        tokens.tool_outputs_minified = appendix.tool_outputs_minified;
        tokens.tool_outputs_new_minified = appendix.tool_outputs_new_minified;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;

    fn original(body: &[u8]) -> Original {
        let body = Rc::new(body.to_vec());
        Original { body, forwarded: None, api: Api::AnthropicMessages, model: None, blocks: Vec::new() }
    }

    #[test]
    fn one_tick_works_only_for_a_while() {
        let (deferred, memo) = (Rc::new(Deferred::default()), RefCell::new(Memo::new(1 << 16)));
        let all: Vec<_> = (0..10).map(|_| deferred.add(original(BODY)).unwrap()).collect();
        let clock = Cell::new(0);
        let now = || {
            clock.set(clock.get() + PATIENCE_NANOS / 2);
            clock.get()
        };
        deferred.work(&memo, now);
        assert_eq!(deferred.kept_bytes.get(), BODY.len() * 8);
        drop(all);
        assert_eq!(deferred.kept_bytes.get(), 0, "nothing is kept for a record that is gone");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let deferred = Rc::new(Deferred::default());
        let large = deferred.add(original(&vec![b' '; KEPT_BYTES - BODY.len()]));
        assert!(large.is_some());
        let fits = deferred.add(original(BODY));
        assert!(fits.is_some() && deferred.add(original(b"{}")).is_none());
        drop(large);
        assert!(deferred.add(original(b"{}")).is_some());
    }
}
