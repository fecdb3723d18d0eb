//! The APIs of LLM providers: one folder for each, with everything that is particular to it.
//!
//! A folder says where things are in the provider's requests, what its answers mean, how our tool is declared
//! and its calls are recognized, what a refusal for a budget looks like, and which hosts and paths belong to
//! it. Bytes in, values out: no host calls, no clock, no files.
//!
//! A new format is a folder with a `Format`, a new provider a file with a `Provider`; each is one line in
//! [`table`](Api). Their common readers are in the modules next to the folders: the JSON of a whole body
//! (`tape`), JSON in pieces (`scan`), server-sent events (`sse`), AWS event streams (`event_stream`).

#![cfg_attr(
    not(test),
    deny(clippy::panic, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)
)]

#[cfg(all(test, target_family = "wasm", target_os = "unknown"))]
#[macro_use]
extern crate headroom_wasm_test;

pub mod align;
mod allowance;
pub mod answer;
pub mod anthropic;
mod api;
pub mod arguments;
mod azure;
mod base64;
pub mod bedrock;
pub mod cache_edits;
pub mod chatgpt;
mod cohere;
mod context_edits;
pub mod copilot;
mod deepseek;
mod event_stream;
mod format;
mod gemini;
mod json;
pub mod memory_tools;
mod openai;
mod openai_chat;
pub mod openai_responses;
pub mod own_tools;
pub mod path;
pub mod prompt;
mod provider;
pub mod rate_limits;
pub mod reader;
mod reasoning;
pub mod replay;
pub mod retrieve_tool;
pub mod rounds;
pub mod route;
pub mod routing;
pub mod scan;
pub mod simd;
pub mod sort;
pub mod splice;
pub mod sse;
pub mod string;
mod table;
pub mod tape;
pub mod usage;
mod vertex;
pub mod walk;

pub use allowance::RateLimit;
pub use api::Api;
pub use format::{Credentials, Part, Refusal};
pub use own_tools::{MemoryTools, OwnTool, OwnTools};
pub use provider::without_port;
pub use retrieve_tool::NAME as RETRIEVE_TOOL;
pub use tape::NotUnderstood;
