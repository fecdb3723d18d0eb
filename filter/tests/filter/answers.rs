//! Answers: they pass as they come, and their usage is read on the way.

use headroom_api::v1::{RequestRecord, Usage};
use serde_json::json;

use crate::host::host;
use crate::proxy::{Plugin, compressible};

/// The part of a record that comes from the answer.
#[derive(Debug, Default, PartialEq)]
struct AnswerFigures {
    usage: Option<Usage>,
    model: &'static str,
    stop_reason: &'static str,
    error_class: &'static str,
}

impl AnswerFigures {
    fn is_in(&self, record: &RequestRecord) -> bool {
        record.usage == self.usage
            && record.answered_model == self.model
            && record.stop_reason == self.stop_reason
            && record.error_class == self.error_class
    }
}

const JSON: &str = "application/json";
const MESSAGES: &str = "application/vnd.amazon.eventstream";

const ANTHROPIC_EVENTS: &str = "event: message_start\r\n\
data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"model\":\"claude-sonnet-4-5\",\"stop_reason\":null,\"usage\":{\"input_tokens\":25,\"cache_creation_input_tokens\":9,\"cache_read_input_tokens\":11,\"cache_creation\":{\"ephemeral_5m_input_tokens\":2,\"ephemeral_1h_input_tokens\":7},\"output_tokens\":1}}}\r\n\
\r\n\
: ping\n\
event: content_block_delta\n\
data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"\\\"usage\\\":{\\\"output_tokens\\\":999} naïve 😀 \\\\\"}}\n\
\n\
event: message_delta\r\
data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":42}}\r\
\r\
event: message_stop\n\
data: {\"type\":\"message_stop\"}\n\n";

/// Breaks off in the middle.
const ANTHROPIC_OVERLOADED: &str = "event: message_start\n\
data: {\"type\":\"message_start\",\"message\":{\"model\":\"claude-opus-4-5\",\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\n\
event: error\n\
data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";

const CHAT_EVENTS: &str = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"gpt-5-mini-2025-08-07\",\"choices\":[{\"delta\":{\"content\":\"usage\"},\"finish_reason\":null}],\"usage\":null}\n\n\
data: {\"id\":\"c\",\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}],\"usage\":null}\n\n\
data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":20,\"total_tokens\":120,\"prompt_tokens_details\":{\"cached_tokens\":64,\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":5}}}\n\n\
data: [DONE]\n\n";

