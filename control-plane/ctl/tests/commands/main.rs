//! The commands from outside. One program, since each links all of them again.

mod bootstrap;
mod cache;
mod compress;
mod count;
mod learn;
mod mcp_project;
mod open;
mod purge;
mod retrieve;
mod server;
mod stats;
