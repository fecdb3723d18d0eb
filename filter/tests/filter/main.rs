//! The whole filter, driven through its exports over a host that tests control.

mod answer_cache;
mod answers;
mod append_only;
mod bodies;
mod budgets;
mod configuration;
mod encodings;
mod exports;
mod formats;
mod frames;
mod garbage;
mod headers;
mod host;
mod messages;
mod mismatches;
mod proxy;
mod refusals;
mod remembering;
mod reports;
mod retrieving;
mod room;
mod rules;
mod session_ends;
mod sessions;
mod slices;
mod tenants;
