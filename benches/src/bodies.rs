//! Bodies of any size in every wire format, from the tool outputs of recorded conversations.

use std::fs;
use std::path::{Path, PathBuf};

use headroom_compress::Api;
use serde_json::{Value, json};

/// The wire formats that are measured.
pub const APIS: [Api; 4] =
    [Api::AnthropicMessages, Api::OpenAiChat, Api::OpenAiResponses, Api::GeminiGenerateContent];

/// A tool call and its output.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The tool's name.
    pub name: String,
    /// The call's arguments.
    pub arguments: Value,
    /// The output's text.
    pub text: String,
}

/// All exchanges of the conversations in a folder, in the order of their names.
///
/// # Panics
///
/// When the folder does not hold conversations: there is nothing to measure.
pub fn exchanges(folder: &Path) -> Vec<Exchange> {
    let entries = fs::read_dir(folder).expect("a folder of conversations");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.sort();
    let mut exchanges = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).expect("a readable file");
        for line in text.lines() {
            let conversation: Value = serde_json::from_str(line).expect("a conversation per line");
            collect(&conversation, &mut exchanges);
        }
    }
    exchanges
}

/// The conversations in the repository. A megabyte of them repeats nothing that its agent did not see
/// twice.
pub fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conversations")
}

fn collect(conversation: &Value, exchanges: &mut Vec<Exchange>) {
    let messages = conversation["messages"].as_array().into_iter().flatten();
    let mut calls: Vec<&Value> = Vec::new();
    for message in messages {
        calls.extend(message["calls"].as_array().into_iter().flatten());
        if message["role"] != "tool" {
            continue;
        }
        let Some(call) = calls.iter().find(|call| call["id"] == message["id"]) else { continue };
        let text = match &message["content"] {
            Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
            text => text.as_str().unwrap_or_default().to_owned(),
        };
        let name = call["name"].as_str().unwrap_or_default().to_owned();
        exchanges.push(Exchange { name, arguments: call["args"].clone(), text });
    }
}

/// A body with about `bytes` bytes of tool outputs: the exchanges in turn, starting at `first`. After the
/// last one they repeat, each with a line that makes it different.
pub fn body(api: Api, exchanges: &[Exchange], first: usize, bytes: usize) -> Vec<u8> {
    let mut turns = Vec::new();
    let mut held = 0;
    for at in first.. {
        if held >= bytes {
            break;
        }
        let exchange = &exchanges[at % exchanges.len()];
        let id = format!("call_{at}");
        let mut text = exchange.text.clone();
        if at >= exchanges.len() {
            text = fresh(&text, at / exchanges.len());
        }
        held += text.len();
        turns.extend(turn(api, &id, exchange, &text));
    }
    let question = "Find out why the tests fail.";
    let body = match api {
        Api::AnthropicMessages | Api::AnthropicBedrock => {
            turns.insert(0, json!({"role": "user", "content": question}));
            json!({"model": "claude-sonnet-4-5", "max_tokens": 8192, "messages": turns, "stream": true})
        }
        Api::OpenAiChat | Api::CohereChat => {
            turns.insert(0, json!({"role": "user", "content": question}));
            json!({"model": "gpt-4.1", "messages": turns, "stream": true})
        }
        Api::OpenAiResponses => {
            turns.insert(0, json!({"role": "user", "content": question}));
            json!({"model": "gpt-5", "input": turns, "stream": true})
        }
        Api::GeminiGenerateContent => {
            turns.insert(0, json!({"role": "user", "parts": [{"text": question}]}));
            json!({"contents": turns})
        }
        Api::GeminiCodeAssist => {
            turns.insert(0, json!({"role": "user", "parts": [{"text": question}]}));
            json!({"model": "gemini-2.5-pro", "request": {"contents": turns}})
        }
        Api::BedrockConverse => {
            turns.insert(0, json!({"role": "user", "content": [{"text": question}]}));
            json!({"messages": turns})
        }
    };
    body.to_string().into_bytes()
}

