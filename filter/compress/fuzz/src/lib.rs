//! The fuzz targets, and what every result of the engine has to satisfy, for any input.
//!
//! The engine's own tests include this file and run each target over a fixed number of mutations, on any
//! compiler; libFuzzer searches for new ones.

use headroom_compress::{
    Api, BlockOutcome, Config, Encoding, Memo, Outcome, Profile, Request, RetrieveTool, compress,
};
use serde_json::Value;

pub const APIS: [Api; 8] = Api::ALL;

/// Panics if bytes outside the blocks changed (I2), if a replacement saves nothing (I4) or is blank, or if
/// JSON is no longer JSON.
pub fn check(original: &[u8], outcome: &Outcome<'_>) {
    let body = &outcome.body[..];
    if serde_json::from_slice::<&serde_json::value::RawValue>(original).is_err() {
        assert_eq!(body, original);
        return;
    }
    let (mut from, mut at) = (0, 0);
    for block in &outcome.blocks {
        let gap = &original[from..block.span.start];
        assert_eq!(&body[at..at + gap.len()], gap);
        at += gap.len();
        from = block.span.end;
        if let BlockOutcome::Compressed { lossy, .. } = block.outcome {
            let mut strings = serde_json::Deserializer::from_slice(&body[at..]).into_iter::<String>();
            let shown = strings.next().unwrap().unwrap();
            at += strings.byte_offset();
            assert!(!shown.trim().is_empty());
            assert!(block.tokens_after < block.tokens_before);
            assert_eq!(Encoding::O200kBase.count(&shown), block.tokens_after as usize);
            assert_eq!(lossy, block.left_out.is_some());
        } else {
            let text = &original[block.span.clone()];
            assert_eq!(&body[at..at + text.len()], text);
            at += text.len();
        }
    }
    assert_eq!(&body[at..], &original[from..]);
}

/// A request with these tool outputs, one after the other, in a wire format.
pub fn body(api: Api, outputs: &[(&str, &str)]) -> Vec<u8> {
    use serde_json::json;
    let turns = outputs.iter().enumerate().flat_map(|(at, (tool, text))| -> Vec<Value> {
        match api {
            Api::AnthropicMessages | Api::AnthropicBedrock => vec![
                json!({"role": "assistant", "content": [
                    {"type": "tool_use", "id": at.to_string(), "name": tool, "input": {"n": at}}]}),
                json!({"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": at.to_string(), "content": text}]}),
            ],
            Api::OpenAiChat | Api::CohereChat => vec![
                json!({"role": "assistant", "tool_calls": [{"id": at.to_string(), "type": "function",
                    "function": {"name": tool, "arguments": "{}"}}]}),
                json!({"role": "tool", "tool_call_id": at.to_string(), "content": text}),
            ],
            Api::OpenAiResponses => vec![
                json!({"type": "function_call", "call_id": at.to_string(), "name": tool, "arguments": "{}"}),
                json!({"type": "function_call_output", "call_id": at.to_string(), "output": text}),
            ],
            Api::GeminiGenerateContent | Api::GeminiCodeAssist => vec![
                json!({"role": "model", "parts": [{"functionCall": {"name": tool, "args": {}}}]}),
                json!({"role": "user", "parts": [
                    {"functionResponse": {"name": tool, "response": {"output": text}}}]}),
            ],
            Api::BedrockConverse => vec![
                json!({"role": "assistant", "content": [
                    {"toolUse": {"toolUseId": at.to_string(), "name": tool, "input": {"n": at}}}]}),
                json!({"role": "user", "content": [
                    {"toolResult": {"toolUseId": at.to_string(), "content": [{"text": text}]}}]}),
            ],
        }
    });
    let turns: Vec<Value> = turns.collect();
    let tools = json!([{"name": "bash", "type": "function", "function": {"name": "bash"}, "functionDeclarations": []}]);
    let body = match api {
        Api::AnthropicMessages | Api::AnthropicBedrock | Api::OpenAiChat | Api::CohereChat => {
            json!({"model": "m", "anthropic_version": "v", "tools": tools, "messages": turns})
        }
        Api::BedrockConverse => json!({"toolConfig": {"tools": tools}, "messages": turns}),
        Api::OpenAiResponses => json!({"model": "m", "tools": tools, "input": turns}),
        Api::GeminiGenerateContent => json!({"tools": tools, "contents": turns}),
        Api::GeminiCodeAssist => json!({"model": "m", "request": {"tools": tools, "contents": turns}}),
    };
    body.to_string().into_bytes()
}

/// Any bytes as a body of any format: checks the walk, the splice, and that only JSON is edited.
pub fn any_body(body: &[u8]) {
    let config = Config { min_block_bytes: 0, ..Config::default() };
    for api in APIS {
        let request = Request { reversible: true, ..Request::new(api) };
        let mut memo = Memo::new(1 << 20);
        let outcome = compress(body, &request, &config, &mut memo);
        check(body, &outcome);
        let again = compress(body, &request, &config, &mut memo);
        assert_eq!(again.body, outcome.body);
        // With an added definition the body is still JSON.
        let request = Request { retrieve_tool: RetrieveTool::Add, ..request };
        let added = compress(body, &request, &config, &mut memo);
        if added.unread.is_none() {
            serde_json::from_slice::<&serde_json::value::RawValue>(&added.body).unwrap();
        }
    }
}

const TOOLS: [&str; 6] = ["bash", "Read", "Grep", "WebFetch", "mcp__db__query", "list_directory"];

/// Any text as the one output of a tool: checks detection and each compressor, in each profile.
pub fn any_output(text: &str) {
    // The text's length chooses the tool, so that growing it tries all tools.
    let tool = TOOLS[text.len() % TOOLS.len()];
    let body = body(Api::OpenAiChat, &[(tool, text)]);
    for profile in [Profile::Lossless, Profile::Conservative, Profile::Balanced, Profile::Aggressive] {
        let config = Config { profile, min_block_bytes: 0, ..Config::default() };
        let request = Request { reversible: true, ..Request::new(Api::OpenAiChat) };
        check(&body, &compress(&body, &request, &config, &mut Memo::new(0)));
    }
}

/// Outputs that depend on each other: checks references to earlier text, the chain of keys, and that shown
/// text stays the same (I3). Outputs are made of pieces, so that they share some.
pub fn any_conversation(api: u8, pieces: &[&str], outputs: &[Vec<u8>]) {
    if pieces.is_empty() || outputs.len() > 8 {
        return;
    }
    let api = APIS[usize::from(api) % APIS.len()];
    let texts: Vec<String> = outputs
        .iter()
        .map(|picks| {
            let pick = |&pick: &u8| pieces[usize::from(pick) % pieces.len()];
            picks.iter().take(64).map(pick).collect::<Vec<_>>().join("\n")
        })
        .collect();
    let outputs: Vec<(&str, &str)> = texts.iter().map(|text| ("bash", text.as_str())).collect();
    let config = Config { min_block_bytes: 0, ..Config::default() };
    let request = Request { reversible: true, ..Request::new(api) };
    let (mut warm, mut before) = (Memo::new(1 << 20), Vec::new());
    for end in 1..=outputs.len() {
        let body = body(api, &outputs[..end]);
        let outcome = compress(&body, &request, &config, &mut warm);
        check(&body, &outcome);
        assert_eq!(compress(&body, &request, &config, &mut Memo::new(0)).body, outcome.body);
        let after: Vec<_> = outcome.blocks.iter().map(|block| (block.outcome, block.tokens_after)).collect();
        assert_eq!(after[..before.len()], before[..]);
        before = after;
    }
}
