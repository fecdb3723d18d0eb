//! Whole answers through the loop, in every format.

mod chat;
mod conversation;
mod memory;
mod scripted;

use headroom_providers::RETRIEVE_TOOL as TOOL;
use serde_json::{Value, json};

use super::*;
use scripted::{
    APIS, Call, HASH, Text, arguments, ask, each, events, foreign, go_on, own, play, read, stream,
};

#[test]
fn an_answer_without_our_tool_leaves_byte_for_byte() {
    each(|api, answer, _, streamed| {
        for parts in [&[Text("Hello there")][..], &[Text("I look. "), Call("Read"), Call("Bash")]] {
            let answer = answer(parts, streamed);
            for step in [1, 7, usize::MAX] {
                let (got, next) = play(
                    &mut ToolLoop::new(api, streamed, OwnTools::RETRIEVE),
                    &answer,
                    step.min(answer.len()),
                );
                assert_eq!(got, answer);
                assert!(matches!(next, RoundOutcome::Done(_)));
            }
        }
    });
}

#[test]
fn nothing_is_held_without_a_call_of_ours() {
    for (api, answer, _) in APIS {
        let mut turn = ToolLoop::new(api, true, OwnTools::RETRIEVE);
        let answer = answer(&[Text("Hello there "), Call("Read"), Call("Bash")], true);
        assert_eq!(String::from_utf8(turn.feed(answer.as_bytes())).unwrap(), answer, "{api:?}");
        assert!(!turn.keeps_bytes());
    }
}

#[test]
fn text_before_a_call_of_ours_is_not_held() {
    for (api, answer, _) in APIS {
        let mut turn = ToolLoop::new(api, true, OwnTools::RETRIEVE);
        let answer = answer(&[Text("Hello there "), Call(TOOL)], true);
        let before_end = String::from_utf8(turn.feed(answer.as_bytes())).unwrap();
        assert!(before_end.contains("Hello"), "{api:?}");
        assert!(!before_end.contains(TOOL), "{api:?}");
        assert!(turn.keeps_bytes());
    }
}

