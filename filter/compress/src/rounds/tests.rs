//! Hostile and unusual conversations.

use serde_json::{Value, json};

use super::*;
use crate::{Config, Memo, Request, RetrieveTool, compress};

fn text_before(text: &str) -> Before {
    let mut before = Before::default();
    before.text(text);
    before
}

fn after(api: Api, body: &Value) -> Option<(Value, u32)> {
    let restored = restore(body.to_string().as_bytes(), api)?;
    Some((serde_json::from_slice(&restored.body).unwrap(), restored.retrievals))
}

const ENDED: Step = Step { place: 0, reasoning: 0, output: 0, range: None, ends_round: true };

fn anthropic(output: &str, turns: Vec<Value>) -> Value {
    let mut messages = vec![
        json!({"role": "user", "content": "go"}),
        json!({"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "Read", "input": {}}]}),
        json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": output}]}),
    ];
    messages.extend(turns);
    json!({"messages": messages})
}

fn turn(id: &str) -> [Value; 2] {
    [
        json!({"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "Read", "input": {}}]}),
        json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "r"}]}),
    ]
}

#[test]
fn traces_by_the_hundred_to_one_long_text_are_bounded() {
    let long = "a line of a log\n".repeat(1 << 20);
    let nothing = Some(PageRange { unit: crate::excerpt::Unit::Lines, from: 0, to: 0 });
    let address = ccr::address(&long);
    let turns = (0..200).flat_map(|at| {
        let step = Step { range: nothing, ..ENDED };
        turn(&id_with_trace(&format!("b{at}"), &[step], &[&address], &Before::default()).unwrap())
    });
    let body = anthropic(&long, turns.collect());
    let (after, retrievals) = after(Api::AnthropicMessages, &body).unwrap();
    assert!((20..=40).contains(&retrievals), "{retrievals}");
    assert!(!after.to_string().contains(trace::MARK));
}

#[test]
fn a_round_is_not_put_behind_the_call_that_carries_it() {
    let address = ccr::address("text");
    let mut before = Before::default();
    before.call("b");
    let id = id_with_trace("b", &[Step { place: 1, ..ENDED }], &[&address], &before).unwrap();
    let [call, result] = turn(&id);
    let (changed, retrievals) =
        after(Api::AnthropicMessages, &anthropic("text", vec![call, result])).unwrap();
    assert_eq!(retrievals, 0);
    assert_eq!(changed, anthropic("text", turn("b").to_vec()));

    let item = |id: &str| json!({"type": "function_call", "call_id": id, "name": "Read", "arguments": "{}"});
    let output = |id: &str, text| json!({"type": "function_call_output", "call_id": id, "output": text});
    let responses = |id: &str| json!({"input": [item("a"), output("a", "text"), item(id), output(id, "r")]});
    assert_eq!(after(Api::OpenAiResponses, &responses(&id)), Some((responses("b"), 0)));
}

fn chat_turn(id: &str, content: &Value) -> [Value; 2] {
    let call = json!({"id": id, "type": "function", "function": {"name": "Read", "arguments": "{}"}});
    [
        json!({"role": "assistant", "content": content, "tool_calls": [call]}),
        json!({"role": "tool", "tool_call_id": id, "content": "text"}),
    ]
}

#[test]
fn ids_that_begin_anew_with_each_turn_change_nothing_before_them() {
    let address = ccr::address("text");
    let before = {
        let mut before = text_before("");
        before.text("");
        before
    };
    let id = id_with_trace("call_0", &[ENDED], &[&address], &before).unwrap();
    let mut messages = vec![json!({"role": "user", "content": "go"})];
    messages.extend(chat_turn("call_0", &Value::Null));
    messages.extend(chat_turn(&id, &Value::Null));
    let first = after(Api::OpenAiChat, &json!({"messages": messages})).unwrap();
    assert_eq!(first.1, 1);
    assert!(!first.0.to_string().contains(trace::MARK), "{}", first.0);
    messages.extend(chat_turn("call_0", &Value::Null));
    let second = after(Api::OpenAiChat, &json!({"messages": messages})).unwrap();
    let list = |it: &(Value, u32)| it.0["messages"].as_array().unwrap().clone();
    assert_eq!(list(&second)[..list(&first).len()], list(&first));
}

#[test]
fn two_calls_of_one_turn_never_share_an_id() {
    let [mut call, result] = chat_turn("call_0_hr1_0000000000", &Value::Null);
    call["tool_calls"]
        .as_array_mut()
        .unwrap()
        .push(json!({"id": "call_0", "type": "function", "function": {"name": "Read", "arguments": "{}"}}));
    let other = json!({"role": "tool", "tool_call_id": "call_0", "content": "x"});
    let body = json!({"messages": [call, result, other]});
    assert_eq!(after(Api::OpenAiChat, &body), None);
}

