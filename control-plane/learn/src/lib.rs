//! What tool calls of agents teach about a project: read from session logs or from requests as they pass, analyzed by
//! the same pure functions, and written where the agents read it.
//!
//! `headroomctl learn` reads logs ([`gather`]); headroomd sees requests ([`window`]) and keeps what it finds as
//! [`sighting::Sighting`]s. Both make [`lesson::Lesson`]s of it, and both write through [`apply`].

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
