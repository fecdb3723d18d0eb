//! What every answer of the engine has to satisfy, whatever went in.

use headroom_compress::{Api, BlockOutcome, Outcome};
use serde_json::Value;

pub const APIS: [Api; 8] = Api::ALL;

/// Panics when bytes outside the blocks changed (I2), a replacement saves nothing (I4) or is blank, or
/// what was JSON no longer is.
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
            assert_eq!(outcome.tokens.encoding.count(&shown), block.tokens_after as usize);
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
