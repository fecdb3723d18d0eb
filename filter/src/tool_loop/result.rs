//! What a call of one of our tools gives, and where that comes from.

use headroom_compress::rounds::PageRange;

/// The result of a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct ToolResult {
    /// What the model reads.
    pub(crate) text: String,
    /// Where the text comes from; `None`: not from the request, so no later request can rebuild it.
    pub(crate) source: Option<Source>,
    /// Whether the text says why the call failed.
    pub(crate) is_error: bool,
}

impl ToolResult {
    /// A text that is in no request.
    pub(crate) fn of(text: &str) -> Self {
        Self { text: text.to_owned(), source: None, is_error: false }
    }

    /// The reason why a call failed.
    pub(crate) fn error(text: &str) -> Self {
        Self { is_error: true, ..Self::of(text) }
    }
}

/// A page of a tool output in the request.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The number of the output in the conversation.
    pub(crate) output: u32,
    pub(crate) hash: String,
    pub(crate) range: Option<PageRange>,
}
