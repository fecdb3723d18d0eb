//! `headroom.v1`: the contract between the filter and the sidecar.
//!
//! The messages are plain [prost] types that the proxy-wasm module can use. The feature `grpc` adds the tonic client
//! and server of each service. The feature `pages` adds the JSON pages of headroomd; some of their names come from
//! *upstream*, the Python product.

#[cfg(feature = "pages")]
pub mod llmlingua;
#[cfg(feature = "pages")]
pub mod memory;
pub mod names;
#[cfg(feature = "pages")]
pub mod pages;

/// Version 1 of the contract. Fields are only ever added. `make proto` writes its Rust from `proto/`.
pub mod v1 {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    include!("headroom.v1.rs");
}

/// Service and method names, as an HTTP/2 `:path` joins them.
pub mod method {
    /// The service that takes reports.
    pub const CONTROL_PLANE: &str = "headroom.v1.ControlPlane";
    /// Delivers the records of finished requests.
    pub const REPORT: &str = "Report";
    /// Which budgets are used up.
    pub const LIMITS: &str = "Limits";
    /// The service that keeps originals.
    pub const ORIGINALS: &str = "headroom.v1.Originals";
    /// Stores copies of originals.
    pub const ADMIT: &str = "Admit";
    /// Returns an original.
    pub const RETRIEVE: &str = "Retrieve";
    /// The service that keeps facts.
    pub const MEMORY: &str = "headroom.v1.Memory";
    /// Answers a call of one of memory's tools.
    pub const CALL: &str = "Call";
    /// Says what a conversation begins with.
    pub const CONTEXT: &str = "Context";
    /// The service that keeps answers.
    pub const ANSWERS: &str = "headroom.v1.Answers";
    /// Asks for an answer.
    pub const FIND: &str = "Find";
    /// Stores an answer.
    pub const KEEP: &str = "Keep";
    /// The service that asks the text model.
    pub const TEXT_MODEL: &str = "headroom.v1.TextModel";
    /// Decides what stays of texts.
    pub const DECIDE: &str = "Decide";
}

/// The tokens that the provider received. If nothing was rewritten, these are all tokens of the request. Filters
/// before 0.2 reported requests as unchanged even if they had added a tool.
#[must_use]
pub const fn forwarded_tokens(outcome: v1::RequestOutcome, tokens: &v1::Tokens) -> u64 {
    match outcome {
        v1::RequestOutcome::Compressed | v1::RequestOutcome::Extended | v1::RequestOutcome::Unchanged => {
            tokens.after
        }
        _ => tokens.before,
    }
}