const CHAT_ERROR: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n\
data: {\"error\":{\"message\":\"The server had an error\",\"type\":\"server_error\",\"param\":null,\"code\":\"x\"}}\n\n";

const GROQ_EVENTS: &str = "data: {\"model\":\"llama\",\"choices\":[{\"finish_reason\":\"stop\"}],\"x_groq\":{\"id\":\"r\",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}}\n\ndata: [DONE]\n\n";

const RESPONSES_EVENTS: &str = "event: response.created\n\
data: {\"type\":\"response.created\",\"response\":{\"id\":\"r\",\"status\":\"in_progress\",\"error\":null,\"incomplete_details\":null,\"model\":\"gpt-5-codex\",\"usage\":null}}\n\n\
event: response.incomplete\n\
data: {\"type\":\"response.incomplete\",\"response\":{\"id\":\"r\",\"status\":\"incomplete\",\"incomplete_details\":{\"reason\":\"max_output_tokens\"},\"output\":[{\"status\":\"completed\",\"usage\":{\"input_tokens\":1}}],\"usage\":{\"input_tokens\":36,\"input_tokens_details\":{\"cached_tokens\":8},\"output_tokens\":87,\"output_tokens_details\":{\"reasoning_tokens\":64},\"total_tokens\":123}}}\n\n";

const RESPONSES_FAILED: &str = "data: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"m\"},\"usage\":null}}\n\n";

const RESPONSES_ERROR: &str =
    "data: {\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"m\",\"sequence_number\":1}\n\n";

const GEMINI_EVENTS: &str = "data: {\"usageMetadata\":{\"promptTokenCount\":9,\"toolUsePromptTokenCount\":2,\"candidatesTokenCount\":4},\"modelVersion\":\"gemini-2.5-pro\",\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"f\",\"args\":{\"finishReason\":\"x\",\"usageMetadata\":{\"promptTokenCount\":1}}}}]},\"finishReason\":\"STOP\",\"index\":0}]}\r\n\r\n";

const GEMINI_ARRAY: &str = "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}],\"usageMetadata\":{\"promptTokenCount\":9}},\n\
{\"candidates\":[{\"finishReason\":\"MAX_TOKENS\"}],\"modelVersion\":\"gemini-3-flash\",\"usageMetadata\":{\"promptTokenCount\":9,\"candidatesTokenCount\":4,\"thoughtsTokenCount\":6,\"cachedContentTokenCount\":2}}]";

const GEMINI_ERROR: &str = "[{\"error\":{\"code\":429,\"message\":\"m\",\"status\":\"RESOURCE_EXHAUSTED\",\"details\":[{\"@type\":\"t\",\"type\":\"no\"}]}}]";

const COHERE_EVENTS: &str = "event: message-start\ndata: {\"id\":\"i\",\"type\":\"message-start\",\"delta\":{\"message\":{\"role\":\"assistant\"}}}\n\n\
event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\",\"usage\":{\"billed_units\":{\"input_tokens\":5,\"output_tokens\":6},\"tokens\":{\"input_tokens\":71,\"output_tokens\":6}}}}\n\n";

fn usage(input: u64, output: u64, cache_read: u64, cache_write: u64) -> Usage {
    Usage {
        input_tokens: input,
        output_tokens: output,
        cache_read_tokens: cache_read,
        cache_write_tokens: cache_write,
        ..Usage::default()
    }
}

/// A message of an AWS event stream.
fn message(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let crc32 = |bytes: &[u8]| {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 }
            })
        })
    };
    let mut encoded = Vec::new();
    for (name, value) in headers {
        encoded.push(u8::try_from(name.len()).unwrap());
        encoded.extend(name.bytes());
        encoded.push(7);
        encoded.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        encoded.extend(value.bytes());
    }
    // Headers of the other types: a boolean, a time, some bytes.
    encoded.extend(b"\x01t\x00\x01w\x08\0\0\0\0\0\0\0\x01\x01b\x06\0\x02hi");
    let length = 16 + encoded.len() + payload.len();
    let mut bytes = u32::try_from(length).unwrap().to_be_bytes().to_vec();
    bytes.extend(u32::try_from(encoded.len()).unwrap().to_be_bytes());
    bytes.extend(crc32(&bytes).to_be_bytes());
    bytes.extend(encoded);
    bytes.extend(payload.bytes());
    bytes.extend(crc32(&bytes).to_be_bytes());
    bytes
}

