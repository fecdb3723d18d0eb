//! Learns from agents' tool calls about a project. The calls come from session logs or from passing requests, the
//! same pure functions analyze them, and the lessons are written where the agents read them.
//!
//! `headroomctl learn` reads logs ([`gather`]); headroomd sees requests ([`window`]) and stores its findings as
//! [`sighting::Sighting`]s. Both make [`lesson::Lesson`]s of them, and both write through [`apply`].

pub mod analyzers;
pub mod apply;
pub mod deadline;
pub mod failures;
pub mod gather;
pub mod inbox;
pub mod lesson;
pub mod lines;
pub mod merge;
pub mod model;
pub mod plugins;
pub mod project;
pub mod publish;
pub mod recorder;
pub mod shell;
pub mod sighting;
pub mod value;
pub mod window;
pub mod wire;
