//! The progress of a conversation, from a single request.

use std::borrow::Cow;

use serde_json::Value;

use super::script::Script;

/// What decides which part of a script answers a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Progress {
    /// This many requests of its name came before.
    Turn(usize),
    /// It has tools, and contains this many outputs of them.
    Outputs(usize),
    /// It has no tools, so it is not from an agent's loop.
    Aside,
}

impl Progress {
    /// Reads a body of any API. An unknown body counts as one without tools.
    pub(super) fn of(body: &[u8]) -> Self {
        let mut body: Value = serde_json::from_slice(body).unwrap_or_default();
        if body["request"].is_object() {
            // The nesting of Code Assist.
            body = body["request"].take();
        }
        let tools = body["tools"].as_array().is_some_and(|tools| !tools.is_empty());
        if !tools {
            return Self::Aside;
        }
        let conversation = ["messages", "input", "contents"].map(|key| outputs(&body[key]));
        Self::Outputs(conversation.into_iter().sum())
    }

    /// The part of the script that answers.
    pub(super) fn script(self, script: &Script) -> Cow<'_, Script> {
        match self {
            Self::Turn(earlier) | Self::Outputs(earlier) => Cow::Borrowed(script.turn(earlier)),
            Self::Aside => Cow::Owned(Script::default()),
        }
    }

    /// The tool outputs in the request; 0 if the script does not count them.
    pub(super) fn outputs(self) -> usize {
        match self {
            Self::Outputs(outputs) => outputs,
            Self::Turn(_) | Self::Aside => 0,
        }
    }
}

/// The tool outputs in the messages, items or contents of a request.
fn outputs(value: &Value) -> usize {
    let is_output = |object: &serde_json::Map<String, Value>| {
        let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
        kind == "tool_result"
            || kind.ends_with("_call_output")
            || object.get("role").is_some_and(|role| role == "tool")
            || object.contains_key("functionResponse")
    };
    match value {
        Value::Object(object) if is_output(object) => 1,
        Value::Object(object) => object.values().map(outputs).sum(),
        Value::Array(items) => items.iter().map(outputs).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_counted_in_the_words_of_each_api() {
        let bodies = [
            r#"{"tools":[{}],"messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"text"}]},
                {"type":"tool_result"}]}]}"#,
            r#"{"tools":[{}],"messages":[{"role":"tool","content":"a"},{"role":"user","content":"tool"},{"role":"tool"}]}"#,
            r#"{"tools":[{}],"input":[{"type":"function_call_output"},{"type":"function_call"},
                {"type":"custom_tool_call_output"}]}"#,
            r#"{"tools":[{}],"contents":[{"parts":[{"functionResponse":{"name":"f"}},{"functionResponse":{}},
                {"functionCall":{}}]}]}"#,
        ];
        for body in bodies {
            assert_eq!(Progress::of(body.as_bytes()), Progress::Outputs(2), "{body}");
        }
    }

    #[test]
    fn a_request_without_tools_is_aside_of_the_loop() {
        for body in [r#"{"messages":[]}"#, r#"{"tools":[],"input":"title?"}"#, "no JSON"] {
            assert_eq!(Progress::of(body.as_bytes()), Progress::Aside, "{body}");
        }
    }
}
