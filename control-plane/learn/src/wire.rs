//! Reads tool calls, results and statements in the providers' formats. The logs of Claude Code and Codex contain the
//! same blocks and items.

use std::path::Path;

use serde_json::Value;

use crate::model::{Tool, head};
use crate::value::{Verdict, by_exit_code, content_text, exit_code, text};

/// Receives the events of a conversation, in order.
pub trait Sink {
    /// A tool is called, in `cwd` if the call names a folder.
    fn call(&mut self, id: &str, name: &str, arguments: &Value, number: u64, cwd: Option<&str>);
    /// The result of a call.
    fn result(&mut self, id: &str, verdict: Verdict, output: &str, number: u64);
    /// The user says something.
    fn said(&mut self, text: &str);
}

/// How a result shows that it failed if its format has no flag: agents print the exit code in a line.
const EXIT_CODES: [&str; 5] =
    ["Exit code: ", "Exit Code: ", "exited with code ", "Exit code ", "exit code: "];

/// One message of a request, in any of the formats.
pub fn read_message(sink: &mut dyn Sink, number: u64, message: &Value, pending: &mut Pending) {
    if let Some(parts) = message.get("parts").and_then(Value::as_array) {
        for part in parts {
            read_part(sink, number, message, part, pending);
        }
        return;
    }
    if !text(message, "/type").is_empty() && message.get("role").is_none() {
        return responses_item(sink, number, message);
    }
    match text(message, "/role") {
        "tool" => {
            let output = message.get("content").map(content_text).unwrap_or_default();
            let verdict = pending.verdict(text(message, "/tool_call_id"), &output);
            sink.result(text(message, "/tool_call_id"), verdict, &output, number);
        }
        role => {
            anthropic_content(sink, number, role, message.get("content").unwrap_or(&Value::Null));
            for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
                let name = text(call, "/function/name");
                let arguments = arguments(text(call, "/function/arguments"));
                pending.remember(text(call, "/id"), name);
                sink.call(text(call, "/id"), name, &arguments, number, folder(&arguments));
            }
        }
    }
}

/// The content of a message: the user's text, and Anthropic's blocks.
pub fn anthropic_content(sink: &mut dyn Sink, number: u64, role: &str, content: &Value) {
    if let (Value::String(words), "user") = (content, role) {
        return sink.said(words);
    }
    for block in content.as_array().into_iter().flatten() {
        match text(block, "/type") {
            "tool_use" => {
                let input = block.get("input").unwrap_or(&Value::Null);
                sink.call(text(block, "/id"), text(block, "/name"), input, number, None);
            }
            "tool_result" => {
                let output = block.get("content").map(content_text).unwrap_or_default();
                let failed = block.get("is_error").and_then(Value::as_bool);
                let exit_code = exit_code(head(&output, 32), &["Exit code "]);
                let verdict = Verdict { failed, exit_code, refused: false };
                sink.result(text(block, "/tool_use_id"), verdict, &output, number);
            }
            "text" | "input_text" if role == "user" => sink.said(text(block, "/text")),
            _ => {}
        }
    }
}

/// An item of OpenAI's Responses.
pub fn responses_item(sink: &mut dyn Sink, number: u64, item: &Value) {
    let id = text(item, "/call_id");
    match text(item, "/type") {
        "function_call" => {
            let arguments = arguments(text(item, "/arguments"));
            sink.call(id, text(item, "/name"), &arguments, number, folder(&arguments));
        }
        "custom_tool_call" => {
            let input = item.get("input").unwrap_or(&Value::Null);
            sink.call(id, text(item, "/name"), input, number, None);
        }
        "local_shell_call" => {
            let action = item.get("action").unwrap_or(&Value::Null);
            sink.call(id, "local_shell", action, number, None);
        }
        "function_call_output" | "custom_tool_call_output" | "local_shell_call_output" => {
            let (verdict, output) = responses_result(item.get("output").unwrap_or(&Value::Null));
            sink.result(id, verdict, &output, number);
        }
        "message" if text(item, "/role") == "user" => {
            sink.said(&item.get("content").map(content_text).unwrap_or_default());
        }
        _ => {}
    }
}

