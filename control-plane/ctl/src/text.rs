//! A single text as a request for the engine.

use serde_json::json;

/// A request in which the text is what a tool printed. It lists a tool, as one without is never lossy. `query` is what
/// the text is wanted for, which steers what stays.
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
