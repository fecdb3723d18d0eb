//! Headroom as a proxy-wasm HTTP filter for Envoy and Istio.
//!
//! Host glue only: the engine, `headroom-compress`, decides what is done to a body. `root` puts configurations in
//! force. A `stream` carries one `exchange`, with a `request` and a `response` that each own their phase, or a
//! `websocket` session with many. What a response may need is `recovery` (a refusal for a changed prefix) and `follow`
//! (calls of our own tool). `host` is the only way to the host. This file is what the host calls: ABI 0.2.1 of proxy-wasm.

#![cfg_attr(
    not(test),
    deny(clippy::panic, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)
)]

mod agent;
mod answer;
mod body;
mod call;
pub mod config;
mod copies;
mod credential;
mod deferred;
mod encoding;
mod exchange;
mod follow;
mod frames;
mod handover;
mod hold;
mod host;
mod in_work;
mod lenient;
mod limits;
mod memory;
mod messages;
mod metrics;
pub mod mode;
mod name;
mod originals;
mod outgoing;
mod prefix;
mod recoveries;
mod recovery;
mod report;
mod request;
mod request_headers;
mod response;
mod rewrite;
mod root;
mod rpc;
pub mod rules;
mod sent;
mod session;
mod sessions;
mod settings;
mod stream;
mod structure;
pub mod tenant;
mod tool_loop;
mod unrecognized;
mod upstream;
mod vm;
mod websocket;
mod work;

/// What the host calls.
#[allow(unsafe_code, reason = "an exported name is an unsafe attribute: no other symbol may have it")]
#[allow(missing_docs, reason = "the names are proxy-wasm's, and so is their meaning")]
pub mod exports {
    pub use crate::host::Action;
    use crate::{host, vm};

    #[cfg(target_os = "wasi")]
    #[unsafe(no_mangle)]
    extern "C" fn _initialize() {
        unsafe extern "C" {
            fn __wasm_call_ctors();
        }
        // SAFETY: the host calls `_initialize` once and first, which is when constructors must run.
        unsafe { __wasm_call_ctors() }
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_abi_version_0_2_1() {}

    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
        host::allocate(size)
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_context_create(context: u32, root: u32) {
        vm::create(context, root);
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_vm_start(_root: u32, _configuration_size: usize) -> bool {
        true
    }

    /// Always true: whatever the configuration is, Envoy must start.
    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_configure(root: u32, configuration_size: usize) -> bool {
        vm::configure(root, configuration_size);
        true
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_tick(root: u32) {
        vm::tick(root);
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_request_headers(context: u32, _headers: usize, end_of_stream: bool) -> Action {
        vm::with_stream(context, |stream| stream.on_request_headers(end_of_stream))
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_request_body(context: u32, size: usize, end_of_stream: bool) -> Action {
        vm::with_stream(context, |stream| stream.on_request_body(size, end_of_stream))
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_request_trailers(context: u32, _trailers: usize) -> Action {
        vm::with_stream(context, |stream| stream.on_request_trailers())
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_response_headers(
        context: u32,
        _headers: usize,
        end_of_stream: bool,
    ) -> Action {
        vm::with_stream(context, |stream| stream.on_response_headers(end_of_stream))
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_response_body(context: u32, size: usize, end_of_stream: bool) -> Action {
        vm::with_stream(context, |stream| stream.on_response_body(size, end_of_stream))
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_response_trailers(context: u32, _trailers: usize) -> Action {
        vm::with_stream(context, |stream| stream.on_response_trailers())
    }

    /// Without headers: there is no answer.
    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_http_call_response(
        context: u32,
        token: u32,
        headers: usize,
        body_size: usize,
        _trailers: usize,
    ) {
        vm::http_answered(context, token, (headers > 0).then_some(body_size));
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_grpc_receive(context: u32, token: u32, size: usize) {
        vm::grpc_answered(context, token, Some(size));
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_grpc_close(context: u32, token: u32, _status: u32) {
        vm::grpc_answered(context, token, None);
    }

    /// Always true: Envoy waits for nobody. What a root still has to tell is left to another VM.
    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_done(context: u32) -> bool {
        vm::done(context);
        true
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn proxy_on_delete(context: u32) {
        vm::delete(context);
    }
}
