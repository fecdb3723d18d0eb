//! Calls that outlive the stream that makes them. The host ends a stream's calls with it, and what is more than a window of
//! HTTP/2 is not with the sidecar by then; so such a call is made in the name of a root context.

use std::cell::Cell;

use crate::host;
use crate::settings::Settings;

thread_local! {
    /// A root context of this VM; 0: there is none.
    static ROOT: Cell<u32> = const { Cell::new(0) };
}

/// From now on such calls are made in the name of this root context.
pub(crate) fn set_root(id: u32) {
    // A thread that ends may have none any more.
    let _ = ROOT.try_with(|root| root.set(id));
}

/// Makes a call of this stream to whose answer nobody listens.
pub(crate) fn call<T>(stream: u32, settings: &Settings, call: impl FnOnce() -> T) -> T {
    let root = ROOT.get();
    let is_moved = root != 0 && apply_to(root, settings);
    let done = call();
    if is_moved {
        apply_to(stream, settings);
    }
    done
}

fn apply_to(context: u32, settings: &Settings) -> bool {
    host::set_effective_context(context).map_err(|refused| settings.refused(refused)).is_ok()
}