pub(crate) fn event(kind: &str, payload: &str) -> Vec<u8> {
    let headers = [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")];
    message(&headers, payload)
}

fn exception(kind: &str) -> Vec<u8> {
    let headers = [(":exception-type", kind), (":content-type", JSON), (":message-type", "exception")];
    message(&headers, r#"{"message":"Too many tokens, please wait before trying again."}"#)
}

/// An event of Anthropic's inside Bedrock's `invoke-with-response-stream`.
pub(crate) fn chunk(payload: &str) -> Vec<u8> {
    let mut text = String::new();
    for three in payload.as_bytes().chunks(3) {
        let bits =
            three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            let letter = letters[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place > three.len() { '=' } else { char::from(letter) });
        }
    }
    event("chunk", &format!(r#"{{"p":"abcdefgh","bytes":"{text}"}}"#))
}

/// The records of a request with this answer: in one piece, byte by byte, and in two pieces for every
/// possible cut.
pub(crate) fn records(content_type: &str, answer: &[u8]) -> Vec<RequestRecord> {
    records_with_status("200", content_type, answer)
}

/// The same for another status.
pub(crate) fn records_with_status(status: &str, content_type: &str, answer: &[u8]) -> Vec<RequestRecord> {
    let mut plugin = Plugin::start(1, br#"{"control_plane":{"cluster":"c","queue_records":10000}}"#);
    let mut play = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut stream = plugin.post("/v1/messages", &[], b"{\"messages\":[]}");
        stream.respond(status, content_type, &[]);
        for piece in pieces {
            stream.respond_body(piece, false);
        }
        stream.respond_body(b"", true);
        stream.finish();
    };
    play(&mut [answer].into_iter());
    play(&mut answer.chunks(1));
    for at in 1..answer.len() {
        let (first, second) = answer.split_at(at);
        play(&mut [first, second].into_iter());
    }
    let records = plugin.records();
    plugin.delete();
    host(|host| host.grpc_calls.clear());
    assert_eq!(records.len(), answer.len() + 1);
    records
}

fn says(content_type: &str, answer: &[u8], said: &AnswerFigures) {
    for (cut, record) in records(content_type, answer).iter().enumerate() {
        assert!(
            said.is_in(record),
            "{content_type}, cut {cut}: {said:?} in {record:?} of {}",
            String::from_utf8_lossy(answer)
        );
    }
}

#[test]
fn json_of_every_provider_is_read_wherever_the_network_cuts_it() {
    let anthropic = r#"{"id":"m","type":"message","model":"claude-opus-4-5","stop_reason":"end_turn",
        "content":[{"type":"tool_use","input":{"usage":{"input_tokens":1},"stop_reason":"x"}}],
        "usage":{"input_tokens":10,"output_tokens":20,"cache_read_input_tokens":30,"cache_creation_input_tokens":40,
        "cache_creation":{"ephemeral_5m_input_tokens":40,"ephemeral_1h_input_tokens":0},"server_tool_use":{"input_tokens":5}}}"#;
    let said = AnswerFigures {
        usage: Some(Usage { cache_write_5m_tokens: 40, ..usage(10, 20, 30, 40) }),
        model: "claude-opus-4-5",
        stop_reason: "end_turn",
        ..AnswerFigures::default()
    };
    says(JSON, anthropic.as_bytes(), &said);

    let anthropic_error = r#"{"type":"error","error":{"type":"invalid_request_error","message":"type: x"}}"#;
    says(
        JSON,
        anthropic_error.as_bytes(),
        &AnswerFigures { error_class: "invalid_request_error", ..AnswerFigures::default() },
    );

    let chat = r#"{"object":"chat.completion","model":"openai\/gpt-5","choices":[{"finish_reason":"length",
        "message":{"content":"{\"usage\":{\"prompt_tokens\":1}}"}}],
        "usage":{"prompt_tokens":7,"completion_tokens":8,"prompt_tokens_details":{"cached_tokens":3,"cache_write_tokens":2},
        "completion_tokens_details":{"reasoning_tokens":6}}}"#;
    let said = AnswerFigures {
        usage: Some(Usage { reasoning_tokens: 6, ..usage(2, 8, 3, 2) }),
        model: "openai/gpt-5",
        stop_reason: "length",
        ..AnswerFigures::default()
    };
    says("application/json; charset=utf-8", chat.as_bytes(), &said);

    // Through a gateway that adds Anthropic's names to OpenAI's.
    let both = r#"{"usage":{"prompt_tokens":7,"completion_tokens":8,"cache_read_input_tokens":3,
        "cache_creation_input_tokens":1,"prompt_tokens_details":{"cached_tokens":3}}}"#;
    says(
        JSON,
        both.as_bytes(),
        &AnswerFigures { usage: Some(usage(3, 8, 3, 1)), ..AnswerFigures::default() },
    );

    let chat_error = r#"{"error":{"message":"m","type":"insufficient_quota","param":null,"code":"quota"}}"#;
    says(
        JSON,
        chat_error.as_bytes(),
        &AnswerFigures { error_class: "insufficient_quota", ..AnswerFigures::default() },
    );
    let mistral_error = r#"{"object":"error","message":"m","type":"invalid_request_error","code":"1500"}"#;
    says(
        JSON,
        mistral_error.as_bytes(),
        &AnswerFigures { error_class: "invalid_request_error", ..AnswerFigures::default() },
    );

    let responses = r#"{"object":"response","status":"completed","error":null,"incomplete_details":null,
        "model":"gpt-5-codex","output":[{"type":"message","status":"incomplete"}],
        "usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":8},"output_tokens":87}}"#;
    let said = AnswerFigures {
        usage: Some(usage(28, 87, 8, 0)),
        model: "gpt-5-codex",
        stop_reason: "completed",
        ..AnswerFigures::default()
    };
    says(JSON, responses.as_bytes(), &said);

    let said = AnswerFigures {
        usage: Some(Usage { reasoning_tokens: 6, ..usage(7, 10, 2, 0) }),
        model: "gemini-3-flash",
        stop_reason: "MAX_TOKENS",
        ..AnswerFigures::default()
    };
    says("Application/JSON", GEMINI_ARRAY.as_bytes(), &said);
    says(
        JSON,
        GEMINI_ERROR.as_bytes(),
        &AnswerFigures { error_class: "RESOURCE_EXHAUSTED", ..AnswerFigures::default() },
    );
    let blocked = r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":9}}"#;
    let said =
        AnswerFigures { usage: Some(usage(9, 0, 0, 0)), stop_reason: "SAFETY", ..AnswerFigures::default() };
    says(JSON, blocked.as_bytes(), &said);
    // In the form of Gemini's code assistant.
    let wrapped = r#"{"response":{"candidates":[{"finishReason":"STOP"}],"modelVersion":"g","usageMetadata":{"promptTokenCount":1}}}"#;
    let said = AnswerFigures {
        usage: Some(usage(1, 0, 0, 0)),
        model: "g",
        stop_reason: "STOP",
        ..AnswerFigures::default()
    };
    says(JSON, wrapped.as_bytes(), &said);

    let converse = r#"{"metrics":{"latencyMs":1},"output":{"message":{"content":[{"text":"a"}]}},"stopReason":"tool_use",
        "usage":{"cacheDetails":[{"inputTokens":3,"ttl":"5m"},{"ttl":"1h","inputTokens":4}],"cacheReadInputTokens":5,
        "cacheWriteInputTokens":7,"inputTokens":30,"outputTokens":628,"totalTokens":670}}"#;
    let said = AnswerFigures {
        usage: Some(Usage { cache_write_5m_tokens: 3, cache_write_1h_tokens: 4, ..usage(30, 628, 5, 7) }),
        stop_reason: "tool_use",
        ..AnswerFigures::default()
    };
    says(JSON, converse.as_bytes(), &said);

    let cohere = r#"{"id":"i","finish_reason":"COMPLETE","message":{"role":"assistant","content":[]},
        "usage":{"billed_units":{"input_tokens":5,"output_tokens":6},"tokens":{"input_tokens":71,"output_tokens":7}}}"#;
    let said =
        AnswerFigures { usage: Some(usage(5, 6, 0, 0)), stop_reason: "COMPLETE", ..AnswerFigures::default() };
    says(JSON, cohere.as_bytes(), &said);
}

