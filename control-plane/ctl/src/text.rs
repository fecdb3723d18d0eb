//! A single text as a request for the engine.

use serde_json::json;

/// A request with the text as the output of a tool. It lists a tool, because requests without tools are never lossy.
/// `query` says what the text is needed for and decides what is kept.
pub(crate) fn request(text: &str, tool: &str, query: &str) -> String {
    json!({
        "messages": [
            {"role": "user", "content": query},
            {"role": "assistant", "tool_calls": [
                {"id": "call", "type": "function", "function": {"name": tool, "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "call", "content": text},
        ],
        "tools": [{"type": "function", "function": {"name": tool}}],
    })
    .to_string()
}
