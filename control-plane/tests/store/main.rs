//! One suite for all kinds of store, and two sidecars that share one.

mod bill;
mod cache;
#[path = "../sidecar/child.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod child;
mod damage;
#[path = "../sidecar/facts.rs"]
mod facts;
mod jsonl;
mod learn;
mod memory;
mod memory_contexts;
mod memory_eval;
mod memory_isolation;
mod memory_tools;
mod originals;
mod postgres;
#[path = "../../../tests/src/provider/prompt_cache.rs"]
mod prompt_cache;
#[path = "../sidecar/records.rs"]
mod records;
mod replicas;
mod server;
mod sqlite;
mod suite;
mod upgrade;
