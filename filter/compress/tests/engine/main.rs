//! The engine from outside. One program, since each links the engine again; what counts memory or time has its own.

mod code_aware;
mod documents;
mod epochs;
mod failures;
mod families;
mod forms;
mod fuzz;
mod golden;
mod judged;
mod lossy_faults;
mod memory_tools;
mod mutations;
mod net;
mod numbers;
mod placeholder;
mod pressure;
mod reached;
mod references;
mod retrieve_tool;
mod statements;
mod tables;
mod text_model;
mod tokens;
mod told_true;
mod untouchables;
mod wasm;
