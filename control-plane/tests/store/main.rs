//! One suite for both kinds of store, and two sidecars that share one.

#[path = "../sidecar/child.rs"]
#[allow(dead_code, reason = "the other tests use the rest")]
mod child;
mod damage;
mod originals;
mod postgres;
#[path = "../sidecar/records.rs"]
mod records;
mod replicas;
mod server;
mod sqlite;
mod suite;
mod upgrade;
