//! The end-to-end harness: a real Envoy with the real filter, the real sidecar and a scripted provider.
//!
//! [`Stack::start`] starts the four on free loopback ports and stops them again; a [`client::Connection`]
//! controls every frame of a request; the [`Provider`] records every byte that reached it.

pub mod agent;
pub mod anthropic_cache;
pub mod built;
pub mod client;
pub mod conversation;
pub mod deadline;
pub mod delivery;
pub mod embedder;
pub mod envoy;
pub mod latency;
pub mod leash;
pub mod node;
pub mod proof;
pub mod provider;
pub mod python;
pub mod reading;
pub mod relay;
pub mod replay;
pub mod sidecar;
pub mod skip;
pub mod stack;
pub mod websocket;

pub use provider::{Provider, Script};
pub use stack::Stack;

/// Prints a finding of a test run, which `--nocapture` shows.
#[allow(clippy::print_stdout, reason = "it is what a run is for")]
pub fn say(finding: &str) {
    println!("{finding}");
}
