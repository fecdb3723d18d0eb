//! Hostile and unusual conversations.

use headroom_providers::rounds::MARK;
use serde_json::{Value, json};

use super::*;
use crate::{Config, Memo, Request, RetrieveTool, compress};

fn text_before(text: &str) -> TraceInput {
    let mut before = TraceInput::default();
    before.text(text);
    before
}

fn after(api: Api, body: &Value) -> Option<(Value, u32)> {
    let restored = restore(body.to_string().as_bytes(), api)?;
    Some((serde_json::from_slice(&restored.body).unwrap(), restored.retrievals))
}

const ENDED: HiddenCall = HiddenCall { place: 0, reasoning: 0, output: 0, range: None, ends_round: true };

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

// What is counted is the same as WASM, and slow there.
#[cfg(not(target_family = "wasm"))]
#[test]
fn traces_by_the_hundred_to_one_long_text_are_bounded() {
    let long = "a line of a log\n".repeat(1 << 20);
    let nothing = Some(PageRange { unit: crate::excerpt::Unit::Lines, from: 0, to: 0 });
    let address = ccr::address(&long);
    let turns = (0..200).flat_map(|at| {
        let step = HiddenCall { range: nothing, ..ENDED };
        turn(&id_with_trace(&format!("b{at}"), &[step], &[&address], &TraceInput::default()).unwrap())
    });
    let body = anthropic(&long, turns.collect());
    let (after, retrievals) = after(Api::AnthropicMessages, &body).unwrap();
    assert!((20..=40).contains(&retrievals), "{retrievals}");
    assert!(!after.to_string().contains(MARK));
}

#[test]
fn a_round_is_not_put_behind_the_call_that_carries_it() {
    let address = ccr::address("text");
    let mut before = TraceInput::default();
    before.call("b");
    let id = id_with_trace("b", &[HiddenCall { place: 1, ..ENDED }], &[&address], &before).unwrap();
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
    assert!(!first.0.to_string().contains(MARK), "{}", first.0);
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
    assert!(!after(Api::OpenAiResponses, &body).unwrap().0.to_string().contains(MARK));
}

