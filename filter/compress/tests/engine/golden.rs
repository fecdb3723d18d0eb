//! Whole bodies: what the engine does with each of their tool outputs, and that it leaves everything else.
//!
//! `fixtures/bodies` holds recorded bodies with the unusual blocks that real clients send. `everything` are
//! made-up ones, one per format, with a tool output in every place where the format allows one.

use std::fs;
use std::path::Path;

use headroom_compress::{Api, BlockOutcome, Config, Memo, Outcome, Request, compress};
use serde_json::json;

fn api(name: &str) -> Api {
    match name {
        name if name.starts_with("anthropic") => Api::AnthropicMessages,
        name if name.starts_with("openai_chat") => Api::OpenAiChat,
        name if name.starts_with("openai_responses") => Api::OpenAiResponses,
        _ => Api::GeminiGenerateContent,
    }
}

/// One line per block, and each replacement in full.
fn report(original: &str, outcome: &Outcome<'_>) -> String {
    assert_eq!(outcome.unread, None);
    let model = outcome.model.as_deref().unwrap_or("-");
    let mut report = format!("model {model}, stream {}, tools {}\n", outcome.stream, outcome.has_tools);
    let body = std::str::from_utf8(&outcome.body).unwrap();
    let (mut at, mut from) = (0, 0);
    for block in &outcome.blocks {
        at += block.span.start - from;
        from = block.span.end;
        let raw = &original[block.span.clone()];
        let tool = if block.tool.is_empty() { "?" } else { &block.tool };
        report += &format!("\n{tool} {} {}: {raw}\n", block.kind.name(), block.outcome.name());
        let mut length = raw.len();
        if matches!(block.outcome, BlockOutcome::Compressed { .. }) {
            let mut values = serde_json::Deserializer::from_str(&body[at..]).into_iter::<serde_json::Value>();
            values.next().unwrap().unwrap();
            length = values.byte_offset();
            let shown = &body[at..at + length];
            report += &format!("{} -> {} tokens: {shown}\n", block.tokens_before, block.tokens_after);
        }
        at += length;
    }
    assert_eq!(body[at..], original[from..]);
    report
}

fn reported(api: Api, body: &str) -> String {
    // Recorded outputs are short: with the usual minimum, most would only show that the minimum works.
    let config = Config { min_block_bytes: 24, ..Config::default() };
    let request = Request { reversible: true, ..Request::new(api) };
    report(body, &compress(body.as_bytes(), &request, &config, &mut Memo::new(1 << 20)))
}

#[test]
fn recorded_bodies_come_through() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bodies");
    let mut bodies = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let body = fs::read_to_string(&path).unwrap();
        insta::assert_snapshot!(name.clone(), reported(api(&name), &body));
        bodies += 1;
    }
    assert_eq!(bodies, 10);
}

/// A tool output that has an obvious shorter form.
fn rows(of: &str) -> String {
    let rows: Vec<_> = (1..=6).map(|id| json!({"id": id, "name": of, "active": true})).collect();
    serde_json::to_string_pretty(&rows).unwrap()
}

#[test]
fn anthropic_everything() {
    let body = json!({"model": "claude-sonnet-4-5", "stream": true, "max_tokens": 1,
        "system": [{"type": "text", "text": rows("system"), "cache_control": {"type": "ephemeral"}}],
        "tools": [{"name": "list", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": rows("user")}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": rows("thinking"), "signature": "c2ln"},
                {"type": "text", "text": rows("assistant")},
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": rows("query")}},
                {"type": "web_search_tool_result", "tool_use_id": "s", "content": [
                    {"type": "web_search_result", "encrypted_content": rows("encrypted")}]},
                {"type": "tool_use", "id": "a", "name": "list", "input": {"of": rows("input")}},
                {"type": "tool_use", "id": "b", "name": "list", "input": {},
                    "caller": {"type": "code_execution_20250825", "tool_id": "s"}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": rows("string")},
                {"type": "tool_result", "tool_use_id": "b", "content": rows("program")},
                {"type": "tool_result", "tool_use_id": "a", "is_error": true, "content": [
                    {"type": "text", "text": rows("first"), "cache_control": {"type": "ephemeral"}},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                    {"type": "search_result", "source": "s", "title": "t",
                        "content": [{"type": "text", "text": rows("cited")}]},
                    {"type": "text", "text": rows("second")}]},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": rows("document")}},
                {"type": "text", "text": rows("last")}]}]});
    insta::assert_snapshot!(reported(Api::AnthropicMessages, &body.to_string()));
}