/// The three shapes of a result of Codex: a JSON document in a string, text with the exit code in a line, and the refusal
/// of a sandbox.
fn responses_result(output: &Value) -> (Verdict, String) {
    if let Some(content) = output.get("content") {
        let failed = output.get("success").and_then(Value::as_bool).map(|done| !done);
        return (Verdict { failed, ..Verdict::default() }, content_text(content));
    }
    let output = content_text(output);
    if output.starts_with('{')
        && let Ok(document) = serde_json::from_str::<Value>(&output)
        && let Some(inner) = document.get("output").and_then(Value::as_str)
    {
        let exit_code = document.pointer("/metadata/exit_code").and_then(Value::as_i64);
        return (Verdict { exit_code, ..Verdict::default() }, inner.to_owned());
    }
    if output.contains("rejected by user") && output.len() < 200 {
        return (Verdict { refused: true, ..Verdict::default() }, output);
    }
    if let Some(refusal) = output.strip_prefix("failed in sandbox ") {
        let exit_code = exit_code(head(refusal, 512), &["exit code: "]).or(Some(1));
        let error = refusal.split_once("stderr: ").map_or(refusal, |(_, error)| error);
        return (Verdict { exit_code, ..Verdict::default() }, error.to_owned());
    }
    let start = head(&output, 512);
    let verdict = by_exit_code(start, &["exited with code ", "Exit code: "]);
    let failed = start.starts_with("apply_patch verification failed").then_some(true);
    (Verdict { failed, ..verdict }, output)
}

/// Calls of one request that wait for their results, for formats whose results do not name the call.
#[derive(Debug, Default)]
pub struct Pending {
    /// Id and name of calls with ids.
    named: Vec<(String, String)>,
    /// Gemini's calls, which may have no id: name and arguments.
    unnamed: Vec<(String, Value)>,
}

impl Pending {
    fn remember(&mut self, id: &str, name: &str) {
        self.named.push((id.to_owned(), name.to_owned()));
    }

    /// The verdict on a result of Chat Completions. It has no flag: a shell prints its exit code, and other tools
    /// begin with `error:`.
    fn verdict(&self, id: &str, output: &str) -> Verdict {
        let name = self.named.iter().find(|(known, _)| known == id).map_or("", |(_, name)| name.as_str());
        plain_verdict(name, output)
    }
}

fn plain_verdict(name: &str, output: &str) -> Verdict {
    let code = exit_code(output, &EXIT_CODES);
    let says_error = head(output.trim_start(), 6).eq_ignore_ascii_case("error:");
    let failed = (Tool::from_name(name) != Tool::Shell && says_error).then_some(true);
    Verdict { failed, exit_code: code, refused: false }
}

/// A part of a message of Gemini's.
fn read_part(sink: &mut dyn Sink, number: u64, message: &Value, part: &Value, pending: &mut Pending) {
    if let Some(call) = part.get("functionCall") {
        let arguments = call.get("args").unwrap_or(&Value::Null);
        let (id, name) = (text(call, "/id"), text(call, "/name"));
        if id.is_empty() {
            pending.unnamed.push((name.to_owned(), arguments.clone()));
        } else {
            sink.call(id, name, arguments, number, folder(arguments));
        }
    } else if let Some(result) = part.get("functionResponse") {
        let name = text(result, "/name");
        let member = |name: &str| result.pointer(&format!("/response/{name}")).map(content_text);
        let error = member("error");
        let verdict = Verdict {
            failed: error.is_some().then_some(true),
            ..plain_verdict(name, error.as_deref().or(member("output").as_deref()).unwrap_or_default())
        };
        let output = error.or_else(|| member("output")).unwrap_or_default();
        let id = text(result, "/id");
        if !id.is_empty() {
            return sink.result(id, verdict, &output, number);
        }
        let Some(at) = pending.unnamed.iter().position(|(called, _)| called == name) else { return };
        let (name, arguments) = pending.unnamed.remove(at);
        // the same call with the same result is the same call, repeated in a later request
        let hash = blake3::hash(format!("{name}\0{arguments}\0{output}").as_bytes()).to_hex();
        let id = format!("content-{}", head(hash.as_str(), 24));
        sink.call(&id, &name, &arguments, number, folder(&arguments));
        sink.result(&id, verdict, &output, number);
    } else if text(message, "/role") == "user" {
        sink.said(text(part, "/text"));
    }
}

