//! The conversation stays true: after an answer with hidden rounds the client's next request, with the rounds
//! put back, begins with what the provider was sent when the model wrote the rest of that answer.

use headroom_compress::rounds::{self, RetrieveArguments};
use headroom_compress::{Api, OwnTools, address};
use headroom_providers::RETRIEVE_TOOL as TOOL;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::scripted::{events, play, stream};
use crate::tool_loop::{HiddenRounds, ResultsOutcome, RoundOutcome, Source, ToolLoop, ToolResult};

const APIS: [Api; 3] = [Api::AnthropicMessages, Api::OpenAiChat, Api::OpenAiResponses];

/// One element of the model's answer.
#[derive(Clone, Debug)]
enum AnswerElement {
    Thought(String),
    Text(String),
    /// A call of ours, with a range or a query.
    Ours(&'static str, &'static str),
    Theirs,
}

fn said(ours: bool) -> impl Strategy<Value = AnswerElement> {
    let text = "[a-zé🦀\"\\\\ ]{0,12}";
    let ask =
        prop_oneof![Just(("", "")), Just(("lines", "2-3")), Just(("query", "nine")), Just(("lines", "90"))];
    prop_oneof![
        2 => text.prop_map(AnswerElement::Thought),
        3 => text.prop_map(AnswerElement::Text),
        2 => if ours { ask.prop_map(|(key, value)| AnswerElement::Ours(key, value)).boxed() } else { Just(AnswerElement::Theirs).boxed() },
    ]
}

/// Rounds that call only our tool, and a last one that may call the client's as well.
fn turn() -> impl Strategy<Value = Vec<Vec<AnswerElement>>> {
    let round = proptest::collection::vec(said(true), 0..4).prop_map(|mut round| {
        round.push(AnswerElement::Ours("lines", "1-2"));
        round
    });
    let last = proptest::collection::vec(prop_oneof![3 => said(false), 1 => said(true)], 0..5);
    (proptest::collection::vec(round, 0..3), last).prop_map(|(mut rounds, last)| {
        rounds.push(last);
        // If the last one calls only our tool, the turn goes on.
        rounds.push(vec![AnswerElement::Text("That is it.".to_owned())]);
        rounds
    })
}

/// A text in the request.
fn original() -> String {
    ["one", "two", "three", "nine and ten", "end"].join("\n")
}