#[test]
fn events_of_every_provider_are_read_wherever_the_network_cuts_them() {
    let cases = [
        (
            ANTHROPIC_EVENTS,
            AnswerFigures {
                usage: Some(Usage {
                    cache_write_5m_tokens: 2,
                    cache_write_1h_tokens: 7,
                    ..usage(25, 42, 11, 9)
                }),
                model: "claude-sonnet-4-5",
                stop_reason: "tool_use",
                error_class: "",
            },
        ),
        (
            ANTHROPIC_OVERLOADED,
            AnswerFigures {
                usage: Some(usage(25, 1, 0, 0)),
                model: "claude-opus-4-5",
                stop_reason: "",
                error_class: "overloaded_error",
            },
        ),
        (
            CHAT_EVENTS,
            AnswerFigures {
                usage: Some(Usage { reasoning_tokens: 5, ..usage(36, 20, 64, 0) }),
                model: "gpt-5-mini-2025-08-07",
                stop_reason: "tool_calls",
                error_class: "",
            },
        ),
        (CHAT_ERROR, AnswerFigures { error_class: "server_error", ..AnswerFigures::default() }),
        (
            GROQ_EVENTS,
            AnswerFigures {
                usage: Some(usage(3, 4, 0, 0)),
                model: "llama",
                stop_reason: "stop",
                error_class: "",
            },
        ),
        (
            RESPONSES_EVENTS,
            AnswerFigures {
                usage: Some(Usage { reasoning_tokens: 64, ..usage(28, 87, 8, 0) }),
                model: "gpt-5-codex",
                stop_reason: "max_output_tokens",
                error_class: "",
            },
        ),
        (
            RESPONSES_FAILED,
            AnswerFigures { stop_reason: "failed", error_class: "server_error", ..AnswerFigures::default() },
        ),
        (RESPONSES_ERROR, AnswerFigures { error_class: "rate_limit_exceeded", ..AnswerFigures::default() }),
        (
            GEMINI_EVENTS,
            AnswerFigures {
                usage: Some(usage(11, 4, 0, 0)),
                model: "gemini-2.5-pro",
                stop_reason: "STOP",
                error_class: "",
            },
        ),
        (
            COHERE_EVENTS,
            AnswerFigures {
                usage: Some(usage(5, 6, 0, 0)),
                stop_reason: "COMPLETE",
                ..AnswerFigures::default()
            },
        ),
    ];
    for (answer, said) in cases {
        says("text/event-stream; charset=utf-8", answer.as_bytes(), &said);
    }
}

