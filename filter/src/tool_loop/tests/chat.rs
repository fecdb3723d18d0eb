//! OpenAI Chat in the dialects of other servers.

use headroom_providers::RETRIEVE_TOOL as TOOL;
use headroom_providers::{Api, OwnTools};
use serde_json::{Value, json};

use super::scripted::{HASH, arguments, ask, events, foreign, go_on, play, stream};
use crate::tool_loop::{RoundOutcome, ToolLoop};

const REQUEST: &str = r#"{"messages":[{"role":"user","content":"go"}]}"#;

fn chunk(delta: &Value, reason: &str) -> Value {
    let reason = if reason.is_empty() { Value::Null } else { reason.into() };
    json!({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
}

fn call(id: &str, name: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments()}})
}

fn streamed(calls: Vec<Value>) -> String {
    let deltas = calls.into_iter().map(|call| chunk(&json!({"tool_calls": [call]}), ""));
    stream(&deltas.chain([chunk(&json!({}), "tool_calls")]).collect::<Vec<_>>()) + "data: [DONE]\n\n"
}

fn with(mut call: Value, key: &str, value: Value) -> Value {
    call[key] = value;
    call
}

/// The calls that a client assembles by their indexes.
fn calls(answer: &str) -> Vec<Value> {
    let deltas = events(answer).into_iter().map(|event| event["choices"][0]["delta"]["tool_calls"].clone());
    deltas.flat_map(|calls| calls.as_array().cloned().unwrap_or_default()).collect()
}

#[test]
fn a_call_of_ours_is_seen_whatever_its_number() {
    let numbered = |from: u64| {
        let calls = [call("a", "Read"), call("b", TOOL), call("c", "Bash")].into_iter().zip(from..);
        calls.map(|(call, index)| with(call, "index", index.into())).collect::<Vec<_>>()
    };
    let same = || numbered(0).into_iter().map(|call| with(call, "index", 0.into())).collect();
    let none = || vec![call("a", "Read"), call("b", TOOL), call("c", "Bash")];
    let nameless = || none().into_iter().map(|call| with(call, "id", "".into())).collect();
    for (case, answer) in
        [numbered(0), numbered(1), numbered(7), same(), none(), nameless()].into_iter().enumerate()
    {
        let (got, next) =
            play(&mut ToolLoop::new(Api::OpenAiChat, true, OwnTools::RETRIEVE), &streamed(answer), 9);
        assert!(!got.contains(TOOL), "{case}: {got}");
        let RoundOutcome::Answer(wanted) = next else {
            // Without ids nothing can carry the trace, and our call is dropped.
            assert!(case == 5 && got.contains("Bash"), "{case}: {got}");
            continue;
        };
        assert_eq!(wanted[0].asked().hash, HASH);
    }
}

#[test]
fn numbers_of_calls_that_are_held_follow_those_that_have_passed() {
    let answer = streamed(vec![
        with(call("a", "Read"), "index", 3.into()),
        with(call("b", TOOL), "index", 4.into()),
        with(call("", "Bash"), "index", 5.into()),
    ]);
    let (got, _) = play(&mut ToolLoop::new(Api::OpenAiChat, true, OwnTools::RETRIEVE), &answer, 1 << 20);
    let numbers: Vec<_> = calls(&got).iter().map(|call| call["index"].as_u64()).collect();
    assert_eq!(numbers, [Some(3), Some(4)], "{got}");
}

#[test]
fn what_a_provider_adds_to_a_call_reaches_the_client_and_comes_back() {
    let signed =
        |call: Value, text: &str| with(call, "extra_content", json!({"google": {"thought_signature": text}}));
    // Our call carries the signature: it is repeated unchanged, and the model makes the client's call after
    // it again.
    for stream in [true, false] {
        let answer = |calls: Vec<Value>| {
            if stream {
                return streamed(
                    calls.into_iter().zip(0u64..).map(|(c, at)| with(c, "index", at.into())).collect(),
                );
            }
            let message = json!({"role": "assistant", "content": null, "tool_calls": calls});
            json!({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}).to_string()
        };
        let mut turn = ToolLoop::new(Api::OpenAiChat, stream, OwnTools::RETRIEVE);
        let first = answer(vec![signed(call("a", TOOL), "one"), call("b", "Read")]);
        let (got, next) = play(&mut turn, &first, 1 << 20);
        assert!(matches!(next, RoundOutcome::Answer(_)), "{got}");
        let sent: Value =
            serde_json::from_str(&ask(&mut turn, REQUEST, &foreign(&["text"])).unwrap()).unwrap();
        let ours = &sent["messages"][1]["tool_calls"];
        assert_eq!(ours[0]["extra_content"]["google"]["thought_signature"], "one", "{sent}");
        assert_eq!(
            (ours.as_array().unwrap().len(), &sent["messages"][2]["tool_call_id"]),
            (1, &ours[0]["id"])
        );
        let (rest, _) = go_on(&mut turn, &answer(vec![signed(call("c", "Read"), "two"), call("d", "Bash")]));
        let whole = got + &rest;
        assert!(whole.contains(r#""thought_signature":"two""#) && !whole.contains("_hr1_"), "{whole}");
    }
}

#[test]
fn reasoning_that_later_rounds_have_signed_is_withheld_from_documents() {
    let answer = |details: Option<&str>, calls: Value| {
        let mut message = json!({"role": "assistant", "content": "", "tool_calls": calls});
        if let Some(details) = details {
            message["reasoning_details"] = json!([{"type": "reasoning.text", "signature": details}]);
        }
        json!({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}).to_string()
    };
    for first in [Some("first"), None] {
        let mut turn = ToolLoop::new(Api::OpenAiChat, false, OwnTools::RETRIEVE);
        let (_, next) = play(&mut turn, &answer(first, json!([call("a", TOOL)])), 1 << 20);
        assert!(matches!(next, RoundOutcome::Answer(_)));
        ask(&mut turn, REQUEST, &foreign(&["text"])).unwrap();
        let (rest, _) = go_on(&mut turn, &answer(Some("second"), json!([call("b", "Read")])));
        assert_eq!(rest.contains(r#""signature":"first""#), first.is_some(), "{rest}");
        assert!(!rest.contains("second"), "{rest}");
    }
}
