//! The functions that the host calls: the names of proxy-wasm, which the crate exports.

#![allow(unsafe_code, reason = "the host reaches the filter over a C interface")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

pub(crate) use proxy_wasm::types::Action;

mod raw {
    use super::Action;

    unsafe extern "C" {
        pub(super) safe fn proxy_on_context_create(context: u32, root: u32);
        pub(super) safe fn proxy_on_delete(context: u32);
    }

    unsafe extern "C" {
        pub(crate) safe fn proxy_on_memory_allocate(size: usize) -> *mut u8;
        pub(crate) safe fn proxy_on_vm_start(root: u32, configuration_size: usize) -> bool;
        pub(crate) safe fn proxy_on_configure(root: u32, configuration_size: usize) -> bool;
        pub(crate) safe fn proxy_on_tick(root: u32);
        pub(crate) safe fn proxy_on_request_headers(context: u32, headers: usize, end: bool) -> Action;
        pub(crate) safe fn proxy_on_request_body(context: u32, size: usize, end: bool) -> Action;
        pub(crate) safe fn proxy_on_request_trailers(context: u32, trailers: usize) -> Action;
        pub(crate) safe fn proxy_on_response_headers(context: u32, headers: usize, end: bool) -> Action;
        pub(crate) safe fn proxy_on_response_body(context: u32, size: usize, end: bool) -> Action;
        pub(crate) safe fn proxy_on_response_trailers(context: u32, trailers: usize) -> Action;
        pub(crate) safe fn proxy_on_http_call_response(
            root: u32,
            token: u32,
            headers: usize,
            body_size: usize,
            trailers: usize,
        );
        pub(crate) safe fn proxy_on_grpc_receive(root: u32, token: u32, size: usize);
        pub(crate) safe fn proxy_on_grpc_close(root: u32, token: u32, status: u32);
        pub(crate) safe fn proxy_on_done(context: u32) -> bool;
    }
}

pub(crate) use raw::{
    proxy_on_configure, proxy_on_done, proxy_on_grpc_close, proxy_on_grpc_receive,
    proxy_on_http_call_response, proxy_on_memory_allocate, proxy_on_request_body, proxy_on_request_headers,
    proxy_on_request_trailers, proxy_on_response_body, proxy_on_response_headers, proxy_on_response_trailers,
    proxy_on_tick, proxy_on_vm_start,
};

thread_local! {
    static STARTED: Cell<bool> = const { Cell::new(false) };
    static CONTEXTS: RefCell<BTreeSet<u32>> = const { RefCell::new(BTreeSet::new()) };
}

/// Creates a context. Each thread plays a VM of its own, and its first context starts the filter there. A
/// test that uses a number again has dropped the last context with it.
pub(crate) fn proxy_on_context_create(context: u32, root: u32) {
    if !STARTED.replace(true) {
        crate::host::keep_log();
        headroom_filter::start();
    }
    if !CONTEXTS.with_borrow_mut(|contexts| contexts.insert(context)) {
        raw::proxy_on_delete(context);
    }
    raw::proxy_on_context_create(context, root);
}

/// Deletes a context, once.
pub(crate) fn proxy_on_delete(context: u32) {
    if CONTEXTS.with_borrow_mut(|contexts| contexts.remove(&context)) {
        raw::proxy_on_delete(context);
    }
}
