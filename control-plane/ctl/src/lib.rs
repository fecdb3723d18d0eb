//! What the Headroom command line does, as a library, so that tests can start the same Envoy that
//! `headroomctl up` starts.

pub mod bootstrap;
pub mod upstream;
