//! What the benchmarks work on: bodies of a given size, made from recorded tool outputs.

pub mod bodies;
