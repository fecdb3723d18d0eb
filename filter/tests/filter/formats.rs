//! All wire formats: on the paths of each, a tool output gets shorter and usage is read, from an answer in
//! one piece and from a stream.

use headroom_api::v1::{RequestOutcome, Usage};
use serde_json::{Value, json};

use crate::answers::{chunk, event};
use crate::proxy::Plugin;

/// The requests and answers of a format.
struct Format {
    name: &'static str,
    /// The name in records.
    api: &'static str,
    provider: &'static str,
    /// The paths of a request that is answered in one piece, and of one that is streamed.
    paths: [&'static str; 2],
    /// Makes a request with a tool output.
    request: fn(&Value) -> Value,
    json: Value,
    stream: Vec<u8>,
}

const VERTEX: &str = "/v1/projects/p/locations/l/publishers/";

fn events(events: &[Value]) -> Vec<u8> {
    let line = |event: &Value| format!("data: {event}\n\n");
    events.iter().map(line).collect::<String>().into_bytes()
}

fn anthropic_request(output: &Value) -> Value {
    json!({"anthropic_version": "v", "max_tokens": 1, "messages": [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "list", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": output}]}]})
}

fn chat_request(output: &Value) -> Value {
    let call = json!({"id": "a", "type": "function", "function": {"name": "list", "arguments": "{}"}});
    json!({"model": "m", "messages": [{"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": output}]})
}

fn responses_request(output: &Value) -> Value {
    json!({"model": "m", "input": [{"type": "function_call", "call_id": "a", "name": "list", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": output}]})
}

fn gemini_request(output: &Value) -> Value {
    json!({"contents": [{"role": "model", "parts": [{"functionCall": {"name": "list", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "list", "response": {"output": output}}}]}]})
}

fn code_assist_request(output: &Value) -> Value {
    json!({"model": "m", "project": "p", "user_prompt_id": "u", "request": gemini_request(output)})
}

fn code_assist_json(response: Value) -> Value {
    json!({"response": response, "traceId": "t", "consumedCredits": []})
}

fn converse_request(output: &Value) -> Value {
    json!({"messages": [
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "a", "name": "list", "input": {}}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "a", "content": [{"text": output}]}}]}]})
}

fn anthropic_events() -> [Value; 2] {
    [
        json!({"type": "message_start", "message": {"model": "c", "usage": {"input_tokens": 7, "output_tokens": 1}}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}}),
    ]
}

fn anthropic_json() -> Value {
    json!({"type": "message", "content": [{"type": "text", "text": "a"}], "usage": {"input_tokens": 7, "output_tokens": 3}})
}

fn chat_json() -> Value {
    json!({"object": "chat.completion", "choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}})
}

/// With the usage in the last chunk with choices, as Mistral sends it, or after it, as OpenAI does.
fn chat_events(usage_behind: bool) -> Vec<u8> {
    let usage = json!({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10});
    let piece = |choices: Value, usage: &Value| json!({"object": "chat.completion.chunk", "model": "m", "choices": choices, "usage": usage});
    let end = json!([{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]);
    // Azure's first chunk has no model and no choice.
    let mut all = vec![json!({"model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]})];
    if usage_behind {
        all.extend([piece(end, &Value::Null), piece(json!([]), &usage)]);
    } else {
        all.push(piece(end, &usage));
    }
    [events(&all), b"data: [DONE]\n\n".to_vec()].concat()
}

fn gemini_json() -> Value {
    json!({"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}], "modelVersion": "g",
        "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 3, "totalTokenCount": 10}})
}

fn gemini(name: &'static str, provider: &'static str, paths: [&'static str; 2]) -> Format {
    Format {
        name,
        api: "gemini_generate_content",
        provider,
        paths,
        request: gemini_request,
        json: gemini_json(),
        stream: events(&[
            json!({"candidates": [{"content": {"parts": [{"text": "a"}]}}], "usageMetadata": {"promptTokenCount": 7}}),
            gemini_json(),
        ]),
    }
}

fn chat(name: &'static str, provider: &'static str, paths: [&'static str; 2], usage_behind: bool) -> Format {
    Format {
        name,
        api: "openai_chat",
        provider,
        paths,
        request: chat_request,
        json: chat_json(),
        stream: chat_events(usage_behind),
    }
}

fn formats() -> Vec<Format> {
    let response = json!({"object": "response", "status": "completed", "model": "m",
        "usage": {"input_tokens": 7, "output_tokens": 3, "input_tokens_details": {"cached_tokens": 0}}});
    let responses = |name, provider, path| Format {
        name,
        api: "openai_responses",
        provider,
        paths: [path; 2],
        request: responses_request,
        json: response.clone(),
        stream: events(&[json!({"type": "response.completed", "response": response})]),
    };
    let billed = json!({"billed_units": {"input_tokens": 7, "output_tokens": 3}});
    vec![
        Format {
            name: "Anthropic",
            api: "anthropic_messages",
            provider: "anthropic",
            paths: ["/v1/messages"; 2],
            request: anthropic_request,
            json: anthropic_json(),
            stream: events(&anthropic_events()),
        },
        Format {
            name: "Anthropic on Vertex AI",
            api: "anthropic_messages",
            provider: "vertex",
            paths: [
                leaked(VERTEX, "anthropic/models/claude-sonnet-4-5:rawPredict"),
                leaked(VERTEX, "anthropic/models/claude-sonnet-4-5:streamRawPredict"),
            ],
            request: anthropic_request,
            json: anthropic_json(),
            stream: events(&anthropic_events()),
        },
        Format {
            name: "Anthropic on Bedrock",
            api: "anthropic_bedrock",
            provider: "bedrock",
            paths: ["/model/anthropic.c/invoke", "/model/anthropic.c/invoke-with-response-stream"],
            request: anthropic_request,
            json: anthropic_json(),
            stream: anthropic_events().iter().flat_map(|event| chunk(&event.to_string())).collect(),
        },
        Format {
            name: "Converse",
            api: "bedrock_converse",
            provider: "bedrock",
            paths: ["/model/amazon.nova/converse", "/model/amazon.nova/converse-stream"],
            request: converse_request,
            json: json!({"output": {"message": {"content": [{"text": "a"}]}}, "stopReason": "end_turn",
                "usage": {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10}}),
            stream: [
                event("messageStop", r#"{"stopReason":"end_turn"}"#),
                event("metadata", r#"{"usage":{"inputTokens":7,"outputTokens":3,"totalTokens":10}}"#),
            ]
            .concat(),
        },
        chat("OpenAI Chat", "openai", ["/v1/chat/completions"; 2], true),
        chat("Azure", "azure", ["/openai/deployments/d/chat/completions?api-version=1"; 2], true),
        chat(
            "Mistral on Vertex AI",
            "vertex",
            [
                leaked(VERTEX, "mistralai/models/m:rawPredict"),
                leaked(VERTEX, "mistralai/models/m:streamRawPredict"),
            ],
            false,
        ),
        chat("OpenAI-compatible below a prefix", "openai", ["/groq/openai/v1/chat/completions"; 2], true),
        responses("OpenAI Responses", "openai", "/v1/responses"),
        responses("Responses on Azure", "azure", "/openai/responses?api-version=1"),
        gemini(
            "Gemini v1beta",
            "gemini",
            ["/v1beta/models/g:generateContent", "/v1beta/models/g:streamGenerateContent?alt=sse"],
        ),
        gemini(
            "Gemini v1",
            "gemini",
            ["/v1/models/g:generateContent", "/v1/models/g:streamGenerateContent?alt=sse"],
        ),
        gemini(
            "Gemini on Vertex AI",
            "vertex",
            [
                leaked(VERTEX, "google/models/g:generateContent"),
                leaked(VERTEX, "google/models/g:streamGenerateContent?alt=sse"),
            ],
        ),
        Format {
            name: "Gemini CLI with a Google login",
            api: "gemini_code_assist",
            provider: "code_assist",
            paths: ["/v1internal:generateContent", "/v1internal:streamGenerateContent?alt=sse"],
            request: code_assist_request,
            json: code_assist_json(gemini_json()),
            stream: events(&[
                code_assist_json(json!({"candidates": [{"content": {"parts": [{"text": "a"}]}}]})),
                code_assist_json(gemini_json()),
            ]),
        },
        Format {
            name: "Cohere",
            api: "cohere_chat",
            provider: "cohere",
            paths: ["/v2/chat"; 2],
            request: chat_request,
            json: json!({"id": "i", "finish_reason": "COMPLETE", "message": {"role": "assistant"}, "usage": billed}),
            stream: events(&[
                json!({"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": billed}}),
            ]),
        },
    ]
}

/// Lives until the tests end.
fn leaked(first: &str, second: &str) -> &'static str {
    Box::leak(format!("{first}{second}").into_boxed_str())
}

#[test]
fn every_format_gets_shorter_and_is_billed_as_its_answer_says_streamed_or_not() {
    let rows: Vec<Value> = (0..40).map(|id| json!({"id": id, "name": "n", "active": true})).collect();
    let output = Value::from(serde_json::to_string_pretty(&rows).unwrap());
    let expected = Some(Usage { input_tokens: 7, output_tokens: 3, ..Usage::default() });
    for format in formats() {
        let mut plugin = Plugin::new(
            json!({"path_prefixes": ["/groq/openai"], "control_plane": {"cluster": "headroom-cp"}}),
        );
        let streamed = if format.provider == "bedrock" {
            "application/vnd.amazon.eventstream"
        } else {
            "text/event-stream"
        };
        let json = format.json.to_string();
        let answers = [("application/json", json.as_bytes()), (streamed, &format.stream)];
        let body = (format.request)(&output).to_string();
        for (path, (content_type, answer)) in format.paths.into_iter().zip(answers) {
            let mut stream = plugin.post(path, &[], body.as_bytes());
            stream.respond("200", content_type, &[]);
            stream.respond_body(answer, true);
            assert!(stream.sent_body.len() < body.len() / 2, "{} {path}", format.name);
            stream.finish();
        }
        let records = plugin.records();
        assert_eq!(records.len(), 2);
        for record in records {
            let of = (record.api.as_str(), record.provider.as_str(), record.outcome());
            assert_eq!(of, (format.api, format.provider, RequestOutcome::Compressed), "{}", format.name);
            assert_eq!(record.usage, expected, "{}", format.name);
        }
        plugin.delete();
    }
}
