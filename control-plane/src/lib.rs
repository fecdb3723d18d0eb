//! `headroomd`: the sidecar that holds everything that needs memory.
//!
//! The filter sends one record per request (gRPC, `headroom.v1`). The ledger counts each exactly once and
//! acknowledges it after it is durable. People and Prometheus read the sums over HTTP. Copies of originals
//! are stored after their request was forwarded.
//! The pages are described in `docs/api.md`. *Upstream* is the Python product; the pages use its names.

mod allowance;
pub mod answers;
pub mod budget;

pub mod clock;
mod decisions;
mod filters;
mod gateway;
mod grpc;
mod healthcheck;
mod http;
pub mod learn;
pub mod ledger;
mod limits;
mod listen;
pub mod memory;
mod messages;
pub mod models;
pub mod offline;
pub mod originals;
pub mod purge;
mod recent;
pub mod relevance;
mod request_log;
pub mod retention;
mod server;
mod sessions;
pub mod settings;
mod stage_timings;
mod stats;

pub mod store;
mod subscriptions;
mod tasks;
pub mod telemetry;
pub mod tenants;
mod text_model;
mod toin;
pub mod token;
pub mod trouble;
mod upstream;
mod url;
mod warmup;

pub use healthcheck::healthcheck;
pub use server::{Addresses, Running, start};
