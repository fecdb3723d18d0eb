//! A reference names its call and text uniquely, whatever else the calls of the same name have returned.

use headroom_compress::{Api, Config, Memo, Profile, Request, compress};
use serde_json::{Value, json};

/// The form of a body in the lossless profile: turn by turn with one memo, and at once without one.
fn forwarded(api: Api, body: &Value) -> Value {
    let config = Config { profile: Profile::Lossless, ..Config::default() };
    let run = |body: &Value, memo: &mut Memo| -> Value {
        let body = body.to_string();
        let outcome = compress(body.as_bytes(), &Request::new(api), &config, memo);
        assert_eq!(outcome.unread, None);
        serde_json::from_slice(&outcome.body).unwrap()
    };
    let whole = run(body, &mut Memo::new(1 << 20));
    let list = if body["messages"].is_array() { "messages" } else { "input" };
    let count = body[list].as_array().unwrap().len();
    let mut memo = Memo::new(16 << 20);
    for turns in 1..=count {
        let mut start = body.clone();
        start[list].as_array_mut().unwrap().truncate(turns);
        let shown = run(&start, &mut memo);
        let expected = &whole[list].as_array().unwrap()[..turns];
        assert_eq!(shown[list].as_array().unwrap()[..], *expected, "after {turns} messages");
    }
    whole
}

/// Lines that occur nowhere else.
fn page(name: &str) -> String {
    (0..40).map(|i| format!("{name} line {} says {}\n", i * 7919 % 1000, i * 31 % 97)).collect()
}

fn text(text: &str) -> Value {
    json!([{"type": "text", "text": text}])
}

fn image() -> Value {
    json!([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}])
}

fn call(id: &str, tool: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": tool, "input": {"action": "read"}})
}

fn result(id: &str, content: &Value) -> Value {
    json!({"type": "tool_result", "tool_use_id": id, "content": content})
}

/// An Anthropic conversation of calls that return these contents, one after the other.
fn one_by_one(calls: &[(&str, Value)]) -> Value {
    let mut messages = vec![json!({"role": "user", "content": "go"})];
    for (at, (tool, content)) in calls.iter().enumerate() {
        let id = format!("t{at}");
        messages.push(json!({"role": "assistant", "content": [call(&id, tool)]}));
        messages.push(json!({"role": "user", "content": [result(&id, content)]}));
    }
    json!({"model": "claude-opus-4-6", "messages": messages})
}

/// The last text of the last tool result.
fn last(body: &Value) -> String {
    let results = body["messages"].as_array().unwrap().last().unwrap()["content"].as_array().unwrap();
    let content = results.last().unwrap()["content"].as_array().unwrap();
    content.last().unwrap()["text"].as_str().unwrap().to_owned()
}

#[test]
fn results_without_text_are_counted() {
    let (basket, order) = (page("basket"), page("order"));
    for nothing in [image(), json!([]), json!(""), Value::Null] {
        let body = one_by_one(&[
            ("browser", nothing.clone()),
            ("browser", text(&basket)),
            ("browser", text(&order)),
            ("other", text(&order)),
        ]);
        let shown = last(&forwarded(Api::AnthropicMessages, &body));
        assert_eq!(shown, "[same output as 3rd browser \"read\" above]", "{nothing}");
    }
}

#[test]
fn the_texts_of_one_result_are_one_output() {
    let (order, bill) = (page("order"), page("bill"));
    let two = json!([{"type": "text", "text": "a header"}, {"type": "text", "text": page("basket")}]);
    let body = one_by_one(&[
        ("browser", two),
        ("browser", text(&order)),
        ("browser", text(&bill)),
        ("other", text(&order)),
    ]);
    let shown = last(&forwarded(Api::AnthropicMessages, &body));
    assert_eq!(shown, "[same output as 2nd browser \"read\" above]");
}

