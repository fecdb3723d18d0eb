//! Which source files lose the bodies of functions, depending on the conversation before them.

use headroom_compress::{Api, Config, Memo, Request, compress};
use serde_json::{Value, json};

const LEFT_OUT: &str = "left out, of the bodies of";

/// A module with forty functions, as a tool prints it with line numbers.
fn module() -> String {
    let function = |n: usize| {
        let mut lines =
            vec![format!("def step_{n}(items, limit):"), format!("    \"\"\"Step {n} of the plan.\"\"\"")];
        for part in 0..14 {
            lines.push(format!(
                "    total_{part} = sum(item.weight_{part} * {} for item in items[{part}:limit])",
                n * 31 + part
            ));
        }
        lines.push(format!("    return total_0 - total_{}", n % 14));
        lines.push(String::new());
        lines
    };
    let lines: Vec<String> = (0..40).flat_map(function).collect();
    let numbered = lines.iter().enumerate().map(|(at, line)| format!("{:>6}→{line}", at + 1));
    numbered.collect::<Vec<_>>().join("\n")
}

fn call(id: &str, name: &str, arguments: Value) -> Value {
    json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": id, "type": "function", "function": {"name": name, "arguments": arguments.to_string()}}]})
}

fn output(id: &str, text: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": text})
}

fn read(id: &str) -> [Value; 2] {
    [call(id, "Read", json!({"file_path": "/srv/app/plan.py"})), output(id, &module())]
}

/// The form of the last output of a conversation.
fn last(before: Vec<Value>, code_aware: bool) -> String {
    let mut messages = before;
    messages.extend(read("call_last"));
    let tool = |name: &str| json!({"type": "function", "function": {"name": name, "parameters": {"type": "object"}}});
    let body =
        json!({"messages": messages, "model": "gpt-5", "tools": [tool("Read"), tool("Write"), tool("bash")]})
            .to_string();
    let request = Request { reversible: true, ..Request::new(Api::OpenAiChat) };
    let config = Config { code_aware, ..Config::default() };
    let outcome = compress(body.as_bytes(), &request, &config, &mut Memo::new(0));
    let forwarded: Value = serde_json::from_slice(&outcome.body).unwrap();
    forwarded["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned()
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

#[test]
fn long_bodies_go_and_signatures_stay() {
    let form = last(vec![user("Tidy up the project.")], true);
    assert!(form.contains(LEFT_OUT), "{form}");
    for n in 0..40 {
        assert!(form.contains(&format!("def step_{n}(items, limit):")), "{n}");
    }
    assert!(!last(vec![user("Tidy up the project.")], false).contains(LEFT_OUT), "off by default");
}

#[test]
fn a_function_that_is_named_stays() {
    let body = "sum(item.weight_13 * 230 for item";
    assert!(!last(vec![user("Tidy up the project.")], true).contains(body));
    assert!(last(vec![user("Why is step_7 slow?")], true).contains(body));
}

#[test]
fn a_file_that_may_have_been_written_stays_whole() {
    for write in [
        call("call_0", "Write", json!({"file_path": "/srv/app/plan.py", "content": "x = 1"})),
        call("call_0", "bash", json!({"command": "sed -i s/a/b/ plan.py"})),
    ] {
        let form = last(vec![user("Tidy up the project."), write, output("call_0", "done")], true);
        assert!(!form.contains(LEFT_OUT), "{form}");
    }
    let other = call("call_0", "Write", json!({"file_path": "/srv/app/other.py", "content": "x = 1"}));
    assert!(last(vec![user("Tidy up."), other, output("call_0", "done")], true).contains(LEFT_OUT));
}

#[test]
fn a_file_that_is_read_again_is_not_cut() {
    let mut before = vec![user("Tidy up the project.")];
    before.extend(read("call_0"));
    assert!(!last(before, true).contains(LEFT_OUT));
}

#[test]
fn a_later_edit_changes_nothing_about_an_earlier_read() {
    let mut messages = vec![user("Tidy up the project.")];
    messages.extend(read("call_0"));
    let body = |messages: &[Value]| {
        let tool =
            json!({"type": "function", "function": {"name": "Read", "parameters": {"type": "object"}}});
        json!({"messages": messages, "model": "gpt-5", "tools": [tool]}).to_string()
    };
    let request = Request { reversible: true, ..Request::new(Api::OpenAiChat) };
    let config = Config { code_aware: true, ..Config::default() };
    let first = body(&messages);
    let before = compress(first.as_bytes(), &request, &config, &mut Memo::new(0)).body.into_owned();
    messages.push(call("call_1", "Write", json!({"file_path": "/srv/app/plan.py", "content": "x = 1"})));
    messages.push(output("call_1", "done"));
    let second = body(&messages);
    let after = compress(second.as_bytes(), &request, &config, &mut Memo::new(0)).body.into_owned();
    let list = before.windows(9).position(|at| at == b"],\"model\"").unwrap();
    assert!(after.starts_with(&before[..list]));
}
