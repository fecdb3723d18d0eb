//! Answers in the formats of the providers, and what a client reads in them.

use serde_json::{Value, json};

use super::super::{Api, ResultsOutcome, RoundOutcome, Source, ToolLoop, ToolResult};

pub(super) const HASH: &str = "0123456789abcdef01234567";

/// What the client receives of an answer that comes in pieces of `step` bytes.
pub(super) fn play(turn: &mut ToolLoop, answer: &str, step: usize) -> (String, RoundOutcome) {
    let mut got = Vec::new();
    for piece in answer.as_bytes().chunks(step) {
        got.extend(turn.feed(piece));
    }
    with_rest(got, turn.end())
}

/// The same, with the rest after the end of the answer.
fn with_rest(mut got: Vec<u8>, next: RoundOutcome) -> (String, RoundOutcome) {
    if let RoundOutcome::Done(rest) = &next {
        got.extend(rest);
    }
    (String::from_utf8(got).unwrap(), next)
}

pub(super) fn events(stream: &str) -> Vec<Value> {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}

pub(super) fn stream(events: &[Value]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

pub(super) fn arguments() -> String {
    json!({ "hash": HASH, "query": "x" }).to_string()
}

/// A part of a round, in the model's order: a text, or a call by its name.
pub(super) enum Part {
    Text(&'static str),
    Call(&'static str),
}
pub(super) use Part::{Call, Text};

pub(super) fn anthropic(parts: &[Part], streamed: bool) -> String {
    let usage = json!({"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 3});
    let calls = parts.iter().any(|part| matches!(part, Call(_)));
    let reason = if calls { "tool_use" } else { "end_turn" };
    let block = |part: &Part, at: usize| match part {
        Text(text) => json!({"type": "text", "text": text}),
        Call(name) => json!({"type": "tool_use", "id": format!("toolu_{at}"), "name": name,
            "input": serde_json::from_str::<Value>(&arguments()).unwrap()}),
    };
    if !streamed {
        let content: Vec<Value> = parts.iter().enumerate().map(|(at, part)| block(part, at)).collect();
        return json!({"id": "msg", "type": "message", "role": "assistant", "content": content,
            "stop_reason": reason, "usage": usage})
        .to_string();
    }
    let mut events =
        vec![json!({"type": "message_start", "message": {"id": "msg", "content": [], "usage": usage}})];
    for (index, part) in parts.iter().enumerate() {
        let (start, deltas) = match part {
            Text(text) => {
                (json!({"type": "text", "text": ""}), vec![json!({"type": "text_delta", "text": text})])
            }
            Call(name) => {
                let arguments = arguments();
                let (head, tail) = arguments.split_at(9);
                (
                    json!({"type": "tool_use", "id": format!("toolu_{index}"), "name": name, "input": {}}),
                    [head, tail].map(|t| json!({"type": "input_json_delta", "partial_json": t})).to_vec(),
                )
            }
        };
        events.push(json!({"type": "content_block_start", "index": index, "content_block": start}));
        for delta in deltas {
            events.push(json!({"type": "content_block_delta", "index": index, "delta": delta}));
        }
        events.push(json!({"type": "content_block_stop", "index": index}));
        if index == 0 {
            events.push(json!({"type": "ping"}));
        }
    }
    events.push(
        json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 5}}),
    );
    events.push(json!({"type": "message_stop"}));
    stream(&events)
}

pub(super) fn chat(parts: &[Part], streamed: bool) -> String {
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15});
    let text: String = parts.iter().filter_map(|p| if let Text(t) = p { Some(*t) } else { None }).collect();
    let calls: Vec<Value> = parts
        .iter()
        .filter_map(|part| if let Call(name) = part { Some(*name) } else { None })
        .enumerate()
        .map(|(at, name)| {
            json!({"index": at, "id": format!("call_{at}"), "type": "function",
                "function": {"name": name, "arguments": arguments()}})
        })
        .collect();
    let reason = if calls.is_empty() { "stop" } else { "tool_calls" };
    if !streamed {
        let mut message = json!({"role": "assistant", "content": text});
        if !calls.is_empty() {
            message["tool_calls"] = Value::from(calls);
        }
        return json!({"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": usage})
        .to_string();
    }
    let chunk = |delta: Value, reason: Value| json!({"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    let mut events = vec![chunk(json!({"role": "assistant", "content": ""}), Value::Null)];
    for piece in text.split_inclusive(' ') {
        events.push(chunk(json!({"content": piece}), Value::Null));
    }
    for call in &calls {
        let mut begun = call.clone();
        begun["function"]["arguments"] = "".into();
        events.push(chunk(json!({"tool_calls": [begun]}), Value::Null));
        let rest = json!({"index": call["index"], "function": {"arguments": arguments()}});
        events.push(chunk(json!({"tool_calls": [rest]}), Value::Null));
    }
    events.push(chunk(json!({}), reason.into()));
    events.push(json!({"id": "c", "model": "m", "choices": [], "usage": usage}));
    stream(&events) + "data: [DONE]\n\n"
}

pub(super) fn responses(parts: &[Part], streamed: bool) -> String {
    let output: Vec<Value> = parts
        .iter()
        .enumerate()
        .map(|(at, part)| match part {
            Text(text) => json!({"type": "message", "id": format!("msg_{at}"), "role": "assistant",
                "content": [{"type": "output_text", "text": text}]}),
            Call(name) => {
                json!({"type": "function_call", "id": format!("fc_{at}"), "call_id": format!("call_{at}"),
                "name": name, "arguments": arguments()})
            }
        })
        .collect();
    let usage = json!({"input_tokens": 10, "output_tokens": 5, "total_tokens": 15});
    let whole = json!({"id": "resp", "status": "completed", "output": output, "usage": usage});
    if !streamed {
        return whole.to_string();
    }
    let begun = json!({"id": "resp", "status": "in_progress", "output": [], "usage": null});
    let mut events = vec![
        json!({"type": "response.created", "response": begun}),
        json!({"type": "response.in_progress", "response": begun}),
    ];
    for (index, item) in output.iter().enumerate() {
        events.push(json!({"type": "response.output_item.added", "output_index": index, "item": item}));
        events.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
    }
    events.push(json!({"type": "response.completed", "response": whole}));
    for (number, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = number.into();
    }
    stream(&events)
}

pub(super) fn gemini(parts: &[Part], streamed: bool) -> String {
    let part = |part: &Part| match part {
        Text(text) => json!({"text": text}),
        Call(name) => json!({"functionCall": {"name": name, "args": {"hash": HASH, "query": "x"}},
            "thoughtSignature": "sig"}),
    };
    let usage = json!({"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15});
    let answer = |parts: Vec<Value>, last: bool| {
        let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
        if last {
            candidate["finishReason"] = "STOP".into();
        }
        json!({"candidates": [candidate], "usageMetadata": usage})
    };
    if !streamed {
        return answer(parts.iter().map(part).collect(), true).to_string();
    }
    let last = parts.len() - 1;
    let answers = parts.iter().enumerate().map(|(at, p)| answer(vec![part(p)], at == last));
    stream(&answers.collect::<Vec<_>>())
}

/// The same, with each answer one level down.
pub(super) fn code_assist(parts: &[Part], streamed: bool) -> String {
    let nested = |answer: Value| json!({"response": answer, "traceId": "t", "remainingCredits": []});
    let answer = gemini(parts, streamed);
    if !streamed {
        return nested(serde_json::from_str(&answer).unwrap()).to_string();
    }
    stream(&events(&answer).into_iter().map(nested).collect::<Vec<_>>())
}

/// Everything that the client reads in an answer: texts, names of calls, reason, output tokens.
pub(super) fn read(api: Api, streamed: bool, answer: &str) -> (String, Vec<String>, String, u64) {
    let whole = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (mut text, mut calls, mut reason, mut tokens) = (String::new(), Vec::new(), String::new(), 0);
    let documents = if streamed { events(answer) } else { vec![serde_json::from_str(answer).unwrap()] };
    let mut next_index = 0;
    for (number, document) in documents.iter().enumerate() {
        match api {
            Api::AnthropicMessages if streamed => match document["type"].as_str().unwrap() {
                "content_block_start" => {
                    assert_eq!(document["index"], next_index);
                    next_index += 1;
                    if document["content_block"]["type"] == "tool_use" {
                        calls.push(whole(&document["content_block"]["name"]));
                    }
                }
                "content_block_delta" => text += &whole(&document["delta"]["text"]),
                "message_delta" => {
                    reason = whole(&document["delta"]["stop_reason"]);
                    tokens = document["usage"]["output_tokens"].as_u64().unwrap();
                }
                _ => {}
            },
            Api::AnthropicMessages => {
                for block in document["content"].as_array().unwrap() {
                    text += &whole(&block["text"]);
                    calls.extend(block["name"].as_str().map(str::to_owned));
                }
                reason = whole(&document["stop_reason"]);
                tokens = document["usage"]["output_tokens"].as_u64().unwrap();
            }
            Api::OpenAiChat => {
                for choice in document["choices"].as_array().unwrap() {
                    let said = if streamed { &choice["delta"] } else { &choice["message"] };
                    text += &whole(&said["content"]);
                    for call in said["tool_calls"].as_array().into_iter().flatten() {
                        calls.extend(call["function"]["name"].as_str().map(str::to_owned));
                    }
                    reason += choice["finish_reason"].as_str().unwrap_or_default();
                }
                tokens = document["usage"]["completion_tokens"].as_u64().unwrap_or(tokens);
            }
            Api::OpenAiResponses => {
                if streamed {
                    assert_eq!(document["sequence_number"], number);
                }
                let response = if streamed { &document["response"] } else { document };
                if response["status"] != "completed" {
                    if document["type"] == "response.output_item.added" {
                        assert_eq!(document["output_index"], next_index);
                        next_index += 1;
                    }
                    continue;
                }
                for item in response["output"].as_array().unwrap() {
                    text += &whole(&item["content"][0]["text"]);
                    calls.extend(item["name"].as_str().map(str::to_owned));
                }
                assert!(!streamed || next_index == response["output"].as_array().unwrap().len());
                reason = if calls.is_empty() { "end".to_owned() } else { "call".to_owned() };
                tokens = response["usage"]["output_tokens"].as_u64().unwrap_or_default();
            }
            Api::GeminiGenerateContent | Api::GeminiCodeAssist => {
                let is_nested = api == Api::GeminiCodeAssist;
                assert_eq!(document.get("traceId").is_some(), is_nested);
                let document = if is_nested { &document["response"] } else { document };
                for part in document["candidates"][0]["content"]["parts"].as_array().unwrap() {
                    text += &whole(&part["text"]);
                    calls.extend(part["functionCall"]["name"].as_str().map(str::to_owned));
                }
                reason = whole(&document["candidates"][0]["finishReason"]);
                tokens = document["usageMetadata"]["candidatesTokenCount"].as_u64().unwrap();
            }
            other => unreachable!("calls are not answered in {other:?}"),
        }
    }
    (text, calls, reason, tokens)
}

pub(super) type Answer = fn(&[Part], bool) -> String;

pub(super) const APIS: [(Api, Answer, &str); 5] = [
    (
        Api::AnthropicMessages,
        anthropic,
        r#"{"model":"m","messages":[{"role":"user","content":"hi"}], "max_tokens":1.0}"#,
    ),
    (
        Api::OpenAiChat,
        chat,
        r#"{"model":"m","messages":[{"role":"user","content":"hi"}], "temperature":1.0}"#,
    ),
    (Api::OpenAiResponses, responses, r#"{"model":"m","input":"hi", "temperature":1.0}"#),
    (Api::GeminiGenerateContent, gemini, r#"{"contents":[{"parts":[{"text":"hi"}]}], "x":1.0}"#),
    (
        Api::GeminiCodeAssist,
        code_assist,
        r#"{"model":"m", "request":{"contents":[{"parts":[{"text":"hi"}]}], "x":1.0}, "project":"p"}"#,
    ),
];

pub(super) fn each(mut case: impl FnMut(Api, Answer, &str, bool)) {
    for (api, answer, request) in APIS {
        for streamed in [false, true] {
            case(api, answer, request, streamed);
        }
    }
}

/// What the client receives of a later round, which comes in one piece.
pub(super) fn go_on(turn: &mut ToolLoop, answer: &str) -> (String, RoundOutcome) {
    let next = turn.continued(answer.as_bytes());
    with_rest(Vec::new(), next)
}

/// Texts that are not in the request: no trace can rebuild them.
pub(super) fn foreign(texts: &[&str]) -> Vec<ToolResult> {
    texts.iter().map(|text| ToolResult::of(text)).collect()
}

/// Texts of the request's first tool output.
pub(super) fn own(texts: &[&str]) -> Vec<ToolResult> {
    let source = || Source { output: 0, hash: HASH.to_owned(), range: None };
    texts
        .iter()
        .map(|text| ToolResult { text: (*text).to_owned(), source: Some(source()), is_error: false })
        .collect()
}

/// What the provider is asked after these results.
pub(super) fn ask(turn: &mut ToolLoop, request: &str, given: &[ToolResult]) -> Option<String> {
    match turn.give(request.as_bytes(), given, 0)? {
        ResultsOutcome::Ask(body) => Some(String::from_utf8(body).unwrap()),
        ResultsOutcome::Done(rest) => panic!("the turn has ended: {}", String::from_utf8_lossy(&rest)),
    }
}
