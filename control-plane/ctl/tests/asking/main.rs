//! The commands that ask a running Headroom.

mod cache;
mod open;
mod purge;
mod retrieve;
mod server;
mod stats;