#[test]
fn one_of_several_texts_is_named_and_its_lines_are_counted_in_it() {
    let (one, two) = (page("one"), page("two"));
    let three = json!([
        {"type": "text", "text": "2 lists"},
        {"type": "text", "text": one},
        {"type": "text", "text": two},
    ]);
    let again = |said: &str| {
        let body = one_by_one(&[("lists", three.clone()), ("other", text(said))]);
        last(&forwarded(Api::AnthropicMessages, &body))
    };
    assert_eq!(again(&two), "[same output as text 3 of lists \"read\" above]");
    let shown = again(&format!("something else\n{two}"));
    assert!(
        shown.contains("\n[40 lines: same as text 3 lines 1-40 of lists \"read\" above, from \"two line 0 "),
        "{shown}"
    );
    // Lines that repeat in the same text are counted in it as well.
    let repeated =
        json!([{"type": "text", "text": one}, {"type": "text", "text": format!("{two}and\n{two}")}]);
    let shown = last(&forwarded(Api::AnthropicMessages, &one_by_one(&[("lists", repeated)])));
    assert!(shown.contains("\n[40 lines: same as text 2 lines 1-40 above, from \"two line 0 "), "{shown}");
}

#[test]
fn calls_that_are_made_at_once_are_counted_in_the_order_in_which_they_stand() {
    let (one, two) = (page("one"), page("two"));
    let messages = json!([
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [call("a", "browser"), call("b", "browser"), call("c", "browser")]},
        {"role": "user", "content": [result("c", &text(&two)), result("a", &image()), result("b", &text(&one))]},
        {"role": "assistant", "content": [call("d", "other"), call("e", "other")]},
        {"role": "user", "content": [result("d", &text(&one)), result("e", &text(&two))]},
    ]);
    let shown = forwarded(Api::AnthropicMessages, &json!({"model": "claude-opus-4-6", "messages": messages}));
    let said = |at: usize| shown["messages"][4]["content"][at]["content"][0]["text"].as_str().unwrap();
    assert_eq!(said(0), "[same output as 2nd browser \"read\" above]");
    assert_eq!(said(1), "[same output as 3rd browser \"read\" above]");
}

#[test]
fn the_streams_of_a_shell_call_are_texts_of_one_output() {
    let (out, err) = (page("out"), page("err"));
    let shell = |id: &str, out: &str, err: &str| {
        [
            json!({"type": "shell_call", "call_id": id, "action": {"commands": ["make"]}}),
            json!({"type": "shell_call_output", "call_id": id,
                "output": [{"stdout": out, "stderr": err, "outcome": {"type": "exit", "exit_code": 0}}]}),
        ]
    };
    let mut input = vec![json!({"role": "user", "content": "go"})];
    input.extend(shell("a", &out, &err));
    input.extend(shell("b", "nothing", &format!("first\n{err}")));
    let body = json!({"model": "gpt-5", "store": false, "input": input});
    let shown = forwarded(Api::OpenAiResponses, &body);
    let stderr = shown["input"][4]["output"][0]["stderr"].as_str().unwrap();
    // In the body, stderr comes first.
    assert!(stderr.contains("[40 lines: same as text 1 lines 1-40 of shell_call "), "{stderr}");
}

#[test]
fn results_whose_call_is_unknown_are_not_told_apart_by_number() {
    let (one, two) = (page("one"), page("two"));
    let messages = |contents: &[&str]| {
        let results: Vec<Value> = contents.iter().map(|said| result("x", &text(said))).collect();
        json!({"model": "claude-opus-4-6", "messages": [{"role": "user", "content": results}]})
    };
    let shown = |contents: &[&str]| last(&forwarded(Api::AnthropicMessages, &messages(contents)));
    assert_eq!(shown(&[&one, &one]), "[same output as a tool above]");
    let third = shown(&[&one, &two, &one]);
    assert!(!third.contains("same "), "{third}");
}

