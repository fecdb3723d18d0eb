//! The system from end to end: every request goes through a real Envoy with the real filter.

mod answers;
mod bodies;
mod command_line;
mod configuration;
mod delivered;
mod demo;
mod formats;
mod forwarding;
#[path = "../../../control-plane/tests/store/server.rs"]
mod postgres;
mod production;
mod replicas;
mod reversible;
mod sidecar;
mod signed;
mod stacks;
mod unread;
mod websockets;
