//! How a request asks Anthropic to drop thinking that does not fit the text before it, instead of refusing
//! the request.

use crate::api::Api;
use crate::rounds::object_with_member;
use crate::route::{Purpose, Route};

/// Switches `block_binding` on, in the header [`BETA_HEADER`].
pub const BETA: &[u8] = b"thinking-binding-controls-2026-08-01";

/// The header that lists betas.
pub const BETA_HEADER: &str = "anthropic-beta";

/// The behavior that is asked for.
const DROP_BLOCK: &str = r#"{"prefix_mismatch_behavior":"drop_block"}"#;

impl Route {
    /// Whether a request can be sent once more. Vertex AI and Bedrock spell the switch differently, and
    /// Bedrock's requests are signed after this filter.
    pub fn is_recoverable(&self) -> bool {
        self.api == Api::AnthropicMessages && self.provider == "anthropic" && self.purpose == Purpose::Answer
    }
}

/// The body that lets the provider drop thinking; `None`: it does not ask for thinking, or the client has set
/// the behavior itself.
pub fn body_that_drops(body: &[u8]) -> Option<Vec<u8>> {
    object_with_member(body, "thinking", "block_binding", DROP_BLOCK)
}
