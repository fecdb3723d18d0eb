//! Headroom as a proxy-wasm HTTP filter for Envoy and Istio.

#![cfg_attr(
    not(test),
    deny(clippy::panic, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)
)]

pub mod config;
mod lenient;
