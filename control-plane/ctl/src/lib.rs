//! What the Headroom command line does, as a library, so that tests can start the same Envoy that
//! `headroomctl up` starts.

mod agents;
mod background;
pub mod bootstrap;
pub mod cli;
pub mod compress;
pub mod config;
pub mod doctor;
mod edits;
pub mod env;
pub mod environment;
mod figures;
pub mod history;
pub mod learn;
pub mod logs;
pub mod mcp;
pub mod misuse;
mod number;
pub mod perf;
pub mod profile;
mod progress;
pub mod providers;
pub mod purge;
pub mod report;
pub mod retrieve;
pub mod running;
pub mod service;
pub mod stats;
pub mod status;
pub mod telemetry;
pub mod token;
pub mod unwrap;
pub mod up;
pub mod upstream;
pub mod wrap;