#[test]
fn parts_that_are_more_than_text_stay() {
    let address = ccr::address("text");
    for (place, restored) in [(0, 1), (3, 0)] {
        let mut before = text_before(&"Yes"[..place]);
        before.text("");
        let step = HiddenCall { place: u32::try_from(place).unwrap(), ..ENDED };
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

/// A conversation in which the client's own tool could not answer: `calls` times, in `parts` parts each.
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

// What is counted is the same as WASM, and slow there.
#[cfg(not(target_family = "wasm"))]
#[test]
fn placeholders_by_the_thousand_do_not_blow_up_a_request() {
    let (body, _) = unanswered(2_000, 1);
    let whole = compressed(&body, &mut Memo::new(64 << 20));
    let pages = 2_000 - whole.matches(PLACEHOLDER).count();
    assert!(pages > 100 && whole.len() < body.len() + (9 << 20), "{pages} {}", whole.len());
    // The restored body does not depend on the memo.
    let mut memo = Memo::new(64 << 20);
    compressed(&unanswered(100, 1).0, &mut memo);
    assert!(compressed(&body, &mut memo) == whole);
}

#[test]
fn parts_of_one_result_are_told_from_results_of_many_calls_whatever_the_memo_knows() {
    // The same name, arguments and texts: once as two calls, once as two parts of one.
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

/// A turn with a trace in each format, after a tool output `text`, as messages.
fn traced(api: Api, own: &str) -> (String, Vec<Value>) {
    let address = ccr::address("text");
    let mut before = TraceInput::default();
    if api == Api::OpenAiChat {
        before.text("");
        before.text("");
    }
    let id = id_with_trace(own, &[ENDED], &[&address], &before).unwrap();
    let messages = match api {
        Api::AnthropicMessages => turn(&id).to_vec(),
        Api::OpenAiChat => chat_turn(&id, &Value::Null).to_vec(),
        _ => vec![
            json!({"type": "function_call", "call_id": id, "name": "Read", "arguments": "{}"}),
            json!({"type": "function_call_output", "call_id": id, "output": "r"}),
        ],
    };
    (id, messages)
}

/// A request of these messages after a tool output `text`.
fn request(api: Api, messages: &[String]) -> String {
    let first = match api {
        Api::AnthropicMessages => turn("a").to_vec(),
        Api::OpenAiChat => chat_turn("a", &Value::Null).to_vec(),
        _ => vec![
            json!({"type": "function_call", "call_id": "a", "name": "Read", "arguments": "{}"}),
            json!({"type": "function_call_output", "call_id": "a", "output": "text"}),
        ],
    };
    let first = json!(first).to_string().replace("\"r\"", "\"text\"");
    let member = if api == Api::OpenAiResponses { "input" } else { "messages" };
    format!("{{\"{member}\":[{},{}]}}", first.trim_matches(['[', ']']), messages.join(","))
}

fn written(messages: &[Value]) -> Vec<String> {
    messages.iter().map(Value::to_string).collect()
}

const TRACED: [Api; 3] = [Api::AnthropicMessages, Api::OpenAiChat, Api::OpenAiResponses];

#[test]
fn a_message_that_cannot_be_read_stops_only_what_stands_behind_it() {
    for api in TRACED {
        for unreadable in [
            r#"{"role":"user","content":"x","role":"user"}"#,
            r#"{"role":"assistant","content":{"odd":1},"content":7,"type":"message","type":"reasoning"}"#,
        ] {
            let (_, first) = traced(api, "call_b");
            let (_, second) = traced(api, "call_c");
            let one = restore(request(api, &written(&first)).as_bytes(), api).unwrap();
            assert_eq!(one.retrievals, 1, "{api:?}");
            let messages = [written(&first), vec![unreadable.to_owned()], written(&second)].concat();
            let restored = restore(request(api, &messages).as_bytes(), api).unwrap();
            let text = String::from_utf8(restored.body).unwrap();
            assert_eq!(restored.retrievals, 1, "{api:?}: {text}");
            assert!(text.contains(unreadable) && !text.contains(MARK), "{api:?}: {text}");
            // It extends what was sent before.
            let before = String::from_utf8(one.body).unwrap();
            assert!(text.starts_with(before.trim_end_matches("]}")), "{api:?}: {text}\n{before}");
        }
    }
}

#[test]
fn a_call_that_a_client_has_copied_brings_its_round_back_once() {
    for api in TRACED {
        let (id, turns) = traced(api, "call_b");
        let twice = [written(&turns), written(&turns)].concat();
        let restored = restore(request(api, &twice).as_bytes(), api).unwrap();
        // Servers of OpenAI's format may repeat an id, once per turn.
        let expected = if api == Api::OpenAiChat { 2 } else { 1 };
        let text = String::from_utf8(restored.body).unwrap();
        assert_eq!(restored.retrievals, expected, "{api:?}: {text}");
        assert!(!text.contains(MARK), "{api:?}: {text}");

        // Both calls in one turn of the model, with a result each, and with one result.
        let mut turn = turns.clone();
        match api {
            Api::AnthropicMessages => {
                let call = turn[0]["content"][0].clone();
                turn[0]["content"].as_array_mut().unwrap().push(call);
            }
            Api::OpenAiChat => {
                let call = turn[0]["tool_calls"][0].clone();
                turn[0]["tool_calls"].as_array_mut().unwrap().push(call);
            }
            _ => turn.insert(0, turns[0].clone()),
        }
        for results in [1, 2] {
            let mut messages = written(&turn);
            messages.extend((1..results).map(|_| turns[1].to_string()));
            let restored = restore(request(api, &messages).as_bytes(), api).unwrap();
            let text = String::from_utf8(restored.body).unwrap();
            assert_eq!(restored.retrievals, 1, "{api:?}: {text}");
            assert!(!text.contains(&id) && serde_json::from_str::<Value>(&text).is_ok(), "{api:?}: {text}");
        }
    }
}

proptest::proptest! {
    /// A damaged request with traces is either restored to JSON without marks on ids, or passes.
    #[test]
    fn requests_with_traces_that_are_damaged_never_trap(
        api in proptest::sample::select(TRACED.to_vec()),
        order in proptest::collection::vec((0..6usize, 0..3usize, 0..64usize), 0..12),
    ) {
        let parts: Vec<String> =
            ["call_b", "call_c", "call_b"].iter().flat_map(|own| written(&traced(api, own).1)).collect();
        let messages: Vec<String> = order
            .iter()
            .map(|(at, change, place)| {
                let part = &parts[at % parts.len()];
                let mark = part.find(MARK).unwrap() + place;
                match change {
                    0 => part.clone(),
                    1 => part.replacen(part.get(mark..mark + 1).unwrap_or("z"), "Z", 1),
                    _ => part.replace(MARK, "_hr1__hr1_"),
                }
            })
            .collect();
        let body = request(api, &messages);
        if serde_json::from_str::<Value>(&body).is_ok()
            && let Some(restored) = restore(body.as_bytes(), api)
        {
            proptest::prop_assert!(serde_json::from_slice::<Value>(&restored.body).is_ok());
            // A restored request has nothing more to restore.
            proptest::prop_assert!(restored.retrievals as usize <= order.len());
        }
    }
}
