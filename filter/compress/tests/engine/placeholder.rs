//! If the client's own `headroom_retrieve` could not answer, the engine replaces the placeholder by the
//! original, and nothing else.

use headroom_compress::rounds::{PLACEHOLDER, RetrieveArguments, answer};
use headroom_compress::{Api, Config, Memo, Request, RetrieveTool, address, compress};
use serde_json::{Value, json};

const TOOL: &str = "mcp__headroom__headroom_retrieve";

/// An output that is mostly left out.
fn rows() -> String {
    let rows: Vec<Value> = (0..400)
        .map(|row| json!({"id": 7919 * row, "name": format!("deployment-{row}"), "status": "ok"}))
        .collect();
    json!(rows).to_string()
}

/// A conversation in Anthropic's format: the output, then calls with their results.
fn conversation(calls: &[(&str, Value, Value)]) -> Value {
    let mut messages = vec![
        json!({"role": "user", "content": "Which deployments failed?"}),
        json!({"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "list", "input": {}}]}),
        json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": rows()}]}),
    ];
    for (n, (name, input, results)) in calls.iter().enumerate() {
        let id = format!("call{n}");
        messages.push(json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": name, "input": input}]}));
        let results: Vec<Value> = results
            .as_array()
            .unwrap()
            .iter()
            .map(|content| json!({"type": "tool_result", "tool_use_id": id, "content": content}))
            .collect();
        messages.push(json!({"role": "user", "content": results}));
    }
    json!({"messages": messages, "tools": [{"name": "list"}, {"name": TOOL}]})
}

fn forward(api: Api, body: &Value, memo: &mut Memo) -> Value {
    let request = Request { reversible: true, retrieve_tool: RetrieveTool::Require, ..Request::new(api) };
    let body = body.to_string();
    let outcome = compress(body.as_bytes(), &request, &Config::default(), memo);
    serde_json::from_slice(&outcome.body).unwrap()
}

/// The text of a result as it is forwarded.
fn result(forwarded: &Value, message: usize, block: usize) -> &str {
    forwarded["messages"][message]["content"][block]["content"].as_str().unwrap()
}

fn asked(lines: &str) -> RetrieveArguments {
    RetrieveArguments { hash: address(&rows()), query: String::new(), lines: lines.to_owned() }
}

#[test]
fn the_original_takes_the_place_of_the_placeholder_now_and_later() {
    let hash = address(&rows());
    let whole = (TOOL, json!({"hash": hash}), json!([PLACEHOLDER]));
    let part = (TOOL, json!({"hash": hash, "lines": "rows 3-5"}), json!([PLACEHOLDER]));
    let first = conversation(std::slice::from_ref(&whole));
    let later = conversation(&[whole, part]);
    let (mut shared, mut none) = (Memo::new(1 << 20), Memo::new(0));
    let sent = forward(Api::AnthropicMessages, &first, &mut shared);
    assert_eq!(result(&sent, 4, 0), answer(&rows(), &asked("")).text);
    for memo in [&mut shared, &mut none] {
        let next = forward(Api::AnthropicMessages, &later, memo);
        let (old, new) = (sent["messages"].as_array().unwrap(), next["messages"].as_array().unwrap());
        assert_eq!(&new[..old.len()], old.as_slice());
        assert_eq!(result(&next, 6, 0), answer(&rows(), &asked("rows 3-5")).text);
        assert!(
            result(&next, 6, 0).contains("deployment-4") && !result(&next, 6, 0).contains("deployment-6")
        );
    }
}

#[test]
fn the_same_words_elsewhere_stay() {
    let hash = address(&rows());
    let long_name = format!("mcp_{}_headroom_retrieve", "x".repeat(300));
    let calls = [
        ("Bash", json!({"command": "cat notes"}), json!([format!("seen: {PLACEHOLDER}")])),
        ("Bash", json!({"hash": hash}), json!([PLACEHOLDER])),
        (TOOL, json!({"hash": hash}), json!([PLACEHOLDER, PLACEHOLDER])),
        (TOOL, json!({"hash": "0".repeat(24)}), json!([PLACEHOLDER])),
        (TOOL, json!({"hash": [hash]}), json!([PLACEHOLDER])),
        (TOOL, json!({}), json!([PLACEHOLDER])),
        (TOOL, json!({"hash": hash, "query": "x".repeat(20_000)}), json!([PLACEHOLDER])),
        (&long_name, json!({"hash": hash}), json!([PLACEHOLDER])),
    ];
    let mut body = conversation(&calls);
    body["messages"].as_array_mut().unwrap().push(json!({"role": "user", "content": PLACEHOLDER}));
    let sent = forward(Api::AnthropicMessages, &body, &mut Memo::new(1 << 20));
    let theirs =
        |message: usize, block: usize| body["messages"][message]["content"][block]["content"].clone();
    assert_eq!(sent["messages"][4], body["messages"][4], "in another tool's output");
    assert_eq!(result(&sent, 6, 0), PLACEHOLDER, "as another tool's output");
    assert_eq!(result(&sent, 8, 0), answer(&rows(), &asked("")).text);
    assert_eq!(result(&sent, 8, 1), theirs(8, 1), "a second result of the call");
    for message in [10, 12, 14] {
        assert_eq!(result(&sent, message, 0), PLACEHOLDER, "a hash that no output has: {message}");
    }
    assert_eq!(result(&sent, 16, 0), PLACEHOLDER, "arguments that are too long");
    assert_eq!(result(&sent, 18, 0), PLACEHOLDER, "a name that is too long");
    assert_eq!(sent["messages"][19], body["messages"][19], "what the user says");
}

#[test]
fn a_text_behind_an_escape_sequence_is_found() {
    let asked = json!([PLACEHOLDER]);
    let mut body = conversation(&[(TOOL, json!({"hash": address(&rows())}), asked)]);
    let log = json!({"log": rows()});
    for output in [json!({"o": format!("\x1b[0m{log}")}), json!([format!("\x1b[0m{log}")])] {
        body["messages"][2]["content"][0]["content"] = output.to_string().into();
        let sent = forward(Api::AnthropicMessages, &body, &mut Memo::new(0));
        assert!(result(&sent, 2, 0).contains(&address(&rows())), "{}", result(&sent, 2, 0));
        assert_eq!(result(&sent, 4, 0), answer(&rows(), &self::asked("")).text);
    }
}

#[test]
fn a_result_that_a_client_has_wrapped_stays_wrapped() {
    let hash = address(&rows());
    let wrapped = json!([{"type": "text", "text": PLACEHOLDER}]).to_string();
    for before in ["", "Wall time: 0.1 seconds\nOutput:\n"] {
        let body = conversation(&[(
            TOOL,
            json!({"hash": hash, "lines": "rows 3-5"}),
            json!([format!("{before}{wrapped}")]),
        )]);
        let sent = forward(Api::AnthropicMessages, &body, &mut Memo::new(0));
        let inner: Value = serde_json::from_str(result(&sent, 4, 0).strip_prefix(before).unwrap()).unwrap();
        assert_eq!(inner[0]["text"], answer(&rows(), &asked("rows 3-5")).text);
    }
    let plain = format!("[from headroom] {PLACEHOLDER}");
    let body = conversation(&[(TOOL, json!({"hash": hash, "lines": "rows 3-5"}), json!([plain]))]);
    let sent = forward(Api::AnthropicMessages, &body, &mut Memo::new(0));
    assert_eq!(result(&sent, 4, 0), format!("[from headroom] {}", answer(&rows(), &asked("rows 3-5")).text));
}

#[test]
fn each_format_matches_the_result_by_its_id() {
    let (hash, page) = (address(&rows()), answer(&rows(), &asked("")).text);
    let arguments = json!({"hash": hash}).to_string();
    let chat = json!({"messages": [
        {"role": "user", "content": "?"},
        {"role": "assistant", "tool_calls": [{"id": "a", "type": "function", "function": {"name": "list", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "a", "content": rows()},
        {"role": "assistant", "tool_calls": [
            {"id": "b", "type": "function", "function": {"name": "Bash", "arguments": arguments}},
            {"id": "c", "type": "function", "function": {"name": TOOL, "arguments": arguments}}]},
        {"role": "tool", "tool_call_id": "c", "content": PLACEHOLDER},
        {"role": "tool", "tool_call_id": "b", "content": PLACEHOLDER}],
        "tools": [{"type": "function", "function": {"name": TOOL}}]});
    let sent = forward(Api::OpenAiChat, &chat, &mut Memo::new(0));
    assert_eq!(sent["messages"][4]["content"], page);
    assert_eq!(sent["messages"][5]["content"], PLACEHOLDER);
    let responses = json!({"input": [
        {"role": "user", "content": "?"},
        {"type": "function_call", "call_id": "a", "name": "list", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": rows()},
        {"type": "function_call", "call_id": "b", "name": "Bash", "arguments": arguments},
        {"type": "function_call", "call_id": "c", "name": TOOL, "arguments": arguments},
        {"type": "function_call_output", "call_id": "c", "output": PLACEHOLDER},
        {"type": "function_call_output", "call_id": "b", "output": PLACEHOLDER}],
        "store": false, "tools": [{"type": "function", "name": TOOL}]});
    let sent = forward(Api::OpenAiResponses, &responses, &mut Memo::new(0));
    assert_eq!(sent["input"][5]["output"], page);
    assert_eq!(sent["input"][6]["output"], PLACEHOLDER);
}