/// 2⁶⁴ divided by the golden ratio: its multiples are spread evenly.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Exchanges with at least `bytes` bytes of tool outputs, or all of them, as another conversation might hold
/// them: they start at another exchange, and each text has one changed word, so that a memo filled with
/// another `salt` knows none of them. The start moves over the whole list, so that a few requests show what
/// many would.
pub fn renewed(exchanges: &[Exchange], salt: u64, bytes: usize) -> Vec<Exchange> {
    let start = usize::try_from(salt.wrapping_mul(GOLDEN) >> 32).unwrap_or_default();
    let (before, from) = exchanges.split_at(start % exchanges.len().max(1));
    let mut held = 0;
    from.iter()
        .chain(before)
        .take_while(|exchange| {
            let more = held < bytes;
            held += exchange.text.len();
            more
        })
        .map(|exchange| Exchange { text: salted(&exchange.text, salt), ..exchange.clone() })
        .collect()
}

/// The text with eight letters of one word exchanged for letters that spell the salt. Only inside a
/// word, so that JSON stays JSON and code stays code.
fn salted(text: &str, salt: u64) -> String {
    const LETTERS: usize = 8;
    let mut rest = salt;
    let spelled: String = (0..LETTERS)
        .map(|_| {
            let letter = char::from(b'a' + (rest % 26) as u8);
            rest /= 26;
            letter
        })
        .collect();
    // The byte before the word shows that the letters are not part of an escape sequence.
    let begins_word = |window: &[u8]| matches!(window[0], b' ' | b'"' | b'_' | b'/' | b'.');
    let word = text
        .as_bytes()
        .windows(LETTERS + 1)
        .position(|window| begins_word(window) && window[1..].iter().all(u8::is_ascii_lowercase));
    match word {
        Some(before) => [&text[..=before], &spelled, &text[before + 1 + LETTERS..]].concat(),
        None => [&spelled, text].concat(),
    }
}

/// The text with the digits and the first letter of each line shifted by `by`, so that no line repeats an
/// earlier one.
fn fresh(text: &str, by: usize) -> String {
    let mut at_start = true;
    text.chars()
        .map(|character| {
            let first = std::mem::replace(&mut at_start, character == '\n');
            let moved = |base: u8, size: usize| {
                char::from(base + ((character as usize - usize::from(base) + by) % size) as u8)
            };
            match character {
                '0'..='9' => moved(b'0', 10),
                'a'..='z' if first => moved(b'a', 26),
                'A'..='Z' if first => moved(b'A', 26),
                _ => character,
            }
        })
        .collect()
}

fn turn(api: Api, id: &str, exchange: &Exchange, text: &str) -> [Value; 2] {
    let Exchange { name, arguments, .. } = exchange;
    match api {
        Api::AnthropicMessages | Api::AnthropicBedrock => [
            json!({"role": "assistant", "content": [
                {"type": "tool_use", "id": id, "name": name, "input": arguments}]}),
            json!({"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": id, "content": text}]}),
        ],
        Api::OpenAiChat | Api::CohereChat => [
            json!({"role": "assistant", "content": null, "tool_calls": [{"id": id, "type": "function",
                "function": {"name": name, "arguments": arguments.to_string()}}]}),
            json!({"role": "tool", "tool_call_id": id, "content": text}),
        ],
        Api::OpenAiResponses => [
            json!({"type": "function_call", "call_id": id, "name": name,
                "arguments": arguments.to_string()}),
            json!({"type": "function_call_output", "call_id": id, "output": text}),
        ],
        Api::GeminiGenerateContent | Api::GeminiCodeAssist => [
            json!({"role": "model", "parts": [
                {"functionCall": {"id": id, "name": name, "args": arguments}}]}),
            json!({"role": "user", "parts": [
                {"functionResponse": {"id": id, "name": name, "response": {"output": text}}}]}),
        ],
        Api::BedrockConverse => [
            json!({"role": "assistant", "content": [
                {"toolUse": {"toolUseId": id, "name": name, "input": arguments}}]}),
            json!({"role": "user", "content": [
                {"toolResult": {"toolUseId": id, "content": [{"text": text}]}}]}),
        ],
    }
}
