//! Calls of the memory tools, in every format.

use headroom_providers::answer::OwnCall;
use headroom_providers::{MemoryTools, OwnTool, OwnTools};
use serde_json::{Value, json};

use super::scripted::{APIS, Call, Text, ask, each, foreign, go_on, play, read, stream};
use crate::tool_loop::{
    Api, HiddenRounds, MAX_MEMORY_ROUNDS, ResultsOutcome, RoundOutcome, ToolLoop, ToolResult,
};

const MEMORY: OwnTools = OwnTools { retrieve: true, memory: MemoryTools { facts: true, files: true } };

fn names(calls: &[OwnCall]) -> Vec<(OwnTool, &str)> {
    calls.iter().map(|call| (call.tool, call.name.as_str())).collect()
}

#[test]
fn rounds_of_both_kinds_are_answered_and_leave_no_trace() {
    each(|api, answer, request, streamed| {
        let mut turn = ToolLoop::new(api, streamed, MEMORY);
        let first = answer(&[Text("A "), Call("memory_search"), Call("headroom_retrieve")], streamed);
        let (mut got, next) = play(&mut turn, &first, 11);
        let RoundOutcome::Answer(wanted) = next else { panic!("{api:?}: {next:?}") };
        let expected = [(OwnTool::Memory, "memory_search"), (OwnTool::Retrieve, "headroom_retrieve")];
        assert_eq!(names(&wanted), expected, "{api:?}");
        assert!(wanted[0].arguments.contains("query"), "{api:?}: {}", wanted[0].arguments);
        let continued = ask(&mut turn, request, &foreign(&["notes", "text"])).unwrap();
        assert!(continued.contains("memory_search"), "{api:?}: {continued}");
        let (rest, next) = go_on(&mut turn, &answer(&[Text("B "), Call("Bash")], streamed));
        assert!(matches!(next, RoundOutcome::Done(_)));
        got += &rest;
        let (text, calls, ..) = read(api, streamed, &got);
        assert_eq!((text.as_str(), calls), ("A B ", vec!["Bash".to_owned()]), "{api:?} {streamed}: {got}");
        assert!(!got.contains("_hr1_") && !got.contains("memory_search"), "{got}");
        assert_eq!(turn.hidden(), HiddenRounds { traced: 0, withheld: 1 });
    });
}

#[test]
fn a_tool_that_was_not_added_is_the_clients() {
    each(|api, answer, _, streamed| {
        for name in ["memory_save", "memory"] {
            let mut turn = ToolLoop::new(api, streamed, OwnTools::RETRIEVE);
            let whole = answer(&[Text("A "), Call(name)], streamed);
            let (got, next) = play(&mut turn, &whole, 11);
            assert!(matches!(next, RoundOutcome::Done(_)), "{api:?}");
            assert_eq!(got, whole);
        }
    });
}

#[test]
fn a_change_beside_calls_of_the_client_is_handed_on_before_it_is_dropped() {
    each(|api, answer, request, streamed| {
        for (name, changes) in [("memory_save", true), ("memory_list", false), ("memory", true)] {
            let mut turn = ToolLoop::new(api, streamed, MEMORY);
            // The client's call is first: otherwise Gemini would answer ours and drop the client's.
            let (mut got, next) =
                play(&mut turn, &answer(&[Text("A "), Call("Bash"), Call(name)], streamed), 7);
            match next {
                RoundOutcome::Answer(wanted) => {
                    assert!(changes && wanted.len() == 1, "{api:?} {name}");
                    let Some(ResultsOutcome::Done(rest)) =
                        turn.give(request.as_bytes(), &foreign(&["saved"]), 0)
                    else {
                        panic!("{api:?}: the provider is not asked")
                    };
                    got += std::str::from_utf8(&rest).unwrap();
                }
                RoundOutcome::Done(_) => assert!(!changes, "{api:?} {name}"),
            }
            let (text, calls, ..) = read(api, streamed, &got);
            assert_eq!((text.as_str(), calls), ("A ", vec!["Bash".to_owned()]), "{api:?} {streamed}: {got}");
        }
    });
}

#[test]
fn a_model_that_goes_in_circles_is_stopped() {
    for (api, answer, request) in APIS {
        let mut turn = ToolLoop::new(api, false, MEMORY);
        let call = answer(&[Call("memory_search")], false);
        let (mut got, mut next) = play(&mut turn, &call, 1 << 20);
        let mut rounds = 0;
        while let RoundOutcome::Answer(_) = next {
            ask(&mut turn, request, &foreign(&["nothing"])).unwrap();
            (got, next) = go_on(&mut turn, &call);
            rounds += 1;
        }
        assert_eq!(rounds, MAX_MEMORY_ROUNDS, "{api:?}");
        assert!(got.contains("[headroom: a call of memory"), "{got}");
    }
}

#[test]
fn an_error_is_marked_where_the_format_can() {
    for (api, answer, request) in APIS {
        let mut turn = ToolLoop::new(api, false, MEMORY);
        play(&mut turn, &answer(&[Call("memory_save")], false), 1 << 20);
        let continued = ask(&mut turn, request, &[ToolResult::error("Error: no")]).unwrap();
        let marked = match api {
            Api::AnthropicMessages => continued.contains(r#""is_error":true"#),
            Api::GeminiGenerateContent | Api::GeminiCodeAssist => {
                continued.contains(r#""name":"memory_save","response":{"error":"Error: no"}"#)
            }
            _ => continued.contains("Error: no"),
        };
        assert!(marked, "{api:?}: {continued}");
    }
}

#[test]
fn arguments_that_are_no_json_end_the_answer_with_a_note() {
    let block = json!({"type": "tool_use", "id": "toolu_1", "name": "memory_save", "input": {}});
    let delta = json!({"type": "input_json_delta", "partial_json": "{\"content\": \"cut"});
    let anthropic = stream(&[
        json!({"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 1}}),
        json!({"type": "message_stop"}),
    ]);
    let call = json!({"index": 0, "id": "c", "function": {"name": "memory_save", "arguments": "[nonsense"}});
    let chunk = |delta: Value, reason: Value| json!({"id": "c", "choices": [{"delta": delta, "finish_reason": reason}]});
    let chat =
        stream(&[chunk(json!({"tool_calls": [call]}), Value::Null), chunk(json!({}), json!("tool_calls"))]);
    for (api, answer) in [(Api::AnthropicMessages, anthropic), (Api::OpenAiChat, chat)] {
        let mut turn = ToolLoop::new(api, true, MEMORY);
        let (got, next) = play(&mut turn, &answer, 9);
        assert!(matches!(next, RoundOutcome::Done(_)), "{api:?}");
        assert!(
            got.contains("[headroom: a call of memory") && !got.contains("memory_save"),
            "{api:?}: {got}"
        );
    }
}
