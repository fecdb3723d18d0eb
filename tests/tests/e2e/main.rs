//! The system from end to end: every request goes through a real Envoy with the real filter.

mod answers;
mod bodies;
mod command_line;
mod configuration;
mod delivered;
mod demo;
mod forwarding;
mod production;
mod reversible;
mod sidecar;
mod stacks;
mod unread;
