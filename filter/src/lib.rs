//! Headroom as a proxy-wasm HTTP filter for Envoy and Istio.
//!
//! Host glue only: the engine, `headroom-compress`, decides what is done to a body. `root` puts configurations in
//! force. A `stream` carries one `exchange`, with a `request` and a `response` that each own their phase, or a
//! `websocket` session with many. What a response may need is `recovery` (a refusal for a changed prefix) and `follow`
//! (calls of our own tool). The host calls `root_context`
//! and `http_context`, by way of the crate `proxy-wasm`; `host` are the calls in the other direction that the crate would panic on.

#![cfg_attr(
    not(test),
    deny(clippy::panic, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)
)]

mod agent;
mod answer;
pub mod answer_cache;
mod body;
mod cache_edits;
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
mod http_context;
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
mod own_tools;
pub mod prefix;
mod prompt_cache;
mod recoveries;
mod recovery;
mod report;
mod request;
mod request_headers;
mod response;
mod rewrite;
mod root;
mod root_context;
mod rpc;
pub mod rules;
mod sent;
mod session;
mod sessions;
mod settings;
mod stream;
mod structure;
pub mod system_lines;
pub mod tenant;
mod tool_loop;
mod unrecognized;
mod upstream;
mod vm;
mod websocket;
mod work;

/// What the host runs first.
#[cfg(target_os = "wasi")]
#[allow(missing_docs, reason = "the crate's macro declares it")]
mod initialize {
    proxy_wasm::main! {{
        proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
        crate::start();
    }}
}

/// Has the root contexts of this thread be this filter's.
pub fn start() {
    proxy_wasm::set_root_context(|id| Box::new(root_context::Plugin::new(id)));
}
