//! The contexts of this VM. The crate owns them, and calls each for itself; what a root does for its streams, and a
//! configuration for the next one, needs them all.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::host;
use crate::root::Root;
use crate::settings::Settings;
use crate::stream::Stream;

thread_local! {
    static VM: Vm = Vm::default();
}

#[derive(Default)]
struct Vm {
    roots: RefCell<BTreeMap<u32, Rc<Root>>>,
    streams: RefCell<BTreeMap<u32, SharedStream>>,
}

/// A stream that its context and its VM hold. A host that calls back into a stream from inside one of its calls
/// finds it borrowed, and the callback does nothing.
pub(crate) type SharedStream = Rc<RefCell<Stream>>;

/// Takes a root context in.
pub(crate) fn add_root(id: u32, root: Rc<Root>) {
    VM.with(|vm| vm.roots.borrow_mut().insert(id, root));
}

/// Takes the context of a stream in.
pub(crate) fn add_stream(id: u32, stream: SharedStream) {
    VM.with(|vm| vm.streams.borrow_mut().insert(id, stream));
}

/// The end of a context. A thread that ends may have no VM any more.
pub(crate) fn remove(id: u32) {
    let _ = VM.try_with(|vm| {
        vm.streams.borrow_mut().remove(&id);
        vm.roots.borrow_mut().remove(&id);
    });
}

/// The other roots, the newest first: contexts are numbered upwards.
pub(crate) fn other_roots(id: u32) -> Vec<Rc<Root>> {
    VM.with(|vm| {
        let roots = vm.roots.borrow();
        roots.iter().rev().filter(|(other, _)| **other != id).map(|(_, root)| Rc::clone(root)).collect()
    })
}

/// The streams that fit, whichever root they belong to. One that runs at the moment is passed over.
pub(crate) fn streams(fits: impl Fn(&Stream) -> bool) -> Vec<(u32, SharedStream)> {
    let fits = |stream: &SharedStream| stream.try_borrow().is_ok_and(|stream| fits(&stream));
    VM.with(|vm| {
        let streams = vm.streams.borrow();
        streams.iter().filter(|(_, stream)| fits(stream)).map(|(id, it)| (*id, Rc::clone(it))).collect()
    })
}

/// The stream of a context.
pub(crate) fn stream(id: u32) -> Option<SharedStream> {
    VM.with(|vm| vm.streams.borrow().get(&id).cloned())
}

/// Requests in this VM that will have a record, told by the same reporter.
pub(crate) fn open_records(settings: &Settings) -> usize {
    let open: usize = VM.with(|vm| {
        let streams = vm.streams.borrow();
        let open = streams.values().filter_map(|stream| {
            let stream = stream.try_borrow().ok()?;
            stream.settings.shares_reporter(settings).then(|| stream.open_records())
        });
        open.sum()
    });
    open.saturating_add(settings.ended_records())
}

/// Whether another root than this one tells of its requests in the same way.
pub(crate) fn is_reporter_shared(id: u32, settings: &Settings) -> bool {
    other_roots(id).iter().any(|other| other.settings().shares_reporter(settings))
}

/// Runs what a root does for one of its streams: the calls that it makes have to apply to the stream. False: the
/// host does not let it.
pub(crate) fn on_behalf_of(
    (id, stream): (u32, &SharedStream),
    root: u32,
    settings: &Settings,
    run: impl FnOnce(&mut Stream),
) -> bool {
    if let Err(refused) = host::set_effective_context(id) {
        // What it would do now would happen to another context. The tick ends what waits for too long.
        settings.refused(refused);
        return false;
    }
    if let Ok(mut stream) = stream.try_borrow_mut() {
        run(&mut stream);
    }
    if let Err(refused) = host::set_effective_context(root) {
        settings.refused(refused);
    }
    true
}
