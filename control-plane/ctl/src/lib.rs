//! What the Headroom command line does, as a library, so that tests can start the same Envoy that
//! `headroomctl up` starts.

pub mod bootstrap;
pub mod cli;
pub mod compress;
pub mod environment;
pub mod mcp;
mod number;
pub mod profile;
pub mod retrieve;
pub mod running;
pub mod stats;
pub mod up;
pub mod upstream;
