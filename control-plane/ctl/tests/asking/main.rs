//! The commands that ask a running Headroom.

mod retrieve;
mod server;
mod stats;
