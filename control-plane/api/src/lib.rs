//! `headroom.v1`: the contract between the filter and the sidecar.
//!
//! The messages are plain [prost] types, usable inside the proxy-wasm module. With the feature
//! `grpc` the tonic client and server of each service are generated too.

/// Version 1 of the contract. Fields are only ever added.
pub mod v1 {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    include!(concat!(env!("OUT_DIR"), "/headroom.v1.rs"));
}

/// The full method names, as an HTTP/2 `:path` without the leading slash splits them.
pub mod method {
    /// The service that the sidecar offers to the filter.
    pub const SERVICE: &str = "headroom.v1.ControlPlane";
    /// Hands over the records of finished requests.
    pub const REPORT: &str = "Report";
}
