//! `headroom.v1`: the contract between the filter and the sidecar.
//!
//! The messages are plain [prost] types, usable inside the proxy-wasm module. With the feature
//! `grpc` the tonic client and server of each service are generated too, and with `pages` there are the JSON pages that
//! headroomd answers.

#[cfg(feature = "pages")]
pub mod llmlingua;
#[cfg(feature = "pages")]
pub mod memory;
pub mod names;
#[cfg(feature = "pages")]
pub mod pages;

/// Version 1 of the contract. Fields are only ever added.
pub mod v1 {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    include!(concat!(env!("OUT_DIR"), "/headroom.v1.rs"));
}

/// Service and method names, as an HTTP/2 `:path` joins them.
pub mod method {
    /// The service that takes reports.
    pub const CONTROL_PLANE: &str = "headroom.v1.ControlPlane";
    /// Hands over the records of finished requests.
    pub const REPORT: &str = "Report";
    /// Which budgets are used up.
    pub const LIMITS: &str = "Limits";
    /// The service that keeps originals.
    pub const ORIGINALS: &str = "headroom.v1.Originals";
    /// Stores originals.
    pub const ADMIT: &str = "Admit";
    /// Gives an original back.
    pub const RETRIEVE: &str = "Retrieve";
    /// The service that keeps facts.
    pub const MEMORY: &str = "headroom.v1.Memory";
    /// Answers a call of one of memory's tools.
    pub const CALL: &str = "Call";
    /// The service that keeps answers.
    pub const ANSWERS: &str = "headroom.v1.Answers";
    /// Asks for an answer.
    pub const FIND: &str = "Find";
    /// Hands an answer over.
    pub const KEEP: &str = "Keep";
}

/// The tokens that the provider got: what was not rewritten has left as it came. Filters before 0.2 called requests
/// unchanged that had got a tool.
#[must_use]
pub const fn forwarded_tokens(outcome: v1::RequestOutcome, tokens: &v1::Tokens) -> u64 {
    match outcome {
        v1::RequestOutcome::Compressed | v1::RequestOutcome::Extended | v1::RequestOutcome::Unchanged => {
            tokens.after
        }
        _ => tokens.before,
    }
}
