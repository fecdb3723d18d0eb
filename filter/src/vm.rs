//! The contexts of this VM: which root or stream a callback is for.
//!
//! A context is taken out of its table while it runs. A host that calls back into the same context
//! from inside a call finds nothing there, and the callback does nothing, instead of a borrow that
//! panics.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::config::BodyMode;
use crate::host::{self, Action, Level};
use crate::root::{Root, Settings};
use crate::stream::Stream;

thread_local! {
    static VM: Vm = Vm::default();
}

#[derive(Default)]
struct Vm {
    roots: RefCell<HashMap<u32, Rc<Root>>>,
    streams: RefCell<HashMap<u32, Box<Stream>>>,
}

/// A new context: a root where `root_id` is 0, otherwise a stream of that root.
pub(crate) fn create(id: u32, root_id: u32) {
    VM.with(|vm| {
        if root_id == 0 {
            let root = Rc::new(Root::new());
            vm.roots.borrow_mut().insert(id, root);
        } else if let Some(root) = vm.root(root_id) {
            vm.streams.borrow_mut().insert(id, Box::new(Stream::new(root.settings())));
        }
    });
}

/// A plugin configuration for a root.
pub(crate) fn configure(id: u32, size: usize) {
    VM.with(|vm| {
        let Some(root) = vm.root(id) else { return };
        let mut others: Vec<(u32, Rc<Root>)> =
            vm.roots.borrow().iter().map(|(id, root)| (*id, Rc::clone(root))).collect();
        others.retain(|(other, _)| *other != id);
        // The newest first: contexts are numbered upwards.
        others.sort_unstable_by_key(|(other, _)| std::cmp::Reverse(*other));
        let others: Vec<Rc<Root>> = others.into_iter().map(|(_, root)| root).collect();
        root.on_configure(size, &others);
    });
}

/// The tick of a root: reports, and the end of holds that the host does not support.
pub(crate) fn tick(id: u32) {
    with_root(id, |root| {
        root.on_tick();
        let settings = root.settings();
        if settings.config.body_mode == BodyMode::Hold && !settings.hold.is_proven() {
            release_stuck(id, &settings);
        }
    });
}

fn release_stuck(root: u32, settings: &Rc<Settings>) {
    let now = settings.now();
    let ids: Vec<u32> = VM.with(|vm| vm.streams.borrow().keys().copied().collect());
    for id in ids {
        // What `release` writes belongs to the stream, so the calls have to apply to it.
        if let Err(refused) = host::set_effective_context(id) {
            settings.refused(refused);
            continue;
        }
        with_stream(id, |stream| {
            if Rc::ptr_eq(&stream.settings, settings) && stream.release(now) {
                if settings.hold.usable() {
                    settings.hold.unsupported();
                    host::log(Level::Error, UNSUPPORTED);
                }
                if let Err(refused) = host::continue_request() {
                    settings.refused(refused);
                }
            }
            Action::Continue
        });
    }
    if let Err(refused) = host::set_effective_context(root) {
        settings.refused(refused);
    }
}

const UNSUPPORTED: &str = "headroom: body_mode is hold, but the host holds the body with the headers: \
    allow_on_headers_stop_iteration is not set. From now on lengths are stripped, as with body_mode strip";

/// Runs a callback on a root.
pub(crate) fn with_root(id: u32, run: impl FnOnce(&Root)) {
    if let Some(root) = VM.with(|vm| vm.root(id)) {
        run(&root);
    }
}

/// Runs a callback on a stream. One that is not there lets its bytes pass.
pub(crate) fn with_stream(id: u32, run: impl FnOnce(&mut Stream) -> Action) -> Action {
    let Some(mut stream) = VM.with(|vm| vm.streams.borrow_mut().remove(&id)) else {
        return Action::Continue;
    };
    let action = run(&mut stream);
    VM.with(|vm| vm.streams.borrow_mut().insert(id, stream));
    action
}

/// The end of a context.
pub(crate) fn delete(id: u32) {
    let stream = VM.with(|vm| vm.streams.borrow_mut().remove(&id));
    if let Some(mut stream) = stream {
        stream.finish();
    }
    VM.with(|vm| vm.roots.borrow_mut().remove(&id));
}

impl Vm {
    fn root(&self, id: u32) -> Option<Rc<Root>> {
        self.roots.borrow().get(&id).cloned()
    }
}