#[test]
fn an_item_whose_own_id_is_that_of_its_call_loses_the_trace() {
    let id = "call_0_hr1_0000000000";
    let body = json!({"input": [
        {"type": "function_call", "id": "call_0", "call_id": id, "name": "Read", "arguments": "{}"},
        {"type": "function_call_output", "call_id": id, "output": "r"}]});
    assert!(!after(Api::OpenAiResponses, &body).unwrap().0.to_string().contains(trace::MARK));
}

#[test]
fn parts_that_are_more_than_text_stay() {
    let address = ccr::address("text");
    for (place, restored) in [(0, 1), (3, 0)] {
        let mut before = text_before(&"Yes"[..place]);
        before.text("");
        let step = Step { place: u32::try_from(place).unwrap(), ..ENDED };
        let id = id_with_trace("b", &[step], &[&address], &before).unwrap();
        let content = json!([{"type": "text", "text": "Yes", "cache_control": {"type": "ephemeral"}},
            {"type": "refusal", "refusal": "No"}]);
        let mut messages = chat_turn("a", &Value::Null).to_vec();
        messages.extend(chat_turn(&id, &content));
        let (after, retrievals) = after(Api::OpenAiChat, &json!({"messages": messages})).unwrap();
        assert_eq!(retrievals, restored, "{after}");
        let kept = after["messages"].as_array().unwrap().iter().any(|message| message["content"] == content);
        assert!(kept, "{after}");
    }
}

/// A conversation in which the client's own tool could not answer, `calls` times, in `parts` parts each.
fn unanswered(calls: usize, parts: usize) -> (String, String) {
    let rows: Vec<_> = (0..3_000)
        .map(|row| json!({"id": 7_919 * row, "name": format!("deployment-{row}"), "status": "ok"}))
        .collect();
    let original = serde_json::to_string(&rows).unwrap();
    let hash = ccr::address(&original);
    let name = "mcp__headroom__headroom_retrieve";
    let turns = (0..calls).flat_map(|at| {
        let id = format!("r{at}");
        let text = json!({"type": "text", "text": PLACEHOLDER});
        [
            json!({"role": "assistant", "content": [
                {"type": "tool_use", "id": id, "name": name, "input": {"hash": hash}}]}),
            json!({"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": id, "content": vec![text; parts]}]}),
        ]
    });
    let mut body = anthropic(&original, turns.collect());
    body["messages"][1]["content"][0]["name"] = "list".into();
    body["tools"] = json!([{"name": name, "input_schema": {}}]);
    (body.to_string(), original)
}

fn compressed(body: &str, memo: &mut Memo) -> String {
    let request = Request {
        reversible: true,
        retrieve_tool: RetrieveTool::Require,
        ..Request::new(Api::AnthropicMessages)
    };
    let config = Config { profile: crate::Profile::Balanced, ..Config::default() };
    String::from_utf8(compress(body.as_bytes(), &request, &config, memo).body.into_owned()).unwrap()
}

#[test]
fn placeholders_by_the_thousand_do_not_blow_up_a_request() {
    let (body, _) = unanswered(2_000, 1);
    let whole = compressed(&body, &mut Memo::new(64 << 20));
    let pages = 2_000 - whole.matches(PLACEHOLDER).count();
    assert!(pages > 100 && whole.len() < body.len() + (9 << 20), "{pages} {}", whole.len());
    // What is put back does not depend on what the memo knows.
    let mut memo = Memo::new(64 << 20);
    compressed(&unanswered(100, 1).0, &mut memo);
    assert!(compressed(&body, &mut memo) == whole);
}

#[test]
fn parts_of_one_result_are_told_from_results_of_many_calls_whatever_the_memo_knows() {
    // The same name, arguments and texts: two calls, and two parts of one.
    let (calls, parts) = (unanswered(2, 1).0, unanswered(1, 2).0);
    let fresh = |body: &str| compressed(body, &mut Memo::new(8 << 20));
    let left = |body: &str| body.matches(PLACEHOLDER).count();
    assert_eq!((left(&fresh(&calls)), left(&fresh(&parts))), (0, 1));
    for (first, then) in [(&calls, &parts), (&parts, &calls)] {
        let mut memo = Memo::new(8 << 20);
        compressed(first, &mut memo);
        assert_eq!(compressed(then, &mut memo), fresh(then));
    }
}