#[test]
fn what_a_program_at_the_provider_has_read_is_nothing_to_refer_to() {
    let said = page("one");
    let mut by_program = call("a", "query");
    by_program["caller"] = json!({"type": "code_execution_20250825", "tool_id": "s"});
    let messages = json!([
        {"role": "assistant", "content": [by_program]},
        {"role": "user", "content": [result("a", &text(&said))]},
        {"role": "assistant", "content": [call("b", "query")]},
        {"role": "user", "content": [result("b", &text(&said))]},
    ]);
    let body = json!({"model": "claude-opus-4-6", "messages": messages});
    let shown = last(&forwarded(Api::AnthropicMessages, &body));
    assert!(!shown.contains("same "), "{shown}");
}

#[test]
fn nothing_refers_across_a_plugin_that_compresses_the_conversation() {
    let said = page("one");
    let made = |id: &str| {
        json!({"role": "assistant", "tool_calls": [{"id": id, "type": "function",
            "function": {"name": "bash", "arguments": "{\"command\":\"cat a.log\"}"}}]})
    };
    let given = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": said});
    let again = |plugins: Value| {
        let messages = json!([made("a"), given("a"), made("b"), given("b")]);
        let body = json!({"model": "openai/gpt-5", "plugins": plugins, "messages": messages});
        forwarded(Api::OpenAiChat, &body)["messages"][3]["content"].as_str().unwrap().to_owned()
    };
    for compresses in [
        json!([{"id": "context-compression"}]),
        json!([{"id": "web"}, {"id": "context-compression", "enabled": true}]),
    ] {
        assert_eq!(again(compresses.clone()), said, "{compresses}");
    }
    for keeps in [
        Value::Null,
        json!([]),
        json!([{"id": "web"}]),
        json!([{"id": "context-compression", "enabled": false}]),
    ] {
        assert!(again(keeps.clone()).starts_with("[same output as "), "{keeps}");
    }
}

#[test]
fn lines_that_differ_in_what_is_not_shown_are_not_called_the_same() {
    let plain = page("one");
    for other in [
        plain.replace('\n', "\r\n"),
        plain.replace('\n', " \n"),
        plain.lines().map(|line| format!("\u{1b}[32m{line}\u{1b}[0m\n")).collect(),
    ] {
        for (first, second) in [(&plain, &other), (&other, &plain)] {
            let body = one_by_one(&[("sh", text(first)), ("other", text(&format!("head\n{second}")))]);
            let shown = last(&forwarded(Api::AnthropicMessages, &body));
            assert!(!shown.contains("same as"), "{shown}");
        }
        let body = one_by_one(&[("sh", text(&other)), ("other", text(&other))]);
        let shown = last(&forwarded(Api::AnthropicMessages, &body));
        assert_eq!(shown, "[same output as sh \"read\" above]");
    }
}

#[test]
fn without_ids_the_calls_of_one_tool_that_are_made_at_once_are_answered_in_their_order() {
    let (one, two) = (page("one"), page("two"));
    let call = |file: &str| json!({"functionCall": {"name": "read", "args": {"path": file}}});
    let given = |said: &str| json!({"functionResponse": {"name": "read", "response": {"output": said}}});
    let body = json!({"contents": [
        {"role": "user", "parts": [{"text": "go"}]},
        {"role": "model", "parts": [call("a.txt"), call("b.txt")]},
        {"role": "user", "parts": [given(&one), given(&two)]},
        {"role": "model", "parts": [call("c.txt"), call("d.txt")]},
        {"role": "user", "parts": [given(&one), given(&two)]},
    ]})
    .to_string();
    let config = Config { profile: Profile::Lossless, ..Config::default() };
    let outcome =
        compress(body.as_bytes(), &Request::new(Api::GeminiGenerateContent), &config, &mut Memo::new(0));
    let shown: Value = serde_json::from_slice(&outcome.body).unwrap();
    let said =
        |at: usize| shown["contents"][4]["parts"][at]["functionResponse"]["response"]["output"].clone();
    assert_eq!(said(0), "[same output as read a.txt above]");
    assert_eq!(said(1), "[same output as read b.txt above]");
}
