//! The sidecar as a process: real gRPC, real HTTP, real signals.

mod access;
mod budgets;
mod cache_page;
mod child;
mod compress;
mod dashboard;
mod decisions;
mod events;
mod facts;
mod health;
mod healthcheck;
mod history;
mod hostile;
mod kill;
mod learn;
mod memory;
mod messages;
mod mismatches;
mod originals;
mod pages;
mod recent;
mod records;
mod report;
mod request_log;
mod retrieve;
mod tenants;
#[cfg(feature = "llmlingua")]
mod text_model;
