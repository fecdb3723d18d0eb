//! What a record needs and its request does not: worked out once the request has left.
//!
//! The turn's id and the baseline of plain minification take one more look at the body. It is kept until the
//! next tick, or until the answer is complete where that comes first. Nobody waits for either.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use headroom_compress::{Api, Appendix, Block, Memo, Request, appendix};

/// Bodies that are kept together, per VM, which has 1 GiB. A request that finds no room is reported
/// without what would be worked out from its body.
const KEPT_BYTES: usize = 32 << 20;
/// For how long one tick works, in nanoseconds: what comes meanwhile has to wait. What is left is for the
/// next one.
const PATIENCE_NANOS: u64 = 5_000_000;

/// The work of a VM.
#[derive(Debug, Default)]
pub(crate) struct Deferred {
    waiting: RefCell<VecDeque<Weak<RefCell<Work>>>>,
    kept_bytes: Cell<usize>,
}

/// The work for one record.
#[derive(Debug)]
pub(crate) struct Later {
    work: Rc<RefCell<Work>>,
    of: Rc<Deferred>,
}

#[derive(Debug)]
enum Work {
    Waiting(Original),
    Done(Appendix),
}

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Original {
    pub(crate) body: Vec<u8>,
    pub(crate) api: Api,
    pub(crate) model: Option<String>,
    pub(crate) blocks: Vec<Block>,
}

impl Deferred {
    /// Keeps a body for later. `None`: there is no room.
    pub(crate) fn add(self: &Rc<Self>, original: Original) -> Option<Later> {
        let kept = self.kept_bytes.get().checked_add(original.body.len());
        self.kept_bytes.set(kept.filter(|kept| *kept <= KEPT_BYTES)?);
        let work = Rc::new(RefCell::new(Work::Waiting(original)));
        self.waiting.borrow_mut().push_back(Rc::downgrade(&work));
        Some(Later { work, of: Rc::clone(self) })
    }

    /// Does what there is to do, for a while.
    pub(crate) fn work(&self, memo: &RefCell<Memo>, now: impl Fn() -> u64) {
        let until = now().saturating_add(PATIENCE_NANOS);
        loop {
            let next = self.waiting.borrow_mut().pop_front();
            let Some(work) = next else { return };
            if let Some(work) = work.upgrade() {
                self.finish(&work, memo);
            }
            if now() >= until {
                return;
            }
        }
    }

    fn finish(&self, work: &RefCell<Work>, memo: &RefCell<Memo>) {
        let mut work = work.borrow_mut();
        if let Work::Waiting(original) = &*work {
            self.release(original);
            let Original { body, api, model, blocks } = original;
            let request = Request { model: model.as_deref(), ..Request::new(*api) };
            *work = Work::Done(appendix(body, &request, blocks, &mut memo.borrow_mut()));
        }
    }

    fn release(&self, original: &Original) {
        self.kept_bytes.set(self.kept_bytes.get().saturating_sub(original.body.len()));
    }
}

impl Later {
    /// The result, worked out now if it was not before.
    pub(crate) fn result(&self, memo: &RefCell<Memo>) -> Appendix {
        self.of.finish(&self.work, memo);
        match &*self.work.borrow() {
            Work::Done(appendix) => appendix.clone(),
            Work::Waiting(_) => Appendix::default(),
        }
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        if let Work::Waiting(original) = &*self.work.borrow() {
            self.of.release(original);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;

    fn original(body: &[u8]) -> Original {
        Original { body: body.to_vec(), api: Api::AnthropicMessages, model: None, blocks: Vec::new() }
    }

    #[test]
    fn the_tick_and_the_end_of_the_answer_find_the_same() {
        let (deferred, memo) = (Rc::new(Deferred::default()), RefCell::new(Memo::new(1 << 16)));
        let [first, second] = [(); 2].map(|()| deferred.add(original(BODY)).unwrap());
        let at_the_end = first.result(&memo);
        assert!(at_the_end.turn_id.is_some());
        deferred.work(&memo, || 0);
        assert_eq!(deferred.kept_bytes.get(), 0, "the tick lets the bodies go");
        assert_eq!(second.result(&memo), at_the_end);
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
