//! The contexts of this VM: which root or stream a callback is for.
//!
//! A context is taken out of its table while it runs. A host that calls back into the same context
//! from inside a call finds nothing there, and the callback does nothing, instead of a borrow that
//! panics.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::deferred::Outlet as _;
use crate::host::{self, Action};
use crate::root::Root;
use crate::sent::HttpAnswer;
use crate::settings::Settings;
use crate::stream::Stream;

thread_local! {
    static VM: Vm = Vm::default();
}

#[derive(Default)]
struct Vm {
    roots: RefCell<HashMap<u32, Rc<Root>>>,
    streams: RefCell<HashMap<u32, Box<Stream>>>,
    /// The streams that are taken out while they run, innermost last.
    running: RefCell<Vec<u32>>,
}

/// A new context: a root where `root_id` is 0, otherwise a stream of that root.
pub(crate) fn create(id: u32, root_id: u32) {
    host::start_logging();
    VM.with(|vm| {
        if root_id == 0 {
            let root = Rc::new(Root::new());
            vm.roots.borrow_mut().insert(id, root);
        } else if let Some(root) = vm.root(root_id) {
            vm.streams.borrow_mut().insert(id, Box::new(Stream::new(id, root.settings())));
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

/// The tick of a root: reports, and the end of waits that have become pointless.
pub(crate) fn tick(id: u32) {
    with_root(id, |root| {
        let settings = root.settings();
        work(id, &settings);
        if !settings.is_round_due() {
            return;
        }
        root.on_tick(open_records);
        let now = settings.now();
        let overdue: Vec<u32> = VM.with(|vm| {
            let streams = vm.streams.borrow();
            let own = streams
                .iter()
                .filter(|(_, stream)| Rc::ptr_eq(&stream.settings, &settings) || stream.waits_for_sidecar());
            own.filter(|(_, stream)| stream.is_overdue(now)).map(|(id, _)| *id).collect()
        });
        if !overdue.is_empty() {
            release(id, &overdue, &settings);
        }
    });
}

/// Requests in this VM that will have a record, told by the same reporter.
fn open_records(settings: &Settings) -> usize {
    let open: usize = VM.with(|vm| {
        let streams = vm.streams.borrow();
        let own = streams.values().filter(|stream| stream.settings.shares_reporter(settings));
        own.map(|stream| stream.open_records()).sum()
    });
    open.saturating_add(settings.requests.deferred.ended(settings.queue()))
}

/// A context is done: its stream has ended, or its configuration is used by nobody any more.
pub(crate) fn done(id: u32) {
    with_stream(id, |stream| {
        stream.end();
        Action::Continue
    });
    with_root(id, |root| {
        let settings = root.settings();
        let is_used = VM.with(|vm| {
            let roots = vm.roots.borrow();
            roots.iter().any(|(other, it)| *other != id && it.settings().shares_reporter(&settings))
        });
        if !is_used {
            settings.finish_deferred();
            settings.note_open(open_records(&settings));
            settings.hand_over();
        }
    });
}

/// The turn of one of the requests that wait in this VM, whichever root they belong to: a root may end before its
/// streams do.
fn work(root: u32, settings: &Settings) {
    let in_work = &settings.requests.in_work;
    let mut effective = root;
    while let Some(id) = in_work.next(settings.config.bodies_in_work) {
        if let Err(refused) = host::set_effective_context(id) {
            settings.refused(refused);
            in_work.put_back(id);
            break;
        }
        effective = id;
        let mut has_waited = false;
        with_stream(id, |stream| {
            has_waited = stream.take_turn();
            Action::Continue
        });
        if has_waited {
            break;
        }
    }
    if effective != root
        && let Err(refused) = host::set_effective_context(root)
    {
        settings.refused(refused);
    }
    if in_work.has_any() {
        settings.hurry();
    } else {
        settings.calm();
    }
}

fn release(root: u32, streams: &[u32], settings: &Settings) {
    for id in streams {
        // What `release` writes belongs to the stream, so the calls have to apply to it.
        if let Err(refused) = host::set_effective_context(*id) {
            settings.refused(refused);
            continue;
        }
        with_stream(*id, |stream| {
            stream.release();
            Action::Continue
        });
    }
    if let Err(refused) = host::set_effective_context(root) {
        settings.refused(refused);
    }
}

/// The answer to a unary gRPC call, of this size; `None`: it failed.
///
/// Calls belong to the root context, whoever makes them: Envoy tells the root of their answers and shows
/// those to the root only, also when the stream that asked is gone. So the answer is read here, and handed
/// to the stream that waits for its token.
pub(crate) fn grpc_answered(id: u32, token: u32, size: Option<usize>) {
    let Some(root) = root_of(id) else { return };
    let message = size.and_then(|size| root.settings().grpc_message(size));
    match waiting(id, |stream| stream.waits_for_grpc(token)) {
        Some(stream) => on_behalf_of(stream, id, &root.settings(), |stream| {
            stream.on_grpc_answer(token, message.as_deref());
        }),
        None => root.settings().on_grpc_answer(token, message.as_deref()),
    }
}

/// As [`grpc_answered`] for an HTTP call.
pub(crate) fn http_answered(id: u32, token: u32, size: Option<usize>) {
    let Some(root) = root_of(id) else { return };
    let Some(stream) = waiting(id, |stream| stream.waits_for_http(token)) else { return };
    let settings = root.settings();
    let answer =
        size.and_then(|size| HttpAnswer::read(size).map_err(|it| settings.refused(it)).ok().flatten());
    on_behalf_of(stream, id, &settings, |stream| stream.on_http_answer(token, answer));
}

/// The root that a callback is for, or that of the stream that it is for.
fn root_of(id: u32) -> Option<Rc<Root>> {
    VM.with(|vm| {
        let settings = vm.streams.borrow().get(&id).map(|stream| Rc::clone(&stream.settings));
        match settings {
            Some(settings) => {
                let roots = vm.roots.borrow();
                let own = roots.values().find(|root| Rc::ptr_eq(&root.settings(), &settings));
                own.or_else(|| roots.values().next()).cloned()
            }
            None => vm.root(id),
        }
    })
}

/// The stream that waits: that of the callback itself, or one of its root's.
fn waiting(id: u32, waits: impl Fn(&Stream) -> bool) -> Option<u32> {
    VM.with(|vm| {
        let streams = vm.streams.borrow();
        if streams.contains_key(&id) {
            return Some(id);
        }
        streams.iter().find(|(_, stream)| waits(stream)).map(|(id, _)| *id)
    })
}

/// Runs a stream's part of a callback for another context: what it does has to apply to the stream.
fn on_behalf_of(stream: u32, context: u32, settings: &Settings, run: impl FnOnce(&mut Stream)) {
    if stream != context
        && let Err(refused) = host::set_effective_context(stream)
    {
        // What it would do now would happen to another context. The tick ends what waits for too long.
        settings.refused(refused);
        return;
    }
    with_stream(stream, |stream| {
        run(stream);
        Action::Continue
    });
    if stream != context
        && let Err(refused) = host::set_effective_context(context)
    {
        settings.refused(refused);
    }
}

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
    VM.with(|vm| vm.running.borrow_mut().push(id));
    let action = run(&mut stream);
    VM.with(|vm| {
        // One that the host has ended meanwhile is not put back: nobody would ever take it out.
        let mut running = vm.running.borrow_mut();
        if let Some(at) = running.iter().rposition(|of| *of == id) {
            running.swap_remove(at);
            vm.streams.borrow_mut().insert(id, stream);
        }
    });
    action
}

/// The end of a context.
pub(crate) fn delete(id: u32) {
    let stream = VM.with(|vm| vm.streams.borrow_mut().remove(&id));
    if let Some(mut stream) = stream {
        stream.end();
    }
    VM.with(|vm| vm.running.borrow_mut().retain(|running| *running != id));
    VM.with(|vm| vm.roots.borrow_mut().remove(&id));
}

impl Vm {
    fn root(&self, id: u32) -> Option<Rc<Root>> {
        self.roots.borrow().get(&id).cloned()
    }
}
