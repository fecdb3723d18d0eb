//! Answers that are given again: a request that equals an earlier one gets what the provider has said to that.
//!
//! Off unless a route or the configuration asks for it. The sidecar keeps the answers, in its memory; the filter decides
//! which requests and answers these are (`headroom_providers::replay`), and makes the keys, so that no credential
//! leaves it (`key`). Before a request is forwarded the sidecar is asked once, with a short deadline (`candidate`, `lookup`), and
//! whatever it does not say in time changes nothing about the request (I1). After a complete answer has passed, the
//! copy that was taken of it is handed over (`copy`).

pub(crate) mod candidate;
pub(crate) mod copy;
pub(crate) mod key;
pub(crate) mod lookup;
pub mod settings;
pub(crate) mod sidecar;
