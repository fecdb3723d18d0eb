//! JSON inside markdown: shortened, unless it shows an error.

use headroom_compress::{Api, Config, Memo, Request, compress};
use serde_json::{Value, json};

/// The form of a tool output.
fn shown(text: &str) -> String {
    let body = json!({"model": "claude-sonnet-4-5", "messages": [
        {"role": "user", "content": "Read the page."},
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "a", "name": "fetch", "input": {}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": text}]},
    ]})
    .to_string();
    let request = Request::new(Api::AnthropicMessages);
    let outcome = compress(body.as_bytes(), &request, &Config::default(), &mut Memo::new(1 << 20));
    let forwarded: Value = serde_json::from_slice(&outcome.body).unwrap();
    forwarded["messages"][2]["content"][0]["content"].as_str().unwrap().to_owned()
}

fn page(reason: &str) -> String {
    let rows: Vec<Value> = (0..12).map(|id| json!({"id": id, "name": format!("task {id}")})).collect();
    let example = serde_json::to_string_pretty(&json!({"reason": reason, "tasks": rows})).unwrap();
    format!("# Tasks\n\nThe answer is a list:\n\n```json\n{example}\n```\n\nThat is all.\n")
}

#[test]
fn an_example_in_json_loses_its_layout() {
    let text = page("all went well");
    let shown = shown(&text);
    assert!(shown.len() < text.len() / 2, "{shown}");
    assert!(shown.contains("# Tasks") && shown.contains("That is all."), "{shown}");
}

#[test]
fn an_example_of_an_error_stays_as_it_is_printed() {
    let text = page("the build failed");
    assert_eq!(shown(&text), text);
}