#[test]
fn openai_chat_everything() {
    let call = |id: &str| {
        json!({"id": id, "type": "function",
            "function": {"name": "list", "arguments": json!({"of": rows("arguments")}).to_string()}})
    };
    let body = json!({"model": "gpt-4.1", "tools": [{"type": "function", "function": {"name": "list"}}],
        "messages": [
            {"role": "system", "content": rows("system")},
            {"role": "user", "content": [{"type": "text", "text": rows("user")},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
            {"role": "assistant", "content": rows("assistant"), "reasoning_content": rows("reasoning"),
                "tool_calls": [call("a"), call("b")]},
            {"role": "tool", "tool_call_id": "a", "content": rows("string")},
            {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": rows("first")},
                {"type": "text", "text": rows("second")}]},
            {"role": "function", "name": "list", "content": rows("legacy")}]});
    insta::assert_snapshot!(reported(Api::OpenAiChat, &body.to_string()));
}

#[test]
fn openai_responses_everything() {
    let body = json!({"model": "gpt-5", "instructions": rows("instructions"), "store": false,
        "tools": [{"type": "function", "name": "list"}],
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": rows("user")}]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": rows("summary")}],
                "encrypted_content": rows("encrypted")},
            {"type": "function_call", "call_id": "a", "name": "list", "arguments": rows("arguments")},
            {"type": "function_call_output", "call_id": "a", "output": rows("string")},
            {"type": "custom_tool_call", "call_id": "b", "name": "sql", "input": rows("input")},
            {"type": "custom_tool_call_output", "call_id": "b", "output": [
                {"type": "input_text", "text": rows("first")}, {"type": "input_image", "image_url": "x"}]},
            {"type": "local_shell_call", "call_id": "c", "action": {"type": "exec", "command": ["ls"]}},
            {"type": "local_shell_call_output", "call_id": "c", "output": rows("shell")},
            {"type": "shell_call_output", "call_id": "d", "output": [{"stdout": rows("stdout"), "stderr": ""}]},
            {"type": "mcp_call", "name": "list", "arguments": "{}", "output": rows("mcp")}]});
    insta::assert_snapshot!(reported(Api::OpenAiResponses, &body.to_string()));
}

