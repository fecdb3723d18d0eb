//! The commands that ask a running Headroom.

mod purge;
mod retrieve;
mod server;
mod stats;