#[test]
fn aws_event_streams_are_read_wherever_the_network_cuts_them() {
    let invoke = [
        chunk(
            r#"{"type":"message_start","message":{"model":"claude-sonnet-4-5","usage":{"input_tokens":25,"cache_read_input_tokens":11,"output_tokens":1}}}"#,
        ),
        chunk(r#"{"type":"content_block_delta","delta":{"text":"naïve \"usage\" 😀"}}"#),
        chunk(r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":42}}"#),
    ];
    let said = AnswerFigures {
        usage: Some(usage(25, 42, 11, 0)),
        model: "claude-sonnet-4-5",
        stop_reason: "end_turn",
        ..AnswerFigures::default()
    };
    says(MESSAGES, &invoke.concat(), &said);
    let cut_short = [&invoke[0], &exception("throttlingException")[..]].concat();
    let said = AnswerFigures {
        usage: Some(usage(25, 1, 11, 0)),
        stop_reason: "",
        error_class: "throttlingException",
        ..said
    };
    says(MESSAGES, &cut_short, &said);

    let converse = [
        event("messageStart", r#"{"role":"assistant"}"#),
        event("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"usage"}}"#),
        event("messageStop", r#"{"stopReason":"max_tokens"}"#),
        event(
            "metadata",
            r#"{"metrics":{"latencyMs":9},"usage":{"inputTokens":3,"outputTokens":4,"cacheReadInputTokens":5}}"#,
        ),
    ];
    let said = AnswerFigures {
        usage: Some(usage(3, 4, 5, 0)),
        stop_reason: "max_tokens",
        ..AnswerFigures::default()
    };
    says(MESSAGES, &converse.concat(), &said);
    let said = AnswerFigures { error_class: "modelStreamErrorException", ..AnswerFigures::default() };
    says(MESSAGES, &exception("modelStreamErrorException"), &said);
}

#[test]
fn what_only_looks_like_an_aws_event_stream_says_nothing() {
    let good = event("metadata", r#"{"usage":{"inputTokens":3}}"#);
    let mut wrong_sum = good.clone();
    wrong_sum[8] ^= 1;
    let mut long_headers = good.clone();
    long_headers[7] = 0xff;
    for answer in [wrong_sum, long_headers, br#"{"usage":{"inputTokens":3}}"#.to_vec(), vec![0; 64]] {
        says(MESSAGES, &answer, &AnswerFigures::default());
    }
}

#[test]
fn bedrock_names_the_class_of_an_error_in_a_header() {
    let mut plugin = Plugin::reporting();
    let mut stream = plugin.post("/v1/messages", &[], b"{\"messages\":[]}");
    let header = ("x-amzn-errortype", "ThrottlingException:http://internal.amazon.com/");
    stream.respond("429", JSON, &[header]);
    stream.respond_body(br#"{"message":"Too many requests"}"#, true);
    stream.finish();
    let record = plugin.records().pop().unwrap();
    assert_eq!((record.status, record.error_class.as_str()), (429, "ThrottlingException"));
}

#[test]
fn an_answer_without_usage_has_none() {
    let deep = "[".repeat(1_000);
    let cases = [
        ("application/json", r#"{"type":"error","error":{"message":"usage"}}"#),
        ("application/json", r#"{"error":"overloaded","model":7,"stop_reason":null,"status":"in_progress"}"#),
        ("application/json", r#"{"usage":null}"#),
        ("application/json", r#"{"usage":{"input_tokens":"7"}}"#),
        ("application/json", r#"{"usage":{"input_tokens":1.5,"output_tokens":1e3}}"#),
        ("application/json", r#"{"usage":{"input_tokens":99999999999999999999999}}"#),
        ("application/json", r#"{"usage":{"other":{"input_tokens":7}}}"#),
        ("application/json", "}}}}]]]]\"\\"),
        ("application/json", &deep),
        ("text/event-stream", "datum: {\"usage\":{\"input_tokens\":1}}\n\nid: 7\n\n"),
        ("text/html", r#"{"usage":{"input_tokens":7}}"#),
    ];
    for (content_type, answer) in cases {
        says(content_type, answer.as_bytes(), &AnswerFigures::default());
    }
}

#[test]
fn an_encoded_answer_is_left_alone() {
    let mut plugin = Plugin::reporting();
    let mut stream = plugin.post("/v1/messages", &[], b"{\"messages\":[]}");
    stream.respond("200", "application/json", &[("content-encoding", "gzip")]);
    host(|host| host.calls.clear());
    stream.respond_body(br#"{"usage":{"input_tokens":7}}"#, true);
    assert_eq!(host(|host| host.calls.len()), 0);
    stream.finish();
    assert_eq!(plugin.records().pop().unwrap().usage, None);
}

#[test]
fn usage_is_not_read_when_it_is_switched_off() {
    let mut plugin = Plugin::new(json!({"read_usage": false, "control_plane": {"cluster": "c"}}));
    let mut stream = plugin.post("/v1/messages", &[], b"{\"messages\":[]}");
    stream.respond("200", "application/json", &[]);
    stream.respond_body(br#"{"usage":{"input_tokens":7}}"#, true);
    stream.finish();
    let record = plugin.records().pop().unwrap();
    assert_eq!((record.status, record.usage), (200, None));
}

#[test]
fn the_client_is_told_what_was_saved() {
    let mut plugin = Plugin::new(json!({}));
    let mut stream = plugin.post("/v1/messages", &[], &compressible());
    let headers = stream.respond("200", "application/json", &[("x-request-id", "provider's")]);
    let value = |name: &str| {
        let found = headers.iter().find(|(of, _)| of == name).unwrap_or_else(|| panic!("no {name}"));
        String::from_utf8(found.1.clone()).unwrap()
    };
    let number = |name: &str| -> u64 { value(name).parse().unwrap() };
    let (before, after) = (number("x-headroom-tokens-before"), number("x-headroom-tokens-after"));
    assert!(after < before);
    assert_eq!(number("x-headroom-tokens-saved"), before - after);
    assert_eq!(value("x-headroom-outcome"), "compressed");
    assert_eq!(value("x-headroom-model"), "claude-sonnet-4-5");
    assert!(!value("x-headroom-transforms").is_empty());
    assert!(value("x-headroom-request-id").starts_with("hr_"));
    assert_eq!(value("x-request-id"), "provider's");
}

#[test]
fn a_model_name_that_is_no_header_value_is_not_made_one() {
    let mut plugin = Plugin::new(json!({}));
    let body = br#"{"model":"a\r\nset-cookie: x=1","messages":[{"role":"user","content":"hi"}]}"#;
    let mut stream = plugin.post("/v1/messages", &[], body);
    let headers = stream.respond("200", "application/json", &[]);
    assert!(headers.iter().any(|(name, _)| name == "x-headroom-outcome"));
    assert!(headers.iter().all(|(name, value)| name != "x-headroom-model" || !value.contains(&b'\n')));
}

#[test]
fn the_client_is_told_nothing_when_that_is_switched_off_or_the_request_is_not_ours() {
    for (configuration, path) in [(json!({"response_headers": false}), "/v1/messages"), (json!({}), "/other")]
    {
        let mut stream = Plugin::new(configuration).post(path, &[], &compressible());
        let headers = stream.respond("200", "application/json", &[]);
        assert!(headers.iter().all(|(name, _)| !name.starts_with("x-headroom-")), "{headers:?}");
        stream.finish();
    }
}
