//! Bodies of a given size, made from recorded tool outputs, and the engine's own time for them.

pub mod bodies;
pub mod timing;
