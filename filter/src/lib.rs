//! Headroom as a proxy-wasm HTTP filter for Envoy and Istio.
//!
//! This crate is only the connection to the host: the engine, `headroom-compress`, decides what is done to a
//! body. `root` applies configurations. A `stream` carries one `exchange`, with a `request` and a `response`
//! that each own their phase, or a `websocket` session with many exchanges. `recovery` handles a refusal for
//! a changed prefix, and `follow` handles calls of our own tools. The host calls `root_context` and
//! `http_context` through the crate `proxy-wasm`. `host` holds our calls to the host where that crate would
//! panic.

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
mod contexts;
mod copies;
mod credential;
mod deferred;
mod encoding;
mod epochs;
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
mod memory_context;
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
pub mod text_model;
mod tool_loop;
mod traffic;
mod unrecognized;
mod upstream;
mod vm;
mod websocket;
mod work;

/// The function that the host runs first.
#[cfg(target_os = "wasi")]
#[allow(missing_docs, reason = "the crate's macro declares it")]
mod initialize {
    proxy_wasm::main! {{
        proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
        crate::start();
    }}
}

/// Makes this filter create the root contexts of this thread.
pub fn start() {
    proxy_wasm::set_root_context(|id| Box::new(root_context::Plugin::new(id)));
}
