//! A request with one output of a command.

use serde_json::json;

/// A request to Anthropic after this command and its output.
pub(crate) fn request(command: &str, output: &str) -> String {
    json!({"model": "claude-sonnet-4-5", "max_tokens": 1,
        "tools": [{"name": "Bash", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "t", "name": "Bash", "input": {"command": command}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": output}]}]})
    .to_string()
}