fn request(api: Api) -> Value {
    let text = original();
    match api {
        Api::AnthropicMessages => json!({"tools": [{"name": "Read"}], "messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_0", "name": "Read", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_0", "content": text}]}]}),
        Api::OpenAiChat => json!({"messages": [
            {"role": "user", "content": "go"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_0", "type": "function", "function": {"name": "Read", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "call_0", "content": text}]}),
        _ => json!({"store": false, "input": [
            {"role": "user", "content": "go"},
            {"type": "function_call", "call_id": "call_0", "name": "Read", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_0", "output": text}]}),
    }
}

fn list(api: Api, request: &Value) -> Vec<Value> {
    let member = if api == Api::OpenAiResponses { "input" } else { "messages" };
    request[member].as_array().unwrap().clone()
}

fn arguments(key: &str, value: &str) -> Value {
    let mut arguments = json!({"hash": address(&original())});
    if !key.is_empty() {
        arguments[key] = value.into();
    }
    arguments
}

/// The model's answer. `number` keeps ids of different rounds apart.
fn answer(api: Api, round: &[AnswerElement], number: usize, streamed: bool) -> String {
    let id = |at: usize| format!("c{number}x{at}");
    let calls = round.iter().any(|said| matches!(said, AnswerElement::Ours(..) | AnswerElement::Theirs));
    match api {
        Api::AnthropicMessages => {
            let blocks = round.iter().enumerate().map(|(at, said)| match said {
                AnswerElement::Thought(text) => {
                    json!({"type": "thinking", "thinking": text, "signature": format!("s{number}{at}")})
                }
                AnswerElement::Text(text) => json!({"type": "text", "text": text}),
                AnswerElement::Ours(key, value) => {
                    json!({"type": "tool_use", "id": id(at), "name": TOOL, "input": arguments(key, value)})
                }
                AnswerElement::Theirs => {
                    json!({"type": "tool_use", "id": id(at), "name": "Read", "input": {"a": at}})
                }
            });
            let (blocks, reason) = (blocks.collect::<Vec<_>>(), if calls { "tool_use" } else { "end_turn" });
            if !streamed {
                return json!({"type": "message", "role": "assistant", "content": blocks, "stop_reason": reason,
                    "usage": {"output_tokens": 1}}).to_string();
            }
            let mut all = vec![json!({"type": "message_start", "message": {"content": [], "usage": {}}})];
            for (index, block) in blocks.iter().enumerate() {
                let mut start = block.clone();
                let mut deltas = Vec::new();
                for (member, kind) in
                    [("thinking", "thinking_delta"), ("signature", "signature_delta"), ("text", "text_delta")]
                {
                    if let Some(text) = block[member].as_str() {
                        start[member] = "".into();
                        deltas.push(json!({"type": kind, member: text}));
                    }
                }
                if let Some(input) = block.get("input") {
                    start["input"] = json!({});
                    deltas.push(json!({"type": "input_json_delta", "partial_json": input.to_string()}));
                }
                all.push(json!({"type": "content_block_start", "index": index, "content_block": start}));
                all.extend(
                    deltas
                        .iter()
                        .map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta})),
                );
                all.push(json!({"type": "content_block_stop", "index": index}));
            }
            all.push(json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 1}}));
            all.push(json!({"type": "message_stop"}));
            stream(&all)
        }
        Api::OpenAiChat => {
            let of =
                |pick: fn(&AnswerElement) -> Option<&str>| round.iter().filter_map(pick).collect::<String>();
            let text = of(|said| if let AnswerElement::Text(text) = said { Some(text) } else { None });
            let thought = of(|said| if let AnswerElement::Thought(text) = said { Some(text) } else { None });
            let calls: Vec<Value> = round.iter().enumerate().filter_map(|(at, said)| {
                let (name, arguments) = match said {
                    AnswerElement::Ours(key, value) => (TOOL, arguments(key, value)),
                    AnswerElement::Theirs => ("Read", json!({"a": at})),
                    _ => return None,
                };
                Some(json!({"id": id(at), "type": "function", "function": {"name": name, "arguments": arguments.to_string()}}))
            }).collect();
            let reason = if calls.is_empty() { "stop" } else { "tool_calls" };
            if !streamed {
                let mut message = json!({"role": "assistant", "content": text});
                if !thought.is_empty() {
                    message["reasoning_content"] = thought.into();
                }
                if !calls.is_empty() {
                    message["tool_calls"] = calls.into();
                }
                return json!({"choices": [{"index": 0, "message": message, "finish_reason": reason}]})
                    .to_string();
            }
            let chunk = |delta: Value, reason: Value| json!({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
            let mut all = vec![chunk(json!({"role": "assistant", "content": ""}), Value::Null)];
            for c in thought.chars() {
                all.push(chunk(json!({"reasoning_content": c.to_string()}), Value::Null));
            }
            for c in text.chars() {
                all.push(chunk(json!({"content": c.to_string()}), Value::Null));
            }
            for (index, mut call) in calls.into_iter().enumerate() {
                call["index"] = index.into();
                all.push(chunk(json!({"tool_calls": [call]}), Value::Null));
            }
            all.push(chunk(json!({}), reason.into()));
            stream(&all) + "data: [DONE]\n\n"
        }
        _ => {
            let items: Vec<Value> = round.iter().enumerate().map(|(at, said)| match said {
                AnswerElement::Thought(text) => json!({"type": "reasoning", "id": format!("rs{number}{at}"), "summary": [], "encrypted_content": text}),
                AnswerElement::Text(text) => json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}),
                AnswerElement::Ours(key, value) => json!({"type": "function_call", "call_id": id(at), "name": TOOL, "arguments": arguments(key, value).to_string()}),
                AnswerElement::Theirs => json!({"type": "function_call", "call_id": id(at), "name": "Read", "arguments": json!({"a": at}).to_string()}),
            }).collect();
            if !streamed {
                return json!({"status": "completed", "output": items}).to_string();
            }
            let mut all = vec![json!({"type": "response.created", "response": {"status": "in_progress"}})];
            for (index, item) in items.iter().enumerate() {
                for kind in ["response.output_item.added", "response.output_item.done"] {
                    all.push(json!({"type": kind, "output_index": index, "item": item}));
                }
            }
            all.push(
                json!({"type": "response.completed", "response": {"status": "completed", "output": items}}),
            );
            for (number, event) in all.iter_mut().enumerate() {
                event["sequence_number"] = number.into();
            }
            stream(&all)
        }
    }
}

/// What a client keeps of an answer: the elements that it appends to its request.
fn kept(api: Api, answer: &str, streamed: bool) -> Vec<Value> {
    if !streamed {
        let answer: Value = serde_json::from_str(answer).unwrap();
        return match api {
            Api::AnthropicMessages => vec![json!({"role": "assistant", "content": answer["content"]})],
            Api::OpenAiChat => vec![answer["choices"][0]["message"].clone()],
            _ => answer["output"].as_array().unwrap().clone(),
        };
    }
    let events = events(answer);
    match api {
        Api::AnthropicMessages => {
            let mut blocks: Vec<Value> = Vec::new();
            let mut inputs: Vec<String> = Vec::new();
            for event in &events {
                let at = event["index"].as_u64().map(|at| at as usize);
                match event["type"].as_str().unwrap() {
                    "content_block_start" => {
                        assert_eq!(at, Some(blocks.len()));
                        blocks.push(event["content_block"].clone());
                        inputs.push(String::new());
                    }
                    "content_block_delta" => {
                        let delta = event["delta"].as_object().unwrap();
                        for (member, text) in delta.iter().filter(|(member, _)| *member != "type") {
                            if member == "partial_json" {
                                inputs[at.unwrap()] += text.as_str().unwrap();
                            } else {
                                let whole = format!(
                                    "{}{}",
                                    blocks[at.unwrap()][member].as_str().unwrap(),
                                    text.as_str().unwrap()
                                );
                                blocks[at.unwrap()][member] = whole.into();
                            }
                        }
                    }
                    _ => {}
                }
            }
            for (block, input) in blocks.iter_mut().zip(inputs).filter(|(_, input)| !input.is_empty()) {
                block["input"] = serde_json::from_str(&input).unwrap();
            }
            vec![json!({"role": "assistant", "content": blocks})]
        }
        Api::OpenAiChat => {
            let (mut text, mut thought, mut calls) = (String::new(), String::new(), Vec::new());
            for delta in events.iter().map(|event| &event["choices"][0]["delta"]) {
                text += delta["content"].as_str().unwrap_or_default();
                thought += delta["reasoning_content"].as_str().unwrap_or_default();
                for call in delta["tool_calls"].as_array().into_iter().flatten() {
                    let mut call = call.clone();
                    assert_eq!(call["index"], calls.len(), "calls come in order");
                    call.as_object_mut().unwrap().remove("index");
                    calls.push(call);
                }
            }
            let mut message = json!({"role": "assistant", "content": text});
            if !thought.is_empty() {
                message["reasoning_content"] = thought.into();
            }
            if !calls.is_empty() {
                message["tool_calls"] = calls.into();
            }
            vec![message]
        }
        _ => {
            let done = events.iter().filter(|event| event["type"] == "response.output_item.done");
            let items: Vec<Value> = done.map(|event| event["item"].clone()).collect();
            let last = events.last().unwrap();
            assert_eq!(last["response"]["output"], json!(items), "the last event repeats the items");
            items
        }
    }
}

/// The ids of the client's calls in those elements.
fn calls(api: Api, kept: &[Value]) -> Vec<String> {
    let id = |value: &Value| value.as_str().unwrap().to_owned();
    kept.iter()
        .flat_map(|element| match api {
            Api::AnthropicMessages => element["content"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|block| block["type"] == "tool_use")
                .map(|block| id(&block["id"]))
                .collect::<Vec<_>>(),
            Api::OpenAiChat => {
                element["tool_calls"].as_array().into_iter().flatten().map(|call| id(&call["id"])).collect()
            }
            _ => (element["type"] == "function_call").then(|| id(&element["call_id"])).into_iter().collect(),
        })
        .collect()
}

fn results(api: Api, calls: &[String]) -> Vec<Value> {
    if calls.is_empty() {
        return vec![json!({"role": "user", "content": "on"})];
    }
    match api {
        Api::AnthropicMessages => {
            let results = calls
                .iter()
                .rev()
                .map(|id| json!({"type": "tool_result", "tool_use_id": id, "content": "r"}));
            vec![json!({"role": "user", "content": results.collect::<Vec<_>>()})]
        }
        Api::OpenAiChat => {
            calls.iter().map(|id| json!({"role": "tool", "tool_call_id": id, "content": "r"})).collect()
        }
        _ => calls
            .iter()
            .map(|id| json!({"type": "function_call_output", "call_id": id, "output": "r"}))
            .collect(),
    }
}

/// Plays a turn. Returns the client's answer, the last request to the provider, and the hidden rounds.
fn answered(
    api: Api,
    script: &[Vec<AnswerElement>],
    streamed: bool,
    step: usize,
) -> (String, Value, HiddenRounds) {
    let (text, mut sent) = (original(), request(api).to_string());
    let calls = rounds::calls(sent.as_bytes(), api);
    let mut turn = ToolLoop::new(api, streamed, OwnTools::RETRIEVE);
    let (mut got, mut next) = play(&mut turn, &answer(api, &script[0], 0, streamed), step);
    for (number, round) in script.iter().enumerate().skip(1) {
        let RoundOutcome::Answer(wanted) = next else { break };
        let given: Vec<ToolResult> = wanted
            .iter()
            .map(|wanted| {
                let page = rounds::answer(&text, &wanted.asked());
                let source = Source { output: 0, hash: address(&text), range: page.range };
                ToolResult { text: page.text, source: Some(source), is_error: false }
            })
            .collect();
        next = match turn.give(sent.as_bytes(), &given, calls) {
            Some(ResultsOutcome::Ask(body)) => {
                sent = String::from_utf8(body).unwrap();
                turn.continued(answer(api, round, number, streamed).as_bytes())
            }
            Some(ResultsOutcome::Done(rest)) => RoundOutcome::Done(rest),
            None => RoundOutcome::Done(turn.give_up()),
        };
        if let RoundOutcome::Done(rest) = &next {
            got += std::str::from_utf8(rest).unwrap();
        }
    }
    (got, serde_json::from_str(&sent).unwrap(), turn.hidden())
}

fn with(api: Api, request: &Value, more: &[Value]) -> Value {
    let member = if api == Api::OpenAiResponses { "input" } else { "messages" };
    let mut request = request.clone();
    request[member].as_array_mut().unwrap().extend(more.iter().cloned());
    request
}

fn restored(api: Api, request: &Value) -> Value {
    let body = request.to_string();
    let body = rounds::restore(body.as_bytes(), api).map_or(body, |it| String::from_utf8(it.body).unwrap());
    serde_json::from_str(&body).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn what_comes_back_begins_with_what_the_provider_was_sent(
        script in turn(), api in 0..3usize, streamed: bool, step in 1..400usize,
    ) {
        let api = APIS[api];
        let (got, sent, hidden) = answered(api, &script, streamed, step);
        let kept = kept(api, &got, streamed);
        let ids = calls(api, &kept);
        prop_assert!(!got.contains(TOOL), "{}", got);
        let next = with(api, &with(api, &request(api), &kept), &results(api, &ids));
        let restored = restored(api, &next);
        prop_assert!(!restored.to_string().contains("_hr1_"), "{}", restored);
        if hidden.traced > 0 {
            let (sent, now) = (list(api, &sent), list(api, &restored));
            prop_assert_eq!(&now[..sent.len()], sent.as_slice(), "{}", got);
        }
        if hidden.withheld > 0 {
            prop_assert_eq!(hidden.traced, 0);
            let first = kept.iter().map(Value::to_string).collect::<String>();
            for (number, said) in script.iter().enumerate().skip(1).flat_map(|(n, round)| round.iter().map(move |it| (n, it))) {
                if let AnswerElement::Thought(_) = said && api != Api::OpenAiChat {
                    let marks = [format!("\"s{number}"), format!("\"rs{number}")];
                    prop_assert!(!marks.iter().any(|mark| first.contains(mark)), "{}", first);
                }
            }
        }
        // A second turn changes nothing about the first.
        let longer = with(api, &next, &[json!({"role": "user", "content": "more"})]);
        let longer = list(api, &self::restored(api, &longer));
        let now = list(api, &restored);
        prop_assert_eq!(&longer[..now.len()], now.as_slice());
    }

    #[test]
    fn a_trace_that_is_cut_or_moved_is_no_trap(script in turn(), api in 0..3usize, at in 0..64usize, byte in prop_oneof![b'0'..=b'9', b'a'..=b'z', b'A'..=b'Z']) {
        let api = APIS[api];
        let (got, ..) = answered(api, &script, false, 1 << 20);
        let kept = kept(api, &got, false);
        let ids = calls(api, &kept);
        let Some(carrier) = ids.iter().find(|id| id.contains("_hr1_")) else { return Ok(()) };
        let next = with(api, &with(api, &request(api), &kept), &results(api, &ids)).to_string();
        let mut other = carrier.clone().into_bytes();
        let at = at % other.len();
        other[at] = byte;
        for changed in [carrier[..at].to_owned(), String::from_utf8(other).unwrap(), format!("{carrier}_x"), carrier.to_lowercase()] {
            let body = next.replace(carrier.as_str(), &changed);
            let after = rounds::restore(body.as_bytes(), api).map_or(body.clone(), |it| String::from_utf8(it.body).unwrap());
            let after: Value = serde_json::from_str(&after).unwrap();
            // Either nothing is put back, or exactly what an honest trace would put back.
            let honest = changed == *carrier;
            prop_assert_eq!(after.to_string().contains(TOOL), honest, "{}", changed);
            let Some(found) = pairs(api, &after) else { return Err(TestCaseError::fail("ids")) };
            prop_assert!(found, "calls and results belong together: {}", after);
        }
    }
}

/// Whether every result names a call before it, and no two calls share an id.
fn pairs(api: Api, request: &Value) -> Option<bool> {
    let elements = list(api, request);
    let ids = calls(
        api,
        &elements
            .iter()
            .filter(|it| {
                it["role"] == "assistant" && it["content"].is_array()
                    || it["type"] == "function_call"
                    || it["tool_calls"].is_array()
            })
            .cloned()
            .collect::<Vec<_>>(),
    );
    let unique: std::collections::HashSet<&String> = ids.iter().collect();
    let named: Vec<String> = elements
        .iter()
        .flat_map(|element| match api {
            Api::AnthropicMessages => element["content"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|block| block["tool_use_id"].as_str().map(str::to_owned))
                .collect::<Vec<_>>(),
            Api::OpenAiChat => element["tool_call_id"].as_str().map(str::to_owned).into_iter().collect(),
            _ => (element["type"] == "function_call_output")
                .then(|| element["call_id"].as_str().unwrap().to_owned())
                .into_iter()
                .collect(),
        })
        .collect();
    Some(unique.len() == ids.len() && named.iter().all(|id| unique.contains(id)))
}

#[test]
fn a_query_is_answered_by_a_page_that_its_range_names() {
    let asked = RetrieveArguments::read(r#"{"hash":"h","query":"nine"}"#);
    let page = rounds::answer(&original(), &asked);
    assert_eq!(rounds::page(&original(), page.range), Some(page.text));
}