fn arguments(text: &str) -> Value {
    // Codex' apply_patch and others have a text that is not JSON
    serde_json::from_str(text).unwrap_or(Value::Null)
}

/// The folder that a call names.
fn folder(arguments: &Value) -> Option<&str> {
    let named = ["workdir", "cwd", "directory"].iter().find_map(|name| arguments.get(name)?.as_str());
    named.filter(|folder| Path::new(folder).is_absolute())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The received events, as lines.
    #[derive(Default)]
    struct Lines(Vec<String>);

    impl Sink for Lines {
        fn call(&mut self, id: &str, name: &str, arguments: &Value, _: u64, cwd: Option<&str>) {
            let id = if id.starts_with("content-") { "content" } else { id };
            self.0.push(format!("call {id} {name} {arguments} {}", cwd.unwrap_or("-")));
        }

        fn result(&mut self, id: &str, verdict: Verdict, output: &str, _: u64) {
            let id = if id.starts_with("content-") { "content" } else { id };
            self.0.push(format!("result {id} {:?} {:?} {output}", verdict.failed, verdict.exit_code));
        }

        fn said(&mut self, text: &str) {
            self.0.push(format!("said {text}"));
        }
    }

    fn lines(messages: Value) -> Vec<String> {
        let (mut lines, mut pending) = (Lines::default(), Pending::default());
        for message in messages.as_array().unwrap() {
            read_message(&mut lines, 1, message, &mut pending);
        }
        lines.0
    }

    #[test]
    fn every_format_says_the_same() {
        let call = r#"{"command":"python x"}"#;
        let output = "Exit code: 127\nsh: python: not found";
        let called = format!("call c1 Bash {call} -");
        let anthropic = json!([
            {"role": "user", "content": "do it"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "Bash", "input": {"command": "python x"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "is_error": true,
                "content": [{"type": "text", "text": "Exit code 127\nsh: python: not found"}]}]},
        ]);
        let found = lines(anthropic);
        assert_eq!(found[..2], ["said do it".to_owned(), called.clone()]);
        assert_eq!(found[2], "result c1 Some(true) Some(127) Exit code 127\nsh: python: not found");
        let chat = json!([
            {"role": "user", "content": [{"type": "text", "text": "do it"}]},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "function": {"name": "Bash", "arguments": call}}]},
            {"role": "tool", "tool_call_id": "c1", "content": output},
        ]);
        let expected =
            ["said do it".to_owned(), called.clone(), format!("result c1 None Some(127) {output}")];
        assert_eq!(lines(chat), expected);
        let responses = json!([
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "do it"}]},
            {"type": "function_call", "call_id": "c1", "name": "Bash", "arguments": call},
            {"type": "function_call_output", "call_id": "c1", "output": output},
        ]);
        assert_eq!(lines(responses), expected);
        let gemini = json!([
            {"role": "user", "parts": [{"text": "do it"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "Bash", "args": {"command": "python x"}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "Bash", "response": {"output": output}}}]},
        ]);
        assert_eq!(lines(gemini), expected.map(|line| line.replace(" c1 ", " content ")));
    }

    #[test]
    fn what_is_none_of_these_is_passed_over() {
        let foreign = json!([
            null, 1, "text", [], {}, {"role": 7}, {"role": "tool"}, {"type": 3}, {"parts": 9}, {"parts": [1, {}]},
            {"role": "assistant", "tool_calls": [{"id": 1}, null], "content": [{"type": "tool_use"}]},
            {"type": "function_call"}, {"role": "user", "parts": [{"functionResponse": {}}]},
        ]);
        for line in lines(foreign) {
            assert!(!line.contains("Some("), "{line}");
        }
    }
}