#[test]
fn gemini_everything() {
    let body = json!({"systemInstruction": {"parts": [{"text": rows("system")}]},
        "tools": [{"functionDeclarations": [{"name": "list"}]}],
        "contents": [
            {"role": "user", "parts": [{"text": rows("user")}]},
            {"role": "model", "parts": [
                {"text": rows("thought"), "thought": true, "thoughtSignature": "c2ln"},
                {"functionCall": {"name": "list", "args": {"of": rows("args")}}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"name": "list", "response": {"output": rows("camel")}}},
                {"function_response": {"name": "list", "response": {"result": rows("snake")}}},
                {"functionResponse": {"name": "list", "response": {"stdout": rows("two"), "code": 0}}},
                {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}]});
    insta::assert_snapshot!(reported(Api::GeminiGenerateContent, &body.to_string()));
}

/// The output of a shell command as Gemini CLI sends it.
#[test]
fn gemini_cli_shell_output() {
    let printed = format!(
        "<untrusted_context>\nOutput: {}\nProcess Group PGID: 4711\n</untrusted_context>",
        rows("shell")
    );
    let body = json!({"contents": [
        {"role": "model", "parts": [{"functionCall": {"name": "run_shell_command", "args": {"command": "cat rows.json"}}}]},
        {"role": "user", "parts": [
            {"functionResponse": {"name": "run_shell_command", "response": {"output": printed}}}]}]});
    insta::assert_snapshot!(reported(Api::GeminiGenerateContent, &body.to_string()));
}

#[test]
fn bedrock_converse_everything() {
    let body = json!({"inferenceConfig": {"maxTokens": 1},
        "system": [{"text": rows("system")}, {"guardContent": {"text": {"text": rows("guarded")}}},
            {"cachePoint": {"type": "default"}}],
        "toolConfig": {"tools": [{"toolSpec": {"name": "list", "inputSchema": {"json": {"type": "object"}}}},
            {"cachePoint": {"type": "default"}}]},
        "messages": [
            {"role": "user", "content": [{"text": rows("user")}, {"cachePoint": {"type": "default"}},
                {"document": {"format": "txt", "name": "d", "source": {"text": rows("document")}}}]},
            {"role": "assistant", "content": [
                {"reasoningContent": {"reasoningText": {"text": rows("reasoning"), "signature": "c2ln"}}},
                {"reasoningContent": {"redactedContent": "cmVkYWN0ZWQ="}},
                {"text": rows("assistant")},
                {"citationsContent": {"content": [{"text": rows("cited")}], "citations": []}},
                {"toolUse": {"toolUseId": "s", "name": "nova_grounding", "input": {}, "type": "server_tool_use"}},
                {"toolResult": {"toolUseId": "s", "type": "nova_grounding_result",
                    "content": [{"text": rows("server")}]}},
                {"toolUse": {"toolUseId": "a", "name": "list", "input": {"of": rows("input")}}}]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "s", "type": "nova_grounding_result",
                    "content": [{"text": rows("server, sent back")}]}},
                {"toolResult": {"toolUseId": "a", "status": "success", "content": [
                    {"text": rows("text")},
                    {"json": {"rows": [1, 2], "note": rows("structured")}},
                    {"json": {"result": rows("only member")}},
                    {"json": rows("string")},
                    {"json": [rows("array")]},
                    {"json": {}},
                    {"image": {"format": "png", "source": {"bytes": "AAAA"}}},
                    {"document": {"format": "txt", "name": "e", "source": {"text": rows("file")}}},
                    {"searchResult": {"source": "s", "title": "t", "content": [{"text": rows("found")}]}}]}},
                {"text": rows("last")}]}]});
    insta::assert_snapshot!(reported(Api::BedrockConverse, &body.to_string()));
}

fn cohere(citations: serde_json::Value) -> String {
    json!({"model": "command-a-03-2025", "citation_options": citations,
        "documents": [{"id": "1", "data": {"text": rows("given")}}],
        "tools": [{"type": "function", "function": {"name": "list", "parameters": {"type": "object"}}}],
        "messages": [
            {"role": "system", "content": rows("system")},
            {"role": "user", "content": [{"type": "text", "text": rows("user")},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
            {"role": "assistant", "tool_plan": rows("plan"), "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "list", "arguments": rows("arguments")}}]},
            {"role": "tool", "tool_call_id": "a", "content": rows("string")},
            {"role": "tool", "tool_call_id": "a", "content": [
                {"type": "text", "text": rows("text")},
                {"type": "document", "document": {"id": "x", "data": rows("document")}},
                {"type": "document", "document": {"data": {"rows": rows("only member")}}},
                {"type": "document", "document": {"data": {"rows": rows("structured"), "n": 1}}}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": rows("thinking")},
                {"type": "text", "text": rows("assistant")}],
                "citations": [{"start": 0, "end": 1, "text": "[", "sources": []}]}]})
    .to_string()
}

#[test]
fn cohere_everything() {
    insta::assert_snapshot!(reported(Api::CohereChat, &cohere(json!({"mode": "FAST"}))));
}

#[test]
fn cohere_documents_are_outputs_where_nothing_cites_them() {
    insta::assert_snapshot!(reported(Api::CohereChat, &cohere(json!({"mode": "OFF"}))));
}

#[test]
fn anthropic_on_bedrock_is_read_only_where_the_body_says_that_it_is_anthropics() {
    let mut body = json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1, "messages": [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "list", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": rows("output")}]}]});
    insta::assert_snapshot!(reported(Api::AnthropicBedrock, &body.to_string()));
    for version in [json!(null), json!(7)] {
        body["anthropic_version"] = version;
        let raw = body.to_string();
        let request = Request::new(Api::AnthropicBedrock);
        let outcome = compress(raw.as_bytes(), &request, &Config::default(), &mut Memo::new(0));
        assert_eq!(outcome.unread, Some(headroom_compress::UnreadReason::NotUnderstood));
        assert_eq!(&outcome.body[..], raw.as_bytes());
    }
}