#[test]
fn a_call_of_ours_is_answered_and_the_client_sees_one_answer() {
    each(|api, answer, request, streamed| {
        let mut turn = ToolLoop::new(api, streamed, OwnTools::RETRIEVE);
        let first = answer(&[Text("Let me see. "), Call(TOOL)], streamed);
        let (mut got, next) = play(&mut turn, &first, 11);
        let RoundOutcome::Answer(wanted) = next else { panic!("{api:?}: {next:?}") };
        assert_eq!((wanted[0].asked().hash.as_str(), wanted[0].asked().query.as_str()), (HASH, "x"));

        let continued = ask(&mut turn, request, &foreign(&["the \"original\""])).unwrap();
        let value: Value = serde_json::from_str(&continued).unwrap();
        assert!(continued.contains(r#"the \"original\""#) && continued.contains("Let me see. "));
        assert!(continued.contains("1.0"), "{continued}");
        let list = value.get("messages").or(value.get("input")).or(value.get("contents"));
        let list = list.or(value["request"].get("contents")).unwrap();
        assert!(list.as_array().unwrap().len() >= 3, "{continued}");

        let (rest, next) = go_on(&mut turn, &answer(&[Text("It says 7. "), Call("Bash")], streamed));
        assert!(matches!(next, RoundOutcome::Done(_)));
        got += &rest;
        let (text, calls, reason, tokens) = read(api, streamed, &got);
        assert_eq!(text, "Let me see. It says 7. ", "{api:?} {streamed}: {got}");
        assert_eq!(calls, ["Bash"]);
        assert!(!reason.is_empty());
        assert_eq!(tokens, 10, "{api:?} {streamed}: {got}");
    });
}

#[test]
fn calls_of_both_end_the_turn_and_the_trace_puts_ours_beside_the_clients() {
    each(|api, answer, request, streamed| {
        if matches!(api, Api::GeminiGenerateContent | Api::GeminiCodeAssist) {
            return;
        }
        for parts in [
            [Text("A "), Call(TOOL), Call("Read"), Call(TOOL)],
            [Text("A "), Call("List"), Call(TOOL), Call("Read")],
        ] {
            let ours = parts.iter().filter(|part| matches!(part, Call(TOOL))).count();
            let theirs: Vec<&str> = parts
                .iter()
                .filter_map(|part| if let Call(name) = part { Some(*name) } else { None })
                .filter(|name| *name != TOOL)
                .collect();
            for given in [own(&["one", "two"][..ours]), foreign(&["one", "two"][..ours])] {
                let mut turn = ToolLoop::new(api, streamed, OwnTools::RETRIEVE);
                let (mut got, next) = play(&mut turn, &answer(&parts, streamed), 5);
                assert!(matches!(&next, RoundOutcome::Answer(wanted) if wanted.len() == ours), "{next:?}");
                let traced = given[0].source.is_some();
                let Some(ResultsOutcome::Done(rest)) = turn.give(request.as_bytes(), &given, 0) else {
                    panic!("{api:?}: the provider is not asked")
                };
                got += std::str::from_utf8(&rest).unwrap();
                let (text, calls, reason, tokens) = read(api, streamed, &got);
                assert_eq!((text.as_str(), tokens), ("A ", 5), "{api:?} {streamed}: {got}");
                assert_eq!(calls, theirs, "{api:?} {streamed}: {got}");
                assert!(!reason.contains("end") && reason != "stop", "{api:?} {streamed}: {reason}");
                assert_eq!(got.contains("_hr1_"), traced, "{api:?} {streamed}: {got}");
                let hidden = HiddenRounds { traced: u32::from(traced), withheld: 0 };
                assert_eq!(turn.hidden(), hidden);
            }
        }
    });
}

#[test]
fn a_client_that_has_all_its_calls_already_gets_no_trace_and_ours_is_taken_out() {
    for (api, answer, _) in APIS {
        let mut turn = ToolLoop::new(api, true, OwnTools::RETRIEVE);
        let parts = [Text("A "), Call("Read"), Call(TOOL)];
        let (got, next) = play(&mut turn, &answer(&parts, true), 5);
        assert!(matches!(next, RoundOutcome::Done(_)), "{api:?}");
        let (text, calls, ..) = read(api, true, &got);
        assert_eq!((text.as_str(), calls.as_slice()), ("A ", &["Read".to_owned()][..]), "{api:?}: {got}");
        assert!(!got.contains("_hr1_"));
    }
}

#[test]
fn gemini_answers_a_first_call_of_ours_and_drops_the_clients_behind_it() {
    for ((api, answer, request), streamed) in
        APIS[3..].iter().copied().flat_map(|api| [false, true].map(|streamed| (api, streamed)))
    {
        let mut turn = ToolLoop::new(api, streamed, OwnTools::RETRIEVE);
        let first = answer(&[Text("A "), Call(TOOL), Call("Read"), Call(TOOL)], streamed);
        let (mut got, next) = play(&mut turn, &first, 5);
        assert!(matches!(&next, RoundOutcome::Answer(wanted) if wanted.len() == 2));
        let continued = ask(&mut turn, request, &own(&["one", "two"])).unwrap();
        assert!(!continued.contains("Read") && continued.contains("one") && continued.contains("two"));
        assert!(continued.contains("\"thoughtSignature\":\"sig\""), "the call goes back as it was");
        got += &go_on(&mut turn, &answer(&[Text("B")], streamed)).0;
        let (text, calls, ..) = read(api, streamed, &got);
        assert_eq!((text.as_str(), calls.len()), ("A B", 0), "{got}");
    }
}

#[test]
fn a_round_that_fails_ends_the_answer_well_formed_and_without_our_call() {
    each(|api, answer, request, streamed| {
        let whole = answer(&[Text("B "), Call("Bash")], streamed);
        let cut = &whole[..whole.len() / 2];
        for later in [None, Some(""), Some("{}"), Some("[]"), Some("nonsense\n\n"), Some(cut)] {
            let mut turn = ToolLoop::new(api, streamed, OwnTools::RETRIEVE);
            let first = answer(&[Text("A "), Call(TOOL)], streamed);
            let (mut got, next) = play(&mut turn, &first, 9);
            assert!(matches!(next, RoundOutcome::Answer(_)));
            match later {
                None => got += std::str::from_utf8(&turn.give_up()).unwrap(),
                Some(later) => {
                    ask(&mut turn, request, &foreign(&["x"])).unwrap();
                    let (rest, next) = go_on(&mut turn, later);
                    assert!(matches!(next, RoundOutcome::Done(_)));
                    got += &rest;
                }
            }
            let (text, calls, reason, _) = read(api, streamed, &got);
            assert_eq!(text, format!("A {APOLOGY}"), "{api:?} {streamed} {later:?}: {got}");
            assert!(calls.is_empty(), "{api:?} {streamed} {later:?}: {got}");
            assert!(!reason.is_empty());
            assert_eq!(turn.feed(b"later"), b"later");
        }
    });
}

#[test]
fn a_model_that_goes_in_circles_is_stopped() {
    each(|api, answer, request, streamed| {
        let mut turn = ToolLoop::new(api, streamed, OwnTools::RETRIEVE);
        let again = answer(&[Text("a "), Call(TOOL)], streamed);
        let (mut got, mut next) = play(&mut turn, &again, 50);
        let mut rounds = 0;
        while let RoundOutcome::Answer(_) = next {
            rounds += 1;
            ask(&mut turn, request, &foreign(&["x"])).unwrap();
            let (rest, then) = go_on(&mut turn, &again);
            got += &rest;
            next = then;
        }
        assert_eq!(rounds, MAX_ROUNDS);
        let (text, calls, ..) = read(api, streamed, &got);
        assert_eq!(text, format!("a a a a {APOLOGY}"), "{api:?} {streamed}: {got}");
        assert!(calls.is_empty());
    });
}

#[test]
fn a_call_that_was_cut_off_is_not_answered() {
    let start = json!({"type": "tool_use", "id": "t", "name": TOOL, "input": {}});
    let delta = json!({"type": "input_json_delta", "partial_json": "{\"hash\":\"01"});
    let events = [
        json!({"type": "message_start", "message": {"id": "msg", "content": [], "usage": {"input_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": start}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 5}}),
        json!({"type": "message_stop"}),
    ];
    let (got, next) =
        play(&mut ToolLoop::new(Api::AnthropicMessages, true, OwnTools::RETRIEVE), &stream(&events), 10);
    assert!(matches!(next, RoundOutcome::Done(_)));
    let (text, calls, reason, _) = read(Api::AnthropicMessages, true, &got);
    assert_eq!((text.as_str(), calls.len(), reason.as_str()), (APOLOGY, 0, "max_tokens"), "{got}");
}

#[test]
fn a_chunk_with_text_and_our_call_loses_no_text() {
    let call = json!({"index": 0, "id": "call_0", "type": "function",
        "function": {"name": TOOL, "arguments": arguments()}});
    let chunk = json!({"id": "c", "choices": [{"index": 0, "finish_reason": null,
        "delta": {"role": "assistant", "content": "Both. ", "tool_calls": [call]}}]});
    let last = json!({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]});
    let parts = json!([{"text": "Both. "}, {"functionCall": {"name": TOOL, "args": {"hash": HASH}}}]);
    let gemini_chunk = json!({"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}],
        "usageMetadata": {"candidatesTokenCount": 5}});
    for (api, first, (_, answer, request)) in [
        (Api::OpenAiChat, stream(&[chunk, last]), APIS[1]),
        (Api::GeminiGenerateContent, stream(&[gemini_chunk]), APIS[3]),
    ] {
        for fails in [false, true] {
            let mut turn = ToolLoop::new(api, true, OwnTools::RETRIEVE);
            let (mut got, next) = play(&mut turn, &first, 9);
            assert!(matches!(next, RoundOutcome::Answer(_)), "{next:?}");
            ask(&mut turn, request, &foreign(&["x"])).unwrap();
            let second = if fails { String::new() } else { answer(&[Text("Then.")], true) };
            got += &go_on(&mut turn, &second).0;
            let end = if fails { APOLOGY } else { "Then." };
            assert_eq!(read(api, true, &got).0, format!("Both. {end}"), "{api:?}: {got}");
        }
    }
}

#[test]
fn reasoning_that_led_to_our_call_is_not_for_the_clients_history() {
    let reasoning = json!({"type": "reasoning", "id": "rs_1", "encrypted_content": "e", "summary": []});
    let call = json!({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": TOOL, "arguments": arguments()});
    let message = json!({"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "T"}]});
    let round = |items: &[&Value]| {
        let mut events = vec![json!({"type": "response.created", "response": {"status": "in_progress"}})];
        for (index, item) in items.iter().enumerate() {
            events.push(json!({"type": "response.output_item.added", "output_index": index, "item": item}));
            events.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
        }
        let usage = json!({"output_tokens": 1});
        events.push(json!({"type": "response.completed",
            "response": {"status": "completed", "output": items, "usage": usage}}));
        for (number, event) in events.iter_mut().enumerate() {
            event["sequence_number"] = number.into();
        }
        events
    };
    // Reasoning that leads to a message passes as it came, before the message is complete.
    let plain = round(&[&reasoning, &message]);
    let mut turn = ToolLoop::new(Api::OpenAiResponses, true, OwnTools::RETRIEVE);
    assert_eq!(turn.feed(stream(&plain[..4]).as_bytes()), stream(&plain[..4]).as_bytes());

    let mut turn = ToolLoop::new(Api::OpenAiResponses, true, OwnTools::RETRIEVE);
    let (mut got, next) = play(&mut turn, &stream(&round(&[&reasoning, &call])), 30);
    assert!(matches!(next, RoundOutcome::Answer(_)));
    let request = ask(&mut turn, r#"{"input":"hi"}"#, &foreign(&["x"])).unwrap();
    assert!(request.contains("rs_1"), "the provider gets it back");
    got += &go_on(&mut turn, &stream(&round(&[&message]))).0;
    let events = events(&got);
    let done: Vec<&Value> = events.iter().filter(|it| it["type"] == "response.output_item.done").collect();
    assert_eq!((done.len(), &done[0]["item"]["id"]), (1, &json!("m")), "{got}");
    assert_eq!(events.last().unwrap()["response"]["output"], json!([message]));
    let numbers: Vec<_> = events.iter().map(|event| event["sequence_number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, Vec::from_iter(0..events.len() as u64));

    let mut turn = ToolLoop::new(Api::OpenAiResponses, false, OwnTools::RETRIEVE);
    let document = json!({"status": "completed", "output": [reasoning, call]}).to_string();
    assert!(matches!(play(&mut turn, &document, 30).1, RoundOutcome::Answer(_)));
    ask(&mut turn, r#"{"input":"hi"}"#, &foreign(&["x"])).unwrap();
    let (whole, _) = go_on(&mut turn, &json!({"status": "completed", "output": [message]}).to_string());
    assert_eq!(serde_json::from_str::<Value>(&whole).unwrap()["output"], json!([message]));
}

#[test]
fn reasoning_that_a_chat_provider_shows_goes_back_with_the_results() {
    let call = json!({"index": 0, "id": "call_0", "type": "function",
        "function": {"name": TOOL, "arguments": arguments()}});
    let chunk = |delta: Value, reason: Value| json!({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    let events = [
        chunk(json!({"role": "assistant", "reasoning_content": "I have "}), Value::Null),
        chunk(json!({"reasoning_content": "to look."}), Value::Null),
        chunk(json!({"tool_calls": [call]}), Value::Null),
        chunk(json!({}), "tool_calls".into()),
    ];
    let message = json!({"role": "assistant", "content": null, "reasoning_content": "I have to look.",
        "tool_calls": [call]});
    let document =
        json!({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}).to_string();
    for (streamed, answer) in [(true, stream(&events)), (false, document)] {
        let mut turn = ToolLoop::new(Api::OpenAiChat, streamed, OwnTools::RETRIEVE);
        assert!(matches!(play(&mut turn, &answer, 40).1, RoundOutcome::Answer(_)));
        let next = ask(&mut turn, r#"{"messages":[]}"#, &foreign(&["x"])).unwrap();
        let next: Value = serde_json::from_str(&next).unwrap();
        assert_eq!(next["messages"][0]["reasoning_content"], "I have to look.", "{streamed}");
    }
}

#[test]
fn an_answer_that_breaks_off_anywhere_never_shows_our_call() {
    each(|api, answer, _, streamed| {
        if !streamed {
            return;
        }
        let whole = answer(&[Text("A "), Call(TOOL), Call("list")], streamed);
        for cut in 0..whole.len() {
            let mut turn = ToolLoop::new(api, streamed, OwnTools::RETRIEVE);
            let mut got = turn.feed(&whole.as_bytes()[..cut]);
            match turn.end() {
                RoundOutcome::Done(rest) => got.extend(rest),
                // The answer was complete, except for the end of its last event.
                RoundOutcome::Answer(_) => assert!(cut > whole.len() / 2, "{api:?} {cut}"),
            }
            let got = String::from_utf8(got).unwrap();
            let begun = whole.find(TOOL).unwrap() + TOOL.len();
            // The last bytes may be an incomplete event, which no client reads.
            let events = got.rfind("\n\n").map_or("", |end| &got[..end]);
            assert!(!events.contains(TOOL), "{api:?} {cut}: {got}");
            assert!(cut >= begun || whole.starts_with(&got), "{api:?} {cut}: {got}");
        }
    });
}

#[test]
fn a_later_round_that_breaks_off_anywhere_leaves_a_whole_answer() {
    each(|api, answer, request, streamed| {
        let first = answer(&[Text("A "), Call(TOOL)], streamed);
        let later = answer(&[Text("b "), Call("list")], streamed);
        for cut in 0..later.len() {
            let mut turn = ToolLoop::new(api, streamed, OwnTools::RETRIEVE);
            let (mut got, _) = play(&mut turn, &first, 1 << 20);
            ask(&mut turn, request, &foreign(&["x"])).unwrap();
            let (rest, next) = go_on(&mut turn, &later[..cut]);
            got += &rest;
            assert!(matches!(next, RoundOutcome::Done(_)), "{api:?} {cut}");
            let (text, calls, ..) = read(api, streamed, &got);
            let ended = format!("A {APOLOGY}");
            assert!(text == ended || (text == "A b " && calls == ["list"]), "{api:?} {cut}: {got}");
        }
    });
}

#[test]
fn a_stream_with_a_call_of_ours_beyond_all_bounds_ends_well_formed() {
    each(|api, answer, _, streamed| {
        if !streamed {
            return;
        }
        let whole = answer(&[Text("A "), Call(TOOL)], streamed);
        let begun = whole[..whole.find(TOOL).unwrap()].len()
            + whole[whole.find(TOOL).unwrap()..].find("\n\n").unwrap()
            + 2;
        for more in ["x".repeat(MAX_ROUND_BYTES), "data: [1]\n\n".to_owned()] {
            let mut turn = ToolLoop::new(api, streamed, OwnTools::RETRIEVE);
            let mut got = turn.feed(&whole.as_bytes()[..begun]);
            got.extend(turn.feed(more.as_bytes()));
            got.extend(turn.feed(&whole.as_bytes()[begun..]));
            let RoundOutcome::Done(rest) = turn.end() else { panic!("{api:?}: followed beyond the limit") };
            got.extend(rest);
            let got = String::from_utf8(got).unwrap();
            let (text, calls, ..) = read(api, streamed, &got);
            assert_eq!((text, calls.len()), (format!("A {APOLOGY}"), 0), "{api:?}: {got}");
        }
    });
}

#[test]
fn an_answer_that_is_given_up_anywhere_passes_or_ends_before_our_call() {
    each(|api, answer, _, streamed| {
        let whole = answer(&[Text("A "), Call(TOOL)], streamed);
        for cut in 0..whole.len() {
            let mut turn = ToolLoop::new(api, streamed, OwnTools::RETRIEVE);
            let mut got = turn.feed(&whole.as_bytes()[..cut]);
            got.extend(turn.stop());
            assert_eq!(turn.kept(), 0, "{api:?} {streamed} {cut}: nothing is kept any more");
            got.extend(turn.feed(&whole.as_bytes()[cut..]));
            let RoundOutcome::Done(rest) = turn.end() else {
                panic!("{api:?}: followed after it was given up")
            };
            got.extend(rest);
            let got = String::from_utf8(got).unwrap();
            if got != whole {
                let (text, calls, ..) = read(api, streamed, &got);
                assert_eq!((text, calls.len()), (format!("A {APOLOGY}"), 0), "{api:?} {cut}: {got}");
                assert!(streamed && cut > whole.find(TOOL).unwrap(), "{api:?} {cut}");
            }
        }
    });
}

#[test]
fn what_is_kept_of_an_answer_is_about_what_it_says() {
    each(|api, answer, _, streamed| {
        let long: &str = "x".repeat(300_000).leak();
        let whole = answer(&[Text(long), Call(TOOL)], streamed);
        let mut turn = ToolLoop::new(api, streamed, OwnTools::RETRIEVE);
        for piece in whole.as_bytes().chunks(1_000) {
            turn.feed(piece);
        }
        assert!(matches!(turn.end(), RoundOutcome::Answer(_)), "{api:?} {streamed}");
        let kept = turn.kept();
        assert!(
            (long.len()..4 * whole.len()).contains(&kept),
            "{api:?} {streamed}: {kept} of {}",
            whole.len()
        );
    });
}

#[test]
fn what_is_no_answer_passes_as_it_came() {
    each(|api, answer, _, streamed| {
        let cut = answer(&[Text("A "), Call("list")], streamed);
        for bytes in ["", "data: {\n\n", "data: []\n\n", "{", "[1]", "\u{0}\n\n", &cut[..cut.len() / 2]] {
            let mut turn = ToolLoop::new(api, streamed, OwnTools::RETRIEVE);
            let mut got = turn.feed(bytes.as_bytes());
            match turn.end() {
                RoundOutcome::Done(rest) => got.extend(rest),
                RoundOutcome::Answer(_) => panic!("half an answer was taken for a whole one"),
            }
            assert_eq!(String::from_utf8(got).unwrap(), bytes, "{api:?} {streamed}");
        }
    });
}

#[test]
fn an_answer_over_the_limit_passes() {
    each(|api, answer, _, streamed| {
        let mut turn = ToolLoop::new(api, streamed, OwnTools::RETRIEVE);
        let long = "x".repeat(MAX_ROUND_BYTES + 1);
        let bytes = answer(&[Call("list")], streamed).into_bytes();
        let mut got = turn.feed(&bytes[..bytes.len() / 2]);
        got.extend(turn.feed(long.as_bytes()));
        let RoundOutcome::Done(rest) = turn.end() else { panic!("followed beyond the limit") };
        got.extend(rest);
        assert_eq!(got.len(), bytes.len() / 2 + long.len());
    });
}
